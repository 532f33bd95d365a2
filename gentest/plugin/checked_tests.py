"""The results of one test, and the tests that would pass although nothing checked them."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gentest._support.printable import error_summary
from gentest.generators.generator import Generator, Pair
from gentest.plugin.checkpoints import checkpoint_name
from gentest.plugin.decorators import Property
from gentest.plugin.items import declared_by, name_of
from gentest.results.outcome import Outcome, Verdict
from gentest.results.result import Provenance, Result


@dataclass
class CheckedTest:
    """The results of one test while it runs, by the labels of its properties."""

    labels: tuple[str, ...] = ()
    """The properties to check."""
    results: dict[str, Result] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    running: bool = False
    violated_before: dict[str, Result] = field(default_factory=dict)
    """The violations of an earlier run of the same test, which this run repeats."""

    def add(self, label: str, result: Result, *, fails: bool) -> None:
        """Keep a result. If the test's body runs several times, the first failure stays."""
        if label not in self.failed:
            self.results[label] = result
        if fails:
            self.failed.add(label)

    @property
    def violations(self) -> dict[str, Result]:
        """The violations of this run and of earlier ones."""
        failed = {label: self.results[label] for label in self.failed}
        return self.violated_before | {label: r for label, r in failed.items() if r.verdict is Verdict.VIOLATED}

    @property
    def passed(self) -> bool:
        """True once every property was checked, and none failed."""
        return bool(self.labels) and not self.failed and all(label in self.results for label in self.labels)

    def against_earlier_run(self, label: str, result: Result) -> Result:
        """The result; an error if an earlier run was violated and this one passes, which luck cannot explain."""
        before = self.violated_before.get(label)
        if before is None or result.outcome is not Outcome.PASSED:
            return result
        at = f" at {before.counterexample.replay}" if before.counterexample is not None else ""
        message = f"violated{at} when this test ran before, and not when it ran again: the generator has changed"
        return replace(result, verdict=Verdict.ERROR, message=message)


def labelled_properties(properties: Sequence[Property]) -> dict[str, Property]:
    """The properties of a test from the top down, each by a label of its own: `between`, `between.2`."""
    labelled: dict[str, Property] = {}
    counts: Counter[str] = Counter()
    for property in properties:
        counts[property.name] += 1
        n = counts[property.name]
        labelled[property.name if n == 1 else f"{property.name}.{n}"] = property
    return labelled


def error_results(item: pytest.Item, call: pytest.CallInfo[None]) -> dict[str, Result]:
    """An error for each property of a test that failed before gentest could check it, so that no result is missing."""
    why = error_summary(call.excinfo.value) if call.excinfo is not None else "pytest gives no reason"
    message = f"the test failed before its check: {why}"
    declared, test, provenance = declared_by(item), name_of(item), Provenance(checkpoint=checkpoint_name(item))
    labelled = labelled_properties(declared.properties if declared is not None else ())
    return {
        label: Result(test, repr(property), Verdict.ERROR, message, provenance=provenance)
        for label, property in labelled.items()
    }


def fail_if_it_returns_a_generator(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function of a test without properties. It fails if the test returns a generator, as if it had some."""

    def checked(returned: object) -> Any:
        if isinstance(returned, (Generator, Pair)):
            why = f"returns a gentest.{type(returned).__name__}, but no property decorates it: nothing was checked"
            pytest.fail(f"{name} {why}", pytrace=False)
        return returned

    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return checked(await function(*args, **kwargs))

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return checked(function(*args, **kwargs))

    return called
