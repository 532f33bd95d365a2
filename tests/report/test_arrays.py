"""The page of a generator whose outputs are not images: lines, heat maps, tables, and a caption for each."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gentest.report import arrays, page
from gentest.results.document import Document, Session
from gentest.results.drawings import ArrayOutput, ArrayStrip, Drawings
from gentest.results.outcome import Verdict
from gentest.results.result import Provenance, Result, Search
from tests.helpers.reading import text_of

LINE = ArrayOutput("1", -1.0, 0.25, 2.0, 0.5, 0, (-1.0, 2.0, 0.0, 0.0, 0.5), ())
FLAT = ArrayOutput("2", 1.0, 1.0, 1.0, 0.0, 0)


def test_a_line_goes_from_left_to_right_and_up() -> None:
    view = arrays.view_of(ArrayStrip((5,), (LINE,), 1))
    (points,) = re.findall(r'points="([^"]*)"', view.drawn)
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[1][1] == min(y for _, y in places)  # pixels grow downward
    assert places[0][1] == max(y for _, y in places)
    assert view.caption == "[5] of values, drawn from -1 to 2; red: not finite"
    assert view.rows == (("1", "-1", "0.25", "2", "0.5", "0"),)


def test_a_gap_breaks_the_line() -> None:
    view = arrays.view_of(ArrayStrip((5,), (replace(LINE, gaps=(2,), not_finite=1),), 1))
    assert view.drawn.count("<polyline") == 2
    assert view.drawn.count('class="gap"') == 1
    assert "1 value not finite" in view.drawn


@pytest.mark.parametrize(
    ("strip", "caption", "drawn"),
    [
        (
            ArrayStrip((8, 6), (FLAT,), 1, ("UklGRg==",), 6, 8),
            "[8, 6] of values, from 1 (black) to 1 (pale yellow); magenta: not finite",
            True,
        ),
        (ArrayStrip((4, 4, 4), (FLAT,), 20), "[4, 4, 4] of values, 1 of 20 outputs: figures of each output", False),
        (ArrayStrip((5,), (replace(LINE, line=(1.0,) * 5, least=1.0, largest=1.0),), 1), "drawn from 1 to 1", True),
    ],
    ids=["grid", "figures", "constant"],
)
def test_the_caption_says_what_is_drawn(strip: ArrayStrip, caption: str, *, drawn: bool) -> None:
    view = arrays.view_of(strip)
    assert caption in view.caption
    assert bool(view.drawn) is drawn


def test_the_page_has_the_outputs_and_calls_them_so() -> None:
    """Samples once, the counterexample in its section, and no word of images."""
    strip = ArrayStrip((5,), (LINE, replace(LINE, name="<2>")), 2)
    result = Result(
        "t",
        "well_formed()",
        Verdict.NO_COUNTEREXAMPLE,
        search=Search(1, replayed=True),
        provenance=Provenance(has_images=False),
        drawings=Drawings(minimal_arrays=strip, sample_arrays=strip),
    )
    document = Document(Session(None, None, None, "cpu", 0, {}), (result, replace(result, test="u")))
    text = page.page(document, at="now")
    assert text.count('<svg class="array"') == 2 * 3
    assert "&lt;2&gt;" in text
    assert "<2>" not in text
    said = text_of(text)
    assert "of the seed's first latents, not chosen t and 1 more" in said
    assert "The replayed probe" in said
    assert "0 outputs" in said
    assert "images" not in said


def test_outputs_that_are_alike_are_marked() -> None:
    """In the drawing by a frame and by a word, and in the table of figures."""
    strip = ArrayStrip((5,), (LINE, replace(LINE, name="2", alike=True), replace(FLAT, name="3", alike=True)), 3)
    view = arrays.view_of(strip)
    assert view.alike == (1, 2)
    assert [row[0] for row in view.rows] == ["1", "2 alike", "3 alike"]
    assert view.drawn.count('<figure class="alike">') == 1
    assert "<figcaption>2 alike</figcaption>" in view.drawn
