"""A rate: for which share of the prior's probes a property holds, by a sequential test on fresh independent probes.

Probes come in blocks that fill batches, and the test looks at them at places of its own (`gentest.stats.rates.LOOK`),
so that verdict and figures are the same at any batch size. Where it stopped within a block, the rest does not count.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gentest.properties.definition import AtRate
from gentest.result import Rate, Verdict
from gentest.stats.rates import RateDecision

WORDS = {True: Verdict.HOLDS, False: Verdict.VIOLATED, None: Verdict.UNDECIDED}


def decide(goal: AtRate, holds: Callable[[int, int], list[bool]], *, budget: int, block: int) -> Rate:
    """The rate's verdict; `holds` says whether probes `start` to `start + n` hold, and is asked `block` at a time."""
    test, decision, drawn = goal.test, RateDecision(None, 0, 0), 0
    waiting = np.empty(0, dtype=np.bool_)  # outcomes that no look has counted yet
    while decision.holds is None and drawn < budget:
        fresh = holds(drawn, min(block, budget - drawn))
        drawn += len(fresh)
        waiting = np.concatenate([waiting, np.array(fresh, dtype=np.bool_)])
        looked = decision.probes
        decision = test.first_decision(waiting, after=decision)
        waiting = waiting[decision.probes - looked :]
    passes, probes = decision.passes, decision.probes
    if decision.holds is None:
        passes, probes = passes + int(waiting.sum()), drawn
    low, high = test.interval(passes, probes)
    return Rate(
        verdict=WORDS[decision.holds],
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
    )
