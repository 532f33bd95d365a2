"""Attributes of a user's own: a model is loaded late and once, and its weights count for the cache and a baseline."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.attributes.attribute import Setup, fingerprint
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.errors import InvalidArgument
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import zoo
from tests.helpers.counting import Counting, fold

CPU = Setup(torch.device("cpu"))
IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
SEED = [0]


def network() -> nn.Module:
    torch.manual_seed(SEED[0])
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(2))


def load() -> nn.Module:
    model = network()
    model(torch.rand(1, 1, 2, 2))
    return model


def judged(property: Any, folder: Path | None = None, **values: Any) -> tuple[Result, Context]:
    settings = Values(device="cpu", examples=30, cache=None if folder is None else str(folder), **values)
    generator = gentest.Generator(Counting(fold), latent=gentest.Normal(8), output_range=zoo.UNIT)
    context = Context(settings)
    return check(Question(property.definition), generator, context, settings), context


def test_a_model_is_loaded_at_the_first_output_and_once(tmp_path: Path) -> None:
    """A declaration does not load it, and another declaration of the same function shares it."""
    times = tmp_path / "times"

    def noted() -> nn.Module:
        with times.open("a") as file:
            file.write("x")
        return load()

    property = gentest.between(gentest.attribute(noted, name="smile", label=1), tolerance=100)
    assert not times.exists()
    result, context = judged(property)
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE, result.message
    assert times.read_text() == "x"
    other = gentest.monotone(gentest.attribute(noted, name="smile", label=1), tolerance=100)
    assert judged(other)[0].verdict is Verdict.NO_COUNTEREXAMPLE
    assert times.read_text() == "x", "another context on the same device shares it"
    assert str(property) == "between(smile, tolerance=100)"
    context.close()


def test_a_load_function_learns_the_device() -> None:
    devices = []

    def on(device: torch.device) -> Any:
        devices.append(device)
        return lambda images: images.mean((1, 2, 3))

    torch.testing.assert_close(gentest.attribute(on)(IMAGES), IMAGES.mean((1, 2, 3)))
    assert devices == [torch.device("cpu")]


def test_a_function_that_needs_no_outputs_loads() -> None:
    """Its parameters may have defaults; a callable on outputs has one without, or takes any."""

    def by_size(size: int = 2, **others: int) -> Any:
        return lambda images: images.mean((1, 2, 3)) * size

    def wrapped(*arguments: Any) -> Tensor:
        return arguments[0].mean((1, 2, 3))  # type: ignore[no-any-return]

    torch.testing.assert_close(gentest.attribute(by_size)(IMAGES), IMAGES.mean((1, 2, 3)) * 2)
    torch.testing.assert_close(gentest.attribute(wrapped)(IMAGES), IMAGES.mean((1, 2, 3)))


def test_measurements_of_a_model_are_kept_and_its_weights_count(tmp_path: Path) -> None:
    """A second run measures nothing again; with other weights it measures all outputs anew."""
    first, _ = judged(gentest.between(gentest.attribute(load, name="smile", label=1), tolerance=100), tmp_path)
    again, _ = judged(gentest.between(gentest.attribute(load, name="smile", label=1), tolerance=100), tmp_path)
    assert first.images > 30 * 9
    assert again.images < 100
    other, _ = judged(gentest.between(gentest.attribute(load, name="smile", label=0), tolerance=100), tmp_path)
    assert other.images > 30 * 9
    SEED[0] = 1  # the function reads it, and loads other weights from here on
    try:
        other, _ = judged(gentest.between(gentest.attribute(load, name="smile", label=1), tolerance=100), tmp_path)
    finally:
        SEED[0] = 0
    assert other.images > 30 * 9


def test_a_baseline_knows_the_weights_and_how_they_are_read() -> None:
    one, other = (gentest.attribute(load, name="smile", label=label) for label in (1, 0))
    prints = [fingerprint(a.bind(CPU)) for a in (one, other)]  # type: ignore[union-attr]
    SEED[0] = 1
    try:
        prints.append(fingerprint(one.bind(CPU)))  # type: ignore[union-attr]
    finally:
        SEED[0] = 0
    assert all(len(p) == 16 for p in prints)
    assert len(set(prints)) == 3
    again: Any = gentest.attribute(load, name="smile", label=1)
    assert fingerprint(again.bind(CPU)) == prints[0]
    context = Context(Values(device="cpu"))
    first = context.measuring.codes({"smile": gentest.attribute(load, name="s", input=lambda x: x)})
    second = context.measuring.codes({"smile": gentest.attribute(load, name="s", input=lambda x: 1 - x)})
    assert first != second, "the function that prepares the input is a part of the measure"


def test_a_module_that_is_trained_further_is_another_measure() -> None:
    module = load()
    smile: Any = gentest.attribute(module, name="smile", label=1)
    before = smile(IMAGES[:, :1])
    with torch.no_grad():
        module[2].bias += 1.0  # type: ignore[index,operator]
    torch.testing.assert_close(smile(IMAGES[:, :1]), before + 1)


def test_rows_make_a_feature() -> None:
    """A model that gives rows is one wherever a property takes a feature."""
    rows = gentest.attribute(load, name="embedding")
    result, _ = judged(gentest.continuous(rows, tolerance=100))
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE, result.message
    result, _ = judged(gentest.between(rows, tolerance=100))
    assert result.verdict is Verdict.ERROR
    assert "expected one score for each image" in result.message


def test_a_model_may_see_the_condition() -> None:
    """A model of images and texts, which is loaded late."""

    def matcher() -> Any:
        return lambda images, prompt: torch.tensor([float(len(text)) for text in prompt]) + images.mean((1, 2, 3))

    space = gentest.Joint(z=gentest.Normal(3), prompt=gentest.Prompts("a coat", "a red coat"))

    def paint(z: Tensor, prompt: list[str]) -> Tensor:
        return z[:, :, None, None].sigmoid().expand(-1, 3, 2, 2)

    fits = gentest.attribute(matcher, name="fits", sees=["prompt"])

    @gentest.property(probes=gentest.points())
    def long_enough(evidence: gentest.Evidence) -> Tensor:
        return evidence.scores(fits)[:, 0] - 6

    generator = gentest.Generator(paint, latent=space, output_range=(0, 1))
    result = long_enough().check(generator, settings=gentest.settings(examples=20, device="cpu"))
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE, result.message


def test_outputs_that_are_not_images() -> None:
    """A measure gets whatever the generator makes."""
    loudest = gentest.attribute(lambda: lambda waves: waves.abs().amax(1), name="loudest")
    generator = gentest.Generator(lambda z: z.tanh(), latent=gentest.Normal(8), images=False, output_range=(-1, 1))
    result = gentest.between(loudest, tolerance=1).check(
        generator, settings=gentest.settings(examples=10, device="cpu")
    )
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE, result.message


def test_an_input_that_is_a_size_resizes() -> None:
    seen = []

    def takes(images: Tensor) -> Tensor:
        seen.append(tuple(images.shape))
        return images.mean((1, 2, 3))

    gentest.attribute(takes, name="x", input=(4, 6))(IMAGES)
    gentest.attribute(takes, name="x", input=5)(IMAGES)
    gentest.attribute(takes, name="x", input=lambda images: images[:, :, :2])(IMAGES)
    assert seen == [(4, 3, 4, 6), (4, 3, 5, 5), (4, 3, 2, 8)]


def test_it_travels_to_another_process() -> None:
    smile: Any = gentest.attribute(load, name="smile", label=1)
    expected = smile(IMAGES[:, :1])
    copy = pickle.loads(pickle.dumps(smile))
    assert copy == smile
    torch.testing.assert_close(copy(IMAGES[:, :1]), expected)


def fails() -> Any:
    raise OSError("no such weights")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (fails, "smile: its function raised OSError: no such weights"),
        (lambda: 3, "smile: its function loaded 3 (type=int); expected a torch module, a callable or a path"),
        (lambda: "nowhere.onnx", "smile: nowhere.onnx: no such file"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_an_error_of_the_check(source: Any, message: str) -> None:
    result, _ = judged(gentest.between(gentest.attribute(source, name="smile"), tolerance=1))
    assert result.verdict is Verdict.ERROR
    assert result.message.startswith(message)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"source": 3}, "source"),
        ({"source": nn.Flatten}, "source"),
        ({"name": " "}, "name"),
        ({"sees": "prompt"}, "sees"),
        ({"input": 0}, "input"),
        ({"input": (3,)}, "input"),
        ({"input": "224"}, "input"),
        ({"label": True}, "label"),
        ({"label": ""}, "label"),
        ({"label": 1.5}, "label"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], name: str) -> None:
    source = arguments.pop("source", load)
    with pytest.raises(InvalidArgument, match=f"{name}="):
        gentest.attribute(source, **arguments)
