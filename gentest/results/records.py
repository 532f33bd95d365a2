"""Records from JSON: `read_record` undoes `dataclasses.asdict`, and refuses everything else by name.

The annotation of a field gives the type and the range of its value, or the length of a text. A record that has a method
`inconsistency() -> str` checks what its fields must have in common: it returns what is wrong, or an empty text.
"""

from __future__ import annotations

import base64
import math
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from sys import float_info
from typing import Annotated, Any, get_args, get_origin

from gentest._support.printable import in_one_line
from gentest.errors import InvalidArgument

LARGEST = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
"""The largest float32."""
SMALLEST = struct.unpack("<f", b"\x01\x00\x00\x00")[0]
"""The smallest float32 above 0."""
LONGEST = 1_000_000
"""Characters of a text without a length of its own."""


@dataclass(frozen=True)
class Within:
    """The range of a number with both ends, or the number of characters of a text."""

    low: float
    high: float


Count = Annotated[int, Within(0, 2**53)]
Seed = Annotated[int, Within(0, 2**63 - 1)]
Share = Annotated[float, Within(0.0, 1.0)]
Confidence = Annotated[float, Within(0.0, 1.0 - 2.0**-52)]
Chance = Annotated[float, Within(5e-324, 1.0)]
"""A p-value. An exact test never gives 0."""
Wrong = Annotated[float, Within(1e-3, 0.5)]
"""A permitted probability of a wrong decision. The smaller it is, the more permutations it takes."""
Tolerance = Annotated[float, Within(1e-9, 1.0 - 1e-9)]
Spread = Annotated[float, Within(5e-324, float_info.max)]
Scale = Annotated[float, Within(2.0**-300, 2.0**300)]
"""A step between float32 numbers: its square is finite and not 0."""
Seconds = Annotated[float, Within(0.0, 1e12)]
Evidence = Annotated[float, Within(-700.0, float_info.max)]
"""A logarithm of odds. Its exponential and that of its negative are finite."""
Packed = Annotated[str, Within(0, 2**23)]
"""A text that `pack` wrote, with at most a million and a half numbers."""
_PLAIN: Mapping[str, type] = {"str": str, "int": int, "bool": bool}


def read_record(cls: type, value: object) -> Any:
    """The record of a class that `dataclasses.asdict` wrote. Raises `InvalidArgument` for anything else."""
    if not isinstance(value, Mapping):
        raise InvalidArgument.expected(f"a JSON object for a {cls.__name__}", "value", value)
    known = {f.name: str(f.type) for f in fields(cls)}
    if unknown := sorted(repr(name) for name in value if name not in known):
        raise InvalidArgument(f"a {cls.__name__} has no field {in_one_line(', '.join(unknown))}")
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - set(value)):
        raise InvalidArgument(f"a {cls.__name__} needs {', '.join(map(repr, missing))}")
    kinds = vars(sys.modules[cls.__module__])
    made = cls(**{name: _read(known[name], f"{cls.__name__}.{name}", item, kinds) for name, item in value.items()})
    if wrong := made.inconsistency() if hasattr(cls, "inconsistency") else "":
        raise InvalidArgument(f"a {cls.__name__}: {wrong}")
    return made


def _read(kind: str, name: str, value: object, kinds: Mapping[str, Any], *, longest: float = LONGEST) -> Any:
    """The value of a field whose annotation is `kind`; `kinds` are the names in the module of its class."""
    if kind.endswith(" | None"):
        return None if value is None else _read(kind.removesuffix(" | None"), name, value, kinds)
    named = kinds.get(kind)
    if get_origin(named) is Annotated:
        plain, within = get_args(named)
        return _within(within, name, _read(plain.__name__, name, value, kinds, longest=within.high))
    if isinstance(named, type) and is_dataclass(named):
        return read_record(named, value)
    if isinstance(named, type) and issubclass(named, Enum):
        known = [member.value for member in named]
        if value in known:
            return named(value)
        raise InvalidArgument.expected(f"one of {', '.join(known)}", kind.lower(), value)
    if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        if abs(value) <= float_info.max:
            return float(value)
        raise InvalidArgument.expected("a finite number", name, value)
    if kind == "str" and isinstance(value, str) and len(value) > longest:
        raise InvalidArgument(f"{name} has {len(value):,} characters; at most {longest:,.0f} are allowed")
    if kind in _PLAIN and type(value) is _PLAIN[kind]:
        return value
    if kind.startswith("tuple[") and isinstance(value, (list, tuple)):
        return tuple(_read(kind[len("tuple[") : -len(", ...]")], name, item, kinds) for item in value)
    if kind.startswith("Mapping[str, ") and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        of = kind[len("Mapping[str, ") : -1]
        return {_read("str", name, key, kinds): _read(of, name, item, kinds) for key, item in value.items()}
    if kind == "Any":
        return value
    raise InvalidArgument.expected({"float": "a finite number"}.get(kind, kind), name, value)


def _within(within: Within, name: str, value: Any) -> Any:
    if isinstance(value, str) or within.low <= value <= within.high:
        return value
    raise InvalidArgument.expected(f"a number from {within.low:g} to {within.high:g}", name, value)


def pack(values: Sequence[float]) -> str:
    """Numbers as one word: base64 of little-endian float32. Signs are kept, and nothing becomes infinite.

    >>> unpack(pack([0.5, -1e-60, 1e60]), "margins")[0]
    0.5
    >>> [value < 0 for value in unpack(pack([0.5, -1e-60, 1e60]), "margins")]
    [False, True, False]

    Raises `InvalidArgument` for NaN, which has no sign.
    """
    if any(math.isnan(v) for v in values):
        raise InvalidArgument("NaN cannot be kept")
    kept = [max(-LARGEST, min(LARGEST, min(v, -SMALLEST) if v < 0 else v)) for v in values]
    return base64.b64encode(struct.pack(f"<{len(kept)}f", *kept)).decode("ascii")


def unpack(text: str, name: str) -> tuple[float, ...]:
    """The numbers of `pack`. Raises `InvalidArgument`, which calls them `name`, for anything else."""
    try:
        raw = base64.b64decode(text, validate=True)
        values = struct.unpack(f"<{len(raw) // 4}f", raw)
    except (ValueError, struct.error) as error:
        raise InvalidArgument(f"{name} are not base64 of float32: {error}") from error
    if not all(abs(value) <= LARGEST for value in values):
        raise InvalidArgument(f"{name} are not all finite")
    return values


def applies(margin: float) -> bool:
    """True for the margin of a probe to which the property applies. `inf` says that it does not, packed or not.

    >>> applies(0.5), applies(math.inf), applies(unpack(pack([math.inf]), "margins")[0])
    (True, False, False)
    """
    return bool(margin < LARGEST)


def pack_bytes(values: bytes) -> str:
    """Bytes as one word: base64."""
    return base64.b64encode(values).decode("ascii")


def unpack_bytes(text: str, name: str) -> bytes:
    """The bytes of `pack_bytes`. Raises `InvalidArgument`, which calls them `name`, for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidArgument(f"{name} are not base64: {error}") from error
