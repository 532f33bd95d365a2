"""The pace of a generator, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.cost import SLOW_BLOCK, Pace
from gentest.engine.evidence.context import Context
from gentest.results.result import Result
from gentest.results.settings import Values
from tests.helpers import zoo
from tests.helpers.counting import fold, without_costs
from tests.helpers.slow import Clock, Sleeping


def checked(function: Callable[..., Tensor], property: gentest.Property, **values: object) -> Result:
    """The result of a property on a function of a normal space, in a context of its own."""
    generator = gentest.Generator(function, latent=gentest.Normal(8), output_range=zoo.UNIT)
    given = Values(**({"device": "cpu", "examples": 120} | values))  # type: ignore[arg-type]
    return check(Question(property.definition), generator, Context(given), given)


VIOLATED = gentest.between(gentest.brightness(), tolerance=0.2)


def test_a_first_call_that_loads_weights_is_not_the_pace() -> None:
    """The first call counts only as long as it is the only one."""
    pace = Pace()
    assert (pace.known, pace.seconds, pace.slow) == (False, 0.0, False)
    pace.add(1, 60.0)
    assert (pace.known, pace.seconds, pace.slow) == (True, 60.0, True)
    pace.add(4, 0.4)
    assert (pace.seconds, pace.slow) == (0.1, False)


def test_a_settled_pace_stays() -> None:
    """A check is planned in one way from its beginning to its end."""
    pace = Pace()
    pace.settle(slow=True)
    pace.add(10, 0.1)
    pace.add(10, 0.1)
    assert pace.slow


@pytest.mark.parametrize("n", [1, 3])
def test_a_search_stops_after_some_violations_at_any_batch_size(n: int) -> None:
    """It ends at the same probe, with the same counterexample, and says that it stopped."""
    one, whole = (checked(fold, VIOLATED, stop_after=n, batch_size=size) for size in (7, 128))
    assert without_costs(one) == without_costs(whole)
    assert (one.violations, one.search.stopped, one.verdict) == (n, True, gentest.Verdict.VIOLATED)
    everything = checked(fold, VIOLATED)
    assert one.examples < everything.examples == 120
    assert everything.violations > n
    assert not everything.search.stopped


def test_a_search_of_slow_images_stops_at_its_first_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks after a few images, not after a batch of 128 paths; a given number goes before the default."""
    function = Sleeping(fold, Clock.installed(monkeypatch))
    slow = checked(function, VIOLATED, reduce=0)
    assert (slow.violations, slow.search.stopped) == (1, True)
    assert max(function.sizes) <= SLOW_BLOCK
    assert checked(Sleeping(fold, Clock.installed(monkeypatch)), VIOLATED, reduce=0, stop_after=2).violations == 2


def test_a_fast_generator_looks_at_the_whole_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first call that takes a minute does not make a generator slow."""
    function = Sleeping(fold, Clock.installed(monkeypatch), each=0.01, first=60.0)
    result = checked(function, VIOLATED)
    assert (result.examples, result.search.stopped) == (120, False)
