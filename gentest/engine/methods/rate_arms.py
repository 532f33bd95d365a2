"""What of a property has a rate of its own: each prior that it speaks of, or each value of a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gentest.engine.judge import Judge
from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe
from gentest.results.result import Rate
from gentest.spaces import Part


@dataclass(frozen=True)
class Arm:
    """Its name, the probes it looks at for some independent ones of the stream, and their margins in it.

    `alone` gives the margin of a probe there, evaluated by itself.
    """

    name: str
    probes: Callable[[Sequence[Probe]], list[Probe]]
    margins: Callable[[Sequence[Probe]], list[float]]
    alone: Callable[[Probe], float]


def arms_of(judge: Judge, each: str) -> list[Arm]:
    """The arms of a property: its priors, or the values of the discrete part that `each` names."""
    if not each:
        return [Arm(name, list, partial(judge.arm, name), partial(judge.arm_alone, name)) for name in judge.arms]
    if len(judge.arms) > 1:
        raise InvalidArgument(f"{judge.definition.name} has a rate for each prior already: take each={each!r} away")
    space = judge.subject.generator.latent
    place = [name for name, part in space.parts.items() if part.support]
    if each not in place:
        known = f"; those of {space!r} are {', '.join(place)}" if place else f"; {space!r} has none to choose from"
        raise InvalidArgument.expected(f"the name of a discrete part{known}", "each", each)

    def with_value(value: int, probes: Sequence[Probe]) -> list[Probe]:
        latents = judge.definition.probes.place(space, probes)
        drawn = np.stack([latents[name][:, 0] for name in place], axis=1)  # [N, parts]
        drawn[:, place.index(each)] = value
        return [replace(probe, choices=tuple(map(int, row))) for probe, row in zip(probes, drawn, strict=True)]

    return [
        Arm(f"{each}={value}", partial(with_value, value), judge.margins, judge.alone)
        for value in space.parts[each].support
    ]


def overall(part: Part, rate: Rate) -> float:
    """The rate of the whole prior, from those of each value of a part and how often each is drawn."""
    drawn = part.from_uniforms(((np.arange(1 << 16) + 0.5) / (1 << 16))[:, None])
    shares = [float((drawn == value).mean()) for value in part.support]
    return sum(share * arm.passes / max(arm.probes, 1) for share, arm in zip(shares, rate.arms or (rate,), strict=True))
