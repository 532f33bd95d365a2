"""Bets against the mean of a bounded variable: the general form that the gate and the drift of levels share.

Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting". Where E[x] <= bound and
x >= low, the wealth of a bettor who stakes a fixed fraction of what can be lost on every x being above the bound is
an e-process, prod (1 + fraction (x - bound) / (bound - low)). Which fraction grows fastest depends on what nobody
knows beforehand, so the wealth is spread over a grid of them, and the evidence is its mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

FRACTIONS = np.geomspace(0.03, 0.999, 12)
"""The fractions staked, of what can be lost; never all of it, so that no single outcome ruins a bettor."""


def log_mean_wealth(log_wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the mean wealth, [...], of bettors whose log wealth is given, [12, ...].

    >>> log_mean_wealth(np.zeros((12, 2))).round(6).tolist()
    [0.0, 0.0]
    """
    with np.errstate(under="ignore"):  # of wealths next to nothing, whatever the caller makes of that elsewhere
        return np.asarray(logsumexp(log_wealth, axis=0) - np.log(len(log_wealth)))
