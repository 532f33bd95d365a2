"""The README's model repository is one that pytest checks, and the page of options fits the plugin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import option_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

STAND_INS = Path(__file__).parent / "helpers" / "stand_ins"
"""What the README takes for a reader's own modules."""


def block(start: str) -> str:
    """The one block of Python that has a line starting so."""
    (found,) = (text for text in BLOCKS if re.search(f"^{re.escape(start)}", text, re.MULTILINE))
    return found


def test_the_readme_model_repository_is_checked(pytester: pytest.Pytester) -> None:
    """The conftest.py and the tests that the README shows pass under `pytest --gentest`."""
    pytester.makeconftest(block("# conftest.py"))
    pytester.makepyfile(test_latent=block("# test_latent.py"))
    pytester.makeini(f"[pytest]\npythonpath = {STAND_INS}\n")
    result = pytester.runpytest_subprocess("--gentest", "--gentest-examples", "20", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["3 properties: 3 no counterexample*"])


def test_the_table_of_options_is_that_of_their_declarations() -> None:
    """The page of options has every option with its help text; `python -m tests.helpers.option_table` writes it."""
    assert option_table.written() == option_table.table()
