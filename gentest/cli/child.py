"""Run a function of gentest in a child process, and get its result back as JSON.

The command imports neither torch nor the user's code. A child does: it may load for minutes, print, crash or never end.
It does not import from the current folder, where a `json.py` would take the place of Python's.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gentest._support.printable import in_one_line, noun
from gentest.errors import InvalidArgument

START = "import sys; sys.path[:] = filter(None, sys.path); from gentest.cli.child import main; main()"


class ChildFailed(InvalidArgument):
    """The child ended without an answer, or did not end in time. The message is one line."""


class Unanswered(Exception):
    """A question that stays open: the child failed, took too long or was interrupted. The message says why."""


@dataclass(frozen=True)
class Reply:
    """The answer of a child."""

    value: Any
    """The function's result, as JSON keeps it."""
    output: str
    """The text that it printed on standard output, and on standard error if that was captured too."""


def call(
    function: str,
    *arguments: Any,
    seconds: float | None = None,
    stderr: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Reply:
    """Call `function`, named as `module:name`, in a child with arguments that JSON can hold.

    The child's standard error is passed on; `stderr=subprocess.STDOUT` captures it with the output. `environment` adds
    variables. Raises `ChildFailed` if the child has not ended after `seconds`, or ends without an answer.
    """
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        request = {"function": function, "arguments": arguments, "answer": str(answer)}
        try:
            done = subprocess.run(
                [sys.executable, "-c", START, json.dumps(request)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **_quiet(scratch), **(environment or {})},
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise ChildFailed(f"no answer within {late.timeout:g} {noun(late.timeout, 'second')}") from None
        if not answer.exists():
            last = (done.stdout.strip().splitlines() or [""])[-1]
            raise ChildFailed(in_one_line(f"ended with exit status {done.returncode}: {last}".rstrip(": ")))
        return Reply(json.loads(answer.read_text(encoding="utf-8")), done.stdout)


def _quiet(scratch: str) -> dict[str, str]:
    """Variables that keep Python's and Hypothesis's files out of the user's folders."""
    return {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": f"{scratch}/hypothesis"}


def ask(function: str, question: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
    """The answer of a child to a question that a user has about a model.

    Raises `InvalidArgument` for the `misuse` that an answer names, and `Unanswered` for its `error`, for a child that
    fails or does not end after `seconds`, and for Ctrl-C.
    """
    try:
        answer: dict[str, Any] = call(function, question, seconds=seconds).value
    except ChildFailed as error:
        raise Unanswered(str(error)) from error
    except KeyboardInterrupt:
        raise Unanswered("interrupted") from None
    if answer.get("misuse"):
        raise InvalidArgument(answer["misuse"])
    if answer.get("error"):
        raise Unanswered(answer["error"])
    return answer


def main() -> None:
    """The child: call the function that the request names, and write its result to the file that it names."""
    request = json.loads(sys.argv[1])
    module, _, name = request["function"].partition(":")
    result = getattr(importlib.import_module(module), name)(*request["arguments"])
    Path(request["answer"]).write_text(json.dumps(result), encoding="utf-8")
