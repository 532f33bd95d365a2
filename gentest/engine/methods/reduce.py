"""Reduction: the worst of some failing probes, and a minimal one.

Delta debugging finds the coordinate groups that a counterexample needs (Zeller and Hildebrandt 2002, "Simplifying and
isolating failure-inducing input", ddmin). Each round asks about all of its candidates in one batch, and several
counterexamples are reduced side by side. One of them may end on a group that fails only by chance: its path happens to
brush the defect. The group on which most of them end is the cause. Candidates and rounds depend on the answers alone,
and so does the result.

A point without any of its coordinates is its near end: another sample of the prior with the same choices. It fails as
often as any other sample, so one that fails may be a coincidence. No coordinate matters only if most of the
counterexamples fail without theirs. Otherwise those that do say nothing about coordinates, and the rest is reduced.

A slot of a condition (`gentest.OneOf`, `gentest.Template`) that is not at its first value is taken away as a group is:
by its first value. So noise and words are reduced together. Each slot that is needed is then lowered alone, toward its
first value. A position of a grid of codes (`gentest.Codes`) is taken away by the grid's blank code.

Then Hypothesis draws simpler structures of the reduced probe: narrower windows of its path and lower choices. It never
draws another seed, since a seed is a label and a smaller number is no simpler. Batches make this fast: Hypothesis's own
shrinker took 20 to 64 calls, one after the other, where this takes at most `ROUNDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from gentest.engine.delta_debugging import ROUND, DeltaDebugging, Groups
from gentest.engine.methods.problem import Problem, chosen, columns_of
from gentest.errors import GentestError
from gentest.probes import shifts, strategies
from gentest.probes.ends import code_spans, shifted_groups, with_shift_of
from gentest.probes.families import Probes
from gentest.probes.probe import Probe, active_groups
from gentest.results.counterexample import FewerWords
from gentest.spaces import Condition, OneOf, Space
from gentest.spaces.space import Slot

Violates = Callable[[list[Probe]], list[bool]]

MIN_BUDGET = 64
"""A reduction asks about no more probes than the search looked at, or about this many after a short search."""
POOL = 16
"""The most counterexamples that are reduced: a fresh one is often faster than one that is stuck."""
ROUNDS = 4
"""Rounds of simpler structures, and of lower values of a slot."""
MOST_LOWER = ROUNDS * ROUND
"""A slot with more lower values is tried at some of them."""


@dataclass(frozen=True)
class ReductionFacts:
    """The failing probe with the smallest margin, that margin, and the minimal probe. Each violates alone."""

    worst: Probe
    min_margin: float
    minimal: Probe
    fewer_words: FewerWords | None = None
    """A text outside the prior that fails like the minimal probe's, with fewer words; None if none was found."""


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
    samples = with_choices(problem, samples[:POOL])
    confirmed = [_confirmed(problem, probe) for probe in samples]
    reduced = _confirmed(problem, _with_fewest_groups(problem, confirmed, violates, budget))
    space, family = judge.subject.generator.latent, judge.definition.probes
    lowered = lower_slots(reduced, space, violates, budget=budget)
    minimal = _confirmed(problem, simplify(lowered, space, family, violates, seed=values.seed, budget=budget))
    margin = judge.alone(worst)
    fewer = fewer_words(problem, minimal, budget=budget)
    return ReductionFacts(minimal if judge.alone(minimal) < margin else worst, margin, minimal, fewer)


def with_choices(problem: Problem, probes: Sequence[Probe]) -> list[Probe]:
    """The probes with the choices that their seeds make, in a space with conditions: each may be reduced alone."""
    space, family = problem.judge.subject.generator.latent, problem.judge.definition.probes
    if not any(part.has_values and part.slots for part in space.parts.values()):
        return list(probes)
    rows = chosen(space, family, probes).tolist()
    return [replace(probe, choices=tuple(row)) for probe, row in zip(probes, rows, strict=True)]


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
    attacked, reducible = bool(failing[0].shift), definition.reducible
    if attacked:
        axis = shift(space, len(definition.probes.streams))
    else:
        axis = far_end(space, definition.probes, reducible=reducible)
    if not reducible and not attacked and not any(map(axis.groups, failing)):
        return failing[0]
    single = definition.probes.n_points == 1 or not reducible
    return reduce_groups(failing, axis, violates, budget=budget, may_be_empty=single and not attacked)


@dataclass(frozen=True)
class Axis:
    """One way to take coordinate groups away: the groups of a probe, and the probe with only some of them.

    Those below `n_coordinate_groups` are groups of coordinates and positions of grids of codes; from there on, a group
    is a slot of a condition that is not at its first value. A group in `resampled` is replaced by coordinates of
    another sample; all others are replaced by one fixed value.
    """

    groups: Callable[[Probe], Groups]
    only: Callable[[Probe, Groups], Probe]
    n_coordinate_groups: int
    resampled: frozenset[int] = frozenset()


def far_end(space: Space, family: Probes | None = None, *, reducible: bool = True) -> Axis:
    """The groups in which a probe's far end differs from its near end, and the slots that are not at their first value.

    Of a grid of codes it is the positions that are not blank, at either end. Without `reducible`, only the slots.
    """
    n, moving = len(space.groups), tuple(space.parts) if family is None else family.moving(space)
    slots, spans = _condition_slots(space), code_spans(space)
    own = [g for g in range(n) if space.groups[g].part in moving and space.groups[g].part not in spans]
    n_positions = sum(map(len, spans.values())) if reducible else 0
    first_slot = n + n_positions

    def groups(probe: Probe) -> Groups:
        coordinates = (g for g in active_groups(probe, n) if reducible and g in own)
        blank = {position for low, high in probe.blanks for position in range(low, high)}
        positions = (n + position for position in range(n_positions) if position not in blank)
        filled = (
            first_slot + at for at, slot in slots.items() if probe.choices and probe.choices[at] != slot.support[0]
        )
        return (*coordinates, *positions, *filled)

    def only(probe: Probe, groups: Groups) -> Probe:
        kept = set(groups)
        choices = tuple(
            slots[at].support[0] if at in slots and first_slot + at not in kept else code
            for at, code in enumerate(probe.choices)
        )
        mask = probe.mask
        if reducible and (own or not spans):
            grids = sum(1 << g for g in range(n) if space.groups[g].part in spans)
            mask = (mask & grids) | sum(1 << g for g in kept if g < n)
        blanks = _runs([position for position in range(n_positions) if n + position not in kept])
        return replace(probe, mask=mask, choices=choices, blanks=blanks if reducible else probe.blanks)

    return Axis(groups, only, first_slot, frozenset(own if reducible else ()))


def _runs(positions: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Positions in order as runs from `low` to `high` (excluded).

    >>> _runs([0, 1, 2, 5])
    ((0, 3), (5, 6))
    """
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position:
            runs[-1] = (runs[-1][0], position + 1)
        else:
            runs.append((position, position + 1))
    return tuple(runs)


def _condition_slots(space: Space) -> dict[int, Slot]:
    """The slots of conditions, by their place among a probe's choices."""
    owners = [part for part in space.parts.values() for _ in part.slots]
    slots = [slot for part in space.parts.values() for slot in part.slots]
    return {at: slot for at, (part, slot) in enumerate(zip(owners, slots, strict=True)) if part.has_values}


def shift(space: Space, n_ends: int) -> Axis:
    """The groups that an attack moved, at any of a probe's ends."""
    return Axis(
        lambda probe: shifted_groups(space, n_ends, probe),
        lambda probe, groups: with_shift_of(space, n_ends, probe, groups),
        len(space.groups),
    )


class _Reduction(DeltaDebugging):
    """Delta debugging of one counterexample."""

    def __init__(self, probe: Probe, axis: Axis, *, may_be_empty: bool) -> None:
        self.probe = probe
        self._axis = axis
        super().__init__(axis.groups(probe), may_be_empty=may_be_empty)

    def with_only(self, groups: Groups) -> Probe:
        """The counterexample with these groups only."""
        return self._axis.only(self.probe, groups)

    @property
    def is_settled(self) -> bool:
        """Whether a single group of coordinates is left, if any, and the slots that it needs."""
        if len(self.groups) <= 1:
            return True
        return not self.candidates and sum(g < self._axis.n_coordinate_groups for g in self.groups) <= 1


def reduce_groups(
    failing: Sequence[Probe], axis: Axis, violates: Violates, *, budget: int, may_be_empty: bool
) -> Probe:
    """The reduced probe with the fewest groups along an axis; among equals, the one whose groups others need too.

    `violates` answers for a list of probes, and is asked about at most `budget` probes in all. `may_be_empty` says that
    a probe without groups is valid (a single point), and can show that no group matters.
    """
    pool = failing[:POOL]
    if may_be_empty and len(pool) <= budget and any(axis.resampled.intersection(axis.groups(probe)) for probe in pool):
        budget -= len(pool)
        pool, may_be_empty = _with_or_without_coordinates(pool, axis, violates)
    reductions = [_Reduction(probe, axis, may_be_empty=may_be_empty) for probe in pool]
    while not _agreed(reductions) and (chosen := _next_round(reductions, budget)):
        candidates = [r.with_only(groups) for r in chosen for groups in r.candidates]
        budget -= len(candidates)
        answers = iter(violates(candidates))
        for reduction in chosen:
            reduction.answer([next(answers) for _ in reduction.candidates])
    n_shared = {r: sum(set(r.groups) <= set(other.groups) for other in reductions) for r in reductions}
    best = min(reductions, key=lambda r: (len(r.groups), -n_shared[r]))
    return best.with_only(best.groups) if best.groups != axis.groups(best.probe) else best.probe


def _with_or_without_coordinates(
    failing: Sequence[Probe], axis: Axis, violates: Violates
) -> tuple[Sequence[Probe], bool]:
    """The counterexamples that show which coordinates matter, and whether none does.

    If most fail as another sample, these are the ones that do, without coordinates. Otherwise they are the ones that
    need theirs.
    """
    others = [axis.only(p, tuple(g for g in axis.groups(p) if g not in axis.resampled)) for p in failing]
    fails = violates(others)
    if 2 * sum(fails) > len(fails):
        return [other for other, violated in zip(others, fails, strict=True) if violated], True
    return [probe for probe, violated in zip(failing, fails, strict=True) if not violated], False


def _agreed(reductions: Sequence[_Reduction]) -> bool:
    """Whether two counterexamples came down to the same single group, or all of them to one group each."""
    ends = [r.groups for r in reductions if r.is_settled]
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


def lower_slots(probe: Probe, space: Space, violates: Violates, *, budget: int) -> Probe:
    """The probe with each slot of a condition, one after the other, at the lowest value that still violates.

    A slot with many lower values is tried at some of them, evenly spaced. `violates` is asked about at most `budget`
    probes.
    """
    for at, slot in _condition_slots(space).items() if probe.choices else ():
        tried: set[int] = set()
        for _ in range(ROUNDS):
            current = slot.support.index(probe.choices[at])
            untried = [place for place in range(current) if place not in tried]
            places = [untried[k] for k in _evenly(len(untried))]
            if not places or len(places) > budget:
                break
            budget -= len(places)
            tried.update(places)
            lower = [_with_choice(probe, at, slot.support[place]) for place in places]
            failing = [one for one, violated in zip(lower, violates(lower), strict=True) if violated]
            if not failing and current > MOST_LOWER:
                break
            probe = failing[0] if failing else probe
    return probe


def _with_choice(probe: Probe, at: int, code: int) -> Probe:
    return replace(probe, choices=(*probe.choices[:at], code, *probe.choices[at + 1 :]))


def _evenly(n: int) -> list[int]:
    """At most `ROUND` of the indices below n, evenly spaced from the first on."""
    return sorted({round(k * n / min(n, ROUND)) for k in range(min(n, ROUND))})


def fewer_words(problem: Problem, probe: Probe, *, budget: int) -> FewerWords | None:
    """A shorter text of a probe's longest text that still violates, by delta debugging over its words.

    Such a text is outside the prior, so it is a remark and never the counterexample. None if the probe has no text of
    several words, if no shorter one violates, and for properties under several priors.
    """
    judge, space = problem.judge, problem.judge.subject.generator.latent
    texts = {name: text for name, text in _texts(problem, probe).items() if len(text.split()) > 1}
    if not texts or len(judge.under) > 1:
        return None
    name = max(texts, key=lambda name: len(texts[name].split()))
    words = texts[name].split()
    columns = columns_of(space, name)
    budget = min(budget, ROUND if judge.context.slow else ROUNDS * ROUND)
    search, margins = DeltaDebugging(tuple(range(len(words)))), dict[Groups, float]()
    while (asked := search.candidates) and len(asked) <= budget:
        budget -= len(asked)
        shorter = [" ".join(words[k] for k in groups) for groups in asked]
        values = OneOf(*dict.fromkeys(shorter))
        codes = [values.values.index(text) for text in shorter]
        probes = [
            replace(probe, choices=(*probe.choices[: columns.start], code, *probe.choices[columns.stop :]))
            for code in codes
        ]
        with suppress(GentestError):  # the generator may take no text but those of the prior
            margins |= zip(asked, judge.margins_with(name, values, probes), strict=True)
        search.answer([margins.get(groups, 0.0) < 0 for groups in asked])
    if search.groups not in margins:
        return None
    return FewerWords(name, texts[name], " ".join(words[k] for k in search.groups), margins[search.groups])


def _texts(problem: Problem, probe: Probe) -> dict[str, str]:
    """The texts that somebody wrote at a probe, by the name of the part."""
    space, family = problem.judge.subject.generator.latent, problem.judge.definition.probes
    parts = {n: p for n, p in space.parts.items() if isinstance(p, Condition) and p.slots}
    if not parts or not probe.choices:
        return {}
    row = chosen(space, family, [probe])[0].tolist()
    shown = {name: part.shown(row[columns_of(space, name)]) for name, part in parts.items()}
    return {name: text for name, text in shown.items() if isinstance(text, str)}


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
