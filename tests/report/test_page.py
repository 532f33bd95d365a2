"""The page: whole, of one file, safe whatever anything is called, small, and the worst first."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gentest
from gentest.engine.pictures import ROOM, strip
from gentest.report import page
from gentest.results.comparison import Comparison, Gate, Standing, Terms
from gentest.results.counterexample import Alike, Counterexample
from gentest.results.document import Document
from gentest.results.drawings import ArrayOutput, ArrayStrip, Change, Drawings
from gentest.results.result import Cost, Result, Search, Verdict
from tests.helpers import drawn, zoo
from tests.helpers.drawn import AT, every_kind, failed, many
from tests.helpers.reading import Read

DRAWN = {"svg", "text", "rect", "line", "circle", "polyline", "polygon"}
OF_TEXT = {
    "h1",
    "h2",
    "h4",
    "p",
    "b",
    "i",
    "div",
    "span",
    "ul",
    "li",
    "bdi",
    "dl",
    "dt",
    "dd",
    "pre",
    "code",
    "kbd",
    "br",
}
OF_PAGE = {
    "html",
    "head",
    "meta",
    "title",
    "link",
    "style",
    "body",
    "script",
    "header",
    "nav",
    "main",
    "section",
    "footer",
}
OF_USE = {"a", "button", "label", "input", "select", "option", "details", "summary", "figure", "figcaption", "img"}
ALLOWED = DRAWN | OF_TEXT | OF_PAGE | OF_USE


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</style></script><iframe src=//example.com>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\u202egnp.exe\u0000\ud800<b>",
    "]]><!--",
    "&lt;b&gt;",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_wherever_they_are(name: str) -> None:
    """Whatever tests, properties, arms, prompts, checkpoints and errors are called, no element comes of it."""
    harmless, hostile = (Read(page.page(every_kind(n), at=AT)) for n in ("x", name))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert [sorted(found) for _, found in hostile.elements] == [sorted(found) for _, found in harmless.elements]
    shown = name.encode("utf-8", "replace").decode().replace("\0", "")
    assert hostile.text.replace("\0", "").replace("\ufffd", "").count(shown) >= 20


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=30))
def test_any_name_is_text(name: str) -> None:
    """The elements of a page do not depend on what anything is called."""
    tags = {tag for tag, _ in Read(page.page(every_kind(name), at=AT)).elements}
    assert tags <= ALLOWED


def test_nothing_comes_from_elsewhere() -> None:
    """Every source is in the page itself, every link leads to a place on it, and no element runs anything."""
    read = Read(page.page(every_kind("https://example.com/x.js"), at=AT))
    ids = [str(found["id"]) for _, found in read.elements if "id" in found]
    assert len(ids) == len(set(ids))
    for tag, found in read.elements:
        assert tag in ALLOWED
        assert not [
            name for name in found if name.startswith("on") or name in ("style", "action", "srcset", "formaction")
        ]
        if "src" in found:
            assert str(found["src"]).startswith("data:image/webp;base64,")
        if "href" in found:
            href = str(found["href"])
            assert href == "data:," or href[1:] in ids
    [style], [script] = (
        re.findall(f"<{t}>(.*?)</{t}>", page.page(every_kind(), at=AT), re.S) for t in ("style", "script")
    )
    assert "url(" not in style
    assert "@import" not in style
    assert "://" not in script


def test_the_policy_allows_what_the_page_brings_and_no_more() -> None:
    """The hashes are those of the style and of the script that are there; pictures come as data."""
    text = page.page(every_kind("<"), at=AT)
    [policy] = [m["content"] for m in Read(text).all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for name, tag in (("style-src", "style"), ("script-src", "script")):
        [inside] = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}'"


def test_fifty_failures_are_less_than_10_mb() -> None:
    """Of fifty properties with counterexamples, with pictures of noise as large as they get, the page stays small."""
    noise = strip(torch.rand(9, 3, 512, 512))
    few = strip(torch.rand(6, 3, 512, 512), room=ROOM // 2)
    document = many(50)
    shown = document.results[0].drawings
    assert shown is not None
    assert shown.change is not None
    shown = replace(
        shown,
        worst=noise,
        minimal=noise,
        samples=few,
        baseline=few,
        change=replace(shown.change, strip=replace(few, frames=few.frames[:3])),
    )
    document = replace(document, results=tuple(replace(result, drawings=shown) for result in document.results))
    size = len(page.page(document, at=AT).encode())
    assert 2 * 2**20 < size < 10 * 10**6


def test_the_worst_come_first() -> None:
    """Errors stand first, then failures, what is undecided and what passes; each test's list keeps the run's order."""
    read = Read(page.page(every_kind(), at=AT))
    outcomes = [found["data-outcome"] for found in read.all("section", "result")]
    assert outcomes == ["error", *["failed"] * 3, "undecided", "undecided", "passed", "passed"]
    opened = [
        ("open" in found)
        for tag, found in read.elements
        if tag == "details" and not found.get("class") and "id" not in found
    ]
    assert opened == [True] * 6 + [False] * 2
    listed = [re.sub("dot ", "", str(found["class"])) for found in read.all("span", "dot")]
    assert listed == ["failed", "failed", "error", "undecided", "passed", "passed", "undecided", "failed"]


def test_a_result_keeps_its_anchor() -> None:
    """A link to a result leads to it in the next run's page as well, wherever it stands there; two alike have two."""
    one, other = failed("a"), failed("b")
    anchors = [
        {
            str(found["data-test"]): str(found["id"])
            for found in Read(page.page(Document(drawn.SESSION, rs), at=AT)).all("section", "result")
        }
        for rs in ((one, other), (other, one))
    ]
    assert anchors[0] == anchors[1]
    assert len(set(anchors[0].values())) == 2
    twice = Read(page.page(Document(drawn.SESSION, (one, one)), at=AT)).all("section", "result")
    assert twice[1]["id"] == f"{twice[0]['id']}-2"


def test_all_that_was_found_is_on_the_page() -> None:
    """Pictures, curves, charts, the change, both rows of outputs, the command, and the terminal's words."""
    gate = Comparison("blessed.json", "by ann", Terms(), (), (), ())
    read = Read(page.page(Document(drawn.SESSION, (failed(),), gate), at=AT))
    assert len(read.all("img")) == 9 + 9 + 3 + 6 + 6 + 12  # the outputs stand in the overview as well
    labels = [str(found["aria-label"]) for found in read.all("svg")]
    assert len(labels) == 1 + 2 + 5  # the bar, two curves, and rate, two histograms, radius and difference
    assert all(str(found.get("alt")) for found in read.all("img"))
    for said in (
        "pytest --gentest test_a.py::test_a --gentest-replay between:1f-m1",
        "What the coordinates change",
        "coordinates 0..7 alone, of 64 counted from 0, in 1 of 8 groups",
        "Rate as probes came in",
        "Rays that hold up to each radius",
        "How often, against the baseline",
        "Baseline and candidate, on the same latents",
        "gan.pt",
        "cpu, 3",
    ):
        assert said in read.text


def test_the_sides_of_a_pair_are_marked_where_they_differ_most() -> None:
    """Reference, candidate and difference with its scale, at the minimal and at the worst counterexample."""
    shown = drawn.failed().drawings
    assert shown is not None
    pair = replace(shown, change=None, minimal_difference=drawn.difference(), worst_difference=drawn.difference())
    read = Read(page.page(Document(drawn.SESSION, (failed(drawings=pair),)), at=AT))
    for said in (
        "Reference and candidate, worst counterexample",
        "the candidate differs most by -0.25 of a range of 1, ringed, in row 1, column 6 of 8 x 8 pixels",
        "-0.25 … +0.25",
    ):
        assert said in read.text
    rings = [(ring["cx"], ring["cy"]) for ring in read.all("circle") if ring.get("r") == "6"]
    assert len(rings) == 2 * 3 * 2, "a ring and its ground, in three pictures, at two counterexamples"
    width = page.PAIR_FRAME
    assert set(rings) == {(f"{6.5 / 8 * width:.1f}", f"{1.5 / 8 * width:.1f}")}
    equal = replace(drawn.difference(), largest=0.0, signed=0.0, mean=0.0)
    read = Read(page.page(Document(drawn.SESSION, (failed(drawings=replace(pair, minimal_difference=equal)),)), at=AT))
    assert "the two are the same in every pixel" in read.text


def test_outputs_that_are_alike_are_marked() -> None:
    """Under the counterexample by their numbers, in its strip and in the table of arrays; and no curve is drawn."""
    strip, alike = drawn.strip(3), Alike("pixels()", (0, 2), 3, 0.0, 0.0, 1)
    found = Counterexample({}, -0.01, {}, (0.0, 1.0, 1.0), (), 0, 0, 0.5, "diverse:1f", reducible=False, alike=alike)
    array = ArrayOutput("1", 0.0, 0.5, 1.0, 0.5, 0)
    arrays = ArrayStrip((2, 2, 2), (replace(array, alike=True), array, replace(array, alike=True)), 3)
    change = Change(drawn.strip(3), ("output 1", "output 3"), 0.0, 0.0)
    result = Result(
        "test_a",
        "diverse(pixels(), at_least=0.01)",
        Verdict.VIOLATED,
        search=Search(3, 1, counterexample=found, worst=found),
        drawings=Drawings(minimal=strip, minimal_arrays=arrays, change=change),
    )
    read = Read(page.page(Document(drawn.SESSION, (result,)), at=AT))
    assert "Alike: outputs 1 and 3 of 3: distance 0 in pixels()" in read.text
    assert "The nearest two of its outputs" in read.text
    assert "coordinates" not in read.text
    assert [len(read.all(tag, "alike")) for tag in ("figure", "tr")] == [2, 2]
    assert [found["alt"] for found in read.all("img")][:3] == ["output, 1 alike", "output, 2", "output, 3 alike"]
    assert not read.all("svg", "curve")


@pytest.mark.parametrize("n", [0, 1])
def test_a_page_of_nothing_is_a_page(n: int) -> None:
    """A run that checked nothing has a page that says so; one that drew nothing has its figures."""
    results = (Result("t", "p", Verdict.NO_COUNTEREXAMPLE, search=Search(3)),) * n
    text = page.page(Document(drawn.SESSION, results), at=AT)
    assert ("No property was checked." in text) == (n == 0)
    Read(text)


def test_what_is_known_is_no_failure() -> None:
    """A violation that the baseline has counts as passed, and is called known."""
    known = replace(failed(), rate=None, gate=Gate(Standing.HELD, baseline_verdict="violated", probes=64))
    read = Read(page.page(Document(drawn.SESSION, (known,)), at=AT))
    assert [found["data-outcome"] for found in read.all("section", "result")] == ["passed"]
    assert "violated (known)" in read.text


def test_a_strip_that_leaves_some_out_has_its_curve_in_place() -> None:
    """Scores of outputs that have no frame lie between the frames of their neighbours."""
    assert [page._column(at, [0, 4, 8]) for at in (0, 1, 4, 6.5, 8)] == [0.0, 0.25, 1.0, 1.625, 2.0]
    assert page._column(3, [0]) == 0.0


# in a notebook


def test_a_notebook_shows_the_same_section(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `.check()` gives shows itself: the verdict, the pictures and the curves, and text that stays text."""
    property, quick = gentest.between(gentest.brightness(), tolerance=0.01), gentest.settings(examples=20)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    plain = property.check(zoo.generator(zoo.fold), settings=quick)
    assert plain.drawings is None  # a script that loaded IPython, as wandb does: nobody looks
    assert Read(plain._repr_html_() or "").all("img") == []
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    result = property.check(zoo.generator(zoo.fold), settings=quick)
    assert replace(result, cost=Cost()) == replace(plain, cost=Cost())
    html = result._repr_html_()
    assert html is not None
    read = Read(html)
    assert "violated by" in read.text
    assert len(read.all("img")) >= 12
    assert read.all("script") == []
    hostile = Read(page.section(replace(failed("<script>", "<img src=x>"), drawings=Drawings())))
    assert hostile.all("script") == []
    assert "<img src=x>" in hostile.text


def test_a_report_needs_no_torch() -> None:
    """A page is made of results alone."""
    code = "import gentest.report.page, sys; assert not {'torch', 'numpy', 'PIL', 'pytest'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_layers_above_a_notebook_shows_the_text() -> None:
    """Where nothing said how results are drawn, a notebook falls back on their repr."""
    code = "from gentest.results.result import *; assert Result('t', 'p', Verdict.HOLDS)._repr_html_() is None"
    subprocess.run([sys.executable, "-c", code], check=True)
