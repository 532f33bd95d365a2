"""Probes that failed, kept in pytest's cache by test and property, so that the next run looks at them first.

Not by source: they survive edits. Hypothesis's own database is no help here, since a seeded run does not use it.
"""

from __future__ import annotations

import hashlib

import pytest

from gentest.probes import Probe
from gentest.result import Result, Verdict
from gentest.running.node_ids import node_id

KEPT = 4
"""Probes of one property that are read back at most."""


class Failures:
    """The failing probes of earlier runs; empty, and kept nowhere, under `-p no:cacheprovider`."""

    def __init__(self, config: pytest.Config) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)

    def of(self, item: pytest.Item, label: str) -> tuple[Probe, ...]:
        """The probes that failed in the run before; what is not as `keep` wrote it counts as none."""
        if self._cache is None:
            return ()
        try:
            stored = self._cache.get(_key(item, label), None)
            return tuple(Probe.parse(text) for text in stored["probes"][:KEPT])
        except (TypeError, KeyError, ValueError, RecursionError):  # the last of JSON that is nested too deep
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
        key = _key(item, label)
        if probes or self.of(item, label):
            self._cache.set(key, {"test": node_id(item), "property": result.property, "probes": probes})


def _key(item: pytest.Item, label: str) -> str:
    return f"gentest/{hashlib.sha256(f'{node_id(item)} {label}'.encode()).hexdigest()[:16]}"
