"""The generator of garments in float32 and in float16, for `gentest compare` in the root of the repository."""

from __future__ import annotations

from pathlib import Path

import gentest
from examples.fashion.model import CLASSES, LATENT_DIM, load

GOOD = Path(__file__).parents[1] / "fashion" / "checkpoints" / "good.safetensors"
SPACE = gentest.Joint(z=gentest.Normal(LATENT_DIM), label=gentest.Categorical(len(CLASSES)))


def float32() -> gentest.Generator:
    """The generator as it was trained."""
    return gentest.Generator(load(GOOD), latent=SPACE)


def float16() -> gentest.Generator:
    """The generator with weights in half precision."""
    return gentest.Generator(load(GOOD).half(), latent=SPACE)
