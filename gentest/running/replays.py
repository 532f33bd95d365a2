"""Replay strings that are too long for a screen, such as an attack's of a thousand signs: kept in files, shown by path.

`--gentest-replay` takes such a file in place of the string.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

import pytest

from gentest.files import write_whole

LONGEST = 160
"""A longer replay string is shown by its file."""


def shown(config: pytest.Config, replay: str) -> str:
    """The string itself, or from where pytest was started the path of a file in pytest's cache that holds it.

    The string, however long, where there is no cache or it cannot be written.
    """
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if len(replay) <= LONGEST or cache is None:
        return replay
    with suppress(OSError):
        label = replay.partition(":")[0]
        name = f"{label}-{hashlib.sha256(replay.encode()).hexdigest()[:12]}"
        path = cache.mkdir("gentest") / name
        write_whole(path, f"{replay}\n")
        return os.path.relpath(path, config.invocation_params.dir)
    return replay
