"""Rows of a table: named columns, each with a domain of its own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from gentest._support.arguments import as_number
from gentest.errors import InvalidArgument, WrongOutputs
from gentest.outputs.kind import Kind
from gentest.outputs.returned import Range, Sizes, read_values

NEARLY_WHOLE = 1e-3
"""A number may be this far from a whole one, beside the rounding of float32."""
FLOAT32 = 1e-6
"""The rounding of float32, as a share of a column's domain."""


@dataclass(frozen=True)
class Column:
    """A column of a table and its domain: an interval, whole numbers of it, or a list of values."""

    name: str
    low: float = 0.0
    high: float = 1.0
    whole: bool = False
    values: tuple[Any, ...] = ()
    bounded: bool = True

    @classmethod
    def of(cls, name: object, domain: object) -> Column:
        """The column that a user declares. Raises `InvalidArgument`."""
        if not isinstance(name, str) or not name:
            raise InvalidArgument.expected("the name of a column", "columns", name)
        if isinstance(domain, range) and len(domain) > 1 and domain.step == 1:
            return cls(name, float(domain.start), float(domain.stop - 1), whole=True)
        if isinstance(domain, tuple) and len(domain) == 2:
            low, high = (as_number(end) for end in domain)
            if isfinite(low) and isfinite(high) and low < high:
                return cls(name, low, high)
        if isinstance(domain, (list, set, frozenset)) and len(set(domain)) == len(domain) > 0:
            values = tuple(domain)
            return cls(name, 0.0, float(max(len(values) - 1, 1)), whole=True, values=values)
        what = "an interval (low, high), whole numbers range(low, high + 1), or a list of different values"
        raise InvalidArgument.expected(what, f"columns[{name!r}]", domain)

    @property
    def domain(self) -> str:
        """The domain in words."""
        if self.values:
            return f"one of {', '.join(map(repr, self.values[:6]))}{', ...' if len(self.values) > 6 else ''}"
        numbers = "a whole number from" if self.whole else "from"
        return f"{numbers} {self.low:g} to {self.high:g}"

    @property
    def code(self) -> str:
        """The domain in Python."""
        if self.values:
            return repr(list(self.values))
        return f"range({self.low:g}, {self.high + 1:g})" if self.whole else f"({self.low:g}, {self.high:g})"

    def read(self, values: Any, n: int) -> Tensor:
        """The column [n] of a table, 0 at the low end of its domain and 1 at the high end. Raises `WrongOutputs`."""
        entries = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
        if entries.shape not in ((n,), (n, 1)):
            raise WrongOutputs(
                f"the generator returned {list(entries.shape)} values of column {self.name!r}; expected {n}"
            )
        entries = entries.reshape(n)
        if entries.dtype.kind in "OUS":
            places = {value: place for place, value in enumerate(self.values)}
            entries = np.array([places.get(_plain(entry), self._as_number(entry)) for entry in entries], np.float64)
        return torch.from_numpy(entries.astype(np.float64))

    def _as_number(self, entry: object) -> float:
        """An entry that is none of the values: -1 if they are values, NaN for a missing number."""
        if self.values:
            return -1.0
        if entry is None:
            return float("nan")
        try:
            return float(entry)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise WrongOutputs(
                f"the generator returned {entry!r} in column {self.name!r}: "
                f'say outputs=gentest.Rows(columns={{"{self.name}": [...]}}), with the list of its values'
            ) from error

    def own(self, number: float) -> Any:
        """A number of the column as a user wrote it: a value of the list, a whole number, or a float."""
        if not self.values:
            is_whole = self.whole and abs(number - round(number)) <= NEARLY_WHOLE
            return round(number) if is_whole and isfinite(number) else float(f"{number:.7g}")
        at = round(number) if isfinite(number) else -1
        return self.values[at] if 0 <= at < len(self.values) else None


@dataclass(frozen=True, init=False, repr=False)
class Rows(Kind):
    """Rows of a table [B, F], one column after the other.

    `columns` are the names of the columns, or each name with its domain: an interval `(low, high)`, whole numbers
    `range(low, high + 1)`, or a list of values, `["red", "blue"]`. f returns an array [B, F], in which a value of a
    list is its place; a data frame; a mapping of names to columns [B]; or a list of B mappings.

    With domains outputs are mapped to [0, 1], each column from the low end of its domain to the high end, so that
    columns of all scales count alike. A value outside its domain is a fault of `well_formed`, which names the column.
    Without domains values keep their units. `gentest.column(name)` is a column in its units, and `gentest.valid(check)`
    checks rows as dictionaries. Raises `InvalidArgument` for a wrong name or domain.

    >>> import gentest, torch
    >>> table = gentest.Rows(columns={"age": range(0, 121), "income": (0, 1e6), "smokes": ["no", "yes"]})
    >>> person = lambda z: {"age": [30] * len(z), "income": 5e5 + z[:, 0], "smokes": ["yes"] * len(z)}
    >>> g = gentest.Generator(person, latent=gentest.Normal(1), outputs=table)
    >>> g.outputs({"": torch.zeros(1, 1)})
    tensor([[0.2500, 0.5000, 1.0000]])
    """

    columns: tuple[Column, ...]
    is_read: bool
    """True for outputs that were read before, which are mapped already."""

    plural: ClassVar[str] = "rows of a table"
    instead: ClassVar[str] = "use gentest.column(name) or gentest.valid(check), or pass a callable on rows [B, F]"
    place_axis: ClassVar[int | None] = 0
    has_domains: ClassVar[bool] = True
    is_exact: ClassVar[bool] = True
    blank_is_wrong: ClassVar[bool] = False

    def __init__(self, columns: Mapping[str, Any] | Sequence[str]) -> None:
        if isinstance(columns, Mapping):
            read = tuple(Column.of(name, domain) for name, domain in columns.items())
        elif isinstance(columns, (list, tuple)) and all(isinstance(name, str) and name for name in columns):
            read = tuple(Column(name, bounded=False) for name in columns)
        else:
            read = ()
        if not read or len({column.name for column in read}) < len(read):
            what = 'different names of columns, or their domains by name, such as {"age": range(0, 121)}'
            raise InvalidArgument.expected(what, "columns", columns)
        object.__setattr__(self, "columns", read)
        object.__setattr__(self, "is_read", False)

    def __repr__(self) -> str:
        if self.is_bounded:
            return f"Rows(columns={{{', '.join(f'{column.name!r}: {column.code}' for column in self.columns)}}})"
        return f"Rows(columns={[column.name for column in self.columns]})"

    @property
    def is_bounded(self) -> bool:
        """Whether columns have domains."""
        return self.columns[0].bounded

    @property
    def key(self) -> Hashable:
        return f"{self!r}{' read' if self.is_read else ''}"

    @property
    def as_read(self) -> Kind:
        other = Rows([column.name for column in self.columns])
        object.__setattr__(other, "columns", self.columns)
        object.__setattr__(other, "is_read", True)
        return other

    def limits(self, output_range: Range) -> Range:
        return (0.0, 1.0) if self.is_bounded else None

    def read(self, raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
        if self.is_read and isinstance(raw, Tensor):
            return raw.to(torch.float32)
        if output_range is not None:
            raise WrongOutputs("columns have a range each: say outputs=gentest.Rows(columns={name: (low, high)})")
        table = _columns_in(raw)
        if table is None:
            values = read_values(raw, n, sizes).values
            if values.ndim != 2 or values.shape[1] != len(self.columns):
                raise WrongOutputs(
                    f"the generator returned shape {tuple(values.shape)} for latents {sizes}; expected "
                    f"[{n}, {len(self.columns)}], a number for each column"
                )
            table = {column.name: values[:, at] for at, column in enumerate(self.columns)}
        if missing := [column.name for column in self.columns if column.name not in table]:
            raise WrongOutputs(f"the generator returned the columns {list(table)}, and none is called {missing[0]!r}")
        numbers = torch.stack([column.read(table[column.name], n) for column in self.columns], 1)  # [n, F]
        if self.is_bounded:
            low, width = self._ends(numbers)
            numbers = (numbers - low) / width
        return numbers.to(torch.float32)

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The low end and the width of each column's domain, [F] each."""
        low = like.new_tensor([column.low for column in self.columns])
        return low, like.new_tensor([column.high for column in self.columns]) - low

    def in_units(self, outputs: Tensor) -> Tensor:
        """Outputs [n, F] as they were read, in the units of their columns, float64."""
        if not self.is_bounded:
            return outputs.double()
        low, width = self._ends(outputs.double())
        return low + width * outputs.double()

    def excess(self, outputs: Tensor, limits: Range) -> Tensor:
        outside = super().excess(outputs, limits)
        if limits is None:
            return outside
        numbers = self.in_units(outputs)
        _, width = self._ends(numbers)
        whole = torch.tensor([column.whole for column in self.columns], device=outputs.device)
        nearly = NEARLY_WHOLE + FLOAT32 * width
        wrong = whole & (((numbers - numbers.round()).abs() > nearly) | (outside * width > nearly))
        return torch.where(wrong, outside.clamp(min=1.0), outside)

    def out_of_range(self, worst: Tensor, output_range: Range) -> str:
        row = worst.reshape(-1, len(self.columns))[0]
        at = int(self.excess(row[None], (0.0, 1.0))[0].argmax())
        place = self.place(row, at, at + 1)
        return f"returned {place}; correct the model, or the domain in gentest.Rows(columns=...)"

    def items(self, outputs: Tensor) -> list[Any]:
        """Each row as a dictionary of its columns; a value that is none of a list's is None."""
        return [
            {column.name: column.own(number) for column, number in zip(self.columns, row, strict=True)}
            for row in self.in_units(outputs).tolist()
        ]

    def place(self, output: Tensor, start: int, stop: int) -> str:
        """The columns with their values, and the domain of one that is outside it.

        >>> Rows(columns={"age": range(0, 121)}).place(torch.tensor([1.5]), 0, 1)
        "column 'age' = 180, which is not a whole number from 0 to 120"
        """
        row, wrong = self.items(output[None])[0], self.excess(output[None], self.limits(None))[0] > FLOAT32
        words = []
        for at in range(start, stop):
            column = self.columns[at]
            outside = f", which is not {column.domain}" if bool(wrong[at]) else ""
            words.append(f"column {column.name!r} = {row[column.name]!r}{outside}")
        return "; ".join(words)


def _plain(entry: Any) -> Any:
    """An entry as Python has it, as a key of a dictionary; None if it is none."""
    entry = entry.item() if isinstance(entry, np.generic) else entry
    return entry if isinstance(entry, Hashable) else None


def _columns_in(raw: object) -> Mapping[str, Any] | None:
    """The columns of a data frame, a mapping, or a list of mappings, by name; None for anything else."""
    if isinstance(raw, Mapping):
        return {str(name): values for name, values in raw.items()}
    if hasattr(raw, "columns") and hasattr(raw, "to_dict"):  # a data frame
        return {str(name): values for name, values in raw.to_dict("list").items()}
    if isinstance(raw, (list, tuple)) and raw and all(isinstance(row, Mapping) for row in raw):
        names = list(raw[0])
        if any(set(row) != set(names) for row in raw):
            raise WrongOutputs(f"the generator returned rows of different columns; the first has {names}")
        return {str(name): [row[name] for row in raw] for name in names}
    return None
