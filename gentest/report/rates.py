"""What was decided of rates, of a radius and of a distribution, in words.

Only what is certified is said to be: a rate that holds is certified at p0 less its slack, one that is violated below
p0, and an undecided one at nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from gentest.report import numbers
from gentest.report.numbers import bounds, needed_odds, odds, threshold
from gentest.results.result import Distribution, Invariant, Radius, Rate, Verdict

SHOWN = 10


def rate(rate: Rate) -> str:
    """What was decided of a rate, with what that certifies, its bounds, and the evidence that is missing.

    >>> print(rate(Rate(Verdict.HOLDS, 0.95, 0.02, 0.99, 80, 80, 4096, 0.93, 1.0, 4.7, -3.2, 4.6, 4.6, 0.99)))
    holds for at least 93 % of probes (0.95 less slack 0.02): 80 of 80 pass, 100 % [93 %, 100 %], each end 99 %
    """
    weakest = rate.weakest
    if rate.verdict is not weakest:  # what decides is how the rates compare
        said = "rates may differ" if rate.verdict is Verdict.UNDECIDED else "rates differ"
        return f"{said} between priors: " + "; ".join(invariant(found, rate) for found in rate.invariant)
    on = f" ({rate.arm})" if rate.arm else ""
    found = f"{rate.passes} of {rate.probes} pass{on}, {interval(rate)}{inputs(rate.distinct, rate.inputs)}"
    asked, certifies = threshold(rate.p0), threshold(rate.certifiable)
    if rate.verdict is Verdict.HOLDS:
        return f"holds for at least {certifies} of probes ({rate.p0:g} less slack {rate.slack:g}): {found}"
    if rate.verdict is Verdict.VIOLATED:
        return f"holds for fewer than {asked} of probes: {found}"
    among = f" ({rate.claims} rates)" if rate.claims > 1 else ""
    return (
        f"undecided between at least {certifies} and fewer than {asked} of probes: {found}; "
        f"evidence {odds(rate.log_holds)} for at least {certifies}, needs {needed_odds(rate.needed_holds)}; "
        f"{odds(rate.log_violated)} for fewer than {asked}, needs {needed_odds(rate.needed_violated)}{among}; "
        f"budget {rate.budget} probes{_too_few(rate)}"
    )


def interval(rate: Rate) -> str:
    """The share of probes that pass with its bounds, and how sure each of them is."""
    return f"{share(rate)} {bounds(rate.low, rate.high)}, each end {numbers.confidence(rate.each_end)}"


def _counted(rate: Rate) -> str:
    """The same with how many probes it is of, and how many distinct inputs those are."""
    seen = inputs(rate.distinct, rate.inputs)
    bounded = f"{share(rate)} {bounds(rate.low, rate.high)} of {rate.probes}"
    return f"{bounded}{seen}, each end {numbers.confidence(rate.each_end)}"


def share(rate: Rate) -> str:
    """The share of probes that pass, rounded up where the rate is violated, and else down."""
    return numbers.observed(rate.passes, rate.probes, up=rate.verdict is Verdict.VIOLATED)


def holds(rates: Sequence[Rate]) -> str:
    """The verdict of rates that hold, with what is certified of each.

    >>> holds([Rate(Verdict.HOLDS, 0.95, 0.02, 0.99, 80, 80, 4096, 0.93, 1.0, 4.7, -3.2, 4.6, 4.6, 0.99)])
    'holds >= 93 %'
    """
    return f"holds >= {threshold(min(rate.certifiable for rate in rates))}"


def inputs(distinct: int | None, of: int | None) -> str:
    """How many distinct inputs some probes were, to go on from how many probes; empty where there is no end to them.

    >>> inputs(3, 3), inputs(2, 3), inputs(42, None), inputs(None, None)
    (', all 3 of 3 distinct inputs', ', 2 of 3 distinct inputs', ', 42 distinct inputs', '')
    """
    if distinct is None:
        return ""
    if of is None:
        return f", {distinct:,} distinct inputs"
    return f", {'all ' if distinct == of else ''}{distinct:,} of {of:,} distinct inputs"


def _too_few(rate: Rate) -> str:
    """That no outcome of the budget could have certified the rate, where that is so."""
    if rate.fewest is None or rate.fewest <= rate.budget:
        return ""
    return f", and {rate.fewest:,} that all pass are the fewest that certify {threshold(rate.certifiable)}"


def arms(rate: Rate) -> list[str]:
    """One line for each of several rates, and each comparison of two; the rate of the whole prior last."""
    width = max((len(arm.arm) for arm in rate.arms), default=0)
    words = [holds([arm]) if arm.verdict is Verdict.HOLDS else arm.verdict.value for arm in rate.arms]
    column = max(map(len, ["overall", *words]))
    lines = [
        f"{word:<{column}}  {arm.arm:<{width}}  {_counted(arm)}" for word, arm in zip(words, rate.arms, strict=True)
    ]
    lines += [invariant(found, rate) for found in rate.invariant]
    return lines if rate.overall is None else [*lines, f"{'overall':<{column}}  {overall(rate, rate.overall)}"]


def overall(rate: Rate, share: float) -> str:
    """The rate of the whole prior, rounded as that of each of its values."""
    return numbers.at_most(share) if rate.verdict is Verdict.VIOLATED else numbers.at_least(share)


def brief(rate: Rate) -> str:
    """A rate in a line that says other things too."""
    shares = "".join(f"{arm.arm} {share(arm)}, " for arm in rate.arms[:SHOWN])
    more = f"and {len(rate.arms) - SHOWN} more, " if len(rate.arms) > SHOWN else ""
    own = f"{_counted(rate)}, "
    compared = "".join(f"; {invariant(found, rate)}" for found in rate.invariant)
    return f"{'' if rate.arms else own}{shares}{more}{certified(rate)}{compared}"


def certified(rate: Rate) -> str:
    """What is certified of a rate, or of each of several: at least so much, less than so much, or nothing."""
    verdict = rate.weakest
    asked, certifies = threshold(rate.p0), threshold(rate.certifiable)
    if verdict is Verdict.HOLDS:
        return f"certified at {certifies}"
    return f"refuted: below {asked}" if verdict is Verdict.VIOLATED else f"at least {certifies} not certified"


def invariant(found: Invariant, rate: Rate) -> str:
    """Whether two rates differ, with the bounds of the difference."""
    words = {
        Verdict.HOLDS: f"differs by less than {threshold(found.delta)}",
        Verdict.VIOLATED: "differs",
        Verdict.UNDECIDED: f"is not known to differ, nor by less than {threshold(found.delta)}",
    }
    return (
        f"{found.arm} {words[found.verdict]}: within {bounds(found.low, found.high)}, "
        f"each end {numbers.confidence(rate.confidence)}, after {found.probes} pairs"
    )


def radius(found: Radius, rate: Rate | None) -> str:
    """How far a property holds, whose rate within all that was asked is `rate`; only fresh probes certify a radius."""
    asked, within, confirmed = f"{found.asked:.10g}", numbers.below(found.certified, 4), found.confirmed
    rays = f"{within} of {asked} ({found.rays} rays)"
    if not found.certified:
        return f"certified at no radius up to {asked} ({found.rays} rays)"
    if confirmed is None:
        return f"rays reach radius {rays}"
    if confirmed.verdict is not Verdict.HOLDS:
        word = "refuted" if confirmed.verdict is Verdict.VIOLATED else "not confirmed"
        return f"rays reach radius {rays}, {word} by fresh ones: {_counted(confirmed)}"
    at_least = f"for at least {threshold(confirmed.certifiable)} of probes"
    if rate is not None and rate.verdict is Verdict.HOLDS:
        return f"holds within radius {asked}, all that was asked, {at_least}"
    return f"certified within radius {rays}, confirmed {at_least} by fresh ones: {_counted(confirmed)}"


def distribution(found: Distribution, verdict: Verdict) -> str:
    """Outputs against a reference."""
    words = {
        Verdict.VIOLATED: "different from",
        Verdict.HOLDS: f"within MMD^2 {found.tolerance} of",
        Verdict.NO_COUNTEREXAMPLE: "not found different from",
        Verdict.UNDECIDED: f"neither different from nor certified within MMD^2 {found.tolerance} of",
    }
    p, bound = numbers.above(found.p, 3), numbers.above(found.bound, 4)
    return (
        f"{words.get(verdict, 'against')} {found.reference}: {distance(found, verdict)} (p = {p}, "
        f"below {bound} with {numbers.confidence(1.0 - found.alpha)} confidence), "
        f"{found.n} outputs against {found.n_reference}"
    )


def distance(found: Distribution, verdict: Verdict) -> str:
    """How far outputs are from a reference: rounded down where that they differ is claimed, and else up."""
    rounded = numbers.below if verdict is Verdict.VIOLATED else numbers.above
    return f"MMD^2 {rounded(found.mmd2, 4)}"
