"""The sample of a property that a baseline keeps, or that a candidate is compared by.

It has the margins of independent probes and a summary of the outputs. A candidate is evaluated on the baseline's
probes, in their order, until the paired test fires. The test looks at fixed places (`gentest.stats.paired.LOOK`), so
its decision does not depend on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import fingerprint
from gentest.engine.cost import BudgetSpent
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.measuring import PYTHON
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.output_store import Recall
from gentest.engine.evidence.plans import Stream
from gentest.engine.evidence.subject import Subject
from gentest.engine.explain import observed
from gentest.engine.methods.problem import Problem
from gentest.engine.outputs_summary import summarize_outputs
from gentest.errors import GeneratorError
from gentest.gate.paired_samples import compare_outcomes
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.results.comparison import Look, Sample, Terms
from gentest.results.records import pack, unpack


class Keeper(Protocol):
    """Takes the outputs of generators that a baseline is to keep."""

    @property
    def n(self) -> int:
        """Number of probes whose outputs are kept."""

    def needs(self, test: str, subject: Subject, seed: int) -> bool:
        """Whether nobody has given the outputs of a generator yet. Notes that the test checks it."""

    def keep(self, subject: Subject, seed: int, outputs: NDArray[np.float32], span: float) -> None:
        """Keep the outputs float32 [n, *shape] of the seed's first probes; `span` is the unit of their differences."""


def keep_outputs(context: Context, subject: Subject, test: str, seed: int, keeper: Keeper) -> None:
    """Give a keeper a generator's outputs of the seed's first probes, unless it has them.

    Takes outputs that are in memory, and makes the others.
    """
    if not keeper.needs(test, subject, seed):
        return
    probes = independent(seed, 0, keeper.n)
    rows = {probe: output.cpu().numpy() for probe, output in context.pool.outputs_of(subject, probes)}
    missing = [probe for probe in probes if probe not in rows]
    while missing:
        block, missing = missing[: context.batch_size], missing[context.batch_size :]
        evidence = context.evidence(subject, points(), block, recall=Recall.EXACT)
        outputs = evidence.images[:, 0].cpu().numpy()
        rows.update(zip(block, outputs, strict=True))
    keeper.keep(subject, seed, np.stack([rows[probe] for probe in probes]), context.measuring.unit(subject))


@dataclass(frozen=True)
class SampleFacts:
    """A sample, and the number of probes that the run's budget left out."""

    sample: Sample
    missing: int = 0


def take_sample(
    problem: Problem, *, n: int, baseline: Sample | None, terms: Terms, looks: bool, blesses: bool
) -> SampleFacts:
    """The first `n` independent probes; or, with n = 0, those of the baseline until the paired test fires.

    `looks` adds a summary of the outputs, and `blesses` says that the sample becomes a baseline. A comparison keeps as
    many probes as the budget reaches for. Raises `BudgetSpent` if a baseline would be left with fewer than `n`.
    """
    context, subject = problem.judge.context, problem.judge.subject
    seed = problem.values.seed if baseline is None else baseline.seed
    stream = problem.stream(seed=seed)
    if baseline is None or n:
        margins, missing = _margins(problem, stream, n)
    else:
        margins, missing = _margins_until_decided(problem, stream, baseline, terms)
    if missing and (baseline is None or not margins):
        raise BudgetSpent(context.budget.bound)
    looks = looks and not missing
    evidence = observed(problem.judge, stream.probes(0, 1)[0])
    things: dict[str, Attribute | Feature | Distance] = {**evidence.attributes, **evidence.named_features}
    things |= evidence.named_distances
    codes = context.measuring.codes(things)
    sample = Sample(
        seed=seed,
        generator=subject.fingerprint,
        space=subject.generator.latent.key,
        margins=pack(margins),
        measures={name: fingerprint(context.measuring.bound(thing)) for name, thing in things.items()},
        spreads=dict(evidence.spreads),
        codes=codes,
        python=PYTHON if codes else "",
        look=_summary(problem, evidence, seed, blesses=blesses) if looks else None,
    )
    return SampleFacts(sample, missing)


def _margins(
    problem: Problem, stream: Stream, n: int, n_decided: Callable[[list[float]], int | None] = lambda margins: None
) -> tuple[list[float], int]:
    """The margins of the first `n` probes; or of fewer, once `n_decided` gives their number after some block.

    Also gives the number of probes that the run's budget left out.
    """
    margins: list[float] = []
    while len(margins) < n:
        size = min(problem.block, n - len(margins))
        evaluated = problem.within_budget(problem.judge.margins, stream.probes(len(margins), size))
        margins += evaluated
        problem.watch(len(margins), 0)
        if (decided := n_decided(margins)) is not None:
            return margins[:decided], 0
        if not evaluated:
            return margins, n - len(margins)
    return margins, 0


def _margins_until_decided(problem: Problem, stream: Stream, baseline: Sample, terms: Terms) -> tuple[list[float], int]:
    """The margins of the baseline's probes until the comparison of outcomes fires, or of all of them.

    Also gives the number of probes that the run's budget left out.
    """
    blessed = unpack(baseline.margins, "margins")

    def n_decided(margins: list[float]) -> int | None:
        both, paired = compare_outcomes(blessed, margins, terms)
        return int(both.places[paired.probes - 1]) + 1 if paired.fired else None

    return _margins(problem, stream, len(blessed), n_decided)


def _summary(problem: Problem, evidence: Observed, seed: int, *, blesses: bool) -> Look | None:
    """The summary of the outputs; None if a property that judges broken outputs has found that they are broken."""
    judge = problem.judge
    with suppress(*((GeneratorError,) if judge.definition.total else ())):
        return summarize_outputs(
            judge.context, judge.subject, evidence.attributes, evidence.named_features, seed, blesses=blesses
        )
    return None
