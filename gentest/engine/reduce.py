"""Reduction: which coordinate groups a counterexample needs, by delta debugging in batches.

Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input" (ddmin), with all the candidates of a
round asked at once, and several counterexamples reduced side by side: the one that ends smallest is kept. The order of
candidates and the rounds depend on nothing but the answers, so the result does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from itertools import pairwise

from gentest.probes import Probe

Groups = tuple[int, ...]
Rounds = Generator[list[Groups], list[bool], None]

SIDE_BY_SIDE = 3
"""Counterexamples that are reduced at once."""


class _Reduction:
    """Delta debugging of one counterexample: gives the candidates of a round, takes their answers."""

    def __init__(self, probe: Probe, n_groups: int, *, may_be_empty: bool) -> None:
        self.probe = probe
        self.groups: Groups = tuple(g for g in range(n_groups) if probe.mask >> g & 1)
        self._rounds = self._ddmin(may_be_empty=may_be_empty)
        self.candidates: list[Groups] = next(self._rounds, [])

    def at(self, groups: Groups) -> Probe:
        """The counterexample with these groups only."""
        return replace(self.probe, mask=sum(1 << g for g in groups))

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
    n_groups: int,
    violates: Callable[[list[Probe]], list[bool]],
    *,
    budget: int,
    may_be_empty: bool,
) -> Probe:
    """Of the failing probes, the first few reduced: the one that needs fewest groups, the earliest of equals.

    `violates` answers for a list of probes at once; at most about `budget` are asked about. `may_be_empty` says that a
    probe without any group is still a real one (a single point), so that it can show that no group matters.
    """
    reductions = [_Reduction(probe, n_groups, may_be_empty=may_be_empty) for probe in failing[:SIDE_BY_SIDE]]
    while active := [r for r in reductions if r.candidates]:
        if any(len(r.groups) <= 1 for r in reductions):
            break
        asked = [r.at(groups) for r in active for groups in r.candidates]
        if budget < len(asked):
            if len(active) == 1:
                break
            reductions[reductions.index(active[-1])].candidates = []
            continue
        budget -= len(asked)
        answers = iter(violates(asked))
        for reduction in active:
            reduction.answer([next(answers) for _ in reduction.candidates])
    best = min(reductions, key=lambda r: len(r.groups))
    return best.at(best.groups) if len(best.groups) < n_groups else best.probe


def _chunks(groups: Groups, n: int) -> list[Groups]:
    edges = [round(i * len(groups) / n) for i in range(n + 1)]
    return [groups[a:b] for a, b in pairwise(edges) if b > a]
