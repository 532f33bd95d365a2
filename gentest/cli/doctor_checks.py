"""What `gentest doctor` checks without importing torch: installed versions, and other plugins that get in the way."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

OK, NOTE, PROBLEM = "ok", "note", "problem"
STATES = (OK, NOTE, PROBLEM)


@dataclass(frozen=True)
class Finding:
    """One row: of what, whether it is well, what was seen and what to do.

    A note is what costs time, or may spoil a run; a problem stops one.
    """

    about: str
    state: str
    said: str
    do: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Finding:
        return cls(**value)


DISTRIBUTION = "pytest-gentest"
NOT_FOR_USERS = ("test", "faces")
AUTOLOAD = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"


def installed() -> list[Finding]:
    """Python, gentest, everything that it needs, and its extras."""
    python = Finding("python", OK, f"{platform.python_version()} at {sys.executable}")
    try:
        declared = metadata.requires(DISTRIBUTION) or []
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        said = f"{DISTRIBUTION} is not installed, and pytest does not know --gentest"
        return [python, Finding("gentest", PROBLEM, said, f"pip install {DISTRIBUTION}")]
    here = Path(__file__).parents[1]
    return [
        python,
        Finding("gentest", OK, f"{version} at {here}"),
        *_needed(declared),
        *_extras(declared),
        *_autoload(),
    ]


def _needed(declared: list[str]) -> list[Finding]:
    from packaging.requirements import Requirement

    found = []
    for need in map(Requirement, declared):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        version = _version(need.name)
        said = f"{version or 'not installed'} (needs {need.specifier})"
        fits = version is not None and need.specifier.contains(version, prereleases=True)
        do = "" if fits else f"pip install '{need.name}{need.specifier}'"
        found.append(Finding(need.name, OK if fits else PROBLEM, said, do))
    return found


def _extras(declared: list[str]) -> list[Finding]:
    """Which extras are there; one that is there in too old a version is worth a note."""
    from packaging.requirements import Requirement

    needs = [Requirement(text) for text in declared]
    markers = {need: need.marker for need in needs if need.marker is not None}
    there, missing, old = [], [], []
    for extra in sorted(metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []):
        if extra in NOT_FOR_USERS:
            continue
        own = [n for n, marker in markers.items() if marker.evaluate({"extra": extra})]
        versions = {need: _version(need.name) for need in own if not markers[need].evaluate({"extra": ""})}
        if not versions or None in versions.values():
            missing.append(extra)
        else:
            there.append(extra)
            old += [n for n, v in versions.items() if v is not None and not n.specifier.contains(v, prereleases=True)]
    said = [
        *([f"installed: {', '.join(there)}"] if there else []),
        *([f"not: {', '.join(missing)}"] if missing else []),
    ]
    do = f"where they are needed: pip install '{DISTRIBUTION}[{','.join(missing)}]'" if missing else ""
    found = [Finding("extras", OK, "; ".join(said), do)] if said else []
    return found + [
        Finding(need.name, NOTE, f"{_version(need.name)} (an extra needs {need.specifier})", f"pip install -U '{need}'")
        for need in dict.fromkeys(old)
    ]


def _autoload() -> list[Finding]:
    if not os.environ.get(AUTOLOAD):
        return []
    said = f"{AUTOLOAD} is set, so pytest loads no plugin by itself"
    return [Finding("plugins", PROBLEM, said, "unset it, or run pytest -p gentest.plugin --gentest")]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


LONG = 300.0
"""Seconds that a test with several properties may well take on a CPU."""


@dataclass(frozen=True)
class Run:
    """What there is to know of a run of pytest."""

    plugins: frozenset[str] = frozenset()
    workers: int | str = 0
    reruns: int = 0
    count: int = 1
    forked: bool = False
    timeout: float = 0.0
    """Seconds; 0 where there is no limit."""
    strict_warnings: bool = False
    """Whether every warning is an error."""
    undecided: str = "fail"
    on_cuda: bool = False
    n_gpus: int = 0
    baseline: bool = False


def conflicts(run: Run) -> list[Finding]:
    """A finding for each, or one that says that there are none."""
    others = sorted(name for name in run.plugins if name.startswith("pytest-") and name != "pytest-gentest")
    return list(_found(run)) or [Finding("plugins", OK, f"none in the way{': ' if others else ''}{', '.join(others)}")]


def _found(run: Run) -> Iterator[Finding]:
    if run.forked:
        yield Finding(
            "plugins",
            PROBLEM,
            "pytest-forked: --forked ends each test before its result is told",
            "leave --forked away",
        )
    if 0.0 < run.timeout < LONG:
        said = f"pytest-timeout: a test is stopped after {run.timeout:g} s, and then nothing of it was checked"
        yield Finding("plugins", NOTE, said, "on a CPU a test takes minutes: --timeout 0, or a larger one")
    if run.reruns:
        said = f"pytest-rerunfailures: a test that fails is run {run.reruns + 1} times, and a verdict stays what it is"
        yield Finding("plugins", NOTE, said, "--reruns 0 saves the time")
    if run.count > 1:
        said = f"pytest-repeat: each test is run {run.count} times on the same probes"
        do = "--count 1; another --gentest-seed looks at others"
        names = ", under names that the baseline does not have" if run.baseline else ""
        yield Finding("plugins", PROBLEM if run.baseline else NOTE, said + names, do)
    if run.workers and run.on_cuda and run.n_gpus < 2:
        said = f"pytest-xdist: {run.workers} workers share one GPU, and each holds the model and the CLIP"
        yield Finding("plugins", NOTE, said, "-n 0: batches keep one GPU busy")
    if run.strict_warnings and run.undecided == "warn":
        said = "warnings are errors, so an undecided rate fails its test although --gentest-undecided is warn"
        yield Finding("warnings", NOTE, said, "filterwarnings: add default::gentest.errors.UndecidedWarning")
