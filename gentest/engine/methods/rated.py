"""How often a property holds and, where it holds within a radius only, how far: what a rate asks of independent probes.

The streams of rays, and of the fresh ones that confirm what rays certify, are others than the rate's: a radius that was
chosen on some probes is not certified on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from gentest.engine.evidence.plans import Stream, inputs
from gentest.engine.illustrations import Showing
from gentest.engine.judge import Judge
from gentest.engine.methods import rate
from gentest.engine.methods.radius_search import Rays
from gentest.engine.methods.rate_arms import Arm, arms_of, overall
from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe
from gentest.properties.definition import AtRate, RateInvariance, WithinRadius
from gentest.properties.domains import holds_within
from gentest.results.result import Radius, Rate, Verdict

RAYS, CONFIRM = 1 << 62, 1 << 63
"""What tells the streams of rays, and of those that confirm them, from the stream of the rate: bits of the seed."""


MOST_FAILING = 1024
"""Probes of an arm that violate, of which the worst and the minimal are found: more are counted, and not kept."""


@dataclass(frozen=True)
class Rated:
    """What was decided; `failing` are the probes that refuted a rate."""

    rate: Rate
    radius: Radius | None
    failing: Sequence[Probe]


class Failing:
    """The first probes of an arm that violate, by their place in the stream."""

    def __init__(self) -> None:
        self._found: list[tuple[int, Probe]] = []

    def note(self, start: int, probes: Sequence[Probe], margins: Sequence[float]) -> None:
        """What was found at the places from `start` on."""
        pairs = enumerate(zip(probes, margins, strict=True), start)
        found = ((place, probe) for place, (probe, margin) in pairs if margin < 0)
        self._found += islice(found, MOST_FAILING - len(self._found))

    def among(self, n: int) -> list[Probe]:
        """Those among the first `n` of the stream."""
        return [probe for place, probe in self._found if place < n]


def _refuting(against: Mapping[str, Failing], rate: Rate) -> list[Probe]:
    """The probes that speak against the arms that were refuted, of those that the test has counted."""
    refuted = [arm for arm in rate.arms or (rate,) if arm.verdict is Verdict.VIOLATED]
    return list(dict.fromkeys(probe for arm in refuted for probe in against[arm.arm].among(arm.probes)))


class Rating:
    """The rates of one property on one generator; `watch` is told how many probes of a rate were looked at."""

    def __init__(
        self,
        judge: Judge,
        stream: Stream,
        *,
        budget: int,
        block: int,
        watch: Callable[[int, int], None],
        showing: Showing | None = None,
    ) -> None:
        self._judge = judge
        self._stream = stream
        self._budget = budget
        self._block = block
        self._watch = watch
        self._showing = showing

    def check_budget(self, goal: AtRate) -> None:
        """Raises `InvalidArgument` for a budget with which nothing could be decided, whatever the probes come to."""
        test = goal.test_among(len(arms_of(self._judge, goal.each)))
        if self._budget < test.fewest_deciding:
            raise InvalidArgument(
                f"budget={self._budget} cannot decide {goal}, whether all of them hold or none does: "
                f"{test.fewest_deciding} is the least that can, and {test.fewest} the least that can certify it"
            )

    def decide(self, goal: AtRate) -> Rated:
        """The property's rate, each of them where it has several, and its radius."""
        states = self._judge.definition.states
        of_priors = states.inner.states if isinstance(states, WithinRadius) else states
        arms = arms_of(self._judge, goal.each)
        against = {arm.name: Failing() for arm in arms}
        decided = self._rate(
            goal, arms, self._stream, against, of_priors if isinstance(of_priors, RateInvariance) else None
        )
        if goal.each:
            part = self._judge.subject.generator.latent.parts[goal.each]
            decided = replace(decided, overall=overall(part, decided))
        radius = self._radius(goal, states, arms, decided) if isinstance(states, WithinRadius) else None
        refuted = decided.verdict is Verdict.VIOLATED
        return Rated(decided, radius, _refuting(against, decided) if refuted else ())

    def _rate(
        self,
        goal: AtRate,
        arms: Sequence[Arm],
        stream: Stream,
        against: Mapping[str, Failing],
        invariance: RateInvariance | None = None,
    ) -> Rate:
        def holds(arm: Arm, start: int, n: int) -> list[bool]:
            probes = arm.probes(stream.probes(start, n))
            margins = arm.margins(probes)
            self._judge.confirm_failures(probes, margins, arm.alone)
            against[arm.name].note(start, probes, margins)
            if self._showing is not None and stream is self._stream:
                self._showing.rated(arm.name, margins)
            self._watch(start + n, 0)
            return [margin >= 0 for margin in margins]

        asked = {arm.name: partial(holds, arm) for arm in arms}
        decided = rate.decide(goal, asked, budget=self._budget, block=self._block, invariance=invariance)
        return self._counted(decided, {arm.name: arm for arm in arms}, stream, goal.each)

    def _counted(self, decided: Rate, arms: Mapping[str, Arm], stream: Stream, each: str) -> Rate:
        """With how many distinct inputs each rate rests on, where the space has only so many."""
        generator, family = self._judge.subject.generator, self._judge.definition.probes
        if generator.latent.n_latents is None:
            return decided
        of = len(generator.latent.parts[each].support) if each else 1

        def counted(rate: Rate) -> Rate:
            seen = inputs(family, generator, arms[rate.arm].probes(stream.probes(0, rate.probes)), of=of)
            return replace(rate, distinct=seen.distinct, inputs=seen.of)

        return replace(counted(decided), arms=tuple(map(counted, decided.arms)))

    def _radius(self, goal: AtRate, within: WithinRadius, arms: Sequence[Arm], decided: Rate) -> Radius:
        """As far as was asked, where that holds; else as far as rays certify, and what fresh ones say to that."""
        if decided.verdict is Verdict.HOLDS:
            return Radius(within.radius, within.radius, decided.probes, decided)
        context, subject, stream = self._judge.context, self._judge.subject, self._stream
        rays = Rays(context, subject, within)
        certified, n = rays.certified(goal, arms, stream.other(RAYS))
        if self._showing is not None:
            self._showing.rays(rays.radii.tolist(), rays.held, n)
        if not certified:
            return Radius(within.radius, 0.0, n, None)
        smaller = Judge(context, subject, holds_within(within.inner, certified))
        inner = arms_of(smaller, goal.each)
        confirmed = self._rate(goal, inner, stream.other(CONFIRM), {arm.name: Failing() for arm in inner})
        return Radius(within.radius, certified, n, confirmed)
