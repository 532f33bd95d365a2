"""Search: Hypothesis draws the probes, all of them ahead, and simplifies the structure of one that fails.

Hypothesis runs one example at a time and a generator wants hundreds. So it is run once with a condition that only
records what it draws (`plan`); everything is evaluated in full batches; and only where something fails is it run
again, to shrink (`simplify`): the structure of a probe (the window of its path, its choices), since its seed
is a label that no smaller number improves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample

from gentest.probes import FULL_WINDOW, Probe, Probes
from gentest.spaces import Space
from gentest.strategies import probes, structures

SPARE = 4
"""Hypothesis repeats itself now and then: it may draw this many times the probes wanted to give distinct ones."""


def plan(space: Space, n: int, seed: int) -> list[Probe]:
    """The first `n` distinct probes that Hypothesis draws from a space; fewer where it has no more."""
    drawn: dict[Probe, None] = {}

    def enough(probe: Probe) -> bool:
        drawn.setdefault(probe)
        return len(drawn) >= n

    with suppress(NoSuchExample):
        find(probes(space), enough, settings=_quietly(SPARE * n, Phase.generate), random=Random(seed))
    return list(drawn)[:n]


def simplify(
    probe: Probe, space: Space, family: Probes, violates: Callable[[Probe], bool], seed: int, budget: int
) -> Probe:
    """A probe of the same seed and groups and the simplest structure for which `violates` still holds.

    At most `budget` new probes are asked about; `probe` itself is known to violate.
    """
    if not family.has_path and not any(probe.choices):
        return probe
    asked: dict[Probe, bool] = {}

    def condition(candidate: Probe) -> bool:
        if candidate == probe:
            return True
        if candidate not in asked:
            if len(asked) >= budget:
                return False
            asked[candidate] = violates(candidate)
        return asked[candidate]

    strategy = structures(probe, space, family)
    phases = (Phase.generate, Phase.shrink)
    try:
        return find(strategy, condition, settings=_quietly(4 * FULL_WINDOW[1], *phases), random=Random(seed))
    except NoSuchExample:
        return probe


def _quietly(max_examples: int, *phases: Phase) -> settings:
    return settings(
        max_examples=max_examples,
        phases=phases,
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
