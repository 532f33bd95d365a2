"""Rows of a table: the forms that are understood, domains, and columns in their own units."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gentest
from gentest.errors import InvalidArgument, WrongOutputs

SIZES = {"z": (2, 4)}
TABLE = gentest.Rows({"age": range(0, 121), "income": (0, 1e6), "smokes": ["no", "yes"]})
MAPPED = torch.tensor([[0.25, 0.5, 1.0], [0.5, 0.0, 0.0]])


class Frame:
    """A data frame, as far as `Rows` asks it."""

    columns = ("age", "income", "smokes")

    def to_dict(self, orient: str) -> dict[str, list[Any]]:
        assert orient == "list"
        return {"age": [30, 60], "income": [5e5, 0.0], "smokes": ["yes", "no"]}


@pytest.mark.parametrize(
    "raw",
    [
        Frame(),
        Frame().to_dict("list"),
        [{"age": 30, "income": 5e5, "smokes": "yes"}, {"age": 60, "income": 0, "smokes": "no"}],
        torch.tensor([[30, 5e5, 1], [60, 0, 0]]),
        {"age": torch.tensor([30, 60]), "income": torch.tensor([5e5, 0]), "smokes": torch.tensor([1, 0]), "id": [1, 2]},
    ],
)
def test_a_table_is_read_in_any_form(raw: Any) -> None:
    """Each column is mapped from its domain to [0, 1], and comes back in its units."""
    made = TABLE.read(raw, 2, SIZES, None)
    torch.testing.assert_close(made, MAPPED)
    assert TABLE.items(made) == [
        {"age": 30, "income": 500_000.0, "smokes": "yes"},
        {"age": 60, "income": 0.0, "smokes": "no"},
    ]


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"age": 121, "income": 1, "smokes": "no"}, "column 'age' = 121, which is not a whole number from 0 to 120"),
        ({"age": 30.5, "income": 1, "smokes": "no"}, "column 'age' = 30.5, which is not a whole number from 0 to 120"),
        ({"age": 30, "income": -2e4, "smokes": "no"}, "column 'income' = -20000.0, which is not from 0 to 1e+06"),
        ({"age": 30, "income": 1, "smokes": "maybe"}, "column 'smokes' = None, which is not one of 'no', 'yes'"),
    ],
)
def test_a_value_outside_its_domain_is_named(row: dict[str, Any], place: str) -> None:
    """By the column, the value and the domain."""
    made = TABLE.read([row] * 2, 2, SIZES, None)
    excess = TABLE.excess(made, TABLE.limits(None))
    at = int(excess[0].argmax())
    assert excess[0, at] > 1e-3
    assert (excess[0] > 1e-3).sum() == 1
    assert TABLE.place(made[0], at, at + 1) == place
    assert place in TABLE.out_of_range(made, None)


def test_a_missing_value_is_not_finite() -> None:
    """None and NaN in a column of numbers are NaN, which `well_formed` finds."""
    made = TABLE.read({"age": [None, 3], "income": [float("nan"), 1], "smokes": ["no", "no"]}, 2, SIZES, None)
    assert made.isnan().tolist() == [[True, True, False], [False, False, False]]


def test_names_alone_leave_units() -> None:
    """Without domains values keep their units and have no limits."""
    table = gentest.Rows(["width", "depth"])
    values = torch.tensor([[1.0, 1e9], [3.0, -4.0]])
    assert torch.equal(table.read(values, 2, SIZES, None), values)
    assert table.limits(None) is None
    assert table.items(values[1:]) == [{"width": 3.0, "depth": -4.0}]


def test_what_was_read_is_read_again() -> None:
    """A transform after the generator gets mapped rows, and gives mapped rows."""
    g = gentest.Generator(
        lambda z: torch.tensor([[30, 5e5, 1]]).repeat(len(z), 1), latent=gentest.Normal(1), outputs=TABLE
    )
    same = g.then(lambda x: x)
    assert torch.equal(same.outputs({"": torch.zeros(2, 1)}), g.outputs({"": torch.zeros(2, 1)}))
    assert gentest.agrees(within=0.0).check(same.against(g)).outcome.value == "passed"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (torch.zeros(2, 4), r"expected \[2, 3\], a number for each column"),
        ({"age": [1, 2], "income": [1, 2]}, "none is called 'smokes'"),
        ({"age": ["old", "young"], "income": [1, 2], "smokes": [0, 1]}, r'say outputs=gentest.Rows\(columns=\{"age": '),
        ({"age": [1], "income": [1, 2], "smokes": [0, 1]}, "values of column 'age'; expected 2"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(raw: Any, said: str) -> None:
    """Other numbers of columns, missing columns, words in a column of numbers, and other numbers of rows."""
    with pytest.raises(WrongOutputs, match=said):
        TABLE.read(raw, 2, SIZES, None)


@pytest.mark.parametrize(
    "columns", [[], ["a", "a"], {"a": 3}, {"a": (1, 0)}, {"a": []}, "age", {1: (0, 1)}, {"a": ["x", "x"]}]
)
def test_wrong_columns_are_refused(columns: Any) -> None:
    """Names that repeat, and anything that is not a domain."""
    with pytest.raises(InvalidArgument):
        gentest.Rows(columns)


def test_a_table_prints_as_code() -> None:
    """The repr makes the same table."""
    assert eval(repr(TABLE), {"Rows": gentest.Rows}) == TABLE
    assert repr(gentest.Rows(["a", "b"])) == "Rows(columns=['a', 'b'])"
