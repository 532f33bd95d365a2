"""Bounds from a sample alone: of a share of a distribution, and of any statistic by resampling.

A distribution-free tolerance bound (Wilks 1941, "Determination of sample sizes for setting tolerance limits"): of n
independent draws x_(1) <= ... <= x_(n), at most k - 1 lie below the p-quantile with probability P(Bin(n, p) <= k - 1),
for any distribution, and with more where it has atoms. So with the smallest k for which that is at least the
confidence, at least p of the distribution is at or under x_(k). Without atoms the share that truly is has the
distribution Beta(k, n - k + 1): 0.965 in the mean for p = 0.95, n = 1024 and a confidence of 0.99, where k = 989.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrik

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument

Floats: TypeAlias = NDArray[np.float64]


def least_n(share: float, confidence: float) -> int:
    """The fewest draws whose largest is such a bound: the least n with 1 - share^n >= confidence.

    >>> least_n(0.95, 0.99), least_n(0.99, 0.99), least_n(0.5, 0.5)
    (90, 459, 1)
    """
    check_probability("share", share)
    check_probability("confidence", confidence)
    n = max(1, math.floor(math.log1p(-confidence) / math.log(share)) - 1)
    while bdtr(n - 1, n, share) < confidence:
        n += 1
    return n


def upper_rank(n: int, share: float, confidence: float) -> int:
    """The rank k in [1, n]: with `confidence`, at least `share` of the distribution is at or under the k-th smallest.

    Raises `InvalidArgument` if n draws are too few for any k.

    >>> upper_rank(1024, 0.95, 0.99), upper_rank(90, 0.95, 0.99)
    (989, 90)
    """
    least = least_n(share, confidence)
    if not is_whole(n, least):
        what = f"a whole number >= {least}, for {share:g} of a distribution with confidence {confidence:g}"
        raise InvalidArgument.expected(what, "n", n)
    k = max(1, int(bdtrik(confidence, n, share)))
    while bdtr(k - 1, n, share) < confidence:
        k += 1
    return k


def upper_bound(values: ArrayLike, share: float, confidence: float) -> float:
    """A bound with, at `confidence`, at least `share` of the distribution at or under it.

    `values` [n] are independent and finite draws, in any order.

    >>> upper_bound(range(1, 1025), 0.95, 0.99)
    989.0
    """
    ordered: Floats = np.sort(np.asarray(values, dtype=np.float64))
    if ordered.ndim != 1 or not np.isfinite(ordered).all():
        raise InvalidArgument(f"Expected finite values [n] but got shape {ordered.shape}, {ordered}")
    return float(ordered[upper_rank(len(ordered), share, confidence) - 1])


def lower_bound(values: ArrayLike, share: float, confidence: float) -> float:
    """A bound with, at `confidence`, at least `share` of the distribution at or over it.

    >>> lower_bound(range(1, 1025), 0.95, 0.99)
    36.0
    """
    return -upper_bound(-np.asarray(values, dtype=np.float64), share, confidence)


def check_probability(name: str, value: object) -> None:
    """Raises `InvalidArgument` unless the value is a number in (0, 1)."""
    if not 0.0 < as_number(value) < 1.0:
        raise InvalidArgument.expected("a probability in (0, 1)", name, value)


def bootstrap_bounds(
    statistic: Callable[[NDArray[np.int64]], float], n: int, *, alpha: float, seed: int, resamples: int
) -> tuple[float, float]:
    """Lower and upper bound of a statistic of `n` draws by the percentile bootstrap (Efron 1979).

    `statistic` takes the indices [n] of a resample. Each end errs with a probability of about `alpha`: the bootstrap
    promises nothing for few draws, and little for extremes.

    >>> draws = np.linspace(0, 1, 101)
    >>> [round(b, 1) for b in bootstrap_bounds(lambda i: draws[i].mean(), 101, alpha=0.01, seed=0, resamples=999)]
    [0.4, 0.6]
    """
    check_probability("alpha", alpha)
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(0, n, n)) for _ in range(resamples)]
    low, high = np.quantile(values, [alpha, 1.0 - alpha])
    return float(low), float(high)
