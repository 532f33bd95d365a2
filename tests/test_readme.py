"""The README's model repository is one that pytest checks, and every option of the plugin is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def test_every_option_is_in_the_table() -> None:
    """No option of the plugin is left out of the page of options."""
    from gentest import plugin

    page = (ROOT / "examples" / "guides" / "options.md").read_text(encoding="utf-8")
    flags = [option.flag for option in (plugin.CHECKPOINT, *plugin.OPTIONS, plugin.REPLAY)]
    for flag in ["--gentest", *flags, *(f"--gentest-{name}" for name, _ in plugin.FLAGS)]:
        assert re.search(rf"^\| .*`{flag}[ `]", page, re.MULTILINE), flag
