"""What was decided: frozen records, and their JSON. Written by the engine, read by reports; nothing here computes.

The JSON is versioned by `SCHEMA`; a file of another schema is refused with one clear line.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from enum import Enum
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
    tolerance: str = ""
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
        record = _record(cls, value)
        try:
            record["verdict"] = Verdict(record["verdict"])
        except (KeyError, ValueError) as error:
            known = ", ".join(v.value for v in Verdict)
            raise InvalidArgument.expected(f"one of {known}", "verdict", record.get("verdict")) from error
        if record.get("margin") is not None:
            record["margin"] = Margins(**_record(Margins, record["margin"]))
        for name in ("counterexample", "worst"):
            if record.get(name) is not None:
                found = _record(Counterexample, record[name])
                found["scores"] = {key: tuple(scores) for key, scores in found["scores"].items()}
                found |= {key: tuple(found[key]) for key in ("t", "groups")}
                record[name] = Counterexample(**found)
        return cls(**record)


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
    """The fields of a record, from JSON: unknown and missing ones are named."""
    if not isinstance(value, Mapping):
        raise InvalidArgument.expected(f"a JSON object for a {cls.__name__}", "value", value)
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(value) - known):
        raise InvalidArgument(f"a {cls.__name__} has no field {', '.join(map(repr, unknown))}")
    required = {f.name for f in fields(cls) if f.default is MISSING}
    if missing := sorted(required - set(value)):
        raise InvalidArgument(f"a {cls.__name__} needs {', '.join(map(repr, missing))}")
    return dict(value)
