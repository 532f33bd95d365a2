"""Probes: what is looked at once, as small values of integers that anybody can replay anywhere.

A probe is one seed and its structure. The seed is a latent, for ever: each end of the probe is a stream of uniforms of
its own (`gentest.spaces.streams`), which the space maps through the prior's inverse CDF. The mask says in which
coordinate groups the far end differs from the near one, spliced in the uniforms, so that every end is a sample of the
prior.

A *family* of probes (`points`, `segments`, `neighbours`, `steps`, and `along` of `gentest.ways`) says how a probe
becomes latents [N, P, *shape].
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from gentest import shifts
from gentest.arguments import as_number, is_whole, number_word
from gentest.ends import FULL_MASK as FULL_MASK
from gentest.ends import ends_of, rounded
from gentest.errors import InvalidArgument
from gentest.spaces import Space
from gentest.spaces.space import Array, Floats
from gentest.spaces.streams import FAR, NEAR, NOISE, PLACE, independent_seeds, uniforms_of

FULL_WINDOW = (0, 64)
SEED_BITS = 64
LEAST_STEP = 1e-6
"""The smallest step, as a share of the way between two samples. Latents are float32, which rounds a coordinate by up to
6e-8 of its size: a step of 1e-6 is right to some percent, one of 1e-8 is none."""

FORM = re.compile(
    r"([0-9a-f]{1,16})(?:-m([0-9a-f]{1,16}))?(?:-w(\d{1,2})\.(\d{1,2}))?(?:-c(\d{1,9}(?:\.\d{1,9}){0,63}))?"
    r"(?:-s([A-Za-z0-9+/]+))?",
    re.ASCII,
)

Where: TypeAlias = Literal["path", "ends"]
Latents: TypeAlias = Mapping[str, Array]
"""Latents by part, each [N, P, *shape], float32 (int64 for a choice)."""


@dataclass(frozen=True, order=True, slots=True)
class Probe:
    """One seed and its structure.

    `mask`: bit g is set where the far end differs from the near end in coordinate group g. `window`: which 64ths of
    a path are looked at. `choices`: the values of the space's discrete parts, in their order; empty = the seed's own.
    `shift`: how far an attack moved the ends (`gentest.shifts`); empty = they are the seed's own.

    >>> str(Probe(0x1F, mask=0b101, choices=(3,)))
    '1f-m5-c3'
    >>> Probe.parse("1f-m5-c3")
    Probe(seed=31, mask=5, window=(0, 64), choices=(3,))
    """

    seed: int
    mask: int = FULL_MASK
    window: tuple[int, int] = FULL_WINDOW
    choices: tuple[int, ...] = ()
    shift: bytes = field(default=b"", repr=False)

    def __hash__(self) -> int:
        return hash((self.seed, self.mask))

    def __str__(self) -> str:
        text = f"{self.seed:x}"
        if self.mask != FULL_MASK:
            text += f"-m{self.mask:x}"
        if self.window != FULL_WINDOW:
            text += f"-w{self.window[0]}.{self.window[1]}"
        if self.choices:
            text += f"-c{'.'.join(map(str, self.choices))}"
        if self.shift:
            text += f"-s{shifts.to_text(self.shift)}"
        return text

    @classmethod
    def parse(cls, text: str) -> Probe:
        """The probe that `str(probe)` wrote. Raises `InvalidArgument` for anything else."""
        match = FORM.fullmatch(text) if isinstance(text, str) and len(text) <= shifts.MAX_TEXT else None
        said = text[:80] if isinstance(text, str) else text
        if match is None:
            raise InvalidArgument.expected("a probe as gentest prints it, such as '1f-m5-w0.32-c3'", "probe", said)
        seed, mask, low, high, choices, shift = match.groups()
        window = FULL_WINDOW if low is None else (int(low), int(high))
        if not 0 <= window[0] < window[1] <= FULL_WINDOW[1]:
            raise InvalidArgument.expected("a window low.high with 0 <= low < high <= 64", "window", said)
        return cls(
            int(seed, 16),
            FULL_MASK if mask is None else int(mask, 16),
            window,
            () if choices is None else tuple(int(c) for c in choices.split(".")),
            b"" if shift is None else shifts.from_text(shift),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON that `from_json` reads: integers in hexadecimal where they pass 53 bits."""
        whole = {
            "seed": f"{self.seed:x}",
            "mask": f"{self.mask:x}",
            "window": list(self.window),
            "choices": list(self.choices),
        }
        return whole | ({"shift": shifts.to_text(self.shift)} if self.shift else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Probe:
        """The probe of `to_json`. Raises `InvalidArgument` for anything else."""
        try:
            seed, mask, (low, high), choices = (value[name] for name in ("seed", "mask", "window", "choices"))
            shift = value.get("shift")
            if not isinstance(seed, str) or not isinstance(mask, str) or not isinstance(shift, (str, type(None))):
                raise TypeError("a seed and a mask are hexadecimal text, a shift is text")
            if not isinstance(choices, (list, tuple)) or any(type(choice) is not int for choice in choices):
                raise TypeError("choices are a list of whole numbers")
            chosen = f"-c{'.'.join(map(str, choices))}" if choices else ""
            moved = "" if shift is None else f"-s{shift}"
            return cls.parse(f"{seed}-m{mask}-w{low!r}.{high!r}{chosen}{moved}")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidArgument.expected("a probe's JSON", "probe", value) from error


class Probes(ABC):
    """A family of probes: how one becomes latents. `n_points` latents a probe."""

    @property
    @abstractmethod
    def n_points(self) -> int:
        """P, how many latents a probe has."""

    @abstractmethod
    def t(self, probes: Sequence[Probe]) -> Floats:
        """Where on its path each latent lies, [N, P], 0 at the near end and 1 at the far end."""

    @abstractmethod
    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        """Latents [N, P, *shape] by part, float32."""

    @property
    def streams(self) -> tuple[int, ...]:
        """The ends that a probe's latents lie between, each a stream of its seed's uniforms."""
        return NEAR, FAR

    @property
    def has_path(self) -> bool:
        """Whether the order of a probe's latents means something, so that a window of it can be looked at."""
        return False


@dataclass(frozen=True)
class Points(Probes):
    """Single samples of the prior."""

    def __repr__(self) -> str:
        return "points()"

    @property
    def n_points(self) -> int:
        return 1

    @property
    def streams(self) -> tuple[int, ...]:
        return (FAR,)

    def t(self, probes: Sequence[Probe]) -> Floats:
        return np.zeros((len(probes), 1))

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        ends = ends_of(space, probes, self.streams)
        return {name: rounded(end[FAR])[:, None] for name, end in ends.items()}


@dataclass(frozen=True)
class Segments(Probes):
    """Paths between two independent samples, at `points` places a constant step apart, as the prior allows."""

    points: int = 9

    def __post_init__(self) -> None:
        if not is_whole(self.points, 2):
            raise InvalidArgument.expected("a number of points >= 2", "points", self.points)

    def __repr__(self) -> str:
        return f"segments(points={self.points})"

    @property
    def n_points(self) -> int:
        return self.points

    @property
    def has_path(self) -> bool:
        return True

    def t(self, probes: Sequence[Probe]) -> Floats:
        window = np.array([probe.window for probe in probes]).reshape(-1, 2) / FULL_WINDOW[1]
        step = np.arange(self.points) / (self.points - 1)
        return np.asarray(window[:, :1] * (1.0 - step) + window[:, 1:] * step)

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        ends, t = ends_of(space, probes, self.streams), self.t(probes)
        return {name: rounded(space.parts[name].path(end[NEAR], end[FAR], t)) for name, end in ends.items()}


@dataclass(frozen=True)
class Neighbours(Probes):
    """A sample of the prior and `count` neighbours, each `step` of the way to another independent sample."""

    step: float = 0.1
    count: int = 1

    def __post_init__(self) -> None:
        if not LEAST_STEP <= as_number(self.step) <= 1.0:
            raise InvalidArgument.expected(f"a step >= {LEAST_STEP} and <= 1", "step", self.step)
        if not is_whole(self.count, 1, NOISE - FAR):
            raise InvalidArgument.expected("a number of neighbours >= 1", "count", self.count)

    def __repr__(self) -> str:
        return f"neighbours(step={number_word(self.step)}, count={self.count})"

    @property
    def n_points(self) -> int:
        return 1 + self.count

    @property
    def streams(self) -> tuple[int, ...]:
        return NEAR, *(FAR + i for i in range(self.count))

    def t(self, probes: Sequence[Probe]) -> Floats:
        return np.tile([0.0] + [self.step] * self.count, (len(probes), 1))

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        streams = self.streams[1:]
        ends = ends_of(space, probes, self.streams)
        t = np.array([[0.0, self.step]])
        latents = {}
        for name, end in ends.items():
            pairs = [space.parts[name].path(end[NEAR], end[stream], t.repeat(len(probes), 0)) for stream in streams]
            latents[name] = rounded(np.concatenate([pairs[0][:, :1], *(pair[:, 1:] for pair in pairs)], axis=1))
        return latents


@dataclass(frozen=True)
class Steps(Probes):
    """A step of `epsilon` of the way between two independent samples, from one of them or from a random place on."""

    epsilon: float = 1e-4
    at: Where = "path"
    straight: bool = False

    def __post_init__(self) -> None:
        if not LEAST_STEP <= as_number(self.epsilon) <= 1 / FULL_WINDOW[1]:
            raise InvalidArgument.expected(f"a step >= {LEAST_STEP} and <= 1/64", "epsilon", self.epsilon)
        if self.at not in get_args(Where):
            raise InvalidArgument.expected("'path' or 'ends'", "at", self.at)
        if not isinstance(self.straight, bool):
            raise InvalidArgument.expected("True or False", "straight", self.straight)

    def __repr__(self) -> str:
        return f"steps(epsilon={number_word(self.epsilon)}, at={self.at!r}, straight={self.straight})"

    @property
    def n_points(self) -> int:
        return 2

    def t(self, probes: Sequence[Probe]) -> Floats:
        low, high = np.array([probe.window for probe in probes]).reshape(-1, 2).T / FULL_WINDOW[1]
        if self.at == "path":
            low = low + (high - low - self.epsilon) * uniforms_of([probe.seed for probe in probes], PLACE, 0, 1)[:, 0]
        return np.stack([low, low + self.epsilon], axis=1)

    def place(self, space: Space, probes: Sequence[Probe]) -> dict[str, Array]:
        ends, t = ends_of(space, probes, self.streams), self.t(probes)
        paths = {name: part.straight if self.straight else part.path for name, part in space.parts.items()}
        return {name: rounded(paths[name](end[NEAR], end[FAR], t)) for name, end in ends.items()}


def points() -> Points:
    """Single samples of the prior."""
    return Points()


def segments(points: int = 9) -> Segments:
    """Paths between two independent samples of the prior, looked at in `points` places."""
    return Segments(points)


def neighbours(step: float = 0.1, count: int = 1) -> Neighbours:
    """A sample of the prior and `count` neighbours, each `step`, in [1e-6, 1], of the way toward another sample."""
    return Neighbours(step, count)


def steps(epsilon: float = 1e-4, *, at: Where = "path", straight: bool = False) -> Steps:
    """A sample and one `epsilon` of the way on to another, in [1e-6, 1/64]: from the first of them, `at="ends"`, or
    from a place on the path that the probe's seed draws. `straight` lines instead of the paths that the prior has."""
    return Steps(epsilon, at, straight)


def independent(master: int, start: int, n: int) -> list[Probe]:
    """Probes `start` to `start + n` of the independent draws of `master`: what a pilot and a rate look at."""
    return [Probe(seed) for seed in independent_seeds(master, start, n)]


def moves(latents: Latents) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which probes are real, [N]: some latent differs from the first. Of single points, all are."""
    some = next(iter(latents.values()))
    if some.shape[1] == 1:
        return np.ones(len(some), dtype=bool)
    parts = [(z != z[:, :1]).reshape(len(z), -1).any(axis=1) for z in latents.values()]
    return np.asarray(np.logical_or.reduce(parts))


def without_groups(probe: Probe, groups: Iterable[int]) -> Probe:
    """The probe with these coordinate groups of its far end taken back to the near end."""
    return replace(probe, mask=probe.mask & ~sum(1 << g for g in set(groups)))


def active_groups(probe: Probe, n_groups: int) -> tuple[int, ...]:
    """The groups in which the probe's far end differs."""
    return tuple(g for g in range(n_groups) if probe.mask >> g & 1)
