"""The rate at which a property holds, and the radius up to which it does.

A sequential test decides the rate on independent probes, which no search ever draws.

Blocks of probes fill batches, but the test looks at fixed places (`gentest.stats.rates.LOOK`, and the budget's end).
Probes after the place where it stops do not count, so verdict and figures do not depend on the batch size.

A property with several rates has several *arms*: one for each prior, or one for each value of a label. The whole holds
if every arm does. Arms that share their probes can also be compared: do their rates differ?

For the radius, each ray is one independent probe, placed at any radius. Bisection over a grid finds the radii at which
each ray holds, all rays of a round at once; it assumes that a ray that fails at a radius also fails further out. The
result is the largest radius that enough rays reach (`gentest.stats.rays`). `confirm_rate` then assumes nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gentest._support.printable import noun
from gentest.engine.cost import MAX_ARMS, rate_probes
from gentest.engine.evidence.plans import Stream, inputs
from gentest.engine.judge import CONFIRMED_SLOW, Judge
from gentest.engine.methods.problem import Arm, Problem, Purpose, arms_of, chosen, columns_of
from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe
from gentest.properties.definition import AtRate, RateInvariance, WithinRadius
from gentest.properties.domains import holds_within
from gentest.results.counterexample import shown_choice
from gentest.results.drawings import Rays
from gentest.results.outcome import RATE_VERDICTS, Verdict
from gentest.results.records import applies
from gentest.results.result import Invariant, Rate, ValueRate
from gentest.spaces import Choice
from gentest.spaces.space import MOST_COUNTED
from gentest.stats import rays as ray_stats
from gentest.stats.invariance import compare_priors
from gentest.stats.rates import LOOK, RateDecision, RateTest

N_WORST = 10
"""The worst values of a part with too many for a rate each."""
MAX_FAILING = 1024
"""The most failing probes of an arm that are searched for the worst and the minimal one."""

Outcomes = Callable[[int, int], "list[bool | None]"]
"""The outcomes of probes `start` to `start + n`: True holds, and None says that the property does not apply.

The budget may leave some out; none end the walk.
"""
AWAY = -1
"""The outcome of a probe to which the property does not apply, beside 1 (holds) and 0."""

VERDICTS = {True: Verdict.HOLDS, False: Verdict.VIOLATED, None: Verdict.UNDECIDED}
INVARIANCE_VERDICTS = {"invariant": Verdict.HOLDS, "different": Verdict.VIOLATED}


@dataclass(frozen=True)
class RateFacts:
    """The decided rate, the probes that refuted it, and the margins of each arm's probes in their order.

    `missing` is the number of probes that the run's budget left out, if all of them would have passed; 0 if none.
    """

    rate: Rate
    failing: tuple[Probe, ...]
    margins: Mapping[str, Sequence[float]]
    missing: int = 0


@dataclass(frozen=True)
class RadiusFacts:
    """The largest radius certified for every arm, 0 if none is; and the rays of the arm that reaches least far."""

    certified: float
    rays: Rays


def check_budget(problem: Problem, goal: AtRate) -> None:
    """Raises `InvalidArgument` for a budget that is too small to decide the rate, whatever the outcomes."""
    test = goal.test_among(len(arms_of(problem.judge, goal.each)))
    known = problem.known_probes
    if known is not None and len(known) < test.fewest_deciding:
        raise InvalidArgument(
            f"outputs of {len(known)} {noun(len(known), 'probe')} are kept, which cannot decide {goal}: "
            f"a decision needs at least "
            f"{test.fewest_deciding}; bless again with --keep-outputs {test.fewest}, the fewest that certify the rate"
        )
    if problem.values.budget < test.fewest_deciding:
        raise InvalidArgument(
            f"budget={problem.values.budget} cannot decide {goal}: a decision needs at least {test.fewest_deciding} "
            f"probes, and certifying the rate at least {test.fewest}"
        )


def decide_rate(problem: Problem, goal: AtRate) -> RateFacts:
    """The property's rate, with each of its arms, and the probes that refuted it."""
    states = problem.judge.definition.states
    states = states.inner.states if isinstance(states, WithinRadius) else states
    invariance = states if isinstance(states, RateInvariance) else None
    stream, arms = problem.stream(), arms_of(problem.judge, goal.each)
    margins = {arm.name: array("d") for arm in arms}
    rate = _decide(problem, goal, stream, arms, margins, invariance)
    if goal.each:
        part = problem.judge.subject.generator.latent.parts[goal.each]
        assert isinstance(part, Choice)
        if part.n_values is not None and part.n_values <= MAX_ARMS:
            rate = replace(rate, overall=_overall_rate(part, rate))
        else:
            n = part.n_values or MOST_COUNTED
            worst = _worst_values(problem, goal, part, arms[0].probes(stream.probes(0, rate.evaluated)), margins, n)
            rate = replace(rate, worst=worst, n_values=n)
    failing = _refuting(rate, stream, arms, margins) if rate.verdict is Verdict.VIOLATED else ()
    drawn = min(map(len, margins.values()))
    is_cut = rate.verdict is Verdict.UNDECIDED and drawn < problem.values.budget
    missing = max(LOOK, rate_probes(goal, len(arms), problem.values) - drawn * len(arms)) if is_cut else 0
    return RateFacts(rate, failing, margins, missing)


def _worst_values(
    problem: Problem,
    goal: AtRate,
    part: Choice,
    probes: Sequence[Probe],
    margins: Mapping[str, Sequence[float]],
    n: int,
) -> tuple[ValueRate, ...]:
    """The values of a part that fail most surely among the probes of the prior: those of the lowest upper bounds.

    The bounds hold for all `n` values at once, so that choosing the worst of them errs no more often.
    """
    (counted,) = margins.values()
    space, family, test = problem.judge.subject.generator.latent, problem.judge.definition.probes, goal.test_among(n)
    options = chosen(space, family, probes)[:, columns_of(space, goal.each)].tolist()
    outcomes: dict[tuple[int, ...], list[bool]] = {}
    for option, margin in zip(options, counted, strict=False):  # more may have been evaluated than the test counts
        if applies(margin):
            outcomes.setdefault(tuple(option), []).append(margin >= 0)
    rates = []
    for option, held in outcomes.items():
        if not all(held):
            low, high = test.interval_of_all(sum(held), len(held))
            value, each_end = shown_choice(goal.each, part.shown(option)), 1.0 - test.alpha / test.claims
            rates.append(ValueRate(value, sum(held), len(held), low, high, min(each_end, 1.0 - 2.0**-52)))
    return tuple(sorted(rates, key=lambda rate: (rate.high, rate.passes / rate.probes, rate.value))[:N_WORST])


def confirm_rate(problem: Problem, goal: AtRate) -> Rate:
    """The property's rate on fresh probes, for a property that was chosen on others."""
    arms = arms_of(problem.judge, goal.each)
    return _decide(problem, goal, problem.stream(Purpose.CONFIRMATION), arms, {arm.name: array("d") for arm in arms})


def certify_radius(problem: Problem, goal: AtRate, within: WithinRadius) -> RadiusFacts:
    """The largest radius, up to the declared one, at which rays certify the rate."""
    context, subject = problem.judge.context, problem.judge.subject
    radii = ray_stats.grid(within.radius)
    judges = [Judge(context, subject, holds_within(within.inner, float(radius), places=1)) for radius in radii]
    alpha = 1.0 - goal.confidence
    n = ray_stats.rays_needed(goal.p0, alpha)
    rays = problem.stream(Purpose.RAYS).probes(0, n)
    reached = [
        ray_stats.bisect(n, partial(_hold, judges, arm.probes(rays))) for arm in arms_of(problem.judge, goal.each)
    ]
    index, least = min((ray_stats.certified(counts, goal.p0, alpha), i) for i, counts in enumerate(reached))
    held = tuple(float((reached[least] > j).mean()) for j in range(len(radii)))
    return RadiusFacts(0.0 if index < 0 else float(radii[index]), Rays(tuple(radii.tolist()), held, n))


def _hold(judges: Sequence[Judge], probes: Sequence[Probe], indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each ray holds at the radius of its index."""
    holds = np.zeros(len(probes), dtype=np.bool_)
    for index in np.unique(indices):
        rows = np.flatnonzero(indices == index)
        margins = judges[int(index)].margins([probes[int(row)] for row in rows])
        holds[rows] = np.array(margins) >= 0
    return holds


def _decide(
    problem: Problem,
    goal: AtRate,
    stream: Stream,
    arms: Sequence[Arm],
    margins: Mapping[str, MutableSequence[float]],
    invariance: RateInvariance | None = None,
) -> Rate:
    """The rate on the probes of a stream; adds the margins of each arm's probes to `margins`."""

    def confirmed(arm: Arm, probes: Sequence[Probe]) -> list[float]:
        with problem.judge.context.budget.holding(CONFIRMED_SLOW * problem.judge.local.n_images):
            found = arm.margins(probes)
        problem.judge.confirm_failures(probes, found, arm.alone)
        return found

    def outcomes(arm: Arm, start: int, n: int) -> list[bool | None]:
        found = problem.within_budget(partial(confirmed, arm), arm.probes(stream.probes(start, n)))
        margins[arm.name].extend(found)
        problem.watch(start + len(found), 0)
        return [margin >= 0 if applies(margin) else None for margin in found]

    by_arm = {arm.name: partial(outcomes, arm) for arm in arms}
    rate = decide_arms(
        goal,
        by_arm,
        budget=problem.values.budget,
        block=problem.block,
        invariance=invariance,
        scoped=problem.judge.scope is not None,
    )
    return _with_distinct_inputs(problem, rate, stream, {arm.name: arm for arm in arms}, goal.each)


def _refuting(
    rate: Rate, stream: Stream, arms: Sequence[Arm], margins: Mapping[str, Sequence[float]]
) -> tuple[Probe, ...]:
    """The first failing probes of each refuted arm, among those that its test counted."""
    refuted = {arm.arm: arm.evaluated for arm in rate.arms or (rate,) if arm.verdict is Verdict.VIOLATED}
    failing: dict[Probe, None] = {}
    for arm in arms:
        counted = margins[arm.name][: refuted.get(arm.name, 0)]
        indices = islice((index for index, margin in enumerate(counted) if margin < 0), MAX_FAILING)
        failing |= dict.fromkeys(probe for index in indices for probe in arm.probes(stream.probes(index, 1)))
    return tuple(failing)


def _with_distinct_inputs(problem: Problem, rate: Rate, stream: Stream, arms: Mapping[str, Arm], each: str) -> Rate:
    """The rate with the number of distinct inputs that each arm rests on, for a space with a finite number."""
    generator, family = problem.judge.subject.generator, problem.judge.definition.probes
    if generator.latent.n_latents is None:
        return rate
    of = len(arms) if each else 1

    def counted(rate: Rate) -> Rate:
        seen = inputs(family, generator, arms[rate.arm].probes(stream.probes(0, rate.evaluated)), of=of)
        return replace(rate, distinct=seen.distinct, inputs=seen.of)

    return replace(counted(rate), arms=tuple(map(counted, rate.arms)))


def _overall_rate(part: Choice, rate: Rate) -> float:
    """The rate under the whole prior: the rates of a part's values, weighted by how often each value is drawn."""
    shares = [part.probability(option) for option in part.options()]
    return sum(share * arm.passes / max(arm.probes, 1) for share, arm in zip(shares, rate.arms or (rate,), strict=True))


def decide_arms(
    goal: AtRate,
    arms: Mapping[str, Outcomes],
    *,
    budget: int,
    block: int,
    invariance: RateInvariance | None = None,
    scoped: bool = False,
) -> Rate:
    """The rate of one arm or of several; each is evaluated `block` probes at a time, and on `budget` at most.

    With `invariance`, the arms share their probes, and each is compared with the first until the test knows whether
    their rates differ. A `scoped` property has a rate among the probes to which it applies, and tells how many it took
    to find them.
    """
    test = goal.test_among(len(arms))
    walks = {name: _Walk(test, outcomes) for name, outcomes in arms.items()}
    compared: dict[str, Invariant] = {}
    while True:
        if invariance is not None:
            compared = _compared(walks, invariance, goal, compared, budget)
        comparing = any(c.verdict is Verdict.UNDECIDED for c in compared.values())
        open_walks = [walk for walk in walks.values() if comparing or walk.decision.holds is None]
        if max((walk.drawn for walk in open_walks), default=budget) >= budget:
            break
        if not all([walk.take(min(block, budget - walk.drawn), budget) for walk in open_walks]):
            break
    rates = [walk.rate(name, goal, budget, scoped=scoped) for name, walk in walks.items()]
    whole = min(rates, key=lambda rate: (RATE_VERDICTS.index(rate.verdict), rate.passes / max(rate.probes, 1)))
    if len(rates) == 1:
        return whole
    verdict = min((whole.verdict, *(c.verdict for c in compared.values())), key=RATE_VERDICTS.index)
    certified = whole.certified if verdict is Verdict.HOLDS else None
    return replace(whole, verdict=verdict, certified=certified, arms=tuple(rates), invariant=tuple(compared.values()))


def _compared(
    walks: Mapping[str, _Walk], invariance: RateInvariance, goal: AtRate, before: Mapping[str, Invariant], budget: int
) -> dict[str, Invariant]:
    """Each further arm against the first, on the probes of both so far. A comparison that is decided stays."""
    first, compared = next(iter(walks.values())), {}
    for name, walk in islice(walks.items(), 1, None):
        if name in before and before[name].verdict is not Verdict.UNDECIDED:
            compared[name] = before[name]
            continue
        n = min(first.drawn, walk.drawn)
        both = (first.outcomes[:n] != AWAY) & (walk.outcomes[:n] != AWAY)
        pair = compare_priors(
            first.outcomes[:n][both] == 1,
            walk.outcomes[:n][both] == 1,
            delta=invariance.delta,
            alpha=1.0 - goal.confidence,
            claims=len(walks) - 1,
            ends=first.drawn == budget,
        )
        verdict = INVARIANCE_VERDICTS.get(pair.fired, Verdict.UNDECIDED)
        compared[name] = Invariant(
            verdict, name, invariance.delta, pair.probes, pair.wins, pair.losses, pair.low, pair.high
        )
    return compared


class _Walk:
    """The outcomes of one arm so far, and its test, which looks at fixed places."""

    def __init__(self, test: RateTest, next_outcomes: Outcomes) -> None:
        self.decision = RateDecision(None, 0, 0)
        self.outcomes: NDArray[np.int8] = np.empty(0, dtype=np.int8)
        self._test = test
        self._next_outcomes = next_outcomes

    @property
    def drawn(self) -> int:
        """Number of probes evaluated so far."""
        return len(self.outcomes)

    def take(self, n: int, budget: int) -> bool:
        """Evaluates `n` more probes of the budget, and looks. False if the run's own budget left all out."""
        drawn = np.array([AWAY if o is None else o for o in self._next_outcomes(self.drawn, n)], dtype=np.int8)
        self.outcomes = np.concatenate([self.outcomes, drawn])
        if self.decision.holds is None:
            more = self.outcomes[self.outcomes != AWAY][self.decision.probes :] == 1
            ends = self.drawn == budget or not len(drawn)
            self.decision = self._test.first_decision(more, after=self.decision, ends=ends)
        return len(drawn) > 0

    @property
    def _evaluated(self) -> int:
        """Number of probes up to the last one that the decision counts; all while nothing is decided."""
        if self.decision.holds is None:
            return self.drawn
        return int(np.flatnonzero(self.outcomes != AWAY)[self.decision.probes - 1]) + 1

    def rate(self, name: str, goal: AtRate, budget: int, *, scoped: bool) -> Rate:
        """The arm's rate so far."""
        test, holds, passes, probes = self._test, self.decision.holds, self.decision.passes, self.decision.probes
        if holds is None:
            low, high = test.interval_of_all(passes, probes)
            low, high = min(low, test.p0), max(high, test.p0)  # rounding must not exclude an undecided p0
        else:
            low, high = test.interval(passes, probes)
        return Rate(
            verdict=VERDICTS[holds],
            p0=test.p0,
            slack=test.slack,
            confidence=goal.confidence,
            passes=passes,
            probes=probes,
            budget=budget,
            low=low,
            high=high,
            log_holds=float(test.log_holds(passes, probes)),
            log_violated=float(test.log_violated(passes, probes)),
            arm=name,
            claims=test.claims,
            needed_holds=test.threshold,
            needed_violated=test.refuting,
            certified=test.certified if holds else None,
            each_end=1.0 - test.alpha / test.claims if holds is None else goal.confidence,
            fewest=test.fewest,
            drawn=self._evaluated if scoped else None,
        )
