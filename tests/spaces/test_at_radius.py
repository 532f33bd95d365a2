"""A prior pulled to one radius: the same rays, exactly that far out, for every space."""

from __future__ import annotations

import numpy as np
import pytest

import gentest
from gentest.errors import InvalidArgument
from gentest.probes.families import points, segments
from gentest.probes.probe import independent
from gentest.spaces import Space, at_radius

BANK = np.random.default_rng(3).normal(2.0, 1.0, (40, 6))
SPACES = [
    gentest.Normal(8),
    gentest.Normal((2, 3)),
    gentest.Uniform(8),
    gentest.Uniform(3, low=-1, high=4),
    gentest.TruncatedNormal(8),
    gentest.Sphere(8, radius=2),
    gentest.Empirical(BANK),
    gentest.Normal(8).truncated(0.5),
    gentest.Mapped(gentest.Normal(2), lambda z: 5.0 + 20.0 * np.tanh(z @ np.ones((2, 4)))),
    gentest.Mapped(gentest.Normal(2), lambda z: 5.0 + 20.0 * np.tanh(z @ np.ones((2, 4)))).truncated(0.5),
]


def flat(space: Space, n: int = 50) -> np.ndarray:
    """Samples [n, d] of a space, float64."""
    return points().place(space, independent(1, 0, n))[""][:, 0].reshape(n, -1).astype(np.float64)


@pytest.mark.parametrize("radius", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_samples_lie_on_their_rays_at_the_radius(space: gentest.Space, radius: float) -> None:
    """Every sample keeps its direction from the mean, and lies exactly at the radius."""
    (part,) = space.parts.values()
    pulled = at_radius(space, radius)
    mean = part.mean().reshape(-1)
    before, after = flat(space) - mean, flat(pulled) - mean
    cosine = (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    np.testing.assert_allclose(cosine, 1.0, atol=1e-5)
    latents = points().place(pulled, independent(1, 0, 50))[""][:, 0].astype(np.float64)
    np.testing.assert_allclose(part.radii(latents), radius, rtol=1e-5)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_radius_one_is_where_samples_lie(space: gentest.Space) -> None:
    """A space's samples are near its radius 1 in the root mean square, and a box's never outside of it."""
    (part,) = space.parts.values()
    radii = part.radii(points().place(space, independent(2, 0, 500))[""][:, 0].astype(np.float64))
    boxed = type(part) in (gentest.Uniform, gentest.TruncatedNormal)
    assert radii.max() <= 1.0 + 1e-6 if boxed else 0.9 < np.sqrt(np.square(radii).mean()) < 1.1


def test_paths_of_a_shell_stay_on_it() -> None:
    """Great circles between two samples at a radius stay there; straight lines in a box stay within it."""
    probes = independent(4, 0, 50)
    on_shell = segments().place(at_radius(gentest.Normal(8), 0.5), probes)[""].astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(on_shell, axis=2), 0.5 * 8**0.5, rtol=1e-5)
    in_box = segments().place(at_radius(gentest.Uniform(8), 0.5), probes)[""]
    assert np.abs(in_box).max() <= 0.5 * 3**0.5 + 1e-6


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_latent_at_a_radius_moves_as_far_as_elsewhere(space: gentest.Space) -> None:
    """A shift by 0 changes nothing. Other shifts stay on the sphere of the radius, or in the prior's box."""
    (part,) = space.parts.values()
    (pulled,) = at_radius(space, 0.5).parts.values()
    latents = pulled.from_uniforms(np.random.default_rng(6).random((50, part.dim)))
    np.testing.assert_allclose(pulled.shifted(latents, np.zeros(part.shape)), latents, atol=1e-12)
    by = np.full(part.shape, 0.25)
    moved = pulled.shifted(latents, by)
    if isinstance(part, gentest.Sphere):
        np.testing.assert_allclose(pulled.radii(moved), 0.5, rtol=1e-9)
    elif isinstance(part, gentest.Uniform | gentest.TruncatedNormal):
        assert (pulled.radii(moved) <= 1.0 + 1e-9).all()
    else:
        psi = getattr(part, "psi", 1.0)
        np.testing.assert_allclose(moved, latents + psi * by, atol=1e-12)


def test_choices_stay_and_parts_are_pulled_one_by_one() -> None:
    """In a `Joint` each continuous part lies at the radius, and a label is left alone."""
    space = gentest.Joint(z=gentest.Normal(8), label=gentest.Categorical(10), w=gentest.Empirical(BANK))
    probes = independent(5, 0, 20)
    before, after = (points().place(s, probes) for s in (space, at_radius(space, 0.5)))
    np.testing.assert_array_equal(before["label"], after["label"])
    for name in ("z", "w"):
        radii = space.parts[name].radii(after[name][:, 0].astype(np.float64))
        np.testing.assert_allclose(radii, 0.5, rtol=1e-5)


def test_a_single_latent_has_no_ray() -> None:
    """A bank of one latent is its own mean: it stays there, finite."""
    assert flat(at_radius(gentest.Empirical([[1.0, 2.0]]), 2.0), 3).tolist() == [[1.0, 2.0]] * 3


@pytest.mark.parametrize("radius", [0, -1, float("nan"), float("inf"), "1", True, None])
def test_a_radius_is_a_number_above_zero(radius: object) -> None:
    """Any other value is rejected by name."""
    with pytest.raises(InvalidArgument, match=r"Expected a radius > 0 but got radius="):
        at_radius(gentest.Normal(2), radius)  # type: ignore[arg-type]


@pytest.mark.parametrize("radius", [0.25, 1.0, 3.0])
@pytest.mark.parametrize(
    "space", [*SPACES, gentest.Sphere(8).truncated(0.5), gentest.Uniform(8).truncated(0.5)], ids=repr
)
def test_a_shift_by_zero_keeps_the_radius(space: gentest.Space, radius: float) -> None:
    """A path along a direction starts at the sample, at any radius: no border pulls it in or out."""
    (part,) = at_radius(space, radius).parts.values()
    z = flat(part).reshape(50, *part.shape)
    np.testing.assert_allclose(part.shifted(z, np.zeros(part.shape)), z, rtol=1e-5, atol=1e-6)


def test_a_shift_goes_around_the_sphere_of_its_radius() -> None:
    """In a box it goes up to the side, or up to the radius if that is further out."""
    by = np.full(8, 0.4)
    sphere = at_radius(gentest.Sphere(8), 0.5).parts[""]
    moved = sphere.shifted(flat(sphere), by)
    np.testing.assert_allclose(sphere.radii(moved), 0.5, rtol=1e-6)
    for radius, most in ((0.5, 1.0), (2.0, 2.0)):
        box = at_radius(gentest.Uniform(8), radius).parts[""]
        assert box.radii(box.shifted(flat(box), 9 * by)).max() == pytest.approx(most)
