"""Reduction: the worst of some failing probes, and a minimal one.

Delta debugging finds the coordinate groups that a counterexample needs (Zeller and Hildebrandt 2002, "Simplifying and
isolating failure-inducing input", ddmin). Each round asks about all of its candidates in one batch, and several
counterexamples are reduced side by side. One of them may end on a group that fails only by chance: its path happens to
brush the defect. The group on which most of them end is the cause. Candidates and rounds depend on the answers alone,
and so does the result.

Then Hypothesis draws simpler structures of the reduced probe: narrower windows of its path and lower choices. It never
draws another seed, since a seed is a label and a smaller number is no simpler. Batches make this fast: Hypothesis's own
shrinker took 20 to 64 calls, one after the other, where this takes at most `ROUNDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gentest.engine.methods.problem import Problem
from gentest.probes import shifts, strategies
from gentest.probes.ends import shifted_groups, with_shift_of
from gentest.probes.families import Probes
from gentest.probes.probe import Probe, active_groups
from gentest.spaces import Space

Groups = tuple[int, ...]
Violates = Callable[[list[Probe]], list[bool]]

MIN_BUDGET = 64
"""A reduction asks about no more probes than the search looked at, or about this many after a short search."""
POOL = 16
"""The most counterexamples that are reduced: a fresh one is often faster than one that is stuck."""
ROUND = 14
"""Candidates of a round: as paths of 9 latents, they fill a batch of 128. A constant, so that no result depends on the
batch size in force."""
ROUNDS = 4
"""Rounds of simpler structures."""


@dataclass(frozen=True)
class ReductionFacts:
    """The failing probe with the smallest margin, that margin, and the minimal probe. Each violates alone."""

    worst: Probe
    min_margin: float
    minimal: Probe


def reduce(problem: Problem, failing: Sequence[Probe]) -> ReductionFacts:
    """The worst and the minimal of some failing probes. Raises `GeneratorError` if one does not violate alone.

    A reduced probe may violate more than any that it comes from: then it is the worst as well. Where outputs of a few
    probes are kept, no simpler probe can be compared, and the worst is the minimal one too.
    """
    judge, values = problem.judge, problem.values
    worst = _confirmed(problem, judge.worst(failing))
    if problem.known_probes is not None:
        return ReductionFacts(worst, judge.alone(worst), worst)
    budget = min(values.reduce, max(values.examples, MIN_BUDGET))

    def violates(probes: list[Probe]) -> list[bool]:
        usable = problem.usable(probes)
        margins = dict(zip(usable, judge.margins(usable), strict=True))
        return [margins.get(probe, 0.0) < 0 for probe in probes]

    samples = [probe for probe in failing if not probe.shift] or failing  # a sample of the prior needs no attack
    confirmed = [_confirmed(problem, probe) for probe in samples[:POOL]]
    reduced = _confirmed(problem, _with_fewest_groups(problem, confirmed, violates, budget))
    space, family = judge.subject.generator.latent, judge.definition.probes
    minimal = _confirmed(problem, simplify(reduced, space, family, violates, seed=values.seed, budget=budget))
    margin = judge.alone(worst)
    return ReductionFacts(minimal if judge.alone(minimal) < margin else worst, margin, minimal)


def first_and_worst(problem: Problem, failing: Sequence[Probe]) -> ReductionFacts:
    """The worst and the first of the failing probes of all inputs. Raises `GeneratorError` as `reduce` does.

    The first has the first entry and the lowest choices. Other probes of a finite space are the same inputs again, so
    there is nothing to reduce.
    """
    worst, first = (_confirmed(problem, probe) for probe in (problem.judge.worst(failing), failing[0]))
    return ReductionFacts(worst, problem.judge.alone(worst), first)


def _confirmed(problem: Problem, probe: Probe) -> Probe:
    """A probe that violates in a batch, once it violates alone as well."""
    problem.judge.confirm(probe, problem.judge.alone(probe))
    return probe


def _with_fewest_groups(problem: Problem, failing: Sequence[Probe], violates: Violates, budget: int) -> Probe:
    """Reduces the groups that the far end changes; for probes of an attack, the groups that it moved."""
    definition, space = problem.judge.definition, problem.judge.subject.generator.latent
    attacked = bool(failing[0].shift)
    if not definition.reducible and not attacked:
        return failing[0]
    return reduce_groups(
        failing,
        shift(space, len(definition.probes.streams)) if attacked else far_end(space),
        violates,
        budget=budget,
        may_be_empty=definition.probes.n_points == 1 and not attacked,
    )


@dataclass(frozen=True)
class Axis:
    """One way to take coordinate groups away: the groups of a probe, and the probe with only some of them."""

    groups: Callable[[Probe], Groups]
    only: Callable[[Probe, Groups], Probe]


def far_end(space: Space) -> Axis:
    """The groups in which a probe's far end differs from its near end."""
    n = len(space.groups)
    return Axis(
        lambda probe: active_groups(probe, n), lambda probe, groups: replace(probe, mask=sum(1 << g for g in groups))
    )


def shift(space: Space, n_ends: int) -> Axis:
    """The groups that an attack moved, at any of a probe's ends."""
    return Axis(
        lambda probe: shifted_groups(space, n_ends, probe),
        lambda probe, groups: with_shift_of(space, n_ends, probe, groups),
    )


class _Reduction:
    """Delta debugging of one counterexample: `candidates` are those of the next round, empty at the end."""

    def __init__(self, probe: Probe, axis: Axis, *, may_be_empty: bool) -> None:
        self.probe = probe
        self._axis = axis
        self.groups: Groups = axis.groups(probe)
        self._rounds = self._ddmin(may_be_empty=may_be_empty)
        self.candidates: list[Groups] = next(self._rounds, [])

    def with_only(self, groups: Groups) -> Probe:
        """The counterexample with these groups only."""
        return self._axis.only(self.probe, groups)

    def answer(self, violates: list[bool]) -> None:
        """Takes a round's answers, in the order of its candidates."""
        try:
            self.candidates = self._rounds.send(violates)
        except StopIteration:
            self.candidates = []

    def _ddmin(self, *, may_be_empty: bool) -> Generator[list[Groups], list[bool], None]:
        if may_be_empty:
            (needs_none,) = yield [()]
            if needs_none:
                self.groups = ()
                return
        n = 2
        while len(self.groups) > 1:
            chunks = _chunks(self.groups, n)
            rests = [tuple(g for g in self.groups if g not in chunk) for chunk in chunks] if n > 2 else []
            answers = yield [*chunks, *rests]
            smaller = [c for c, violates in zip([*chunks, *rests], answers, strict=True) if violates]
            if smaller:
                self.groups = min(smaller, key=len)
                n = 2 if self.groups in chunks else max(n - 1, 2)
            elif n < len(self.groups):
                n = min(2 * n, len(self.groups))
            else:
                return


def reduce_groups(
    failing: Sequence[Probe], axis: Axis, violates: Violates, *, budget: int, may_be_empty: bool
) -> Probe:
    """The reduced probe with the fewest groups along an axis; among equals, the one whose groups others need too.

    `violates` answers for a list of probes, and is asked about at most `budget` probes in all. `may_be_empty` says that
    a probe without groups is valid (a single point), and can show that no group matters.
    """
    reductions = [_Reduction(probe, axis, may_be_empty=may_be_empty) for probe in failing[:POOL]]
    while not _agreed(reductions) and (chosen := _next_round(reductions, budget)):
        candidates = [r.with_only(groups) for r in chosen for groups in r.candidates]
        budget -= len(candidates)
        answers = iter(violates(candidates))
        for reduction in chosen:
            reduction.answer([next(answers) for _ in reduction.candidates])
    n_shared = {r: sum(set(r.groups) <= set(other.groups) for other in reductions) for r in reductions}
    best = min(reductions, key=lambda r: (len(r.groups), -n_shared[r]))
    return best.with_only(best.groups) if best.groups != axis.groups(best.probe) else best.probe


def _agreed(reductions: Sequence[_Reduction]) -> bool:
    """Whether two counterexamples came down to the same single group, or all of them to one group each."""
    ends = [r.groups for r in reductions if len(r.groups) <= 1]
    return len(ends) == len(reductions) or any(ends.count(groups) > 1 for groups in ends)


def _next_round(reductions: Sequence[_Reduction], budget: int) -> list[_Reduction]:
    """The reductions whose candidates fill the next round: those that are still halving, the furthest first."""
    chosen: list[_Reduction] = []
    n = 0
    active = (r for r in reductions if r.candidates)
    for reduction in sorted(active, key=lambda r: (len(r.candidates), len(r.groups))):
        n += len(reduction.candidates)
        if n > budget or (chosen and n > ROUND):
            break
        chosen.append(reduction)
    return chosen


def _chunks(groups: Groups, n: int) -> list[Groups]:
    edges = [round(i * len(groups) / n) for i in range(n + 1)]
    return [groups[a:b] for a, b in pairwise(edges) if b > a]


def simplify(probe: Probe, space: Space, family: Probes, violates: Violates, *, seed: int, budget: int) -> Probe:
    """The simplest structure of a probe that still violates, after a few rounds; seed and groups stay the same.

    Lower choices count first, then a smaller shift by an attack, then a narrower window. `violates` is asked about at
    most `budget` probes.
    """
    for _ in range(min(ROUNDS, budget // ROUND)):
        drawn = strategies.draw(strategies.simpler(probe, space, family), ROUND, seed)
        candidates = [candidate for candidate in drawn if _size(candidate) < _size(probe)]
        failing = [c for c, violated in zip(candidates, violates(candidates), strict=True) if violated]
        if not failing:
            break
        probe = min(failing, key=_size)
    return probe


def _size(probe: Probe) -> tuple[int, float, int]:
    low, high = probe.window
    return sum(probe.choices), float(np.linalg.norm(shifts.to_scores(probe.shift))), high - low
