"""A latent space is named parts, each a function of uniforms with paths, coordinate groups and truncation."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument

MAX_GROUPS = 64
"""The most groups in which coordinates are removed when a counterexample is reduced."""

PIECE = 1 << 18
"""Bytes of float64 numbers to compute at once: more would leave the processor's cache."""

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Space(ABC):
    """A latent space, as a frozen value. Make one with `Normal`, `Uniform`, `Sphere`, ... or `Joint`."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """The parts by name; a space of a single part names it `""`."""

    @property
    @abstractmethod
    def key(self) -> str:
        """The text by which a baseline knows the space: its repr without digests.

        A bank or a network may be new for every checkpoint and still be the same kind of space.

        >>> from gentest import Empirical, Joint, Normal
        >>> Joint(z=Normal(2), w=Empirical([[1.0], [2.0]])).key
        'Joint(z=Normal(2), w=Empirical(2 of 1))'
        """

    @property
    @abstractmethod
    def truncation(self) -> str:
        """How the space is truncated, in words; empty if it is not.

        >>> from gentest import Joint, Normal, TruncatedNormal
        >>> Normal(2).truncated(0.7).truncation, Joint(z=TruncatedNormal(2), w=Normal(2)).truncation
        ('psi=0.7', 'z bound=2.0')
        """

    @abstractmethod
    def truncated(self, psi: float) -> Space:
        """The same space with every latent drawn toward its mean: mean + psi (z - mean), psi in (0, 1]."""

    @property
    def supports(self) -> tuple[tuple[int, ...], ...]:
        """The possible values of each discrete part, in the order of the parts, as in a probe's `choices`."""
        return tuple(part.support for part in self.parts.values() if part.support)

    @property
    def n_latents(self) -> int | None:
        """The number of distinct latents; None if it is infinite.

        >>> from gentest import Categorical, Joint, Normal
        >>> Categorical(3).n_latents, Joint(a=Categorical(3), b=Categorical(2)).n_latents, Normal(2).n_latents
        (3, 6, None)
        """
        total = 1
        for part in self.parts.values():
            if part.n_values is None:
                return None
            total *= part.n_values
        return total

    @property
    def groups(self) -> tuple[Group, ...]:
        """The coordinate groups, at most 64. A probe's mask says in which of them its ends differ."""
        moving = [(name, part) for name, part in self.parts.items() if part.n_groups]
        if not moving:
            return ()
        share = MAX_GROUPS // len(moving)
        return tuple(
            Group(name, int(low), int(high))
            for name, part in moving
            for low, high in _split(part.dim, min(share, part.n_groups))
        )


def _split(dim: int, n: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, dim, n + 1).round().astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


@dataclass(frozen=True)
class Group:
    """Coordinates `low` to `high` (excluded) of the flattened latent of one part."""

    part: str
    low: int
    high: int

    def __str__(self) -> str:
        span = f"{self.low}" if self.high == self.low + 1 else f"{self.low}..{self.high - 1}"
        return f"{self.part}[{span}]" if self.part else span


class Part(Space):
    """A space of a single part: one prior. A new prior is a subclass with `from_uniforms` and, unless 0, its `mean`."""

    shape: tuple[int, ...]

    @property
    def parts(self) -> Mapping[str, Part]:
        return {"": self}

    @property
    def key(self) -> str:
        return repr(self)

    @property
    def truncation(self) -> str:
        return ""

    def truncated(self, psi: float) -> Part:
        return Truncated(self, check_psi(psi))

    @property
    def dim(self) -> int:
        """The number of uniforms that make one latent."""
        return prod(self.shape)

    @property
    def n_groups(self) -> int:
        """The most groups into which the uniforms may be cut; 0 if paths leave the part as it is."""
        return self.dim

    @property
    def support(self) -> tuple[int, ...]:
        """The values of a discrete part that have a probability above 0, in order; empty for any other part."""
        return ()

    @property
    def n_choices(self) -> int:
        """The number of values of a discrete part; 0 for any other part."""
        return 0

    @property
    def n_values(self) -> int | None:
        """The number of distinct latents of the part; None if it is infinite."""
        return None

    @property
    def n_entries(self) -> int:
        """The number of entries of the bank that the part draws from; 0 for a part without a bank."""
        return 0

    def entries(self, uniforms: Floats) -> Array:
        """The entry of the bank, int64 [N], that uniforms [N, dim] draw, for a part with a bank."""
        raise InvalidArgument(f"{self!r} has no bank")

    @abstractmethod
    def from_uniforms(self, uniforms: Floats) -> Array:
        """Latents [N, *shape] from uniforms [N, dim], by the inverse CDF in float64 (int64 for a choice)."""

    def mean(self) -> Floats:
        """The prior's mean [*shape], toward which truncation draws: 0 by default."""
        return np.zeros(self.shape)

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        """Latents [N, P, *shape] on the prior's path from near [N, *shape] to far, at fractions t [N, P]."""
        return self.straight(near, far, t)

    def straight(self, near: Array, far: Array, t: Floats) -> Array:
        """Latents [N, P, *shape] on the straight line from near [N, *shape] to far, at fractions t [N, P]."""
        t = t.reshape(*t.shape, *(1,) * len(self.shape))
        return np.asarray(near[:, None] * (1.0 - t) + far[:, None] * t)

    def rounded_path(self, near: Array, far: Array, t: Floats, *, straight: bool = False) -> Array:
        """The latents [N, P, *shape] of `path`, or of `straight`, as generators receive them: rounded to float32."""
        path = self.straight if straight else self.path
        parts = [rounded(path(near[rows], far[rows], t[rows])) for rows in pieces(len(t), t[:1].size * near[:1].size)]
        return np.concatenate(parts)

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats | None:
        """Gradients [N, dim] in the normal scores of latents, from gradients [N, *shape] in the latents themselves.

        This is the derivative of `from_uniforms(Phi(scores))`, for scores [N, dim]. It is 0 for a part with finitely
        many latents, which small moves do not change. None means that the part has no known derivative.
        """
        return None

    def path_gradients(self, near: Array, far: Array, t: Floats, gradients: Floats) -> tuple[Floats, Floats]:
        """Gradients [N, *shape] in near and in far, from gradients [N, P, *shape] in the latents of their `path`.

        A part that overrides `path` overrides this too.
        """
        return self.straight_gradients(near, far, t, gradients)

    def straight_gradients(self, near: Array, far: Array, t: Floats, gradients: Floats) -> tuple[Floats, Floats]:
        """Gradients [N, *shape] in near and in far, from gradients [N, P, *shape] in the latents of `straight`."""
        return np.einsum("np,np...->n...", 1.0 - t, gradients), np.einsum("np,np...->n...", t, gradients)

    def shifted(self, latents: Array, by: Array) -> Array:
        """Latents [..., *shape] moved by `by`, as far as the prior reaches.

        A prior without a border lets them go straight on, a sphere pulls them back onto it, and a box stops them at its
        sides. A truncated part moves `psi` times as far, as its latents do.
        """
        return np.asarray(latents + by)

    def typicality(self, latents: Array) -> Floats:
        """The prior's own quantile [N] of each latent's distance, in (0, 1): 0.5 is typical. NaN if unknown."""
        return np.full(len(latents), np.nan)

    def radii(self, latents: Array) -> Floats:
        """The distance [N] of each latent from the mean, in units of `unit_radius`."""
        away = (latents - self.mean()).reshape(len(latents), -1)
        return np.asarray(np.linalg.norm(away, axis=1) / self.unit_radius())

    def unit_radius(self) -> float:
        """The distance from the mean at which samples lie: sqrt(d), as for variance 1, by default."""
        return float(prod(self.shape) ** 0.5)

    @property
    def is_round(self) -> bool:
        """True if every sample lies on a sphere around the mean."""
        return False


def pieces(n: int, numbers: int) -> list[slice]:
    """Slices of `n` rows of so many float64 numbers, each of at most `PIECE` bytes or one row; one slice for no rows.

    >>> pieces(5, 1 << 14)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    rows = max(1, PIECE // (8 * max(numbers, 1)))
    return [slice(start, start + rows) for start in range(0, max(n, 1), rows)]


def rounded(values: Array) -> Array:
    """Latents as generators receive them: float32; choices stay integers."""
    return values if values.dtype == np.int64 else values.astype(np.float32)


def digest_of(values: Array) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of an array's shape and float32 values."""
    content = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return hashlib.sha256(repr(tuple(values.shape)).encode() + content).hexdigest()[:16]


def format_shape(shape: tuple[int, ...]) -> str:
    """A shape as a space's first argument: `128` for (128,)."""
    return str(shape[0]) if len(shape) == 1 else str(shape)


def check_radius(name: str, radius: object) -> float:
    """The radius as a float. Raises `InvalidArgument` unless it is a finite number > 0."""
    if not 0.0 < as_number(radius) < inf:
        raise InvalidArgument.expected("a radius > 0", name, radius)
    return as_number(radius)


def check_psi(psi: float) -> float:
    """The truncation as a float. Raises `InvalidArgument` unless it is a number in (0, 1]."""
    if not isinstance(psi, (int, float)) or isinstance(psi, bool) or not 0.0 < psi <= 1.0:
        raise InvalidArgument.expected("a truncation in (0, 1]", "psi", psi)
    return float(psi)


def check_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """A latent's shape as a tuple: `128` means `(128,)`. Raises `InvalidArgument` unless all sizes are positive."""
    sizes = (shape,) if isinstance(shape, int) else shape
    good = isinstance(sizes, Sequence) and len(sizes) > 0
    if not good or not all(is_whole(n, 1) for n in sizes):
        raise InvalidArgument.expected("a positive size, or several", "shape", shape)
    return tuple(sizes)


@dataclass(frozen=True)
class Wrapper(Part):
    """A part that transforms the latents of another part and shares its uniforms."""

    part: Part

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.part.shape

    @property
    def dim(self) -> int:
        return self.part.dim

    @property
    def n_groups(self) -> int:
        return self.part.n_groups

    @property
    def n_values(self) -> int | None:
        return self.part.n_values

    @property
    def n_entries(self) -> int:
        return self.part.n_entries

    def entries(self, uniforms: Floats) -> Array:
        return self.part.entries(uniforms)

    @property
    def truncation(self) -> str:
        return self.part.truncation

    @property
    def is_round(self) -> bool:
        return self.part.is_round

    def mean(self) -> Floats:
        return self.part.mean()


@dataclass(frozen=True)
class Truncated(Wrapper):
    """A part with its latents drawn toward its mean: mean + psi (z - mean). `.truncated(psi)` makes one."""

    psi: float

    @property
    def key(self) -> str:
        return f"Truncated(part={self.part.key}, psi={self.psi!r})"

    @property
    def truncation(self) -> str:
        return ", ".join(filter(None, [self.part.truncation, f"psi={self.psi:g}"]))

    def from_uniforms(self, uniforms: Floats) -> Array:
        return self._toward_mean(self.part.from_uniforms(uniforms))

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        return self._toward_mean(self.part.path(self._from_mean(near), self._from_mean(far), t))

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats | None:
        return self.part.score_gradients(scores, self.psi * gradients)

    def path_gradients(self, near: Array, far: Array, t: Floats, gradients: Floats) -> tuple[Floats, Floats]:
        return self.part.path_gradients(self._from_mean(near), self._from_mean(far), t, gradients)

    def shifted(self, latents: Array, by: Array) -> Array:
        return self._toward_mean(self.part.shifted(self._from_mean(latents), by))

    def typicality(self, latents: Array) -> Floats:
        return self.part.typicality(self._from_mean(latents))

    def radii(self, latents: Array) -> Floats:
        return self.part.radii(self._from_mean(latents))

    def unit_radius(self) -> float:
        return self.psi * self.part.unit_radius()

    def truncated(self, psi: float) -> Part:
        return replace(self, psi=self.psi * check_psi(psi))

    def _toward_mean(self, latents: Array) -> Array:
        mean = self.part.mean()
        return np.asarray(mean + self.psi * (latents - mean))

    def _from_mean(self, latents: Array) -> Array:
        mean = self.part.mean()
        return np.asarray(mean + (latents - mean) / self.psi)


class Choice(Part):
    """A discrete part, int64 [N]. Paths and truncation leave it as it is."""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return ()

    @property
    def n_groups(self) -> int:
        return 0

    @property
    def n_values(self) -> int | None:
        return max(1, len(self.support))

    def mean(self) -> Floats:
        raise InvalidArgument(f"{self!r} is a choice: it has no mean to be truncated toward")

    def straight(self, near: Array, far: Array, t: Floats) -> Array:
        return np.array(np.broadcast_to(near[:, None], t.shape))

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats:
        return np.zeros_like(scores)

    def shifted(self, latents: Array, by: Array) -> Array:
        return latents

    def truncated(self, psi: float) -> Part:
        check_psi(psi)
        return self


@dataclass(frozen=True)
class Fixed(Choice):
    """A choice that was made: `.given(label=3)` replaces a `Categorical` by it."""

    value: int

    def from_uniforms(self, uniforms: Floats) -> Array:
        return np.full(len(uniforms), self.value, dtype=np.int64)


@dataclass(frozen=True, init=False)
class Joint(Space):
    """Named parts that a generator takes by keyword: `f(z=..., label=...)`. At most 64 parts.

    Raises `InvalidArgument` for no part, too many, or a value that is not a single part.

    >>> import gentest
    >>> gentest.Joint(z=gentest.Normal(64), label=gentest.Categorical(10))
    Joint(z=Normal(64), label=Categorical(10))
    """

    items: tuple[tuple[str, Part], ...]

    def __init__(self, **parts: Part) -> None:
        if not parts:
            raise InvalidArgument("Expected at least one named part: Joint(z=Normal(64), label=Categorical(10))")
        for name, part in parts.items():
            if not isinstance(part, Part):
                raise InvalidArgument.expected("a space that is one part", name, part)
        if len(parts) > MAX_GROUPS:
            raise InvalidArgument(f"Expected at most {MAX_GROUPS} named parts but got {len(parts)}")
        object.__setattr__(self, "items", tuple(parts.items()))

    def __repr__(self) -> str:
        return f"Joint({', '.join(f'{name}={part!r}' for name, part in self.items)})"

    @property
    def parts(self) -> Mapping[str, Part]:
        return MappingProxyType(dict(self.items))

    @property
    def key(self) -> str:
        return f"Joint({', '.join(f'{name}={part.key}' for name, part in self.items)})"

    @property
    def truncation(self) -> str:
        return ", ".join(f"{name} {part.truncation}" for name, part in self.items if part.truncation)

    def truncated(self, psi: float) -> Joint:
        return Joint(**{name: part.truncated(psi) for name, part in self.items})

    def given(self, choices: Mapping[str, int]) -> Joint:
        """The same space with some choices made. Raises `InvalidArgument` for an unknown part or value."""
        parts = dict(self.items)
        for name, value in choices.items():
            part = parts.get(name)
            if part is None:
                raise InvalidArgument(f"No part is named {name!r}; the space has {', '.join(parts)}")
            n = part.n_choices
            if not is_whole(value, 0, n - 1):
                what = f"a choice from 0 to {n - 1}" if n else f"a part that is a choice ({part!r} is none)"
                raise InvalidArgument.expected(what, name, value)
            parts[name] = Fixed(value)
        return Joint(**parts)
