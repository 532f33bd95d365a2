"""`follows_prompt` on a tiny CLIP, and `follows_label` on a conditional generator, right and with a wrong label."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gentest
from gentest import settings
from gentest.attributes.clip.model import load_clip
from gentest.report import facts, markdown, page, terminal
from gentest.results.document import Document, Session
from gentest.results.result import Result, Verdict
from tests.helpers import zoo
from tests.helpers.tiny_clip import CPU, open_clip, tiny

__all__ = ["open_clip", "tiny"]

SPACE = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(5))
FEW = settings(examples=60)


def labelled(wrong: int | None = None, space: gentest.Space = SPACE) -> gentest.Generator:
    return gentest.Generator(zoo.Labelled(wrong), latent=space, output_range=(0, 1))


@pytest.mark.parametrize("wrong", [None, 0, 3])
def test_a_wrong_label_is_found_and_named(wrong: int | None) -> None:
    """Only the label that is wrong violates, and the counterexample shows what the output was taken for."""
    property = gentest.follows_label(zoo.by_level(6))
    result = property.check(labelled(wrong), settings=FEW)
    assert result.verdict is (Verdict.NO_COUNTEREXAMPLE if wrong is None else Verdict.VIOLATED)
    for label in range(5):
        alone = property.check(labelled(wrong).given(label=label), settings=settings(examples=20))
        assert alone.violations == (20 if label == wrong else 0)
    if wrong is not None:
        found = result.counterexample
        assert found is not None
        assert found.probe["choices"] == [wrong]
        logits = [value for (value,) in found.scores.values()]
        assert logits.index(max(logits)) == wrong + 1
        assert found.margin == pytest.approx(logits[wrong] - logits[wrong + 1])
        assert property.replay(labelled(wrong), found.replay).counterexample == found
        assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result
        assert f", label={wrong}" in terminal.failure(result, "")


def test_a_rate() -> None:
    """One label wrong of five, and it is followed four times in five."""
    for p0, wrong, verdict in ((0.95, None, Verdict.HOLDS), (0.6, 2, Verdict.HOLDS), (0.95, 2, Verdict.VIOLATED)):
        result = gentest.follows_label(zoo.by_level(6)).at_rate(p0).check(labelled(wrong), settings=FEW)
        assert result.verdict is verdict


def test_labels_may_be_other_classes() -> None:
    """`classes` maps label values to class indices, several to one where that is meant."""
    backwards = {label: 5 - label for label in range(5)}

    def classifier(images: torch.Tensor) -> torch.Tensor:
        return zoo.by_level(6)(images).flip(1)

    for classes, verdict in ((backwards, Verdict.NO_COUNTEREXAMPLE), (None, Verdict.VIOLATED)):
        assert gentest.follows_label(classifier, classes=classes).check(labelled(), settings=FEW).verdict is verdict
    coarse = gentest.follows_label(lambda x: torch.stack([-x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.6], 1), classes={
        0: 0, 1: 0, 2: 0, 3: 1, 4: 1,
    })  # fmt: skip
    assert coarse.check(labelled(), settings=FEW).verdict is Verdict.NO_COUNTEREXAMPLE


def test_the_part_is_found_or_named() -> None:
    """With several discrete parts one is named; a space that is a choice alone is its own label."""

    def made(z: Any, style: Any, label: Any) -> Any:
        return zoo.Labelled()(z, label) + 0 * style[:, None, None, None]

    space = gentest.Joint(z=gentest.Normal(4), style=gentest.Categorical(2), label=gentest.Categorical(5))
    generator = gentest.Generator(made, latent=space, output_range=(0, 1))
    property = gentest.follows_label(zoo.by_level(6), part="label")
    assert property.check(generator, settings=FEW).verdict is Verdict.NO_COUNTEREXAMPLE
    only = gentest.Generator(lambda n: zoo.images((n + 0.5) / 10), latent=gentest.Categorical(5), output_range=(0, 1))
    result = gentest.follows_label(zoo.by_level(6)).check(only, settings=FEW)
    assert result.verdict is Verdict.NO_COUNTEREXAMPLE
    for part, message in ((None, "one of 'style', 'label'"), ("z", "'style', 'label' but got part='z'")):
        result = gentest.follows_label(zoo.by_level(6), part=part).check(generator, settings=FEW)
        assert result.verdict is Verdict.ERROR
        assert message in result.message


@pytest.mark.parametrize(
    ("arguments", "space", "message"),
    [
        ({"classifier": zoo.by_level(6)}, gentest.Normal(4), "needs a latent space with a discrete part"),
        ({"classifier": zoo.by_level(3)}, SPACE, "gives 3 logits"),
        ({"classifier": zoo.by_level(1)}, SPACE, "a logit for each class"),
        ({"classifier": lambda x: x.mean((1, 2, 3))}, SPACE, "one row for each image"),
        ({"classifier": lambda x: torch.zeros(len(x), 6)}, SPACE, "the same logit"),
        ({"classifier": lambda x: torch.full((len(x), 6), torch.nan)}, SPACE, "expected finite values"),
        ({"classifier": zoo.by_level(6), "classes": {0: 0}}, SPACE, "has no class for the label"),
        ({"classifier": zoo.by_level(6), "classes": {n: 7 for n in range(5)}}, SPACE, "is class 7"),
    ],
)
def test_what_cannot_be_judged_is_an_error(arguments: dict[str, Any], space: gentest.Space, message: str) -> None:
    """It never passes: no discrete part, a label without a class, a classifier that tells nothing."""
    function = zoo.Labelled() if isinstance(space, gentest.Joint) else zoo.Counted(lambda z: 0.5 + 0 * z[:, 0])
    generator = gentest.Generator(function, latent=space, output_range=(0, 1))
    result = gentest.follows_label(**arguments).check(generator, settings=FEW)
    assert result.verdict is Verdict.ERROR
    assert message in result.message


@pytest.mark.parametrize(
    "arguments",
    [
        {"classifier": "cat"},
        {"part": 3},
        {"classes": {}},
        {"classes": [0, 1]},
        {"classes": {0: -1}},
        {"classes": {"cat": "1"}},
        {"classes": {True: 1}},
    ],
)
def test_misuse_is_refused(arguments: dict[str, Any]) -> None:
    """Where it is written."""
    with pytest.raises(gentest.InvalidArgument, match=r"^follows_label: Expected"):
        _ = gentest.follows_label(**{"classifier": zoo.by_level(6), **arguments}).definition


def test_a_property_says_what_it_is_of() -> None:
    """Classifier first, without its name; the rest only where it is given."""
    property = gentest.follows_label(torch.nn.Identity(), part="label", classes={0: 1})
    assert repr(property) == "follows_label(Identity, part='label', classes={0: 1})"


@pytest.mark.parametrize("name", ["label", "prompt", "c_1"])
def test_a_choice_is_named_by_its_part(name: str) -> None:
    """In every report, for choices that were searched or drawn at a rate; one that was given is none."""

    def f(z: torch.Tensor, **labels: torch.Tensor) -> torch.Tensor:
        return zoo.Labelled(3)(z, labels[name])

    space = gentest.Joint(z=gentest.Normal(4), **{name: gentest.Categorical(5)})
    generator = gentest.Generator(f, latent=space, output_range=(0, 1))
    property = gentest.follows_label(zoo.by_level(6))
    for result in (property.check(generator, settings=FEW), property.at_rate(0.95).check(generator, settings=FEW)):
        found = result.counterexample
        assert found is not None
        assert found.choices == {name: 3}
        texts = [
            terminal.failure(result, ""),
            markdown.page(Document(Session(None, None, None, "cpu", 0, {}), (result,))),
        ]
        texts.append(page.view_of(result).looks[0].place)
        for text in texts:
            assert f", {name}=3" in text
            assert "choice 3" not in text
    alone = property.check(generator.given(**{name: 3}), settings=FEW)
    assert alone.counterexample is not None
    assert alone.counterexample.choices == {}


def test_a_space_that_is_a_choice_has_no_name() -> None:
    """Its counterexample says which choice, as does one of a file that has no names."""
    generator = gentest.Generator(
        lambda c: zoo.images((c + 0.5) / 5), latent=gentest.Categorical(5), output_range=(0, 1)
    )
    below = gentest.property(probes=gentest.points())(
        lambda evidence: 0.6 - evidence.scores(gentest.brightness())[:, 0]
    )
    result = below().check(generator, settings=FEW)
    assert result.counterexample is not None
    assert result.counterexample.choices == {"": 3}
    assert ", choice 3" in terminal.failure(result, "")
    unnamed = replace(result.counterexample, choices={})
    assert ", choice 3" in facts.place(unnamed)


def test_texts_are_labels_by_their_classes() -> None:
    """Each text has the class that `classes` gives it, beside other conditions; without classes, the error says so."""
    animals = gentest.OneOf("a cat", "a dog", "a fox")
    space = gentest.Joint(z=gentest.Normal(4), prompt=animals, scale=gentest.OneOf(3.0, 5.0))

    def f(z: Tensor, prompt: list[str], scale: Tensor) -> Tensor:
        level = torch.tensor([{"a cat": 0.0, "a dog": 1.0, "a fox": 1.0}[text] for text in prompt])
        return level[:, None, None, None].expand(-1, 1, 2, 2)

    def classifier(x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3))
        return torch.stack([1.0 - level, level], dim=1)

    generator = gentest.Generator(f, latent=space, output_range=(0, 1))
    right, wrong = {"a cat": 0, "a dog": 1, "a fox": 1}, {"a cat": 0, "a dog": 1, "a fox": 0}
    few = settings(examples=40)
    assert gentest.follows_label(classifier, part="prompt", classes=right).check(generator, settings=few).passed
    result = gentest.follows_label(classifier, part="prompt", classes=wrong).check(generator, settings=few)
    assert result.counterexample is not None
    assert result.counterexample.choices == {"prompt": "a fox", "scale": 3.0}
    untold = gentest.follows_label(classifier, part="prompt").check(generator, settings=few)
    assert "is no class index: give classes={'a " in untold.message


PROMPTS = gentest.Prompts("a red coat", "a blue hat", "a dog")


def colored(z: torch.Tensor, prompt: list[str]) -> torch.Tensor:
    return (z[:, :, None, None] + torch.tensor([len(text) / 10 for text in prompt])[:, None, None, None]).sigmoid()


@pytest.mark.parametrize("batch_size", [1, 16])
def test_follows_prompt_is_the_rank_of_a_prompt_among_the_others(tiny: Path, batch_size: int) -> None:
    """The violation is of a prompt that CLIP takes for another; its margin is the difference of their logits."""
    space = gentest.Joint(z=gentest.Normal(3), prompt=PROMPTS)
    generator = gentest.Generator(colored, latent=space, output_range=(0, 1))
    conditions = settings(examples=24, batch_size=batch_size, device="cpu", clip=f"local-dir:{tiny}")
    result = gentest.follows_prompt().check(generator, settings=conditions)
    assert result.verdict is Verdict.VIOLATED, result.message
    worst = result.worst
    assert worst is not None
    again = gentest.follows_prompt().replay(generator, worst.replay, settings=conditions)
    assert again.verdict is Verdict.VIOLATED
    model = load_clip(f"local-dir:{tiny}", CPU)
    prompt = dict(worst.choices)["prompt"]
    assert prompt in PROMPTS.values
    texts = model.logit_scale * model.text_vectors(PROMPTS.values)
    spread = float((texts[:, None] - texts[None]).norm(dim=-1).max())
    assert -spread <= worst.margin < 0
    easy = gentest.follows_prompt(at_least=-2 * spread).check(generator, settings=conditions)
    assert easy.verdict is Verdict.NO_COUNTEREXAMPLE, easy.message


def test_follows_prompt_prints_its_arguments() -> None:
    assert (
        repr(gentest.follows_prompt(at_least=1.0, against="a cat")) == "follows_prompt(at_least=1.0, against='a cat')"
    )
    with pytest.raises(gentest.InvalidArgument, match="a finite number but got at_least='x'"):
        _ = gentest.follows_prompt(at_least="x").definition  # type: ignore[arg-type]
