"""The results of a pytest run, gathered from this process or xdist's workers, and handed to the reports."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

import gentest
from gentest import gate, plugin
from gentest._settings import Values
from gentest.comparison import Comparison
from gentest.drawing import Drawing
from gentest.engine.context import resolve_device
from gentest.errors import InvalidArgument
from gentest.gating import Gating
from gentest.report import comparison, ranking, terminal
from gentest.report.document import write_json
from gentest.result import Document, Result, Session

VERSIONS = ("torch", "hypothesis", "numpy", "open_clip_torch", "pytest")
REPORTED = "gentest_results"
"""The attribute of a test's report that carries its results, also from an xdist worker."""


def attach(report: pytest.TestReport, results: Iterable[Result]) -> None:
    """Send a test's results with its report."""
    setattr(report, REPORTED, json.dumps([result.to_json(shown=result.shown is not None) for result in results]))


class Gathering:
    """Registered as a plugin where a run ends: in the only process, or in the controller of xdist's workers."""

    def __init__(
        self,
        config: pytest.Config,
        *,
        path: Path | None,
        drawing: Drawing,
        replayed: str | None,
        values: Callable[[], Values],
        gating: Gating,
    ) -> None:
        self.config = config
        self._path = path
        self._drawing = drawing
        self._replayed = replayed
        self._values = values
        self._gating = gating
        self._compared: Comparison | None = None
        self._said: list[str] = []
        self._skipped: set[str] = set()
        self._reported: dict[tuple[str, str], list[Result]] = {}

    @property
    def results(self) -> list[Result]:
        """The results so far, in the order in which their tests ended."""
        return [result for results in self._reported.values() for result in results]

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._skipped.add(report.nodeid)
        if hasattr(report, REPORTED):
            results = [Result.from_json(value) for value in json.loads(getattr(report, REPORTED))]
            self._reported[report.nodeid, report.location[0]] = results

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.config.getoption("collectonly"):
            return
        stopped = session.shouldfail or session.shouldstop
        whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not stopped
        try:
            self._compared = self._gating.compared(self.results)
            if self._path is not None:
                write_json(self._path, self._document().to_json())
            self._drawing.write(self._document())
            self._said += self._drawing.said(self.results)
            if whole:
                self._bless(session)
        except (OSError, ValueError) as error:
            self._said.append(f"could not write: {error}")
            if exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        refused = self._compared is not None and self._gating.refuses(self._compared)
        if refused and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._replayed is not None and not self.results and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

    def _bless(self, session: pytest.Session) -> None:
        """Writes the baseline that was asked for; a refusal fails the run."""
        try:
            said = self._gating.bless(self.results, self._values().seed, skipped=self._skipped)
        except InvalidArgument as error:
            said = f"not blessed: {error}"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._said += [said] if said else []

    def _document(self) -> Document:
        """The run as its JSON has it: each property's standing as all claims together left it."""
        keep = self._gating.keeps_outcomes
        results = [result if keep else replace(result, sample=None) for result in self.results]
        if self._compared is not None:
            results = gate.applied(results, self._compared)
        return Document(self.session(), tuple(results), self._compared, gentest=gentest.__version__)

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        results = self.results
        lines = terminal.table(results)
        if results:
            session = self.session()
            lines.append(f"{terminal.totals(results)} on {session.device}, seed {session.seed}")
        elif self._replayed is not None:
            lines.append(f"--gentest-replay: no selected test has a property {self._replayed!r}")
        lines += ranking.table(results)
        if self._compared is not None:
            lines += comparison.lines(self._compared)
        lines += self._said
        if lines:
            terminalreporter.write_sep("=", "gentest")
        for line in lines:
            terminalreporter.write_line(line)

    def session(self) -> Session:
        """What the run was made with."""
        values = self._values()
        generators = {result.generator for result in self.results if result.generator}
        return Session(
            checkpoint=", ".join(self._checkpoints()) or None,
            checkpoints=tuple(self._gating.names),
            generator=generators.pop() if len(generators) == 1 else None,
            clip=values.clip,
            device=str(resolve_device(values.device)),
            seed=self._gating.seed(values),
            versions={"python": platform.python_version(), **{name: metadata.version(name) for name in VERSIONS}},
        )

    def _checkpoints(self) -> list[str]:
        """The checkpoints as they were asked for."""
        given = self.config.getoption(plugin.CHECKPOINT.flag)
        return list(given or self.config.getini(plugin.CHECKPOINT.ini).splitlines())
