"""The pace of a generator, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
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


@gentest.property(probes=gentest.points())
def lit(evidence: gentest.Evidence, *, floor: float = -0.1) -> Tensor:
    """Holds on every image."""
    return evidence.scores(gentest.brightness())[:, 0] - floor


FOLD_SD = 0.266
"""The standard deviation of the brightness of `fold`, from 200,000 samples."""
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


def in_one_test(function: Sleeping, properties: Sequence[gentest.Property], **values: object) -> list[int]:
    """The images that each property of one test takes."""
    generator = gentest.Generator(function, latent=gentest.Normal(8), output_range=zoo.UNIT)
    given = Values(**({"device": "cpu", "examples": 8} | values))  # type: ignore[arg-type]
    context, images = Context(given), []
    for number, property in enumerate(properties):
        before = function.images
        result = check(Question(property.definition, begins=number == 0), generator, context, given)
        assert result.verdict is not gentest.Verdict.ERROR, result.message
        assert result.images == function.images - before
        images.append(result.images)
    return images


@pytest.mark.parametrize("examples", [8, 40])
def test_a_point_property_of_slow_images_costs_twelve_besides_its_probes(
    monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    """Examining, rounding and audit share them; a second property on the same probes makes none."""
    function = Sleeping(fold, Clock.installed(monkeypatch))
    first, second, third = in_one_test(function, [lit(), lit(floor=-0.2), lit(floor=-0.3)], examples=examples)
    assert examples < first <= examples + 12
    assert second == third == 0


def test_paths_of_slow_images_cost_little_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    """One path alone measures rounding."""
    function = Sleeping(fold, Clock.installed(monkeypatch))
    first, second = in_one_test(
        function,
        [gentest.between(gentest.brightness(), tolerance=1.0), gentest.monotone(gentest.brightness(), tolerance=1.0)],
    )
    assert 8 * 9 < first <= 8 * 9 + 9 + 12
    assert second == 0


def test_reproducible_shares_its_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each latent is made in its batch, alone, and after three others; slow images share the three."""
    (images,) = in_one_test(Sleeping(fold, Clock.installed(monkeypatch)), [gentest.reproducible()])
    assert images <= 3 * 8 + 3 + 12


def test_images_that_are_fast_in_batches_are_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that takes 0.8 s for one image and for sixteen makes a fast generator."""
    function = Sleeping(fold, Clock.installed(monkeypatch), each=0.0, fixed=0.8)
    (images,) = in_one_test(function, [lit()], examples=40)
    fast = Sleeping(fold, Clock.installed(monkeypatch), each=0.0)
    assert [images] == [n + 2 for n in in_one_test(fast, [lit()], examples=40)]


@pytest.mark.parametrize("fault", ["noise", "batch", "half a batch"])
def test_faults_of_slow_images_are_named(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """Four examined images show noise and an output that depends on its batch, in one line."""

    def faulty(z: Tensor) -> Tensor:
        images = fold(z)
        if fault == "noise":
            return (images + 1e-3 * torch.randn_like(images)).clamp(0, 1)
        factor = 0.9 if fault == "batch" and len(z) > 1 else 1.0
        if fault == "half a batch" and len(z) > 4:
            images = images.clone()
            images[len(z) // 2 :] *= 0.5
        return images * factor

    result = checked(Sleeping(faulty, Clock.installed(monkeypatch)), lit(), examples=32)
    assert result.verdict is gentest.Verdict.ERROR
    assert ("undeclared noise" if fault == "noise" else "batch") in result.message


@pytest.mark.parametrize(("examples", "more"), [(40, 0), (8, 16)])
def test_the_pilot_of_slow_images_takes_those_of_the_search(
    monkeypatch: pytest.MonkeyPatch, examples: int, more: int
) -> None:
    """Both ends of a path are samples of the prior: from 64 of them `sd` is near, and the result has its error."""
    within = gentest.between(gentest.brightness(), tolerance=gentest.sd(9))
    (images,) = in_one_test(Sleeping(fold, Clock.installed(monkeypatch)), [within], examples=examples)
    assert images <= examples * 9 + 9 + 12 + more
    result = checked(Sleeping(fold, Clock.installed(monkeypatch)), within, examples=examples)
    (spread,) = result.deviations
    assert (spread.measure, spread.samples) == ("brightness()", 64 if examples == 40 else 32)
    assert abs(spread.value - FOLD_SD) <= 3 * spread.error < FOLD_SD
    assert not checked(fold, within, examples=examples).deviations
