"""Mutation testing: of small faults put into the statistics, the probes and the gate, how many their own tests notice.

    python -m tests.audit.mutation [MODULE ...] [--scratch FOLDER] [--explained] [--up-to SECONDS]

as in `python -m tests.audit.mutation stats/rates.py gate.py`; without a module, all of `TESTS`. Needs mutmut 3, which
makes the mutants and switches between them; Linux or macOS, since each mutant runs in a fork of a process that has
collected the tests already. Each module is mutated in a copy of the repository under the scratch folder, where results
are kept: a run that was stopped goes on, and one after an edit asks first the test that noticed a mutant before.

A mutant is killed where one of the module's tests fails, or runs into ten times its own time; it survives where all of
them pass. The quickest tests run first, and the first that fails ends it. Tests marked slow are left out, and with
`--up-to`, for a quick look, those that take longer; Hypothesis draws the same examples each time. Constants of a module
or class are not mutated, nor are decorators and what is decorated, properties and class methods apart.

A survivor that no test could kill is explained in `equivalent_mutants.txt`, in one line; explained ones are run with
`--explained` only, which finds those that are killed after all. Exit status 1 where a survivor is not explained.
"""

# ruff: noqa: T201 - it prints a table
from __future__ import annotations

import argparse
import ast
import difflib
import gc
import hashlib
import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

TESTS = {
    "stats/drift.py": ["stats/test_drift.py"],
    "stats/invariance.py": ["stats/test_invariance.py"],
    "stats/kernels.py": ["stats/test_kernels.py", "stats/test_two_sample.py"],
    "stats/paired.py": ["stats/test_paired.py", "stats/test_invariance.py", "stats/test_drift.py"],
    "stats/quantiles.py": ["stats/test_quantiles.py"],
    "stats/rays.py": ["stats/test_rays.py"],
    "stats/rates.py": ["stats/test_rates.py"],
    "stats/two_sample.py": ["stats/test_two_sample.py"],
    "probes/probe.py": ["probes/test_probe.py", "probes/test_ends.py", "probes/test_shifts.py"],
    "probes/families.py": ["probes/test_families.py", "probes/test_probe.py", "probes/test_shifts.py"],
    "probes/ends.py": ["probes/test_ends.py", "probes/test_probe.py", "probes/test_shifts.py"],
    "probes/shifts.py": ["probes/test_shifts.py"],
    "gate/decision.py": ["gate/test_decision.py"],
    "gate/baseline.py": ["gate/test_baseline.py", "gate/test_decision.py"],
    "results/comparison.py": ["gate/test_decision.py"],
}
"""The tests that are asked about each module of `gentest/`."""
ROOT = Path(__file__).parents[2]
EXPLAINED = Path(__file__).with_name("equivalent_mutants.txt")
SCRATCH = Path(tempfile.gettempdir()) / "gentest-mutation"
TIMED_OUT = 36
MEMORY = 4 << 30
"""What a mutant may take more than its parent has, in bytes."""


@dataclass(frozen=True)
class Mutant:
    """One fault. `text` is what it is known by: module, function, and the lines it takes away and puts there."""

    name: str
    function: str
    text: str


# --- mutants


def mutants_of(source: str, module: str) -> tuple[str, list[Mutant]]:
    """The module with all its mutants in it, of which the environment variable of mutmut picks one, and those."""
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import orig_function_and_class_names_from_key

    mutated = mutate_file_contents(f"gentest/{module}", undecorated(source))
    lines, spans = mutated.code.splitlines(), mutated.line_span_by_function_name
    dotted = "gentest." + module.removesuffix(".py").replace("/", ".")
    found, seen = [], Counter[str]()
    for name in mutated.mutant_names:
        mangled = name.partition("__mutmut_")[0]
        function, owner = orig_function_and_class_names_from_key(f"{dotted}.{name}")
        whole = f"{owner}.{function}" if owner else function
        before, after = (
            [line.replace(given, function) for line in lines[spans[given].start - 1 : spans[given].end]]
            for given in (f"{mangled}__mutmut_orig", name)
        )
        changed = [
            d for d in difflib.unified_diff(before, after, n=0, lineterm="") if not d.startswith(("---", "+++", "@@"))
        ]
        text = "\n".join([f"{module} {whole}", *(f"{line[0]} {line[1:].strip()}" for line in changed)])
        seen[text] += 1
        if seen[text] > 1:
            text = text.replace(whole, f"{whole} ({seen[text]})", 1)
        found.append(Mutant(f"{dotted}.{name}", f"{dotted}.{mangled}", text))
    return mutated.code, found


def undecorated(source: str) -> str:
    """The source with its properties made at its end: mutmut passes over functions that are decorated."""
    lines, last = source.splitlines(), []
    for owner in ast.walk(ast.parse(source)):
        for method in owner.body if isinstance(owner, ast.ClassDef) else []:
            if isinstance(method, ast.FunctionDef):
                decorators = [ast.unparse(decorator) for decorator in method.decorator_list]
                if decorators in (["property"], ["builtins.property"]):
                    lines[method.decorator_list[0].lineno - 1] = ""
                    name = f"{owner.name}.{method.name}"
                    last.append(f"{name} = __import__('builtins').property({name})")
    return "\n".join([*lines, *last]) + "\n"


def explained() -> dict[str, re.Pattern[str]]:
    """The mutants that are explained, by what the file says of them: a mutant's text, in which `...` is anything."""
    known = {}
    for paragraph in EXPLAINED.read_text(encoding="utf-8").split("\n\n"):
        *mutant, _why = [line for line in paragraph.strip().splitlines() if not line.startswith("#")] or [""]
        if mutant:
            text = "\n".join(mutant)
            known[text] = re.compile(".*".join(re.escape(part) for part in text.split("...")))
    return known


# --- one module, in a process of its own, whose working directory is the copy


class Results:
    """What became of each mutant by its text: killed or timed out, in which test; or survived."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"found": {}}
        self._before: dict[str, Any] = self._kept["found"]

    def begin(self, mutants: list[Mutant], of: str) -> None:
        """Results of other code or other tests become hints and no more."""
        found = self._before if self._kept.get("of") == of else {}
        self._kept = {"of": of, "mutants": [mutant.text for mutant in mutants], "found": found}
        self._save()

    def add(self, mutant: Mutant, status: str, by: str) -> None:
        self._kept["found"][mutant.text] = {"status": status, "by": by}
        self._save()

    def killer(self, mutant: Mutant) -> str:
        """The test that noticed it when it was last looked at."""
        return str(self._before.get(mutant.text, {}).get("by", ""))

    @property
    def by_text(self) -> dict[str, str]:
        """The status of each mutant; nothing where it was not run."""
        return {text: self._kept["found"].get(text, {"status": ""})["status"] for text in self._kept["mutants"]}

    def _save(self) -> None:
        whole = self._path.with_suffix(".new")
        whole.write_text(json.dumps(self._kept, indent=1), encoding="utf-8")
        whole.replace(self._path)


class Forks:
    """A plugin of pytest: in place of running the tests that it collected, runs them for each mutant, in a fork."""

    def __init__(
        self, mutants: list[Mutant], passed_over: Iterable[re.Pattern[str]], up_to: float, results: Results
    ) -> None:
        self._mutants = mutants
        self._up_to = up_to
        self._passed_over = tuple(passed_over)
        self._results = results
        self.failed = ""

    def pytest_configure(self) -> None:
        """Before tests are collected, and not before pytest has its hooks in what is imported."""
        import hypothesis

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # that a test fails is enough: no shrinking
        same = hypothesis.settings(derandomize=True, deadline=None, database=None, phases=phases)
        hypothesis.settings.register_profile("mutation", same)
        hypothesis.settings.load_profile("mutation")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._results.begin(self._mutants, f"{fingerprint()} {self._up_to}")
        left = [mutant for mutant in self._mutants if not self._results.by_text[mutant.text]]
        left = [mutant for mutant in left if not any(known.fullmatch(mutant.text) for known in self._passed_over)]
        if not left:
            return True
        warm_up()
        seconds, hits = self._measured(session.items)
        if not self.failed:
            quickest = [item for item in session.items if item.nodeid in seconds]
            quickest.sort(key=lambda item: seconds[item.nodeid])
            for n, mutant in enumerate(left):
                if sys.stderr.isatty():
                    print(f"\r{n} of {len(left)} ", end="", file=sys.stderr, flush=True)
                killer = self._results.killer(mutant)
                items = [item for item in quickest if mutant.function in hits[item.nodeid]]
                items.sort(key=lambda item: item.nodeid != killer)
                self._results.add(mutant, *self._became(mutant, items, seconds))
        return True

    def _measured(self, items: list[pytest.Item]) -> tuple[dict[str, float], dict[str, list[str]]]:
        """How long each test takes, and the functions that it calls, of the module as it is."""
        from mutmut.state import state

        def run(say: Callable[[Any], None]) -> None:
            found: dict[str, dict[str, Any]] = {"seconds": {}, "hits": {}}
            too_long: list[str] = []

            def end(*_: object) -> None:
                too_long.append(item.nodeid)
                raise TimeoutError("this test takes longer than was asked for")

            for item in items:
                state()._stats.clear()
                started = time.process_time()
                limit(self._up_to, end)
                passed = passes(item)
                if item.nodeid in too_long:
                    continue
                if not passed:
                    return say({"failed": item.nodeid})
                found["seconds"][item.nodeid] = time.process_time() - started
                found["hits"][item.nodeid] = sorted(state()._stats)
            say(found)

        status, found = in_fork(run, "stats")
        if "seconds" not in found:
            self.failed = found.get("failed", f"exit status {status}")
            return {}, {}
        return found["seconds"], found["hits"]

    def _became(self, mutant: Mutant, items: list[pytest.Item], seconds: dict[str, float]) -> tuple[str, str]:
        def run(say: Callable[[Any], None]) -> None:
            for item in items:

                def end(*_: object, by: str = item.nodeid) -> None:
                    say({"by": by})
                    os._exit(TIMED_OUT)

                limit(10.0 * seconds[item.nodeid] + 2.0, end)
                if not passes(item):
                    return say({"by": item.nodeid})

        status, found = in_fork(run, mutant.name)
        became = "timed out" if status == TIMED_OUT else "killed" if status or found else "survived"
        return became, found.get("by", "")


def warm_up() -> None:
    """What would be imported or filled in each fork anew: all that Hypothesis puts off, and the collector's lists."""
    from hypothesis import given
    from hypothesis import strategies as st

    given(st.lists(st.integers() | st.floats() | st.text()))(lambda some: None)()
    gc.freeze()


def passes(item: pytest.Item) -> bool:
    """Whether a test passes, its set-up and tear-down as well."""
    from _pytest.runner import runtestprotocol

    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def limit(seconds: float, then: Callable[[int, Any], None]) -> None:
    """Calls `then` when this process has worked for so long from now; or waited for long, on a machine however busy."""
    for timer, fired, after in (
        (signal.ITIMER_PROF, signal.SIGPROF, seconds),
        (signal.ITIMER_REAL, signal.SIGALRM, 60.0 + 60.0 * seconds),
    ):
        signal.signal(fired, then)
        signal.setitimer(timer, after if math.isfinite(after) else 0.0)


def in_fork(run: Callable[[Callable[[Any], None]], None], mutant: str) -> tuple[int, dict[str, Any]]:
    """The exit status of `run` in a process of its own where this mutant is in force, and what it said, if anything."""
    from mutmut.mutation.trampoline import set_mutant_under_test

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(1, 2)
            if sys.platform == "linux":
                pages = int(Path("/proc/self/statm").read_text().split()[0])
                resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
            set_mutant_under_test(mutant)
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                run(lambda value: print(json.dumps(value), file=pipe, flush=True))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), json.loads(said) if said else {}


def fingerprint() -> str:
    """Of all that was imported from this copy, and of mutmut: what a result depends on."""
    import mutmut

    here = str(Path.cwd()) + os.sep
    files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    digest = hashlib.sha256(mutmut.__version__.encode())
    for file in sorted(file for file in files if file.startswith(here)):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def run_module(module: str, up_to: float, *, also_explained: bool) -> int:
    """Runs the mutants of one module, of which this process's working directory has the copy."""
    path = Path("gentest", module)
    mutated, mutants = mutants_of(path.read_text(encoding="utf-8"), module)
    path.write_text(mutated, encoding="utf-8")
    forks = Forks(mutants, () if also_explained else explained().values(), up_to, Results(Path("results.json")))
    tests = [f"tests/{name}" for name in TESTS[module]]
    options = ["-qq", "--no-header", "--tb=no", "-s", "-p", "no:cacheprovider"]
    code = pytest.main([*options, *tests], plugins=[forks])
    if code or forks.failed:
        print(f"{module}: its tests fail without any mutant: {forks.failed or f'pytest ended with {code}'}")
    return int(bool(code or forks.failed))


# --- all of them


def copy(module: str, scratch: Path) -> Path:
    """A copy of what the tests of a module need, in a folder that keeps its results."""
    folder = scratch / module.removesuffix(".py").replace("/", ".")
    for name in ("gentest", "tests"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "conftest.py", folder)
    told = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(told + '\n[tool.mutmut]\nsource_paths = ["gentest"]\n', encoding="utf-8")
    return folder


def rows(tally: dict[str, Counter[str]]) -> Iterator[str]:
    """A line for each module, and one for the statistics together."""
    statistics = sum((counts for module, counts in tally.items() if module.startswith("stats/")), Counter[str]())
    yield f"{'module':<22}{'mutants':>8}{'killed':>8}{'timed out':>11}{'survived':>10}{'explained':>11}{'killed':>9}"
    for module, counts in {**tally, "stats/": statistics}.items():
        n, dead = counts["mutants"], counts["killed"] + counts["timed out"]
        if n:
            yield (
                f"{module:<22}{n:>8}{counts['killed']:>8}{counts['timed out']:>11}{counts['survived']:>10}"
                f"{counts['explained']:>11}{dead / n:>9.1%}"
            )


def main(modules: list[str], scratch: Path, up_to: float, *, also_explained: bool) -> int:
    known, tally, survivors, stale = explained(), {}, [], []
    for module in modules:
        started, folder = time.monotonic(), copy(module, scratch)
        command = [sys.executable, str(Path(__file__).resolve()), "--here", module, "--up-to", str(up_to)]
        env = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        done = subprocess.run(command + ["--explained"] * also_explained, cwd=folder, env=env, check=False)
        if done.returncode:
            return done.returncode
        by_text = Results(folder / "results.json").by_text
        counts, unused = Counter(mutants=len(by_text)), {text for text in known if text.startswith(f"{module} ")}
        for text, status in by_text.items():
            why = [said for said, pattern in known.items() if pattern.fullmatch(text)]
            status = status or "survived"  # what is explained and was not run
            counts[status] += 1
            counts["explained"] += bool(why) and status == "survived"
            if status == "survived":
                unused.difference_update(why)
                survivors += [] if why else [text]
        stale += sorted(unused)
        tally[module] = counts
        print(f"{module}: {len(by_text)} mutants in {time.monotonic() - started:.0f} s", file=sys.stderr)
    for title, texts in (("survived", survivors), ("explained, and not there or killed", stale)):
        for text in texts:
            print(f"{title}: {text}\n")
    print("\n".join(rows(tally)))
    return int(bool(survivors or stale))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as stats/rates.py; all of them without")
    parser.add_argument("--scratch", type=Path, default=SCRATCH, help="where copies and results are (%(default)s)")
    parser.add_argument("--explained", action="store_true", help="run mutants that are explained too")
    parser.add_argument("--up-to", type=float, default=math.inf, metavar="SECONDS", help="leave out longer tests")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := [module for module in given.modules if module not in TESTS]:
        parser.error(f"no tests are known for {', '.join(unknown)}; known are {', '.join(TESTS)}")
    if given.here:
        sys.exit(run_module(given.modules[0], given.up_to, also_explained=given.explained))
    sys.exit(main(given.modules or list(TESTS), given.scratch.resolve(), given.up_to, also_explained=given.explained))
