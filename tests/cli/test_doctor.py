"""`gentest doctor`: what it says of a folder, of other plugins and of the machine, and how it ends."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import gentest
from gentest import cli
from gentest.cli import doctor as command
from gentest.cli.doctor import Finding, installed, print_table, requirements
from tests.helpers.doctor_runs import CONFTEST, OK, PROBLEM, TESTS, Doctor, found

for module in (*(m.name for m in pkgutil.walk_packages(gentest.__path__, "gentest.")), "open_clip", "huggingface_hub"):
    importlib.import_module(module)  # runs in this process find them loaded


ROOT = Path(gentest.__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a conftest.py and a test of two properties."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_a.py").write_text(TESTS)
    return tmp_path


def apart(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder, in a process of its own, as a person runs it."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "HF_", "CUDA_"))}
    return subprocess.run(
        [sys.executable, "-m", "gentest", "doctor", *arguments],
        cwd=folder,
        env={**bare, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_a_folder_that_is_well(folder: Path) -> None:
    """Versions, device and tests are a row each; nothing is run and nothing is written."""
    before = sorted(folder.iterdir())
    done = apart(folder)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[1]: line for line in done.stdout.splitlines() if line.split()[0] in (OK, PROBLEM)}
    assert list(rows) == ["python", "gentest", "packages", "device", "tests"]
    assert "1 test of gentest, with 2 properties" in rows["tests"]
    assert "torch " in rows["packages"]
    assert done.stdout.splitlines()[-1] == "nothing stops a run"
    assert sorted(folder.iterdir()) == before


def test_an_empty_folder_is_told_of_init(folder: Path, doctor: Doctor) -> None:
    """Where there are no tests, the command that writes some is named; it stops nothing."""
    for path in folder.iterdir():
        path.unlink()
    status, said = found(doctor)
    assert status == 0
    assert (said["tests"]["stops"], said["tests"]["fix"]) == (False, "gentest init MODEL writes some")


def test_a_conftest_that_is_still_to_be_written(folder: Path, doctor: Doctor) -> None:
    """What `gentest init` left to a person is a problem, with its line, until it is written."""
    assert cli.main(["init", "--template", "gan", "--force"]) == 0
    status, said = found(doctor)
    assert status == 1
    assert said["conftest.py"]["message"].startswith("conftest.py:15: still to be written")
    conftest = folder / "conftest.py"
    conftest.write_text(conftest.read_text().replace("raise NotImplementedError", "return Model"))
    status, said = found(doctor)
    assert (status, "conftest.py" in said) == (0, False)


CHAINED = """
try:
    open("net.pt")
except FileNotFoundError as error:
    raise RuntimeError("no weights") from error
"""
REFUSING = """
import pytest

def pytest_collection_modifyitems(items):
    raise pytest.UsageError("set MODEL_DIR first")
"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("test_b.py", "import nonesuch_module\n", "No module named 'nonesuch_module'"),
        ("test_b.py", "def broken(:\n", "SyntaxError"),
        ("test_b.py", CHAINED, "RuntimeError: no weights; caused by FileNotFoundError: [Errno 2] No such file"),
        ("conftest.py", REFUSING, "set MODEL_DIR first"),
        ("pytest.ini", "[pytest]\ngentest_device = nonsense\n", "device='nonsense'"),
        ("pytest.ini", "[pytest]\ngentest_examples = none\n", "ini option gentest_examples: expected a whole number"),
        ("pytest.ini", "[pytest]\ngentest_prompts = none.json\n", "none.json: no such prompt file"),
    ],
)
def test_what_stops_pytest_is_said(folder: Path, doctor: Doctor, name: str, text: str, words: str) -> None:
    """A module that does not import, an option that pytest refuses: exit status 1, and pytest's own words."""
    (folder / name).write_text(text)
    done = doctor()
    assert done.returncode == 1
    problems = [line for line in done.stdout.splitlines() if line.startswith(PROBLEM)]
    assert any(words in line for line in problems), done.stdout
    assert "device" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("conftest.py", "import nonesuch_module\n", "nonesuch_module"),
        ("conftest.py", "raise SystemExit(3)\n", "exit status 3"),
        ("pytest.ini", "[pytest]\naddopts = -p no:gentest\n", "unrecognized arguments: --gentest"),
    ],
)
def test_what_does_not_even_start_is_said(folder: Path, name: str, text: str, words: str) -> None:
    """Where pytest ends before it looks at anything its own words are there, and the command is no traceback."""
    (folder / name).write_text(text)
    done = apart(folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert any(words in line for line in done.stdout.splitlines() if line.startswith(PROBLEM)), done.stdout


@pytest.mark.slow
def test_plugins_that_are_not_loaded(folder: Path) -> None:
    """Where pytest loads no plugin by itself it does not know --gentest; the rest is looked at all the same."""
    done = apart(folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode == 1
    assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD is set" in done.stdout
    assert "1 test of gentest" in done.stdout


def test_the_table_counts_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The fix stands below its row, no row is wrapped, and the last line counts problems."""
    rows = [
        Finding("a", "well [bold]"),
        Finding("long", "bad " * 50, stops=True, fix="do this"),
        Finding("b", "so so\x1b[31m"),
    ]
    print_table(rows)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "ok       a     well [bold]",
        "problem  long  " + ("bad " * 50).rstrip(),
        "               -> do this",
        "ok       b     so so\\x1b[31m",
        "a problem stops a run",
    ]
    print_table([])
    assert capsys.readouterr().out.splitlines()[-1] == "nothing stops a run"


def test_what_is_missing_or_too_old() -> None:
    """Each requirement is compared with what is installed; the command of pip is what was declared."""
    declared = [
        "numpy>=999",
        "nonesuch-package>=1",
        "pytest>=1",
        "tomli>=2; python_version < '3'",
        "ray>=1; extra == 'ray'",
    ]
    by_name = {f.about: f for f in requirements(declared)}
    assert {name: f.stops for name, f in by_name.items()} == {
        "packages": False,
        "numpy": True,
        "nonesuch-package": True,
    }
    assert by_name["packages"].message.startswith("pytest ")
    assert by_name["numpy"].fix == "pip install 'numpy>=999'"


def test_a_distribution_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a copy of the sources alone pytest does not know the plugin."""
    monkeypatch.setattr(command, "DISTRIBUTION", "nonesuch-distribution")
    *_, finding = installed()
    assert (finding.stops, finding.fix) == (True, "pip install nonesuch-distribution")


def test_a_folder_that_is_not_there_is_misuse(doctor: Doctor) -> None:
    """One line, and exit status 2."""
    done = doctor("nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
