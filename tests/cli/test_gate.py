"""`gentest gate`: what it prints, its exit status, and that misuse is one line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline
from gentest.results.comparison import Standing, Terms
from gentest.results.result import Provenance, Result
from tests.helpers.commands import BROKEN, DRIFTED, HELD, SHORT, WORSE, Run, gated, misuse
from tests.helpers.handmade import result


@pytest.mark.parametrize(
    ("results", "arguments", "status", "said"),
    [
        ([HELD], [], 0, "gate: held (1 held; tolerance 0.05, 3 claims)"),
        ([WORSE], [], 1, "gate: regressed (1 regressed; tolerance 0.05, 3 claims)"),
        ([WORSE], ["--undecided", "warn"], 1, "gate: regressed"),
        ([SHORT], [], 3, "gate: undecided (1 undecided; tolerance 0.05, 3 claims)"),
        ([SHORT], ["--undecided", "warn"], 0, "gate: undecided"),
        ([SHORT], ["--tolerance", "0.3"], 0, "gate: held (1 held; tolerance 0.3, 3 claims)"),
        ([HELD, replace(HELD, test="new")], [], 3, "1 held, 1 undecided"),
        ([replace(HELD, test="new")], [], 3, "1 undecided, 1 not looked at"),
        ([DRIFTED], [], 0, "gate: held (1 held, 1 drifted;"),
        ([DRIFTED], ["--drift", "warn"], 0, "drift      level of brightness() by +"),
        ([DRIFTED], ["--drift", "fail"], 1, "gate: refused for drift (1 held, 1 drifted;"),
        ([DRIFTED], ["--drift", "fail", "--undecided", "warn"], 1, "1 drifted"),
        ([DRIFTED], ["--drift", "off"], 0, "gate: held (1 held; tolerance 0.05, 1 claim)"),
        ([HELD], ["--drift", "fail"], 0, "drift      not found in level of brightness(), distribution in pixels()"),
        ([BROKEN], [], 1, "the check of the candidate failed"),
        ([], [], 3, "1 not looked at"),
    ],
)
def test_gate_says_and_exits(results: list[Result], arguments: list[str], status: int, said: str, run: Run) -> None:
    """0 is held, 1 regressed (or drifted where that refuses), 3 undecided unless that only warns."""
    found, out, err = gated(run, results, *arguments)
    assert (found, err) == (status, "")
    assert said in out


def test_gate_shows_the_evidence(run: Run) -> None:
    """A regression is shown with rates, lost and won probes, discordance, evidence, and what it needs."""
    _, out, _ = gated(run, [WORSE])
    assert "against blessed.json (gan.pt blessed by ann on 2026-11-24, seed 3)" in out.splitlines()
    assert out.splitlines()[1].split("  ")[:2] == ["regressed", "no counterexample"]
    said = " ".join(out.split())
    assert "100 % -> 0 % of 32 probes, 32 lost and 0 won (discordance 100 %, difference within [" in said
    assert "that it is worse, needs 300 : 1" in said


def test_what_failed_cannot_be_waved_through(run: Run) -> None:
    """A candidate whose check failed is not excused by `--undecided warn`: nothing of it was compared."""
    status, out, _ = gated(run, [BROKEN], "--undecided", "warn")
    assert status == 1
    assert "the check of the candidate failed" in out


@pytest.mark.parametrize("arguments", [[], ["--undecided", "warn"]])
def test_results_without_outcomes_are_misuse(arguments: list[str], run: Run) -> None:
    """Results that were made without --gentest-outcomes have nothing to compare: the file is the wrong one."""
    misuse(gated(run, [result(None)], *arguments), "results.json: ", "--gentest-outcomes")


def test_the_gate_of_files_is_the_gate(run: Run) -> None:
    """The Markdown and the text say what `gate.decide` decided, of several checkpoints too."""
    results = [replace(r, provenance=Provenance(checkpoint=name)) for name, r in (("a.pt", HELD), ("b.pt", WORSE))]
    blessed = Baseline.load(Path("blessed.json"))
    terms = Terms(claims=gate.n_claims(blessed, drift=True, checkpoints=2))
    found = gate.decide(results, blessed, terms)
    assert [c.gate.standing for c in found.properties] == [Standing.HELD, Standing.REGRESSED]
    status, out, _ = gated(run, results)
    assert status == 1
    assert "tolerance 0.05, 6 claims" in out
    assert re.search(r"^held .*  a\.pt  ", out, re.MULTILINE)
    _, out, _ = gated(run, results, "--markdown")
    rows = [line for line in out.splitlines() if line.startswith("| ✅ held") or line.startswith("| ❌ regressed")]
    assert ["a.pt" in row for row in rows] == [True, False]
    assert ["b.pt" in row for row in rows] == [False, True]


def test_markdown_of_a_gate(run: Run) -> None:
    """The page says the standing first, then each property with its figures."""
    _, out, _ = gated(run, [WORSE], "--markdown")
    lines = out.splitlines()
    assert lines[0] == "### Gate: ❌ regressed"
    row = next(line for line in lines if line.startswith("| ❌"))
    assert "| 100 % | 0 % | 32 of 256 | 32 / 0 |" in row
    assert "### gentest" in lines
