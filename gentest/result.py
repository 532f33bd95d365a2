"""What was decided: frozen records, and their JSON. Written by the engine, read by reports; nothing here computes.

The JSON is versioned by `SCHEMA`.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from enum import Enum
from sys import float_info
from typing import Any

from gentest.errors import InvalidArgument

SCHEMA = 1


class Verdict(str, Enum):
    """What a check came to."""

    VIOLATED = "violated"
    """A counterexample was found and confirmed."""
    NO_COUNTEREXAMPLE = "no_counterexample"
    """Every probe that was tried holds; says nothing of how often it holds elsewhere."""
    ERROR = "error"
    """Nothing was decided: the generator, an attribute or the property itself failed."""


@dataclass(frozen=True)
class Margins:
    """The margins of the probes that a search looked at, in the property's units; >= 0 holds."""

    min: float
    median: float


@dataclass(frozen=True)
class Counterexample:
    """A probe that violates a property, evaluated alone in full precision.

    `probe` is the probe's JSON, `margin` is < 0. `scores` holds each attribute along the probe; `groups` the
    coordinates that its far end changes, of `n_coordinates`; `typicality` the quantile of the least typical latent
    under the prior, where the prior can tell. `replay` is a string that `--gentest-replay` and `Property.replay` take.
    """

    probe: Mapping[str, Any]
    margin: float
    scores: Mapping[str, tuple[float, ...]]
    t: tuple[float, ...]
    groups: tuple[str, ...]
    n_groups: int
    n_coordinates: int
    typicality: float | None
    replay: str


@dataclass(frozen=True)
class Result:
    """What checking one property on one generator came to.

    `examples` counts the distinct probes that the search looked at, `violations` those of them that violate;
    `images` and `generator_calls` count everything the generator made, pilots, confirmations and reduction included.
    """

    test: str
    property: str
    verdict: Verdict
    message: str = ""
    examples: int = 0
    violations: int = 0
    images: int = 0
    generator_calls: int = 0
    seconds: float = 0.0
    margin: Margins | None = None
    counterexample: Counterexample | None = None
    worst: Counterexample | None = None
    generator: str = ""
    replayed: bool = False
    traceback: str = field(default="", compare=False)

    @builtins.property
    def passed(self) -> bool:
        """Whether the property may be relied on as far as it was looked at."""
        return self.verdict is Verdict.NO_COUNTEREXAMPLE

    def to_json(self) -> dict[str, Any]:
        """A dictionary that `json.dumps` takes and `from_json` reads."""
        return {**asdict(self), "verdict": self.verdict.value}

    @classmethod
    def from_json(cls, value: object) -> Result:
        """The result of `to_json`. Raises `InvalidArgument` for anything else."""
        return cls(**_record(cls, value))


@dataclass(frozen=True)
class Session:
    """What a run was made with: enough to make it again."""

    checkpoint: str | None
    generator: str | None
    """The fingerprint of the generator under test; None where the tests looked at several."""
    clip: str | None
    device: str
    seed: int
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """A dictionary that `json.dumps` takes."""
        return asdict(self)


def document(session: Session, results: list[Result], *, version: str) -> dict[str, Any]:
    """The whole of a run as JSON: `--gentest-json FILE`."""
    return {
        "schema": SCHEMA,
        "gentest": version,
        "session": session.to_json(),
        "results": [result.to_json() for result in results],
    }


def _record(cls: type, value: object) -> dict[str, Any]:
    """The fields of a record, read from JSON: unknown and missing ones, and values of another type, are named."""
    if not isinstance(value, Mapping):
        raise InvalidArgument.expected(f"a JSON object for a {cls.__name__}", "value", value)
    known = {f.name: str(f.type) for f in fields(cls)}
    if unknown := sorted(repr(name) for name in value if name not in known):
        raise InvalidArgument(f"a {cls.__name__} has no field {', '.join(unknown)}")
    required = {f.name for f in fields(cls) if f.default is MISSING}
    if missing := sorted(required - set(value)):
        raise InvalidArgument(f"a {cls.__name__} needs {', '.join(map(repr, missing))}")
    return {name: _read(known[name], f"{cls.__name__}.{name}", item) for name, item in value.items()}


def _read(kind: str, name: str, value: object) -> Any:
    """A field's value of the type that its annotation says."""
    if kind.endswith(" | None"):
        return None if value is None else _read(kind.removesuffix(" | None"), name, value)
    if kind in _RECORDS:
        return _RECORDS[kind](**_record(_RECORDS[kind], value))
    if kind == "Verdict" and value in (known := [v.value for v in Verdict]):
        return Verdict(value)
    if kind == "Verdict":
        raise InvalidArgument.expected(f"one of {', '.join(known)}", "verdict", value)
    if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value)
    if kind in _PLAIN and type(value) is _PLAIN[kind]:
        return value
    if kind.startswith("tuple[") and isinstance(value, (list, tuple)):
        return tuple(_read(kind[len("tuple[") : -len(", ...]")], name, item) for item in value)
    if kind.startswith("Mapping[str, ") and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _read(kind[len("Mapping[str, ") : -1], name, item) for key, item in value.items()}
    if kind == "Any":
        return value
    raise InvalidArgument.expected({"float": "a finite number"}.get(kind, kind), name, value)


_LARGEST = float_info.max
_PLAIN: Mapping[str, type] = {"str": str, "int": int, "bool": bool}
_RECORDS: Mapping[str, type] = {"Margins": Margins, "Counterexample": Counterexample}
