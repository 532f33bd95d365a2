"""Hooks that a conftest file or a plugin may implement, and the trackers of `--gentest-log`.

Both are told of results in the process where a run ends: the only one, or the controller of pytest-xdist's workers.
Neither changes a verdict. Whatever they raise becomes a line of warning.

pytest imports this module in every run, so it loads nothing heavy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from gentest._support.printable import error_summary, in_one_line
from gentest.errors import InvalidArgument

if TYPE_CHECKING:
    from gentest.integrations.sinks import Sink
    from gentest.plugin.session_end import Problems
    from gentest.results.document import Document
    from gentest.results.result import Result


def pytest_gentest_result(result: Result) -> None:
    """Called with the result of each property, as soon as its test has ended.

    A gate weighs all claims together at the end, so a result's standing may still change; the document has the final
    one. A plugin that runs a test again sends its results again.
    """


def pytest_gentest_finished(document: Document) -> None:
    """Called once, at the end of a run, with everything that `--gentest-json` writes."""


class Listeners:
    """The hooks of a run and its trackers. Raises `pytest.UsageError` for a tracker that cannot be used here."""

    def __init__(self, config: pytest.Config, problems: Problems, trackers: Sequence[str]) -> None:
        self._config = config
        self._problems = problems
        self._sinks = {text: _sink(text) for text in trackers}

    def tell_result(self, result: Result) -> None:
        """Call `pytest_gentest_result`."""
        try:
            self._config.hook.pytest_gentest_result(result=result)
        except Exception as error:
            self._problems.add(f"warning: pytest_gentest_result: {error_summary(error)}")

    def tell_finished(self, document: Document, page: Callable[[], str]) -> list[str]:
        """Call `pytest_gentest_finished`, and log the run to each tracker. A line for each says where, or what failed.

        Ctrl-C ends the logging to a tracker that does not answer, not the run.
        """
        try:
            self._config.hook.pytest_gentest_finished(document=document)
        except Exception as error:
            self._problems.add(f"warning: pytest_gentest_finished: {error_summary(error)}")
        lines = []
        for text, sink in self._sinks.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a project that makes warnings errors means its own
                    lines.append(sink.log(document, page()))
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                lines.append(f"warning: could not log to {text}: {error_summary(error)}")
        return lines


def _sink(text: str) -> Sink:
    from gentest.integrations.sinks import sink_of

    try:
        return sink_of(text)
    except InvalidArgument as error:
        raise pytest.UsageError(f"--gentest-log: {error}") from None
    except Exception as error:  # somebody else's sink
        why = in_one_line(error_summary(error))
        raise pytest.UsageError(f"--gentest-log: {in_one_line(text)} cannot be used: {why}") from None
