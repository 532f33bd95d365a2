"""Checks of a function that remembers the batches it was given, and their results without costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.results.result import Cost, Result
from gentest.results.settings import Values
from tests.helpers import zoo


class Counting:
    """An attribute, or a generator's function, that remembers the sizes of its batches."""

    def __init__(self, function: object = gentest.brightness()) -> None:
        self.function = function
        self.sizes: list[int] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return self.function(x)  # type: ignore[operator,no-any-return]


def fold(z: Tensor) -> Tensor:
    """Grey images of a normal space whose level has a fold."""
    return zoo.images(z[:, :2].mean(1).abs().tanh())


def checked(
    folder: Path | None, function: Counting, property: gentest.Property, *, seed: int = 0, **values: object
) -> Result:
    """The result of a property on a function, with a disk store in `folder`, or with none."""
    generator = gentest.Generator(function, latent=gentest.Normal(8), output_range=zoo.UNIT)
    cache = None if folder is None else str(folder)
    all_values = Values(device="cpu", examples=40, budget=400, seed=seed, cache=cache, **values)  # type: ignore[arg-type]
    return check(Question(property.definition), generator, Context(all_values), all_values)


def without_costs(result: Result) -> Result:
    """The result without its images, calls and seconds."""
    return replace(result, cost=Cost())


def context(**values: object) -> Context:
    """A context on the CPU."""
    return Context(Values(device="cpu", **values))  # type: ignore[arg-type]


def images(n_bytes: int) -> gentest.Generator:
    """Outputs of so many bytes each."""
    side = int((n_bytes / 4) ** 0.5)

    def f(z: Tensor) -> Tensor:
        return z[:, :1, None, None].sigmoid().expand(-1, 1, side, side)

    return gentest.Generator(f, latent=gentest.Normal(4), output_range=(0, 1))
