"""A rate: for which share of the prior's probes a property holds, by a sequential test on fresh independent probes.

Probes come in blocks that fill batches, and the test looks at them at places of its own (`gentest.stats.rates.LOOK`),
the last of them where the budget ends, so that verdict and figures are the same at any batch size. Where it stopped
within a block, the rest does not count.

Where a property has several rates (one a prior, one a label), each *arm* is decided by itself, and the whole holds
where all of them do. Arms that share their probes are also compared: whether their rates differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from gentest.properties.definition import AtRate, RateInvariance
from gentest.results.outcome import RATE_VERDICTS
from gentest.results.result import Invariant, Rate, Verdict
from gentest.stats.invariance import compare_priors
from gentest.stats.rates import RateDecision, RateTest

Outcomes = Callable[[int, int], list[bool]]
"""Whether probes `start` to `start + n` hold."""

WORDS = {True: Verdict.HOLDS, False: Verdict.VIOLATED, None: Verdict.UNDECIDED}
FIRED = {"invariant": Verdict.HOLDS, "different": Verdict.VIOLATED}


def decide(
    goal: AtRate, arms: Mapping[str, Outcomes], *, budget: int, block: int, invariance: RateInvariance | None = None
) -> Rate:
    """The rate's verdict, of one arm or of several; each is asked `block` probes at a time, `budget` at the most.

    Where `invariance` is asked for, the arms share their probes, and each is compared with the first until it is known
    whether their rates differ.
    """
    test = goal.test_among(len(arms))
    walks = {name: _Walk(test, holds) for name, holds in arms.items()}
    compared: dict[str, Invariant] = {}
    while True:
        if invariance is not None:
            compared = _compared(walks, invariance, goal, compared, budget)
        open_pairs = any(c.verdict is Verdict.UNDECIDED for c in compared.values())
        asked = [walk for walk in walks.values() if open_pairs or walk.decision.holds is None]
        drawn = max((walk.drawn for walk in asked), default=budget)
        if drawn >= budget:
            break
        for walk in asked:
            walk.take(min(block, budget - walk.drawn), budget)
    rates = [walk.rate(name, goal, budget) for name, walk in walks.items()]
    whole = min(rates, key=lambda rate: (RATE_VERDICTS.index(rate.verdict), rate.passes / max(rate.probes, 1)))
    if len(rates) == 1:
        return whole
    verdicts = [whole.verdict, *(c.verdict for c in compared.values())]
    verdict = min(verdicts, key=RATE_VERDICTS.index)
    certified = whole.certified if verdict is Verdict.HOLDS else None
    return replace(whole, verdict=verdict, certified=certified, arms=tuple(rates), invariant=tuple(compared.values()))


def _compared(
    walks: Mapping[str, _Walk], invariance: RateInvariance, goal: AtRate, before: Mapping[str, Invariant], budget: int
) -> dict[str, Invariant]:
    """Each arm after the first against the first, as far as both have been looked at; what is decided stays."""
    own, found = next(iter(walks.values())), {}
    alpha = 1.0 - goal.confidence
    for name, walk in islice(walks.items(), 1, None):
        if name in before and before[name].verdict is not Verdict.UNDECIDED:
            found[name] = before[name]
            continue
        pair = compare_priors(
            own.outcomes,
            walk.outcomes,
            delta=invariance.delta,
            alpha=alpha,
            claims=len(walks) - 1,
            ends=own.drawn == budget,
        )
        verdict = FIRED.get(pair.fired, Verdict.UNDECIDED)
        found[name] = Invariant(
            verdict, name, invariance.delta, pair.probes, pair.wins, pair.losses, pair.low, pair.high
        )
    return found


class _Walk:
    """One arm's outcomes as they come, and its test, which looks at places of its own."""

    def __init__(self, test: RateTest, holds: Outcomes) -> None:
        self.decision = RateDecision(None, 0, 0)
        self._test = test
        self._holds = holds
        self.outcomes: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

    @property
    def drawn(self) -> int:
        """How many probes were asked about."""
        return len(self.outcomes)

    def take(self, n: int, budget: int) -> None:
        """Asks about `n` more probes of `budget`, and looks."""
        self.outcomes = np.concatenate([self.outcomes, np.array(self._holds(self.drawn, n), dtype=np.bool_)])
        if self.decision.holds is None:
            more = self.outcomes[self.decision.probes :]
            self.decision = self._test.first_decision(more, after=self.decision, ends=self.drawn == budget)

    def rate(self, name: str, goal: AtRate, budget: int) -> Rate:
        """What the arm came to."""
        test, holds, passes, probes = self._test, self.decision.holds, self.decision.passes, self.decision.probes
        if holds is None:  # an interval without p0 would contradict that nothing is decided, be it by rounding
            low, high = test.interval_of_all(passes, probes)
            low, high = min(low, test.p0), max(high, test.p0)
        else:
            low, high = test.interval(passes, probes)
        return Rate(
            verdict=WORDS[holds],
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
        )
