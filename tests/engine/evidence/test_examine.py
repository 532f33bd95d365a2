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
