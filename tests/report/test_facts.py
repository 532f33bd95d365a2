"""Facts of a result as a person reads them: shares, thresholds, odds, intervals and rates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gentest
from gentest.report import facts, markdown, run_facts
from gentest.report.numbers import observed, odds, percent, threshold
from gentest.results.comparison import Compared, Comparison, Gate, Standing, Terms
from gentest.results.document import Document
from gentest.results.result import Rate, Verdict
from tests.helpers import handmade
from tests.helpers.drawn import NEEDED


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0 %"),
        (-0.0, "0 %"),
        (1.0, "100 %"),
        (0.95, "95 %"),
        (0.9375, "93.8 %"),
        (2047 / 2048, "99.95 %"),
        (1 / 2048, "0.05 %"),
        (-0.004, "-0.4 %"),
        (-0.00001, "-0.001 %"),
        (0.999999, "99.9999 %"),
        (-1.0, "-100 %"),
    ],
)
def test_shares_are_in_per_cent(share: float, said: str) -> None:
    """A share is rounded to a tenth, except that one failure in 2,048 is not rounded away."""
    assert percent(share) == said


@pytest.mark.parametrize(
    ("share", "said"), [(0.93, "93 %"), (0.95 - 0.02, "93 %"), (0.999 - 0.0004, "99.86 %"), (0.9999, "99.99 %")]
)
def test_a_threshold_is_not_rounded(share: float, said: str) -> None:
    """What is certified is said as it was asked for, so that no more is claimed."""
    assert threshold(share) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.0, "1 : 1"),
        (0.37, "0.37 : 1"),
        (0.001, "0.001 : 1"),
        (99.6, "99 : 1"),
        (1999.0, "1,990 : 1"),
        (340.0, "340 : 1"),
        (2000.0, "2,000 : 1"),
        (999_999.0, "999,000 : 1"),
        (9.4e6, "9e6 : 1"),
        (9.6e6, "9e6 : 1"),
        (2.0e17, "2e17 : 1"),
    ],
)
def test_evidence_is_shown_as_odds(value: float, said: str) -> None:
    """Odds have three figures, rounded down, and a power of ten where they are large."""
    assert odds(math.log(value)) == said


@given(st.floats(-1e6, 1e6))
def test_any_evidence_can_be_shown(log_evidence: float) -> None:
    """However small or large evidence is, it is short, and its figure is from 1 to 9 where it has a power."""
    said = odds(log_evidence)
    assert said.endswith(" : 1")
    assert len(said) < 16
    if "e" in said and log_evidence > 0:
        assert 1 <= int(said.split("e")[0]) <= 9


def test_a_share_of_no_probes_is_none() -> None:
    """Where nothing was looked at there is no share."""
    assert observed(0, 0) == "none"


RATE = Rate(Verdict.HOLDS, 0.999, 0.0004, 0.99, 4000, 4000, 4096, 0.998, 1.0, 4.7, -3.2, *NEEDED)


def test_a_rate_says_both_thresholds() -> None:
    """HOLDS says what it certifies, VIOLATED what it refutes, UNDECIDED both, and the evidence that each has."""
    assert facts.rate(RATE).startswith("holds for at least 99.86 % of probes (0.999 less slack 0.0004): 4000 of 4000")
    assert facts.rate(replace(RATE, verdict=Verdict.VIOLATED)).startswith("holds for fewer than 99.9 % of probes")
    said = facts.rate(replace(RATE, verdict=Verdict.UNDECIDED))
    assert said.startswith("undecided between at least 99.86 % and fewer than 99.9 % of probes: ")
    assert said.endswith(
        "evidence 109 : 1 for at least 99.86 %, needs 100 : 1; 0.04 : 1 for fewer than 99.9 %, needs 100 : 1; "
        "budget 4096 probes"
    )


def test_an_undecided_rate_says_the_evidence_that_decides() -> None:
    """That of a rate among ten; and what earlier results, which say neither, were decided by."""
    undecided = replace(RATE, verdict=Verdict.UNDECIDED, log_violated=math.log(347.5))
    assert "; 347 : 1 for fewer than 99.9 %, needs 100 : 1; budget 4096 probes" in facts.rate(undecided)
    among = replace(undecided, claims=10, needed_holds=math.log(100.0), needed_violated=math.log(1000.0))
    assert "347 : 1 for fewer than 99.9 %, needs 1,000 : 1 (10 rates); budget 4096 probes" in facts.rate(among)
    alone = replace(among, claims=1, needed_violated=math.log(100.0))
    assert "needs 100 : 1; budget" in facts.rate(alone)


def test_what_nothing_certifies_is_not_called_held() -> None:
    """A distribution that was not found further passes; words, counts and the whole say no more than that."""
    gates = [Gate(Standing.HELD), Gate(Standing.HELD, "p = 0.4", certified=False)]
    of = [Compared(f"t{i}", "p", "", found) for i, found in enumerate(gates)]
    found = Comparison("b", "by ann", Terms(claims=2), tuple(of), (), ())
    assert run_facts.gate_total(found) == "gate: passed (1 held, 1 not found further; tolerance 0.05, 2 claims)"
    assert run_facts.gate_total(replace(found, properties=(of[0],))).startswith("gate: held (1 held; ")
    text = markdown.page(Document(handmade.SESSION, (), found))
    assert "### Gate: ✅ passed" in text
    assert "| ✅ not found further | t1 | p |" in text


def test_a_gate_before_the_end_of_the_run_needs_at_most_what_it_says() -> None:
    """If other properties are refused as well, it needs less; the end of the run knows."""
    gate = Gate(Standing.REGRESSED, probes=32, stored=64, baseline_passes=32, losses=32, log_regressed=9.0, needed=7.6)
    assert "that it is worse, needs 2,000 : 1" in facts.gate_figures(gate)
    assert "that it is worse, needs at most 2,000 : 1" in facts.gate_figures(replace(gate, final=False))


def test_the_notes_of_two_counterexamples_are_told_apart() -> None:
    """Each says which counterexample it is about; a note that both have stands once, without a name."""
    generator = gentest.Generator(lambda z: z[:, :, None, None] - 9.0, latent=gentest.Normal(1), output_range=(-9, 9))
    found = gentest.well_formed().check(generator, settings=gentest.settings(examples=20))
    assert found.counterexample is not None
    for notes, said in (
        (("3 values", "2 values"), ["worst: 3 values", "minimal: 2 values"]),
        (("3 values", "3 values"), ["3 values"]),
        (("3 values", ""), ["3 values"]),
    ):
        worst, minimal = (replace(found.counterexample, margin=-float(i), note=n) for i, n in enumerate(notes, 1))
        result = replace(found, search=replace(found.search, worst=worst, counterexample=minimal))
        assert [detail.text for detail in facts.details(result) if detail.word == "because"] == said


def test_a_run_counts_rates_by_what_they_certify() -> None:
    """A rate of 93 % is not hidden behind the lowest of the run."""
    base = handmade.result(None, verdict=Verdict.HOLDS)
    rates = [
        Rate(Verdict.HOLDS, p0, 0.02, 0.99, 80, 80, 4096, p0 - 0.02, 1.0, 4.7, -3.2, 4.6, 4.6, 0.99)
        for p0 in (0.88, 0.95, 0.88)
    ]
    said = run_facts.totals([base, *(replace(base, rate=rate) for rate in rates)])
    assert said.startswith("4 properties: 1 holds >= 93 %, 2 holds >= 86 %, 1 holds; ")
