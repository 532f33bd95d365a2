"""Reports as a reader sees them: the text of a page, lines of a terminal, and figures as numbers."""

from __future__ import annotations

import re
from fractions import Fraction
from html import unescape


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
