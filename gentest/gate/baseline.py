"""The file of a blessed checkpoint: the margins of each property, probe by probe, and what its outputs are like.

Summaries come first, one short line per figure, so that a new blessing reviews well in a diff. Margins and embeddings
follow in blocks of one line. Keys are tests and properties, not checkpoints, and a digest reveals an edit by hand. The
file is data: it is read by schema, within a limit of size, and nothing in it is ever run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

from gentest._support.files import read_json, write_whole
from gentest._support.printable import in_one_line
from gentest.errors import InvalidArgument
from gentest.gate.looks import check_look, look_key, merge_looks
from gentest.results.comparison import Embedded, KeptFile, Look, Sample
from gentest.results.records import Seed, Share, applies, read_record, unpack
from gentest.results.result import Result, Verdict

SCHEMA = 1
MAX_BYTES = 64 * 2**20
"""A larger file is refused; 20 properties take less than one MiB."""
BLESS = "bless the checkpoint again with --gentest-save-baseline"


@dataclass(frozen=True)
class Blessing:
    """Who blessed a checkpoint, when, and on which seed's probes."""

    by: str
    at: str
    """The day, as 2026-11-24."""
    seed: Seed
    checkpoint: str = ""
    note: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """The versions of what computed the outputs, and the device, by name; empty in baselines of early versions."""
    checkpoint_digest: str = ""
    """The digest of the checkpoint's file or folder; empty without one, and in baselines of early versions."""


@dataclass(frozen=True)
class Entry:
    """One property in a baseline."""

    verdict: Verdict
    sample: Sample
    certified: Share | None = None
    """The rate that was certified; None if none was, and in baselines of early versions."""


@dataclass(frozen=True)
class Baseline:
    """A blessed checkpoint. `blessings` goes back in time from the one in force."""

    blessings: tuple[Blessing, ...]
    entries: Mapping[str, Entry]
    name: str = ""
    """Its file's name."""
    gentest: str = field(default="", compare=False)
    kept: KeptFile | None = None
    """The file of outputs beside it."""

    @property
    def blessed(self) -> str:
        """The blessing in force, in words."""
        last = self.blessings[0]
        of = f"{last.checkpoint} " if last.checkpoint else ""
        return f"{of}blessed by {last.by} on {last.at}, seed {last.seed}" + (f": {last.note}" if last.note else "")

    @property
    def summary(self) -> list[str]:
        """Lines for a person: one for each property, and one for each level of the outputs."""
        figures = {key: _summary(entry) for key, entry in self.entries.items()}
        words = {key: _word(entry) for key, entry in self.entries.items()}
        lines = [f"{words[key]:<18} {s['holds']:<24} {key}" for key, s in figures.items()]
        return lines + [f"{name}: {level}" for look in self.looks.values() for name, level in _levels(look).items()]

    @property
    def looks(self) -> Mapping[str, Look]:
        """The outputs of each generator, by everything that its properties measured."""
        return merge_looks(entry.sample for entry in self.entries.values())

    @classmethod
    def of(cls, results: Sequence[Result], blessing: Blessing, *, before: Baseline | None, version: str) -> Baseline:
        """The baseline of a run's results. Raises `InvalidArgument` if one of them was not decided."""
        results = [result for result in results if result.kept is None]  # decided by themselves, and never gated
        if not results:
            raise InvalidArgument("nothing was checked, so there is nothing to bless")
        entries = {}
        for key, result in sorted(keyed(results).items()):
            if result.verdict is Verdict.ERROR or result.sample is None:
                raise InvalidArgument(
                    f"{key} was not decided, so nothing is blessed: {result.message or 'no outcomes'}"
                )
            certified = None if result.rate is None else result.rate.certified
            entries[key] = Entry(_verdict(result, result.sample), result.sample, certified)
        blessings = (blessing, *(before.blessings if before is not None else ()))
        return cls(blessings, entries, gentest=version)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        body = self._to_json()
        write_whole(path, json.dumps({**body, "digest": _digest(body)}, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """The baseline in a file. Raises `InvalidArgument`, in one line, for a file that `save` did not write."""
        try:
            body = read_json(path, most_bytes=MAX_BYTES)
        except OSError as error:
            raise InvalidArgument(f"{path}: {error.strerror}; make one with --gentest-save-baseline") from error
        except ValueError as error:
            raise InvalidArgument(f"{path}: not a whole JSON file ({in_one_line(str(error))}); {BLESS}") from error
        schema = body.get("schema") if isinstance(body, dict) else None
        if schema != SCHEMA:
            found = in_one_line(repr(schema), 80)
            raise InvalidArgument(f"{path}: not a baseline of schema {SCHEMA} (schema: {found}); {BLESS}")
        if body.pop("digest", None) != _digest(body):
            raise InvalidArgument(f"{path}: was edited since gentest wrote it; {BLESS}")
        try:
            return cls._from_json(body, path.name)
        except (InvalidArgument, KeyError, TypeError, AttributeError) as error:
            reason = in_one_line(str(error))
            raise InvalidArgument(f"{path}: not as gentest writes a baseline ({reason}); {BLESS}") from error

    def _to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "gentest": self.gentest,
            "blessed": [asdict(blessing) for blessing in self.blessings],
            "properties": {key: _summary(entry) for key, entry in self.entries.items()},
            "outputs": {key: _levels(look) for key, look in self.looks.items()},
            **({} if self.kept is None else {"kept": asdict(self.kept)}),
            "blocks": {
                "margins": {key: entry.sample.margins for key, entry in self.entries.items()},
                "outputs": {key: asdict(look) for key, look in self.looks.items()},
            },
        }

    @classmethod
    def _from_json(cls, body: Mapping[str, Any], name: str) -> Baseline:
        blocks, looks = body["blocks"], {}
        for key, value in blocks["outputs"].items():
            looks[key] = check_look(read_record(Look, value), key)
        entries = {}
        for key, summary in body["properties"].items():
            fields = {n: summary[n] for n in ("seed", "generator", "space", "measures", "spreads")}
            fields |= {n: summary[n] for n in ("codes", "python", "quick", "limits") if n in summary}
            sample = read_record(Sample, {**fields, "margins": blocks["margins"][key]})
            if not unpack(sample.margins, f"the margins of {key}") and "margin" in summary:
                raise InvalidArgument(f"{key} has no outcomes")
            look = _look_of(looks, sample, summary["levels"], summary["embeddings"])
            known = {"verdict": summary["verdict"], "sample": asdict(sample), "certified": summary.get("certified")}
            entries[key] = read_record(Entry, known)
            entries[key] = replace(entries[key], sample=replace(sample, look=look))
        blessings = tuple(read_record(Blessing, value) for value in body["blessed"])
        if not blessings or not entries:
            raise InvalidArgument("no blessing, or no property")
        kept = read_record(KeptFile, body["kept"]) if "kept" in body else None
        return cls(blessings, entries, name, str(body["gentest"]), kept)


def _verdict(result: Result, sample: Sample) -> Verdict:
    """The verdict to keep: a probe of the sample refutes "always" as much as one of a search."""
    clean = result.verdict is Verdict.NO_COUNTEREXAMPLE
    return Verdict.VIOLATED if clean and min(unpack(sample.margins, "margins"), default=0) < 0 else result.verdict


def keys(test: str, properties: Sequence[str]) -> list[str]:
    """A key for each property of a test: the test, the property, and a number if the property occurs twice."""
    found: list[str] = []
    for n, property in enumerate(properties):
        same = properties[:n].count(property)
        found.append(f"{test} {property}" + (f" ({same + 1})" if same else ""))
    return found


def is_of_test(key: str, test: str) -> bool:
    """True if `keys` made this key for a property of this test."""
    return key.startswith(f"{test} ")


def keyed(results: Sequence[Result]) -> dict[str, Result]:
    """The results of one checkpoint by their keys."""
    by_test: dict[str, list[Result]] = {}
    for result in results:
        by_test.setdefault(result.test, []).append(result)
    return {
        key: result
        for test, own in by_test.items()
        for key, result in zip(keys(test, [result.property for result in own]), own, strict=True)
    }


def _summary(entry: Entry) -> dict[str, Any]:
    """The figures of one property for a person."""
    sample = entry.sample
    margins = list(filter(applies, unpack(sample.margins, "margins")))
    passes = sum(margin >= 0 for margin in margins)
    look = sample.look or Look({}, {})
    figures = {"holds": "of all outputs together" if not sample.quick else "by its own verdict, in a quick gate"}
    if sample.limits is not None:
        figures = {"holds": "by its level"}
    if margins:
        figures = {
            "holds": f"{passes} of {len(margins)}, {10_000 * passes // len(margins) / 100:.2f}%",
            "margin": f"{min(margins):.4g} at the least, {median(margins):.4g} in the median",
        }
    return {
        "verdict": entry.verdict.value,
        **({} if entry.certified is None else {"certified": entry.certified}),
        **figures,
        "seed": sample.seed,
        "generator": sample.generator,
        "space": sample.space,
        "measures": dict(sample.measures),
        "spreads": dict(sample.spreads),
        **({"codes": dict(sample.codes), "python": sample.python} if sample.codes else {}),
        **({"quick": True} if sample.quick else {}),
        **({} if sample.limits is None else {"limits": asdict(sample.limits)}),
        "levels": list(look.levels),
        "embeddings": list(look.embeddings),
    }


def _word(entry: Entry) -> str:
    """A verdict, with the rate that it certifies."""
    return entry.verdict.value + ("" if entry.certified is None else f" >= {100 * entry.certified:.10g} %")


def _levels(look: Look) -> dict[str, str]:
    """The mean and the standard deviation of each level for a person."""
    scores = {name: unpack(packed, name) for name, packed in look.levels.items()}
    return {name: f"{fmean(values):.4g}, sd {pstdev(values):.4g}" for name, values in scores.items()}


def _look_of(
    looks: Mapping[str, Look], sample: Sample, levels: Sequence[str], embeddings: Sequence[str]
) -> Look | None:
    """The part of a merged look that one property measured."""
    look = looks.get(look_key(sample))
    if look is None:
        return None
    seen: dict[str, Embedded] = {name: look.embeddings[name] for name in embeddings}
    return Look({name: look.levels[name] for name in levels}, seen, look.pictures)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
