"""What comes of one test: a result for each of its properties, also where none could be looked at; and what came of an
earlier run of it in the session, of which this is a rerun."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from gentest import plugin
from gentest._support.printable import error_summary
from gentest.decorators import DECLARED, Declared, Property
from gentest.plugin import checkpoints
from gentest.results.result import Provenance, Result, Verdict


@dataclass
class Checked:
    """What came of one test while it ran: the labels of the properties to check, and the result of each."""

    labels: tuple[str, ...] = ()
    results: dict[str, Result] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    running: bool = False
    before: dict[str, Result] = field(default_factory=dict)
    """What an earlier run of the same test found violated."""

    def keep(self, label: str, result: Result, *, fails: bool) -> None:
        """Adds a result; where a body runs more than once, the first that fails stays."""
        if label not in self.failed:
            self.results[label] = result
        if fails:
            self.failed.add(label)

    @property
    def violations(self) -> dict[str, Result]:
        """What this run or an earlier one found violated."""
        found = {label: self.results[label] for label in self.failed}
        return self.before | {label: r for label, r in found.items() if r.verdict is Verdict.VIOLATED}

    @property
    def passed(self) -> bool:
        """Whether every property was checked, and none failed."""
        return bool(self.labels) and not self.failed and all(label in self.results for label in self.labels)

    def judged(self, label: str, result: Result) -> Result:
        """The result, or an error where an earlier run was violated and this one is not: that is no matter of luck."""
        before = self.before.get(label)
        if before is None or not result.passed:
            return result
        at = f" at {before.counterexample.replay}" if before.counterexample is not None else ""
        said = f"violated{at} when this test ran before, and not when it ran again: the generator has changed"
        return replace(result, verdict=Verdict.ERROR, message=said)


def unchecked(item: pytest.Item, call: pytest.CallInfo[None]) -> dict[str, Result]:
    """An error for each property of a test that failed before any was looked at: no result is left out."""
    declared: Declared | None = getattr(plugin.function_of(item), DECLARED, None)
    why = error_summary(call.excinfo.value) if call.excinfo is not None else "it says no more"
    properties = labelled_properties(declared.properties if declared is not None else ())
    test, checkpoint = (
        f(item, plugin.checkpoint_paths(item.config)) for f in (checkpoints.plain_id, checkpoints.of_item)
    )
    said = f"the test failed before its check: {why}"
    return {
        label: Result(test, repr(p), Verdict.ERROR, said, provenance=Provenance(checkpoint=checkpoint))
        for label, p in properties.items()
    }


def labelled_properties(properties: tuple[Property, ...]) -> dict[str, Property]:
    """The properties of a test by a name of each: `between`, `between.2`, from the top down."""
    labelled: dict[str, Property] = {}
    for property in properties:
        same = sum(label.split(".")[0] == property.name for label in labelled)
        labelled[f"{property.name}.{same + 1}" if same else property.name] = property
    return labelled
