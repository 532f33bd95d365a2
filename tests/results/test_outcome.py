"""One vocabulary of pass and fail: verdicts, standings, results, comparisons and documents all come to an `Outcome`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gentest.results.comparison import Gate
from gentest.results.document import Document
from gentest.results.outcome import Outcome, Standing, Verdict
from gentest.results.result import Result
from tests.helpers.handmade import SESSION

PASSED, FAILED, UNDECIDED, ERROR = Outcome.PASSED, Outcome.FAILED, Outcome.UNDECIDED, Outcome.ERROR


@pytest.mark.parametrize(
    ("verdict", "standing", "outcome"),
    [
        (Verdict.HOLDS, None, PASSED),
        (Verdict.NO_COUNTEREXAMPLE, None, PASSED),
        (Verdict.VIOLATED, None, FAILED),
        (Verdict.UNDECIDED, None, UNDECIDED),
        (Verdict.ERROR, None, ERROR),
        (Verdict.HOLDS, Standing.HELD, PASSED),
        (Verdict.HOLDS, Standing.REGRESSED, FAILED),
        (Verdict.HOLDS, Standing.UNDECIDED, UNDECIDED),
        (Verdict.VIOLATED, Standing.HELD, FAILED),
        (Verdict.ERROR, Standing.REGRESSED, ERROR),
    ],
)
def test_verdict_and_standing_come_to_one_outcome(
    verdict: Verdict, standing: Standing | None, outcome: Outcome
) -> None:
    """A result passes if its verdict and its standing do."""
    gate = None if standing is None else Gate(standing)
    result = Result("t", "p", verdict, gate=gate)
    assert result.outcome is outcome
    assert (result.passed, result.undecided) == (outcome is PASSED, outcome is UNDECIDED)
    if standing is None:
        assert verdict.outcome is outcome


@pytest.mark.parametrize("standing", Standing)
def test_a_violation_that_the_baseline_has_is_the_gates_to_judge(standing: Standing) -> None:
    """The outcome is the standing's where the verdict was known when the checkpoint was blessed."""
    gate = Gate(standing, baseline_verdict="violated")
    assert Result("t", "p", Verdict.VIOLATED, gate=gate).outcome is standing.outcome


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [([], 0), ([PASSED], 0), ([PASSED, UNDECIDED], 3), ([UNDECIDED, FAILED], 1), ([PASSED, ERROR], 1)],
)
def test_a_document_comes_to_the_worst_of_its_results(outcomes: list[Outcome], status: int) -> None:
    """Its exit status is 0 where all pass, 3 where something is undecided and 1 where something fails."""
    verdicts = {PASSED: Verdict.HOLDS, FAILED: Verdict.VIOLATED, UNDECIDED: Verdict.UNDECIDED, ERROR: Verdict.ERROR}
    made = Document(SESSION, tuple(Result("t", "p", verdicts[outcome]) for outcome in outcomes))
    assert made.outcome is Outcome.worst(outcomes)
    assert made.outcome.exit_status == status


def test_a_partial_run_passes_nothing() -> None:
    """A run that did not come to its end is undecided on what it has."""
    made = Document(SESSION, (Result("t", "p", Verdict.HOLDS),))
    assert replace(made, interrupted="KeyboardInterrupt").outcome is UNDECIDED
    assert replace(made, unchecked=("test_b",)).outcome is UNDECIDED
