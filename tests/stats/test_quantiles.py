"""Tolerance bounds: the rank is Wilks's, the bound covers as often as it says, and misuse is refused."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gentest.errors import InvalidArgument
from gentest.stats.quantiles import least_n, lower_bound, upper_bound, upper_rank

RUNS = 4000
SAMPLED = {
    "normal": (stats.norm.rvs, stats.norm.ppf),
    "heavy": (stats.cauchy.rvs, stats.cauchy.ppf),
    "atoms": (
        lambda size, random_state: stats.binom.rvs(4, 0.5, size=size, random_state=random_state),
        lambda q: stats.binom.ppf(q, 4, 0.5),
    ),
}


def at_most(share: float) -> float:
    """The number of failures in `RUNS` that a true chance of `share` exceeds with a probability of 1 %."""
    return float(stats.binom.ppf(0.99, RUNS, share))


@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.parametrize(("share", "confidence", "n"), [(0.95, 0.99, 128), (0.95, 0.9, 512), (0.5, 0.95, 32)])
def test_the_bound_covers_as_often_as_it_says(name: str, share: float, confidence: float, n: int) -> None:
    """The bound is below the true quantile in no more than 1 - confidence of all runs, for any distribution."""
    draw, quantile = SAMPLED[name]
    rng = np.random.default_rng(20261125)
    values: NDArray[np.float64] = np.asarray(draw(size=(RUNS, n), random_state=rng), dtype=np.float64)
    bounds = np.sort(values, axis=1)[:, upper_rank(n, share, confidence) - 1]
    assert [upper_bound(row, share, confidence) for row in values[:8]] == bounds[:8].tolist()
    assert (bounds < quantile(share)).sum() <= at_most(1.0 - confidence)


def test_a_rank_two_lower_does_not_cover() -> None:
    """The calibration can fail: an order statistic a little under the bound misses more often than it may."""
    share, confidence, n = 0.95, 0.99, 128
    rank = upper_rank(n, share, confidence)
    values = np.sort(np.random.default_rng(20261125).normal(size=(RUNS, n)), axis=1)
    assert (values[:, rank - 3] < stats.norm.ppf(share)).sum() > at_most(1.0 - confidence)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("confidence", [0.05, 0.5, 0.9, 0.99, 0.999])
def test_the_rank_is_the_smallest_that_is_sure_enough(share: float, confidence: float) -> None:
    """By Beta's distribution function of the share under an order statistic, at the fewest draws and at more."""
    least = least_n(share, confidence)
    assert 1.0 - share**least >= confidence
    assert least == 1 or 1.0 - share ** (least - 1) < confidence
    for n in (least, least + 1, 3 * least + 7):
        rank = upper_rank(n, share, confidence)
        assert 1 <= rank <= n
        assert stats.beta.sf(share, rank, n - rank + 1) >= confidence
        assert rank == 1 or stats.beta.sf(share, rank - 1, n - rank + 2) < confidence


def test_the_order_of_the_values_does_not_matter() -> None:
    """The bound is an order statistic: it is one of the values, whatever their order."""
    values = np.random.default_rng(3).normal(size=200)
    bound = upper_bound(values, 0.9, 0.95)
    assert bound in values
    assert bound == upper_bound(values[::-1], 0.9, 0.95)
    assert (values <= bound).sum() == upper_rank(200, 0.9, 0.95)
    assert lower_bound(-values, 0.9, 0.95) == -bound


def test_any_kind_of_number_will_do() -> None:
    """Unsigned bytes, which have no negatives, and fractions, which are no floats, are bounded as other numbers are."""
    rank = upper_rank(200, 0.9, 0.95)
    small = np.arange(1, 201, dtype=np.uint8)
    assert (upper_bound(small, 0.9, 0.95), lower_bound(small, 0.9, 0.95)) == (rank, 201 - rank)
    thirds = [Fraction(k, 3) for k in range(1, 201)]
    assert upper_bound(thirds, 0.9, 0.95) == rank / 3  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), True, "0.9", None])
def test_shares_and_confidences_are_checked(value: object) -> None:
    """Only numbers above 0 and below 1 are probabilities here."""
    with pytest.raises(InvalidArgument, match=rf"^Expected a probability in \(0, 1\) but got share={value!r} "):
        upper_rank(100, value, 0.9)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=rf"^Expected a probability in \(0, 1\) but got confidence={value!r} "):
        upper_rank(100, 0.9, value)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, -1, 89, 90.0, True, "100"])
def test_too_few_draws_say_how_many_it_takes(n: object) -> None:
    """A sample whose largest value is no such bound yet is refused, with the size that will do."""
    said = rf"^Expected a whole number >= 90, for 0\.95 of a distribution with confidence 0\.99 but got n={n!r} "
    with pytest.raises(InvalidArgument, match=said):
        upper_rank(n, 0.95, 0.99)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [[np.nan] * 100, [np.inf] * 100, [[0.0] * 100]])
def test_values_are_finite_and_in_one_row(bad: list[object]) -> None:
    """A value that is none is no bound."""
    said = f"Expected finite values [n] but got shape {np.shape(bad)}, ["
    with pytest.raises(InvalidArgument, match=f"^{re.escape(said)}"):
        upper_bound(bad, 0.9, 0.9)  # type: ignore[arg-type]
