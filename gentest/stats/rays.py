"""The largest radius around the middle of a prior up to which a property holds, for at least `p0` of directions.

Along each of n random rays the property holds up to some radius T and fails beyond. Bisection finds T on a grid of 31
radii with five probes per ray, since 31 radii leave 32 places for T. Let k_j be the number of rays that hold at radius
r_j. An exact binomial test (Clopper and Pearson 1934) certifies P(T > r_j) > p0 if P(Binomial(n, p0) >= k_j) <= alpha.

The 31 radii need no correction. k_j cannot grow with j, so the radii that pass are all those up to some r_j. Let r_f
be the first radius at which P(T > r_f) is p0 or less. Certifying any false radius means passing r_f as well, and r_f is
one radius, fixed before any ray is drawn: it passes in at most alpha of samples.

If a property fails on a ray and holds again further out, bisection finds one of the changes, and the certified radius
says nothing of the gap. A rate at that radius, on fresh probes, does not have this assumption.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from gentest._support.arguments import as_number
from gentest.errors import InvalidArgument
from gentest.stats.quantiles import check_probability, least_n

Ints: TypeAlias = NDArray[np.int64]

N_RADII = 31
"""Radii of the grid: one fewer than a power of two, so that every ray takes the same number of probes."""
N_ROUNDS = 5
"""Probes per ray."""
N_RAYS = 256
"""The fewest rays drawn."""


def grid(radius: float) -> NDArray[np.float64]:
    """The radii of the grid, [31], evenly spaced from radius / 31 to `radius` itself.

    >>> grid(3.1)[[0, 1, -1]].round(6).tolist()
    [0.1, 0.2, 3.1]
    """
    if not 0.0 < as_number(radius) < math.inf:
        raise InvalidArgument.expected("a radius > 0", "radius", radius)
    radii = radius * (np.arange(1, N_RADII + 1) / N_RADII)
    radii[-1] = radius
    return radii


def bisect(n_rays: int, holds: Callable[[Ints], NDArray[np.bool_]]) -> Ints:
    """The number of radii at which each ray holds, [n], 0 to 31: it holds up to there and fails beyond.

    `holds` is called five times with the index of one radius for each ray, [n] of 0 to 30, and returns which rays hold
    there, bool [n].

    >>> fails_at = np.array([0, 7, 31])
    >>> bisect(3, lambda radius: radius < fails_at).tolist()
    [0, 7, 31]
    """
    if n_rays < 1:
        raise InvalidArgument.expected("a number of rays >= 1", "n_rays", n_rays)
    counts = np.zeros(n_rays, dtype=np.int64)
    step = 1 << (N_ROUNDS - 1)
    while step:
        held = np.asarray(holds(counts + (step - 1)))
        if held.shape != (n_rays,) or held.dtype != np.bool_:
            raise InvalidArgument.expected(f"{n_rays} booleans, one for each ray", "holds(...)", held)
        counts[held] += step
        step //= 2
    return counts


def rays_needed(p0: float, alpha: float) -> int:
    """The number of rays to draw: 256, or the fewest that can certify `p0` at `alpha` if all of them hold.

    >>> rays_needed(0.95, 0.01), rays_needed(0.99, 0.01)
    (256, 459)
    """
    check_probability("p0", p0)
    check_probability("alpha", alpha)
    return max(N_RAYS, least_n(p0, 1.0 - alpha))


def certified(counts: Ints, p0: float, alpha: float) -> int:
    """The index of the largest certified radius, at which more than `p0` of all rays hold; -1 if there is none.

    `counts` [n] is the number of radii at which each ray holds. In all but at most `alpha` of samples, no radius is
    certified at which the claim is false.

    >>> certified(np.array([3] * 2 + [20] * 254), 0.95, 0.01), certified(np.array([3] * 30 + [20] * 226), 0.95, 0.01)
    (19, 2)
    >>> certified(np.array([31] * 100), 0.99, 0.01)
    -1
    """
    check_probability("p0", p0)
    check_probability("alpha", alpha)
    counts = np.asarray(counts)
    if counts.ndim != 1 or len(counts) < 1 or not np.issubdtype(counts.dtype, np.integer):
        raise InvalidArgument.expected("an integer for each of one or more rays", "counts", counts)
    if counts.min() < 0 or counts.max() > N_RADII:
        raise InvalidArgument.expected(f"counts from 0 to {N_RADII}", "counts", counts)
    n_held = (counts[:, None] > np.arange(N_RADII)).sum(axis=0)
    return int((bdtrc(n_held - 1, len(counts), p0) <= alpha).sum()) - 1
