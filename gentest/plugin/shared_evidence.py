"""Tests that look at the same generator share evidence: outputs, and what was measured on them.

Evidence lives in one process. Under pytest-xdist, one worker therefore runs all tests that share it; otherwise each
worker would make the same images again. In any run, gentest measures what later tests need before it drops outputs.
Both save time and change no verdict.

A generator exists only once its test runs. Until then, tests that use the same fixtures with the same parameters and
settings count as tests of the same generator. A forecast looks at their bodies, too: a test that returns
`generator.truncated(0.7)` shares nothing with one that returns `generator`.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest
from _pytest.config import builtin_plugins

from gentest.attributes import Distance
from gentest.engine.evidence.context import SHARED, Context
from gentest.engine.evidence.plans import Origin, Upcoming
from gentest.engine.evidence.subject import thing_key
from gentest.engine.outputs_summary import summary_measures
from gentest.errors import GentestError, InvalidArgument
from gentest.outputs import Kind
from gentest.plugin.decorators import Property
from gentest.plugin.items import declared_by, params_of, settings_of
from gentest.probes.families import Probes, points
from gentest.properties.definition import AnyDefinition, Measure, OfAll

NO_STEPS = frozenset(("CACHE", "NOP", "RESUME"))
"""Instructions of bytecode that do nothing."""


def definitions_of(item: pytest.Item) -> list[AnyDefinition]:
    """The definitions of the properties that decorate a test. Properties with wrong arguments have none."""
    declared = declared_by(item)
    return definitions_among(declared.properties if declared is not None else ())


def definitions_among(properties: Sequence[Property]) -> list[AnyDefinition]:
    """The definitions of some properties. Properties with wrong arguments have none."""
    definitions: list[AnyDefinition] = []
    for property in properties:
        with suppress(InvalidArgument):
            definitions.append(property.definition)
    return definitions


def groups(items: Sequence[pytest.Item]) -> dict[str, str]:
    """The group of each test that has one, by node id: that of its `xdist_group` mark, or of the evidence it shares.

    Tests share evidence if their properties use the same generator and the same family of probes. A test that uses
    several families joins their groups.
    """
    marked = {item: group for item in items if (group := _marked_group(item))}
    evidence = {item: kinds for item in items if item not in marked and (kinds := _kinds_of_evidence(item))}
    numbers: dict[Hashable, int] = {}
    for number, kinds in enumerate(evidence.values()):
        joined = {numbers[kind] for kind in kinds if kind in numbers}
        numbers.update((kind, number) for kind, other in tuple(numbers.items()) if other in joined)
        numbers.update((kind, number) for kind in kinds)
    grouped = {item.nodeid: f"xdist_group {group}" for item, group in marked.items()}
    return grouped | {item.nodeid: f"evidence {numbers[next(iter(kinds))]}" for item, kinds in evidence.items()}


def _marked_group(item: pytest.Item) -> str:
    """The group that a test's own `xdist_group` marks name, read as xdist reads them; empty without any."""
    marks = list(item.iter_markers("xdist_group"))
    return "_".join(sorted({str(m.args[0] if m.args else m.kwargs.get("name", "default")) for m in marks}))


def _kinds_of_evidence(item: pytest.Item) -> set[Hashable]:
    return {(generator_key(item), definition.probes) for definition in definitions_of(item)}


def generator_key(item: pytest.Item) -> Hashable:
    """A key for the generator of a test: its fixtures, parameters and settings, and its file if it has no fixtures."""
    settings, fixtures = settings_of(item), _fixtures(item)
    shared = tuple(settings.given.get(name) if settings is not None else None for name in SHARED)
    params = frozenset((name, thing_key(value)) for name, value in params_of(item).items())
    return None if fixtures else item.path, fixtures, params, shared


def returned_key(item: pytest.Item) -> Hashable:
    """A key for the generator that a test returns: that of its fixtures, and what its body does with them.

    Two bodies do the same if their bytecode is the same, with the names and constants that it uses.
    """
    function = inspect.unwrap(getattr(item, "obj", None))  # type: ignore[arg-type]
    code = getattr(function, "__code__", None)
    if code is None:
        return generator_key(item), item.nodeid
    body = tuple((step.opname, repr(step.argval)) for step in dis.get_instructions(code) if step.opname not in NO_STEPS)
    # names mean the same only within their module
    return generator_key(item), body, function.__module__ if code.co_names else None


def _fixtures(item: pytest.Item) -> frozenset[Hashable]:
    """The fixture functions that a test uses, directly or through others, except those that come with pytest."""
    builtin = [vars(plugin) for name in builtin_plugins if (plugin := item.config.pluginmanager.get_plugin(name))]
    info = getattr(item, "_fixtureinfo", None)
    if info is None:
        return frozenset()
    names, seen, functions = list(info.argnames), set[str](), set[Hashable]()
    while names:
        name = names.pop()
        definitions = () if name in seen else info.name2fixturedefs.get(name, ())
        seen.add(name)
        for definition in definitions:
            names += definition.argnames
            if not any(getattr(definition.func, "__globals__", None) is module for module in builtin):
                functions.add(thing_key(definition.func))
    return frozenset(functions)


@dataclass(frozen=True)
class _Test:
    generator: Hashable
    definitions: Sequence[AnyDefinition]


class LaterMeasures:
    """The measurements that the decorated tests of a run still need, in their order."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        decorated = [(item, definitions) for item in items if (definitions := definitions_of(item))]
        self._tests = {item.nodeid: _Test(generator_key(item), definitions) for item, definitions in decorated}

    def after(
        self, item: pytest.Item, remaining: Sequence[AnyDefinition], context: Context, *, sampled: bool, kind: Kind
    ) -> Upcoming:
        """The measurements that are needed from now on, if this test still has the properties `remaining` to check.

        `sampled` says that every property evaluates independent probes, and not only those with a rate; `kind` is
        that of the generator's outputs.
        """
        tests, definitions = list(self._tests), list(remaining)
        if item.nodeid in self._tests:
            generator = self._tests[item.nodeid].generator
            later = (self._tests[name] for name in tests[tests.index(item.nodeid) + 1 :])
            definitions += [d for test in later if test.generator == generator for d in test.definitions]

        return upcoming_measures(definitions, context, sampled=sampled, kind=kind)


def upcoming_measures(definitions: Sequence[AnyDefinition], context: Context, *, sampled: bool, kind: Kind) -> Upcoming:
    """The measurements that some properties need, for the context's memory pool. `LaterMeasures.after` says of what."""

    def upcoming(family: Probes, origin: Origin) -> Iterator[Measure]:
        for definition in definitions:
            if origin is Origin.PILOT:
                # the spread of everything but distances of two outputs, and the pilot of a level
                if definition.in_deviations or isinstance(definition, OfAll):
                    yield from (Measure(m.thing) for m in definition.measures if not isinstance(m.thing, Distance))
                continue
            if isinstance(definition, OfAll):
                judged = bool(origin)
            else:
                judged = sampled or definition.rate is not None or not origin
            if definition.probes == family and judged:
                yield from definition.measures
            if sampled and origin and family == points():
                with suppress(GentestError):  # the check of that property reports it
                    yield from summary_measures(context, definition.measures, kind=kind)

    return upcoming
