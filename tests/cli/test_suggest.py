"""`gentest suggest`: misuse is one line."""

from __future__ import annotations

import pytest

from tests.helpers.commands import Run, misuse

SUGGEST_MISUSE = [
    (["none"], ["a folder", "FOLDER='none'"]),
    (["blessed.json"], ["a folder", "FOLDER='blessed.json'"]),
    (["--fixture", "a b"], ["the name of a fixture", "--fixture='a b'"]),
    (["--fixture", "class"], ["--fixture='class'"]),
    (["--output", "blessed.json"], ["blessed.json: exists already"]),
    (["--output", "."], ["exists already"]),
    (["--output", "none/test_it.py"], ["in a folder that exists"]),
    (["--rate", "1"], ["--rate=1.0"]),
    (["--rate", "nan"], ["--rate=nan"]),
    (["--confidence", "0"], ["--confidence=0.0"]),
    (["--seed", "-1"], ["--seed=-1"]),
    (["--n", "89"], ["a whole number >= 90", "n=89"]),
    (["--n", "-5"], ["n=-5"]),
    (["--clip", "a|b|c"], ["--clip='a|b|c'"]),
    (["--clip", "a|"], ["--clip='a|'"]),
    (["--clip", ""], ["--clip=''"]),
]


@pytest.mark.parametrize(("arguments", "words"), SUGGEST_MISUSE, ids=[" ".join(a) for a, _ in SUGGEST_MISUSE])
def test_misuse_of_suggest_is_one_line(arguments: list[str], words: list[str], run: Run) -> None:
    """What will not do is refused before pytest is started."""
    misuse(run("suggest", *arguments), *words)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--attribute", "beauty"],
        ["--attribute", "a b:c"],
        ["--attribute", "a:"],
        ["--n", "many"],
        [".", "."],
        ["--gentest-seed", "1"],
    ],
)
def test_wrong_arguments_of_suggest(arguments: list[str], run: Run) -> None:
    """Arguments that are not its own come after --."""
    status, out, err = run("suggest", *arguments)
    assert (status, out) == (2, "")
    assert ": error: " in err
    assert ("arguments of pytest come after --" in err) == (arguments[0].startswith((".", "--gentest")))
