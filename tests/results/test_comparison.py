"""Comparisons with a baseline: what a gate makes of a verdict."""

from __future__ import annotations

import pytest

from gentest.results.comparison import Gate, Standing
from gentest.results.result import Result, Verdict


@pytest.mark.parametrize(
    ("verdict", "standing", "before", "passed", "undecided"),
    [
        (Verdict.NO_COUNTEREXAMPLE, Standing.HELD, "no_counterexample", True, False),
        (Verdict.NO_COUNTEREXAMPLE, Standing.REGRESSED, "no_counterexample", False, False),
        (Verdict.NO_COUNTEREXAMPLE, Standing.UNDECIDED, "no_counterexample", False, True),
        (Verdict.VIOLATED, Standing.HELD, "violated", True, False),
        (Verdict.VIOLATED, Standing.HELD, "no_counterexample", False, False),
        (Verdict.VIOLATED, Standing.UNDECIDED, "violated", False, True),
        (Verdict.VIOLATED, Standing.REGRESSED, "violated", False, False),
        (Verdict.VIOLATED, Standing.UNDECIDED, "", False, False),
        (Verdict.UNDECIDED, Standing.HELD, "undecided", True, False),
        (Verdict.UNDECIDED, Standing.HELD, "holds", False, True),
        (Verdict.HOLDS, Standing.HELD, "violated", True, False),
        (Verdict.ERROR, Standing.HELD, "error", False, False),
    ],
)
def test_what_a_gate_makes_of_a_verdict(
    *, verdict: Verdict, standing: Standing, before: str, passed: bool, undecided: bool
) -> None:
    """A violation that the baseline has as well is left to the gate; one that it has not fails anyway."""
    result = Result("t", "p", verdict, gate=Gate(standing, baseline_verdict=before))
    assert (result.passed, result.undecided) == (passed, undecided)
