"""`gentest init`: `gentest check --write` by another name, and templates for a model yet to be made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gentest.cli.init import TEMPLATES
from tests.helpers.commands import Run, called, misuse
from tests.helpers.new_models import MODEL, clean


@pytest.fixture
def run_init(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """`gentest init`, run in an empty folder: exit status, output and errors."""
    return lambda *arguments: called(["init", *arguments], capfd)


WRITTEN = {"conftest.py", "test_latent.py", ".github/workflows/gentest.yml"}


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


@pytest.mark.usefixtures("in_process")
def test_a_model_is_checked_and_its_files_are_written(run_init: Run) -> None:
    """The verdicts come first, and then what was written and what to run next."""
    Path("my_model.py").write_text(MODEL)
    status, out, err = run_init("my_model:load", "--examples", "8")
    assert (status, err) == (0, "")
    assert "5 properties: 5 no counterexample" in out
    assert out.endswith(
        "wrote conftest.py\nwrote test_latent.py\nwrote .github/workflows/gentest.yml\n"
        "next  pytest --gentest\nthen  gentest suggest . --output test_suggested.py  # more tests\n"
        "last  gentest bless gentest_baseline.json --by NAME  # the workflow reads this file\n"
    )
    assert files() - {"my_model.py", "ran"} == WRITTEN
    text = Path("conftest.py").read_text()
    assert "from my_model import load as make_model" in text
    assert "make_model(gentest_checkpoint)," in text
    assert "latent=gentest.Normal(6)," in text
    assert "# latents: Normal(6), since it takes [16, 6]; the prior is a guess" in text


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_leaves_the_model_to_the_user(template: str, run_init: Run, folder: Path) -> None:
    """Without a model, each template is written, and the lines to edit are named."""
    status, out, err = run_init("--template", template)
    assert (status, err) == (0, "")
    assert files() == WRITTEN
    places = re.findall(r"^edit  conftest\.py:(\d+): ", out, re.MULTILINE)
    assert len(places) == (2 if template == "autoencoder" else 1)
    clean(folder)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["Expected MODEL, such as my_model:load or gan.onnx; or --template"]),
        (["my_model:load", "--template", "gan"], ["leave out MODEL or --template"]),
        (["nothing:load"], ["no module 'nothing'"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_misuse_is_one_line(arguments: list[str], words: list[str], run_init: Run) -> None:
    """The error is one line, with exit status 2, and nothing is written."""
    misuse(run_init(*arguments), *words)
    assert files() == set()
