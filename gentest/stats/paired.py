"""The gate: whether a candidate holds as often as its baseline did, on the same probes.

Per probe the difference D of the outcomes is 1 (a win: only the candidate holds), -1 (a loss) or 0 (a tie). With w
wins, l losses and t ties, a tolerance tau, the grid of fractions lam and mu = lam / (1 - tau), two wagers run:

    E_regressed = mean (1 + lam)^l (1 - lam)^w                                      against E[D] >= 0
    E_held      = mean (1 - mu (1 - tau))^l (1 + mu tau)^t (1 + mu (1 + tau))^w     against E[D] <= -tau

Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"; the ties cancel out of the
first as they do in McNemar's test (1947). Between -tau and 0 both statements are true, and the first to have the
evidence is the verdict. Of many claims together, any one may fail the gate, so that `REGRESSED` is held to
claims/alpha; all must be held to pass it, which needs no correction (Berger 1982, intersection-union tests). Of
several candidates on the same probes, the one that is chosen because it held is one of as many: they share alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp, xlog1py

from gentest.errors import InvalidArgument

Floats: TypeAlias = NDArray[np.float64]

FRACTIONS = np.geomspace(0.03, 0.999, 12)
"""The fractions staked, of what can be lost; never all of it, so that no single outcome ruins a bettor."""
LOOK = 32
"""A candidate is looked at after every so many probes, whatever the batch size, and at the baseline's last."""


def log_mean_wealth(log_wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the mean wealth, [...], of bettors whose log wealth is given, [12, ...].

    >>> log_mean_wealth(np.zeros((12, 2))).round(6).tolist()
    [0.0, 0.0]
    """
    with np.errstate(under="ignore"):  # of wealths next to nothing, whatever the caller makes of that elsewhere
        return np.asarray(logsumexp(log_wealth, axis=0) - np.log(len(log_wealth)))


def log_regressed(wins: ArrayLike, losses: ArrayLike) -> Floats:
    """Log evidence that the candidate holds less often than its baseline, of counts or arrays of them.

    >>> log_regressed([0, 8, 0], [0, 8, 16]).round(2).tolist()
    [0.0, -0.5, 8.71]
    """
    n_wins, n_losses = _broadcast(wins, losses)
    staked = _column(FRACTIONS, n_wins.ndim)
    return log_mean_wealth(xlog1py(n_losses, staked) + xlog1py(n_wins, -staked))


def log_held(wins: ArrayLike, losses: ArrayLike, ties: ArrayLike, tolerance: float) -> Floats:
    """Log evidence that the candidate holds at most `tolerance` less often, of counts or arrays of them.

    >>> log_held([0, 0], [0, 8], [200, 192], 0.05).round(2).tolist()
    [7.84, -0.11]
    """
    _check_tolerance(tolerance)
    n_wins, n_losses, n_ties = _broadcast(wins, losses, ties)
    lost = _column(FRACTIONS, n_wins.ndim)
    staked = lost / (1.0 - tolerance)
    log_wealth = xlog1py(n_losses, -lost) + xlog1py(n_ties, staked * tolerance)
    return log_mean_wealth(log_wealth + xlog1py(n_wins, staked * (1.0 + tolerance)))


@dataclass(frozen=True)
class Paired:
    """A candidate against its baseline, at the look that decided, or at the last one.

    `log_regressed` and `log_held` are the most evidence there was at any look so far, 0 at the least: an e-process
    starts at 1, and what it once reached stays valid. `fired` is "regressed", "held", or "" while neither has.
    """

    wins: int
    losses: int
    ties: int
    probes: int
    log_regressed: float
    log_held: float
    fired: str

    @property
    def discordance(self) -> float:
        """The share of probes on which the two differ, in [0, 1]; the fewer, the more the pairing saves."""
        return (self.wins + self.losses) / self.probes if self.probes else 0.0


def compare(
    baseline: NDArray[np.bool_],
    candidate: NDArray[np.bool_],
    *,
    tolerance: float,
    alpha: float,
    claims: int,
    candidates: int = 1,
) -> Paired:
    """The verdict on a candidate so far: its outcomes (True holds) on a prefix of the baseline's probes, in order.

    Looks at every multiple of `LOOK` and at the baseline's end, and stops at the first that has the evidence for
    "regressed" (`claims` / `alpha`), or else for "held" (`candidates` / `alpha`, since of several candidates one may be
    chosen because it held). More outcomes never change a verdict.

    >>> same = np.ones(256, dtype=bool)
    >>> compare(same, same, tolerance=0.05, alpha=0.01, claims=1).fired
    'held'
    >>> compare(same, ~same[:32], tolerance=0.05, alpha=0.01, claims=1).fired
    'regressed'
    """
    _check_tolerance(tolerance)
    if not 0.0 < alpha < 1.0:
        raise InvalidArgument.expected("a probability in (0, 1)", "alpha", alpha)
    if claims < 1:
        raise InvalidArgument.expected("a number of claims >= 1", "claims", claims)
    if candidates < 1:
        raise InvalidArgument.expected("a number of candidates >= 1", "candidates", candidates)
    n, stored = len(candidate), len(baseline)
    if n > stored:
        hint = "only probes that the baseline has outcomes of can be compared"
        raise InvalidArgument.expected(f"at most {stored} outcomes", "len(candidate)", n, hint=hint)
    before, after = np.asarray(baseline, dtype=bool)[:n], np.asarray(candidate, dtype=bool)
    looks = np.arange(LOOK, n + 1, LOOK)
    if n == stored and n % LOOK:
        looks = np.append(looks, n)
    if len(looks) == 0:
        return Paired(0, 0, 0, 0, 0.0, 0.0, "")
    wins = np.cumsum(after & ~before, dtype=np.int64)[looks - 1]
    losses = np.cumsum(before & ~after, dtype=np.int64)[looks - 1]
    ties = looks - wins - losses
    regressing = np.maximum.accumulate(np.maximum(log_regressed(wins, losses), 0.0))
    holding = np.maximum.accumulate(np.maximum(log_held(wins, losses, ties, tolerance), 0.0))
    regressed = regressing >= math.log(claims / alpha)
    decided = regressed | (holding >= math.log(candidates / alpha))
    last = int(decided.argmax()) if decided.any() else len(looks) - 1
    return Paired(
        int(wins[last]),
        int(losses[last]),
        int(ties[last]),
        int(looks[last]),
        float(regressing[last]),
        float(holding[last]),
        ("regressed" if regressed[last] else "held") if decided[last] else "",
    )


LEAST_STORED = 2048
"""Probes that a baseline keeps of a property, at the least, where nobody says how many."""


def probes_to_hold(rates: tuple[float, float]) -> int:
    """How many probes a baseline keeps, so that a candidate with the same rate is held to have it, 19 times in 20.

    It is of a rate anywhere in `rates`, its least and its most, of a candidate whose outcomes do not depend on the
    baseline's (the worst case: on the same latents they usually do), and of the default tolerance, 0.05. The wager
    that certifies "worse by less than the tolerance" grows with the tolerance squared over the variance of a
    difference of outcomes, 2 r (1 - r), so that the number is in proportion to it: 10,500 times, found by simulation
    (`tests/audit/calibration.py`), in steps of 512, and 2,048 at the least.

    >>> probes_to_hold((0.93, 0.97)), probes_to_hold((0.72, 0.88)), probes_to_hold((0.3, 0.7))
    (2048, 4608, 5632)
    """
    rate = min(max(0.5, rates[0]), rates[1])
    return max(LEAST_STORED, 512 * math.ceil(10_500 * 2.0 * rate * (1.0 - rate) / 512))


def difference_bounds(wins: int, losses: int, ties: int, alpha: float) -> tuple[float, float]:
    """By how much the candidate holds more often than its baseline (less often where negative): lower, upper bound.

    Each is wrong with a probability of at most `alpha`, whenever it is looked at: what the wager against a difference
    of at most that (at least that) has not won 1 / `alpha` on.

    >>> [round(bound, 3) for bound in difference_bounds(3, 5, 1992, 0.01)]
    [-0.008, 0.005]
    >>> [round(bound, 2) for bound in difference_bounds(0, 0, 0, 0.01)]
    [-1.0, 1.0]
    """
    return _lower_bound(wins, losses, ties, alpha), -_lower_bound(losses, wins, ties, alpha)


@dataclass(frozen=True)
class Holm:
    """Which claims are rejected, in the order they were given, and the p-value that each needs, or needed.

    `needed` is the largest p-value at which a claim is rejected, given which of those ranked before it are.
    """

    rejected: tuple[bool, ...]
    needed: tuple[float, ...]


def holm(p_values: Sequence[float], alpha: float, *, claims: int | None = None) -> Holm:
    """Holm's procedure at level `alpha`; `claims` is how many there are in all, those not given having p = 1.

    >>> holm([0.04, 0.004, 0.03], 0.05)
    Holm(rejected=(False, True, False), needed=(0.025, 0.016666666666666666, 0.025))
    >>> holm([0.004], 0.05, claims=20).rejected
    (False,)
    """
    if not 0.0 < alpha < 1.0:
        raise InvalidArgument.expected("a probability in (0, 1)", "alpha", alpha)
    for p in p_values:
        if not 0.0 <= p <= 1.0:
            raise InvalidArgument.expected("p-values in [0, 1]", "p_values", p_values)
    m = len(p_values) if claims is None else claims
    if m < len(p_values):
        raise InvalidArgument.expected(f"at least the {len(p_values)} p-values given", "claims", claims)
    rejected, needed = [False] * len(p_values), [0.0] * len(p_values)
    left = m
    for i in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        needed[i] = alpha / left
        if p_values[i] <= needed[i]:  # once one is not, none after it is: they have no lower p, and need the same
            rejected[i] = True
            left -= 1
    return Holm(tuple(rejected), tuple(needed))


def _lower_bound(wins: int, losses: int, ties: int, alpha: float) -> float:
    """The difference below which a wager on more has won 1 / alpha; -1 where none has."""
    n = wins + losses + ties
    if n == 0:
        return -1.0

    def short(bound: float) -> float:
        staked = FRACTIONS / (1.0 + bound)
        log_wealth = (
            xlog1py(losses, -FRACTIONS) + xlog1py(ties, -staked * bound) + xlog1py(wins, staked * (1.0 - bound))
        )
        return float(log_mean_wealth(log_wealth[:, None])[0]) + math.log(alpha)

    low, high = -1.0 + 1e-9, (wins - losses) / n
    return float(brentq(short, low, high)) if high > low and short(low) > 0.0 else -1.0


def _broadcast(*counts: ArrayLike) -> tuple[Floats, ...]:
    return tuple(np.broadcast_arrays(*counts))


def _column(values: Floats, ndim: int) -> Floats:
    """The grid along the first axis, to broadcast against counts of `ndim` axes."""
    return values.reshape(-1, *[1] * ndim)


def _check_tolerance(tolerance: float) -> None:
    if not 0.0 < tolerance < 1.0:
        raise InvalidArgument.expected("a tolerance in (0, 1)", "tolerance", tolerance)
