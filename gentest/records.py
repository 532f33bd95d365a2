"""Frozen records and their JSON: a dataclass becomes a dictionary, and only what it wrote becomes one again.

A field is read as its annotation says; unknown and missing fields, and values of another type, are named.
"""

from __future__ import annotations

import base64
import math
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from sys import float_info
from typing import Any

from gentest.errors import InvalidArgument

LARGEST = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
"""The largest float32."""
SMALLEST = struct.unpack("<f", b"\x01\x00\x00\x00")[0]
"""The smallest float32 above 0."""
_PLAIN: Mapping[str, type] = {"str": str, "int": int, "bool": bool}


def read_record(cls: type, value: object) -> Any:
    """The record of a class that `dataclasses.asdict` wrote. Raises `InvalidArgument` for anything else."""
    if not isinstance(value, Mapping):
        raise InvalidArgument.expected(f"a JSON object for a {cls.__name__}", "value", value)
    known = {f.name: str(f.type) for f in fields(cls)}
    if unknown := sorted(repr(name) for name in value if name not in known):
        raise InvalidArgument(f"a {cls.__name__} has no field {', '.join(unknown)}")
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - set(value)):
        raise InvalidArgument(f"a {cls.__name__} needs {', '.join(map(repr, missing))}")
    kinds = vars(sys.modules[cls.__module__])
    return cls(**{name: _read(known[name], f"{cls.__name__}.{name}", item, kinds) for name, item in value.items()})


def _read(kind: str, name: str, value: object, kinds: Mapping[str, Any]) -> Any:
    """A field's value of the type that its annotation says; `kinds` are the names of the module that says it."""
    if kind.endswith(" | None"):
        return None if value is None else _read(kind.removesuffix(" | None"), name, value, kinds)
    named = kinds.get(kind)
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
    if kind in _PLAIN and type(value) is _PLAIN[kind]:
        return value
    if kind.startswith("tuple[") and isinstance(value, (list, tuple)):
        return tuple(_read(kind[len("tuple[") : -len(", ...]")], name, item, kinds) for item in value)
    if kind.startswith("Mapping[str, ") and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _read(kind[len("Mapping[str, ") : -1], name, item, kinds) for key, item in value.items()}
    if kind == "Any":
        return value
    raise InvalidArgument.expected({"float": "a finite number"}.get(kind, kind), name, value)


def pack(values: Sequence[float]) -> str:
    """Numbers as one word: base64 of little-endian float32. None changes its sign, and none becomes infinite.

    >>> unpack(pack([0.5, -1e-60, 1e60]), "margins")[0]
    0.5
    >>> [value < 0 for value in unpack(pack([0.5, -1e-60, 1e60]), "margins")]
    [False, True, False]

    Raises `InvalidArgument` for NaN, which has no sign.
    """
    if any(math.isnan(v) for v in values):
        raise InvalidArgument("NaN is no number to keep")
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


def pack_bytes(values: bytes) -> str:
    """Bytes as one word: base64."""
    return base64.b64encode(values).decode("ascii")


def unpack_bytes(text: str, name: str) -> bytes:
    """The bytes of `pack_bytes`. Raises `InvalidArgument`, which calls them `name`, for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidArgument(f"{name} are not base64: {error}") from error
