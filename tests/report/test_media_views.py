"""Videos, sounds, rows and texts on the page: their parts, their marked places, and what strangers wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gentest.report import page
from gentest.report.media_views import HEIGHT, WIDTH, view_of
from gentest.results.drawings import ArrayOutput, ArrayStrip, Drawings
from gentest.results.media import Media, Medium, Recording, Script, TableRow
from tests.helpers.drawn import AT, failed
from tests.helpers.drawn_media import document, media
from tests.helpers.reading import Read


def test_the_page_has_a_part_for_each_kind() -> None:
    """An animation with frames, a player with waveform and spectrogram, a table, and a text; the worst is marked."""
    read = Read(page.page(document(), at=AT))
    sources = [image["src"] for image in read.all("img")]
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    players = read.all("audio")
    assert len(players) == 3
    assert all(player["src"].startswith("data:audio/wav;base64,") for player in players)
    assert {image["alt"] for image in read.all("img")} >= {"the video, moving", "frame 8, the worst", "spectrogram"}
    assert [cell["class"] for cell in read.all("td") if "class" in cell] == ["worst"] * 2
    assert [mark["title"] for mark in read.all("mark")] == ["2"] * 2


def test_the_policy_lets_nothing_but_the_page_itself_play() -> None:
    """Media come from the page alone."""
    [policy] = [
        m["content"]
        for m in Read(page.page(document(), at=AT)).all("meta")
        if m.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "media-src data:;" in policy
    assert policy.startswith("default-src 'none'")


def test_a_mark_lies_at_its_time() -> None:
    """A place at three tenths of a sound is at three tenths of the waveform, and never too narrow to see."""
    [one] = view_of(media("recording")).outputs
    assert one.mark is not None
    left, width = one.mark
    assert left == pytest.approx(0.3 * WIDTH, abs=2)
    assert width >= 2
    assert one.caption == "0.1 s at 8000 samples a second"
    assert f'height="{HEIGHT}"' in str(one.waveform)


def test_the_first_outputs_of_all_kinds_have_one_heading() -> None:
    """Images, arrays and media of a run stand in one section."""
    array = ArrayStrip((2,), (ArrayOutput("1", 0.0, 0.5, 1.0, 0.5, 0),), 1)
    run = document()
    more = (*run.results, failed("test_array", drawings=Drawings(sample_arrays=array)))
    shown = page.page(replace(run, results=more), at=AT)
    assert [h["id"] for h in Read(shown).all("h2") if "id" in h].count("outputs") == 1
    assert shown.count("of the seed's first latents, not chosen") == 1


def test_a_contact_sheet_says_which_frames_it_has() -> None:
    """Frames around a place are a range; frames from the whole video are a number of them."""
    [marked] = view_of(media("film")).outputs
    assert marked.caption == "16 frames, 2 s at 8 a second; frames 4 to 12"
    _, other = view_of(media("film", n=2)).outputs
    assert other.caption == "16 frames, 2 s at 8 a second; 9 of its frames"


def test_outputs_that_are_alike_say_so() -> None:
    first, second = media("row", n=2).outputs
    named = [view.name for view in view_of(Media((first, replace(second, alike=True)), 2)).outputs]
    assert named == ["1", "2 alike"]


def test_an_excerpt_says_so() -> None:
    """A long sound, a wide table and a long text are shown in part."""
    [medium] = media("recording").outputs
    assert medium.recording is not None
    long: Recording = replace(medium.recording, begins=3.0, of_seconds=60.0, marked=())
    views = view_of(
        Media(
            (
                Medium("1", recording=long),
                Medium("2", row=TableRow(("a",), ("1",), n=900)),
                Medium("3", script=Script(("x", "y"), 10, 5000)),
            ),
            n=9,
        )
    )
    captions = [one.caption for one in views.outputs]
    assert captions == [
        "60 s at 8000 samples a second, from 3 to 3.1 s",
        "1 of 900 columns",
        "5000 tokens, from 11 to 12",
    ]
    assert views.left_out == "3 of 9 outputs"
    assert [one.name for one in views.outputs] == ["1", "2", "3"]


def test_what_strangers_wrote_is_text() -> None:
    """A token, a column and a value are escaped."""
    bad = "<script>alert(1)</script>"
    run = document()
    drawings = run.results[0].drawings
    assert drawings is not None
    of_all = Media(
        (Medium(bad, row=TableRow((bad,), (bad,), n=1)), Medium("2", script=Script((bad,), 0, 1, marked=(0,)))), 2
    )
    text = page.page(
        replace(run, results=(replace(run.results[0], drawings=replace(drawings, minimal_media=of_all)),)), at=AT
    )
    assert bad not in text.replace(str(page._file("page.js")), "")
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
