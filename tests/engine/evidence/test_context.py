"""A context: spreads are measured once, outputs shared between properties, and changed weights noticed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gentest
from gentest import settings
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.results.result import Verdict
from gentest.results.settings import Values
from tests.helpers import zoo

level = gentest.brightness()

HOLDS, VIOLATED, ERROR = Verdict.NO_COUNTEREXAMPLE, Verdict.VIOLATED, Verdict.ERROR


def test_sd_is_measured_once_on_a_fixed_pilot() -> None:
    """`sd(x)` is x standard deviations under the prior: for a level linear in one uniform coordinate, exactly known."""
    scores: list[float] = []

    @gentest.property(probes=gentest.points())
    def recorded(evidence: gentest.Evidence) -> Tensor:
        scores.append(evidence.in_units(gentest.sd(2), level))
        return torch.ones(len(evidence.t))

    generator = zoo.generator(lambda z: 0.5 + 0.1 * z[:, 0])
    recorded().check(generator, settings=settings(examples=10, seed=1))
    recorded().check(generator, settings=settings(examples=10, seed=2, batch_size=1))
    assert len(set(scores)) == 1
    assert scores[0] == pytest.approx(0.2, rel=0.15)  # 256 samples: within 3.4 standard errors


def test_properties_share_what_they_look_at() -> None:
    """In one context, a second property of the same probes makes the images of its audit only."""
    generator, values = zoo.generator(zoo.linear), Values(examples=50)
    context = Context(values)
    first = check(Question(gentest.between(level, tolerance=0.5).definition), generator, context, values)
    second = check(Question(gentest.monotone(gentest.contrast(), tolerance=0.5).definition), generator, context, values)
    assert first.images > 450
    assert second.audit is not None
    assert second.audit.outputs == second.audit.reused >= 16
    assert second.images == 1 + second.audit.images <= 24  # not those either that are made alone


def test_changed_weights_are_looked_at_anew() -> None:
    """Sharing goes by the weights as they are: a module changed in place between two checks is another generator."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Unflatten(1, (1, 2, 2)))
    generator = gentest.Generator(model, latent=gentest.Uniform(4), output_range=(-9, 9))
    values = Values(examples=30)
    context = Context(values)
    question = Question(gentest.responsive(at_least=1e-4).definition)
    assert check(question, generator, context, values).verdict is HOLDS
    with torch.no_grad():
        model[0].weight.zero_()
    assert check(question, generator, context, values).verdict is VIOLATED


def test_sd_of_what_does_not_vary_is_an_error() -> None:
    """A collapsed generator cannot set its own tolerance to rounding; and `responsive` takes no `sd` at all."""
    result = gentest.between(level, tolerance=gentest.sd(2)).check(zoo.generator(zoo.collapsed))
    assert result.verdict is ERROR
    assert "brightness() does not vary under the prior" in result.message
    with pytest.raises(gentest.InvalidArgument, match="at_least"):
        gentest.responsive(at_least=gentest.sd(1)).check(zoo.generator(zoo.collapsed))  # type: ignore[arg-type]


def test_sd_is_measured_under_the_generators_own_prior() -> None:
    """A narrow prior does not tighten the tolerance of a property that is to hold under it too."""
    limits: list[float] = []

    @gentest.property(probes=gentest.points())
    def recorded(evidence: gentest.Evidence) -> Tensor:
        limits.append(evidence.in_units(gentest.sd(1), level))
        return torch.ones(len(evidence.t))

    narrow = gentest.Uniform(8, low=-0.01, high=0.01)
    gentest.prior_invariant(recorded(), priors=[narrow]).check(zoo.generator(zoo.linear), settings=settings(examples=5))
    assert len(limits) > 1
    assert len(set(limits)) == 1
