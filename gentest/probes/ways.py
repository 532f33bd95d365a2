"""Probes along a direction: a sample of the prior, and the way from it that a direction of the latent space shows.

Unlike a path between two samples it has no second end that the prior draws: the direction is part of the family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from gentest._support.arguments import as_number, number_word
from gentest.errors import InvalidArgument
from gentest.probes.ends import ends_of, kept, rounded
from gentest.probes.families import Probes, Segments
from gentest.probes.probe import Probe
from gentest.spaces import Direction, Space
from gentest.spaces.space import Array, Floats
from gentest.spaces.streams import NEAR


@dataclass(frozen=True)
class Along(Probes):
    """A sample of the prior and places on the way from it along a direction.

    A mask takes coordinate groups of the direction away. There is no window: a shorter way is another question.
    """

    direction: Direction
    reach: float = 3.0
    points: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.direction, Direction):
            raise InvalidArgument.expected("a gentest.Direction", "direction", self.direction)
        if not 0.0 < as_number(self.reach) < inf:
            raise InvalidArgument.expected("a finite number > 0", "reach", self.reach)
        Segments(self.points)  # which checks it

    def __repr__(self) -> str:
        return f"along({self.direction!r}, reach={number_word(self.reach)}, points={self.points})"

    @property
    def n_points(self) -> int:
        return self.points

    @property
    def streams(self) -> tuple[int, ...]:
        return (NEAR,)

    def t(self, probes: Sequence[Probe]) -> Floats:
        return np.tile(np.linspace(0.0, 1.0, self.points), (len(probes), 1))

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        moved = self.direction.part_of(space)
        latents = {}
        for name, end in ends_of(space, probes, self.streams).items():
            z, part = end[NEAR][:, None].repeat(self.points, axis=1), space.parts[name]  # [N, P, *shape]
            if name == moved:
                keep = kept(space, name, part.dim, probes)  # [N, dim] uniforms
                if part.dim != self.direction.vector.size:  # of an entry of a bank, or what a network maps: whole
                    keep = np.asarray(keep.any(axis=1, keepdims=True))
                keep = keep.reshape(-1, 1, *(part.shape if part.dim == self.direction.vector.size else (1,)))
                t = self.t(probes).reshape(*z.shape[:2], *(1,) * len(part.shape))
                z = part.shifted(z, self.reach * t * keep * self.direction.vector)
            latents[name] = rounded(z)
        return latents


def along(direction: Direction, *, reach: float = 3.0, points: int = 5) -> Along:
    """A sample of the prior and the way from it along a direction, `reach` far, looked at in `points` places.

    `reach` > 0 is in the latent's own units: standard deviations of a `Normal`. The way stays where the prior does: it
    is clamped to a box and goes round a sphere. Choices stay as they are.
    """
    return Along(direction, reach, points)
