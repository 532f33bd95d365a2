"""Gradients in normal scores equal finite differences of placed latents, for every prior and family."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import gentest
from gentest.engine.methods.attack.pullback import pulled_back
from gentest.probes.families import Probes, along
from gentest.probes.probe import Probe
from gentest.probes.shifts import STEP
from gentest.spaces import Part, Space, at_radius
from gentest.spaces.space import Array, Floats

torch.manual_seed(0)
MAPPING = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 6))
SPACES = [
    gentest.Normal(6),
    gentest.Normal((2, 3)),
    gentest.Uniform(6),
    gentest.Uniform(6, low=-1, high=4),
    gentest.TruncatedNormal(6),
    gentest.Sphere(6, radius=2),
    gentest.Normal(6).truncated(0.5),
    gentest.Sphere(6, radius=2).truncated(0.5),
    gentest.Uniform(6, low=-1, high=4).truncated(0.5),
    gentest.Mapped(gentest.Normal(6), MAPPING),
    gentest.Mapped(gentest.Normal(6), MAPPING).truncated(0.5),
    at_radius(gentest.Normal(6), 0.5),
    at_radius(gentest.Sphere(6), 2.0),
    gentest.Joint(z=gentest.Normal(3), label=gentest.Categorical(4), w=gentest.Uniform(2)),
]
FAMILIES = [
    gentest.points(),
    gentest.segments(5),
    gentest.neighbours(0.3, 2),
    gentest.steps(1 / 64),
    gentest.steps(1 / 64, at="ends", straight=True),
]
PROBES = [Probe(77), Probe(9, mask=0b01011), Probe(10, window=(8, 40))]


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_gradient_equals_differences(space: Space, family: Probes) -> None:
    """For a random linear function of the latents, with masks and windows; each score moves by one step of a shift."""
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(size=z.shape) for name, z in family.place(space, PROBES).items() if z.dtype != np.int64}
    gradients = pulled_back(family, space, PROBES, weights)
    assert gradients is not None

    def values(steps: np.ndarray) -> np.ndarray:
        shift = steps.astype(np.int8).tobytes()
        moved = family.place(space, [replace(probe, shift=shift) for probe in PROBES])
        return sum((moved[name].astype(np.float64) * w).reshape(len(PROBES), -1).sum(1) for name, w in weights.items())

    differences = np.zeros_like(gradients)
    for index in range(gradients.shape[1]):
        steps = np.zeros(gradients.shape[1])
        steps[index] = 1
        differences[:, index] = (values(steps) - values(-steps)) / (2 * STEP)
    for gradient, difference in zip(gradients, differences, strict=True):
        np.testing.assert_allclose(gradient, difference, rtol=0.02, atol=0.02 * np.abs(difference).max())


def test_along_a_direction_the_sample_is_what_moves() -> None:
    """Each latent of the way follows the sample."""
    family = along(gentest.Direction([1.0, 0.0]), points=3)
    found = pulled_back(family, gentest.Normal(2), [Probe(1)], {"": np.ones((1, 3, 2))})
    assert found is not None
    assert found.tolist() == [[3.0, 3.0]]


class Laplace(Part):
    """A prior of somebody's own, without a derivative."""

    shape = (2,)

    def from_uniforms(self, uniforms: Floats) -> Array:
        return np.sign(uniforms - 0.5) * -np.log1p(-2 * np.abs(uniforms - 0.5))

    def mean(self) -> Floats:
        return np.zeros(2)


def test_without_a_derivative_there_is_no_gradient() -> None:
    """A bank's entries, a network of arrays and somebody's own prior give None, so that evolution takes over."""
    bank = gentest.Empirical(np.eye(3))
    arrays = gentest.Mapped(gentest.Normal(2), lambda z: np.tanh(z))
    for space in (bank, bank.truncated(0.5), arrays, Laplace()):
        weights = np.ones((1, 1, *space.shape))
        assert pulled_back(gentest.points(), space, [Probe(1)], {"": weights}) is None
