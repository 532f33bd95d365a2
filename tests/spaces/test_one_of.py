"""Conditions: codes follow the weights, stand for the values that somebody wrote, and are found again by digest."""

from __future__ import annotations

import enum
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import gentest
from gentest.errors import InvalidArgument
from gentest.probes.families import points, segments
from gentest.probes.probe import Probe, independent
from gentest.spaces import OneOf, Part
from gentest.spaces.one_of import value_digest


class Style(enum.Enum):
    OIL = 1
    INK = 2


class Named:
    gentest_identity = "a style bank"


def values(space: Part, n: int = 64) -> np.ndarray[Any, Any]:
    """The values of the first samples of a condition, [n]."""
    return space.values_of(points().place(space, independent(0, 0, n))[""][:, 0])


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (OneOf(3.0, 5.0, 7.5), np.float32),
        (OneOf(3, 5.0), np.float32),
        (OneOf(np.float64(3), np.int32(5)), np.float32),
        (OneOf(20, 50), np.int64),
        (OneOf("a", "b"), object),
        (OneOf(None, 5.0), object),
        (OneOf(*[True, False]), object),
        (OneOf((1, 2), (3,)), object),
        (OneOf(Style.OIL, Style.INK), object),
        (OneOf(Named(), len), object),
    ],
    ids=repr,
)
def test_numbers_are_arrays_of_numbers_and_other_values_are_themselves(space: OneOf, kind: type) -> None:
    drawn = values(space)
    assert drawn.dtype == kind
    assert set(drawn.tolist()) == set(space.values)
    assert all(any(value is given for given in space.values) for value in drawn) or kind is not object


def test_the_weights_are_the_prior() -> None:
    """A chi-squared test on 8,000 draws at a fixed seed, at 1e-6. A value of weight 0 never comes."""
    space = OneOf("a", "b", "c", weights=[1, 0, 3])
    drawn = values(space, 8_000).tolist()
    assert "b" not in drawn
    assert space.supports == ((0, 2),)
    assert stats.chisquare([drawn.count("a"), drawn.count("c")], [2_000, 6_000]).pvalue > 1e-6


def test_a_value_stays_on_a_path_and_under_truncation() -> None:
    space = gentest.Joint(z=gentest.Normal(3), prompt=OneOf("a", "b")).truncated(0.5)
    codes = segments(5).place(space, independent(1, 0, 40))["prompt"]
    assert codes.shape == (40, 5)
    assert (codes == codes[:, :1]).all()
    assert set(codes.flat) == {0, 1}


def test_a_condition_does_not_change_the_latents_of_parts_before_it() -> None:
    alone, joint = gentest.Joint(z=gentest.Normal(3)), gentest.Joint(z=gentest.Normal(3), prompt=OneOf("a", "b"))
    probes = independent(1, 0, 10)
    assert (points().place(alone, probes)["z"] == points().place(joint, probes)["z"]).all()


class Unhashable:
    """Not hashable, and without a name."""

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneOf(), "OneOf has no values: give at least one"),
        (lambda: OneOf("a", "b", "a"), "OneOf has the value 'a' twice: give each once, with weights if you like"),
        (lambda: OneOf(1, 1.0), "the value 1.0 twice"),
        (
            lambda: OneOf(["a"]),
            r"hashable but got values\[0\]=\['a'\] \(type=list\); give it a text as",
        ),
        (lambda: OneOf("a", Unhashable()), r"a value that is hashable but got values\[1\]="),
        (lambda: OneOf(object()), r"a value whose repr says what it is but got values\[0\]=<object object at"),
        (lambda: OneOf(torch.ones(2)), "a value whose repr says what it is"),
        (lambda: OneOf(float("nan")), r"a finite number but got values\[0\]=nan"),
        (lambda: OneOf(2**63), "a whole number that 64 bits cannot hold"),
        (lambda: OneOf("a", "b", weights=[1]), r"2 weights >= 0, not all 0, for OneOf but got weights=\[1\]"),
        (lambda: OneOf("a", "b", weights=[0, 0]), "not all 0"),
        (lambda: OneOf("a", "b", weights=[1, -1]), "weights >= 0"),
        (lambda: OneOf("a", "b", weights=[1, float("inf")]), "weights >= 0"),
        (lambda: OneOf("a", "b", weights=5), "weights=5"),  # type: ignore[arg-type]
        (lambda: gentest.Prompts("a", " "), r"a text that is not blank but got prompts\[1\]=' '"),
        (lambda: gentest.Prompts("a", 3), r"a text that is not blank but got prompts\[1\]=3"),  # type: ignore[arg-type]
        (lambda: gentest.Joint(**{f"p{i}": OneOf("a", "b") for i in range(64)}, last=OneOf(1)), "at most 64"),
    ],
)
def test_a_wrong_value_is_told_in_one_line(make: Callable[[], OneOf], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_spaces_are_equal_if_values_and_weights_are() -> None:
    assert OneOf("a", "b") == OneOf("a", "b")
    assert OneOf("a", "b") == OneOf("a", "b", weights=[2, 2])
    assert OneOf("a", "b") != OneOf("a", "b", weights=[1, 2])
    assert OneOf("1") != OneOf(1)
    assert OneOf(1) != OneOf(1.0)


def test_a_long_list_is_told_from_another_in_few_words() -> None:
    one, other = (OneOf(*(f"{word} number {i}" for i in range(500))) for word in ("prompt", "prompts"))
    assert len(repr(one)) < 250
    assert "500 values" in repr(one)
    assert repr(one) != repr(other)
    weights = [1.0] * 499 + [2.0]
    assert repr(one) != repr(OneOf(*one.values, weights=weights))


# a value that is given


@pytest.mark.parametrize(
    ("space", "value", "shown"),
    [
        (OneOf("a", "b"), "b", "Fixed(value='b')"),
        (OneOf(3.0, 5.0), 5, "Fixed(value=5.0)"),
        (OneOf(3, 5), np.int64(5), "Fixed(value=5)"),
        (OneOf(None, "b"), None, "Fixed(value=None)"),
        (OneOf(Style.OIL), Style.OIL, "Fixed(value='Style.OIL')"),
        (OneOf("a", "b", weights=[1, 0]), "b", "Fixed(value='b')"),
    ],
)
def test_a_given_value_is_drawn_alone(space: OneOf, value: object, shown: str) -> None:
    fixed = space.given("it", value)
    assert repr(fixed) == shown
    assert set(values(fixed).tolist()) == {value}
    assert fixed.supports == ()


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        (OneOf("a red coat", "a blue hat"), "a rde coat", "near ones are 'a red coat'"),
        (OneOf(3.0, 5.0, 7.5, 9.0), 5.1, "near ones are 5.0, 3.0, 7.5"),
        (OneOf("a", "b"), 3, "one of the 2 values in OneOf, since the prior has no other but got it=3 "),
        (OneOf(1, 2), True, "it=True"),
        (OneOf("a", "b"), ["a"], "hashable"),
    ],
)
def test_a_value_that_the_prior_does_not_have_is_refused(space: OneOf, value: object, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        space.given("it", value)


# probes that are kept


@given(st.data(), st.lists(st.text(max_size=3), min_size=1, max_size=6, unique=True))
def test_a_value_is_found_again_in_a_list_that_grew_and_was_shuffled(data: st.DataObject, words: list[str]) -> None:
    code = data.draw(st.integers(0, len(words) - 1))
    digest = OneOf(*words).choice.digest_of(code)
    more = data.draw(st.permutations([*words, "another word", "and another"]))
    assert more[OneOf(*more).choice.located("prompt", code, digest)] == words[code]


def test_a_value_that_is_gone_is_told() -> None:
    digest = value_digest("a red coat")
    with pytest.raises(InvalidArgument, match=r"no longer has \(digest ac478f4b\); value 1 is 'a green coat' now"):
        OneOf("a blue hat", "a green coat").choice.located("prompt", 1, digest)
    with pytest.raises(InvalidArgument, match=r"a value of prompt that the space no longer has \(digest ac478f4b\)$"):
        OneOf("a blue hat").choice.located("prompt", 1, digest)


# files


def test_a_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    """Line ends of any kind, blanks around, and a byte-order mark do not matter."""
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffa red coat\r\n  ein blauer Hut, schräg\n".encode())
    assert gentest.Prompts.from_file(file).values == ("a red coat", "ein blauer Hut, schräg")


def test_the_tab_separated_form_has_a_column_of_prompts(tmp_path: Path) -> None:
    file = tmp_path / "PartiPrompts.tsv"
    rows = ["Prompt\tCategory\tChallenge\tNote", "bond\tAbstract\tBasic\tx", '"a ""red"" sign"\tA\tB\tC']
    rows += ['"hello" says "x"\tA', "a clock\t\t\t"]
    file.write_text("\n".join(rows), "utf-8")
    assert gentest.Prompts.from_file(file).values == ("bond", 'a "red" sign', '"hello" says "x"', "a clock")


def test_duplicates_and_empty_lines_are_said_once(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a\n\nb\na\n \na\n\n", "utf-8")
    with pytest.warns(UserWarning, match="2 prompts that come again count once, and 2 empty lines") as warned:
        assert gentest.Prompts.from_file(file).values == ("a", "b")
    assert len(warned) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a file of prompts"),
        (b"", "no prompt in it; expected one a line"),
        (b"\n \n", "no prompt in it"),
        (b"\xff\xfe", "in UTF-8"),
        (b"Text\tKind\na\tb\n", "one of them Prompt; it names 'text', 'kind'"),
        (b"Prompt\tKind\n", "no prompt in it"),
    ],
)
def test_a_file_without_prompts_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidArgument, match=message) as raised:
        gentest.Prompts.from_file(file)
    assert str(file) in str(raised.value)


def test_a_hundred_thousand_prompts_take_no_time(tmp_path: Path) -> None:
    """Reading, drawing, giving one, and a digest take a second together, and not the square of their number."""
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(f"a photograph of number {i} of them" for i in range(100_000)), "utf-8")
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space = gentest.Joint(z=gentest.Normal(3), prompt=gentest.Prompts.from_file(file))
    for start in range(20):
        placed = points().place(space, independent(0, 64 * start, 64))["prompt"]
        space.parts["prompt"].values_of(placed)
    generator = gentest.Generator(lambda z, prompt: z[:, :, None], latent=space)
    assert generator.given(prompt="a photograph of number 99999 of them").fingerprint()
    assert Probe.parse("1f-c99999=00000000").choices == (99_999,)
    assert time.perf_counter() - started < 60
