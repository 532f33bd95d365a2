"""The generator under test: the conditional GAN of garments of `examples/fashion`."""

from __future__ import annotations

from pathlib import Path

import pytest
from model import CLASSES, LATENT_DIM, load

import gentest

GOOD = Path(__file__).parents[1] / "fashion" / "checkpoints" / "good.safetensors"


@pytest.fixture(scope="session")
def generator(gentest_checkpoint: Path | None) -> gentest.Generator:
    space = gentest.Joint(z=gentest.Normal(LATENT_DIM), label=gentest.Categorical(len(CLASSES)))
    return gentest.Generator(load(gentest_checkpoint or GOOD), latent=space, output_range=(-1, 1))
