"""Attributes that see the condition: a score of an output and of the values that it was made from.

`attribute` names a callable, and says which parts of the space it sees. The engine gives it the values of the rows that
it measures, as the generator received them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from gentest.attributes.attribute import Named, describe
from gentest.errors import AttributeFailed, InvalidArgument

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


@dataclass(frozen=True, repr=False)
class NamedAttribute(Named):
    """The value of `attribute`."""

    function: Callable[..., Tensor]
    name: str
    sees: tuple[str, ...] = ()

    def given(self, values: Mapping[str, Any], options: Mapping[str, Sequence[Any]]) -> GivenAttribute:
        return GivenAttribute(self, values)

    def __call__(self, outputs: Tensor) -> Tensor:
        if self.sees:
            raise AttributeFailed(f"{self.name} sees {', '.join(self.sees)}, and gentest gives it outputs alone here")
        return self.function(outputs)

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False, eq=False)
class GivenAttribute(Named):
    """An attribute with the values of some outputs."""

    declared: NamedAttribute
    values: Mapping[str, Any]

    def __call__(self, outputs: Tensor) -> Tensor:
        return self.declared.function(outputs, **self.values)

    def __repr__(self) -> str:
        return repr(self.declared)


def attribute(function: Callable[..., Tensor], *, name: str | None = None, sees: Sequence[str] = ()) -> NamedAttribute:
    """An attribute of your own, which may see the condition: float outputs [B, ...] and values to scores [B].

    `name` is how reports call it, by default the function's name. `sees` names parts of the generator's space. gentest
    calls `function(outputs, prompt=...)` with one value of each part for each output: a tensor [B, *shape] for numbers,
    else a list of B values. Scores are in the function's own units and, like those of other attributes, are measured
    once and shared.

    Raises `InvalidArgument` for anything but a callable, and for names that are not texts. A check reports a part that
    the space does not have.

    >>> import gentest, torch
    >>> def redness(images, prompt):
    ...     wanted = torch.tensor(["red" in text for text in prompt])
    ...     return torch.where(wanted, 1.0, -1.0) * (images[:, 0] - images[:, 2]).mean((1, 2))
    >>> as_asked = gentest.attribute(redness, name="redness as asked", sees=["prompt"])
    >>> space = gentest.Joint(z=gentest.Normal(3), prompt=gentest.Prompts("a red coat", "a blue coat"))
    >>> def paint(z, prompt):
    ...     color = torch.tensor([[1.0, 0.0, 0.0] if "red" in text else [0.0, 0.0, 1.0] for text in prompt])
    ...     return color[:, :, None, None].expand(-1, 3, 2, 2)
    >>> g = gentest.Generator(paint, latent=space, output_range=(0, 1))
    >>> @gentest.property(probes=gentest.points())
    ... def is_as_asked(evidence):
    ...     return evidence.scores(as_asked)[:, 0] - 0.5
    >>> is_as_asked().check(g).verdict.value
    'no_counterexample'
    """
    if not callable(function) or isinstance(function, type):
        raise InvalidArgument.expected("a callable on outputs [B, ...]", "function", function)
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InvalidArgument.expected("a text", "name", name)
    names = () if isinstance(sees, str) else tuple(sees)
    if isinstance(sees, str) or not all(isinstance(one, str) for one in names):
        raise InvalidArgument.expected('names of parts of the space, such as ["prompt"]', "sees", sees)
    return NamedAttribute(function, name or describe(function), names)
