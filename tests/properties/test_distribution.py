"""`matches`: misuse is named where it is written."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gentest
from tests.helpers import zoo


def colours(z: Tensor) -> Tensor:
    """Images [B, 3, 4, 4] of one colour each, that of three coordinates."""
    return (0.5 + 0.1 * z[:, :3].clamp(-4, 4))[:, :, None, None].expand(-1, 3, 4, 4)


def generator(scale: float = 1.0, shift: float = 0.0) -> gentest.Generator:
    """Colours whose spread and middle are told."""
    return gentest.Generator(lambda z: colours(scale * z + shift), latent=gentest.Normal(4), output_range=zoo.UNIT)


def images(n: int = 400, seed: int = 5) -> Tensor:
    """What the generator makes of other latents."""
    return colours(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gentest.matches(images(), feature=gentest.pixels()).at_rate(0.9), "has no rate"),
        (lambda: gentest.matches(images(100), feature=gentest.pixels()), "at least 256 images but got 100"),
        (lambda: gentest.matches(images(), feature=gentest.pixels(), n=10), "n=10"),
        (lambda: gentest.matches(images(), feature=gentest.pixels(), tolerance=0), "tolerance"),
        (lambda: gentest.matches("nowhere", feature=gentest.pixels()), "an existing folder"),
        (lambda: gentest.matches(images(), feature=gentest.pixels), "call it first"),
        (
            lambda: gentest.holds_within(gentest.matches(images(), feature=gentest.pixels()), 1.0),
            "all outputs together",
        ),
        (
            lambda: gentest.prior_invariant(
                gentest.matches(images(), feature=gentest.pixels()), priors=[gentest.Uniform(4)]
            ),
            "all outputs together",
        ),
    ],
)
def test_wrong_arguments_are_named(make: object, words: str) -> None:
    """In one line, where the property is checked."""
    with pytest.raises(gentest.InvalidArgument, match=words):
        make().check(generator())  # type: ignore[operator]
