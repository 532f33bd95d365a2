"""Checks of numbers given as arguments, from Python and NumPy, at their limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gentest._support.arguments import as_number, is_whole


@pytest.mark.parametrize(("value", "low", "high"), [(1, 1, 1), (0, 0, None), (10**30, 1, None), (-2, -3, -2)])
def test_whole_numbers_within_their_limits(value: object, low: int, high: int | None) -> None:
    assert is_whole(value, low, high)


@pytest.mark.parametrize("value", [0, 3, True, 1.0, "1", None, math.nan, [1]], ids=repr)
def test_anything_else_is_not_a_whole_number_from_1_to_2(value: object) -> None:
    """A bool counts as no number, and a float as no int."""
    assert not is_whole(value, 1, 2)


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3.0), (np.float32(0.5), 0.5), (np.int64(2), 2.0), (-math.inf, -math.inf)], ids=repr
)
def test_a_real_number_is_a_float(value: Any, number: float) -> None:
    assert as_number(value) == number
    assert type(as_number(value)) is float


@pytest.mark.parametrize("value", [True, "3", None, 1j, [3]], ids=repr)
def test_anything_else_is_nan(value: object) -> None:
    assert math.isnan(as_number(value))


def test_an_int_beyond_every_float_is_infinite() -> None:
    assert as_number(10**400) == math.inf
