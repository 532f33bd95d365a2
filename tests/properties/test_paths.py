"""Properties of paths: each margin by hand, and what a bound on path lengths refuses."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.errors import InvalidArgument
from gentest.probes.families import segments
from gentest.probes.probe import independent
from gentest.results.result import Verdict
from gentest.results.settings import Values
from tests.helpers import zoo

SLOPE = 0.1


def squared(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().mean((1, 2, 3))


def level(z: Tensor) -> Tensor:
    return 0.5 + SLOPE * z[:, 0]


def angled(z: Tensor) -> Tensor:
    """Level by the angle of the first two coordinates: what a change of the length leaves alone."""
    return 0.5 + 0.1 * torch.sin(torch.atan2(z[:, 1], z[:, 0]))


def true_lengths(n: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of `level` on the straight paths of a uniform space: the square of its slope along each."""
    z = segments(2).place(gentest.Uniform(2), independent(seed, 0, n))[""].astype(float)
    return np.square(SLOPE * (z[:, 1, 0] - z[:, 0, 0]))


def generator(latent: gentest.Space | None = None) -> gentest.Generator:
    return zoo.generator(level, latent or gentest.Uniform(2))


def test_the_property_bounds_each_length() -> None:
    """It holds just above the longest length there is and not below the longest that was seen."""
    longest = (SLOPE * 2 * sqrt(3)) ** 2
    some = gentest.settings(examples=200)
    assert gentest.path_length(at_most=longest).check(generator(), settings=some).verdict is Verdict.NO_COUNTEREXAMPLE
    result = gentest.path_length(gentest.distance(squared), at_most=longest / 4).check(generator(), settings=some)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.groups == ("0",)  # the level does not look at the other coordinate
    (step,) = result.counterexample.scores["step in distance(squared)"]
    assert longest / 4 - step / 1e-4**2 == pytest.approx(result.counterexample.margin, abs=1e-5)


def test_a_length_is_replayed() -> None:
    """The probe of a counterexample gives its margin again."""
    property = gentest.path_length(at_most=0.01)
    found = property.check(generator()).counterexample
    assert found is not None
    again = property.replay(generator(), found.replay)
    assert again.verdict is Verdict.VIOLATED
    assert again.counterexample is not None
    assert again.counterexample.margin == found.margin


@pytest.mark.slow
def test_a_length_at_a_rate() -> None:
    """It is decided on independent probes: true for 87 % of the paths, it holds at 0.7 and is refuted at 0.95."""
    limit = float(np.quantile(true_lengths(20_000, seed=9), 0.87))
    for p0, verdict in ((0.7, Verdict.HOLDS), (0.95, Verdict.VIOLATED)):
        result = gentest.path_length(at_most=limit).at_rate(p0).check(generator())
        assert result.verdict is verdict


def test_a_length_under_other_priors_and_in_a_baseline() -> None:
    """`prior_invariant` of it runs, and a sample for a baseline names the distance and the model it asks."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return self.weight * squared(first, second)

    normal = zoo.generator(angled, gentest.Normal(2))
    property = gentest.path_length(gentest.distance(Net(), name="net"), at_most=2.0)
    both = gentest.prior_invariant(property, priors=[gentest.Uniform(2)])
    assert both.check(normal, settings=gentest.settings(examples=50)).verdict is not Verdict.ERROR
    values = Values(examples=20)
    question = Question(property.definition, n_sampled=64, blesses=True)
    sample = check(question, normal, Context(values), values).sample
    assert sample is not None
    assert list(sample.measures) == ["net"]
    assert len(sample.measures["net"]) == 16
    assert sample.look is not None
    assert list(sample.look.embeddings) == ["thumbnails"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gentest.path_length(at_most=-1), "at_most=-1"),
        (lambda: gentest.path_length(at_most=gentest.sd(2)), "at_most"),  # type: ignore[arg-type]
        (lambda: gentest.path_length(at_most=float("nan")), "at_most=nan"),
        (lambda: gentest.path_length(3, at_most=1), "distance=3"),  # type: ignore[arg-type]
        (lambda: gentest.path_length(at_most=1, epsilon=1.0), "epsilon=1.0"),
        (lambda: gentest.path_length(at_most=1, at="x"), "at='x'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_of_the_property_are_refused(make: object, words: str) -> None:
    """They are kept until the property is checked, as those of any other."""
    with pytest.raises(InvalidArgument, match=words):
        _ = make().definition  # type: ignore[operator]
