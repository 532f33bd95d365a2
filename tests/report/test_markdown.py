"""Markdown: names stay in their cells, and a page says what was decided and how to replay what failed."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gentest.report import markdown
from gentest.report.terminal import table
from gentest.results.comparison import Compared, Comparison, Gate, Standing, Terms
from gentest.results.document import Document
from gentest.results.result import (
    Counterexample,
    Distribution,
    Provenance,
    Radius,
    Rate,
    Result,
    Search,
    Verdict,
)
from tests.helpers import handmade
from tests.helpers.handmade import WORSE, checked, outcomes, result

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
    moved = Result("t", "same_level(e)", Verdict.VIOLATED, level=handmade.level(low=0.0123))
    broken = Result("t", "diverse(c)", Verdict.ERROR, message="it raised")
    fine = Result("t", "steers(d)", Verdict.HOLDS, rate=arm)
    out = markdown.page(Document(handmade.SESSION, (rated, within, different, broken, fine, moved)))
    blocks = [block.partition("```text\n")[2].partition("\n```")[0] for block in out.split("<details>")[1:]]
    assert blocks[0] == "diverse(c): error: it raised"
    assert [line.split()[:3] for line in blocks[1].splitlines()[2:]] == [
        ["rates", "holds", ">="], ["violated", "label=3", "10"], ["overall", "55", "%"],
    ]  # fmt: skip
    assert "radius   rays reach radius 0.5 of 2 (256 rays)" in blocks[2]
    assert blocks[3].startswith("matches(data): different from images in data: MMD^2 0.25")
    assert blocks[4].startswith("same_level(e): more than 0.3 sd from the reference: 0.52 against 0.5 on 40 latents")
    assert len(blocks) == 5
    assert r"| ❌ violated | t | same\_level(e) | 40 | +0.1 sd \[+0.0615 sd, +0.256 sd\] | 0.0 s |" in out
    assert "| ❌ violated | t | matches(data) | 512 | MMD^2 0.25 | 0.0 s |" in out


def test_a_violation_that_the_baseline_has_is_called_known() -> None:
    """The table says which violation fails nobody, and only of that one."""
    known = Gate(Standing.HELD, baseline_verdict="violated")
    lines = table([replace(checked("", "t", 3), gate=known), checked("", "u", 3)])
    assert [line.text.split()[:3] for line in lines[1:]] == [["-", "violated", "u"], ["held", "violated", "(known)"]]
