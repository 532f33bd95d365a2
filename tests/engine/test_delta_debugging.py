"""Delta debugging ends on what a failure needs, and asks about whole rounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.engine.delta_debugging import DeltaDebugging, Groups


def reduced(groups: Groups, fails: Callable[[set[int]], bool], *, may_be_empty: bool = False) -> tuple[Groups, int]:
    """The groups at the end, and the number of candidates that were asked about."""
    search, asked = DeltaDebugging(groups, may_be_empty=may_be_empty), 0
    while search.candidates:
        asked += len(search.candidates)
        search.answer([fails(set(candidate)) for candidate in search.candidates])
    return search.groups, asked


@given(st.sets(st.integers(0, 63), min_size=1, max_size=6))
def test_the_groups_that_a_failure_needs_are_left(needed: set[int]) -> None:
    """All of some groups: no more and no fewer, in under 64 * 8 questions."""
    left, asked = reduced(tuple(range(64)), lambda groups: needed <= groups)
    assert set(left) == needed
    assert asked < 512


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_a_number_of_groups_is_left_if_any_will_do(n: int) -> None:
    left, _ = reduced(tuple(range(40)), lambda groups: len(groups) >= n)
    assert len(left) == n


@pytest.mark.parametrize("fails", [True, False])
def test_nothing_is_left_if_nothing_is_needed(fails: bool) -> None:  # noqa: FBT001
    """Only where a probe without groups is valid; and it is asked about first."""
    left, asked = reduced((3, 5), lambda groups: fails or groups == {3, 5}, may_be_empty=True)
    assert left == (() if fails else (3, 5))
    assert (asked == 1) == fails
