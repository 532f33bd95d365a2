"""Facts of a whole run: its comparison with a baseline, and the ranking of checkpoints."""

from __future__ import annotations

import math
from dataclasses import replace

from gentest.report import facts, markdown, page, run_facts, terminal
from gentest.report.terminal import Line, table
from gentest.results.comparison import Compared, Comparison, Differing, Drift, Gate, Standing, Terms
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import (
    Rate,
    Verdict,
)
from tests.helpers.drawn import NEEDED
from tests.helpers.handmade import GATE, SESSION, WORSE, checked


def compared(*gates: Gate, drifts: tuple[Drift, ...] = (), missing: tuple[str, ...] = ()) -> Comparison:
    """A comparison of so many properties."""
    properties = tuple(Compared(f"test_{i}", "between(x)", "", g) for i, g in enumerate(gates))
    return Comparison("blessed.json", "blessed by ann", Terms(claims=3), properties, drifts, missing)


def test_each_property_is_said_once() -> None:
    """A row has standing and rates, and the evidence where it did not hold; the lines below have neither."""
    results = [
        replace(checked("", f"a.py::test_{i}", 0), gate=found) for i, found in enumerate((GATE, WORSE))
    ]  # fmt: skip
    assert [line.text for line in table(results)] == [
        "gate       verdict            test    property  probes  rate before -> now     time",
        "regressed  no counterexample  test_1  p            256  100 % -> 62.5 %       0.0 s",
        "    100 % -> 62.5 % of 256 probes (all there are), 0 lost and 2 won (discordance 0.7 %, difference",
        "      within [-1 %, 3 %], each end 99 %); evidence 340 : 1 that it is worse, needs 300 : 1",
        "held       no counterexample  test_0  p            160  98.7 % -> 100 %       0.0 s",
    ]
    assert terminal.comparison(compared(GATE, WORSE)) == [
        Line("against blessed.json (blessed by ann)"),
        Line("gate: regressed (1 held, 1 regressed; tolerance 0.05, 3 claims)", Outcome.FAILED),
    ]


def test_a_gate_without_figures_says_why() -> None:
    """A message stands in for figures, and so does the want of any."""
    assert facts.gate_figures(Gate(Standing.UNDECIDED, "not in the baseline")) == "not in the baseline"
    assert facts.gate_figures(Gate(Standing.UNDECIDED)) == "too few outcomes to compare any"


LEVEL = Drift(
    "level of brightness()",
    ("a", "b", "c"),
    drifted=True,
    log_evidence=math.log(1e9),
    needed=math.log(300),
    probes=512,
    mean=-0.75,
)

DISTRIBUTION = Drift(
    "distribution in pixels()", ("a",), drifted=False, log_evidence=0.0, needed=math.log(300), probes=512
)


def test_what_drifted_and_what_is_missing_is_shown() -> None:
    """A drift says how far and in which tests; what the run did not look at is named."""
    found = terminal.comparison(compared(GATE, drifts=(LEVEL, DISTRIBUTION), missing=("b p", "c p")))
    assert [line.text for line in found[1:]] == [
        "drift      level of brightness() by -0.75 of the baseline's sd [512 latents; evidence 1e9 : 1, needs",
        "           300 : 1] in a and 2 more",
        "not seen   b p, c p",
        "gate: undecided (1 held, 2 not looked at, 1 drifted; tolerance 0.05, 3 claims)",
    ]
    without = terminal.comparison(compared(GATE, drifts=(DISTRIBUTION,)))
    assert Line("drift      not found in distribution in pixels()", Outcome.PASSED) in without


def test_what_computed_the_outputs_is_said_of_a_refusal_alone() -> None:
    """Versions and the device that differ stand in each format where something was refused, and nowhere else."""
    differing = (Differing("torch", "2.13", "2.14"), Differing("device", "cuda (A)", "cpu (x86_64)"))
    said = "blessed with torch 2.13, now 2.14; device cuda (A), now cpu (x86_64)"
    for found, expected in ((WORSE, said), (GATE, "")):
        one = replace(compared(found), differing=differing, unchanged=("a.pt",), blessed_file="a.pt")
        document = Document(SESSION, (replace(checked("", "a.py::test_0", 0), gate=found),), one)
        assert run_facts.differing(one) == expected
        texts = ["\n".join(line.text for line in terminal.comparison(one)), page.page(document)]
        texts.append(markdown.page(document).replace("\\_", "_"))
        for text in texts:
            assert ("blessed with torch 2.13" in text) == bool(expected)
            assert "same weights as blessed" in text


def test_a_single_checkpoint_is_not_ranked() -> None:
    """There is no ranking of one, or of none."""
    assert terminal.ranking([]) == []
    assert terminal.ranking([checked("", "t", 0)]) == []
    assert terminal.ranking([checked("a.pt", "t", 0), checked("a.pt", "u", 0)]) == []


def test_checkpoints_are_ranked_by_what_passes() -> None:
    """The best has the most properties that pass, whatever the order they were given in."""
    results = [checked(c, t, n) for c, n in (("bad", 9), ("good", 0), ("fair", 3)) for t in ("t", "u")]
    results[4] = checked("fair", "t", 0, 0.05)
    assert terminal.ranking(results) == [
        "checkpoints, best first:",
        "  1. good  2 of 2 properties pass, mean rank 1.00",
        "  2. fair  1 of 2 properties pass, mean rank 1.50",
        "  3. bad   0 of 2 properties pass, mean rank 3.00",
        "t  p",
        "  1. good  100 %  no counterexample, median margin 0.1",
        "  1. fair  100 %  no counterexample, median margin 0.05",
        "  3. bad   91 %  violated, median margin 0.1",
        "u  p",
        "  1. good  100 %  no counterexample, median margin 0.1",
        "  2. fair  97 %  violated, median margin 0.1",
        "  3. bad   91 %  violated, median margin 0.1",
    ]


def test_equals_share_a_rank() -> None:
    """Checkpoints that do equally well have one rank, in the order they were given."""
    table = terminal.ranking([checked("b", "t", 0), checked("a", "t", 0)])
    assert [line.split()[:2] for line in table[1:3]] == [["1.", "b"], ["2.", "a"]]
    assert [line.split()[:2] for line in table[4:]] == [["1.", "b"], ["1.", "a"]]


def test_errors_and_what_is_not_checked_rank_last() -> None:
    """A checkpoint that could not be checked is behind one that violates on every probe."""
    results = [checked("broken", "t", 0, verdict=Verdict.ERROR), checked("bad", "t", 100), checked("bad", "u", 100)]
    assert [line.strip() for line in terminal.ranking(results)[1:]] == [
        "1. bad     0 of 2 properties pass, mean rank 1.00",
        "2. broken  0 of 2 properties pass, mean rank 2.00",
        "t  p",
        "1. bad     0 %  violated, median margin 0.1",
        "2. broken  error",
        "u  p",
        "1. bad     0 %  violated, median margin 0.1",
        "2. broken  not checked",
    ]


def test_a_rate_ranks_by_independent_probes() -> None:
    """Where there is a rate, its probes count, and those of the search do not."""
    rate = Rate(Verdict.HOLDS, 0.9, 0.04, 0.99, 95, 100, 4096, 0.9, 1.0, 5.0, 0.0, *NEEDED)
    one = replace(checked("one", "t", 50, verdict=Verdict.HOLDS), rate=rate)
    two = replace(checked("two", "t", 1, verdict=Verdict.HOLDS), rate=replace(rate, passes=94))
    assert [run_facts.share_that_holds(r) for r in (one, two)] == [0.95, 0.94]
    assert terminal.ranking([two, one])[1].split()[1] == "one"
