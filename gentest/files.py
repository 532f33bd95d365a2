"""Files that are written whole or not at all: what others read is the old text or the new one, never half of one."""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from pathlib import Path

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
    try:
        beside.write_bytes(data)
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
