"""Several checkpoints side by side: property by property, and the order that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from gentest.report import figures
from gentest.report.numbers import at_least, at_most
from gentest.results.result import Result, Verdict


def table(results: Sequence[Result]) -> list[str]:
    """One line a checkpoint, best first, then each property with the share of its probes that hold on each.

    The best has the most properties that pass, then the lowest mean rank over the properties, then the greater median
    margins. In a property, checkpoints rank by the share of probes that hold. Nothing for a run of one checkpoint.
    """
    checkpoints = list(dict.fromkeys(r.checkpoint for r in results if r.checkpoint))
    if len(checkpoints) < 2:
        return []
    rows: dict[str, dict[str, Result]] = {}
    for result in results:
        if result.checkpoint:
            rows.setdefault(f"{result.test}  {result.property}", {})[result.checkpoint] = result
    ranks = {c: [_rank(row, c) for row in rows.values()] for c in checkpoints}
    passed = {c: sum(c in row and row[c].passed for row in rows.values()) for c in checkpoints}
    mean = {c: sum(found) / len(found) for c, found in ranks.items()}
    order = sorted(
        checkpoints, key=lambda c: (-passed[c], mean[c], sum(_rank(row, c, by=_margin) for row in rows.values()))
    )
    width = max(map(len, order))
    lines = ["checkpoints, best first:"]
    for place, checkpoint in enumerate(order, start=1):
        n = f"{passed[checkpoint]} of {len(rows)} properties pass"
        lines.append(f"{place:>3}. {checkpoint:<{width}}  {n}, mean rank {mean[checkpoint]:.2f}")
    for name, row in rows.items():
        lines.append(name)
        for checkpoint in sorted(order, key=lambda c: _rank(row, c)):
            lines.append(f"{_rank(row, checkpoint):>3}. {checkpoint:<{width}}  {_figures(row.get(checkpoint))}")
    return lines


def share(result: Result) -> float:
    """The share of probes that hold: of independent ones where there is a rate, else of those the search drew.

    Of a distribution, 1 less its distance from the reference: what is nearer ranks higher.
    """
    if result.distribution is not None:
        return 1.0 - result.distribution.mmd2
    if result.rate is not None and result.rate.probes:
        return result.rate.passes / result.rate.probes
    return 1.0 - result.violations / result.examples if result.examples else 0.0


def _margin(result: Result) -> float:
    return result.margin.median if result.margin is not None else 0.0


def _rank(row: dict[str, Result], checkpoint: str, by: Callable[[Result], float] = share) -> int:
    """1 for the best; equals share a rank, and what was not decided comes last."""

    def standing(result: Result | None) -> float:
        return -by(result) if result is not None and result.verdict is not Verdict.ERROR else inf

    own = standing(row.get(checkpoint))
    return 1 + sum(standing(other) < own for other in row.values())


def _figures(result: Result | None) -> str:
    if result is None:
        return "not checked"
    if result.verdict is Verdict.ERROR:
        return "error"
    words = figures.verdict(result)
    if result.distribution is not None:
        return f"{figures.measure(result)}  {words}"
    median = "" if result.margin is None else f", median margin {result.margin.median:.4g}"
    rounded = at_most if result.verdict is Verdict.VIOLATED else at_least
    return f"{rounded(share(result))}  {words}{median}"
