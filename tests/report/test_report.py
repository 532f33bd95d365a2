"""Reports: figures as a person reads them, the comparison's lines, the ranking, and Markdown that stays text."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.report import facts, markdown, run_facts, terminal
from gentest.report.numbers import interval, odds, percent, threshold
from gentest.report.terminal import Line, table
from gentest.results.comparison import Compared, Comparison, Drift, Gate, Standing, Terms
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import (
    Counterexample,
    Distribution,
    Margins,
    Provenance,
    Radius,
    Rate,
    Result,
    Search,
    Verdict,
)
from tests.helpers import handmade
from tests.helpers.drawn import NEEDED
from tests.helpers.handmade import outcomes, result

# numbers


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


def test_an_interval_without_probes_is_shown() -> None:
    """Where nothing was looked at there is no share."""
    assert interval(0, 0, 0.0, 1.0) == "none [0 %, 100 %]"


# a rate

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


# the comparison

GATE = Gate(
    Standing.HELD,
    baseline_passes=158,
    candidate_passes=160,
    wins=2,
    losses=0,
    probes=160,
    stored=256,
    log_held=math.log(120),
    needed=math.log(300),
    low=-0.01,
    high=0.03,
    needed_held=math.log(100),
    each_end=0.99,
)
WORSE = replace(GATE, standing=Standing.REGRESSED, log_regressed=math.log(340), probes=256, baseline_passes=256)


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


# the ranking


def checked(checkpoint: str, test: str, violations: int, median: float = 0.1, verdict: Verdict | None = None) -> Result:
    """A property of which so many of 100 probes violate."""
    verdict = verdict or (Verdict.VIOLATED if violations else Verdict.NO_COUNTEREXAMPLE)
    search, provenance = Search(100, violations, Margins(-1.0, median)), Provenance(checkpoint=checkpoint)
    return Result(test, "p", verdict, search=search, provenance=provenance)


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


# Markdown

NAMES = st.text(st.sampled_from("ab |`<>&\\*_[]()#~!\n\r\t\x0b\x85\u2028-+"), max_size=20)


@given(NAMES, NAMES, NAMES)
def test_names_stay_in_their_cells(test: str, property: str, checkpoint: str) -> None:
    """Whatever a test, a property or a checkpoint is called, the table has a row for each with as many cells."""
    good = replace(result(outcomes(64), property=property), test=test, provenance=Provenance(checkpoint=checkpoint))
    one = Compared(test, property, checkpoint, WORSE)
    found = Comparison("b", "by ann", Terms(), (one, replace(one, gate=Gate(Standing.UNDECIDED, test))), (), ())
    out = markdown.page(Document(handmade.SESSION, (good,), found))
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert len(rows) == 7
    found_cells = [row.replace("\\\\", "").replace("\\|", "").count("|") for row in rows]
    assert found_cells == [9] * 4 + [7] * 3
    assert "<" not in out


def test_a_page_says_how_to_replay_what_failed() -> None:
    """Each violation is folded, with its replay, in a fence from which nothing breaks out."""
    found = Counterexample({}, -1.0, {}, (), (), 0, 1, None, "p:1f```<b>\n# x")
    bad = replace(checked("", "a<b>&\n\n```t", 3), search=Search(100, 3, counterexample=found, worst=found))
    lines = markdown.page(Document(handmade.SESSION, (bad,))).splitlines()
    at = lines.index("<details><summary>❌ a&lt;b&gt;&amp; ```t: p</summary>")
    assert lines[at + 1 : at + 3] == ["", "````text"]
    assert lines[-3:] == ["````", "", "</details>"]
    assert lines[at + 3 : -3] == [
        "p: violated by 3 of 100 probes, worst margin -1",
        "  minimal  margin -1",
        "  replay   pytest --gentest 'a<b>&",
        "",
        "```t' --gentest-replay 'p:1f```<b>",
        "# x'",
    ]


def test_a_page_says_all_that_was_decided_of_what_failed() -> None:
    """Of several rates each has its line, of a radius how far it holds, of a distribution how far apart; errors too."""
    arm = Rate(
        Verdict.HOLDS,
        0.9,
        0.04,
        0.99,
        80,
        80,
        4096,
        0.93,
        1.0,
        4.7,
        -3.2,
        math.log(100),
        math.log(100),
        0.99,
        arm="label=0",
    )
    worse = replace(arm, verdict=Verdict.VIOLATED, passes=8, arm="label=3")
    rated = Result("t", "between(a)", Verdict.VIOLATED, rate=replace(worse, arms=(arm, worse), overall=0.55))
    within = Result("t", "holds_within(b)", Verdict.VIOLATED, rate=worse, radius=Radius(2.0, 0.5, 256, None))
    apart = Distribution("images in data", 0.25, 0.002, 0.3, 0.01, 512, 400)
    different = Result("t", "matches(data)", Verdict.VIOLATED, distribution=apart)
    broken = Result("t", "diverse(c)", Verdict.ERROR, message="it raised")
    fine = Result("t", "steers(d)", Verdict.HOLDS, rate=arm)
    out = markdown.page(Document(handmade.SESSION, (rated, within, different, broken, fine)))
    blocks = [block.partition("```text\n")[2].partition("\n```")[0] for block in out.split("<details>")[1:]]
    assert blocks[0] == "diverse(c): error: it raised"
    assert [line.split()[:3] for line in blocks[1].splitlines()[2:]] == [
        ["rates", "holds", ">="], ["violated", "label=3", "10"], ["overall", "55", "%"],
    ]  # fmt: skip
    assert "radius   rays reach radius 0.5 of 2 (256 rays)" in blocks[2]
    assert blocks[3].startswith("matches(data): different from images in data: MMD^2 0.25")
    assert len(blocks) == 4
    assert "| ❌ violated | t | matches(data) | 512 | MMD^2 0.25 | 0.0 s |" in out


def test_a_violation_that_the_baseline_has_is_called_known() -> None:
    """The table says which violation fails nobody, and only of that one."""
    known = Gate(Standing.HELD, baseline_verdict="violated")
    lines = table([replace(checked("", "t", 3), gate=known), checked("", "u", 3)])
    assert [line.text.split()[:3] for line in lines[1:]] == [["-", "violated", "u"], ["held", "violated", "(known)"]]
