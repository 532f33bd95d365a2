"""Runs that are killed at random moments and run again come to what they would have come to undisturbed.

Each run is `pytest --gentest` on a small repository (searches, a rate, an attack, a gate against a baseline, on a small
network), in a folder of its own. It is killed by SIGKILL at a moment drawn uniformly from the time that such a run
takes, perhaps several times, and then run to its end. The JSON that it leaves is to be that of a run which nobody
disturbed: every verdict, counterexample, margin, rate and gate; not times, and not how many images were made.

    python -m tests.audit.kill_and_resume --killed 500 --workers 2    from outside, at any moment
    python -m tests.audit.kill_and_resume --while-writing 200         from within, while something is written
    python -m tests.audit.kill_and_resume --together 100              two at once that share a cache, one is killed
    python -m tests.audit.kill_and_resume --stopped 100               SIGINT, SIGINT twice, or SIGTERM

A run that is told to stop has to leave the files that were asked for, whole, with what was decided by then and the
names of what was not; and nothing of it may be blessed.

One process imports torch and gentest, and forks a child for each run, so that a run takes about a second.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import json
import os
import pkgutil
import random
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import gentest
from gentest.engine.evidence import database

MODEL = """
import os
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator():
    torch.manual_seed(3)
    linear = torch.nn.Linear
    net = torch.nn.Sequential(linear(8, 32), torch.nn.Tanh(), linear(32, 48), torch.nn.Tanh())
    if os.environ.get("CANDIDATE"):
        with torch.no_grad():
            net[2].weight *= 1.05
    return gentest.Generator(torch.nn.Sequential(net, torch.nn.Unflatten(1, (3, 4, 4))), latent=gentest.Normal(8))
"""
TESTS = """
import gentest

@gentest.between(gentest.brightness(), tolerance=0.01)
@gentest.continuous(tolerance=1)
def test_searched(generator):
    return generator

@gentest.between(gentest.brightness(), tolerance=0.02).at_rate(0.8)
def test_rate(generator):
    return generator

@gentest.settings(attack=1000)
@gentest.between(gentest.brightness(), tolerance=0.05)
def test_attacked(generator):
    return generator

@gentest.monotone(gentest.contrast(), tolerance=gentest.sd(2))
@gentest.well_formed()
def test_holds(generator):
    return generator
"""
COMMON = ("-q", "--gentest", "--gentest-examples", "30", "--gentest-budget", "256", "--gentest-json", "results.json")
CACHE = ("--gentest-cache", "cache")
BASELINE = ("--gentest-baseline-probes", "64")
FIRST = ("--gentest-save-baseline", "baseline.json", *BASELINE)
KINDS: dict[str, tuple[str, ...]] = {
    "remembering": CACHE,
    "forgetting": (*CACHE, "-p", "no:cacheprovider"),
    "gate": (*CACHE, "--gentest-baseline", "baseline.json", "--gentest-drift", "off"),
    "no cache": ("-p", "no:cacheprovider"),
    "outputs": (*CACHE, "-p", "no:cacheprovider", "--gentest-cache-outputs", "20M"),
}
"""Looking first at what failed before it was killed, or not; against a baseline; with nothing to resume from; and from
outputs that were rounded."""
STOPPED = {
    "stopped": (*CACHE, "-p", "no:cacheprovider", "--gentest-report", "page.html"),
    "stopped while blessing": ("-p", "no:cacheprovider", "--gentest-save-baseline", "new.json", *BASELINE),
}
"""What is told to stop."""
SIGNALS = ((signal.SIGINT,), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM,))
AT_ONCE = 0.03
"""Seconds at most from the first signal to the second."""
WAYS = {
    "killed": tuple(KINDS),
    "while-writing": tuple(KINDS),
    "together": ("forgetting", "gate", "outputs"),
    "stopped": tuple(STOPPED),
}
"""How runs are disturbed, and which."""
MANY = 50
"""Of so many runs, durations are measured with care."""
WRITING = "writing files"
INNOCENT = ("cost", "replayed", "audit", "rounding")
"""What may differ of any result."""
LOOKED_AT = ("examples", "violations", "margin", "attack")
"""What is said of the probes that were looked at: of one that replays what failed before, those alone."""
MOST_KILLS = 3
OF_16_BITS = 1e-5
"""Largest change of a margin by outputs of 16 bits, for attributes that move no more than a pixel."""


@dataclass
class Run:
    """One run: how it was killed, and what is not as it would have been."""

    kind: str
    killed_in: list[str] = field(default_factory=list)
    warm: bool = False
    replayed: int = 0
    differences: list[str] = field(default_factory=list)


class Phases:
    """A pytest plugin that says on a pipe what the run is about, so that it is known where a kill has hit."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def say(self, phase: str) -> None:
        os.write(self._pipe, f"{phase}\n".encode())

    def pytest_collection(self) -> None:
        self.say("collection")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.say(nodeid.partition("::")[2])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self.say(WRITING)


def fork(folder: Path, kind: str, *, before: Callable[[], None] = lambda: None, candidate: bool = True) -> Child:
    """A run in a child of this process; `before` is called there first."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader)
    status = 99
    try:
        os.close(reader)
        os.chdir(folder)
        output = os.open("output.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
            os.environ.pop(name, None)
        os.environ |= {"CANDIDATE": "1" if candidate else "", "PYTEST_ADDOPTS": "-p no:asyncio", "COLUMNS": "120"}
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell takes away from jobs beside it
        before()
        status = int(pytest.main([*COMMON, *(KINDS | STOPPED).get(kind, FIRST)], [Phases(writer)]))
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:  # whatever signal comes meanwhile: a child that went on would be a second parent
        os._exit(status)


@dataclass
class Child:
    """A child that runs."""

    pid: int
    pipe: int
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def kill_after(self, seconds: float) -> str | None:
        """Kills it once it has run for so long: what it was about; None where it had come to its end by itself."""
        while self._ran() < seconds:
            if os.waitpid(self.pid, os.WNOHANG) != (0, 0):
                self._phase()
                return None
            time.sleep(0.002)
        os.kill(self.pid, signal.SIGKILL)
        return self.ended_killed()

    def _ran(self) -> float:
        """Seconds of a processor, which on a busy machine are another time than that of a clock."""
        with suppress(OSError):
            return sum(map(int, Path(f"/proc/{self.pid}/stat").read_text().split()[13:15])) / os.sysconf("SC_CLK_TCK")
        return time.monotonic() - self.started  # no Linux

    def stop_after(self, seconds: float, signals: Sequence[int], apart: float) -> tuple[str, int]:
        """Tells it to stop then: what it was about in the end, and its exit status."""
        while self._ran() < seconds and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.002)
        for number in signals:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
            time.sleep(apart)
        _, status = os.waitpid(self.pid, 0)
        return self._phase(), os.waitstatus_to_exitcode(status)

    def ended_killed(self) -> str | None:
        """Waits for it: what it was about when somebody killed it; None where it came to its end."""
        _, status = os.waitpid(self.pid, 0)
        phase = self._phase()
        return phase if os.WIFSIGNALED(status) else None

    def ended(self) -> int:
        """Waits for it: its exit status."""
        _, status, used = os.wait4(self.pid, 0)
        self.seconds = used.ru_utime + used.ru_stime
        self._phase()
        return os.waitstatus_to_exitcode(status)

    def _phase(self) -> str:
        said = b""
        while more := os.read(self.pipe, 65536):
            said += more
        os.close(self.pipe)
        phases = [phase for phase in said.decode().split("\n") if phase]
        if phases[1:] and phases[-1] == WRITING:
            return f"{phases[-2]}, then {WRITING}"
        return phases[-1] if phases else "start"


class Killer:
    """Kills this process at the n-th moment at which something is about to be written, is half written, or just was."""

    def __init__(self, n: int, tally: Path | None = None) -> None:
        self._left = n
        self._tally = tally

    def here(self) -> None:
        if self._tally is not None:
            with self._tally.open("a") as file:
                file.write(".")
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Puts itself between gentest and what it writes: files, and the rows of its cache."""
        write, replace, connect, here = Path.write_bytes, os.replace, sqlite3.connect, self.here

        def write_bytes(path: Path, data: bytes) -> int:
            here()
            write(path, data[: len(data) // 2])
            here()
            written = write(path, data)
            here()
            return written

        def replaced(*args: Any, **others: Any) -> None:
            replace(*args, **others)
            here()

        class Connection(sqlite3.Connection):
            def executemany(self, *args: Any) -> sqlite3.Cursor:
                here()
                cursor = super().executemany(*args)
                here()
                return cursor

            def __exit__(self, *args: Any) -> bool:
                kept = super().__exit__(*args)
                here()
                return bool(kept)

        class Module:
            Error, OperationalError, DatabaseError = sqlite3.Error, sqlite3.OperationalError, sqlite3.DatabaseError

            @staticmethod
            def connect(path: Path, timeout: float) -> sqlite3.Connection:
                return connect(path, timeout=timeout, factory=Connection)

        vars(database)["sqlite3"] = Module
        setattr(Path, "write_bytes", write_bytes)  # noqa: B010 - no method of ours
        vars(os)["replace"] = replaced


class Bench:
    """The repository, what an undisturbed run of each kind comes to, and how long it takes."""

    def __init__(self, root: Path, kinds: Sequence[str]) -> None:
        self._root = root
        self.kinds = kinds
        self._model = root / "model"
        self._model.mkdir(parents=True)
        (self._model / "pytest.ini").write_text("[pytest]\n")
        (self._model / "conftest.py").write_text(MODEL)
        (self._model / "test_model.py").write_text(TESTS)
        if "gate" in kinds:
            folder = self.folder("baseline")
            fork(folder, "first", candidate=False).ended()
            shutil.copy(folder / "baseline.json", self._model)
        self.undisturbed: dict[str, dict[str, Any]] = {}
        self.status: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.moments: dict[str, int] = {}

    def measure(self, *, times: int, moments: bool) -> None:
        """An undisturbed run of each kind, as often; what it takes of a processor is the median."""
        for kind in self.kinds:
            durations = []
            for number in range(times):
                folder = self.folder(f"undisturbed {kind} {number}")
                child = fork(folder, kind)
                self.status[kind] = child.ended()
                durations.append(child.seconds)
                self.undisturbed[kind] = json.loads((folder / "results.json").read_text())
            self.seconds[kind] = statistics.median(durations)
            if moments:
                folder, tally = self.folder(f"counted {kind}"), self._root / f"tally {kind}"
                fork(folder, kind, before=Killer(0, tally).install).ended()
                self.moments[kind] = len(tally.read_text())

    def folder(self, name: str) -> Path:
        """A new folder with the repository in it."""
        return Path(shutil.copytree(self._model, self._root / name))

    def kill(self, kind: str, number: int, rng: random.Random, *, while_writing: bool) -> Run:
        """One run that is killed at least once, and then runs to its end."""
        run, folder = Run(kind), self.folder(f"run {number}")
        for _ in range(rng.choice(range(1, MOST_KILLS + 1))):
            if while_writing:
                moment = Killer(rng.randint(1, self.moments[kind]))
                hit = fork(folder, kind, before=moment.install).ended_killed()
            else:
                hit = fork(folder, kind).kill_after(rng.uniform(0.0, self.seconds[kind]))
            run.killed_in.append("after its end" if hit is None else hit)
        self._finish(run, folder, fork(folder, kind).ended())
        shutil.rmtree(folder)
        return run

    def share(self, kind: str, number: int, rng: random.Random) -> Run:
        """Two runs with one cache at the same time, of which the first is killed and run again."""
        run, folders = Run(kind), [self.folder(f"run {number} {i}") for i in range(2)]
        cache = folders[0].with_name(f"cache {number}")
        cache.mkdir()
        for folder in folders:
            (folder / "cache").symlink_to(cache)
        first, second = (fork(folder, kind) for folder in folders)
        hit = first.kill_after(rng.uniform(0.0, self.seconds[kind]))
        run.killed_in.append("after its end" if hit is None else hit)
        again = fork(folders[0], kind)
        self._finish(run, folders[1], second.ended())
        self._finish(run, folders[0], again.ended())
        for folder in (*folders, cache):
            shutil.rmtree(folder)
        return run

    def _finish(self, run: Run, folder: Path, status: int) -> None:
        """Compares what a run left that came to its end."""
        kind, output = run.kind, (folder / "output.txt").read_text(errors="replace")
        if status != self.status[kind]:
            run.differences.append(f"exit status {status}, not {self.status[kind]}: {output[-2000:]}")
        run.differences += [line for line in output.splitlines() if "warning:" in line or "could not" in line]
        if (folder / "results.json").exists():
            found = json.loads((folder / "results.json").read_text())
            run.differences += differences(self.undisturbed[kind], found, rounded=kind == "outputs")
            run.replayed = sum(result["search"]["replayed"] for result in found["results"])
            run.warm = _images(found) < _images(self.undisturbed[kind])
        else:
            run.differences.append("no results")

    def stop(self, kind: str, number: int, rng: random.Random) -> Run:
        """One run that is told to stop, and what it left."""
        signals = rng.choice(SIGNALS)
        run, folder = Run(kind), self.folder(f"run {number}")
        moment, apart = rng.uniform(0.0, self.seconds[kind]), rng.uniform(0.0, AT_ONCE)
        phase, status = fork(folder, kind).stop_after(moment, signals, apart)
        run.killed_in.append(phase)
        if phase != "start":  # a session has begun
            run.differences += [f"{said} (exit status {status})" for said in self._partial(kind, folder, status)]
        shutil.rmtree(folder)
        return run

    def _partial(self, kind: str, folder: Path, status: int) -> Iterator[str]:
        """What is wrong with what a run left that was told to stop."""
        whole = self.undisturbed[kind]
        if not (folder / "results.json").exists():
            yield f"no results: {(folder / 'output.txt').read_text(errors='replace')[-1500:]}"
            return
        found = json.loads((folder / "results.json").read_text())
        names = {(r["test"], r["property"]): r for r in whole["results"]}
        decided = [r for r in found["results"] if r["verdict"] != "error"]
        if len(decided) < len(found["results"]):
            wrong = next(r for r in found["results"] if r["verdict"] == "error")
            yield f"an interrupt became an error of a property: {wrong['message']} {wrong['traceback'][-1500:]}"
        yield from differences({"results": [names[r["test"], r["property"]] for r in decided]}, {"results": decided})
        ended = {r["test"] for r in found["results"]} - set(found["unchecked"])
        missing = {test for test, _ in names} - ended - set(found["unchecked"])
        if missing and found["unchecked"]:  # else it was stopped before it knew of any
            yield f"neither checked nor said not to be: {missing}"
        partial = len(decided) < len(names)
        if partial and not found["interrupted"]:
            yield "nothing says that it was interrupted"
        if partial and status == self.status[kind] == 0:
            yield "passed"
        page = folder / "page.html"
        if kind == "stopped" and not page.exists():
            yield "no page"
        if page.exists() and (found["interrupted"] in page.read_text()) is not True:
            yield "the page does not say that it was interrupted"
        if page.exists() and not page.read_text().rstrip().endswith("</html>"):
            yield "half a page"
        if partial and (folder / "new.json").exists():
            yield "a part was blessed"


def differences(one: Any, other: Any, *, rounded: bool = False) -> list[str]:
    """What two documents do not have in common, but for times and counts of images.

    With `rounded`, margins of a search may differ by `OF_16_BITS`: those in batches are of outputs that were rounded.
    """
    mine, theirs = (
        {(r["test"], r["property"]): {**r, **r["search"], "search": None} for r in document["results"]}
        for document in (one, other)
    )
    found = [f"{key}: {one[key]!r} and {other[key]!r}" for key in one if key != "results" and one[key] != other[key]]
    found += [f"{key} is there once" for key in mine.keys() ^ theirs.keys()]
    for key in mine.keys() & theirs.keys():
        left_out = INNOCENT + (LOOKED_AT if theirs[key]["replayed"] else ())
        for name in mine[key].keys() - left_out:
            before, now = (_but_images(r[key][name]) for r in (mine, theirs))
            if name == "margin" and rounded and before and now:
                before, now = list(before.values()), pytest.approx(list(now.values()), abs=OF_16_BITS)
            if before != now:
                found.append(f"{' '.join(key)}: {name}: {before!r} and {now!r}"[:600])
    return found


def _but_images(value: Any) -> Any:
    """A figure without the images that it took: an attack counts its own."""
    return {k: v for k, v in value.items() if k != "images"} if isinstance(value, dict) else value


def _images(document: Any) -> int:
    return sum(result["cost"]["images"] for result in document["results"])


def prepared(root: Path) -> None:
    """Everything imported that a run imports, as a first one says; nothing of torch is started, so a fork is whole."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(gentest.__path__, "gentest."):
        importlib.import_module(module.name)
    said = root / "modules"
    bench = Bench(root / "first", ("forgetting",))
    fork(bench.folder("run"), "forgetting", before=lambda: _say_modules(said)).ended()
    for name in said.read_text().split():
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # or each child looks through all of it


def _say_modules(said: Path) -> None:
    leave = os._exit

    def leaving(status: int) -> None:
        theirs = ("conftest", "test_model", "__main__")
        said.write_text(" ".join(name for name in tuple(sys.modules) if name not in theirs))
        leave(status)

    os._exit = leaving  # type: ignore[assignment]


def side_by_side(one: Callable[[int], Run], n: int, n_workers: int) -> list[Run]:
    """All runs, by as many workers: each a process of its own that forks its runs."""
    if n_workers == 1:
        return [one(number) for number in range(n)]
    pipes = []
    for worker in range(n_workers):
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            with os.fdopen(writer, "w") as file:
                for number in range(worker, n, n_workers):
                    file.write(json.dumps(vars(one(number))) + "\n")
                    file.flush()
            os._exit(0)
        os.close(writer)
        pipes.append((pid, os.fdopen(reader)))
    found = []
    for pid, pipe in pipes:
        with pipe:
            found += [Run(**json.loads(line)) for line in pipe]
        os.waitpid(pid, 0)
    return found


def summary(way: str, found: Sequence[Run], seconds: float) -> list[str]:
    """What there is to say of them."""
    hits = Counter(phase for run in found for phase in run.killed_in)
    bad = [run for run in found if run.differences]
    lines = [f"{way}: {len(found)} runs in {seconds:.0f} s, hit {sum(hits.values())} times:"]
    lines += [f"  {n:5d}  {phase}" for phase, n in hits.most_common()]
    for kind, n in Counter(run.kind for run in found).items():
        own = [run for run in found if run.kind == kind]
        warm, replayed = sum(run.warm for run in own), sum(bool(run.replayed) for run in own)
        lines.append(f"  {kind}: {n} runs, {warm} resumed from measurements or finds, {replayed} from finds")
    lines.append(f"{len(bad)} runs that differ from an undisturbed one")
    return lines + [f"  {run.kind}, killed in {run.killed_in}: {said}" for run in bad[:20] for said in run.differences]


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where no run differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in WAYS:
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", metavar="KIND", help=f"of {', '.join((*KINDS, *STOPPED))}")
    given = parser.parse_args(arguments)
    asked = {name: n for name in WAYS if (n := vars(given)[name.replace("-", "_")])}
    if given.only is not None:
        WAYS.update(dict.fromkeys(WAYS, (given.only,)))
    bad = 0
    with tempfile.TemporaryDirectory() as root:
        prepared(Path(root))
        kinds = tuple(dict.fromkeys(kind for name in asked for kind in WAYS[name]))
        bench = Bench(Path(root) / "bench", kinds)
        bench.measure(times=3 if sum(asked.values()) >= MANY else 1, moments="while-writing" in asked)
        said = ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in bench.seconds.items())
        sys.stdout.write(f"undisturbed: {said}\n")
        for name, n in asked.items():
            started = time.monotonic()
            found = side_by_side(functools.partial(one, bench, name, given.seed), n, given.workers)
            sys.stdout.write("\n".join(summary(name, found, time.monotonic() - started)) + "\n")
            bad += n - len(found) + sum(bool(run.differences) for run in found)
    return 1 if bad else 0


def one(bench: Bench, way: str, seed: int, number: int) -> Run:
    """The run of that number."""
    kind = WAYS[way][number % len(WAYS[way])]
    rng = random.Random(f"{seed} {way} {number}")
    disturbed = {"together": bench.share, "stopped": bench.stop}.get(way)
    if disturbed is not None:
        return disturbed(kind, number, rng)
    return bench.kill(kind, number, rng, while_writing=way == "while-writing")


if __name__ == "__main__":
    sys.exit(main())
