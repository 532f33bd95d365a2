"""The comment on a pull request: what changed, what fits, and pictures of the worst."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gentest.report import images
from gentest.report.pull_request import COLUMNS, LIMIT, ROWS, Pictures, comment, marker
from gentest.results.comparison import Standing
from gentest.results.document import Document
from gentest.results.result import Result, Verdict
from tests.helpers.drawn import failed

GOLDEN = Path(__file__).parents[1] / "results" / "golden"


def document(name: str = "regressed") -> Document:
    return Document.from_json(json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8")))


def size(text: str) -> int:
    """Characters as GitHub counts them."""
    return len(text.encode("utf-16-le")) // 2


def of(*results: Result) -> Document:
    return replace(document(), results=results, gate=None)


def rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]


def test_what_changed_comes_first() -> None:
    """A row for each property that regressed, with its rates; those that held are one line."""
    text = comment(document())
    assert text.startswith(f"{marker()}\n### gentest: ❌ regressed (2 held, 2 regressed, 2 drifted; ")
    table = rows(text)
    assert [row[0] for row in table] == ["❌ regressed, violated"] * 2
    assert [row[3:] for row in table] == [
        ["holds", "100 % -> 43.8 %", "18 / 0"],
        ["holds", "87.5 % -> 72.4 %", "45 / 16"],
    ]
    assert "\n2 other properties as in the baseline\n" in text
    assert text.count("- ⚠️ drift: ") == 2
    assert "against baseline.json (blessed by " in text.replace("\\_", "_")


def test_a_gate_that_held_is_a_few_lines() -> None:
    text = comment(document("held"))
    assert "### gentest: ✅ held (" in text
    assert rows(text) == []
    assert "<details>" not in text
    assert len(text) < 1_000


@pytest.mark.parametrize(
    ("before", "verdict", "changed"),
    [
        (Verdict.VIOLATED, Verdict.NO_COUNTEREXAMPLE, True),
        (Verdict.UNDECIDED, Verdict.HOLDS, True),
        (Verdict.VIOLATED, Verdict.VIOLATED, False),
        (Verdict.HOLDS, Verdict.HOLDS, False),
        (Verdict.HOLDS, Verdict.UNDECIDED, False),
        (Verdict.NO_COUNTEREXAMPLE, Verdict.VIOLATED, True),
    ],
)
def test_a_property_changes_with_its_verdict(*, before: Verdict, verdict: Verdict, changed: bool) -> None:
    """A new violation and one that is gone have changed; a known one and a doubt that the gate settles have not."""
    run = document("held")
    first = next(r for r in run.results if r.gate is not None and r.rate is not None)
    assert first.gate is not None
    gate = replace(first.gate, standing=Standing.HELD, baseline_verdict=before)
    text = comment(replace(run, results=(replace(first, verdict=verdict, gate=gate),)))
    assert len(rows(text)) == changed


def test_without_a_baseline_failing_properties_are_listed() -> None:
    text = comment(of(failed(), Result("t.py::a", "lit()", Verdict.NO_COUNTEREXAMPLE)))
    assert "### gentest: ❌ 1 of 2 properties not held" in text
    assert len(rows(text)) == 1
    assert "\n1 other property passes\n" in text
    assert "--gentest-replay" in text


def test_a_comment_is_never_longer_than_github_takes() -> None:
    """Thousands of failures with long names: the comment is cut, says how much is left out, and stays whole."""
    one = failed()
    many = [replace(one, test=f"t.py::{'😀' * 300}{n}", property="p" * 5_000) for n in range(2_000)]
    text = comment(of(*many), report_url="https://ci.example/run")
    assert LIMIT // 2 < size(text) <= LIMIT
    assert text.count("<details>") == text.count("</details>")
    assert text.count("```") % 2 == 0
    shown = len(rows(text))
    assert f"\n{2_000 - shown:,} more that changed\n" in text
    assert re.search(r"\n\d[\d,]* more that do not pass are left out here\.\n", text)
    assert "[The whole report](<https://ci.example/run>)" in text


@pytest.mark.parametrize("limit", [2_000, 5_000, 20_000])
def test_a_smaller_limit_is_kept(limit: int) -> None:
    assert size(comment(document(), limit=limit)) <= limit


def write(folder: Path, result: Result, pictures: list[Image.Image]) -> Pictures:
    own = folder / images.folder_name(result)
    own.mkdir()
    for n, picture in enumerate(pictures):
        picture.save(own / f"worst-{n:02d}.png")
    return Pictures(folder)


def test_the_worst_outputs_are_drawn(tmp_path: Path) -> None:
    """Side by side in characters, dark to bright; of many outputs the ends and some between."""
    one = failed()
    shades = [Image.new("RGB", (64, 64), (n * 30,) * 3) for n in range(9)]
    text = comment(of(one), pictures=write(tmp_path, one, shades))
    lines = [line for line in text.splitlines() if line.startswith("│")]
    assert lines == ["  ".join(f"│{shade * COLUMNS}│" for shade in " ░▒█")] * ROWS


def test_a_picture_of_one_shade_is_seen(tmp_path: Path) -> None:
    """A blank output is what a reader has to see, so it has a frame, and its own brightness."""
    for shade, level in ((" ", 0), ("▒", 128), ("█", 255)):
        one = replace(failed(), test=f"t.py::{level}")
        text = comment(of(one), pictures=write(tmp_path, one, [Image.new("L", (1, 1), level)]))
        assert text.count(f"\n│{shade * COLUMNS}│\n") >= ROWS // 2
        assert "┌" in text


def test_pictures_with_an_address_are_links(tmp_path: Path) -> None:
    """An image of the page where the folder is published, with every name quoted."""
    one = failed()
    pictures = write(tmp_path, one, [Image.new("L", (8, 8))] * 2)
    text = comment(of(one), pictures=replace(pictures, url="https://ci.example/images/"))
    name = images.folder_name(one)
    assert f'<img src="https://ci.example/images/{name}/worst-00.png" width="112">' in text
    assert text.count("<img ") == 2


def test_a_file_that_is_no_picture_is_left_out(tmp_path: Path) -> None:
    """The comment is as without it."""
    one = failed()
    pictures = write(tmp_path, one, [Image.new("L", (8, 8))])
    (tmp_path / images.folder_name(one) / "worst-00.png").write_bytes(b"GIF89a")
    assert comment(of(one), pictures=pictures) == comment(of(one))


HOSTILE = "a`b|c</details><script>\n| x |\n<!-- gentest comment -->@everyone"


def test_names_of_anybody_stay_text() -> None:
    """Nothing in a name ends a cell, a block or a fence, and the marker stands at the top alone."""
    one = replace(failed(), test=HOSTILE, property=HOSTILE)
    text = comment(of(one))
    assert text.count("\n| ❌") == 1
    assert re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", text).count("</details>") == 1
    outside = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", text)
    assert "<script>" not in outside
    assert "@" not in outside
    assert outside.count("<!--") == 1


def test_a_key_tells_gates_apart() -> None:
    assert marker("faces") != marker() != marker("cars")
    assert marker("--> <b>") == "<!-- gentest comment: b -->"
    assert comment(document(), key="faces").startswith(f"{marker('faces')}\n")
