"""`gentest.blessed`: the outputs that a baseline keeps, as the reference of a pair."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gentest.errors import InvalidArgument
from gentest.gate import kept
from gentest.gate.baseline import Baseline
from gentest.generators.calling import inputs_on
from gentest.generators.generator import Generator, ReferenceSource
from gentest.generators.recalled import Recalled
from gentest.plugin.kept_outputs import inputs_of, means_of, noise_keys
from gentest.results.comparison import KeptFile, KeptOutputs, KeptReference
from gentest.results.records import unpack

SAME_LATENTS = 1e-4
"""The largest difference between two means of the same latents on two machines."""
MAX_NAMES = 3
"""Tests that are listed in one line."""

before_reading: ContextVar[Callable[[Path], None] | None] = ContextVar("gentest_before_reading", default=None)
"""Called with the path of a baseline before its outputs are read. A run that writes that file skips the test."""


def blessed(path: str | os.PathLike[str], *, test: str = "") -> Blessed:
    """The outputs that a baseline keeps, as the reference of a pair: `candidate.against(gentest.blessed(path))`.

    `gentest bless --keep-outputs N` keeps the outputs of N probes of each generator beside the baseline, so a pair
    needs neither the blessed weights nor the code that ran them. Only these N probes are compared: a search looks at
    each of them once, a rate takes them in order, and nothing is attacked or reduced. A difference that the file's
    rounding may explain violates nothing. The reference makes no images.

    `path` is the baseline's file, relative to the working directory. If the baseline keeps outputs of several
    generators with the candidate's latent space, `test` names a test that checked the wanted one: its node id, or the
    part after the last "::".

    A file that is missing, edited or of another space raises `InvalidArgument` when it is put into a pair. A run that
    blesses this very file skips the test, since there is nothing to agree with yet.

    >>> import gentest
    >>> gentest.blessed("blessed.json", test="test_faces")
    blessed('blessed.json', test='test_faces')
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise InvalidArgument.expected("the path of a baseline's file", "path", path)
    if not isinstance(test, str):
        raise InvalidArgument.expected("the name of a test", "test", test)
    return Blessed(Path(path), test)


@dataclass(frozen=True, repr=False)
class Blessed(ReferenceSource):
    """The outputs that the baseline in a file keeps."""

    path: Path
    test: str = ""

    def __repr__(self) -> str:
        return f"blessed({str(self.path)!r}{f', test={self.test!r}' if self.test else ''})"

    def beside(self, candidate: Generator) -> tuple[Recalled, tuple[float, float] | None]:
        """The kept outputs as a function of the candidate's latents, and their range. Raises `InvalidArgument`."""
        path = self.path.expanduser().absolute()
        if (hook := before_reading.get()) is not None:
            hook(path)
        baseline = Baseline.load(path)
        if baseline.kept is None:
            raise InvalidArgument(f"{path}: keeps no outputs; bless with `gentest bless {path.name} --keep-outputs N`")
        index = self._index(candidate, baseline.kept)
        one = baseline.kept.outputs[index]
        inputs = inputs_of(candidate, one.seed, one.n)
        difference = np.abs(np.subtract(means_of(inputs), unpack(one.latents, "latents")))
        if not bool((difference <= SAME_LATENTS * (1.0 + np.abs(means_of(inputs)))).all()):
            raise InvalidArgument(
                f"{path}: the kept outputs are of other latents, though the space is {one.space} in both: "
                "has its bank, or the network that makes it, changed?"
            )
        record = KeptReference(
            file=path.name,
            blessed=baseline.blessed,
            n=one.n,
            seed=one.seed,
            bits=one.bits,
            rounding=one.rounding,
            digest=f"{baseline.kept.digest} {index}",
        )
        quantized = kept.load(path, baseline.kept, index)
        values = inputs_on(torch.device("cpu"), candidate.latent, inputs)
        return Recalled(record, values, quantized.restored, span=one.span), (0.0, 1.0) if one.bounded else None

    def _index(self, candidate: Generator, file: KeptFile) -> int:
        """The place of the outputs to compare the candidate with."""
        named = [index for index, one in enumerate(file.outputs) if not self.test or _is_of(self.test, one.tests)]
        if not named:
            known = _listed([test for one in file.outputs for test in one.tests])
            raise InvalidArgument(f"{self.path}: keeps no outputs of test={self.test!r}; it has those of {known}")
        reasons = {index: _difference(candidate, file.outputs[index]) for index in named}
        fitting = [index for index, reason in reasons.items() if not reason]
        if not fitting:
            raise InvalidArgument(f"{self.path}: {reasons[named[0]]}")
        if len(fitting) > 1:
            tests = _listed([file.outputs[index].tests[0] for index in fitting])
            raise InvalidArgument(
                f"{self.path}: keeps outputs of {len(fitting)} generators with the candidate's space; name the test "
                f"of one, as in gentest.blessed(..., test='test_faces'): {tests}"
            )
        return fitting[0]


def _is_of(test: str, tests: Sequence[str]) -> bool:
    """Whether a name is the node id of one of some tests, or the part after its last "::"."""
    return any(test in (one, one.rpartition("::")[2]) for one in tests)


def _difference(candidate: Generator, one: KeptOutputs) -> str:
    """Why a candidate cannot be compared with kept outputs; empty if it can."""
    bounded = candidate.images or candidate.output_range is not None
    if candidate.latent.key != one.space:
        return f"the kept outputs are of the latent space {one.space}, the candidate's is {candidate.latent.key}"
    if noise_keys(candidate) != dict(one.noise):
        return (
            f"the kept outputs are of the noise inputs {dict(one.noise)}, the candidate's are {noise_keys(candidate)}"
        )
    if candidate.images != one.images:
        return f"the kept outputs have images={one.images}, and the candidate images={candidate.images}"
    if bounded != one.bounded:
        had, has = ("a range", "none") if one.bounded else ("no range", "one")
        return f"the kept outputs have {had}, and the candidate {has}: declare output_range= alike"
    return ""


def _listed(tests: Sequence[str]) -> str:
    names = list(dict.fromkeys(tests))
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
