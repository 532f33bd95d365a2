"""The table that ends a run: a row for each result, the worst first, and below a row what does not fit into it.

Columns give way where there is less room: first the bounds of a rate, then the time, then the probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gentest.report import comparison, figures, rates
from gentest.report.layout import WIDEST, Line, cells, padded, shortened, wrapped
from gentest.results.comparison import Standing
from gentest.results.result import Attack, Result, Verdict

GAP = 2
NAMES = 40
"""Columns give way until the two names have as many cells."""
LEAST = 16
"""Of a gate's row even the verdict gives way before names have less."""


@dataclass(frozen=True)
class _Column:
    head: str
    text: Callable[[Result], str]
    right: bool = False
    name: bool = False
    """Whether its text is shortened where there is too little room."""
    least: int = 0
    """It is no narrower, so that the table looks alike from run to run."""


def table(
    results: Sequence[Result],
    *,
    width: int = WIDEST,
    verbose: bool = False,
    explained: Callable[[Result], bool] = lambda result: False,
    replay: Callable[[str], str] = lambda text: text,
) -> list[Line]:
    """A head, and a row for each result with what else there is to say; nothing where there are no results.

    `verbose` writes out names that were shortened and how each rate was decided. `explained` tells of which results
    everything was said above. `replay` is how a replay string is shown.
    """
    if not results:
        return []
    ordered = sorted(results, key=figures.severity)
    columns = _chosen(ordered, width)
    widths = _widths(columns, ordered, width)
    lines = [Line(_row([column.head for column in columns], columns, widths))]
    for result in ordered:
        texts = [column.text(result) for column in columns]
        lines.append(Line(_row(texts, columns, widths), result.outcome))
        cut = any(cells(t) > w for t, w, column in zip(texts, widths, columns, strict=True) if column.name)
        notes = [_full_name(result)] if verbose and cut else []
        notes += [] if explained(result) else _notes(result, replay, verbose=verbose)
        lines += [Line(text) for note in notes for text in wrapped(note, width, first=" " * 4, rest=" " * 6) if text]
    return lines


def _chosen(results: Sequence[Result], width: int) -> list[_Column]:
    """As many columns as leave the names enough room."""
    files = {result.test.partition("::")[0] for result in results}
    on = any(result.checkpoint for result in results)
    gated = any(result.gate is not None for result in results)
    names = [
        _Column("test", lambda r: r.test.partition("::")[2] or r.test if len(files) == 1 else r.test, name=True),
        *([_Column("checkpoint", lambda r: r.checkpoint, name=True)] if on else []),
        _Column("property", lambda r: r.property, name=True),
    ]
    verdicts = [*([_Column("gate", _standing)] if gated else []), _Column("verdict", figures.verdict)]
    if gated:
        probes = _Column("probes", lambda r: f"{r.gate.probes:,}" if r.gate is not None else "", right=True)
        measures = [_Column("rate before -> now", lambda r: figures.change(r.gate) if r.gate is not None else "")]
    else:
        probes = _Column("probes", lambda r: figures.probes(r).partition(" (")[0], right=True)
        measures = [_Column("margin or rate", figures.measure), _Column("margin or rate", figures.brief)]
    seconds = _Column("time", figures.seconds, right=True, least=len("100.0 s"))
    chosen: list[_Column] = []
    for figures_shown in ([probes, m, seconds] for m in measures):
        chosen = [*verdicts, *names, *figures_shown]
        if _room(chosen, results, width) >= NAMES:
            return chosen
    for gone in (seconds, probes):
        chosen = [column for column in chosen if column is not gone]
        if _room(chosen, results, width) >= NAMES:
            break
    if gated and _room(chosen, results, width) < LEAST:
        chosen = [column for column in chosen if column is not verdicts[-1]]
    return chosen


def _room(columns: Sequence[_Column], results: Sequence[Result], width: int) -> int:
    """How many cells are left for names; no less than `NAMES` where all of them fit."""
    taken = [_widest(column, results) for column in columns if not column.name]
    left = width - sum(taken) - GAP * (len(columns) - 1)
    fits = left >= sum(_widest(column, results) for column in columns if column.name)
    return max(left, NAMES) if fits else left


def _widths(columns: Sequence[_Column], results: Sequence[Result], width: int) -> list[int]:
    """A column's own width; names share what the others leave, the short ones first."""
    own = [_widest(column, results) for column in columns]
    names = sorted((w, i) for i, (column, w) in enumerate(zip(columns, own, strict=True)) if column.name)
    left = width - GAP * (len(columns) - 1) - sum(w for i, w in enumerate(own) if not columns[i].name)
    for n, (w, i) in enumerate(names):
        own[i] = max(len(columns[i].head), min(w, left // (len(names) - n)))
        left -= own[i]
    return own


def _widest(column: _Column, results: Sequence[Result]) -> int:
    return max(len(column.head), column.least, *(cells(column.text(result)) for result in results))


def _row(texts: Sequence[str], columns: Sequence[_Column], widths: Sequence[int]) -> str:
    filled = (
        padded(shortened(text, width), width, right=column.right)
        for text, column, width in zip(texts, columns, widths, strict=True)
    )
    return (" " * GAP).join(filled).rstrip()


def _standing(result: Result) -> str:
    return "-" if result.gate is None else figures.standing(result.gate)


def _full_name(result: Result) -> str:
    return f"{result.test}  {result.property}" + (f" on {result.checkpoint}" if result.checkpoint else "")


def _notes(result: Result, replay: Callable[[str], str], *, verbose: bool) -> Iterator[str]:
    """What a row has no column for."""
    if result.verdict is Verdict.ERROR:
        yield result.message.partition("\n")[0]
    if result.gate is not None and (result.gate.message or result.gate.standing is not Standing.HELD):
        yield comparison.figures(result.gate)
    if result.distribution is not None and result.verdict is not Verdict.ERROR:
        yield rates.distribution(result.distribution, result.verdict)
    if result.rate is not None and (verbose or result.rate.arms):
        yield rates.brief(result.rate)
    if seen := figures.inputs(result):
        yield f"looked at {seen}"
    if result.radius is not None:
        yield rates.radius(result.radius, result.rate)
    if result.counterexample is not None:
        rated = "a counterexample all the same" if result.passed else "a counterexample"
        yield f"{rated}: --gentest-replay {replay(result.counterexample.replay)}"
    if result.attack is not None:
        yield _attacked(result.attack)
    if verbose and result.decided_alone:
        yield figures.rounding(result)
    if verbose and (said := figures.audited(result)):
        yield said


def _attacked(attack: Attack) -> str:
    if attack.message:
        return f"not attacked: {attack.message}"
    found = "found" if attack.found else "none"
    return f"{found} under attack ({attack.method}, {attack.probes:,} probes, smallest margin {attack.least:.4g})"
