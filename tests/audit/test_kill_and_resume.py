"""A small part of `kill_and_resume.py`, which disturbs some hundred runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW = {"killed": 2, "while-writing": 1, "stopped": 1}
MORE = {"killed": 10, "while-writing": 3, "together": 1, "stopped": 4}
ONE_KIND = ("--only", "forgetting")


@pytest.mark.parametrize(
    ("runs", "options"), [(FEW, ONE_KIND), pytest.param(MORE, (), marks=pytest.mark.slow)], ids=["few", "more"]
)
def test_runs_that_are_killed_or_stopped_lose_nothing(runs: dict[str, int], options: tuple[str, ...]) -> None:
    """Killed at random moments and run again, every figure is that of an undisturbed run; stopped, a run says so."""
    flags = [word for way, n in runs.items() for word in (f"--{way}", str(n))]
    command = [sys.executable, "-m", "tests.audit.kill_and_resume", *flags, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for way, n in runs.items():
        assert f"\n{way}: {n} runs in " in done.stdout
    assert done.stdout.count("\n0 runs that differ") == len(runs)
