"""Every latent of a finite space has one probe, in order, and replays from it."""

from __future__ import annotations

import numpy as np
import pytest

import gentest
from gentest.errors import InvalidArgument
from gentest.probes import families
from gentest.probes.enumeration import MOST, entry_of, every_point
from gentest.spaces import Space, at_radius

BANK = np.array([[5.0, 1.0], [6.0, 2.0], [5.0, 1.0], [4.0, 0.5]], dtype=np.float32)
ENTRIES = [[5.0, 1.0], [6.0, 2.0], [4.0, 0.5]]
"""The distinct entries in the order of the bank."""


def latents(space: Space) -> dict[str, list[object]]:
    """The latent of each probe, by part."""
    placed = families.points().place(space, every_point(space))
    return {name: z[:, 0].tolist() for name, z in placed.items()}


def test_each_entry_of_a_bank_once_in_its_order() -> None:
    """Equal entries are one latent."""
    assert latents(gentest.Empirical(BANK)) == {"": ENTRIES}


def test_a_larger_bank_is_complete() -> None:
    """Each of 5,000 entries has a seed that draws it."""
    bank = np.random.default_rng(0).normal(size=(5000, 2)).astype(np.float32)
    assert latents(gentest.Empirical(bank)) == {"": bank.tolist()}


def test_combinations_of_banks_and_choices() -> None:
    """The last part changes fastest; a choice of probability 0 is left out."""
    label = gentest.Categorical(3, probabilities=[0.5, 0.0, 0.5])
    space = gentest.Joint(a=gentest.Empirical(BANK), b=gentest.Empirical(BANK[1:]), label=label)
    b = [[6.0, 2.0], [5.0, 1.0], [4.0, 0.5]]
    placed = latents(space)
    expected = [(one, other, value) for one in ENTRIES for other in b for value in (0, 2)]
    assert list(zip(placed["a"], placed["b"], placed["label"], strict=True)) == expected
    assert len(expected) == space.n_latents


def test_choices_alone_and_a_choice_that_is_made() -> None:
    """A space without a bank needs one seed."""
    space = gentest.Joint(label=gentest.Categorical(3), style=gentest.Categorical(2))
    assert latents(space.given({"style": 1})) == {"label": [0, 1, 2], "style": [1, 1, 1]}
    assert {probe.seed for probe in every_point(space)} == {0}


def test_conditions_of_text() -> None:
    """Each of some texts, and each filling of a template, beside an entry of a bank."""
    texts = gentest.Template("a {colour} {animal}", colour=["red", "blue", "green"], animal=["cat", "dog"])
    space = gentest.Joint(w=gentest.Empirical(BANK), text=texts, style=gentest.OneOf("photo", "sketch"))
    assert len(every_point(space)) == len({str(probe) for probe in every_point(space)}) == 3 * 6 * 2 == space.n_latents


def test_transformed_banks() -> None:
    """A truncated bank, a mapped one, and one at a radius have the entries of the bank."""
    bank = gentest.Empirical(BANK)
    assert len(every_point(bank.truncated(0.5))) == 3
    assert len(every_point(at_radius(bank, 2.0))) == 3
    assert latents(gentest.Mapped(bank, lambda z: 2.0 * z)) == {"": [[10.0, 2.0], [12.0, 4.0], [8.0, 1.0]]}
    assert len(every_point(gentest.Mapped(bank, lambda z: z[:, :1] * 0.0 + 1.0))) == 1


def test_an_entry_is_found_by_its_latent() -> None:
    """The first of equal entries."""
    assert entry_of(gentest.Empirical(BANK), BANK[2]) == 0
    assert entry_of(gentest.Empirical(BANK), BANK[3]) == 3


def test_spaces_that_cannot_be_enumerated() -> None:
    """An infinite one, and one with too many latents."""
    with pytest.raises(InvalidArgument, match=r"Joint\(.*\) has infinitely many latents"):
        every_point(gentest.Joint(z=gentest.Normal(2), label=gentest.Categorical(2)))
    with pytest.raises(InvalidArgument, match=f"Categorical\\(100001\\) has 100,001 latents, more than {MOST:,}"):
        every_point(gentest.Categorical(100_001))
