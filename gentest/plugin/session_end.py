"""How a run ends: what stopped it, which tests it did not check, and which files it could not read or write.

A run that is stopped keeps what it has. It writes its files even if another signal arrives meanwhile; they say what
stopped the run, and name the tests that are missing. gentest counts test by test, because pytest's exit status does not
always tell.
"""

from __future__ import annotations

import faulthandler
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from gentest.engine.evidence import time_limit
from gentest.plugin.checkpoints import checkpoint_name
from gentest.plugin.items import declared_by, name_of
from gentest.report import progress
from gentest.results.result import Result

TERMINATING = ("SIGTERM", "SIGHUP")
"""The signals of CI systems, schedulers and closed terminals. Python dies of them unless it has a handler."""
HELD = ("SIGINT", *TERMINATING)
WORKER_OUTPUT = "gentest_problems"
"""The key under which a worker of pytest-xdist hands its problems to the controller."""
HANG_EXIT_STATUS = 3
"""pytest's status for an internal error: the run says nothing about any property."""


class Problems:
    """Files that a run could not read or write: registered as a plugin in every process, reported once at the end.

    A problem changes no verdict. But a run fails if it cannot write a file that the user wants.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._lines: dict[str, bool] = {}

    def add(self, line: str, *, fails: bool = False) -> None:
        """Keep a line for the end; `fails` if a file is missing that the user wants."""
        self._lines[line] = self._lines.get(line, False) or fails

    @property
    def lines(self) -> list[str]:
        """The different lines, in order."""
        return list(self._lines)

    @property
    def fails(self) -> bool:
        """True if the run fails, however its tests ended."""
        return any(self._lines.values())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[WORKER_OUTPUT] = dict(self._lines)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        for line, fails in (getattr(node, "workeroutput", None) or {}).get(WORKER_OUTPUT, {}).items():
            self.add(line, fails=fails)


def tests_to_check(items: Sequence[pytest.Item]) -> dict[str, str]:
    """The tests that properties decorate, by node id, each with the name that a person reads."""
    names = {}
    for item in items:
        if declared_by(item) is not None:
            checkpoint = checkpoint_name(item)
            names[item.nodeid] = name_of(item) + (f" on {checkpoint}" if checkpoint else "")
    return names


class Completion:
    """How far a run came: registered as a plugin in the only process, or in the controller of xdist's workers."""

    def __init__(self) -> None:
        self._expected: dict[str, str] = {}
        self._ended: set[str] = set()
        self._interrupted_by = ""
        self.partial: tuple[Result, ...] = ()
        """The results so far of the test that was interrupted."""

    def expect(self, tests: Mapping[str, str]) -> None:
        """Add tests that the run is to check: their names by node id."""
        self._expected.update(tests)

    def end(self, node_id: str) -> None:
        """Note that a test came to its end: it has results, or was skipped."""
        self._ended.add(node_id)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The names of the tests that the run did not check, or not completely."""
        return tuple(dict.fromkeys(name for node, name in self._expected.items() if node not in self._ended))

    def stopped_by(self, session: pytest.Session) -> str:
        """The reason why the run ended early; empty if nothing stopped it, or nothing was left to check."""
        if self._interrupted_by:
            return self._interrupted_by
        if session.exitstatus == pytest.ExitCode.INTERNAL_ERROR:
            return "an error of pytest or of a plugin"
        return str(session.shouldfail or session.shouldstop or "") if self.unchecked else ""

    @pytest.hookimpl
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Treat signals that terminate the process like Ctrl-C, until the run ends, so that it writes its files."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in TERMINATING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _interrupt)
                session.config.add_cleanup(functools.partial(_restore, number))

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._interrupted_by = " ".join(str(excinfo.value).split()) or excinfo.typename


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _restore(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignore signals that end the process, for the short time in which files are written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in HELD if hasattr(signal, name)]
    before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_on_hang(config: pytest.Config, checking: Callable[[], str]) -> None:
    """End the process if a call hangs that no signal interrupts, and say where. `checking` names the current test.

    The cache keeps what was measured.
    """
    stream = progress.stderr()  # taken now: while a test runs, pytest replaces it
    if stream is not None:
        config.add_cleanup(stream.close)

    def end(what: str) -> None:
        if stream is not None:
            stream.write(f"\ngentest: {checking()}: {what}; the run ends here\n")
            stream.flush()
            faulthandler.dump_traceback(stream)
        os._exit(HANG_EXIT_STATUS)

    config.add_cleanup(functools.partial(setattr, time_limit, "on_hang", time_limit.on_hang))
    time_limit.on_hang = end
