"""The cost of checks: the pace of a generator, in seconds for an image.

An image may take a millisecond or five seconds. Slow generators get smaller batches, fewer images that are made twice,
and a search that stops at its first violation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

SLOW = 0.5
"""Seconds for an image above which a generator is slow."""
SLOW_BLOCK = 16
"""Latents that are evaluated together on a slow generator, before the next decision."""

clock: Callable[[], float] = time.monotonic
"""The clock of all costs, in seconds. Tests replace it."""


@dataclass
class Meter:
    """Images and calls that a generator was asked for."""

    images: int = 0
    calls: int = 0
    seconds: float = 0.0
    """Time spent in calls of this process."""


class Pace:
    """The seconds that one generator takes for an image.

    The first call does not count once there is another one: it may load weights or compile.

    >>> pace = Pace()
    >>> pace.add(1, 20.0)
    >>> pace.add(2, 0.5)
    >>> pace.seconds, pace.slow
    (0.25, False)
    """

    def __init__(self) -> None:
        self._first = self._later = Meter()
        self._settled: bool | None = None

    def add(self, images: int, seconds: float) -> None:
        """Count one call."""
        if not self._first.calls:
            self._first = Meter(images, 1, seconds)
        else:
            later = self._later
            self._later = Meter(later.images + images, later.calls + 1, later.seconds + seconds)

    @property
    def known(self) -> bool:
        """Whether the generator was called."""
        return bool(self._first.calls)

    @property
    def seconds(self) -> float:
        """Seconds for an image; 0 before the first call."""
        counted = self._later if self._later.images else self._first
        return counted.seconds / max(counted.images, 1)

    @property
    def slow(self) -> bool:
        """Whether an image takes longer than `SLOW` seconds."""
        return self.seconds > SLOW if self._settled is None else self._settled

    def settle(self, *, slow: bool) -> None:
        """Decide once and for all whether the generator is slow, so that one check is planned in one way."""
        if self._settled is None:
            self._settled = slow
