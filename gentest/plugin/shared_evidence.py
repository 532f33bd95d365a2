"""Which tests share evidence, so that one of xdist's workers runs them all.

Evidence is kept in one process, for whatever looks at the same generator through the same family of probes: scattered
over workers, such tests would have each of them make the same images again. A generator is known only once its test
runs, but what shapes it is known when tests are collected: the fixtures that the test asks for, and its parameters.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from gentest import plugin
from gentest.decorators import DECLARED, Declared, Property
from gentest.engine.evidence.context import SHARED
from gentest.engine.evidence.subject import thing_key
from gentest.errors import InvalidArgument
from gentest.plugin.node_ids import marked_group
from gentest.properties.distribution import AnyDefinition
from gentest.results.settings import ATTRIBUTE, settings


def groups(items: Sequence[pytest.Item]) -> dict[str, str]:
    """The group of each test that has one, by node id: that of its `xdist_group` mark, or of those it shares with.

    Tests whose properties look through several families join the groups of all of them.
    """
    marked = {item: group for item in items if (group := marked_group(item))}
    looked = {item: looks for item in items if item not in marked and (looks := _looks(item))}
    numbers: dict[Hashable, int] = {}
    for number, looks in enumerate(looked.values()):
        joined = {numbers[look] for look in looks if look in numbers}
        numbers.update((look, number) for look, other in tuple(numbers.items()) if other in joined)
        numbers.update((look, number) for look in looks)
    grouped = {item.nodeid: f"xdist_group {group}" for item, group in marked.items()}
    return grouped | {item.nodeid: f"evidence {numbers[next(iter(looks))]}" for item, looks in looked.items()}


def _looks(item: pytest.Item) -> set[Hashable]:
    """What a test looks at: a generator, as far as it is known before it is there, through each family of probes."""
    return {(shape(item), definition.probes) for definition in definitions_of(item)}


def definitions_of(item: pytest.Item) -> list[AnyDefinition]:
    """The properties that decorate a test; without those of wrong arguments, which make no evidence."""
    declared: Declared | None = getattr(plugin.function_of(item), DECLARED, None)
    return definitions_among(declared.properties if declared is not None else ())


def definitions_among(properties: Sequence[Property]) -> list[AnyDefinition]:
    """The definitions of some properties; without those of wrong arguments, which make no evidence."""
    found: list[AnyDefinition] = []
    for property in properties:
        with suppress(InvalidArgument):
            found.append(property.definition)
    return found


def shape(item: pytest.Item) -> Hashable:
    """What shapes a test's generator: fixtures and parameters, or else its file; and the settings of its context."""
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    given: settings | None = getattr(plugin.function_of(item), ATTRIBUTE, None)
    context = tuple(given.given.get(name) if given is not None else None for name in SHARED)
    fixtures = _fixtures(item)
    where = None if fixtures else item.path
    return where, fixtures, frozenset((name, thing_key(value)) for name, value in params.items()), context


def _fixtures(item: pytest.Item) -> frozenset[Hashable]:
    """The functions of the fixtures that a test's arguments lead to; pytest's own, as `tmp_path`, shape nothing."""
    info = getattr(item, "_fixtureinfo", None)
    if info is None:
        return frozenset()
    names, seen, found = list(info.argnames), set[str](), set[Hashable]()
    while names:
        name = names.pop()
        definitions = () if name in seen else info.name2fixturedefs.get(name, ())
        seen.add(name)
        for definition in definitions:
            names += definition.argnames
            if not str(definition.func.__module__).startswith("_pytest."):
                found.add(thing_key(definition.func))
    return frozenset(found)
