"""What other plugins and options of pytest do to a run: those that were tried, and really get in the way.

pytest-randomly, pytest-cov, pytest-socket, pytest-asyncio and pytest-hypothesis's own profiles were tried as well, and
change no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gentest.cli.doctor.finding import NOTE, OK, PROBLEM, Finding

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
