"""The properties whose number `gentest suggest` measures, one row each.

A margin is the property's number less a measured value, or for a floor the measured value less the number. So a margin
at any number gives the value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gentest.properties import paths, samples
from gentest.properties.definition import Definition


@dataclass(frozen=True)
class MeasuredProperty:
    """A property of an attribute or feature, whose number can be measured."""

    name: str
    make: Callable[..., Definition]
    """Called with the attribute or feature, and the number as `keyword`."""
    keyword: str
    measures: str
    """The value that the number bounds, in words."""
    test: str
    """The test function that its line belongs in; `{}` is the attribute's name."""
    floor: bool = False
    """True if the number is a least value rather than a largest one."""
    at: float | None = None
    """The number at which it is measured, far from any value; None if its units have a standard deviation."""
    takes_sd: bool = True
    """True if the number can be a `gentest.sd(x)`."""

    def define(self, measure: Any, number: float) -> Definition:
        """The property of an attribute or feature, with this number."""
        return self.make(measure, **{self.keyword: number})


ALONG_A_PATH = "test_{}_along_a_path"
ATTRIBUTES = (
    MeasuredProperty("between", paths.between, "tolerance", "leaves the range of its ends by", ALONG_A_PATH),
    MeasuredProperty("monotone", paths.monotone, "tolerance", "moves back by", ALONG_A_PATH),
)
DIFFERENCE, JUMPS = "test_latents_make_a_difference", "test_nothing_jumps"
FEATURES = (
    MeasuredProperty(
        "responsive",
        samples.responsive,
        "at_least",
        "distance of two samples",
        DIFFERENCE,
        floor=True,
        takes_sd=False,
    ),
    MeasuredProperty(
        "diverse",
        samples.diverse,
        "at_least",
        "nearest two of 16 samples",
        DIFFERENCE,
        floor=True,
        takes_sd=False,
    ),
    MeasuredProperty(
        "path_length", paths.path_length, "at_most", "length of a small step", JUMPS, at=0.0, takes_sd=False
    ),
    MeasuredProperty(
        "continuous",
        paths.continuous,
        "ratio",
        "longest step over mean step",
        JUMPS,
        at=7.999,  # a path of 9 points cannot exceed 8, so 8 is not a bound
        takes_sd=False,
    ),
    MeasuredProperty("continuous", paths.continuous, "tolerance", "longest of the 8 steps", JUMPS),
)
