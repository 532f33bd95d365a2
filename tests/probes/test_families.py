"""Probes along a direction: they start at a sample, go straight, and stay where each prior stays."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy import stats

import gentest
from gentest.errors import InvalidArgument
from gentest.probes.ends import ends_of
from gentest.probes.families import LEAST_STEP, Probes, neighbours, points, segments, steps
from gentest.probes.probe import FULL_MASK, Probe, independent
from gentest.spaces import Part, Space
from gentest.spaces.streams import FAR, NEAR, NOISE, PLACE, uniforms

BANK = np.arange(12.0).reshape(6, 2)

PROBES = independent(3, 0, 200)

STRAIGHT = [gentest.Normal((2, 4)), gentest.Normal(8), gentest.Empirical(BANK)]


def placed(space: Part, *, reach: float = 3.0, points: int = 5, probes: list[Probe] = PROBES) -> np.ndarray:
    direction = gentest.Direction(np.arange(1.0, 1.0 + np.prod(space.shape)).reshape(space.shape))
    return gentest.along(direction, reach=reach, points=points).place(space, probes)[""].astype(np.float64)


@pytest.mark.parametrize("space", [*STRAIGHT, gentest.Uniform(8), gentest.Sphere(8)], ids=repr)
def test_it_starts_at_the_near_end_of_a_neighbourhood(space: Part) -> None:
    """The first latent is the sample that other families of the same probes start from."""
    start = neighbours(0.5).place(space, PROBES)[""][:, 0]
    np.testing.assert_allclose(placed(space)[:, 0], start, rtol=1e-6)


@pytest.mark.parametrize("space", STRAIGHT, ids=repr)
def test_without_a_border_it_goes_straight_by_reach_in_all(space: Part) -> None:
    """Equal steps along the unit direction, `reach` long together."""
    z = placed(space, reach=2.0).reshape(200, 5, -1)
    unit = np.arange(1.0, 1.0 + z.shape[2]) / np.linalg.norm(np.arange(1.0, 1.0 + z.shape[2]))
    np.testing.assert_allclose(z.astype(float) - z[:, :1], np.linspace(0, 2, 5)[:, None] * unit + 0 * z, atol=1e-5)


def test_it_goes_round_a_sphere() -> None:
    """Every latent has the sphere's radius, and the way has its length in the limit of small steps."""
    for space in (gentest.Sphere(8), gentest.Sphere((2, 4), radius=1)):
        z = placed(space).reshape(200, 5, -1)
        np.testing.assert_allclose(np.linalg.norm(z, axis=-1), space.radius, rtol=1e-6)
        assert (np.linalg.norm(z[:, -1] - z[:, 0], axis=-1) > 0.01).all()


@pytest.mark.parametrize(("space", "bound"), [(gentest.Uniform(8), sqrt(3)), (gentest.TruncatedNormal(8), 2.0)])
def test_it_goes_no_further_than_the_side_of_a_box(space: Part, bound: float) -> None:
    """Coordinates at the side stay there, and the others go on."""
    z = placed(space, reach=8.0)
    assert np.abs(z).max() <= bound + 1e-6
    assert (np.diff(z, axis=1) >= 0).all()
    assert (z[:, -1, -1] == np.float32(bound)).all()


@pytest.mark.parametrize("space", [gentest.Normal(8), gentest.Uniform(8), gentest.Sphere(8), gentest.Empirical(BANK)])
def test_a_truncated_way_is_the_way_truncated(space: Part) -> None:
    """Each latent is the untruncated one drawn toward the mean, so the way is psi times as long."""
    mean = space.mean()
    np.testing.assert_allclose(placed(space.truncated(0.5)), mean + 0.5 * (placed(space) - mean), atol=1e-6)


def test_a_joint_moves_one_part() -> None:
    """The other parts, choices too, are the same all the way; the label is the probe's."""
    space = gentest.Joint(z=gentest.Normal(4), w=gentest.Normal(3), label=gentest.Categorical(10))
    probes = [Probe(p.seed, choices=(7,)) for p in PROBES]
    latents = gentest.along(gentest.Direction([1.0, 0, 0], part="w")).place(space, probes)
    assert (latents["label"] == 7).all()
    assert latents["label"].dtype == np.int64
    assert (latents["z"] == latents["z"][:, :1]).all()
    np.testing.assert_allclose(latents["w"][:, -1] - latents["w"][:, 0], [[3.0, 0, 0]] * 200, atol=1e-6)
    alone = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    assert gentest.Direction([1.0, 0, 0, 0]).part_of(alone) == "z"


def test_a_mask_takes_coordinates_of_the_direction_away() -> None:
    """Groups whose bit is not set stay at the sample; an entry of a bank stays whole."""
    direction = gentest.Direction(np.ones(8))
    (z,) = gentest.along(direction).place(gentest.Normal(8), [Probe(3, mask=0b101)])[""]
    assert (z[-1] != z[0]).tolist() == [True, False, True, False, False, False, False, False]
    for mask, moves in ((0, False), (FULL_MASK, True)):
        (z,) = gentest.along(gentest.Direction([1.0, 1.0])).place(gentest.Empirical(BANK), [Probe(3, mask=mask)])[""]
        assert (z[-1] != z[0]).tolist() == [moves, moves]


@pytest.mark.parametrize(
    ("space", "direction", "message"),
    [
        (gentest.Normal(3), gentest.Direction(np.ones(4)), r"shape \(3,\) for Normal\(3\) but got Direction\(4"),
        (gentest.Normal((4, 1)), gentest.Direction(np.ones(4)), r"shape \(4, 1\)"),
        (gentest.Normal(4), gentest.Direction(np.ones(4), part="z"), "has no part 'z' that moves"),
        (gentest.Categorical(4), gentest.Direction(np.ones(4)), "does not have exactly one part that moves"),
        (gentest.Joint(a=gentest.Normal(4), b=gentest.Normal(4)), gentest.Direction(np.ones(4)), "'a', 'b'"),
        (
            gentest.Joint(a=gentest.Normal(4), c=gentest.Categorical(4)),
            gentest.Direction([1.0], part="c"),
            "has no part 'c' that moves",
        ),
    ],
)
def test_a_direction_that_fits_no_part_is_refused(
    space: gentest.Space, direction: gentest.Direction, message: str
) -> None:
    """In one line that names both."""
    with pytest.raises(InvalidArgument, match=message) as caught:
        gentest.along(direction).place(space, PROBES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments", [{"reach": 0}, {"reach": -1.0}, {"reach": np.inf}, {"reach": "far"}, {"points": 1}, {"points": 2.0}]
)
def test_misuse_is_refused(arguments: dict[str, object]) -> None:
    """A way has a length, and two places."""
    with pytest.raises(InvalidArgument, match=next(iter(arguments))):
        gentest.along(gentest.Direction([1.0]), **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="Direction"):
        gentest.along([1.0])  # type: ignore[arg-type]


ALARM = 1e-6


@pytest.mark.parametrize(
    ("family", "text", "n_points", "streams", "has_path"),
    [
        (points(), "points()", 1, (FAR,), False),
        (segments(), "segments(points=9)", 9, (NEAR, FAR), True),
        (segments(2), "segments(points=2)", 2, (NEAR, FAR), True),
        (neighbours(), "neighbours(step=0.1, count=1)", 2, (NEAR, FAR), False),
        (neighbours(1, 3), "neighbours(step=1, count=3)", 4, (NEAR, FAR, FAR + 1, FAR + 2), False),
        (steps(), "steps(epsilon=0.0001, at='path', straight=False)", 2, (NEAR, FAR), False),
        (
            steps(1 / 64, at="ends", straight=True),
            "steps(epsilon=0.015625, at='ends', straight=True)",
            2,
            (0, 1),
            False,
        ),
    ],
)
def test_a_family_says_what_it_is(
    family: Probes, text: str, n_points: int, streams: tuple[int, ...], *, has_path: bool
) -> None:
    """A family's text is how it is made; it has so many latents a probe, at these ends, with or without an order."""
    assert repr(family) == repr(type(family)(**vars(family))) == text
    assert (family.n_points, family.streams, family.has_path) == (n_points, streams, has_path)
    placed = family.place(gentest.Normal(3), [Probe(1), Probe(2)])[""]
    assert placed.shape == (2, n_points, 3)
    assert family.t([Probe(1), Probe(2)]).shape == (2, n_points)


def test_several_neighbours_are_in_no_order() -> None:
    """Each lies in a direction of its own, so a step from one to the next means nothing."""
    families = (points(), segments(), neighbours(), neighbours(0.1, 2), neighbours(1, 15), steps())
    assert [family.is_ordered for family in families] == [True, True, True, False, False, True]


def test_what_is_not_said_of_a_family_is_what_is_documented() -> None:
    """Nine points of a path, one neighbour a tenth of the way, and steps of 1e-4 along the prior's own path."""
    assert (segments(), neighbours(), steps()) == (
        segments(9),
        neighbours(0.1, 1),
        steps(1e-4, at="path", straight=False),
    )


def test_single_points_are_the_far_ends() -> None:
    """A point is the far end of its seed's path, in the groups of its mask, at place 0."""
    probes = [Probe(1), Probe(2), Probe(2, mask=0b10)]
    ends = segments(2).place(gentest.Uniform(3), probes)[""]
    assert (points().place(gentest.Uniform(3), probes)[""][:, 0] == ends[:, 1]).all()
    assert (ends[2, 1] == [ends[1, 0, 0], ends[1, 1, 1], ends[1, 0, 2]]).all()
    assert points().t(probes).tolist() == [[0.0], [0.0], [0.0]]


def test_a_step_starts_where_its_seed_says() -> None:
    """In a window from 1/4 to 1/2 the place is 1/4 + (1/4 - epsilon) u, of the seed's own uniform for places."""
    u = float(uniforms(9, PLACE, 0, 1)[0])
    place = 0.25 + (0.25 - 1e-3) * u
    assert steps(1e-3).t([Probe(9, window=(16, 32))]) == pytest.approx(np.array([[place, place + 1e-3]]), rel=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_neighbours_lie_on_the_paths_to_other_ends(count: int) -> None:
    """Each is a tenth of the way along the prior's own path from the sample to another end of the same seed."""
    space, probes = gentest.Sphere(4), [Probe(1), Probe(2)]
    ends = ends_of(space, probes, (NEAR, *(FAR + i for i in range(count))))[""]
    placed = neighbours(0.1, count).place(space, probes)[""]
    for i in range(count):
        path = space.path(ends[NEAR], ends[FAR + i], np.array([[0.1]] * 2))
        np.testing.assert_allclose(placed[:, 1 + i], path[:, 0], rtol=1e-6)


def test_a_window_looks_at_a_part_of_the_same_path() -> None:
    """Under a window the latents are those of the whole path at the window's fractions."""
    space = gentest.Normal(16)
    whole = segments(65).place(space, [Probe(9)])[""][0]
    part = segments(9).place(space, [Probe(9, window=(16, 32))])[""][0]
    np.testing.assert_allclose(part, whole[16:33:2], rtol=1e-5, atol=1e-6)
    assert segments(3).t([Probe(9, window=(16, 32)), Probe(9)]).tolist() == [[0.25, 0.375, 0.5], [0.0, 0.5, 1.0]]


def test_neighbours_share_a_sample_and_step_toward_others() -> None:
    """The first latent is the sample, and each neighbour lies `step` of the way to a different other sample."""
    space = gentest.Uniform(16)
    z = neighbours(0.25, 3).place(space, [Probe(9)])[""][0]
    ends = segments(2).place(space, [Probe(9)])[""][0]
    assert (z[0] == ends[0]).all()
    np.testing.assert_allclose(z[1], 0.75 * ends[0] + 0.25 * ends[1], rtol=1e-6, atol=1e-6)
    assert len({row.tobytes() for row in z}) == 4
    assert neighbours(0.25, 3).t([Probe(9)]).tolist() == [[0.0, 0.25, 0.25, 0.25]]


def test_a_step_is_a_small_part_of_the_path_from_a_place_of_the_seeds_own() -> None:
    """Its two latents are those of the whole path at t and t + epsilon, t uniform and never beyond the path's end."""
    probes = independent(19, 0, 2000)
    t = steps(1 / 64).t(probes)
    assert stats.kstest(t[:, 0] * 64 / 63, "uniform").pvalue > ALARM
    assert t.min() >= 0
    assert t.max() <= 1
    space = gentest.Normal(16)
    placed = steps(1 / 64).place(space, probes[:50])[""]
    ends = segments(2).place(space, probes[:50])[""].astype(float)
    np.testing.assert_allclose(placed, space.path(ends[:, 0], ends[:, 1], t[:50]), rtol=0, atol=2e-6)
    assert stats.pearsonr(t[:, 0], first_uniform(probes)).pvalue > ALARM


def first_uniform(probes: list[Probe]) -> Any:
    """The first coordinate of each probe's near end, as a uniform: what its place must not depend on."""
    return segments(2).place(gentest.Uniform(1), probes)[""][:, 0, 0]


def test_a_step_from_the_ends_starts_at_a_sample() -> None:
    """`at="ends"` is the path's first latent and epsilon on; under a window, the window's first."""
    family = steps(1e-3, at="ends")
    assert family.t([Probe(9), Probe(9, window=(16, 32))]).tolist() == [[0.0, 0.001], [0.25, 0.251]]
    space = gentest.Sphere(8)
    near = segments(2).place(space, [Probe(9)])[""][0, 0]
    z = family.place(space, [Probe(9)])[""][0]
    assert (z[0] == near).all()
    assert 0 < np.linalg.norm(z[1] - z[0]) < 1e-3 * np.pi * space.radius


def test_a_window_and_a_mask_limit_a_step() -> None:
    """A step lies within its window, and moves in the groups of its mask alone (of a straight line)."""
    probes = [Probe(seed, window=(16, 17)) for seed in range(300)]
    t = steps(1e-3).t(probes)
    assert t.min() >= 16 / 64
    assert t.max() <= 17 / 64
    z = steps(1e-3, straight=True).place(gentest.Normal(8), [Probe(9, mask=0b101)])[""][0]
    assert (z[0] != z[1]).nonzero()[0].tolist() == [0, 2]


@pytest.mark.parametrize("space", [gentest.Normal(16), gentest.Sphere(16), gentest.Normal(16).truncated(0.5)], ids=repr)
def test_a_straight_step_is_on_the_line_between_the_ends(space: Space) -> None:
    """`straight` takes lines where the prior has great circles, and leaves a label as it is."""
    joint = gentest.Joint(z=space.parts[""], label=gentest.Categorical(10))
    probes = independent(20, 0, 50)
    placed, ends = steps(1 / 64, straight=True).place(joint, probes), segments(2).place(joint, probes)
    t = steps(1 / 64).t(probes)[..., None]
    line = ends["z"][:, :1] * (1 - t) + ends["z"][:, 1:] * t
    np.testing.assert_allclose(placed["z"], line, rtol=0, atol=2e-6)
    assert (placed["label"] == ends["label"]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: segments(1), "^Expected a number of points >= 2 but got points=1 "),
        (lambda: segments(2.5), "points=2.5"),  # type: ignore[arg-type]
        (lambda: neighbours(0.0), "^Expected a step >= 1e-06 and <= 1 but got step=0.0 "),
        (lambda: neighbours(1.5), "step=1.5"),
        (lambda: neighbours(step=True), "step=True"),
        (lambda: neighbours("x"), "step='x'"),  # type: ignore[arg-type]
        (lambda: neighbours(float("nan")), "step=nan"),
        (lambda: neighbours(0.1, 0), "^Expected a number of neighbours >= 1 but got count=0 "),
        (lambda: neighbours(0.1, NOISE - FAR + 1), "count=65536"),
        (lambda: steps(0.0), "^Expected a step >= 1e-06 and <= 1/64 but got epsilon=0.0 "),
        (lambda: steps(1e-8), "epsilon=1e-08"),
        (lambda: neighbours(1e-9), "step=1e-09"),
        (lambda: steps(0.016), "epsilon=0.016"),
        (lambda: steps(float("nan")), "epsilon=nan"),
        (lambda: steps("x"), "epsilon='x'"),  # type: ignore[arg-type]
        (lambda: steps(at="start"), "^Expected 'path' or 'ends' but got at='start' "),  # type: ignore[arg-type]
        (lambda: steps(straight=1), "^Expected True or False but got straight=1 "),  # type: ignore[arg-type]
    ],
)
def test_families_check_their_arguments(make: Any, message: str) -> None:
    """A family of no use is refused where it is made."""
    with pytest.raises(InvalidArgument, match=message):
        make()


def test_the_smallest_step_moves_a_latent() -> None:
    """It is allowed, and float32 tells its ends apart in every coordinate of most probes."""
    for family in (steps(LEAST_STEP), neighbours(LEAST_STEP)):
        z = family.place(gentest.Normal(8), independent(1, 0, 64))[""]
        assert (z[:, 0] != z[:, 1]).mean() > 0.9


def test_as_many_neighbours_as_there_are_streams_are_allowed() -> None:
    """The last neighbour's end is the stream before the noise's."""
    assert neighbours(0.1, NOISE - FAR).streams[-1] == NOISE - 1


TWO = gentest.Joint(z=gentest.Normal(6), w=gentest.Sphere(3), prompt=gentest.OneOf("a", "b"))


@pytest.mark.parametrize(
    ("all_move", "some_move"),
    [
        (segments(5), segments(5, moves=["w"])),
        (neighbours(0.3, 2), neighbours(0.3, 2, moves=["w"])),
        (steps(1e-3), steps(1e-3, moves=["w"])),
        (steps(1e-3, straight=True), steps(1e-3, straight=True, moves=["w"])),
    ],
    ids=repr,
)
def test_parts_that_do_not_move_stay_to_the_last_bit(all_move: Probes, some_move: Probes) -> None:
    """The others move as they do when all move, from the same near end."""
    whole, some = (family.place(TWO, PROBES) for family in (all_move, some_move))
    assert list(some) == ["z", "w", "prompt"]
    assert (some["w"] == whole["w"]).all()
    assert (some["z"] == some["z"][:, :1]).all()
    assert (some["prompt"] == whole["prompt"]).all()
    if not isinstance(all_move, type(steps())):
        assert (some["z"][:, 0] == whole["z"][:, 0]).all()
    assert repr(some_move) == f"{repr(all_move)[:-1]}, moves=['w'])"


@pytest.mark.parametrize("moves", [[], "w", ["w", 3], 5])
def test_names_of_parts_that_are_none_are_refused(moves: Any) -> None:
    for make in (segments, neighbours, steps):
        with pytest.raises(InvalidArgument, match="Expected a list of names of parts"):
            make(moves=moves)


def test_a_part_that_cannot_move_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"'prompt' cannot move, .* leaves it as it is along a path; 'z', 'w'"):
        segments(moves=["prompt"]).place(TWO, PROBES)
    with pytest.raises(InvalidArgument, match=r"moves=\['z'\] names parts of a gentest.Joint, and Normal\(3\) is one"):
        segments(moves=["z"]).place(gentest.Normal(3), PROBES)
