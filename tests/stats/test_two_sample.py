"""Two samples: the test keeps its level, sees shifts and collapses, and is the same on every machine.

Simulations use fixed seeds, none of them chosen.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gentest.errors import InvalidArgument
from gentest.stats import two_sample
from gentest.stats.kernels import (
    N_SCALES,
    WIDTHS,
    centred,
    kernels_by_scale,
    squared_distances,
    summed_kernel,
)
from gentest.stats.two_sample import TwoSample, closeness, further, least_p_further, mmd_test

CENTRES = np.random.default_rng(99).normal(0.0, 1.5, size=(8, 16))


def modes(
    rng: np.random.Generator, n: int, *, spread: float = 1.0, whole: float = 1.0, apart: float = 1.0
) -> NDArray[np.float64]:
    """Samples [n, 16] of eight modes of this spread, their centres `apart` times those that are as wide as apart.

    `whole` is by how much all of it has shrunk towards the middle of the centres, modes and what lies between them.
    """
    centres = apart * CENTRES
    middle = centres.mean(axis=0)
    return middle + whole * (centres[rng.integers(8, size=n)] + spread * rng.standard_normal((n, 16)) - middle)


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


@pytest.mark.parametrize("apart", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("shrunk", [{"spread": 0.85}, {"whole": 0.85}], ids=["within", "whole"])
def test_modes_that_shrank_by_15_percent_are_seen(shrunk: dict[str, float], apart: float) -> None:
    """Modes of .85 their spread, or everything at .85 its size, is seen at 512 a side whatever lies between modes."""
    rng = np.random.default_rng(3)
    pairs = [(modes(rng, 512, apart=apart), modes(rng, 512, apart=apart, **shrunk)) for _ in range(3)]
    assert all(mmd_test(*pair, permutations=99, seed=i).p == 0.01 for i, pair in enumerate(pairs))


def test_the_same_generator_with_other_seeds_is_seldom_different() -> None:
    """Of 400 pairs of samples of the same modes, no more are different at .01 than the binomial allows."""
    rng = np.random.default_rng(13)
    n_different = sum(mmd_test(modes(rng, 96), modes(rng, 128), permutations=99, seed=i).p <= 0.01 for i in range(400))
    assert n_different <= stats.binom.ppf(0.99, 400, 0.01)


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
    assert known == TwoSample(known.mmd2, 0.619)
    monkeypatch.setattr(two_sample, "_CHUNK", 1)
    assert mmd_test(x, y, permutations=999, seed=7) == known
    assert mmd_test(x, y, permutations=999, seed=8).p != known.p


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 9), (20, 20)])
def test_a_scale_is_in_standard_deviations_of_its_permutations(n: int, m: int) -> None:
    """Over permutations, each scale's statistic has mean 0 and variance 1, and is MMD^2 times a number."""
    rng = np.random.default_rng(14)
    squared = squared_distances(rng.standard_normal((n + m, 3)))
    factor = two_sample._deviations_factor(n, m)
    for kernel in kernels_by_scale(squared):
        scaled = two_sample._in_deviations(kernel)
        assert scaled is not None
        assert scaled.sum(axis=1) == pytest.approx(0.0, abs=1e-12)
        if n > 5:
            ratio = []
            for _ in range(2):
                order = rng.permutation(n + m)
                shuffled = kernel[np.ix_(order, order)]
                ratio.append(two_sample._mmd2(shuffled, n) / scaled[np.ix_(order, order)][:n, :n].sum())
                assert two_sample._mmd2(centred(shuffled), n) == pytest.approx(two_sample._mmd2(shuffled, n))
            assert ratio[0] == pytest.approx(ratio[1])
        members = np.concatenate(list(two_sample._memberships(n, n + m, 20_000, 0)), axis=1)
        values = factor * np.einsum("ij,ij->j", members, scaled @ members)
        assert values.mean() == pytest.approx(0.0, abs=0.05)
        assert values.var() == pytest.approx(1.0, abs=0.15)


def test_scales_reach_from_neighbours_to_the_whole() -> None:
    """Five kernels, from half the distance to the nearest neighbour to twice the median distance."""
    rows = np.array([[0.0], [1.0], [10.0], [11.0], [30.0], [31.0]])
    kernels = list(kernels_by_scale(squared_distances(rows)))
    median = np.median([abs(a - b) for i, a in enumerate(rows[:, 0]) for b in rows[:i, 0]])
    assert len(kernels) == N_SCALES
    assert kernels[0][0, 1] == pytest.approx(math.exp(-1.0 / (2.0 * 0.5**2)))
    assert kernels[-1][0, 5] == pytest.approx(math.exp(-(31.0**2) / (2.0 * (2.0 * median) ** 2)))


def gaussian_mmd2(distance: float, spread: float, dimensions: int, median: float) -> float:
    """MMD^2 of the summed kernel between N(0, 1) and N(distance, spread^2) in closed form, at this median distance."""
    total = 0.0
    for width in WIDTHS:
        wide = (width * median) ** 2

        def mean_kernel(variance: float, apart: float, wide: float = wide) -> float:
            return (wide / (wide + variance)) ** (dimensions / 2) * math.exp(-(apart**2) / (2.0 * (wide + variance)))

        total += mean_kernel(2.0, 0.0) + mean_kernel(2.0 * spread**2, 0.0)
        total -= 2.0 * mean_kernel(1.0 + spread**2, distance)
    return total


@pytest.mark.parametrize(
    ("distance", "spread", "dimensions", "sizes"),
    [
        (0.0, 1.0, 1, (64, 64)),
        (0.5, 1.0, 1, (64, 64)),
        (0.6, 1.0, 1, (48, 96)),
        (1.0, 1.0, 1, (64, 64)),
        (2.0, 1.0, 1, (48, 96)),
        (0.0, 1.0, 4, (48, 96)),
        (0.7, 1.0, 4, (64, 64)),
        (0.85, 1.0, 4, (48, 96)),
        (0.0, 0.7, 4, (64, 64)),
        (2.0, 1.0, 32, (48, 96)),
    ],
)
def test_a_bound_of_mmd_is_seldom_below_it(
    distance: float, spread: float, dimensions: int, sizes: tuple[int, int]
) -> None:
    """Of 300 samples of Gaussians, no more bounds are below the true MMD^2 than a level of alpha allows.

    The truth is in closed form, at the median distance of 3,000 other rows in the same proportions, which is what each
    sample's own median estimates.
    """
    n, m = sizes
    rng = np.random.default_rng(15)

    def samples(n: int, m: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y = spread * rng.standard_normal((m, dimensions))
        y[:, 0] += distance
        return rng.standard_normal((n, dimensions)), y

    many = squared_distances(np.concatenate(samples(3000 * n // (n + m), 3000 * m // (n + m))))
    true = gaussian_mmd2(distance, spread, dimensions, math.sqrt(np.median(many)))
    below = sum(closeness(*samples(n, m), seed=i) < true for i in range(300))
    assert below <= stats.binom.ppf(0.99, 300, 0.01)


@pytest.mark.parametrize("n", [64, 256])
def test_a_bound_covers_a_mode_that_a_sample_shows_seldom(n: int) -> None:
    """One side is a point, the other has a second one, of any weight up to 12 %: at most alpha are below, exactly.

    How often the second point is drawn is binomial, and the bound a function of that number.
    """
    counts = np.arange(n // 4)
    rows = [np.r_[np.ones((k, 1)), np.zeros((n - k, 1))] for k in counts]
    bounds = np.array([closeness(np.zeros((n, 1)), y) for y in rows])
    for p in np.linspace(0.002, 0.12, 60):
        true = 2 * p**2 * sum(1 - math.exp(-1 / (2 * width**2)) for width in WIDTHS)
        assert stats.binom.pmf(counts[bounds < true], n, p).sum() <= 0.01


def test_a_bound_shrinks_with_the_samples() -> None:
    """Where nothing differs the bound falls about as one over the size; where something does, it nears the truth."""
    rng = np.random.default_rng(16)
    small, large = (closeness(*rng.standard_normal((2, n, 8))) for n in (64, 512))
    assert 0.0 < large < small / 4.0
    x, y = rng.standard_normal((2, 512, 8))
    assert 1.0 < closeness(x, y + 1.0) / mmd_test(x, y + 1.0, permutations=1).mmd2 < 1.2


def test_a_bound_is_its_formula() -> None:
    """The jackknife leaves each row out, own means are taken off, and a higher level is a higher bound."""
    rng = np.random.default_rng(17)
    x, y = rng.standard_normal((9, 2)), rng.standard_normal((6, 2)) + 1.0
    kernel = summed_kernel(squared_distances(np.concatenate([x, y])))
    for_x = [two_sample._mmd2(np.delete(np.delete(kernel, i, 0), i, 1), 8) for i in range(9)]
    for_y = [two_sample._mmd2(np.delete(np.delete(kernel, i, 0), i, 1), 9) for i in range(9, 15)]
    variance = 8.0 * np.var(for_x) + 5.0 * np.var(for_y)
    assert two_sample._jackknife_variance(kernel, 9) == pytest.approx(variance)
    own = two_sample._centred_on_own_means(kernel, 9)
    for block in (own[:9, :9], own[9:, 9:], own[:9, 9:]):
        assert block.sum(axis=0) == pytest.approx(0.0, abs=1e-12)
        assert block.sum(axis=1) == pytest.approx(0.0, abs=1e-12)
    bounds = [closeness(x, y, alpha=alpha) for alpha in (0.1, 0.05, 0.01, 0.001)]
    assert bounds == sorted(bounds)
    assert closeness(x, y) == closeness(x, y, seed=0)
    assert closeness(np.zeros((5, 2)), np.zeros((4, 2))) == 8.0  # a few rows that are alike say next to nothing


def philox(seed: int, stream: int, n: int) -> NDArray[np.uint64]:
    """The raw numbers that permutations (stream 1) and signs (stream 2) are made of."""
    return np.random.Philox(key=np.array([seed, stream << 32], dtype=np.uint64)).random_raw(n)


def permuted(n: int, total: int, permutations: int, seed: int) -> list[list[int]]:
    """The rows that are x's: as given, and in each permutation, the order of as many raw numbers."""
    raw = philox(seed, 1, permutations * total).reshape(permutations, total)
    return [list(range(n)), *(sorted(range(total), key=row.__getitem__)[:n] for row in raw)]


def estimate(kernel: NDArray[np.float64], x: list[int], y: list[int]) -> float:
    """The unbiased MMD^2 between rows, of a kernel whose diagonal is 0: no row against itself."""
    within = sum(kernel[np.ix_(rows, rows)].sum() / (len(rows) * (len(rows) - 1)) for rows in (x, y))
    return float(within - 2.0 * kernel[np.ix_(x, y)].mean())


@pytest.mark.parametrize(("shift", "sizes", "seed"), [(0.4, (9, 6), 3), (0.0, (7, 7), 0)])
def test_a_p_value_is_that_of_the_largest_scale(shift: float, sizes: tuple[int, int], seed: int) -> None:
    """By loops: each scale's MMD^2 over its deviation, the largest of five, and the share of permutations as large."""
    rng = np.random.default_rng(21)
    n, total = sizes[0], sum(sizes)
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((sizes[1], 2)) + shift
    deviations = []
    for kernel in kernels_by_scale(squared_distances(np.concatenate([x, y]))):
        # the variance over all permutations, of MMD^2 = c s'Ks with K centred (the module's second paragraph)
        c = 1 / (n * (n - 1)) + 1 / (sizes[1] * (sizes[1] - 1)) + 2 / (n * sizes[1])
        chance = n * (n - 1) * sizes[1] * (sizes[1] - 1) / (total * (total - 1) * (total - 2) * (total - 3))
        deviation = math.sqrt(2 * c**2 * chance * (centred(kernel) ** 2).sum())
        members = permuted(n, total, 99, seed)
        deviations.append([estimate(kernel, m, [i for i in range(total) if i not in m]) / deviation for m in members])
    largest = np.max(deviations, axis=0)
    assert mmd_test(x, y, permutations=99, seed=seed).p == (largest >= largest[0] - 1e-6).sum() / 100


@pytest.mark.parametrize(
    ("shift", "dimensions", "alpha", "largest"),
    [
        (1.0, 2, 0.01, "most"),
        (1.0, 2, 0.1, "unseen mode"),
        (1.0, 2, 0.4, "noise"),
        (1.0, 32, 0.45, "signs"),
        (1.5, 32, 0.45, "signs"),
        (3.0, 2, 0.2, "unseen mode"),
        (0.0, 2, 0.45, "noise"),
    ],
)
def test_a_bound_is_the_largest_of_three(shift: float, dimensions: int, alpha: float, largest: str) -> None:
    """By loops, a full eigendecomposition and a search by halves, from the docstring's formula."""
    rng = np.random.default_rng(22)
    x, y = rng.standard_normal((9, dimensions)), rng.standard_normal((6, dimensions)) + shift
    kernel = summed_kernel(squared_distances(np.concatenate([x, y])))
    rows_x, rows_y = list(range(9)), list(range(9, 15))
    u = max(estimate(kernel, rows_x, rows_y), 0.0)
    without_x = [estimate(kernel, [j for j in rows_x if j != i], rows_y) for i in rows_x]
    without_y = [estimate(kernel, rows_x, [j for j in rows_y if j != i]) for i in rows_y]
    own = kernel + 4.0 * np.eye(15)
    centring = np.eye(15)
    centring[:9, :9] -= 1 / 9
    centring[9:, 9:] -= 1 / 6
    own = centring @ own @ centring
    lambdas = np.linalg.eigvalsh(own[:9, :9])[-1] / (9 * 8) + np.linalg.eigvalsh(own[9:, 9:])[-1] / (6 * 5)
    jackknife = 8 * np.var(without_x) + 5 * np.var(without_y)
    v = min(lambdas, jackknife / (4 * u)) if u > 0.0 else lambdas
    np.fill_diagonal(own, 0.0)
    signs = np.where(philox(5, 2, 999 * 15).reshape(999, 15) >= 2**63, 1.0, -1.0)
    flipped = sorted(estimate(own * np.outer(sign, sign), rows_x, rows_y) for sign in signs)
    q = flipped[math.ceil((1 - alpha) * 998 - 1e-9)]
    z = stats.norm.ppf(1 - alpha)
    full = kernel + 4.0 * np.eye(15)
    witness = [full[rows_x, i].mean() - full[rows_y, i].mean() for i in range(15)]
    width = max(0.0, *witness) - min(0.0, *witness)
    c = math.sqrt(4.0 + max(kernel[:9, :9].sum() / 72, kernel[9:, 9:].sum() / 30))
    least, most = math.sqrt(u), 100.0
    for _ in range(100):
        mmd = (least + most) / 2
        jump = min(c, (width + c * (mmd - math.sqrt(u))) / mmd)
        spread = v + jump * (mmd - math.sqrt(u)) / 6
        least, most = (mmd, most) if mmd - math.sqrt(u) < z * math.sqrt(spread) else (least, mmd)
    bounds = {
        "noise": (math.sqrt(u + v) + z * math.sqrt(v)) ** 2,
        "signs": u + q,
        "unseen mode": mmd**2,
    }
    found = min(max(bounds.values()), 8.0)
    assert max(bounds, key=bounds.__getitem__) == largest or (largest, found) == ("most", 8.0)
    assert closeness(x, y, alpha=alpha, seed=5) == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "r"), [(9, 6, 8), (7, 7, 5)])
def test_a_p_value_of_an_error_is_of_every_rows_part_in_it(n: int, m: int, r: int) -> None:
    """By loops: a row's part is its mean kernel to its own sample less that to the reference, a reference's that to x
    less that to y; the error's variance is four times the sum of their variances over the sizes."""
    rng = np.random.default_rng(24)
    rows = rng.standard_normal((n + m + r, 2))
    kernel = summed_kernel(squared_distances(rows))
    mine, theirs, reference = range(n), range(n, n + m), range(n + m, n + m + r)
    variance = 0.0
    for own in (mine, theirs):
        parts = [
            np.mean([kernel[i, j] for j in own if j != i]) - np.mean([kernel[i, j] for j in reference]) for i in own
        ]
        variance += 4.0 * np.var(parts, ddof=1) / len(own)
    parts = [np.mean([kernel[i, j] for i in mine]) - np.mean([kernel[i, j] for i in theirs]) for j in reference]
    variance += 4.0 * np.var(parts, ddof=1) / r
    for difference in (0.3, 0.0, -0.2):
        expected = stats.norm.sf(difference / math.sqrt(variance))
        assert two_sample._p_of_error(kernel, n, n + m, difference) == pytest.approx(expected)
    alike = np.ones((n + m + r, n + m + r)) - np.eye(n + m + r)
    assert [two_sample._p_of_error(alike, n, n + m, difference) for difference in (-0.1, 0.0, 0.1)] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(("at", "sizes"), [((1.0, 0.5), (9, 6)), ((6.0, 0.0), (5, 5)), ((1.5, 0.0), (8, 6))])
def test_how_much_further_is_the_difference_at_each_scale(at: tuple[float, float], sizes: tuple[int, int]) -> None:
    """At each scale the share of permutations as large and the p-value of the error, the larger of the two; and five
    times the least of the scales'."""
    rng = np.random.default_rng(23)
    n, total = sizes[0], sum(sizes)
    x, y, reference = (rng.standard_normal((size, 2)) + by for size, by in ((n, at[0]), (sizes[1], at[1]), (8, 0.0)))
    p_values = []
    for kernel in kernels_by_scale(squared_distances(np.concatenate([x, y, reference]))):
        differences = []
        for mine in permuted(n, total, 99, 0):
            theirs, others = [i for i in range(total) if i not in mine], list(range(total, total + 8))
            differences.append(estimate(kernel, mine, others) - estimate(kernel, theirs, others))
        by_permuting = sum(d >= differences[0] - 1e-6 / total for d in differences) / 100
        p_values.append(max(by_permuting, two_sample._p_of_error(kernel, n, total, differences[0])))
    assert further(x, y, reference, permutations=99).p == pytest.approx(min(5 * min(p_values), 1.0), rel=1e-9)


def all_swaps(kernel: NDArray[np.float64], n: int, m: int, n_reference: int) -> float:
    """The share of swaps of x_i with y_i under which x is as much further from the reference, by trying each."""
    pairs, reference = min(n, m), list(range(n + m, n + m + n_reference))
    differences = []
    for swapped in itertools.product((False, True), repeat=pairs):
        mine = [n + i if swap else i for i, swap in enumerate(swapped)]
        theirs = [i if swap else n + i for i, swap in enumerate(swapped)]
        differences.append(estimate(kernel, mine, reference) - estimate(kernel, theirs, reference))
    return float(np.mean([d >= differences[0] - 1e-12 for d in differences]))


@pytest.mark.parametrize("sizes", [(10, 10), (8, 11), (11, 8)])
@pytest.mark.parametrize("at", [0.0, 1.0, 4.0])
def test_the_p_value_of_swaps_is_no_less_than_that_of_trying_them_all(sizes: tuple[int, int], at: float) -> None:
    """An upper bound of the exact p-value at each scale, that of the standardised difference in the normal's tail."""
    n, m = sizes
    rng = np.random.default_rng(31)
    x, y, reference = rng.standard_normal((n, 2)) + at, rng.standard_normal((m, 2)), rng.standard_normal((7, 2))
    for kernel in kernels_by_scale(squared_distances(np.concatenate([x, y, reference]))):
        assert two_sample._p_of_swaps(kernel, n, n + m) >= all_swaps(kernel, n, m, 7)
    assert pytest.approx(0.25 / stats.norm.sf(math.sqrt(2.0)), abs=2e-3) == two_sample._RADEMACHER
    assert 4.0 * stats.norm.sf(math.sqrt(2.0)) * two_sample._RADEMACHER >= 1.0


def test_rows_that_are_alike_are_no_evidence_of_swaps() -> None:
    """Where no swap changes anything, the p-value is 1."""
    assert two_sample._p_of_swaps(np.ones((9, 9)) - np.eye(9), 3, 6) == 1.0


@pytest.mark.parametrize("n", [64, 512])
def test_what_is_far_has_a_p_value_that_any_number_of_claims_can_use(n: int) -> None:
    """100 sd away: far below what 9,999 permutations can show, and no less than `least_p_further` says."""
    x, y, reference = np.random.default_rng(32).standard_normal((3, n, 2)) + np.array([100.0, 0.0, 1.0])[:, None, None]
    assert least_p_further(n, n) <= further(x, y, reference, permutations=99).p < 1e-12
    assert further(y, x, reference, permutations=99).p == 1.0


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_the_least_p_value_is_that_of_samples_as_far_as_can_be(n: int) -> None:
    """Whatever lies in so few rows, p is no less: the permutations there are, or those that are drawn, are too few."""
    x, y, reference = np.random.default_rng(33).standard_normal((3, n, 2)) + np.array([1e3, 0.0, 0.0])[:, None, None]
    assert further(x, y, reference).p >= least_p_further(n, n) >= min(1.0, 5 / 10_000)
    assert least_p_further(40_000, 40_000) > 0.0
    assert least_p_further(n, 99) == least_p_further(99, n)


def test_no_difference_is_seldom_further_at_a_small_level() -> None:
    """Of 600 samples of one distribution, permuted 9 times only, few have p <= .1: swaps do not add to the level."""
    rng = np.random.default_rng(34)
    p_values = [further(*rng.standard_normal((3, 24, 1)), permutations=9, seed=i).p for i in range(600)]
    for level in (0.1, 0.02):
        assert sum(p <= level for p in p_values) <= stats.binom.ppf(0.999, 600, level)


def test_more_permutations_are_drawn_of_what_differs_alone() -> None:
    """Far apart: of all of them; alike: of the first, bit for bit; a number below the first changes nothing."""
    near, far = np.random.default_rng(35).standard_normal((2, 20, 1)), np.array([[[4.0]], [[0.0]]])
    assert mmd_test(*(near + far), permutations=99, most=4_999).p == 1 / 5_000
    assert mmd_test(*near, permutations=99, most=4_999) == mmd_test(*near, permutations=99)
    assert mmd_test(*(near + far), permutations=99, most=50) == mmd_test(*(near + far), permutations=99)
    moved = near + far / 4.0
    alone, more = mmd_test(*moved, permutations=499), mmd_test(*moved, permutations=499, most=4_999)
    assert alone.p <= 10 / 500
    assert more == mmd_test(*moved, permutations=4_999)
    assert more.p != alone.p


def test_how_many_permutations_are_held_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, by sevens of which the last is short, or all at once: the same p-values."""
    x, y, reference = np.random.default_rng(27).standard_normal((3, 6, 1)) + np.array([1.0, 0.0, 0.0])[:, None, None]
    whole = mmd_test(x, y, permutations=25), further(x, y, reference, permutations=25)
    for at_once in (1, 7):
        monkeypatch.setattr(two_sample, "_CHUNK", 12 * at_once)
        assert sum(members.shape[1] for members in two_sample._memberships(6, 12, 25, 0)) == 26
        assert (mmd_test(x, y, permutations=25), further(x, y, reference, permutations=25)) == whole


def test_what_is_not_said_is_what_is_documented() -> None:
    """499 permutations, or 9,999 of what is further, a level of .01, and seed 0, which is not seed 1."""
    rng = np.random.default_rng(25)
    x, y = rng.standard_normal((2, 9, 1))
    assert mmd_test(x, y) == mmd_test(x, y, permutations=499, seed=0) != mmd_test(x, y, seed=1)
    assert closeness(x, y) == closeness(x, y, alpha=0.01, seed=0)
    assert mmd_test(x, x, permutations=1).p == 1.0
    x, y = rng.standard_normal((9, 32)), rng.standard_normal((6, 32)) + 1.5
    assert closeness(x, y, alpha=0.45) == closeness(x, y, alpha=0.45, seed=0) != closeness(x, y, alpha=0.45, seed=1)
    x, y, reference = rng.standard_normal((3, 5, 1)) + np.array([6.0, 0.0, 0.0])[:, None, None]
    ours = further(x, y, reference)
    assert ours == further(x, y, reference, permutations=9_999, seed=0) != further(x, y, reference, seed=1)
    assert ours.p < 1.0


@pytest.mark.parametrize(("x_at", "y_at"), [(1.0, 1.0), (0.35, -0.35), (1.0, -1.0)])
def test_two_at_the_same_distance_are_seldom_one_further(x_at: float, y_at: float) -> None:
    """Of 400 samples at the same distance from the reference, at one place or on both sides, few are further."""
    rng = np.random.default_rng(18)
    n_further = 0
    for i in range(400):
        x, y, reference = (rng.standard_normal((n, 4)) + at for n, at in ((64, x_at), (48, y_at), (64, 0.0)))
        n_further += further(x, y, reference, permutations=199, seed=i).p <= 0.05
    assert n_further <= stats.binom.ppf(0.99, 400, 0.05)


@pytest.mark.parametrize("apart", [1.0, 2.0])
def test_a_candidate_whose_modes_shrank_is_further(apart: float) -> None:
    """Modes of .85 their spread are further from the reference than the baseline's at 512 rows; not the other way."""
    rng = np.random.default_rng(19)
    for i in range(3):
        shrunk = modes(rng, 512, apart=apart, spread=0.85)
        baseline, reference = modes(rng, 512, apart=apart), modes(rng, 512, apart=apart)
        assert further(shrunk, baseline, reference, permutations=999, seed=i).p <= 0.01
        assert further(baseline, shrunk, reference, permutations=999, seed=i).p > 0.01


def test_a_difference_is_that_of_two_estimates() -> None:
    """Of equal sizes or not, the difference is MMD^2 to the reference, of one kernel, of x less that of y."""
    rng = np.random.default_rng(20)
    for n, m in ((9, 9), (9, 6)):
        x, y, reference = rng.standard_normal((n, 2)) + 1.0, rng.standard_normal((m, 2)), rng.standard_normal((7, 2))
        kernel = summed_kernel(squared_distances(np.concatenate([x, y, reference])))
        without_x, without_y = kernel[n:, n:], np.delete(np.delete(kernel, slice(n, n + m), 0), slice(n, n + m), 1)
        expected = two_sample._mmd2(without_y, n) - two_sample._mmd2(without_x, m)
        got = further(x, y, reference, permutations=19)
        assert got.difference == pytest.approx(expected)
        assert further(y, x, reference, permutations=19).difference == pytest.approx(-expected)
        assert further(x, y, reference, permutations=19) == got
    assert further(x, x, reference, permutations=19).p == 1.0
    assert further(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros((4, 1)), permutations=19).p == 1.0


def test_no_global_generator_is_touched() -> None:
    """NumPy's global state is the same before and after."""
    before = str(np.random.get_state())  # noqa: NPY002 - it is what must not change
    mmd_test(np.zeros((4, 1)), np.ones((4, 1)))
    assert str(np.random.get_state()) == before  # noqa: NPY002 - as above


@pytest.mark.slow
def test_ten_thousand_permutations_reach_below_one_in_a_thousand() -> None:
    """9,999 permutations of 512 against 512 rows give p-values down to 1e-4, which Holm over many claims needs."""
    rng = np.random.default_rng(9)
    got = mmd_test(rng.standard_normal((512, 64)), rng.standard_normal((512, 64)) + 0.2, permutations=9_999)
    assert got.p == 1e-4


def test_terms_that_make_no_sense_are_refused() -> None:
    """A level out of its range, two rows where one is left out, and rows of another length are misuse."""
    some = np.zeros((4, 2))
    for alpha in (0.0, 0.5, 1.0, math.nan):
        with pytest.raises(InvalidArgument, match=rf"^Expected a probability in \(0, 0\.5\) but got alpha={alpha} "):
            closeness(some, some, alpha=alpha)
    for name, samples in (("x", (some[:2], some)), ("y", (some[:3], some[:2])), ("x", (some[:2], some[:2]))):
        said = rf"^Expected three or more rows, of which one can be left out but got {name}\.shape=\(2, 2\) "
        with pytest.raises(InvalidArgument, match=said):
            closeness(*samples)
    assert closeness(some[:3], some[:3]) > 1.0
    with pytest.raises(
        InvalidArgument, match=r"^Expected rows of 2 numbers, as x has but got reference\.shape=\(4, 3\)"
    ):
        further(some, some, np.zeros((4, 3)))
    with pytest.raises(InvalidArgument, match=r"^Expected a number of permutations >= 1 but got permutations=0 "):
        further(some, some, some, permutations=0)


def test_samples_far_apart_have_nothing_in_common_where_numpy_is_told_to_raise() -> None:
    """What a caller makes of underflow, with `np.seterr`, does not matter to a kernel of rows that are far apart."""
    with np.errstate(all="raise"):
        kernel = summed_kernel(np.array([1.0, 1.0, 1e6]))
    assert kernel[1, 2] == 0.0
    assert kernel[0, 1] > 0.0
