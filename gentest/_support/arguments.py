"""Checks of numbers given as arguments, for Python's and NumPy's numbers alike; a bool is never a number.

Its own module because every room checks arguments, and some of them may load the standard library only.
"""

from __future__ import annotations

from math import inf, nan
from numbers import Real


def is_whole(value: object, low: int, high: int | None = None) -> bool:
    """True for an int from `low` to `high` (included); without `high`, of any size.

    >>> is_whole(3, 1), is_whole(3.0, 1), is_whole(True, 1), is_whole(3, 1, 2)
    (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high)


def as_number(value: object) -> float:
    """A real number as a float; NaN for anything else, so that every range check rejects it.

    >>> as_number(3), as_number("3"), as_number(True)
    (3.0, nan, nan)
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        return nan
    try:
        return float(value)
    except OverflowError:
        return inf
