"""The radius up to which a property holds: the largest one that rays certify.

A ray is one independent probe, placed at any radius. Bisection over a grid finds the radii at which each ray holds, all
rays of a round at once; it assumes that a ray that fails at a radius also fails further out. The result is the largest
radius that enough rays reach (`gentest.stats.rays`). The driver confirms it on fresh probes, which assumes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gentest.engine.judge import Judge
from gentest.engine.methods.problem import Problem, Purpose, arms_of
from gentest.probes.probe import Probe
from gentest.properties.definition import AtRate, WithinRadius
from gentest.properties.domains import holds_within
from gentest.results.shown import Rays
from gentest.stats import rays as ray_stats


@dataclass(frozen=True)
class RadiusFacts:
    """The largest radius certified for every arm, 0 if none is; and the rays of the arm that reaches least far."""

    certified: float
    rays: Rays


def certify_radius(problem: Problem, goal: AtRate, within: WithinRadius) -> RadiusFacts:
    """The largest radius, up to the declared one, at which rays certify the rate."""
    context, subject = problem.judge.context, problem.judge.subject
    radii = ray_stats.grid(within.radius)
    judges = [Judge(context, subject, holds_within(within.inner, float(radius), places=1)) for radius in radii]
    alpha = 1.0 - goal.confidence
    n = ray_stats.rays_needed(goal.p0, alpha)
    rays = problem.stream(Purpose.RAYS).probes(0, n)
    reached = [
        ray_stats.bisect(n, partial(_hold, judges, arm.probes(rays))) for arm in arms_of(problem.judge, goal.each)
    ]
    index, least = min((ray_stats.certified(counts, goal.p0, alpha), i) for i, counts in enumerate(reached))
    held = tuple(float((reached[least] > j).mean()) for j in range(len(radii)))
    return RadiusFacts(0.0 if index < 0 else float(radii[index]), Rays(tuple(radii.tolist()), held, n))


def _hold(judges: Sequence[Judge], probes: Sequence[Probe], indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each ray holds at the radius of its index."""
    holds = np.zeros(len(probes), dtype=np.bool_)
    for index in np.unique(indices):
        rows = np.flatnonzero(indices == index)
        margins = judges[int(index)].margins([probes[int(row)] for row in rows])
        holds[rows] = np.array(margins) >= 0
    return holds
