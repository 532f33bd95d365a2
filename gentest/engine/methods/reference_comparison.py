"""The comparison of a generator's outputs with a reference: two samples of embeddings (`gentest.stats.two_sample`).

The first independent latents of the seed are compared with the reference. A candidate's next ones are compared with
the outputs that the baseline keeps, since two samples of the same latents would not be independent. A reference that is
a generator is evaluated on later latents still.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gentest.attributes.attribute import describe, embed, fingerprint
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import examine
from gentest.engine.evidence.measuring import in_six_digits
from gentest.engine.evidence.subject import Subject, measure_of
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.gate.looks import packed, unpacked
from gentest.generators.generator import Generator
from gentest.properties.distribution import Matches
from gentest.properties.references import Folder, Stored, check_unit_range, chosen
from gentest.results.comparison import Look, Sample
from gentest.results.records import pack
from gentest.results.result import Distribution, Verdict
from gentest.stats.kernels import squared_distances
from gentest.stats.two_sample import closeness, further, mmd_test

ALPHA = 0.01
READ_AT_ONCE = 64
"""Images of a reference that are read at once."""


@dataclass(frozen=True)
class ReferenceFacts:
    """The distance from the reference, the verdict on it, and the sample, if it is kept."""

    distribution: Distribution
    verdict: Verdict
    sample: Sample | None


def compare_with_reference(
    context: Context,
    subject: Subject,
    matches: Matches,
    seed: int,
    *,
    baseline: Sample | None,
    keeps: bool,
    looks: bool,
    blesses: bool,
) -> ReferenceFacts:
    """The outputs against the reference, and against the baseline's outputs if there is a baseline.

    `keeps` asks for the sample, `looks` for its embeddings, and `blesses` says that it becomes a baseline. Raises
    `AttributeFailed` if the feature is constant, and `InvalidArgument` if the reference does not fit the outputs.
    """
    comparison = _Comparison(context, subject, matches, seed)
    distribution, verdict = comparison.decide(baseline)
    return ReferenceFacts(distribution, verdict, comparison.sample(looks=looks, blesses=blesses) if keeps else None)


class _Comparison:
    """The embeddings of both sides."""

    def __init__(self, context: Context, subject: Subject, matches: Matches, seed: int) -> None:
        self._context = context
        self._subject = subject
        self._seed = seed
        self._matches = matches
        self._feature = self._context.measuring.bound(matches.feature)
        self._own = self._embeddings(self._subject, 0)
        reference = matches.reference
        if isinstance(reference, Generator):
            self._theirs = self._of_generator(reference)
        else:
            self._theirs = self._of_images(reference)
        rows = np.concatenate([self._own, self._theirs])
        if not squared_distances(np.stack([rows.min(axis=0), rows.max(axis=0)])).any():
            raise AttributeFailed(
                f"{describe(matches.feature)} is the same for every output and for all of {reference!r}: there is "
                "nothing to compare"
            )

    def decide(self, baseline: Sample | None) -> tuple[Distribution, Verdict]:
        matches, seed = self._matches, self._seed
        test = mmd_test(self._own, self._theirs, seed=seed)
        bound = in_six_digits(closeness(self._own, self._theirs, alpha=ALPHA, seed=seed))
        verdict = Verdict.NO_COUNTEREXAMPLE if matches.tolerance is None else Verdict.UNDECIDED
        if matches.tolerance is not None and bound < matches.tolerance:
            verdict = Verdict.HOLDS
        elif test.p <= ALPHA:
            verdict = Verdict.VIOLATED
        difference, p_further = self._further_than(baseline)
        distribution = Distribution(
            reference=repr(matches.reference),
            mmd2=in_six_digits(test.mmd2),
            p=test.p,
            bound=bound,
            alpha=ALPHA,
            n=len(self._own),
            n_reference=len(self._theirs),
            tolerance=matches.tolerance,
            further=difference,
            p_further=p_further,
        )
        return distribution, verdict

    def sample(self, *, looks: bool, blesses: bool) -> Sample:
        """The embeddings that a baseline keeps, or that a candidate is compared by; it has no margins."""
        name, code, look = describe(self._matches.feature), fingerprint(self._feature), None
        if looks or blesses:
            look = Look(levels={}, embeddings={name: packed(self._own if blesses else self._fresh, code)})
        space = self._subject.generator.latent.key
        return Sample(self._seed, self._subject.fingerprint, space, pack([]), {name: code}, look=look)

    @cached_property
    def _fresh(self) -> NDArray[np.float64]:
        """The embeddings of the next latents, independent of those that a baseline keeps."""
        return self._embeddings(self._subject, self._matches.n)

    def _further_than(self, baseline: Sample | None) -> tuple[float | None, float | None]:
        """How much further from the reference than the baseline's outputs, and the p-value of being no further.

        Both are None if the baseline has no embeddings by the same measure.
        """
        kept = None if baseline is None or baseline.look is None else baseline.look.embeddings
        before = None if kept is None else kept.get(describe(self._matches.feature))
        if before is None or before.clip != fingerprint(self._feature):
            return None, None
        now = packed(self._fresh)
        if before.dim != now.dim:
            return None, None
        test = further(*unpacked(now, before, packed(self._theirs)), seed=self._seed)
        return in_six_digits(test.difference), test.p

    def _embeddings(self, subject: Subject, start: int) -> NDArray[np.float64]:
        """The embeddings [n, D] of the outputs of independent latents from `start` on."""
        rows = []
        for evidence in self._context.samples(subject, self._seed, start, self._matches.n):
            rows.append(evidence.measured(self._feature, scalar=False)[:, 0])
            self._context.maker.audit.judged(evidence.measurements, None)
        return np.asarray(torch.cat([row.double().cpu() for row in rows]).numpy())

    def _of_generator(self, reference: Generator) -> NDArray[np.float64]:
        reference.to(self._context.device)
        subject = self._context.subject(reference)
        examine(self._context, subject)
        rows = self._embeddings(subject, 2 * self._matches.n)
        if rows.shape[1] != self._own.shape[1]:
            raise InvalidArgument(
                f"{describe(self._matches.feature)} gives {self._own.shape[1]} numbers for an output and "
                f"{rows.shape[1]} for one of the reference {reference!r}: do their outputs have the same shape?"
            )
        return rows

    def _of_images(self, reference: Folder | Stored) -> NDArray[np.float64]:
        """The embeddings of a folder or an array."""
        n = self._matches.n
        own = next(self._context.samples(self._subject, self._seed, 0, n))
        shape = own.images.shape[2:]
        measure = measure_of(self._feature, self._subject.generator, shape)
        order, rows = chosen(reference, n, self._seed), []
        for at in range(0, len(order), READ_AT_ONCE):
            outputs: Tensor = reference.fitted(order[at : at + READ_AT_ONCE], shape)
            if own.bounded:
                check_unit_range(outputs)
            with torch.no_grad():
                rows.append(embed(measure, outputs.to(self._context.device)).double().cpu())
        embeddings = torch.cat(rows)
        if not embeddings.isfinite().all():
            raise InvalidArgument(f"{describe(self._matches.feature)} of {reference!r} is not finite")
        return np.asarray(embeddings.numpy())
