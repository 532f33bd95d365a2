"""Time limits: a call that does not come back is an error, and each call has its own limit."""

from __future__ import annotations

import threading
import time

import pytest

from gentest.engine.evidence import time_limit
from gentest.errors import GeneratorError, GentestError


def test_a_limit_lets_go_of_what_comes_back() -> None:
    """Calls within it change nothing, and none is interrupted later."""
    for _ in range(3):
        with time_limit.limited(0.2, "it", GeneratorError):
            time.sleep(0.01)
    time.sleep(0.5)


def test_a_shorter_limit_after_a_longer_one() -> None:
    """Who watches sleeps no longer than the shortest of them."""
    with time_limit.limited(3600, "it", GeneratorError):
        pass
    started = time.monotonic()
    with (
        pytest.raises(GeneratorError, match="it did not return"),
        time_limit.limited(0.2, "it", GeneratorError),
    ):
        threading.Event().wait()
    assert time.monotonic() - started < 5


def test_only_the_main_thread_is_limited() -> None:
    """Elsewhere there is nothing that could interrupt: no limit, and no error."""
    found: list[GentestError] = []

    def slow() -> None:
        try:
            with time_limit.limited(0.05, "it", GeneratorError):
                time.sleep(0.2)
        except GentestError as error:
            found.append(error)

    thread = threading.Thread(target=slow)
    thread.start()
    thread.join()
    assert not found
