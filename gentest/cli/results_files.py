"""Read a run's JSON, and print lines.

Its own module because `show` and `gate` read the same files, and neither command imports another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from gentest._support.files import read_json
from gentest._support.printable import in_one_line, printable
from gentest.errors import InvalidArgument
from gentest.report import run_facts, terminal
from gentest.results.document import Document
from gentest.results.outcome import Outcome

HELD, MISUSE = Outcome.PASSED.exit_status, 2
MAX_BYTES = 256 * 2**20
"""A larger file of results is refused."""


def read_results(path: Path) -> object:
    """The JSON value of a file. Raises `InvalidArgument`, which names the file."""
    try:
        value: object = read_json(path, most_bytes=MAX_BYTES)
    except ValueError as error:
        raise InvalidArgument(f"{path}: not a JSON file: {in_one_line(str(error))}") from error
    return value


def document_of(path: Path, value: object) -> Document:
    """The record of a run from the JSON of its file. Raises `InvalidArgument`, which names the file."""
    try:
        return Document.from_json(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {error}") from error


def unfinished_lines(document: Document) -> list[str]:
    """One line if the run did not finish, else none. Nothing passes on a part of its tests."""
    line = run_facts.unfinished(document.interrupted, document.unchecked)
    return [line] if line else []


def texts(lines: Sequence[terminal.Line]) -> list[str]:
    """Lines of a report without their colours."""
    return [line.text for line in lines]


def print_lines(lines: Sequence[str]) -> None:
    """Print lines, with control characters in names and messages escaped."""
    sys.stdout.write(printable("\n".join(lines)) + "\n")
