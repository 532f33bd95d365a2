"""The README's code runs: its model repository under pytest, its other blocks as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zoo

import gentest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

MODEL = '''
import torch

def load(checkpoint):
    """A stand-in for the reader's own model: 128 latents to 3 x 8 x 8 images."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(128, 192), torch.nn.Tanh(), torch.nn.Unflatten(1, (3, 8, 8)))
'''


def block(start: str) -> str:
    """The one block of Python that has a line starting so."""
    (found,) = (text for text in BLOCKS if re.search(f"^{re.escape(start)}", text, re.MULTILINE))
    return found


def test_the_readme_model_repository_is_checked(pytester: pytest.Pytester) -> None:
    """The conftest.py and the tests that the README shows pass under `pytest --gentest`, custom property included."""
    pytester.makepyfile(my_model=MODEL, my_encoder="def arcface(images):\n    return images.flatten(1)\n")
    pytester.makeconftest(block("# conftest.py"))
    pytester.makepyfile(test_latent=block("# test_latent.py"), test_own=block("@gentest.property"))
    pytester.makeini("[pytest]\npythonpath = .\n")
    result = pytester.runpytest_subprocess("--gentest", "--gentest-examples", "20", "-p", "no:asyncio")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["no counterexample  test_own*identity  keeps_ident*floor=0.4)*"])
    result.stdout.fnmatch_lines(["4 properties: 4 no counterexample*"])


def test_the_readme_value_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """`.check()` outside pytest prints what the README says it does."""
    exec(compile(block("result ="), "README.md", "exec"), {"gentest": gentest, "generator": zoo.generator(zoo.fold)})
    assert re.match(r"-0\.\d+ between:[0-9a-f]+", capsys.readouterr().out)


def test_the_readme_opens_with_code_that_imports() -> None:
    """The first block declares three properties of one test."""
    names: dict[str, object] = {"gentest": gentest}
    exec(compile(BLOCKS[0], "README.md", "exec"), names)
    assert len(names["test_faces"]._gentest_declared.properties) == 3  # type: ignore[attr-defined]


def test_every_option_is_in_the_readme() -> None:
    """No option of the plugin is left out of the README's table."""
    from gentest import plugin

    for option in (*plugin.OPTIONS, plugin.REPLAY):
        assert option.flag in README
