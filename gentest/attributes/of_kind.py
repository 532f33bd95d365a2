"""Measures that ask the kind of the outputs, and measures that name the place where an output is worst.

`valid` and `per_output` call a function of your own on each output as a person would write it: the text of tokens, the
dictionary of a row, a waveform without its padding. `column` is one column of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes.attribute import Named, describe
from gentest.errors import AttributeFailed, InvalidArgument, out_of_memory
from gentest.outputs import Kind, Rows

POSITIONS = ("pos", "offset")
"""The attributes in which exceptions of parsers keep a place in the text: JSON and regular expressions, syntax."""


@runtime_checkable
class OfKind(Protocol):
    """A measure that is ready once it knows the kind of the outputs."""

    def of_kind(self, kind: Kind, /) -> object:
        """The attribute or feature for outputs of a kind. Raises `AttributeFailed` for a kind that it does not take."""
        ...


@runtime_checkable
class Locating(Protocol):
    """An attribute that says where each output has its score."""

    def locate(self, outputs: Tensor, /) -> Tensor:
        """For outputs [B, ...] the first place and the one after the last, int64 [B, 2]; -1 for no place."""
        ...


def wrong_kind(measure: object, kind: Kind, wanted: str) -> AttributeFailed:
    """The error for a measure of another kind of output."""
    name, found = describe(measure), kind.plural
    return AttributeFailed(f"{name} measures {wanted}, and these outputs are {found}: {kind.instead}")


@dataclass(frozen=True, repr=False)
class PerOutput(Named):
    """The value of `valid` and `per_output`."""

    function: Callable[[Any], Any]
    name: str
    judges: bool
    """True if a score says whether the output is valid."""

    def of_kind(self, kind: Kind) -> BoundPerOutput:
        return BoundPerOutput(self, kind)

    def __call__(self, outputs: Tensor) -> Tensor:
        raise AttributeFailed(f"{self!r} needs the kind of the outputs, which a generator declares with outputs=")

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False, eq=False)
class BoundPerOutput(Named):
    """A function of single outputs, with their kind."""

    declared: PerOutput
    kind: Kind

    def __call__(self, outputs: Tensor) -> Tensor:
        scores = [self._score(item)[0] for item in self.kind.items(outputs)]
        return torch.tensor(scores, dtype=torch.float32, device=outputs.device)

    def locate(self, outputs: Tensor) -> Tensor:
        """The place that the exception of a parser names, as `json.JSONDecodeError.pos` does."""
        places = [self._score(item)[1] for item in self.kind.items(outputs)]
        return torch.tensor([(at, at + 1) if at >= 0 else (-1, -1) for at in places])

    def _score(self, item: Any) -> tuple[float, int]:
        """The score of one output, and the place that an exception names, or -1."""
        try:
            value = self.declared.function(item)
        except Exception as error:
            if not self.declared.judges or out_of_memory(error):
                raise
            return 0.0, _position(error)
        if self.declared.judges:
            return (0.0 if value is None or value is False else 1.0), -1
        try:
            return float(value), -1
        except (TypeError, ValueError) as error:
            raise AttributeFailed(f"{self!r} gave {value!r} for {item!r}; expected a number") from error

    def __repr__(self) -> str:
        return repr(self.declared)


def _position(error: Exception) -> int:
    """The place in a text at which a parser failed, from 0; -1 if its exception does not say."""
    for name in POSITIONS:
        place = getattr(error, name, None)
        if isinstance(place, int) and place >= 0:
            return max(0, place - 1) if isinstance(error, SyntaxError) else place
    return -1


def valid(check: Callable[[Any], Any], *, name: str | None = None) -> PerOutput:
    """1 for each output that is valid and 0 for each that is not, [B].

    `check` gets one output as a person would write it: the text of tokens (or their ids if nothing shows them), the
    dictionary of a row, a waveform [C, T] without padding, any other output as a tensor. An output is invalid if
    `check` returns False or None, or raises an exception, as a parser does. Reports mark the place that a parser's
    exception names. `name` is how reports call it. Raises `InvalidArgument` for anything but a callable.

    >>> import gentest, json, torch
    >>> tokens = gentest.Tokens(text=True, longest=16)
    >>> lists = lambda z: ["[1, 2" + ("]" if v > -3 else "") for v in z[:, 0].tolist()]
    >>> g = gentest.Generator(lists, latent=gentest.Normal(1), outputs=tokens)
    >>> gentest.limits(gentest.valid(json.loads), at_least=1).check(g).verdict.value
    'violated'
    """
    return PerOutput(_checked(check, "check"), _named(check, name, "valid"), judges=True)


def per_output(function: Callable[[Any], Any], *, name: str | None = None) -> PerOutput:
    """A score [B] from a function of one output as a person would write it, as `valid` passes it: a number or a bool.

    Raises `InvalidArgument` for anything but a callable.

    >>> import gentest, torch
    >>> tokens = gentest.Tokens(text=True, longest=16)
    >>> spell = lambda z: ["C" * (1 + int(abs(v))) for v in z[:, 0].tolist()]
    >>> g = gentest.Generator(spell, latent=gentest.Normal(1), outputs=tokens)
    >>> gentest.limits(gentest.per_output(len, name="length"), at_most=9).check(g).verdict.value
    'no_counterexample'
    """
    return PerOutput(_checked(function, "function"), _named(function, name, "per_output"), judges=False)


def _checked(function: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    if not callable(function) or isinstance(function, type):
        raise InvalidArgument.expected("a callable on one output", name, function)
    return function


def _named(function: Callable[[Any], Any], name: str | None, word: str) -> str:
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InvalidArgument.expected("a text", "name", name)
    return name or f"{word}({describe(function)})"


@dataclass(frozen=True, repr=False)
class OfColumn(Named):
    """The value of `column`."""

    name: str

    def of_kind(self, kind: Kind) -> BoundColumn:
        if not isinstance(kind, Rows):
            raise wrong_kind(self, kind, "rows of a table")
        names = [column.name for column in kind.columns]
        if self.name not in names:
            raise AttributeFailed(f"{self!r} is none of the columns: {', '.join(map(repr, names))}")
        return BoundColumn(self, kind, names.index(self.name))

    def __call__(self, outputs: Tensor) -> Tensor:
        raise AttributeFailed(f"{self!r} needs outputs=gentest.Rows(columns=...)")

    def __repr__(self) -> str:
        return f"column({self.name!r})"


@dataclass(frozen=True, repr=False)
class BoundColumn(Named):
    """A column of a table, by its place."""

    declared: OfColumn
    kind: Rows
    at: int

    def __call__(self, outputs: Tensor) -> Tensor:
        return self.kind.in_units(outputs)[:, self.at].float()

    def locate(self, outputs: Tensor) -> Tensor:
        """The column."""
        return torch.tensor([(self.at, self.at + 1)] * len(outputs))

    def __repr__(self) -> str:
        return repr(self.declared)


def column(name: str) -> OfColumn:
    """One column [B] of rows of a table, in its own units; of a list of values, the place of the value.

    A check reports a column that the table does not have. Raises `InvalidArgument` for anything but a name.

    >>> import gentest, torch
    >>> g = gentest.Generator(lambda z: z * 10, latent=gentest.Normal(2), outputs=gentest.Rows(["width", "depth"]))
    >>> gentest.limits(gentest.column("width"), at_most=100).check(g).verdict.value
    'no_counterexample'
    """
    if not isinstance(name, str) or not name:
        raise InvalidArgument.expected("the name of a column", "name", name)
    return OfColumn(name)


def no_places(n: int) -> Tensor:
    """`Locating.locate` for n outputs without a place."""
    return torch.full((n, 2), -1)


def run_places(is_bad: Tensor) -> Tensor:
    """The longest run of True in each row [B, T], as places [B, 2]; -1 in a row without one.

    >>> run_places(torch.tensor([[False, True, True, False], [False] * 4])).tolist()
    [[1, 3], [-1, -1]]
    """
    places = []
    for row in is_bad.cpu():
        edges = F.pad(row.int(), (1, 1)).diff()
        starts, stops = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
        if len(starts):
            longest = int((stops - starts).argmax())
            places.append((int(starts[longest]), int(stops[longest])))
        else:
            places.append((-1, -1))
    return torch.tensor(places)
