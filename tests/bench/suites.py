"""Rows `20 attributes`, `warm` and `workers`: whole runs of pytest in their own processes, on suites written here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import models
from tests.bench.figures import NEVER, Asked, Figure, Target, compared, in_turn

ROOT = Path(__file__).parents[2]
CONFTEST = """
import sys
sys.path.insert(0, {root!r})
from tests.bench import models
import pytest
"""
FIXTURE = """
@pytest.fixture(scope="session")
def {fixture}():
    return models.named({name!r})
"""
TEST = """
@{decorator}
def test_{name}({fixture}):
    return {fixture}
"""
THINGS = (
    "smile", "frown", "beard", "hat", "scarf", "pair of glasses", "pale face", "dark face", "young face", "old face",
    "round face", "long face", "red cheek", "blue eye", "wide mouth", "small nose", "high forehead", "raised eyebrow",
    "short haircut", "long haircut",
)  # fmt: skip
WIDE = "gentest.sd(4)"
"""A tolerance that next to no path exceeds: a suite that passes, as one does from day to day."""


@dataclass(frozen=True)
class Ran:
    """A run of pytest: seconds of the whole process and of the checks in it, and what was decided."""

    whole: float
    within: float
    images: int
    decided: tuple[tuple[Any, ...], ...]


def write_suite(folder: Path, fixtures: Mapping[str, str], tests: Sequence[tuple[str, str, str]]) -> None:
    """A repository with generators by fixture, and tests: name, decorator, fixture."""
    folder.mkdir()
    own = "".join(FIXTURE.format(fixture=fixture, name=name) for fixture, name in fixtures.items())
    (folder / "conftest.py").write_text(CONFTEST.format(root=str(ROOT)) + own)
    written = "".join(TEST.format(name=name, decorator=decorator, fixture=f) for name, decorator, f in tests)
    (folder / "test_suite.py").write_text("import gentest\n" + written)
    (folder / "pytest.ini").write_text("[pytest]\n")


def run(folder: Path, threads: int, *options: str) -> Ran:
    """pytest on a suite. Raises `RuntimeError` where a test could not be checked."""
    results = folder / "results.json"
    command = [sys.executable, "-m", "pytest", "--gentest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--gentest-json", str(results), *options],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "CI": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.perf_counter() - started
    found = json.loads(results.read_text())["results"] if done.returncode in (0, 1) else []
    if not found or any(result["verdict"] == "error" for result in found):
        raise RuntimeError(f"pytest {' '.join(options)} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    decided = sorted(
        (r["test"], r["property"], r["verdict"], r["search"]["violations"], str(r["search"]["margin"])) for r in found
    )
    within, images = (sum(result["cost"][name] for result in found) for name in ("seconds", "images"))
    return Ran(whole, within, images, tuple(map(tuple, decided)))


def attribute(thing: str, rate: str = "") -> tuple[str, str, str]:
    """A test of one CLIP attribute along paths."""
    decorator = f'gentest.between(gentest.clip("a photo of a {thing}"), tolerance={WIDE}){rate}'
    return thing.replace(" ", "_"), decorator, "generator"


def clip_options(asked: Asked, folder: Path) -> list[str]:
    """The options of a run with CLIP. Prompts are in a file, as a repository has them: no text tower is clocked."""
    clip = folder / "clip"
    clip.mkdir()
    spec = asked.clip or models.write_clip(clip, small=asked.quick)
    return [
        "--gentest-clip",
        spec,
        "--gentest-prompts",
        str(folder / "prompts.json"),
        "--gentest-device",
        str(asked.device),
    ]


def faces(asked: Asked) -> str:
    """The face GAN where it is installed, or a generator of its size."""
    try:
        models.faces()
    except models.Missing:
        return "dcgan64"
    return "tiny" if asked.quick else "faces"


def attributes(asked: Asked) -> Iterator[Figure]:
    """One run of pytest with a test for each of 20 CLIP attributes of one generator, beside one with one such test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = clip_options(asked, folder)
        for n in (1, 20):
            write_suite(folder / f"of{n}", {"generator": faces(asked)}, [attribute(thing) for thing in THINGS[:n]])
        run(folder / "of20", asked.threads, *options, "--gentest-examples", "1", "--gentest-update-prompts")
        options += ["--gentest-examples", str(asked.size(100, 2000, 4))]
        rans: dict[int, list[Ran]] = {1: [], 20: []}

        def seconds(n: int) -> float:
            rans[n].append(run(folder / f"of{n}", asked.threads, *options))
            return rans[n][-1].whole

        found = in_turn({"20": lambda: seconds(20), "1": lambda: seconds(1)}, asked.rounds)
    one, many = rans[1], rans[20]
    note = f"{many[-1].images:,} images against {one[-1].images:,}; the whole process"
    target = Target(1.15, "at most")
    yield compared("20 attributes against 1", found["20"], found["1"], unit="s", target=target, note=note)
    within = [ran.within for ran in many], [ran.within for ran in one]
    yield compared("20 attributes against 1, within tests", *within, unit="s", target=target)


def warm(asked: Asked) -> Iterator[Figure]:
    """A run of pytest that finds what it measures in --gentest-cache, beside the one that put it there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = clip_options(asked, folder)
        tests = [attribute(thing, f".at_rate({NEVER})") for thing in THINGS[: 2 if asked.quick else 20]]
        write_suite(folder / "suite", {"generator": faces(asked)}, tests)
        run(folder / "suite", asked.threads, *options, "--gentest-examples", "1", "--gentest-budget", "16",
            "--gentest-update-prompts")  # fmt: skip
        options += ["--gentest-budget", str(asked.size(128, 16_384, 16))]  # and as many examples as are the default
        options += ["--gentest-examples", "4"] if asked.quick else []
        options += ["--gentest-undecided", "warn"]
        pairs = []
        for i in range(asked.rounds):  # a cold run comes before its warm one, so neither can go first in turn
            cached = [*options, "--gentest-cache", str(folder / f"cache{i}")]
            pairs.append([run(folder / "suite", asked.threads, *cached) for _ in ("cold", "warm")])
    for cold, again in pairs:
        if cold.decided != again.decided:
            raise RuntimeError(f"a warm run decides otherwise: {cold.decided}\n{again.decided}")
    cold, again = ([pair[i] for pair in pairs] for i in (0, 1))
    note = f"{again[-1].images:,} images warm, {cold[-1].images:,} cold; the whole process"
    target = Target(0.05, "at most")
    whole = [ran.whole for ran in again], [ran.whole for ran in cold]
    yield compared("warm run against cold", *whole, unit="s", target=target, note=note)
    within = [ran.within for ran in again], [ran.within for ran in cold]
    yield compared("warm run against cold, within tests", *within, unit="s")


def workers(asked: Asked) -> Iterator[Figure]:
    """Two workers of one thread beside one, on CPU: pytest-xdist's on a suite of two groups, and Ray's actors."""
    net = "tiny" if asked.quick else "dcgan64"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "suite"
        properties = {"between": "gentest.between(gentest.brightness(), tolerance=0.3)"}
        properties["nothing_jumps"] = "gentest.continuous(tolerance=0.9)"
        tests = [
            (f"{said}_{fixture}", decorator, fixture)
            for fixture in ("first", "second")
            for said, decorator in properties.items()
        ]
        write_suite(folder, {"first": net, "second": f"{net}b"}, tests)
        options = ["--gentest-device", "cpu", "--gentest-examples", "4" if asked.quick else "1600"]
        rans: dict[int, list[Ran]] = {1: [], 2: []}

        def seconds(n: int) -> float:
            rans[n].append(run(folder, 1, *options, "-n", str(n)))
            return rans[n][-1].whole

        found = in_turn({"1": lambda: seconds(1), "2": lambda: seconds(2)}, asked.rounds)
    if len({ran.decided for ran in rans[1] + rans[2]}) != 1:
        raise RuntimeError(f"one worker and two decide otherwise: {rans[1][-1].decided}\n{rans[2][-1].decided}")
    note = f"{rans[2][-1].images:,} images of two, {rans[1][-1].images:,} of one; seconds of one against two"
    yield compared("xdist, 2 workers", found["1"], found["2"], unit="s", target=Target(1.7), note=note)
    try:
        import ray  # noqa: F401
    except ImportError:
        yield Figure("Ray, 2 actors", note="skipped: needs Ray: pip install 'pytest-gentest[ray]'")
        return
    verdicts: set[str] = set()

    def actors(n: int) -> float:
        command = [sys.executable, "-m", "tests.bench.actors", str(n), net, "16" if asked.quick else "1600"]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        decided: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        verdicts.add(str(decided["decided"]))
        return float(decided["seconds"])

    found = in_turn({"1": lambda: actors(1), "2": lambda: actors(2)}, asked.rounds)
    if len(verdicts) != 1:
        raise RuntimeError(f"one actor and two decide otherwise: {verdicts}")
    note = "seconds of one against two, once the actors are there"
    yield compared("Ray, 2 actors", found["1"], found["2"], unit="s", target=Target(1.7), note=note)
