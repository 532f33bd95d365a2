"""A radius: how far from where a latent prior is densest a property still holds, for at least `p0` of directions.

Along each of n rays, drawn at random, the property holds up to some radius T and fails beyond. T is found by bisection
over a grid of 31 radii, at five probes a ray: 31 radii leave 32 places where it may lie. With k_j the number of rays
that still hold at radius r_j, P(T > r_j) is more than p0 where that many would be held in at most alpha of samples if
it were p0 at most: P(Binomial(n, p0) >= k_j) <= alpha, an exact binomial test (Clopper and Pearson 1934).

Nothing is corrected for 31 radii. As j grows, k_j cannot, so that the p-value of r_j cannot fall: the radii that pass
are all those up to some r_j, and the largest that passes is also the last before the first that fails. Let r_f be the
first radius at which P(T > r_f) is p0 or less. To certify any radius at which the claim is false is to pass r_f with
it, and r_f is one radius, fixed before any ray is drawn: it passes in at most alpha of samples.

Where a property fails on a ray and holds again further out, bisection finds one of the places where it changes, and
the certified radius says nothing of the gap; a rate at that radius, on fresh probes, does not assume it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from gentest.errors import InvalidArgument
from gentest.stats.quantiles import least_n

Ints: TypeAlias = NDArray[np.int64]

N_RADII = 31
"""How many radii the grid has: one fewer than a power of two, so that every ray takes the same number of probes."""
N_ROUNDS = 5
"""How many probes of a ray find its place among them."""
N_RAYS = 256
"""The fewest rays drawn."""


def grid(radius: float) -> NDArray[np.float64]:
    """The radii looked at, [31], evenly spaced from radius / 31 to `radius` itself.

    >>> grid(3.1)[[0, 1, -1]].round(6).tolist()
    [0.1, 0.2, 3.1]
    """
    if not _is_number(radius) or not 0.0 < radius < math.inf:
        raise InvalidArgument.expected("a radius > 0", "radius", radius)
    radii = radius * (np.arange(1, N_RADII + 1) / N_RADII)
    radii[-1] = radius
    return radii


def bisect(n_rays: int, holds: Callable[[Ints], NDArray[np.bool_]]) -> Ints:
    """At how many radii of the grid each ray holds, [n], 0 to 31: below as many holds it, from there on it fails.

    `holds` is called five times, each with the index of one radius for every ray, [n] of 0 to 30, and says which rays
    hold there, [n].

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
    """How many rays are drawn: 256, or as many as it takes for all of them holding to certify `p0` at `alpha`.

    >>> rays_needed(0.95, 0.01), rays_needed(0.99, 0.01)
    (256, 459)
    """
    _check_chances(p0, alpha)
    return max(N_RAYS, least_n(p0, 1.0 - alpha))


def certified(counts: Ints, p0: float, alpha: float) -> int:
    """The index of the largest radius certified, -1 where none is: more than `p0` of all rays hold at that radius.

    `counts` [n] is at how many radii each ray holds. No radius at which the claim is false is certified, in all but
    at most `alpha` of samples.

    >>> certified(np.array([3] * 2 + [20] * 254), 0.95, 0.01), certified(np.array([3] * 30 + [20] * 226), 0.95, 0.01)
    (19, 2)
    >>> certified(np.array([31] * 100), 0.99, 0.01)
    -1
    """
    _check_chances(p0, alpha)
    counts = np.asarray(counts)
    if counts.ndim != 1 or len(counts) < 1 or not np.issubdtype(counts.dtype, np.integer):
        raise InvalidArgument.expected("an integer for each of one or more rays", "counts", counts)
    if counts.min() < 0 or counts.max() > N_RADII:
        raise InvalidArgument.expected(f"counts from 0 to {N_RADII}", "counts", counts)
    n_held = (counts[:, None] > np.arange(N_RADII)).sum(axis=0)
    return int((bdtrc(n_held - 1, len(counts), p0) <= alpha).sum()) - 1


def _check_chances(p0: float, alpha: float) -> None:
    for name, value in (("p0", p0), ("alpha", alpha)):
        if not _is_number(value) or not 0.0 < value < 1.0:
            raise InvalidArgument.expected("a probability in (0, 1)", name, value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
