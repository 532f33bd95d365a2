"""Whether an argument is the number that is wanted: of Python's numbers and NumPy's alike, and never a bool."""

from __future__ import annotations

from math import inf, nan
from numbers import Real


def is_whole(value: object, low: int, high: int | None = None) -> bool:
    """Whether a value is an int from `low` to `high`, which is included; of any size without one.

    >>> is_whole(3, 1), is_whole(3.0, 1), is_whole(True, 1), is_whole(3, 1, 2)
    (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high)


def as_number(value: object) -> float:
    """A real number as a float; NaN for anything else, which no check of a range lets pass.

    >>> as_number(3), as_number("3"), as_number(True)
    (3.0, nan, nan)
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        return nan
    try:
        return float(value)
    except OverflowError:
        return inf
