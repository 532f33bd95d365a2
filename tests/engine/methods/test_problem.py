"""A problem: its streams of independent probes, the probes that fit it, and the arms of its rate."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

import gentest
from gentest import Verdict, settings
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.methods.problem import Problem, Purpose
from gentest.probes.probe import Probe, independent
from gentest.results.settings import Values
from tests.helpers import zoo

BOX, NORMAL = gentest.Uniform(4), gentest.Normal(4)
QUICK = settings(examples=40)
between = gentest.between(gentest.brightness(), tolerance=0.02)


def slope(z: Tensor) -> Tensor:
    """A level that is linear in z, small enough for any prior."""
    return 0.5 + 0.02 * z[:, 0].clamp(-5, 5)


def of_labels(z: Tensor, label: Tensor) -> Tensor:
    """Images whose level folds for label 3 alone."""
    return zoo.images(torch.where(label == 3, 0.5 + 0.1 * z[:, 0].abs().clamp(max=4), slope(z)))


LABELLED = gentest.Generator(
    of_labels, latent=gentest.Joint(z=BOX, label=gentest.Categorical(5)), output_range=zoo.UNIT
)


def problem(generator: gentest.Generator) -> Problem:
    """A problem of paths in a generator's space."""
    judge = Judge(Context(Values(device="cpu")), Subject.of(generator), between.definition)
    return Problem(judge, Values(seed=7))


def test_each_purpose_has_probes_of_its_own() -> None:
    """A rate's are the independent probes of the seed; no other purpose draws any of them."""
    streams = {purpose: problem(LABELLED).stream(purpose).probes(0, 100) for purpose in Purpose}
    assert streams[Purpose.RATE] == independent(7, 0, 100)
    assert len({probe for probes in streams.values() for probe in probes}) == 400
    assert problem(LABELLED).stream(seed=8).probes(0, 100) == independent(8, 0, 100)


def test_probes_of_another_space_do_not_fit() -> None:
    """A label that the space does not have, and a shift of other coordinates, are left out."""
    own = Probe(1, choices=(4,))
    assert problem(LABELLED).fitting([own, Probe(2, choices=(5,)), Probe(3, choices=(0,), shift=b"\0")]) == [own]


def test_probes_on_which_nothing_moves_are_not_usable() -> None:
    """In a bank of two entries some paths lead from an entry to itself."""
    bank = gentest.Empirical(torch.tensor([[0.0] * 4, [1.0] * 4]).numpy())
    probes = independent(1, 0, 64)
    usable = problem(zoo.generator(slope, bank)).usable(probes)
    assert 0 < len(usable) < 64
    assert set(usable) < set(probes)


def test_other_choices_stay_the_probes_own() -> None:
    """With two discrete parts, each value of one is looked at with the other as it was drawn."""
    seen: set[tuple[int, int]] = set()

    def draw(z: Tensor, label: Tensor, style: Tensor) -> Tensor:
        seen.update(zip(label.tolist(), style.tolist(), strict=True))
        return zoo.images(slope(z))

    space = gentest.Joint(z=BOX, label=gentest.Categorical(3), style=gentest.Categorical(2))
    generator = gentest.Generator(draw, latent=space, output_range=zoo.UNIT)
    result = between.at_rate(0.7, each="style").check(generator, settings=QUICK)
    assert result.verdict is Verdict.HOLDS
    assert result.rate is not None
    assert [arm.arm for arm in result.rate.arms] == ["style=0", "style=1"]
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("generator", "property", "words"),
    [
        (LABELLED, between.at_rate(0.9, each="z"), "those of .* are label"),
        (LABELLED.given(label=1), between.at_rate(0.9, each="label"), "has none"),
        (
            LABELLED,
            gentest.prior_invariant(
                between, priors=[gentest.Joint(z=NORMAL, label=gentest.Categorical(5))]
            ).at_rate(0.9, each="label"),
            "has a rate for each prior already",
        ),
    ],
)  # fmt: skip
def test_what_each_may_not_be(generator: gentest.Generator, property: gentest.Property, words: str) -> None:
    """A part that is no choice, a choice that is made, and a property that has several rates already, are refused."""
    result = property.check(generator, settings=QUICK)
    assert result.verdict is Verdict.ERROR
    assert re.search(words, result.message), result.message
