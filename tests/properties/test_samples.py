"""`well_formed` and `reproducible` on outputs that are not finite, and `not_blank` on flat ones."""

from __future__ import annotations

import json
from math import exp
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

import gentest
from gentest import settings
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.probes.probe import independent
from gentest.report import markdown, terminal
from gentest.results.document import Document, Session
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import zoo

FEW = settings(examples=60, device="cpu")


def where_positive(value: float) -> gentest.Generator:
    """Images of 12 values, the first of which is another where the first coordinate is above 0.5."""

    def f(z: Tensor) -> Tensor:
        x = torch.sigmoid(z[:, :, None, None].expand(-1, 3, 2, 2)).clone()
        x[z[:, 0] > 0.5, 0, 0, 0] = value
        return x

    return gentest.Generator(f, latent=gentest.Normal(3), output_range=(0, 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_well_formed_says_how_many_values_are_not_finite(value: float) -> None:
    """In the counterexample, in every report, and in what is kept of it."""
    result = gentest.well_formed().check(where_positive(value), settings=FEW)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.note == "1 of 12 values are not finite, the first at [0, 0, 0]"
    assert "because  1 of 12 values are not finite" in terminal.failure(result, "")
    session = Session(None, None, None, "cpu", 0, {})
    assert "1 of 12 values are not finite" in markdown.page(Document(session, (result,)))
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize(("value", "side"), [(2.0, "above"), (-1.0, "below")])
def test_well_formed_says_which_value_is_out_of_range(value: float, side: str) -> None:
    """How many values are, how far the furthest is, on which side, and where."""
    result = gentest.well_formed().check(where_positive(value), settings=FEW)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    said = f"1 of 12 values are out of range, the furthest by 1 of its width {side} it, at [0, 0, 0]"
    assert result.counterexample.note == said


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_reproducible_says_that_values_are_not_finite(value: float) -> None:
    """They cannot be compared: an error that names the probe and the property that reduces it."""
    generator = where_positive(value)
    result = gentest.reproducible().check(generator, settings=FEW)
    assert result.verdict is Verdict.ERROR
    assert "values that are not finite (at probe " in result.message
    assert "gentest.well_formed() looks for such outputs" in result.message
    probe = result.message.partition("at probe ")[2].partition(";")[0]
    assert gentest.well_formed().replay(generator, probe).verdict is Verdict.VIOLATED


def test_reproducible_passes_over_finite_values() -> None:
    """The same generator without the value is a function."""
    result = gentest.reproducible().check(where_positive(0.5), settings=FEW)
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE


def apart(n: int) -> float:
    """Half the distance of the nearest of `n` modes, as the distance of pixels."""
    return 0.5 / n


@pytest.mark.parametrize("n", [1, 10, 100])
def test_few_modes_are_found(n: int) -> None:
    """At 16 samples, collapse to a hundred outputs is found by nearly every other probe."""
    property = gentest.diverse(at_least=apart(n))
    result = property.check(zoo.generator(zoo.modes(n)), settings=settings(examples=50))
    assert result.verdict is Verdict.VIOLATED
    found = result.counterexample
    assert found is not None
    assert found.margin == pytest.approx(-apart(n), abs=1e-6)
    assert property.replay(zoo.generator(zoo.modes(n)), found.replay).counterexample == found
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert property.at_rate(0.95).check(zoo.generator(zoo.modes(n))).verdict is Verdict.VIOLATED


def test_a_support_that_is_large_enough_holds_at_a_rate() -> None:
    """Of 100,000 outputs a probe of 16 has a duplicate in one of 800, and a property without a rate may meet it."""
    property = gentest.diverse(at_least=apart(100_000) / 100).at_rate(0.95)
    assert property.check(zoo.generator(zoo.modes(100_000))).verdict is Verdict.HOLDS


def test_rates_are_those_of_the_birthday_paradox() -> None:
    """Of 1,000 equal modes the share of probes with no duplicate is exp(-s (s - 1) / (2 m))."""
    definition = gentest.diverse(at_least=apart(1000), among=16).definition
    context, subject = Context(Values(device="cpu")), Subject.of(zoo.generator(zoo.modes(1000)))
    probes = independent(11, 0, 2000)
    held = int((definition.margin(context.evidence(subject, definition.probes, probes)) >= 0).sum())
    assert stats.binomtest(held, 2000, exp(-16 * 15 / 2000)).pvalue > 1e-6
    assert 0.8 < held / 2000 < 0.95


def test_among_sets_how_many_samples_are_compared() -> None:
    """Two samples of ten modes differ nine times in ten; sixteen never all do."""
    rates = []
    for among in (2, 16):
        result = gentest.diverse(at_least=apart(10), among=among).check(zoo.generator(zoo.modes(10)))
        rates.append(result.violations / result.examples)
    assert 0.02 < rates[0] < 0.25
    assert rates[1] > 0.99


def test_sixteen_samples_are_sixteen_latents() -> None:
    """All ends of a probe are independent: no two are equal in any coordinate, and none correlate."""
    z = gentest.diverse(at_least=0.1).definition.probes.place(gentest.Normal(32), independent(1, 0, 500))[""]
    assert z.shape == (500, 16, 32)
    for first in range(16):
        for second in range(first):
            assert (z[:, first] != z[:, second]).all()
            assert stats.pearsonr(z[:, first].ravel(), z[:, second].ravel()).pvalue > 1e-6


def test_duplicates_are_at_no_distance() -> None:
    """Far from the origin of feature space too, where distances by way of products are off by more than the bar."""
    result = gentest.diverse(lambda x: x.flatten(1).expand(-1, 4) + 1000, at_least=1e-3).check(
        zoo.generator(zoo.collapsed), settings=settings(examples=5)
    )
    assert result.margin is not None
    assert result.margin.min == pytest.approx(-1e-3)


def test_it_is_diversity_within_a_label() -> None:
    """Samples of a probe share its label: outputs that differ by the label alone are no diversity."""

    def made(z: Any, label: Any) -> Any:
        return zoo.images((label + 0.5) / 10 + 0 * z[:, 0])

    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    generator = gentest.Generator(made, latent=space, output_range=(0, 1))
    result = gentest.diverse(at_least=0.01).check(generator, settings=settings(examples=50))
    assert result.violations == result.examples


@pytest.mark.parametrize(
    "arguments",
    [
        {"at_least": 0},
        {"at_least": gentest.sd(1)},
        {"at_least": 0.1, "among": 1},
        {"at_least": 0.1, "among": 2.0},
        {"at_least": 0.1, "among": True},
        {"at_least": 0.1, "among": 1 << 20},
        {"at_least": 0.1, "feature": "pixels"},
    ],
)
def test_misuse_is_refused(arguments: dict[str, Any]) -> None:
    """A bar is a number, and two samples make a pair."""
    with pytest.raises(gentest.InvalidArgument, match=r"^diverse: Expected"):
        _ = gentest.diverse(**arguments).definition


def flat_where_positive(value: float) -> gentest.Generator:
    """Images [3, 4, 4] of one colour for each channel where the first coordinate is above 1, and a ramp elsewhere."""

    def f(z: Tensor) -> Tensor:
        ramp = torch.linspace(0.2, 0.8, 16).view(1, 1, 4, 4).expand(len(z), 3, 4, 4).clone()
        ramp[z[:, 0] > 1.0] = value
        ramp[z[:, 0] > 1.0, 0] = 0.5
        return ramp

    return gentest.Generator(f, latent=gentest.Normal(3), output_range=(0, 1))


def test_a_flat_output_is_blank_whatever_its_colour() -> None:
    """Channels that differ from each other make no contrast, and the counterexample states the contrast."""
    result = gentest.not_blank(at_least=0.02).check(flat_where_positive(0.9), settings=FEW)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.margin == pytest.approx(-0.02)
    assert result.counterexample.note == "its contrast is 0, and 0.02 is the least allowed"


def test_an_output_with_contrast_is_not_blank() -> None:
    """A ramp from 0.2 to 0.8 has a standard deviation of 0.1844, which the floor meets or does not."""
    ramp = flat_where_positive(0.9).then(
        lambda x: torch.linspace(0.2, 0.8, 16).view(1, 1, 4, 4).expand(len(x), 3, 4, 4)
    )
    assert gentest.not_blank(at_least=0.184).check(ramp, settings=FEW).verdict is Verdict.NO_COUNTEREXAMPLE
    assert gentest.not_blank(at_least=0.185).check(ramp, settings=FEW).verdict is Verdict.VIOLATED


def test_silence_is_blank() -> None:
    """Other outputs are measured by the range of their samples; one value alone has no contrast."""

    def waves(z: Tensor) -> Tensor:
        return 40.0 * z[:, :1].clamp(min=0.0) * torch.sin(torch.arange(32.0))

    generator = gentest.Generator(waves, latent=gentest.Normal(2), images=False)
    assert gentest.not_blank(at_least=0.001).check(generator, settings=FEW).verdict is Verdict.VIOLATED
    single = gentest.Generator(lambda z: z[:, :1], latent=gentest.Normal(2), images=False)
    result = gentest.not_blank(at_least=0.001).check(single, settings=FEW)
    assert result.verdict is Verdict.ERROR
    assert "at least two values" in result.message


def level(value: float) -> gentest.Generator:
    """Images of one level in [0, 1]."""
    return gentest.Generator(lambda z: z * 0 + value, latent=gentest.Normal((1, 4, 4)), output_range=(0, 1))


@pytest.mark.parametrize(
    ("limits", "margin"),
    [
        ({"at_least": 0.25}, 0.25),
        ({"at_most": 0.75}, 0.25),
        ({"at_least": 0.25, "at_most": 0.625}, 0.125),
        ({"at_least": 0.75}, -0.25),
        ({"at_most": 0.375}, -0.125),
    ],
)
def test_a_margin_is_the_distance_from_the_nearer_limit(limits: dict[str, float], margin: float) -> None:
    """Below 0 outside."""
    result = gentest.limits(gentest.brightness(), **limits).check(level(0.5), settings=FEW)
    assert result.search is not None
    assert result.search.margin is not None
    assert result.search.margin.min == pytest.approx(margin)
    assert result.verdict is (Verdict.VIOLATED if margin < 0 else Verdict.NO_COUNTEREXAMPLE)


@pytest.mark.parametrize(
    "limits", [{}, {"at_least": 1, "at_most": 0}, {"at_least": float("nan")}, {"at_most": "1"}, {"at_least": True}]
)
def test_limits_that_mean_nothing_are_refused(limits: dict[str, object]) -> None:
    """None, in the wrong order, and no numbers."""
    with pytest.raises(gentest.InvalidArgument, match="limits"):
        gentest.limits(gentest.brightness(), **limits).check(level(0.5))  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [1, 0.5, 0.001])
def test_rounding_decides_nothing_about_what_is_valid(limit: float) -> None:
    """Scores are 0 and 1, and each probe is evaluated once."""
    texts = gentest.Tokens(text=True, longest=4)
    good = gentest.Generator(lambda z: ["a"] * len(z), latent=gentest.Normal(2), outputs=texts)
    for property in (
        gentest.limits(gentest.valid(str.isalpha), at_least=limit),
        gentest.limits(gentest.valid(str.isdigit), at_most=1 - limit),
    ):
        result = property.check(good, settings=FEW)
        assert result.search is not None
        assert result.search.margin is not None
        assert result.search.margin.min == 0.5
        assert result.verdict is Verdict.NO_COUNTEREXAMPLE
