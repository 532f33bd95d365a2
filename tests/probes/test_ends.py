"""The ends of a probe: a latent is its own, noise is of the seed, and masks take groups away."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import gentest
from gentest.probes.ends import noise
from gentest.probes.families import Probes, neighbours, points, segments, steps
from gentest.probes.probe import Probe, active_groups, independent
from gentest.spaces import Space

ALARM = 1e-6

BANK = np.arange(12.0).reshape(6, 2)

SPACES = [
    gentest.Normal(33),
    gentest.Sphere((3, 11)),
    gentest.Uniform(33),
    gentest.TruncatedNormal(33),
    gentest.Empirical(BANK),
    gentest.Normal(33).truncated(0.5),
    gentest.Joint(z=gentest.Normal(17), label=gentest.Categorical(10), w=gentest.Empirical(BANK)),
]

FAMILIES = [points(), segments(9), segments(2), neighbours(0.1, 3), steps(), steps(1e-3, at="ends", straight=True)]


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_a_latent_does_not_depend_on_its_batch(family: Probes, space: Space) -> None:
    """A probe alone has the latents that it has in a batch, bit by bit, in float32 or int64."""
    rng = np.random.default_rng(0)
    probes = [Probe(p.seed, mask=int(rng.integers(1, 2**63))) for p in independent(16, 0, 37)]
    together = family.place(space, probes)
    for i in (0, 1, 17, 36):
        alone = family.place(space, [probes[i]])
        for name, z in alone.items():
            assert z.shape == (1, family.n_points, *space.parts[name].shape)
            assert z.dtype == (np.int64 if space.parts[name].slots else np.float32)
            assert z[0].tobytes() == together[name][i].tobytes()


DIGEST = """
import hashlib, sys
import gentest
from gentest.probes.ends import noise
from gentest.probes.probe import Probe
from gentest.probes.families import segments
space = gentest.Joint(z=gentest.Normal((4, 8)), s=gentest.Sphere(64), label=gentest.Categorical(10))
probes = [Probe(seed, mask=seed * 0x9E3779B97F4A7C15 & 2**64 - 1) for seed in range(64)]
placed = segments(9).place(space, probes) | noise({"noise": gentest.Normal(9)}, probes, 9)
print(hashlib.sha256(b"".join(z.tobytes() for z in placed.values())).hexdigest())
print("torch" in sys.modules)
"""


def test_latents_are_the_same_in_another_process() -> None:
    """A process with other hash and thread settings makes the same latents, without importing torch."""
    environment = {**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    space = gentest.Joint(z=gentest.Normal((4, 8)), s=gentest.Sphere(64), label=gentest.Categorical(10))
    probes = [Probe(seed, mask=seed * 0x9E3779B97F4A7C15 & 2**64 - 1) for seed in range(64)]
    placed = segments(9).place(space, probes) | noise({"noise": gentest.Normal(9)}, probes, 9)
    here = hashlib.sha256(b"".join(z.tobytes() for z in placed.values())).hexdigest()
    assert done.stdout.split() == [here, "False"]


def test_choices_of_a_probe_win_over_its_seed() -> None:
    """Choices go to the discrete parts in their order; without them the seed decides."""
    space = gentest.Joint(a=gentest.Categorical(10), z=gentest.Normal(2), b=gentest.Categorical(10))
    placed = segments(3).place(space, [Probe(1, choices=(7, 2)), Probe(1)])
    assert placed["a"][0].tolist() == [7, 7, 7]
    assert placed["b"][0].tolist() == [2, 2, 2]
    assert (placed["z"][0] == placed["z"][1]).all()


def test_noise_is_of_the_seed_and_the_same_along_a_path() -> None:
    """Noise inputs are one sample of their prior for each probe, shared by its latents, and no latent's own stream."""
    probes = independent(17, 0, 2000)
    drawn = noise({"a": gentest.Normal(4), "b": gentest.Uniform((2, 2))}, probes, 3)
    assert drawn["a"].shape == (2000, 3, 4)
    assert drawn["b"].shape == (2000, 3, 2, 2)
    assert (drawn["a"] == drawn["a"][:, :1]).all()
    assert stats.kstest(drawn["a"][:, 0].ravel(), "norm").pvalue > ALARM
    latents = segments(2).place(gentest.Normal(4), probes)[""]
    for other in (latents[:, 0], latents[:, 1], drawn["b"][:, 0].reshape(-1, 4)):
        assert stats.pearsonr(drawn["a"][:, 0].ravel(), other.ravel()).pvalue > ALARM


def test_groups_are_bits_of_the_mask() -> None:
    """Bits 0, 1 and 3 of the mask are groups 0, 1 and 3, as far as the space has so many."""
    probe = Probe(9, mask=0b1011)
    assert active_groups(probe, 64) == (0, 1, 3)
    assert active_groups(probe, 3) == (0, 1)
