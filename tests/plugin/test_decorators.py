"""Public properties: how they are written down, and when their arguments are checked."""

from __future__ import annotations

import pytest

import gentest
from tests.helpers import zoo


def test_it_is_written_as_it_was_declared() -> None:
    """Only what differs from the defaults is said."""
    assert str(gentest.path_length(at_most=1)) == "path_length(pixels(), at_most=1)"
    full = gentest.path_length(gentest.lpips("vgg", size=64), at_most=1, epsilon=1e-3, at="ends", straight=True)
    assert str(full) == "path_length(lpips('vgg', size=64), at_most=1, epsilon=0.001, at='ends', straight=True)"


level = gentest.brightness()


def test_a_negative_tolerance_is_kept_until_it_is_checked() -> None:
    """A wrong argument does not lose the file it is in: it is raised where the property is checked."""
    property = gentest.between(level, tolerance=-1)
    with pytest.raises(gentest.InvalidArgument, match=r"between: Expected a finite number >= 0 but got tolerance=-1"):
        property.check(zoo.generator(zoo.linear))
