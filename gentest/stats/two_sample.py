"""Two samples: are they from one distribution, are they close, and which is further from a third sample?

The estimate is the unbiased MMD^2 (Gretton et al. 2012, "A kernel two-sample test", equation 3). Its null distribution
comes from permuting which sample a row belongs to, so the test is exact for any distribution.

The test for any difference works at five scales, from the distance between neighbours to twice the median distance.
Each scale's MMD^2 is divided by its standard deviation over permutations, and the statistic is the largest of the five.
It is permuted as a whole, so that the aggregation costs no level and no sample is split (Schrab et al. 2023, "MMD
aggregated two-sample test"; Biggs et al. 2023, "MMD-FUSE", for dividing by what no permutation changes). The size of a
difference is the MMD^2 of one kernel, a sum of Gaussians around the median distance: a number on a fixed scale, which
sees little within modes that lie several times their own width apart.

With s marking the rows of x, K a kernel without its diagonal whose rows sum to 0 and c = 1 / (n (n - 1)) +
1 / (m (m - 1)) + 2 / (n m), MMD^2 = c s'Ks, and over permutations its mean is 0 and its variance
2 c^2 n (n - 1) m (m - 1) / (N (N - 1) (N - 2) (N - 3)) sum K^2: many permutations are one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import eigvalsh
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from gentest.errors import InvalidArgument
from gentest.stats.kernels import (
    N_SCALES,
    WIDTHS,
    Floats,
    centred,
    checked_samples,
    kernels_by_scale,
    squared_distances,
    summed_kernel,
)

_CHUNK = 1 << 20  # numbers in a chunk of permutations; no result depends on it
_CONSTANT = 1e-8  # a kernel that varies by less, relative to its size, shows nothing
_ROUNDING = 1e-6  # the largest difference of exact ties, in standard deviations of the statistic
_CLEAR = 10  # if this many of the first permutations are as far apart, no others are drawn
_FLIPS = 999
_MOST = 2.0 * len(WIDTHS)  # the largest possible MMD^2 of the summed kernel
_RADEMACHER = 3.18  # 1 / (4 P(Z >= sqrt 2)) = 3.178...: the constant of Bentkus and Dzindzalieta
_LEAST = 1e-300  # the smallest p-value: the logarithm of 0 would be infinite
_PERMUTATIONS = 1 << 32  # the streams of Philox for permutations and for signs
_SIGNS = 2 << 32


@dataclass(frozen=True)
class TwoSample:
    """The size of a difference and its p-value.

    `mmd2` is the unbiased MMD^2 of the summed kernel; without a difference it is below 0 about as often as above. `p`
    is that of any difference at any scale. A collapse within modes that lie far apart has a tiny p and a tiny MMD^2.
    """

    mmd2: float
    p: float


@dataclass(frozen=True)
class Further:
    """MMD^2(x, reference) - MMD^2(y, reference), and the p-value of x being no further from the reference than y.

    `difference` is of the summed kernel; `p` covers all scales.
    """

    difference: float
    p: float


def mmd_test(x: Floats, y: Floats, *, permutations: int = 499, most: int = 0, seed: int = 0) -> TwoSample:
    """The distance of the distributions of the rows of `x` [n, D] and `y` [m, D], and the p-value of no distance.

    The p-value is at least 1 / (1 + `permutations`). If `most` is larger than `permutations`, and fewer than 10 of the
    first permutations are as far apart as the given rows, the test goes on to `most` permutations, and the p-value is
    that of all of them. So only samples that differ cost more (Besag and Clifford 1991, "Sequential Monte Carlo
    p-values", with one stop). The level is kept: a p-value below 10 / (1 + `permutations`) always rests on `most`
    permutations.

    The same seed gives the same permutations on any machine.

    >>> x = np.linspace(0.0, 1.0, 40)[:, None]
    >>> mmd_test(x, x + 2.0).p, mmd_test(x, x).p
    (0.002, 1.0)
    """
    x, y = checked_samples(x=x, y=y)
    _check_permutations(permutations)
    n, total = len(x), len(x) + len(y)
    squared = squared_distances(np.concatenate([x, y]))
    scaled = [kernel for kernel in map(_in_deviations, kernels_by_scale(squared)) if kernel is not None]
    factor = _deviations_factor(n, total - n)
    as_far, least, drawn = 0, -math.inf, 0
    for members in _memberships(n, total, permutations, seed, most=most):
        largest = np.full(members.shape[1], -math.inf)  # it stays so if all rows are equal: then p is 1
        for kernel in scaled:
            np.maximum(largest, factor * np.einsum("ij,ij->j", members, kernel @ members), out=largest)
        if math.isinf(least):
            least = largest[0] - _ROUNDING
        as_far += int(np.count_nonzero(largest >= least))
        drawn += len(largest)
        if drawn == 1 + permutations and as_far > _CLEAR:
            break
    return TwoSample(_mmd2(summed_kernel(squared), n), as_far / drawn)


def closeness(x: Floats, y: Floats, *, alpha: float = 0.01, seed: int = 0) -> float:
    """An upper bound of MMD^2 between the distributions of the rows of `x` [n, D] and `y` [m, D], n and m >= 3.

    The kernel is the summed one at the median distance of these rows. The bound lies below the true MMD^2 in at most
    `alpha` of samples (approximately; `tests/audit/calibration.py` counts them). With u the unbiased estimate, or 0 if
    that is negative, z the normal quantile (2.33 at .01), and q and M below,

        bound = max((sqrt(u + v) + z sqrt(v))^2, u + q, M^2),    v = min(se^2 / (4 u), lambda_x / n + lambda_y / m)

    `se` is the jackknife error with one row of x or of y left out (Arvesen 1969, "Jackknifing U-statistics"):
    se^2 = (n - 1) / n sum (u_-i - mean u_-i)^2 over x, plus the same over y. MMD is a distance: its error is the noise
    v along the direction in which the samples differ, at any MMD, whereas the error of MMD^2 shrinks with it. So the
    bound is taken on MMD, and squared. u + z se, its first terms, would be below the truth in up to 6 % of samples if
    MMD is two to four of its errors, since a low estimate comes with a low error. No direction has more noise than
    lambda_x / n + lambda_y / m, with lambda the largest eigenvalue of a sample's centred kernel over its size; this
    bounds v if u is 0. v is also the bias of u along that direction.

    `q` is the (1 - alpha) quantile of MMD^2 between equal distributions: both samples are centred on their own means
    in the kernel's space and every row is multiplied by a random sign, 999 times (the wild bootstrap of Fromont et al.
    2012, "Kernels based tests with non-asymptotic bootstrap approaches for two-sample problems", which allows sizes to
    differ and pairs no row of x with one of y).

    `M` covers a mode that one side shows seldom or never, since a sample that misses it also shows less noise. Such a
    mode moves the MMD by its weight times c, its distance from the rest in the kernel's space, and has a variance of
    its weight times c^2. So a larger MMD comes with a larger variance, as a rate does in a score interval (Wilson 1927,
    "Probable inference, the law of succession, and statistical inference"). M is the largest MMD within z of its own
    errors:

        M = sqrt(u) + z sqrt(v + c (M - sqrt(u)) / min(n, m))

    c is at most the distance of any point from the mean of a side, sqrt(4 + mean kernel within it), and at most
    (r + c (M - sqrt(u))) / M. Here r is the range, over all rows, of the mean kernel to x minus that to y: the distance
    of single rows along the direction in which the samples differ.

    >>> x = np.linspace(0.0, 1.0, 400)[:, None]
    >>> round(closeness(x[::2], x[1::2]), 2), round(closeness(x[::2], x[1::2] + 0.5), 2)
    (0.1, 1.64)
    """
    x, y = checked_samples(x=x, y=y)
    if min(len(x), len(y)) < 3:
        name, rows = ("x", x) if len(x) < 3 else ("y", y)
        raise InvalidArgument.expected("three or more rows, of which one can be left out", f"{name}.shape", rows.shape)
    if not 0.0 < alpha < 0.5:
        raise InvalidArgument.expected("a probability in (0, 0.5)", "alpha", alpha)
    n, m = len(x), len(y)
    kernel = summed_kernel(squared_distances(np.concatenate([x, y])))
    own = _centred_on_own_means(kernel + len(WIDTHS) * np.eye(n + m), n)
    noise = _largest_eigenvalue(own[:n, :n]) / (n * (n - 1)) + _largest_eigenvalue(own[n:, n:]) / (m * (m - 1))
    u, z = max(_mmd2(kernel, n), 0.0), -float(ndtri(alpha))
    along = min(noise, _jackknife_variance(kernel, n) / (4.0 * u)) if u > 0.0 else noise
    np.fill_diagonal(own, 0.0)
    on_mmd = math.sqrt(u + along) + z * math.sqrt(along)
    unseen = _with_an_unseen_mode(kernel, n, seen=math.sqrt(u), along=along, z=z)
    by_flips = u + float(np.quantile(_flipped(own, n, seed), 1.0 - alpha, method="higher"))
    return min(max(on_mmd**2, unseen**2, by_flips), _MOST)


def _with_an_unseen_mode(kernel: Floats, n: int, *, seen: float, along: float, z: float) -> float:
    """The largest MMD within z of its own errors: `M` of `closeness`."""
    m, diagonal = len(kernel) - n, float(len(WIDTHS))
    within = max(kernel[:n, :n].sum() / (n * (n - 1)), kernel[n:, n:].sum() / (m * (m - 1)))
    farthest = math.sqrt(diagonal + within)
    own = np.concatenate([np.full(n, diagonal / n), np.full(m, -diagonal / m)])
    witness = kernel[:n].mean(axis=0) - kernel[n:].mean(axis=0) + own
    width = max(float(witness.max()), 0.0) - min(float(witness.min()), 0.0)

    def excess(mmd: float) -> float:
        beyond = mmd - seen
        jump = min(farthest, (width + farthest * beyond) / mmd)
        return beyond - z * math.sqrt(along + jump * beyond / min(n, m))

    least = max(seen, 1e-9)  # all rows may be equal
    return float(brentq(excess, least, least + 4.0 + 8.0 * z**2)) if excess(least) < 0.0 else least


def further(x: Floats, y: Floats, reference: Floats, *, permutations: int = 9_999, seed: int = 0) -> Further:
    """The excess distance of the rows of `x` [n, D] from `reference` [r, D] over those of `y` [m, D], one-sided.

    `difference` is of the summed kernel over all three samples. A low p states that x is further at one or more of the
    five scales: it is five times the smallest p-value (Bonferroni) of MMD^2(x, reference) - MMD^2(y, reference) at each
    scale, where the reference's own term cancels. One summed kernel alone would not see modes that lose 15 % of their
    spread. A sample that is better as a whole and worse in detail is further, whatever the sign of `difference`.

    A scale's p-value is the larger of two. The first permutes the rows of x and y, and is exact if their distributions
    are equal. If they lie at equal distance on opposite sides of the reference, it alone would call one further in up
    to 28 % of samples at .01, since it cannot see that the reference's rows happen to lie to one side. So the second is
    the normal p-value of the difference over its standard error, with the noise of all three samples (Bounliphone et
    al. 2016, "A test of relative similarity for model selection in generative models"). As sizes grow it has level
    alpha at equal distances, and less if all three distributions are equal.

    Permutations cannot give less than 1 / (1 + `permutations`), which is too little evidence among many claims. If no
    permutation of a scale reaches its difference, a test that swaps x_i with y_i replaces it if that is smaller. It is
    exact for equal distributions, and needs no draws: with d_i the effect of swapping row i, the sum of d_i with random
    signs reaches D with a probability of at most 3.18 (1 - Phi(D / |d|)) (Bentkus and Dzindzalieta 2015, "A tight
    Gaussian bound for weighted sums of Rademacher random variables", theorem 1.1). The level is kept: below
    1 / (1 + `permutations`) the second test decides, and above it only the first. `least_p_further` is the smallest p.

    >>> line = np.linspace(0.0, 1.0, 120)[:, None]
    >>> 0.0 < further(line[::3] + 0.5, line[1::3], line[2::3], permutations=999).p < 1e-4
    True
    """
    x, y, reference = checked_samples(x=x, y=y, reference=reference)
    _check_permutations(permutations)
    n, total = len(x), len(x) + len(y)
    squared = squared_distances(np.concatenate([x, y, reference]))
    kernels = list(kernels_by_scale(squared))
    as_far = np.zeros(len(kernels))
    given = np.full(len(kernels), math.nan)
    for members in _memberships(n, total, permutations, seed):
        differences = np.stack([_differences(kernel, members, n) for kernel in kernels])
        if np.isnan(given[0]):
            given = differences[:, 0]
        as_far += np.count_nonzero(differences >= given[:, None] - _ROUNDING / total, axis=1)
    by_error = [_p_of_error(kernel, n, total, difference) for kernel, difference in zip(kernels, given, strict=True)]
    exact = as_far / (1 + permutations)
    for i, kernel in enumerate(kernels):
        if as_far[i] <= 1:  # only the given rows, and no permutation
            exact[i] = min(exact[i], _p_of_swaps(kernel, n, total))
    p = len(kernels) * float(np.maximum(exact, by_error).min())
    kept = np.zeros((total, 1))
    kept[:n] = 1.0
    return Further(float(_differences(summed_kernel(squared), kept, n)[0]), min(max(p, _LEAST), 1.0))


def least_p_further(n: int, m: int, *, permutations: int = 9_999) -> float:
    """The smallest p-value that `further` can give for samples of `n` and `m` rows.

    >>> least_p_further(512, 512) < 1e-100, round(least_p_further(8, 8), 6), round(least_p_further(2, 2), 3)
    (True, 0.0005, 0.833)
    """
    by_permuting = 1.0 / min(1 + permutations, math.comb(n + m, n))
    by_swapping = _RADEMACHER * float(ndtr(-math.sqrt(min(n, m))))
    return min(1.0, max(_LEAST, N_SCALES * min(by_permuting, by_swapping)))


def _differences(kernel: Floats, members: Floats, n: int) -> Floats:
    """MMD^2(x, reference) - MMD^2(y, reference), [P]; `members` [N, P] marks the rows of x among the first N."""
    total = len(members)
    m, within, to_reference = total - n, kernel[:total, :total], kernel[:total, total:].mean(axis=1)
    rows = within.sum(axis=1)
    # with n = m the sum over pairs within x cancels out of the difference
    within_x = np.zeros(members.shape[1]) if n == m else np.einsum("ij,ij->j", members, within @ members)
    within_y = rows.sum() - 2.0 * (rows @ members) + within_x
    from_x = to_reference @ members
    across = from_x / n - (to_reference.sum() - from_x) / m
    return np.asarray(within_x / (n * (n - 1)) - within_y / (m * (m - 1)) - 2.0 * across)


def _p_of_error(kernel: Floats, n: int, total: int, difference: float) -> float:
    """The normal p-value of a difference over its standard error, from the influence of each row."""
    m, within, across = total - n, kernel[:total, :total], kernel[:total, total:]
    to_reference = across.mean(axis=1)
    variance = 4.0 * (
        np.var(within[:n, :n].sum(axis=1) / (n - 1) - to_reference[:n], ddof=1) / n
        + np.var(within[n:, n:].sum(axis=1) / (m - 1) - to_reference[n:], ddof=1) / m
        + np.var(across[:n].mean(axis=0) - across[n:].mean(axis=0), ddof=1) / across.shape[1]
    )
    return float(ndtr(-difference / math.sqrt(variance))) if variance > 0.0 else float(difference <= 0.0)


def _p_of_swaps(kernel: Floats, n: int, total: int) -> float:
    """A bound of the p-value over all swaps of row i of x with row i of y, as far as both have one."""
    pairs = min(n, total - n)
    kept = np.concatenate([np.arange(pairs), n + np.arange(pairs)])
    of_row = kernel[np.ix_(kept, kept)].sum(axis=1) / (pairs - 1) - 2.0 * kernel[kept, total:].mean(axis=1)
    changes = of_row[:pairs] - of_row[pairs:]  # their sum over the number of pairs is the difference
    norm = float(np.linalg.norm(changes))
    reached = float(changes.sum()) / norm if norm > 0.0 else 0.0
    return min(1.0, _RADEMACHER * float(ndtr(-reached)))


def _memberships(n: int, total: int, permutations: int, seed: int, *, most: int = 0) -> Iterator[Floats]:
    """The rows that belong to x, 1 or 0, in chunks [total, P]: as given, then `permutations`, then more up to `most`.

    A chunk ends at `permutations`.
    """
    given = np.zeros((total, 1))
    given[:n] = 1.0
    yield given
    stream = np.random.Philox(key=np.array([seed, _PERMUTATIONS], dtype=np.uint64))
    at_once = max(_CHUNK // total, 1)
    starts = [*range(0, permutations, at_once), *range(permutations, most, at_once)]
    for start, end in pairwise([*starts, max(permutations, most)]):
        count = end - start
        order = np.argsort(stream.random_raw(count * total).reshape(count, total), axis=1, kind="stable")
        members = np.zeros((total, count))
        np.put_along_axis(members, order.T[:n], 1.0, axis=0)
        yield members


def _mmd2(kernel: Floats, n: int) -> float:
    """The unbiased MMD^2 between the first `n` rows and the others."""
    m = len(kernel) - n
    within_x, within_y, across = kernel[:n, :n].sum(), kernel[n:, n:].sum(), kernel[:n, n:].sum()
    return float(within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2.0 * across / (n * m))


def _in_deviations(kernel: Floats) -> Floats | None:
    """The centred kernel over its norm; None if it is the same for all pairs, as between equal rows."""
    balanced = centred(kernel)
    norms = np.linalg.norm(balanced), np.linalg.norm(kernel)
    return balanced / norms[0] if norms[0] > _CONSTANT * norms[1] else None


def _deviations_factor(n: int, m: int) -> float:
    """The factor that turns s'Ks, for a centred kernel of norm 1, into standard deviations over permutations."""
    total = n + m
    chance = n * (n - 1) * m * (m - 1) / (total * (total - 1) * (total - 2) * (total - 3))
    return 1.0 / math.sqrt(2.0 * chance)


def _jackknife_variance(kernel: Floats, n: int) -> float:
    """The variance of the unbiased MMD^2, from leaving out each row of either sample."""
    m = len(kernel) - n
    x, y, x_across, y_across = (
        block.sum(axis=1) for block in (kernel[:n, :n], kernel[n:, n:], kernel[:n, n:], kernel[n:, :n])
    )
    across = x_across.sum()
    without_x = (x.sum() - 2.0 * x) / ((n - 1) * (n - 2)) - 2.0 * (across - x_across) / ((n - 1) * m)
    without_y = (y.sum() - 2.0 * y) / ((m - 1) * (m - 2)) - 2.0 * (across - y_across) / (n * (m - 1))
    return float((n - 1) * without_x.var() + (m - 1) * without_y.var())


def _centred_on_own_means(kernel: Floats, n: int) -> Floats:
    """The kernel, with its diagonal, between rows minus the mean of their own sample."""
    by_x, by_y = kernel[:n].mean(axis=0), kernel[n:].mean(axis=0)
    half = np.concatenate([kernel[:n] - by_x, kernel[n:] - by_y])
    mean_x, mean_y = half[:, :n].mean(axis=1, keepdims=True), half[:, n:].mean(axis=1, keepdims=True)
    return np.concatenate([half[:, :n] - mean_x, half[:, n:] - mean_y], axis=1)


def _largest_eigenvalue(symmetric: Floats) -> float:
    last = len(symmetric) - 1
    return max(float(eigvalsh(symmetric, subset_by_index=[last, last])[0]), 0.0)


def _flipped(own: Floats, n: int, seed: int) -> Floats:
    """MMD^2 of rows centred on their own means, without the diagonal, with random signs: [999]."""
    total = len(own)
    m = total - n
    raw = np.random.Philox(key=np.array([seed, _SIGNS], dtype=np.uint64)).random_raw(_FLIPS * total)
    signs = np.where(raw >> np.uint64(63), 1.0, -1.0).reshape(_FLIPS, total).T
    x, y = signs[:n], signs[n:]
    within_x, within_y, across = (
        np.einsum("ij,ij->j", left, block @ right)
        for left, block, right in ((x, own[:n, :n], x), (y, own[n:, n:], y), (x, own[:n, n:], y))
    )
    return np.asarray(within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2.0 * across / (n * m))


def _check_permutations(permutations: int) -> None:
    if permutations < 1:
        raise InvalidArgument.expected("a number of permutations >= 1", "permutations", permutations)
