"""Outputs of several lengths: where each ends, and padding."""

from __future__ import annotations

import pytest
import torch

from gentest.errors import WrongOutputs
from gentest.outputs.ragged import check_longest, padded, read_ragged

SIZES = {"z": (2, 4)}


def test_a_list_of_a_batch_of_one_is_not_a_row() -> None:
    """For one latent, [x] with x [1, T] is the batch x, and [x] with x [T] is one row."""
    one = {"z": (1, 4)}
    assert [tuple(row.shape) for row in read_ragged([torch.zeros(1, 9)], 1, one, axis=-1).rows] == [(9,)]
    assert [tuple(row.shape) for row in read_ragged([torch.zeros(9)], 1, one, axis=-1).rows] == [(9,)]


def test_a_tuple_of_two_outputs_is_not_a_pair_of_lengths() -> None:
    """Whole numbers [B] are lengths; two outputs of two latents are rows."""
    rows = read_ragged((torch.zeros(3), torch.zeros(5)), 2, SIZES, axis=-1)
    assert rows.lengths == [3, 5]
    cut = read_ragged((torch.zeros(2, 7), torch.tensor([3, 5])), 2, SIZES, axis=-1)
    assert cut.lengths == [3, 5]
    assert cut.shape == (2, 7)


def test_an_empty_row_is_all_padding() -> None:
    """A length of 0 leaves a mask of zeros."""
    made = padded([torch.ones(1, 0), torch.ones(1, 2)], 3, "Audio(longest={})")
    assert made[:, -1].tolist() == [[0, 0, 0], [1, 1, 0]]


def test_too_long_a_row_names_a_length_with_room() -> None:
    """The line to write has a power of two above the length."""
    with pytest.raises(WrongOutputs, match=r"say outputs=gentest.Tokens\(longest=128\)"):
        check_longest([57], 16, "Tokens(longest={})")
