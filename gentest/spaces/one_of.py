"""Conditions: values that a person wrote, such as prompts and guidance scales, as discrete parts of a space.

A latent of a condition is a code: which value each of its choices takes. Codes are what the engine draws, moves, keeps
and compares. Only the generator and a margin receive values. So evidence is an array whatever the values are, and a
latent stays a function of uniforms.

A code names a value by its place in a list. A digest of the value goes with it wherever a code is kept, so that a list
may grow or change its order, and a value that is gone is noticed.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import types
import warnings
from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from gentest._support.arguments import as_number
from gentest._support.printable import counted, short_repr
from gentest.errors import InvalidArgument
from gentest.spaces.space import Array, Choice, Fixed, Part, Shown, Slot

DIGEST = 8
"""Hexadecimal digits that tell a value from others: two of 100,000 share them with a probability of 2e-5."""
MAX_REPR = 160
"""The repr of a longer list shows its first values, its length, and a digest."""
MAX_SEARCHED = 20_000
"""Values among which near ones are looked for."""
N_NEAR = 3
INT64 = range(-(2**63), 2**63)


def shown_value(name: str, value: object) -> Shown:
    """A value as reports show it and as its digest knows it: itself if JSON has it, else its name.

    An object's name is its attribute `gentest_identity`, the name of a class, function or member of an enumeration, or
    its repr. Raises `InvalidArgument` for an object without one.
    """
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float) and not isfinite(value):
        raise InvalidArgument.expected("a finite number", name, value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(identity := getattr(value, "gentest_identity", None), str):
        return identity
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return f"{value.__module__}.{value.__qualname__}"
    hint = "give it a text as gentest_identity, or choose among names that the generator looks up"
    try:
        hash(value)
    except TypeError as error:
        raise InvalidArgument.expected("a value that is hashable", name, value, hint=hint) from error
    text = repr(value)
    if hasattr(value, "__array__") or " at 0x" in text:
        raise InvalidArgument.expected("a value whose repr says what it is", name, value, hint=hint)
    return text


def value_digest(shown: Shown) -> str:
    """The digest of a value, by the way it is shown.

    >>> value_digest("a red coat"), value_digest(5.0), value_digest("5.0")
    ('ac478f4b', 'a19a1584', 'e9f61fbc')
    """
    return hashlib.sha256(repr(shown).encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


@dataclass(frozen=True, init=False)
class ValueSlot(Slot):
    """A choice among values that somebody wrote: what each is called, and its probability."""

    shown: tuple[Shown, ...] = field(compare=False)
    digest: str
    """The digest of all values, without their weights."""

    def __init__(self, name: str, shown: Sequence[Shown], weights: Iterable[float] | None) -> None:
        if not shown:
            raise InvalidArgument(f"{name} has no values: give at least one")
        texts = list(map(repr, shown))
        if len(set(texts)) < len(texts):
            seen: set[str] = set()
            twice = next(text for text in texts if text in seen or seen.add(text))  # type: ignore[func-returns-value]
            raise InvalidArgument(f"{name} has the value {twice[:80]} twice: give each once, with weights if you like")
        whole = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
        super().__init__(_probabilities(name, len(shown), weights))
        object.__setattr__(self, "shown", tuple(shown))
        object.__setattr__(self, "digest", whole[:16])

    def __len__(self) -> int:
        return len(self.shown)

    @property
    def weighted(self) -> bool:
        """True if the values are not equally likely."""
        return len(set(self.probabilities)) > 1

    def listed(self) -> str:
        """The values as Python writes them, and weights that are not equal; of many, the first and a digest."""
        listed = ", ".join(map(repr, islice(self.shown, N_NEAR * 20)))
        weights = f"weights={self.probabilities}" if self.weighted and len(self) <= N_NEAR * 20 else ""
        if len(self) > N_NEAR * 20 or len(listed) + len(weights) > MAX_REPR:
            few = ", ".join(short_repr(value)[: MAX_REPR // N_NEAR] for value in self.shown[:N_NEAR])
            key = hashlib.sha256(f"{self.digest} {self.probabilities if self.weighted else ''}".encode())
            return f"{few}, ... {len(self):,} values, {key.hexdigest()[:16]}"
        return ", ".join(filter(None, [listed, weights]))

    def digest_of(self, code: int) -> str:
        return value_digest(self.shown[code])

    def located(self, name: str, code: int, digest: str) -> int:
        if not digest or (code < len(self) and self.digest_of(code) == digest):
            return code
        places = [at for at, shown in enumerate(self.shown) if value_digest(shown) == digest]
        if len(places) == 1:
            return places[0]
        now = f"; value {code} is {short_repr(self.shown[code])} now" if code < len(self) else ""
        raise InvalidArgument(f"the probe has a value of {name} that the space no longer has (digest {digest}){now}")


def _probabilities(name: str, n: int, weights: Iterable[float] | None) -> tuple[float, ...]:
    """The probabilities of n values, from weights >= 0 with a sum above 0; equal by default."""
    if weights is None:
        return (1.0 / n,) * n
    numbers = [as_number(w) for w in weights] if isinstance(weights, Iterable) else []
    if len(numbers) != n or not all(0.0 <= w < inf for w in numbers) or not 0.0 < sum(numbers) < inf:
        raise InvalidArgument.expected(f"{n} weights >= 0, not all 0, for {name}", "weights", weights)
    total = sum(numbers)
    return tuple(w / total for w in numbers)


class Condition(Choice):
    """A part whose latents are codes for values that somebody wrote; the generator receives the values."""

    @property
    @abstractmethod
    def slots(self) -> tuple[ValueSlot, ...]:
        """The values of each choice."""

    @abstractmethod
    def shown(self, option: Sequence[int]) -> Shown:
        """The value of a code, as reports show it."""

    @property
    def has_values(self) -> bool:
        return True

    @property
    def takes(self) -> Hashable:
        return tuple(values.digest for values in self.slots)


@dataclass(frozen=True, init=False)
class OneOf(Condition):
    """One of some values that a person wrote: texts, numbers, None, or any value that is hashable or has a name.

    The generator receives the values: float32 [B] for numbers, int64 [B] for whole ones, else a list of B values.
    `weights`, one for each value and >= 0, give the prior; by default all values are equally likely. A value of weight
    0 is never drawn. A search shrinks toward the first value, and paths leave the value as it is. Reports, errors and
    replay strings know the value, not its place: a list may grow.

    Raises `InvalidArgument` for no value, for one that is there twice, for one without a name (such as a list or a
    tensor: give it an attribute `gentest_identity`), and for other weights.

    >>> import gentest
    >>> gentest.Joint(latents=gentest.Normal((4, 8, 8)), guidance_scale=gentest.OneOf(3.0, 5.0, 7.5))
    Joint(latents=Normal((4, 8, 8)), guidance_scale=OneOf(3.0, 5.0, 7.5))
    """

    values: tuple[Any, ...] = field(compare=False)
    table: Array = field(compare=False)
    """The values as the generator receives them, [n]."""
    choice: ValueSlot

    def __init__(self, *values: Any, weights: Iterable[float] | None = None) -> None:
        kind = type(self).__name__
        plain = [value.item() if isinstance(value, np.generic) else value for value in values]
        if plain and all(isinstance(v, (int, float)) and not isinstance(v, (bool, Enum)) for v in plain):
            whole = all(isinstance(v, int) for v in plain)
            if whole and not all(v in INT64 for v in plain):
                raise InvalidArgument(f"{kind} has a whole number that 64 bits cannot hold: {short_repr(plain)}")
            plain = plain if whole else [float(v) for v in plain]
            table = np.array(plain, np.int64 if whole else np.float32)
        else:
            table = np.empty(len(plain), object)
            for at, value in enumerate(plain):
                table[at] = value
        shown = [shown_value(f"values[{at}]", value) for at, value in enumerate(plain)]
        choice = ValueSlot(kind, shown, weights)
        table.setflags(write=False)
        for name, value in (("values", tuple(plain)), ("table", table), ("choice", choice)):
            object.__setattr__(self, name, value)
        if all(value is name for value, name in zip(plain, shown, strict=True)):
            # names all that is in it, so that nobody reads 100,000 values for an identity
            object.__setattr__(self, "gentest_identity", f"{kind} {choice.digest} {choice.listed()}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.choice.listed()})"

    @property
    def slots(self) -> tuple[ValueSlot, ...]:
        return (self.choice,)

    def shown(self, option: Sequence[int]) -> Shown:
        return self.choice.shown[option[0]]

    def values_of(self, latents: Array) -> Array:
        return np.asarray(self.table[latents])

    def given(self, name: str, value: Any) -> Part:
        plain = value.item() if isinstance(value, np.generic) else value
        plain = float(plain) if self.table.dtype == np.float32 and not np.isnan(as_number(plain)) else plain
        wanted = repr(shown_value(name, plain))
        code = next((at for at, shown in enumerate(self.choice.shown) if repr(shown) == wanted), None)
        if code is None:
            near = ", ".join(map(short_repr, _near(plain, self.choice.shown)))
            what = f"one of the {len(self.choice):,} values in {type(self).__name__}, since the prior has no other"
            raise InvalidArgument.expected(what, name, value, hint=f"near ones are {near}" if near else "")
        return Fixed(self, np.array(code, np.int64))


def _near(value: object, among: Sequence[Shown]) -> list[Shown]:
    """Values near another one: texts that share most letters, the nearest numbers, else the first values."""
    if isinstance(value, str):
        texts = [text for text in islice(among, MAX_SEARCHED) if isinstance(text, str)]
        return list(difflib.get_close_matches(value, texts, n=N_NEAR, cutoff=0.3)) or list(texts[:N_NEAR])
    if not np.isnan(number := as_number(value)):
        numbers = [other for other in among if not np.isnan(as_number(other))]
        return sorted(numbers, key=lambda other: abs(as_number(other) - number))[:N_NEAR]
    return list(among[:N_NEAR])


class Prompts(OneOf):
    """One of some texts, each with at least one visible character: `OneOf` for prompts.

    >>> import gentest
    >>> gentest.Prompts("a red coat", "a blue hat")
    Prompts('a red coat', 'a blue hat')
    """

    def __init__(self, *prompts: str, weights: Iterable[float] | None = None) -> None:
        for at, prompt in enumerate(prompts):
            if not isinstance(prompt, str) or not prompt.strip():
                raise InvalidArgument.expected("a text that is not blank", f"prompts[{at}]", prompt)
        super().__init__(*prompts, weights=weights)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Prompts:
        """The prompts of a UTF-8 file, one a line, or of the column `Prompt` of a tab-separated file with a header.

        The second form is that of PartiPrompts (Yu et al. 2022, arXiv:2206.10789). Blanks around a prompt go. Empty
        lines are left out and a prompt that comes again counts once; one warning says how many. Raises
        `InvalidArgument`, which names the file, if it has no prompt or cannot be read.

        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "prompts.txt"
        >>> _ = file.write_text("a red coat\\na blue hat\\n", "utf-8")
        >>> Prompts.from_file(file)
        Prompts('a red coat', 'a blue hat')
        """
        try:
            lines = Path(path).read_text("utf-8-sig").split("\n")
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"{path}: not a file of prompts, one a line, in UTF-8 ({error})") from error
        lines = [line.rstrip("\r") for line in lines]
        while lines and not lines[-1].strip():
            lines.pop()
        rows = _prompt_column(path, lines) if lines and "\t" in lines[0] else [line.strip() for line in lines]
        prompts = list(dict.fromkeys(filter(None, rows)))
        if not prompts:
            raise InvalidArgument(f"{path}: no prompt in it; expected one a line")
        n_empty = sum(not row for row in rows)
        n_again = len(rows) - n_empty - len(prompts)
        again = counted(n_again, "prompt that comes again counts", "prompts that come again count")
        said = [f"{again} once"] if n_again else []
        said += [f"{counted(n_empty, 'empty line is', 'empty lines are')} left out"] if n_empty else []
        if said:
            warnings.warn(
                f"{path}: {', and '.join(said)}; {counted(len(prompts), 'prompt is', 'prompts are')} left",
                stacklevel=2,
            )
        return cls(*prompts)


def _prompt_column(path: object, lines: Sequence[str]) -> list[str]:
    """The column `Prompt` of a tab-separated table, whose first line has the names of the columns."""
    names = [name.strip().strip('"').lower() for name in lines[0].split("\t")]
    if names.count("prompt") != 1:
        raise InvalidArgument(
            f"{path}: the first line has tabs, so it should name the columns, one of them Prompt; "
            f"it names {', '.join(map(short_repr, names))}"
        )
    at = names.index("prompt")
    return [_unquoted(cells[at]) if at < len(cells := line.split("\t")) else "" for line in lines[1:]]


def _unquoted(cell: str) -> str:
    """A cell without the quotation marks that a spreadsheet puts around it."""
    cell = cell.strip()
    inner = cell[1:-1].replace('""', "")
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner
    return cell[1:-1].replace('""', '"').strip() if quoted else cell
