"""Everything that is still to be measured on a generator, so that it is measured while the outputs are there.

It costs or saves time, and never changes a verdict. Tests that ask for the same fixtures, with the same parameters, are
taken to look at the same generator.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest

from gentest.attributes import Distance
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.plans import Origin, Upcoming
from gentest.engine.outputs_summary import summary_measures
from gentest.errors import GentestError
from gentest.plugin.shared_evidence import definitions_of, shape
from gentest.probes.families import Probes, points
from gentest.properties.definition import Measure
from gentest.properties.distribution import AnyDefinition, Matches


@dataclass(frozen=True)
class _Test:
    shape: Hashable
    definitions: Sequence[AnyDefinition]


class Coming:
    """The decorated tests of a run, in their order."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        decorated = [(item, found) for item in items if (found := definitions_of(item))]
        self._tests = {item.nodeid: _Test(shape(item), found) for item, found in decorated}

    def during(
        self, item: pytest.Item, stacked: Sequence[AnyDefinition], context: Context, *, sampled: bool, images: bool
    ) -> Upcoming:
        """Everything that is measured from now on, where this test still has the properties `stacked` to check.

        `sampled` says that independent probes of every property are looked at, and not of those with a rate alone;
        `images` that the generator makes images.
        """
        tests, definitions = list(self._tests), list(stacked)
        if item.nodeid in self._tests:
            own = self._tests[item.nodeid].shape
            later = (self._tests[name] for name in tests[tests.index(item.nodeid) + 1 :])
            definitions += [d for test in later if test.shape == own for d in test.definitions]

        def upcoming(family: Probes, origin: Origin) -> Iterator[Measure]:
            for definition in definitions:
                if origin is Origin.PILOT:
                    yield from _of_pilot(definition)
                    continue
                if isinstance(definition, Matches):
                    judged = bool(origin)
                else:
                    judged = sampled or definition.rate is not None or not origin
                if definition.probes == family and judged:
                    yield from definition.measures
                if sampled and origin and family == points():
                    with suppress(GentestError):  # the check of that property says why
                        yield from summary_measures(context, definition.measures, images=images)

        return upcoming


def _of_pilot(definition: AnyDefinition) -> Iterator[Measure]:
    """Everything whose standard deviation under the prior a property asks for."""
    if definition.in_deviations:
        yield from (Measure(m.thing) for m in definition.measures if not isinstance(m.thing, Distance))
