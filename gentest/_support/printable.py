"""Safe text to show: other people's text with control characters escaped, errors and values in one short line.

Names of tests and files, prompts, baselines and results may hold codes that colour, erase or reorder what a terminal
shows, and lines that a CI runner would take for its own commands.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal, localcontext
from math import isfinite
from unicodedata import category

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
"""Joiners of scripts and emoji. They are invisible, but change nothing around them."""
_COMMAND = re.compile(r"^([^\S\n]*):(?=:)|##(?=\[)", re.MULTILINE)
"""GitHub Actions reads `::` at the start of a printed line, and `##[` anywhere, as a command."""
LONGEST = 300


def printable(text: str) -> str:
    r"""The text with control characters, formatting characters and lone surrogates escaped; newlines and tabs stay.

    >>> print(printable("a\x1b[31m\u202eb\n::stop-commands::x"))
    a\x1b[31m\u202eb
    \::stop-commands::x
    """
    if not text.isprintable():
        text = "".join(map(_escaped, text))
    return _COMMAND.sub(lambda match: f"{match[1]}\\:" if match[1] is not None else "#\\#", text)


def outward(value: float, digits: int = 3) -> str:
    """A difference with its sign, rounded away from zero, so that it never reads smaller than it is.

    >>> outward(0.02271), outward(-1.0), outward(0.0)
    ('+0.0228', '-1', '0')
    """
    if not isfinite(value) or not value:
        return f"{value:+g}" if value else "0"
    with localcontext(Context(prec=digits, rounding=ROUND_UP)):
        return f"{float(+Decimal(f'{value:.12g}')):+.{digits}g}"


def in_one_line(text: str, longest: int = LONGEST) -> str:
    """The text on one line of at most `longest` characters; a longer one loses its middle.

    >>> in_one_line("one\\ntwo"), in_one_line("0123456789", 9)
    ('one two', '01 ... 89')
    """
    line = printable(" ".join(text.splitlines()))
    half = (longest - len(" ... ")) // 2
    return line if len(line) <= longest else f"{line[:half]} ... {line[-half:]}"


def noun(n: float, one: str, several: str = "") -> str:
    """The noun that agrees with a number; the plural has an s unless it is given.

    >>> noun(1, "image"), noun(0.5, "minute"), noun(2, "property", "properties")
    ('image', 'minutes', 'properties')
    """
    return one if n == 1 else several or f"{one}s"


def counted(n: int, one: str, several: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "test"), counted(1200, "test"), counted(2, "property", "properties")
    ('1 test', '1,200 tests', '2 properties')
    """
    return f"{n:,} {noun(n, one, several)}"


def short_repr(value: object) -> str:
    """The repr of a value, cut to 300 characters.

    >>> short_repr("x"), len(short_repr("x" * 10_000)) <= 300
    ("'x'", True)
    """
    try:
        text = repr(value)
    except Exception:  # somebody else's repr may raise, and a deeply nested value exhausts the stack
        text = f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else in_one_line(text)


def error_summary(error: BaseException) -> str:
    """An exception's type and the first line of its message, if it has one.

    >>> error_summary(ValueError("no\\nmore")), error_summary(KeyError())
    ('ValueError: no', 'KeyError')
    """
    return printable(": ".join([type(error).__name__, *str(error).splitlines()[:1]]))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its type if the message is empty.

    >>> first_line(ValueError("no\\nmore")), first_line(KeyError())
    ('no', 'KeyError')
    """
    return printable((str(error).splitlines() or [type(error).__name__])[0])


def format_number(value: float) -> str:
    """The shortest text that reads back as exactly this number.

    >>> format_number(3.0), format_number(0.1), format_number(0.1234567)
    ('3', '0.1', '0.1234567')
    """
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _escaped(letter: str) -> str:
    hidden = category(letter) in _HIDDEN and letter not in _JOINERS and letter not in "\n\t"
    return letter.encode("unicode_escape").decode("ascii") if hidden else letter
