"""Charts: each is well-formed SVG within its frame, says in words what it shows, and takes whatever numbers come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gentest.report import charts
from gentest.results.drawings import Histogram, Rays, Trace
from gentest.results.outcome import RATE_VERDICTS
from gentest.results.result import Verdict
from tests.helpers.drawn import HISTOGRAM, RATE, TRACE

NUMBERS = st.floats(-1e30, 1e30)


def parsed(svg: str) -> ElementTree.Element:
    """The chart as a tree, once every coordinate in it is known to be a finite number."""
    tree = ElementTree.fromstring(svg)
    for element in tree.iter():
        for name, value in element.attrib.items():
            if name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "points"):
                assert all(isfinite(float(number)) for number in re.split("[ ,]", value)), (name, value)
    return tree


def of_class(tree: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """The elements of a class."""
    return [element for element in tree.iter() if name in element.get("class", "").split()]


@given(st.lists(NUMBERS, min_size=2, max_size=20))
def test_a_curve_takes_any_scores(values: Sequence[float]) -> None:
    """There is a dot for each score, all within the picture."""
    width = len(values) * 50
    tree = parsed(charts.curve(values, range(len(values)), width=width, cell=46, gap=4, path=True))
    dots = of_class(tree, "dot")
    assert len(dots) == len(values)
    assert all(0 <= float(dot.attrib["cx"]) <= width and 0 <= float(dot.attrib["cy"]) <= charts.CURVE for dot in dots)


def test_dots_stand_under_their_frames() -> None:
    """A dot is in the middle of its frame, the step between two frames in the middle of the two."""
    tree = parsed(charts.curve([0.0, 1.0, 2.0], [0, 1, 1.5], width=200, cell=80, gap=4, path=False))
    assert [float(dot.attrib["cx"]) for dot in of_class(tree, "dot")] == [40, 124, 166]


def test_what_leaves_the_range_of_the_ends_stands_out() -> None:
    """On a path, and on nothing else, what lies outside the scores of the two ends has another colour."""
    values = [0.2, 0.9, 0.25, 0.1, 0.3]
    out = of_class(parsed(charts.curve(values, range(5), width=500, cell=90, gap=4, path=True)), "out")
    assert [float(dot.attrib["cx"]) for dot in out] == [139, 327]
    assert not of_class(parsed(charts.curve(values, range(5), width=500, cell=90, gap=4, path=False)), "out")


@pytest.mark.parametrize("verdict", RATE_VERDICTS)
def test_a_rate_is_drawn_with_its_bounds(verdict: Verdict) -> None:
    """The line has a point for each look, the band is around it, and both thresholds are named.

    Only of a rate that holds one of them is said to be certified.
    """
    tree = parsed(charts.rate(TRACE, p0=0.95, certified=0.93, verdict=verdict))
    [line], [band] = of_class(tree, "line"), of_class(tree, "band")
    assert len(line.attrib["points"].split()) == 3
    assert len(band.attrib["points"].split()) == 8
    text = " ".join(tree.itertext())
    assert "asked 95 %" in text
    assert ("certified at 93 %" in text) is (verdict is Verdict.HOLDS)
    assert ("less slack 93 %" in text) is (verdict is not Verdict.HOLDS)
    assert tree.attrib["aria-label"] == "after 64 probes 62.5 %, 40 % to 80 %"


@pytest.mark.parametrize("passes", [0, 1])
def test_a_rate_of_one_look_is_drawn(passes: int) -> None:
    """One look is a point, also at the very bottom and top."""
    tree = parsed(
        charts.rate(Trace("", (1,), (passes,), (0.0,), (1.0,)), p0=0.5, certified=0.5, verdict=Verdict.UNDECIDED)
    )
    assert len(of_class(tree, "dot")) == 1


def test_each_rate_has_its_row() -> None:
    """Rates side by side have a line and a dot each, the refuted ones in another colour, however long their names."""
    rates = [
        replace(RATE, arm="a"),
        replace(RATE, arm="b" * 99, verdict=Verdict.HOLDS),
        replace(RATE, arm="", probes=0, passes=0),
    ]
    tree = parsed(charts.arms(rates))
    assert (len(of_class(tree, "range")), len(of_class(tree, "dot")), len(of_class(tree, "out"))) == (3, 3, 2)


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_a_histogram_takes_any_counts(low: float, span: float, counts: list[int]) -> None:
    """There is a bar for each bin that is not empty, in the colour of its sign."""
    histogram = Histogram("x", low, low + span, tuple(counts))
    bars = of_class(parsed(charts.histogram(histogram, histogram)), "bar")
    assert len(bars) == sum(n > 0 for n in counts)


def test_what_violates_has_another_colour() -> None:
    """Bars below 0 stand out, and are counted in words."""
    tree = parsed(charts.histogram(HISTOGRAM))
    assert len(of_class(tree, "below")) == 2
    assert tree.attrib["aria-label"] == "50 margins, 10 of them below 0"


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("reached", [0.0, 0.5, 1.0])
def test_a_radius_is_drawn(reached: float, confirmed: bool) -> None:  # noqa: FBT001 - a parameter
    """The line falls from all rays at the middle, and the radius that they reach is marked where there is one."""
    tree = parsed(charts.radius(Rays((0.5, 1.0), (0.99, 0.5), 256), p0=0.95, reached=reached, confirmed=confirmed))
    assert ("certified" in "".join(tree.itertext())) == (confirmed or not reached)
    [line] = of_class(tree, "line")
    assert len(line.attrib["points"].split()) == 3
    assert len(of_class(tree, "certify")) == (1 if reached else 0)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.001, 0.999))
def test_a_difference_is_drawn(low: float, high: float, found: float, tolerance: float) -> None:
    """Whatever the bounds, they stay in the frame."""
    tree = parsed(charts.difference(low, high, found, tolerance=tolerance, fell=found < 0))
    assert all(0 <= float(element.attrib["cx"]) <= charts.WIDTH for element in of_class(tree, "dot"))


def test_shares_fill_the_bar() -> None:
    """A bar is divided by counts, and nothing at all is an empty bar."""
    tree = parsed(charts.shares([("failed", 1), ("passed", 3)]))
    assert [float(rect.attrib["width"]) for rect in tree.iter() if rect.tag.endswith("rect")] == [248, 748]
    assert tree.attrib["aria-label"] == "1 failed, 3 passed"
    parsed(charts.shares([("failed", 0)]))


@given(NUMBERS, NUMBERS)
@example(0.0, 5e-324)
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    """There is never a great number of figures along an axis."""
    low, high = sorted((low, high))
    found = charts.ticks(low, high)
    assert len(found) <= 6
    slack = (high - low) * 1e-6
    assert all(low - slack <= tick <= high + slack for tick in found)


def test_names_in_a_chart_are_escaped() -> None:
    """What an arm is called is text."""
    svg = charts.arms([replace(RATE, arm='"><script>x')])
    assert "<script>" not in svg
    parsed(svg)
