"""Probes along a direction: they start at a sample, go straight, and stay where each prior stays."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

import gentest
from gentest.errors import InvalidArgument
from gentest.probes.families import neighbours
from gentest.probes.probe import FULL_MASK, Probe, independent
from gentest.spaces import Part

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
        (gentest.Normal(4), gentest.Direction(np.ones(4), part="z"), "is of no part that moves"),
        (gentest.Categorical(4), gentest.Direction(np.ones(4)), "names no part that moves"),
        (gentest.Joint(a=gentest.Normal(4), b=gentest.Normal(4)), gentest.Direction(np.ones(4)), "'a', 'b'"),
        (
            gentest.Joint(a=gentest.Normal(4), c=gentest.Categorical(4)),
            gentest.Direction([1.0], part="c"),
            "of no part",
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
