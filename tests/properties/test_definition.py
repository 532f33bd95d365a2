"""Tolerances: a finite number >= 0, or a multiple of the attribute's spread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gentest
from gentest.errors import InvalidArgument
from gentest.properties.definition import StandardDeviations, check_number, check_tolerance

WRONG = [-1, -1e-9, float("nan"), float("inf"), float("-inf"), True, "1", None, [1.0], 1j, 10**400, -(10**400)]


@given(st.floats(0, 1e300) | st.integers(0, 10**300))
def test_a_number_is_a_tolerance(value: float) -> None:
    """Every finite number >= 0 is taken, as a float."""
    taken = check_tolerance(value)
    assert taken == float(value)
    assert isinstance(taken, float)


@pytest.mark.parametrize("value", WRONG, ids=lambda v: repr(v)[:12])
def test_what_is_no_number_is_refused(value: Any) -> None:
    """Negative, non-finite and other values are refused by name, also as a number of standard deviations."""
    with pytest.raises(InvalidArgument, match="a finite number >= 0 but got tolerance="):
        check_tolerance(value)
    with pytest.raises(InvalidArgument, match="a finite number >= 0 but got multiple="):
        gentest.sd(value)


def test_a_positive_number_is_not_zero() -> None:
    """Where a number must be positive, 0 is refused."""
    with pytest.raises(InvalidArgument, match="a finite number > 0 but got step=0"):
        check_number("step", 0, positive=True)


def test_standard_deviations_are_a_value() -> None:
    """`sd(2)` equals `sd(2.0)`, reads as it is written, and is taken as a tolerance."""
    assert gentest.sd(2) == gentest.sd(2.0) == StandardDeviations(2.0)
    assert repr(gentest.sd(1.5)) == "sd(1.5)"
    assert check_tolerance(gentest.sd(1.5)) == gentest.sd(1.5)
