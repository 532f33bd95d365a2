"""Drift of levels: an attribute's scores moved, probe by probe, between a baseline and a candidate.

A drift states that the mean moved by more than 0.1 standard deviations of the baseline's scores. The differences on
the same latents, in that unit, are clipped to [-3, 3], so that a wager can bet on their mean (Waudby-Smith and Ramdas
2024, "Estimating means of bounded random variables by betting"): one wager against a mean of at most 0.1, and its
mirror image against a mean of at least -0.1. Differences within 0.1, such as rounding and other batch sizes bring, lose
both wagers, however many there are. A level drifts long before a rate moves, and means less: the new level may be fine.

Skewed scores break the wagers in two ways, and each has a remedy:

- Clipping moves the mean of skewed differences. So a drift also needs a t test of the differences without clipping,
  whose statistic is freed of skewness (`p_of_mean`).
- The standard deviation of few heavy-tailed scores is mostly too small. So the unit is an upper bound of it
  (`spread_bound`), 13 % above the standard deviation of 512 normal scores, and 59 % above that of lognormal ones.

With both, at most 1 % of candidates that moved by 0.1 are called a drift, for lognormal scores up to a skewness of 33
and for mixtures whose second mode has 2 % or more (`tests/audit/calibration.py`). A second mode of 0.5 % that all 512
scores of a baseline miss does not enter its unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr

from gentest.errors import InvalidArgument
from gentest.stats.levels import log_mean_above, spread_of

CLIP = 3.0
"""Larger differences, in standard deviations, count as this one."""
NULL = 0.1
"""The largest mean difference, in standard deviations, that is not a drift."""
UNIT_ALPHA = 0.0025
"""The chance that the bound of a standard deviation lies below it: a quarter of a drift's 1 %."""


@dataclass(frozen=True)
class LevelDrift:
    """The move of an attribute's levels, in standard deviations of the baseline, and the evidence for it.

    `mean` is that of the clipped differences; above 0, the candidate scores higher. `log_evidence` is the largest of
    either side after any of the `probes`, and at least 0; `p` is its p-value, 2 / evidence. `certain_at` counts the
    probes after which it reached the needed evidence; 0 if it never did.
    """

    mean: float
    log_evidence: float
    p: float
    probes: int
    certain_at: int = 0


def level_drift(differences: NDArray[np.float64], *, log_needed: float = math.inf) -> LevelDrift:
    """The drift in `differences` [n], (candidate - baseline) / the baseline's sd, in the order of probes.

    `log_needed` is the log evidence at which it is certain.

    >>> drift = level_drift(np.full(100, 0.5))
    >>> drift.mean, drift.p < 0.01
    (0.5, True)
    >>> level_drift(np.full(10_000, 0.09)).p
    1.0
    """
    differences = np.asarray(differences, dtype=np.float64)
    if np.isnan(differences).any():
        hint = "a baseline whose scores do not vary has no unit to measure a drift in"
        raise InvalidArgument.expected("differences without NaN", "differences", differences, hint=hint)
    if len(differences) == 0:
        return LevelDrift(0.0, 0.0, 1.0, 0)
    clipped = np.clip(differences, -CLIP, CLIP)
    path = np.maximum(*(log_mean_above(side * clipped, NULL, -CLIP) for side in (1.0, -1.0)))
    log_evidence = max(0.0, float(path.max()))
    p, certain = min(1.0, 2.0 * math.exp(-log_evidence)), path >= log_needed
    certain_at = int(certain.argmax()) + 1 if certain.any() else 0
    return LevelDrift(float(clipped.mean()), log_evidence, p, len(clipped), certain_at)


def drift_between(before: NDArray[np.float64], now: NDArray[np.float64], *, log_needed: float = math.inf) -> LevelDrift:
    """The drift from the scores `before` [n] to the scores `now` [m] of the same latents, as far as both go.

    Both tests have to see it: `p` is the larger of their p-values, and `log_evidence` is -log p. `mean` is that of the
    clipped differences, in standard deviations of `before`. `log_needed` is the wagers' log evidence at which it is
    certain; if the t test has the larger p-value, nothing was certain before the last latent.

    >>> scores = np.linspace(0.0, 1.0, 200)
    >>> drift_between(scores, scores + 0.2).p < 1e-6, drift_between(scores, scores).p
    (True, 1.0)
    """
    sd = spread_of(before)
    unit = max(spread_bound(before), sd)
    n = min(len(before), len(now))
    differences = (now[:n] - before[:n]) / unit
    wagers, p_mean = level_drift(differences, log_needed=log_needed), p_of_mean(differences)
    return LevelDrift(
        mean=wagers.mean * unit / sd,
        log_evidence=min(max(0.0, wagers.log_evidence - math.log(2)), -math.log(max(p_mean, 1e-300))),
        p=max(wagers.p, p_mean),
        probes=n,
        certain_at=wagers.certain_at if p_mean <= wagers.p else 0,
    )


def spread_bound(scores: NDArray[np.float64]) -> float:
    """An upper bound of the standard deviation of the distribution of `scores` [n]; 0 if they are all equal.

    The variance is the mean of squared deviations w. As in a score interval (Wilson 1927, "Probable inference, the law
    of succession, and statistical inference"), a larger mean of w comes with a larger variance, since a tail that the
    sample missed contains more of the largest. With z the normal quantile at 0.25 % and h = z^2 max(w) / (2 n)

        bound^2 = mean(w) + h + sqrt(h^2 + z^2 var(w) / n)

    >>> scores = np.linspace(0.0, 1.0, 101)
    >>> round(float(scores.std()), 2), round(spread_bound(scores), 2)
    (0.29, 0.34)
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) == 0:
        return 0.0
    w, z2 = (scores - scores.mean()) ** 2, float(ndtri(UNIT_ALPHA)) ** 2
    h = z2 * float(w.max()) / (2 * len(w))
    return math.sqrt(float(w.mean()) + h + math.sqrt(h**2 + z2 * float(w.var()) / len(w)))


def p_of_mean(differences: NDArray[np.float64]) -> float:
    """The two-sided p-value of "the mean lies in [-0.1, 0.1]" for `differences` [n]; 1 for fewer than two.

    Each end has Student's t test, whose statistic is freed of skewness by a monotone cubic transformation (Hall 1992,
    "On the removal of skewness by transformation", T3). The test of a mean above 0.1 clips differences above 3, which
    lowers the mean and so keeps the level, and leaves those below -3; the test of a mean below -0.1 does the opposite.
    So an outlier on the side of the drift hides nothing, and one on the other side counts in full.

    >>> p_of_mean(np.linspace(0.2, 0.8, 30)) < 1e-6, p_of_mean(np.linspace(-0.5, 0.5, 30))
    (True, 1.0)
    """
    differences = np.asarray(differences, dtype=np.float64)
    return min(1.0, 2.0 * min(_p_of_more(differences), _p_of_more(-differences)))


def _p_of_more(differences: NDArray[np.float64]) -> float:
    """The p-value of a mean of at most 0.1."""
    n, cut = len(differences), np.minimum(differences, CLIP)
    if n < 2 or not np.isfinite(cut).all():
        return 1.0
    mean, sd = float(cut.mean()), float(cut.std(ddof=1))
    if sd <= 1e-12 * abs(mean):
        return float(mean <= NULL)
    a, skew = (mean - NULL) / sd, float((((cut - mean) / sd) ** 3).mean())
    freed = math.sqrt(n) * (a + skew * a**2 / 3.0 + skew**2 * a**3 / 27.0 + skew / (6.0 * n))
    return float(stdtr(n - 1, -freed))
