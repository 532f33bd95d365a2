"""The level of an attribute on both sides of a pair: a sequential test of the mean difference (`gentest.stats.levels`).

Both sides are evaluated on the independent latents that a rate looks at too, so that a rate of the same pair shares
their outputs. The test looks at fixed places and stops at the first look that decides; blocks of latents only fill
batches, so the verdict and its figures are the same at any batch size. The pilot that sets the test's first clip is
the samples on which every generator is examined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gentest._support.printable import noun
from gentest.attributes.attribute import describe, fingerprint
from gentest.engine.evidence.audit import EXAMINED
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import samples
from gentest.engine.evidence.measuring import PYTHON, in_six_digits
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.plans import Stream, real
from gentest.engine.evidence.subject import Subject
from gentest.engine.methods.problem import MAX_BLOCK
from gentest.errors import GeneratorError, InvalidArgument
from gentest.properties.agreement import SameLevel
from gentest.properties.definition import StandardDeviations
from gentest.results.comparison import Sample
from gentest.results.records import pack
from gentest.results.result import Level, Verdict
from gentest.results.settings import Values
from gentest.stats.levels import LOOK, LevelDecision, LevelTest

ALPHA = 0.01
OF_SIZE = 1e-5
"""A tolerance below this share of the scores' size would be decided by rounding."""
VERDICTS = {True: Verdict.HOLDS, False: Verdict.VIOLATED, None: Verdict.UNDECIDED}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LevelFacts:
    """The levels of both sides, the verdict on their difference, and what a baseline keeps, if it is asked for."""

    level: Level
    verdict: Verdict
    sample: Sample | None


def compare_levels(
    context: Context,
    subject: Subject,
    same: SameLevel,
    values: Values,
    *,
    keeps: bool,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> LevelFacts:
    """The levels of the pair's two sides, on as many latents of the seed as decide; `keeps` asks for the sample.

    Raises `InvalidArgument` for a tolerance that is smaller than rounding, and `GeneratorError` if the sides make
    outputs of different shapes.
    """
    pilot, start = _pilot(context, subject, same)
    _check_shapes(context, subject, pilot)
    own, other = _scores(pilot, same)
    tolerance = _tolerance(pilot, same, max(np.abs(own).max(), np.abs(other).max()))
    test = LevelTest.within(tolerance, own - other, ALPHA)
    stream = Stream(values.seed, partial(real, same.probes, subject.generator.latent))
    budget = values.budget - start
    candidate, reference, decision = np.empty(0), np.empty(0), LevelDecision(None, 0, 0.0, 0.0)
    while decision.holds is None and (n := len(candidate)) < budget:
        size = min(context.batch_size, LOOK if context.slow else MAX_BLOCK, budget - n)
        evidence = context.evidence(subject, same.probes, stream.probes(start + n, size))
        own, other = _scores(evidence, same)
        for side in (evidence, evidence.reference):
            context.maker.audit.judged(side.measurements, None)
        candidate, reference = np.concatenate([candidate, own]), np.concatenate([reference, other])
        decision = test.decide(candidate - reference, ends=len(candidate) == budget)
        watch(len(candidate), 0)
    level = _level(same, pilot, test, decision, candidate[: decision.n], reference[: decision.n], budget)
    sample = _sample(context, subject, same, pilot, values.seed) if keeps else None
    return LevelFacts(level, VERDICTS[decision.holds], sample)


def _level(
    same: SameLevel,
    pilot: Observed,
    test: LevelTest,
    decision: LevelDecision,
    candidate: Floats,
    reference: Floats,
    budget: int,
) -> Level:
    """The record of the scores [n] of both sides at the look that decided."""
    alpha = ALPHA if decision.holds else ALPHA / 2
    low, high = test.interval(candidate - reference, alpha)
    in_deviations = isinstance(same.within, StandardDeviations)
    return Level(
        attribute=describe(same.attribute),
        tolerance=test.least,
        candidate=in_six_digits(float(candidate.mean())),
        reference=in_six_digits(float(reference.mean())),
        difference=in_six_digits(float((candidate - reference).mean())),
        low=in_six_digits(low),
        high=in_six_digits(high),
        each_end=1.0 - alpha,
        latents=decision.n,
        budget=budget,
        log_within=in_six_digits(decision.log_certified),
        log_beyond=in_six_digits(decision.log_refuted),
        needed_within=test.needed_certified,
        needed_beyond=test.needed_refuted,
        alpha=ALPHA,
        sd=next(iter(pilot.spreads.values())) if in_deviations else None,
    )


def _sample(context: Context, subject: Subject, same: SameLevel, pilot: Observed, seed: int) -> Sample:
    """What a baseline keeps to tell that a candidate was measured in the same way; it has no margins."""
    name = describe(same.attribute)
    codes = context.measuring.codes({name: same.attribute})
    return Sample(
        seed=seed,
        generator=subject.fingerprint,
        space=subject.generator.latent.key,
        margins=pack([]),
        measures={name: fingerprint(context.measuring.bound(same.attribute))},
        spreads=dict(pilot.spreads),
        codes=codes,
        python=PYTHON if codes else "",
    )


def _pilot(context: Context, subject: Subject, same: SameLevel) -> tuple[Observed, int]:
    """The pilot, and the place in the stream where the test begins.

    The pilot is the examined samples. A reference of which outputs are kept has no others, so the first of those are
    the pilot, and the test begins after them.
    """
    known = subject.known_probes
    if known is None:
        return samples(context, subject), 0
    if len(known) < EXAMINED + 2 * LOOK:
        raise InvalidArgument(
            f"outputs of {len(known)} {noun(len(known), 'probe')} are kept, "
            f"and {same} needs {EXAMINED + 2 * LOOK}: bless again with more"
        )
    return context.evidence(subject, same.probes, known[:EXAMINED]), EXAMINED


def _scores(evidence: Observed, same: SameLevel) -> tuple[Floats, Floats]:
    """The scores [n] of both sides."""
    sides = (evidence, evidence.reference)
    own, other = (side.scores(same.attribute)[:, 0].double().cpu().numpy() for side in sides)
    return np.asarray(own), np.asarray(other)


def _tolerance(pilot: Observed, same: SameLevel, size: float) -> float:
    """The tolerance in the attribute's units. Raises `InvalidArgument` if rounding of scores of `size` reaches it."""
    tolerance = pilot.in_units(same.within, same.attribute)
    least = OF_SIZE * size
    if pilot.measurements.subject.known_probes is not None:
        least = max(least, float(pilot.rounding_of_reference(same.attribute).max()))
    if tolerance < least:
        raise InvalidArgument.expected(
            f"a tolerance of at least {least:.2g}, since scores of size {size:.3g} are rounded",
            "within",
            same.within,
        )
    return tolerance


def _check_shapes(context: Context, subject: Subject, pilot: Observed) -> None:
    own, other = (
        list((side.images if seen is None else seen).shape[2:])
        for side in (pilot, pilot.reference)
        for seen in [context.examined.get(side.measurements.subject.key)]
    )
    if own != other:
        raise GeneratorError(
            f"the candidate makes outputs {own} and the reference {other}: bring one to the shape of the other"
        )
