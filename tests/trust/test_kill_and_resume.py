"""A small part of `kill_and_resume.py`, which runs this some hundred times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_and_resume.py")


@pytest.mark.parametrize(
    ("runs", "flags"),
    [(10, []), (4, ["--while-writing"]), (2, ["--together"]), (6, ["--interrupt"])],
    ids=["killed", "killed while writing", "two share a cache", "told to stop"],
)
def test_a_run_that_was_stopped_comes_to_what_it_would_have(runs: int, flags: list[str]) -> None:
    """Killed at random moments and run again, every figure is that of an undisturbed run; stopped, it says so."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--runs", str(runs), *flags], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{runs} runs in " in done.stdout
    assert "\n0 runs that differ" in done.stdout
