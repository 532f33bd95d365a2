"""Files that are written whole or not at all: what others read is the old text or the new one, never half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write text beside its place and move it there; a killed run leaves the file as it was."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # unlike a tempfile's, its mode is that of any file
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
