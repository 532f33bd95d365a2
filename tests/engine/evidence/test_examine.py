"""The examination before any margin: batch statistics and undeclared noise are errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gentest
from gentest import Verdict, settings
from tests.helpers import zoo

level = gentest.brightness()

ERROR = Verdict.ERROR


def in_train_mode() -> gentest.Generator:
    """A generator that normalises each channel by what its batch happens to hold."""

    def function(z: Tensor) -> Tensor:
        x = z.reshape(-1, 1, 2, 2)
        return torch.sigmoid(torch.nn.functional.batch_norm(x, None, None, training=True))

    return gentest.Generator(function, latent=gentest.Normal(4), output_range=zoo.UNIT)


def by_chance() -> gentest.Generator:
    """A generator that adds noise of its own."""
    return zoo.generator(lambda z: zoo.linear(z) + 0.1 * torch.rand(len(z)))


@pytest.mark.parametrize("make", [in_train_mode, by_chance])
def test_a_generator_that_depends_on_its_batch_is_an_error(make: Callable[[], gentest.Generator]) -> None:
    """No margin of such a generator means anything: one line says so, and `reproducible` shows it."""
    result = gentest.between(level, tolerance=0.5).check(make())
    assert result.verdict is ERROR
    assert "depends on the rest of its batch" in result.message
    assert gentest.reproducible().check(make(), settings=settings(examples=20)).verdict is Verdict.VIOLATED


def test_noise_drawn_once_a_call_is_seen() -> None:
    """Noise that is the same for a whole batch differs from one call to the next: `reproducible` says so."""
    generator = zoo.generator(lambda z: zoo.linear(z) + 0.3 * torch.rand(1))
    assert gentest.reproducible().check(generator, settings=settings(examples=10)).verdict is Verdict.VIOLATED
    assert gentest.between(level, tolerance=0.5).check(generator).verdict is ERROR


def shifted_in_batches(**options: float) -> gentest.Generator:
    """Outputs from .3 to .7, and higher by .05 in a batch than alone."""

    def f(z: torch.Tensor) -> torch.Tensor:
        level = 0.3 + 0.4 * z.mean(1).mul(2).sigmoid() + (0.05 if len(z) > 1 else 0.0)
        return level[:, None, None, None].expand(-1, 1, 4, 4)

    return gentest.Generator(f, latent=gentest.Normal(2), output_range=(0, 1), **options)


@pytest.mark.parametrize("batch_size", [1, 5, 32])
@pytest.mark.parametrize(("most", "verdict"), [(0.72, "no_counterexample"), (0.6, "violated")])
def test_declared_rounding_decides_nothing(batch_size: int, most: float, verdict: str) -> None:
    """A sign that it could flip is that of the probe alone; a violation beyond it is found."""

    @gentest.property(probes=gentest.points())
    def dark(evidence: gentest.Evidence) -> torch.Tensor:
        return most - evidence.scores(gentest.brightness())[:, 0]

    conditions = gentest.settings(device="cpu", examples=40, batch_size=batch_size)
    result = dark().check(shifted_in_batches(rounding=0.06), settings=conditions)
    assert result.verdict.value == verdict, result.message


def test_more_than_the_declared_rounding_is_an_error() -> None:
    """As is any difference of this size where nothing was declared."""
    for options in ({}, {"rounding": 0.04}):
        result = gentest.not_blank(at_least=0.1).check(
            shifted_in_batches(**options), settings=gentest.settings(device="cpu", examples=40)
        )
        assert result.verdict is gentest.Verdict.ERROR
        assert "depends on the rest of its batch, by up to 0.05 of its range" in result.message
    for wrong in (-0.1, 1.0, "a"):
        with pytest.raises(gentest.InvalidArgument, match="a share of the range from 0 to 1 but got rounding="):
            shifted_in_batches(rounding=wrong)  # type: ignore[arg-type]
