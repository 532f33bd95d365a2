"""A run whose generators make videos, sounds, texts and rows: the same place in every report, under workers too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawn_media import KINDS
from tests.helpers.reading import Read

ROOT = Path(__file__).parents[2]
TESTS = """
    import sys
    sys.path.insert(0, {root!r})
    import gentest
    from tests.helpers import kinds

    VIDEO, SOUND = gentest.Video(fps=8), gentest.Audio(rate=kinds.RATE)
    TEXT = gentest.Tokens(text=True, longest=32)

    @gentest.limits(gentest.flicker(), at_most=0.05)
    def test_film():
        return kinds.generator(kinds.stepping, VIDEO)

    @gentest.limits(gentest.clicks(), at_most=0.1)
    def test_recording():
        return kinds.generator(kinds.losing, SOUND)

    @gentest.well_formed()
    def test_row():
        return kinds.generator(kinds.too_old, kinds.TABLE)

    @gentest.limits(gentest.valid(kinds.parse), at_least=1)
    def test_script():
        return kinds.generator(kinds.unclosed, TEXT)
"""
PLACES = (
    "flicker() has its score in frames 8 to 9 of 16, at 0.875 s",
    "clicks() has its score in sample ",
    "which is not a whole number from 0 to 120",
    "valid(parse) has its score in character ",
)


@pytest.mark.parametrize(
    "workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)], ids=["one process", "workers"]
)
def test_every_report_names_the_place(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    """Terminal, Markdown and page; the page also has each output, and JSON none of them."""
    pytester.makepyfile(test_kinds=TESTS.format(root=str(ROOT)))
    usual = ("--gentest", "--gentest-device", "cpu", "--gentest-examples", "64", "-p", "no:randomly", *workers)
    shown = pytester.runpytest_subprocess(*usual, "--gentest-report", "run.html", "--gentest-json", "run.json")
    assert shown.ret == 1
    shown.assert_outcomes(failed=len(KINDS))
    page = (pytester.path / "run.html").read_text(encoding="utf-8")
    read, terminal = Read(page), " ".join(shown.stdout.str().split())
    for place in PLACES:
        assert place in terminal
        assert place in read.text
    assert len(read.all("audio")) >= 2
    assert len(read.all("mark")) >= 1
    assert [cell for cell in read.all("td") if cell.get("class") == "worst"]
    assert "frame 8, the worst" in {image.get("alt") for image in read.all("img")}
    assert "data:audio" not in (pytester.path / "run.json").read_text(encoding="utf-8")
    pytester.runpytest_subprocess(*usual, "--gentest-report", "run.md")
    markdown = (pytester.path / "run.md").read_text(encoding="utf-8")
    assert all(place in markdown.replace("\\\\", "") for place in PLACES)
