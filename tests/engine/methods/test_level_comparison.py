"""`same_level`: the mean of an attribute on both sides of a pair, on no more latents than it takes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import gentest
from gentest import Result, Verdict
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.results.result import Level
from gentest.results.settings import Values
from gentest.stats.levels import LOOK
from tests.helpers import zoo
from tests.helpers.counting import without_costs
from tests.helpers.slow import Clock, Sleeping
from tests.helpers.zoo import Counted

SAME = gentest.same_level(gentest.brightness(), within=0.05)


def level(z: Tensor) -> Tensor:
    """A level of standard deviation 0.1 around 0.5."""
    return 0.5 + 0.1 * z[:, 0].clamp(-4, 4)


def generator(moved: float = 0.0, noise: float = 0.0) -> gentest.Generator:
    """The level, moved on average, and on each latent by a coordinate of its own."""
    return zoo.generator(lambda z: (level(z) + moved + noise * z[:, 1]).clamp(0, 1), gentest.Normal(4))


def checked(
    candidate: gentest.Generator,
    property: gentest.Property = SAME,
    *,
    context: Context | None = None,
    reference: gentest.Generator | None = None,
    **values: object,
) -> Result:
    """The result on a pair with an unmoved reference."""
    given = Values(device="cpu", **values)  # type: ignore[arg-type]
    pair = candidate.against(reference or generator())
    return check(Question(property.definition), pair, context or Context(given), given)


def level_of(result: Result) -> Level:
    assert result.level is not None, result.message
    return result.level


def n_images(side: gentest.Generator) -> int:
    """Images that a counted generator made."""
    function = side.function
    assert isinstance(function, Counted)
    return sum(function.batches)


@pytest.mark.parametrize(
    ("moved", "noise", "verdict", "most"),
    [
        (0.0, 0.0, Verdict.HOLDS, 16),
        (0.0, 0.03, Verdict.HOLDS, 64),
        (0.02, 0.01, Verdict.HOLDS, 64),
        (0.1, 0.03, Verdict.VIOLATED, 80),
        (-0.1, 0.03, Verdict.VIOLATED, 80),
        (0.25, 0.0, Verdict.VIOLATED, 16),
    ],
)
def test_a_level_is_the_same_or_not(moved: float, noise: float, verdict: Verdict, most: int) -> None:
    """The verdict comes after few latents, and the interval contains the true difference and agrees with it."""
    result = checked(generator(moved, noise))
    found = level_of(result)
    assert (result.verdict, found.latents % LOOK) == (verdict, 0)
    assert found.latents <= most
    assert found.low <= moved <= found.high
    assert found.difference == pytest.approx(found.candidate - found.reference, abs=1e-5)
    within = found.low > -0.05 and found.high < 0.05
    beyond = found.low > 0.05 or found.high < -0.05
    assert (within, beyond) == (verdict is Verdict.HOLDS, verdict is Verdict.VIOLATED)


def test_a_level_at_its_limit_is_undecided_at_the_budget() -> None:
    """The default budget is enough for neither; the result says what evidence is missing."""
    result = checked(generator(0.05, 0.01), budget=100)
    found = level_of(result)
    assert (result.verdict, found.latents, found.budget) == (Verdict.UNDECIDED, 100, 100)
    assert found.log_within < found.needed_within
    assert found.log_beyond < found.needed_beyond
    assert result.outcome.exit_status == 3


def test_standard_deviations_are_those_of_the_reference() -> None:
    """`sd(x)` of a candidate with ten times the spread is still that of the reference."""
    wide = zoo.generator(lambda z: (0.5 + 0.3 * z[:, 0]).clamp(0, 1), gentest.Normal(4))
    result = checked(wide, gentest.same_level(gentest.brightness(), within=gentest.sd(0.5)), budget=64)
    found = level_of(result)
    assert found.sd == pytest.approx(0.1, rel=0.1)
    assert found.tolerance == pytest.approx(0.5 * found.sd)


def test_the_result_is_the_same_at_any_batch_size() -> None:
    """Batches only fill the generator: each figure but the cost is equal."""
    results = [without_costs(checked(generator(0.03, 0.04), batch_size=size)) for size in (1, 7, 64, 256)]
    results = [replace(result, audit=None) for result in results]
    assert results[0].verdict is Verdict.HOLDS
    assert all(result == results[0] for result in results[1:])


def test_a_slow_generator_makes_no_image_beyond_the_look_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batches have as many latents as lie between two looks; a fast one fills its batches."""
    clock = Clock.installed(monkeypatch)
    slow = Sleeping(lambda z: zoo.images(level(z)), clock)
    reference = gentest.Generator(slow, latent=gentest.Normal(4), output_range=(0, 1))
    candidate = generator()
    found = level_of(checked(candidate, reference=reference))
    assert found.latents == 16
    assert max(slow.sizes) == 16  # the samples that are examined
    assert slow.sizes.count(LOOK) == 2
    slow.sizes.clear()
    assert level_of(checked(generator(1.0), reference=reference)).latents == LOOK
    assert slow.sizes.count(LOOK) == 1


def test_a_second_property_makes_no_image_but_those_of_its_audit() -> None:
    """Levels and a rate look at the same latents. An audit makes some again, and the check one more of each side."""
    values = Values(device="cpu", examples=20)
    context, pair = Context(values), generator(0.01, 0.01).against(generator())
    first = check(Question(SAME.definition), pair, context, values)
    again = gentest.same_level(gentest.contrast(), within=0.05)
    second = check(Question(again.definition), pair, context, values)
    assert (first.verdict, second.verdict) == (Verdict.HOLDS, Verdict.HOLDS)
    assert second.audit is not None
    assert second.images == second.audit.images + 2
    assert first.images > 2 * 128
    rate = check(Question(gentest.agrees(within=0.2).at_rate(0.9).definition), pair, context, values)
    assert rate.verdict is Verdict.HOLDS
    assert rate.images < 2 * 64 + 64  # the search and pairs made alone; no block of the rate


def test_scores_come_from_disk(tmp_path: pytest.TempPathFactory) -> None:
    """A second run with the same cache makes the images of its examination and its audit alone."""
    model = gentest.Generator(lambda z: zoo.images(level(z)), latent=gentest.Normal(4), output_range=(0, 1))
    first, second = (checked(model.then(torch.sqrt), reference=model, cache=str(tmp_path)) for _ in range(2))
    assert without_costs(replace(second, audit=None)) == without_costs(replace(first, audit=None))
    assert second.images < first.images - 2 * 100


def test_a_result_survives_json() -> None:
    """Each figure, and an earlier result without a level."""
    result = checked(generator(0.1))
    value = json.loads(json.dumps(result.to_json()))
    assert Result.from_json(value) == result
    del value["level"]
    assert Result.from_json(value).level is None


def test_outputs_that_are_not_images_have_levels() -> None:
    """Any attribute of any outputs, in its own units."""
    rows = gentest.Generator(lambda z: z, latent=gentest.Normal(3), images=False)
    property = gentest.same_level(lambda x: x[:, 0], within=0.5)
    moved = rows.then(lambda x: x + 2.0)
    assert checked(moved, property, reference=rows).verdict is Verdict.VIOLATED
    assert checked(rows.then(lambda x: -x), property, reference=rows).verdict is Verdict.HOLDS


def nothing(images: Tensor) -> Tensor:
    """A score that is not a number."""
    return torch.full((len(images),), float("nan"))


def constant(images: Tensor) -> Tensor:
    """The same score for each image."""
    return torch.ones(len(images))


@pytest.mark.parametrize(
    ("property", "words"),
    [
        (gentest.same_level(gentest.brightness(), within=1e-9), "a tolerance of at least"),
        (gentest.same_level(nothing, within=0.1), "nothing is nan at probe"),
        (gentest.same_level(constant, within=gentest.sd(1)), "constant does not vary under the prior"),
        (gentest.same_level(gentest.pixels(), within=0.1), "expected one score"),
        (gentest.same_level(gentest.ssim(), within=0.1), "not a distance of two"),
        (gentest.same_level(gentest.brightness, within=0.1), "call it first"),
        (gentest.same_level(gentest.brightness(), within=0), "> 0"),
        (gentest.same_level(gentest.brightness(), within=gentest.sd(0)), "> 0"),
        (gentest.same_level(gentest.brightness(), within="a"), "within='a'"),  # type: ignore[arg-type]
        (SAME.at_rate(0.9), "has no rate"),
        (gentest.holds_within(SAME, 1.0), "all outputs together"),
        (gentest.prior_invariant(SAME, priors=[gentest.Uniform(4)]), "all outputs together"),
    ],
)
def test_misuse_is_one_line(property: gentest.Property, words: str) -> None:
    """Where the property is checked, and before any block of latents is made."""
    candidate = generator()
    try:
        result = property.check(candidate.against(generator()))
    except gentest.InvalidArgument as error:
        message = str(error)
    else:
        assert result.verdict is Verdict.ERROR
        message = result.message
    assert words in message
    assert "\n" not in message
    assert n_images(candidate) < 400


def test_a_pair_is_needed_and_a_probe_is_not() -> None:
    """One generator has nothing to compare with, and the mean of a single probe is not a level."""
    assert "check candidate.against(reference)" in SAME.check(generator()).message
    pair = generator().against(generator())
    assert "has no probe to replay" in SAME.replay(pair, "same_level:1f").message
    exhaustive = gentest.settings(exhaustive=True)
    assert "judges all outputs together" in SAME.check(pair, settings=exhaustive).message


def test_outputs_of_two_shapes_are_an_error() -> None:
    """Their levels could be compared, but a pair is about outputs of one shape."""
    large = gentest.Generator(
        lambda z: level(z)[:, None, None, None].expand(-1, 1, 4, 4), latent=gentest.Normal(4), output_range=(0, 1)
    )
    result = checked(large)
    assert result.verdict is Verdict.ERROR
    assert (
        result.message == "the candidate makes outputs [1, 4, 4] and the reference [1, 2, 2]: bring one to the "
        "shape of the other"
    )


def test_a_wrong_row_of_either_side_is_audited() -> None:
    """A reference that drifts from call to call is an error, not a level."""

    class Drifting:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, z: Tensor) -> Tensor:
            self.calls += len(z) > 16
            return zoo.images((level(z) + 0.05 * (self.calls > 0) * (len(z) > 16)).clamp(0, 1))

    reference = gentest.Generator(Drifting(), latent=gentest.Normal(4), output_range=(0, 1))
    result = checked(generator(), reference=reference)
    assert result.verdict is Verdict.ERROR
