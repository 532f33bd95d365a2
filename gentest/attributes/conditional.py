"""Attributes that see the condition: a score of an output and of the values that it was made from.

An attribute says which parts of the space it sees. The engine gives it the values of the rows that it measures, as the
generator received them.

Its own module because the engine asks every measure whether it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

MOST_OPTIONS = 64
"""The largest number of a part's values that an attribute gets to know besides those of its outputs."""


@runtime_checkable
class Conditional(Protocol):
    """An attribute that is ready once it knows the values of some parts of the space."""

    @property
    def sees(self) -> tuple[str, ...]:
        """The names of the parts."""
        ...

    def given(self, values: Mapping[str, Any], options: Mapping[str, Sequence[Any]], /) -> Callable[[Tensor], Tensor]:
        """The attribute for outputs that were made from these values, [B] of each part: an attribute or `Readout`.

        `options` are all values of each part; empty if it has more than `MOST_OPTIONS`, or if they are not a list.
        """
        ...


def is_conditional(thing: object) -> TypeGuard[Conditional]:
    """True for a `Conditional`."""
    return hasattr(thing, "given") and hasattr(thing, "sees")
