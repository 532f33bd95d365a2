"""Drift of levels: whether an attribute's scores moved, probe by probe, between a baseline and a candidate.

The differences on the same latents, in standard deviations of the baseline, are clipped to [-3, 3], so that their mean
can be bet against (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"): one
wager against its being at most 0.1, and its mirror image against its being at least -0.1. Differences that stay
within 0.1, such as those that rounding or another batch size brings, lose both wagers whatever their number. A drift
of a level is seen long before a rate moves, and says less: nothing need be wrong with the new level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.stats.betting import FRACTIONS, log_mean_wealth

CLIP = 3.0
"""Differences beyond so many standard deviations count as this many."""
NULL = 0.1
"""A mean difference of so many standard deviations is no drift."""


def log_mean_above(values: NDArray[np.float64], bound: float, low: float) -> NDArray[np.float64]:
    """Log evidence that the mean of `values` is above `bound`, after each of them: [n] of values [n], all >= `low`.

    >>> log_mean_above(np.array([1.0, 1.0, 1.0, -1.0]), 0.0, -1.0).round(2).tolist()
    [0.26, 0.57, 0.94, 0.19]
    """
    if not low < bound:
        raise InvalidArgument.expected(f"a bound above low={low}", "bound", bound)
    values = np.asarray(values, dtype=np.float64)
    if not np.all(values >= low):
        raise InvalidArgument.expected(f"values >= low={low}, none of them NaN", "min(values)", float(values.min()))
    growth = np.log1p(FRACTIONS[:, None] / (bound - low) * (values - bound))
    return log_mean_wealth(np.cumsum(growth, axis=1))


@dataclass(frozen=True)
class LevelDrift:
    """How far the levels of an attribute moved, in standard deviations of the baseline, and the evidence for it.

    `mean` is of the clipped differences; above 0, the candidate scores higher. `log_evidence` is the most that either
    side had after any of the `probes`, 0 at the least, and `p` the p-value that it makes, 2 / evidence. `certain_at`
    counts the probes after which it was what was needed; 0 where it never was.
    """

    mean: float
    log_evidence: float
    p: float
    probes: int
    certain_at: int = 0


def level_drift(differences: NDArray[np.float64], *, log_needed: float = math.inf) -> LevelDrift:
    """The drift that `differences` [n] show: candidate less baseline over the baseline's sd, in the order of probes.

    `log_needed` is the log evidence that makes it certain.

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
