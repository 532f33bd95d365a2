"""The command for a GPU: rows that cannot run say why, and the wheels that it needs are all listed."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.bench import gpu
from tests.bench.figures import Asked, Figure

ROOT = Path(__file__).parents[2]
THERE = {"torch", "torchvision", "numpy", "scipy"}
"""What a GPU machine has."""


def run(*arguments: str, seconds: float = 400) -> subprocess.CompletedProcess[str]:
    """The command on the CPU, on small models."""
    command = [sys.executable, "-m", "tests.bench.gpu", "--device", "cpu", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.slow
def test_a_rehearsal_prints_a_figure_or_a_reason_for_every_row(tmp_path: Path) -> None:
    """On a machine without a GPU, exit status 0, within six minutes; the profile's shares sum to 1."""
    done = run("--json", str(tmp_path / "new" / "figures.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert (written["quick"], written["device"]) == (True, "cpu")
    assert written["seconds"] < 360
    assert {row["row"] for row in written["rows"]} == set(gpu.ROWS)
    for row in written["rows"]:
        assert row["ours"] is not None or row["note"].startswith("skipped: "), row
        assert row["what"][:20] in done.stdout
    assert set(written["profile"]) == {"generator", "CLIP", "transfers", "gentest"}
    assert sum(written["profile"].values()) == pytest.approx(1.0)
    assert all(share > 0 for share in written["profile"].values())


@pytest.mark.slow
def test_a_row_that_fails_is_said_and_the_others_run(tmp_path: Path) -> None:
    """A CLIP that is not there stops one row with exit status 1, and the next row is measured."""
    done = run("--only", "profile,pairs", "--clip", f"local-dir:{tmp_path}")
    assert done.returncode == 1
    assert "failed: " in done.stdout
    assert "bfloat16 against float32" in done.stdout


def test_a_row_without_time_is_left_out() -> None:
    """No process is started for it, and that is no failure."""
    assert gpu.measured("pairs", [], 5.0) == (
        [Figure("pairs", note="skipped: 5 s were left, and a row needs 20")],
        True,
    )


def test_a_row_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is ended, and what it measured before is kept."""
    monkeypatch.setattr(gpu, "LEAST_SECONDS", 0.0)
    figures, fine = gpu.measured("pairs", ["--device", "cpu", "--quick"], 0.2)
    assert fine
    assert [figure.note for figure in figures] == ["skipped: stopped after 0 s"]


def test_an_unknown_row_is_refused() -> None:
    """The message lists the rows, and the docstring describes each."""
    done = run("--only", "pears")
    assert done.returncode == 2
    assert "no row 'pears'; the rows are tests, verdicts" in done.stderr
    assert gpu.__doc__ is not None
    assert all(f"`{name}`" in gpu.__doc__ for name in gpu.ROWS)


@pytest.mark.slow
def test_verdicts_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that decides otherwise is counted, and the check is named."""
    asked = Asked(torch.device("cpu"), rounds=1, quick=True, threads=1)
    real, calls = gpu._decided, iter(range(100))
    monkeypatch.setattr(gpu, "_decided", lambda result: (next(calls), real(result)))
    (figure,) = gpu.verdicts(asked, "")
    assert (figure.ours, figure.other, figure.ratio) == (0, 5, 0)
    assert figure.met is False
    assert "jumps: " in figure.note


def test_the_wheels_are_all_that_gentest_needs() -> None:
    """The script lists every requirement of gentest's requirements, on Python 3.12 on Linux."""
    done = subprocess.run(
        ["bash", "tests/bench/wheels.sh", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = {canonicalize_name(Requirement(line).name) for line in done.stdout.split()}
    target = {
        "python_version": "3.12", "python_full_version": "3.12.0", "sys_platform": "linux", "os_name": "posix",
        "platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "extra": "",
    }  # fmt: skip
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no parser of TOML")
    needed: set[str] = set()
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    while requirements:
        wanted = [Requirement(text) for text in requirements]
        names = {canonicalize_name(r.name) for r in wanted if r.marker is None or r.marker.evaluate(target)} - THERE
        requirements = [text for name in sorted(names - needed) for text in metadata.requires(name) or []]
        needed |= names
    assert needed <= listed, f"add {sorted(needed - listed)}"
