"""The file of an offline run of Weights & Biases, read with W&B's own records.

The file is a log of LevelDB's format: blocks of 32 KiB after a header of 7 bytes, and chunks with a checksum, a length
and a kind. W&B itself reads it in a program that only sends it to a server.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32 * 2**10, 7
FULL, FIRST, LAST = 1, 2, 4


def records(path: Path) -> Iterator[bytes]:
    """The records of the log, each joined from its chunks."""
    data, place, whole = path.read_bytes(), HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        chunk = data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        whole = chunk if kind in (FULL, FIRST) else whole + chunk
        if kind in (FULL, LAST):
            yield whole


def history(path: Path) -> dict[str, Any]:
    """Everything that a run logged, by name. W&B's service writes the last of it when it ends."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()
    logged: dict[str, Any] = {}
    for data in records(path):
        record = Record.FromString(data)
        for item in record.history.item:
            logged[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return logged


def config(path: Path) -> dict[str, Any]:
    """The configuration of a run, by name."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, Any] = {}
    for data in records(path):
        for item in Record.FromString(data).run.config.update:
            found[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return found
