"""Laws of a sequential rate: the outcomes decide, in their order, and nothing of how they were cut into blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gentest.engine.methods.rate import decide_arms
from gentest.properties.definition import AtRate, RateInvariance
from gentest.results.result import Verdict
from gentest.stats.rates import LOOK, RateTest
from tests.helpers.law import tried_on

RANK = {False: 0, None: 1, True: 2}
P0 = st.sampled_from([0.05, 0.3, 0.5, 0.9, 0.95, 0.99])
SLACK = st.none() | st.sampled_from([0.0, 0.01])
ALPHA = st.sampled_from([0.001, 0.01, 0.1])


@st.composite
def outcomes(draw: st.DrawFn, most: int = 400) -> NDArray[np.bool_]:
    """Outcomes in runs of different shares, so that tests stop early, late and never."""
    found: list[bool] = []
    for _ in range(draw(st.integers(1, 4))):
        share = draw(st.sampled_from([0.0, 0.5, 0.85, 0.9, 0.97, 1.0]))
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        found += (rng.random(draw(st.integers(1, most // 4))) < share).tolist()
    return np.array(found, dtype=np.bool_)


def asked_of(rows: NDArray[np.bool_]) -> Callable[[int, int], list[bool]]:
    """Whether probes hold, from outcomes that are known."""
    return lambda start, n: rows[start : start + n].tolist()


@tried_on(60)
@given(st.lists(outcomes(), min_size=1, max_size=10), P0)
def test_the_figures_of_a_rate_do_not_contradict_its_verdict(rows: list[NDArray[np.bool_]], p0: float) -> None:
    """Undecided: less evidence than is needed for either, and bounds around the asked rate. Decided: the evidence."""
    budget = min(map(len, rows))
    whole = decide_arms(AtRate(p0), {str(i): asked_of(row) for i, row in enumerate(rows)}, budget=budget, block=LOOK)
    for rate in whole.arms or (whole,):
        assert rate.claims == len(rows)
        assert rate.needed_holds == pytest.approx(np.log(100.0))
        assert rate.needed_violated == pytest.approx(np.log(100.0 * len(rows)))
        if rate.verdict is Verdict.UNDECIDED:
            assert rate.low <= p0 <= rate.high
            assert rate.log_holds < rate.needed_holds
            assert rate.log_violated < rate.needed_violated
        elif rate.verdict is Verdict.HOLDS:
            assert rate.log_holds >= rate.needed_holds
        else:
            assert rate.log_violated >= rate.needed_violated
            assert rate.high <= p0


@pytest.mark.parametrize("n", [5, 15, 39, 45])
def test_the_last_probe_of_a_budget_is_looked_at(n: int) -> None:
    """A budget that is no multiple of 16 is evaluated to its end: what could decide there, does."""
    for holds, fewest in ((False, 5), (True, 39)):
        rate = decide_arms(AtRate(0.9), {"": asked_of(np.full(n, holds))}, budget=n, block=7)
        decided = Verdict.HOLDS if holds else Verdict.VIOLATED
        assert rate.verdict is (decided if n >= fewest else Verdict.UNDECIDED)
        assert rate.probes == next((look for look in (LOOK, 2 * LOOK) if fewest <= look <= n), n)
        assert rate.log_holds == RateTest(0.9, 0.04, 0.01).log_holds(rate.passes, rate.probes)


def test_the_last_pair_of_a_budget_is_looked_at() -> None:
    """Two priors are compared on all of a budget, too."""
    arms = {"a": asked_of(np.ones(200, dtype=np.bool_)), "b": asked_of(np.ones(200, dtype=np.bool_))}
    whole = decide_arms(AtRate(0.5), arms, budget=150, block=64, invariance=RateInvariance(0.04))
    (pair,) = whole.invariant
    assert pair.probes == 150


@tried_on(30)
@given(
    st.lists(outcomes(), min_size=1, max_size=3), P0, st.integers(1, 300), st.integers(1, 300), st.none() | st.just(0.2)
)
def test_no_block_size_changes_a_rate(
    rows: list[NDArray[np.bool_]], p0: float, one: int, other: int, delta: float | None
) -> None:
    """Verdict, counts, bounds and evidence are the same in any blocks, of one arm and of several, compared or not."""
    budget = min(map(len, rows))
    arms = {str(i): asked_of(row) for i, row in enumerate(rows)}
    invariance = None if delta is None or len(rows) == 1 else RateInvariance(delta)
    found = [decide_arms(AtRate(p0), arms, budget=budget, block=n, invariance=invariance) for n in (one, other, LOOK)]
    assert found[0] == found[1] == found[2]


@tried_on(30)
@given(outcomes(), outcomes(), P0, SLACK, ALPHA)
def test_a_decision_stays_whatever_follows(
    first: NDArray[np.bool_], more: NDArray[np.bool_], p0: float, slack: float | None, alpha: float
) -> None:
    """Once holding or refuted, a rate is so for ever, at the same look: never is it both."""
    test = RateTest(p0, 0.4 * min(p0, 1 - p0) if slack is None else slack, alpha)
    before, after = test.first_decision(first), test.first_decision(np.concatenate([first, more]))
    assert before.holds is None or after == before
    assert after.probes % LOOK == 0
    assert after.holds is test.decide(after.passes, after.probes)


@tried_on(30)
@given(outcomes(), st.data(), P0, ALPHA)
def test_no_decision_gets_worse_where_more_passes(
    rows: NDArray[np.bool_], data: st.DataObject, p0: float, alpha: float
) -> None:
    """Outcomes of which some pass besides decide for the property no less, and no later where they decided for it."""
    test = RateTest(p0, 0.4 * min(p0, 1 - p0), alpha)
    better = rows.copy()
    better[list(data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1)))] = True
    worse, found = test.first_decision(rows), test.first_decision(better)
    assert RANK[found.holds] >= RANK[worse.holds]
    assert not worse.holds or found.probes <= worse.probes


@tried_on(25)
@given(st.integers(0, 200), st.integers(1, 200), st.integers(2, 20), ALPHA)
def test_an_interval_shrinks(passes: int, n: int, times: int, alpha: float) -> None:
    """So many times the counts bound the same share more closely, and less certainty bounds it more closely, too."""
    passes = min(passes, n)
    test = RateTest(0.5, 0.0, alpha)
    low, high = test.interval(passes, n)
    assert 0.0 <= low <= passes / n <= high <= 1.0
    assert low < high
    nearer = test.interval(times * passes, times * n)
    assert low <= nearer[0] + 1e-9
    assert nearer[1] <= high + 1e-9
    assert nearer[1] - nearer[0] < high - low
    bolder = replace(test, alpha=min(0.5, 5 * alpha)).interval(passes, n)
    assert low <= bolder[0] + 1e-9
    assert bolder[1] <= high + 1e-9


@tried_on(25)
@given(st.integers(0, 400), st.integers(1, 400), P0, ALPHA)
def test_the_opposite_of_a_rate_is_the_opposite(passes: int, n: int, p0: float, alpha: float) -> None:
    """That a property fails at most so often is what its opposite holding at least so often is: bounds are mirrored."""
    passes = min(passes, n)
    low, high = RateTest(p0, 0.0, alpha).interval(passes, n)
    other = RateTest(p0, 0.0, alpha).interval(n - passes, n)
    assert (1 - other[1], 1 - other[0]) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


@tried_on(25)
@given(outcomes(), P0, P0)
def test_a_lower_rate_is_no_harder_to_reach(rows: NDArray[np.bool_], one: float, other: float) -> None:
    """What holds at a rate is not refuted at a lower one, and what is refuted at one does not hold at a higher one."""
    low, high = sorted((one, other))
    lower, higher = (
        decide_arms(AtRate(p, slack=0.0), {"": asked_of(rows)}, budget=len(rows), block=64).verdict for p in (low, high)
    )
    assert (lower, higher) != (Verdict.VIOLATED, Verdict.HOLDS)
