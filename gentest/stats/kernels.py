"""Gaussian kernels between the rows of samples, at widths taken from the rows themselves.

There are two sets of widths. Four around the median distance are summed to one kernel: a fixed scale, on which a
discrepancy can be compared with a declared one. Five, from half the distance to the nearest neighbour to twice the
median, give one kernel each and show if anything differs at all: if modes lie several times their own width apart, the
median is the distance between modes, and differences within a mode show at the distance between neighbours. Widths come
from all rows together, so that they do not depend on which sample a row belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from gentest.errors import InvalidArgument

Floats: TypeAlias = NDArray[np.float64]

WIDTHS = (0.25, 0.5, 1.0, 2.0)
"""The widths of the summed kernel, in median distances."""
N_SCALES = 5
"""The number of widths from detail to whole, evenly spaced in their logarithms."""


def checked_samples(**samples: Floats) -> list[Floats]:
    """The samples as float64. Raises `InvalidArgument` unless each has two or more finite rows of one length."""
    checked: list[Floats] = []
    for name, given in samples.items():
        rows = np.asarray(given, dtype=np.float64)
        if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] < 1:
            raise InvalidArgument.expected("two or more rows of numbers", f"{name}.shape", rows.shape)
        if not np.isfinite(rows).all():
            raise InvalidArgument.expected("finite numbers", name, rows)
        if checked and rows.shape[1] != checked[0].shape[1]:
            first = next(iter(samples))
            expected = f"rows of {checked[0].shape[1]} numbers, as {first} has"
            raise InvalidArgument.expected(expected, f"{name}.shape", rows.shape)
        checked.append(rows)
    return checked


def squared_distances(rows: Floats) -> Floats:
    """Squared distances between all pairs of `rows` [N, D], condensed [N (N - 1) / 2]; exactly 0 between equal rows."""
    return np.asarray(pdist(rows, "sqeuclidean"))


def summed_kernel(squared: Floats) -> Floats:
    """The sum of the kernels at `WIDTHS`, in [0, 4], of condensed squared distances: [N, N], with a diagonal of 0."""
    median = _median(squared)
    kernel = np.zeros_like(squared)
    for width in WIDTHS:
        kernel += _fading(squared / (2.0 * width**2 * median))
    return np.asarray(squareform(kernel))


def kernels_by_scale(squared: Floats) -> Iterator[Floats]:
    """The kernel at each of the `N_SCALES` widths, narrowest first, each [N, N] with a diagonal of 0."""
    between = squareform(squared)
    nearest = np.where(between > 0.0, between, np.inf).min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    median = _median(squared)
    narrowest = np.median(nearest) / 4.0 if len(nearest) else median  # squared, like all distances here
    for width in np.geomspace(narrowest, 4.0 * median, N_SCALES):
        kernel = _fading(between / (2.0 * width))
        np.fill_diagonal(kernel, 0.0)
        yield kernel


def _fading(exponent: Floats) -> Floats:
    with np.errstate(under="ignore"):  # far apart is 0, even if the caller raises on underflow
        return np.asarray(np.exp(-exponent))


def centred(kernel: Floats) -> Floats:
    """The kernel [N, N] of four or more rows, U-centred: its rows sum to 0, and any two samples keep their discrepancy.

    U-centring (Szekely and Rizzo 2014, "Partial distance correlation with methods for dissimilarities") subtracts one
    number per row from its pairs, which does not change the unbiased MMD^2. The diagonal stays 0.
    """
    n = len(kernel)
    by_row = kernel.sum(axis=1) / (n - 2)
    balanced = kernel - by_row[:, None] - by_row + by_row.sum() / (n - 1)
    np.fill_diagonal(balanced, 0.0)
    return np.asarray(balanced)


def _median(squared: Floats) -> float:
    """The median squared distance; of the pairs that differ if it is 0, and 1 if all rows are equal."""
    apart = squared[squared > 0.0]
    return float(np.median(squared) or np.median(apart)) if len(apart) else 1.0
