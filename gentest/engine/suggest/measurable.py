"""Properties that have a number to be measured: the table of what `gentest suggest` suggests.

One more property is one more row. Its margin is its number less what is measured (or, of a floor, what is measured less
its number), so that a margin at any number gives what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gentest.properties import outputs, paths
from gentest.properties.definition import Definition


@dataclass(frozen=True)
class Template:
    """A property that has a number to be measured: how it is made, and what its number bounds."""

    name: str
    keyword: str
    define: Callable[[Any, float], Definition]
    """The property of an attribute or feature, at a number."""
    measures: str
    """What the number bounds, in words."""
    test: str
    """The test function that its line belongs in; `{}` is a name of the attribute."""
    floor: bool = False
    """Whether the number is a least value, and not a largest one."""
    at: float | None = None
    """At which number it is measured, far from any that occurs; None where its units have a standard deviation."""
    takes_sd: bool = True
    """Whether the number may be a `gentest.sd(x)`."""


ATTRIBUTES = (
    Template(
        "between",
        "tolerance",
        lambda a, x: paths.between(a, tolerance=x),
        "leaves the range of its ends by",
        "test_{}_along_a_path",
    ),
    Template(
        "monotone",
        "tolerance",
        lambda a, x: paths.monotone(a, tolerance=x),
        "moves back by",
        "test_{}_along_a_path",
    ),
)
FEATURES = (
    Template(
        "responsive",
        "at_least",
        lambda f, x: outputs.responsive(f, at_least=x),
        "distance of two samples",
        "test_latents_make_a_difference",
        floor=True,
        takes_sd=False,
    ),
    Template(
        "diverse",
        "at_least",
        lambda f, x: outputs.diverse(f, at_least=x),
        "nearest two of 16 samples",
        "test_latents_make_a_difference",
        floor=True,
        takes_sd=False,
    ),
    Template(
        "path_length",
        "at_most",
        lambda f, x: paths.path_length(f, at_most=x),
        "length of a small step",
        "test_nothing_jumps",
        at=0.0,
        takes_sd=False,
    ),
    Template(
        "continuous",
        "ratio",
        lambda f, x: paths.continuous(f, ratio=x),
        "longest step over mean step",
        "test_nothing_jumps",
        at=7.999,  # no path of 9 points is above 8, which is no bound any more
        takes_sd=False,
    ),
    Template(
        "continuous",
        "tolerance",
        lambda f, x: paths.continuous(f, tolerance=x),
        "longest of the 8 steps",
        "test_nothing_jumps",
    ),
)
