"""Search: Hypothesis draws the probes, all of them ahead, and simpler structures of one that fails.

Hypothesis runs one example at a time and a generator wants hundreds. So it is run with a condition that only records
what it draws (`plan`), and everything is evaluated in full batches. Where a probe fails it is asked again, for simpler
structures of that probe (`simplify`): the window of its path and its choices, since its seed is a label that no smaller
number improves. That goes in rounds of a batch each, too: Hypothesis's own shrinking asks one at a time, and took 20 to
64 calls where this takes at most 4.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

from gentest.probes import shifts
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.probes.strategies import probes, simpler
from gentest.spaces import Space

SPARE = 4
"""Hypothesis repeats itself now and then: it may draw this many times the probes wanted to give distinct ones."""
CANDIDATES = 14
"""Simpler structures that are evaluated in a round: paths of 9 latents, they fill a batch of 128."""
ROUNDS = 4


def plan(space: Space, n: int, seed: int) -> list[Probe]:
    """The first `n` distinct probes that Hypothesis draws from a space; fewer where it has no more."""
    return _drawn(probes(space), n, seed)


def simplify(
    probe: Probe, space: Space, family: Probes, violates: Callable[[list[Probe]], list[bool]], *, seed: int, budget: int
) -> Probe:
    """A probe of the same seed and groups and a simpler structure that still violates, where a few rounds find one.

    In each round Hypothesis draws simpler structures of the probe, `violates` answers for all of them at once, and the
    simplest that violates is kept: lowest choices first, then what an attack moved least, then the narrowest window.
    At most `budget` are asked about.
    """
    for _ in range(min(ROUNDS, budget // CANDIDATES)):
        candidates = [c for c in _drawn(simpler(probe, space, family), CANDIDATES, seed) if _size(c) < _size(probe)]
        failing = [c for c, violated in zip(candidates, violates(candidates), strict=True) if violated]
        if not failing:
            break
        probe = min(failing, key=_size)
    return probe


def _size(probe: Probe) -> tuple[int, float, int]:
    low, high = probe.window
    return sum(probe.choices), float(np.linalg.norm(shifts.to_scores(probe.shift))), high - low


def _drawn(strategy: SearchStrategy[Probe], n: int, seed: int) -> list[Probe]:
    """The first `n` distinct values that Hypothesis draws; it only generates."""
    drawn: dict[Probe, None] = {}

    def enough(probe: Probe) -> bool:
        drawn.setdefault(probe)
        return len(drawn) >= n

    quietly = settings(
        max_examples=SPARE * n,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        verbosity=Verbosity.quiet,
        backend="hypothesis",
        suppress_health_check=list(HealthCheck),
    )
    with suppress(NoSuchExample):
        find(strategy, enough, settings=quietly, random=Random(seed))
    return list(drawn)[:n]
