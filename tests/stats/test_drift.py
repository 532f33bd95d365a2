"""Drift of levels: it is seen soon, noise within the null never fires it, and the evidence is the formula's.

Simulations use fixed seeds, none of them chosen.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gentest.errors import InvalidArgument
from gentest.stats.drift import CLIP, NULL, LevelDrift, level_drift, p_of_mean, spread_bound
from gentest.stats.levels import log_mean_above
from gentest.stats.paired import log_mean_wealth

ALPHA = 0.01
THRESHOLD = math.log(2.0 / ALPHA)


def test_wealths_next_to_nothing_are_nothing_where_numpy_is_told_to_raise() -> None:
    """What a caller makes of underflow, with `np.seterr`, does not matter to a bettor that has lost nearly all."""
    with np.errstate(all="raise"):
        assert log_mean_wealth(np.linspace(0.0, -11e3, 12)) == pytest.approx(-math.log(12))


@pytest.mark.parametrize("mean", [0.1, -0.1, 0.0])
@pytest.mark.parametrize("half_width", [0.5, 2.8])
def test_a_mean_within_the_null_seldom_fires(mean: float, half_width: float) -> None:
    """Of 2,000 runs of 1,024 latents whose mean moved by 0.1 at most, at most alpha are called a drift at any time."""
    rng = np.random.default_rng(1)
    runs = (level_drift(mean + rng.uniform(-half_width, half_width, 1024)) for _ in range(2000))
    assert sum(run.p <= ALPHA for run in runs) <= ALPHA * 2000


@pytest.mark.parametrize(("sd", "within"), [(0.1, 100), (0.5, 150), (1.0, 300)])
@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_a_shift_of_half_a_deviation_is_seen_soon(shift: float, sd: float, within: int) -> None:
    """Nine of ten runs see a shift of .5 sd within 100 to 300 latents, by how much else moved."""
    rng = np.random.default_rng(2)
    runs = [level_drift(rng.normal(shift, sd, within)) for _ in range(200)]
    assert sum(run.p <= ALPHA for run in runs) >= 180
    assert all(math.copysign(1.0, run.mean) == math.copysign(1.0, shift) for run in runs)


def test_rounding_can_never_fire() -> None:
    """Differences within 0.1 sd are no evidence at all, whatever their number and however one-sided they are."""
    noise = np.random.default_rng(3).uniform(-NULL, NULL, 100_000)
    for differences in (noise, np.abs(noise), np.full(100_000, NULL), np.zeros(100_000)):
        drift = level_drift(differences)
        assert (drift.log_evidence, drift.p) == (0.0, 1.0)


def test_one_outlier_counts_as_three_deviations() -> None:
    """A difference beyond three deviations, an infinite one too, counts as three."""
    clipped = level_drift(np.array([CLIP, -CLIP, 0.5]))
    assert level_drift(np.array([1e9, -np.inf, 0.5])) == clipped
    assert clipped.mean == pytest.approx(0.5 / 3)


def test_a_drift_down_is_the_mirror_of_one_up() -> None:
    """Turning every difference round turns the mean round, and leaves the evidence."""
    differences = np.random.default_rng(4).normal(0.4, 1.0, 200)
    up, down = level_drift(differences), level_drift(-differences)
    assert down.mean == -up.mean
    assert (down.log_evidence, down.p, down.probes) == (up.log_evidence, up.p, up.probes)


def test_evidence_once_reached_is_kept() -> None:
    """The evidence is the most there was after any latent: it never falls as latents are added."""
    differences = np.concatenate([np.full(80, 1.0), np.full(400, -0.05)])
    evidence = [level_drift(differences[:n]).log_evidence for n in range(0, 481, 20)]
    assert evidence == sorted(evidence)
    assert evidence[-1] == level_drift(differences[:80]).log_evidence > THRESHOLD


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_drift_is_certain_at_the_first_latent_that_makes_it_so(side: float) -> None:
    """Where evidence is just what is needed after a latent, it is certain at that one, and stays so when it falls."""
    differences = side * np.array([1.0] * 20 + [-1.0] * 20)
    path = log_mean_above(side * differences, NULL, -CLIP)
    for n in (1, 7, 20):
        assert level_drift(differences, log_needed=float(path[n - 1])).certain_at == n
    beyond = math.nextafter(float(path[19]), math.inf)
    assert level_drift(differences, log_needed=beyond).certain_at == level_drift(differences).certain_at == 0


def test_evidence_of_one_latent_is_by_hand() -> None:
    """A difference d is wealth 1 + lam (d - .1) / 3.1 on average: at d = 3, with lam .03 to .999 of mean .2984, 1.2791.

    On the other side it is 1 + lam (-d - .1) / 3.1, which at d = 3 is all that can be lost.
    """
    mean = np.geomspace(0.03, 0.999, 12).mean()
    assert mean == pytest.approx(0.2984, abs=1e-4)
    drift = level_drift([3.0])  # type: ignore[arg-type]
    assert (drift.mean, drift.p, drift.probes) == (3.0, 1.0, 1)
    assert drift.log_evidence == pytest.approx(math.log(1.0 + mean * 2.9 / 3.1))
    assert np.exp(log_mean_above(np.array([-3.0]), NULL, -CLIP)) == pytest.approx(1.0 - mean)


def test_single_precision_is_counted_in_double() -> None:
    """Levels come as float32: what is computed of them is what would be of the same numbers in double precision."""
    single = np.array([0.1, 0.7, -0.3] * 20, dtype=np.float32)
    assert level_drift(single) == level_drift(single.astype(np.float64))
    double = log_mean_above(single.astype(np.float64), NULL, -CLIP)
    assert log_mean_above(single, NULL, -CLIP).tolist() == double.tolist()


def test_p_is_two_over_the_evidence() -> None:
    """The p-value is 2 / evidence, 1 at the most, and evidence beyond any float makes it 0 without an overflow."""
    some = level_drift(np.full(40, 0.5))
    assert some.p == pytest.approx(2.0 / math.exp(some.log_evidence))
    assert level_drift(np.full(1, 0.5)).p == 1.0
    assert level_drift(np.full(10_000, 3.0)).p == 0.0


def test_no_latents_are_no_evidence() -> None:
    """Without differences there is no drift, and the p-value is 1."""
    assert level_drift(np.zeros(0)) == LevelDrift(mean=0.0, log_evidence=0.0, p=1.0, probes=0)


def test_a_difference_that_is_no_number_is_refused() -> None:
    """A NaN among the differences is misuse, never dropped."""
    said = r"^Expected differences without NaN but got differences=array\(\[0\.1, nan\]\) .*; a baseline whose scores"
    with pytest.raises(InvalidArgument, match=said):
        level_drift(np.array([0.1, math.nan]))


@pytest.mark.parametrize(("bound", "low"), [(0.1, -3.0), (0.0, -1.0), (0.5, 0.0)])
def test_evidence_of_a_mean_is_the_mean_wealth_of_the_wagers(bound: float, low: float) -> None:
    """After each value the evidence is the plain mean of products over the grid of fractions."""
    values = np.random.default_rng(5).uniform(low, 1.0, 30)
    fractions = np.geomspace(0.03, 0.999, 12) / (bound - low)
    wealth = [np.mean(np.prod(1 + fractions * (values[:n, None] - bound), axis=0)) for n in range(1, 31)]
    np.testing.assert_allclose(log_mean_above(values, bound, low), np.log(wealth))


def test_a_value_below_its_least_is_refused() -> None:
    """Evidence of a mean needs values that are none of them below `low`, and a bound above it."""
    for least in (-1.1, math.nan):
        said = rf"^Expected values >= low=-1\.0, none of them NaN but got min\(values\)={least} "
        with pytest.raises(InvalidArgument, match=said):
            log_mean_above(np.array([0.0, least]), 0.0, -1.0)
    with pytest.raises(InvalidArgument, match=r"^Expected a bound above low=-1\.0 but got bound=-1\.0 "):
        log_mean_above(np.array([0.0]), -1.0, -1.0)


def test_a_bound_of_a_deviation_is_its_formula() -> None:
    """It solves (bound - mean w)^2 = z^2 (var w + max w (bound - mean w)) / n for the mean of squared deviations."""
    scores = np.random.default_rng(6).lognormal(size=60)
    w = (scores - scores.mean()) ** 2
    beyond = spread_bound(scores) ** 2 - w.mean()
    assert beyond > 0.0
    assert beyond**2 == pytest.approx(stats.norm.ppf(0.0025) ** 2 * (w.var() + w.max() * beyond) / 60)
    assert spread_bound(np.full(9, 0.25)) == spread_bound(np.zeros(0)) == 0.0
    assert spread_bound(7.0 * scores + 3.0) == pytest.approx(7.0 * spread_bound(scores))


def test_a_bound_of_a_deviation_is_seldom_below_it() -> None:
    """Of 1,000 samples of 512, one in 400 at most has a bound below the deviation that it was drawn with."""
    rng = np.random.default_rng(7)
    for draw, sd in ((rng.standard_normal, 1.0), (rng.standard_exponential, 1.0)):
        below = sum(spread_bound(draw(512)) < sd for _ in range(1000))
        assert below <= stats.binom.ppf(0.999, 1000, 0.0025)


def test_a_p_value_of_a_mean_is_a_t_test_freed_of_skewness() -> None:
    """Without skewness it is Student's; with it, the statistic is Hall's cubic; both ends are one test's mirror."""
    even = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) + 0.9
    t = stats.ttest_1samp(even, NULL, alternative="greater")
    assert p_of_mean(even) == pytest.approx(2 * t.pvalue)
    skewed = np.minimum(np.random.default_rng(8).standard_exponential(40) - 0.4, CLIP)
    a = (skewed.mean() - NULL) / skewed.std(ddof=1)
    g = (((skewed - skewed.mean()) / skewed.std(ddof=1)) ** 3).mean()
    statistic = math.sqrt(40) * (((1 + g * a / 3) ** 3 - 1) / g + g / 240)
    assert p_of_mean(skewed) == pytest.approx(2 * stats.t.sf(statistic, 39)) == p_of_mean(-skewed)
    assert p_of_mean(np.append(skewed, np.inf)) == p_of_mean(np.append(skewed, CLIP)) < 1.0
    assert p_of_mean(np.full(9, 0.05)) == p_of_mean(np.full(9, NULL)) == p_of_mean(np.array([5.0])) == 1.0
    assert p_of_mean(np.full(9, -0.25)) == 0.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_skewed_differences_with_a_mean_of_zero_are_no_drift(sign: float) -> None:
    """Clipping moves their mean, and the wagers alone would call a fifth of these a drift."""
    rng = np.random.default_rng(9)
    by_wagers = by_both = 0
    for _ in range(400):
        differences = sign * 6.0 * (rng.lognormal(0.0, 1.5, 512) - math.exp(1.125)) / 8.97
        p = level_drift(differences).p
        by_wagers += p <= ALPHA
        by_both += max(p, p_of_mean(differences)) <= ALPHA
    assert by_wagers > 40
    assert by_both <= stats.binom.ppf(0.99, 400, ALPHA)
