"""What there is to say of a result that does not pass, beyond its headline: the same in every report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gentest.report import comparison, figures, rates
from gentest.report.layout import ELLIPSIS, cells, padded, shortened
from gentest.results.comparison import Standing
from gentest.results.result import Counterexample, Moved, Result

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 8
POINTS = 48
"""A line of bars has no more: of more points some are left out, never the ends."""
SCORES = 12
"""Scores of one point that are shown: the largest."""
NAME = 32


@dataclass(frozen=True)
class Detail:
    """One line: a word, and what is said under it. An empty word goes on under the one before."""

    word: str
    text: str
    aligned: bool = False
    """Whether its spaces are a layout, which is not to be wrapped."""


def details(result: Result) -> list[Detail]:
    """Each rate, the radius, the baseline, the worst and the minimal counterexample, and what of it matters."""
    arms = rates.arms(result.rate) if result.rate is not None else []
    found = [Detail("" if i else "rates", line, aligned=True) for i, line in enumerate(arms)]
    found += [Detail("radius", rates.radius(result.radius, result.rate))] if result.radius is not None else []
    if result.gate is not None:
        found.append(Detail("gate", f"{figures.standing(result.gate)}: {comparison.figures(result.gate)}"))
        if result.known and result.gate.standing is Standing.REGRESSED:
            found.append(Detail("", "(what follows is as the baseline has it; the gate refused its rate)"))
    if result.worst is not None and result.counterexample != result.worst:
        found += _found("worst", result.worst)
    if result.counterexample is not None:
        found += _found("minimal", result.counterexample)
        found += matters(result.counterexample)
    noted = dict.fromkeys(c.note for c in (result.worst, result.counterexample) if c is not None and c.note)
    found += [Detail("because", note) for note in noted]
    return found + ([Detail("rounding", said)] if (said := figures.rounding(result)) else [])


def curve(values: Sequence[float]) -> str:
    """Numbers as a line of bars, lowest to highest.

    >>> curve([0.0, 0.5, 1.0, 0.0])
    '▁▅█▁'
    """
    n = len(values)
    if n > POINTS:
        values = [values[round(i * (n - 1) / (POINTS - 1))] for i in range(POINTS)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BARS[round((v - low) / span * (len(BARS) - 1))] for v in values)


def _found(word: str, found: Counterexample) -> list[Detail]:
    """Its margin, where it lies, and each score: along a path as a line of bars."""
    paths = {name: scores for name, scores in found.scores.items() if len(scores) > 1}
    singles = {name: scores[0] for name, scores in found.scores.items() if len(scores) == 1}
    shown = sorted(singles, key=lambda name: -singles[name])[:SCORES] if len(singles) > SCORES else list(singles)
    width = max((cells(shortened(name, NAME)) for name in (*paths, *shown)), default=0)
    lines = [Detail(word, f"margin {found.margin:.4g}{where(found)}")]
    for name, scores in paths.items():
        drawn = f"{scores[0]:.3g} {curve(scores)} {scores[-1]:.3g}   (from {min(scores):.3g} to {max(scores):.3g})"
        lines.append(Detail("", f"{padded(shortened(name, NAME), width)}  {drawn}", aligned=True))
    lines += [Detail("", f"{padded(shortened(n, NAME), width)}  {singles[n]:.4g}", aligned=True) for n in shown]
    more = len(singles) - len(shown)
    return [*lines, Detail("", f"{ELLIPSIS} and {more:,} smaller ones")] if more else lines


def where(found: Counterexample) -> str:
    """At which place, choice and quantile of the prior a counterexample lies, to go on from its margin."""
    said = f", {found.under}" if found.under else ""
    if len(found.t) > 1 and (found.t[0], found.t[-1]) != (0.0, 1.0):
        said += f", from {found.t[0]:.2f} to {found.t[-1]:.2f} of the way"
    if chosen := choices(found):
        said += f", {chosen}"
    if found.typicality is not None:
        said += (
            f", typical of its prior (norm at quantile {found.typicality:.2f})"
            if _usual(found.typicality)
            else f", far out in its prior (norm at quantile {found.typicality:.4f})"
        )
    return said


def choices(found: Counterexample) -> str:
    """The choices of a counterexample by the names of their parts: `label=3`; a space that is a choice has no name."""
    if found.choices:
        return ", ".join(f"{name}={value}" if name else f"choice {value}" for name, value in found.choices.items())
    unnamed = ", ".join(map(str, found.probe.get("choices", ())))  # of a file that has no names
    return f"choice {unnamed}" if unnamed else ""


def _usual(quantile: float) -> bool:
    return 0.005 <= quantile <= 0.995


def matters(found: Counterexample) -> list[Detail]:
    """Which coordinates matter: those that the far end still changes."""
    if found.moved is not None:
        return _moved(found.moved, found)
    n = len(found.groups)
    if found.n_groups == 0:
        return []
    if n == 0:
        return [Detail("matters", "no coordinate: other samples fail as well")]
    if n == found.n_groups:
        return [Detail("changes", f"all {found.n_coordinates} coordinates of the latent")]
    return [Detail("matters", _coordinates(found.groups, found))]


def _moved(moved: Moved, found: Counterexample) -> list[Detail]:
    """How far an attack went from a sample, in which coordinates, and how that sample is looked at."""
    share = f"{moved.distance:.2g} of the way to an unrelated sample"
    return [
        Detail("moved", f"{share}, in {_coordinates(moved.groups, found)}"),
        Detail("from", f"{moved.start}, a sample of margin {moved.start_margin:.4g}"),
    ]


def _coordinates(groups: Sequence[str], found: Counterexample) -> str:
    if len(groups) == found.n_groups:
        return f"all {found.n_coordinates} coordinates"
    runs = _runs(groups)
    more = f" and {len(runs) - SHOWN} more runs" if len(runs) > SHOWN else ""
    said = f"{', '.join(runs[:SHOWN])}{more} of {found.n_coordinates}"
    return f"coordinates {said} ({len(groups)} of {found.n_groups} groups)"


def _runs(groups: Sequence[str]) -> list[str]:
    """Coordinate groups, those that adjoin joined into one.

    >>> _runs(["0..7", "8..15", "z[3]", "z[4]", "z[9]"])
    ['0..15', 'z[3..4]', 'z[9]']
    """
    runs: list[tuple[str, int, int]] = []
    for group in groups:
        part, _, span = group.rstrip("]").rpartition("[")
        low, _, high = span.partition("..")
        first, last = int(low), int(high or low)
        if runs and runs[-1][0] == part and runs[-1][2] == first - 1:
            runs[-1] = (part, runs[-1][1], last)
        else:
            runs.append((part, first, last))
    spans = [(part, f"{a}" if a == b else f"{a}..{b}") for part, a, b in runs]
    return [f"{part}[{span}]" if part else span for part, span in spans]
