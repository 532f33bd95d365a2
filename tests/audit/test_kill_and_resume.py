"""A small part of `kill_and_resume.py`, which disturbs some hundred runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNS = {"killed": 10, "while-writing": 3, "together": 1, "stopped": 4}


def test_runs_that_are_killed_or_stopped_lose_nothing() -> None:
    """Killed at random moments and run again, every figure is that of an undisturbed run; stopped, a run says so."""
    flags = [word for way, n in RUNS.items() for word in (f"--{way}", str(n))]
    command = [sys.executable, "-m", "tests.audit.kill_and_resume", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for way, n in RUNS.items():
        assert f"\n{way}: {n} runs in " in done.stdout
    assert done.stdout.count("\n0 runs that differ") == len(RUNS)
