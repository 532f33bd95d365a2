"""`gentest doctor`: what it says of a folder, of other plugins and of the machine, and how it ends."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gentest
from gentest import cli
from gentest.attributes.clip.loading import ClipSource
from gentest.cli import child, doctor_checks, doctor_run
from gentest.cli.doctor import print_table
from gentest.cli.doctor_checks import Finding, PytestRun, State, conflicts, installed, requirements
from gentest.cli.doctor_run import download_command

for module in (*(m.name for m in pkgutil.walk_packages(gentest.__path__, "gentest.")), "open_clip", "huggingface_hub"):
    importlib.import_module(module)  # runs in this process find them loaded
OK, NOTE, PROBLEM = (state.value for state in State)
STATES = (OK, NOTE, PROBLEM)
ROOT = Path(gentest.__file__).parents[1]
CLIP = ROOT / "examples" / "fashion" / "clip"
CONFTEST = """
import gentest
import pytest


@pytest.fixture(scope="session")
def generator():
    raise AssertionError("no fixture is asked for")
"""
TESTS = """
import gentest


@gentest.well_formed()
@gentest.between(gentest.brightness(), tolerance=1)
def test_a(generator):
    return generator


def test_other():
    raise AssertionError("no test is run")
"""
ASKS_CLIP = """
import gentest


@gentest.monotone(gentest.clip("a smile", "a frown"), tolerance=gentest.sd(2)).at_rate(0.9)
def test_smile(generator):
    return generator
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a conftest.py and a test of two properties."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_a.py").write_text(TESTS)
    return tmp_path


Doctor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def doctor(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """The command in that folder; its pytest runs in this process, where torch is loaded already."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "HF_", "CUDA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.chdir(folder)

    def call(function: str, arguments: list[str], **limits: Any) -> child.Reply:
        runs: list[pytest.RunResult] = []

        def main(words: list[str], plugins: list[object]) -> int:
            runs.append(pytester.runpytest_inprocess(*words, plugins=plugins))
            return int(runs[-1].ret)

        with monkeypatch.context() as patch:
            patch.setattr(doctor_run.pytest, "main", main)
            value = doctor_run.examine(arguments)
        return child.Reply(json.loads(json.dumps(value)), runs[0].stdout.str() + runs[0].stderr.str())

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(child, "call", call)
        status = cli.main(["doctor", *arguments])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


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


def found(doctor: Doctor, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and the last finding of each thing."""
    done = doctor("--json", *arguments)
    said = json.loads(done.stdout[done.stdout.index('{\n "well"') :])
    assert said["well"] is (done.returncode == 0)
    assert all(f["state"] in STATES for f in said["findings"])
    assert all(f["do"] for f in said["findings"] if f["state"] == PROBLEM and f["about"] not in ("tests", "clip"))
    return done.returncode, {f["about"]: f for f in said["findings"]}


def test_a_folder_that_is_well(folder: Path) -> None:
    """Versions, device, tests, CLIP, caches and plugins are a row each; nothing is run and nothing is written."""
    before = sorted(folder.iterdir())
    done = apart(folder)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[1]: line for line in done.stdout.splitlines() if line.split()[0] in STATES}
    for about in (
        "python",
        "gentest",
        "torch",
        "hypothesis",
        "pytest",
        "open-clip-torch",
        "device",
        "cache",
        "plugins",
    ):
        assert about in rows
    assert "1 test of gentest, with 2 properties" in rows["tests"]
    assert "no test asks for one" in rows["clip"]
    assert done.stdout.splitlines()[-1] == "nothing stops a run"
    assert sorted(folder.iterdir()) == before


def test_an_empty_folder_is_told_of_init(folder: Path, doctor: Doctor) -> None:
    """Where there are no tests, the command that writes some is named; it stops nothing."""
    for path in folder.iterdir():
        path.unlink()
    status, said = found(doctor)
    assert status == 0
    assert (said["tests"]["state"], said["tests"]["do"]) == (NOTE, "gentest init writes some to start with")


def test_a_conftest_that_is_still_to_be_written(folder: Path, doctor: Doctor) -> None:
    """What `gentest init` left to a person is a problem, with its line, until it is written."""
    assert cli.main(["init", "--yes", "--force", "--ci", "none"]) == 0
    status, said = found(doctor)
    assert status == 1
    assert said["conftest.py"]["said"].startswith("conftest.py:15: still to be written")
    conftest = folder / "conftest.py"
    conftest.write_text(conftest.read_text().replace("raise NotImplementedError", "return Model"))
    status, said = found(doctor)
    assert (status, "conftest.py" in said) == (0, False)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("test_b.py", "import nonesuch_module\n", "No module named 'nonesuch_module'"),
        ("test_b.py", "def broken(:\n", "SyntaxError"),
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


def test_a_device_that_is_not_there(doctor: Doctor) -> None:
    """A device that is asked for and not there is said with what to do."""
    status, said = found(doctor, "--device", "cuda:77")
    assert status == 1
    assert "cuda:77" in said["device"]["said"]
    assert said["device"]["do"]


# CLIP


def test_a_clip_that_is_asked_for_and_not_chosen(folder: Path, doctor: Doctor) -> None:
    """A test with a CLIP attribute needs one: the test and the option are named."""
    (folder / "test_clip.py").write_text(ASKS_CLIP)
    status, said = found(doctor)
    assert status == 1
    assert "test_clip.py::test_smile asks for a CLIP, and none is chosen" in said["clip"]["said"]
    assert "--gentest-clip" in said["clip"]["do"]


@pytest.mark.parametrize("offline", [False, True])
def test_weights_that_are_not_here(
    folder: Path,
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    offline: bool,  # noqa: FBT001
) -> None:
    """The command that fetches them is said; it stops a run only where they cannot be downloaded, and are needed."""
    (folder / "test_clip.py").write_text(ASKS_CLIP)
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, said = found(doctor, "--clip", "ViT-B-32:laion2b_s34b_b79k")
    assert status == int(offline)
    assert "its weights are not here" in said["clip"]["said"]
    assert "open_clip.create_model('ViT-B-32', pretrained='laion2b_s34b_b79k')" in said["clip"]["do"]


def test_weights_that_are_here(folder: Path, doctor: Doctor) -> None:
    """A folder with weights is found, of a test's own settings too, and needs nothing."""
    shutil.copytree(CLIP, folder / "own")
    clip = f"@gentest.settings(clip='local-dir:{folder / 'own'}')\n@gentest.monotone"
    (folder / "test_clip.py").write_text(ASKS_CLIP.replace("@gentest.monotone", clip))
    status, said = found(doctor)
    assert (status, said["clip"]["state"]) == (0, OK)
    assert "weights are here" in said["clip"]["said"]
    status, said = found(doctor, "--clip", "local-dir:none")
    assert status == 1
    assert "no such folder" in said["clip"]["said"]


def test_prompts_that_a_file_lacks(folder: Path, doctor: Doctor) -> None:
    """A prompt file that lacks what the tests ask for would stop the run at the first of them."""
    (folder / "test_clip.py").write_text(ASKS_CLIP)
    model = {"name": "x", "dim": 2, "logit_scale": 1.0, "prompts": {"a smile": "AACAPwAAAAA="}}
    (folder / "prompts.json").write_text(json.dumps({"schema": 1, "models": {"0": model}}))
    given = ["--clip", f"local-dir:{CLIP}", "--", "--gentest-prompts", "prompts.json"]
    status, said = found(doctor, *given)
    assert status == 1
    assert "lacks 1 of the prompts, such as 'a frown'" in said["prompts"]["said"]
    assert "--gentest-update-prompts" in said["prompts"]["do"]
    model["prompts"] = {"a smile": "AACAPwAAAAA=", "a frown": "AACAPwAAAAA="}
    (folder / "prompts.json").write_text(json.dumps({"schema": 1, "models": {"0": model}}))
    assert found(doctor, *given)[1]["prompts"]["state"] == OK


def test_the_command_that_fetches_is_one_that_python_takes() -> None:
    """Of a model with a tag and of one of the hub."""
    for source in (ClipSource("a", "a", "a", ("ViT-B-32", "x")), ClipSource("a", "a", "a", ("hf-hub:a/b",))):
        compile(download_command(source).partition('"')[2].rstrip('"'), "fetch", "exec")


# other plugins, caches


def test_options_of_pytest_are_those_of_the_run(folder: Path, doctor: Doctor) -> None:
    """Arguments after -- are looked at as pytest takes them: no cache is worth a note, workers are not started."""
    status, said = found(doctor, "--", "-p", "no:cacheprovider", "-n", "2")
    assert (status, said["cache"]["state"]) == (0, NOTE)
    assert "1 test of gentest" in said["tests"]["said"]
    status, said = found(doctor, "--", "--gentest-cache", "kept")
    assert said["measurements"]["said"] == str(folder / "kept")
    assert not (folder / "kept").exists()


def test_warnings_that_are_errors_and_an_undecided_rate(folder: Path, doctor: Doctor) -> None:
    """`--gentest-undecided warn` does not warn where warnings are errors."""
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\ngentest_undecided = warn\n")
    status, said = found(doctor, "--", "-p", "no:asyncio")
    assert (status, said["warnings"]["state"]) == (0, NOTE)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings =\n    error::DeprecationWarning\n    default\n")
    assert "warnings" not in found(doctor, "--", "--gentest-undecided", "warn")[1]


def test_plugins_that_are_not_loaded(folder: Path) -> None:
    """Where pytest loads no plugin by itself it does not know --gentest; the rest is looked at all the same."""
    done = apart(folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode == 1
    assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD is set" in done.stdout
    assert "1 test of gentest" in done.stdout


CONFLICTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "forked": ({"forked": True}, PROBLEM, "pytest-forked"),
    "timeout": ({"timeout": 10.0}, NOTE, "pytest-timeout: a test is stopped after 10 s"),
    "reruns": ({"reruns": 2}, NOTE, "is run 3 times"),
    "count": ({"count": 2}, NOTE, "pytest-repeat"),
    "count, gated": ({"count": 2, "baseline": True}, PROBLEM, "names that the baseline does not have"),
    "workers on a GPU": ({"workers": 4, "on_cuda": True, "n_gpus": 1}, NOTE, "4 workers share one GPU"),
    "warnings": ({"strict_warnings": True, "undecided_warns": True}, NOTE, "an undecided rate fails"),
}
HARMLESS: list[dict[str, Any]] = [
    {"timeout": 3600.0},
    {"workers": 2},
    {"workers": 2, "on_cuda": True, "n_gpus": 2},
    {"strict_warnings": True},
    {"undecided_warns": True},
    {"plugins": frozenset({"pytest-randomly", "pytest-cov", "pytest-asyncio"})},
]


@pytest.mark.parametrize("name", CONFLICTS)
def test_what_gets_in_the_way_is_said(name: str) -> None:
    """Each that was tried has its row, and says what to do."""
    changed, state, words = CONFLICTS[name]
    (finding,) = conflicts(replace(PytestRun(), **changed))
    assert finding.state.value == state
    assert words in finding.said
    assert finding.do


@pytest.mark.parametrize("changed", HARMLESS, ids=lambda changed: "-".join(changed))
def test_what_does_not_get_in_the_way_is_not(changed: dict[str, Any]) -> None:
    """Nothing is said of plugins that are merely there."""
    (finding,) = conflicts(replace(PytestRun(), **changed))
    assert finding.state is State.OK


# what is installed


def test_what_is_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each requirement is compared with what is installed; the command of pip is what was declared."""
    declared = [
        "numpy>=999",
        "nonesuch-package>=1",
        "pytest>=1",
        "tomli>=2; python_version < '3'",
        "ray>=1; extra == 'ray'",
    ]
    by_name = {f.about: f for f in requirements(declared)}
    assert set(by_name) == {"numpy", "nonesuch-package", "pytest"}
    assert [by_name[n].state.value for n in ("numpy", "nonesuch-package", "pytest")] == [PROBLEM, PROBLEM, OK]
    assert by_name["numpy"].do == "pip install 'numpy>=999'"


def test_a_distribution_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a copy of the sources alone pytest does not know the plugin."""
    monkeypatch.setattr(doctor_checks, "DISTRIBUTION", "nonesuch-distribution")
    *_, finding = installed()
    assert (finding.state, finding.do) == (State.PROBLEM, "pip install nonesuch-distribution")


def test_the_table_counts_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The fix stands below its row, no row is wrapped, and the last line counts problems and notes."""
    rows = [
        Finding("a", State.OK, "well [bold]"),
        Finding("long", State.PROBLEM, "bad " * 50, "do this"),
        Finding("b", State.NOTE, "so so\x1b[31m"),
    ]
    print_table(rows)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "ok       a     well [bold]",
        "problem  long  " + ("bad " * 50).rstrip(),
        "               -> do this",
        "note     b     so so\\x1b[31m",
        "a problem stops a run; 1 note",
    ]
    print_table([])
    assert capsys.readouterr().out.splitlines()[-1] == "nothing stops a run"


def test_a_folder_that_is_not_there_is_misuse(doctor: Doctor) -> None:
    """One line, and exit status 2."""
    done = doctor("nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
