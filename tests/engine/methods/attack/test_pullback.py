"""The torch twin of placing probes: the same latents as NumPy places, and the gradient that differences give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gentest
from gentest.engine.methods.attack.pullback import _placed, pulled_back
from gentest.probes.ends import scores_of
from gentest.probes.families import Probes, along
from gentest.probes.probe import Probe, independent
from gentest.probes.shifts import STEP
from gentest.spaces import Space, at_radius

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
PROBES = [*independent(3, 0, 4), Probe(9, mask=0b01011), Probe(10, window=(8, 40))]


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_the_twin_places_as_numpy_does(space: Space, family: Probes) -> None:
    """Every part of every prior and family, masks and windows included, to float32's rounding."""
    scores = torch.from_numpy(scores_of(space, PROBES, family.streams)).requires_grad_()
    twin = _placed(family, space, PROBES, scores)
    for name, z in family.place(space, PROBES).items():
        if z.dtype != np.int64:
            np.testing.assert_allclose(twin[name].detach().numpy(), z, atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_gradient_is_what_differences_say(space: Space, family: Probes) -> None:
    """The slope of a random linear function of the latents, against that of moving one score by shifts of a probe."""
    rng = np.random.default_rng(1)
    probe = Probe(77)
    placed = family.place(space, [probe])
    weights = {name: rng.normal(size=z.shape) for name, z in placed.items() if z.dtype != np.int64}
    found = pulled_back(family, space, [probe], weights)
    assert found is not None

    def value(steps: np.ndarray) -> float:
        moved = family.place(space, [Probe(77, shift=steps.astype(np.int8).tobytes())])
        return sum(float((moved[name].astype(np.float64) * w).sum()) for name, w in weights.items())

    differences = []
    for index in range(found.shape[1]):
        steps = np.zeros(found.shape[1])
        steps[index] = 1
        differences.append((value(steps) - value(-steps)) / (2 * STEP))
    np.testing.assert_allclose(found[0], differences, rtol=0.02, atol=0.02 * np.abs(differences).max())


def test_along_a_direction_the_sample_is_what_moves() -> None:
    """Each latent of the way follows the sample."""
    family = along(gentest.Direction([1.0, 0.0]), points=3)
    found = pulled_back(family, gentest.Normal(2), [Probe(1)], {"": np.ones((1, 3, 2))})
    assert found is not None
    assert found.tolist() == [[3.0, 3.0]]


def test_where_the_way_is_not_known_there_is_none() -> None:
    """A mapping on arrays, an entry of a bank, a choice alone: None, and evolution takes over."""
    bank = gentest.Empirical(np.eye(3))
    arrays = gentest.Mapped(gentest.Normal(2), lambda z: np.tanh(z))
    for space, shape in ((bank, (1, 1, 3)), (arrays, (1, 1, 2))):
        assert pulled_back(gentest.points(), space, [Probe(1)], {"": np.ones(shape)}) is None
