"""Templates: every slot is a choice of its own, and a slot that is left out leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gentest
from gentest.errors import InvalidArgument
from gentest.probes.families import points
from gentest.probes.probe import Probe, independent
from gentest.spaces import Template

COAT = Template("a {colour} {thing}", thing=["coat", "hat"], colour=["red", None, "blue"])


def texts(space: Template) -> list[str]:
    """All texts of a template, the first value of each slot first."""
    return [space.shown(option) for option in space.options()]


def test_every_combination_is_a_text() -> None:
    assert texts(COAT) == ["a coat", "a hat", "a red coat", "a red hat", "a blue coat", "a blue hat"]
    assert COAT.n_values == 6


def test_each_slot_is_a_choice_in_the_order_of_the_text() -> None:
    assert COAT.supports == ((0, 1, 2), (0, 1))
    latents = points().place(COAT, [Probe(1, choices=(2, 0)), *independent(0, 0, 60)])[""]
    assert latents.shape == (61, 1, 2)
    assert latents.dtype == np.int64
    drawn = COAT.values_of(latents)
    assert drawn.shape == (61, 1)
    assert drawn[0, 0] == "a blue coat"
    assert set(drawn[1:].flat) == set(texts(COAT))


def test_a_slot_has_its_own_uniform() -> None:
    """The values of one slot do not say those of another: 2,000 draws fill each cell by its probability."""
    space = Template("{a}{b}", a=gentest.OneOf("x", "y", weights=[1, 3]), b=["1", "2"])
    drawn = space.values_of(points().place(space, independent(3, 0, 2_000))[""][:, 0]).tolist()
    for text, share in (("x1", 1 / 8), ("x2", 1 / 8), ("y1", 3 / 8), ("y2", 3 / 8)):
        deviation = (drawn.count(text) - 2_000 * share) / (2_000 * share * (1 - share)) ** 0.5
        assert abs(deviation) < 5
    assert [round(space.probability(option), 4) for option in space.options()] == [0.125, 0.125, 0.375, 0.375]


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ("a {x} coat", "a coat"),
        ("{x} a coat", "a coat"),
        ("a coat {x}", "a coat"),
        ("a coat {x}, new", "a coat, new"),
        ("a coat{x}.", "a coat."),
        ("a {x} {x} coat", "a coat"),
        ("a\n{x}\ncoat  here", "a\ncoat  here"),
        ("{{{x}}} coat", "{} coat"),
        ("({x} coat)", "(coat)"),
    ],
)
def test_a_slot_that_is_left_out_takes_a_space_along(text: str, left_out: str) -> None:
    space = Template(text, x=[None, "red"])
    assert space.shown((1,)) == text.replace("{x}", "red").replace("{{", "{").replace("}}", "}")
    if text != "({x} coat)":  # no space before it
        assert space.shown((0,)) == left_out


def test_numbers_are_written_as_people_write_them() -> None:
    assert texts(Template("{n} of {m}", n=[1, 2.5], m=[3.0])) == ["1 of 3", "2.5 of 3"]


@given(st.data())
def test_a_text_that_it_can_give_fixes_all_slots(data: st.DataObject) -> None:
    words = st.lists(st.sampled_from(["a", "ab", "b", "a b", "", "x,"]), min_size=1, max_size=4, unique=True)
    text = data.draw(st.sampled_from(["{u}{v}", "{u} {v}", "the {u}, {v} and {u}", "{u} {v} {w}"]))
    names = [name for name in "uvw" if f"{{{name}}}" in text]
    space = Template(text, **{name: data.draw(words) for name in names})
    option = data.draw(st.sampled_from(space.options()))
    fixed = space.given("prompt", space.shown(option))
    latents = points().place(fixed, independent(0, 0, 3))[""][:, 0]
    assert fixed.values_of(latents).tolist() == [space.shown(option)] * 3


def test_a_text_that_it_cannot_give_is_refused_with_some_that_it_can() -> None:
    with pytest.raises(InvalidArgument, match=r"can give but got prompt='a green.*it gives 'a coat', 'a red coat'"):
        COAT.given("prompt", "a green coat")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Template("a coat"), "has no slot such as {colour}; OneOf takes texts"),
        (lambda: Template("a {x} coat"), "the slot {x} of the template 'a {x} coat' has no values: say x="),
        (lambda: Template("a {x} coat", x=[]), "the slot {x} has no values: give at least one"),
        (lambda: Template("a {x} coat", x=["red"], y=["b"]), "has no slot {y}; it has {x}"),
        (lambda: Template("a {x} coat", x="red"), "a list of values, or a gentest.OneOf but got x='red'"),
        (lambda: Template("a {x} coat", x=["red", "red"]), "the slot {x} has the value 'red' twice"),
        (lambda: Template("a {x} coat", x=[None, ""]), "the slot {x} has the value None twice"),
        (lambda: Template("a {x} coat", x=[True]), r"a text, a number or None but got x\[0\]=True"),
        (lambda: Template("a {x} coat", x=[["red"]]), r"x\[0\]=\['red'\]"),
        (lambda: Template("a {x", x=["red"]), "expected '}' before end of string; double a brace"),
        (lambda: Template("a {} coat", x=["red"]), "has {}: a slot is a plain name"),
        (lambda: Template("a {x:>3} coat", x=["red"]), "has {x:>3}: a slot is a plain name"),
        (lambda: Template("a {x!r} coat", x=["red"]), "has {x!r}: a slot is a plain name"),
        (lambda: Template(3), "a text with slots, such as 'a {colour} coat' but got text=3"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_template_is_told_in_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        make()
    assert message.replace("\\", "") in str(raised.value)
    assert "\n" not in str(raised.value)
