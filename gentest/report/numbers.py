"""Figures as a person reads them: shares in per cent, evidence as odds."""

from __future__ import annotations

from math import exp, log

MOST = log(1e6)


def percent(share: float) -> str:
    """A share in per cent, to a tenth; to a hundredth where that would make it none or all.

    >>> percent(0.95), percent(0.9375), percent(2047 / 2048)
    ('95 %', '93.8 %', '99.95 %')
    """
    rounded = round(100 * share, 1)
    if rounded in (0.0, 100.0):
        rounded = round(100 * share, 2)
    return f"{rounded + 0.0:g} %"


def threshold(share: float) -> str:
    """A share that was asked for in per cent, as it was asked: rounding would claim another.

    >>> threshold(0.95 - 0.02), threshold(0.999 - 0.0004)
    ('93 %', '99.86 %')
    """
    return f"{100 * share:.10g} %"


def interval(passes: int, probes: int, low: float, high: float) -> str:
    """A rate and its bounds.

    >>> interval(190, 200, 0.88, 0.986)
    '95 % [88 %, 98.6 %]'
    """
    share = percent(passes / probes) if probes else "none"
    return f"{share} [{percent(low)}, {percent(high)}]"


def odds(log_evidence: float) -> str:
    """Evidence as odds, from its logarithm, to three figures.

    >>> odds(0.0), odds(5.83), odds(7.58), odds(40.0), odds(-1.0)
    ('1 : 1', '340 : 1', '1,960 : 1', '2e17 : 1', '0.37 : 1')
    """
    if log_evidence > MOST:
        power = log_evidence / log(10)
        figure, power = round(10 ** (power % 1)), int(power)
        return f"{figure}e{power} : 1" if figure < 10 else f"1e{power + 1} : 1"
    value = exp(log_evidence)
    if value < 0.995:
        return f"{value:.2g} : 1"
    figures = max(0, len(str(int(value))) - 3)
    return f"{round(value, -figures):,.0f} : 1"
