"""Numbers as arguments: whether one is what is wanted, of Python's and NumPy's alike and never a bool; and as text."""

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


def number_word(value: float) -> str:
    """A number in as few figures as tell it from every other: what a text that has to be of this value alone says.

    >>> number_word(3.0), number_word(0.1), number_word(0.1234567)
    ('3', '0.1', '0.1234567')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
