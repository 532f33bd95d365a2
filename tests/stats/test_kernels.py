"""Kernels: their widths, their values on known rows, and samples that are refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.stats.kernels import (
    centred,
    checked_samples,
    kernels_by_scale,
    squared_distances,
    summed_kernel,
)
from gentest.stats.two_sample import mmd_test


@pytest.mark.parametrize(
    ("rows", "nearest", "median"),
    [
        ([0.0, 1.0, 3.0, 6.0], 2.5, 9.0),  # nearest squared 1, 1, 4, 9; all squared 1, 9, 36, 4, 25, 9
        ([0.0, 0.0, 1.0, 3.0], 1.0, 2.5),  # rows that are alike are no neighbours: 1, 1, 1, 4; all 0, 1, 9, 1, 9, 4
        ([0.0, 0.0, 0.0, 0.0, 3.0], 9.0, 9.0),  # six pairs of ten are alike: of the others
        ([0.0, 0.0, 0.0, 0.0, 0.5], 0.25, 0.25),  # however near those lie
        ([5.0, 5.0, 5.0, 5.0], 1.0, 1.0),  # none differs: any width will do
    ],
)
def test_widths_are_of_neighbours_and_of_the_median(rows: list[float], nearest: float, median: float) -> None:
    """Squared widths go evenly in logarithms from a quarter of the median nearest to four medians, by hand."""
    squared = (np.array(rows)[:, None] - np.array(rows)) ** 2
    off = ~np.eye(len(rows), dtype=bool)
    narrowest = nearest / 4.0 if squared.any() else 1.0
    kernels = list(kernels_by_scale(squared_distances(np.array(rows)[:, None])))
    assert len(kernels) == 5
    for k, kernel in enumerate(kernels):
        width = narrowest * (4.0 * median / narrowest) ** (k / 4)
        assert kernel == pytest.approx(np.exp(-squared / (2.0 * width)) * off)
    summed = sum(np.exp(-squared / (2.0 * width**2 * median)) for width in (0.25, 0.5, 1.0, 2.0))
    assert summed_kernel(squared_distances(np.array(rows)[:, None])) == pytest.approx(summed * off)


def test_two_rows_have_a_known_kernel() -> None:
    """At the median distance itself the four kernels are e^-8, e^-2, e^-1/2 and e^-1/8: 1.624698 in all."""
    assert summed_kernel(np.array([7.0])) == pytest.approx(1.624698 * (1.0 - np.eye(2)), rel=1e-6)


def test_centring_takes_a_number_of_each_row_off_its_pairs() -> None:
    """Of four rows with one pair of kernel 12: less half of each row's sum, plus a sixth of all: 4, -2 and 4."""
    kernel = np.zeros((4, 4))
    kernel[0, 1] = kernel[1, 0] = 12.0
    expected = np.array(
        [[0.0, 4.0, -2.0, -2.0], [4.0, 0.0, -2.0, -2.0], [-2.0, -2.0, 0.0, 4.0], [-2.0, -2.0, 4.0, 0.0]]
    )
    assert centred(kernel) == pytest.approx(expected)


def test_samples_are_rows_of_doubles() -> None:
    """Whatever kind of numbers is given, distances are between doubles, of samples as they were named and ordered."""
    x, y = checked_samples(x=[[1], [2]], y=np.zeros((3, 1), dtype=np.float32))  # type: ignore[arg-type]
    assert (x.dtype, y.dtype) == (np.float64, np.float64)
    assert (x.tolist(), y.tolist()) == ([[1.0], [2.0]], [[0.0]] * 3)


@pytest.mark.parametrize(
    ("x", "y", "permutations", "said"),
    [
        (np.zeros((1, 2)), np.zeros((4, 2)), 9, "two or more rows of numbers but got x.shape=(1, 2) "),
        (np.zeros((4, 2)), np.zeros(4), 9, "two or more rows of numbers but got y.shape=(4,) "),
        (np.zeros((4, 2)), np.zeros((4, 3)), 9, "rows of 2 numbers, as x has but got y.shape=(4, 3) "),
        (np.zeros((4, 0)), np.zeros((4, 0)), 9, "two or more rows of numbers but got x.shape=(4, 0) "),
        (np.full((4, 2), math.nan), np.zeros((4, 2)), 9, "finite numbers but got x=array([[nan, nan],"),
        (np.zeros((4, 2)), np.full((4, 2), math.inf), 9, "finite numbers but got y=array([[inf, inf],"),
        (np.zeros((4, 2)), np.zeros((4, 2)), 0, "a number of permutations >= 1 but got permutations=0 "),
    ],
)
def test_samples_that_make_no_sense_are_refused(
    x: NDArray[np.float64], y: NDArray[np.float64], permutations: int, said: str
) -> None:
    """Too few rows, rows of different lengths, what is not finite and no permutations are misuse."""
    with pytest.raises(InvalidArgument, match=f"^Expected {re.escape(said)}"):
        mmd_test(x, y, permutations=permutations)
