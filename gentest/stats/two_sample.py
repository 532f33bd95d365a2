"""Two samples: whether they are of one distribution, by the maximum mean discrepancy and its permutations.

Gretton et al. 2012, "A kernel two-sample test": the unbiased estimate of MMD^2 (equation 3), its null distribution by
permuting which sample a row belongs to, so that the test is exact whatever the distribution. The kernel is a sum of
Gaussians around the median distance (four widths, from detail to the whole), which sees a collapse within modes as
well as a shift; one wide kernel sees the shift alone. Where modes lie several times their own width apart, the median
is the distance between modes, and even the narrowest kernel sees little of what happens within one.

With s marking the rows of x, K the kernel without its diagonal and r its row sums, the sums over pairs that MMD^2
needs are s'Ks, s'r and 1'r: many permutations are one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from gentest.errors import InvalidArgument

Floats: TypeAlias = NDArray[np.float64]

WIDTHS = (0.25, 0.5, 1.0, 2.0)
"""The kernels' widths, in median distances."""

_CHUNK = 1 << 20  # numbers held of a chunk of permutations; no result depends on it
_ROUNDING = 1e-12  # of the kernel's size: what permutations that tie exactly may differ by
_PERMUTATIONS = 1 << 32  # the stream of Philox that permutations are drawn from


@dataclass(frozen=True)
class TwoSample:
    """The unbiased estimate of MMD^2, which is below 0 about as often as above where nothing differs, and its p."""

    mmd2: float
    p: float


def mmd_test(x: Floats, y: Floats, *, permutations: int = 499, seed: int = 0) -> TwoSample:
    """How far the distributions of the rows of `x` [n, D] and `y` [m, D] are apart, and the p-value of its being 0.

    The p-value cannot go below 1 / (1 + `permutations`). The same seed gives the same permutations on any machine.

    >>> x = np.linspace(0.0, 1.0, 40)[:, None]
    >>> mmd_test(x, x + 2.0).p, mmd_test(x, x).p
    (0.002, 1.0)
    """
    x, y = _checked("x", x), _checked("y", y)
    if x.shape[1] != y.shape[1]:
        raise InvalidArgument.expected(f"rows of {x.shape[1]} numbers, as x has", "y.shape", y.shape)
    if permutations < 1:
        raise InvalidArgument.expected("a number of permutations >= 1", "permutations", permutations)
    n, total = len(x), len(x) + len(y)
    kernel = _kernel(np.concatenate([x, y]))
    members = np.zeros((total, 1))
    members[:n] = 1.0
    observed = _mmd2(kernel, members)[0]
    least = observed - _ROUNDING * len(WIDTHS)
    as_far = 0
    stream = np.random.Philox(key=np.array([seed, _PERMUTATIONS], dtype=np.uint64))
    at_once = max(_CHUNK // total, 1)
    for start in range(0, permutations, at_once):
        count = min(at_once, permutations - start)
        order = np.argsort(stream.random_raw(count * total).reshape(count, total), axis=1, kind="stable")
        members = np.zeros((total, count))
        np.put_along_axis(members, order.T[:n], 1.0, axis=0)
        as_far += int(np.count_nonzero(_mmd2(kernel, members) >= least))
    return TwoSample(float(observed), (1 + as_far) / (1 + permutations))


def _kernel(rows: Floats) -> Floats:
    """The summed Gaussian kernel between all pairs of rows, [N, N], with a diagonal of 0."""
    squared = pdist(rows, "sqeuclidean")
    apart = squared[squared > 0.0]
    if len(apart) == 0:
        return np.asarray(squareform(np.full(len(squared), float(len(WIDTHS)))))
    median = np.median(squared) or np.median(apart)  # more than half of the rows may be alike
    kernel = np.zeros_like(squared)
    for width in WIDTHS:
        kernel += np.exp(-squared / (2.0 * width**2 * median))
    return np.asarray(squareform(kernel))


def _mmd2(kernel: Floats, members: Floats) -> Floats:
    """The unbiased MMD^2 of each column of `members` [N, P], 1 where a row belongs to x and 0 where it does to y."""
    rows = kernel.sum(axis=1)
    within_x = np.einsum("ij,ij->j", members, kernel @ members)
    across = rows @ members - within_x
    within_y = rows.sum() - 2.0 * across - within_x
    n = members[:, 0].sum()
    m = len(members) - n
    return np.asarray(within_x / (n * (n - 1.0)) + within_y / (m * (m - 1.0)) - 2.0 * across / (n * m))


def _checked(name: str, rows: Floats) -> Floats:
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] < 1:
        raise InvalidArgument.expected("two or more rows of numbers", f"{name}.shape", rows.shape)
    if not np.isfinite(rows).all():
        raise InvalidArgument.expected("finite numbers", name, rows)
    return rows
