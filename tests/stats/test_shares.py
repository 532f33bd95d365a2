"""Tests of a share on both sides and of the codes in use: how often they are wrong, and when they decide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from gentest.errors import InvalidArgument
from gentest.stats.shares import CodesTest, ShareDecision, ShareTest

RUNS = 2_000
BUDGET = 1_024
MOST_WRONG = int(binom.ppf(1 - 1e-6, RUNS, 0.01))
"""Wrong runs of 2,000 that chance explains at a probability of 1 %."""


def decisions(test: ShareTest, share: float, *, seed: int) -> dict[bool | None, int]:
    """How many of the runs at a true share end in each verdict."""
    rng = np.random.default_rng([seed, round(1000 * share)])
    found = [test.decide(rng.random(BUDGET) < share, ends=True).holds for _ in range(RUNS)]
    return {verdict: found.count(verdict) for verdict in (True, False, None)}


@pytest.mark.parametrize(
    "between",
    [
        pytest.param((0.3, 0.7), marks=pytest.mark.slow),
        pytest.param((0.1, 0.3), marks=pytest.mark.slow),
        pytest.param((0.5, 0.9), marks=pytest.mark.slow),
        pytest.param((0.2, 0.5), marks=pytest.mark.slow),
        (0.95, 1.0),
        (0.0, 0.95),
        (0.3, 1.0),
    ],
)
def test_a_share_at_an_end_is_seldom_decided_wrongly(between: tuple[float, float]) -> None:
    """At either end both verdicts are wrong or may be; neither happens in more than 1 % of 2,000 runs."""
    test = ShareTest(*between, alpha=0.01)
    for share in between:
        if 0.0 < share < 1.0:
            found = decisions(test, share, seed=1)
            assert found[True] <= MOST_WRONG
            assert found[False] <= MOST_WRONG


@pytest.mark.parametrize("share", [0.3, 0.5, 0.95])
def test_a_share_inside_is_found_and_one_outside_too(share: float) -> None:
    """At shares of .3, .5 and .95, a range around it holds and one beside it is violated, in all but 1 % of runs."""
    inside = decisions(ShareTest(share - 0.2, min(share + 0.2, 1.0), alpha=0.01), share, seed=2)
    assert inside[True] > 0.98 * RUNS
    assert inside[False] <= MOST_WRONG
    beside = (share - 0.3, share - 0.15)
    outside = decisions(ShareTest(*((0.0, 0.15) if share < 0.31 else beside), alpha=0.01), share, seed=3)
    assert outside[False] > 0.98 * RUNS
    assert outside[True] <= MOST_WRONG


def test_the_count_of_wrong_runs_can_fail() -> None:
    """A test that looks every 16 outcomes at fixed-size bounds is wrong far more often."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(RUNS):
        yes = np.cumsum(rng.random(BUDGET) < 0.3)[15::16]
        n = np.arange(16, BUDGET + 1, 16)
        wrong += bool((binom.cdf(yes, n, 0.3) < 0.01).any())
    assert wrong > 2 * MOST_WRONG


@pytest.mark.parametrize("claims", [1, 4])
def test_the_interval_lies_in_the_range_exactly_if_the_test_holds(claims: int) -> None:
    test = ShareTest(0.3, 0.7, alpha=0.01, claims=claims)
    rng = np.random.default_rng(5)
    for share in rng.random(60):
        decision = test.decide(rng.random(512) < share, ends=True)
        low, high = test.interval(decision)
        assert low <= decision.yes / decision.n <= high
        if decision.holds is None:
            continue
        inside, outside = low >= 0.3 - 1e-9 and high <= 0.7 + 1e-9, high < 0.3 + 1e-9 or low > 0.7 - 1e-9
        assert (inside, outside) == (decision.holds, not decision.holds)


def test_more_outcomes_never_change_a_decision() -> None:
    test, rng = ShareTest(0.3, 0.7, alpha=0.01), np.random.default_rng(6)
    outcomes = rng.random(600) < 0.55
    whole = test.decide(outcomes, ends=True)
    assert whole.holds is True
    assert test.decide(outcomes[: whole.n], ends=False) == whole
    assert test.decide(outcomes[:7], ends=False) == ShareDecision(None, 0, 0)


@pytest.mark.parametrize(
    "between", [(0.7, 0.3), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (0.0, 1.0), ("a", 1), (math.nan, 1)]
)
def test_what_is_no_range_is_refused(between: tuple[float, float]) -> None:
    with pytest.raises(InvalidArgument, match="not all of it"):
        ShareTest(*between, alpha=0.01)


# codes


@pytest.mark.parametrize(("k", "fewest"), [(64, 64), (64, 58), (1024, 922)])
def test_codes_that_are_just_in_use_are_seldom_called_dead(k: int, fewest: int) -> None:
    """Exactly `fewest` codes are in 1 % of outputs each, and no other is: too few is wrong, in at most 1 % of runs."""
    test, rng, wrong = CodesTest(k, fewest, rarely=0.01, alpha=0.01), np.random.default_rng(7), 0
    looks = np.arange(16, test.most_outputs + 32, 16)
    for _ in range(RUNS):
        first = rng.geometric(0.01, size=fewest)
        seen = np.searchsorted(np.sort(first), looks, side="right")
        found = next(
            (d for s, n in zip(seen, looks, strict=True) if (d := test.decide(int(s), int(n))) is not None), None
        )
        wrong += found is False
        assert found is not None
    assert wrong <= MOST_WRONG


def test_half_a_codebook_is_found_dead_long_before_the_last_look() -> None:
    """512 of 1,024 codes occur, and 922 should: certain after 550 outputs. Other bounds hold at any time."""
    test = CodesTest(1024, 922, rarely=0.01, alpha=0.01)
    n = next(n for n in range(16, 4096, 16) if test.decide(512, n) is False)
    assert n == 544
    assert test.most_in_use(512, 16) == 1024
    assert test.most_in_use(512, n) < 922
    assert test.most_in_use(512, 4000) == 512
    assert test.decide(922, 16) is True
    assert test.decide(921, 16) is None
    assert test.decide(921, test.most_outputs) is False
    assert test.decide(0, 512) is False


@pytest.mark.parametrize("wrong", [dict(k=0), dict(fewest=0), dict(fewest=9), dict(rarely=0.0), dict(alpha=1.0)])
def test_codes_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        CodesTest(**{"k": 8, "fewest": 8, "rarely": 0.01, "alpha": 0.01, **wrong})  # type: ignore[arg-type]
