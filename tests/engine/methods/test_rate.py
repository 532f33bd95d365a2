"""Several rates of one property, and how far one holds: by prior, by label, by radius."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import gentest
from gentest import Result, Verdict, settings
from gentest.engine.evidence.plans import Stream
from gentest.engine.methods.problem import Arm
from gentest.engine.methods.rate import MAX_FAILING, _refuting, decide_arms
from gentest.properties.definition import AtRate
from gentest.results.result import Cost
from tests.helpers import zoo
from tests.helpers.zoo import FOLDS_FOR_LABEL_3, edge, of_labels, slope

level = gentest.brightness()

HOLDS, VIOLATED, UNDECIDED = Verdict.HOLDS, Verdict.VIOLATED, Verdict.UNDECIDED

BOX, NORMAL = gentest.Uniform(4), gentest.Normal(4)

QUICK = settings(examples=40)


between = gentest.between(level, tolerance=0.02)


def same(result: Result) -> Result:
    """A result without what may differ between runs: time, and how many images a batch size takes."""
    return replace(result, cost=Cost())


def test_each_prior_has_its_own_rate() -> None:
    """Under one prior it holds and under the other it is refuted, and the rates differ: said of each."""
    property = gentest.prior_invariant(gentest.between(level, tolerance=0.1), priors=[NORMAL])
    result = property.at_rate(0.95).check(zoo.generator(edge, BOX), settings=QUICK)
    assert result.verdict is VIOLATED
    assert result.rate is not None
    assert [(arm.arm, arm.verdict) for arm in result.rate.arms] == [(repr(BOX), HOLDS), (repr(NORMAL), VIOLATED)]
    assert [found.verdict for found in result.rate.invariant] == [VIOLATED]
    assert result.rate.arm == repr(NORMAL)
    assert result.counterexample is not None
    assert result.counterexample.under == f"under {NORMAL!r}"


def test_rates_that_hold_are_certified_not_to_differ() -> None:
    """Where both hold, it takes the second statement too: the difference is below delta."""
    property = gentest.prior_invariant(between, priors=[NORMAL], delta=0.1)
    result = property.at_rate(0.9).check(zoo.generator(slope, BOX), settings=QUICK)
    assert result.verdict is HOLDS
    assert result.rate is not None
    (found,) = result.rate.invariant
    assert found.verdict is HOLDS
    assert found.low > -0.1
    assert found.high < 0.1


def test_the_second_statement_may_stay_open() -> None:
    """A budget that decides both rates and not their difference leaves the whole undecided."""
    property = gentest.prior_invariant(between, priors=[NORMAL], delta=0.01)
    result = property.at_rate(0.9).check(zoo.generator(slope, BOX), settings=settings(examples=20, budget=200))
    assert result.rate is not None
    assert {arm.verdict for arm in result.rate.arms} == {HOLDS}
    assert result.rate.invariant[0].verdict is UNDECIDED
    assert result.verdict is UNDECIDED


@pytest.mark.parametrize("batch_size", [16, 128])
def test_a_failure_in_a_batch_alone_is_no_failure_of_a_rate(batch_size: int) -> None:
    """One row of a batch violates there and not alone: that says nothing of the property, and is an error."""

    @gentest.property(probes=gentest.points())
    def dark(evidence: gentest.Evidence) -> Tensor:
        n = len(evidence.probes)
        return 0.3 - 0.5 * (torch.arange(n) == 9) + 0.0 * evidence.scores(level)[:, 0]

    given = settings(examples=8, batch_size=batch_size)
    result = dark().at_rate(0.5).check(zoo.generator(slope, NORMAL), settings=given)
    assert result.verdict is Verdict.ERROR
    assert "violates dark().at_rate(0.5) in a batch and not alone" in result.message


def test_few_failures_far_from_zero_are_confirmed() -> None:
    """Of hundreds that fail by far more than rounding the first 16 are made again alone, and no pass is."""
    generator = zoo.generator(lambda z: 0.5 + 0.2 * torch.tanh(z[:, 0]), NORMAL)

    @gentest.property(probes=gentest.points())
    def dark(evidence: gentest.Evidence) -> Tensor:
        return 0.5 - evidence.scores(level)[:, 0]

    asked = dark().at_rate(0.5, slack=0.03)
    result = asked.check(generator, settings=settings(examples=8, budget=1024, batch_size=128))
    assert result.rate is not None
    assert result.rate.probes - result.rate.passes > 300
    assert result.audit is not None
    examined, measured, near = 5, 4 + 3, result.decided_alone
    assert 16 <= generator.function.batches.count(1) - examined - measured - result.audit.images <= 16 + 3 * near + 8


def test_each_label_has_its_own_rate() -> None:
    """One label of five breaks the property: the mixture of all holds at 0.7, and each of them does not."""
    mixed = between.at_rate(0.7).check(FOLDS_FOR_LABEL_3, settings=QUICK)
    each = between.at_rate(0.7, each="label").check(FOLDS_FOR_LABEL_3, settings=QUICK)
    assert mixed.verdict is HOLDS
    assert each.verdict is VIOLATED
    assert each.rate is not None
    assert {arm.arm: arm.verdict for arm in each.rate.arms} == {
        f"label={n}": VIOLATED if n == 3 else HOLDS for n in range(5)
    }
    assert each.rate.overall == pytest.approx(0.8 + 0.2 * each.rate.arms[3].passes / each.rate.arms[3].probes, abs=1e-3)
    assert each.counterexample is not None
    assert each.counterexample.probe["choices"] == [3]


def test_labels_are_weighed_as_they_are_drawn() -> None:
    """The overall rate weighs each label by its probability, and labels that are never drawn have no rate."""
    space = gentest.Joint(z=BOX, label=gentest.Categorical(5, probabilities=[0.25, 0, 0.25, 0.5, 0]))
    generator = gentest.Generator(of_labels, latent=space, output_range=zoo.UNIT)
    result = between.at_rate(0.7, each="label").check(generator, settings=QUICK)
    assert result.rate is not None
    assert [arm.arm for arm in result.rate.arms] == ["label=0", "label=2", "label=3"]
    broken = result.rate.arms[2]
    assert result.rate.overall == pytest.approx(0.5 + 0.5 * broken.passes / broken.probes, abs=1e-3)


@pytest.mark.parametrize("batch_size", [7, *(pytest.param(size, marks=pytest.mark.slow) for size in (1, 500))])
def test_several_rates_are_the_same_in_any_batch(batch_size: int) -> None:
    """Every figure, and the counterexample, of rates by prior, by label and within a radius."""
    cases = [
        (gentest.prior_invariant(between, priors=[NORMAL]).at_rate(0.9), zoo.generator(edge, BOX)),
        (between.at_rate(0.8, each="label"), FOLDS_FOR_LABEL_3),
        (gentest.holds_within(between, 2.0).at_rate(0.9), zoo.generator(ring, gentest.Normal(6))),
    ]
    for property, generator in cases:
        usual, other = (
            property.check(generator, settings=settings(examples=8, budget=128, batch_size=size))
            for size in (64, batch_size)
        )
        assert same(usual) == same(other)


def ring(z: Tensor) -> Tensor:
    """A slope within 1.5 times the radius where samples of the normal lie, stripes further out."""
    far = z.norm(dim=1) > 1.5 * z.shape[1] ** 0.5
    return slope(z) + 0.3 * (far & (torch.sin(40 * z[:, 1]) > 0))


def test_the_largest_radius_is_certified_and_confirmed() -> None:
    """Asked within 2, it holds within 1.5: the largest radius of the grid below it is certified, fresh rays confirm."""
    generator = zoo.generator(ring, gentest.Normal(32))
    result = gentest.holds_within(between, 2.0).at_rate(0.95).check(generator, settings=QUICK)
    assert result.verdict is VIOLATED
    found = result.radius
    assert found is not None
    assert 1.5 - 2 * 2.0 / 31 < found.certified <= 1.5
    assert found.confirmed is not None
    assert found.confirmed.verdict is HOLDS
    assert result.counterexample is not None
    assert result.counterexample.under in ("at radius 1.5", "at radius 2")


def test_what_holds_as_far_as_was_asked_needs_no_rays() -> None:
    """Within 1.4 the property holds at its rate: that is the radius."""
    result = gentest.holds_within(between, 1.4).at_rate(0.95).check(zoo.generator(ring, gentest.Normal(32)))
    assert result.verdict is HOLDS
    assert result.radius is not None
    assert (result.radius.certified, result.radius.confirmed) == (1.4, result.rate)


def test_of_each_label_the_radius_is_that_of_the_weakest() -> None:
    """One label of five breaks the property beyond 1.5: the mixture of all holds as far as 2, and each of them not."""

    def of_labels(z: Tensor, label: Tensor) -> Tensor:
        return zoo.images(torch.where(label == 3, ring(z), slope(z)))

    space = gentest.Joint(z=gentest.Normal(32), label=gentest.Categorical(5))
    generator = gentest.Generator(of_labels, latent=space, output_range=zoo.UNIT)
    within = gentest.holds_within(between, 2.0)
    assert within.at_rate(0.7).check(generator, settings=QUICK).verdict is HOLDS
    found = within.at_rate(0.7, each="label").check(generator, settings=QUICK).radius
    assert found is not None
    assert 1.5 - 2 * 2.0 / 31 < found.certified <= 1.5
    assert found.confirmed is not None
    assert found.confirmed.verdict is HOLDS
    assert len(found.confirmed.arms) == 5


def test_no_radius_may_be_certified() -> None:
    """Where it fails near the middle as well, no radius is."""
    result = gentest.holds_within(between, 1.0).at_rate(0.95).check(
        zoo.generator(lambda z: 0.5 + 0.2 * torch.sin(1e4 * z[:, 0]), NORMAL), settings=QUICK
    )  # fmt: skip
    assert result.radius is not None
    assert (result.radius.certified, result.radius.confirmed) == (0.0, None)


def test_a_failure_nearer_than_the_radius_is_found() -> None:
    """What fails in a shell inside and holds further out is found in the place of the ray that lies there."""

    def shell(z: Tensor) -> Tensor:
        r = z.norm(dim=1) / z.shape[1] ** 0.5
        return slope(z) + 0.3 * ((r > 0.47) & (r < 0.53) & (torch.sin(40 * z[:, 1]) > 0))

    generator = zoo.generator(shell, gentest.Normal(32))
    result = gentest.holds_within(between, 1.0).at_rate(0.95).check(generator, settings=QUICK)
    assert result.verdict is VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.under == "at radius 0.5"


def test_a_radius_replays() -> None:
    """The replay string of a counterexample at a radius gives its margin again."""
    generator = zoo.generator(ring, gentest.Normal(6))
    property = gentest.holds_within(between, 2.0)
    found = property.check(generator, settings=QUICK).counterexample
    assert found is not None
    again = property.replay(generator, found.replay).counterexample
    assert again is not None
    assert math.isclose(again.margin, found.margin)
    assert again.under == found.under


@pytest.mark.slow
def test_a_radius_of_a_prior_and_a_prior_of_a_radius() -> None:
    """The two nest: within a radius under each prior, with a rate for each."""
    inner = gentest.holds_within(between, 0.5)
    result = (
        gentest.prior_invariant(inner, priors=[NORMAL]).at_rate(0.9).check(zoo.generator(edge, BOX), settings=QUICK)
    )
    assert result.verdict is HOLDS
    assert result.rate is not None
    assert [arm.arm for arm in result.rate.arms] == [repr(BOX), repr(NORMAL)]
    other = gentest.holds_within(gentest.prior_invariant(between, priors=[NORMAL]), 3.0)
    found = other.check(zoo.generator(edge, BOX), settings=QUICK).counterexample
    assert found is not None
    assert found.under.startswith("under ")
    assert "at radius" in found.under
    rated = other.at_rate(0.9).check(zoo.generator(edge, BOX), settings=QUICK)
    assert rated.verdict is VIOLATED
    assert rated.radius is not None
    assert 0.8 < rated.radius.certified <= 0.9  # where a normal of four coordinates can reach 1.8


def test_within_a_radius_priors_are_compared_too() -> None:
    """What a property states of its priors at a rate, it states of them within a radius as well."""
    inner = gentest.prior_invariant(between, priors=[NORMAL], delta=0.01)
    result = gentest.holds_within(inner, 0.5).at_rate(0.9).check(
        zoo.generator(slope, BOX), settings=settings(examples=20, budget=200)
    )  # fmt: skip
    assert result.rate is not None
    assert {arm.verdict for arm in result.rate.arms} == {HOLDS}
    assert [found.verdict for found in result.rate.invariant] == [UNDECIDED]
    assert result.verdict is UNDECIDED


@pytest.mark.slow
def test_each_label_has_a_radius() -> None:
    """Where each label is asked about, the radius is that of the label which fails first, and not of their mixture."""

    def bent(z: Tensor, label: Tensor) -> Tensor:
        far = z.abs().amax(1) > torch.where(label == 3, 0.9, 1.6)
        return zoo.images(torch.where(far, 0.9, slope(z)))

    space = gentest.Joint(z=BOX, label=gentest.Categorical(4, probabilities=[0.32, 0.32, 0.32, 0.04]))
    generator = gentest.Generator(bent, latent=space, output_range=zoo.UNIT)
    property = gentest.holds_within(gentest.between(level, tolerance=0.05), 1.0)
    mixed, each = (
        property.at_rate(0.9, each=part).check(generator, settings=settings(examples=40)) for part in ("", "label")
    )
    assert mixed.radius is not None
    assert each.radius is not None
    assert each.radius.certified < 0.9 / 3**0.5 + 0.05 < mixed.radius.certified
    assert each.radius.confirmed is not None
    assert [arm.arm for arm in each.radius.confirmed.arms] == [f"label={n}" for n in range(4)]


def test_of_many_that_fail_the_first_are_kept() -> None:
    """The probes that refute a rate are the first that fail, among those that its test counted."""
    margins = [(7 * i % 5000 - 4000) / 1000 for i in range(5000)]
    failing = [i for i in range(5000) if margins[i] < 0]
    stream = Stream(1, list)
    arm = Arm("", list, margins=lambda probes: [], alone=lambda probe: 0.0)
    rate = decide_arms(AtRate(0.9), {"": lambda start, n: [False] * n}, budget=100, block=100)
    assert rate.verdict is VIOLATED
    for counted in (5000, 100):
        found = _refuting(replace(rate, probes=counted), stream, [arm], {"": margins})
        first = [i for i in failing if i < counted][:MAX_FAILING]
        assert found == tuple(stream.probes(i, 1)[0] for i in first)
