"""An invalid output that one property meets refutes `well_formed` of the same generator, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gentest.results import validity
from gentest.results.outcome import Verdict
from gentest.results.result import BrokenOutput, Provenance, Rate, Result, Search

BROKEN = BrokenOutput(
    test="test_b",
    property="diverse(pixels(), at_least=0.01)",
    probe="1f",
    replay="diverse:1f",
    place=7,
    n_places=16,
    n_values=192,
    not_finite=192,
    excess=0.0,
    subject="5f3a",
)
GREEN = Result(
    "test_a",
    "well_formed(tolerance=0.001)",
    Verdict.NO_COUNTEREXAMPLE,
    search=Search(300),
    provenance=Provenance(subject="5f3a"),
    valid_within=1e-3,
)
MET = Result("test_b", BROKEN.property, Verdict.ERROR, message="not finite", broken=BROKEN)


@pytest.mark.parametrize("results", [[GREEN, MET], [MET, GREEN]], ids=["before", "after"])
def test_the_order_in_a_run_does_not_count(results: list[Result]) -> None:
    """Whichever property comes first, `well_formed` fails, and replays what the other met."""
    judged = {result.test: result for result in validity.of_a_run(results)}
    refuted = judged["test_a"]
    assert judged["test_b"] == MET
    assert refuted.verdict is Verdict.VIOLATED
    assert not refuted.passed
    assert (refuted.replay, refuted.replayed_in) == ("diverse:1f", "test_b")
    assert validity.is_refuted(refuted)
    assert not validity.is_refuted(MET)


def test_a_single_sample_replays_in_well_formed_itself() -> None:
    """It is a probe of `well_formed`, which then reports and draws it."""
    alone = replace(MET, broken=replace(BROKEN, place=0, n_places=1, replay="not_blank:1f"))
    refuted = validity.of_a_run([GREEN, alone])[0]
    assert (refuted.replay, refuted.replayed_in) == ("well_formed:1f", "test_a")


RATE = Rate(Verdict.HOLDS, 0.95, 0.02, 0.99, 80, 80, 4096, 0.93, 1.0, 4.7, -3.2, 4.6, 4.6, 0.99)


@pytest.mark.parametrize(
    ("result", "broken"),
    [
        (GREEN, replace(BROKEN, subject="0000")),
        (GREEN, replace(BROKEN, subject="")),
        (replace(GREEN, provenance=Provenance(subject="")), replace(BROKEN, subject="")),
        (replace(GREEN, valid_within=None), BROKEN),
        (replace(GREEN, verdict=Verdict.HOLDS, rate=RATE), BROKEN),
        (replace(GREEN, verdict=Verdict.HOLDS, search=Search(300, exhaustive=True)), BROKEN),
        (replace(GREEN, search=Search(1, replayed=True)), BROKEN),
        (GREEN, replace(BROKEN, not_finite=0, excess=1e-3)),
        (replace(GREEN, verdict=Verdict.ERROR), BROKEN),
    ],
    ids=[
        "another generator",
        "unknown",
        "both unknown",
        "another property",
        "a rate",
        "all inputs",
        "a replay",
        "within its tolerance",
        "an error",
    ],
)
def test_nothing_else_is_refuted(result: Result, broken: BrokenOutput) -> None:
    """Each of these stays as it was."""
    assert validity.in_light_of(result, [broken]) is result


def test_a_value_beyond_the_tolerance_refutes() -> None:
    """`well_formed(tolerance=...)` allows some excess, and no more."""
    assert validity.refutes(replace(BROKEN, not_finite=0, excess=2e-3), GREEN)


def test_a_search_that_the_budget_ended_is_refuted() -> None:
    """It would be undecided, and now it is known not to hold."""
    assert validity.in_light_of(replace(GREEN, verdict=Verdict.UNDECIDED), [BROKEN]).verdict is Verdict.VIOLATED


def test_the_record_survives_json() -> None:
    assert Result.from_json(MET.to_json()) == MET
