"""Checks of `gentest doctor` that import no torch: what is installed, and what other pytest plugins do to a run.

Versions are read from the packages' metadata.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path
from typing import Any

DISTRIBUTION = "pytest-gentest"
DEVELOPERS_EXTRAS = ("test", "faces")
AUTOLOAD = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
SHORT_TIMEOUT = 300.0
"""Seconds that a test with several properties can need on a CPU."""


class State(Enum):
    """How bad a finding is: a problem stops a run, a note costs time or may spoil it."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    about: str
    state: State
    message: str
    fix: str = ""
    """How to fix it; empty if there is nothing to fix."""

    def to_json(self) -> dict[str, Any]:
        return {"about": self.about, "state": self.state.value, "said": self.message, "do": self.fix}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Finding:
        return cls(value["about"], State(value["state"]), value["said"], value["do"])


def installed() -> list[Finding]:
    """Findings on Python, gentest, its requirements and its extras."""
    python = Finding("python", State.OK, f"{platform.python_version()} at {sys.executable}")
    try:
        declared = metadata.requires(DISTRIBUTION) or []
        version = metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        message = f"{DISTRIBUTION} is not installed, so pytest does not know --gentest"
        return [python, Finding("gentest", State.PROBLEM, message, f"pip install {DISTRIBUTION}")]
    gentest = Finding("gentest", State.OK, f"{version} at {Path(__file__).parents[1]}")
    return [python, gentest, *requirements(declared), *_extras(declared), *_autoload()]


def requirements(declared: list[str]) -> list[Finding]:
    """A finding for each requirement that holds on this Python: its version, and whether that is new enough."""
    from packaging.requirements import Requirement

    findings = []
    for need in map(Requirement, declared):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        version = _version(need.name)
        message = f"{version or 'not installed'} (needs {need.specifier})"
        if version is not None and need.specifier.contains(version, prereleases=True):
            findings.append(Finding(need.name, State.OK, message))
        else:
            findings.append(Finding(need.name, State.PROBLEM, message, f"pip install '{need.name}{need.specifier}'"))
    return findings


def _extras(declared: list[str]) -> list[Finding]:
    """One finding that lists the extras, and a note on each package of an installed extra that is too old."""
    from packaging.requirements import Requirement

    optional = [(need, need.marker) for need in map(Requirement, declared) if need.marker is not None]
    optional = [(need, marker) for need, marker in optional if not marker.evaluate({"extra": ""})]
    present, missing = [], []
    old: dict[Requirement, str] = {}
    for extra in sorted(metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []):
        if extra in DEVELOPERS_EXTRAS:
            continue
        versions = {need: _version(need.name) for need, marker in optional if marker.evaluate({"extra": extra})}
        if not versions or None in versions.values():
            missing.append(extra)
            continue
        present.append(extra)
        old |= {n: v for n, v in versions.items() if v is not None and not n.specifier.contains(v, prereleases=True)}
    lists = {"installed": present, "not": missing}
    message = "; ".join(f"{words}: {', '.join(extras)}" for words, extras in lists.items() if extras)
    fix = f"if you need them: pip install '{DISTRIBUTION}[{','.join(missing)}]'" if missing else ""
    findings = [Finding("extras", State.OK, message, fix)] if message else []
    for need, version in old.items():
        message = f"{version} (an extra needs {need.specifier})"
        findings.append(Finding(need.name, State.NOTE, message, f"pip install -U '{need}'"))
    return findings


def _autoload() -> list[Finding]:
    if not os.environ.get(AUTOLOAD):
        return []
    message = f"{AUTOLOAD} is set, so pytest loads no plugin by itself"
    return [Finding("plugins", State.PROBLEM, message, "unset it, or run pytest -p gentest.plugin --gentest")]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class PytestRun:
    """The options and plugins of a run of pytest that can get in gentest's way."""

    plugins: frozenset[str] = frozenset()
    workers: int | str = 0
    reruns: int = 0
    count: int = 1
    forked: bool = False
    timeout: float = 0.0
    """Seconds; 0 without a limit."""
    strict_warnings: bool = False
    """True if every warning is an error."""
    undecided_warns: bool = False
    on_cuda: bool = False
    n_gpus: int = 0
    baseline: bool = False


def conflicts(run: PytestRun) -> list[Finding]:
    """A finding for each plugin or option that gets in the way, or one that says that none does.

    pytest-randomly, pytest-cov, pytest-socket, pytest-asyncio and Hypothesis's profiles were tried, and change no
    verdict.
    """
    others = sorted(name for name in run.plugins if name.startswith("pytest-") and name != DISTRIBUTION)
    none = Finding("plugins", State.OK, f"none in the way{': ' if others else ''}{', '.join(others)}")
    return list(_conflicts(run)) or [none]


def _conflicts(run: PytestRun) -> Iterator[Finding]:
    if run.forked:
        message = "pytest-forked: with --forked a test's result is lost with its process"
        yield Finding("plugins", State.PROBLEM, message, "run without --forked")
    if 0.0 < run.timeout < SHORT_TIMEOUT:
        message = f"pytest-timeout: a test is stopped after {run.timeout:g} s, and a stopped test has checked nothing"
        yield Finding("plugins", State.NOTE, message, "a test can take minutes on a CPU: --timeout 0, or a larger one")
    if run.reruns:
        message = f"pytest-rerunfailures: a test that fails is run {run.reruns + 1} times, with the same verdict"
        yield Finding("plugins", State.NOTE, message, "--reruns 0 saves the time")
    if run.count > 1:
        message = f"pytest-repeat: each test is run {run.count} times on the same probes"
        message += ", under names that the baseline does not have" if run.baseline else ""
        state = State.PROBLEM if run.baseline else State.NOTE
        yield Finding("plugins", state, message, "use --count 1; another --gentest-seed checks other probes")
    if run.workers and run.on_cuda and run.n_gpus < 2:
        message = f"pytest-xdist: {run.workers} workers share one GPU, and each holds the model and the CLIP"
        yield Finding("plugins", State.NOTE, message, "use -n 0: batches keep one GPU busy")
    if run.strict_warnings and run.undecided_warns:
        message = "warnings are errors, so an undecided rate fails its test although --gentest-undecided is warn"
        yield Finding("warnings", State.NOTE, message, "filterwarnings: add default::gentest.errors.UndecidedWarning")
