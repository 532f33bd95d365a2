"""Generators that take seconds for an image, on a clock that costs no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from torch import Tensor

from gentest.engine import cost


@dataclass
class Clock:
    """A clock that moves only when somebody sleeps."""

    now: float = 0.0

    @classmethod
    def installed(cls, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """The clock by which gentest measures costs, until the test ends."""
        clock = cls()
        monkeypatch.setattr(cost, "clock", clock)
        return clock

    def __call__(self) -> float:
        return self.now


@dataclass
class Sleeping:
    """A generator's function that takes `each` seconds for an image, and `first` more for its first call.

    It counts the sizes of its batches.
    """

    function: Callable[..., Tensor]
    clock: Clock
    each: float = 5.0
    first: float = 0.0
    fixed: float = 0.0
    """Seconds that every call takes besides."""
    gentest_identity = "sleeping"

    def __post_init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, z: Tensor) -> Tensor:
        self.clock.now += self.each * len(z) + self.fixed + (0.0 if self.sizes else self.first)
        self.sizes.append(len(z))
        return self.function(z)

    @property
    def images(self) -> int:
        """Images made so far."""
        return sum(self.sizes)
