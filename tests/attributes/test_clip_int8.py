"""Matrix products in 8 bits, with a scale for each 32 numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gentest.attributes.clip_int8 import BLOCK, Int8Module, in_blocks

UNIT = BLOCK**0.5 / 127 / 12**0.5
"""The most that an even error within a 127th of a block's largest number is, as a share of their root mean square."""


@pytest.mark.parametrize("shape", [(1, 1), (32, 3), (33, 5), (100, 2)])
def test_blocks_are_within_half_a_step(shape: tuple[int, int]) -> None:
    """What they mean is the matrix, each number within half of its own block's scale."""
    matrix = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    matrix[0] *= 1000  # an outlier costs its own block alone
    blocks = in_blocks(matrix)
    assert blocks.values.shape == (shape[1], -(-shape[0] // BLOCK), BLOCK)
    meant = (blocks.values.astype(np.float32) - 128) * blocks.scales[..., None]
    back = meant.reshape(shape[1], -1)[:, : shape[0]].T
    steps = np.repeat(blocks.scales, BLOCK, 1)[:, : shape[0]].T
    assert (np.abs(back - matrix) <= 0.5001 * steps).all()
    assert (steps[BLOCK:] < 0.05).all()


def test_blocks_of_zeros_are_zeros() -> None:
    blocks = in_blocks(np.zeros((40, 2), np.float32))
    assert (blocks.values == 128).all()
    assert (blocks.scales == 0).all()


class Lines(nn.Module):
    """Products with and without a bias, of rows and of rows of rows, and of sizes that are no multiples of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(50, 70), nn.Linear(70, 33, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.up(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(50,), (3, 50)])
def test_products_of_any_size_are_in_int8(shape: tuple[int, ...]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, given = Lines().eval(), torch.randn(9, *shape)
    low, full = Int8Module(module, given[:2])(given), module(given).detach()
    assert low.shape == full.shape
    assert 0 < (low - full).norm() / full.norm() < 4 * UNIT


def test_an_outlier_costs_its_own_block_alone() -> None:
    """Rows with one number ten thousand times the others keep three blocks of four; with one scale a row, nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, given = nn.Linear(128, 64, bias=False).eval(), torch.randn(9, 128)
    with torch.no_grad():
        module.weight[:, 3] = 0
        given[:, 3] = 1e4
        low, full = Int8Module(module, given[:2])(given), module(given)
    assert (low - full).norm() / full.norm() < 0.6  # the root of a quarter is lost
