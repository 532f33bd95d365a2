"""What tests still to come will measure: so that outputs that have to go are measured for them first.

A guess, which costs or saves time and never changes a verdict: tests that ask for the same fixtures, with the same
parameters, are taken to look at the same generator.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from gentest import plugin
from gentest.attributes import Distance
from gentest.decorators import DECLARED, Declared
from gentest.errors import InvalidArgument
from gentest.grouping import shape
from gentest.probes import Probes
from gentest.properties.definition import Definition

MEASURED = ("attribute", "feature", "keeps", "attributes")
"""The arguments of a property that are measured on single outputs."""


@dataclass(frozen=True)
class _Test:
    shape: Hashable
    definitions: Sequence[Definition]


class Coming:
    """The decorated tests of a run, in their order."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._tests: dict[str, _Test] = {}
        for item in items:
            declared: Declared | None = getattr(plugin.function_of(item), DECLARED, None)
            if declared is not None:
                with suppress(InvalidArgument):  # its own test says so
                    definitions = [p.definition for p in declared.properties]
                    self._tests[item.nodeid] = _Test(shape(item), definitions)

    def after(self, item: pytest.Item) -> Callable[[Probes, bool], Iterable[Any]]:
        """What the tests after this one measure on a family's probes, where they look at the same generator."""
        order = list(self._tests)
        later = order[order.index(item.nodeid) + 1 :] if item.nodeid in self._tests else []
        own = shape(item)
        definitions = [d for name in later if self._tests[name].shape == own for d in self._tests[name].definitions]

        def ahead(family: Probes, rated: bool) -> list[Any]:  # noqa: FBT001 - the engine calls it
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
