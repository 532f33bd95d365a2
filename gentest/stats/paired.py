"""The gate's test: a candidate holds as often as its baseline, on the same probes; and many such claims at once.

For each probe the difference D of the outcomes is 1 (a win: only the candidate holds), -1 (a loss) or 0 (a tie). With
w wins, l losses, t ties, a tolerance tau, the grid of fractions lam and mu = lam / (1 - tau), two wagers run:

    E_regressed = mean (1 + lam)^l (1 - lam)^w                                      against E[D] >= 0
    E_held      = mean (1 - mu (1 - tau))^l (1 + mu tau)^t (1 + mu (1 + tau))^w     against E[D] <= -tau

They are bets on the mean of a bounded variable (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
variables by betting"): a bettor stakes a fixed fraction of what can be lost on every D. Nobody knows beforehand which
fraction grows fastest, so the wealth is spread over a grid of them, and the evidence is its mean. Ties cancel out of
the first wager as in McNemar's test (1947). Between -tau and 0 both statements are true, and the first with enough
evidence is the verdict.

Any one of many claims may fail the gate, so "regressed" needs evidence of claims/alpha. All must hold to pass it, which
needs no correction (Berger 1982, intersection-union tests). Several candidates on the same probes share alpha, since
the one that is chosen is chosen because it held.

Afterwards Holm's procedure weighs the p-values of all claims (Holm 1979, "A simple sequentially rejective multiple test
procedure"): the chance that any true null is rejected is at most alpha, however the claims depend on one another. An
e-process gives the p-value 1/sup E (Vovk and Wang 2021, "E-values: calibration, combination and applications"), which
only falls as probes are added, so that a rejection stays.
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
from gentest.stats.quantiles import check_probability
from gentest.stats.rates import looks_at

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

FRACTIONS = np.geomspace(0.03, 0.999, 12)
"""The staked fractions of what can be lost; never all of it, so that no single outcome ruins a bettor."""
LOOK = 32
"""Probes between two looks at a candidate, at any batch size. The test also looks at the baseline's last probe."""


def log_mean_wealth(log_wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the mean wealth [...] of bettors with log wealth [12, ...].

    >>> log_mean_wealth(np.zeros((12, 2))).round(6).tolist()
    [0.0, 0.0]
    """
    with np.errstate(under="ignore"):  # tiny wealths may vanish, even if the caller raises on underflow
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

    `log_regressed` and `log_held` are the largest evidence at any look so far, and at least 0: an e-process starts at
    1, and what it once reached stays valid. `fired` is "regressed", "held", or "" before either has.
    """

    wins: int
    losses: int
    ties: int
    probes: int
    log_regressed: float
    log_held: float
    fired: str


@dataclass(frozen=True)
class Comparable:
    """The outcomes of the probes to which a property applies on both sides, for `compare`."""

    baseline: NDArray[np.bool_]
    """With those of the baseline's later probes to which it applies there."""
    candidate: NDArray[np.bool_]
    places: NDArray[np.int64]
    """The place of each of the candidate's outcomes among all probes."""


def comparable(baseline: ArrayLike, candidate: ArrayLike, *, applies_below: float) -> Comparable:
    """The outcomes of a baseline's margins [N] and of a candidate's on the first [n <= N] of the same probes.

    A property does not apply to a probe whose margin reaches `applies_below`.

    >>> both = comparable([1.0, 9.0, -1.0, 2.0, 9.0, 3.0], [1.0, 1.0, 1.0, 9.0], applies_below=9.0)
    >>> both.baseline.tolist(), both.candidate.tolist(), both.places.tolist()
    ([True, False, True], [True, True], [0, 2])
    """
    before, now = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    n = len(now)
    applies = before < applies_below
    applies[:n] &= now < applies_below
    places = np.flatnonzero(applies[:n])
    return Comparable(before[applies] >= 0, now[places] >= 0, places)


def compare(
    baseline: NDArray[np.bool_],
    candidate: NDArray[np.bool_],
    *,
    tolerance: float,
    alpha: float,
    claims: int,
    candidates: int = 1,
) -> Paired:
    """The verdict on a candidate from its outcomes (True holds) on a prefix of the baseline's probes, in order.

    It looks after every multiple of `LOOK` and at the baseline's end, and stops at the first look with enough evidence
    for "regressed" (`claims` / `alpha`) or else for "held" (`candidates` / `alpha`). More outcomes never change a
    verdict.

    >>> same = np.ones(256, dtype=bool)
    >>> compare(same, same, tolerance=0.05, alpha=0.01, claims=1).fired
    'held'
    >>> compare(same, ~same[:32], tolerance=0.05, alpha=0.01, claims=1).fired
    'regressed'
    """
    _check_tolerance(tolerance)
    check_probability("alpha", alpha)
    if claims < 1:
        raise InvalidArgument.expected("a number of claims >= 1", "claims", claims)
    if candidates < 1:
        raise InvalidArgument.expected("a number of candidates >= 1", "candidates", candidates)
    n, stored = len(candidate), len(baseline)
    if n > stored:
        hint = "only probes that the baseline has outcomes of can be compared"
        raise InvalidArgument.expected(f"at most {stored} outcomes", "len(candidate)", n, hint=hint)
    before, after = np.asarray(baseline, dtype=bool)[:n], np.asarray(candidate, dtype=bool)
    looks = looks_at(n, ends=n == stored, every=LOOK)
    if len(looks) == 0:
        return Paired(0, 0, 0, 0, 0.0, 0.0, "")
    wins, losses, ties = counts_at(looks, before, after)
    regressing = largest_so_far(log_regressed(wins, losses))
    holding = largest_so_far(log_held(wins, losses, ties, tolerance))
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


def counts_at(looks: Ints, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Wins, losses and ties of paired outcomes, counted up to each look."""
    wins = np.cumsum(after & ~before, dtype=np.int64)[looks - 1]
    losses = np.cumsum(before & ~after, dtype=np.int64)[looks - 1]
    return wins, losses, looks - wins - losses


def largest_so_far(log_evidence: Floats) -> Floats:
    """The largest log evidence up to each look, which stays valid; at least 0, where an e-process starts."""
    return np.asarray(np.maximum.accumulate(np.maximum(log_evidence, 0.0)))


LEAST_STORED = 2048
"""The fewest probes that a baseline keeps of a property by default."""


def probes_to_hold(rates: tuple[float, float]) -> int:
    """The number of probes that a baseline keeps, so that a candidate with the same rate is "held" 19 times in 20.

    `rates` are the smallest and the largest rate that are plausible. The number is for outcomes that do not depend on
    the baseline's (the worst case: on the same latents they usually do) and for the default tolerance, 0.05. The wager
    grows with the tolerance squared over the variance of a difference of outcomes, 2 r (1 - r), so the number is
    proportional to that variance: 10,500 times it, by simulation (`tests/audit/calibration.py`), in steps of 512, and
    at least 2,048.

    >>> probes_to_hold((0.93, 0.97)), probes_to_hold((0.72, 0.88)), probes_to_hold((0.3, 0.7))
    (2048, 4608, 5632)
    """
    rate = min(max(0.5, rates[0]), rates[1])
    return max(LEAST_STORED, 512 * math.ceil(10_500 * 2.0 * rate * (1.0 - rate) / 512))


def difference_bounds(wins: int, losses: int, ties: int, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the candidate's rate minus its baseline's, in [-1, 1].

    Each is wrong with a probability of at most `alpha`, whenever it is looked at. A bound is the difference against
    which the wager has just not won 1 / `alpha`.

    >>> [round(bound, 3) for bound in difference_bounds(3, 5, 1992, 0.01)]
    [-0.008, 0.005]
    >>> [round(bound, 2) for bound in difference_bounds(0, 0, 0, 0.01)]
    [-1.0, 1.0]
    """
    return _lower_bound(wins, losses, ties, alpha), -_lower_bound(losses, wins, ties, alpha)


@dataclass(frozen=True)
class Holm:
    """The claims that are rejected, in the order given, and the p-value that each needs.

    `needed` is the largest p-value at which a claim is rejected, given the claims that rank before it.
    """

    rejected: tuple[bool, ...]
    needed: tuple[float, ...]


def holm(p_values: Sequence[float], alpha: float, *, claims: int | None = None) -> Holm:
    """Holm's procedure at level `alpha`. `claims` counts all claims; those not given have p = 1.

    >>> holm([0.04, 0.004, 0.03], 0.05)
    Holm(rejected=(False, True, False), needed=(0.025, 0.016666666666666666, 0.025))
    >>> holm([0.004], 0.05, claims=20).rejected
    (False,)
    """
    check_probability("alpha", alpha)
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
        if p_values[i] <= needed[i]:  # after a failure none passes: later p-values are no lower and need the same
            rejected[i] = True
            left -= 1
    return Holm(tuple(rejected), tuple(needed))


def _lower_bound(wins: int, losses: int, ties: int, alpha: float) -> float:
    """The difference below which a wager on more has won 1 / alpha; -1 if there is none."""
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
    """The grid along the first axis, to broadcast against counts with `ndim` axes."""
    return values.reshape(-1, *[1] * ndim)


def _check_tolerance(tolerance: float) -> None:
    if not 0.0 < tolerance < 1.0:
        raise InvalidArgument.expected("a tolerance in (0, 1)", "tolerance", tolerance)
