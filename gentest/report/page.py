"""A run as one HTML page: what failed first, each result with its pictures and charts, and how to replay it.

The page needs nothing but itself: no network, and no script to be read. Names, prompts and messages come from
strangers, so the template escapes all of them, and the page forbids everything that it does not bring along.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import pairwise
from typing import TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gentest._support.printable import counted
from gentest.report import (
    arrays,
    charts,
    facts,
    level_facts,
    media_views,
    numbers,
    run_facts,
    terminal,
    within_counterexample,
)
from gentest.report.arrays import ArrayView
from gentest.report.images import result_hash
from gentest.report.media_views import MediaView
from gentest.results.comparison import Comparison
from gentest.results.document import Document
from gentest.results.drawings import ArrayStrip, Drawings, Strip
from gentest.results.media import Media
from gentest.results.outcome import Outcome, Standing, Verdict
from gentest.results.result import Counterexample, Result

Drawn = TypeVar("Drawn", bound=Hashable)

MAX_CURVES = 8
"""Curves under a strip of pictures. The terminal's text has the scores of the others."""
MAX_TEXT = 20_000
"""Characters of a text such as a traceback."""
STRIP_WIDTH, MAX_FRAME, MIN_FRAME, GAP = 836, 84, 44, 4
"""Pixels: the width of a strip, the largest and the smallest width of a frame, and the gap between two."""
PAIR_FRAME = 132
"""The largest width of a frame of a pair, in which a single pixel may count."""
PIXELATED = 56
"""Frames with fewer pixels a side are enlarged as squares."""


def page(document: Document, *, at: str | None = None) -> str:
    """The whole page of a run that ended at the time `at`, by default now."""
    at = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC") if at is None else at
    views = _views(document)
    counts = {outcome.value: sum(view.outcome == outcome.value for view in views) for outcome in Outcome}
    tests: dict[str, list[View]] = {}
    for view in views:
        tests.setdefault(view.result.test, []).append(view)
    gate, css = document.gate, _file("page.css") + _file("result.css")
    return _written(
        "page.html",
        document=document,
        views=sorted(views, key=lambda view: (view.result.outcome.severity, view.place)),
        tests=tests,
        counts=counts,
        bar=charts.shares(list(counts.items())),
        facts=_facts(document, at),
        gate=gate,
        gate_rows=[] if gate is None else _gate_rows(gate, views),
        gate_total="" if gate is None else run_facts.gate_counts(gate),
        gate_against="" if gate is None else run_facts.against(gate),
        differing="" if gate is None else run_facts.differing(gate),
        gate_word="" if gate is None else run_facts.gate_word(gate),
        levels=[] if gate is None else [(s.outcome.value, s.value, text) for s, text in level_facts.levels(gate)],
        drifts=[] if gate is None else run_facts.drifted(gate),
        without_drift="" if gate is None else run_facts.without_drift(gate),
        ranking="\n".join(terminal.ranking(document.results)),
        samples=_samples(document.results),
        sample_arrays=_sample_arrays(document.results),
        sample_media=_sample_media(document.results),
        certainty=run_facts.certainty(document),
        partial=run_facts.unfinished(document.interrupted, document.unchecked),
        css=css,
        css_hash=_hash(css),
        js=_file("page.js"),
        js_hash=_hash(_file("page.js")),
    )


def section(result: Result) -> str:
    """One result as a notebook shows it: its section of the page, with the style that it needs."""
    return _written("section.html", view=view_of(result), css=_file("result.css"))


def _written(template: str, **values: object) -> str:
    html = _environment().get_template(template).render(**values)
    return html.encode("utf-8", "replace").decode("utf-8")


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader("gentest.report", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _file(name: str) -> Markup:
    """A file beside the templates, unescaped: it is ours."""
    environment = _environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# one result


@dataclass(frozen=True)
class Frames:
    """A strip of pictures: the source and the caption of each, and the size of all in pixels of the page."""

    pictures: tuple[tuple[str, str], ...]
    width: int
    height: int
    pixelated: bool
    mark: tuple[str, str] | None = None
    """Where each picture has a ring: from its left and from its top, in pixels of the page."""
    alike: tuple[int, ...] = ()
    """The pictures, counted from 0, of outputs that are alike."""


@dataclass(frozen=True)
class CounterexampleView:
    """A counterexample: its pictures, each curve under them by its name, and single scores."""

    title: str
    place: str = ""
    frames: Frames | None = None
    curves: tuple[tuple[str, Markup], ...] = ()
    scores: tuple[tuple[str, str], ...] = ()
    note: str = ""
    arrays: ArrayView | None = None
    """Outputs that are not images."""
    media: MediaView | None = None
    """Videos, sounds, rows or texts."""
    alike: str = ""
    """The outputs that are alike."""


@dataclass(frozen=True)
class Chart:
    """A chart with its title and what it shows in words."""

    title: str
    drawn: Markup
    caption: str = ""


@dataclass(frozen=True)
class View:
    """One result as the page shows it; `place` is its place in the run."""

    result: Result
    place: int
    anchor: str
    outcome: str
    verdict: str
    standing: str
    """How it compares with the baseline; empty without one."""
    property: str
    headline: str
    figures: tuple[tuple[str, str, str], ...]
    """The name of each figure, the figure, and the word beside it."""
    looks: tuple[CounterexampleView, ...]
    changes: tuple[tuple[str, str, Frames], ...]
    """The outputs between which the coordinates make the difference, or the two sides of a pair: title, caption and
    pictures."""
    charts: tuple[Chart, ...]
    more_charts: tuple[Chart, ...]
    lines: tuple[str, ...]
    pairs: tuple[tuple[str, Frames], ...]
    """Outputs of the baseline and the candidate on the same latents."""
    text: str


def view_of(result: Result, *, place: int = 0, anchor: str = "", gate: Comparison | None = None) -> View:
    """The view of a result; `gate` is the comparison with a baseline, if the run made one."""
    drawings = result.drawings or Drawings()
    rates = _rate_charts(result, drawings)
    return View(
        result=result,
        place=place,
        anchor=anchor,
        outcome=result.outcome.value,
        verdict=facts.verdict(result),
        standing="" if result.gate is None else facts.standing(result.gate),
        property=facts.property_of(result),
        headline=_clipped(facts.statement(result)),
        figures=_figures(result),
        looks=_looks(result, drawings),
        changes=(*_change(result, drawings), *_differences(result, drawings)),
        charts=(*rates[:2], *_other_charts(result, drawings, gate)),
        more_charts=rates[2:],
        lines=_lines(result),
        pairs=_pairs(drawings),
        text=_clipped(terminal.failure(result, drawings.command)),
    )


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} ..."


def _figures(result: Result) -> tuple[tuple[str, str, str], ...]:
    of_all = result.distribution or result.level or result.level_claim or result.estimate
    kind = "" if result.distribution or result.estimate else "rate" if result.rate else "margin"
    kind = "difference" if result.level else "level" if result.level_claim else kind
    figures = (
        ("probes", facts.probes(result), "outputs" if of_all else "probes"),
        ("measure", facts.measure(result), kind),
        ("images", f"{result.images:,}", run_facts.outputs_word([result])),
        ("seconds", facts.seconds(result), ""),
    )
    return tuple(figure for figure in figures if figure[1])


def _lines(result: Result) -> tuple[str, ...]:
    """Sentences that no chart and no figure has."""
    lines = [] if result.rate is None else [facts.invariant(other, result.rate) for other in result.rate.invariant]
    if result.rate is not None and result.rate.n_values is not None:
        values = facts.worst_values(result.rate, result.rate.n_values)
        lines.append(": ".join(filter(None, [values.text, "; ".join(map(" ".join, values.rows))])))
    if result.counterexample is not None and result.counterexample.fewer_words is not None:
        lines.append(within_counterexample.fewer_words(result.counterexample.fewer_words))
    if result.radius is not None:
        lines.append(facts.radius(result.radius, result.rate))
    if result.gate is not None and not result.gate.probes:
        lines.append(f"{facts.standing(result.gate)}: {facts.gate_figures(result.gate)}")
    lines += [facts.kept_reference(result), run_facts.prior([result]), facts.rounding(result), facts.audited(result)]
    return tuple(filter(None, lines))


def _looks(result: Result, drawings: Drawings) -> tuple[CounterexampleView, ...]:
    minimal, worst = result.counterexample, result.worst
    looks = []
    if minimal is not None:
        title = "Counterexample" if worst is None or minimal == worst else "Minimal counterexample"
        looks.append(_look(title, minimal, drawings.minimal, drawings.minimal_arrays, drawings.minimal_media))
    elif drawings.minimal_media is not None:
        title = "The replayed probe" if result.replayed else "The latent that differs most"
        looks.append(CounterexampleView(title, media=_media(drawings.minimal_media)))
    elif drawings.minimal is not None or drawings.minimal_arrays is not None:
        title = "The replayed probe" if result.replayed else "The latent that differs most"
        frames = None if drawings.minimal is None else _frames(drawings.minimal)
        looks.append(CounterexampleView(title, frames=frames, arrays=_arrays(drawings.minimal_arrays)))
    if worst is not None and worst != minimal:
        looks.append(_look("Worst counterexample", worst, drawings.worst, drawings.worst_arrays, drawings.worst_media))
    return tuple(looks)


def _arrays(strip: ArrayStrip | None) -> ArrayView | None:
    return None if strip is None else arrays.view_of(strip)


def _media(outputs: Media | None) -> MediaView | None:
    return None if outputs is None else media_views.view_of(outputs)


def _look(
    title: str, counterexample: Counterexample, strip: Strip | None, drawn: ArrayStrip | None, outputs: Media | None
) -> CounterexampleView:
    n = len(counterexample.t)
    is_path = n > 2 and len(set(counterexample.t)) == n
    captions = [f"{t:.2f}" for t in counterexample.t] if is_path else [str(i + 1) for i in range(n)] if n > 1 else [""]
    alike = () if counterexample.alike is None else counterexample.alike.outputs
    captions = [within_counterexample.named(each, is_alike=at in alike) for at, each in enumerate(captions)]
    places = list(range(n)) if strip is None else list(strip.places)
    n_columns = n if strip is None else len(strip.frames)
    frame = _frame_width(n_columns)
    width = n_columns * frame + (n_columns - 1) * GAP
    curves: list[tuple[str, Markup]] = []
    for name, values in counterexample.scores.items():
        if len(values) > 1 and len(curves) < MAX_CURVES:
            # a score of two neighbouring outputs stands between them
            between = len(values) == n - 1
            columns = [_column(i + (0.5 if between else 0.0), places) for i in range(len(values))]
            path = is_path and not between
            curves.append((name, charts.curve(values, columns, width=width, cell=frame, gap=GAP, path=path)))
    notes = [f"Because {counterexample.note}."] if counterexample.note else []
    notes += ["Shaded: between the scores of the two ends; red: outside."] if is_path and curves else []
    frames = None if strip is None else _frames(strip, [captions[place] for place in strip.places])
    marked = tuple(at for at, place in enumerate(places) if place in alike)
    return CounterexampleView(
        title,
        facts.place(counterexample),
        None if frames is None else replace(frames, alike=marked),
        tuple(curves),
        tuple((name, f"{values[0]:.4g}") for name, values in counterexample.scores.items() if len(values) == 1),
        " ".join(notes),
        _arrays(drawn),
        _media(outputs),
        "" if counterexample.alike is None else f"Alike: {within_counterexample.alike(counterexample.alike)}",
    )


def _column(at: float, places: Sequence[int]) -> float:
    """The column of an output in a strip that leaves some outputs out: between two columns if it is left out."""
    for column, (low, high) in enumerate(pairwise(places)):
        if low <= at <= high:
            return column + (at - low) / (high - low)
    return float(len(places) - 1)


def _frame_width(n: int, widest: int = MAX_FRAME) -> int:
    return max(MIN_FRAME, min(widest, (STRIP_WIDTH + GAP) // max(n, 1) - GAP))


def _frames(strip: Strip, captions: Sequence[str] | None = None, widest: int = MAX_FRAME) -> Frames:
    """The pictures of a strip, numbered unless there are captions."""
    captions = [str(place + 1) for place in strip.places] if captions is None else captions
    width = _frame_width(len(strip.frames), widest)
    height = max(4, min(3 * width, round(width * strip.height / max(strip.width, 1))))
    pictures = tuple(
        (f"data:image/webp;base64,{frame}", caption) for frame, caption in zip(strip.frames, captions, strict=False)
    )
    return Frames(pictures, width, height, max(strip.width, strip.height) < PIXELATED)


def _change(result: Result, drawings: Drawings) -> tuple[tuple[str, str, Frames], ...]:
    """The two outputs between which the coordinate groups differ and the map of their difference; or nothing."""
    change, counterexample = drawings.change, result.counterexample
    if change is None or counterexample is None:
        return ()
    if not (counterexample.groups or counterexample.moved or len(counterexample.t) > 1):
        return ()  # another sample fails as well, so there is nothing to compare
    words = [detail.text for detail in within_counterexample.matters(counterexample, result.search)]
    words.append(f"pixels differ by up to {change.largest:.3g}, {change.mean:.3g} in the mean, of a range of 1")
    frames = _frames(change.strip, [*change.names, "difference"])
    title = "What the coordinates change" if counterexample.reducible else "Two of its outputs"
    title = title if counterexample.alike is None else "The nearest two of its outputs"
    return ((title, "; ".join(words), frames),)


def _differences(result: Result, drawings: Drawings) -> tuple[tuple[str, str, Frames], ...]:
    """Reference, candidate and signed difference of a pair, at the minimal and at the worst counterexample."""
    shown = [("Reference and candidate", drawings.minimal_difference)]
    if result.worst is not None and result.worst != result.counterexample:
        shown.append(("Reference and candidate, worst counterexample", drawings.worst_difference))
    views = []
    for title, difference in shown:
        if difference is not None:
            scale = facts.difference_scale(difference)
            frames = _frames(difference.strip, ["reference", "candidate", scale], PAIR_FRAME)
            if difference.largest:
                across = (difference.column + 0.5) / difference.width * frames.width
                down = (difference.row + 0.5) / difference.height * frames.height
                frames = replace(frames, mark=(f"{across:.1f}", f"{down:.1f}"))
            views.append((title, facts.difference(difference), frames))
    return tuple(views)


def _pairs(drawings: Drawings) -> tuple[tuple[str, Frames], ...]:
    if drawings.baseline is None or drawings.samples is None:
        return ()
    return ("baseline", _frames(drawings.baseline)), ("candidate", _frames(drawings.samples))


def _rate_charts(result: Result, drawings: Drawings) -> tuple[Chart, ...]:
    """Each rate as its probes came in, the worst first. Several are shown side by side before that."""
    whole = result.rate
    if whole is None:
        return ()
    drawn_charts = []
    if whole.arms:
        caption = f"of the whole prior {facts.overall(whole)}" if whole.overall is not None else ""
        drawn_charts.append(Chart("Each rate", charts.arms(whole.arms), caption))
    rates = {rate.arm: rate for rate in whole.arms or (whole,)}
    for trace in sorted(drawings.traces, key=lambda trace: trace.arm != whole.arm):
        rate = rates[trace.arm]
        arm = f", {trace.arm}" if trace.arm else ""
        drawn = charts.rate(trace, p0=rate.p0, certified=rate.certifiable, verdict=rate.verdict)
        drawn_charts.append(Chart(f"Rate as probes came in{arm}", drawn, f"{rate.passes:,} of {rate.probes:,} hold"))
    return tuple(drawn_charts)


def _other_charts(result: Result, drawings: Drawings, compared: Comparison | None) -> tuple[Chart, ...]:
    """Histograms of margins, the rays of a radius, and the difference from the baseline."""
    named = {histogram.of: histogram for histogram in drawings.histograms}
    candidate, before = named.pop("candidate", None), named.pop("baseline", None)
    drawn_charts = [
        Chart(f"Margins, {of}", charts.histogram(h), f"{counted(sum(h.counts), 'probe')}") for of, h in named.items()
    ]
    if candidate is not None:
        caption = "bars: this checkpoint; outline: the baseline"
        drawn_charts.append(Chart("Margins on the baseline's probes", charts.histogram(candidate, before), caption))
    radius, rate, gate = result.radius, result.rate, result.gate
    if drawings.rays is not None and radius is not None and rate is not None:
        confirmed = radius.confirmed is not None and radius.confirmed.verdict is Verdict.HOLDS
        drawn = charts.radius(drawings.rays, p0=rate.p0, reached=radius.certified, confirmed=confirmed)
        drawn_charts.append(Chart("Rays that hold up to each radius", drawn, facts.radius(radius, rate)))
    if gate is not None and gate.probes and compared is not None:
        difference = (gate.candidate_passes - gate.baseline_passes) / gate.probes
        fell, tolerance = gate.standing is Standing.REGRESSED, compared.terms.tolerance
        drawn = charts.difference(gate.low, gate.high, difference, tolerance=tolerance, fell=fell)
        drawn_charts.append(Chart("How often, against the baseline", drawn, facts.gate_figures(gate)))
    return tuple(drawn_charts)


# the run


def _views(document: Document) -> list[View]:
    views, n_of = [], dict[str, int]()
    for place, result in enumerate(document.results):
        name = f"r-{result_hash(result)}"
        n = n_of[name] = n_of.get(name, 0) + 1
        anchor = name if n == 1 else f"{name}-{n}"
        views.append(view_of(result, place=place, anchor=anchor, gate=document.gate))
    return views


def _samples(results: Sequence[Result]) -> list[tuple[str, tuple[tuple[str, Frames], ...]]]:
    """The first outputs of each generator once, beside the baseline's if there is one."""
    samples = []
    for _, title, drawings in _by_drawing(results, lambda d: None if d.samples is None else d.samples.frames):
        assert drawings.samples is not None
        samples.append((title, _pairs(drawings) or (("", _frames(drawings.samples)),)))
    return samples


def _sample_arrays(results: Sequence[Result]) -> list[tuple[str, ArrayView]]:
    """The first outputs of each generator whose outputs are not images, once."""
    return [(title, arrays.view_of(strip)) for strip, title, _ in _by_drawing(results, lambda d: d.sample_arrays)]


def _sample_media(results: Sequence[Result]) -> list[tuple[str, MediaView]]:
    """The first videos, sounds, rows or texts of each generator, once."""
    return [(title, media_views.view_of(media)) for media, title, _ in _by_drawing(results, lambda d: d.sample_media)]


def _by_drawing(
    results: Sequence[Result], drawn: Callable[[Drawings], Drawn | None]
) -> Iterator[tuple[Drawn, str, Drawings]]:
    """The drawing of each generator's outputs, once, with the tests that share it and the drawings of one of them."""
    users: dict[Drawn, list[tuple[Result, Drawings]]] = {}
    for result in results:
        if result.drawings is not None and (of_result := drawn(result.drawings)) is not None:
            users.setdefault(of_result, []).append((result, result.drawings))
    for of_all, own in users.items():
        (first, drawings), tests = own[0], list(dict.fromkeys(result.test for result, _ in own))
        yield of_all, run_facts.first_of(tests) + facts.on_checkpoint(first), drawings


def _gate_rows(gate: Comparison, views: Sequence[View]) -> list[tuple[str, str, str, str, str, str]]:
    """The outcome, standing, test, property, figures and anchor of each compared property."""
    anchors = {(v.result.test, v.result.property, v.result.checkpoint): v.anchor for v in views}
    return [
        (
            compared.gate.standing.outcome.value,
            facts.standing(compared.gate),
            compared.test + (f" on {compared.checkpoint}" if compared.checkpoint else ""),
            numbers.short_figures(compared.property),
            facts.gate_figures(compared.gate),
            anchors.get((compared.test, compared.property, compared.checkpoint), ""),
        )
        for compared in gate.properties
    ]


def _facts(document: Document, at: str) -> list[tuple[str, str]]:
    session, results = document.session, document.results
    images, seconds = sum(result.images for result in results), sum(result.seconds for result in results)
    facts_of_run = [
        ("checkpoint", session.checkpoint),
        ("generator", session.generator),
        ("CLIP", session.clip),
        ("device, seed", f"{session.device}, {session.seed}"),
        (run_facts.outputs_word(results), f"{images:,} in {seconds:.1f} s"),
        ("ended", at),
    ]
    return [(name, value) for name, value in facts_of_run if value]
