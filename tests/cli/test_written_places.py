"""Names of the files of `--write`: nothing is overwritten, and the tests of several models fit into one repository."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import gentest
from gentest.cli.init import skeleton
from gentest.cli.model_source import find_model
from gentest.cli.write_tests import Answers, write_tests
from gentest.cli.written_places import check_folder, places
from gentest.errors import InvalidArgument
from tests.helpers.artefacts import CODE

ROOT = Path(gentest.__file__).parents[1]
FIRST = Path(".github/workflows/gentest.yml")


@pytest.fixture
def repository(folder: Path) -> Path:
    """A Git repository with two models of one module, in the working directory."""
    Path(".git").mkdir()
    loads = "\n\ndef one():\n    return Gan()\n\n\ndef other():\n    f = Gan()\n    return lambda z: 0.9 * f(z)\n"
    Path("my_gan.py").write_text(CODE + loads)
    return folder


def answers(name: str = "one", **more: Any) -> Answers:
    return Answers("gan", find_model("MODEL", f"my_gan:{name}"), call="()", latent="gentest.Normal(8)", **more)


def run_pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest on the whole repository, with its default way to import tests."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "--gentest", "--gentest-examples=8", "-v", *arguments],
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200", "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def workflow(path: Path | str) -> dict[Any, Any]:
    said: dict[Any, Any] = yaml.safe_load(Path(path).read_text())
    return said


def checked_by(path: Path | str) -> list[str]:
    """The folders that a workflow runs."""
    (job,) = workflow(path)["jobs"].values()
    (check,) = (step["run"] for step in job["steps"] if step.get("name") == "Check")
    return shlex.split(check.splitlines()[-1].partition('"${arguments[@]}"')[2])


@pytest.mark.parametrize("name", ["conftest.py", "test_latent.py", "agreement/test_agreement.py"])
def test_no_file_is_overwritten(name: str, folder: Path) -> None:
    """If a file exists, none is written; the message names that file alone. --force overwrites."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("mine")
    with pytest.raises(InvalidArgument, match=rf"^{name}: exists already; --force overwrites it, or name another"):
        check_folder(folder, force=False)
    check_folder(folder, force=True)


def test_the_advice_of_a_refusal_works(repository: Path) -> None:
    """The folder that the message names is free, however many are taken, and its workflow is no obstacle."""
    write_tests(answers(), Path("tests/latent"))
    for _ in range(2):
        with pytest.raises(InvalidArgument) as refused:
            check_folder(Path("tests/latent"), force=False)
        assert str(refused.value).startswith("tests/latent/conftest.py, tests/latent/test_latent.py: exist already")
        advised = Path(str(refused.value).rpartition("--write ")[2])
        check_folder(advised, force=False)
        write_tests(answers("other"), advised)
    assert {path.name for path in Path("tests").iterdir()} == {"latent", "latent_2", "latent_3"}


def test_a_folder_is_no_file(folder: Path) -> None:
    Path("file").touch()
    with pytest.raises(InvalidArgument, match="--write='file'"):
        check_folder(Path("file"), force=False)


@pytest.mark.slow
def test_the_tests_of_two_models_run_together(repository: Path) -> None:
    """pytest collects both folders at the root, tests of references too, each with its own model."""
    for name, where in (("one", "tests/latent"), ("other", "broken")):
        check_folder(Path(where), force=False)
        lines = write_tests(answers(name, reference=answers(name), within=0.01), Path(where))
    assert [line.split()[1] for line in lines if line.startswith("wrote")] == [
        "broken/conftest.py",
        "broken/test_latent_broken.py",
        "broken/agreement/conftest.py",
        "broken/agreement/test_agreement_broken.py",
        ".github/workflows/gentest-broken.yml",
    ]
    assert lines[-2].startswith("then  gentest suggest broken --output broken/test_suggested_broken.py")
    done = run_pytest()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "broken/test_latent_broken.py::test_samples_differ" in done.stdout
    assert "tests/latent/test_latent.py::test_samples_differ" in done.stdout
    assert "12 passed" in done.stdout


def test_a_second_folder_has_a_workflow_of_its_own(repository: Path) -> None:
    """The first one stays as the user left it. The second has another name, group and baseline, so neither disturbs."""
    write_tests(answers(), Path("tests/latent"))
    FIRST.write_text(FIRST.read_text().replace("timeout-minutes: 30", "timeout-minutes: 31"))
    before = FIRST.read_text()
    for force in (False, True):
        check_folder(Path("models/b-2"), force=force)
        lines = write_tests(answers("other"), Path("models/b-2"))
        assert FIRST.read_text() == before
        second = ".github/workflows/gentest-models-b-2.yml"
        assert (f"wrote {second}" in lines) is not force
        assert (f"kept  {second}, which runs these tests too" in lines) is force
        bless = "gentest bless gentest_baseline_models-b-2.json --by NAME models/b-2"
        assert any(bless in line for line in lines)
        assert bless in Path(second).read_text()
        assert checked_by(FIRST) == ["tests/latent"]
        assert checked_by(second) == ["models/b-2"]
    one, other = workflow(FIRST), workflow(second)
    assert (one["name"], other["name"]) == ("gentest", "gentest models-b-2")
    assert one["concurrency"]["group"] == other["concurrency"]["group"] == "${{ github.workflow }}-${{ github.ref }}"
    assert len(list(FIRST.parent.iterdir())) == 2


@pytest.mark.parametrize("first", [".", "tests"])
def test_a_workflow_that_runs_the_folder_is_kept(first: str, repository: Path) -> None:
    """A workflow of the whole repository, or of a folder around the new one, runs it: its baseline holds both."""
    write_tests(answers(), Path(first))
    before = FIRST.read_text()
    lines = write_tests(answers("other"), Path("tests/other"))
    assert f"kept  {FIRST}, which runs these tests too" in lines
    assert not any(line.startswith("edit") for line in lines)
    assert (FIRST.read_text(), len(list(FIRST.parent.iterdir()))) == (before, 1)
    runs = "" if first == "." else " tests"
    assert f"last  gentest bless gentest_baseline.json --by NAME{runs}  # the workflow reads this file" in lines


def test_a_kept_workflow_that_lacks_a_package_is_named(repository: Path) -> None:
    """A graph needs an extra that the workflow of a module does not install; with it, there is nothing to edit."""
    write_tests(answers(), Path())
    lines = write_tests(skeleton("onnx"), Path("graph"))
    assert f"edit  {FIRST}: let it install 'pytest-gentest[onnx]'" in lines
    for installed in ("'pytest-gentest[onnx]'", "pytest-gentest[diffusers,onnx]"):
        text = FIRST.read_text()
        FIRST.write_text(text.replace("pip install pytest-gentest\n", f"pip install {installed}\n"))
        assert not any(str(FIRST) in line for line in write_tests(skeleton("onnx"), Path("graph")) if "edit" in line)
        FIRST.write_text(text)


@pytest.mark.parametrize("text", ["mine", "", "name: gentest\n# gentest wrote this file\n", "\0"])
def test_a_workflow_of_somebody_else_is_left_alone(text: str, repository: Path) -> None:
    """A gentest.yml that gentest cannot read as its own is never overwritten, with --force neither."""
    FIRST.parent.mkdir(parents=True)
    FIRST.write_text(text)
    check_folder(Path("tests"), force=False)
    lines = write_tests(answers(), Path("tests"))
    assert FIRST.read_text() == text
    assert "wrote .github/workflows/gentest-tests.yml" in lines
    write_tests(answers(), Path())
    assert checked_by(".github/workflows/gentest-root.yml") == []


def test_a_workflow_that_the_user_changed_is_read(repository: Path) -> None:
    """Another folder on its last line counts; an option there may leave tests out, so that it covers nothing."""
    write_tests(answers(), Path("a"))
    text = FIRST.read_text()
    FIRST.write_text(text.replace('"${arguments[@]}" a\n', '"${arguments[@]}" a "my tests"\n'))
    assert places(Path("my tests/deep")).workflow.runs == ("a", "my tests")
    FIRST.write_text(text.replace('"${arguments[@]}" a\n', '"${arguments[@]}" -k x .\n'))
    assert places(Path("b")).workflow.path.name == "gentest-b.yml"


def test_names_are_free_and_stay(repository: Path) -> None:
    """Folders whose paths look alike get other names; files of packages in hidden folders are no tests."""
    Path("venv/x").mkdir(parents=True)
    Path("mine/x").mkdir(parents=True)
    Path("mine/pyvenv.cfg").touch()
    for where in ("venv/x", "mine/x", ".git"):
        Path(where, "test_latent.py").touch()
    names = []
    for where in ("a-b", "a_b", "a/b", "."):
        at = places(Path(where))
        write_tests(answers(), Path(where))
        assert places(Path(where)).tests == at.tests
        names.append(at.tests.name)
    assert names == ["test_latent.py", "test_latent_a_b.py", "test_latent_a_b_2.py", "test_latent_root.py"]
    flows = [places(Path(where)).workflow for where in ("a-b", "a_b", "a/b", ".")]
    assert len({flow.path for flow in flows}) == len({flow.baseline for flow in flows}) == 4
