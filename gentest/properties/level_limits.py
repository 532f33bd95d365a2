"""Levels: the mean score of an attribute is what it was when a checkpoint was blessed.

Its own module because it speaks of a checkpoint that is not there: neither of single samples nor of a pair.
"""

from __future__ import annotations

from dataclasses import dataclass

from gentest.attributes import Attribute
from gentest.attributes.attribute import describe
from gentest.errors import InvalidArgument
from gentest.properties.definition import (
    Measure,
    OfAll,
    StandardDeviations,
    Tolerance,
    check_callable,
    check_tolerance,
    non_defaults,
)
from gentest.results.level_claim import Allowed, LevelLimits


@dataclass(frozen=True)
class KeepsLevel(OfAll):
    """The statement of `level`: the mean of an attribute moved by less than its limits."""

    attribute: Attribute
    limits: LevelLimits


def level(attribute: Attribute, *, falls_by: Tolerance | None = None, rises_by: Tolerance | None = None) -> KeepsLevel:
    """The mean of an attribute has not fallen by `falls_by` > 0, nor risen by `rises_by` > 0, since the blessing.

    Each limit is in the attribute's own units or, with `gentest.sd(x)`, in standard deviations of the scores that the
    baseline keeps. At least one is needed; a side without one is free.

    A gate scores the candidate on the baseline's latents, and a sequential test of the differences stops at the first
    look that is certain, after every 8 latents: the level *held* if it is certified to have moved by less than its
    limits, and *regressed* if it is certified to have fallen, or risen, at all where that is limited. In between both
    are true, and the first with enough evidence decides. Each is wrong with a probability of at most 1 %; a regression
    at most that often among all claims of the gate. With a limit of half a standard deviation, an unchanged candidate
    takes 16 to 24 latents, and 56 if differences of single latents spread by 0.7 standard deviations. All levels share
    their images.

    Without a baseline there is nothing to compare with: the result is undecided, and the test warns.

    >>> import gentest
    >>> gentest.level(gentest.brightness(), falls_by=gentest.sd(0.5))
    level(brightness(), falls_by=sd(0.5))
    """
    check_callable("attribute", attribute)
    if falls_by is None and rises_by is None:
        raise InvalidArgument("level needs falls_by=, rises_by=, or both: how far the level may move")
    return KeepsLevel(
        "level",
        attribute,
        LevelLimits(describe(attribute), _allowed(falls_by, "falls_by"), _allowed(rises_by, "rises_by")),
        arguments=non_defaults(level, attribute=attribute, falls_by=falls_by, rises_by=rises_by),
        measures=(Measure(attribute, scalar=True),),
    )


def _allowed(by: Tolerance | None, name: str) -> Allowed | None:
    if by is None:
        return None
    tolerance = check_tolerance(by, name, positive=True)
    in_sd = isinstance(tolerance, StandardDeviations)
    return Allowed(tolerance.multiple if isinstance(tolerance, StandardDeviations) else tolerance, in_sd)
