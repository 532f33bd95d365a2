"""The benchmark of speed runs as its docstring says: that it measures and what it knows, not how fast anything is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEED = ROOT / "tests/bench/speed.py"
ROWS = {
    "end-to-end", "plain given", "20 attributes", "warm", "overhead", "reduce", "workers", "memory", "path length",
    "start", "page",
}  # fmt: skip


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The benchmark on a CPU, with one thread."""
    command = [sys.executable, "-m", "tests.bench.speed", "--device", "cpu", "--threads", "1", *arguments]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=env)


@pytest.mark.slow
def test_a_row_is_measured_and_written(tmp_path: Path) -> None:
    """A quick run of one row ends with exit status 0, a table, and its figures as JSON; none of them meets a target."""
    done = run("--quick", "--only", "overhead", "--rounds", "2", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["quick"] is True
    assert len(written["rows"]) == 4
    for row in written["rows"]:
        assert row["row"] == "overhead"
        assert row["ours"] > 0
        assert row["ratio"] > 0
        assert row["met"] is None
        assert row["what"] in done.stdout


def test_the_guide_quotes_the_committed_results() -> None:
    """Each ratio of the committed results is in the guide, and they are a CPU's."""
    stored = json.loads((ROOT / "tests/bench/results/cpu.json").read_text())
    guide = (ROOT / "examples/guides/speed.md").read_text()
    assert stored["quick"] is False
    assert stored["machine"].startswith("cpu ")
    for row in stored["rows"]:
        if row["ratio"] is not None:
            assert f"{row['ratio']:.2f} times" in guide, row["what"]


@pytest.mark.slow
def test_rows_are_known_by_name() -> None:
    """A row that does not exist is refused, and those that do are named: all that the docstring describes."""
    done = run("--only", "overhead,nonsense")
    assert done.returncode == 2
    listed = done.stderr.split("no row 'nonsense'; the rows are ")[1].strip().split(", ")
    assert set(listed) == ROWS
    described = SPEED.read_text().split("Rows:")[1].split('"""')[0]
    assert all(f"- `{name}`:" in described for name in ROWS)


@pytest.mark.slow
def test_a_row_that_cannot_be_measured_fails(tmp_path: Path) -> None:
    """Where a check ends in an error, so does the benchmark, with exit status 1 and the error in its table."""
    done = run(
        "--quick", "--only", "plain given", "--clip", f"local-dir:{tmp_path}", "--json", str(tmp_path / "figures")
    )
    assert done.returncode == 1
    (row,) = json.loads((tmp_path / "figures").read_text())["rows"]
    assert row["what"] == "failed"
    assert str(tmp_path.name) in row["note"]
