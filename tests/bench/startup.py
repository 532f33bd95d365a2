"""Row `start`: what gentest costs a run of pytest that does not use it.

Whole runs of pytest on one empty test, with and without `-p no:gentest`; and the plugin's own import and hooks, in an
interpreter that has imported pytest already.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.bench.figures import Asked, Figure, Target, compared, in_turn

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


def start(asked: Asked) -> Iterator[Figure]:
    """Processor time of a whole run on an empty test with the plugin, over one without; and the plugin's own import."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_empty.py").write_text("def test_empty():\n    pass\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        ways = {"with": lambda: run(folder), "without": lambda: run(folder, "-p", "no:gentest")}
        in_turn(ways, 1)
        found = in_turn(ways, 3 if asked.quick else max(20, asked.rounds))
        command = [sys.executable, "-c", OWN]
        own = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(9)]
    seconds = median(float(printed.splitlines()[0]) for printed in own)
    more = median(a - b for a, b in zip(found["with"], found["without"], strict=True))
    note = f"{more * 1e3:.1f} ms more; importing gentest.plugin takes {seconds * 1e3:.1f} ms"
    note += f" and with it {own[0].splitlines()[1] or 'nothing'}"
    yield compared("pytest with gentest installed, against without", found["with"], found["without"], unit="s",
                   target=Target(1.05, "at most"), note=note)  # fmt: skip
