"""The inputs that every method takes: one property on one generator, the settings, and where probes come from.

Each method is a function of a `Problem` and gives a frozen record of facts. The driver, `gentest.engine.check`, orders
the methods and passes facts on; no method knows another one. The methods that estimate a rate share its `Arm`s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property, partial

import numpy as np

from gentest.engine.cost import SLOW_BLOCK
from gentest.engine.evidence.plans import Stream, fits, real
from gentest.engine.judge import Judge
from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe
from gentest.results.settings import Values

MAX_BLOCK = 256
"""The largest block: a rate is often decided after some hundred probes."""


class Purpose(IntEnum):
    """The streams of independent probes. No two methods share one: a choice made on probes is not certified on them."""

    RATE = 0
    ATTACK = 1 << 61
    RAYS = 1 << 62
    CONFIRMATION = 1 << 63


@dataclass(frozen=True)
class Problem:
    """One property on one generator. `watch` receives the numbers of probes decided and planned (0 if unknown)."""

    judge: Judge
    values: Values
    watch: Callable[[int, int], None] = lambda done, total: None

    @property
    def block(self) -> int:
        """Number of independent probes to evaluate before a sequential test looks at them again."""
        context = self.judge.context
        most = SLOW_BLOCK if context.slow else MAX_BLOCK
        return min(context.batch_size, most) * context.n_processes

    def stream(self, purpose: Purpose = Purpose.RATE, *, seed: int | None = None) -> Stream:
        """The independent probes for a purpose, by the settings' seed or another one."""
        return Stream((self.values.seed if seed is None else seed) ^ purpose, self.usable)

    @cached_property
    def known_probes(self) -> dict[Probe, None] | None:
        """The only probes on which a pair can be compared, in order; None for all."""
        known = self.judge.subject.known_probes
        return None if known is None else dict.fromkeys(known)

    def usable(self, probes: Sequence[Probe]) -> list[Probe]:
        """The probes along which something moves, under every prior of the property, and which a pair can compare."""
        if self.known_probes is not None:
            probes = [probe for probe in probes if probe in self.known_probes]
        for space in self.judge.spaces:
            probes = real(self.judge.definition.probes, space, probes)
        return list(probes)

    def fitting(self, probes: Sequence[Probe]) -> list[Probe]:
        """The usable probes among those of another run, whose space may differ."""
        family, spaces = self.judge.definition.probes, self.judge.spaces
        return self.usable([probe for probe in probes if all(fits(family, space, probe) for space in spaces)])


@dataclass(frozen=True)
class Arm:
    """One of a property's rates: under one prior, or for one value of a label.

    `probes` gives its probes for some independent ones, and `alone` the margin of a probe by itself.
    """

    name: str
    probes: Callable[[Sequence[Probe]], list[Probe]]
    margins: Callable[[Sequence[Probe]], list[float]]
    alone: Callable[[Probe], float]


def arms_of(judge: Judge, each: str) -> list[Arm]:
    """The arms of a property: its priors, or the values of the discrete part called `each`.

    Raises `InvalidArgument` if there is no such part, or if the property has several priors as well.
    """
    if not each:
        return [Arm(name, list, partial(judge.arm, name), partial(judge.arm_alone, name)) for name in judge.arms]
    if len(judge.arms) > 1:
        raise InvalidArgument(f"{judge.definition.name} has a rate for each prior already: take each={each!r} away")
    space = judge.subject.generator.latent
    discrete = [name for name, part in space.parts.items() if part.support]
    if each not in discrete:
        known = f"; those of {space!r} are {', '.join(discrete)}" if discrete else f"; {space!r} has none"
        raise InvalidArgument.expected(f"the name of a discrete part{known}", "each", each)

    def with_value(value: int, probes: Sequence[Probe]) -> list[Probe]:
        latents = judge.definition.probes.place(space, probes)
        choices = np.stack([latents[name][:, 0] for name in discrete], axis=1)  # [N, parts]
        choices[:, discrete.index(each)] = value
        return [replace(probe, choices=tuple(map(int, row))) for probe, row in zip(probes, choices, strict=True)]

    return [
        Arm(f"{each}={value}", partial(with_value, value), judge.margins, judge.alone)
        for value in space.parts[each].support
    ]
