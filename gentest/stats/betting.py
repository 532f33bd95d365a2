"""Alarms: an e-process for a rate that is watched over many checks, such as those of a training run.

The question at every check is whether a property still holds for at least a share `rate` of all probes. The null is
that it does at all checks. Each check evaluates fresh independent probes, so given everything before it, each of its
outcomes fails with a probability of at most q = 1 - rate. A bettor who stakes the fraction f of what can be lost
multiplies the wealth by 1 + f (1 - q) / q for each failure and by 1 - f for each pass, which is a fair or losing bet
under the null (Waudby-Smith and Ramdas 2024). Nobody knows f beforehand: the wealth is spread over a grid of fractions.

A run may be healthy for long before it breaks, and a bettor who has lost for thousands of probes would need as many to
recover. So the wealth is also spread over the check at which betting begins: a share 1 / (j (j + 1)) waits until check
j. With the factor F_t(f) of check t, and the shares that have not begun at check t,

    R_t(f) = (R_{t-1}(f) + 1 / (t (t + 1))) F_t(f)        E_t = mean R_t(f) + 1 / (t + 1)

E is a nonnegative supermartingale that starts at 1. It ever reaches 1 / alpha with a probability of at most alpha
(Ville 1939), in however many checks, whenever the run ends. This bounds the chance of a false alarm over a whole run;
detectors that bound the mean time between false alarms (Shin, Ramdas and Rinaldo 2022, "E-detectors") do not.

Several rates that are watched at once share alpha (Bonferroni).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, xlog1py

from gentest._support.arguments import as_number
from gentest.errors import InvalidArgument
from gentest.stats.paired import FRACTIONS
from gentest.stats.quantiles import check_probability
from gentest.stats.rates import EDGE

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class RateAlarm:
    """The alarm for a rate that falls below `rate`, from the counts of all checks so far.

    If the rate never falls below `rate`, it ever rings with a probability of at most `alpha`.

    >>> alarm = RateAlarm(rate=0.95, alpha=0.01)
    >>> alarm.rings([64, 61, 63], [64, 64, 64]), alarm.rings([64, 61, 63, 31], [64, 64, 64, 64])
    (False, True)
    """

    rate: float
    alpha: float

    def __post_init__(self) -> None:
        if not EDGE <= as_number(self.rate) <= 1.0 - EDGE:
            raise InvalidArgument.expected(f"a rate in [{EDGE:g}, 1 - {EDGE:g}]", "rate", self.rate)
        check_probability("alpha", self.alpha)

    @property
    def needed(self) -> float:
        """The log evidence at which the alarm rings, ln(1 / alpha)."""
        return -math.log(self.alpha)

    def log_evidence(self, passes: ArrayLike, probes: ArrayLike) -> Floats:
        """Log evidence [..., T] after each of T checks that the rate was below `rate` at one of them.

        `passes` and `probes` are the counts [..., T] of each check, in order, of one run or of several. The number of
        probes of a check may depend on earlier checks, and not on its own outcomes.

        >>> RateAlarm(rate=0.95, alpha=0.01).log_evidence([64, 32], [64, 64]).round(2).tolist()
        [-0.67, 48.97]
        """
        held, n = np.broadcast_arrays(np.asarray(passes, dtype=np.int64), np.asarray(probes, dtype=np.int64))
        if held.ndim < 1 or np.any((held < 0) | (held > n)):
            raise InvalidArgument.expected("a count from 0 to that of the probes for each check", "passes", passes)
        q = 1.0 - self.rate
        gains = np.log1p(FRACTIONS * (1.0 - q) / q)
        factors = (n - held)[..., None] * gains + xlog1py(held[..., None], -FRACTIONS)  # [..., T, fractions]
        wealth, evidence = np.full(factors[..., 0, :].shape, -np.inf), np.empty(n.shape)
        for t in range(1, n.shape[-1] + 1):
            wealth = np.logaddexp(wealth, -math.log(t * (t + 1))) + factors[..., t - 1, :]
            begun = np.logaddexp.reduce(wealth, axis=-1) - math.log(len(FRACTIONS))
            evidence[..., t - 1] = np.logaddexp(begun, -math.log(t + 1))
        return evidence

    def rings(self, passes: ArrayLike, probes: ArrayLike) -> bool:
        """True if the alarm has rung at any check so far."""
        return bool((self.log_evidence(passes, probes) >= self.needed).any())


def reference_rate(passes: int, probes: int, alpha: float) -> float:
    """A lower bound of the rate during a reference window, in [0, 1]: wrong with a probability of at most `alpha`.

    The number of probes is fixed beforehand (Clopper and Pearson 1934). If the rate changes during the window, the
    bound is one of its mean, since binomial tails are the widest (Hoeffding 1956).

    >>> round(reference_rate(256, 256, 0.005), 4), round(reference_rate(250, 256, 0.005), 4), reference_rate(0, 9, 0.01)
    (0.9795, 0.94, 0.0)
    """
    check_probability("alpha", alpha)
    if not 0 <= passes <= probes:
        raise InvalidArgument.expected(f"a count from 0 to probes={probes}", "passes", passes)
    return float(betaincinv(passes, probes - passes + 1, alpha)) if passes else 0.0
