"""What gentest costs a run of pytest that does not use it: start-up with the plugin against without.

    python -m tests.bench.startup [PAIRS]

Whole runs of pytest on one empty test, with and without `-p no:gentest`, in turn, so that a machine whose speed
drifts drifts for both; and the plugin's own import and hooks, in an interpreter that has imported pytest already.
"""

# ruff: noqa: T201 - it prints a table
from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

OWN = """
import sys, time
import pytest, _pytest.config
before = set(sys.modules)
started = time.perf_counter()
import gentest.plugin
print(time.perf_counter() - started)
print(" ".join(sorted({name.split(".")[0] for name in set(sys.modules) - before} - {"gentest"})))
"""


def run(folder: Path, *arguments: str) -> float:
    """Seconds of processor time, user and system, that a whole run of pytest takes: steadier than the clock."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(pairs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_empty.py").write_text("def test_empty():\n    pass\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        run(folder), run(folder, "-p", "no:gentest")
        both = []
        for i in range(pairs):  # each goes first in every other pair
            turns = [("with",), ("without", "-p", "no:gentest")][:: 1 if i % 2 else -1]
            seconds_of = {name: run(folder, *arguments) for name, *arguments in turns}
            both.append((seconds_of["with"], seconds_of["without"]))
        with_plugin, without = (median(times) for times in zip(*both, strict=True))
        difference = median(a - b for a, b in both)
        own = [
            subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, check=True) for _ in range(9)
        ]
        seconds = median(float(result.stdout.splitlines()[0]) for result in own)
        imported = own[0].stdout.splitlines()[1] or "nothing"
    print(f"pytest with gentest installed    {with_plugin * 1e3:7.1f} ms (median of {pairs} runs)")
    print(f"pytest -p no:gentest             {without * 1e3:7.1f} ms")
    print(f"difference, pair by pair         {difference * 1e3:7.1f} ms (median)")
    print(f"importing gentest.plugin         {seconds * 1e3:7.1f} ms, and with it: {imported}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
