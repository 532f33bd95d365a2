"""The reports of one run: the same figures in each; on a terminal, under workers, and on GitHub's pages."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from gentest.report import facts, terminal
from gentest.report.numbers import above, at_least, at_most, below, observed, threshold
from gentest.results.document import Document
from gentest.results.result import Verdict
from tests.helpers.repository import EVERY_OUTCOME

if TYPE_CHECKING:
    from tests.helpers.repository import Repository


@dataclass(frozen=True)
class Figures:
    """What a report says of one property, as it says it."""

    test: str
    property: str
    verdict: str
    probes: str
    measure: str
    seconds: str


Reader = Callable[[Path], list[Figures]]


def of_json(folder: Path) -> list[Figures]:
    """What the JSON says, rounded as the other reports do."""
    document = Document.from_json(json.loads((folder / "results.json").read_text(encoding="utf-8")))
    return [
        Figures(
            r.test, r.property, facts.verdict(r), facts.probes(r), facts.measure(r), facts.seconds(r)
        )
        for r in document.results
    ]  # fmt: skip


def of_terminal(folder: Path) -> list[Figures]:
    """The rows of the table that ends the run."""
    lines = (folder / "terminal.txt").read_text(encoding="utf-8").splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("verdict  "))
    found = []
    for line in lines[head + 1 :]:
        if re.match(r"\d+ propert", line):
            break
        if not line.startswith("    "):
            verdict, test, property, probes, *measure, seconds = re.split(r" {2,}", line.strip())
            found.append(Figures(f"test_model.py::{test}", property, verdict, probes, "".join(measure), seconds))
    return found


def of_junit(folder: Path) -> list[Figures]:
    """The properties of the test cases, rounded."""
    found = []
    for case in ElementTree.parse(folder / "junit.xml").getroot().iter("testcase"):
        values = {p.get("name", ""): p.get("value", "") for p in case.iter("property")}
        for label in dict.fromkeys(name.rpartition(".")[0] for name in values):
            of = {name.rpartition(".")[2]: v for name, v in values.items() if name.rpartition(".")[0] == label}
            measure, probes = "", of["probes"]
            if "rate" in of:
                low, high = at_least(float(of["rate_low"]))[:-2], at_most(float(of["rate_high"]))[:-2]
                share = observed(int(of["passes"]), int(probes), up=of["verdict"] == "violated")
                measure, probes = f"{share} [{low}, {high}]", f"{of['passes']} of {probes}"
            elif "mmd2" in of:
                rounded = below if of["verdict"] == "violated" else above
                measure = f"MMD^2 {rounded(float(of['mmd2']), 4)}"
            elif "margin" in of:
                measure = f"{float(of['margin']):.4g}"
            word = facts.WORDS[Verdict(of["verdict"])]
            word += f" >= {threshold(float(of['rate_certified']))}" if word == "holds" else ""
            test = f"test_model.py::{case.get('name')}"
            found.append(Figures(test, of["property"], word, probes, measure, f"{float(of['seconds']):.1f} s"))
    return found


def of_summary(folder: Path) -> list[Figures]:
    """The rows of the page."""
    lines = (folder / "summary.md").read_text(encoding="utf-8").splitlines()
    at = lines.index("| verdict | test | property | probes | margin or rate | time |")
    found = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        cells = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        found.append(Figures(cells[1], cells[2], cells[0].partition(" ")[2], *cells[3:]))
    return found


class Page(HTMLParser):
    """The text of each element of the page, by its class, one list a result."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[dict[str, str]] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A section is a result; what is in it has classes."""
        kind = dict(attrs).get("class") or ""
        if tag == "section" and "result" in kind.split():
            self.results.append({})
        if tag in ("span", "bdi"):
            self._inside.append("chip" if "chip" in kind.split() else kind or tag)

    def handle_endtag(self, tag: str) -> None:
        """Leaves it."""
        if tag in ("span", "bdi") and self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        """The first text of each class is the result's own."""
        if self.results and self._inside:
            self.results[-1].setdefault(self._inside[-1], data.strip())


def of_page(folder: Path) -> list[Figures]:
    """The results of the HTML page."""
    page = Page()
    page.feed((folder / "report.html").read_text(encoding="utf-8"))
    return [
        Figures(r["bdi"], r["property"], r["chip"], r["probes"], r.get("measure", ""), r["seconds"])
        for r in page.results
    ]


READERS: dict[str, Reader] = {"terminal": of_terminal, "junit": of_junit, "summary": of_summary, "page": of_page}
"""Whoever adds a report adds how it is read; `written` below makes them all."""


@pytest.fixture(params=["alone", "workers"])
def written(request: pytest.FixtureRequest, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with every report of one run."""
    repository.write(EVERY_OUTCOME)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repository.path / "summary.md"))
    args = ["--gentest-json", "results.json", "--junitxml", "junit.xml", "--gentest-report", "report.html"]
    result = repository.check(*args, *(["-n", "1"] if request.param == "workers" else []))
    assert result.ret == 1
    (repository.path / "terminal.txt").write_text("\n".join(result.outlines), encoding="utf-8")
    return repository.path


@pytest.mark.slow
def test_all_reports_of_a_run_agree(written: Path) -> None:
    """Verdict, probes, margin or rate, and time of each property are the same everywhere, and so are the totals."""
    expected = sorted(of_json(written), key=str)
    assert len(expected) == 8
    verdicts = {"violated", "holds >= 86 %", "holds >= 6 %", "no counterexample", "error"}
    assert {f.verdict for f in expected} == verdicts
    for name, read in READERS.items():
        assert sorted(read(written), key=str) == expected, name
    totals = re.compile(r"^8 properties: .* images in .* on cpu, seed 0$", re.MULTILINE)
    ((one,), (two,)) = (
        totals.findall((written / f).read_text(encoding="utf-8")) for f in ("terminal.txt", "summary.md")
    )
    assert one == two
    document = Document.from_json(json.loads((written / "results.json").read_text(encoding="utf-8")))
    assert f"; {sum(r.images for r in document.results):,} images in " in one
    junit = (written / "junit.xml").read_text(encoding="utf-8")
    images = re.findall(r'name="gentest\.[a-z_]+(?:\.\d)?\.images" value="(\d+)"', junit)
    assert sum(map(int, images)) == sum(r.images for r in document.results)
    replays = {r.counterexample.replay for r in document.results if r.counterexample is not None}
    assert set(re.findall(r'\.replay" value="([^"]+)"', junit)) == replays
    assert replays


@pytest.mark.slow
def test_a_page_is_of_the_run_alone(written: Path) -> None:
    """Each failure is folded with its block, whatever the number of workers; the page is written once."""
    page = (written / "summary.md").read_text(encoding="utf-8")
    assert page.count("### gentest") == 1
    assert page.count("<details>") == page.count("</details>") == 4
    assert "  replay   pytest --gentest test_model.py::test_a --gentest-replay responsive:" in page


def test_a_failing_test_fits_a_hundred_columns(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that gentest writes is at most 100 wide, but for the command; in 80 columns at most 80."""
    repository.write(EVERY_OUTCOME)
    monkeypatch.setattr(terminal, "MAX_WIDTH", 100)
    for width in ("100", "80", "250"):
        monkeypatch.setenv("COLUMNS", width)
        lines = repository.check("-p", "no:cacheprovider").outlines
        start = next(i for i, line in enumerate(lines) if "= FAILURES =" in line)
        stop = next(i for i, line in enumerate(lines) if "short test summary" in line)
        block = [line for line in lines[start:stop] if not line.startswith(("  replay ", "===", "___", "8 prop"))]
        assert len(block) > 20
        assert max(map(cell_len, block)) <= min(int(width), 100)


def test_quiet_says_failures_and_one_line(repository: Repository) -> None:
    """Under `-q` nothing that holds has a row."""
    repository.write(EVERY_OUTCOME)
    lines = repository.check("-q").outlines
    at = next(i for i, line in enumerate(lines) if line.startswith("verdict "))
    rows = [line.split()[0] for line in lines[at + 1 :] if re.match(r"[a-z]", line)]
    assert rows[:3] == ["error", "violated", "violated"]
    assert not any(line.startswith(("holds", "no counterexample")) for line in lines)
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    lines = repository.check("-q").outlines
    at = next(i for i, line in enumerate(lines) if "= gentest =" in line)
    assert lines[at + 1].startswith("1 property: 1 no counterexample;")


SLOW = """
import time
def test_slow(generator):
    return generator
test_slow = gentest.between(gentest.brightness(), tolerance=1)(test_slow)
"""


def in_a_terminal(repository: Repository, *args: str, env: dict[str, str] | None = None) -> str:
    """What pytest writes to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    dropped = ("NO_COLOR", "PY_COLORS", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    command = [sys.executable, "-m", "pytest", "--gentest", "--gentest-examples", "20", "-p", "no:cacheprovider"]
    process = subprocess.Popen(
        [*command, *args],
        cwd=repository.path,
        env={**kept, "TERM": "xterm", "COLUMNS": "100", **(env or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    chunks = []
    try:
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    process.wait(timeout=120)
    return b"".join(chunks).decode("utf-8")


@pytest.mark.parametrize(
    ("args", "env", "bar"),
    [
        ([], {}, True),
        (["-q"], {}, False),
        pytest.param(["-s"], {}, False, marks=pytest.mark.slow),
        (["-n", "1"], {}, False),
        ([], {"CI": "true"}, False),
        pytest.param([], {"TERM": "dumb"}, False, marks=pytest.mark.slow),
    ],
    ids=["terminal", "quiet", "no capture", "workers", "CI", "dumb"],
)
def test_a_bar_is_drawn_only_where_somebody_watches(
    args: list[str],
    env: dict[str, str],
    bar: bool,  # noqa: FBT001 - a column of the table
    repository: Repository,
) -> None:
    """In a terminal, and there not under -q, -s, xdist or CI; the results are coloured in any terminal that can."""
    repository.write(SLOW)
    text = in_a_terminal(repository, *args, env=env)
    assert ("\x1b7" in text, text.count("\x1b8")) == (bar, int(bar))
    assert "1 property: 1 no counterexample" in text
    if bar:
        assert re.search(r"test_slow between.*images/s", text)
        assert re.search(r"\x1b\[32mno counterexample  test_slow .*\x1b\[0m", text)


@pytest.mark.slow
def test_what_is_piped_is_plain(repository: Repository) -> None:
    """Neither output nor errors have a control sequence."""
    repository.write(SLOW)
    result = repository.apart()
    assert "\x1b" not in result.stdout.str() + result.stderr.str()


def test_a_long_replay_is_kept_in_a_file(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay string that would flood the screen is shown by a file's path, which replays as the string does."""
    repository.write("@FAILS\ndef test_a(generator):\n    return generator\n")
    monkeypatch.setattr("gentest.plugin.replays.LONGEST", 5)
    result = repository.check("--gentest-json", "results.json")
    (line,) = [line for line in result.outlines if line.startswith("  replay ")]
    words = shlex.split(line)[1:]
    path = words[words.index("--gentest-replay") + 1]
    (found,) = repository.document()["results"]
    assert (repository.path / path).read_text() == found["search"]["counterexample"]["replay"] + "\n"
    again = repository.run(*words[1:])
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["responsive(*): violated by a replayed probe, margin *"])
    lines = repository.check("-p", "no:cacheprovider").outlines  # nowhere to keep it: the string itself
    assert any(line.endswith(f"--gentest-replay {found['search']['counterexample']['replay']}") for line in lines)
