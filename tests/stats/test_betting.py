"""The alarm for a watched rate: it rings soon after a fall, and hardly ever in a healthy run of any length."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, poisson

from gentest.errors import InvalidArgument
from gentest.stats.betting import RateAlarm, reference_rate

RUNS, CHECKS, PROBES = 200, 50, 64


def rung(alarm: RateAlarm, passes: NDArray[np.int64], probes: int) -> NDArray[np.bool_]:
    """For each run of counts [runs, checks], True if its alarm rang."""
    return np.asarray((alarm.log_evidence(passes, probes) >= alarm.needed).any(-1))


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.95, 0.99])
def test_healthy_runs_ring_in_at_most_one_of_a_hundred(rate: float) -> None:
    """200 runs at the very edge of the null, 50 checks each, are at most 2 false alarms at alpha = 1 %."""
    rng = np.random.default_rng(22)
    alarm = RateAlarm(rate, 0.01)
    counts = rng.binomial(PROBES, rate, size=(RUNS, CHECKS))
    assert rung(alarm, counts, PROBES).sum() <= 2


def test_the_bound_holds_for_long_runs_and_a_large_alpha() -> None:
    """2,000 runs of 300 checks at alpha = 20 %: the false alarms are not certainly more, and some there are."""
    rng = np.random.default_rng(1)
    alarm = RateAlarm(0.9, 0.2)
    n_rung = rung(alarm, rng.binomial(8, 0.9, size=(2000, 300)), 8).sum()
    assert 0 < n_rung <= binom.ppf(0.999, 2000, 0.2)


def test_its_mean_under_the_null_is_one() -> None:
    """E_t is a martingale at the edge of the null: the sum over all outcomes of a check gives the value before it."""
    alarm = RateAlarm(0.8, 0.01)
    outcomes = np.arange(5)
    chances = binom.pmf(outcomes, 4, 0.8)
    before = math.exp(alarm.log_evidence([3, 4], [4, 4])[-1])
    after = sum(
        p * math.exp(alarm.log_evidence([3, 4, k], [4, 4, 4])[-1]) for k, p in zip(outcomes, chances, strict=True)
    )
    assert after == pytest.approx(before, rel=1e-12)
    first = sum(p * math.exp(alarm.log_evidence([k], [4])[-1]) for k, p in zip(outcomes, chances, strict=True))
    assert first == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(("after", "within"), [(0.0, 1), (0.5, 1), (0.8, 6)])
def test_a_fall_rings_soon_even_after_a_long_healthy_time(after: float, within: int) -> None:
    """After 1,000 healthy checks, a rate that falls from 0.97 is seen within a few checks in 99 of 100 runs."""
    rng = np.random.default_rng(3)
    alarm = RateAlarm(0.95, 0.01)
    healthy, fallen = rng.binomial(PROBES, 0.97, size=(100, 1000)), rng.binomial(PROBES, after, size=(100, within))
    assert not rung(alarm, healthy, PROBES).any()
    assert rung(alarm, np.concatenate([healthy, fallen], axis=1), PROBES).sum() >= 99


def test_it_stays_rung() -> None:
    alarm = RateAlarm(0.95, 0.01)
    assert alarm.rings([20, *[64] * 200], [64] * 201)


def test_a_reference_is_a_lower_bound_of_the_mean_rate() -> None:
    """Of windows whose rate rises, at most the stated share has a bound above the mean rate."""
    rng = np.random.default_rng(5)
    rates = np.array([0.7, 0.8, 0.9, 0.98])
    passes = rng.binomial(PROBES, rates, size=(20_000, 4)).sum(1)
    bounds = np.array([reference_rate(k, 4 * PROBES, 0.05) for k in range(4 * PROBES + 1)])[passes]
    wrong = int((bounds > rates.mean()).sum())
    assert 0 < wrong <= poisson.ppf(0.999, 1000)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"a rate in .* but got rate=1\.0"):
        RateAlarm(1.0, 0.01)
    with pytest.raises(InvalidArgument, match="alpha"):
        RateAlarm(0.9, 1.0)
    with pytest.raises(InvalidArgument, match="passes"):
        RateAlarm(0.9, 0.01).log_evidence([5], [4])
    with pytest.raises(InvalidArgument, match="from 0 to probes=9"):
        reference_rate(10, 9, 0.01)
