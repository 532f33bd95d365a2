"""Templates: texts with slots, each slot a choice of its own, as one part of a space."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gentest._support.printable import format_number, short_repr
from gentest.errors import InvalidArgument
from gentest.spaces.one_of import Condition, OneOf, ValueSlot
from gentest.spaces.space import Array, Fixed, Part

CLOSING = tuple(",.;:!?)")
"""Signs that follow a word without a space."""
N_EXAMPLES = 3


class _Piece(NamedTuple):
    """A text, and the number of the slot that follows it; None at the end."""

    text: str
    slot: int | None


@dataclass(frozen=True, init=False)
class Template(Condition):
    """A text with slots in braces, each filled by one of its values: int64 [N, slots]; the generator gets B texts.

    Each slot is a choice of its own. A value is a text or a number, and None leaves the slot out, with one of the
    spaces around it. Values of a slot are equally likely; a `OneOf` in place of the list has weights. A search shrinks
    each slot toward its first value, and a slot that may be left out toward nothing: so None comes first, wherever the
    list has it. Braces in the text itself are doubled.

    Raises `InvalidArgument` for a text without a slot, a slot without values, and values without a slot.

    >>> import gentest
    >>> prompt = gentest.Template("a {colour} {thing}", colour=[None, "red", "blue"], thing=["coat", "hat"])
    >>> [prompt.shown(option) for option in prompt.options()][:4]
    ['a coat', 'a hat', 'a red coat', 'a red hat']
    """

    text: str
    names: tuple[str, ...]
    values: tuple[ValueSlot, ...]
    pieces: tuple[_Piece, ...] = field(compare=False)
    texts: tuple[tuple[str, ...], ...] = field(compare=False)
    """The text of each value of each slot."""

    def __init__(self, text: str, /, **slots: Any) -> None:
        if not isinstance(text, str):
            raise InvalidArgument.expected("a text with slots, such as 'a {colour} coat'", "text", text)
        names, pieces = _parsed(text)
        if not names:
            raise InvalidArgument(f"the template {short_repr(text)} has no slot such as {{colour}}; OneOf takes texts")
        if extra := [name for name in slots if name not in names]:
            known = ", ".join(f"{{{name}}}" for name in names)
            raise InvalidArgument(f"the template {short_repr(text)} has no slot {{{extra[0]}}}; it has {known}")
        if missing := [name for name in names if name not in slots]:
            raise InvalidArgument(
                f"the slot {{{missing[0]}}} of the template {short_repr(text)} has no values: say {missing[0]}=[...]"
            )
        chosen = [_values(name, slots[name]) for name in names]
        texts = tuple(tuple("" if v is None else str(v) for v in values.shown) for values in chosen)
        fields = {"text": text, "names": names, "values": tuple(chosen), "pieces": pieces, "texts": texts}
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "gentest_identity", repr(self))

    def __repr__(self) -> str:
        slots = [f"{name}=[{values.listed()}]" for name, values in zip(self.names, self.values, strict=True)]
        return f"Template({self.text!r}, {', '.join(slots)})"

    @property
    def slots(self) -> tuple[ValueSlot, ...]:
        return self.values

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (len(self.names),)

    def shown(self, option: Sequence[int]) -> str:
        return _filled(self.pieces, [texts[code] for texts, code in zip(self.texts, option, strict=True)])

    def values_of(self, latents: Array) -> Array:
        rows = latents.reshape(-1, len(self.names)).tolist()
        values = np.empty(len(rows), object)
        for at, row in enumerate(rows):
            values[at] = self.shown(row)
        return values.reshape(latents.shape[:-1])

    def given(self, name: str, value: Any) -> Part:
        if isinstance(value, str) and (option := next(self._options_of(value), None)) is not None:
            return Fixed(self, np.array(option, np.int64))
        examples = ", ".join(short_repr(self.shown(option)) for option in self._first_options())
        what = f"a text that the template {short_repr(self.text)} can give"
        raise InvalidArgument.expected(what, name, value, hint=f"it gives {examples}")

    def _first_options(self) -> list[tuple[int, ...]]:
        """The first value of every slot, and the same with another value of one slot."""
        first = tuple(slot.support[0] for slot in self.slots)
        others = [
            (*first[:k], slot.support[1], *first[k + 1 :]) for k, slot in enumerate(self.slots) if len(slot.support) > 1
        ]
        return [first, *others][:N_EXAMPLES]

    def _options_of(self, text: str) -> Iterator[tuple[int, ...]]:
        """The options that give a text, found slot by slot; a beginning that the text does not have is dropped."""
        order = list(dict.fromkeys(piece.slot for piece in self.pieces if piece.slot is not None))

        def extended(codes: dict[int, int]) -> Iterator[tuple[int, ...]]:
            if len(codes) == len(order):
                option = tuple(codes[k] for k in range(len(order)))
                if self.shown(option) == text:
                    yield option
                return
            slot = order[len(codes)]
            for code in range(len(self.texts[slot])):
                fixed = {**codes, slot: code}
                if text.startswith(self._beginning(fixed).rstrip()):
                    yield from extended(fixed)

        return extended({})

    def _beginning(self, codes: Mapping[int, int]) -> str:
        """The text up to the first slot without a code."""
        known = next((at for at, piece in enumerate(self.pieces) if piece.slot not in codes), len(self.pieces))
        chosen = [self.texts[k][codes[k]] if k in codes else "" for k in range(len(self.texts))]
        return _filled(self.pieces[:known], chosen)


def _filled(pieces: Sequence[_Piece], chosen: Sequence[str]) -> str:
    """The text with each slot filled. One that is left out takes a space beside it along.

    >>> _filled([_Piece("a ", 0), _Piece(" coat ", 1), _Piece(", new", None)], ["", ""])
    'a coat, new'
    """
    text, left_out = "", False
    for literal, slot in pieces:
        if left_out and literal:
            if literal.lstrip().startswith(CLOSING):
                text, literal = text.rstrip(), literal.lstrip()
            elif not text or text[-1].isspace():
                literal = literal.lstrip()
        text += literal
        if slot is not None:
            text += chosen[slot]
            left_out = not chosen[slot]
    return text.rstrip() if left_out else text


def _parsed(text: str) -> tuple[tuple[str, ...], tuple[_Piece, ...]]:
    """The names of a template's slots, in the order of the text, and its pieces."""
    names: list[str] = []
    pieces = []
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise InvalidArgument(f"the template {short_repr(text)}: {error}; double a brace that is meant") from error
    for literal, name, spec, conversion in parsed:
        if name is None:
            pieces.append(_Piece(literal, None))
            continue
        if not name.isidentifier() or spec or conversion:
            shown = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"
            raise InvalidArgument(f"the template {short_repr(text)} has {shown}: a slot is a plain name, as {{colour}}")
        names += [] if name in names else [name]
        pieces.append(_Piece(literal, names.index(name)))
    return tuple(names), tuple(pieces)


def _values(name: str, given: Any) -> ValueSlot:
    """The values of a slot as texts, or None; None first."""
    weights: list[float] | None = None
    if isinstance(given, OneOf):
        values = list(given.values)
        weights = list(given.choice.probabilities) if given.choice.weighted else None
    elif isinstance(given, (list, tuple)):
        values = list(given)
    else:
        raise InvalidArgument.expected("a list of values, or a gentest.OneOf", name, given)
    for at, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
            raise InvalidArgument.expected("a text, a number or None", f"{name}[{at}]", value)
    texts = [_text(value) or None for value in values]
    order = sorted(range(len(texts)), key=lambda at: texts[at] is not None)
    ordered = None if weights is None else [weights[at] for at in order]
    return ValueSlot(f"the slot {{{name}}}", [texts[at] for at in order], ordered)


def _text(value: str | float | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return str(value) if isinstance(value, int) else format_number(value)
