"""Words about one counterexample: what matters in it, and which of its outputs are alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gentest.report.within_counterexample import alike, matters
from gentest.results.counterexample import Alike, Counterexample, KeptCodes
from gentest.results.result import Search


@pytest.mark.parametrize(
    ("grid", "text"),
    [
        (
            KeptCodes("", 1, 256, 0, ("[5, 7]",), (917,)),
            "position [5, 7] with code 917 (1 of 256, all others have code 0)",
        ),
        (
            KeptCodes("a", 20, 256, 3, ("[0]", "[1]"), (9, 3)),
            "positions [0] with code 9, [1] with code 3 and 18 more of a (20 of 256, all others have code 3)",
        ),
        (KeptCodes("a", 0, 256, 3, (), ()), "no position of a: a grid of the code 3 alone fails as well"),
        (KeptCodes("", 4, 4, 3, ("[0]",), (1,)), "all 4 codes"),
    ],
)
def test_positions_of_a_grid_that_matter_are_named(grid: KeptCodes, text: str) -> None:
    found = Counterexample({}, -1.0, {}, (0.0,), (), 0, 0, None, "p:1", codes=(grid,))
    assert [detail.text for detail in matters(found, Search())] == [text]


def test_coordinates_say_nothing_where_a_change_is_demanded() -> None:
    """Such a property keeps all coordinates and codes, and no line says that they matter. A user's own mask is told."""
    grid = KeptCodes("", 4, 4, 3, ("[0]",), (1,))
    every = tuple(map(str, range(16)))
    found = Counterexample({}, -1.0, {}, (0.0, 1.0), every, 16, 16, None, "p:1", codes=(grid,))
    assert [detail.word for detail in matters(found, Search())] == ["changes", "changes"]
    assert matters(replace(found, reducible=False), Search()) == []
    masked = replace(found, reducible=False, groups=("2",))
    assert [detail.text for detail in matters(masked, Search())] == ["coordinate 2 alone, of 16 counted from 0"]


@pytest.mark.parametrize(
    ("groups", "n_groups", "n_coordinates", "text"),
    [
        (("2",), 6, 6, "coordinate 2 alone, of 6 counted from 0"),
        (("z[3]",), 6, 6, "coordinate z[3] alone, of 6 counted from 0"),
        (("0", "1", "4"), 6, 6, "coordinates 0..1 and 4 alone, of 6 counted from 0"),
        (("0..1",), 64, 128, "coordinates 0..1 alone, of 128 counted from 0, in 1 of 64 groups"),
        (("0", "2", "4"), 64, 64, "coordinates 0, 2 and 4 alone, of 64 counted from 0"),
        (
            tuple(str(i) for i in range(0, 20, 2)),
            64,
            64,
            "coordinates 0, 2, 4, 6, 8, 10, 12, 14 and 2 more runs alone, of 64 counted from 0",
        ),
    ],
)
def test_coordinates_that_matter_read_as_numbers_and_not_as_a_count(
    groups: tuple[str, ...], n_groups: int, n_coordinates: int, text: str
) -> None:
    found = Counterexample({}, -1.0, {}, (0.0,), groups, n_groups, n_coordinates, None, "p:1")
    assert [(detail.word, detail.text) for detail in matters(found, Search())] == [("matters", text)]


@pytest.mark.parametrize(
    ("coordinates", "text"),
    [
        ({"z[0]": (2.3129,)}, "coordinate z[0] = 2.31 alone, of 12 counted from 0"),
        ({"2": (-0.25, 1.0)}, "coordinate 2 from -0.25 to 1 alone, of 12 counted from 0"),
        (
            {"0": (0.5,), "1": (-3.0,), "4": (1e-5,)},
            "coordinates 0 = 0.5, 1 = -3 and 4 = 1e-05 alone, of 12 counted from 0",
        ),
    ],
)
def test_coordinates_have_their_values(coordinates: dict[str, tuple[float, ...]], text: str) -> None:
    """At a point each has one value, along a path one at each end. Earlier results have none."""
    found = Counterexample({}, -1.0, {}, (0.0,), tuple(coordinates), 12, 12, None, "p:1", coordinates=coordinates)
    assert [detail.text for detail in matters(found, Search())] == [text]


@pytest.mark.parametrize(
    ("search", "counted"),
    [
        (Search(300, violations=57), " (57 of 300 probes fail)"),
        (Search(1_000, violations=57, applied=400), " (57 of 400 probes fail)"),
        (Search(1, violations=1), ""),
        (Search(300), ""),
    ],
)
def test_a_failure_without_coordinates_says_how_many_probes_fail(search: Search, counted: str) -> None:
    """The search has no count of failures if an attack, a replay or the rate's probes gave the counterexample."""
    found = Counterexample({}, -1.0, {}, (0.0,), (), 6, 6, None, "p:1")
    text = f"no coordinate: the sample that stands for left-out coordinates fails as well{counted}"
    assert [(detail.word, detail.text) for detail in matters(found, search)] == [("matters", text)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Alike("pixels()", (0, 1), 2, 0.0, 0.0, 1), "both outputs: distance 0 in pixels()"),
        (Alike("lpips()", (2, 15), 16, 0.01234, 0.01234, 1), "outputs 3 and 16 of 16: distance 0.0124 in lpips()"),
        (Alike("pixels()", (0, 7, 9), 16, 0.0, 0.0, 3), "outputs 1, 8 and 10 of 16: distance 0 in pixels()"),
        (Alike("pixels()", tuple(range(16)), 16, 0.0, 0.0, 120), "all 16 outputs: distance 0 in pixels()"),
        (
            Alike("pixels()", (9, 7, 0, 3), 16, 1e-7, 0.0121, 6),
            "outputs 8 and 10 of 16: distance 1e-07 in pixels(); 1 and 4 are within 0.0121 of them",
        ),
        (
            Alike("pixels()", tuple(range(20)), 64, 0.0, 0.0, 300),
            "outputs 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more of 64: distance 0 in pixels(); "
            "300 of 2,016 pairs are too near",
        ),
    ],
)
def test_outputs_that_are_alike_are_named(found: Alike, said: str) -> None:
    """By their numbers, with a distance that is never rounded down."""
    assert found.inconsistency() == ""
    assert alike(found) == said
