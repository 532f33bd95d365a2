"""A call that nothing interrupts: the process says which, and where, and ends. What was measured is in the cache."""

from __future__ import annotations

import faulthandler
import functools
import os
from collections.abc import Callable

import pytest

from gentest.engine.evidence import time_limit
from gentest.report import progress

EXIT_STATUS = 3
"""pytest's for an internal error: the run says nothing of any property."""


def end_where_deaf(config: pytest.Config, checking: Callable[[], str]) -> None:
    """While a run lasts, this process ends where a call is deaf; `checking` says what was being checked."""
    stream = progress.stderr()  # as it is now: while a test runs, pytest has its own
    if stream is not None:
        config.add_cleanup(stream.close)

    def end(what: str) -> None:
        if stream is not None:
            stream.write(f"\ngentest: {checking()}: {what}; the run ends here\n")
            stream.flush()
            faulthandler.dump_traceback(stream)
        os._exit(EXIT_STATUS)

    config.add_cleanup(functools.partial(setattr, time_limit, "on_hang", time_limit.on_hang))
    time_limit.on_hang = end
