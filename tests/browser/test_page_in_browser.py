"""The page in a real browser: no error, small enough to open quickly, usable by keyboard, on a phone and in the dark.

Skipped without playwright (of the `test` extra) and a chromium: Debian's, or what `playwright install chromium` brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gentest.report import page
from gentest.results.document import Document
from gentest.results.result import Cost
from tests.helpers import drawn_media
from tests.helpers.chromium import launch, show
from tests.helpers.drawn import AT, SESSION, difference, every_kind, failed, many

pytestmark = pytest.mark.browser
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the test extra")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless chromium."""
    with playwright.sync_playwright() as started:
        opened = launch(started)
        if opened is None:
            pytest.skip("needs a chromium")
        yield opened
        opened.close()


LUMINANCE = """(() => {
  const linear = (v) => v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const of = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(linear);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const style = getComputedStyle(document.body);
  return [of(style.color), of(style.backgroundColor)];
})()"""
"""The relative luminance of the text and of its ground, as WCAG 2.2 has it."""


class Opened:
    """A page in a tab of its own: what it logged, and every address that it asked for."""

    def __init__(self, browser: Any, path: Path, document: Document, **options: Any) -> None:
        path.write_text(page.page(document, at=AT), encoding="utf-8")
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.tab = self.context.new_page()
        self.logged: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.logged.append(message.text))
        self.tab.on("pageerror", lambda error: self.logged.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("dialog", lambda dialog: self.logged.append(f"dialog {dialog.message}"))
        show(self.tab, path)

    def shown(self) -> list[str]:
        """The tests of the results that are to be seen, in their order."""
        return [str(e.get_attribute("data-test")) for e in self.tab.query_selector_all(".result") if e.is_visible()]

    def focused(self) -> str:
        """The test of the result that has the focus."""
        return str(self.tab.evaluate("document.activeElement.closest('.result')?.dataset.test"))


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens pages, and finds afterwards that none of them logged anything or asked for anything but itself."""
    pages: list[Opened] = []

    def open_one(document: Document, **options: Any) -> Opened:
        pages.append(Opened(browser, tmp_path / f"{len(pages)}.html", document, **options))
        return pages[-1]

    yield open_one
    for one in pages:
        one.context.close()
        assert one.logged == []
        assert [url for url in one.asked if not url.startswith(("data:", "file:"))] == []


def run(*tests: str) -> Document:
    """A run in which these tests failed."""
    document = every_kind()
    return replace(
        document,
        results=tuple(replace(failed(test), cost=Cost(seconds=float(i))) for i, test in enumerate(tests)),
        gate=None,
    )


@pytest.mark.slow
def test_fifty_failures_open(opened: Any) -> None:
    """Fifty properties with counterexamples, whose pictures do not compress, are all there with all of their pictures,
    in a page that opens as fast as `tests/bench/opening.py` asks.
    """
    one = opened(many(50))
    assert len(one.tab.content()) < 25e6
    assert one.tab.evaluate("document.querySelectorAll('*').length") < 20_000
    assert len(one.shown()) == 50
    assert one.tab.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' autofocus onfocus=alert(1) x='"]
)
def test_nothing_that_strangers_wrote_runs(name: str, opened: Any) -> None:
    """Names are shown, and nothing of them is an element or runs."""
    one = opened(every_kind(name))
    assert one.tab.query_selector_all("img[src=x], [onerror], [onfocus], [autofocus]") == []
    assert name in one.tab.inner_text("body")


def test_a_policy_stops_what_got_in_all_the_same(opened: Any, browser: Any, tmp_path: Path) -> None:
    """A script that is not the page's own does not run."""
    text = page.page(run("a"), at=AT).replace("</main>", "<script>document.title = 'taken'</script></main>")
    (tmp_path / "bad.html").write_text(text)
    tab = browser.new_page()
    tab.goto((tmp_path / "bad.html").as_uri())
    assert tab.title() == "1 of 1 fail · gentest"
    tab.close()


def test_buttons_and_words_filter(opened: Any) -> None:
    """A button shows one outcome, words those results that have all of them, and Escape shows all again."""
    one = opened(every_kind("name"))
    one.tab.click("[data-show=error]")
    assert [e.get_attribute("data-outcome") for e in one.tab.query_selector_all(".result") if e.is_visible()] == [
        "error"
    ]
    assert one.tab.get_attribute("[data-show=error]", "aria-pressed") == "true"
    one.tab.fill("#find", "nothing of the kind")
    assert one.shown() == []
    assert one.tab.is_visible("#nothing")
    one.tab.keyboard.press("Escape")
    assert len(one.shown()) == len(every_kind().results)
    one.tab.fill("#find", "RATE violated name")
    assert len(one.shown()) == 1


def test_results_are_sorted(opened: Any) -> None:
    """By test, by time, as run, and the worst first."""
    one = opened(run("b", "c", "a"))
    for order, tests in (("test", "abc"), ("slow", "acb"), ("run", "bca"), ("worst", "bca")):
        one.tab.select_option("#sort", order)
        assert "".join(one.shown()) == tests


def test_keys_go_through_the_results(opened: Any) -> None:
    """`/` goes to the filter, j and k from result to result among those shown, Enter closes one and opens it."""
    one = opened(run("a", "b", "c"))
    press = one.tab.keyboard.press
    press("j")
    assert one.focused() == "a"
    press("j")
    press("j")
    press("j")
    assert one.focused() == "c"
    press("k")
    assert one.focused() == "b"
    visible = "document.activeElement.parentElement.parentElement.querySelector('.body').checkVisibility()"
    assert one.tab.evaluate(visible)
    press("Enter")
    assert not one.tab.evaluate(visible)
    press("/")
    assert one.tab.evaluate("document.activeElement.id") == "find"
    one.tab.keyboard.type("jk")
    assert one.tab.input_value("#find") == "jk"
    assert one.shown() == []
    press("Escape")
    assert len(one.shown()) == 3


def test_tab_reaches_everything_and_shows_where_it_is(opened: Any) -> None:
    """The Tab key goes through all that can be used, from the top, and what has the focus is marked."""
    one = opened(run("a"))
    seen = []
    for _ in range(60):
        one.tab.keyboard.press("Tab")
        seen.append(
            one.tab.evaluate("(e => e.className || e.id || e.dataset.show || e.tagName)(document.activeElement)")
        )
        focus = "document.activeElement"
        marked = f"getComputedStyle({focus}).outlineStyle !== 'none' || {focus} === document.body"
        assert one.tab.evaluate(marked), seen[-1]
    assert seen[0] == "skip"
    for place in ("js theme", "find", "sort", "link", "head", "js copy", "track"):
        assert place in seen, place


def test_a_link_leads_to_a_result(opened: Any) -> None:
    """A link opens the result that it names, also one that is filtered away or closed."""
    one = opened(every_kind())
    closed = one.tab.query_selector_all(".result.passed")[0].get_attribute("id")
    one.tab.click("[data-show=error]")
    one.tab.evaluate(f"location.hash = '#{closed}'")
    one.tab.wait_for_function(f"document.getElementById('{closed}').querySelector('details').open")
    assert one.tab.is_visible(f"#{closed} .body")


def test_the_command_is_copied(opened: Any) -> None:
    """The button copies the command as it is, and says so."""
    one = opened(run("a"), permissions=["clipboard-read", "clipboard-write"])
    one.tab.click(".copy")
    one.tab.wait_for_function("document.querySelector('.copy').textContent === 'Copied'")
    assert one.tab.evaluate("navigator.clipboard.readText()") == failed().drawings.command  # type: ignore[union-attr]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(scheme: str, opened: Any) -> None:
    """The page follows the system until somebody says otherwise, and text stands out from its ground in both."""
    one = opened(every_kind(), color_scheme=scheme)
    ink, ground = one.tab.evaluate(LUMINANCE)
    assert (ground > 0.8) == (scheme == "light")
    assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) > 7
    other = {"light": "dark", "dark": "light"}[scheme]
    for _ in range(3):
        one.tab.click("#theme")
        if one.tab.inner_text("#theme") == f"Theme: {other}":
            break
    assert (one.tab.evaluate(LUMINANCE)[1] > 0.8) == (other == "light")


def test_rings_lie_on_the_pixel_that_differs_most(opened: Any) -> None:
    """In each of the three pictures of a pair, at its column and row."""
    shown = failed().drawings
    assert shown is not None
    pair = replace(shown, change=None, minimal_difference=difference())
    tab = opened(Document(SESSION, (failed(drawings=pair),))).tab
    marked = tab.query_selector_all(".frames figure:has(svg.mark)")
    assert len(marked) == 3
    for figure in marked:
        picture, ring = (figure.query_selector(name).bounding_box() for name in ("img", "svg.mark circle.under"))
        middle = (ring["x"] + ring["width"] / 2 - picture["x"]) / picture["width"]
        assert middle == pytest.approx(6.5 / 8, abs=0.02)
        assert (ring["y"] + ring["height"] / 2 - picture["y"]) / picture["height"] == pytest.approx(1.5 / 8, abs=0.02)


def test_a_phone_scrolls_down_only(opened: Any) -> None:
    """390 pixels wide nothing sticks out: strips scroll by themselves, and buttons can be hit."""
    one = opened(every_kind("a" * 60), viewport={"width": 390, "height": 844}, has_touch=True)
    assert one.tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert one.tab.evaluate(
        "document.querySelector('.track').scrollWidth > document.querySelector('.track').clientWidth"
    )
    assert all(e.bounding_box()["height"] >= 24 for e in one.tab.query_selector_all("button") if e.is_visible())


def test_without_script_everything_can_be_read(browser: Any, tmp_path: Path) -> None:
    """Where scripts are off there are no buttons that do nothing, and all results are there to be opened."""
    (tmp_path / "page.html").write_text(page.page(every_kind(), at=AT), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    assert [e for e in tab.query_selector_all("button, select, input") if e.is_visible()] == []
    results = tab.query_selector_all(".result")
    assert len(results) == len(every_kind().results)
    assert all(result.is_visible() for result in results)
    results[-1].query_selector("summary").click()
    assert results[-1].query_selector(".body").is_visible()
    context.close()


def test_videos_sounds_rows_and_texts_are_shown_and_the_player_plays(opened: Any) -> None:
    """Every player plays to its end, all pictures load, and the page is below its 10 MB."""
    one = opened(drawn_media.document())
    assert len(one.tab.content()) < 10e6
    played = one.tab.evaluate("""async () => {
      const ends = [];
      for (const player of document.querySelectorAll('audio')) {
        player.muted = true;
        const ended = new Promise((done) => player.addEventListener('ended', () => done(player.currentTime)));
        await player.play();
        ends.push([await ended, player.duration, player.error]);
      }
      return ends;
    }""")
    assert len(played) == 3
    for end, duration, error in played:
        assert error is None
        assert end == pytest.approx(duration, abs=0.05)
    assert one.tab.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert one.tab.inner_text(".script mark >> nth=0") == "("
    assert one.tab.evaluate("getComputedStyle(document.querySelector('figure.worst img')).outlineStyle") == "solid"
