"""`gentest.blessed`: the outputs that a baseline keeps, as the reference of a pair."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from gentest.errors import InvalidArgument
from gentest.gate import kept
from gentest.gate.baseline import Baseline
from gentest.generators.calling import inputs_on
from gentest.generators.generator import Generator, ReferenceSource
from gentest.generators.recalled import Recalled
from gentest.plugin.kept_outputs import OutputForm, index_among, inputs_of, means_of
from gentest.results.comparison import KeptReference
from gentest.results.records import unpack

SAME_LATENTS = 1e-4
"""The largest difference between two means of the same latents on two machines."""

BeforeReading: TypeAlias = Callable[[Path, OutputForm, str], None]
before_reading: ContextVar[BeforeReading | None] = ContextVar("gentest_before_reading", default=None)
"""Called with the path of a baseline before its outputs are read, the form of the candidate's, and the test that
`blessed` names. A run that writes that file skips the test."""


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
        form = OutputForm.of(candidate)
        if (hook := before_reading.get()) is not None:
            hook(path, form, self.test)
        baseline = Baseline.load(path)
        if baseline.kept is None:
            raise InvalidArgument(f"{path}: keeps no outputs; bless with `gentest bless {path.name} --keep-outputs N`")
        try:
            index = index_among(baseline.kept, form, self.test)
        except InvalidArgument as error:
            raise InvalidArgument(f"{self.path}: {error}") from None
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
        return Recalled(record, values, quantized.restored, span=one.span), candidate.limits if one.bounded else None
