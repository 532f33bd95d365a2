"""Plans: which probes a check looks at, and which are independent draws.

Rates, baselines and gates look at the independent probes of a seed, which no search ever draws. Each independent probe
has its own seed from the stream of the master seed, so that no two share a latent. A probe on which nothing moves is
left out. An index names the same probe on every machine.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import Any

from gentest.errors import InvalidArgument
from gentest.generators.generator import Generator
from gentest.probes.families import Points, Probes, moves
from gentest.probes.probe import Probe, independent
from gentest.spaces import Space

PILOT_SEED = 0x67656E74657374
"""The master seed of every pilot: fixed, so that `gentest.sd(x)` is the same number in every run."""
PILOT = 256
"""Samples of a pilot."""
PILOTS = frozenset(independent(PILOT_SEED, 0, PILOT))
CHUNK = 256
"""Independent probes drawn at a time."""
CHUNKS = 16
"""Chunks kept in memory."""
BARREN = 64
"""Number of chunks without a usable probe after which gentest gives up."""


class Origin(IntEnum):
    """The origin of the probes in a batch."""

    SEARCHED = 0
    INDEPENDENT = 1
    """From a rate, a sample, or a summary of the outputs."""
    PILOT = 2
    """From the fixed pilot that measures standard deviations under the prior."""


Upcoming = Callable[[Probes, Origin], Iterable[Any]]
"""The measures that later properties will ask for on a family's probes: attributes and features, or `Measure`s."""


class Plans:
    """The probes that the checks of a session plan to look at."""

    def __init__(self) -> None:
        self.searched: dict[Hashable, dict[Probe, None]] = {}
        """The probes of each search in order, by what they were drawn from and how."""
        self.rounded: set[Probe] = set()
        """Probes on which a property measured its rounding: the next property measures it on the same ones."""

    def origin(self, probe: Probe) -> Origin:
        """The origin of a probe."""
        if any(probe in plan for plan in self.searched.values()):
            return Origin.SEARCHED
        return Origin.PILOT if probe in PILOTS else Origin.INDEPENDENT


class Stream:
    """The usable probes among the independent draws of a seed; `real` selects them."""

    def __init__(self, seed: int, real: Callable[[Sequence[Probe]], list[Probe]]) -> None:
        self.seed = seed
        self._real = real
        self._ends = [0]
        """Number of probes in the first 0, 1, 2, ... chunks."""
        self._last: dict[int, list[Probe]] = {}
        """The chunks drawn last."""

    def probes(self, start: int, n: int) -> list[Probe]:
        """Probes `start` to `start + n` of the stream."""
        barren = 0
        while self._ends[-1] < start + n:
            found = self._chunk(len(self._ends) - 1)
            self._ends.append(self._ends[-1] + len(found))
            barren = 0 if found else barren + 1
            if barren == BARREN:
                raise InvalidArgument("no independent probe moves in this latent space: there is nothing to compare")
        first, last = bisect_right(self._ends, start) - 1, bisect_left(self._ends, start + n)
        probes = [probe for index in range(first, last) for probe in self._chunk(index)]
        return probes[start - self._ends[first] :][:n]

    def _chunk(self, index: int) -> list[Probe]:
        """The usable probes of one chunk of draws."""
        if index not in self._last:
            self._last = dict(islice(self._last.items(), max(len(self._last) + 1 - CHUNKS, 0), None))
            self._last[index] = self._real(independent(self.seed, index * CHUNK, CHUNK))
        return self._last[index]


def real(family: Probes, space: Space, probes: Sequence[Probe]) -> list[Probe]:
    """The probes along which something moves. A continuous part of a space always moves."""
    moving_parts = [space.parts[name] for name in family.moving(space)]
    if not probes or any(part.n_groups > 1 for part in moving_parts):
        return list(probes)
    moving = moves(family.place(space, probes))
    return [probe for probe, is_real in zip(probes, moving, strict=True) if is_real]


@dataclass(frozen=True)
class Inputs:
    """Number of distinct inputs among some probes, and in the whole space; None for a space without a finite number."""

    distinct: int | None = None
    of: int | None = None


def inputs(family: Probes, generator: Generator, probes: Sequence[Probe], *, of: int = 1) -> Inputs:
    """The distinct inputs among some probes of a finite space. Only a share 1/`of` of its latents can be drawn.

    Probes with different seeds can be the same input of the generator.
    """
    space, n = generator.latent, generator.latent.n_latents
    if n is None or generator.noise:
        return Inputs()
    rows = [latents.reshape(len(probes), -1) for latents in family.place(space, probes).values()]
    distinct = {tuple(row.tobytes() for row in row_of_parts) for row_of_parts in zip(*rows, strict=True)}
    return Inputs(len(distinct), n // of if isinstance(family, Points) else None)


def fits(family: Probes, space: Space, probe: Probe) -> bool:
    """Whether a probe from another run fits a space: it has its choices, blank positions and coordinates."""
    supports, dim = space.supports, sum(part.dim for part in space.parts.values())
    chosen = not probe.choices or (
        len(probe.choices) == len(supports)
        and all(choice in support for choice, support in zip(probe.choices, supports, strict=True))
    )
    reached = max((high for _, high in probe.blanks), default=0)
    in_grids = reached <= sum(part.n_positions for part in space.parts.values())
    return chosen and in_grids and len(probe.shift) in (0, dim * len(family.streams))
