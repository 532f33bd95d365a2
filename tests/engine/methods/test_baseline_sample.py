"""The sample of a baseline: the same at any batch size, and no longer than a comparison needs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.methods.baseline_sample import take_sample
from gentest.engine.methods.problem import Problem
from gentest.results.comparison import Sample, Terms
from gentest.results.records import unpack
from gentest.results.settings import Values
from tests.helpers import zoo

SMOOTH = gentest.between(gentest.brightness(), tolerance=0.1)


def sample(
    level: Callable[[Tensor], Tensor], n: int = 0, baseline: Sample | None = None, *, batch_size: int = 64
) -> Sample:
    """A sample of `SMOOTH` on a grey generator, without a summary of its outputs."""
    context = Context(Values(device="cpu", batch_size=batch_size))
    judge = Judge(context, Subject.of(zoo.generator(level)), SMOOTH.definition)
    problem = Problem(judge, Values(seed=3))
    return take_sample(problem, n=n, baseline=baseline, terms=Terms(), looks=False, blesses=False).sample


@pytest.mark.parametrize("batch_size", [9, 500])
def test_a_sample_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    """It has as many margins as asked for, of the same probes."""
    blessed, other = sample(zoo.linear, 100), sample(zoo.linear, 100, batch_size=batch_size)
    margins = unpack(blessed.margins, "margins")
    assert len(margins) == 100
    assert unpack(other.margins, "margins") == pytest.approx(margins, abs=1e-6)
    assert (blessed.seed, list(blessed.measures), blessed.look) == (3, ["brightness()"], None)


@pytest.mark.parametrize("level", [zoo.linear, zoo.fold], ids=["equal", "worse"])
def test_a_candidate_is_evaluated_until_the_test_fires(level: Callable[[Tensor], Tensor]) -> None:
    """On the baseline's probes, in their order, whatever the batch size; a decision needs few of them."""
    blessed = sample(zoo.linear, 512)
    candidates = [sample(level, baseline=blessed, batch_size=batch_size) for batch_size in (36, 500)]
    first, other = (unpack(candidate.margins, "margins") for candidate in candidates)
    assert len(first) == len(other) < 512
    assert len(first) % 32 == 0
    if level is zoo.linear:
        assert first == pytest.approx(unpack(blessed.margins, "margins")[: len(first)], abs=1e-6)
