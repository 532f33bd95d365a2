"""The inputs that every method takes: one property on one generator, the settings, and where probes come from.

Each method is a function of a `Problem` and gives a frozen record of facts. The driver, `gentest.engine.check`, orders
the methods and passes facts on; no method knows another one. The methods that estimate a rate share its `Arm`s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property, partial
from typing import Any

import numpy as np

from gentest.engine.cost import MAX_ARMS, SLOW_BLOCK, BudgetSpent
from gentest.engine.evidence.plans import Stream, fits, real
from gentest.engine.judge import Judge
from gentest.errors import InvalidArgument
from gentest.probes.families import Probes
from gentest.probes.probe import Probe, located
from gentest.results.counterexample import shown_choice
from gentest.results.settings import Values
from gentest.spaces import Choice, Space

MAX_BLOCK = 512
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

    def within_budget(self, evaluate: Callable[[Sequence[Probe]], list[float]], probes: Sequence[Probe]) -> list[float]:
        """The margins of some probes; of the first of them if the budget does not reach for all, or of none."""
        context, n = self.judge.context, len(probes)
        while n:
            before = context.meter.images
            try:
                return evaluate(probes[:n])
            except BudgetSpent:
                if context.meter.images > before and n < len(probes):
                    break  # it ended among the probes that are decided alone, and would again
                fewer = self.judge.local.affordable(n, at_once=context.n_processes)
                n = fewer if fewer < n else n // 2
        return []

    def stream(self, purpose: Purpose = Purpose.RATE, *, seed: int | None = None) -> Stream:
        """The independent probes for a purpose, by the settings' seed or another one."""
        return Stream((self.values.seed if seed is None else seed) ^ purpose, self.usable)

    @cached_property
    def known_probes(self) -> dict[Probe, None] | None:
        """The only probes on which a pair can be compared, in order; None for all."""
        known = self.judge.subject.known_probes
        return None if known is None else dict.fromkeys(known)

    def of_known(self, probe: Probe) -> Probe:
        """The known probe that is this one with its choices made, or else the probe itself."""
        own = replace(probe, choices=())
        if self.known_probes is None or not probe.choices or own not in self.known_probes:
            return probe
        space, family = self.judge.subject.generator.latent, self.judge.definition.probes
        same = tuple(chosen(space, family, [own])[0].tolist()) == probe.choices
        return own if same else probe

    def usable(self, probes: Sequence[Probe]) -> list[Probe]:
        """The probes along which something moves, under every prior of the property, and which a pair can compare."""
        if self.known_probes is not None:
            probes = [probe for probe in probes if probe in self.known_probes]
        for space in self.judge.spaces:
            probes = real(self.judge.definition.probes, space, probes)
        return list(probes)

    def fitting(self, probes: Sequence[Probe]) -> list[Probe]:
        """The usable probes among those of another run, whose space may differ."""
        family, spaces, known = self.judge.definition.probes, self.judge.spaces, []
        for probe in probes:
            with suppress(InvalidArgument):  # a value that it has is gone
                known.append(self.of_known(located(self.judge.subject.generator.latent, probe)))
        return self.usable([probe for probe in known if all(fits(family, space, probe) for space in spaces)])


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

    A part with more than `MAX_ARMS` values has a single arm, the prior. Raises `InvalidArgument` if there is no such
    part, or if the property has several priors as well.
    """
    if not each:
        return [Arm(name, list, partial(judge.arm, name), partial(judge.arm_alone, name)) for name in judge.arms]
    if len(judge.arms) > 1:
        raise InvalidArgument(f"{judge.definition.name} has a rate for each prior already: take each={each!r} away")
    space = judge.subject.generator.latent
    discrete = [name for name, part in space.parts.items() if part.slots]
    part = space.parts.get(each)
    if each not in discrete or not isinstance(part, Choice):
        known = f"; those of {space!r} are {', '.join(discrete)}" if discrete else f"; {space!r} has none"
        raise InvalidArgument.expected(f"the name of a discrete part{known}", "each", each)

    options = part.options() if part.n_values is not None and part.n_values <= MAX_ARMS else []
    if not options:
        return arms_of(judge, "")

    def with_option(option: tuple[int, ...], probes: Sequence[Probe]) -> list[Probe]:
        choices = chosen(space, judge.definition.probes, probes)
        choices[:, columns] = option
        return [replace(probe, choices=tuple(row)) for probe, row in zip(probes, choices.tolist(), strict=True)]

    columns = columns_of(space, each)
    return [
        Arm(shown_choice(each, part.shown(option)), partial(with_option, option), judge.margins, judge.alone)
        for option in options
    ]


def chosen(space: Space, family: Probes, probes: Sequence[Probe]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The value of each choice of a space at some probes, [N, choices]."""
    latents = family.place(space, probes)
    codes = [latents[name][:, 0].reshape(len(probes), -1) for name, part in space.parts.items() if part.slots]
    return np.concatenate(codes, axis=1)


def columns_of(space: Space, name: str) -> slice:
    """The choices of one part among those of its space."""
    start = 0
    for other, part in space.parts.items():
        if other == name:
            return slice(start, start + len(part.slots))
        start += len(part.slots)
    raise KeyError(name)
