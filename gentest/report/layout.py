"""Text in lines of a bounded width: wrapped, shortened in the middle, and as wide as a terminal shows it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from gentest.results.outcome import Outcome

WIDEST = 100
NARROWEST = 60
ELLIPSIS = "…"
_TIED = "\x00"


@dataclass(frozen=True)
class Line:
    """A line of text, and the outcome that colours it in a terminal that has colours."""

    text: str
    outcome: Outcome | None = None


def columns() -> int:
    """How wide a line may be: COLUMNS or the terminal's width, from 60 to 100; 100 where there is no terminal."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))


def wrapped(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most `width` cells, the first one after `first` and each other one after `rest`.

    A number stays with its per cent, and odds stay together.

    >>> wrapped("one two three", 9, first="- ", rest="  ")
    ['- one two', '  three']
    """
    text = text.replace(" %", f"{_TIED}%").replace(" : 1", f"{_TIED}:{_TIED}1")
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        start = rest if lines else first
        line = start
        for word in paragraph.split():
            joined = line + word if line == start else f"{line} {word}"
            if line != start and len(_taken(joined, width)) < len(joined):
                lines.append(line)
                start = rest
                joined = rest + word
            while width > cells(start) and len(head := _taken(joined, width)) < len(joined):
                lines.append(head)
                start = rest
                joined = rest + joined[len(head) :]
            line = joined
        lines.append(line.rstrip())
    return [line.replace(_TIED, " ") for line in lines]


def shortened(text: str, width: int) -> str:
    """Text of at most `width` cells, in one line: what is too much is left out of its middle.

    >>> shortened("test_every_latent_has_a_garment_of_its_own", 21)
    'test_every…of_its_own'
    """
    text = " ".join(text.splitlines())
    if cells(text) <= width:
        return text
    head, tail = _taken(text, (width - 1) - (width - 1) // 2), _taken(text[::-1], (width - 1) // 2)
    return head + ELLIPSIS + tail[::-1]


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Text filled up to so many cells."""
    fill = " " * (width - cells(text))
    return fill + text if right else text + fill


def cells(text: str) -> int:
    """How many columns of a terminal a text takes: signs of East Asia take two.

    >>> cells("abc"), cells("笑顔")
    (3, 4)
    """
    text = text.replace(_TIED, " ")
    if _is_plain(text):
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _is_plain(text: str) -> bool:
    """Whether each sign takes one column, as most texts' do: names may be as long as a stranger likes."""
    return text.isascii() and text.isprintable()


def _taken(text: str, width: int) -> str:
    """As much of the beginning as fits."""
    if _is_plain(text[: width + 1].replace(_TIED, " ")):
        return text[: max(width, 0)]
    taken = 0
    for i, sign in enumerate(text):
        taken += cells(sign)
        if taken > width:
            return text[:i]
    return text
