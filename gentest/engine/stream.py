"""Which probes are worth a look in a space, and the independent ones of a seed in their order.

The independent probes are what rates, baselines and gates look at, and searches never do. Each has a seed of its own
from the stream of the master seed, so no two share a latent; one on which nothing moves is left out. An index says
which probe it is, for ever, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gentest.errors import InvalidArgument
from gentest.probes import Probe, Probes, independent, moves
from gentest.spaces import Space

CHUNK = 256
BARREN = 64
"""So many chunks without a real probe, and there are none."""


class Stream:
    """The real probes among the independent draws of a seed; `real` says which are."""

    def __init__(self, seed: int, real: Callable[[Sequence[Probe]], list[Probe]]) -> None:
        self.seed = seed
        self._real = real
        self._probes: list[Probe] = []
        self._drawn = 0

    def other(self, bit: int) -> Stream:
        """Another stream, of the seed with a bit of it changed."""
        return Stream(self.seed ^ bit, self._real)

    def probes(self, start: int, n: int) -> list[Probe]:
        """Probes `start` to `start + n` of the stream."""
        barren = 0
        while len(self._probes) < start + n:
            found = self._real(independent(self.seed, self._drawn, CHUNK))
            self._drawn += CHUNK
            self._probes += found
            barren = 0 if found else barren + 1
            if barren == BARREN:
                raise InvalidArgument("no independent probe moves in this latent space: there is nothing to compare")
        return self._probes[start : start + n]


def real(family: Probes, space: Space, probes: Sequence[Probe]) -> list[Probe]:
    """The probes that are not degenerate; a continuous part always moves."""
    if not probes or any(part.n_groups > 1 for part in space.parts.values()):
        return list(probes)
    moving = moves(family.place(space, probes))
    return [probe for probe, is_real in zip(probes, moving, strict=True) if is_real]


def fits(family: Probes, space: Space, probe: Probe) -> bool:
    """Whether a space has the choices that a probe from elsewhere makes, and the coordinates that it shifts."""
    supports, dim = space.supports, sum(part.dim for part in space.parts.values())
    chosen = not probe.choices or (
        len(probe.choices) == len(supports)
        and all(choice in support for choice, support in zip(probe.choices, supports, strict=True))
    )
    return chosen and len(probe.shift) in (0, dim * len(family.streams))
