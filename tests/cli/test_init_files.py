"""Files that `gentest init` writes: no name hides another, no text becomes code, and the workflow runs."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import gentest
from tests.helpers.commands import Run
from tests.helpers.new_models import LATENT, MODEL, clean

ROOT = Path(gentest.__file__).parents[1]


NAMES: dict[str, list[str]] = {
    "a fixture": ["--load", "my_model:generator"],
    "a function of the file": ["--kind", "autoencoder", "--load", "my_model:Vae", "--data", "my_model:load"],
    "the file's images": ["--kind", "autoencoder", "--load", "my_model:images"],
    "one name twice": ["--kind", "autoencoder", "--load", "my_model:load", "--data", "other:load"],
    "an alias": ["--kind", "autoencoder", "--load", "my_model:load_data", "--data", "other:load_data"],
    "one function twice": ["--kind", "autoencoder", "--load", "my_model:load", "--data", "my_model:load"],
    "a hook": ["--load", "my_model:pytest_configure"],
    "a local name": ["--load", "my_model:model"],
}


@pytest.mark.parametrize("name", NAMES)
def test_no_name_hides_another(name: str, run_init: Run, folder: Path) -> None:
    """A conftest.py binds every name once, binds no hook of pytest, and calls the functions that the user named."""
    names = ("generator", "images", "load", "load_data", "model", "pytest_configure")
    source = "\n\n".join(f"def {n}(path=None):\n    return '{n}'" for n in names) + "\n"
    Path("my_model.py").write_text(source + "\n\nclass Vae:\n    pass\n")
    Path("other.py").write_text(source)
    assert run_init("--yes", *NAMES[name])[0] == 0
    tree = ast.parse(Path("conftest.py").read_text())
    bound = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            bound += [alias.asname or alias.name for alias in node.names]
    assert len(set(bound)) == len(bound)
    assert not any(n.startswith("pytest_") for n in bound)
    made = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    theirs = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module in ("my_model", "other")]
    assert {alias.asname or alias.name for node in theirs for alias in node.names} <= made
    clean(folder)


def test_what_is_loaded_is_found_beside_the_folder(
    run_init: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command finds modules, files and pipelines in the current folder and the repository's root."""
    Path(".git").mkdir()
    Path("here/tests").mkdir(parents=True)
    Path("src").mkdir()
    Path("src/deep_model.py").write_text("def load(path): ...\n")
    Path("top_model.py").write_text("def load(path): ...\n")
    Path("here/near_model.py").write_text("def load(path): ...\n")
    Path("here/near.onnx").touch()
    Path("pipe").mkdir()
    Path("pipe/model_index.json").touch()
    monkeypatch.chdir("here")
    told = ["--yes", "--force", "--latent", "normal:6", "--range", "0,1"]
    for module, place in {
        "deep_model": 'Path(__file__).parents[2] / "src"',
        "top_model": "Path(__file__).parents[2]",
        "near_model": "Path(__file__).parents[1]",
    }.items():
        assert run_init("tests", *told, "--load", f"{module}:load")[0] == 0
        text = Path("tests/conftest.py").read_text()
        assert f"sys.path.insert(0, str({place}))" in text
        assert f"from {module} import load" in text
        clean(Path("tests"))
        where = eval(place, {"Path": Path, "__file__": str(Path("tests/conftest.py").absolute())})
        assert (where / f"{module}.py").is_file()
    assert run_init("tests", *told, "--load", "near.onnx")[0] == 0
    assert 'Path(__file__).parent / "../near.onnx"' in Path("tests/conftest.py").read_text()
    assert run_init("tests", "--yes", "--force", "--load", "pipe")[0] == 0
    assert 'Path(__file__).parent / "../../pipe"' in Path("tests/conftest.py").read_text()
    Path("tests/my_model.py").write_text("def load(path): ...\n")
    assert run_init("tests", *told, "--load", "my_model:load")[0] == 0
    assert "sys" not in Path("tests/conftest.py").read_text()


HOSTILE = "g\"]) or __import__('os').system('touch ran')  #\n"


def strings(text: str) -> list[str]:
    """The string literals of a Python text. It has to compile, and must not use the name `__import__`."""
    tree = ast.walk(ast.parse(text))
    nodes = list(tree)
    assert not any(isinstance(node, ast.Name) and node.id == "__import__" for node in nodes)
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_what_a_file_holds_is_never_written_as_code(run_init: Run, peeked: list[Any]) -> None:
    """The names of keys, weights and files stay inside literals and comments."""
    Path("my_model.py").write_text(MODEL)
    file = "w\"+__import__('os')+\".pt"
    state = {"a\nimport os\n\x00": torch.zeros(8, LATENT)}
    torch.save({HOSTILE: state}, file)
    assert run_init("--yes", "--load", "my_model:Vae", "--weights", file)[0] == 0
    text = Path("conftest.py").read_text()
    assert f"gentest.Normal({LATENT})" in text
    assert {HOSTILE, file} <= set(strings(text))
    assert not any(isinstance(node, ast.Import) and node.names[0].name == "os" for node in ast.parse(text).body)


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx", "diffusers"])
def test_the_name_of_a_model_is_never_written_as_code(kind: str, run_init: Run) -> None:
    """The names of a model's file, a pipeline on the hub and a CLIP stay inside literals."""
    name = HOSTILE.strip().replace("/", "")
    if kind != "diffusers":
        Path(name).touch()
    told = [] if kind == "diffusers" else ["--latent", "normal:6", "--range", "0,1"]
    given = ["--kind", kind, "--load", name, *told, "--clip", "a smile", "--clip-model", HOSTILE, "--ci", "none"]
    assert run_init("--yes", *given)[0] == 0
    assert strings(Path("conftest.py").read_text()).count(name) == 1
    assert strings(Path("test_latent.py").read_text()).count(HOSTILE) == 1


def workflow(run_init: Run, *given: str) -> dict[Any, Any]:
    assert run_init("--yes", *given)[0] == 0
    said: dict[Any, Any] = yaml.safe_load(Path(".github/workflows/gentest.yml").read_text())
    return said


def test_the_workflow_asks_for_little(run_init: Run) -> None:
    """It only reads, has a time limit, pins actions to a major version, and installs no other package named gentest."""
    said = workflow(run_init, "--clip", "a smile")
    assert said["permissions"] == {"contents": "read"}
    assert "pull_request" in said[True]  # YAML 1.1 reads `on` as true
    (job,) = said["jobs"].values()
    assert job["timeout-minutes"] <= 60
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v6"))
        assert not re.search(r"pip install (\S+ )*gentest", step.get("run", ""))
    (cache,) = (step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/cache@"))
    assert job["env"]["HF_HOME"].endswith(cache["path"])
    assert "laion2b" in cache["key"]


@pytest.mark.parametrize("name", ["runs #2", "exp: a", "it's", "é 😀", "{a}", '"q\\'])
def test_any_name_of_a_folder_fits_the_workflow(name: str, run_init: Run, folder: Path) -> None:
    """The baseline's path, the tests and the cache's key are quoted for YAML and the shell."""
    Path(".git").mkdir()
    (job,) = workflow(run_init, name, "--clip", "a smile", "--clip-model", "local-dir:a #b: c")["jobs"].values()
    assert job["env"]["BASELINE"] == f"{name}/gentest_baseline.json"
    (key,) = (step["with"]["key"] for step in job["steps"] if step.get("uses", "").startswith("actions/cache@"))
    assert key == "clip-local-dir-a #b- c"
    (check,) = (step["run"] for step in job["steps"] if step.get("name") == "Check")
    assert shlex.split(check.splitlines()[-1])[-1] == name


def test_the_workflow_installs_what_there_is(run_init: Run, folder: Path, peeked: list[Any]) -> None:
    """It installs the model's package, the requirements, and the repository if that is a package."""
    Path("requirements.txt").write_text("torch\n")
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")
    steps = workflow(run_init, "--load", "gan_face_generate.models:Generator")["jobs"]["gentest"]["steps"]
    installs = [step["run"] for step in steps if "pip install" in step.get("run", "")]
    assert installs[1:3] == ["python -m pip install -r requirements.txt", "python -m pip install ."]
    assert installs[3] == "python -m pip install pytest-gentest gan_face_generate==1.1.1"


@pytest.mark.slow
@pytest.mark.parametrize("blessed", [False, True])
def test_the_steps_of_the_workflow_run(blessed: bool, run_init: Run, folder: Path) -> None:  # noqa: FBT001
    """In a repository with a folder of tests the steps check them, and compare with a baseline if there is one."""
    Path(".git").mkdir()
    Path("tests").mkdir()
    Path("tests/my_model.py").write_text(MODEL)
    said = workflow(run_init, "tests", "--load", "my_model:load", "--latent", f"normal:{LATENT}")
    (job,) = said["jobs"].values()
    if blessed:
        Path(job["env"]["BASELINE"]).write_text("no baseline")
    scripts = {step["name"]: step["run"] for step in job["steps"] if "name" in step and "run" in step}
    env = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"PYTEST_ADDOPTS": "-p no:asyncio --gentest-examples 8", "GITHUB_STEP_SUMMARY": str(folder / "page.md")}
    env |= {"HOME": os.environ.get("HOME", ""), **job["env"]}
    status = {
        name: subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script], env=env, check=False, capture_output=True
        ).returncode
        for name, script in scripts.items()
    }
    if blessed:  # the baseline is looked at: one that is none stops the run
        assert status["Check"] == 4
    else:
        assert status == {"Check": 0}
        assert Path("gentest.json").stat().st_size > 0
        assert Path("page.md").read_text().count("### gentest") == 1
        assert "5 properties: 5 no counterexample" in Path("page.md").read_text()
