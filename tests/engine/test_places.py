"""The places that a report names: of an attribute, of a pair's largest difference, of a value that may not be."""

from __future__ import annotations

import re

import pytest
import torch

import gentest
from gentest import settings
from tests.helpers import kinds

FEW = settings(examples=16, device="cpu")


def note(finder: gentest.Property, generator: gentest.Generator) -> str:
    """The note of a violation."""
    result = finder.check(generator, settings=FEW)
    assert result.counterexample is not None, result.message
    return result.counterexample.note


def test_a_value_that_is_not_finite_has_a_place() -> None:
    """The first sample that is NaN is named."""

    def broken(z: torch.Tensor) -> torch.Tensor:
        made = kinds.sounds(z)
        made[:, 240] = float("nan")
        return made

    said = note(gentest.well_formed(), kinds.generator(broken, gentest.Audio(rate=kinds.RATE)))
    assert said == "1 of 800 values are not finite; not finite: sample 240, at 0.03 s"


def test_a_sound_beyond_a_declared_range_has_a_place() -> None:
    """With a range, an overshoot is a fault of `well_formed`."""

    def overshooting(z: torch.Tensor) -> torch.Tensor:
        made = kinds.sounds(z)
        made[:, 80] = 1.5
        return made

    loud = kinds.generator(overshooting, gentest.Audio(rate=kinds.RATE), output_range=(-1, 1))
    assert note(gentest.well_formed(), loud) == "sample 80, at 0.01 s"


def test_along_a_path_the_output_that_stands_out_is_named() -> None:
    """Of several outputs, the one whose score is furthest from the median, by its number."""
    steps = kinds.generator(lambda z: kinds.stepping(z).flip(0).flip(0), gentest.Video(fps=8))
    said = note(gentest.between(gentest.over_frames(gentest.brightness(), "max"), tolerance=0.01), steps)
    assert re.fullmatch(
        r"over_frames\(brightness\(\), 'max'\) has its score in output \d, frame \d+ of 16, at .* s", said
    )


def test_of_tokens_that_differ_the_first_is_named() -> None:
    """Ids are names, so no difference of two of them is larger than another."""
    text = gentest.Tokens(text=True, longest=32)
    pair = kinds.generator(kinds.unclosed, text).against(kinds.generator(kinds.molecules, text))
    result = gentest.agrees(within=0.0).check(pair, settings=settings(examples=80, device="cpu"))
    assert result.counterexample is not None
    assert "the first difference is in character " in result.counterexample.note


@pytest.mark.parametrize("kind", [None, gentest.Arrays()])
def test_images_and_arrays_have_no_places(kind: gentest.Kind | None) -> None:
    """Their notes stay as they were."""
    latent = gentest.Normal((1, 4, 4))
    dark = gentest.Generator(lambda z: z * 0, latent=latent, outputs=kind, output_range=(0, 1))
    assert note(gentest.not_blank(at_least=0.1), dark) == "its contrast is 0, and 0.1 is the least allowed"
