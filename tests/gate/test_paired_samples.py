"""Samples of a baseline and of a candidate: which outcomes they have, and what makes them no match."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gentest.errors import InvalidArgument
from gentest.gate import paired_samples
from gentest.gate.paired_samples import compare_outcomes, incomparable
from gentest.results.comparison import Terms
from tests.helpers.handmade import look, outcomes, sample

N = 256


def test_a_margin_of_zero_holds() -> None:
    """A probe holds where its margin is not below 0, however near."""
    assert paired_samples.outcomes(sample([0.0, -0.0, 1e-30, -1e-30, -0.5])).tolist() == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_margins_that_are_none_are_said_to_be_margins() -> None:
    """What is no packed margins is refused by that name."""
    with pytest.raises(InvalidArgument, match=r"^margins are not base64"):
        paired_samples.outcomes(replace(sample([]), margins="!"))


def test_a_clip_that_is_no_longer_asked_is_a_misfit() -> None:
    """What a CLIP measured is not what no CLIP measures."""
    found = incomparable(sample(outcomes(N), measures={"clip": "abc"}), sample(outcomes(N), measures={"clip": ""}))
    assert found == "clip was measured by the CLIP abc in the baseline, and by none now"


@pytest.mark.parametrize("unit", [0.0, 0.5, 500.0])
def test_rounding_of_a_unit_is_no_misfit(unit: float) -> None:
    """Two standard deviations, of any size, that differ in the seventh figure are one unit; in the sixth, two."""
    before = sample(outcomes(N), spreads={"brightness()": unit})
    assert incomparable(before, sample(outcomes(N), spreads={"brightness()": unit * (1 + 5e-7)})) == ""
    assert incomparable(before, before) == ""
    other = sample(outcomes(N), spreads={"brightness()": unit * (1 + 5e-6)})
    assert bool(incomparable(before, other)) is (unit > 0.0)


def test_what_only_one_of_them_has_is_no_misfit() -> None:
    """A measure, a unit or a look that one side lacks is nothing that could not fit."""
    bare = sample(outcomes(N), measures={})
    whole = sample(outcomes(N), measures={"redness()": "abc"}, spreads={"redness()": 0.5}, seen=look())
    assert incomparable(whole, bare) == incomparable(bare, whole) == ""


def test_outcomes_are_compared_where_the_property_applies_on_both_sides() -> None:
    """Probes to which it does not apply are left out; 96 of 128 that are lost are a regression."""
    before = [1.0] * 160
    both, paired = compare_outcomes(before, [float("inf")] * 32 + [-1.0] * 96 + [1.0] * 32, Terms())
    assert both.places.tolist() == list(range(32, 160))
    assert (paired.fired, paired.wins) == ("regressed", 0)
