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
import struct
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gentest.engine.evidence.database import Database
from gentest.probes.probe import Probe

FILE = "measurements.sqlite"
LARGEST_ROW = 1 << 16
"""Largest row in bytes: features nearly as large as the image itself are not kept."""
ASKED_AT_ONCE = 500
"""Probes in one query: SQLite takes at least 999 values."""
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
        self._database = Database(folder / FILE, [_SCHEMA])
        self._waiting: dict[tuple[str, str], bytes] = {}
        """Rows that are not written yet, by address and probe."""

    @property
    def trouble(self) -> str:
        """Why gentest does without the store, or writes no more, in one line; empty while all is well."""
        return self._database.trouble

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
        if not len(rows) or rows[0].nbytes > LARGEST_ROW or not self._database.writes:
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
        self._database.write(lambda connection: connection.executemany(statement, rows))

    def _kept(self, of: str, names: Sequence[str]) -> dict[str, object]:
        """The stored values of some probes, by the probe's name."""
        places = ", ".join("?" * len(names))
        query = f"SELECT probe, value FROM rows WHERE of = ? AND probe IN ({places}) AND length(value) <= {_LONGEST}"
        return dict(self._database.read(query, (of, *names)))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


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
