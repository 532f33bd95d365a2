"""The sample of a slow generator, or of a quick blessing: levels of outputs, and outcomes of single latents.

All of it looks at the same few latents, the first independent ones of the seed, so that attributes, rates and further
properties share images. A blessing takes them all. A candidate stops where everything is decided: each level (every 8
latents), and each property that judges single latents, if no more of them are lost than won.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from gentest.attributes import Attribute
from gentest.attributes.attribute import fingerprint
from gentest.engine.cost import SLOW_BLOCK, BudgetSpent
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.measuring import PYTHON
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.subject import Subject
from gentest.engine.methods.baseline_sample import SampleFacts
from gentest.engine.methods.problem import MAX_BLOCK, Problem
from gentest.gate import quick
from gentest.gate.paired_samples import compare_outcomes
from gentest.probes.families import points
from gentest.probes.probe import Probe, independent
from gentest.results.comparison import Look, Sample, Terms
from gentest.results.level_claim import LevelLimits
from gentest.results.outcome import Verdict
from gentest.results.records import pack, unpack
from gentest.stats.levels import LevelTest
from gentest.stats.paired import LOOK

QUICK = 256
"""Latents of a quick blessing by default. A level whose differences spread by one standard deviation takes 100."""

Scores = dict[str, list[float]]


@dataclass
class Levels:
    """The scores of a generator's first outputs by some attributes, and what a baseline's scores ask of them."""

    context: Context
    subject: Subject
    attributes: Mapping[str, Attribute]
    seed: int
    scores: Scores = field(default_factory=dict)

    def take(self, n: int) -> int:
        """Score the first `n` outputs; as many as the budget reaches for, which is the number that this gives."""
        for _ in self._blocks(n):
            pass
        return self.n

    def take_until_decided(self, tests: Mapping[str, tuple[LevelTest, NDArray[np.float64]]]) -> int:
        """Score outputs until each of some tests is decided, or the baseline's scores end. Gives how many are missing.

        `tests` has, by the name of an attribute, the test and the baseline's scores [n].
        """
        most = max((len(before) for _, before in tests.values()), default=0)
        for _ in self._blocks(most):
            if all(self._is_decided(name, *asked) for name, asked in tests.items()):
                return 0
        return most - self.n

    @property
    def n(self) -> int:
        """Outputs scored so far."""
        return min(map(len, self.scores.values()), default=0)

    @property
    def look(self) -> Look | None:
        """The scores as a baseline keeps them; None if there are none."""
        return Look({name: pack(scores) for name, scores in self.scores.items()}, {}) if self.n > 1 else None

    def _is_decided(self, name: str, test: LevelTest, before: NDArray[np.float64]) -> bool:
        now = np.array(self.scores[name])
        return len(now) >= len(before) or quick.decided(test, before, now).holds is not None

    def _blocks(self, most: int) -> Iterator[None]:
        """Score one block of outputs after the other: the blocks in which a rate looks at single latents."""
        context = self.context
        while self.attributes and self.n < most:
            size = min(context.batch_size, SLOW_BLOCK if context.slow else MAX_BLOCK) * context.n_processes
            size = context.budget.affordable(min(size, most - self.n), 1)
            if not size:
                return
            try:
                evidence = context.evidence(self.subject, points(), independent(self.seed, self.n, size))
                measured = {name: evidence.scores(attribute)[:, 0] for name, attribute in self.attributes.items()}
            except BudgetSpent:
                return
            for name, scores in measured.items():
                self.scores.setdefault(name, []).extend(scores.float().double().cpu().tolist())  # as a file has them
            context.maker.audit.judged(evidence.measurements, None)
            yield


def take_quick_sample(
    problem: Problem, first: tuple[Probe, ...], verdict: Verdict, *, n: int, baseline: Sample | None, terms: Terms
) -> SampleFacts:
    """The quick sample of a property that judges probe by probe.

    `n` is the number of latents of a blessing. `first` are probes that the property was judged on, in one block, and
    `verdict` is what they all say. A candidate is compared with `baseline` by `terms`.
    """
    context, subject, definition = problem.judge.context, problem.judge.subject, problem.judge.definition
    seed = problem.values.seed if baseline is None else baseline.seed
    evidence = _measured(problem, first)
    levels = Levels(context, subject, dict(evidence.attributes), seed)
    compares = definition.probes.n_points == 1 and not definition.again
    before = () if baseline is None else unpack(baseline.margins, "margins")
    margins: list[float] = []
    if baseline is None:
        missing = n - levels.take(n) if levels.attributes else 0
        margins = _margins(problem, seed, n) if compares else []
        missing = max(missing, n - len(margins) if compares else 0)
        if missing:
            raise BudgetSpent(context.budget.bound)
    else:
        missing = levels.take_until_decided(decisive_tests(baseline.look, levels.attributes, terms, None))
        while compares and len(margins) < len(before) and not _is_decided(before, margins, verdict, terms):
            more = _margins(problem, seed, min(problem.block, len(before) - len(margins)), start=len(margins))
            if not more:
                missing = max(missing, LOOK)
                break
            margins += more
    codes = context.measuring.codes({**evidence.attributes, **evidence.named_features, **evidence.named_distances})
    return SampleFacts(
        Sample(
            seed=seed,
            generator=subject.fingerprint,
            space=subject.generator.latent.key,
            margins=pack(margins),
            measures={
                name: fingerprint(context.measuring.bound(thing))
                for things in (evidence.attributes, evidence.named_features, evidence.named_distances)
                for name, thing in things.items()
            },
            spreads=dict(evidence.spreads),
            look=levels.look,
            codes=codes,
            python=PYTHON if codes else "",
            quick=True,
        ),
        missing,
    )


def decisive_tests(
    before: Look | None, attributes: Mapping[str, Attribute], terms: Terms, limits: LevelLimits | None
) -> dict[str, tuple[LevelTest, NDArray[np.float64]]]:
    """The tests of those levels that a baseline keeps, each with its scores. `limits` are of the only one, or None."""
    tests = {}
    for name in attributes:
        if len(scores := quick.scores(before, name)):
            asked = limits or quick.either_side(name)
            common = {"alpha": terms.alpha, "claims": terms.claims, "candidates": terms.checkpoints}
            tests[name] = quick.level_test(scores, asked, **common), scores  # type: ignore[arg-type]
    return tests


def _measured(problem: Problem, first: tuple[Probe, ...]) -> Observed:
    """What the property measures, on probes that it was judged on."""
    judge = problem.judge
    evidence = judge.evidence(list(first), judge.local.under[0])
    with torch.no_grad():
        judge.definition.margin(evidence)
    return evidence


def _margins(problem: Problem, seed: int, n: int, *, start: int = 0) -> list[float]:
    """The margins of `n` independent probes from `start` on; of fewer where the budget ends."""
    stream, margins = problem.stream(seed=seed), list[float]()
    while len(margins) < n:
        block = stream.probes(start + len(margins), min(problem.block, n - len(margins)))
        evaluated = problem.within_budget(problem.judge.margins, block)
        if not evaluated:
            break
        margins += evaluated
    return margins


def _is_decided(before: Sequence[float], margins: Sequence[float], verdict: Verdict, terms: Terms) -> bool:
    """True if the outcomes suffice: the paired test fires, or the property's own verdict decides.

    The verdict decides after the first look, unless the candidate has lost more probes than it won.
    """
    if len(margins) < LOOK:
        return False
    both, paired = compare_outcomes(before, margins, terms)
    was, now = both.baseline[: len(both.candidate)], both.candidate
    is_behind = int((was & ~now).sum()) > int((~was & now).sum())
    certain = verdict in (Verdict.HOLDS, Verdict.NO_COUNTEREXAMPLE)
    return bool(paired.fired) or (certain and not is_behind)
