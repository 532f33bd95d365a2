"""Hypothesis draws; the plan is deterministic and distinct."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gentest
from gentest import strategies
from gentest.report import facts, run_facts


def test_the_same_seed_gives_the_same_plan() -> None:
    """A plan is a function of the space's choices, the number and the seed."""
    space = gentest.Normal(16)
    assert strategies.plan(space, 40, 3) == strategies.plan(space, 40, 3)
    assert strategies.plan(space, 40, 3) != strategies.plan(space, 40, 4)


def test_a_plan_has_as_many_distinct_probes_as_asked() -> None:
    """What Hypothesis repeats is drawn anew, so that N examples are N different probes."""
    probes = strategies.plan(gentest.Normal(16), 300, 0)
    assert len(set(probes)) == len(probes) == 300


def test_a_plan_draws_choices_as_structure() -> None:
    """Every label of a discrete part is looked at, and none outside it."""
    probes = strategies.plan(gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(5)), 300, 0)
    assert {probe.choices for probe in probes} == {(label,) for label in range(5)}


def test_a_plan_does_not_depend_on_the_modules_that_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Constants of a local module that is imported between two plans change neither."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(1000))
    before = strategies.plan(space, 300, 0)
    (tmp_path / "full_of_constants.py").write_text("HERE = [17, 101, 555, 999, b'12345678', 12345678901234567]\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("full_of_constants")
    assert strategies.plan(space, 300, 0) == before


EXHAUSTIVE = gentest.settings(device="cpu", exhaustive=True)


def level_of(label: Tensor) -> Tensor:
    """Grey images [B, 1, 4, 4] as bright as their label of ten."""
    return (0.1 * label[:, None, None, None]).expand(-1, 1, 4, 4).contiguous()


def darker_than(limit: float) -> gentest.Property:
    """A property of single latents: brightness below a limit."""

    @gentest.property(probes=gentest.points())
    def darker(evidence: gentest.Evidence) -> Tensor:
        return limit - evidence.scores(gentest.brightness())[:, 0]

    return darker()


def labelled(function: object = level_of, **how: Any) -> gentest.Generator:
    space = gentest.Joint(label=gentest.Categorical(10))
    return gentest.Generator(function, latent=space, output_range=(0, 1), **how)  # type: ignore[arg-type]


def test_each_input_of_a_finite_space_is_tried_once() -> None:
    """A property that none of them violates holds on all, whatever the number of examples and the seed are."""
    result = darker_than(0.95).check(labelled(), settings=EXHAUSTIVE)
    assert result.verdict is gentest.Verdict.HOLDS
    assert result.passed
    assert (result.search.exhaustive, result.examples, result.distinct, result.inputs) == (True, 10, 10, 10)
    assert facts.statement(result) == "holds on all 10 inputs that there are"
    assert facts.verdict(result) == "holds on all inputs"
    assert run_facts.totals([result]).startswith("1 property: 1 holds on all inputs; ")
    sampled = darker_than(0.95).check(labelled(), settings=gentest.settings(device="cpu"))
    assert sampled.verdict is gentest.Verdict.NO_COUNTEREXAMPLE
    assert not sampled.search.exhaustive


def test_the_first_and_the_worst_of_all_inputs_are_reported() -> None:
    """They need no reduction; the first replays."""
    result = darker_than(0.65).check(labelled(), settings=EXHAUSTIVE)
    assert result.verdict is gentest.Verdict.VIOLATED
    assert result.violations == 3
    assert result.counterexample is not None
    assert result.worst is not None
    assert (result.counterexample.choices, result.worst.choices) == ({"label": 7}, {"label": 9})
    assert facts.statement(result) == "violated by 3 of all 10 inputs that there are, worst margin -0.25"
    early = gentest.settings(device="cpu", exhaustive=True, stop_after=1)
    stopped = darker_than(0.65).check(labelled(), settings=early)
    assert facts.statement(stopped).startswith(
        "violated by 1 of the first 8 of 10 inputs, where the search stops, worst"
    )
    assert facts.probes(stopped) == "8 of 10"
    again = darker_than(0.65).replay(labelled(), result.counterexample.replay, settings=EXHAUSTIVE)
    assert again.verdict is gentest.Verdict.VIOLATED
    assert not again.search.exhaustive


def test_each_held_out_image_makes_one_round_trip() -> None:
    """M images a side for M distinct ones, besides the fixed cost; a counterexample names its entry."""
    images = 0.2 + 0.7 * torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    images[200] = images[100]
    batches: list[int] = []

    def encode(x: Tensor) -> Tensor:
        batches.append(len(x))
        return x * 2.0

    pair = gentest.Generator.round_trip(encode, lambda z: z / 2.0, data=images, output_range=(0, 1))
    settings = gentest.settings(device="cpu", exhaustive=True, batch_size=128, attack=1000)
    result = gentest.agrees(within=1e-4).check(pair, settings=settings)
    assert result.verdict is gentest.Verdict.HOLDS
    assert result.attack is None, "nothing is left to attack"
    assert result.examples == 299
    together = [n for n in batches if n > 1]
    assert sum(together) == 16 + 16 + 299, "two examinations, then each image"
    assert len(batches) - len(together) <= 48, "single images of the examination, of rounding and of the audit"

    def lossy(z: Tensor) -> Tensor:
        return torch.where((z == images[100] * 2.0).all(3, keepdim=True), 0.5, z / 2.0)

    wrong = gentest.Generator.round_trip(lambda x: x * 2.0, lossy, data=images, output_range=(0, 1))
    found = gentest.agrees(within=1e-4).check(wrong, settings=settings)
    assert found.violations == 1
    assert found.counterexample is not None
    assert found.counterexample.entries == {"": 100}
    assert facts.place(found.counterexample).endswith(", entry 100 of the bank")


@pytest.mark.parametrize(
    ("property", "generator", "message"),
    [
        (
            darker_than(0.5),
            gentest.Generator(lambda z: z, latent=gentest.Normal((1, 4, 4))),
            "exhaustive=True needs a finite latent space: Normal((1, 4, 4)) has infinitely many latents",
        ),
        (
            darker_than(0.5),
            gentest.Generator(level_of, latent=gentest.Categorical(200_000)),
            "exhaustive=True needs a finite latent space: Categorical(200000) has 200,000 latents, more than 100,000",
        ),
        (
            gentest.between(gentest.brightness(), tolerance=0.1),
            labelled(),
            "exhaustive=True is for properties of single latents, and between(brightness(), tolerance=0.1) looks at "
            "segments(points=9)",
        ),
        (
            darker_than(0.5).at_rate(0.9),
            labelled(),
            "exhaustive=True decides darker().at_rate(0.9) without a rate: take .at_rate(...) away, or exhaustive",
        ),
        (
            darker_than(0.5),
            labelled(lambda label, n: level_of(label), noise={"n": gentest.Normal(1)}),
            "exhaustive=True needs a finite number of inputs, and noise=['n'] has infinitely many values",
        ),
        (
            gentest.matches(torch.rand(300, 1, 4, 4), feature=gentest.pixels()),
            labelled(),
            "exhaustive=True is for properties of single latents: matches(",
        ),
    ],
)
def test_what_cannot_be_tried_exhaustively_is_one_line(
    property: gentest.Property, generator: gentest.Generator, message: str
) -> None:
    """An infinite space, a family of paths, a rate, noise, samples."""
    result = property.check(generator, settings=EXHAUSTIVE)
    assert result.verdict is gentest.Verdict.ERROR
    assert result.message.startswith(message), result.message
    assert "\n" not in result.message


def test_undeclared_noise_is_an_error_of_an_exhaustive_search_too() -> None:
    """The inputs would not be all that decides the output."""

    def noisy(label: Tensor) -> Tensor:
        return (level_of(label) + 0.05 * torch.rand(len(label), 1, 4, 4)).clamp(0, 1)

    result = darker_than(0.99).check(labelled(noisy), settings=EXHAUSTIVE)
    assert result.verdict is gentest.Verdict.ERROR
    assert "noise" in result.message
