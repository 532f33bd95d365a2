"""Outputs that are not images become lines, heat maps or figures, on one scale, whatever values they have."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import gentest
from gentest.engine.array_drawings import MAX_POINTS, array_strip, in_own_units
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.pictures import MAGENTA
from gentest.results.drawings import SAMPLES, Drawings
from gentest.results.result import Result
from gentest.results.settings import Values


def test_a_short_row_is_drawn_value_by_value() -> None:
    strip = array_strip([("1", torch.tensor([[0.0, 3.0, -1.0, 2.0]]))])
    (output,) = strip.outputs
    assert (output.line, output.gaps, strip.maps) == ((0.0, 3.0, -1.0, 2.0), (), ())
    assert (output.least, output.mean, output.largest, output.not_finite) == (-1.0, 1.0, 3.0, 0)


def test_a_long_row_keeps_its_extremes() -> None:
    """A click of one value in 16,000 shows, up and down."""
    x = torch.zeros(16_000)
    x[5_000], x[9_000] = 7.0, -5.0
    (output,) = array_strip([("1", x)]).outputs
    assert len(output.line) == MAX_POINTS
    assert (max(output.line), min(output.line)) == (7.0, -5.0)


@pytest.mark.parametrize("n", [10, 1_000])
def test_values_that_are_not_finite_are_gaps(n: int) -> None:
    """A single one shows in a long row, too, and no figure is NaN."""
    x = torch.linspace(0, 1, n)
    x[n // 2] = torch.nan
    (output,) = array_strip([("1", x)]).outputs
    assert output.not_finite == 1
    assert output.gaps
    assert all(np.isfinite(value) for value in (*output.line, output.least, output.mean, output.largest, output.sd))
    nothing = array_strip([("1", torch.full((n,), torch.inf))]).outputs[0]
    assert len(nothing.gaps) == len(nothing.line)


def test_a_grid_is_a_heat_map_on_the_scale_of_all() -> None:
    """The lowest value of all outputs is black, the highest pale yellow, and NaN magenta."""
    low, high = torch.zeros(8, 6), torch.ones(8, 6)
    high[0, 0] = torch.nan
    strip = array_strip([("1", low), ("2", high)])
    assert (strip.width, strip.height, len(strip.maps)) == (6, 8, 2)
    first, second = (np.array(Image.open(BytesIO(base64.b64decode(m))).convert("RGB")) for m in strip.maps)
    assert first.max() < 16
    assert second[4, 3].min() > 150
    assert np.abs(second[0, 0].astype(int) - MAGENTA).max() < 16
    assert [output.line for output in strip.outputs] == [(), ()]


@pytest.mark.parametrize("shape", [(3,), (1,), (4, 4, 4)])
def test_all_else_has_figures_alone(shape: tuple[int, ...]) -> None:
    strip = array_strip([("1", torch.ones(shape))])
    assert (strip.maps, strip.outputs[0].line, strip.outputs[0].mean) == ((), (), 1.0)


def drawn(generator: gentest.Generator | gentest.generators.generator.Pair, definition: object) -> Drawings:
    """The drawings of a check."""
    values = Values(examples=20, device="cpu")
    question = Question(definition.definition, "t", shows=True)  # type: ignore[attr-defined]
    result = check(question, generator, Context(values), values)
    assert result.drawings is not None
    assert not result.drawings.missing
    assert Result.from_json(result.to_json(drawings=True)) == result
    return result.drawings


def rows(z: Tensor) -> Tensor:
    return 2.0 * z.tanh()


def test_a_check_draws_samples_and_counterexamples() -> None:
    """In the units of f, although a range is declared."""
    generator = gentest.Generator(rows, latent=gentest.Normal(6), output_range=(-2, 2), images=False)
    found = drawn(generator, gentest.not_blank(at_least=0.9))
    assert found.samples is None
    assert found.sample_arrays is not None
    assert len(found.sample_arrays.outputs) == SAMPLES
    assert found.minimal_arrays is not None
    assert found.minimal_arrays.shape == (6,)
    assert max(output.largest for output in found.sample_arrays.outputs) > 1.0
    expected = generator.function(torch.ones(2, 6))
    read = generator.kind.read(expected, 2, {"": (6,)}, generator.output_range)
    torch.testing.assert_close(in_own_units(Subject.of(generator), read), expected)


def test_a_pair_draws_both_sides_and_their_difference() -> None:
    reference = gentest.Generator(rows, latent=gentest.Normal(6), images=False)
    pair = reference.then(lambda x: x + 0.5).against(reference)
    strip = drawn(pair, gentest.agrees(within=0.01)).minimal_arrays
    assert strip is not None
    assert [output.name for output in strip.outputs] == ["reference", "candidate", "difference"]
    assert strip.outputs[2].mean == pytest.approx(0.5, abs=1e-6)


def test_images_have_pictures_instead() -> None:
    generator = gentest.Generator(lambda z: z.tanh().view(-1, 1, 2, 3), latent=gentest.Normal(6))
    found = drawn(generator, gentest.not_blank(at_least=0.9))
    assert (found.sample_arrays, found.minimal_arrays, found.worst_arrays) == (None, None, None)
