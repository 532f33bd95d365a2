"""A gate for images that take seconds: levels on the same latents, and what a property's own verdict leaves open.

A baseline of a slow generator keeps the scores of some hundred outputs by each attribute of its properties. A candidate
makes the same latents, eight at a look, until each level is certified to have moved by less than half a standard
deviation, or to have fallen or risen at all (`gentest.stats.levels`). All attributes share the images.

Outcomes of single latents come with these images, and are compared as in any gate: they refuse. But some hundred of
them rarely certify that a rate has not fallen by 0.05, and a path takes nine images. So a property that they do not
decide is left to its own verdict: a rate that holds is certified, and "no counterexample" passes as it does without a
baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from gentest.gate.looks import look_key
from gentest.results.comparison import Drift, Gate, Look, Sample, Standing, Terms
from gentest.results.level_claim import Allowed, LevelLimits
from gentest.results.outcome import Verdict
from gentest.results.records import unpack
from gentest.results.result import Result
from gentest.stats.levels import TOLERANCE, LevelDecision, LevelTest, spread_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DriftClaim:
    """A claim of drift, or about a level of a quick gate, with its p-value."""

    drift: Drift
    p: float


def either_side(attribute: str) -> LevelLimits:
    """The limits of a level that no property declares: half a standard deviation to either side."""
    allowed = Allowed(TOLERANCE, in_sd=True)
    return LevelLimits(attribute, allowed, allowed)


def level_test(before: Floats, limits: LevelLimits, *, alpha: float, claims: int, candidates: int) -> LevelTest:
    """The test of a level against the scores [n] that a baseline keeps."""
    sd = spread_of(before)
    falls_by, rises_by = (None if by is None else by.of(sd) for by in (limits.falls_by, limits.rises_by))
    return LevelTest.against(
        before, falls_by=falls_by, rises_by=rises_by, alpha=alpha, claims=claims, candidates=candidates
    )


def scores(look: Look | None, name: str) -> Floats:
    """The scores [n] by an attribute; none if the look does not have them."""
    packed = None if look is None else look.levels.get(name)
    return np.array([] if packed is None else unpack(packed, name))


def decided(test: LevelTest, before: Floats, now: Floats) -> LevelDecision:
    """The decision on the scores `now` [m] of the latents of `before` [n >= m]."""
    n = min(len(before), len(now))
    return test.decide(now[:n] - before[:n], ends=n == len(before))


def weigh_level(result: Result, before: Sample, now: Sample, limits: LevelLimits, known: Gate, terms: Terms) -> Gate:
    """The standing of a level that a property declares, which is decided from the scores on both sides alone."""
    was, seen = scores(before.look, limits.attribute), scores(now.look, limits.attribute)
    if not len(was) or not len(seen):
        return replace(known, message=f"there are no scores of {limits.attribute} on both sides to compare")
    test = level_test(was, limits, alpha=terms.alpha, claims=terms.claims, candidates=terms.checkpoints)
    decision = decided(test, was, seen)
    n = decision.n
    moved = float(seen[:n].mean() - was[:n].mean()) / spread_of(was) if n else 0.0
    return replace(
        known,
        standing=_standing(decision),
        message=f"{moved:+.3g} of the baseline's sd on {n} of {len(was)} latents",
        log_regressed=_weighed(decision, test),
        log_held=decision.log_certified,
        needed=log(terms.claims / terms.alpha),
        needed_held=test.needed_certified,
        final=False,
    )


def _standing(decision: LevelDecision) -> Standing:
    return {True: Standing.HELD, False: Standing.REGRESSED, None: Standing.UNDECIDED}[decision.holds]


def _weighed(decision: LevelDecision, test: LevelTest) -> float:
    """The log evidence that the level moved, divided by the number of sides to which it may."""
    return max(0.0, decision.log_refuted - log(test.sides))


def left_to_verdict(result: Result, gate: Gate) -> Gate:
    """The standing of a property whose outcomes on both sides decide nothing, by its own verdict."""
    if gate.standing is not Standing.UNDECIDED:
        return gate
    n, lost = gate.probes, gate.losses - gate.wins
    compared = f"{gate.losses} lost and {gate.wins} won of {n} probes" if n else "no outcomes were compared"
    own = replace(gate, own=True, certified=False)
    if result.verdict is Verdict.HOLDS:
        certain = "its own rate is certified" if result.rate is not None else "it holds on all inputs"
        return replace(own, standing=Standing.HELD, certified=True, message=f"{certain}; {compared}")
    if result.verdict is Verdict.NO_COUNTEREXAMPLE:
        return replace(own, standing=Standing.HELD, message=f"no counterexample; {compared}")
    if result.verdict is Verdict.VIOLATED and result.rate is None:
        if replace(result, gate=gate).known:
            standing = Standing.HELD if lost <= 0 else Standing.UNDECIDED
            return replace(own, standing=standing, message=f"violated, as when it was blessed; {compared}")
        return replace(own, standing=Standing.REGRESSED, message=f"violated, and not when it was blessed; {compared}")
    return replace(own, message=f"neither its own verdict nor its outcomes decide: {compared}; bless on more probes")


def claimed_levels(samples: Sequence[Sample]) -> dict[str, set[str]]:
    """The attributes whose levels a property declares, by the outputs that they are of."""
    claimed: dict[str, set[str]] = {}
    for sample in samples:
        if sample.limits is not None:
            claimed.setdefault(look_key(sample), set()).add(sample.limits.attribute)
    return claimed


def compare_levels(before: Look, now: Look, tests: tuple[str, ...], terms: Terms) -> list[DriftClaim]:
    """The levels of two looks, before all claims are weighed."""
    found = []
    for name in sorted(before.levels.keys() & now.levels.keys()):
        was, seen = scores(before, name), scores(now, name)
        test = level_test(was, either_side(name), alpha=terms.alpha, claims=terms.claims, candidates=terms.checkpoints)
        decision, sd = decided(test, was, seen), spread_of(was)
        n, evidence = decision.n, _weighed(decision, test)
        drift = Drift(
            f"level of {name}",
            tests,
            drifted=decision.holds is False,
            log_evidence=evidence,
            needed=test.needed_refuted - log(test.sides),
            probes=n,
            mean=float((seen[:n] - was[:n]).mean() / sd) if n else 0.0,
            certain_at=n if decision.holds is False else 0,
            tolerance=TOLERANCE,
            held=decision.holds is True,
            log_held=decision.log_certified,
            needed_held=test.needed_certified,
            stored=len(was),
        )
        found.append(DriftClaim(drift, exp(-evidence)))
    return found
