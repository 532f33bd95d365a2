"""The forecast of a run against what the checks then cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.engine.forecast import NOBODY_KNOWS, Forecast, Known, PlannedCheck
from gentest.engine.methods.quick_sample import QUICK
from gentest.results.settings import Values
from tests.helpers import slow_gate, zoo
from tests.helpers.counting import fold
from tests.helpers.slow import Clock, Sleeping

LATENT = gentest.Normal(8)
WIDE = gentest.between(gentest.brightness(), tolerance=1.0)
STACK = [WIDE, gentest.monotone(gentest.brightness(), tolerance=1.0), gentest.well_formed()]


def costs(properties: Sequence[gentest.Property], **values: object) -> tuple[list[int], list[int]]:
    """The images that each property of one test is forecast to add, and those that it takes."""
    given = Values(device="cpu", **values)  # type: ignore[arg-type]
    generator = gentest.Generator(fold, latent=LATENT, output_range=zoo.UNIT)
    context, made = Context(given), []
    for number, property in enumerate(properties):
        made.append(check(Question(property.definition, begins=number == 0), generator, context, given).images)
    forecast = Forecast({None: Known(LATENT, batch_size=context.batch_size)})
    expected = [
        forecast.add(forecast.needs([PlannedCheck("test", str(number), property.definition, given)]))
        for number, property in enumerate(properties)
    ]
    return expected, made


@pytest.mark.parametrize(
    "properties",
    [
        [WIDE],
        [WIDE.at_rate(0.9)],
        [gentest.reproducible()],
        [gentest.between(gentest.brightness(), tolerance=gentest.sd(9))],
    ],
    ids=["search", "rate", "again", "sd"],
)
def test_a_forecast_is_near_what_a_property_costs(properties: list[gentest.Property]) -> None:
    """On a good generator, within a tenth."""
    (expected,), (made,) = costs(properties)
    assert abs(expected - made) <= 0.1 * made


def test_shared_evidence_counts_once() -> None:
    """The second property of the same probes adds its audit alone, in the forecast and in fact."""
    expected, made = costs(STACK)
    assert expected[1] < 0.02 * expected[0]
    assert abs(sum(expected) - sum(made)) <= 0.1 * sum(made)


def test_properties_share_what_they_have_in_common() -> None:
    """The paths of one prior of two: the second property adds those of the other prior."""
    expected, made = costs([WIDE, gentest.prior_invariant(WIDE, priors=[gentest.Uniform(8)])])
    for one, other in zip(expected, made, strict=True):
        assert abs(one - other) <= 0.05 * other


def test_a_rate_for_each_value_takes_blocks_of_its_own() -> None:
    """Ten values with a rate each: each looks at whole blocks of probes of its own."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    generator = gentest.Generator(zoo.Labelled(), latent=space, output_range=zoo.UNIT)
    property = gentest.follows_label(zoo.by_level(10)).at_rate(0.7, each="label")
    given = Values(device="cpu", examples=50)
    context = Context(given)
    made = check(Question(property.definition), generator, context, given).images
    forecast = Forecast({None: Known(space, batch_size=context.batch_size)})
    expected = forecast.add(forecast.needs([PlannedCheck("test", "", property.definition, given)]))
    assert abs(expected - made) <= 0.05 * made


def test_a_rate_for_each_value_of_an_unknown_space_is_no_cheap_one() -> None:
    """It takes several times as many probes as a rate of all values, so that a budget does not begin with it."""
    of_all, each = gentest.well_formed().at_rate(0.8), gentest.well_formed().at_rate(0.8, each="label")

    def images(property: gentest.Property) -> int:
        forecast = Forecast({None: replace(Known(LATENT), space=NOBODY_KNOWS, slow=True)})
        return forecast.add(forecast.needs([PlannedCheck("test", "", property.definition, Values(examples=8))]))

    assert images(each) - images(of_all) >= 3 * 16


def test_a_slow_generator_shares_the_company_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """`reproducible` makes each latent alone, and again in batches whose other samples are shared."""
    source = Sleeping(fold, Clock.installed(monkeypatch))
    given = Values(device="cpu", examples=40)
    generator = gentest.Generator(source, latent=LATENT, output_range=zoo.UNIT)
    definition = gentest.reproducible().definition
    check(Question(definition), generator, Context(given), given)
    forecast = Forecast({None: Known(LATENT, slow=True)})
    expected = forecast.add(forecast.needs([PlannedCheck("test", "", definition, given)]))
    assert abs(expected - source.images) <= 0.15 * source.images


def test_a_forecast_follows_the_settings() -> None:
    """Examples, an attack and a finite space change it, before anything runs."""
    latent = gentest.Categorical(10)

    def images(space: gentest.Space, property: gentest.Property, **values: object) -> int:
        forecast = Forecast({None: Known(space)})
        asked = PlannedCheck("test", "", property.definition, Values(**values))  # type: ignore[arg-type]
        return forecast.more(forecast.needs([asked]))

    assert images(LATENT, WIDE, examples=200) - images(LATENT, WIDE, examples=100) == 100 * 9
    assert images(LATENT, WIDE, attack=500) - images(LATENT, WIDE) == 500
    assert images(latent, gentest.well_formed()) < images(LATENT, gentest.well_formed()) - 250


def test_pairs_share_their_reference() -> None:
    """A second candidate is compared with the reference's outputs that the first one was compared with."""
    agrees = gentest.agrees(within=0.1)
    forecast = Forecast({name: Known(LATENT) for name in ("one", "other")})
    first, second = (
        forecast.add(forecast.needs([PlannedCheck(name, "agrees", agrees.definition, Values(), name)]))
        for name in ("one", "other")
    )
    assert 2 * 300 < first < 2 * 300 + 150
    assert 300 < second < 300 + 100


def test_a_quick_gate_is_forecast_from_its_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate and eight levels of slow images, blessed and compared: within a sixth of what they then cost."""
    clock, properties = Clock.installed(monkeypatch), [slow_gate.small().at_rate(0.9), *slow_gate.levels()]
    values = Values(device="cpu", seed=1, examples=4)

    def expected(n_sampled: int, n_quick: int) -> int:
        known = {None: Known(gentest.Normal(2 * slow_gate.N_LEVELS), slow=True, batch_size=16)}
        asked = [
            PlannedCheck("test_it", str(i), one.definition, values, n_sampled=n_sampled, summarised=1, n_quick=n_quick)
            for i, one in enumerate(properties)
        ]
        forecast = Forecast(known)
        return sum(forecast.add(forecast.needs([one])) for one in asked)

    good, same = slow_gate.candidate(clock), slow_gate.candidate(clock, noise=0.1)
    baseline = slow_gate.blessed(slow_gate.checked(properties, good))
    assert expected(2048, QUICK) == pytest.approx(slow_gate.images(good), rel=1 / 6)
    slow_gate.checked(properties, same, baseline=baseline)
    assert expected(256, 32) == pytest.approx(slow_gate.images(same), rel=1 / 6)
