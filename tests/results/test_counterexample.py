"""The record of a counterexample: what it refuses to be read from a file."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from gentest.errors import InvalidArgument
from gentest.results.counterexample import Alike, CoordinateGroup, Counterexample, KeptCodes
from gentest.results.records import read_record

ALIKE = Alike("pixels()", (0, 9, 7), 16, nearest=0.0, furthest=0.012, pairs=3)
FOUND = Counterexample({}, -0.018, {}, (0.0,) * 16, ("0", "1"), 2, 2, 0.5, "diverse:1f", reducible=False, alike=ALIKE)


def read(found: Counterexample) -> Any:
    return read_record(Counterexample, json.loads(json.dumps(asdict(found))))


def test_it_is_read_as_it_was_written() -> None:
    """With the outputs that are alike. A file of an earlier version has neither of the two last fields."""
    assert read(FOUND) == FOUND
    earlier = asdict(FOUND)
    del earlier["alike"], earlier["reducible"]
    assert read_record(Counterexample, earlier) == replace(FOUND, alike=None, reducible=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"outputs": (3,)}, r"\[3\] are not two or more of 16 outputs"),
        ({"outputs": (3, 3)}, r"\[3, 3\] are not two"),
        ({"outputs": (3, 16)}, r"\[3, 16\] are not two"),
        ({"outputs": (-1, 3)}, "from 0"),
        ({"pairs": 2}, "2 pairs cannot be too near, with 3 of 16 outputs alike"),
        ({"pairs": 121}, "121 pairs cannot be too near"),
        ({"nearest": 0.5}, "distances from 0.5 to 0.012"),
        ({"nearest": float("inf")}, "a finite number"),
        ({"n": 17}, "17 outputs were compared, and the probe has 16 latents"),
    ],
)
def test_outputs_that_cannot_be_alike_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        read(replace(FOUND, alike=replace(ALIKE, **changed)))


@pytest.mark.parametrize("text", ["3", "0..7", "z[3]", "z[0..7]", "a b[1]"])
def test_a_group_of_coordinates_is_read_from_its_text(text: str) -> None:
    assert str(CoordinateGroup.parse(text)) == text


@pytest.mark.parametrize("text", ["", "x", "1..", "z[", "-1", "1" * 13])
def test_another_text_is_no_group(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a group of coordinates"):
        CoordinateGroup.parse(text)


def test_a_grid_keeps_no_more_codes_than_it_has() -> None:
    with pytest.raises(InvalidArgument, match="5 of 4 positions"):
        read(replace(FOUND, codes=(KeptCodes("", 5, 4, 0, (), ()),)))
