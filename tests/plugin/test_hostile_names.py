"""A run whose names come from strangers: what they are called moves no file, no cursor, and no element of a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gentest.gate.baseline import Baseline

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

SOURCE = """
@pytest.mark.parametrize("file", [
    pytest.param("../../outside.png", id="../../outside"),
    pytest.param("/etc/x.png", id="/etc/x"),
    pytest.param("<script>.png", id="<script>canary()</script>"),
    pytest.param("a", id="\\x1b[2J"),
])
@FAILS
def test_image(generator, file):
    return generator
"""
EVIL = "\x1b]0;owned\x07\n::stop-commands::x"


def test_a_node_id_leads_out_of_no_folder(repository: Repository) -> None:
    """Ids with `../`, from the root, or of HTML, as file names give: what is written lies where it was asked for."""
    repository.write(SOURCE)
    before = set(repository.path.parent.rglob("*"))
    asked = ("--gentest-images", "images", "--gentest-report", "r.html", "--gentest-json", "r.json")
    result = repository.check("-p", "no:cacheprovider", *asked)
    result.assert_outcomes(failed=4)
    new = [path for path in set(repository.path.parent.rglob("*")) - before if path.is_file() and path.suffix != ".pyc"]
    pictures = [path for path in new if path.suffix == ".png"]
    assert {path.parent.parent for path in pictures} == {repository.path / "images"}
    assert len({path.parent for path in pictures}) == 4
    assert {path.name for path in new if path.suffix != ".png"} == {"r.html", "r.json"}
    page = (repository.path / "r.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "&lt;script&gt;canary()" in page
    assert "\x1b" not in result.stdout.str()


@pytest.mark.slow
def test_a_baseline_of_a_stranger_writes_no_codes(repository: Repository) -> None:
    """Who blessed it, its note, and tests that it alone has are printed as text in a run against it."""
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    repository.check("--gentest-save-baseline", "b.json", "--gentest-baseline-probes", "64").assert_outcomes(passed=1)
    mine = Baseline.load(Path("b.json"))
    blessing = replace(mine.blessings[0], by=EVIL, note=EVIL)
    theirs = Baseline((blessing,), {**mine.entries, f"gone{EVIL}": next(iter(mine.entries.values()))})
    theirs.save(Path("b.json"))
    said = repository.check("--gentest-baseline", "b.json").stdout.str()
    assert "owned" in said
    assert "\x1b]" not in said
    assert not any(line.lstrip().startswith("::") for line in said.splitlines())
