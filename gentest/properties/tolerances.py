"""How much a property lets pass: a number in the attribute's units, or a multiple of its spread under the prior."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from sys import float_info
from typing import Any, TypeAlias

from gentest._support.arguments import number_word
from gentest.errors import InvalidArgument


@dataclass(frozen=True)
class StandardDeviations:
    """`multiple` standard deviations of an attribute under the prior, measured on a fixed seeded pilot."""

    multiple: float

    def __repr__(self) -> str:
        return f"sd({number_word(self.multiple)})"


Tolerance: TypeAlias = float | StandardDeviations


def sd(multiple: float) -> StandardDeviations:
    """A tolerance of `multiple` standard deviations of the attribute under the generator's prior.

    The spread is measured once a generator and attribute, on 256 latents from a fixed seed, and rounded to four
    figures, so that it is a stated number.

    >>> sd(2)
    sd(2)
    """
    return StandardDeviations(check_number("multiple", multiple))


def check_number(name: str, value: Any, *, positive: bool = False) -> float:
    """A finite number >= 0 (> 0 where it must be positive), checked."""
    number = isinstance(value, (int, float, Real)) and not isinstance(value, bool)
    good = number and 0 <= value <= float_info.max
    if not good or (positive and value == 0):
        raise InvalidArgument.expected(f"a finite number {'> 0' if positive else '>= 0'}", name, value)
    return float(value)


def check_tolerance(value: object) -> Tolerance:
    """A tolerance, checked: a finite number >= 0 or `gentest.sd(x)`."""
    if isinstance(value, StandardDeviations):
        return value
    return check_number("tolerance", value)
