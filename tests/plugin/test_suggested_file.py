"""The file that `gentest suggest` writes: Python whatever the names, in groups, each with its figures."""

from __future__ import annotations

from typing import Any

import pytest

import gentest
from gentest.engine.suggest.suggestion import Suggestion, Wish, suggest
from gentest.plugin.suggested_file import _ordinal, file_text
from gentest.properties.definition import AtRate
from tests.helpers import zoo

BRIGHT = [gentest.brightness()]


def clip_suggestions() -> list[Suggestion]:
    """Suggestions of a CLIP attribute with hostile prompts, as `measure` would make them."""
    from gentest.engine.suggest.suggestion import _slug, _source

    hostile = gentest.clip('a "smile"\n"""', "it's not \\ that")
    line = f"@gentest.between({_source(hostile)}, tolerance=gentest.sd(2)).at_rate(0.95)"
    return [Suggestion("between(...)", f"test_{_slug(hostile)}_along_a_path", line), Suggestion(repr(hostile), "t", "")]


def test_the_file_is_python_whatever_the_names() -> None:
    """Prompts with quotes, backslashes and line ends stay in their strings and comments."""
    wish = Wish(AtRate(0.95))
    text = file_text(clip_suggestions(), wish, fixture="gan", measured_on='A("""x\\')
    names: dict[str, Any] = {}
    exec(compile(text, "suggested", "exec"), names)
    (test,) = [name for name in names if name.startswith("test_")]
    assert test == "test_a_smile_along_a_path"
    assert names[test]._gentest_declared.properties[0].definition.arguments["attribute"] == gentest.clip(
        'a "smile"\n"""', "it's not \\ that"
    )


def test_quotes_are_double_where_they_can_be() -> None:
    """A plain prompt is written as formatters write it."""
    from gentest.engine.suggest.suggestion import _source

    assert _source(gentest.clip("a smile", "a frown")) == 'gentest.clip("a smile", "a frown")'
    assert _source(gentest.clip("it's", "that")) == """gentest.clip("it's", 'that')"""


def test_the_file_groups_and_explains() -> None:
    """Lines of one test stand together above it, and what has no line is a comment that says why."""
    suggestions = suggest(zoo.generator(zoo.jump), BRIGHT)
    text = file_text(suggestions, Wish(AtRate(0.95)), fixture="gan", measured_on="a gan")
    assert text.count("def test_") == 4
    assert "def test_brightness_along_a_path(gan):\n    return gan\n" in text
    assert "# nothing for continuous(pixels()): no ratio below 8 holds" in text
    assert "95th percentile" in text
    assert "5th percentile" in text
    assert max(map(len, text.splitlines())) <= 130
    assert [line for line in text.splitlines() if line.startswith("@")] == [s.line for s in suggestions if s.line]


@pytest.mark.parametrize(
    ("value", "name"), [(95.0, "95th"), (99.9, "99.9th"), (1.0, "1st"), (11.0, "11th"), (92.0, "92nd"), (5.0, "5th")]
)
def test_percentiles_have_names(value: float, name: str) -> None:
    assert _ordinal(value) == name
