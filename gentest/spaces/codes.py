"""Grids of discrete codes, the latents of tokenizers' decoders (van den Oord et al. 2017, VQ-VAE, arXiv:1711.00937).

A grid is a latent of a seed as any other: a probe never lists its codes. A path from one grid to another replaces
positions one after the other, in a fixed shuffled order. A reduction sets positions to the *blank*, the most common
code, until it knows which positions a failure needs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument
from gentest.spaces.space import Array, Choice, Fixed, Floats, Part, check_shape, digest_of, format_shape
from gentest.spaces.streams import uniforms

MOST_CODES = 1 << 24
"""The largest codebook: digests and features hold a code as float32, which is exact up to here."""
ORDER_SEED = 0x636F646573
"""The seed of the order in which a path replaces positions."""


@dataclass(frozen=True, init=False)
class Codes(Choice):
    """A grid of discrete codes from 0 to k - 1, int64 [*shape], such as the tokens that a VQ-VAE decodes.

    Codes are drawn independently, equally likely or by `weights`: k numbers >= 0, not all 0. `Codes.from_bank` draws
    whole grids instead, which keep how codes belong together. The size is free: a probe of 16 x 16 codes of 1,024, or
    of 64 x 64, is one seed.

    A counterexample is reduced to the positions that it needs: all others get the code `blank`, by default the most
    common one (0 if all are equally likely). A path replaces the codes of one grid by those of another, position by
    position. Raises `InvalidArgument` for a size, a weight or a code that is out of range.

    >>> import gentest
    >>> gentest.Codes((16, 16), 1024)
    Codes((16, 16), 1024)
    >>> gentest.Codes(8, 4, weights=[1, 1, 5, 1]).blank
    2
    """

    grid: tuple[int, ...]
    k: int
    blank: int
    probabilities: tuple[float, ...] | None
    edges: Floats = field(compare=False, repr=False)

    def __init__(
        self,
        shape: int | Sequence[int],
        k: int,
        *,
        weights: Iterable[float] | None = None,
        blank: int | None = None,
    ) -> None:
        if not is_whole(k, 1, MOST_CODES):
            raise InvalidArgument.expected(f"a number of codes from 1 to {MOST_CODES:,}", "k", k)
        probabilities = None if weights is None else _probabilities(k, weights)
        common = 0 if probabilities is None else int(np.argmax(probabilities))
        values = {
            "grid": check_shape(shape),
            "k": k,
            "blank": common if blank is None else _check_code("blank", blank, k),
            "probabilities": probabilities,
            "edges": np.cumsum(probabilities or ())[:-1],
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_bank(cls, grids: ArrayLike, *, k: int | None = None, blank: int | None = None) -> CodeBank:
        """An equally likely grid of a bank [M, *shape] of whole numbers, such as encoded images; `k` counts the codes.

        By default `k` is the largest code plus 1, and `blank` the code that the bank has most often.

        >>> Codes.from_bank([[3, 1, 1], [1, 0, 2]])
        Codes.from_bank(2 of 3, k=4, 44667c0696e4114d)
        """
        return CodeBank(grids, k=k, blank=blank)

    def __repr__(self) -> str:
        also = "" if self.probabilities is None else f", weights={_listed(self.probabilities)}"
        common = 0 if self.probabilities is None else int(np.argmax(self.probabilities))
        also += "" if self.blank == common else f", blank={self.blank}"
        return f"Codes({format_shape(self.shape)}, {self.k}{also})"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.grid

    @property
    def dim(self) -> int:
        return prod(self.shape)

    @property
    def n_groups(self) -> int:
        return self.dim

    @property
    def n_values(self) -> int | None:
        return None  # too many to be listed

    @property
    def n_positions(self) -> int:
        return prod(self.shape)

    @property
    def takes(self) -> Hashable:
        return "codes", self.shape, self.k

    def from_uniforms(self, uniforms: Floats) -> Array:
        if self.probabilities is None:
            codes = np.minimum((uniforms * self.k).astype(np.int64), self.k - 1)
        else:
            codes = np.searchsorted(self.edges, uniforms, side="right").astype(np.int64)
        return codes.reshape(-1, *self.shape)

    def straight(self, near: Array, far: Array, t: Floats) -> Array:
        n = self.n_positions
        replaced = t[..., None] > (_ranks(n) + 0.5) / n  # [N, P, positions]
        codes = np.where(replaced, far.reshape(len(far), 1, n), near.reshape(len(near), 1, n))
        return np.asarray(codes.reshape(*t.shape, *self.shape), dtype=np.int64)

    def given(self, name: str, value: Any) -> Part:
        codes = _whole_numbers(value)
        if codes is None or codes.shape != self.shape or not ((codes >= 0) & (codes < self.k)).all():
            raise InvalidArgument.expected(f"codes from 0 to {self.k - 1} of shape {self.shape}", name, value)
        return Fixed(self, codes)

    def shown(self, option: Sequence[int]) -> str:
        codes = np.asarray(option, np.int64).reshape(self.shape)
        return f"codes {format_shape(self.shape)}, {digest_of(codes)}"


class CodeBank(Codes):
    """One of some grids of codes, all equally likely: `Codes.from_bank` makes one."""

    bank: Array
    digest: str
    n_distinct: int

    def __init__(self, grids: ArrayLike, *, k: int | None = None, blank: int | None = None) -> None:
        codes = _whole_numbers(grids)
        if codes is None or codes.ndim < 2 or not codes.size or codes.min() < 0:
            got = type(grids).__name__ if codes is None else f"shape {codes.shape}, smallest {codes.min(initial=0)}"
            raise InvalidArgument(f"Expected a bank of codes [M, *shape], whole numbers >= 0, M >= 1, but got {got}")
        most = int(codes.max()) + 1
        if k is not None and is_whole(k, 1) and k < most:
            raise InvalidArgument.expected(f"at least {most}, since the bank has the code {most - 1}", "k", k)
        common = int(np.bincount(codes.ravel()).argmax())
        super().__init__(codes.shape[1:], most if k is None else k, blank=common if blank is None else blank)
        codes.setflags(write=False)
        distinct = len({row.tobytes() for row in codes})
        for name, value in (("bank", codes), ("digest", digest_of(codes)), ("n_distinct", distinct)):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CodeBank) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> Hashable:
        return self.digest, self.k, self.blank

    def __repr__(self) -> str:
        common = int(np.bincount(self.bank.ravel()).argmax())
        also = "" if self.blank == common else f", blank={self.blank}"
        return f"{self.key[:-1]}, k={self.k}{also}, {self.digest})"

    @property
    def key(self) -> str:
        return f"Codes.from_bank({len(self.bank)} of {format_shape(self.shape)})"

    @property
    def dim(self) -> int:
        return 1

    @property
    def n_values(self) -> int | None:
        return self.n_distinct

    @property
    def n_entries(self) -> int:
        return len(self.bank)

    def entries(self, uniforms: Floats) -> Array:
        return np.minimum((uniforms[:, 0] * len(self.bank)).astype(np.int64), len(self.bank) - 1)

    def from_uniforms(self, uniforms: Floats) -> Array:
        return np.array(self.bank[self.entries(uniforms)])


def _ranks(n: int) -> Array:
    """The place of each of n positions in the order in which a path replaces them."""
    return np.argsort(np.argsort(uniforms(ORDER_SEED, 0, 0, n)))


def _probabilities(k: int, weights: Iterable[float]) -> tuple[float, ...]:
    given = weights.tolist() if hasattr(weights, "tolist") else weights
    numbers = [as_number(w) for w in given] if isinstance(given, Iterable) else []
    if len(numbers) != k or not all(0.0 <= w < inf for w in numbers) or not 0.0 < sum(numbers) < inf:
        raise InvalidArgument.expected(f"{k} weights >= 0, not all 0", "weights", weights)
    total = sum(numbers)
    return tuple(w / total for w in numbers)


def _listed(probabilities: tuple[float, ...]) -> str:
    """The weights as Python writes them; many of them by a digest."""
    return repr(probabilities) if len(probabilities) <= 8 else f"<{digest_of(np.asarray(probabilities))}>"


def _check_code(name: str, value: object, k: int) -> int:
    if not is_whole(value, 0, k - 1):
        raise InvalidArgument.expected(f"a code from 0 to {k - 1}", name, value)
    return int(value)  # type: ignore[call-overload, no-any-return]


def _whole_numbers(value: Any) -> Array | None:
    """The value as an int64 array of its own; None if it does not have whole numbers below `MOST_CODES`."""
    try:
        array = np.array(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    except (TypeError, ValueError):
        return None
    if not np.issubdtype(array.dtype, np.integer) or (array.size and array.max() >= MOST_CODES):
        return None
    return array.astype(np.int64)
