"""Annotations of GitHub Actions: one command each, escaped, and no more than are shown."""

from __future__ import annotations

import pytest

from gentest.report.annotations import MAX_SHOWN, Annotation, commands

SHOWN = 10
"""GitHub shows no more annotations of one level."""


def test_an_annotation_is_a_command_at_a_line() -> None:
    """The file and the line are properties of the command; without a file it is about the whole run."""
    placed = Annotation("error", "gentest: test_a", "violated", "tests/test_a.py", 7)
    assert str(placed) == "::error file=tests/test_a.py,line=7,title=gentest%3A test_a::violated"
    assert str(Annotation("warning", "gate", "drift")) == "::warning title=gate::drift"


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "100 %", "::error::x", "a, b: c"])
def test_no_text_ends_a_command_or_begins_another(text: str) -> None:
    """Line ends and signs of the command's own stay in their place."""
    command = str(Annotation("error", text, text, "t.py", 1))
    assert len(command.splitlines()) == 1
    title = command.split("title=")[1].split("::")[0]
    assert not {",", ":"} & set(title)


def test_errors_come_first_and_the_last_one_counts_the_others() -> None:
    """GitHub shows few of each level: the last says how many more there are, and names them."""
    many = [Annotation("error", f"test {i}", "violated") for i in range(SHOWN + 5)]
    written = commands([Annotation("warning", "undecided", "a rate"), *many])
    assert [line.split(" ")[0] for line in written] == ["::error"] * SHOWN + ["::warning"]
    assert "6 more: test 9, test 10" in written[SHOWN - 1]
    assert len(commands(many[:SHOWN])) == SHOWN


def test_an_annotation_cannot_be_broken_out_of() -> None:
    """Line ends, per cents, and in a property colons and commas are escaped as GitHub's toolkit does."""
    said = str(Annotation("error", "a:b,c\n%", "50 %\r\n::error::x", "t,1.py", 7))
    assert said == "::error file=t%2C1.py,line=7,title=a%3Ab%2Cc%0A%25::50 %25%0D%0A::error::x"
    assert str(Annotation("warning", "t", "m")) == "::warning title=t::m"


def test_no_more_are_written_than_are_shown() -> None:
    """Ten of each level at most; the last says what else there is."""
    many: list[Annotation] = [Annotation("warning", "w", "m")]
    many += [Annotation("error", f"e{i}", "m") for i in range(MAX_SHOWN + 3)]
    lines = commands(many)
    assert len(lines) == MAX_SHOWN + 1
    assert lines[MAX_SHOWN - 1] == "::error title=gentest%3A there are more::4 more: e9, e10, e11, e12"
    assert lines[-1] == "::warning title=w::m"
