"""Matrix products in 8 bits, with a scale for each 32 numbers."""

from __future__ import annotations

import gc
import logging
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gentest.attributes import clip_int8
from gentest.attributes.clip_int8 import BLOCK, Int8Module, in_blocks
from gentest.errors import InvalidArgument

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


@pytest.fixture
def lines() -> Lines:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Lines().eval()


GIVEN = torch.randn(50, 50, generator=torch.Generator().manual_seed(1))


def test_a_row_is_the_same_alone_and_in_a_batch(lines: Lines) -> None:
    """Whatever is beside it, and in whichever order."""
    low = Int8Module(lines, GIVEN[:2])
    beside = torch.cat([GIVEN[:1], 1e4 * GIVEN[1:]])
    alone = low(GIVEN[:1])
    torch.testing.assert_close(low(GIVEN)[:1], alone, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(low(beside)[:1], alone, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(low(beside.flip(0))[-1:], alone, atol=1e-6, rtol=1e-6)


def test_modules_made_of_one_are_equal_whatever_they_were_shown(lines: Lines) -> None:
    """The example says only what shape there is: each process makes a module of its own."""
    assert torch.equal(Int8Module(lines, GIVEN[:2])(GIVEN), Int8Module(lines, 100 * GIVEN[2:4])(GIVEN))


def test_a_module_is_left_as_it_was_and_let_go(
    lines: Lines, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its weights do not change, nothing is printed or logged, and what is in 8 bits does not keep it alive."""
    weights = {name: tensor.clone() for name, tensor in lines.state_dict().items()}
    handlers, disabled = list(logging.root.handlers), logging.root.manager.disable
    low = Int8Module(lines, GIVEN[:2])
    assert all(torch.equal(weights[name], tensor) for name, tensor in lines.state_dict().items())
    assert all(parameter.requires_grad for parameter in lines.parameters())
    assert (logging.root.handlers, logging.root.manager.disable) == (handlers, disabled)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    alive = weakref.ref(lines.up)
    lines.up = nn.Identity()  # type: ignore[assignment]
    gc.collect()
    assert alive() is None
    assert low(GIVEN).isfinite().all()


def test_it_has_torchs_threads(lines: Lines) -> None:
    before = torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            assert Int8Module(lines, GIVEN[:2])._session.get_session_options().intra_op_num_threads == n
    finally:
        torch.set_num_threads(before)


def test_it_can_be_made_and_run_without_gradients_and_in_a_double_world(lines: Lines) -> None:
    """Whoever measures may be in inference mode, or have float64 as torch's default."""
    plain = Int8Module(lines, GIVEN[:2])(GIVEN)
    with torch.inference_mode():
        assert torch.equal(Int8Module(lines, GIVEN[:2] + 0)(GIVEN + 0), plain)
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(Int8Module(lines, GIVEN[:2])(GIVEN), plain)
    finally:
        torch.set_default_dtype(torch.float32)


def test_convolutions_are_refused_with_what_to_take_instead() -> None:
    module = nn.Sequential(nn.Conv2d(3, 40, 3), nn.Conv2d(40, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 4)).eval()
    with pytest.raises(InvalidArgument, match=r"hold 11% of the weights.*convolutions.*take precision bf16"):
        Int8Module(module, torch.zeros(2, 3, 8, 8))


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_int8, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(InvalidArgument, match=r"needs onnxscript: pip install 'pytest-gentest\[int8\]'"):
        clip_int8.check_packages()
