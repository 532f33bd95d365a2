"""Which probes are worth a look in a space, and the independent ones of a seed in their order.

The independent probes are what rates, baselines and gates look at, and searches never do. Each has a seed of its own
from the stream of the master seed, so no two share a latent; one on which nothing moves is left out. An index says
which probe it is, for ever, on any machine.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from gentest.errors import InvalidArgument
from gentest.generators.generator import Generator
from gentest.probes.families import Points, Probes, moves
from gentest.probes.probe import Probe, independent
from gentest.spaces import Space

CHUNK = 256
CHUNKS = 16
"""Chunks that are kept: no more, however long a rate goes on."""
BARREN = 64
"""So many chunks without a real probe, and there are none."""


class Stream:
    """The real probes among the independent draws of a seed; `real` says which are."""

    def __init__(self, seed: int, real: Callable[[Sequence[Probe]], list[Probe]]) -> None:
        self.seed = seed
        self._real = real
        self._ends = [0]
        """How many probes the first 0, 1, 2, ... chunks hold."""
        self._last: dict[int, list[Probe]] = {}
        """The chunks that were drawn last."""

    def other(self, bit: int) -> Stream:
        """Another stream, of the seed with a bit of it changed."""
        return Stream(self.seed ^ bit, self._real)

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
        """The real ones of so many draws: the same ones whenever they are drawn."""
        if index not in self._last:
            self._last = dict(islice(self._last.items(), max(len(self._last) + 1 - CHUNKS, 0), None))
            self._last[index] = self._real(independent(self.seed, index * CHUNK, CHUNK))
        return self._last[index]


def real(family: Probes, space: Space, probes: Sequence[Probe]) -> list[Probe]:
    """The probes that are not degenerate; a continuous part always moves."""
    if not probes or any(part.n_groups > 1 for part in space.parts.values()):
        return list(probes)
    moving = moves(family.place(space, probes))
    return [probe for probe, is_real in zip(probes, moving, strict=True) if is_real]


@dataclass(frozen=True)
class Inputs:
    """How many distinct inputs some probes are, and how many there are in all, where their space has only so many."""

    distinct: int | None = None
    of: int | None = None


def inputs(family: Probes, generator: Generator, probes: Sequence[Probe], *, of: int = 1) -> Inputs:
    """The distinct inputs among some probes, where a space has only so many; `of` is the share that can be drawn: 1/of.

    Probes have seeds of their own, so that any number of them can be one and the same input of the generator.
    """
    space, n = generator.latent, generator.latent.n_latents
    if n is None or generator.noise:
        return Inputs()
    rows = [latents.reshape(len(probes), -1) for latents in family.place(space, probes).values()]
    distinct = {tuple(row.tobytes() for row in row_of_parts) for row_of_parts in zip(*rows, strict=True)}
    return Inputs(len(distinct), n // of if isinstance(family, Points) else None)


def fits(family: Probes, space: Space, probe: Probe) -> bool:
    """Whether a space has the choices that a probe from elsewhere makes, and the coordinates that it shifts."""
    supports, dim = space.supports, sum(part.dim for part in space.parts.values())
    chosen = not probe.choices or (
        len(probe.choices) == len(supports)
        and all(choice in support for choice, support in zip(probe.choices, supports, strict=True))
    )
    return chosen and len(probe.shift) in (0, dim * len(family.streams))
