"""A radius: rays are bisected in five probes, and what is certified is true, as far as the level says.

Simulations use fixed seeds, none of them chosen.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gentest.errors import InvalidArgument
from gentest.stats.rays import N_RADII, N_RAYS, N_ROUNDS, bisect, certified, grid, rays_needed

ALPHA = 0.01
RUNS = 2000


def many(failure: Any, p0: float, seed: int) -> NDArray[np.float64]:
    """The radius certified in each of `RUNS` runs, 0 for none, of rays that fail at radii drawn from `failure`."""
    rng = np.random.default_rng(seed)
    radii = np.append(grid(1.0), 0.0)
    n = rays_needed(p0, ALPHA)
    counts = (np.searchsorted(grid(1.0), failure.rvs(size=n, random_state=rng)) for _ in range(RUNS))
    return radii[[certified(count, p0, ALPHA) for count in counts]]


@pytest.mark.parametrize("p0", [0.90, 0.95, 0.99])
@pytest.mark.parametrize(
    "failure",
    [stats.beta(13.06, 1), stats.beta(20, 2), stats.beta(2, 2), stats.norm(1.0, 0.125)],
    ids=["beta(13, 1)", "beta(20, 2)", "beta(2, 2)", "norm(1, 0.125)"],
)
def test_too_large_a_radius_is_seldom_certified(failure: Any, p0: float) -> None:
    """In at most alpha of 2,000 runs is the certified radius beyond what p0 of all rays reach."""
    too_large = int((many(failure, p0, 1) > failure.ppf(1.0 - p0)).sum())
    assert too_large <= stats.binom.ppf(0.99, RUNS, ALPHA)


@pytest.mark.parametrize("p0", [0.90, 0.95, 0.99])
def test_the_level_is_used_where_the_truth_is_on_the_grid(p0: float) -> None:
    """Where exactly p0 of rays reach just beyond a radius, it is certified as often as the binomial test says."""
    radius = grid(1.0)[20]
    claim = stats.uniform(radius - (1.0 - p0), 1.0)  # P(T > radius) is p0
    n = rays_needed(p0, ALPHA)
    needed = next(k for k in range(n + 1) if stats.binom.sf(k - 1, n, p0) <= ALPHA)
    chance = stats.binom.sf(needed - 1, n, p0)
    wrong = int((many(claim, p0, 2) >= radius).sum())
    assert stats.binom.ppf(1e-3, RUNS, chance) <= wrong <= stats.binom.ppf(1.0 - 1e-3, RUNS, chance)
    assert chance > ALPHA / 3.0


def test_256_rays_certify_most_of_the_radius() -> None:
    """Of a radius of .795 that 95 % of rays reach, 256 rays in 1,280 probes certify .71 to .73 on average.

    Rays whose failure scale is Beta(13.06, 1), or normal about 1 with an sd of .125; the grid alone takes .016 of it.
    """
    assert rays_needed(0.95, ALPHA) * N_ROUNDS == 1280
    for failure in (stats.beta(13.06, 1), stats.norm(1.0, 0.125)):
        assert failure.ppf(0.05) == pytest.approx(0.795, abs=0.001)
        assert 0.71 <= many(failure, 0.95, 3).mean() <= 0.73


def test_bisection_finds_every_place_in_five_rounds() -> None:
    """Each of the 32 places a ray may fail at is found, all rays at once, in five calls."""
    fails_at = np.random.default_rng(4).permutation(np.repeat(np.arange(N_RADII + 1), 3))
    asked: list[NDArray[np.int64]] = []

    def holds(radius: NDArray[np.int64]) -> NDArray[np.bool_]:
        asked.append(radius)
        return radius < fails_at

    assert (bisect(len(fails_at), holds) == fails_at).all()
    assert len(asked) == N_ROUNDS
    assert all(radius.shape == fails_at.shape and radius.dtype == np.int64 for radius in asked)
    assert min(radius.min() for radius in asked) == 0
    assert max(radius.max() for radius in asked) == N_RADII - 1


def test_what_is_asked_may_be_written_to() -> None:
    """A caller that changes the indices it was given changes no result."""

    def holds(radius: NDArray[np.int64]) -> NDArray[np.bool_]:
        held = radius < 9
        radius[:] = -1
        return held

    assert bisect(4, holds).tolist() == [9] * 4


def test_a_ray_that_fails_and_holds_again_changes_where_it_says() -> None:
    """Without one place of failure, bisection still ends at a radius that fails right after one that holds."""
    hold = np.random.default_rng(5).random((200, N_RADII)) < 0.5
    counts = bisect(200, lambda radius: hold[np.arange(200), radius])
    for ray, count in zip(hold, counts, strict=True):
        assert count == 0 or ray[count - 1]
        assert count == N_RADII or not ray[count]


def test_the_largest_that_passes_is_the_last_before_the_first_that_fails() -> None:
    """Whatever the counts, the radii that pass one by one are the first ones, so that two ways of walking agree."""
    rng = np.random.default_rng(6)
    for _ in range(200):
        counts = rng.binomial(N_RADII, rng.beta(20.0, 0.5), size=rng.integers(50, 300))
        held = [(counts > j).sum() for j in range(N_RADII)]
        passes = [stats.binom.sf(k - 1, len(counts), 0.9) <= ALPHA for k in held]
        first_failure = passes.index(False) if False in passes else N_RADII
        assert not any(passes[first_failure:])
        assert certified(counts, 0.9, ALPHA) == first_failure - 1


def test_the_grid_ends_at_the_radius() -> None:
    """31 radii, evenly spaced, the last one the radius itself, whatever division rounds to."""
    for radius in (0.1, 1.0, 3, 7.3, 1e-9, 1e300):
        radii = grid(radius)
        assert radii.shape == (N_RADII,)
        assert radii[-1] == radius
        assert np.diff(radii, prepend=0.0) == pytest.approx(radius / N_RADII)


@pytest.mark.parametrize("p0", [1e-6, 0.5, 0.95, 0.982, 0.99, 0.999, 1.0 - 1e-4])
@pytest.mark.parametrize("alpha", [0.5, 0.01, 1e-6])
def test_as_many_rays_as_can_certify(p0: float, alpha: float) -> None:
    """All rays holding is evidence enough, and with one fewer, unless that is 256, it would not be."""
    n = rays_needed(p0, alpha)
    assert n >= N_RAYS
    assert stats.binom.sf(n - 1, n, p0) <= alpha
    assert n == N_RAYS or stats.binom.sf(n - 2, n - 1, p0) > alpha
    assert certified(np.full(n, N_RADII), p0, alpha) == N_RADII - 1
    assert certified(np.zeros(n, dtype=np.int64), p0, alpha) == -1


def test_one_ray_is_enough_for_what_one_can_say() -> None:
    """A single ray is bisected, and certifies 1/2 at alpha = 1/2: P(Binomial(1, 1/2) >= 1) is just that, not more."""
    assert bisect(1, lambda radius: radius < 9).tolist() == [9]
    assert certified(np.array([9]), 0.5, 0.5) == 8
    assert certified(np.array([9]), 0.5, 0.499) == -1


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf, True, "1"])
def test_a_radius_that_is_none_is_refused(radius: Any) -> None:
    """A radius is a finite number above 0."""
    with pytest.raises(InvalidArgument, match=f"^Expected a radius > 0 but got radius={radius!r} "):
        grid(radius)


@pytest.mark.parametrize(("p0", "alpha"), [(0.0, 0.1), (1.0, 0.1), (math.nan, 0.1), (0.9, 0.0), (0.9, 1.0), (0.9, "1")])
def test_chances_that_are_none_are_refused(p0: Any, alpha: Any) -> None:
    """p0 and alpha lie between 0 and 1."""
    wrong = f"alpha={alpha!r}" if p0 == 0.9 else f"p0={p0!r}"
    with pytest.raises(InvalidArgument, match=rf"^Expected a probability in \(0, 1\) but got {wrong} "):
        rays_needed(p0, alpha)
    with pytest.raises(InvalidArgument, match=rf"^Expected a probability in \(0, 1\) but got {wrong} "):
        certified(np.array([3]), p0, alpha)


@pytest.mark.parametrize("counts", [[], [[1]], [-1], [N_RADII + 1], [1.0], [True]])
def test_counts_that_are_none_are_refused(counts: Any) -> None:
    """A whole number from 0 to 31 for each ray."""
    shape_or_range = r"an integer for each of one or more rays|counts from 0 to 31"
    with pytest.raises(InvalidArgument, match=rf"^Expected ({shape_or_range}) but got counts=array\("):
        certified(np.array(counts), 0.9, 0.01)


@pytest.mark.parametrize("held", [np.ones(2, dtype=bool), np.ones(3), True, np.ones((3, 1), dtype=bool)])
def test_an_answer_that_is_not_one_for_each_ray_is_refused(held: Any) -> None:
    """A boolean for every ray: a margin in its place would be taken for holding."""
    said = f"Expected 3 booleans, one for each ray but got holds(...)={np.asarray(held)!r} "
    with pytest.raises(InvalidArgument, match=f"^{re.escape(said)}"):
        bisect(3, lambda radius: held)


def test_no_rays_are_refused() -> None:
    """Without a ray there is nothing to bisect."""
    with pytest.raises(InvalidArgument, match=r"^Expected a number of rays >= 1 but got n_rays=0 "):
        bisect(0, lambda radius: radius < 3)
