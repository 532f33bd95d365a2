"""The disk store: measurements of known checkpoints for further sessions. It holds numbers by probe, never verdicts.

The address of a row hashes what it is of: generator, space, probes, measure and precision. Every row carries a
checksum. Rows wait in memory until the check that measured them has been audited (`commit`). A check that ends in an
error leaves none (`forget`), and an identity whose rows proved wrong loses all of them (`discard`).

gentest measures anew what is missing, broken or of something else. It does without a folder that it cannot read or
write, or whose file is another kind of database, and says so once. Several sessions may use the SQLite file at a time,
and any of them may be killed without losing earlier rows.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import time
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gentest._support.printable import in_one_line
from gentest.probes.probe import Probe

FILE = "measurements.sqlite"
LARGEST_ROW = 1 << 16
"""Largest row in bytes: features nearly as large as the image itself are not kept."""
ASKED_AT_ONCE = 500
"""Probes in one query: SQLite takes at least 999 values."""
PATIENCE = 10.0
"""Seconds to wait for another session to write, once; after that gentest does without the store."""
RETRY_SECONDS = 0.02
"""Seconds between retries when SQLite does not wait by itself, as while another session opens the same new file."""
_T = TypeVar("_T")
BUSY = "locked"
BROKEN = ("not a database", "malformed", "no such column", "no such table", "has 3 columns", "values were supplied")
"""Parts of SQLite's messages, since Python gives no error codes before 3.11."""
FAULTS = (sqlite3.Error, OSError, ValueError)
"""The errors of SQLite for an unusable folder or file; ValueError if its message about a damaged file is not text."""
_SCHEMA = "CREATE TABLE rows (of TEXT, probe TEXT, value BLOB, PRIMARY KEY (of, probe)) WITHOUT ROWID"
_HEAD = 16
_LONGEST = _HEAD + 1 + 4 * 255 + LARGEST_ROW


def place(identity: str, *parts: str) -> str:
    """The address of a measure's rows, which begins with the identity of their generator."""
    return f"{identity}:{digest(*parts)}"


def digest(*parts: str | bytes) -> str:
    """32 hexadecimal digits that identify a list of texts."""
    hashed = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        hashed.update(struct.pack("<q", len(raw)) + raw)
    return hashed.hexdigest()[:32]


def address_of(thing: Any) -> str:
    """A bound feature's own name for what it measures; empty if it has none."""
    address = getattr(thing, "address", "")
    return address if isinstance(address, str) else ""


class Store:
    """The measurements of one folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._database: sqlite3.Connection | None = None
        self._reads = self._writes = True
        self._waiting: dict[tuple[str, str], bytes] = {}
        """Rows that are not written yet, by address and probe."""
        self.trouble = ""
        """Why gentest does without the store, or writes no more, in one line; empty while all is well."""

    def rows(self, of: str, probes: Sequence[Probe]) -> NDArray[np.float32] | None:
        """The rows [N, ...] of some probes; None unless all of them are there and intact."""
        names = [str(probe) for probe in probes]
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(names), ASKED_AT_ONCE):
            some = names[start : start + ASKED_AT_ONCE]
            waiting = {name: self._waiting[of, name] for name in some if (of, name) in self._waiting}
            kept = waiting if len(waiting) == len(some) else self._kept(of, some) | waiting
            for name in some:
                row = _unpacked(of, name, kept.get(name))
                if row is None or (found and row.shape != found[0].shape):
                    return None
                found.append(row)
        return np.stack(found) if found else None

    def known(self, of: str, probes: Sequence[Probe]) -> list[bool]:
        """Whether each of some probes has a row. A row that is there may still be broken."""
        names = [str(probe) for probe in probes]
        kept = {name for name in names if (of, name) in self._waiting}
        for start in range(0, len(names), ASKED_AT_ONCE):
            kept |= self._kept(of, names[start : start + ASKED_AT_ONCE]).keys()
        return [name in kept for name in names]

    def keep(self, of: str, probes: Sequence[Probe], rows: NDArray[np.float32]) -> None:
        """Write the rows [N, ...] (float32) of some probes, unless they are too large."""
        self.hold(of, probes, rows)
        self.commit()

    def hold(self, of: str, probes: Sequence[Probe], rows: NDArray[np.float32]) -> None:
        """Hold the rows of some probes in memory until `commit`."""
        if not len(rows) or rows[0].nbytes > LARGEST_ROW or not self._writes:
            return
        for probe, row in zip(probes, rows, strict=True):
            self._waiting[of, str(probe)] = _packed(of, str(probe), row)

    def commit(self) -> None:
        """Write the rows that wait, because their check has been audited."""
        rows = [(of, name, row) for (of, name), row in self._waiting.items()]
        self._waiting.clear()
        if rows:
            self._write("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", rows)

    def forget(self) -> None:
        """Drop the rows that wait, because their check ended in an error."""
        self._waiting.clear()

    def discard(self, identity: str) -> None:
        """Delete all rows of an identity, because some of them are wrong."""
        self._waiting.clear()
        self._write("DELETE FROM rows WHERE of >= ? AND of < ?", [(f"{identity}:", f"{identity};")])

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if not self._writes:
            return
        try:
            database = self._opened()
            with database:
                database.executemany(statement, rows)
        except FAULTS as error:
            self._writes = False
            self._say("nothing more is kept in", error)

    def _kept(self, of: str, names: Sequence[str]) -> dict[str, object]:
        """The stored values of some probes, by the probe's name."""
        if not self._reads:
            return {}
        places = ", ".join("?" * len(names))
        try:
            asked = self._opened().execute(
                f"SELECT probe, value FROM rows WHERE of = ? AND probe IN ({places}) AND length(value) <= {_LONGEST}",
                (of, *names),
            )
            return dict(asked.fetchall())
        except FAULTS as error:
            self._reads = self._writes = False
            self._say("nothing is read from or kept in", error)
            return {}

    def _say(self, what: str, error: Exception) -> None:
        message = in_one_line(str(error))
        hint = "; delete it to start over" if any(words in message for words in BROKEN) else ""
        self.trouble = self.trouble or f"cache: {what} {self._path}: {message}{hint}"

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink():
                raise OSError(f"{self._path} is a symbolic link, which may lead to somebody else's file")
            database = sqlite3.connect(self._path, timeout=PATIENCE)
            try:
                database.execute("PRAGMA trusted_schema=OFF")
                there = _patiently(lambda: database.execute("SELECT sql FROM sqlite_master").fetchmany(2))
                if there not in ([], [(_SCHEMA,)]):  # before running any of its views or triggers
                    raise sqlite3.DatabaseError("not a database of gentest")
                _patiently(lambda: database.execute("PRAGMA journal_mode=WAL"))
                database.execute("PRAGMA synchronous=NORMAL")
                _patiently(lambda: database.execute(_SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS", 1)))
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()
            self._database = None


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


def _packed(of: str, name: str, row: NDArray[np.float32]) -> bytes:
    """A row as bytes: checksum, number of dimensions, sizes, values."""
    row = np.asarray(row, dtype="<f4")
    body = struct.pack(f"<B{row.ndim}I", row.ndim, *row.shape) + row.tobytes()
    return _checksum(of, name, body) + body


def _unpacked(of: str, name: str, value: object) -> NDArray[np.float32] | None:
    """The row that `_packed` wrote; None for anything else."""
    if not isinstance(value, bytes) or value[:_HEAD] != _checksum(of, name, value[_HEAD:]):
        return None
    body = value[_HEAD:]  # checked in spite of the checksum, which anybody can compute
    try:
        shape = struct.unpack_from(f"<{body[0]}I", body, 1)
        row = np.frombuffer(body, dtype="<f4", offset=1 + 4 * body[0]).astype(np.float32)
    except (IndexError, ValueError, struct.error):
        return None
    return row.reshape(shape) if 0 < prod(shape) == row.size and np.isfinite(row).all() else None


def _checksum(of: str, name: str, body: bytes) -> bytes:
    return hashlib.blake2b(f"{of} {name} ".encode() + body, digest_size=_HEAD).digest()
