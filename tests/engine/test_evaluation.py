"""Margins: one a probe, decided alone where rounding could decide, errors named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.errors import PropertyFailed
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


def test_a_margin_near_zero_is_decided_alone() -> None:
    """Rounding that depends on the batch never decides a sign: such a probe is evaluated alone."""
    probes = independent(1, 0, 32)

    def noisy(evidence: Evidence) -> Tensor:
        margins = evidence.scores(gentest.brightness())[:, 0].clone()
        true = margins - margins  # zero
        return true - 1e-4 if len(margins) > 1 else true + 1e-5

    asked = judge(noisy)
    assert asked.margins(probes) == pytest.approx([1e-5] * 32)


def test_a_margin_far_from_zero_is_not_evaluated_twice() -> None:
    """Only the probes on which rounding is measured cost a second evaluation."""
    generator = zoo.generator(zoo.linear)
    asked = judge(lambda evidence: evidence.scores(gentest.brightness())[:, 0] + 1.0, generator, batch_size=16)
    asked.margins(independent(1, 0, 64))
    assert sorted(generator.function.batches) == [1] * 4 + [16] * 4


def off(rows: Callable[[int], Tensor], by: float = 1e-4) -> Callable[[Evidence], Tensor]:
    """A margin near 1 that is off in some rows of a batch."""

    def margin(evidence: Evidence) -> Tensor:
        n = len(evidence.probes)
        return 1.0 + evidence.scores(gentest.brightness())[:, 0] + by * (n > 1) * rows(n)

    return margin


@pytest.mark.parametrize("row", [0, 31])
def test_rounding_is_measured_all_over_a_block(row: int) -> None:
    """At its first and at its last row."""
    asked = judge(off(lambda n: torch.arange(n) == row), batch_size=32)
    asked.context.maker.image_bytes = 16
    asked.margins(independent(1, 0, 32))
    assert asked.local.rounding == pytest.approx(16e-4, rel=0.01)


def test_rounding_is_measured_again_in_larger_batches() -> None:
    """Blocks that are larger than those before may round in another way: three more probes are made alone, once."""
    generator = zoo.generator(zoo.linear)
    asked = judge(off(lambda n: torch.full((n,), float(n > 16))), generator, batch_size=64)
    asked.margins(independent(1, 0, 16))
    assert (asked.local.rounding or 0.0) < 1e-5
    asked.margins(independent(1, 16, 64))
    assert asked.local.rounding == pytest.approx(16e-4, rel=0.01)
    asked.margins(independent(1, 80, 64))
    assert sorted(generator.function.batches) == [1] * 7 + [16, 64, 64]


def test_the_band_covers_rows_that_nobody_measured() -> None:
    """It is as wide as moves of 2^-14 of the range change margins, of each value or of the whole output."""
    for scale in (1.0, 1000.0):
        asked = judge(lambda evidence, scale=scale: scale * (evidence.outputs[:, 0].double().amax((1, 2, 3)) - 0.1))
        asked.margins(independent(1, 0, 16))
        assert asked.local.rounding == 0.0
        assert asked.band == pytest.approx(64 * 2.0**-20 * scale, rel=0.1)


def test_a_margin_that_moved_outputs_break_has_no_such_floor() -> None:
    """Outputs that only measuring made are no error of the generator's or the property's."""

    def fussy(evidence: Evidence) -> Tensor:
        level = evidence.outputs.flatten(1)[:, 0]
        return torch.where(level.isclose(torch.tensor(0.5), rtol=0, atol=1e-8), 1.0, torch.nan)

    asked = judge(fussy, zoo.generator(zoo.collapsed))
    assert asked.margins(independent(1, 0, 8)) == [1.0] * 8


def test_the_band_widens_by_what_probes_alone_show() -> None:
    """A probe that was decided alone shows how much its batch changed it; those that this might confuse are, too."""

    def margin(evidence: Evidence) -> Tensor:
        n = len(evidence.probes)
        steps = torch.arange(n) * 1e-3 if n > 1 else torch.zeros(1)
        return torch.where(torch.arange(n) == 1, 0.0, steps + 5e-3) if n == 16 else steps + 5e-3

    asked = judge(margin, batch_size=16)
    asked.context.maker.image_bytes = 16
    asked.local.rounding, asked._largest = 0.0, 16
    asked.margins(independent(1, 0, 16))
    assert asked.band == pytest.approx(16 * 15e-3, rel=0.1)
    assert asked.decided_alone == 16


@pytest.mark.parametrize(
    ("margin", "words"),
    [
        (lambda evidence: evidence.t, "expected one margin a probe, a tensor"),
        (lambda evidence: 1.0, "gave a float"),
        (lambda evidence: evidence.t[:, 0] > -1, "True or False"),
        (lambda evidence: evidence.t[:, 0] / 0.0, "margin nan at probe"),
        (lambda evidence: evidence.t[:, 0] + float("inf"), "margin inf at probe"),
        (lambda evidence: evidence.nothing, "raised AttributeError"),
    ],
)
def test_a_property_that_fails_is_named(margin: object, words: str) -> None:
    """A margin that is none is an error that names the property, never a pass."""
    with pytest.raises(PropertyFailed, match=words) as caught:
        judge(margin).margins(independent(1, 0, 3))
    assert "custom()" in str(caught.value)


def test_the_probe_that_a_generator_fails_on_is_named() -> None:
    """Of a batch that raises, the probe at fault is found."""
    probes = independent(1, 0, 8)
    bad = float(points().place(gentest.Uniform(8), [probes[5]])[""][0, 0, 0])

    def level(z: Tensor) -> Tensor:
        if (z[:, 0] == bad).any():
            raise RuntimeError("boom")
        return zoo.linear(z)

    with pytest.raises(gentest.GeneratorError, match="boom") as caught:
        judge(lambda evidence: evidence.scores(gentest.brightness())[:, 0], zoo.generator(level)).margins(probes)
    assert str(probes[5]) in str(caught.value)
