"""The judge: each probe is evaluated once, remembered, and told from near equals alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.outputs import BATCH_BYTES, PROBE_BYTES
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.properties.definition import Definition, Evidence
from gentest.results.settings import Values
from tests.helpers import zoo


def judge(margin: object, generator: gentest.Generator | None = None, batch_size: int = 8) -> Judge:
    """A judge of a property over single points."""
    context = Context(Values(batch_size=batch_size))
    definition = Definition("custom", points(), margin)  # type: ignore[arg-type]
    return Judge(context, Subject.of(generator or zoo.generator(zoo.linear)), definition)


def test_each_probe_is_evaluated_once() -> None:
    """A margin that is known is not computed again, in any list it comes in."""
    generator = zoo.generator(zoo.linear)
    asked = judge(lambda evidence: evidence.scores(gentest.brightness())[:, 0], generator)
    probes = independent(1, 0, 20)
    first = asked.margins(probes)
    calls = len(generator.function.batches)
    assert asked.margins(probes[::-1]) == first[::-1]
    assert len(generator.function.batches) == calls


def test_the_worst_of_near_equals_is_told_apart_alone() -> None:
    """The worst probe does not depend on rounding in the batch."""

    def margin(evidence: Evidence) -> Tensor:
        exact = -evidence.scores(gentest.brightness())[:, 0].double()
        noise = 1e-5 * torch.randn(len(exact), generator=torch.Generator().manual_seed(len(exact)))
        return exact + (noise if len(exact) > 1 else 0.0)

    probes = independent(1, 0, 40)
    worst = {judge(margin, batch_size=size).worst(probes) for size in (2, 8, 40)}
    assert len(worst) == 1


def test_what_is_kept_of_other_priors_counts_once() -> None:
    """The outputs under each prior are the evidence's there, and are seen from the generator's own."""
    context, probes = Context(Values(batch_size=8)), independent(1, 0, 8)
    subject = Subject.of(zoo.generator(zoo.linear, gentest.Uniform(8)))
    own = context.evidence(subject, points(), probes)
    for prior in (gentest.Normal(8), gentest.Sphere(8)):
        assert own.under(prior).outputs.shape == (8, 1, 1, 2, 2)
    assert context.pool.n_bytes == 2 * 8 * (4 * 4 + PROBE_BYTES) + 8 * PROBE_BYTES + 3 * BATCH_BYTES


def test_what_is_forgotten_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Margins are kept of the probes that were asked about last: memory has a bound, and no margin changes."""
    monkeypatch.setattr("gentest.engine.evaluation.REMEMBERED", 8)
    generator = zoo.generator(zoo.linear)
    asked = judge(lambda evidence: evidence.scores(gentest.brightness())[:, 0], generator)
    first = asked.margins(independent(1, 0, 4))
    everything = asked.margins(independent(1, 0, 40))
    assert everything[:4] == first
    assert len(asked._margins) < 16
    calls = len(generator.function.batches)
    assert asked.margins(independent(1, 36, 4)) == everything[36:]
    assert len(generator.function.batches) == calls
    assert asked.margins(independent(1, 0, 4)) == first
    assert [asked.alone(probe) for probe in independent(1, 0, 40)] == pytest.approx(everything)
    assert len(asked.local._alone) <= 16
