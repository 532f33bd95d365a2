"""What a latent space is: named parts, each a function of uniforms, with paths, groups and truncation."""

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
"""Coordinates are taken away in at most this many groups when a counterexample is reduced."""

Array = NDArray[Any]
Floats = NDArray[np.float64]


class Space(ABC):
    """What every latent space offers. Users make one with `Normal`, `Uniform`, `Sphere`, ... or `Joint`."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """The parts by name; a space that is one part names it `""`."""

    @abstractmethod
    def truncated(self, psi: float) -> Space:
        """The same space with every latent drawn toward its mean: mean + psi (z - mean)."""

    @property
    def supports(self) -> tuple[tuple[int, ...], ...]:
        """The possible values of each discrete part, in the order of the parts: what a probe's choices are of."""
        return tuple(part.support for part in self.parts.values() if part.support)

    @property
    def n_latents(self) -> int | None:
        """How many distinct latents there are; None where there is no end to them.

        >>> from gentest import Categorical, Joint, Normal
        >>> Categorical(3).n_latents, Joint(a=Categorical(3), b=Categorical(2)).n_latents, Normal(2).n_latents
        (3, 6, None)
        """
        found = 1
        for part in self.parts.values():
            if part.n_values is None:
                return None
            found *= part.n_values
        return found

    @property
    def truncation(self) -> str:
        """How each part is truncated, in words; empty where none is.

        >>> from gentest import Joint, Normal, TruncatedNormal
        >>> Normal(2).truncated(0.7).truncation, Joint(z=TruncatedNormal(2), w=Normal(2)).truncation
        ('psi=0.7', 'z bound=2.0')
        """
        words = {name: part.cut for name, part in self.parts.items() if part.cut}
        return ", ".join(f"{name} {word}".lstrip() for name, word in words.items())

    @property
    def groups(self) -> tuple[Group, ...]:
        """The coordinate groups, at most 64, that say where the far end of a probe differs from the near end."""
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
    """A space that is one part: what a prior has to say."""

    shape: tuple[int, ...]

    @property
    def parts(self) -> Mapping[str, Part]:
        return {"": self}

    @property
    def dim(self) -> int:
        """How many uniforms make one latent."""
        return prod(self.shape)

    @property
    def n_groups(self) -> int:
        """Into how many groups the uniforms may be cut: 0 where a path leaves the part as it is."""
        return self.dim

    @property
    def support(self) -> tuple[int, ...]:
        """The values of a discrete part that have any probability, lowest first: empty for one that is not a choice."""
        return ()

    @property
    def n_choices(self) -> int:
        """How many values a discrete part has: 0 for one that is not a choice."""
        return 0

    @property
    def n_values(self) -> int | None:
        """How many distinct latents the part draws; None where there is no end to them."""
        return None

    @property
    def cut(self) -> str:
        """How the part is truncated, in words; empty where it is not."""
        return ""

    @abstractmethod
    def from_uniforms(self, uniforms: Floats) -> Array:
        """Latents [N, *shape] of uniforms [N, dim]: the prior's inverse CDF, in float64 (int64 for a choice)."""

    @abstractmethod
    def mean(self) -> Floats:
        """The prior's mean, of the latent's shape: where truncation draws to."""

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        """Latents [N, P, *shape] at the fractions t [N, P] of the prior's way from near [N, *shape] to far."""
        return self.straight(near, far, t)

    def straight(self, near: Array, far: Array, t: Floats) -> Array:
        """Latents [N, P, *shape] at the fractions t [N, P] of the straight line from near [N, *shape] to far."""
        t = t.reshape(*t.shape, *(1,) * len(self.shape))
        return np.asarray(near[:, None] * (1.0 - t) + far[:, None] * t)

    def shifted(self, latents: Array, by: Array) -> Array:
        """Latents [..., *shape] moved by `by`, of a shape that broadcasts, and no further than the prior reaches.

        Straight on where the prior has no border; back onto a sphere; no further than the side of a box. A truncated
        part moves as the latents do that it draws toward its mean, so `psi` times as far.
        """
        return np.asarray(latents + by)

    def typicality(self, latents: Array) -> Floats:
        """How far out each latent lies, as the prior's own quantile in (0, 1); 0.5 is typical. NaN where unknown."""
        return np.full(len(latents), np.nan)

    def radii(self, latents: Array) -> Floats:
        """How far out each latent lies from the mean, [N], as a multiple of where samples lie: see `at_radius`."""
        away = (latents - self.mean()).reshape(len(latents), -1)
        return np.asarray(np.linalg.norm(away, axis=1) / self.unit_radius())

    def unit_radius(self) -> float:
        """The distance from the mean that is radius 1, for a prior of variance 1 unless it says another: sqrt(d)."""
        return float(prod(self.shape) ** 0.5)

    def truncated(self, psi: float) -> Part:
        return Truncated(self, check_psi(psi))


def digest_of(values: Array) -> str:
    """16 hexadecimal digits of the SHA-256 of an array's shape and float32 values: what a repr tells it by."""
    content = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return hashlib.sha256(repr(tuple(values.shape)).encode() + content).hexdigest()[:16]


def check_radius(name: str, radius: object) -> float:
    """A radius, checked: a finite number > 0."""
    if not 0.0 < as_number(radius) < inf:
        raise InvalidArgument.expected("a radius > 0", name, radius)
    return as_number(radius)


def check_psi(psi: float) -> float:
    """A truncation, checked: a number in (0, 1]."""
    if not isinstance(psi, (int, float)) or isinstance(psi, bool) or not 0.0 < psi <= 1.0:
        raise InvalidArgument.expected("a truncation in (0, 1]", "psi", psi)
    return float(psi)


def check_shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    """A latent's shape, checked: `128` means `(128,)`."""
    sizes = (shape,) if isinstance(shape, int) else shape
    good = isinstance(sizes, Sequence) and len(sizes) > 0
    if not good or not all(is_whole(n, 1) for n in sizes):
        raise InvalidArgument.expected("a positive size, or several", "shape", shape)
    return tuple(sizes)


@dataclass(frozen=True)
class Truncated(Part):
    """A part whose latents are drawn toward its mean: mean + psi (z - mean); what `.truncated(psi)` gives."""

    part: Part
    psi: float

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
    def cut(self) -> str:
        return ", ".join(filter(None, [self.part.cut, f"psi={self.psi:g}"]))

    def from_uniforms(self, uniforms: Floats) -> Array:
        return self._toward_mean(self.part.from_uniforms(uniforms))

    def mean(self) -> Floats:
        return self.part.mean()

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        return self._toward_mean(self.part.path(self._from_mean(near), self._from_mean(far), t))

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
    """A discrete part, int64 [N]: a path and a truncation leave it as it is."""

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

    def shifted(self, latents: Array, by: Array) -> Array:
        return latents

    def truncated(self, psi: float) -> Part:
        check_psi(psi)
        return self


@dataclass(frozen=True)
class Fixed(Choice):
    """A choice that is made: what `.given(label=3)` leaves of a `Categorical`."""

    value: int

    def from_uniforms(self, uniforms: Floats) -> Array:
        return np.full(len(uniforms), self.value, dtype=np.int64)


@dataclass(frozen=True, init=False)
class Joint(Space):
    """Named parts that a generator takes by keyword: `f(z=..., label=...)`.

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

    def truncated(self, psi: float) -> Joint:
        return Joint(**{name: part.truncated(psi) for name, part in self.items})

    def given(self, choices: Mapping[str, int]) -> Joint:
        """The same space with some choices made."""
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
