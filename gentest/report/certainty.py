"""How sure a run's verdicts are together, and which prior and seed they are of: said once for a whole run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from gentest.report import numbers
from gentest.report.layout import wrapped
from gentest.results.document import Document, Family
from gentest.results.result import Result, Verdict

SHOWN = 3
"""Priors that are named."""


def family(results: Sequence[Result]) -> Family | None:
    """The probability that any statistical verdict of a run is wrong; None where the run has none.

    A rate is one verdict, and a distribution; the comparison of priors is another, and a radius two: by rays, and by
    fresh probes. At most the sum of what each may err with is the probability that any does (Boole's inequality).
    """
    wrong = [(result.checkpoint, chance) for result in results for chance in _wrong(result)]
    if not wrong:
        return None
    each = max(chance for _, chance in wrong)
    checkpoints = len({result.checkpoint for result in results if result.checkpoint}) or 1
    return Family(
        verdicts=len(wrong),
        each=float(each),
        any_wrong=float(min(sum((chance for _, chance in wrong), Decimal()), Decimal(1))),
        checkpoints=checkpoints,
        chosen_wrong=float(min(checkpoints * each, Decimal(1))),
    )


def _wrong(result: Result) -> list[Decimal]:
    """What each statistical verdict of a result errs with, at the most."""
    if result.verdict is Verdict.ERROR:
        return []
    if result.distribution is not None:
        return [Decimal(repr(result.distribution.alpha))]
    if result.rate is None:
        return []
    by_rays = result.radius is not None and result.rate.verdict is not Verdict.HOLDS
    return (1 + bool(result.rate.invariant) + 2 * by_rays) * [1 - Decimal(repr(result.rate.confidence))]


def lines(document: Document) -> list[str]:
    """What there is to say once of a run: its prior and seed, its intervals, and all verdicts together.

    A gate weighs all claims together, and its table shows no intervals.
    """
    results, gated = document.results, document.gate is not None
    of_rates = [] if gated else [intervals(results), together(results)]
    return [said for said in (prior(results), *of_rates, reused(document)) if said]


def said(document: Document, width: int) -> list[str]:
    """The same in lines of a bounded width."""
    return [line for text in lines(document) for line in wrapped(text, width, rest=" " * 4)]


def prior(results: Sequence[Result]) -> str:
    """The priors of a run, how each is truncated, and the seeds of its probes.

    >>> prior([Result("t", "p", Verdict.HOLDS, provenance=Provenance(prior="Normal(4)", seed=0))])
    'prior: Normal(4), not truncated, seed 0'
    """
    looked = [result for result in results if result.prior]
    found = list(dict.fromkeys(map(_prior, looked)))
    if not found:
        return ""
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    seeds = list(dict.fromkeys(str(result.seed) for result in looked))
    return f"prior: {'; '.join(found[:SHOWN])}{more}, {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}"


def _prior(result: Result) -> str:
    return f"{result.prior}, {f'truncated: {result.truncation}' if result.truncation else 'not truncated'}"


def intervals(results: Sequence[Result]) -> str:
    """How sure the intervals of a table are: each end, and both together."""
    ends = sorted({result.rate.each_end for result in results if result.rate is not None})
    if not ends:
        return ""
    each = " or ".join(map(numbers.confidence, ends))
    both = " or ".join(numbers.confidence(max(2.0 * end - 1.0, 0.0)) for end in ends)
    return f"intervals: each end {each} confidence, both ends together {both}"


def together(results: Sequence[Result]) -> str:
    """How likely it is that any of several verdicts is wrong; empty where there is one, or none."""
    found = family(results)
    if found is None or found.verdicts < 2:
        return ""
    each, any_wrong = numbers.at_most(found.each), numbers.at_most(found.any_wrong)
    return (
        f"certainty: {found.verdicts} statistical verdicts, each wrong with a probability of at most {each}, "
        f"any of them with at most {any_wrong}"
    )


def reused(document: Document) -> str:
    """That one seed judges several checkpoints on the same probes, and what choosing among them takes.

    It is said where a run has a checkpoint, and something about it is decided statistically.
    """
    found, seeds = family(document.results), {r.seed for r in document.results if r.seed is not None}
    if not (found is not None or document.gate is not None) or document.session.checkpoint is None or len(seeds) != 1:
        return ""
    (of,) = seeds
    n = len(document.session.checkpoints)
    if n < 2:
        risk = "alpha" if document.gate is not None else "1 - confidence"
        return f"seed {of} judges every checkpoint on the same probes: to choose the best of k, divide {risk} by k"
    said = f"seed {of} judges all {n} checkpoints on the same probes"
    if found is None:
        return said
    each, chosen = numbers.at_most(found.each), numbers.at_most(found.chosen_wrong)
    return f"{said}: a verdict on the one that is chosen is wrong with a probability of at most {chosen}, not {each}"
