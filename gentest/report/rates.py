"""What was decided of rates, of a radius and of a distribution, in words."""

from __future__ import annotations

from math import log

from gentest.report.numbers import interval, odds, percent, threshold
from gentest.result import WORST_FIRST, Distribution, Invariant, Radius, Rate, Verdict

SHOWN = 10


def rate(rate: Rate) -> str:
    """What was decided of a rate, with what that certifies, and both thresholds.

    >>> rate(Rate(Verdict.HOLDS, 0.95, 0.02, 0.99, 80, 80, 4096, 0.93, 1.0, 4.7, -3.2))
    'holds for at least 93 % of probes (0.95 less slack 0.02): 80 of 80 pass, 100 % [93 %, 100 %]'
    """
    if rate.arms and rate.verdict is not _weakest(rate).verdict:  # what decides is how the rates compare
        undecided = rate.verdict is Verdict.UNDECIDED
        return f"rates {'may ' if undecided else ''}differ between priors: " + "; ".join(map(invariant, rate.invariant))
    on = f" ({rate.arm})" if rate.arm else ""
    found = f"{rate.passes} of {rate.probes} pass{on}, {interval(rate.passes, rate.probes, rate.low, rate.high)}"
    certified = threshold(rate.p0 - rate.slack)
    if rate.verdict is Verdict.HOLDS:
        return f"holds for at least {certified} of probes ({rate.p0:g} less slack {rate.slack:g}): {found}"
    if rate.verdict is Verdict.VIOLATED:
        return f"holds for fewer than {threshold(rate.p0)} of probes (certified at {certified}): {found}"
    holds, violated = map(odds, needed(rate))
    needs = holds if holds == violated else f"{holds} and {violated} ({rate.claims} rates)"
    return (
        f"undecided between at least {certified} and fewer than {threshold(rate.p0)} of probes: {found}; "
        f"evidence {odds(rate.log_holds)} and {odds(rate.log_violated)}, needs {needs} (budget {rate.budget} probes)"
    )


def needed(rate: Rate) -> tuple[float, float]:
    """The log odds at which a rate holds, and at which it is violated; of earlier results, those of a single rate."""
    one = -log(1.0 - rate.confidence)
    holds, violated = rate.needed_holds, rate.needed_violated
    return one if holds is None else holds, one if violated is None else violated


def arms(rate: Rate) -> list[str]:
    """One line for each of several rates, and each comparison of two; the rate of the whole prior last."""
    width = max((len(arm.arm) for arm in rate.arms), default=0)
    lines = [
        f"{arm.verdict.value:<9} {arm.arm:<{width}}  {interval(arm.passes, arm.probes, arm.low, arm.high)} "
        f"of {arm.probes}"
        for arm in rate.arms
    ]
    lines += [invariant(found) for found in rate.invariant]
    return [*lines, f"overall   {percent(rate.overall)}"] if rate.overall is not None else lines


def brief(rate: Rate) -> str:
    """A rate in a line that says other things too."""
    certified = threshold(rate.p0 - rate.slack)
    shares = "".join(f"{arm.arm} {percent(arm.passes / max(arm.probes, 1))}, " for arm in rate.arms[:SHOWN])
    more = f"and {len(rate.arms) - SHOWN} more, " if len(rate.arms) > SHOWN else ""
    own = "" if rate.arms else f"{interval(rate.passes, rate.probes, rate.low, rate.high)} of {rate.probes}, "
    compared = "".join(f"; {invariant(found)}" for found in rate.invariant)
    return f"{own}{shares}{more}certified at {certified}, refuted below {threshold(rate.p0)}{compared}"


def invariant(found: Invariant) -> str:
    """Whether two rates differ, with the bounds of the difference."""
    words = {
        Verdict.HOLDS: f"differs by less than {threshold(found.delta)}",
        Verdict.VIOLATED: "differs",
        Verdict.UNDECIDED: f"is not known to differ, nor by less than {threshold(found.delta)}",
    }
    return (
        f"{found.arm} {words[found.verdict]}: within [{percent(found.low)}, {percent(found.high)}] "
        f"after {found.probes} pairs"
    )


def radius(found: Radius) -> str:
    """How far a property holds."""
    if found.certified == found.asked:
        return f"holds within radius {found.asked:.4g}, all that was asked"
    if not found.certified:
        return f"certified at no radius up to {found.asked:.4g} ({found.rays} rays)"
    said = f"certified within radius {found.certified:.4g} of {found.asked:.4g} ({found.rays} rays)"
    if found.confirmed is None:
        return said
    words = {Verdict.HOLDS: "confirmed", Verdict.VIOLATED: "refuted", Verdict.UNDECIDED: "not confirmed"}
    confirmed = found.confirmed
    figures = interval(confirmed.passes, confirmed.probes, confirmed.low, confirmed.high)
    return f"{said}, {words[confirmed.verdict]} by fresh ones: {figures} of {confirmed.probes}"


def distribution(found: Distribution, verdict: Verdict) -> str:
    """Outputs against a reference."""
    words = {
        Verdict.VIOLATED: "different from",
        Verdict.HOLDS: f"within MMD^2 {found.tolerance} of",
        Verdict.NO_COUNTEREXAMPLE: "not found different from",
        Verdict.UNDECIDED: f"neither different from nor certified within MMD^2 {found.tolerance} of",
    }
    return (
        f"{words.get(verdict, 'against')} {found.reference}: MMD^2 {found.mmd2:.4g} (p = {found.p:.3g}, "
        f"below {found.bound:.4g} with {threshold(1.0 - found.alpha)} confidence), "
        f"{found.n} outputs against {found.n_reference}"
    )


def _weakest(rate: Rate) -> Rate:
    return min(rate.arms, key=lambda arm: WORST_FIRST.index(arm.verdict))
