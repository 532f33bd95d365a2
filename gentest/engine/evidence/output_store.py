"""The disk store of outputs: images of known checkpoints, for measures that nobody has asked for yet.

Outputs of a batch are whole numbers of 8 bits if that loses nothing, else of 16 bits over their range, as a baseline
keeps them (`gentest.gate.kept`). Outputs that were made alone decide signs, and are kept bit for bit; so are those that
have no range, where no error is small.

The file never holds more than its bound: what nobody has used for longest goes first. Rows are written as they are
made, since they may not fit in memory, but only their own session knows them until the check that made them has been
audited (`commit`). A check that ends in an error leaves none (`forget`), and an identity whose outputs proved wrong
loses all of them (`discard`).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gentest.engine.evidence.database import Database
from gentest.gate.kept import Quantized
from gentest.probes.probe import Probe

OUTPUTS = "outputs.sqlite"
LARGEST_OUTPUT = 1 << 30
"""Bytes of the largest row: of all outputs of one probe."""
PART = 8
"""A row takes at most this part of the bound, and so does one transaction."""
ROOM = 3 / 4
"""The share of the bound that rows may fill; the rest is for the file's own structure, and for its log."""
AT_ONCE = 64
"""Probes in one query."""
_TABLE = (
    "CREATE TABLE rows (of TEXT, probe TEXT, owner TEXT, used INTEGER, size INTEGER, value BLOB, "
    "PRIMARY KEY (of, probe))"
)
_SCHEMA = (_TABLE, "CREATE INDEX by_use ON rows (used, size)")
_KEEP = (
    "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (of, probe) DO UPDATE SET owner = excluded.owner, "
    "used = excluded.used, size = excluded.size, value = excluded.value WHERE rows.owner <> ''"
)
HALF_STEP = 0.5 / (2**16 - 1)
"""The largest error of outputs of 16 bits, as a share of their range."""
_CHECKSUM = 16
_PAGE = 4096
_NAMES = 256
"""Bytes that a row takes besides its value, at most."""
_EIGHT, _SIXTEEN, _HALF, _SINGLE = 1, 2, 3, 4
_KINDS: dict[int, np.dtype[Any]] = {
    _EIGHT: np.dtype("u1"),
    _SIXTEEN: np.dtype("<u2"),
    _HALF: np.dtype("<f2"),
    _SINGLE: np.dtype("<f4"),
}
"""By a number in the row: the type of its values on disk. Floats are exact."""


class Recall(IntEnum):
    """How far outputs from disk may stand for those that the generator makes now."""

    NEVER = 0
    EXACT = 1
    """Only if they are kept bit for bit."""
    ROUNDED = 2


@dataclass(frozen=True)
class KeptProbe:
    """The outputs [P, *shape] of one probe, float32, and the largest error of any value; 0 if they are exact."""

    outputs: NDArray[np.float32]
    error: float


@dataclass
class Recalls:
    """How many outputs a session took from disk, and how many of those are not exact."""

    n: int = 0
    rounded: int = 0


class OutputStore:
    """The outputs of one folder, in at most `n_bytes`."""

    def __init__(self, folder: Path, n_bytes: int) -> None:
        limit = min(n_bytes // PART, 16 << 20)
        pragmas = [
            f"page_size={_PAGE}",
            "auto_vacuum=INCREMENTAL",
            f"journal_size_limit={limit}",
            f"wal_autocheckpoint={limit // _PAGE}",
        ]
        self._database = Database(folder / OUTPUTS, _SCHEMA, pragmas=pragmas)
        self._room = int(n_bytes * ROOM)
        self._largest = min(n_bytes // PART, LARGEST_OUTPUT)
        self._batch = limit
        self._owner = os.urandom(8).hex()
        """Marks the rows of this session that no audit has proved yet."""
        self._used: dict[tuple[str, str], None] = {}
        """The rows that this session read, which are going to count as used."""
        self._too_large = ""
        self.recalls = Recalls()

    @property
    def trouble(self) -> str:
        """Why outputs are not kept, in one line; empty while all is well."""
        return self._database.trouble or self._too_large

    def rows(self, of: str, probes: Sequence[Probe], recall: Recall) -> list[KeptProbe | None]:
        """The outputs of each probe; None for one that is missing, broken, or less exact than asked."""
        if recall is Recall.NEVER:
            return [None] * len(probes)
        found: list[KeptProbe | None] = []
        for start in range(0, len(probes), AT_ONCE):
            names = [str(probe) for probe in probes[start : start + AT_ONCE]]
            marks = ", ".join("?" * len(names))
            kept = dict(
                self._database.read(
                    f"SELECT probe, value FROM rows WHERE of = ? AND owner = '' AND probe IN ({marks}) "
                    f"AND length(value) <= {LARGEST_OUTPUT + _PAGE}",
                    (of, *names),
                )
            )
            for name in names:
                row = unpacked(of, name, kept.get(name)) if name in kept else None
                if name in kept and row is None:
                    self._drop(of, name)
                if row is not None and (row.error and recall is not Recall.ROUNDED):
                    row = None
                if row is not None:
                    self._used[of, name] = None
                    self.recalls.n += len(row.outputs)
                    self.recalls.rounded += len(row.outputs) if row.error else 0
                found.append(row)
        return found

    def hold(
        self, of: str, probes: Sequence[Probe], outputs: NDArray[np.float32], *, bounded: bool, exact: bool
    ) -> None:
        """Write the outputs [N, P, *shape] of some probes, for this session alone until `commit`.

        `bounded` says that they lie in [0, 1], and `exact` that no bit may be lost. Values that are not finite are not
        kept, nor is a row that takes more than an eighth of the bound.
        """
        rows: list[tuple[str, str, bytes]] = []
        size = 0
        for probe, own in zip(probes, outputs, strict=True):
            if not self._database.writes:
                return
            if own.size > self._largest:
                self._too_large = self._too_large or (
                    f"cache: the outputs of one probe take {own.nbytes / 2**20:.3g} MiB, too much for "
                    f"--gentest-cache-outputs {self._room / ROOM / 2**20:.0f}M: they are not kept"
                )
                return
            if not np.isfinite(own).all():
                continue
            value = packed(of, str(probe), own, bounded=bounded, exact=exact)
            rows.append((of, str(probe), value))
            size += len(value)
            if size >= self._batch:
                self._write(rows)
                rows, size = [], 0
        if rows:
            self._write(rows)

    def commit(self) -> None:
        """Let all sessions use the rows that this one wrote, because their check has been audited."""
        now, used = time.time_ns(), list(self._used)
        self._used.clear()

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE rows SET owner = '' WHERE owner = ?", (self._owner,))
            connection.executemany(
                "UPDATE rows SET used = ? WHERE of = ? AND probe = ?", [(now, of, probe) for of, probe in used]
            )

        self._database.write(change)

    def forget(self) -> None:
        """Delete the rows that no audit has proved, because their check ended in an error."""
        self._used.clear()
        self._database.write(lambda connection: connection.execute("DELETE FROM rows WHERE owner = ?", (self._owner,)))

    def discard(self, identity: str) -> None:
        """Delete all rows of an identity, because some of them are wrong."""
        ends = (f"{identity}:", f"{identity};")
        self._database.write(lambda connection: connection.execute("DELETE FROM rows WHERE of >= ? AND of < ?", ends))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _drop(self, of: str, name: str) -> None:
        """Delete a broken row, so that another can take its place."""
        self._database.write(
            lambda connection: connection.execute("DELETE FROM rows WHERE of = ? AND probe = ?", (of, name))
        )

    def _write(self, rows: Sequence[tuple[str, str, bytes]]) -> None:
        """Write rows in one transaction, after those went for which there is no room any more."""
        now = time.time_ns()

        def change(connection: sqlite3.Connection) -> None:
            self._make_room(connection, sum(_space(value) for *_, value in rows))
            connection.executemany(
                _KEEP, [(of, name, self._owner, now, _space(value), value) for of, name, value in rows]
            )

        if self._database.write(change):
            self._database.write(self._shrink)

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        (total,) = connection.execute("SELECT COALESCE(SUM(size), 0) FROM rows").fetchone()
        excess = total + size - self._room
        if excess <= 0:
            return
        oldest = connection.execute("SELECT rowid, size FROM rows ORDER BY used, rowid")
        going: list[tuple[int]] = []
        while excess > 0 and (some := list(islice(oldest, AT_ONCE))):
            for rowid, taken in some:
                if excess > 0:
                    going.append((rowid,))
                    excess -= max(taken, 1)
        connection.executemany("DELETE FROM rows WHERE rowid = ?", going)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give back the pages that the file has beyond its bound, as after the bound became smaller."""
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        if (excess := int(pages - self._room / _PAGE)) > 0:
            connection.executescript(f"PRAGMA incremental_vacuum({excess})")  # `execute` would stop after one page


def _space(value: bytes) -> int:
    """Bytes that a row takes in the file: a large value begins a page of its own."""
    return len(value) + _NAMES + (_PAGE if len(value) > _PAGE // 4 else 0)


def packed(of: str, name: str, outputs: NDArray[np.float32], *, bounded: bool, exact: bool) -> bytes:
    """The outputs [P, *shape] of a probe as bytes: checksum, kind, shape, range, largest error, values."""
    kind, values, low, high, error = _SINGLE, outputs, 0.0, 1.0, 0.0
    in_range = not bounded or bool((outputs >= 0.0).all() and (outputs <= 1.0).all())
    quantized = Quantized.of(outputs, bounded=bounded) if in_range else None
    largest = quantized.largest_error(outputs) if quantized is not None else 0.0
    with np.errstate(over="ignore"):
        half = outputs.astype(_KINDS[_HALF])
    if quantized is not None and not largest:
        kind = _EIGHT if quantized.bits == 8 else _SIXTEEN
    elif (half == outputs).all():
        kind, values = _HALF, half
    elif quantized is not None and not exact:
        kind, error = _EIGHT if quantized.bits == 8 else _SIXTEEN, largest
    if quantized is not None and kind in (_EIGHT, _SIXTEEN):
        low, high, values = quantized.low, quantized.high, quantized.values
    head = struct.pack(f"<BB{outputs.ndim}Iddd", kind, outputs.ndim, *outputs.shape, low, high, error)
    body = head + values.astype(_KINDS[kind]).tobytes()
    return _checksum(of, name, body) + body


def unpacked(of: str, name: str, value: object) -> KeptProbe | None:
    """The outputs that `packed` wrote; None for anything else."""
    if not isinstance(value, bytes) or value[:_CHECKSUM] != _checksum(of, name, memoryview(value)[_CHECKSUM:]):
        return None
    body = memoryview(value)[_CHECKSUM:]  # checked in spite of the checksum, which anybody can compute
    try:
        kind, ndim = _KINDS[body[0]], body[1]
        shape = struct.unpack_from(f"<{ndim}I", body, 2)
        low, high, error = struct.unpack_from("<ddd", body, 2 + 4 * ndim)
        values = np.frombuffer(body, dtype=kind, offset=26 + 4 * ndim)
    except (KeyError, IndexError, ValueError, struct.error):
        return None
    figures = low, high, error
    if not (all(map(isfinite, figures)) and low <= high and error >= 0.0 and isfinite(high - low)):
        return None
    if not 0 < prod(shape) == values.size:
        return None
    if kind.kind == "f":
        outputs = values.astype(np.float32).reshape(shape)
        return KeptProbe(outputs, 0.0) if np.isfinite(outputs).all() else None
    quantized = Quantized(values.reshape(shape), low, high)
    return KeptProbe(quantized.restored(np.arange(shape[0])), error)


def _checksum(of: str, name: str, body: bytes | memoryview) -> bytes:
    hashed = hashlib.blake2b(f"{of} {name} ".encode(), digest_size=_CHECKSUM)
    hashed.update(body)
    return hashed.digest()
