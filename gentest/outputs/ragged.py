"""Outputs of several lengths: a list of rows, or padded rows with lengths or a mask beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from gentest.errors import WrongOutputs
from gentest.outputs.returned import Sizes, as_tensor, fields_of, read_values

LENGTHS = ("lengths", "length", "sequence_lengths", "waveform_lengths", "audio_lengths", "token_lengths")
"""The names under which models return the length of each output."""
MASKS = ("mask", "attention_mask")
"""The names under which they return a mask that is 1 up to the end of each output."""


@dataclass(frozen=True)
class Ragged:
    """Outputs without their padding, each a tensor of its own length."""

    rows: list[Tensor]
    axis: int
    """The axis of a row that has its length."""
    shape: tuple[int, ...] | None = None
    """The shape of the tensor that held them all; None for a list of rows."""

    @property
    def lengths(self) -> list[int]:
        """The length of each row."""
        return [row.shape[self.axis] for row in self.rows]

    def check_one_length(self, kind: str) -> None:
        """Raises `WrongOutputs` with the line to write, from `kind` with a place for a length, for several lengths."""
        shortest, longest = min(self.lengths), max(self.lengths)
        if shortest < longest:
            raise WrongOutputs(
                f"the generator returned outputs of several lengths, {shortest:,} to {longest:,}: "
                f"say outputs=gentest.{kind.format(_roomy(longest))}"
            )


def read_ragged(raw: object, n: int, sizes: Sizes, *, axis: int) -> Ragged:
    """The n outputs in what f returned, each cut to its length. Raises `WrongOutputs`.

    `axis` is the axis of one output that has its length.
    """
    if isinstance(raw, (list, tuple)) and not hasattr(raw, "_fields"):
        if isinstance(raw, tuple) and len(raw) == 2 and (ends := _lengths(raw[1], n, "lengths")) is not None:
            return _cut(raw[0], ends, n, sizes, axis)
        rows = [_row(one) for one in raw] if len(raw) == n else [None]
        if all(row is not None for row in rows) and (n > 1 or not _is_batch(rows[0])):
            return Ragged([row for row in rows if row is not None], axis)
    named = {name: value for name, _, value in fields_of(raw, "x")} if not isinstance(raw, (Tensor, np.ndarray)) else {}
    for name in (*LENGTHS, *MASKS):
        if name in named and (ends := _lengths(named[name], n, name)) is not None:
            rest = {key: value for key, value in named.items() if key not in (*LENGTHS, *MASKS)}
            return _cut(rest, ends, n, sizes, axis)
    for value in named.values():
        if isinstance(value, list) and len(value) == n and all(_row(one) is not None for one in value):
            return read_ragged(value, n, sizes, axis=axis)
    values = read_values(raw, n, sizes).values
    return Ragged(list(values), axis, tuple(values.shape))


def _cut(raw: object, ends: Sequence[int], n: int, sizes: Sizes, axis: int) -> Ragged:
    """The outputs in `raw`, each up to its end."""
    values = read_values(raw, n, sizes).values
    along = axis + 1 if axis >= 0 else axis
    size = values.shape[along] if -values.ndim <= along < values.ndim else 0
    if max(ends) > size or min(ends) < 0:
        raise WrongOutputs(
            f"the generator returned lengths from {min(ends):,} to {max(ends):,} of outputs {tuple(values.shape)}, "
            f"which have {size:,} places"
        )
    return Ragged([row.narrow(axis, 0, end) for row, end in zip(values, ends, strict=True)], axis, tuple(values.shape))


def _lengths(value: object, n: int, name: str) -> list[int] | None:
    """The n lengths that a field says; None if it does not."""
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError):
        return None
    if name in MASKS:
        return None if array.ndim != 2 or len(array) != n else [int(row.sum()) for row in array.astype(bool)]
    return array.tolist() if array.shape == (n,) and array.dtype.kind in "iu" else None


def _row(value: object) -> Tensor | None:
    """One output of a list, as a tensor; None for anything else."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (list, tuple)) and not all(isinstance(one, (int, float)) for one in value):
        return None
    if isinstance(value, (np.ndarray, list, tuple)) and not isinstance(value, str):
        array = np.asarray(value)
        return None if array.dtype.kind not in "fiub" or not array.ndim else as_tensor(array)
    return None


def _is_batch(row: Tensor | None) -> bool:
    """Whether the only item of a list is a batch of one, [1, T] or [1, C, T], rather than an output."""
    return row is not None and row.ndim > 1 and len(row) == 1


def padded(rows: Sequence[Tensor], longest: int, kind: str) -> Tensor:
    """Rows [C, T] of several lengths as [n, C + 1, longest]: padded with 0, and their mask as the last channel.

    Raises `WrongOutputs` with the line to write, from `kind` with a place for a length, for a row that is too long.
    """
    check_longest([row.shape[-1] for row in rows], longest, kind)
    made = rows[0].new_zeros(len(rows), len(rows[0]) + 1, longest)
    for one, row in zip(made, rows, strict=True):
        one[:-1, : row.shape[-1]] = row
        one[-1, : row.shape[-1]] = 1.0
    return made


def check_longest(lengths: Sequence[int], longest: int, kind: str) -> None:
    """Raises `WrongOutputs` with the line to write if an output is longer than `longest`."""
    if max(lengths) > longest:
        raise WrongOutputs(
            f"the generator returned an output of length {max(lengths):,}, and the longest is declared as {longest:,}: "
            f"say outputs=gentest.{kind.format(_roomy(max(lengths)))}"
        )


def _roomy(length: int) -> int:
    """A power of two that leaves room for outputs somewhat longer than one that was seen.

    >>> _roomy(31), _roomy(57)
    (64, 128)
    """
    return 1 << (max(1, length) * 3 // 2).bit_length()
