"""The sequential test of a rate: a property holds for at least `p0` of all probes, from as few of them as possible.

The test is a mixture likelihood ratio (Robbins 1970, "Statistical methods related to the law of the iterated
logarithm"; Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences"). The evidence for a
rate above q is the likelihood of the outcomes, averaged over a Beta prior cut to (q, 1], over their likelihood at q;
below q the prior is cut to [0, q). With k of n probes passed, a = 8 p0 and b = 8 (1 - p0),

    log E_up(k, n; q) = log B(a + k, b + n - k) + log I'_q(a + k, b + n - k)
                      - log B(a, b) - log I'_q(a, b) - k log q - (n - k) log (1 - q)

where I' is the upper regularised incomplete beta function; E_down has the lower one. Both priors are centred at p0,
even for evidence against a lower q. Batches do not matter, since the test looks after every 16 probes and after the
last one. It assumes that probes are independent, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaln, xlog1py, xlogy

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument
from gentest.stats.quantiles import check_probability

Floats: TypeAlias = NDArray[np.float64]

LOOK = 16
"""Probes between two looks at a rate, at any batch size. The test also looks after the last probe."""
PRIOR = 8.0
"""The weight of the prior in probes, a + b."""
EDGE = 1e-6
"""The smallest distance of a rate from 0 and 1. A rate of 1 is a property without a rate, which the search judges."""

_TAIL = 1e-200  # below it, SciPy's incomplete beta function nears its underflow, and is computed in logarithms
_STEPS = 100_000
_TINY = 1e-300


def default_slack(p0: float) -> float:
    """The default distance below `p0` at which a rate is certified: 0.4 (1 - p0), or 0.4 p0 if that is less.

    >>> round(default_slack(0.95), 6), round(default_slack(0.99), 6), round(default_slack(0.3), 6)
    (0.02, 0.004, 0.12)
    """
    return 0.4 * min(p0, 1.0 - p0)


@dataclass(frozen=True)
class RateDecision:
    """The end of a walk over the looks; `passes` of `probes` are the counts at the last look."""

    holds: bool | None
    passes: int
    probes: int


@dataclass(frozen=True)
class RateTest:
    """The test of a rate: "holds" states that it is above `p0 - slack`, "violated" that it is below `p0`.

    A true rate between the two satisfies both statements, and the first with enough evidence is the verdict. Each is
    wrong with a probability of at most `alpha`, over all looks together.

    >>> test = RateTest(p0=0.95, slack=0.02, alpha=0.01)
    >>> test.decide(80, 80), test.decide(8, 16), test.decide(15, 16)
    (True, False, None)
    """

    p0: float
    slack: float
    alpha: float
    claims: int = 1
    """The number of rates that must all hold. Refutations share alpha (Bonferroni), since one refutes the whole; that
    all of them hold needs no correction (Berger 1982)."""

    def __post_init__(self) -> None:
        if not EDGE <= as_number(self.p0) <= 1.0 - EDGE:
            hint = "a rate of 1 is a property without a rate" if self.p0 == 1 else ""
            raise InvalidArgument.expected(f"a rate in [{EDGE:g}, 1 - {EDGE:g}]", "p0", self.p0, hint=hint)
        if not 0.0 <= as_number(self.slack) < self.p0:
            raise InvalidArgument.expected("a slack in [0, p0)", "slack", self.slack)
        if not is_whole(self.claims, 1):
            raise InvalidArgument.expected("a number of claims >= 1", "claims", self.claims)
        check_probability("alpha", self.alpha)

    @property
    def certified(self) -> float:
        """The rate that is certified if the property holds, p0 - slack."""
        return self.p0 - self.slack

    @property
    def threshold(self) -> float:
        """The log evidence for "holds", ln(1 / alpha)."""
        return -math.log(self.alpha)

    @property
    def refuting(self) -> float:
        """The log evidence for "violated", ln(claims / alpha)."""
        return math.log(self.claims) - math.log(self.alpha)

    def log_holds(self, passes: ArrayLike, n: ArrayLike) -> Floats:
        """Log evidence that the rate is above `certified`, of counts or arrays of them that broadcast.

        >>> RateTest(p0=0.95, slack=0.02, alpha=0.01).log_holds([64, 80], [64, 80]).round(2).tolist()
        [4.01, 5.09]
        """
        return _log_evidence(passes, n, self.certified, centre=self.p0, above=True)

    def log_violated(self, passes: ArrayLike, n: ArrayLike) -> Floats:
        """Log evidence that the rate is below `p0`, of counts or arrays of them that broadcast."""
        return _log_evidence(passes, n, self.p0, centre=self.p0, above=False)

    def decide(self, passes: int, n: int) -> bool | None:
        """True for "holds", False for "violated", None while these counts leave it open.

        Counts with enough evidence for both, at a rate between `certified` and `p0`, are a violation.
        """
        if not 0 <= passes <= n:
            raise InvalidArgument.expected(f"a count from 0 to n={n}", "passes", passes)
        if self.log_violated(passes, n) >= self.refuting:
            return False
        return True if self.log_holds(passes, n) >= self.threshold else None

    def first_decision(
        self, outcomes: NDArray[np.bool_], *, after: RateDecision | None = None, ends: bool = False
    ) -> RateDecision:
        """The first look that decides, after every multiple of `LOOK` outcomes (True passes), in the order drawn.

        `after` is an earlier look that decided nothing; its outcomes are not given again. More outcomes never change a
        decision. Outcomes after the last multiple count only if the walk `ends` with them, since the evidence is valid
        at any stopping time.

        >>> test = RateTest(p0=0.95, slack=0.02, alpha=0.01)
        >>> test.first_decision(np.ones(100, dtype=bool))
        RateDecision(holds=True, passes=80, probes=80)
        >>> test.first_decision(np.ones(52, dtype=bool), after=test.first_decision(np.ones(48, dtype=bool)))
        RateDecision(holds=True, passes=80, probes=80)
        >>> test.first_decision(np.zeros(7, dtype=bool), ends=True)
        RateDecision(holds=False, passes=0, probes=7)
        """
        before = RateDecision(None, 0, 0) if after is None else after
        looks = looks_at(len(outcomes), ends=ends)
        if len(looks) == 0:
            return before
        n = before.probes + looks
        passes = before.passes + np.cumsum(outcomes, dtype=np.int64)[looks - 1]
        violated = self.log_violated(passes, n) >= self.refuting
        decided = violated | (self.log_holds(passes, n) >= self.threshold)
        look = int(decided.argmax()) if decided.any() else len(n) - 1
        holds = not violated[look] if decided[look] else None
        return RateDecision(holds, int(passes[look]), int(n[look]))

    @property
    def fewest(self) -> int:
        """The fewest probes that can decide "holds", if all of them pass.

        >>> RateTest(p0=0.95, slack=0.02, alpha=0.01).fewest
        73
        """
        return _fewest(lambda n: bool(self.log_holds(n, n) >= self.threshold))

    @property
    def fewest_deciding(self) -> int:
        """The fewest probes that can decide anything, if all of them pass or all of them fail.

        >>> RateTest(p0=0.95, slack=0.02, alpha=0.01).fewest_deciding
        4
        """
        return min(self.fewest, _fewest(lambda n: bool(self.log_violated(0, n) >= self.refuting)))

    def interval(self, passes: int, n: int) -> tuple[float, float]:
        """The confidence sequence of the rate at these counts: lower and upper end, both in [0, 1].

        It contains the rates q against which neither one-sided process has evidence 1 / `alpha`, with both priors
        centred at q. Each end is wrong with a probability of at most `alpha`, over all counts together. The interval
        depends on `alpha` alone, and lies below `p0` exactly if these counts are a violation.

        >>> low, high = RateTest(p0=0.95, slack=0.02, alpha=0.01).interval(190, 200)
        >>> round(low, 3), round(high, 3)
        (0.88, 0.986)
        """
        if not 0 <= passes <= n:
            raise InvalidArgument.expected(f"a count from 0 to n={n}", "passes", passes)
        return self._bound(passes, n, self.threshold, above=True), self._bound(passes, n, self.threshold, above=False)

    def interval_of_all(self, passes: int, n: int) -> tuple[float, float]:
        """An `interval` valid for all `claims` rates at once: each end errs with a probability of `alpha` / `claims`.

        It lies below `p0` exactly if these counts refute the rate among all of them.

        >>> test = RateTest(p0=0.9, slack=0.04, alpha=0.01, claims=10)
        >>> [round(high, 3) for _, high in (test.interval(33, 48), test.interval_of_all(33, 48))]
        [0.874, 0.901]
        """
        return self._bound(passes, n, self.refuting, above=True), self._bound(passes, n, self.refuting, above=False)

    def _bound(self, passes: int, n: int, threshold: float, *, above: bool) -> float:
        """The lower end of the interval (`above`: the rate is above it), or the upper end."""
        end = 0.0 if above else 1.0
        if n == 0:
            return end

        def excess(q: float) -> float:
            return float(_log_evidence(passes, n, q, centre=q, above=above)) - threshold

        nearly = 1e-12
        far = nearly if above else 1.0 - nearly
        observed = min(max(passes / n, nearly), 1.0 - nearly)
        return end if excess(far) <= 0.0 else float(brentq(excess, far, observed))


def looks_at(n: int, *, ends: bool, every: int = LOOK) -> NDArray[np.int64]:
    """The counts of outcomes after which a test looks: every multiple of `every`, and `n` itself if the test `ends`.

    >>> looks_at(40, ends=False).tolist(), looks_at(40, ends=True).tolist(), looks_at(32, ends=True).tolist()
    ([16, 32], [16, 32, 40], [16, 32])
    """
    looks = np.arange(every, n + 1, every)
    return np.append(looks, n) if ends and n % every else looks


def _fewest(decides: Callable[[int], bool]) -> int:
    """The least n that decides, given that every larger n decides too: by doubling, then by halving."""
    high = 1
    while not decides(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _log_evidence(passes: ArrayLike, n: ArrayLike, q: float, *, centre: float, above: bool) -> Floats:
    """Log E_up against the rate q (`above`), or log E_down, with a prior of mean `centre` that is cut at q."""
    k = np.asarray(passes)
    failures = np.asarray(n) - k
    a, b = np.float64(PRIOR * centre), np.float64(PRIOR * (1.0 - centre))
    posterior = betaln(a + k, b + failures) + _log_mass(a + k, b + failures, q, above=above)
    prior = betaln(a, b) + _log_mass(a, b, q, above=above)
    return np.asarray(posterior - prior - xlogy(k, q) - xlog1py(failures, -q))


def _log_mass(a: ArrayLike, b: ArrayLike, q: float, *, above: bool) -> Floats:
    """Log of the mass of Beta(a, b) above q, or below it; finite even far in the tail."""
    a, b = np.broadcast_arrays(a, b)
    mass = betainc(b, a, 1.0 - q) if above else betainc(a, b, q)
    log_mass = np.asarray(np.log(np.maximum(mass, _TINY)))
    tail = mass < _TAIL
    if tail.any():
        log_mass[tail] = _log_tail(b[tail], a[tail], 1.0 - q) if above else _log_tail(a[tail], b[tail], q)
    return log_mass


def _log_tail(a: Floats, b: Floats, x: float) -> Floats:
    """Log of the lower regularised incomplete beta function far below its mean, by its continued fraction.

    Didonato and Morris 1992, "Significant digit computation of the incomplete beta function ratios"; the fraction
    (NIST Handbook 2010, 8.17.22) is evaluated from the front (Lentz 1976). It converges fast for x below
    (a + 1) / (a + b + 2), which holds in the tail.
    """
    c = np.ones_like(a)
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    fraction = d.copy()
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for step in (even, odd):
            d = 1.0 / _away_from_zero(1.0 + step * d)
            c = _away_from_zero(1.0 + step / c)
            change = c * d
            fraction *= change
        if np.all(np.abs(change - 1.0) < 1e-14):
            break
    return np.asarray(xlogy(a, x) + xlog1py(b, -x) - np.log(a) - betaln(a, b) + np.log(fraction))


def _away_from_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < _TINY, _TINY, values)
