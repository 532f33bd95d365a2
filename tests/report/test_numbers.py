"""Figures as text: no bound is printed inside what it bounds, and nothing is rounded toward a claim."""

from __future__ import annotations

from fractions import Fraction
from math import exp

from hypothesis import given
from hypothesis import strategies as st

from gentest.report import numbers
from tests.helpers.reading import number

SHARES = st.floats(-1.0, 1.0)


def per_cent(text: str) -> Fraction:
    """The share that a figure in per cent says."""
    return number(text.removesuffix(" %")) / 100


def exactly(value: float) -> Fraction:
    """A float as it is written."""
    return Fraction(repr(value))


@given(SHARES)
def test_a_bound_is_rounded_outward(share: float) -> None:
    """A lower bound is no higher than it is and an upper one no lower, by less than a tenth of a per cent."""
    low, high = per_cent(numbers.at_least(share)), per_cent(numbers.at_most(share))
    assert low <= exactly(share) <= high
    assert high - low <= Fraction(1, 1000)


@given(SHARES)
def test_all_and_none_are_exact(share: float) -> None:
    """No rounding makes 100 % or 0 % of another share."""
    for said in (numbers.percent(share), numbers.at_least(share), numbers.at_most(share)):
        if said in ("100 %", "0 %", "-100 %"):
            assert abs(exactly(share) - per_cent(said)) <= Fraction(1, 10**12)


@given(st.integers(1, 10**6), st.data())
def test_an_observed_share_is_rounded_away_from_its_claim(probes: int, data: st.DataObject) -> None:
    """Down, or up where it supports a low rate; and all of them are 100 % only where all pass."""
    passes = data.draw(st.integers(0, probes))
    down, up = numbers.observed(passes, probes), numbers.observed(passes, probes, up=True)
    assert per_cent(down) <= Fraction(passes, probes) <= per_cent(up)
    assert ("100 %" in (down, up)) == (passes == probes)


def test_what_once_was_rounded_up_is_not() -> None:
    """A rate of 99.86 % is not 99.9 % where it supports a claim, and is where it speaks against one."""
    assert numbers.observed(9986, 10_000) == numbers.at_least(0.9986) == "99.8 %"
    assert numbers.observed(9986, 10_000, up=True) == "99.9 %"
    assert numbers.percent(0.99999) == "99.999 %"


@given(st.floats(-20.0, 600.0))
def test_evidence_is_rounded_down_and_what_it_needs_up(log_evidence: float) -> None:
    """So evidence that reads as enough is enough."""
    has, needs = (number(f(log_evidence).removesuffix(" : 1")) for f in (numbers.odds, numbers.needed_odds))
    exact = Fraction(exp(log_evidence))
    assert has <= exact * (1 + Fraction(1, 10**8))
    assert needs >= exact * (1 - Fraction(1, 10**8))


@given(st.floats(1e-12, 1e6), st.integers(2, 5))
def test_numbers_are_rounded_to_their_side(value: float, figures: int) -> None:
    """`above` is no less and `below` no more than the value, to as many figures."""
    low, high = (number(f(value, figures)) for f in (numbers.below, numbers.above))
    assert low <= Fraction(value) * (1 + Fraction(1, 10**10))
    assert high >= Fraction(value) * (1 - Fraction(1, 10**10))
    assert high - low <= Fraction(value) * Fraction(101, 10 ** (figures + 1))
