"""Invariance: whether a property holds as often under another prior as under its own, to within delta.

"Not found different" is not invariant, so there are two statements, each with evidence of its own. The differences D
of paired outcomes, other less own, are -1, 0 or 1, and the wagers are the gate's (`paired.py`):

    invariant   against E[D] <= -delta, and against E[D] >= delta; both have to reach 1 / alpha
    different   against E[D] >= 0, and against E[D] <= 0; either has to reach 2 / alpha

At a true difference of delta one of the first two wagers is on what is false, and that it ever wins 1 / alpha has a
chance of at most alpha, whatever the other does: two one-sided tests need no correction (Schuirmann 1987; Berger 1982,
intersection-union tests). At no difference both of the second two are, and each gets half of alpha. In between both
statements are true, and the first to have the evidence is the verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.stats.paired import difference_bounds, log_held, log_regressed
from gentest.stats.rates import looks_at


@dataclass(frozen=True)
class Invariance:
    """A property under another prior against its own, at the look that decided, or at the last one.

    `fired` is "invariant", "different", or "" while neither has. A win holds under the other prior alone, a loss under
    its own alone. `log_invariant` is the lesser of the most evidence that either of its wagers had at any look so far,
    `log_different` the greater; 0 at the least. The rate under the other prior is more by `low` to `high`, each of the
    two wrong with probability at most alpha.
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
    """The verdict on paired outcomes so far (True holds), under a property's own prior and another, in order.

    Looks at every multiple of 16 outcomes, and at all of them where the comparison `ends` there. Stops at the first
    look that has the evidence for "invariant" (1 / `alpha` on both sides), or else for "different" (2 `claims` /
    `alpha` on one). More outcomes never change a verdict.

    >>> holds = np.ones(400, dtype=bool)
    >>> compare_priors(holds, holds, delta=0.05, alpha=0.01).fired
    'invariant'
    >>> compare_priors(holds, ~holds, delta=0.05, alpha=0.01).fired
    'different'
    """
    if not 0.0 < delta < 1.0:
        raise InvalidArgument.expected("a difference in (0, 1)", "delta", delta)
    if not 0.0 < alpha < 1.0:
        raise InvalidArgument.expected("a probability in (0, 1)", "alpha", alpha)
    if claims < 1:
        raise InvalidArgument.expected("a number of claims >= 1", "claims", claims)
    before, after = np.asarray(own, dtype=bool), np.asarray(other, dtype=bool)
    if before.ndim != 1 or before.shape != after.shape:
        hint = "outcomes are paired: the same probe under either prior"
        raise InvalidArgument.expected(f"outcomes of shape {before.shape}", "other.shape", after.shape, hint=hint)
    looks = looks_at(len(before), ends=ends)
    if len(looks) == 0:
        return Invariance("", 0, 0, 0, 0, 0.0, 0.0, -1.0, 1.0)
    wins = np.cumsum(after & ~before, dtype=np.int64)[looks - 1]
    losses = np.cumsum(before & ~after, dtype=np.int64)[looks - 1]
    ties = looks - wins - losses
    within = np.minimum(_most(log_held(wins, losses, ties, delta)), _most(log_held(losses, wins, ties, delta)))
    apart = np.maximum(_most(log_regressed(wins, losses)), _most(log_regressed(losses, wins)))
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


def _most(log_evidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """The most evidence at any look so far, which stays valid; 0 at the least, where an e-process starts."""
    return np.maximum.accumulate(np.maximum(log_evidence, 0.0))
