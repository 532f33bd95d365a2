"""What a check notes for a report: it draws what was decided, and decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.engine.illustrations import histograms
from gentest.results.result import Cost, Result, Verdict
from gentest.results.settings import Values
from gentest.stats.rates import RateTest
from tests.helpers import zoo

BETWEEN = gentest.between(gentest.brightness(), tolerance=0.05)
VALUES = Values(examples=40, budget=256, device="cpu")


def asked(property: gentest.Property, g: gentest.Generator, *, values: Values = VALUES, **more: object) -> Result:
    """The property on the generator; `more` is of its question."""
    return check(replace(Question(property.definition), **more), g, Context(values), values)


PROPERTIES = {
    "search": BETWEEN,
    "rate": BETWEEN.at_rate(0.9),
    "points": gentest.well_formed(),
    "neighbours": gentest.responsive(at_least=0.5),
    "many": gentest.diverse(at_least=0.1),
    "priors": gentest.prior_invariant(BETWEEN, priors=[gentest.Normal(8)]).at_rate(0.5),
    "within": gentest.holds_within(BETWEEN, 1.0).at_rate(0.9),
    "matches": gentest.matches(zoo.generator(zoo.linear), feature=gentest.pixels(), n=256),
}


@pytest.mark.parametrize(
    "property",
    [
        pytest.param(property, id=name, marks=[pytest.mark.slow] if name in ("priors", "within", "many") else [])
        for name, property in PROPERTIES.items()
    ],
)
def test_a_report_changes_nothing(property: gentest.Property, tmp_path: object) -> None:
    """Every figure and every count of images is the same with a report as without, also where a cache is."""
    for values in (VALUES, replace(VALUES, cache=str(tmp_path)), replace(VALUES, cache=str(tmp_path), memory=0)):
        plain = asked(property, zoo.generator(zoo.fold), values=values)
        again = asked(property, zoo.generator(zoo.fold), values=values)
        shown = asked(property, zoo.generator(zoo.fold), values=values, shows=True, whole=True)
        assert shown.drawings is not None
        assert shown.drawings.missing == ""
        assert plain.drawings is None
        said = [replace(r, cost=Cost(), drawings=None).to_json() for r in (again, shown)]
        assert said[0] == said[1]


@gentest.property(probes=gentest.points())
def dark(evidence: gentest.Evidence) -> Tensor:
    """No output is brighter than a half."""
    return 0.5 - evidence.scores(gentest.brightness())[:, 0]


@pytest.mark.slow
def test_a_report_of_an_attack_changes_nothing() -> None:
    """The sample that an attack began with is drawn as well, and counted as without a report; so is what comes next."""
    said = []
    for shows in (False, True):
        generator = zoo.generator(lambda z: torch.sigmoid(4.0 * (z[:, :16].mean(1) - 1.0)), gentest.Normal(64))
        values = replace(VALUES, attack=5000)
        context = Context(values)
        questions = [
            Question(p.definition, shows=shows) for p in (dark(), gentest.reproducible(), gentest.well_formed())
        ]
        results = [check(question, generator, context, values) for question in questions]
        assert results[0].attack is not None
        assert results[0].attack.found
        said.append([replace(r, cost=Cost(), drawings=None).to_json() for r in results])
    assert said[0] == said[1]


@pytest.mark.parametrize("far", [1e300, 1.7e308])
def test_margins_that_no_bins_hold_are_not_drawn(far: float) -> None:
    """A report of them is one without a histogram, and no error."""
    assert histograms({"a": [-far, far]}) == ()


def test_a_rate_is_drawn_as_it_came_in() -> None:
    """The last look is the one that decided, every look has the bounds of its counts, and counts only grow."""
    result = asked(BETWEEN.at_rate(0.9), zoo.generator(zoo.fold), shows=True)
    assert result.rate is not None
    assert result.drawings is not None
    [trace] = result.drawings.traces
    assert (trace.probes[-1], trace.passes[-1]) == (result.rate.probes, result.rate.passes)
    assert (trace.low[-1], trace.high[-1]) == (result.rate.low, result.rate.high)
    assert list(trace.probes) == sorted(set(trace.probes))
    assert list(trace.passes) == sorted(trace.passes)
    test = RateTest(result.rate.p0, result.rate.slack, 0.01)
    assert [test.interval(k, n) for k, n in zip(trace.passes, trace.probes, strict=True)] == list(
        zip(trace.low, trace.high, strict=True)
    )


def test_each_arm_has_a_trace() -> None:
    """Of a rate for each prior every one is drawn."""
    result = asked(PROPERTIES["priors"], zoo.generator(zoo.fold), shows=True)
    assert result.rate is not None
    assert result.drawings is not None
    assert [(t.arm, t.probes[-1], t.passes[-1]) for t in result.drawings.traces] == [
        (arm.arm, arm.probes, arm.passes) for arm in result.rate.arms
    ]


def test_rays_are_those_that_certify() -> None:
    """The share of rays falls with the radius, and exceeds the rate at the one that is certified."""
    result = asked(gentest.holds_within(BETWEEN, 1.0).at_rate(0.9), zoo.generator(zoo.fold), shows=True)
    assert result.radius is not None
    assert result.drawings is not None
    rays = result.drawings.rays
    assert rays is not None
    assert (rays.n, rays.radii[-1]) == (result.radius.rays, 1.0)
    assert list(rays.held) == sorted(rays.held, reverse=True)
    held = dict(zip(rays.radii, rays.held, strict=True))
    assert result.radius.certified == 0 or held[result.radius.certified] > 0.9


def test_the_histogram_has_every_probe_of_the_search() -> None:
    """As many margins are below 0 as probes violate."""
    result = asked(BETWEEN, zoo.generator(zoo.fold), shows=True)
    assert result.drawings is not None
    [histogram] = result.drawings.histograms
    width = (histogram.high - histogram.low) / len(histogram.counts)
    below = [n for i, n in enumerate(histogram.counts) if histogram.low + (i + 0.5) * width < 0]
    assert (sum(histogram.counts), sum(below)) == (result.examples, result.violations)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.lists(st.floats(-1e-3, 1e3), max_size=50))
def test_a_histogram_keeps_signs(one: Sequence[float], other: Sequence[float]) -> None:
    """Whatever the margins, none is lost, and as many lie in bins below 0 as are below 0."""
    for histogram, margins in zip(
        histograms({"one": one, "other": other}), [m for m in (one, other) if m], strict=True
    ):
        width = (histogram.high - histogram.low) / len(histogram.counts)
        below = sum(n for i, n in enumerate(histogram.counts) if histogram.low + (i + 0.5) * width < 0)
        assert (sum(histogram.counts), below) == (len(margins), sum(m < 0 for m in margins))


def test_counterexamples_have_their_pictures() -> None:
    """The frames are those of the probe's own places, in whole as well where files are asked for."""
    result = asked(BETWEEN, zoo.generator(zoo.fold), shows=True)
    assert result.drawings is not None
    for strip in (result.drawings.worst, result.drawings.minimal):
        assert strip is not None
        assert (strip.n, strip.width, strip.height, strip.whole) == (9, 2, 2, ())
    change = result.drawings.change
    assert change is not None
    assert change.names[0] in ("near end", f"t = {result.counterexample.t[0]:.2f}")  # type: ignore[union-attr]
    assert change.largest > 0.05
    whole = asked(BETWEEN, zoo.generator(zoo.fold), shows=True, whole=True).drawings
    assert whole is not None
    assert whole.worst is not None
    assert len(whole.worst.whole) == 9


def test_both_sides_of_a_pair_have_their_pictures() -> None:
    """At the worst and the minimal latent."""
    candidate = zoo.generator(lambda z: zoo.fold(z) + 0.1 * (z[:, 1] > 0))
    pair = candidate.against(zoo.generator(zoo.fold))
    drawings = asked(gentest.agrees(within=0.02), pair, shows=True, whole=True).drawings
    assert drawings is not None
    assert drawings.change is None
    for difference in (drawings.worst_difference, drawings.minimal_difference):
        assert difference is not None
        assert len(difference.strip.frames) == 3
        assert difference.signed == pytest.approx(0.1, abs=1e-6)
        assert len(difference.whole) == 2


def test_what_holds_has_samples_and_no_counterexample() -> None:
    """Of a property that holds there are outputs to look at, of no probe in particular."""
    shown = asked(BETWEEN, zoo.generator(zoo.linear), shows=True).drawings
    assert shown is not None
    assert (shown.worst, shown.minimal, shown.change) == (None, None, None)
    assert shown.samples is not None
    assert shown.samples.n == 6


def test_outputs_that_are_no_images_have_curves_alone() -> None:
    """Of audio there is the histogram and no picture."""
    g = gentest.Generator(lambda z: z.abs(), latent=gentest.Normal(3), images=False)

    def loud(values: Tensor) -> Tensor:
        return values.flatten(1).mean(1)

    result = asked(gentest.between(loud, tolerance=0.01), g, shows=True)
    assert result.verdict is Verdict.VIOLATED
    assert result.drawings is not None
    assert (result.drawings.worst, result.drawings.samples, result.drawings.missing) == (None, None, "")
    assert result.drawings.histograms


def test_broken_outputs_are_drawn() -> None:
    """A generator that gives NaN is found out, and its outputs are shown as they are."""
    g = gentest.Generator(
        lambda z: torch.where(z[:, :1, None, None] > 0, torch.nan, 0.5).expand(-1, 1, 2, 2), latent=gentest.Normal(2)
    )
    result = asked(gentest.well_formed(), g, shows=True)
    assert result.verdict is Verdict.VIOLATED
    assert result.drawings is not None
    assert result.drawings.worst is not None
    assert result.drawings.missing == ""


def test_what_cannot_be_drawn_is_said_and_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with pictures, the verdict stands, and the report says why there are none."""

    def fails(*_: object, **__: object) -> None:
        raise MemoryError("no room for pictures")

    plain = asked(BETWEEN, zoo.generator(zoo.fold))
    monkeypatch.setattr("gentest.engine.pictures._encoded", fails)
    result = asked(BETWEEN, zoo.generator(zoo.fold), shows=True)
    assert replace(result, cost=Cost()) == replace(plain, cost=Cost())
    assert result.drawings is not None
    assert "no room for pictures" in result.drawings.missing


def test_a_moved_probe_is_compared_with_the_sample_it_comes_from() -> None:
    """What an attack changed is shown against what it started from."""
    values = replace(VALUES, attack=2000)
    result = asked(
        gentest.between(gentest.brightness(), tolerance=0.19), zoo.generator(zoo.fold), values=values, shows=True
    )
    if result.counterexample is None or result.counterexample.moved is None:
        pytest.fail("the attack found nothing to show")
    assert result.drawings is not None
    assert result.drawings.change is not None
    assert result.drawings.change.names == ("the sample", "as attacked")


def stuck(z: Tensor) -> Tensor:
    """A grey that is the same in a fifth of the prior."""
    return torch.where(z[:, 1] > 0.84, 0.5, z[:, 0].sigmoid())


@pytest.mark.parametrize("among", [16, 40])
def test_outputs_that_are_alike_are_drawn(among: int) -> None:
    """The nearest two are in the strip of any length, and stand side by side with their difference."""
    result = asked(gentest.diverse(at_least=1e-6, among=among), zoo.generator(stuck), shows=True)
    found, drawings = result.counterexample, result.drawings
    assert found is not None
    assert found.alike is not None
    assert drawings is not None
    assert drawings.minimal is not None
    one, other = sorted(found.alike.outputs[:2])
    assert {one, other} <= set(drawings.minimal.places)
    assert len(drawings.minimal.frames) == len(drawings.minimal.places) <= 19
    assert drawings.change is not None
    assert drawings.change.names == (f"output {one + 1}", f"output {other + 1}")
    assert drawings.change.largest == 0.0


@pytest.mark.parametrize("kind", [gentest.Arrays(), gentest.Audio(rate=8000)], ids=repr)
def test_outputs_of_other_kinds_that_are_alike_are_marked(kind: gentest.Kind) -> None:
    """Of arrays all of them, of media the nearest two."""

    def f(z: Tensor) -> Tensor:
        return torch.where(z[:, 1:2] > 0.84, 0.5, z[:, :1].sigmoid() - 0.5).expand(-1, 400)

    generator = gentest.Generator(f, latent=gentest.Normal(2), outputs=kind)
    result = asked(gentest.diverse(at_least=1e-6), generator, shows=True)
    found, drawings = result.counterexample, result.drawings
    assert found is not None
    assert found.alike is not None
    assert drawings is not None
    assert drawings.missing == ""
    strip, media = drawings.minimal_arrays, drawings.minimal_media
    drawn = [*(strip.outputs if strip is not None else ()), *(media.outputs if media is not None else ())]
    marked = {int(output.name) - 1 for output in drawn if output.alike}
    assert len(found.alike.outputs) < len(drawn) or media is not None
    assert set(found.alike.outputs[:2]) <= marked <= set(found.alike.outputs)
    assert media is not None or marked == set(found.alike.outputs)
