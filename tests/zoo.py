"""A zoo of analytic generators whose truth is known: what every test of the engine looks at.

Each makes images [B, 1, 2, 2] of one grey level, so that brightness is the level. The levels are written for the
uniform space (paths are straight lines) unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

import gentest

UNIT = (0.0, 1.0)


def images(level: Tensor) -> Tensor:
    """Grey images [B, 1, 2, 2] of levels [B]."""
    return level[:, None, None, None].expand(-1, 1, 2, 2)


@dataclass
class Counted:
    """A function of latents that remembers the sizes of the batches it was given."""

    level: Callable[[Tensor], Tensor]
    batches: list[int] = field(default_factory=list)

    def __call__(self, z: Tensor) -> Tensor:
        self.batches.append(len(z))
        return images(self.level(z))


def generator(level: Callable[[Tensor], Tensor], latent: gentest.Space | None = None) -> gentest.Generator:
    """A generator of grey levels in [0, 1]; `.function.batches` tells how it was called."""
    return gentest.Generator(Counted(level), latent=latent or gentest.Uniform(8), output_range=UNIT)


def linear(z: Tensor) -> Tensor:
    """Level linear in z: between its ends, monotone and even on every straight path."""
    return 0.5 + 0.1 * z[:, :4].mean(1)


def fold(z: Tensor) -> Tensor:
    """Level |z_0|: leaves the range of its ends by up to 0.2 wherever a path crosses z_0 = 0."""
    return 0.1 + 0.2 * z[:, 0].abs() / 3**0.5


def jump(z: Tensor) -> Tensor:
    """Level with a step of 0.5 at z_0 = 0, elsewhere a slope of 0.05."""
    return 0.2 + 0.5 * (z[:, 0] > 0) + 0.05 * z[:, 1]


def collapsed(z: Tensor) -> Tensor:
    """One level, whatever z."""
    return torch.full((len(z),), 0.5)


def planted(index: int, *, height: float = 0.3) -> Callable[[Tensor], Tensor]:
    """A smooth background over all coordinates, and a ridge where coordinate `index` is within 0.05 of 1.2."""

    def level(z: Tensor) -> Tensor:
        background = 0.4 + 0.02 * z.mean(1) * z.shape[1] ** 0.5
        return background + height * ((z[:, index] - 1.2).abs() < 0.05)

    return level
