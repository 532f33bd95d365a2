"""Figures as text: shares in per cent, evidence as odds. No figure is rounded toward a claim.

A lower bound is rounded down and an upper bound up. The share of probes that pass is rounded against the claim of its
verdict. Evidence is rounded down, and the evidence that is needed is rounded up.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from math import exp, log

LARGE_ODDS = log(1e6)
"""Larger odds are written as a power of ten."""
PLACES = 10
"""Decimal places that a share may need so that it does not read as 0 % or 100 %."""
LONG = re.compile(r"(?<![\w.])\d+\.\d{7,}(?:e[+-]?\d+)?(?![\w.])")
"""A number with more decimals than anybody writes."""
EXACT = 12
"""Digits of a float that do not depend on how it was computed."""


def percent(share: float) -> str:
    """A share in per cent to the nearest tenth, or to more places if it would read as 0 % or 100 %.

    >>> percent(0.95), percent(0.9375), percent(2047 / 2048)
    ('95 %', '93.8 %', '99.95 %')
    """
    return _percent(_decimal(share), ROUND_HALF_EVEN)


def short_figures(code: str) -> str:
    """A property as a person reads it: 4/255 instead of 0.01568627450980392, and other long figures in four digits.

    >>> short_figures("agrees(within=0.01568627450980392)"), short_figures("diverse(pixels(), at_least=0.0123456789)")
    ('agrees(within=4/255)', 'diverse(pixels(), at_least=0.01235)')
    """
    return LONG.sub(lambda figure: _short(figure[0]), code)


def _short(figure: str) -> str:
    value = float(figure)
    levels = round(255 * value)
    return f"{levels}/255" if 0 < levels < 255 and levels / 255 == value else f"{value:.4g}"


def at_least(share: float, *, unit: str = " %") -> str:
    """A lower bound in per cent, rounded down to a tenth.

    >>> at_least(0.99867), at_least(0.95), at_least(0.00012), at_least(-0.0512)
    ('99.8 %', '95 %', '0.01 %', '-5.2 %')
    """
    return _percent(_decimal(share), ROUND_FLOOR, unit=unit)


def at_most(share: float, *, unit: str = " %") -> str:
    """An upper bound in per cent, rounded up to a tenth.

    >>> at_most(0.9501), at_most(0.95), at_most(0.99999), at_most(1.0)
    ('95.1 %', '95 %', '99.999 %', '100 %')
    """
    return _percent(_decimal(share), ROUND_CEILING, unit=unit)


def observed(passes: int, probes: int, *, up: bool = False) -> str:
    """The share of probes that pass, rounded down, or `up` if the claim is that the rate is low.

    >>> observed(1999, 2000), observed(2000, 2000), observed(1, 2000, up=True), observed(0, 0)
    ('99.9 %', '100 %', '0.1 %', 'none')
    """
    if not probes:
        return "none"
    return _percent(Decimal(passes) / Decimal(probes), ROUND_CEILING if up else ROUND_FLOOR)


def threshold(share: float) -> str:
    """A share that was asked for in per cent. It is not rounded, since rounding would claim another.

    >>> threshold(0.95 - 0.02), threshold(0.999 - 0.0004)
    ('93 %', '99.86 %')
    """
    return f"{100 * share:.10g} %"


def confidence(share: float) -> str:
    """A confidence in per cent, rounded down to a hundredth.

    >>> confidence(0.99), confidence(1 - 0.01 / 10), confidence(1 - 0.01 / 3)
    ('99 %', '99.9 %', '99.66 %')
    """
    return _percent(Decimal(f"{share:.{EXACT}g}"), ROUND_FLOOR, places=2)


def bounds(low: float, high: float) -> str:
    """A lower and an upper bound, rounded outward.

    >>> bounds(0.8804, 0.9861)
    '[88 %, 98.7 %]'
    """
    return f"[{at_least(low)}, {at_most(high)}]"


def above(value: float, figures: int) -> str:
    """A number rounded up to a number of figures: an upper bound, or a p-value.

    >>> above(0.010001, 3), above(0.01, 3)
    ('0.0101', '0.01')
    """
    return _figures(value, figures, ROUND_CEILING)


def below(value: float, figures: int) -> str:
    """A number rounded down to a number of figures: a lower bound.

    >>> below(2.71828, 3), below(0.01 / 15, 2)
    ('2.71', '0.00066')
    """
    return _figures(value, figures, ROUND_FLOOR)


def signed(value: float, figures: int, *, up: bool) -> str:
    """A signed bound to a number of figures: an upper one is rounded `up`, a lower one down.

    >>> signed(0.12341, 3, up=True), signed(-0.12341, 3, up=False), signed(0.0, 3, up=True)
    ('+0.124', '-0.124', '+0')
    """
    text = _figures(value, figures, ROUND_CEILING if up else ROUND_FLOOR)
    return text if text.startswith("-") else f"+{text}"


def toward_zero(value: float, places: int) -> str:
    """A signed number rounded toward 0 to a number of places.

    >>> toward_zero(0.289, 2), toward_zero(-0.289, 2)
    ('+0.28', '-0.28')
    """
    return f"{float(_decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_DOWN)):+.{places}f}"


def odds(log_evidence: float) -> str:
    """Evidence as odds, from its logarithm, to three figures, rounded down.

    >>> odds(0.0), odds(5.83), odds(7.58), odds(40.0), odds(-1.0)
    ('1 : 1', '340 : 1', '1,950 : 1', '2e17 : 1', '0.36 : 1')
    """
    return _odds(log_evidence, ROUND_FLOOR)


def needed_odds(log_evidence: float) -> str:
    """The odds that evidence needs, from their logarithm, to three figures, rounded up.

    >>> needed_odds(log(100)), needed_odds(log(2000)), needed_odds(log(1234)), needed_odds(log(1.21e7))
    ('100 : 1', '2,000 : 1', '1,240 : 1', '1.3e7 : 1')
    """
    return _odds(log_evidence, ROUND_CEILING)


def _decimal(value: float) -> Decimal:
    """A float as it is written: 0.57, and not the binary fraction that is a little less."""
    return Decimal(repr(float(value)))


def _percent(share: Decimal, rounding: str, *, places: int = 1, unit: str = " %") -> str:
    exact = 100 * share
    rounded = exact
    for n in range(places, PLACES + 1):
        rounded = exact.quantize(Decimal(1).scaleb(-n), rounding)
        if rounded == exact or abs(rounded) not in (0, 100):
            break
    return f"{_plain(rounded)}{unit}"


def _figures(value: float, figures: int, rounding: str) -> str:
    exact = Decimal(f"{value:.{EXACT}g}")
    if not exact:
        return "0"
    rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - figures + 1), rounding)
    return f"{float(rounded):.{figures}g}"


def _odds(log_evidence: float, rounding: str) -> str:
    if log_evidence > LARGE_ODDS:
        power = log_evidence / log(10)
        places = 0 if rounding == ROUND_FLOOR else 1
        figure = Decimal(f"{10 ** (power % 1):.9g}").quantize(Decimal(1).scaleb(-places), rounding)
        return f"{_plain(figure)}e{int(power)} : 1" if figure < 10 else f"1e{int(power) + 1} : 1"
    value = Decimal(f"{exp(log_evidence):.9g}")
    step = value.adjusted() - 1 if value < 1 else max(0, value.adjusted() - 2)
    rounded = value.quantize(Decimal(1).scaleb(step), rounding)
    return f"{float(rounded):.2g} : 1" if value < 1 else f"{rounded:,.0f} : 1"


def _plain(value: Decimal) -> str:
    """The number without trailing zeros, and 0 without a sign."""
    return f"{(value + 0).normalize():f}"
