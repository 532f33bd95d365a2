"""Shares that lie in a range, and codes in use: tests that are valid whenever they stop.

A share is tested on both sides at once, by the evidence of `gentest.stats.rates`: it lies within the range when there
is enough evidence against both of its ends (Berger 1982, intersection-union tests), and beyond when there is enough on
the far side of one of them. The sides, and the shares of several groups, divide alpha.

A code is *in use* if at least a share q of outputs contain it. A code that was seen exists; one that was not seen may
be rare. Let u codes be in use. For each of them, 1{not seen in n outputs} (1 - q)^-n is a nonnegative supermartingale
that starts at 1, since an output misses it with a probability of at most 1 - q. So is their mean over the u codes, and
with S codes seen it is at least (u - S) / u (1 - q)^-n. It ever reaches 1/alpha with a probability of at most alpha
(Ville 1939): the largest u for which it has not is an upper bound of the codes in use, at any stopping time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument
from gentest.stats.quantiles import check_probability
from gentest.stats.rates import EDGE, RateTest, looks_at


@dataclass(frozen=True)
class ShareDecision:
    """The decision on a share after `n` outcomes, `yes` of them positive: at the look that decided, or at the last."""

    holds: bool | None
    yes: int
    n: int


@dataclass(frozen=True)
class ShareTest:
    """The sequential test of a share that lies in [`low`, `high`], or outside. An end of 0 or 1 asks for nothing.

    Each statement is wrong with a probability of at most `alpha`, whenever the test stops. `claims` shares must all lie
    in the range: refutations divide alpha among them.

    >>> test = ShareTest(0.3, 0.7, alpha=0.01)
    >>> test.decide(np.tile([True, False], 100), ends=False)
    ShareDecision(holds=True, yes=40, n=80)
    """

    low: float
    high: float
    alpha: float
    claims: int = 1

    def __post_init__(self) -> None:
        if not 0.0 <= as_number(self.low) < as_number(self.high) <= 1.0 or (self.low, self.high) == (0.0, 1.0):
            raise InvalidArgument.expected(
                "shares low < high in [0, 1], and not all of it", "between", (self.low, self.high)
            )
        if not is_whole(self.claims, 1):
            raise InvalidArgument.expected("a number of claims >= 1", "claims", self.claims)
        check_probability("alpha", self.alpha)
        _ = self._sides  # rejects ends that are too near to 0 or 1

    @property
    def _sides(self) -> list[tuple[bool, RateTest]]:
        """The test of each end: that the share is above `low`, and that its complement is above 1 - `high`."""
        ends = [(False, float(self.low)), (True, 1.0 - float(self.high))]
        return [(turned, RateTest(end, 0.0, self.alpha)) for turned, end in ends if end >= EDGE / 2]

    @property
    def alpha_beyond(self) -> float:
        """The share of alpha that each side of each share may spend on a refutation."""
        return self.alpha / (len(self._sides) * self.claims)

    def decide(self, outcomes: NDArray[np.bool_], *, ends: bool) -> ShareDecision:
        """The first look that decides, at every 16th outcome (True is yes), or the last; `ends` adds one at the end.

        More outcomes never change a decision.
        """
        n = looks_at(len(outcomes), ends=ends)
        if len(n) == 0:
            return ShareDecision(None, 0, 0)
        yes = np.cumsum(outcomes, dtype=np.int64)[n - 1]
        certified, refuted = np.full(len(n), np.inf), np.full(len(n), -np.inf)
        for turned, test in self._sides:
            passes = n - yes if turned else yes
            certified = np.minimum(certified, test.log_holds(passes, n))
            refuted = np.maximum(refuted, test.log_violated(passes, n))
        fails = refuted >= -math.log(self.alpha_beyond)
        decided = fails | (certified >= -math.log(self.alpha))
        last = int(decided.argmax()) if decided.any() else len(n) - 1
        return ShareDecision(not fails[last] if decided[last] else None, int(yes[last]), int(n[last]))

    def interval(self, decision: ShareDecision) -> tuple[float, float]:
        """The confidence sequence of the share: each end errs with at most `alpha` if the test holds, else with less.

        It lies in the range exactly if these counts certify that, and beyond it exactly if they refute it.

        >>> test = ShareTest(0.3, 0.7, alpha=0.01)
        >>> [round(end, 3) for end in test.interval(ShareDecision(True, 40, 80))]
        [0.319, 0.681]
        """
        each_end = self.alpha if decision.holds else self.alpha_beyond
        return RateTest(0.5, 0.0, each_end).interval(decision.yes, decision.n)


@dataclass(frozen=True)
class CodesTest:
    """The test that at least `fewest` of `k` codes are in use: that a share `rarely` of outputs, or more, contain each.

    It holds as soon as so many codes were seen, without an error. It is refuted, wrongly with a probability of at most
    `alpha`, when fewer can be in use. Every question is decided after ln(fewest / alpha) / rarely outputs.

    >>> test = CodesTest(k=1024, fewest=922, rarely=0.01, alpha=0.01)
    >>> test.most_outputs, test.most_in_use(512, 400), test.most_in_use(512, 800)
    (1138, 1024, 529)
    """

    k: int
    fewest: int
    rarely: float
    alpha: float

    def __post_init__(self) -> None:
        if not is_whole(self.k, 1) or not is_whole(self.fewest, 1, self.k):
            raise InvalidArgument.expected(f"1 to k={self.k} codes", "fewest", self.fewest)
        check_probability("rarely", self.rarely)
        check_probability("alpha", self.alpha)

    @property
    def most_outputs(self) -> int:
        """Outputs after which the test is certain to have decided."""
        return math.ceil(math.log(self.fewest / self.alpha) / -math.log1p(-self.rarely))

    def most_in_use(self, seen: int, n: int) -> int:
        """The most codes that can be in use after `n` outputs with `seen` codes."""
        missed = math.exp(min(n * math.log1p(-self.rarely) - math.log(self.alpha), 1.0))
        if missed >= 1.0:
            return self.k
        return max(seen, min(self.k, math.ceil(seen / (1.0 - missed)) - 1))

    def decide(self, seen: int, n: int) -> bool | None:
        """True if enough codes were seen, False if too few can be in use, None while both are possible."""
        if seen >= self.fewest:
            return True
        return False if self.most_in_use(seen, n) < self.fewest else None
