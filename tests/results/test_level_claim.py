"""Records of a level: limits in either unit, and the difference that they are about."""

from __future__ import annotations

import pytest

from gentest.errors import InvalidArgument
from gentest.results.level_claim import Allowed, LevelClaim, LevelLimits
from gentest.results.records import read_record


def test_a_limit_is_a_distance_in_the_attributes_units() -> None:
    """Standard deviations are the baseline's."""
    assert (Allowed(2.0, in_sd=True).of(0.25), Allowed(2.0, in_sd=False).of(0.25)) == (0.5, 2.0)


def test_limits_that_limit_nothing_are_refused() -> None:
    """A file that says so was not written by gentest."""
    known = {"attribute": "brightness()", "falls_by": {"by": 0.5, "in_sd": True}, "rises_by": None}
    assert read_record(LevelLimits, known) == LevelLimits("brightness()", Allowed(0.5, in_sd=True))
    with pytest.raises(InvalidArgument, match="nothing limits the level of brightness"):
        read_record(LevelLimits, {**known, "falls_by": None})


def test_a_level_that_is_compared_with_nothing_has_no_difference() -> None:
    """Else it is the candidate's less the baseline's."""
    alone = LevelClaim("brightness()", 0.5, 16, 0.1, 0.05, None)
    assert alone.difference == 0.0
    against = LevelClaim("brightness()", 0.5, 16, 0.1, 0.05, None, stored=64, reference=0.6)
    assert against.difference == pytest.approx(-0.1)
