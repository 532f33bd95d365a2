"""Families of probes: each turns a probe into latents [N, P, *shape].

A family places the ends of its probes, each a sample of the prior, and the latents between them on paths of the space.
A way along a direction has no second end: the direction is part of the family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from gentest._support.arguments import as_number, is_whole
from gentest._support.printable import format_number
from gentest.errors import InvalidArgument
from gentest.probes.ends import ends_of, kept
from gentest.probes.probe import FULL_WINDOW, Probe
from gentest.spaces import Direction, Space
from gentest.spaces.space import Array, Floats, rounded
from gentest.spaces.streams import FAR, NEAR, NOISE, PLACE, uniforms_of

LEAST_STEP = 1e-6
"""The smallest step, as a share of the way between two samples. float32 rounds a coordinate by up to 6e-8 of its size:
a step of 1e-6 is right to a few percent, and a step of 1e-8 disappears."""

Where: TypeAlias = Literal["path", "ends"]
Latents: TypeAlias = Mapping[str, Array]
"""Latents by part, each [N, P, *shape], float32 (int64 for a choice)."""


class Probes(ABC):
    """A family of probes: turns each probe into `n_points` latents."""

    @property
    @abstractmethod
    def n_points(self) -> int:
        """P, the number of latents of a probe."""

    @abstractmethod
    def t(self, probes: Sequence[Probe]) -> Floats:
        """The position of each latent on its path, [N, P], from 0 at the near end to 1 at the far end."""

    @abstractmethod
    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        """Latents [N, P, *shape] by part, float32."""

    @property
    def streams(self) -> tuple[int, ...]:
        """The ends of a probe, each a stream of its seed's uniforms."""
        return NEAR, FAR

    def moving(self, space: Space) -> tuple[str, ...]:
        """The names of the parts that may change along a probe; the others stay as they are at its near end."""
        return tuple(space.parts)

    @property
    def samples(self) -> tuple[int, ...]:
        """The places of a probe whose latents are independent samples of the prior; empty if none is sure to be."""
        return ()

    @property
    def is_ordered(self) -> bool:
        """True if the step from each latent of a probe to the next one means something."""
        return True

    @property
    def has_path(self) -> bool:
        """True if the latents of a probe lie in order on a path, so that a part of the path is a simpler probe."""
        return False


@dataclass(frozen=True)
class Points(Probes):
    """Single samples of the prior."""

    n_points = 1
    streams = (FAR,)
    samples = (0,)

    def __repr__(self) -> str:
        return "points()"

    def t(self, probes: Sequence[Probe]) -> Floats:
        return np.zeros((len(probes), 1))

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        ends = ends_of(space, probes, self.streams)
        return {name: rounded(end[FAR])[:, None] for name, end in ends.items()}


class _Moving(Probes):
    """A family whose far ends differ in some parts only: those named in `moves`, or all of them if it is empty."""

    moves: tuple[str, ...]

    def moving(self, space: Space) -> tuple[str, ...]:
        if self.moves and "" in space.parts:
            raise InvalidArgument(
                f"moves={list(self.moves)!r} names parts of a gentest.Joint, and {space!r} is one part"
            )
        for name in self.moves:
            if name not in space.parts or not space.parts[name].n_groups:
                why = "has no such part" if name not in space.parts else "leaves it as it is along a path"
                can = ", ".join(repr(other) for other, part in space.parts.items() if part.n_groups) or "none"
                raise InvalidArgument(
                    f"moves={list(self.moves)!r}: {name!r} cannot move, since {space!r} {why}; {can} can"
                )
        return self.moves or tuple(space.parts)

    def _also(self) -> str:
        """The end of the repr."""
        return f", moves={list(self.moves)!r}" if self.moves else ""

    def _still(self, space: Space, ends: Mapping[str, Mapping[int, Array]]) -> dict[str, Array]:
        """The latents [N, P, *shape] of the parts that do not move."""
        moving = self.moving(space)
        near = {name: rounded(end[NEAR]) for name, end in ends.items() if name not in moving}
        return {name: np.repeat(z[:, None], self.n_points, axis=1) for name, z in near.items()}


@dataclass(frozen=True)
class Segments(_Moving):
    """Paths between two independent samples of the prior, at `points` equidistant places."""

    points: int = 9
    moves: tuple[str, ...] = ()
    has_path = True

    def __post_init__(self) -> None:
        if not is_whole(self.points, 2):
            raise InvalidArgument.expected("a number of points >= 2", "points", self.points)

    def __repr__(self) -> str:
        return f"segments(points={self.points}{self._also()})"

    @property
    def n_points(self) -> int:
        return self.points

    @property
    def samples(self) -> tuple[int, ...]:
        return (0,) if self.moves else (0, self.points - 1)

    def t(self, probes: Sequence[Probe]) -> Floats:
        window = np.array([probe.window for probe in probes]).reshape(-1, 2) / FULL_WINDOW[1]
        step = np.arange(self.points) / (self.points - 1)
        return np.asarray(window[:, :1] * (1.0 - step) + window[:, 1:] * step)

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        ends, t = ends_of(space, probes, self.streams), self.t(probes)
        latents = self._still(space, ends)
        for name, end in ends.items():
            if name not in latents:
                latents[name] = space.parts[name].rounded_path(end[NEAR], end[FAR], t)
        return {name: latents[name] for name in ends}


@dataclass(frozen=True)
class Neighbours(_Moving):
    """A sample of the prior and `count` neighbours, each `step` of the way to an independent sample."""

    step: float = 0.1
    count: int = 1
    moves: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not LEAST_STEP <= as_number(self.step) <= 1.0:
            raise InvalidArgument.expected(f"a step >= {LEAST_STEP} and <= 1", "step", self.step)
        if not is_whole(self.count, 1, NOISE - FAR):
            raise InvalidArgument.expected("a number of neighbours >= 1", "count", self.count)

    def __repr__(self) -> str:
        return f"neighbours(step={format_number(self.step)}, count={self.count}{self._also()})"

    @property
    def n_points(self) -> int:
        return 1 + self.count

    @property
    def is_ordered(self) -> bool:
        return self.count == 1

    @property
    def samples(self) -> tuple[int, ...]:
        return (0,)

    @property
    def streams(self) -> tuple[int, ...]:
        return NEAR, *(FAR + i for i in range(self.count))

    def t(self, probes: Sequence[Probe]) -> Floats:
        return np.tile([0.0] + [self.step] * self.count, (len(probes), 1))

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        streams = self.streams[1:]
        ends = ends_of(space, probes, self.streams)
        t = np.array([[0.0, self.step]])
        latents = self._still(space, ends)
        for name, end in ends.items():
            if name in latents:
                continue
            part, shares = space.parts[name], t.repeat(len(probes), 0)
            pairs = [part.rounded_path(end[NEAR], end[stream], shares) for stream in streams]
            latents[name] = np.concatenate([pairs[0][:, :1], *(pair[:, 1:] for pair in pairs)], axis=1)
        return {name: latents[name] for name in ends}


@dataclass(frozen=True)
class Steps(_Moving):
    """A step of `epsilon` of the way between two independent samples, from one of them or from a random place."""

    epsilon: float = 1e-4
    at: Where = "path"
    straight: bool = False
    moves: tuple[str, ...] = ()
    n_points = 2

    def __post_init__(self) -> None:
        if not LEAST_STEP <= as_number(self.epsilon) <= 1 / FULL_WINDOW[1]:
            raise InvalidArgument.expected(f"a step >= {LEAST_STEP} and <= 1/64", "epsilon", self.epsilon)
        if self.at not in get_args(Where):
            raise InvalidArgument.expected("'path' or 'ends'", "at", self.at)
        if not isinstance(self.straight, bool):
            raise InvalidArgument.expected("True or False", "straight", self.straight)

    def __repr__(self) -> str:
        return f"steps(epsilon={format_number(self.epsilon)}, at={self.at!r}, straight={self.straight}{self._also()})"

    def t(self, probes: Sequence[Probe]) -> Floats:
        low, high = np.array([probe.window for probe in probes]).reshape(-1, 2).T / FULL_WINDOW[1]
        if self.at == "path":
            low = low + (high - low - self.epsilon) * uniforms_of([probe.seed for probe in probes], PLACE, 0, 1)[:, 0]
        return np.stack([low, low + self.epsilon], axis=1)

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        ends, t = ends_of(space, probes, self.streams), self.t(probes)
        latents = self._still(space, ends)
        for name, end in ends.items():
            if name not in latents:
                latents[name] = space.parts[name].rounded_path(end[NEAR], end[FAR], t, straight=self.straight)
        return {name: latents[name] for name in ends}


@dataclass(frozen=True)
class Along(Probes):
    """A sample of the prior and places on the way from it along a direction.

    A mask removes coordinate groups from the direction. There is no window: a shorter way is another question.
    """

    direction: Direction
    reach: float = 3.0
    points: int = 5
    streams = (NEAR,)

    def __post_init__(self) -> None:
        if not isinstance(self.direction, Direction):
            raise InvalidArgument.expected("a gentest.Direction", "direction", self.direction)
        if not 0.0 < as_number(self.reach) < inf:
            raise InvalidArgument.expected("a finite number > 0", "reach", self.reach)
        Segments(self.points)  # checks the number

    def __repr__(self) -> str:
        return f"along({self.direction!r}, reach={format_number(self.reach)}, points={self.points})"

    @property
    def n_points(self) -> int:
        return self.points

    def t(self, probes: Sequence[Probe]) -> Floats:
        return np.tile(np.linspace(0.0, 1.0, self.points), (len(probes), 1))

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        moved = self.direction.part_of(space)
        latents = {}
        for name, end in ends_of(space, probes, self.streams).items():
            z, part = end[NEAR][:, None].repeat(self.points, axis=1), space.parts[name]  # [N, P, *shape]
            if name == moved:
                keep = kept(space, name, part.dim, probes)  # [N, dim] uniforms
                if part.dim != self.direction.vector.size:  # an entry of a bank, or a mapped latent, moves as a whole
                    keep = np.asarray(keep.any(axis=1, keepdims=True))
                keep = keep.reshape(-1, 1, *(part.shape if part.dim == self.direction.vector.size else (1,)))
                t = self.t(probes).reshape(*z.shape[:2], *(1,) * len(part.shape))
                z = part.shifted(z, self.reach * t * keep * self.direction.vector)
            latents[name] = rounded(z)
        return latents


def points() -> Points:
    """Single samples of the prior."""
    return Points()


def segments(points: int = 9, *, moves: Sequence[str] | None = None) -> Segments:
    """Paths between two independent samples of the prior, at `points` >= 2 places.

    `moves` names the parts of a `Joint` that change from end to end; the others stay. By default all change but
    choices, conditions and fixed parts, which no path changes.
    """
    return Segments(points, check_moves(moves))


def neighbours(step: float = 0.1, count: int = 1, *, moves: Sequence[str] | None = None) -> Neighbours:
    """A sample of the prior and `count` >= 1 neighbours, each `step`, in [1e-6, 1], of the way to another sample.

    `moves` names the parts of a `Joint` in which they differ; by default they differ in all.
    """
    return Neighbours(step, count, check_moves(moves))


def check_moves(moves: object) -> tuple[str, ...]:
    """The names of the parts that move; empty for None, which means all. Raises `InvalidArgument` for anything else."""
    if moves is None:
        return ()
    if not isinstance(moves, (list, tuple)) or not moves or not all(isinstance(name, str) for name in moves):
        raise InvalidArgument.expected("a list of names of parts, such as ['latents']", "moves", moves)
    return tuple(dict.fromkeys(moves))


def steps(
    epsilon: float = 1e-4, *, at: Where = "path", straight: bool = False, moves: Sequence[str] | None = None
) -> Steps:
    """Two latents, `epsilon` in [1e-6, 1/64] of the way between two independent samples apart.

    `at="ends"` starts at the first sample, `at="path"` at a place on the path that the probe's seed draws. `straight`
    uses straight lines instead of the prior's paths. `moves` names the parts of a `Joint` that change; by default all
    do.
    """
    return Steps(epsilon, at, straight, check_moves(moves))


def along(direction: Direction, *, reach: float = 3.0, points: int = 5) -> Along:
    """A sample of the prior and the way from it along a direction, up to `reach`, at `points` >= 2 places.

    `reach` > 0 is in the latent's own units: standard deviations of a `Normal`. The way stays in the prior's support:
    it is clamped to a box and goes round a sphere. Choices stay.
    """
    return Along(direction, reach, points)


def moves(latents: Latents) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True for probes [N] in which some latent differs from the first; always true for single points."""
    some = next(iter(latents.values()))
    if some.shape[1] == 1:
        return np.ones(len(some), dtype=bool)
    parts = [(z != z[:, :1]).reshape(len(z), -1).any(axis=1) for z in latents.values()]
    return np.asarray(np.logical_or.reduce(parts))
