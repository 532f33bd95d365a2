"""Delta debugging: the parts of an input that a failure needs (Zeller and Hildebrandt 2002, "Simplifying and isolating
failure-inducing input", ddmin).

Each round has all of its candidates ready at once, so that one batch answers it. Parts are numbers: coordinate groups
of a probe, or words of a text.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import pairwise

Groups = tuple[int, ...]

ROUND = 14
"""Candidates of a round: as paths of 9 latents, they fill a batch of 128. A constant, so that no result depends on the
batch size in force."""


class DeltaDebugging:
    """Delta debugging of some groups: `candidates` are those of the next round, empty at the end.

    >>> search = DeltaDebugging((0, 1, 2, 3, 4))
    >>> while search.candidates:
    ...     search.answer([{1, 4} <= set(groups) for groups in search.candidates])
    >>> search.groups
    (1, 4)
    """

    def __init__(self, groups: Groups, *, may_be_empty: bool = False) -> None:
        self.groups = groups
        self._rounds = self._ddmin(may_be_empty=may_be_empty)
        self.candidates: list[Groups] = next(self._rounds, [])

    def answer(self, violates: list[bool]) -> None:
        """Takes a round's answers, in the order of its candidates."""
        try:
            self.candidates = self._rounds.send(violates)
        except StopIteration:
            self.candidates = []

    def _ddmin(self, *, may_be_empty: bool) -> Generator[list[Groups], list[bool], None]:
        if may_be_empty and self.groups:
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


def _chunks(groups: Groups, n: int) -> list[Groups]:
    edges = [round(i * len(groups) / n) for i in range(n + 1)]
    return [groups[a:b] for a, b in pairwise(edges) if b > a]
