"""Faults of batches are errors about the generator: some dozens, drawn; `batch_faults.py` runs hundreds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.results.result import Verdict
from tests.audit import batch_faults
from tests.audit.batch_faults import GREY, Case, Fault, checked, drawn, judged, levels
from tests.helpers.law import tried_on


@pytest.mark.slow
@tried_on(40)
@given(st.integers(0, 2**32))
def test_a_drawn_fault_is_never_green_and_never_blamed_on_the_property(seed: int) -> None:
    case = drawn(random.Random(seed))
    came, result = judged(case)
    assert came != "wrong", (case, result)


@pytest.mark.slow
@tried_on(15)
@given(st.integers(0, 2**32))
def test_an_intact_generator_has_a_verdict(seed: int) -> None:
    result, changed = checked(drawn(random.Random(seed)), None)
    assert (result.verdict is not Verdict.ERROR, changed) == (True, 0)


@pytest.mark.parametrize("kind", batch_faults.KINDS)
@pytest.mark.parametrize("size", [None, 16])
def test_a_fault_of_each_kind_is_named(kind: str, size: int | None) -> None:
    """A fault of a tenth of the range, small enough to move no verdict, is an error where it touches enough rows."""
    case = Case(Fault(kind, 8, 26 * GREY), levels(0.99), size, seed=3)
    came, result = judged(case)
    assert came in ("right", "small"), result
    assert result.verdict is not Verdict.VIOLATED


def test_state_that_a_larger_call_leaves_is_named() -> None:
    """Each call after a larger one is wrong, and it is few rows of a run: the examination sees it."""
    result, share = checked(
        Case(Fault("after a larger", 1, 0.05), levels(0.9), None, seed=1), Fault("after a larger", 1, 0.05)
    )
    assert share < 0.2
    assert result.verdict is Verdict.ERROR
    assert "an output depends on the call before it" in result.message
