"""The priors people train with: each maps uniforms to latents by its inverse CDF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, prod, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtr, ndtr, ndtri

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument
from gentest.spaces.space import Array, Choice, Floats, Part, check_shape, digest_of

NARROW = 1e-7
"""Directions whose angle has a smaller sine count as parallel or opposite."""
ORIGIN = 1e-150
"""A latent no longer than this has no direction: its square is lost in float64."""

_n_rows: dict[str, int] = {}
"""How many distinct entries a bank has, by its digest."""


def great_circle(near: Floats, far: Floats, t: Floats) -> Floats:
    """Slerp of flat latents near, far [N, d] at t [N, P] in [0, 1]: the direction turns and the length changes evenly.

    The direction as Shoemake 1985, "Animating rotation with quaternion curves", and the length apart from it: his
    formula applied to ends of unequal length leaves every bound where they are nearly opposite.

    Ends that are parallel, an end at the origin, and latents of one coordinate are joined by a straight line; exactly
    opposite ends by the half circle through the coordinate axis that lies furthest from them.
    """
    near_length, far_length = _lengths(near), _lengths(far)  # [N, 1]
    u, v = near / near_length, far / far_length
    cosine = np.einsum("nd,nd->n", u, v)[:, None]
    across = np.linalg.norm(v - cosine * u, axis=1)[:, None]
    angle = np.arctan2(across, cosine)  # an arc cosine is off by 1e-8 where the ends are nearly opposite
    narrow = (across < NARROW) | (np.minimum(near_length, far_length) <= ORIGIN)
    sine = np.where(narrow, 1.0, np.sin(angle))
    length = near_length * (1.0 - t) + far_length * t  # [N, P]
    a = np.where(narrow, 1.0 - t, np.sin((1.0 - t) * angle) / sine * (length / near_length))
    b = np.where(narrow, t, np.sin(t * angle) / sine * (length / far_length))
    path = near[:, None] * a[..., None]
    path += far[:, None] * b[..., None]
    opposite = ((across < NARROW) & (cosine < -0.5))[:, 0]
    if opposite.any() and near.shape[1] > 1:
        path[opposite] = _half_circle(near[opposite], far[opposite], t[opposite])
    return np.asarray(path)


def _half_circle(near: Floats, far: Floats, t: Floats) -> Floats:
    """Great circles of opposite latents near, far [N, d], each by the axis that lies furthest from both."""
    near_length, far_length = _lengths(near), _lengths(far)
    u, rows = near / near_length, np.arange(len(near))
    axis = np.abs(u).argmin(axis=1)
    aside = -u[rows, axis][:, None] * u
    aside[rows, axis] += 1.0
    aside /= _lengths(aside)
    length, along = near_length * (1.0 - t) + far_length * t, np.cos(np.pi * t)  # [N, P]
    parts = (
        (near, np.maximum(along, 0.0) * (length / near_length)),
        (far, np.maximum(-along, 0.0) * (length / far_length)),
        (aside, np.sin(np.pi * np.minimum(t, 1.0 - t)) * length),
    )
    return np.asarray(sum(part[:, None] * weight[..., None] for part, weight in parts))


def _lengths(latents: Floats) -> Floats:
    """Lengths [N, 1] of latents [N, d], none less than `ORIGIN`."""
    return np.asarray(np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), ORIGIN))


class _Shell(Part):
    """A prior whose mass lies on a shell: its paths are great circles."""

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        n, flat = len(near), self.dim
        along = great_circle(near.reshape(n, flat), far.reshape(n, flat), t)
        return along.reshape(*t.shape, *self.shape)


@dataclass(frozen=True, init=False)
class Normal(_Shell):
    """z ~ N(0, I) of any shape; paths are great circles.

    >>> Normal(128)
    Normal(128)
    >>> Normal((4, 8, 8)).dim
    256
    """

    shape: tuple[int, ...]

    def __init__(self, shape: int | Sequence[int]) -> None:
        object.__setattr__(self, "shape", check_shape(shape))

    def __repr__(self) -> str:
        return f"Normal({shape_word(self.shape)})"

    def from_uniforms(self, uniforms: Floats) -> Array:
        return np.asarray(ndtri(uniforms)).reshape(-1, *self.shape)

    def mean(self) -> Floats:
        return np.zeros(self.shape)

    def typicality(self, latents: Array) -> Floats:
        flat = latents.reshape(len(latents), -1).astype(np.float64)
        return np.asarray(chdtr(self.dim, np.square(flat).sum(axis=1)))


@dataclass(frozen=True, init=False)
class Uniform(Part):
    """z uniform in a box, with the normal's variance unless bounds are given: low, high = -sqrt(3), sqrt(3).

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
            as_given = np.float32(bounds[0]), np.float32(bounds[1])  # as a generator is given latents
        if not (np.isfinite(as_given).all() and as_given[0] < as_given[1]):
            raise InvalidArgument.expected("bounds that float32 can hold, low < high", "(low, high)", (low, high))
        object.__setattr__(self, "shape", check_shape(shape))
        object.__setattr__(self, "low", bounds[0])
        object.__setattr__(self, "high", bounds[1])

    def __repr__(self) -> str:
        bounds = "" if (self.low, self.high) == (-sqrt(3), sqrt(3)) else f", low={self.low}, high={self.high}"
        return f"Uniform({shape_word(self.shape)}{bounds})"

    def from_uniforms(self, uniforms: Floats) -> Array:
        return (self.low + uniforms * (self.high - self.low)).reshape(-1, *self.shape)

    def mean(self) -> Floats:
        return np.full(self.shape, (self.low + self.high) / 2)

    def radii(self, latents: Array) -> Floats:
        return _to_the_face(latents - self.mean(), (self.high - self.low) / 2)

    def shifted(self, latents: Array, by: Array) -> Array:
        return np.asarray(np.clip(latents + by, self.low, self.high))


@dataclass(frozen=True, init=False)
class TruncatedNormal(Part):
    """z normal, resampled until |z_i| <= bound, as BigGAN samples (Brock et al. 2019, arXiv:1809.11096, sec. 3.1)."""

    shape: tuple[int, ...]
    bound: float

    def __init__(self, shape: int | Sequence[int], *, bound: float = 2.0) -> None:
        if not 0 < as_number(bound) < inf:
            raise InvalidArgument.expected("a bound > 0", "bound", bound)
        object.__setattr__(self, "shape", check_shape(shape))
        object.__setattr__(self, "bound", float(bound))

    def __repr__(self) -> str:
        return f"TruncatedNormal({shape_word(self.shape)}, bound={self.bound})"

    @property
    def cut(self) -> str:
        return f"bound={self.bound}"

    def from_uniforms(self, uniforms: Floats) -> Array:
        low = ndtr(-self.bound)
        inside = np.clip(ndtri(low + uniforms * (1.0 - 2.0 * low)), -self.bound, self.bound)
        return np.asarray(inside).reshape(-1, *self.shape)

    def mean(self) -> Floats:
        return np.zeros(self.shape)

    def radii(self, latents: Array) -> Floats:
        return _to_the_face(latents, self.bound)

    def shifted(self, latents: Array, by: Array) -> Array:
        return np.asarray(np.clip(latents + by, -self.bound, self.bound))


@dataclass(frozen=True, init=False)
class Sphere(_Shell):
    """z uniform on a sphere, of the normal's radius sqrt(d) unless one is given; paths are great circles.

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
        usual = self.radius == sqrt(self.dim)
        return f"Sphere({shape_word(self.shape)}{'' if usual else f', radius={self.radius}'})"

    def from_uniforms(self, uniforms: Floats) -> Array:
        z: Floats = np.asarray(ndtri(uniforms))
        return self._onto(z).reshape(-1, *self.shape)

    def mean(self) -> Floats:
        return np.zeros(self.shape)

    def unit_radius(self) -> float:
        return self.radius

    def shifted(self, latents: Array, by: Array) -> Array:
        moved = latents + by
        return self._onto(moved.reshape(*moved.shape[: -len(self.shape)], -1)).reshape(moved.shape)

    def _onto(self, flat: Floats) -> Floats:
        """Flat latents [..., d] from the centre onto the sphere."""
        return np.asarray(flat * (self.radius / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-300)))


@dataclass(frozen=True, init=False)
class Categorical(Choice):
    """A choice of 0 .. n - 1, int64 [N]: a label. A path leaves it as it is.

    Independent draws follow `probabilities` (equal ones by default); a search draws choices as structure, and
    shrinks them toward 0.
    """

    n: int
    probabilities: tuple[float, ...]

    def __init__(self, n: int, *, probabilities: Sequence[float] | None = None) -> None:
        if not is_whole(n, 1):
            raise InvalidArgument.expected("a number of choices >= 1", "n", n)
        given = (1.0 / n,) * n if probabilities is None else probabilities
        weights = tuple(as_number(p) for p in given) if isinstance(given, Iterable) else ()
        if len(weights) != n or any(not p >= 0 for p in weights) or abs(sum(weights) - 1.0) > 1e-6:
            raise InvalidArgument.expected(f"{n} probabilities that sum to 1", "probabilities", probabilities)
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "probabilities", weights)

    def __repr__(self) -> str:
        usual = self.probabilities == (1.0 / self.n,) * self.n
        return f"Categorical({self.n}{'' if usual else f', probabilities={self.probabilities}'})"

    @property
    def support(self) -> tuple[int, ...]:
        return tuple(value for value, p in enumerate(self.probabilities) if p > 0)

    @property
    def n_choices(self) -> int:
        return self.n

    def from_uniforms(self, uniforms: Floats) -> Array:
        edges = np.cumsum(self.probabilities)[:-1]
        return np.asarray(np.searchsorted(edges, uniforms[:, 0], side="right"), dtype=np.int64)


@dataclass(frozen=True, init=False)
class Empirical(Part):
    """One of a bank of latents [M, *shape], each as likely: encoded images, or w vectors. Paths are straight lines.

    A path from one entry to another passes between them, off the bank. An entry is taken whole: the far end of a
    probe is another entry or the same one.
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
        return f"Empirical({len(self.bank)} of {shape_word(self.shape)}, {self.digest})"

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
        if self.digest not in _n_rows:  # a bank may be large, and no attribute of a space may change
            _n_rows[self.digest] = len({row.tobytes() for row in self.bank})
        return _n_rows[self.digest]

    def from_uniforms(self, uniforms: Floats) -> Array:
        index = np.minimum((uniforms[:, 0] * len(self.bank)).astype(np.int64), len(self.bank) - 1)
        return np.asarray(self.bank[index], dtype=np.float64)

    def mean(self) -> Floats:
        return np.asarray(self.bank.mean(axis=0, dtype=np.float64))

    def unit_radius(self) -> float:
        variance = self.bank.var(axis=0, dtype=np.float64).sum()
        return float(sqrt(variance)) or 1.0


def _to_the_face(away: Array, half_width: float) -> Floats:
    """How far [N] a latent lies from the middle of a box toward its faces, by its largest coordinate."""
    return np.asarray(np.abs(away).reshape(len(away), -1).max(axis=1) / half_width)


def shape_word(shape: tuple[int, ...]) -> str:
    """A shape as a space's first argument: `128` for (128,)."""
    return str(shape[0]) if len(shape) == 1 else str(shape)
