"""Two samples: the test keeps its level, sees shifts and collapses, and is the same on every machine.

Simulations use fixed seeds, none of them chosen.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gentest.errors import InvalidArgument
from gentest.stats import two_sample
from gentest.stats.two_sample import WIDTHS, TwoSample, mmd_test

CENTRES = np.random.default_rng(99).normal(0.0, 1.5, size=(8, 16))


def modes(rng: np.random.Generator, n: int, *, spread: float = 1.0) -> NDArray[np.float64]:
    """Samples [n, 16] of eight modes, each of this spread, that are hardly further apart than they are wide."""
    return CENTRES[rng.integers(8, size=n)] + spread * rng.standard_normal((n, 16))


def test_samples_of_one_distribution_are_seldom_different() -> None:
    """Of 1,000 pairs of samples alike in distribution, no more are different at .05 than the binomial allows."""
    rng = np.random.default_rng(1)
    pairs = ((rng.standard_normal((24, 3)), rng.standard_normal((32, 3))) for _ in range(1000))
    n_different = sum(mmd_test(x, y, permutations=99, seed=i).p <= 0.05 for i, (x, y) in enumerate(pairs))
    assert stats.binom.ppf(1e-4, 1000, 0.05) <= n_different <= stats.binom.ppf(1.0 - 1e-4, 1000, 0.05)


def test_a_shift_is_seen() -> None:
    """A shift of a third of a deviation in each of 16 dimensions is seen at 256 a side, every time of ten."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        assert mmd_test(rng.standard_normal((256, 16)), rng.standard_normal((256, 16)) + 0.33).p == 0.002


def test_a_collapse_within_modes_is_seen() -> None:
    """Modes that keep their places and weights and lose a third of their spread are seen at 512 a side."""
    rng = np.random.default_rng(3)
    found = [mmd_test(modes(rng, 512), modes(rng, 512, spread=0.67)).p <= 0.01 for _ in range(10)]
    same = [mmd_test(modes(rng, 512), modes(rng, 512)).p <= 0.01 for _ in range(10)]
    assert sum(found) >= 9
    assert sum(same) <= 1


def test_a_lost_mode_is_seen() -> None:
    """A sample without one of eight modes is seen at 512 a side."""
    rng = np.random.default_rng(4)
    y = modes(rng, 1024)
    nearest = ((y[:, None] - CENTRES) ** 2).sum(axis=2).argmin(axis=1)
    assert mmd_test(modes(rng, 512), y[nearest != 0][:512]).p <= 0.01


@pytest.mark.parametrize("n", [2, 3, 50])
def test_identical_samples_do_not_differ(n: int) -> None:
    """The same rows on both sides, in any order, give p = 1: permutations that tie count, whatever rounding does."""
    x = np.random.default_rng(5).standard_normal((n, 7)) * 1e3 + 1e6
    assert mmd_test(x, x).p == 1.0
    assert mmd_test(x, x[::-1]).p == 1.0


@pytest.mark.parametrize("value", [0.0, 1e9])
def test_rows_that_are_all_alike_do_not_differ(value: float) -> None:
    """Where no two rows differ there is no distance to divide by, and nothing differs: MMD^2 is 0 and p is 1."""
    got = mmd_test(np.full((20, 3), value), np.full((30, 3), value))
    assert got.mmd2 == pytest.approx(0.0, abs=1e-12)
    assert got.p == 1.0


def test_two_constants_differ() -> None:
    """Constants that are not the same differ, and where most rows are alike the others still count."""
    assert mmd_test(np.zeros((20, 2)), np.ones((20, 2))).p == 0.002
    y = np.zeros((40, 2))
    y[:12] = np.random.default_rng(6).standard_normal((12, 2))
    assert mmd_test(np.zeros((40, 2)), y).p == 0.002


def test_the_estimate_is_the_unbiased_one() -> None:
    """MMD^2 is the mean kernel within each sample, less twice that across, without any row against itself."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((9, 2)), rng.standard_normal((6, 2)) + 1.0
    rows = np.concatenate([x, y])
    median = np.median([math.dist(rows[i], rows[j]) for i in range(15) for j in range(i)])

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return sum(math.exp(-(math.dist(a, b) ** 2) / (2.0 * (width * median) ** 2)) for width in WIDTHS)

    within_x = np.mean([kernel(x[i], x[j]) for i in range(9) for j in range(9) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(6) for j in range(6) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert mmd_test(x, y).mmd2 == pytest.approx(within_x + within_y - 2.0 * across)


def test_the_estimate_is_centred_on_nothing() -> None:
    """Of samples alike in distribution the estimate is as often negative as the null allows: its mean is 0."""
    rng = np.random.default_rng(8)
    estimates = [mmd_test(rng.random((20, 2)), rng.random((20, 2)), permutations=1).mmd2 for _ in range(400)]
    assert abs(np.mean(estimates)) <= 4.0 * np.std(estimates) / 20.0
    assert min(estimates) < 0.0 < max(estimates)


def test_a_seed_is_a_p_value_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The permutations follow from the seed alone: a known p, however many are computed at once."""
    x, y = np.linspace(0.0, 1.0, 30)[:, None], np.linspace(0.12, 1.12, 25)[:, None]
    known = mmd_test(x, y, permutations=999, seed=7)
    assert known == TwoSample(known.mmd2, 0.692)
    monkeypatch.setattr(two_sample, "_CHUNK", 1)
    assert mmd_test(x, y, permutations=999, seed=7) == known
    assert mmd_test(x, y, permutations=999, seed=8).p != known.p


def test_no_global_generator_is_touched() -> None:
    """NumPy's global state is the same before and after."""
    before = str(np.random.get_state())  # noqa: NPY002 - it is what must not change
    mmd_test(np.zeros((4, 1)), np.ones((4, 1)))
    assert str(np.random.get_state()) == before  # noqa: NPY002 - as above


def test_ten_thousand_permutations_reach_below_one_in_a_thousand() -> None:
    """9,999 permutations of 512 against 512 rows give p-values down to 1e-4, which Holm over many claims needs."""
    rng = np.random.default_rng(9)
    got = mmd_test(rng.standard_normal((512, 64)), rng.standard_normal((512, 64)) + 0.2, permutations=9_999)
    assert got.p == 1e-4


@pytest.mark.parametrize(
    ("x", "y", "permutations", "message"),
    [
        (np.zeros((1, 2)), np.zeros((4, 2)), 9, "x.shape"),
        (np.zeros((4, 2)), np.zeros(4), 9, "y.shape"),
        (np.zeros((4, 2)), np.zeros((4, 3)), 9, "rows of 2 numbers"),
        (np.zeros((4, 0)), np.zeros((4, 0)), 9, "x.shape"),
        (np.full((4, 2), math.nan), np.zeros((4, 2)), 9, "finite"),
        (np.zeros((4, 2)), np.full((4, 2), math.inf), 9, "finite"),
        (np.zeros((4, 2)), np.zeros((4, 2)), 0, "permutations"),
    ],
)
def test_samples_that_make_no_sense_are_refused(
    x: NDArray[np.float64], y: NDArray[np.float64], permutations: int, message: str
) -> None:
    """Too few rows, rows of different lengths, what is not finite and no permutations are misuse."""
    with pytest.raises(InvalidArgument, match=message):
        mmd_test(x, y, permutations=permutations)
