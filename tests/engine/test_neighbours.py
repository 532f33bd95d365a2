"""A neighbour whose prompt changes the outputs of its batch is named, with the words that matter."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import gentest
from gentest import settings
from tests.helpers import zoo

PROMPTS = ("a cat", "a dog", "a small red dog on a table")
SPACE = gentest.Joint(z=gentest.Uniform(4), prompt=gentest.Prompts(*PROMPTS))
FEW = settings(examples=20, device="cpu")


def in_batches(change: Callable[[list[str]], float], space: gentest.Space = SPACE) -> gentest.Generator:
    """Images that are brighter by `change` of all prompts of their batch, and by z."""

    def f(z: Tensor, prompt: list[str]) -> Tensor:
        return zoo.images(0.3 + 0.05 * z[:, 0] + change(prompt))

    return gentest.Generator(f, latent=space, output_range=zoo.UNIT)


def note(generator: gentest.Generator) -> str:
    found = gentest.reproducible().check(generator, settings=FEW).counterexample
    assert found is not None
    assert found.choices["prompt"] == "a cat"
    return found.note


def test_the_words_of_a_neighbour_that_change_an_output_are_named() -> None:
    """Its length changes what the batch is padded to; or one word does, wherever it stands."""
    padded = note(in_batches(lambda prompts: 0.02 * max(len(text.split()) for text in prompts)))
    assert padded.startswith(f"the output changes after a sample of prompt={PROMPTS[2]!r}; prompt='")
    assert len(padded.split("; prompt='")[1].removesuffix("' is enough").split()) == 3
    leaked = note(in_batches(lambda prompts: 0.2 * any("red" in text for text in prompts)))
    assert leaked == f"the output changes after a sample of prompt={PROMPTS[2]!r}; prompt='red' is enough"


def test_a_neighbour_that_needs_all_its_words_is_named_as_it_is() -> None:
    told = note(in_batches(lambda prompts: 0.2 * (PROMPTS[2] in prompts)))
    assert told == f"the output changes after a sample of prompt={PROMPTS[2]!r}"


def test_a_generator_that_knows_only_its_prompts_has_its_neighbour_named() -> None:
    def known(prompts: list[str]) -> float:
        return 0.1 * max(PROMPTS.index(text) for text in prompts)  # raises for other texts

    assert "is enough" not in note(in_batches(known))


def test_no_neighbour_is_named_without_one_that_changes_the_output() -> None:
    """Batches that matter by their size alone, and spaces without words."""
    assert note(in_batches(lambda prompts: 0.1 * (len(prompts) > 2))) == ""
    labelled = gentest.Joint(z=gentest.Uniform(4), label=gentest.Categorical(3))
    generator = gentest.Generator(
        lambda z, label: zoo.images(0.3 + 0.05 * z[:, 0] + 0.1 * torch.as_tensor(label).max()),
        latent=labelled,
        output_range=zoo.UNIT,
    )
    found = gentest.reproducible().check(generator, settings=FEW).counterexample
    assert found is not None
    assert found.note == ""


def test_a_neighbour_of_numbers_is_named() -> None:
    """A value that somebody wrote may be a number: it has no words to take away."""
    space = gentest.Joint(z=gentest.Uniform(4), prompt=gentest.Prompts("a cat"), scale=gentest.OneOf(1.0, 7.5))

    def f(z: Tensor, prompt: list[str], scale: Tensor) -> Tensor:
        return zoo.images(0.3 + 0.05 * z[:, 0] + 0.2 * (scale > 5).any())

    generator = gentest.Generator(f, latent=space, output_range=zoo.UNIT)
    found = gentest.reproducible().check(generator, settings=FEW).counterexample
    assert found is not None
    assert "the output changes after a sample of prompt='a cat', scale=7.5" in found.note
