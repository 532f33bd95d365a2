"""Generators of what is no image: tables, audio and anything else, in units of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import Generator, Verdict, settings
from gentest.errors import GeneratorError, InvalidArgument

HOLDS, VIOLATED, ERROR = Verdict.NO_COUNTEREXAMPLE, Verdict.VIOLATED, Verdict.ERROR
SPACE = gentest.Uniform(3, low=-1, high=1)
TIME = torch.linspace(0, 1, 400)


def table(z: Tensor) -> Tensor:
    """Rows [B, 2]: an age that is linear in z, and an income that is not."""
    return torch.stack([40 + 20 * z[:, 0], 1000 * (2 * z[:, 1]).exp()], 1)


def audio(z: Tensor) -> Tensor:
    """A tone [B, 1, 400] in [-1, 1], its pitch and loudness by z."""
    return ((0.5 + 0.4 * z[:, :1]) * torch.sin(2 * math.pi * (20 + 5 * z[:, 1:2]) * TIME))[:, None]


def age(rows: Tensor) -> Tensor:
    return rows[:, 0]


def loudness(sound: Tensor) -> Tensor:
    return sound.square().mean((1, 2)).sqrt()


def values(function: Callable[..., Any], **options: Any) -> Generator:
    return Generator(function, latent=SPACE, images=False, **options)


def checked(property: gentest.Property, generator: Generator) -> gentest.Result:
    """The result at batch size 64, which is the one at batch size 1."""
    alone, together = (
        property.check(generator, settings=settings(examples=24, batch_size=size, device="cpu")) for size in (1, 64)
    )
    assert alone.verdict is together.verdict
    assert alone.message == together.message
    assert alone.counterexample == together.counterexample
    return together


@pytest.mark.parametrize(
    ("returned", "shape"),
    [
        (torch.ones(5), (5, 1)),
        (torch.ones(5, 2), (5, 2)),
        (torch.ones(5, 1, 8), (5, 1, 8)),
        (torch.ones(5, 1, 2, 3, 4), (5, 1, 2, 3, 4)),
        (np.arange(10).reshape(5, 2), (5, 2)),
        (torch.ones(5, 3, dtype=torch.bool), (5, 3)),
        (torch.full((5, 8), 200, dtype=torch.uint8), (5, 8)),
        (torch.ones(5, 9, 9, 3), (5, 9, 9, 3)),
    ],
    ids=str,
)
def test_outputs_of_any_shape_keep_their_units(returned: Any, shape: tuple[int, ...]) -> None:
    """Numbers, rows, sounds and videos, integers and booleans too, come as float32 with the values that they have."""
    made = values(lambda z: returned).outputs({"": torch.zeros(5, 3)})
    assert made.shape == shape
    assert made.dtype == torch.float32
    assert made.flatten().tolist() == [float(v) for v in np.asarray(returned).flatten()]


def test_a_declared_range_is_mapped() -> None:
    """With an output range values are mapped to [0, 1], as those of images are."""
    made = values(lambda z: torch.tensor([[-2.0, 0.0, 2.0]]), output_range=(-2, 2)).outputs({"": torch.zeros(1, 3)})
    assert made.tolist() == [[0.0, 0.5, 1.0]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.zeros(4, 2), r"returned shape \(4, 2\) for latents {'z': \(5, 3\)}; expected \[5, ...\]"),
        (torch.zeros(()), r"returned shape \(\)"),
        (torch.zeros(5, 0), r"returned shape \(5, 0\)"),
        (torch.zeros(5, 2, dtype=torch.cfloat), r"complex values; expected real ones: return torch.view_as_real\(x\)"),
        (None, "a NoneType; expected a tensor or array of outputs"),
        (np.array([["a"]] * 5), "an array of <U1; expected numbers"),
    ],
)
def test_what_is_no_batch_of_outputs_is_refused(returned: Any, message: str) -> None:
    """A return value of a wrong type, batch or dtype is told on one line."""
    with pytest.raises(GeneratorError, match=message):
        values(lambda z: returned).outputs({"": torch.zeros(5, 3)})


def test_rows_where_images_are_expected_are_told_the_way() -> None:
    """A generator of rows that did not say so is told what to say."""
    with pytest.raises(GeneratorError, match="for outputs that are not images say images=False"):
        Generator(table, latent=SPACE).outputs({"": torch.zeros(5, 3)})


@pytest.mark.parametrize("images", [0, 1, "no"])
def test_the_word_is_true_or_false(images: Any) -> None:
    """Anything but a bool is refused."""
    with pytest.raises(InvalidArgument, match="images="):
        Generator(table, latent=SPACE, images=images)


@pytest.mark.parametrize(
    ("property", "function", "verdict"),
    [
        (gentest.between(age, tolerance=0.01), table, HOLDS),
        (gentest.between(lambda rows: (rows[:, 0] - 40).abs(), tolerance=0.1), table, VIOLATED),
        (gentest.monotone(lambda rows: rows[:, 1], tolerance=1.0), table, HOLDS),
        (gentest.monotone(loudness, tolerance=gentest.sd(0.5)), audio, HOLDS),
        (gentest.responsive(at_least=1e-3), table, HOLDS),
        (gentest.responsive(at_least=1e6), table, VIOLATED),
        (gentest.responsive(at_least=1e-3), lambda z: torch.ones(len(z), 7), VIOLATED),
        (gentest.continuous(ratio=4), audio, HOLDS),
        (gentest.continuous(tolerance=1e-3), audio, VIOLATED),
        (gentest.continuous(lambda sound: sound.flatten(1)[:, ::2], ratio=4), audio, HOLDS),
        (gentest.well_formed(), table, HOLDS),
        (gentest.well_formed(), lambda z: table(z) / (z[:, :1] > 0), VIOLATED),
        (gentest.reproducible(), table, HOLDS),
        (gentest.reproducible(), lambda z: table(z) + 100 * torch.randn(len(z), 1), VIOLATED),
        (gentest.reproducible(), lambda z: table(z) * (1 + 1e-6 * torch.randn(len(z), 1)), HOLDS),
        (gentest.prior_invariant(gentest.between(age, tolerance=0.01), priors=[gentest.Uniform(3)]), table, HOLDS),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_properties_work_on_what_is_no_image(property: Any, function: Any, verdict: Verdict) -> None:
    """With callables as attributes and features, or the values themselves, properties give the right verdict."""
    result = checked(property, values(function))
    assert result.verdict is verdict, result.message


def test_the_distance_of_values_is_in_their_units() -> None:
    """Without a feature, `responsive` is of the root-mean-square difference of all values, in their units."""
    result = checked(
        gentest.responsive(at_least=7.0), values(lambda z: torch.where(z[:, :1] > 0, 3.0, -3.0).repeat(1, 5))
    )
    assert result.margin is not None
    assert result.margin.min == pytest.approx(-7.0)
    assert result.counterexample is not None
    near = checked(gentest.responsive(at_least=1e-6), values(lambda z: 10 * z.sign()))
    assert near.margin is not None
    assert near.margin.median <= 20.0


@pytest.mark.parametrize(
    "attribute",
    [gentest.brightness(), gentest.contrast(), gentest.saturation(), gentest.colorfulness(), gentest.sharpness()],
)
@pytest.mark.parametrize("function", [table, audio, lambda z: z[:, :, None, None].expand(-1, 3, 4, 4)])
def test_measures_of_pixels_say_that_there_are_none(attribute: Any, function: Any) -> None:
    """A pixel attribute is refused on one line that says what to do, whatever shape outputs have."""
    result = checked(gentest.between(attribute, tolerance=0.1), values(function))
    assert result.verdict is ERROR
    assert "measures images, and these outputs [" in result.message
    assert "pass a callable on outputs [B, ...]" in result.message
    assert "\n" not in result.message


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: table(z) * z.mean(0).abs().sum(), "an output depends on the rest of its batch"),
        (lambda z: table(z) + 1000 * torch.randn(len(z), 1), "an output depends on the rest of its batch"),
        (lambda z: table(z) / (z[:, :1] > 0), "returned values that are not finite"),
    ],
)
def test_what_no_property_could_judge_is_said_first(function: Any, message: str) -> None:
    """The examination looks at outputs of any kind: those that depend on the batch, or are not finite."""
    result = gentest.between(age, tolerance=1e9).check(values(function), settings=settings(examples=24, device="cpu"))
    assert result.verdict is ERROR
    assert message in result.message


def test_no_advice_for_images_is_given() -> None:
    """Values that are all positive are no reason to speak of a range, and any value is allowed."""
    result = checked(gentest.between(age, tolerance=0.01), values(lambda z: table(z) + 1000))
    assert result.verdict is HOLDS


def test_a_declared_range_is_checked() -> None:
    """Values outside a range that was declared are an error, and `well_formed` finds them."""
    generator = values(audio, output_range=(-0.5, 0.5))
    result = checked(gentest.between(loudness, tolerance=1.0), generator)
    assert result.verdict is ERROR
    assert "outside the declared output_range=(-0.5, 0.5)" in result.message
    assert checked(gentest.well_formed(), generator).verdict is VIOLATED
    assert checked(gentest.well_formed(), values(audio, output_range=(-1, 1))).verdict is HOLDS


def test_a_margin_may_change_what_it_is_given() -> None:
    """Outputs without a range are copies as well: what a margin writes in them, no other sees."""

    @gentest.property(probes=gentest.points())
    def writes(evidence: gentest.Evidence) -> Tensor:
        x = evidence.images
        x.fill_(7.0)
        return evidence.images.flatten(1)[:, 0] - 7.0

    assert checked(writes(), values(lambda z: z.abs())).verdict is VIOLATED
