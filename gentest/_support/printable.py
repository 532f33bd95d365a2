"""Text that comes from anybody, made fit to be shown: on a terminal it moves no cursor and hides nothing.

Names of tests and files, prompts, and whatever stands in a baseline or in results may hold the codes that colour,
erase or reorder what a terminal shows, and lines that a CI runner would take for commands of its own.
"""

from __future__ import annotations

import re
from unicodedata import category

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
"""What scripts and emoji are joined and divided by changes nothing around it."""
_COMMAND = re.compile(r"^([^\S\n]*):(?=:)|##(?=\[)", re.MULTILINE)
"""How GitHub Actions tells a command in what a step prints: `::` begins its line, `##[` stands anywhere."""
LONGEST = 300


def printable(text: str) -> str:
    r"""Text in which control, formatting and halves of characters are written as escapes; ends of lines and tabs stay.

    >>> print(printable("a\x1b[31m\u202eb\n::stop-commands::x"))
    a\x1b[31m\u202eb
    \::stop-commands::x
    """
    if not text.isprintable():
        text = "".join(map(_escaped, text))
    return _COMMAND.sub(lambda found: f"{found[1]}\\:" if found[1] is not None else "#\\#", text)


def in_one_line(text: str, longest: int = LONGEST) -> str:
    """Text on one line of a bounded length: what is too much is left out of its middle.

    >>> in_one_line("one\\ntwo"), in_one_line("0123456789", 9)
    ('one two', '01 ... 89')
    """
    line = printable(" ".join(text.splitlines()))
    half = (longest - len(" ... ")) // 2
    return line if len(line) <= longest else f"{line[:half]} ... {line[-half:]}"


def _escaped(letter: str) -> str:
    hidden = category(letter) in _HIDDEN and letter not in _JOINERS and letter not in "\n\t"
    return letter.encode("unicode_escape").decode("ascii") if hidden else letter
