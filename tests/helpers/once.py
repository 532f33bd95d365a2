"""A folder that is made once in a session, by whichever of xdist's workers needs it first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder of this name, which all workers share; `make` fills it the first time that it is asked for."""
    base = factory.getbasetemp()
    root = base.parent if base.name.startswith("popen-") else base
    folder, done = root / f"once-{name}", root / f"once-{name}.done"
    with FileLock(root / f"once-{name}.lock"):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
