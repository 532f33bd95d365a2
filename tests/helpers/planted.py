"""Disagreements that are planted in one side of a pair: found, reduced, and found again by the replay string."""

from __future__ import annotations

import gentest
from gentest.results.result import Counterexample, Result

ON_CPU = gentest.settings(device="cpu")


def found(property: gentest.Property, pair: gentest.Pair, **settings: object) -> tuple[Result, Counterexample]:
    """The result of a property that a pair violates, and its minimal counterexample.

    The counterexample needs no more coordinate groups than the worst one, and violates again, by the same margin.
    """
    result = property.check(pair, settings=gentest.settings(device="cpu", **settings))
    assert result.verdict is gentest.Verdict.VIOLATED, result.message
    minimal, worst = result.counterexample, result.worst
    assert minimal is not None
    assert worst is not None
    assert len(minimal.groups) <= len(worst.groups)
    assert minimal.margin < 0
    again = property.replay(pair, minimal.replay, settings=ON_CPU)
    assert again.verdict is gentest.Verdict.VIOLATED, again.message
    assert again.counterexample is not None
    assert again.counterexample.margin == minimal.margin
    return result, minimal
