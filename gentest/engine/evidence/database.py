"""A file of SQLite in the cache folder, which several runs use at a time, and any of which may be killed.

gentest does without a file that it cannot read or write, or that is another kind of database. `trouble` says so, once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gentest._support.printable import in_one_line

PATIENCE = 10.0
"""Seconds to wait for another session to write, once; after that gentest does without the file."""
RETRY_SECONDS = 0.02
"""Seconds between retries when SQLite does not wait by itself, as while another session opens the same new file."""
BUSY = "locked"
BROKEN = ("not a database", "malformed", "no such column", "no such table", "has 3 columns", "values were supplied")
"""Parts of SQLite's messages, since Python gives no error codes before 3.11."""
FAULTS = (sqlite3.Error, OSError, ValueError)
"""The errors of SQLite for an unusable folder or file; ValueError if its message about a damaged file is not text."""
_T = TypeVar("_T")


class Database:
    """One file with the tables of `schema`, opened at first use.

    `schema` are the statements that create its tables and indices, as SQLite keeps them. `pragmas` are run before.
    """

    def __init__(self, path: Path, schema: Sequence[str], *, pragmas: Sequence[str] = ()) -> None:
        self._path = path
        self._schema = tuple(schema)
        self._pragmas = tuple(pragmas)
        self._connection: sqlite3.Connection | None = None
        self._reads = True
        self.writes = True
        """Whether rows can still be written, as far as anybody knows."""
        self.trouble = ""
        """Why gentest does without the file, or writes no more, in one line; empty while all is well."""

    def read(self, statement: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows that a query gives; none from a file that cannot be read."""
        if not self._reads:
            return []
        try:
            return self._opened().execute(statement, tuple(values)).fetchall()
        except FAULTS as error:
            self._reads = self.writes = False
            self._say("nothing is read from or kept in", error)
            return []

    def write(self, change: Callable[[sqlite3.Connection], object]) -> bool:
        """Make a change in one transaction. False if the file takes no more."""
        if not self.writes:
            return False
        try:
            connection = self._opened()
            with connection:
                change(connection)
        except FAULTS as error:
            self.writes = False
            self._say("nothing more is kept in", error)
        return self.writes

    def _say(self, what: str, error: Exception) -> None:
        message = in_one_line(str(error))
        hint = "; delete it to start over" if any(words in message for words in BROKEN) else ""
        self.trouble = self.trouble or f"cache: {what} {self._path}: {message}{hint}"

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink():
                raise OSError(f"{self._path} is a symbolic link, which may lead to somebody else's file")
            connection = sqlite3.connect(self._path, timeout=PATIENCE)
            try:
                connection.execute("PRAGMA trusted_schema=OFF")
                there = _patiently(lambda: self._statements(connection))
                # before running any of its views or triggers; another session may be creating the same file
                if there != self._schema[: len(there)]:
                    raise sqlite3.DatabaseError("not a database of gentest")
                for pragma in (*self._pragmas, "journal_mode=WAL", "synchronous=NORMAL"):
                    _patiently(partial(connection.execute, f"PRAGMA {pragma}"))
                for statement in self._schema:
                    _patiently(partial(connection.execute, _if_missing(statement)))
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _statements(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        """What made the tables and indices of the file, in order; those that SQLite makes by itself have none."""
        query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
        return tuple(text for (text,) in connection.execute(query).fetchmany(len(self._schema) + 1))

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _if_missing(statement: str) -> str:
    """The statement that creates a table or an index only if there is none."""
    create, kind, rest = statement.split(" ", 2)
    return f"{create} {kind} IF NOT EXISTS {rest}"


def _patiently(step: Callable[[], _T]) -> _T:
    """The result of a step that SQLite refuses at once, whatever its timeout, while another session does the same."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if BUSY not in str(error) or time.monotonic() > until:
                raise
        time.sleep(RETRY_SECONDS)
