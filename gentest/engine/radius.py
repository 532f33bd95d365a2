"""How far from the middle of its latent space a property holds: the largest radius that rays certify.

Each ray is one independent probe, placed at the radius asked about. Which radii it holds at is found by bisection over
a grid, all rays of a round at once, as if what fails on a ray failed further out too; the radius is the largest that
enough rays reach (`gentest.stats.radius`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gentest.engine.arms import Arm
from gentest.engine.context import Context
from gentest.engine.margins import Judge
from gentest.engine.stream import Stream
from gentest.engine.subject import Subject
from gentest.probes import Probe
from gentest.properties.definition import AtRate, Within
from gentest.spaces import at_radius
from gentest.stats import radius as stats


class Rays:
    """The rays of one property on one generator."""

    def __init__(self, context: Context, subject: Subject, within: Within) -> None:
        self.radii = stats.grid(within.radius)
        base = subject.generator.base
        self._judges = [Judge(context, subject, within.inner, at_radius(base, float(r))) for r in self.radii]

    def certified(self, goal: AtRate, stream: Stream, arms: Sequence[Arm]) -> tuple[float, int]:
        """The largest radius that is certified for every arm, 0 where none is, and how many rays it took.

        Each is certified by itself: that all of them hold needs no care (Berger 1982).
        """
        alpha = 1.0 - goal.confidence
        n, least, taken = stats.rays_needed(goal.p0, alpha), len(self.radii), 0
        for arm in arms:
            probes = arm.probes(stream.probes(0, n))
            counts = stats.bisect(n, lambda at, rays=probes: self._hold(rays, at))  # type: ignore[misc]
            least, taken = min(least, stats.certified(counts, goal.p0, alpha)), taken + n
            if least < 0:
                return 0.0, taken
        return float(self.radii[least]), taken

    def _hold(self, probes: Sequence[Probe], at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each ray holds at the radius of its index."""
        holds = np.zeros(len(probes), dtype=np.bool_)
        for index in np.unique(at):
            rows = np.flatnonzero(at == index)
            margins = self._judges[int(index)].margins([probes[int(row)] for row in rows])
            holds[rows] = np.array(margins) >= 0
        return holds
