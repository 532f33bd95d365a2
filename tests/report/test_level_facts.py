"""What is said of levels against a baseline, in each format of a report."""

from __future__ import annotations

import pytest

from gentest.report import facts, level_facts, markdown, pull_request, terminal
from gentest.report.page import page
from gentest.results.comparison import Comparison, Drift, Gate, Standing, Terms
from gentest.results.document import Document
from gentest.results.level_claim import LevelClaim
from gentest.results.outcome import Verdict
from gentest.results.result import Result, Search
from tests.helpers.handmade import SESSION

EVIDENCE = {"log_within": 5.0, "log_beyond": 1.0, "needed_within": 4.6, "needed_beyond": 6.9}
CLAIM = LevelClaim(
    "brightness()",
    0.47,
    24,
    0.1,
    0.05,
    None,
    stored=256,
    reference=0.5,
    low=-0.049,
    high=0.012,
    each_end=0.99,
    **EVIDENCE,
)


def drift(name: str, *, drifted: bool = False, held: bool = False) -> Drift:
    """The level of an attribute in a quick gate."""
    return Drift(
        f"level of {name}",
        ("test_a.py::test_a",),
        drifted,
        9.0 if drifted else 0.4,
        6.2,
        24,
        mean=-0.52 if drifted else 0.1,
        tolerance=0.5,
        held=held,
        log_held=5.0 if held else 1.0,
        needed_held=4.6,
        stored=256,
    )


GATE = Comparison(
    "b.json",
    "blessed by me",
    Terms(claims=5),
    (),
    (drift("a()", held=True), drift("b()", drifted=True), drift("c()"), drift("d()", held=True)),
    (),
)
DOCUMENT = Document(
    SESSION,
    (Result("test_a.py::test_a", "level(brightness(), falls_by=0.05)", Verdict.HOLDS, level_claim=CLAIM),),
    GATE,
)
LINES = (
    "level of b() moved: -0.52 of the baseline's sd on 24 of 256 latents; evidence",
    "level of c(): +0.10 of the baseline's sd on 24 of 256 latents; evidence",
    "within 0.5 of the baseline's sd: a() (24 latents), d() (24 latents)",
)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict.HOLDS, "did not fall by 0.05 (0.5 sd): 0.47 against 0.5 on 24 of 256 latents, moved by -0.3 sd"),
        (Verdict.VIOLATED, "fell, and may not fall by 0.05 (0.5 sd): 0.47 against 0.5"),
        (Verdict.UNDECIDED, "not known whether it did fall by 0.05 (0.5 sd): 0.47 against 0.5"),
    ],
)
def test_a_level_in_a_sentence(verdict: Verdict, words: str) -> None:
    """No bound is rounded toward the claim, and an undecided one says what evidence is missing."""
    said = level_facts.statement(CLAIM, verdict)
    assert said.startswith(words)
    assert "[-0.49 sd, +0.12 sd], each end 99 %" in said
    assert ("needs 100 : 1" in said) is (verdict is Verdict.UNDECIDED)


def test_the_table_has_the_levels_before_and_now() -> None:
    """And the latents behind them; a property that is left to its verdict has the probes of that."""
    level = Result("t", "level(brightness())", Verdict.HOLDS, level_claim=CLAIM, gate=Gate(Standing.HELD))
    assert (facts.before_and_now(level), facts.n_gated(level)) == ("0.5 -> 0.47", "24")
    own = Gate(Standing.HELD, own=True, certified=False)
    left = Result("t", "between(brightness())", Verdict.NO_COUNTEREXAMPLE, search=Search(20), gate=own)
    assert (facts.before_and_now(left), facts.n_gated(left)) == ("", "20")
    row = terminal.table([level], width=120)[1].text
    assert "0.5 -> 0.47" in row
    assert " 24 " in row


def test_levels_of_a_gate_come_worst_first_and_are_no_drift() -> None:
    """One that moved, one that is open, and those that held together."""
    levels = level_facts.levels(GATE)
    assert [standing for standing, _ in levels] == [Standing.REGRESSED, Standing.UNDECIDED, Standing.HELD]
    for (_, said), words in zip(levels, LINES, strict=True):
        assert said.startswith(words)


def test_every_format_tells_of_each_level() -> None:
    """Terminal, Markdown, comment and page; a level is not called a drift."""
    written = {
        "terminal": "\n".join(line.text for line in terminal.comparison(GATE, 200)),
        "markdown": markdown.page(DOCUMENT).replace("\\", ""),
        "comment": pull_request.comment(DOCUMENT).replace("\\", ""),
        "page": page(DOCUMENT, at="now").replace("&#39;", "'"),
    }
    for name, text in written.items():
        for words in LINES:
            assert words in text, name
    assert written["terminal"].endswith(
        "gate: regressed (2 levels held, 1 level regressed, 1 level undecided; tolerance 0.05, 5 claims)"
    )
    assert not any("drift" in written[name] for name in ("terminal", "markdown", "comment"))
