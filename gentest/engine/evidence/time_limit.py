"""How long somebody else's code may take: a call that does not come back is an error, and no run that hangs.

A thread watches the call. When its time is up the main thread is sent a signal, whose handler raises within the call,
wherever that waits. (SIGVTALRM, which nobody else uses: SIGALRM is pytest-timeout's.) What no signal interrupts, a loop
in C or a device that does not answer, is told to `when_deaf`, which may end the process. Calls outside the main thread,
and on a system without `pthread_kill`, have no limit.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gentest.errors import GentestError

GRACE = 10.0
"""Seconds in which a call is to end once it was told to; and no less than it had before."""
log = logging.getLogger("gentest")


class TimeLimitExceeded(BaseException):
    """Raised within a call whose time is up: no exception that somebody's `except Exception` would swallow."""


@dataclass
class _Call:
    what: str
    seconds: float
    ends: float
    told: bool = False


def _log(what: str) -> None:
    log.error("%s", what)


when_deaf: Callable[[str], None] = _log
"""Told in words of a call that no signal interrupts; called in a thread of its own."""


@contextmanager
def limited(seconds: float, what: str, error: type[GentestError]) -> Iterator[None]:
    """What is done within may take so many seconds, 0 for as many as it likes; else an error of this class says so.

    Within another limit nothing is limited anew.
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
        said = f"{what} did not come back within {seconds:g} seconds (--gentest-time-limit, 0 for none)"
        raise error(said) from late


def _can_be_interrupted() -> bool:
    return hasattr(signal, "pthread_kill") and threading.current_thread() is threading.main_thread()


class _Watch:
    """The thread that watches, started at the first call and again in a process that was forked."""

    def __init__(self) -> None:
        self.call: _Call | None = None
        self._sleeps = 0.0
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, call: _Call) -> None:
        """Watches a call of the main thread."""
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
            elif not call.told:
                call.told = True
                grace = max(GRACE, call.seconds)
                call.ends = time.monotonic() + grace
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGVTALRM)
            else:
                call.ends = float("inf")
                when_deaf(
                    f"{call.what} has not come back for more than {call.seconds:g} seconds (--gentest-time-limit), and "
                    "nothing interrupts it"
                )

    def _raise(self, signum: int, frame: object) -> None:
        if self.call is not None and self.call.told:
            raise TimeLimitExceeded


_watch = _Watch()
