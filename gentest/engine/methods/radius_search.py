"""How far from the middle of its latent space a property holds: the largest radius that rays certify.

Each ray is one independent probe, placed at the radius asked about. Which radii it holds at is found by bisection over
a grid, all rays of a round at once, as if what fails on a ray failed further out too; the radius is the largest that
enough rays reach (`gentest.stats.rays`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gentest.engine.evidence.context import Context
from gentest.engine.evidence.plans import Stream
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.methods.rate_arms import Arm
from gentest.probes.probe import Probe
from gentest.properties.definition import AtRate, WithinRadius
from gentest.properties.domains import holds_within
from gentest.stats import rays as stats


class Rays:
    """The rays of one property on one generator."""

    def __init__(self, context: Context, subject: Subject, within: WithinRadius) -> None:
        self.radii = stats.grid(within.radius)
        self.held: list[int] = []
        """How many rays hold up to each radius, of the arm that reaches least far: known once it was asked."""
        self._judges = [Judge(context, subject, holds_within(within.inner, float(r), places=1)) for r in self.radii]

    def certified(self, goal: AtRate, arms: Sequence[Arm], stream: Stream) -> tuple[float, int]:
        """The largest radius that is certified of every arm, 0 where none is, and how many rays each took."""
        alpha = 1.0 - goal.confidence
        n = stats.rays_needed(goal.p0, alpha)
        rays = stream.probes(0, n)
        counts = [stats.bisect(n, partial(self._hold, arm.probes(rays))) for arm in arms]
        index, least = min((stats.certified(found, goal.p0, alpha), i) for i, found in enumerate(counts))
        self.held = [int((counts[least] > j).sum()) for j in range(len(self.radii))]
        return (0.0 if index < 0 else float(self.radii[index])), n

    def _hold(self, probes: Sequence[Probe], at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each ray holds at the radius of its index."""
        holds = np.zeros(len(probes), dtype=np.bool_)
        for index in np.unique(at):
            rows = np.flatnonzero(at == index)
            margins = self._judges[int(index)].margins([probes[int(row)] for row in rows])
            holds[rows] = np.array(margins) >= 0
        return holds
