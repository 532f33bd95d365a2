"""The independent probes of a seed, in their order: what rates, baselines and gates look at, and searches never do.

Each probe has a seed of its own from the stream of the master seed, so no two share a latent; a probe on which nothing
moves is left out. An index says which probe it is, for ever, on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gentest.errors import InvalidArgument
from gentest.probes import Probe, independent

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
