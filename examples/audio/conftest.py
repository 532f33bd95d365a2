"""The decoder as a generator of sounds: a latent and one of 25 keys."""

from __future__ import annotations

import pytest
from model import LATENT_DIM, PITCHES, RATE, load

import gentest


@pytest.fixture(scope="session")
def piano() -> gentest.Generator:
    space = gentest.Joint(z=gentest.Normal(LATENT_DIM), label=gentest.Categorical(len(PITCHES)))
    return gentest.Generator(load(), latent=space, outputs=gentest.Audio(rate=RATE))
