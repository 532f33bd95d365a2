"""The results of a run, collected from this process or from pytest-xdist's workers, and handed to the reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from collections.abc import Generator as Iteration
from dataclasses import replace
from typing import TypeVar

import pytest

from gentest._support import __version__
from gentest._support.printable import printable
from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.generators.modules import resolve_device
from gentest.plugin import github, options, replays
from gentest.plugin.baseline_run import BaselineRun
from gentest.plugin.checkpoints import FIXTURE, CheckpointUse
from gentest.plugin.hooks import Listeners
from gentest.plugin.options import RunOptions
from gentest.plugin.report_files import ReportFiles
from gentest.plugin.session_end import Completion, Problems, signals_ignored
from gentest.report import junit, run_facts, terminal
from gentest.report.terminal import Line
from gentest.results import validity
from gentest.results.comparison import Comparison
from gentest.results.document import Document, Family, Session, installed_versions, making_versions
from gentest.results.outcome import Outcome
from gentest.results.result import Result

VERSIONS = ("torch", "hypothesis", "numpy", "open_clip_torch", "pytest")
REPORTED = "gentest_results"
"""The attribute of a test's report that carries its results, also from a worker."""
MARKUP = {Outcome.PASSED: "green", Outcome.UNDECIDED: "yellow", Outcome.FAILED: "red", Outcome.ERROR: "red"}
T = TypeVar("T")


def attach(item: pytest.Item, report: pytest.TestReport, results: Mapping[str, Result]) -> None:
    """Send a test's results with its report, by the labels of its properties, and their figures to JUnit's file.

    They replace the results of an earlier run of the same item: a plugin may run it again.
    """
    values = [result.to_json(drawings=result.drawings is not None) for result in results.values()]
    setattr(report, REPORTED, json.dumps(values))
    named = [pair for label, result in results.items() for pair in junit.properties(label, result)]
    for kept in (item.user_properties, report.user_properties):  # JUnit reads those of the last phase
        kept[:] = [pair for pair in kept if not pair[0].startswith(junit.PREFIX)]
        kept += named


class SessionResults:
    """Registered as a plugin in the process where a run ends: the only one, or the controller of xdist's workers."""

    def __init__(
        self,
        config: pytest.Config,
        listeners: Listeners,
        options: RunOptions,
        *,
        baseline_run: BaselineRun,
        completion: Completion,
        problems: Problems,
        report_files: ReportFiles,
        checkpoint_use: CheckpointUse,
    ) -> None:
        self._config = config
        self._listeners = listeners
        self._options = options
        self._baseline_run = baseline_run
        self._completion = completion
        self._problems = problems
        self._report_files = report_files
        self._checkpoint_use = checkpoint_use
        self._comparison: Comparison | None = None
        self._document: Document | None = None
        self._unfinished = ""
        self._lines: list[str] = []
        self._skipped: set[str] = set()
        self._places: dict[str, github.Place] = {}
        self._failed: set[tuple[str, str]] = set()
        self._ended_early: set[str] = set()
        """The tests that failed only because the budget ended before they were decided."""
        self._explained: set[tuple[str, str, str]] = set()
        self._reported: dict[tuple[str, str], list[Result]] = {}

    @property
    def results(self) -> list[Result]:
        """The results so far, in the order in which their tests ended; last those of a test that was interrupted.

        Each is judged in the light of the others: a later test may have met what an earlier one says there is not.
        """
        reported = (*self._reported.values(), self._completion.partial)
        return validity.of_a_run([result for results in reported for result in results])

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._skipped.add(report.nodeid)
            self._completion.end(report.nodeid)
        if hasattr(report, REPORTED):
            results = [Result.from_json(value) for value in json.loads(getattr(report, REPORTED))]
            self._reported[report.nodeid, report.location[0]] = results
            if results:
                self._completion.end(report.nodeid)
            file, line, _ = report.location
            self._places.update((result.test, (file, (line or 0) + 1)) for result in results)
            for result in results:
                self._listeners.tell_result(result)
            left = [r for r in results if not r.passed]
            if report.failed and left and all(r.undecided and r.shortfall is not None for r in left):
                self._ended_early.add(report.nodeid)
            if report.failed:
                self._failed.update((r.test, r.checkpoint) for r in results)
                self._explained.update((r.test, r.checkpoint, r.property) for r in results if not r.passed)

    @pytest.hookimpl(wrapper=True, trylast=True)  # before the terminal's summary
    def pytest_sessionfinish(self, session: pytest.Session) -> Iteration[None, None, None]:
        """Write the files, even if the user presses Ctrl-C again while fixtures are torn down."""
        try:
            return (yield)
        finally:
            if not self._options.collects_only:
                with signals_ignored():
                    self._finish(session)
                document = self._document
                if document is not None:
                    self._lines += self._listeners.tell_finished(document, lambda: self._report_files.html(document))

    def _finish(self, session: pytest.Session) -> None:
        stopped, path = self._completion.stopped_by(session), self._options.json
        self._unfinished = run_facts.unfinished(stopped, self._completion.unchecked)
        self._comparison = self._attempt(lambda: self._baseline_run.compare(self.results))
        document = self._document = self._attempt(lambda: self._make_document(stopped))
        if document is not None:
            if path is not None:
                self._attempt(lambda: document.save(path))
            self._attempt(lambda: self._report_files.write(document))
        self._lines += self._report_files.lines(self.results)
        is_unused = bool(self.results and self._options.checkpoints) and not self._checkpoint_use.used
        if is_unused:
            names = ", ".join(checkpoint.name for checkpoint in self._options.checkpoints[: run_facts.MAX_NAMES])
            self._lines.append(
                f"--gentest-checkpoint: {names} not checked, since no test that ran uses the fixture {FIXTURE}"
            )
        self._attempt(lambda: self._bless(session))
        if self.results and document is not None:
            self._lines += github.write_summary(self._options, document)
        if session.exitstatus == pytest.ExitCode.TESTS_FAILED and 0 < len(self._ended_early) == session.testsfailed:
            session.exitstatus = Outcome.UNDECIDED.exit_status
        refused = self._comparison is not None and self._baseline_run.refuses(self._comparison)
        is_open = self._comparison is not None and self._baseline_run.leaves_open(self._comparison)
        for applies, status in (
            (refused or is_unused, pytest.ExitCode.TESTS_FAILED),
            (any(validity.is_refuted(result) for result in self.results), pytest.ExitCode.TESTS_FAILED),
            (is_open, Outcome.UNDECIDED.exit_status),
            (stopped and self._completion.unchecked, pytest.ExitCode.INTERRUPTED),
            (self._problems.fails, pytest.ExitCode.INTERNAL_ERROR),
            (self._options.replay is not None and not self.results, pytest.ExitCode.NO_TESTS_COLLECTED),
        ):
            if applies and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = status

    def _attempt(self, step: Callable[[], T]) -> T | None:
        """The result of a step; None, and a problem, if it fails. The other steps still happen."""
        try:
            return step()
        except (OSError, ValueError) as error:
            self._problems.add(f"could not write: {error}", fails=True)
        return None

    def _bless(self, session: pytest.Session) -> None:
        """Write the baseline that the run asks for. A refusal fails the run."""
        seed = self._options.values().seed
        try:
            self._lines += self._baseline_run.bless(self.results, seed, skipped=self._skipped, partial=self._unfinished)
        except InvalidArgument as error:
            self._lines.append(f"not blessed: {error}")
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _make_document(self, stopped: str) -> Document:
        """The run as its JSON has it. Each property has the standing that follows from all claims together."""
        keep = self._options.outcomes
        results = [result if keep else replace(result, sample=None) for result in self.results]
        if self._comparison is not None:
            results = gate.applied(results, self._comparison)
        return Document(
            self._session(),
            tuple(results),
            self._comparison,
            gentest=__version__,
            interrupted=stopped,
            unchecked=self._completion.unchecked,
            family=Family.of(results),
        )

    def _session(self) -> Session:
        values = self._options.values()
        generators = {result.generator for result in self.results if result.generator}
        return Session(
            checkpoint=", ".join(self._options.checkpoint) or None,
            checkpoints=tuple(self._baseline_run.checkpoints),
            generator=generators.pop() if len(generators) == 1 else None,
            clip=values.clip,
            device=str(resolve_device(values.device)),
            seed=self._baseline_run.seed(values),
            versions={**installed_versions(*VERSIONS), **making_versions()},
            command=options.check_command(self._config, self._baseline_run.seed(values)),
            digests=self._baseline_run.digests,
            selects=self._options.selects,
        )

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = self._summary(verbosity=self._options.verbosity)
        if lines:
            terminalreporter.write_sep("=", "gentest")
        for line in lines:
            markup = {} if line.outcome is None else {MARKUP[line.outcome]: True}
            terminalreporter.write_line(printable(line.text), **markup)
        if self.results and self._document is not None:
            commands = github.annotation_commands(
                self._config, self._options, self._document, self._places, self._failed
            )
            for command in commands:
                terminalreporter.write_line(command)

    def _summary(self, *, verbosity: int) -> list[Line]:
        """The table, the run in one line, and the comparison with the baseline. `-q` leaves out passing rows."""
        document = self._document if self.results else None
        results = document.results if document is not None else ()
        width = terminal.columns()
        lines = terminal.table(
            [result for result in results if verbosity >= 0 or not result.passed],
            width=width,
            verbose=verbosity > 0,
            explained=lambda result: (result.test, result.checkpoint, result.property) in self._explained,
            replay=lambda text: replays.short(self._config, text),
        )
        if document is not None:
            lines += terminal.summary(document, width=width, quiet=verbosity < 0)
        elif self._options.replay is not None:
            label = self._options.replay.label
            lines.append(Line(f"--gentest-replay: no selected test has a property {label!r}"))
        if document is None and self._comparison is not None:
            lines += terminal.comparison(self._comparison, width)
        lines += [Line(line) for line in (*self._lines, *self._problems.lines)]
        return lines + ([Line(self._unfinished, Outcome.FAILED)] if self._unfinished else [])
