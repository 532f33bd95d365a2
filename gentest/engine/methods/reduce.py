"""Reduction: which coordinate groups a counterexample needs, by delta debugging in batches.

Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input" (ddmin), with all the candidates of a
round asked at once, and several counterexamples reduced side by side. One of them may end on a group that brings it
about only by chance (a path through other coordinates brushes the defect); the group that most of them end on is the
cause. The order of candidates and the rounds depend on nothing but the answers, so neither does the result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gentest.probes.ends import shifted_groups, with_shift_of
from gentest.probes.probe import Probe, active_groups
from gentest.spaces import Space

Groups = tuple[int, ...]
Rounds = Generator[list[Groups], list[bool], None]

POOL = 16
"""Counterexamples that may be reduced: a fresh one is often quicker than one that is stuck."""
ROUND = 14
"""Candidates of a round: paths of 9 latents, they fill a batch of 128. A constant, so that no result depends on the
batch size in force."""


@dataclass(frozen=True)
class Axis:
    """What is taken away: which coordinate groups a probe has of it, and the probe with some of them only."""

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
    """Delta debugging of one counterexample: gives the candidates of a round, takes their answers."""

    def __init__(self, probe: Probe, axis: Axis, *, may_be_empty: bool) -> None:
        self.probe = probe
        self._axis = axis
        self.groups: Groups = axis.groups(probe)
        self._rounds = self._ddmin(may_be_empty=may_be_empty)
        self.candidates: list[Groups] = next(self._rounds, [])

    def at(self, groups: Groups) -> Probe:
        """The counterexample with these groups only."""
        return self._axis.only(self.probe, groups)

    def answer(self, violates: list[bool]) -> None:
        """Takes a round's answers, in the order of its candidates."""
        try:
            self.candidates = self._rounds.send(violates)
        except StopIteration:
            self.candidates = []

    def _ddmin(self, *, may_be_empty: bool) -> Rounds:
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
    failing: Sequence[Probe],
    axis: Axis,
    violates: Callable[[list[Probe]], list[bool]],
    *,
    budget: int,
    may_be_empty: bool,
) -> Probe:
    """Of the first few failing probes, reduced: the one that needs fewest groups, of equals those that others need too.

    `axis` says of what: of the coordinates that the far end changes, or that an attack moved.

    `violates` answers for a list of probes at once; at most `budget` are asked about. `may_be_empty` says that a probe
    without any group is still a real one (a single point), so that it can show that no group matters.
    """
    reductions = [_Reduction(probe, axis, may_be_empty=may_be_empty) for probe in failing[:POOL]]
    while not _agreed(reductions) and (chosen := _next(reductions, budget)):
        asked = [r.at(groups) for r in chosen for groups in r.candidates]
        budget -= len(asked)
        answers = iter(violates(asked))
        for reduction in chosen:
            reduction.answer([next(answers) for _ in reduction.candidates])
    shared = {r: sum(set(r.groups) <= set(other.groups) for other in reductions) for r in reductions}
    best = min(reductions, key=lambda r: (len(r.groups), -shared[r]))
    return best.at(best.groups) if best.groups != axis.groups(best.probe) else best.probe


def _agreed(reductions: Sequence[_Reduction]) -> bool:
    """Whether two counterexamples came down to the same single group (or all there are to one)."""
    ends = [r.groups for r in reductions if len(r.groups) <= 1]
    return len(ends) == len(reductions) or any(ends.count(groups) > 1 for groups in ends)


def _next(reductions: Sequence[_Reduction], budget: int) -> list[_Reduction]:
    """Whose candidates are asked about next, as many as fill a round: those still halving, the furthest first."""
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
