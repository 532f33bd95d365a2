"""Levels: how far the mean of a variable lies from 0, decided as soon as its values show it.

The variable is a difference of scores on the same latent, candidate less reference. A bettor that stakes a fraction lam
against "the mean is at most m" multiplies its wealth at each difference x by

    1 + lam max(x - m, -k) / k

(Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"). The wealth is spread over the
fractions of `gentest.stats.paired`. Every bound of a mean, on either side, comes from this one wager.

A claim has a `Limit` for each side to which the mean may move. It is certified when the wagers of all sides have won
1/alpha (Berger 1982, intersection-union tests), and refuted when one of the opposite wagers has won the number of sides
times 1/alpha.

Nobody knows how far a difference can fall below m, so k is a *clip*: a fall of more than k counts as k. It may depend
on what came before, and on nothing else. A pilot, whose latents the claim is not tested on, gives the first clip; later
ones are at least twice the deepest fall so far. So a tail counts in full once it was seen, and a claim about the mean
errs as seldom as it says for normal, exponential and lognormal differences (`tests/audit/calibration.py`). No test sees
a tail before its first latent: if 3 % of latents, ten standard deviations away, make up the whole allowed difference,
14 % of claims are wrong.

A gate has no images to spare for a pilot. There the first 8 differences have a wide clip, of two standard deviations of
the baseline's scores, and are the pilot of the rest (`LevelTest.against`). The hardest case has lognormal differences
with a spread of 1.4 standard deviations: with 4 such differences, the test refused 1.6 % of levels that did not move,
and with 8, 0.9 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from gentest.errors import InvalidArgument
from gentest.stats.paired import FRACTIONS, largest_so_far, log_mean_wealth
from gentest.stats.quantiles import check_probability
from gentest.stats.rates import looks_at

LOOK = 8
"""Differences between two looks of the test, at any batch size. It also looks at the last difference of its budget."""
SPREADS = 2.0
"""The first clip is at least so many standard deviations of the pilot, beyond the pilot's mean."""
GROWTH = 2.0
"""A clip is at least so many times the deepest fall before."""
LEARNED = 8
"""The differences that are their own pilot, if nobody has another one."""
WIDE = 2.0
"""The clip of these differences, in standard deviations of the baseline."""
TOLERANCE = 0.5
"""How far a level may move in a quick gate that nobody told more, in standard deviations of the baseline."""
LEAST_SPREAD = 1e-4
"""The smallest standard deviation of a level, as a share of its size: smaller differences are rounding."""


def spread_of(scores: NDArray[np.float64]) -> float:
    """The standard deviation of scores [n >= 1], as the unit of their differences: never 0.

    >>> spread_of(np.array([0.0, 2.0])), spread_of(np.array([2.0, 2.0]))
    (1.0, 0.0002)
    """
    return max(float(scores.std()), LEAST_SPREAD * float(np.abs(scores).max()), 1e-12)


def log_mean_above(values: NDArray[np.float64], bound: float, low: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Log evidence [n] that the mean of `values` [n], all >= `low`, is above `bound`, after each of them.

    `low` [n] may depend on the values before each one.

    >>> log_mean_above(np.array([1.0, 1.0, 1.0, -1.0]), 0.0, -1.0).round(2).tolist()
    [0.26, 0.57, 0.94, 0.19]
    """
    if not np.all(low < bound):
        raise InvalidArgument.expected(f"a bound above low={low}", "bound", bound)
    values = np.asarray(values, dtype=np.float64)
    if not np.all(values >= low):
        raise InvalidArgument.expected(f"values >= low={low}, none of them NaN", "min(values)", float(values.min()))
    growth = np.log1p(FRACTIONS[:, None] / (bound - low) * (values - bound))
    return log_mean_wealth(np.cumsum(growth, axis=1))


@dataclass(frozen=True)
class Limit:
    """How far a mean may move to one side, as distances from 0.

    The claim is certified if the mean moved by less than `allowed`, and refuted if it moved by more than `refused`. A
    gate that asks whether a level fell by a tolerance has `Limit(tolerance, 0.0)`: between the two both are true, and
    the first with enough evidence is the verdict.
    """

    allowed: float
    refused: float


@dataclass(frozen=True)
class LevelDecision:
    """The decision on a claim after `n` differences: at the look that decided, or at the last one.

    `log_certified` and `log_refuted` are the largest evidence at any look so far, and at least 0. `holds` is None while
    neither has reached what it needs.
    """

    holds: bool | None
    n: int
    log_certified: float
    log_refuted: float


@dataclass(frozen=True)
class LevelTest:
    """The sequential test of a claim about the mean of differences.

    Certifying a mean beyond a limit, and refuting a mean within all of them, each happen with a probability of at most
    `alpha`, whenever the test stops. `pilot` has at least two differences of other latents, and `least` is the smallest
    clip: a tolerance. Without a pilot, `wide` is the clip of the first `LEARNED` differences.

    Of several `claims`, the probability that any is refuted by mistake is at most `alpha` (Bonferroni); and one of
    several `candidates`, chosen because it was certified, is wrong with a probability of at most `alpha`.
    """

    pilot: tuple[float, ...]
    least: float
    falls: Limit | None
    rises: Limit | None
    alpha: float
    wide: float = 0.0
    claims: int = 1
    candidates: int = 1

    def __post_init__(self) -> None:
        check_probability("alpha", self.alpha)
        if not 0.0 < self.least < math.inf:
            raise InvalidArgument.expected("a finite number > 0", "least", self.least)
        learns = not self.pilot and 0.0 < self.wide < math.inf
        if not learns and (len(self.pilot) < 2 or not np.isfinite(self.pilot).all()):
            raise InvalidArgument.expected("at least two finite differences", "pilot", self.pilot)
        if not self._sides:
            raise InvalidArgument("a claim about a level needs a limit for at least one side")
        for _, limit in self._sides:
            if not 0.0 <= limit.refused <= limit.allowed < math.inf or limit.allowed == 0.0:
                raise InvalidArgument.expected("a limit with 0 <= refused <= allowed, allowed > 0", "limit", limit)

    @classmethod
    def within(cls, tolerance: float, pilot: Iterable[float], alpha: float) -> LevelTest:
        """The test of a mean within `tolerance` > 0 of 0, on either side.

        >>> LevelTest.within(0.5, [0.0] * 16, 0.01).decide(np.zeros(64), ends=False).n
        16
        """
        limit = Limit(tolerance, tolerance)
        return cls(tuple(map(float, pilot)), tolerance, limit, limit, alpha)

    @classmethod
    def against(
        cls,
        baseline: NDArray[np.float64],
        *,
        falls_by: float | None,
        rises_by: float | None,
        alpha: float,
        claims: int = 1,
        candidates: int = 1,
    ) -> LevelTest:
        """The test of a level that fell by less than `falls_by` > 0 and rose by less than `rises_by`; None for any.

        `baseline` has scores [n >= 1]: their standard deviation gives the first clip. The claim is refuted if the mean
        fell, or rose, at all. Both are certain only if they are large, since the first with enough evidence decides.

        >>> scores = np.linspace(-1.0, 1.0, 64)
        >>> test = LevelTest.against(scores, falls_by=0.3, rises_by=None, alpha=0.01)
        >>> test.decide(np.zeros(64), ends=False).n, test.decide(np.full(64, -0.3), ends=False).holds
        (16, False)
        """
        falls, rises = (None if by is None else Limit(by, 0.0) for by in (falls_by, rises_by))
        least = min((by for by in (falls_by, rises_by) if by is not None), default=1.0)
        return cls((), least, falls, rises, alpha, WIDE * spread_of(baseline), claims, candidates)

    @property
    def sides(self) -> int:
        """The number of sides that the claim is about."""
        return len(self._sides)

    @property
    def _sides(self) -> list[tuple[float, Limit]]:
        """The sign of the movement, and its limit, for each side that the claim is about."""
        return [(sign, limit) for sign, limit in ((-1.0, self.falls), (1.0, self.rises)) if limit is not None]

    @property
    def needed_certified(self) -> float:
        """The log evidence that certifies the claim."""
        return math.log(self.candidates / self.alpha)

    @property
    def needed_refuted(self) -> float:
        """The log evidence that refutes it: each side of each claim may, so they share alpha."""
        return math.log(self.sides * self.claims / self.alpha)

    def decide(self, differences: NDArray[np.float64], *, ends: bool) -> LevelDecision:
        """The decision on differences [n], in the order of latents; `ends` says that there will be no more.

        The test looks after every multiple of `LOOK`, and at the end. More differences never change a decision.
        """
        looks = looks_at(len(differences), ends=ends, every=LOOK)
        if len(looks) == 0:
            return LevelDecision(None, 0, 0.0, 0.0)
        values = np.asarray(differences, dtype=np.float64)
        less, more = [], []
        for sign, limit in self._sides:
            less.append(largest_so_far(self._log_above(-sign * values, -limit.allowed, -sign)[looks - 1]))
            more.append(largest_so_far(self._log_above(sign * values, limit.refused, sign)[looks - 1]))
        certified, refuted = np.min(less, axis=0), np.max(more, axis=0)
        fails = refuted >= self.needed_refuted
        decided = fails | (certified >= self.needed_certified)
        last = int(decided.argmax()) if decided.any() else len(looks) - 1
        holds = not fails[last] if decided[last] else None
        return LevelDecision(holds, int(looks[last]), float(certified[last]), float(refuted[last]))

    def interval(self, differences: NDArray[np.float64], alpha: float) -> tuple[float, float]:
        """Lower and upper bound of the mean of differences [n >= 1].

        Each is wrong with a probability of at most `alpha`, at any time. A bound is the mean against which the wager
        has won 1 / `alpha` at some look, and against no larger one. So a claim that is certified at `alpha` has both
        bounds within its limits. The sample's mean is always between them.

        >>> test = LevelTest.within(0.5, [0.0] * 16, 0.01)
        >>> [round(bound, 2) for bound in test.interval(np.zeros(16), 0.01)]
        [-0.27, 0.27]
        """
        values = np.asarray(differences, dtype=np.float64)
        mean = float(values.mean())
        low, high = self._lower_bound(values, 1.0, alpha), -self._lower_bound(-values, -1.0, alpha)
        return min(low, mean), max(high, mean)

    def _log_above(self, values: NDArray[np.float64], bound: float, sign: float) -> NDArray[np.float64]:
        """Log evidence [n] that the mean of `values`, differences times `sign`, is above `bound`."""
        first = np.full(len(values), max(self.least, self.wide))
        pilot = sign * np.array(self.pilot) if self.pilot else values[:LEARNED]
        if len(pilot) > 1:
            falls = bound - pilot
            spread = SPREADS * float(falls.std(ddof=1)) + max(float(falls.mean()), 0.0)
            first[0 if self.pilot else LEARNED :] = max(self.least, spread, GROWTH * float(falls.max()))
        deepest = np.maximum.accumulate(np.concatenate([[0.0], bound - values]))[:-1]
        low = bound - np.maximum(first, GROWTH * deepest)
        return log_mean_above(np.maximum(values, low), bound, low)

    def _lower_bound(self, values: NDArray[np.float64], sign: float, alpha: float) -> float:
        """The bound up to which the wager on a larger mean of `values` has won 1 / alpha."""
        looks = looks_at(len(values), ends=True, every=LOOK)

        def excess(bound: float) -> float:
            return float(self._log_above(values, bound, sign)[looks - 1].max()) + math.log(alpha)

        high = float(values.max())
        step = self.least + high - float(values.min())
        while excess(high - step) <= 0.0:
            step *= 2.0
        return float(brentq(excess, high - step, high))
