"""The results of a pytest run, gathered from this process or xdist's workers, and handed to the reports."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from collections.abc import Generator as Iteration
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import pytest

from gentest import plugin
from gentest._support import __version__
from gentest._support.printable import printable
from gentest.engine.evidence.maker import resolve_device
from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.plugin import github, replays
from gentest.plugin.baseline_run import Gating
from gentest.plugin.report_files import Drawing
from gentest.plugin.session_end import Ending, undisturbed
from gentest.plugin.troubles import Troubles
from gentest.report import certainty, comparison, junit, layout, ranking, terminal
from gentest.report.table import table
from gentest.report.terminal import unfinished
from gentest.results.comparison import Comparison
from gentest.results.document import Document, Session
from gentest.results.outcome import Outcome
from gentest.results.result import Result
from gentest.results.settings import Values

VERSIONS = ("torch", "hypothesis", "numpy", "open_clip_torch", "pytest")
REPORTED = "gentest_results"
"""The attribute of a test's report that carries its results, also from an xdist worker."""
MARKUP = {Outcome.PASSED: "green", Outcome.UNDECIDED: "yellow", Outcome.FAILED: "red", Outcome.ERROR: "red"}
Made = TypeVar("Made")


def attach(item: pytest.Item, report: pytest.TestReport, results: Mapping[str, Result]) -> None:
    """Send a test's results, by the labels of its properties, with its report; their figures also to JUnit's file.

    What an earlier run of the same item left is replaced: a plugin may run it again.
    """
    setattr(
        report, REPORTED, json.dumps([result.to_json(shown=result.shown is not None) for result in results.values()])
    )
    named = [pair for label, result in results.items() for pair in junit.properties(label, result)]
    for kept in (item.user_properties, report.user_properties):  # that of the last phase is the one JUnit reads
        kept[:] = [pair for pair in kept if not pair[0].startswith(junit.PREFIX)]
        kept += named


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
        ending: Ending,
        troubles: Troubles,
    ) -> None:
        self.config = config
        self._path = path
        self._drawing = drawing
        self._replayed = replayed
        self._values = values
        self._gating = gating
        self._ending = ending
        self._troubles = troubles
        self._stopped = ""
        self._compared: Comparison | None = None
        self._said: list[str] = []
        self._skipped: set[str] = set()
        self._places: dict[str, github.Place] = {}
        self._failed: set[tuple[str, str]] = set()
        self._explained: set[tuple[str, str, str]] = set()
        self._reported: dict[tuple[str, str], list[Result]] = {}

    @property
    def results(self) -> list[Result]:
        """The results so far, in the order in which their tests ended, and what is decided of one that did not end."""
        return [result for results in (*self._reported.values(), self._ending.begun) for result in results]

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._skipped.add(report.nodeid)
            self._ending.ended(report.nodeid)
        if hasattr(report, REPORTED):
            results = [Result.from_json(value) for value in json.loads(getattr(report, REPORTED))]
            self._reported[report.nodeid, report.location[0]] = results
            if results:
                self._ending.ended(report.nodeid)
            file, line, _ = report.location
            self._places.update((result.test, (file, (line or 0) + 1)) for result in results)
            if report.failed:
                self._failed.update((r.test, r.checkpoint) for r in results)
                self._explained.update((r.test, r.checkpoint, r.property) for r in results if not r.passed)

    @pytest.hookimpl(wrapper=True, trylast=True)  # the terminal's summary comes after it
    def pytest_sessionfinish(self, session: pytest.Session) -> Iteration[None, None, None]:
        """Writes what was asked for, also where somebody is impatient while fixtures are torn down."""
        try:
            return (yield)
        finally:
            if not self.config.getoption("collectonly"):
                with undisturbed():
                    self._finish(session)

    def _finish(self, session: pytest.Session) -> None:
        self._stopped = self._ending.stopped(session)
        self._compared = self._said_of(lambda: self._gating.compared(self.results))
        if self._path is not None:
            path = self._path
            self._said_of(lambda: self._document().save(path))
        self._said_of(lambda: self._drawing.write(self._document()))
        self._said += self._drawing.said(self.results)
        self._said_of(lambda: self._bless(session))
        if self.results:
            self._said += github.summarize(self.config, self._document())
        refused = self._compared is not None and self._gating.refuses(self._compared)
        for bad, status in (
            (refused, pytest.ExitCode.TESTS_FAILED),
            (self._stopped and self._ending.unchecked, pytest.ExitCode.INTERRUPTED),
            (self._troubles.fails, pytest.ExitCode.INTERNAL_ERROR),
            (self._replayed is not None and not self.results, pytest.ExitCode.NO_TESTS_COLLECTED),
        ):
            if bad and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = status

    def _said_of(self, step: Callable[[], Made]) -> Made | None:
        """What a step gives; where it cannot write, or what it has is not fit to be, the others are still made."""
        try:
            return step()
        except (OSError, ValueError) as error:
            self._troubles.note(f"could not write: {error}", fails=True)
        return None

    def _bless(self, session: pytest.Session) -> None:
        """Writes the baseline that was asked for; a refusal fails the run."""
        partial = unfinished(self._stopped, self._ending.unchecked)
        try:
            said = self._gating.bless(self.results, self._values().seed, skipped=self._skipped, partial=partial)
        except InvalidArgument as error:
            said = f"not blessed: {error}"
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._said += [said] if said else []

    def _document(self) -> Document:
        """The run as its JSON has it: each property's standing as all claims together left it."""
        keep = self._gating.keeps_outcomes
        results = [result if keep else replace(result, sample=None) for result in self.results]
        if self._compared is not None:
            results = gate.applied(results, self._compared)
        return Document(
            self.session(),
            tuple(results),
            self._compared,
            gentest=__version__,
            interrupted=self._stopped,
            unchecked=self._ending.unchecked,
            family=certainty.family(results),
        )

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = self._summary(verbosity=self.config.getoption("verbose", 0))
        if lines:
            terminalreporter.write_sep("=", "gentest")
        for line in lines:
            markup = {} if line.outcome is None else {MARKUP[line.outcome]: True}
            terminalreporter.write_line(printable(line.text), **markup)
        if self.results:
            for command in github.annotated(self.config, self._document(), self._places, self._failed):
                terminalreporter.write_line(command)

    def _summary(self, *, verbosity: int) -> list[layout.Line]:
        """The table, the run in one line, and how it stands to the baseline; under `-q` only rows that do not pass."""
        document = self._document() if self.results else None
        results = document.results if document is not None else ()
        width = layout.columns()
        lines = table(
            [result for result in results if verbosity >= 0 or not result.passed],
            width=width,
            verbose=verbosity > 0,
            explained=lambda result: (result.test, result.checkpoint, result.property) in self._explained,
            replay=lambda text: replays.shown(self.config, text),
        )
        if document is not None:
            said = f"{terminal.totals(results)} on {document.session.device}, seed {document.session.seed}"
            worst = Outcome.worst(result.outcome for result in results)
            lines.append(layout.Line(said, worst))  # one line, however long: others read it
            lines += [layout.Line(text) for text in certainty.said(document, width) if verbosity >= 0]
        elif self._replayed is not None:
            lines.append(layout.Line(f"--gentest-replay: no selected test has a property {self._replayed!r}"))
        lines += [layout.Line(text) for text in ranking.table(results)]
        if self._compared is not None:
            compared = comparison.lines(self._compared, width)
            lines += compared if verbosity >= 0 else compared[-1:]
        lines += [layout.Line(said) for said in (*self._said, *self._troubles.lines)]
        partial = unfinished(self._stopped, self._ending.unchecked)
        return lines + ([layout.Line(partial, Outcome.FAILED)] if partial else [])

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
