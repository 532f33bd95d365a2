"""A probe that violates a property, as a result has it: passive records, in the lowest layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gentest.results.records import Count, Share

GROUP = re.compile(r"(?:.*\[)?\d{1,12}(?:\.\.\d{1,12})?\]?", re.ASCII | re.DOTALL)
"""A group of coordinates as a space calls it: `3`, `0..7`, and of a part `z[0..7]`."""


@dataclass(frozen=True)
class Moved:
    """How far from a sample of the prior an attack's counterexample lies.

    `distance` is a share of how far independent samples lie apart: 0 is the sample, 1 as far as any other. `groups` are
    the coordinates that were moved. `start` replays the sample, which has the margin `start_margin`.
    """

    distance: float
    groups: tuple[str, ...]
    start: str
    start_margin: float


@dataclass(frozen=True)
class Counterexample:
    """A probe that violates a property, evaluated alone in full precision.

    `probe` is the probe's JSON, `margin` is < 0. `scores` holds each attribute along the probe; `groups` the
    coordinates that its far end changes, of `n_coordinates`; `typicality` the quantile of the least typical latent
    under the prior, where the prior can tell. `replay` is a string that `--gentest-replay` and `Property.replay` take.
    """

    probe: Mapping[str, Any]
    margin: float
    scores: Mapping[str, tuple[float, ...]]
    t: tuple[float, ...]
    groups: tuple[str, ...]
    n_groups: Count
    n_coordinates: Count
    typicality: Share | None
    replay: str
    under: str = ""
    """Under which prior, or at which radius, it violates most, where a property looks at several."""
    moved: Moved | None = None
    """How far an attack moved it, where one did."""
    choices: Mapping[str, int] = field(default_factory=dict)
    """The value of each discrete part of the space, by the part's name."""
    note: str = ""
    """What else explains the margin: values that are not finite, one entry of a bank drawn twice."""

    def misfit(self) -> str:
        """Scores that are not along the probe, groups that are no coordinates, choices that are none."""
        choices = self.probe.get("choices", [])
        if not isinstance(choices, (list, tuple)) or any(type(choice) is not int for choice in choices):
            return "its choices are no whole numbers"
        if any(not 1 <= len(scores) <= len(self.t) for scores in self.scores.values()):
            return "its scores are not those of its latents"
        wrong = [
            group for group in (*self.groups, *(self.moved.groups if self.moved else ())) if not GROUP.fullmatch(group)
        ]
        return f"{wrong[0]!r} is no group of coordinates" if wrong else ""
