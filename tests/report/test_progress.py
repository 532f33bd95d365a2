"""Progress: a bar below pytest's own line in a terminal, erased when done; plain lines elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from gentest.report.progress import ROOM, Watch

CURSOR = "\x1b7", "\x1b8"


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that is told the time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "90")
    return Terminal()


def drawn(text: str) -> list[str]:
    """What was drawn one after the other, without what moves the cursor or colours it."""
    frames = re.split(r"\r|\x1b\[2K|\n", text)
    return [said for frame in frames if (said := re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[DE78])", "", frame).strip())]


def test_a_terminal_has_a_bar_that_is_erased(terminal: Terminal) -> None:
    """Name, decided and planned probes, and images a second are drawn; the cursor is put back where it was."""
    clock = Clock()
    with Watch("test_it between", terminal, clock=clock) as watch:
        clock.now = 2.0
        watch.images(5_000)
        watch.probes(128, 300)
    text = terminal.getvalue()
    assert text.startswith(ROOM + CURSOR[0])
    assert text.endswith(CURSOR[1])
    assert any("test_it between" in frame and "128 of 300 probes  2,500 images/s" in frame for frame in drawn(text))
    assert all(len(frame) <= 90 for frame in drawn(text))
    assert text.count("\n") == 1  # rich ends the bar's line, for which there is room


def test_a_rate_has_no_end_to_count_to(terminal: Terminal) -> None:
    """After the 300 probes of a search those of a rate have no total, and no time is promised."""
    with Watch("test_it between", terminal, clock=Clock()) as watch:
        watch.probes(300, 300)
        watch.probes(16, 0)
    last = drawn(terminal.getvalue())[-1]
    assert "16 probes" in last
    assert " of " not in last


def test_a_long_name_leaves_room_for_the_figures(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 80 columns the middle of a name gives way, and the bar stays in one line."""
    monkeypatch.setenv("COLUMNS", "80")
    with Watch("test_every_latent_has_a_garment_of_its_own responsive", terminal) as watch:
        watch.probes(128, 300)
    frame = next(frame for frame in drawn(terminal.getvalue()) if "128" in frame)
    assert "…" in frame
    assert "128 of 300 probes" in frame
    assert len(frame) <= 80


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_has_no_bar(
    term: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No control sequence reaches it."""
    monkeypatch.setenv("TERM", term)
    with Watch("test_it between", terminal) as watch:
        watch.probes(128, 300)
    assert terminal.getvalue() == ""


def test_elsewhere_a_line_is_written_now_and_then() -> None:
    """A file, or a terminal that may not be drawn on, has plain text, every half minute at most."""
    for file in (io.StringIO(), Terminal()):
        clock = Clock()
        with Watch("test_it between", file, live=False, clock=clock) as watch:
            for now in range(0, 61, 10):
                clock.now = float(now)
                watch.probes(now, 100)
        assert file.getvalue() == (
            "\ngentest: test_it between: 30 of 100 probes, 0 images, 0 images/s "
            "\ngentest: test_it between: 60 of 100 probes, 0 images, 0 images/s \n"
        )


def test_nobody_is_told_anything() -> None:
    """Without a file there is nothing to write to."""
    with Watch("test_it between", None) as watch:
        watch.images(1)
        watch.probes(1, 2)


def test_an_error_puts_the_cursor_back(terminal: Terminal) -> None:
    """An interrupt leaves no bar behind."""
    with pytest.raises(KeyboardInterrupt), Watch("test_it between", terminal):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith(CURSOR[1])


def test_a_plan_that_is_corrected_is_followed(terminal: Terminal) -> None:
    """An attack guesses how many probes its budget is enough for; its last guess is the one that is shown."""
    with Watch("test_it between", terminal, clock=Clock()) as watch:
        watch.probes(300, 300)
        watch.probes(16, 400)
        watch.probes(32, 410)
    assert "32 of 410 probes" in drawn(terminal.getvalue())[-1]
