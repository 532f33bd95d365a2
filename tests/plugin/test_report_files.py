"""`--gentest-report` and `--gentest-images`: the files that a run leaves for people to look at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from gentest.gate.baseline import Baseline
from gentest.results.drawings import SAMPLES
from tests.helpers.handmade import signed

if TYPE_CHECKING:
    from tests.helpers.repository import Repository

SOURCE = """
@HOLDS
@FAILS
def test_a(generator):
    return generator

@pytest.mark.parametrize("x", ["<script>alert(1)</script>"])
@FAILS
def test_hostile(generator, x):
    return generator

@HOLDS
def test_error(generator):
    raise RuntimeError('"><img src=x onerror=alert(1)>')

@HOLDS
def test_skipped(generator):
    pytest.skip("later")
"""


def outcomes(path: Path) -> list[str]:
    """The outcomes of a page's results, in its order."""
    return re.findall('data-outcome="([a-z]+)"', path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["-q"], ["-p", "no:terminal"], ["-n", "1"]], ids=str)
def test_a_run_leaves_a_page(flags: list[str], repository: Repository) -> None:
    """Every property is on it, the failing ones first and with pictures, from workers too; names stay text."""
    repository.write(SOURCE)
    result = repository.check("-p", "no:cacheprovider", "--gentest-report", "report.html", *flags)
    assert result.ret == 1
    page = repository.path / "report.html"
    text = page.read_text(encoding="utf-8")
    assert outcomes(page) == ["error", "failed", "failed", "passed"]
    assert text.count("<script>") == 1
    assert "onerror=alert(1)&gt;" in text
    assert "<img src=x" not in text
    assert text.count("data:image/webp;base64,") >= 2 * (2 + 3) + SAMPLES
    assert "pytest --gentest test_model.py::test_a --gentest-replay responsive:" in text
    if "no:terminal" not in flags:
        result.stdout.fnmatch_lines([f"report: {page}"])


def test_the_end_of_the_name_says_the_format(repository: Repository) -> None:
    """A file that ends in .md is the page of a CI job, and takes no pictures."""
    repository.write("@FAILS\ndef test_a(generator):\n    return generator\n")
    result = repository.check("-p", "no:cacheprovider", "--gentest-report", "report.md")
    assert result.ret == 1
    text = (repository.path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("### gentest\n")
    assert "| verdict | test | property | probes | margin or rate | time |" in text
    assert "<svg" not in text


def test_no_figure_depends_on_it(repository: Repository) -> None:
    """The JSON is the same with a page and images as without, and holds none of what they show."""
    repository.write(SOURCE)
    plain = repository.check("-p", "no:cacheprovider", "--gentest-json", "plain.json")
    shown = repository.check(
        "-p", "no:cacheprovider", "--gentest-json", "shown.json", "--gentest-report", "r.html", "--gentest-images", "i"
    )
    assert plain.parseoutcomes() == shown.parseoutcomes()
    one, two = repository.document("plain.json"), repository.document("shown.json")
    assert [r | {"cost": None} for r in one["results"]] == [r | {"cost": None} for r in two["results"]]
    assert "drawings" not in one["results"][0]


@pytest.mark.parametrize("flags", [[], pytest.param(["-n", "2"], marks=pytest.mark.slow)], ids=str)
def test_a_run_leaves_images(flags: list[str], repository: Repository) -> None:
    """Each output of a counterexample is a PNG, in its size; nothing is written of what holds."""
    repository.write(SOURCE)
    result = repository.check("-p", "no:cacheprovider", "--gentest-images", "failing", *flags)
    files = sorted((repository.path / "failing").rglob("*.png"))
    result.stdout.fnmatch_lines([f"images: {len(files)} PNG files in {repository.path / 'failing'}"])
    assert len({file.parent for file in files}) == 2
    assert {file.name for file in files} == {f"{w}-0{i}.png" for w in ("worst", "minimal") for i in (0, 1)}
    for file in files:
        with Image.open(file) as image:
            assert (image.format, image.size) == ("PNG", (1, 1))


def test_images_that_cannot_be_written_are_said(repository: Repository) -> None:
    """A folder that cannot be made changes no outcome, and the page says why there are no files."""
    repository.write("import os\n@FAILS\ndef test_a(generator):\n    open('i', 'w').close()\n    return generator\n")
    result = repository.check("--gentest-images", "i", "--gentest-report", "r.html")
    result.assert_outcomes(failed=1)
    assert "could not write images" in (repository.path / "r.html").read_text()


def test_a_page_that_cannot_be_written_fails_the_run(repository: Repository) -> None:
    """One line says why, and the run is no success."""
    repository.write("import shutil\n@HOLDS\ndef test_a(generator):\n    shutil.rmtree('out')\n    return generator\n")
    (repository.path / "out").mkdir()
    result = repository.check("--gentest-report", "out/r.html")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(["could not write: *No such file or directory*"])


def test_an_ini_file_may_ask_for_both(repository: Repository) -> None:
    """What an ini file says is relative to it."""
    repository.pytester.makeini("[pytest]\ngentest_report = r.html\ngentest_images = i\n")
    repository.write("@FAILS\ndef test_a(generator):\n    return generator\n")
    assert repository.check().ret == 1
    assert outcomes(repository.path / "r.html") == ["failed"]
    assert list((repository.path / "i").iterdir())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--gentest-report", "none/r.html"], "a file in a folder that exists"),
        (["--gentest-images", "test_model.py"], "a folder"),
    ],
)
def test_what_is_no_place_is_refused(flags: list[str], said: str, repository: Repository) -> None:
    """A report needs a folder that exists, images a name that is no file's."""
    repository.write("def test_plain():\n    pass")
    result = repository.check(*flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{flags[0]}: expected {said}*"])


CANDIDATE = """
import pytest, torch
import gentest

@pytest.fixture(scope="session")
def generator():
    return gentest.Generator(lambda z: -z.tanh()[:, :, None, None], latent=gentest.Normal(3))
"""


def test_a_baseline_keeps_pictures_for_the_page(repository: Repository) -> None:
    """Blessing keeps the first outputs; a candidate's page has them beside its own, and they are not the same."""
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    assert repository.check("--gentest-save-baseline", "b.json", "--gentest-baseline-probes", "64").ret == 0
    [look] = Baseline.load(repository.path / "b.json").looks.values()
    assert len(look.pictures) == SAMPLES
    repository.pytester.makeconftest(CANDIDATE)
    repository.check("--gentest-baseline", "b.json", "--gentest-report", "r.html", "--gentest-drift", "off")
    text = (repository.path / "r.html").read_text()
    assert "Baseline and candidate, on the same latents" in text
    rows = re.findall(r'base64,([^"]+)" width="\d+" height="\d+" alt="(baseline|candidate), (\d)"', text)
    own = {(name, number): picture for picture, name, number in rows}
    assert [own["baseline", str(i + 1)] for i in range(SAMPLES)] == list(look.pictures)
    assert all(own["candidate", str(i + 1)] != picture for i, picture in enumerate(look.pictures))


def test_a_baseline_without_pictures_is_one(repository: Repository) -> None:
    """What an earlier version blessed still decides; with pictures that are none it is refused."""
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    repository.check("--gentest-save-baseline", "b.json", "--gentest-baseline-probes", "256")
    path = repository.path / "b.json"
    body = json.loads(path.read_text())
    [look] = body["blocks"]["outputs"].values()
    for pictures, code in ((look["pictures"], 0), (None, 0), (["PHNjcmlwdD4="], 4), (look["pictures"] * 2, 4)):
        look["pictures"] = pictures
        if pictures is None:
            del look["pictures"]
        path.write_text(signed(body))
        result = repository.check("--gentest-baseline", "b.json", "--gentest-drift", "off")
        assert result.ret == code
        if code:
            result.stderr.fnmatch_lines(["*not as gentest writes a baseline*picture*"])
