"""Directions as values: unit vectors with stable names, kept in files to the bit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gentest
from gentest.errors import InvalidArgument


def test_a_direction_is_a_unit_vector_of_any_number_type() -> None:
    """Lists, arrays and tensors of any length and type give the same direction."""
    tiny = torch.tensor([3e-3, 4e-3], dtype=torch.float64)
    given: list[Any] = [[3, 4], np.array([3e300, 4e300]), tiny, torch.tensor([3, 4]).bfloat16()]
    found = {gentest.Direction(vector) for vector in (*given, torch.nn.Parameter(torch.tensor([6.0, 8.0])))}
    assert len(found) == 1
    np.testing.assert_allclose(next(iter(found)).vector, [0.6, 0.8], rtol=1e-6)
    assert not next(iter(found)).vector.flags.writeable


def test_the_repr_identifies_a_direction() -> None:
    """Its digest depends on shape and values only; a negative zero counts as zero, and the attribute does not count."""
    assert repr(gentest.Direction([1.0, 0.0])) == "Direction(2, 061667be4a27a47b)"
    assert repr(gentest.Direction([[1.0], [0.0]], part="w")).startswith("Direction((2, 1), part='w', ")
    others = [gentest.Direction(v) for v in ([1, 0], [0, 1], [-1, 0], [1, 1e-3], [[1, 0]])]
    assert len({repr(d) for d in others}) == len(set(others)) == 5
    assert gentest.Direction([-1, -0.0]) == -others[0] == others[2]
    back = -others[3]
    assert -back == others[3] != back
    named = gentest.Direction([1, 0], attribute="smile", accuracy=0.5)
    down = -named
    assert named == others[0] != gentest.Direction([1, 0], part="z")
    assert (down.attribute, (-down).attribute, down.accuracy) == ("-smile", "smile", 0.5)


def test_it_is_kept_in_a_file_to_the_bit(tmp_path: Path) -> None:
    """`load` gives the same bits, so the same repr, and the same attribute and accuracy."""
    rng = np.random.default_rng(0)
    for shape in ((1,), (512,), (4, 8, 8)):
        saved = gentest.Direction(rng.normal(size=shape), part="z", attribute="clip('a smile')", accuracy=0.93)
        saved.save(tmp_path / "direction.json")
        read = gentest.Direction.load(tmp_path / "direction.json")
        assert read == saved == gentest.Direction(saved.vector, part="z") == pickle.loads(pickle.dumps(saved))
        assert read.vector.tobytes() == saved.vector.tobytes()
        assert (read.attribute, read.accuracy, read.part) == ("clip('a smile')", 0.93, "z")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 1"),
        ({"shape": [3]}, "cannot have 2 values"),
        ({"shape": [-1, -2]}, "cannot have 2 values"),
        ({"digest": "0" * 16}, "it was edited"),
        ({"vector": "?"}, "not base64"),
        ({"accuracy": 2.0}, "accuracy=2.0"),
        ({"more": 1}, "no field 'more'"),
    ],
)
def test_an_edited_file_is_rejected(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """The error names the file and the fault."""
    path = tmp_path / "direction.json"
    path.write_text(json.dumps({**gentest.Direction([3.0, 4.0]).to_json(), **change}))
    with pytest.raises(InvalidArgument, match=message) as caught:
        gentest.Direction.load(path)
    assert "direction.json: not a direction" in str(caught.value)


def test_a_missing_file_or_other_json_is_rejected(tmp_path: Path) -> None:
    """The error names the file."""
    for text in (None, "{", "[]", '{"schema": 1}'):
        if text is not None:
            (tmp_path / "d.json").write_text(text)
        with pytest.raises(InvalidArgument, match=r"d\.json: not a direction that gentest saved"):
            gentest.Direction.load(tmp_path / "d.json")


@pytest.mark.parametrize("vector", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], 3.0, [], "up", None, [[1.0], [1.0, 2.0]]])
def test_other_values_are_rejected(vector: Any) -> None:
    """The error is one line."""
    with pytest.raises(InvalidArgument, match=r"Expected a direction") as caught:
        gentest.Direction(vector)
    assert "\n" not in str(caught.value)
