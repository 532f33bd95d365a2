"""The priors that people train with: each maps uniforms to latents by its inverse CDF."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, pi, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtr, ndtr, ndtri

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument
from gentest.spaces.great_circle import great_circle, great_circle_gradients
from gentest.spaces.space import Array, Choice, Fixed, Floats, Part, Slot, check_shape, digest_of, format_shape
from gentest.spaces.streams import uniforms_at

NEAR_SPHERE = 1e-3
"""How far a given latent may lie from its sphere, as a share of the radius."""

_n_distinct: dict[str, int] = {}
"""The number of distinct entries of a bank, by its digest."""


class _Shell(Part):
    """A prior with its mass on a shell, and great circles as paths."""

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        n = len(near)
        return great_circle(near.reshape(n, -1), far.reshape(n, -1), t).reshape(*t.shape, *self.shape)

    def rounded_path(self, near: Array, far: Array, t: Floats, *, straight: bool = False) -> Array:
        if straight:
            return super().rounded_path(near, far, t, straight=True)
        n = len(near)
        path = great_circle(near.reshape(n, -1), far.reshape(n, -1), t, dtype=np.float32)
        return path.reshape(*t.shape, *self.shape)

    def path_gradients(self, near: Array, far: Array, t: Floats, gradients: Floats) -> tuple[Floats, Floats]:
        n = len(near)
        flat = great_circle_gradients(near.reshape(n, -1), far.reshape(n, -1), t, gradients.reshape(*t.shape, -1))
        return flat[0].reshape(n, *self.shape), flat[1].reshape(n, *self.shape)


class _Box(Part):
    """A prior in a box: a latent's radius is that of its largest coordinate, and no latent leaves the box."""

    low: float
    high: float

    @property
    def coordinatewise(self) -> bool:
        return True

    def radii(self, latents: Array) -> Floats:
        away = np.abs(latents - self.mean()).reshape(len(latents), -1)
        return np.asarray(away.max(axis=1) / ((self.high - self.low) / 2))

    def shifted(self, latents: Array, by: Array) -> Array:
        return np.asarray(np.clip(latents + by, self.low, self.high))

    def reaches(self, latent: Array) -> bool:
        return bool((latent >= np.float32(self.low)).all() and (latent <= np.float32(self.high)).all())


@dataclass(frozen=True, init=False)
class Normal(_Shell):
    """z ~ N(0, I), float32 [*shape]. Paths are great circles.

    Raises `InvalidArgument` for a size that is not positive, as every prior does.

    >>> Normal(128)
    Normal(128)
    >>> Normal((4, 8, 8)).dim
    256
    """

    shape: tuple[int, ...]

    def __init__(self, shape: int | Sequence[int]) -> None:
        object.__setattr__(self, "shape", check_shape(shape))

    def __repr__(self) -> str:
        return f"Normal({format_shape(self.shape)})"

    @property
    def coordinatewise(self) -> bool:
        return True

    def from_uniforms(self, uniforms: Floats) -> Array:
        return np.asarray(ndtri(uniforms)).reshape(-1, *self.shape)

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats:
        return gradients.reshape(scores.shape)

    def typicality(self, latents: Array) -> Floats:
        flat = latents.reshape(len(latents), -1).astype(np.float64)
        return np.asarray(chdtr(self.dim, np.square(flat).sum(axis=1)))


@dataclass(frozen=True, init=False)
class Uniform(_Box):
    """z uniform in a box, float32 [*shape] in [low, high]. The default bounds, -sqrt(3) and sqrt(3), give variance 1.

    Paths are straight lines. Raises `InvalidArgument` unless low < high in float32.

    >>> Uniform(128)
    Uniform(128)
    >>> Uniform(2, low=-1, high=1)
    Uniform(2, low=-1.0, high=1.0)
    """

    shape: tuple[int, ...]
    low: float
    high: float

    def __init__(self, shape: int | Sequence[int], *, low: float = -sqrt(3), high: float = sqrt(3)) -> None:
        bounds = as_number(low), as_number(high)
        with np.errstate(over="ignore"):
            rounded = np.float32(bounds[0]), np.float32(bounds[1])  # as the generator gets them
        if not (np.isfinite(rounded).all() and rounded[0] < rounded[1]):
            raise InvalidArgument.expected("bounds that float32 can hold, low < high", "(low, high)", (low, high))
        object.__setattr__(self, "shape", check_shape(shape))
        object.__setattr__(self, "low", bounds[0])
        object.__setattr__(self, "high", bounds[1])

    def __repr__(self) -> str:
        bounds = "" if (self.low, self.high) == (-sqrt(3), sqrt(3)) else f", low={self.low}, high={self.high}"
        return f"Uniform({format_shape(self.shape)}{bounds})"

    def from_uniforms(self, uniforms: Floats) -> Array:
        return (self.low + uniforms * (self.high - self.low)).reshape(-1, *self.shape)

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats:
        density = np.exp(-np.square(scores) / 2) / sqrt(2 * pi)
        return np.asarray((self.high - self.low) * density * gradients.reshape(scores.shape))

    def mean(self) -> Floats:
        return np.full(self.shape, (self.low + self.high) / 2)


@dataclass(frozen=True, init=False)
class TruncatedNormal(_Box):
    """z ~ N(0, I), resampled until every |z_i| <= bound; float32 [*shape]. Paths are straight lines.

    Source: Brock et al. 2019 (BigGAN), arXiv:1809.11096, section 3.1. Raises `InvalidArgument` unless 0 < bound < inf.

    >>> TruncatedNormal(128)
    TruncatedNormal(128, bound=2.0)
    """

    shape: tuple[int, ...]
    bound: float

    def __init__(self, shape: int | Sequence[int], *, bound: float = 2.0) -> None:
        if not 0 < as_number(bound) < inf:
            raise InvalidArgument.expected("a bound > 0", "bound", bound)
        object.__setattr__(self, "shape", check_shape(shape))
        object.__setattr__(self, "bound", float(bound))

    def __repr__(self) -> str:
        return f"TruncatedNormal({format_shape(self.shape)}, bound={self.bound})"

    @property
    def low(self) -> float:  # type: ignore[override]
        return -self.bound

    @property
    def high(self) -> float:  # type: ignore[override]
        return self.bound

    @property
    def truncation(self) -> str:
        return f"bound={self.bound}"

    def from_uniforms(self, uniforms: Floats) -> Array:
        low = ndtr(-self.bound)
        inside = np.clip(ndtri(low + uniforms * (1.0 - 2.0 * low)), -self.bound, self.bound)
        return np.asarray(inside).reshape(-1, *self.shape)

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats:
        z = self.from_uniforms(uniforms_at(scores)).reshape(scores.shape)
        densities = np.exp((np.square(z) - np.square(scores)) / 2)  # the ratio of those at the score and at z
        slope = np.where(np.abs(z) < self.bound, (1.0 - 2.0 * ndtr(-self.bound)) * densities, 0.0)
        return np.asarray(slope * gradients.reshape(scores.shape))


@dataclass(frozen=True, init=False)
class Sphere(_Shell):
    """z uniform on a sphere, float32 [*shape]. Paths are great circles.

    The default radius, sqrt(d), is that of a normal. Raises `InvalidArgument` unless 0 < radius < inf.

    >>> Sphere(512, radius=1)
    Sphere(512, radius=1.0)
    """

    shape: tuple[int, ...]
    radius: float

    def __init__(self, shape: int | Sequence[int], *, radius: float | None = None) -> None:
        sizes = check_shape(shape)
        if radius is not None and not 0 < as_number(radius) < inf:
            raise InvalidArgument.expected("a radius > 0", "radius", radius)
        object.__setattr__(self, "shape", sizes)
        object.__setattr__(self, "radius", float(sqrt(prod(sizes)) if radius is None else radius))

    def __repr__(self) -> str:
        radius = "" if self.radius == sqrt(self.dim) else f", radius={self.radius}"
        return f"Sphere({format_shape(self.shape)}{radius})"

    def from_uniforms(self, uniforms: Floats) -> Array:
        z: Floats = np.asarray(ndtri(uniforms))
        return self._onto(z).reshape(-1, *self.shape)

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats:
        length = np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), 1e-300)
        unit, flat = scores / length, gradients.reshape(scores.shape)
        return np.asarray(self.radius / length * (flat - (flat * unit).sum(axis=1, keepdims=True) * unit))

    def unit_radius(self) -> float:
        return self.radius

    def reaches(self, latent: Array) -> bool:
        return bool(abs(np.linalg.norm(latent) / self.radius - 1.0) <= NEAR_SPHERE)

    @property
    def is_round(self) -> bool:
        return True

    def shifted(self, latents: Array, by: Array) -> Array:
        moved = latents + by
        return self._onto(moved.reshape(*moved.shape[: -len(self.shape)], -1)).reshape(moved.shape)

    def _onto(self, flat: Floats) -> Floats:
        """Flat latents [..., d] projected onto the sphere."""
        return np.asarray(flat * (self.radius / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-300)))


@dataclass(frozen=True, init=False)
class Categorical(Choice):
    """A label from 0 to n - 1, int64 [N]. Paths leave it as it is.

    Independent draws follow `probabilities`, equal by default. A search draws choices as structure and shrinks them
    toward 0. Raises `InvalidArgument` unless n >= 1 and the n probabilities are >= 0 and sum to 1.

    >>> Categorical(10)
    Categorical(10)
    """

    n: int
    probabilities: tuple[float, ...]
    slot: Slot = field(compare=False, repr=False)

    def __init__(self, n: int, *, probabilities: Sequence[float] | None = None) -> None:
        if not is_whole(n, 1):
            raise InvalidArgument.expected("a number of choices >= 1", "n", n)
        given = (1.0 / n,) * n if probabilities is None else probabilities
        weights = tuple(as_number(p) for p in given) if isinstance(given, Iterable) else ()
        if len(weights) != n or any(not p >= 0 for p in weights) or abs(sum(weights) - 1.0) > 1e-6:
            raise InvalidArgument.expected(f"{n} probabilities that sum to 1", "probabilities", probabilities)
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "probabilities", weights)
        object.__setattr__(self, "slot", Slot(weights))

    def __repr__(self) -> str:
        equal = self.probabilities == (1.0 / self.n,) * self.n
        return f"Categorical({self.n}{'' if equal else f', probabilities={self.probabilities}'})"

    @property
    def slots(self) -> tuple[Slot, ...]:
        return (self.slot,)

    @property
    def takes(self) -> Hashable:
        return self.n

    def given(self, name: str, value: Any) -> Part:
        if not is_whole(value, 0, self.n - 1):
            raise InvalidArgument.expected(f"a choice from 0 to {self.n - 1}", name, value)
        return Fixed(self, np.array(value, np.int64))


@dataclass(frozen=True, init=False)
class Empirical(Part):
    """An equally likely entry of a bank of latents [M, *shape], such as encoded images or w vectors; float32.

    Paths are straight lines: between two entries they leave the bank. An entry is one coordinate group, so the far end
    of a probe is another entry or the same one. Raises `InvalidArgument` unless the bank has finite numbers and M >= 1.

    >>> Empirical([[0.0, 1.0], [2.0, 3.0]])
    Empirical(2 of 2, 9882a49ed4985043)
    """

    bank: Array = field(compare=False, repr=False)
    digest: str

    def __init__(self, bank: ArrayLike) -> None:
        try:
            values = np.array(bank.detach().float().cpu().numpy() if hasattr(bank, "detach") else bank, np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"Expected a bank of latents [M, *shape] as numbers: {error}") from error
        if values.ndim < 2 or len(values) < 1 or not np.isfinite(values).all():
            raise InvalidArgument(
                f"Expected a bank of finite latents [M, *shape], M >= 1, but got one of shape {values.shape}"
            )
        values.setflags(write=False)
        object.__setattr__(self, "bank", values)
        object.__setattr__(self, "digest", digest_of(values))

    def __repr__(self) -> str:
        return f"{self.key[:-1]}, {self.digest})"

    @property
    def key(self) -> str:
        return f"Empirical({len(self.bank)} of {format_shape(self.shape)})"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(self.bank.shape[1:])

    @property
    def dim(self) -> int:
        return 1

    @property
    def n_groups(self) -> int:
        return 1

    @property
    def n_values(self) -> int | None:
        if self.digest not in _n_distinct:  # a bank may be large, and no attribute of a space may change
            _n_distinct[self.digest] = len({row.tobytes() for row in self.bank})
        return _n_distinct[self.digest]

    @property
    def n_entries(self) -> int:
        return len(self.bank)

    def entries(self, uniforms: Floats) -> Array:
        return np.minimum((uniforms[:, 0] * len(self.bank)).astype(np.int64), len(self.bank) - 1)

    def from_uniforms(self, uniforms: Floats) -> Array:
        return np.asarray(self.bank[self.entries(uniforms)], dtype=np.float64)

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats:
        return np.zeros_like(scores)

    def mean(self) -> Floats:
        return np.asarray(self.bank.mean(axis=0, dtype=np.float64))

    def unit_radius(self) -> float:
        variance = self.bank.var(axis=0, dtype=np.float64).sum()
        return float(sqrt(variance)) or 1.0
