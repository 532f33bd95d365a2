"""What tests still to come will measure: so that outputs that have to go are measured for them first.

A guess, which costs or saves time and never changes a verdict: tests that ask for the same fixtures, with the same
parameters, are taken to look at the same generator.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from gentest.attributes import Distance
from gentest.probes import Probes
from gentest.properties.definition import Definition
from gentest.running.grouping import definitions_of, shape

MEASURED = ("attribute", "feature", "keeps", "attributes")
"""The arguments of a property that are measured on single outputs."""


@dataclass(frozen=True)
class _Test:
    shape: Hashable
    definitions: Sequence[Definition]


class Coming:
    """The decorated tests of a run, in their order."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        decorated = [(item, found) for item in items if (found := definitions_of(item))]
        self._tests = {item.nodeid: _Test(shape(item), found) for item, found in decorated}

    def after(self, item: pytest.Item) -> Callable[[Probes, bool], Iterable[Any]]:
        """What the tests after this one measure on a family's probes, where they look at the same generator."""

        def ahead(family: Probes, rated: bool) -> list[Any]:  # noqa: FBT001 - the engine calls it
            own = self._tests[item.nodeid].shape if item.nodeid in self._tests else None
            later = list(self._tests.values())[list(self._tests).index(item.nodeid) + 1 :] if own is not None else []
            definitions = [d for test in later if test.shape == own for d in test.definitions]
            wanted = (d for d in definitions if d.probes == family and (d.rate is not None or not rated))
            return [thing for definition in wanted for thing in _measured(definition)]

        return ahead


def _measured(definition: Definition) -> Iterator[Any]:
    for name, value in definition.arguments.items():
        if isinstance(value, Definition):
            yield from _measured(value)
        elif name in MEASURED:
            things = value if isinstance(value, (list, tuple)) else [value]
            yield from (thing for thing in things if callable(thing) and not isinstance(thing, Distance))
