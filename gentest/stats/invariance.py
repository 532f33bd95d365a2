"""Invariance: a property holds as often under another prior as under its own, to within delta.

"Not found different" is not invariant, so there are two statements with evidence of their own. The differences D of
paired outcomes, other minus own, are -1, 0 or 1, and the wagers are the gate's (`paired.py`):

    invariant   against E[D] <= -delta, and against E[D] >= delta; both have to reach 1 / alpha
    different   against E[D] >= 0, and against E[D] <= 0; either has to reach 2 / alpha

At a true difference of delta one of the first two wagers bets on something false, and wins 1 / alpha with a chance of
at most alpha, whatever the other does: two one-sided tests need no correction (Schuirmann 1987; Berger 1982,
intersection-union tests). Without a difference both of the second two do, so each gets half of alpha. In between both
statements are true, and the first with enough evidence is the verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.stats.paired import counts_at, difference_bounds, largest_so_far, log_held, log_regressed
from gentest.stats.quantiles import check_probability
from gentest.stats.rates import looks_at


@dataclass(frozen=True)
class Invariance:
    """A property under another prior against its own, at the look that decided, or at the last one.

    `fired` is "invariant", "different", or "" before either has. In a win the property holds under the other prior
    alone, in a loss under its own alone. Of the largest evidence of each wager at any look so far, at least 0,
    `log_invariant` is the smaller and `log_different` the larger. The rate under the other prior minus the own one lies
    in [`low`, `high`]; each bound is wrong with a probability of at most alpha.
    """

    fired: str
    probes: int
    wins: int
    losses: int
    ties: int
    log_invariant: float
    log_different: float
    low: float
    high: float


def compare_priors(
    own: NDArray[np.bool_],
    other: NDArray[np.bool_],
    *,
    delta: float,
    alpha: float,
    claims: int = 1,
    ends: bool = False,
) -> Invariance:
    """The verdict on paired outcomes (True holds) under a property's own prior and another, in order.

    It looks after every multiple of 16 outcomes, and at all of them if the comparison `ends` there. It stops at the
    first look with enough evidence for "invariant" (1 / `alpha` on both sides) or else for "different" (2 `claims` /
    `alpha` on one). More outcomes never change a verdict.

    >>> holds = np.ones(400, dtype=bool)
    >>> compare_priors(holds, holds, delta=0.05, alpha=0.01).fired
    'invariant'
    >>> compare_priors(holds, ~holds, delta=0.05, alpha=0.01).fired
    'different'
    """
    if not 0.0 < delta < 1.0:
        raise InvalidArgument.expected("a difference in (0, 1)", "delta", delta)
    check_probability("alpha", alpha)
    if claims < 1:
        raise InvalidArgument.expected("a number of claims >= 1", "claims", claims)
    before, after = np.asarray(own, dtype=bool), np.asarray(other, dtype=bool)
    if before.ndim != 1 or before.shape != after.shape:
        hint = "outcomes are paired: the same probe under either prior"
        raise InvalidArgument.expected(f"outcomes of shape {before.shape}", "other.shape", after.shape, hint=hint)
    looks = looks_at(len(before), ends=ends)
    if len(looks) == 0:
        return Invariance("", 0, 0, 0, 0, 0.0, 0.0, -1.0, 1.0)
    wins, losses, ties = counts_at(looks, before, after)
    sides = ((wins, losses), (losses, wins))
    within = np.minimum(*(largest_so_far(log_held(won, lost, ties, delta)) for won, lost in sides))
    apart = np.maximum(*(largest_so_far(log_regressed(won, lost)) for won, lost in sides))
    invariant = within >= -math.log(alpha)
    decided = invariant | (apart >= math.log(2.0 * claims / alpha))
    last = int(decided.argmax()) if decided.any() else len(looks) - 1
    counts = int(wins[last]), int(losses[last]), int(ties[last])
    return Invariance(
        ("invariant" if invariant[last] else "different") if decided[last] else "",
        int(looks[last]),
        *counts,
        float(within[last]),
        float(apart[last]),
        *difference_bounds(*counts, alpha),
    )
