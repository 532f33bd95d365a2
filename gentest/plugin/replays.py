"""Commands that evaluate a counterexample again.

A replay string that is too long for a screen, such as an attack's of a thousand signs, is kept in a file, which
`--gentest-replay` takes in its place.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from gentest import plugin
from gentest._support.files import write_whole

LONGEST = 160
"""A longer replay string is shown by its file."""
OPTIONS = ("device", "clip", "prompts", "profile", "baseline")
"""Of the options of a run, those that say what a probe is evaluated by."""


def command(item: pytest.Item, test: str, replay: str, *, checkpoint: str | Path | None) -> str:
    """One line that evaluates a probe of a test again, from where pytest was started."""
    config = item.config
    here = config.invocation_params.dir  # a node id names no file outside rootdir
    node = f"{os.path.relpath(item.path, here)}::{test.partition('::')[2]}"
    words = ["pytest", "--gentest", node, "--gentest-replay", shown(config, replay)]
    flags = {"-c": config.getoption("inifilename"), "--rootdir": config.getoption("rootdir")}
    words += [word for flag, given in flags.items() if given for word in (flag, given)]
    if checkpoint is not None:
        words += [plugin.CHECKPOINT.flag, os.path.relpath(checkpoint, here)]
    for option in plugin.OPTIONS:
        given = config.getoption(option.flag)
        if option.name in OPTIONS and given is not None:
            words += [option.flag, str(given)]
    return shlex.join(words)


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
