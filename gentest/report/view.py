"""What the page shows of one result: its pictures, curves and charts in order, and words beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from gentest.report import certainty, charts, comparison, figures, rates, terminal
from gentest.report.details import matters, where
from gentest.results.comparison import Standing
from gentest.results.result import Counterexample, Result, Verdict
from gentest.results.shown import Shown, Strip

CURVES = 8
"""Curves under a strip: of more, the terminal's text has the figures."""
LONGEST = 20_000
"""Characters of a text, such as a traceback."""
ROOM, ROOMY, TIGHT, GAP = 836, 84, 44, 4
"""How wide a strip may be, a frame at most and at least, and what lies between two."""
PIXELATED = 56
"""Frames of fewer pixels a side are shown as the squares that they are."""


@dataclass(frozen=True)
class Frames:
    """A strip as it is shown: the source of each picture, its caption, and the size of all in pixels of the page."""

    pictures: tuple[tuple[str, str], ...]
    width: int
    height: int
    pixelated: bool


@dataclass(frozen=True)
class Look:
    """A counterexample as it is shown: its frames, and each curve under them by its name."""

    title: str
    said: str
    frames: Frames | None
    curves: tuple[tuple[str, Markup], ...]
    scores: tuple[tuple[str, str], ...]
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart, with what it is of and what it says in words."""

    title: str
    drawn: Markup
    said: str = ""


@dataclass(frozen=True)
class View:
    """One result as the page shows it; `place` is where it stood in the run."""

    result: Result
    place: int
    anchor: str
    outcome: str
    headline: str
    looks: tuple[Look, ...]
    change: tuple[Frames, str] | None
    charts: tuple[Chart, ...]
    more: tuple[Chart, ...]
    lines: tuple[str, ...]
    pairs: tuple[tuple[str, Frames], ...]
    text: str

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return figures.verdict(self.result)

    @property
    def standing(self) -> str:
        """How it stands to the baseline, in words; nothing where there is none."""
        return "" if self.result.gate is None else figures.standing(self.result.gate)

    @property
    def figures(self) -> tuple[tuple[str, str, str], ...]:
        """What was looked at and what it came to: the name of each figure, itself, and the word that goes with it."""
        result = self.result
        what = "" if result.distribution else "rate" if result.rate else "margin"
        of = "outputs" if result.distribution else "probes"
        found = (
            ("probes", figures.probes(result), of),
            ("measure", figures.measure(result), what),
            ("images", f"{result.images:,}", "images"),
            ("seconds", figures.seconds(result), ""),
        )
        return tuple(figure for figure in found if figure[1])


def view_of(result: Result, place: int, anchor: str, tolerance: Sequence[float]) -> View:
    shown = result.shown or Shown()
    command = shown.command
    return View(
        result=result,
        place=place,
        anchor=anchor,
        outcome=result.outcome.value,
        headline=_clipped(terminal.headline(result).removeprefix(f"{result.property}: ")),
        looks=_looks(result, shown),
        change=_change(result, shown),
        charts=(*_rates(result, shown)[:2], *_charts(result, shown, tolerance)),
        more=_rates(result, shown)[2:],
        lines=_lines(result),
        pairs=pairs(shown),
        text=_clipped(terminal.failure(result, command)),
    )


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _looks(result: Result, shown: Shown) -> tuple[Look, ...]:
    minimal, worst = result.counterexample, result.worst
    found = []
    if minimal is not None:
        title = "Counterexample" if worst is None or minimal == worst else "Minimal counterexample"
        found.append(_look(title, minimal, shown.minimal))
    elif shown.minimal is not None:
        found.append(Look("The replayed probe", "", frames_of(shown.minimal, numbers(shown.minimal)), (), ()))
    if worst is not None and worst != minimal:
        found.append(_look("Worst counterexample", worst, shown.worst))
    return tuple(found)


def _look(title: str, found: Counterexample, strip: Strip | None) -> Look:
    n = len(found.t)
    is_path = n > 2 and len(set(found.t)) == n
    captions = [f"{t:.2f}" for t in found.t] if is_path else [str(i + 1) for i in range(n)] if n > 1 else [""]
    frames = None if strip is None else frames_of(strip, [captions[place] for place in strip.places])
    n_columns = n if strip is None else len(strip.frames)
    places = list(range(n)) if strip is None else list(strip.places)
    cell = _cell(n_columns)
    width = n_columns * cell + (n_columns - 1) * GAP
    curves: list[tuple[str, Markup]] = []
    scores: list[tuple[str, str]] = []
    for name, values in found.scores.items():
        if len(values) == 1:
            scores.append((name, f"{values[0]:.4g}"))
        elif len(curves) < CURVES:
            between = len(values) == n - 1
            columns = [_column(i + (0.5 if between else 0.0), places) for i in range(len(values))]
            path = is_path and not between
            curves.append((name, charts.curve(values, columns, width=width, cell=cell, gap=GAP, path=path)))
    said = f"margin {found.margin:.4g}{where(found)}"
    notes = [f"Because {found.note}."] if found.note else []
    notes += ["Shaded: between the scores of the two ends; red: outside."] if is_path and curves else []
    return Look(title, said, frames, tuple(curves), tuple(scores), " ".join(notes))


def _column(at: float, places: Sequence[int]) -> float:
    """In which column of a strip an output stands, where a strip leaves some out: between two then."""
    for column, (low, high) in enumerate(pairwise(places)):
        if low <= at <= high:
            return column + (at - low) / (high - low)
    return float(len(places) - 1)


def _cell(n: int) -> int:
    return max(TIGHT, min(ROOMY, (ROOM + GAP) // max(n, 1) - GAP))


def frames_of(strip: Strip, captions: Sequence[str], *, alt: str = "output") -> Frames:
    cell = _cell(len(strip.frames))
    height = max(4, min(3 * cell, round(cell * strip.height / max(strip.width, 1))))
    pictures = tuple(
        (f"data:image/webp;base64,{frame}", caption) for frame, caption in zip(strip.frames, captions, strict=False)
    )
    return Frames(pictures, cell, height, max(strip.width, strip.height) < PIXELATED)


def numbers(strip: Strip) -> list[str]:
    return [str(place + 1) for place in strip.places]


def _change(result: Result, shown: Shown) -> tuple[Frames, str] | None:
    """The two outputs between which the coordinate groups differ, the map of the difference, and what to say of it."""
    change, found = shown.change, result.counterexample
    if change is None or found is None or not (found.groups or found.moved or len(found.t) > 1):
        return None  # another sample fails as well: there is nothing to compare
    words = "; ".join(detail.text for detail in matters(found))
    said = f"pixels differ by up to {change.largest:.3g}, {change.mean:.3g} in the mean, of a range of 1"
    frames = frames_of(change.strip, [*change.names, "difference"])
    return frames, f"{words}; {said}" if words else said


def pairs(shown: Shown) -> tuple[tuple[str, Frames], ...]:
    """The baseline's first outputs, and this checkpoint's on the same latents."""
    if shown.baseline is None or shown.samples is None:
        return ()
    rows = (("baseline", shown.baseline), ("candidate", shown.samples))
    return tuple((name, frames_of(strip, numbers(strip))) for name, strip in rows)


def _rates(result: Result, shown: Shown) -> tuple[Chart, ...]:
    """Each rate as its probes came in; of several, all side by side first, and then the one that holds least."""
    if result.rate is None:
        return ()
    arms = {rate.arm: rate for rate in result.rate.arms or (result.rate,)}
    found = []
    for trace in sorted(shown.traces, key=lambda trace: trace.arm != result.rate.arm if result.rate else False):
        rate = arms[trace.arm]
        on = f", {trace.arm}" if trace.arm else ""
        drawn = charts.rate(trace, p0=rate.p0, certified=rate.p0 - rate.slack, verdict=rate.verdict)
        found.append(Chart(f"Rate as probes came in{on}", drawn, f"{rate.passes:,} of {rate.probes:,} hold"))
    if result.rate.arms:
        whole = result.rate.overall
        said = "" if whole is None else f"of the whole prior {rates.overall(result.rate, whole)}"
        found.insert(0, Chart("Each rate", charts.arms(result.rate.arms), said))
    return tuple(found)


def _charts(result: Result, shown: Shown, tolerance: Sequence[float]) -> tuple[Chart, ...]:
    found = []
    named = {histogram.of: histogram for histogram in shown.histograms}
    candidate, before = named.pop("candidate", None), named.pop("baseline", None)
    found += [Chart(f"Margins, {of}", charts.histogram(h), f"{sum(h.counts):,} probes") for of, h in named.items()]
    if candidate is not None:
        said = "bars: this checkpoint; outline: the baseline"
        found.append(Chart("Margins on the baseline's probes", charts.histogram(candidate, before), said))
    if shown.rays is not None and result.radius is not None and result.rate is not None:
        confirmed = result.radius.confirmed is not None and result.radius.confirmed.verdict is Verdict.HOLDS
        reached = result.radius.certified
        drawn = charts.radius(shown.rays, p0=result.rate.p0, reached=reached, confirmed=confirmed)
        found.append(Chart("Rays that hold up to each radius", drawn, rates.radius(result.radius, result.rate)))
    gate = result.gate
    if gate is not None and gate.probes and tolerance:
        difference = (gate.candidate_passes - gate.baseline_passes) / gate.probes
        fell = gate.standing is Standing.REGRESSED
        drawn = charts.difference(gate.low, gate.high, difference, tolerance=tolerance[0], fell=fell)
        found.append(Chart("How often, against the baseline", drawn, comparison.figures(gate)))
    return tuple(found)


def _lines(result: Result) -> tuple[str, ...]:
    """What is said in words besides: how rates compare, how far a property holds, why a gate has no figures."""
    lines = [rates.invariant(found, result.rate) for found in result.rate.invariant] if result.rate is not None else []
    if result.radius is not None:
        lines.append(rates.radius(result.radius, result.rate))
    if result.gate is not None and not result.gate.probes:
        lines.append(f"{figures.standing(result.gate)}: {comparison.figures(result.gate)}")
    return (*lines, *filter(None, [certainty.prior([result]), figures.rounding(result), figures.audited(result)]))
