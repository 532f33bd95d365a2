"""Figures of all outputs together: a share, the codes in use, a statistic, each with bounds and a verdict.

A share and the codes in use are decided by sequential tests (`gentest.stats.shares`) on the independent latents that a
rate looks at too. The tests look at fixed places, so verdict and figures are the same at any batch size. A statistic is
one value of a fixed number of outputs, and the bootstrap bounds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentest.attributes.attribute import describe, fingerprint
from gentest.engine.cost import BudgetSpent
from gentest.engine.evidence.measuring import PYTHON, in_six_digits
from gentest.engine.evidence.observed import Observed
from gentest.engine.methods.problem import Arm, Problem, arms_of
from gentest.errors import AttributeFailed, GentestError, PropertyFailed
from gentest.properties.all_outputs import ALPHA, CodesInUse, ShareBetween, StatisticWithin
from gentest.properties.definition import OfAll
from gentest.results.comparison import Sample
from gentest.results.estimate import Bounding, OverallEstimate
from gentest.results.outcome import RATE_VERDICTS, Verdict
from gentest.results.records import applies, pack
from gentest.stats.quantiles import bootstrap_bounds
from gentest.stats.rates import looks_at
from gentest.stats.shares import ShareDecision, ShareTest

VERDICTS = {True: Verdict.HOLDS, False: Verdict.VIOLATED, None: Verdict.UNDECIDED}
RESAMPLES = 1_999


def estimate_share(problem: Problem, stated: ShareBetween) -> OverallEstimate:
    """The share of outputs that are as `stated` says; with several groups, that of the worst and of each.

    Raises `BudgetSpent` if the run's budget ends first.
    """
    arms = arms_of(problem.judge, stated.each)
    test = stated.test_among(len(arms))
    found = [_share_of(problem, stated, test, arm) for arm in arms]
    worst = min(found, key=lambda one: (RATE_VERDICTS.index(one.verdict), -one.distance))
    return worst if len(found) == 1 else replace(worst, arms=tuple(found))


def _share_of(problem: Problem, stated: ShareBetween, test: ShareTest, arm: Arm) -> OverallEstimate:
    """The share within one group."""
    stream, budget = problem.stream(), problem.values.budget
    outcomes: NDArray[np.int8] = np.empty(0, np.int8)  # 1 is yes, 0 is no, -1 says that the property does not apply
    decision = ShareDecision(None, 0, 0)
    while decision.holds is None and (drawn := len(outcomes)) < budget:
        probes = arm.probes(stream.probes(drawn, min(problem.block, budget - drawn)))
        margins = problem.within_budget(arm.margins, probes)
        if not margins:
            raise BudgetSpent(problem.judge.context.budget.bound)
        new = np.array([margin >= 0 if applies(margin) else -1 for margin in margins], np.int8)
        outcomes = np.concatenate([outcomes, new])
        decision = test.decide(outcomes[outcomes >= 0] == 1, ends=len(outcomes) == budget)
        problem.watch(len(outcomes), 0)
    low, high = test.interval(decision)
    evaluated = len(outcomes)
    if decision.holds is not None:
        evaluated = int(np.flatnonzero(outcomes >= 0)[decision.n - 1]) + 1
    return OverallEstimate(
        verdict=VERDICTS[decision.holds],
        figure=stated.figure,
        value=decision.yes / decision.n if decision.n else 0.0,
        low=low,
        high=high,
        each_end=1.0 - (test.alpha if decision.holds else test.alpha_beyond),
        outputs=decision.n,
        budget=budget,
        alpha=ALPHA,
        bounding=Bounding.ANY_TIME,
        at_least=stated.low or None,
        at_most=stated.high if stated.high < 1.0 else None,
        counted=decision.yes,
        of=decision.n,
        drawn=evaluated if stated.asked.scope is not None else None,
        arm=arm.name if stated.each else "",
    )


def estimate_codes(problem: Problem, stated: CodesInUse) -> OverallEstimate:
    """The share of the codebook that is in use. Raises `AttributeFailed` for codes that are not from 0 to k - 1."""
    test, k, budget = stated.test, stated.k, problem.values.budget
    first_seen = np.full(k, budget + 1)  # the number of outputs after which each code was seen
    n, holds, looked = 0, None, 0
    for evidence in _samples(problem, budget):
        rows = _codes(evidence, stated)
        for row in rows:
            n += 1
            first_seen[np.unique(row)] = np.minimum(first_seen[np.unique(row)], n)
        for look in looks_at(n, ends=n == budget).tolist():
            if look > looked and holds is None:
                looked, holds = look, test.decide(int((first_seen <= look).sum()), look)
        problem.watch(n, 0)
        if holds is not None:
            break
    seen = int((first_seen <= looked).sum())
    return OverallEstimate(
        verdict=VERDICTS[holds],
        figure=f"share of {k:,} codes in use ({describe(stated.encode)})",
        value=seen / k,
        low=seen / k,
        high=test.most_in_use(seen, looked) / k,
        each_end=1.0 - ALPHA,
        outputs=looked,
        budget=budget,
        alpha=ALPHA,
        bounding=Bounding.ANY_TIME,
        at_least=stated.at_least,
        counted=seen,
        of=k,
    )


def _codes(evidence: Observed, stated: CodesInUse) -> NDArray[np.int64]:
    """The codes [n, D] of some outputs."""
    name = describe(stated.encode)
    if evidence.bounded and stated.arguments.get("encoder") is None:
        raise AttributeFailed("the outputs have a range, so they are no codes: give uses_codes(encoder, ...)")
    rows = evidence.features(stated.encode)[:, 0].double().cpu().numpy()
    codes = np.rint(rows)
    wrong = rows[(codes != rows) | (codes < 0) | (codes >= stated.k)]
    if wrong.size:
        raise AttributeFailed(f"{name} gave {wrong[0]:.6g}; expected whole numbers from 0 to {stated.k - 1}")
    return np.asarray(codes, np.int64)


def estimate_statistic(problem: Problem, stated: StatisticWithin) -> OverallEstimate:
    """The statistic of the first outputs of the seed, with its bootstrap. Raises `PropertyFailed` if it fails."""
    rows = torch.cat([_rows(evidence, stated) for evidence in _samples(problem, stated.n)])

    def value_at(indices: NDArray[np.int64] | None) -> float:
        return _value(stated, rows if indices is None else rows[torch.from_numpy(indices)])

    value = value_at(None)
    low, high = bootstrap_bounds(value_at, stated.n, alpha=ALPHA, seed=problem.values.seed, resamples=RESAMPLES)
    low, high = min(low, value), max(high, value)
    above = stated.at_least is None or low >= stated.at_least
    under = stated.at_most is None or high <= stated.at_most
    beyond = (stated.at_least is not None and high < stated.at_least) or (
        stated.at_most is not None and low > stated.at_most
    )
    return OverallEstimate(
        verdict=Verdict.HOLDS if above and under else Verdict.VIOLATED if beyond else Verdict.UNDECIDED,
        figure=stated.name,
        value=in_six_digits(value),
        low=in_six_digits(low),
        high=in_six_digits(high),
        each_end=1.0 - ALPHA,
        outputs=stated.n,
        budget=stated.n,
        alpha=ALPHA,
        bounding=Bounding.BOOTSTRAP,
        at_least=stated.at_least,
        at_most=stated.at_most,
    )


def _rows(evidence: Observed, stated: StatisticWithin) -> Tensor:
    """The rows [n, ...] of some outputs: scores [n], a feature [n, D], or the outputs themselves."""
    if stated.of is None:
        return evidence.images[:, 0].cpu()
    return evidence.measured(evidence.bound(stated.of))[:, 0].cpu()


def _value(stated: StatisticWithin, rows: Tensor) -> float:
    """The value of a statistic. Raises `PropertyFailed` if it raises, or gives anything but a finite number."""
    try:
        result: Any = stated.function(rows)
        value = float(result)
    except GentestError:
        raise
    except Exception as error:
        raise PropertyFailed(
            f"{stated} raised {type(error).__name__}: {error} (for rows {tuple(rows.shape)})"
        ) from error
    if isinstance(result, bool) or not isfinite(value):
        raise PropertyFailed(f"{stated} gave {result!r} for rows {tuple(rows.shape)}; expected a finite number")
    return value


def _samples(problem: Problem, n: int) -> Iterator[Observed]:
    """The evidence of the stream's first `n` latents, block after block."""
    judge, stream, taken = problem.judge, problem.stream(), 0
    while taken < n:
        size = min(problem.block, n - taken)
        evidence = judge.context.evidence(judge.subject, judge.definition.probes, stream.probes(taken, size))
        judge.context.maker.audit.judged(evidence.measurements, None)
        yield evidence
        taken += size


def estimate_sample(problem: Problem, stated: OfAll) -> Sample:
    """What a baseline keeps to tell that a candidate was measured in the same way; it has no margins."""
    measuring, subject = problem.judge.context.measuring, problem.judge.subject
    things = {describe(measure.thing): measure.thing for measure in stated.measures}
    codes = measuring.codes(things)
    return Sample(
        seed=problem.values.seed,
        generator=subject.fingerprint,
        space=subject.generator.latent.key,
        margins=pack([]),
        measures={name: fingerprint(measuring.bound(thing)) for name, thing in things.items()},
        spreads={},
        codes=codes,
        python=PYTHON if codes else "",
    )
