"""How often a property holds and, where it holds within a radius only, how far: what a rate asks of independent probes.

The streams of rays, and of the fresh ones that confirm what rays certify, are others than the rate's: a radius that was
chosen on some probes is not certified on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gentest.engine import rate
from gentest.engine.arms import Arm, arms_of, overall, refuting
from gentest.engine.margins import Judge
from gentest.engine.radius import Rays
from gentest.engine.showing import Showing
from gentest.engine.stream import Stream
from gentest.probes import Probe
from gentest.properties.definition import AtRate, Invariance, Within
from gentest.properties.priors import holds_within
from gentest.result import Radius, Rate, Verdict

RAYS, CONFIRM = 1 << 62, 1 << 63
"""What tells the streams of rays, and of those that confirm them, from the stream of the rate: bits of the seed."""


@dataclass(frozen=True)
class Rated:
    """What was decided; `failing` are the probes that refuted a rate."""

    rate: Rate
    radius: Radius | None
    failing: Sequence[Probe]


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

    def decide(self, goal: AtRate) -> Rated:
        """The property's rate, each of them where it has several, and its radius."""
        states = self._judge.definition.states
        of_priors = states.inner.states if isinstance(states, Within) else states
        arms = arms_of(self._judge, goal.each)
        decided = self._rate(goal, arms, self._stream, of_priors if isinstance(of_priors, Invariance) else None)
        if goal.each:
            part = self._judge.subject.generator.latent.parts[goal.each]
            decided = replace(decided, overall=overall(part, decided))
        radius = self._radius(goal, states, arms, decided) if isinstance(states, Within) else None
        refuted = decided.verdict is Verdict.VIOLATED
        return Rated(decided, radius, refuting(arms, self._stream, decided) if refuted else ())

    def _rate(self, goal: AtRate, arms: Sequence[Arm], stream: Stream, invariance: Invariance | None = None) -> Rate:
        def holds(arm: Arm, start: int, n: int) -> list[bool]:
            margins = arm.margins(arm.probes(stream.probes(start, n)))
            if self._showing is not None and stream is self._stream:
                self._showing.rated(arm.name, margins)
            self._watch(start + n, 0)
            return [margin >= 0 for margin in margins]

        asked = {arm.name: partial(holds, arm) for arm in arms}
        return rate.decide(goal, asked, budget=self._budget, block=self._block, invariance=invariance)

    def _radius(self, goal: AtRate, within: Within, arms: Sequence[Arm], decided: Rate) -> Radius:
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
        confirmed = self._rate(goal, arms_of(smaller, goal.each), stream.other(CONFIRM))
        return Radius(within.radius, certified, n, confirmed)
