"""`well_formed` and `reproducible` on outputs that are not finite."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

import gentest
from gentest import settings
from gentest.report import markdown, terminal
from gentest.results.result import Document, Result, Session, Verdict

FEW = settings(examples=60, device="cpu")


def where_positive(value: float) -> gentest.Generator:
    """Images of 12 values, the first of which is another where the first coordinate is above 0.5."""

    def f(z: Tensor) -> Tensor:
        x = torch.sigmoid(z[:, :, None, None].expand(-1, 3, 2, 2)).clone()
        x[z[:, 0] > 0.5, 0, 0, 0] = value
        return x

    return gentest.Generator(f, latent=gentest.Normal(3), output_range=(0, 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_well_formed_says_how_many_values_are_not_finite(value: float) -> None:
    """In the counterexample, in every report, and in what is kept of it."""
    result = gentest.well_formed().check(where_positive(value), settings=FEW)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.note == "1 of 12 values are not finite"
    assert "because  1 of 12 values are not finite" in terminal.failure(result, "")
    session = Session(None, None, None, "cpu", 0, {})
    assert "1 of 12 values are not finite" in markdown.page(Document(session, (result,)))
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_values_out_of_range_are_finite() -> None:
    """Of these nothing is said but the margin."""
    result = gentest.well_formed().check(where_positive(2.0), settings=FEW)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.note == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_reproducible_says_that_values_are_not_finite(value: float) -> None:
    """They cannot be compared: an error that names the probe and the property that reduces it."""
    generator = where_positive(value)
    result = gentest.reproducible().check(generator, settings=FEW)
    assert result.verdict is Verdict.ERROR
    assert "values that are not finite (at probe " in result.message
    assert "gentest.well_formed() finds and reduces" in result.message
    probe = result.message.partition("at probe ")[2].partition(";")[0]
    assert gentest.well_formed().replay(generator, probe).verdict is Verdict.VIOLATED


def test_reproducible_passes_over_finite_values() -> None:
    """The same generator without the value is a function."""
    result = gentest.reproducible().check(where_positive(0.5), settings=FEW)
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE
