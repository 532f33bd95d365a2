"""Probes to evaluate again: those that failed in the previous run, and the command that replays a counterexample.

gentest keeps both in pytest's cache. Failed probes are kept by test and property, so they survive edits of the source.
Hypothesis's own example database is no help: a run with a seed does not use it. Files are written whole, unlike
pytest's own values, since half a file would lose a counterexample.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from gentest._support.files import read_json, write_whole
from gentest.plugin import options
from gentest.plugin.checkpoints import Checkpoint, checkpoint_name
from gentest.plugin.items import name_in_file, name_of
from gentest.plugin.session_end import Problems
from gentest.probes.probe import Probe
from gentest.results.outcome import Verdict
from gentest.results.result import Result

MOST_BYTES = 1 << 20
"""A larger file of failed probes is ignored."""
MOST_PROBES = 4
"""More failed probes of one property are ignored."""
LONGEST = 160
"""A longer replay string, such as an attack's with a thousand signs, goes to a file that `--gentest-replay` takes."""


class FailedProbes:
    """The failed probes of earlier runs. Without pytest's cache (`-p no:cacheprovider`) there are none."""

    def __init__(self, config: pytest.Config, problems: Problems) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)
        self._problems = problems

    def of(self, item: pytest.Item, label: str) -> tuple[Probe, ...]:
        """The probes of a property that failed in the previous run. A file that `keep` did not write counts as none."""
        if self._cache is None:
            return ()
        try:
            stored = read_json(_file(self._cache, item, label), most_bytes=MOST_BYTES)
            return tuple(Probe.parse(text) for text in stored["probes"][:MOST_PROBES])
        except (OSError, TypeError, KeyError, ValueError):
            return ()

    def keep(self, item: pytest.Item, label: str, result: Result) -> None:
        """Keep the counterexamples of a violated property, or else forget those of the previous run.

        A rate that holds has counterexamples too. They are not failures, and the next run searches anew.
        """
        if self._cache is None:
            return
        violated = result.verdict is Verdict.VIOLATED
        counterexamples = [c for c in (result.counterexample, result.worst) if c is not None and violated]
        probes = list(dict.fromkeys(str(Probe.from_json(c.probe)) for c in counterexamples))
        if not probes:
            with suppress(OSError):  # a file that stays costs one evaluation
                _file(self._cache, item, label).unlink(missing_ok=True)
            return
        kept = {"test": name_of(item), "property": result.property, "probes": probes}
        try:
            write_whole(_file(self._cache, item, label), json.dumps(kept, indent=1) + "\n")
        except OSError as error:
            self._problems.add(f"warning: the next run will not try what failed first: {error}")


def _file(cache: pytest.Cache, item: pytest.Item, label: str) -> Path:
    words = [word for word in (name_of(item), checkpoint_name(item), label) if word]
    name = hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
    return cache.mkdir("gentest") / f"{name}.json"


def command(item: pytest.Item, replay: str, *, checkpoint: Checkpoint | None) -> str:
    """The command that evaluates a probe of a test again, in the folder where pytest was started."""
    here = item.config.invocation_params.dir  # a node id cannot name a file outside rootdir
    test = f"{os.path.relpath(item.path, here)}::{name_in_file(item)}"
    words = ["pytest", "--gentest", test, "--gentest-replay", short(item.config, replay)]
    if checkpoint is not None:
        words += ["--gentest-checkpoint", checkpoint.address or os.path.relpath(checkpoint.path, here)]
    return shlex.join([*words, *options.of_run(item.config).replay_words])


def short(config: pytest.Config, replay: str) -> str:
    """A replay string; or, if it is too long for a screen, the path of a file in pytest's cache that holds it."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if len(replay) <= LONGEST or cache is None:
        return replay
    with suppress(OSError):
        name = f"replay-{hashlib.sha256(replay.encode()).hexdigest()[:12]}"
        path = cache.mkdir("gentest") / name
        write_whole(path, f"{replay}\n")
        return os.path.relpath(path, config.invocation_params.dir)
    return replay
