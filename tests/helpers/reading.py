"""Reports as a reader sees them: the text of a page, lines of a terminal, and figures as numbers."""

from __future__ import annotations

import re
from fractions import Fraction
from html import unescape
from html.parser import HTMLParser


def number(text: str) -> Fraction:
    """The number in a figure such as `2,000`, `-0.36` or `1e7`."""
    return Fraction(text.replace(",", ""))


def text_of(html: str) -> str:
    """The text of a page, with each run of white space as one blank."""
    html = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return flat(unescape(re.sub(r"<[^>]+>", " ", html)))


def flat(text: str) -> str:
    """Text with each run of white space as one blank, so that line breaks do not count."""
    return " ".join(text.split())


VOID = {"meta", "link", "img", "input", "br", "rect", "circle", "line", "polyline", "polygon"}


class Read(HTMLParser):
    """The elements of a page, checked to be closed in order, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        """The attributes of the elements of a tag, and of a class where one is named."""
        return [
            found
            for name, found in self.elements
            if name == tag and (not kind or kind in (found.get("class") or "").split())
        ]
