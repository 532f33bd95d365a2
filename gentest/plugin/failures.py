"""Probes that failed, kept in pytest's cache by test and property, so that the next run looks at them first.

Not by source: they survive edits. Hypothesis's own database is no help here, since a seeded run does not use it. Each
is a file that is written whole, as pytest's own values are not: half of one would be a find that is forgotten.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pytest

from gentest._support.files import read_json, write_whole
from gentest.plugin.node_ids import node_id
from gentest.plugin.troubles import Troubles
from gentest.probes.probe import Probe
from gentest.results.result import Result, Verdict

MOST_BYTES = 1 << 20
"""Of the file of one property."""
KEPT = 4
"""Probes of one property that are read back at most."""


class Failures:
    """The failing probes of earlier runs; empty, and kept nowhere, under `-p no:cacheprovider`."""

    def __init__(self, config: pytest.Config, troubles: Troubles) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)
        self._troubles = troubles

    def of(self, item: pytest.Item, label: str) -> tuple[Probe, ...]:
        """The probes that failed in the run before; what is not as `keep` wrote it counts as none."""
        if self._cache is None:
            return ()
        try:
            stored = read_json(_file(self._cache, item, label), most_bytes=MOST_BYTES)
            return tuple(Probe.parse(text) for text in stored["probes"][:KEPT])
        except (OSError, TypeError, KeyError, ValueError):
            return ()

    def keep(self, item: pytest.Item, label: str, result: Result) -> None:
        """Remember the counterexamples of a property that is violated, and forget those of before where it is not.

        A rate that holds has counterexamples too: they are no failures, and the next run searches anew.
        """
        if self._cache is None:
            return
        violated = result.verdict is Verdict.VIOLATED
        found = [c for c in (result.counterexample, result.worst) if c is not None and violated]
        probes = list(dict.fromkeys(str(Probe.from_json(c.probe)) for c in found))
        kept = {"test": node_id(item), "property": result.property, "probes": probes}
        if not probes:
            with suppress(OSError):  # one that stays is looked at and holds, no more
                _file(self._cache, item, label).unlink(missing_ok=True)
            return
        try:
            write_whole(_file(self._cache, item, label), json.dumps(kept, indent=1) + "\n")
        except OSError as error:
            self._troubles.note(f"warning: what failed is not remembered for the next run: {error}")


def _file(cache: pytest.Cache, item: pytest.Item, label: str) -> Path:
    name = hashlib.sha256(f"{node_id(item)} {label}".encode()).hexdigest()[:16]
    return cache.mkdir("gentest") / f"{name}.json"
