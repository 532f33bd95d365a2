"""How far out a latent lies, and a prior pulled to one distance: where along a ray from the middle a property fails.

Most maps mean something near the middle of their latent space only. Every space has a radius of its own, 1 where its
samples lie (the shell of a normal, the faces of a box), and `at_radius(space, r)` is its samples, each moved along its
ray from the mean to radius r. The same uniforms give the same ray at every radius.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gentest.errors import InvalidArgument
from gentest.spaces.priors import Sphere
from gentest.spaces.space import Array, Choice, Floats, Joint, Part, Space, Truncated, check_radius

TINY = 1e-300


@dataclass(frozen=True)
class AtRadius(Part):
    """A part whose samples lie at one radius, on the ray that each had from the mean."""

    part: Part
    radius: float

    def __repr__(self) -> str:
        return f"at_radius({self.part!r}, {self.radius!r})"

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
    def cut(self) -> str:
        return self.part.cut

    def from_uniforms(self, uniforms: Floats) -> Array:
        latents, mean = self.part.from_uniforms(uniforms), self.part.mean()
        scale = self.radius / np.maximum(self.part.radii(latents), TINY)
        return np.asarray(mean + (latents - mean) * scale.reshape(-1, *(1,) * len(self.shape)))

    def mean(self) -> Floats:
        return self.part.mean()

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        return self.part.path(near, far, t)

    def radii(self, latents: Array) -> Floats:
        return self.part.radii(latents)

    def shifted(self, latents: Array, by: Array) -> Array:
        """Round the sphere of this radius; else no further than the part reaches, or this radius where that is more."""
        mean, scale = self.part.mean(), self.radius if _is_round(self.part) else max(self.radius, 1.0)
        return np.asarray(mean + scale * (self.part.shifted(mean + (latents - mean) / scale, by / scale) - mean))


def at_radius(space: Space, radius: float) -> Space:
    """The space with every sample at one radius (> 0) on its ray from the mean; choices stay as they are.

    Radius 1 is where samples of the space lie: norm sqrt(d) of a `Normal`, the sphere of a `Sphere`, the faces of the
    box of a `Uniform` or a `TruncatedNormal`, the root-mean-square distance from the mean of an `Empirical` or a
    `Mapped`. Raises `InvalidArgument` for a space of choices alone, in which nothing has a radius.
    """
    check_radius("radius", radius)
    if all(isinstance(part, Choice) for part in space.parts.values()):
        raise InvalidArgument(f"nothing in {space!r} has a radius: all of it is a choice")
    if isinstance(space, Joint):
        return Joint(**{name: _part_at(part, radius) for name, part in space.parts.items()})
    return _part_at(next(iter(space.parts.values())), radius)


def _is_round(part: Part) -> bool:
    return _is_round(part.part) if isinstance(part, Truncated) else isinstance(part, Sphere)


def _part_at(part: Part, radius: float) -> Part:
    return part if isinstance(part, Choice) else AtRadius(part, float(radius))
