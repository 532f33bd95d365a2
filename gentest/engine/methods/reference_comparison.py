"""Whether outputs are distributed as a reference is, by two samples of their embeddings (`gentest.stats.two_sample`).

The outputs are of independent latents of the seed, in their order: the first are compared with the reference. A
candidate's next ones are compared with those that the baseline keeps, since samples of the same latents are not
independent; a reference that is a generator is asked for later ones still.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentest.attributes.attribute import describe, embed, fingerprint
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import examine
from gentest.engine.evidence.subject import Subject, measure_of
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.gate.embedded import packed, unpacked
from gentest.generators.generator import Generator
from gentest.properties.distribution import Matches
from gentest.properties.references import check_unit_range, chosen
from gentest.results.comparison import Look, Sample
from gentest.results.records import pack
from gentest.results.result import Distribution, Verdict
from gentest.stats.kernels import squared_distances
from gentest.stats.two_sample import closeness, further, mmd_test

ALPHA = 0.01
READ = 64
"""Images of a reference that are read at once."""


class AgainstReference:
    """The outputs of one generator against one reference."""

    def __init__(self, context: Context, subject: Subject, matches: Matches, seed: int) -> None:
        self._context = context
        self._subject = subject
        self._matches = matches
        self._seed = seed
        self._bound = context.measuring.bound(matches.feature)
        self._own = self._rows(subject, 0)
        self._theirs = self._reference()
        self._check_that_rows_differ()

    def decide(self, against: Sample | None) -> tuple[Distribution, Verdict]:
        """How far apart they are, and what that comes to; `against` is what a baseline has of it."""
        asked, seed = self._matches, self._seed
        found = mmd_test(self._own, self._theirs, seed=seed)
        mmd2 = _shown(found.mmd2)
        bound = _shown(closeness(self._own, self._theirs, alpha=ALPHA, seed=seed))
        verdict = Verdict.NO_COUNTEREXAMPLE if asked.tolerance is None else Verdict.UNDECIDED
        if asked.tolerance is not None and bound < asked.tolerance:
            verdict = Verdict.HOLDS
        elif found.p <= ALPHA:
            verdict = Verdict.VIOLATED
        moved = self._further(against)
        return Distribution(
            repr(asked.reference), mmd2, found.p, bound, ALPHA, len(self._own), len(self._theirs),
            asked.tolerance, *moved,
        ), verdict  # fmt: skip

    def sample(self, space: str, *, looks: bool, blesses: bool) -> Sample:
        """What a baseline keeps, or a candidate is compared by: embeddings, and no margins."""
        name, clip, look = describe(self._matches.feature), fingerprint(self._bound), None
        if looks or blesses:
            look = Look(levels={}, embeddings={name: packed(self._own if blesses else self._fresh, clip)})
        return Sample(self._seed, self._subject.fingerprint, space, pack([]), {name: clip}, look=look)

    @cached_property
    def _fresh(self) -> NDArray[np.float64]:
        """The outputs of the next latents: independent of those that a baseline keeps."""
        return self._rows(self._subject, self._matches.n)

    def _further(self, against: Sample | None) -> tuple[float | None, float | None]:
        """How much further from the reference than the baseline's outputs, and the p-value of its being no further."""
        kept = None if against is None or against.look is None else against.look.embeddings
        before = None if kept is None else kept.get(describe(self._matches.feature))
        if before is None or before.clip != fingerprint(self._bound):
            return None, None
        now, reference = packed(self._fresh), packed(self._theirs)
        if before.dim != now.dim:
            return None, None
        now_rows, before_rows, reference_rows = unpacked(now, before, reference)
        found = further(now_rows, before_rows, reference_rows, seed=self._seed)
        return _shown(found.difference), found.p

    def _check_that_rows_differ(self) -> None:
        """Refuses a feature that shows nothing: the same for every output and every image of the reference."""
        rows = np.concatenate([self._own, self._theirs])
        if not squared_distances(np.stack([rows.min(axis=0), rows.max(axis=0)])).any():
            raise AttributeFailed(
                f"{describe(self._matches.feature)} is the same for every output and for all of "
                f"{self._matches.reference!r}: there is nothing to compare"
            )

    def _rows(self, subject: Subject, start: int) -> NDArray[np.float64]:
        """The embeddings [n, D] of outputs of independent latents from `start` on."""
        rows = []
        for evidence in self._context.samples(subject, self._seed, start, self._matches.n):
            rows.append(evidence.measured(self._bound, scalar=False)[:, 0])
            self._context.maker.audit.judged(evidence.measurements, None)
        return np.asarray(torch.cat([row.double().cpu() for row in rows]).numpy())

    def _reference(self) -> NDArray[np.float64]:
        reference, n = self._matches.reference, self._matches.n
        if isinstance(reference, Generator):
            reference.to(self._context.device)
            other = self._context.subject(reference)
            examine(self._context, other)
            others = self._rows(other, 2 * n)
            if others.shape[1] != self._own.shape[1]:
                raise InvalidArgument(
                    f"{describe(self._matches.feature)} gives {self._own.shape[1]} numbers of an output, and "
                    f"{others.shape[1]} of one of the reference {reference!r}: are they of one shape?"
                )
            return others
        own = next(self._context.samples(self._subject, self._seed, 0, n))
        shape = own.images.shape[2:]
        measure = measure_of(self._bound, self._subject.generator, shape)
        order, rows = chosen(reference, n, self._seed), []
        for at in range(0, len(order), READ):
            outputs: Tensor = reference.fitted(order[at : at + READ], shape)
            if own.bounded:
                check_unit_range(outputs)
            with torch.no_grad():
                rows.append(embed(measure, outputs.to(self._context.device)).double().cpu())
        found = torch.cat(rows)
        if not found.isfinite().all():
            raise InvalidArgument(f"{describe(self._matches.feature)} of {reference!r} is not finite")
        return np.asarray(found.numpy())


def _shown(figure: float) -> float:
    """A figure without the digits that differ with the batch size: outputs do, by rounding."""
    return float(f"{figure:.6g}")
