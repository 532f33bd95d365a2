"""`gentest comment`: it prints the comment, against the run's own baseline or another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.commands import GOOD, VIOLATED, Run
from tests.helpers.handmade import baseline, outcomes, result, written


def test_a_comment_is_printed(run: Run) -> None:
    """The status is 0 although a property is violated: a bot posts it all the same."""
    written(Path("results.json"), [GOOD, VIOLATED])
    status, out, err = run("comment", "results.json", "--key", "faces", "--report-url", "https://ci.example/7")
    assert (status, err) == (0, "")
    assert out.startswith("<!-- gentest comment: faces -->\n### gentest: ❌ 1 of 2 properties not held\n")
    assert "https://ci.example/7" in out


def test_a_comment_compares_with_a_baseline(run: Run) -> None:
    """As `gentest gate` does, with the outcomes of the run."""
    before = result(outcomes(256))
    baseline(before).save(Path("blessed.json"))
    written(Path("results.json"), [replace(before, sample=result(outcomes(256, lost=128)).sample)])
    status, out, err = run("comment", "results.json", "--baseline", "blessed.json")
    assert (status, err) == (0, "")
    assert "### gentest: ❌ regressed (1 regressed" in out
    assert "| ❌ regressed" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gone.json",), "gone.json"),
        (
            ("results.json", "--report-url", "javascript:alert(1)"),
            "Expected an address with https:// but",
        ),
        (("results.json", "--images-url", "x"), "--images-url='x'"),
        (("results.json", "--baseline", "gone.json"), "gone.json"),
        (("results.json", "--baseline", "blessed.json"), "has no outcomes to compare; make it with --gentest-outcomes"),
    ],
)
def test_misuse_is_one_line(arguments: tuple[str, ...], message: str, run: Run) -> None:
    written(Path("results.json"), [replace(GOOD, sample=None)])
    baseline(result(outcomes(256))).save(Path("blessed.json"))
    status, out, err = run("comment", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
