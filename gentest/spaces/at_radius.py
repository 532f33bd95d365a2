"""A prior pulled to one distance from its mean, to find how far out a property holds.

Most maps mean something only near the middle of their latent space. Every space has a radius of its own, 1 where its
samples lie (the shell of a normal, the faces of a box). `at_radius(space, r)` moves each sample along its ray from the
mean to radius r, so the same uniforms give the same ray at every radius.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gentest.errors import InvalidArgument
from gentest.spaces.space import Array, Choice, Floats, Joint, Part, Space, Wrapper, check_radius
from gentest.spaces.streams import uniforms_at

TINY = 1e-300


@dataclass(frozen=True)
class AtRadius(Wrapper):
    """A part with its samples at one radius, each on its own ray from the mean."""

    radius: float

    def __repr__(self) -> str:
        return f"at_radius({self.part!r}, {self.radius!r})"

    @property
    def key(self) -> str:
        return f"at_radius({self.part.key}, {self.radius!r})"

    def from_uniforms(self, uniforms: Floats) -> Array:
        latents, mean = self.part.from_uniforms(uniforms), self.part.mean()
        return np.asarray(mean + (latents - mean) * self._scale(latents))

    def _scale(self, latents: Array) -> Floats:
        """The factor [N, 1, ...] by which each latent moves along its ray."""
        scale = self.radius / np.maximum(self.part.radii(latents), TINY)
        return np.asarray(scale.reshape(-1, *(1,) * len(self.shape)))

    def path(self, near: Array, far: Array, t: Floats) -> Array:
        return self.part.path(near, far, t)

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats | None:
        """Those of the part, turned only: the radius is given, so the component along the ray drops out."""
        latents = self.part.from_uniforms(uniforms_at(scores))
        ray = (latents - self.part.mean()).reshape(len(latents), -1)
        ray /= np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), TINY)
        flat = gradients.reshape(ray.shape)
        turning = flat - (flat * ray).sum(axis=1, keepdims=True) * ray
        return self.part.score_gradients(scores, self._scale(latents) * turning.reshape(gradients.shape))

    def path_gradients(self, near: Array, far: Array, t: Floats, gradients: Floats) -> tuple[Floats, Floats]:
        return self.part.path_gradients(near, far, t, gradients)

    def radii(self, latents: Array) -> Floats:
        return self.part.radii(latents)

    def shifted(self, latents: Array, by: Array) -> Array:
        """Latents moved around the sphere of this radius; otherwise up to the part's border or this radius."""
        mean, scale = self.part.mean(), self.radius if self.is_round else max(self.radius, 1.0)
        return np.asarray(mean + scale * (self.part.shifted(mean + (latents - mean) / scale, by / scale) - mean))


def at_radius(space: Space, radius: float) -> Space:
    """The space with every sample at one radius (> 0) on its ray from the mean; choices stay as they are.

    Samples of the space lie at radius 1: norm sqrt(d) of a `Normal`, the sphere of a `Sphere`, the faces of the box of
    a `Uniform` or a `TruncatedNormal`, the root-mean-square distance from the mean of an `Empirical` or a `Mapped`.
    Raises `InvalidArgument` for a radius that is not above 0, and for a space of choices only.
    """
    check_radius("radius", radius)
    if all(isinstance(part, Choice) for part in space.parts.values()):
        raise InvalidArgument(f"{space!r} has only choices: nothing in it has a radius")
    if isinstance(space, Joint):
        return Joint(**{name: _part_at(part, radius) for name, part in space.parts.items()})
    return _part_at(next(iter(space.parts.values())), radius)


def _part_at(part: Part, radius: float) -> Part:
    return part if isinstance(part, Choice) else AtRadius(part, float(radius))
