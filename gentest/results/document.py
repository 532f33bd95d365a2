"""The results of a whole run as one JSON document, versioned by `SCHEMA`: the file of `--gentest-json`."""

from __future__ import annotations

import builtins
import json
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from importlib import metadata
from math import log
from pathlib import Path
from typing import Any

from gentest._support.files import write_whole
from gentest.errors import InvalidArgument
from gentest.results.comparison import Comparison, Terms
from gentest.results.outcome import Outcome, Verdict
from gentest.results.records import Count, Seed, Share, read_record
from gentest.results.result import Result, plain
from gentest.results.settings import OnUndecided

SCHEMA = 3
FLAT_SCHEMA = 2
"""The schema of gentest 0.1: a result without groups. It is still read."""
MAKING = ("torch", "numpy", "diffusers", "onnxruntime", "onnxruntime-gpu")
"""Distributions whose version may change a generator's outputs."""
MAX_CHECKPOINTS = 1_000
"""Checkpoints of one run: a comparison goes over each of them."""


def installed_versions(*distributions: str) -> dict[str, str]:
    """The version of Python and of each distribution, by name. Raises `PackageNotFoundError`."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in distributions}}


def making_versions() -> dict[str, str]:
    """The versions of Python and of what may compute outputs, as far as it is installed, by name."""
    found = {"python": platform.python_version()}
    for name in MAKING:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@dataclass(frozen=True)
class Session:
    """The checkpoint, seed, device and versions of a run: enough to make it again."""

    checkpoint: str | None
    generator: str | None
    """The fingerprint of the generator under test; None if the tests used several."""
    clip: str | None
    device: str
    seed: Seed
    versions: Mapping[str, str]
    checkpoints: tuple[str, ...] = ()
    """The names of the checkpoints of a run of several."""
    command: str = ""
    """The command that checks the same again, without options that only write files; empty in files of gentest 0.1.

    pytest's, or `gentest check MODEL`.
    """
    digests: Mapping[str, str] = field(default_factory=dict)
    """The digest of each checkpoint's file or folder, by name, in a run with outcomes or with a baseline."""
    selects: bool = False
    """True if the command line selects some of the tests."""

    @property
    def checks_a_model(self) -> bool:
        """True if `gentest check` made the run: its tests are laws, which pytest does not know."""
        return self.command.startswith("gentest check ")

    def inconsistency(self) -> str:
        """Refuse more checkpoints than a run may have."""
        n = len(self.checkpoints)
        return "" if n <= MAX_CHECKPOINTS else f"{n:,} checkpoints; a run has at most {MAX_CHECKPOINTS:,}"


@dataclass(frozen=True)
class Family:
    """How sure the statistical verdicts of a run are together: those on rates, priors, distributions and levels."""

    verdicts: Count
    each: Share
    """The largest probability with which one of them is wrong."""
    any_wrong: Share
    """The largest probability that any of them is wrong: the sum (Boole's inequality)."""
    checkpoints: Count = 1
    """Checkpoints that are judged on the same probes."""
    chosen_wrong: Share = 0.0
    """The largest probability that a verdict on a checkpoint is wrong if it was chosen by these verdicts."""

    @classmethod
    def of(cls, results: Sequence[Result]) -> Family | None:
        """The family of some results; None if none of them is statistical.

        A rate is one verdict, and so are a distribution, a level and an estimate. A comparison of priors is another,
        and a radius two: one by rays, one by fresh probes.
        """
        wrong = [chance for result in results for chance in _chances_of_error(result)]
        if not wrong:
            return None
        checkpoints = len({result.checkpoint for result in results if result.checkpoint}) or 1
        return cls(
            verdicts=len(wrong),
            each=float(max(wrong)),
            any_wrong=float(min(sum(wrong, Decimal()), Decimal(1))),
            checkpoints=checkpoints,
            chosen_wrong=float(min(checkpoints * max(wrong), Decimal(1))),
        )


def _chances_of_error(result: Result) -> list[Decimal]:
    """The largest probability with which each statistical verdict of a result is wrong."""
    if result.verdict is Verdict.ERROR:
        return []
    if result.distribution is not None:
        return [Decimal(repr(result.distribution.alpha))]
    if result.level is not None:
        return [Decimal(repr(result.level.alpha))]
    if result.level_claim is not None and result.level_claim.reference is not None:
        return [1 - Decimal(repr(result.level_claim.each_end))]
    if result.estimate is not None:
        return [Decimal(repr(result.estimate.alpha))]
    if result.rate is None:
        return []
    by_rays = result.radius is not None and result.rate.verdict is not Verdict.HOLDS
    return (1 + bool(result.rate.invariant) + 2 * by_rays) * [1 - Decimal(repr(result.rate.confidence))]


@dataclass(frozen=True)
class Document:
    """A whole run: what `--gentest-json FILE` writes."""

    session: Session
    results: tuple[Result, ...]
    gate: Comparison | None = None
    """The comparison with a baseline."""
    schema: int = SCHEMA
    gentest: str = ""
    """The version of gentest."""
    interrupted: str = ""
    """The reason why the run ended early; empty if it did not."""
    unchecked: tuple[str, ...] = ()
    """Tests that should have been checked, and were not, or only in part."""
    family: Family | None = None
    """How sure all verdicts are together; None if nothing statistical was decided."""

    @builtins.property
    def outcome(self) -> Outcome:
        """The outcome of the whole run. A gate stands in for undecided results, and an unfinished run never passes."""
        results = Outcome.worst(result.outcome for result in self.results)
        if results in (Outcome.FAILED, Outcome.ERROR):
            return results
        if self.gate is not None and self.gate.refused:
            return Outcome.FAILED
        if self.interrupted or self.unchecked:
            return Outcome.UNDECIDED
        if self.gate is None:
            return results
        ungated = Outcome.worst(result.outcome for result in self.results if result.gate is None)
        if ungated is Outcome.UNDECIDED and self.gate.terms.undecided is OnUndecided.FAIL:
            return ungated
        excused = self.gate.terms.undecided is OnUndecided.WARN and not self.gate.missing
        return Outcome.PASSED if excused else self.gate.outcome

    def save(self, path: Path) -> None:
        """Write the JSON file, whole or not at all. Raises `OSError`."""
        write_whole(path, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    def to_json(self) -> dict[str, Any]:
        """A dictionary that `json.dumps` takes and `from_json` reads: schema and version first."""
        whole = plain(asdict(replace(self, results=())))
        whole["results"] = [result.to_json() for result in self.results]
        names = ("schema", "gentest", "session", "interrupted", "unchecked", "family", "results", "gate")
        return {name: whole[name] for name in names}

    @classmethod
    def from_json(cls, value: object) -> Document:
        """The document that `to_json` wrote, in this schema or that of gentest 0.1.

        Raises `InvalidArgument` for anything else.
        """
        schema = value.get("schema") if isinstance(value, Mapping) else None
        if schema == FLAT_SCHEMA and isinstance(value, Mapping):
            value = _from_flat_schema(value)
        elif schema != SCHEMA:
            raise InvalidArgument(f"not results of schema {SCHEMA} or {FLAT_SCHEMA} (schema: {schema!r})")
        document: Document = read_record(cls, value)
        if any(result.drawings is not None for result in document.results):
            raise InvalidArgument("a result has pictures, which a JSON file never has")
        return document


_GROUPS = {
    "search": ("examples", "violations", "margin", "counterexample", "worst", "replayed", "distinct", "inputs"),
    "rounding": ("decided_alone", "screening"),
    "provenance": ("generator", "checkpoint", "prior", "truncation", "seed", "unreadable"),
    "cost": ("images", "generator_calls", "seconds"),
}
"""The fields that schema 3 moved into groups."""


def _from_flat_schema(value: Mapping[str, Any]) -> dict[str, Any]:
    """A document of schema 2 in the current schema. Values of a wrong type stay as they are, to be refused by name."""
    gate, results = value.get("gate"), value.get("results")
    terms = gate.get("terms") if isinstance(gate, Mapping) else None
    alpha = terms.get("alpha") if isinstance(terms, Mapping) else None
    alpha = alpha if isinstance(alpha, float) and 0.0 < alpha < 1.0 else Terms.alpha
    new = {**value, "schema": SCHEMA}
    if isinstance(results, list):
        new["results"] = [_grouped(result, alpha) if isinstance(result, Mapping) else result for result in results]
    if isinstance(gate, Mapping) and isinstance(gate.get("properties"), list):
        compared = [
            {**one, "gate": _with_gate_thresholds(one.get("gate"), alpha)} if isinstance(one, Mapping) else one
            for one in gate["properties"]
        ]
        new["gate"] = {**gate, "properties": compared}
    return new


def _grouped(flat: Mapping[str, Any], alpha: float) -> dict[str, Any]:
    """A result of schema 2 with its fields in groups, and with thresholds that its first versions did not write."""
    names = {name: group for group, members in _GROUPS.items() for name in members}
    new: dict[str, Any] = {name: item for name, item in flat.items() if name not in names}
    for name, item in flat.items():
        if name in names:
            new.setdefault(names[name], {})["calls" if name == "generator_calls" else name] = item
    new["rate"] = _with_rate_thresholds(new.get("rate"))
    new["gate"] = _with_gate_thresholds(new.get("gate"), alpha)
    if isinstance(radius := new.get("radius"), Mapping):
        new["radius"] = {**radius, "confirmed": _with_rate_thresholds(radius.get("confirmed"))}
    return new


def _with_rate_thresholds(rate: Any) -> Any:
    confidence = rate.get("confidence") if isinstance(rate, Mapping) else None
    if not isinstance(confidence, float) or not 0.0 <= confidence < 1.0:
        return rate
    needed = log(1.0 / (1.0 - confidence))
    missing = {"needed_holds": needed, "needed_violated": needed, "each_end": confidence}
    new = {**rate, **{name: item for name, item in missing.items() if rate.get(name) is None}}
    if rate.get("verdict") == Verdict.HOLDS.value and rate.get("certified") is None:
        p0, slack = rate.get("p0"), rate.get("slack")
        new["certified"] = p0 - slack if isinstance(p0, float) and isinstance(slack, float) else None
    if isinstance(rate.get("arms"), list):
        new["arms"] = [_with_rate_thresholds(arm) for arm in rate["arms"]]
    return new


def _with_gate_thresholds(gate: Any, alpha: float) -> Any:
    if not isinstance(gate, Mapping):
        return gate
    missing = {"needed_held": log(1.0 / alpha), "each_end": 1.0 - alpha}
    new = {**gate, **{name: item for name, item in missing.items() if gate.get(name) is None}}
    return {**new, "baseline_verdict": gate.get("baseline_verdict") or None}
