"""Words about one counterexample: the outputs that are alike, and the coordinates, codes and words that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gentest.report import numbers
from gentest.results.counterexample import (
    Alike,
    CoordinateGroup,
    Counterexample,
    FewerWords,
    KeptCodes,
    Moved,
    shown_choice,
)
from gentest.results.result import Search

MAX_RUNS = 8
"""Runs of coordinates that are listed."""
MAX_ALIKE = 12
"""Outputs that are listed as alike."""


@dataclass(frozen=True)
class Detail:
    """A word, and what there is to say about it: a sentence, and rows of a table under it.

    An empty word continues the detail before.
    """

    word: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def alike(found: Alike) -> str:
    """The outputs that are alike by their numbers, counted from 1, and how near they are.

    >>> alike(Alike("pixels()", (0, 7, 9), 16, nearest=0.0, furthest=0.0, pairs=3))
    'outputs 1, 8 and 10 of 16: distance 0 in pixels()'
    >>> alike(Alike("pixels()", (9, 7, 0), 16, nearest=0.001, furthest=0.0121, pairs=5))
    'outputs 8 and 10 of 16: distance 0.001 in pixels(); 1 is within 0.0121 of them; 5 of 120 pairs are too near'
    """
    n, k = found.n, len(found.outputs)
    nearest, furthest = numbers.above(found.nearest, 3), numbers.above(found.furthest, 3)
    same = k == 2 or nearest == furthest
    first = _listed(found.outputs if same else found.outputs[:2])
    first = f"{'both' if n == 2 else f'all {n}'} outputs" if same and k == n else f"outputs {first} of {n}"
    text = f"{first}: distance {nearest} in {found.measure}"
    if not same:
        text += f"; {_listed(found.outputs[2:])} {'is' if k == 3 else 'are'} within {furthest} of them"
    if found.pairs > k * (k - 1) // 2:
        text += f"; {found.pairs:,} of {n * (n - 1) // 2:,} pairs are too near"
    return text


def named(output: str, *, is_alike: bool) -> str:
    """The name of an output as a page has it, marked if it is one of those that are alike."""
    return f"{output} alike" if is_alike else output


def _listed(outputs: Sequence[int]) -> str:
    """Outputs by their numbers, counted from 1; of many, the first few.

    >>> _listed([0]), _listed([9, 2])
    ('1', '3 and 10')
    """
    more = len(outputs) - MAX_ALIKE
    shown = [str(output + 1) for output in sorted(outputs)[:MAX_ALIKE]] + ([f"{more} more"] if more > 0 else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def fewer_words(found: FewerWords) -> str:
    """The text that fails with fewer words, and that it is no counterexample."""
    return (
        f"{shown_choice(found.part, found.fewer)} fails as well, with margin {found.margin:.4g}; the prior does not "
        "have this text, so it is a hint and no counterexample"
    )


def matters(counterexample: Counterexample, search: Search) -> list[Detail]:
    """The coordinates that matter: those that the far end still changes, or that an attack moved.

    If the property demands a change between latents, all coordinates change, and that says nothing.
    """
    grids = [grid for grid in counterexample.codes if counterexample.reducible or grid.kept < grid.positions]
    return [*_coordinates_that_matter(counterexample, search), *map(_codes, grids)]


def _codes(grid: KeptCodes) -> Detail:
    """The positions of a grid of codes that matter, with their codes."""
    name = f" of {grid.part}" if grid.part else ""
    if grid.kept == grid.positions:
        return Detail("changes", f"all {grid.positions:,} codes{name}")
    if not grid.kept:
        return Detail("matters", f"no position{name}: a grid of the code {grid.blank} alone fails as well")
    listed = ", ".join(f"{place} with code {code}" for place, code in zip(grid.places, grid.codes, strict=True))
    more = f" and {grid.kept - len(grid.places):,} more" if grid.kept > len(grid.places) else ""
    word = "position" if grid.kept == 1 else "positions"
    rest = f"{grid.kept:,} of {grid.positions:,}, all others have code {grid.blank}"
    return Detail("matters", f"{word} {listed}{more}{name} ({rest})")


def _coordinates_that_matter(counterexample: Counterexample, search: Search) -> list[Detail]:
    if counterexample.moved is not None:
        return _moved(counterexample.moved, counterexample)
    whole_entries = len(counterexample.groups) == counterexample.n_groups == len(counterexample.entries)
    if counterexample.n_groups == 0 or whole_entries:
        return []
    if not counterexample.groups:
        return [Detail("matters", "no coordinate: " + _failing_without(search))]
    if len(counterexample.groups) == counterexample.n_groups:
        changes = Detail("changes", f"all {counterexample.n_coordinates} coordinates of the latent")
        return [changes] if counterexample.reducible else []
    return [Detail("matters", _coordinates(counterexample.groups, counterexample))]


def _failing_without(search: Search) -> str:
    """The remark that a probe fails without its coordinates, and how many probes of the search fail."""
    n = search.examples if search.applied is None else search.applied
    counted = f" ({search.violations:,} of {n:,} probes fail)" if search.violations and n > 1 else ""
    return f"the sample that stands for left-out coordinates fails as well{counted}"


def _moved(moved: Moved, counterexample: Counterexample) -> list[Detail]:
    """How far an attack went from a sample, in which coordinates, and how to replay that sample."""
    way = f"{moved.distance:.2g} of the way to an unrelated sample"
    return [
        Detail("moved", f"{way}, in {_coordinates(moved.groups, counterexample)}"),
        Detail("from", f"{moved.start}, a sample of margin {moved.start_margin:.4g}"),
    ]


def _coordinates(groups: Sequence[str], counterexample: Counterexample) -> str:
    """Coordinates by their numbers, and among how many; with groups if each has several coordinates."""
    if len(groups) == counterexample.n_groups:
        return f"all {counterexample.n_coordinates} coordinates"
    values, n = counterexample.coordinates, counterexample.n_coordinates
    named = all(group in values for group in groups)
    runs = [f"{group} {_at_ends(values[group])}" for group in groups] if named else _runs(groups)
    listed = runs[:MAX_RUNS] + ([f"{len(runs) - MAX_RUNS} more runs"] if len(runs) > MAX_RUNS else [])
    names = " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
    word = "coordinate" if len(groups) == 1 and counterexample.n_groups == n else "coordinates"
    grouped = "" if counterexample.n_groups == n else f", in {len(groups)} of {counterexample.n_groups} groups"
    return f"{word} {names} alone, of {n:,} counted from 0{grouped}"


def _at_ends(values: Sequence[float]) -> str:
    """The value of a coordinate at a point, or at both ends of a path.

    >>> _at_ends([2.3129]), _at_ends([-0.5, 1.25])
    ('= 2.31', 'from -0.5 to 1.25')
    """
    return f"= {values[0]:.3g}" if len(values) == 1 else f"from {values[0]:.3g} to {values[-1]:.3g}"


def _runs(groups: Sequence[str]) -> list[str]:
    """Coordinate groups, with adjoining ones joined into one.

    >>> _runs(["0..7", "8..15", "z[3]", "z[4]", "z[9]"])
    ['0..15', 'z[3..4]', 'z[9]']
    """
    runs: list[CoordinateGroup] = []
    for group in map(CoordinateGroup.parse, groups):
        if runs and runs[-1].part == group.part and runs[-1].last == group.first - 1:
            runs[-1] = CoordinateGroup(group.part, runs[-1].first, group.last)
        else:
            runs.append(group)
    return list(map(str, runs))
