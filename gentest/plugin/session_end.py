"""How a run ends: whether something stopped it, and which of its tests were not checked by then.

A run that was stopped leaves what it has: files are written whatever comes meanwhile, say that it was stopped, and name
what is missing. Whether a run is whole is counted here, test by test: pytest's exit status does not always tell.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from gentest import plugin
from gentest.decorators import DECLARED
from gentest.plugin import checkpoints
from gentest.results.result import Result

TERMINATING = ("SIGTERM", "SIGHUP")
"""What CI systems, schedulers and closed terminals send. To Python these are sudden deaths, unless somebody listens."""
HELD = ("SIGINT", *TERMINATING)


def to_check(items: Sequence[pytest.Item], paths: Sequence[Any]) -> dict[str, str]:
    """The tests that properties decorate, by node id, as results name them."""
    found = {}
    for item in items:
        if getattr(plugin.function_of(item), DECLARED, None) is not None:
            checkpoint = checkpoints.of_item(item, paths)
            found[item.nodeid] = checkpoints.plain_id(item, paths) + (f" on {checkpoint}" if checkpoint else "")
    return found


class Ending:
    """Registered as a plugin where a run ends: in the only process, or in the controller of xdist's workers."""

    def __init__(self) -> None:
        self._expected: dict[str, str] = {}
        self._ended: set[str] = set()
        self._stopped = ""
        self.begun: tuple[Result, ...] = ()
        """What was decided of the test that the run was stopped in."""

    def expect(self, tests: Mapping[str, str]) -> None:
        """Tests that the run is to check, by node id."""
        self._expected.update(tests)

    def ended(self, node: str) -> None:
        """A test came to its end: its results are there, or somebody skipped it."""
        self._ended.add(node)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The tests that were to be checked and were not, or not all of them."""
        return tuple(dict.fromkeys(name for node, name in self._expected.items() if node not in self._ended))

    def stopped(self, session: pytest.Session) -> str:
        """What ended the run before its end; empty where nothing did, or nothing was left to check."""
        if self._stopped:
            return self._stopped
        if session.exitstatus == pytest.ExitCode.INTERNAL_ERROR:
            return "an error of pytest or of a plugin"
        return str(session.shouldfail or session.shouldstop or "") if self.unchecked else ""

    @pytest.hookimpl
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Until the run ends, being told to terminate is as Ctrl-C: what there is by then is written."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in TERMINATING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _interrupt)
                session.config.add_cleanup(functools.partial(_by_default, number))

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self._stopped = " ".join(str(excinfo.value).split()) or excinfo.typename


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _by_default(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)


@contextmanager
def undisturbed() -> Iterator[None]:
    """While it lasts, nothing that asks the process to end is heard: files are being written, which takes no time."""
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
