"""The time limit of somebody else's code: a call that does not return becomes an error instead of a hanging run.

A thread watches the call. When its time is up, the thread sends the main thread a signal, whose handler raises inside
the call. (The signal is SIGVTALRM, since pytest-timeout uses SIGALRM.) A loop in C, or a device that does not answer,
ignores the signal; `on_hang` then gets a message and may end the process. Calls outside the main thread, and on systems
without `pthread_kill`, have no limit.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gentest._support.printable import noun
from gentest.errors import GentestError

GRACE = 10.0
"""Grace period after interrupting a call: 10 s, or the original limit if that is longer."""
log = logging.getLogger("gentest")


class TimeLimitExceeded(BaseException):
    """Raised inside a call whose time is up: a `BaseException`, which `except Exception` does not swallow."""


@dataclass
class _Call:
    what: str
    seconds: float
    ends: float
    interrupted: bool = False


def _log(what: str) -> None:
    log.error("%s", what)


on_hang: Callable[[str], None] = _log
"""Called with a message, in a thread of its own, when no signal interrupts a call."""


@contextmanager
def limited(seconds: float, what: str, error: type[GentestError]) -> Iterator[None]:
    """Inside, code may take this many seconds, 0 for no limit. Raises `error` when the time is up.

    Inside another limit, that one stays in force.
    """
    if not seconds or not _can_be_interrupted() or _watch.call is not None:
        yield
        return
    try:
        _watch.begin(_Call(what, seconds, time.monotonic() + seconds))
        try:
            yield
        finally:
            _watch.call = None
    except TimeLimitExceeded as late:
        _watch.call = None  # where the time was up on the way out
        raise error(
            f"{what} did not return within {seconds:g} {noun(seconds, 'second')} (--gentest-time-limit, 0 for none)"
        ) from late


def _can_be_interrupted() -> bool:
    return hasattr(signal, "pthread_kill") and threading.current_thread() is threading.main_thread()


class _Watch:
    """The watching thread, started at the first call and again in a forked process."""

    def __init__(self) -> None:
        self.call: _Call | None = None
        self._sleeps = 0.0
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, call: _Call) -> None:
        """Watch a call of the main thread."""
        if self._thread is None or not self._thread.is_alive():
            signal.signal(signal.SIGVTALRM, self._raise)
            self._sleeps, self._woken = call.seconds, threading.Event()
            self._thread = threading.Thread(target=self._run, name="gentest-time-limit", daemon=True)
            self._thread.start()
        elif call.seconds < self._sleeps:  # else it wakes early enough by itself
            self._sleeps = call.seconds
            self._woken.set()
        self.call = call

    def _run(self) -> None:
        timeout = self._sleeps
        while True:
            self._woken.wait(timeout)
            self._woken.clear()
            call, timeout = self.call, self._sleeps
            if call is None:
                continue
            left = call.ends - time.monotonic()
            if left > 0:
                timeout = min(left, timeout)
            elif not call.interrupted:
                call.interrupted = True
                grace = max(GRACE, call.seconds)
                call.ends = time.monotonic() + grace
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGVTALRM)
            else:
                call.ends = float("inf")
                on_hang(
                    f"{call.what} has not returned for more than {call.seconds:g} {noun(call.seconds, 'second')} "
                    f"(--gentest-time-limit), and "
                    "ignores signals"
                )

    def _raise(self, signum: int, frame: object) -> None:
        if self.call is not None and self.call.interrupted:
            raise TimeLimitExceeded


_watch = _Watch()
