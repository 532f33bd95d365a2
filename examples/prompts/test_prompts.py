"""Properties of a text-to-image pipeline: it paints what the prompt asks for.

pytest --gentest examples/prompts --gentest-max-minutes 5 --gentest-cache .gentest
PAINTER_SECONDS=0 pytest --gentest examples/prompts
"""

from __future__ import annotations

import pytest
import reading
import torch

import gentest


@gentest.property(probes=gentest.points())
def asked(evidence: gentest.Evidence, attribute: gentest.Attribute, *, at_least: float = 0.0) -> torch.Tensor:
    """A property of our own: what the prompt asks for is likelier than anything else, by `at_least` in log-odds."""
    return evidence.scores(attribute)[:, 0] - at_least


@gentest.well_formed()
def test_every_image_is_one(generator: gentest.Generator) -> gentest.Generator:
    return generator


@asked(reading.kind).at_rate(0.8)
@asked(reading.colour).at_rate(0.8)
def test_the_garment_is_as_asked(generator: gentest.Generator) -> gentest.Generator:
    return generator


@asked(reading.count).at_rate(0.6, each="guidance_scale")
def test_the_count_is_as_asked(generator: gentest.Generator) -> gentest.Generator:
    return generator


@pytest.mark.parametrize("prompt", ["a bag twice", "a bag three times"])
@gentest.settings(examples=8, reduce=16)
@asked(reading.count).at_rate(0.9)
def test_bags_are_counted(generator: gentest.Generator, prompt: str) -> gentest.Generator:
    return generator.given(prompt=prompt, guidance_scale=2.0)


@gentest.settings(examples=4)
@gentest.reproducible()
def test_a_prompt_is_painted_alike_in_any_batch(generator: gentest.Generator) -> gentest.Generator:
    return generator


@gentest.settings(examples=6)
@gentest.continuous(ratio=3, points=5, moves=["latents"])
def test_noise_moves_an_image_gently(generator: gentest.Generator) -> gentest.Generator:
    return generator.given(guidance_scale=2.0)
