"""The generator under test: the painter, with prompts of a template.

`PAINTER_SECONDS` is what an image costs, 5 by default; with 0, the painter is as fast as it is.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pipeline import WEIGHTS, PainterPipeline, load
from scenes import COLOURS, COUNTS, SIZE, THINGS

import gentest

PROMPT = gentest.Template("a {colour} {thing} {count}", colour=list(COLOURS), thing=list(THINGS), count=list(COUNTS))
NOISE = gentest.Normal((3, SIZE, SIZE))
STEPS = 10


@pytest.fixture(scope="session")
def pipeline(gentest_checkpoint: Path | None) -> PainterPipeline:
    return load(gentest_checkpoint or WEIGHTS, seconds=float(os.environ.get("PAINTER_SECONDS", "5")))


@pytest.fixture(scope="session")
def generator(pipeline: PainterPipeline) -> gentest.Generator:
    space = gentest.Joint(latents=NOISE, prompt=PROMPT, guidance_scale=gentest.OneOf(2.0, 1.0, 4.0))
    return gentest.Generator.from_diffusers(pipeline, latent=space, steps=STEPS)
