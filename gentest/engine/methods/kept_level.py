"""The level of an attribute against the scores that a baseline keeps: `gentest.level`, and its record.

Without a baseline, the level is measured and compared with nothing. A blessing keeps the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gentest.attributes.attribute import fingerprint
from gentest.engine.cost import BudgetSpent
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.measuring import PYTHON, in_six_digits
from gentest.engine.evidence.subject import Subject
from gentest.engine.methods.quick_sample import Levels, decisive_tests
from gentest.gate import quick
from gentest.properties.level_limits import KeepsLevel
from gentest.results.comparison import Sample, Terms
from gentest.results.level_claim import Allowed, LevelClaim
from gentest.results.outcome import Verdict
from gentest.results.records import pack
from gentest.stats.levels import LevelTest, spread_of

ALPHA = 0.01
VERDICTS = {True: Verdict.HOLDS, False: Verdict.VIOLATED, None: Verdict.UNDECIDED}
NOTHING = (
    "there is no level to compare with: bless this checkpoint (gentest bless), and check a candidate with "
    "--gentest-baseline"
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class KeptLevel:
    """The record of a level, the verdict, and the scores for a baseline or a gate.

    `missing` is the number of latents that the run's budget left out, and `message` says why nothing was decided.
    """

    claim: LevelClaim
    verdict: Verdict
    sample: Sample
    missing: int = 0
    message: str = ""


def keep_level(
    context: Context,
    subject: Subject,
    keeps: KeepsLevel,
    seed: int,
    *,
    n: int,
    baseline: Sample | None,
    terms: Terms,
    blesses: bool,
    quick_gate: bool,
) -> KeptLevel:
    """The level on the first `n` latents of the seed; against a baseline, on as many of its latents as decide.

    `quick_gate` says that the gate decides all levels on so few latents.

    Raises `BudgetSpent` if the budget ends before two latents, or before a blessing has all of them.
    """
    name = keeps.limits.attribute
    levels = Levels(context, subject, {name: keeps.attribute}, seed if baseline is None else baseline.seed)
    before = quick.scores(None if baseline is None else baseline.look, name)
    if len(before):
        asked = decisive_tests(None if baseline is None else baseline.look, levels.attributes, terms, keeps.limits)
        missing = levels.take_until_decided(asked)
    else:
        missing = n - levels.take(n)
    if levels.n < 2 or (blesses and missing):
        raise BudgetSpent(context.budget.bound)
    now = np.array(levels.scores[name])
    codes = context.measuring.codes({name: keeps.attribute})
    sample = Sample(
        seed=levels.seed,
        generator=subject.fingerprint,
        space=subject.generator.latent.key,
        margins=pack([]),
        measures={name: fingerprint(context.measuring.bound(keeps.attribute))},
        look=levels.look,
        codes=codes,
        python=PYTHON if codes else "",
        quick=quick_gate,
        limits=keeps.limits,
    )
    if not len(before):
        verdict = Verdict.HOLDS if blesses else Verdict.UNDECIDED
        return KeptLevel(_measured(keeps, now), verdict, sample, missing, "" if blesses else NOTHING)
    test, _ = asked[name]
    claim, verdict = _compared(keeps, test, before, now)
    return KeptLevel(claim, verdict, sample, missing if verdict is Verdict.UNDECIDED else 0)


def _measured(keeps: KeepsLevel, now: Floats) -> LevelClaim:
    """The level of scores [n] that are compared with nothing."""
    sd = spread_of(now)
    falls, rises = (None if by is None else in_six_digits(by.of(sd)) for by in _sides(keeps))
    name, mean = keeps.limits.attribute, in_six_digits(float(now.mean()))
    return LevelClaim(name, mean, len(now), in_six_digits(sd), falls, rises)


def _compared(keeps: KeepsLevel, test: LevelTest, before: Floats, now: Floats) -> tuple[LevelClaim, Verdict]:
    """The level of the scores `now` [m] of the latents of `before` [n >= m], and the verdict."""
    decision, sd = quick.decided(test, before, now), spread_of(before)
    n = decision.n or len(now)
    low, high = test.interval(now[:n] - before[:n], ALPHA)
    falls, rises = (None if by is None else in_six_digits(by.of(sd)) for by in _sides(keeps))
    claim = LevelClaim(
        attribute=keeps.limits.attribute,
        candidate=in_six_digits(float(now[:n].mean())),
        latents=n,
        sd=in_six_digits(sd),
        falls_by=falls,
        rises_by=rises,
        stored=len(before),
        reference=in_six_digits(float(before[:n].mean())),
        low=in_six_digits(low),
        high=in_six_digits(high),
        each_end=1.0 - ALPHA,
        log_within=in_six_digits(decision.log_certified),
        log_beyond=in_six_digits(decision.log_refuted),
        needed_within=test.needed_certified,
        needed_beyond=test.needed_refuted,
    )
    return claim, VERDICTS[decision.holds]


def _sides(keeps: KeepsLevel) -> tuple[Allowed | None, Allowed | None]:
    return keeps.limits.falls_by, keeps.limits.rises_by
