"""The outputs that a run keeps for the baseline that it writes: each process puts them into a folder of the run.

Workers of pytest-xdist make outputs, and the controller writes the baseline, so files pass them on. The folder is
temporary, and goes when the run ends.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gentest._support.files import write_whole
from gentest.engine.evidence.subject import Subject
from gentest.errors import InvalidArgument
from gentest.gate import kept
from gentest.gate.kept import Quantized
from gentest.generators.generator import Generator
from gentest.probes.ends import noise
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.results.comparison import KeptFile, KeptOutputs
from gentest.results.records import pack, read_record
from gentest.spaces.space import Array

FOLDER = "gentest_kept_outputs"
"""The key in a worker's input for the folder."""
MAX_NAMES = 3
"""Tests that are listed in one line."""


def inputs_of(generator: Generator, seed: int, n: int) -> dict[str, Array]:
    """The latents and the noise [n, ...] of the seed's first probes, by name."""
    probes = independent(seed, 0, n)
    placed = {**points().place(generator.latent, probes), **noise(generator.noise, probes, 1)}
    return {name: z[:, 0] for name, z in placed.items()}


def means_of(inputs: dict[str, Array]) -> list[float]:
    """The mean of each probe's latents and noise."""
    rows = [z.reshape(len(z), -1).astype(np.float64) for _, z in sorted(inputs.items())]
    means: list[float] = np.concatenate(rows, axis=1).mean(axis=1).tolist()
    return means


def noise_keys(generator: Generator) -> dict[str, str]:
    """The keys of a generator's noise inputs, by name."""
    return {name: part.key for name, part in generator.noise.items()}


@dataclass(frozen=True)
class OutputForm:
    """The space and the form of a generator's outputs, which kept outputs have to share."""

    space: str
    images: bool
    bounded: bool
    noise: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""

    @classmethod
    def of(cls, generator: Generator) -> OutputForm:
        """The form of a generator's outputs."""
        bounded = generator.limits is not None
        return cls(generator.latent.key, generator.images, bounded, noise_keys(generator), generator.kind.recorded)

    def difference(self, one: KeptOutputs) -> str:
        """Why outputs of this form cannot be compared with kept ones; empty if they can."""
        if self.space != one.space:
            return f"the kept outputs are of the latent space {one.space}, the candidate's is {self.space}"
        if dict(self.noise) != dict(one.noise):
            return f"the kept outputs are of the noise inputs {dict(one.noise)}, the candidate's are {dict(self.noise)}"
        if self.images != one.images:
            return f"the kept outputs have images={one.images}, and the candidate images={self.images}"
        if self.kind != one.kind:
            kept, own = (kind or ("Images()" if self.images else "Arrays()") for kind in (one.kind, self.kind))
            return f"the kept outputs are {kept}, and the candidate's are {own}"
        if self.bounded != one.bounded:
            had, has = ("a range", "none") if one.bounded else ("no range", "one")
            return f"the kept outputs have {had}, and the candidate {has}: declare output_range= alike"
        return ""


@dataclass(frozen=True)
class KeptQuestion:
    """A test's wish to compare outputs of a form with kept ones of `named`, a test; empty for any test."""

    test: str
    named: str
    form: OutputForm


def index_among(file: KeptFile, form: OutputForm, named: str) -> int:
    """The place in a file of the outputs that fit. Raises `InvalidArgument` unless exactly one generator's do."""
    among = [index for index, one in enumerate(file.outputs) if not named or _is_of(named, one.tests)]
    if not among:
        known = _listed([test for one in file.outputs for test in one.tests])
        raise InvalidArgument(f"keeps no outputs of test={named!r}; it has those of {known}")
    reasons = {index: form.difference(file.outputs[index]) for index in among}
    fitting = [index for index, reason in reasons.items() if not reason]
    if not fitting:
        raise InvalidArgument(reasons[among[0]])
    if len(fitting) > 1:
        tests = _listed([file.outputs[index].tests[0] for index in fitting])
        raise InvalidArgument(
            f"keeps outputs of {len(fitting)} generators with the candidate's space; name the test "
            f"of one, as in gentest.blessed(..., test='test_faces'): {tests}"
        )
    return fitting[0]


def _is_of(test: str, tests: Sequence[str]) -> bool:
    """Whether a name is the node id of one of some tests, or the part after its last "::"."""
    return any(test in (one, one.rpartition("::")[2]) for one in tests)


def _listed(tests: Sequence[str]) -> str:
    names = list(dict.fromkeys(tests))
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


class OutputsToKeep:
    """Takes the outputs of generators while a run blesses a checkpoint: a `Keeper` for the engine's checks.

    It also notes which tests want to compare with what is kept, so that the blessing says which of them cannot.
    """

    def __init__(self, config: pytest.Config, n: int) -> None:
        self.n = n
        given = getattr(config, "workerinput", {}).get(FOLDER)
        self.folder = Path(given or tempfile.mkdtemp(prefix="gentest-kept-"))
        if given is None:
            config.add_cleanup(functools.partial(shutil.rmtree, self.folder, ignore_errors=True))

    def needs(self, test: str, subject: Subject, seed: int) -> bool:
        """Whether no process has given the outputs of a generator yet. Notes that the test checks it."""
        key = _key(subject, seed)
        name = hashlib.sha256(test.encode()).hexdigest()[:16]
        write_whole(self.folder / f"{key}.{name}.test", test)
        return not (self.folder / f"{key}.json").exists()

    def keep(self, subject: Subject, seed: int, outputs: NDArray[np.float32], span: float) -> None:
        """Write the outputs float32 [n, *shape] of the seed's first probes into the folder."""
        quantized, generator = Quantized.of(outputs, bounded=subject.generator.limits == (0.0, 1.0)), subject.generator
        form = KeptOutputs(
            tests=("",),
            generator=subject.fingerprint,
            space=generator.latent.key,
            noise=noise_keys(generator),
            seed=seed,
            latents=pack(means_of(inputs_of(generator, seed, self.n))),
            images=generator.images,
            kind=generator.kind.recorded,
            bounded=subject.bounded,
            shape=outputs.shape[1:],
            bits=quantized.bits,
            low=quantized.low,
            high=quantized.high,
            rounding=quantized.largest_error(outputs),
            span=span,
        )
        key = _key(subject, seed)
        np.save(self.folder / f"{key}.{os.getpid()}.npy", quantized.values)
        os.replace(self.folder / f"{key}.{os.getpid()}.npy", self.folder / f"{key}.npy")
        write_whole(self.folder / f"{key}.json", json.dumps(asdict(form)))  # last: it says that the outputs are there

    def ask(self, question: KeptQuestion) -> None:
        """Note a test that compares with the outputs that this run keeps."""
        text = json.dumps(asdict(question), sort_keys=True)
        write_whole(self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.question", text)

    def unanswered(self, kept: KeptFile | None, baseline: Path) -> list[str]:
        """A line for each test whose question the kept outputs do not answer."""
        lines = []
        for path in self.folder.glob("*.question"):
            asked: KeptQuestion = read_record(KeptQuestion, json.loads(path.read_text(encoding="utf-8")))
            try:
                if kept is None:
                    raise InvalidArgument("keeps no outputs; bless again with --keep-outputs N")
                index_among(kept, asked.form, asked.named)
            except InvalidArgument as error:
                lines.append(f"{asked.test} cannot compare with this baseline: {baseline.name} {error}")
        return sorted(lines)

    def save(self, baseline: Path) -> KeptFile | None:
        """Write the file beside a baseline; None if no generator was checked. Raises `OSError`."""
        found: list[tuple[KeptOutputs, Quantized]] = []
        for path in self.folder.glob("*.json"):
            form: KeptOutputs = read_record(KeptOutputs, json.loads(path.read_text(encoding="utf-8")))
            tests = sorted(test.read_text(encoding="utf-8") for test in self.folder.glob(f"{path.stem}.*.test"))
            values = np.load(path.with_suffix(".npy"), allow_pickle=False, mmap_mode="r")
            found.append((replace(form, tests=tuple(tests)), Quantized(values, form.low, form.high)))
        if not found:
            return None
        found.sort(key=lambda pair: (pair[0].tests, pair[0].generator))
        return kept.save(kept.outputs_path(baseline), found)


def _key(subject: Subject, seed: int) -> str:
    """The name of a generator's files: the same in each process that checks the same generator."""
    generator = subject.generator
    parts = (
        subject.fingerprint,
        generator.latent.key,
        noise_keys(generator),
        seed,
        subject.bounded,
        generator.kind.key,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def remove_replaced(baseline: Path, replaced: KeptFile | None, now: KeptFile | None) -> None:
    """Remove the outputs of a baseline that is replaced by one that keeps none."""
    if replaced is None or now is not None:
        return
    path = baseline.with_name(replaced.file)
    if path == kept.outputs_path(baseline):
        path.unlink(missing_ok=True)


def describe_kept(outputs: KeptFile, baseline: Path) -> str:
    """The kept outputs in words, with the size of their file."""
    return kept.described(outputs, baseline.with_name(outputs.file).stat().st_size)
