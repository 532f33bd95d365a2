"""A latent space is named parts, each a function of uniforms with paths, coordinate groups and truncation."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import inf, prod
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument

MAX_GROUPS = 64
"""The most groups in which coordinates are removed when a counterexample is reduced."""
MAX_LISTED = 1_000
"""A choice among more values has a range as its support, not a tuple."""
MOST_COUNTED = 2**53
"""A space with more latents counts as infinite: a result could not hold the number."""

PIECE = 1 << 18
"""Bytes of float64 numbers to compute at once: more would leave the processor's cache."""
Shown: TypeAlias = "str | int | float | bool | None"
"""A value as reports and JSON show it."""
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
    def supports(self) -> tuple[Sequence[int], ...]:
        """The possible values of each choice, in the order of the parts, as in a probe's `choices`."""
        return tuple(slot.support for part in self.parts.values() for slot in part.slots)

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
    def slots(self) -> tuple[Slot, ...]:
        """The choices that make a latent of a discrete part; empty for any other part."""
        return ()

    @property
    def n_values(self) -> int | None:
        """The number of distinct latents of the part; None if it is infinite."""
        return None

    @property
    def n_positions(self) -> int:
        """The number of positions that a reduction may set to the part's `blank`; 0 for a part without codes."""
        return 0

    @property
    def n_entries(self) -> int:
        """The number of entries of the bank that the part draws from; 0 for a part without a bank."""
        return 0

    def entries(self, uniforms: Floats) -> Array:
        """The entry of the bank, int64 [N], that uniforms [N, dim] draw, for a part with a bank."""
        raise InvalidArgument(f"{self!r} has no bank")

    @property
    def coordinatewise(self) -> bool:
        """True if each uniform makes the coordinate of the same index, and no other."""
        return False

    @property
    def takes(self) -> Hashable:
        """What a generator of this part takes. Two priors with an equal one can stand in for each other."""
        return self.shape

    @property
    def has_values(self) -> bool:
        """True if a latent is a code for a value that somebody wrote, which the generator receives instead."""
        return False

    def values_of(self, latents: Array) -> Array:
        """What the generator receives for latents [..., *shape]: these, or the values [...] that they stand for.

        Numbers are float32 or int64; anything else is an array of objects.
        """
        return latents

    def given(self, name: str, value: Any) -> Part:
        """The part called `name` with one latent, the given one.

        A tensor or array has the part's shape; a part of a single number also takes that number. Raises
        `InvalidArgument` for a value that the prior does not have.
        """
        array = value.detach().cpu().numpy() if hasattr(value, "detach") else value
        try:
            latent = np.array(array, np.float32)
        except (TypeError, ValueError):
            latent = np.full(0, np.nan, np.float32)
        latent = latent.reshape(self.shape) if latent.shape == () and prod(self.shape) == 1 else latent
        if latent.shape != self.shape or not np.isfinite(latent).all():
            raise InvalidArgument.expected(f"finite numbers of shape {self.shape}, one latent of {self!r}", name, value)
        if not self.reaches(latent):
            raise InvalidArgument.expected(f"a latent that {self!r} reaches", name, value)
        return Fixed(self, latent)

    def reaches(self, latent: Array) -> bool:
        """True if a latent [*shape] lies where samples of the prior can lie."""
        return True

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

    @property
    def coordinatewise(self) -> bool:
        return self.part.coordinatewise

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


@dataclass(frozen=True, init=False)
class Slot:
    """A choice among n values, from 0 to n - 1, by their probabilities."""

    probabilities: tuple[float, ...]
    support: Sequence[int] = field(compare=False, repr=False)
    """The values that have a probability above 0, in order."""
    edges: Floats = field(compare=False, repr=False)

    def __init__(self, probabilities: tuple[float, ...]) -> None:
        support: Sequence[int] = tuple(value for value, p in enumerate(probabilities) if p > 0)
        if len(support) == len(probabilities) > MAX_LISTED:
            support = range(len(probabilities))
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "support", support)
        object.__setattr__(self, "edges", np.cumsum(probabilities)[:-1])

    def drawn(self, uniforms: Floats) -> Array:
        """The values int64 [N] of uniforms [N]."""
        return np.asarray(np.searchsorted(self.edges, uniforms, side="right"), dtype=np.int64)

    def digest_of(self, code: int) -> str:
        """A digest of the value that a number stands for; empty if it stands for itself."""
        return ""

    def located(self, name: str, code: int, digest: str) -> int:
        """The number that stands now for the value with this digest, which was `code`, in the part called `name`.

        Raises `InvalidArgument` if the value is gone.
        """
        return code


class Choice(Part):
    """A discrete part, int64 [N, *shape]. Paths and truncation leave it as it is."""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return ()

    @property
    def n_groups(self) -> int:
        return 0

    @property
    def n_values(self) -> int | None:
        n = prod(len(slot.support) for slot in self.slots)
        return n if n <= MOST_COUNTED else None

    def from_uniforms(self, uniforms: Floats) -> Array:
        drawn = [slot.drawn(uniforms[:, column]) for column, slot in enumerate(self.slots)]
        return np.stack(drawn, axis=1).reshape(-1, *self.shape)

    def options(self) -> list[tuple[int, ...]]:
        """The possible latents, each as the value of every slot."""
        return list(product(*(slot.support for slot in self.slots)))

    def probability(self, option: Sequence[int]) -> float:
        """The probability of a latent, given as the value of every slot."""
        return prod(slot.probabilities[value] for slot, value in zip(self.slots, option, strict=True))

    def shown(self, option: Sequence[int]) -> Shown:
        """A latent as reports show it, given as the value of every slot: here, the number itself."""
        return int(option[0])

    def mean(self) -> Floats:
        raise InvalidArgument(f"{self!r} is a choice: it has no mean to be truncated toward")

    def straight(self, near: Array, far: Array, t: Floats) -> Array:
        return np.array(np.broadcast_to(near[:, None], (*t.shape, *near.shape[1:])))

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats:
        return np.zeros_like(scores)

    def shifted(self, latents: Array, by: Array) -> Array:
        return latents

    def truncated(self, psi: float) -> Part:
        check_psi(psi)
        return self


@dataclass(frozen=True, init=False)
class Fixed(Choice):
    """A part with one latent, which somebody gave: `.given(label=3)` replaces a `Categorical` by it."""

    part: Part
    latent: Array = field(compare=False)
    """[*shape], float32, or int64 for a choice."""
    digest: str

    def __init__(self, part: Part, latent: Array) -> None:
        latent.setflags(write=False)
        object.__setattr__(self, "part", part)
        object.__setattr__(self, "latent", latent)
        object.__setattr__(self, "digest", digest_of(latent))

    def __repr__(self) -> str:
        if isinstance(self.part, Choice):
            return f"Fixed(value={self.part.shown(self.latent.reshape(-1).tolist())!r})"
        return f"Fixed(value={self.latent.item()})" if self.latent.size == 1 else f"Fixed({self.shape}, {self.digest})"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.part.shape

    @property
    def dim(self) -> int:
        return 1

    @property
    def takes(self) -> Hashable:
        return self.part.takes

    @property
    def has_values(self) -> bool:
        return self.part.has_values

    def values_of(self, latents: Array) -> Array:
        return self.part.values_of(latents)

    def from_uniforms(self, uniforms: Floats) -> Array:
        kind = np.int64 if self.latent.dtype == np.int64 else np.float64
        return np.repeat(self.latent[None], len(uniforms), axis=0).astype(kind)


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
        if (n := sum(len(part.slots) for part in parts.values())) > MAX_GROUPS:
            raise InvalidArgument(f"Expected at most {MAX_GROUPS} choices but got {n}: each slot of a template is one")
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

    def given(self, values: Mapping[str, Any]) -> Joint:
        """The same space with some parts fixed. Raises `InvalidArgument` for an unknown part or value."""
        parts = dict(self.items)
        for name, value in values.items():
            if name not in parts:
                raise InvalidArgument(f"No part is named {name!r}; the space has {', '.join(parts)}")
            parts[name] = parts[name].given(name, value)
        return Joint(**parts)
