"""The record of a figure of all outputs: it is read back as it was written, and nothing else is."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from gentest.errors import InvalidArgument
from gentest.results.estimate import OverallEstimate
from gentest.results.outcome import Verdict
from gentest.results.result import Result
from tests.helpers import handmade


def test_it_is_read_back_with_its_groups() -> None:
    whole = replace(handmade.estimate(), arms=(handmade.estimate(), replace(handmade.estimate(), arm="label=1")))
    result = Result("t", "share(lit)", Verdict.HOLDS, estimate=whole)
    assert Result.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drawn": 79}, "80 outputs of 79"),
        ({"counted": 81}, "81 of 80"),
        ({"counted": None}, "None of 80"),
        ({"verdict": "no_counterexample"}, "cannot be no_counterexample"),
        ({"bounding": "certain"}, "any time, bootstrap"),
        ({"low": float("inf")}, "finite"),
    ],
)
def test_figures_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    value = {**asdict(handmade.estimate()), **change}
    document = Result("t", "share(lit)", Verdict.HOLDS).to_json() | {"estimate": value}
    with pytest.raises(InvalidArgument, match=message):
        Result.from_json(document)


@pytest.mark.parametrize(("value", "distance"), [(0.5, 0.0), (0.3, 0.0), (0.1, 0.2), (0.8, 0.1)])
def test_the_distance_is_from_the_nearest_end(value: float, distance: float) -> None:
    found: OverallEstimate = replace(handmade.estimate(), value=value)
    assert found.distance == pytest.approx(distance)
    assert replace(found, at_least=None, at_most=None).distance == 0.0
