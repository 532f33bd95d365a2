"""The results of a pytest run, gathered from this process or xdist's workers, and handed to the reports."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

import pytest

import gentest
from gentest import plugin
from gentest._settings import Values
from gentest.engine.context import resolve_device
from gentest.report import terminal
from gentest.report.document import write_json
from gentest.result import Result, Session, document

VERSIONS = ("torch", "hypothesis", "numpy", "open_clip_torch", "pytest")
REPORTED = "gentest_results"
"""The attribute of a test's report that carries its results, also from an xdist worker."""


def attach(report: pytest.TestReport, results: Iterable[Result]) -> None:
    """Send a test's results with its report."""
    setattr(report, REPORTED, json.dumps([result.to_json() for result in results]))


class Gathering:
    """Registered as a plugin where a run ends: in the only process, or in the controller of xdist's workers."""

    def __init__(
        self, config: pytest.Config, *, path: Path | None, replayed: str | None, values: Callable[[], Values]
    ) -> None:
        self.config = config
        self._path = path
        self._replayed = replayed
        self._values = values
        self._reported: dict[tuple[str, str], list[Result]] = {}
        self._unwritten = ""

    @property
    def results(self) -> list[Result]:
        """The results so far, in the order in which their tests ended."""
        return [result for results in self._reported.values() for result in results]

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, REPORTED):
            results = [Result.from_json(value) for value in json.loads(getattr(report, REPORTED))]
            self._reported[report.nodeid, report.location[0]] = results

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._path is not None and not self.config.getoption("collectonly"):
            try:
                write_json(self._path, document(self.session(), self.results, version=gentest.__version__))
            except (OSError, ValueError) as error:
                self._unwritten = f"could not write: {error}"
                if exitstatus == pytest.ExitCode.OK:
                    session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        if self._replayed is not None and not self.results and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        results = self.results
        lines = terminal.table(results)
        if results:
            session = self.session()
            lines.append(f"{terminal.totals(results)} on {session.device}, seed {session.seed}")
        elif self._replayed is not None:
            lines.append(f"--gentest-replay: no selected test has a property {self._replayed!r}")
        if self._unwritten:
            lines.append(self._unwritten)
        if lines:
            terminalreporter.write_sep("=", "gentest")
        for line in lines:
            terminalreporter.write_line(line)

    def session(self) -> Session:
        """What the run was made with."""
        values, checkpoint = self._values(), plugin.OPTIONS[0]
        generators = {result.generator for result in self.results if result.generator}
        return Session(
            checkpoint=self.config.getoption(checkpoint.flag) or self.config.getini(checkpoint.ini) or None,
            generator=generators.pop() if len(generators) == 1 else None,
            clip=values.clip,
            device=str(resolve_device(values.device)),
            seed=values.seed,
            versions={"python": platform.python_version(), **{name: metadata.version(name) for name in VERSIONS}},
        )
