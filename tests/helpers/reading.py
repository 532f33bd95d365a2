"""What reports say, as a reader has it: the text of a page, a line of a terminal, and a figure as a number."""

from __future__ import annotations

import re
from fractions import Fraction
from html import unescape


def number(text: str) -> Fraction:
    """The number that a figure says: `2,000`, `-0.36` or `1e7`."""
    return Fraction(text.replace(",", ""))


def text_of(html: str) -> str:
    """The text of a page, its white space as one blank."""
    html = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return flat(unescape(re.sub(r"<[^>]+>", " ", html)))


def flat(text: str) -> str:
    """Text with its white space as one blank: where lines break is not what it says."""
    return " ".join(text.split())
