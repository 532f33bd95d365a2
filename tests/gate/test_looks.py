"""Embeddings as a baseline keeps them: small, near to what they were, and no grid to be told apart by."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gentest.gate.looks import BYTE, DIMENSIONS, packed, projected, unpacked
from gentest.stats.two_sample import mmd_test


def rows(n: int, *, seed: int, largest: float = 1.0) -> np.ndarray:
    """Rows of which most values repeat, and one is as large as is said: what a grid of their own would give away."""
    rng = np.random.default_rng(seed)
    values = np.where(rng.random((n, 12)) < 0.9, 0.3, 0.7) + 0.002 * rng.standard_normal((n, 12))
    values[rng.integers(n), 0] = largest
    return values


@pytest.mark.parametrize("factor", [1e-6, 1.0, 3.7e5])
def test_rows_come_back_within_a_step(factor: float) -> None:
    """Every number is within a step of what it was, the step at most 2 / 127 of the largest."""
    before = factor * rows(50, seed=1)
    (after,) = unpacked(packed(before))
    assert np.abs(after - before).max() <= packed(before).scale <= 2 * np.abs(before).max() / BYTE


def test_many_dimensions_become_few_and_keep_their_distances() -> None:
    """Projected rows are as far apart as they were, to within what 48 signs allow."""
    before = np.random.default_rng(2).standard_normal((40, 3000))
    after = projected(before)
    assert after.shape == (40, DIMENSIONS)
    ratio = np.linalg.norm(after[1:] - after[:1], axis=1) / np.linalg.norm(before[1:] - before[:1], axis=1)
    assert 0.5 < ratio.min() < ratio.max() < 1.6


@pytest.mark.parametrize("times", [1, 2, 4, 64])
def test_cutting_to_a_finer_grid_first_changes_nothing(times: int) -> None:
    """A sample beside one of coarser grid is cut as if it had been kept on that grid."""
    before = np.random.default_rng(3).uniform(-1, 1, (30, 5))
    other = times * np.ones((1, 5)) * BYTE / 128
    fine, coarse = packed(before), packed(other)
    scale = max(fine.scale, coarse.scale)
    np.testing.assert_array_equal(unpacked(fine, coarse)[0], (np.floor(before / scale) + 0.5) * scale)


def test_rows_that_are_all_zero_are_kept() -> None:
    """A collapsed generator's too."""
    assert np.unique(unpacked(packed(np.zeros((4, 3))))[0]).tolist() == [0.5]


def test_two_samples_of_one_distribution_are_not_told_apart_by_their_grids() -> None:
    """Samples whose largest values differ, and so their grids, differ no more often than chance allows."""
    found = []
    for seed in range(40):
        x, y = unpacked(packed(rows(128, seed=seed)), packed(rows(128, seed=1000 + seed, largest=1.0 + 0.1 * seed)))
        found.append(mmd_test(x, y, permutations=99, seed=seed).p <= 0.05)
    assert sum(found) <= stats.binom.ppf(1.0 - 1e-4, 40, 0.05)
