"""Text of strangers, made fit to be shown: no terminal codes, cut to its length, whatever the object."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gentest._support.printable import in_one_line, printable, short_repr
from gentest.errors import GentestError, InvalidArgument
from gentest.report import terminal


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rb", r"a\rb"),
        ("\x9b31m", r"\x9b31m"),
        ("\u202eevil", r"\u202eevil"),
        ("\ud800", r"\ud800"),
        ("::stop-commands::x", r"\::stop-commands::x"),
        ("a\n \t::error::x", "a\n \t\\::error::x"),
        ("a ##[add-path]b", r"a #\#[add-path]b"),
        ("tests/a.py::test_a[\u7b11-e\u0301]", "tests/a.py::test_a[\u7b11-e\u0301]"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_codes_in_a_text_are_shown_as_escapes(text: str, said: str) -> None:
    """Codes that move a cursor or reorder letters, and commands of a CI runner, are escaped; any script stays."""
    assert printable(text) == said
    assert printable(said) == said


def test_a_name_of_a_million_signs_is_soon_shown() -> None:
    """Wrapping and shortening take time in proportion to the shown text, and an error does not repeat the name."""
    began = time.process_time()
    assert len(terminal.shortened("x" * 1_000_000, 40)) == 40
    assert max(map(len, terminal.wrapped("x" * 200_000, 80, rest="  "))) == 80
    assert len(short_repr("x" * 1_000_000)) <= 300
    assert len(in_one_line("x\n" * 100_000)) <= 300
    assert time.process_time() - began < 30  # in the square of the length it takes minutes


def test_an_error_shows_any_value() -> None:
    """A value with a failing, endless or deeply nested repr is named by its type."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert short_repr(deep) == "a list"

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert short_repr(Broken()) == "a Broken"
    assert isinstance(InvalidArgument.expected("a number", "x", Broken()), GentestError)
