"""Outputs that are refused: values that are not finite, or out of an undeclared range."""

from __future__ import annotations

import torch
from torch import Tensor

import gentest
from tests.helpers import zoo

level = gentest.brightness()

ERROR = gentest.Verdict.ERROR


def test_a_latent_that_gives_nan_is_found_by_well_formed() -> None:
    """A rare latent that breaks the generator is a counterexample to `well_formed`, with the coordinate at fault."""

    def level_of(z: Tensor) -> Tensor:
        return torch.where(z[:, 3] > 2.0, torch.full_like(z[:, 3], float("nan")), 0.5 + 0.1 * z[:, 0].tanh())

    generator = zoo.generator(level_of, gentest.Normal(64))
    result = gentest.well_formed().check(generator)
    assert result.verdict is gentest.Verdict.VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.groups == ("3",)
    assert -2 <= result.counterexample.margin <= -1


def test_an_undeclared_range_is_asked_for() -> None:
    """Outputs in [0, 1] where nothing was declared are not taken for tanh's range in silence."""
    generator = gentest.Generator(lambda z: zoo.images(zoo.linear(z)), latent=gentest.Uniform(8))
    result = gentest.between(level, tolerance=0.5).check(generator)
    assert result.verdict is ERROR
    assert "output_range=(0, 1)" in result.message
