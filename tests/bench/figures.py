"""What a row of `speed.py` is asked and gives, and how two ways of the same work are compared: in turn, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import torch

import gentest


@dataclass(frozen=True)
class Asked:
    """What a run of the benchmark was asked for."""

    device: torch.device
    rounds: int
    quick: bool
    """Small sizes, to try it: the figures mean nothing."""
    threads: int
    clip: str | None = None
    """A real CLIP, as `settings(clip=...)` takes it; None takes a ViT-B-32 of random weights."""

    @property
    def on_gpu(self) -> bool:
        """Whether models run on CUDA."""
        return self.device.type == "cuda"

    def size(self, cpu: int, cuda: int, quick: int) -> int:
        """How much work: enough to be measured where it runs."""
        return quick if self.quick else cuda if self.on_gpu else cpu

    def now(self) -> float:
        """Seconds on the clock, once the device is done; of processor time where one thread of a CPU does the work."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.threads == 1 and not self.on_gpu else time.perf_counter()

    def seconds(self, work: Callable[[], object]) -> float:
        """What some work takes."""
        started = self.now()
        work()
        return self.now() - started


@dataclass(frozen=True)
class Target:
    """A bound on a figure's ratio, or on gentest's own where there is nothing beside it."""

    bound: float
    side: Literal["at least", "at most"] = "at least"

    def __str__(self) -> str:
        return f"{'>=' if self.side == 'at least' else '<='} {self.bound:g}"

    def met(self, value: float) -> bool:
        """Whether a figure keeps to it."""
        return value >= self.bound if self.side == "at least" else value <= self.bound


@dataclass(frozen=True)
class Figure:
    """One line of the table. `ratio` is the median of the rounds' own; None where there is nothing beside it."""

    what: str
    ours: float | None = None
    other: float | None = None
    unit: str = ""
    ratio: float | None = None
    target: Target | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is; None where there is none, or no figure."""
        value = self.ours if self.ratio is None else self.ratio
        return None if self.target is None or value is None else self.target.met(value)


def in_turn(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each way gives in each round; each goes first in its turn, so that a drifting machine drifts for all."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds):
        first = i % len(ways)
        for name in [*list(ways)[first:], *list(ways)[:first]]:
            found[name].append(ways[name]())
    return found


def compared(
    what: str, ours: Sequence[float], other: Sequence[float], *, unit: str, target: Target | None = None, note: str = ""
) -> Figure:
    """Two ways, round by round: their medians, and the median of the ratios of gentest's to the other's."""
    ratio = median(a / b for a, b in zip(ours, other, strict=True))
    return Figure(what, median(ours), median(other), unit, ratio, target, note)


def sound(result: gentest.Result) -> gentest.Result:
    """A result in which something was decided: the time that an error takes means nothing."""
    if result.verdict is gentest.Verdict.ERROR:
        raise RuntimeError(f"{result.property}: {result.message}")
    return result


def spent(result: gentest.Result, budget: int) -> gentest.Result:
    """A result of a rate whose budget was spent: so many probes were looked at."""
    rate = sound(result).rate
    if rate is None or rate.probes != budget:
        raise RuntimeError(f"{result.property}: the rate stopped before its budget of {budget} probes: {rate}")
    return result


NEVER = 0.99999
"""A rate that no budget here can certify: some 300,000 probes would, if all of them held."""
