"""The record of a counterexample: its probe, its scores, and the coordinates, codes and words that matter in it.

The engine builds it once, and reports read it. Nothing here computes a figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from gentest._support.printable import short_repr
from gentest.errors import InvalidArgument
from gentest.results.records import Count, Share


@dataclass(frozen=True)
class CoordinateGroup:
    """A run of coordinates of a latent, written `3`, `0..7` or, in the part `z` of a space, `z[0..7]`."""

    part: str
    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> CoordinateGroup:
        """The group that a text names. Raises `InvalidArgument` for any other text."""
        match = re.fullmatch(r"(?:(.*)\[)?(\d{1,12})(?:\.\.(\d{1,12}))?\]?", text, re.ASCII | re.DOTALL)
        if match is None:
            raise InvalidArgument(f"{text!r} is not a group of coordinates")
        part, first, last = match.groups()
        return cls(part or "", int(first), int(last or first))

    def __str__(self) -> str:
        run = str(self.first) if self.first == self.last else f"{self.first}..{self.last}"
        return f"{self.part}[{run}]" if self.part else run


@dataclass(frozen=True)
class Moved:
    """How far an attack moved its counterexample away from a sample of the prior."""

    distance: float
    """As a share of the distance between independent samples: 0 is the sample, 1 is as far as any other."""
    groups: tuple[str, ...]
    """The coordinate groups that moved."""
    start: str
    """The string that replays the sample."""
    start_margin: float


@dataclass(frozen=True)
class FewerWords:
    """A text with fewer words than a counterexample's that fails as well. The prior does not have it."""

    part: str
    """The part of the space."""
    text: str
    """The counterexample's text."""
    fewer: str
    margin: float
    """Below 0."""


@dataclass(frozen=True)
class KeptCodes:
    """The positions that a counterexample needs, in a grid of codes; all others have the blank code."""

    part: str
    """The part of the space."""
    kept: Count
    """Positions that are not blank."""
    positions: Count
    """Positions of the grid."""
    blank: Count
    """The code of all others."""
    places: tuple[str, ...]
    """The first of the kept positions, as `[5, 7]`."""
    codes: tuple[int, ...]
    """The codes at these places."""

    def inconsistency(self) -> str:
        """Name counts or lists that cannot belong together."""
        if self.kept > self.positions:
            return f"{self.kept} of {self.positions} positions"
        return "" if len(self.places) == len(self.codes) <= self.kept else "its codes do not match its places"


@dataclass(frozen=True)
class Alike:
    """Outputs of a counterexample of which each two are nearer to each other than the property allows."""

    measure: str
    """The feature or distance, in whose units the distances are."""
    outputs: tuple[Count, ...]
    """The numbers of the outputs, counted from 0. The nearest two come first."""
    n: Count
    """Outputs of the probe."""
    nearest: float
    """The distance of the nearest two."""
    furthest: float
    """The largest distance of two of these outputs."""
    pairs: Count
    """Pairs that are too near, among all outputs of the probe."""

    def inconsistency(self) -> str:
        """Name outputs that the probe cannot have, or counts and distances that cannot belong together."""
        k = len(self.outputs)
        if k < 2 or len(set(self.outputs)) < k or max(self.outputs) >= self.n:
            return f"{list(self.outputs)} are not two or more of {self.n} outputs"
        if not k * (k - 1) // 2 <= self.pairs <= self.n * (self.n - 1) // 2:
            return f"{self.pairs} pairs cannot be too near, with {k} of {self.n} outputs alike"
        return "" if self.nearest <= self.furthest else f"distances from {self.nearest} to {self.furthest}"


@dataclass(frozen=True)
class Counterexample:
    """A probe that violates a property, evaluated alone in full precision."""

    probe: Mapping[str, Any]
    """The probe's JSON."""
    margin: float
    """Below 0."""
    scores: Mapping[str, tuple[float, ...]]
    """The scores of each attribute, in the order of the probe's outputs."""
    t: tuple[float, ...]
    """The place of each output along the probe."""
    groups: tuple[str, ...]
    """The coordinate groups that the far end changes, of `n_groups`."""
    n_groups: Count
    n_coordinates: Count
    """Coordinates of the latent."""
    typicality: Share | None
    """The quantile of the least typical latent under the prior; None if the prior cannot tell."""
    replay: str
    """The string that `--gentest-replay` and `Property.replay` take."""
    under: str = ""
    """The prior or radius under which the probe violates most, if the property has several."""
    moved: Moved | None = None
    """How far an attack moved it; None if no attack found it."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """The value of each discrete part of the space, by the part's name: a number, a text, True, False or None."""
    note: str = ""
    """Another explanation of the margin, such as values that are not finite."""
    entries: Mapping[str, int] = field(default_factory=dict)
    """The entry of each bank that a single latent is, counted from 0, by the name of its part."""
    fewer_words: FewerWords | None = None
    """A text with fewer words that fails as well, outside the prior: a remark on the minimal counterexample."""
    codes: tuple[KeptCodes, ...] = ()
    """The positions that matter in each grid of codes of the space."""
    coordinates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The value of each coordinate that matters, at a point, or the values at both ends of a path, by its group.

    Empty if more than three matter, if a group has several coordinates, or if no single number makes a coordinate.
    """
    reducible: bool = True
    """False if the property demands a change between latents.

    Its counterexamples keep all coordinates, so `groups` does not say which of them matter.
    """
    alike: Alike | None = None
    """The outputs that are nearly the same, if the property asks that no two of its outputs are."""

    def inconsistency(self) -> str:
        """Name choices, scores or groups that cannot be a probe's."""
        choices = self.probe.get("choices", [])
        if not isinstance(choices, (list, tuple)) or any(type(choice) is not int for choice in choices):
            return "its choices are not whole numbers"
        for name, value in self.choices.items():
            if not isinstance(value, (str, int, type(None))) and not (isinstance(value, float) and isfinite(value)):
                return f"the value of {name!r} is not a number, a text, True, False or None"
        if any(not 1 <= len(scores) <= len(self.t) for scores in self.scores.values()):
            return "its scores do not match its latents"
        if self.alike is not None and self.alike.n != len(self.t):
            return f"{self.alike.n} outputs were compared, and the probe has {len(self.t)} latents"
        if any(len(values) not in (1, 2) for values in self.coordinates.values()):
            return "a coordinate has neither one value nor one at each end"
        try:
            for group in (*self.groups, *(self.moved.groups if self.moved else ())):
                CoordinateGroup.parse(group)
        except InvalidArgument as error:
            return str(error)
        return ""


def shown_choice(name: str, value: object) -> str:
    """A choice by the name of its part, as `label=3` or `prompt='a red coat'`.

    >>> shown_choice("prompt", "a red coat"), shown_choice("", 3)
    ("prompt='a red coat'", 'choice 3')
    """
    if isinstance(value, int) and not name:
        return f"choice {value}"
    return f"{name}={short_repr(value)}" if name else short_repr(value)
