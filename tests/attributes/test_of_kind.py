"""Measures that ask the kind: functions of single outputs, validity, and columns."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

import pytest
import torch

import gentest
from gentest.errors import AttributeFailed, InvalidArgument

TEXT = gentest.Tokens(text=True, longest=16)


def of(measure: Any, *texts: str) -> list[float]:
    """A measure of some texts."""
    outputs = TEXT.read(list(texts), len(texts), {"z": (len(texts), 1)}, None)
    scores: list[float] = measure.of_kind(TEXT)(outputs).tolist()
    return scores


@pytest.mark.parametrize(
    ("check", "scores"),
    [
        (json.loads, [1.0, 0.0, 1.0]),
        (lambda text: text.startswith("["), [1.0, 1.0, 0.0]),
        (lambda text: re.fullmatch(r"\d", text), [0.0, 0.0, 1.0]),
    ],
)
def test_an_output_is_valid_unless_the_check_says_no(check: Any, scores: list[float]) -> None:
    """False, None and an exception are invalid; 0, as json.loads gives for "0", is not."""
    assert of(gentest.valid(check), "[1]", "[1", "0") == scores


@pytest.mark.parametrize(
    ("check", "text", "place"), [(json.loads, "[1, x]", 4), (ast.literal_eval, "(1, 2", 0), (re.compile, "a(b", 1)]
)
def test_the_place_of_a_parsers_exception_is_marked(check: Any, text: str, place: int) -> None:
    """JSON, Python and regular expressions say where they fail."""
    outputs = TEXT.read([text], 1, {"z": (1, 1)}, None)
    assert gentest.valid(check).of_kind(TEXT).locate(outputs).tolist() == [[place, place + 1]]


def test_a_function_of_single_outputs_gives_numbers() -> None:
    """Numbers and bools; anything else is an error that names the function."""
    assert of(gentest.per_output(len), "abc", "") == [3.0, 0.0]
    assert of(gentest.per_output(str.isalpha), "abc", "1") == [1.0, 0.0]
    with pytest.raises(AttributeFailed, match=r"per_output\(.*\) gave 'ABC' for 'abc'"):
        of(gentest.per_output(lambda text: text.upper()), "abc")


def test_rows_are_checked_as_dictionaries() -> None:
    """In the units of their columns."""
    table = gentest.Rows({"low": (0, 10), "high": (0, 10)})
    outputs = table.read({"low": [1, 5], "high": [2, 3]}, 2, {"z": (2, 1)}, None)
    ordered = gentest.valid(lambda row: row["low"] <= row["high"], name="ordered")
    assert ordered.of_kind(table)(outputs).tolist() == [1.0, 0.0]
    assert gentest.column("high").of_kind(table)(outputs).tolist() == [2.0, 3.0]
    assert repr(ordered) == "ordered"


def test_another_function_is_another_measure() -> None:
    """Two checks of one name are measured each by itself, and so is one text shown in two ways."""
    from gentest.engine.evidence.subject import Identities, Subject

    identities = Identities()
    one, other = (gentest.valid(check, name="valid") for check in (lambda t: "a" in t, lambda t: "b" in t))
    assert identities.key(one) != identities.key(other)
    shown = [
        Subject.of(gentest.Generator(torch.round, latent=gentest.Normal(3), outputs=gentest.Tokens(show=show))).key
        for show in (lambda ids: "a", lambda ids: "b", lambda ids: "a")
    ]
    assert shown[0] != shown[1]
    assert shown[0] == shown[2]


def test_wrong_arguments_are_refused() -> None:
    """With the name of the argument."""
    for make in (
        lambda: gentest.valid("json"),  # type: ignore[arg-type]
        lambda: gentest.valid(len, name=" "),
        lambda: gentest.per_output(str),
        lambda: gentest.column(3),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgument):
            make()
    for measure in (gentest.valid(len), gentest.column("age")):
        with pytest.raises(AttributeFailed, match="outputs="):
            measure(torch.zeros(1, 3))
