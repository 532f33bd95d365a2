"""Token sequences: ids of a vocabulary, or texts, of one length or padded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from math import pi
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gentest._support.arguments import is_whole
from gentest.errors import InvalidArgument, WrongOutputs
from gentest.outputs.kind import Kind
from gentest.outputs.ragged import check_longest, read_ragged
from gentest.outputs.returned import MAX_DEPTH, Range, Sizes, fields_of

PADDING = -1
"""The id of a place after the end of a sequence."""
N_WAVES = 8
"""Pairs of coordinates that tell two ids apart in `Tokens.rows`."""
MOST_IDS = 1 << 24
"""Ids from here on are not exact in float32."""


@dataclass(frozen=True, repr=False)
class Tokens(Kind):
    """Token sequences [B, L]: whole ids >= 0, and -1 after the end of a sequence.

    `show` turns the list of a sequence's ids into the text that reports show and `gentest.valid` checks, such as a
    tokenizer's `decode`; by default it is the ids. With `text=True` f returns texts, whose characters are the tokens.
    `longest` is for sequences of several lengths: lists, texts, or padded ids with `lengths` or `attention_mask` beside
    them. `pad` is an id that only fills up the end; everything after the first `end` is padding, too.

    Two outputs are as far apart as the square root of the share of positions in which they differ, roughly, so
    `gentest.diverse`, `responsive` and `continuous` need no feature. Raises `InvalidArgument` for a wrong argument.

    >>> import gentest, torch
    >>> spell = lambda z: ["C" * int(1 + abs(v)) for v in z[:, 0].tolist()]
    >>> g = gentest.Generator(spell, latent=gentest.Normal(1), outputs=gentest.Tokens(text=True, longest=8))
    >>> g.outputs({"": torch.tensor([[0.0], [2.5]])}).tolist()[1]
    [67.0, 67.0, 67.0, -1.0, -1.0, -1.0, -1.0, -1.0]
    """

    show: Callable[[list[int]], str] | None = field(default=None, hash=False)
    longest: int | None = None
    pad: int | None = None
    end: int | None = None
    text: bool = False
    is_read: bool = field(default=False, kw_only=True, repr=False)
    """True for ids that were read before, and that a file may have rounded."""

    plural: ClassVar[str] = "token sequences"
    instead: ClassVar[str] = "use gentest.valid(check), or pass a callable on ids [B, L]"
    place_axis: ClassVar[int | None] = 0
    is_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.show is not None and not callable(self.show):
            raise InvalidArgument.expected("a callable on a list of ids, such as tokenizer.decode", "show", self.show)
        for name, value, least in (("longest", self.longest, 1), ("pad", self.pad, 0), ("end", self.end, 0)):
            if value is not None and not is_whole(value, least):
                raise InvalidArgument.expected(f"a whole number >= {least}", name, value)
        if self.text and self.longest is None:
            raise InvalidArgument.expected("the largest number of characters beside text=True", "longest", None)

    @property
    def key(self) -> Hashable:
        return f"Tokens(longest={self.longest}, pad={self.pad}, end={self.end}, text={self.text})"

    @property
    def helpers(self) -> tuple[Callable[..., Any], ...]:
        return () if self.show is None else (self.show,)

    @property
    def as_read(self) -> Kind:
        return replace(self, is_read=True)

    def unit(self, output_range: Range) -> float | None:
        """1: another id is another token, however near the numbers."""
        return 1.0

    def limits(self, output_range: Range) -> Range:
        return None

    def read(self, raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
        if output_range is not None:
            raise WrongOutputs("token ids have no output_range: leave it out")
        if self.is_read and isinstance(raw, Tensor) and raw.is_floating_point():
            return raw.to(torch.float32).round()
        texts = _texts(raw, n)
        if texts is not None and not self.text:
            longest = max(map(len, texts))
            raise WrongOutputs(
                f"the generator returned texts: say outputs=gentest.Tokens(text=True, longest={max(8, 2 * longest)})"
            )
        if texts is not None:
            rows = [torch.tensor([ord(character) for character in text], dtype=torch.int64) for text in texts]
        else:
            ragged = read_ragged(raw, n, sizes, axis=0)
            rows = [self._ids(row, ragged.shape, n, sizes) for row in ragged.rows]
            if self.longest is None:
                ragged.check_one_length("Tokens(longest={})")
        longest = self.longest or max(map(len, rows))
        check_longest([len(_content(row)) for row in rows], longest, "Tokens(longest={})")
        made = torch.full((n, longest), float(PADDING), device=rows[0].device)
        for one, row in zip(made, rows, strict=True):
            one[: min(len(row), longest)] = row[:longest].to(torch.float32)
        return made

    def _ids(self, row: Tensor, shape: tuple[int, ...] | None, n: int, sizes: Sizes) -> Tensor:
        """The ids of one sequence, with -1 for padding. Raises `WrongOutputs`."""
        said = f"the generator returned shape {tuple(shape or row.shape)} for latents {sizes}"
        if row.ndim == 2 and row.is_floating_point():
            raise WrongOutputs(f"{said}, which may be logits; expected ids [{n}, L]: return x.argmax(-1)")
        if row.ndim != 1:
            raise WrongOutputs(f"{said}; expected ids [{n}, L]: return x.flatten(1) for a grid of codes")
        if row.is_floating_point() and not bool((row == row.round()).all()):
            raise WrongOutputs(f"{said} with values that are not whole, such as {_odd(row):.4g}; expected token ids")
        ids = row.to(torch.int64)
        if len(ids) and not (int(ids.min()) >= PADDING and int(ids.max()) < MOST_IDS):
            raise WrongOutputs(
                f"{said} with ids from {int(ids.min())} to {int(ids.max())}; expected 0 to {MOST_IDS - 1}"
            )
        if self.end is not None:
            ends = (ids == self.end).nonzero().flatten()
            if len(ends):
                ids = torch.where(torch.arange(len(ids), device=ids.device) <= ends[0], ids, PADDING)
        if self.pad is not None:
            content = (ids != self.pad).nonzero().flatten()
            last = int(content[-1]) if len(content) else -1
            ids = torch.where(torch.arange(len(ids), device=ids.device) <= last, ids, PADDING)
        return ids

    def rows(self, outputs: Tensor) -> Tensor:
        """Rows [n, D]: the squared distance of two is about the share of positions that differ."""
        waves = torch.arange(1, N_WAVES + 1, device=outputs.device, dtype=torch.float64)
        turns = outputs[:, :, None].double() * (pi * (waves * 2.0**0.5) % 2.0)  # irrational parts of a turn
        codes = torch.cat([turns.cos(), turns.sin()], 2).flatten(1)  # [n, L * 2 N_WAVES]
        rows: Tensor = (codes / (2.0 * N_WAVES * outputs.shape[1]) ** 0.5).float()
        return rows

    def contrast(self, outputs: Tensor) -> Tensor:
        """The share of an output's tokens that are not its most common one."""
        shares = []
        for ids in map(_content, outputs):
            counts = torch.unique(ids, return_counts=True)[1]
            shares.append(1.0 - int(counts.max()) / len(ids) if len(ids) else 0.0)
        return outputs.new_tensor(shares)

    def differences(self, one: Tensor, other: Tensor) -> Tensor:
        """1 for each token that is another one."""
        return (one != other).to(one.dtype)

    def moves(self, outputs: Tensor) -> Tensor | None:
        return torch.zeros_like(outputs, dtype=torch.bool)

    def items(self, outputs: Tensor) -> list[Any]:
        """Each sequence as its text, or as a list of ids if nothing shows them."""
        sequences = [_content(row).round().long().tolist() for row in outputs]
        if self.text:
            return ["".join(map(chr, ids)) for ids in sequences]
        return sequences if self.show is None else [self.show(ids) for ids in sequences]

    def pieces(self, output: Tensor) -> list[str]:
        """Each token of one sequence as a text."""
        ids = _content(output).round().long().tolist()
        if self.text:
            return [chr(one) for one in ids]
        return [str(one) if self.show is None else str(self.show([one])) for one in ids]

    def place(self, output: Tensor, start: int, stop: int) -> str:
        """The positions in words, counted from 1, with what stands there.

        >>> Tokens(text=True, longest=9).place(torch.tensor([67.0, 40.0, 67.0]), 1, 2)
        "character 2 of 3, '('"
        """
        word, pieces = "character" if self.text else "token", self.pieces(output)
        if start >= len(pieces):
            return f"the end, after {len(pieces)} {word}s"
        if stop - start == 1:
            return f"{word} {start + 1} of {len(pieces)}, {pieces[start]!r}"
        return f"{word}s {start + 1} to {stop} of {len(pieces)}"


def _content(ids: Tensor) -> Tensor:
    """The ids [L] of a sequence up to its padding."""
    kept = (ids > PADDING + 0.5).nonzero().flatten()
    return ids[: int(kept[-1]) + 1] if len(kept) else ids[:0]


def _odd(row: Tensor) -> float:
    return row[row != row.round()][0].item()


def _texts(raw: object, n: int, depth: int = MAX_DEPTH) -> Sequence[str] | None:
    """The n texts in what f returned; None if there are none."""
    values = raw.tolist() if isinstance(raw, np.ndarray) and raw.dtype.kind in "UO" else raw
    if isinstance(values, str) and n == 1:
        return [values]
    if isinstance(values, (list, tuple)) and len(values) == n and all(isinstance(one, str) for one in values):
        return values
    if isinstance(values, (list, Tensor, np.ndarray, str)) or not depth:
        return None
    found = [_texts(value, n, depth - 1) for _, _, value in fields_of(values, "x")]
    return next((texts for texts in found if texts is not None), None)
