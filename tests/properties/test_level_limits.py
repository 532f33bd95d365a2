"""`level` declares limits of an attribute's mean; what it makes of them is tested with the engine."""

from __future__ import annotations

import pytest

import gentest
from gentest.errors import InvalidArgument
from gentest.properties import level_limits
from gentest.results.level_claim import Allowed


def test_limits_are_in_units_or_standard_deviations() -> None:
    """A side without a limit is free, and the property prints what it was given."""
    keeps = level_limits.level(gentest.brightness(), falls_by=gentest.sd(0.5), rises_by=0.02)
    assert str(keeps) == "level(brightness(), falls_by=sd(0.5), rises_by=0.02)"
    assert keeps.limits.attribute == "brightness()"
    assert (keeps.limits.falls_by, keeps.limits.rises_by) == (Allowed(0.5, in_sd=True), Allowed(0.02, in_sd=False))
    assert level_limits.level(gentest.brightness(), rises_by=0.1).limits.falls_by is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs falls_by=, rises_by=, or both"),
        ({"falls_by": 0.0}, "falls_by=0.0"),
        ({"rises_by": -1}, "rises_by=-1"),
        ({"rises_by": gentest.sd(0)}, "rises_by=sd"),
        ({"falls_by": "little"}, "falls_by='little'"),
    ],
)
def test_wrong_limits_are_named(arguments: dict[str, object], words: str) -> None:
    """In one line, when the property is checked."""
    with pytest.raises(InvalidArgument, match=words):
        level_limits.level(gentest.brightness(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="call it first"):
        level_limits.level(gentest.brightness, falls_by=0.1)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="it has no rate"):
        _ = gentest.level(gentest.brightness(), falls_by=0.1).at_rate(0.9).definition
