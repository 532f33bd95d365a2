"""Files: written whole or not at all, and other people's files read safely.

A reader sees the old text or the new one, never half of one. JSON is read within limits of size, depth and length,
without duplicate names or non-finite numbers, so that its value is safe to walk. Checkpoints are read without running
their pickles.
"""

from __future__ import annotations

import glob
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MAX_DEPTH = 32
"""The deepest nesting of lists and objects; gentest writes ten levels."""
MAX_VALUES = 2_000_000
"""The most values in a file. Each takes some 100 bytes of memory; a property has a hundred values."""
MAX_DIGITS = 40
"""The longest whole number; gentest's have 64 bits."""
_SEPARATORS = (b",", b"[", b"{")

STALE = 60.0
"""Age in seconds at which a temporary file must be the remains of a killed process."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a killed run leaves the old file in place. Raises `OSError`.

    A link stays a link. Anything but a regular file (/dev/stdout, a pipe) is written to, not replaced.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # tempfile would make it unreadable to others
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:  # "x" follows no link that was planted there
            file.write(data)
        written = temporary.stat().st_mtime
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # the folder may be gone by now; the first error is the one to report
            temporary.unlink(missing_ok=True)
        raise
    _remove_leftovers(path, written)


def _remove_leftovers(path: Path, now: float) -> None:
    """Remove the temporary files of killed processes; `now` is by the clock of the file system."""
    for name in glob.glob(f".{glob.escape(path.name)}.*.tmp", root_dir=path.parent):
        leftover = path.with_name(name)
        with suppress(OSError):
            if name.split(".")[-2].isdigit() and now - leftover.stat().st_mtime > STALE:
                leftover.unlink()


def read_json(path: Path, *, most_bytes: int) -> Any:
    """The value of a JSON file.

    Raises `OSError` for a file that cannot be read. Raises `ValueError`, with a reason of one line, for a file that is
    not regular, is larger than `most_bytes`, or is not JSON within the limits above.
    """
    with open(path, "rb", opener=open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        # the file may grow while gentest reads it, so the read has its own bound
        raw = file.read(most_bytes + 1) if status.st_size <= most_bytes else b""
    if max(len(raw), status.st_size) > most_bytes:
        raise ValueError(f"larger than {most_bytes / 2**20:.3g} MB")
    if sum(map(raw.count, _SEPARATORS)) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_reject_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError(f"more than {MAX_DEPTH} levels deep") from None
    if _is_too_deep(value):
        raise ValueError(f"more than {MAX_DEPTH} levels deep")
    return value


def open_without_waiting(name: str, flags: int) -> int:
    """Opens a file; a pipe without a writer does not block."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name appears twice in one object")
    return fields


def _reject_constant(word: str) -> float:
    raise ValueError(f"{word} is not a JSON number")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word[:MAX_DIGITS]} is too large a number")
    return value


def _whole(word: str) -> int:
    if len(word) > MAX_DIGITS:
        raise ValueError(f"a number of {len(word)} digits")
    return int(word)


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for outer in level for item in _items(outer) if isinstance(item, (dict, list))]
        if not level:
            return False
    return True


def _items(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


@contextmanager
def tensors_only() -> Iterator[None]:
    """Within it, `torch.load` rejects a pickle of anything but tensors, whoever calls it.

    A pickle runs code as it is read. `torch.load` can refuse, but not every library asks it to: torch's own hub does
    not, `torch.export.load` retries without, and the default depends on torch's version.
    """
    forced, forbidden = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = {name: os.environ.pop(name, None) for name in (forced, forbidden)}
    os.environ[forced] = "1"
    try:
        yield
    finally:
        del os.environ[forced]
        os.environ.update({name: value for name, value in before.items() if value is not None})
