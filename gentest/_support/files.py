"""Files: written whole or not at all, and JSON that somebody else may have written, read within limits.

What others read is the old text or the new one, never half of one. What was read is a value that is safe to walk: no
larger, deeper or longer than anything that gentest writes, and nothing in it is there twice or is no number.
"""

from __future__ import annotations

import glob
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

DEEPEST = 32
"""Levels of lists and objects within each other: gentest writes ten."""
MOST_VALUES = 2_000_000
"""Values in a file: each takes some 100 bytes of memory however short it is written, and a property has a hundred."""
DIGITS = 40
"""Of a whole number: those of gentest have 64 bits."""
_SEPARATORS = (b",", b"[", b"{")

STALE = 60.0
"""Seconds after which what a process wrote beside a file, and did not move there, was left by one that was killed."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside a file's place and move it there; a killed run leaves the file as it was. Raises `OSError`.

    A link stays one, and what is no regular file (/dev/stdout, a pipe) is written to and not replaced.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = Path(os.path.realpath(path))
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # unlike a tempfile's, its mode is that of any file
    beside.unlink(missing_ok=True)
    try:
        with beside.open("xb") as file:  # "x" goes through no link that waits there
            file.write(data)
        written = beside.stat().st_mtime
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):  # a folder that is gone or read-only by now: what went wrong first is what is said
            beside.unlink(missing_ok=True)
        raise
    _drop_leftovers(path, written)


def _drop_leftovers(path: Path, now: float) -> None:
    """Removes what killed processes left beside a file; `now` is by the clock of its file system."""
    for name in glob.glob(f".{glob.escape(path.name)}.*.tmp", root_dir=path.parent):
        left = path.with_name(name)
        with suppress(OSError):
            if name.split(".")[-2].isdigit() and now - left.stat().st_mtime > STALE:
                left.unlink()


def read_json(path: Path, *, most_bytes: int) -> Any:
    """The value of a JSON file.

    Raises `OSError` where it cannot be read, and `ValueError`, which says in one line what is wrong, where it is no
    regular file, larger than `most_bytes`, or not JSON within the limits above.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("is no regular file")
        if os.fstat(file.fileno()).st_size > most_bytes:
            raise ValueError(f"larger than {most_bytes / 2**20:.3g} MB")
        raw = file.read(most_bytes + 1)  # it may have grown
    if len(raw) > most_bytes:
        raise ValueError(f"larger than {most_bytes / 2**20:.3g} MB")
    if sum(map(raw.count, _SEPARATORS)) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels deep") from None
    if _is_deep(value):
        raise ValueError(f"more than {DEEPEST} levels deep")
    return value


def _without_waiting(name: str, flags: int) -> int:
    """Opens a file; a pipe that nobody writes to is no reason to wait."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word[:DIGITS]} is too large a number")
    return value


def _whole(word: str) -> int:
    if len(word) > DIGITS:
        raise ValueError(f"a number of {len(word)} digits")
    return int(word)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [item for outer in level for item in _inside(outer) if isinstance(item, (dict, list))]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value
