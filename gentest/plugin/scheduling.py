"""Which of xdist's workers runs what: tests of a group together, the largest group first, others one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's scheduling by scope, where a test's scope is its group, which no node id has to name.

    A test that kills its worker fails once and the others are run, as under xdist's `load`. By scope, xdist 3.8 runs it
    again and kills the next worker, and leaves a restarted worker waiting.
    """

    def __init__(self, config: pytest.Config, log: Any, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._groups = groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)

    def remove_node(self, node: Any) -> str | None:
        """What a worker that is gone had left goes to others; the test it died in is done, and returned."""
        left = [(unit, test) for unit in self.assigned_work[node].values() for test, done in unit.items() if not done]
        for unit, test in left[:1]:
            unit[test] = True
        units = self.assigned_work[node].items()
        self.assigned_work[node] = {scope: unit for scope, unit in units if not all(unit.values())}
        super().remove_node(node)
        return left[0][1] if left else None

    def _reschedule(self, node: Any) -> None:
        """More for a worker only where it has to know what comes after its last test, without which it begins none."""
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)
