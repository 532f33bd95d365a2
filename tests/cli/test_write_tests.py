"""Files that `gentest check --write` writes: they run green on a clean model, no text becomes code, nothing is lost."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

import gentest
from gentest.cli.init import skeleton
from gentest.cli.model_source import Code, ModelKind, ModelSource, find_model
from gentest.cli.write_tests import Answers, write_tests
from tests.helpers.artefacts import CODE, KINDS, made
from tests.helpers.commands import Run, called
from tests.helpers.new_models import clean

ROOT = Path(gentest.__file__).parents[1]
MORE = """

def load():
    return Gan()


def rows():
    return nn.Linear(D, 5)


def generator():
    import gentest

    return gentest.Generator(Gan(), latent=gentest.Normal(D))


def arrays(z):
    import numpy as np

    assert isinstance(z, np.ndarray)
    return Gan()(torch.from_numpy(z)).detach().numpy()


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = Gan()
        self.encoder = nn.Linear(192, D)

    def encode(self, x):
        return self.encoder(x.flatten(1))

    def decode(self, z):
        return self.decoder(z)
"""


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """`gentest check` in an empty folder: exit status, output and error."""
    return lambda *arguments: called(["check", *arguments], capfd)


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "--gentest", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


CODES: dict[str, list[str]] = {
    "a class": ["my_gan:Gan('clean', 8)"],
    "rows": ["my_gan:rows"],
    "a generator": ["my_gan:generator"],
    "arrays": ["my_gan:arrays", "--latent", "normal:8"],
    "an autoencoder": ["my_gan:Vae"],
    "weights": ["gan.safetensors", "--class", "my_gan:Gan"],
    "a fixed label": ["my_gan:Conditional('clean')", "--given", "label=2"],
}


def prepared(name: str) -> list[str]:
    """The arguments for a model, whose files are made."""
    if name in KINDS:
        return made(name, "clean")
    Path("my_gan.py").write_text(CODE + MORE)
    if name == "weights":
        from safetensors.torch import save_file

        names: dict[str, Any] = {"__name__": "my_gan"}
        exec(CODE, names)
        save_file(names["Gan"]().state_dict(), "gan.safetensors")
    return CODES[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KINDS, *CODES])
@pytest.mark.usefixtures("in_process")
def test_what_is_written_runs_green(name: str, run: Run, folder: Path) -> None:
    """pytest passes the files of each kind of clean model without an edit, and formatters change nothing in them."""
    if name == "onnx":
        pytest.importorskip("onnxruntime", reason="needs onnxruntime to run graphs")
    if name in ("pipeline", "autoencoder"):
        pytest.importorskip("diffusers", reason="needs diffusers")
    status, out, err = run(*prepared(name), "--examples", "16", "--write", "tests")
    assert status == 0, out + err
    assert "edit " not in out
    done = run_pytest(folder, "tests", "--gentest-examples", "16")
    assert done.returncode == 0, done.stdout + done.stderr
    n = 4 if name in ("an autoencoder",) and "diverse" not in Path("tests/test_latent.py").read_text() else 5
    assert re.search(rf"{n} passed", done.stdout), done.stdout
    clean(folder / "tests")


def saved(images: torch.Tensor, name: str) -> None:
    """Images [M, C, H, W] in [-1, 1] as files in a folder."""
    Path(name).mkdir()
    for i, image in enumerate(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(f"{name}/{i}.png")


def verdicts(file: str) -> dict[str, str]:
    """The verdict of each property in a file of results, by the name of its decorator."""
    results = json.loads(Path(file).read_text())["results"]
    return {result["property"].partition("(")[0]: result["verdict"] for result in results}


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", ["a class", "onnx", "weights"])
def test_a_reference_and_data_are_written_as_tests(name: str, run: Run, folder: Path) -> None:
    """What `--against` and `--data` check is in the files, green for a model that agrees, red for one that does not."""
    if name == "onnx":
        pytest.importorskip("onnxruntime", reason="needs onnxruntime to run graphs")
    model = prepared(name)
    Path("my_gan.py").write_text(CODE + MORE)
    Path("far.py").write_text(
        "from my_gan import Gan\n\n\ndef load():\n    f = Gan()\n    return lambda z: 0.5 * f(z)\n"
    )
    names: dict[str, Any] = {"__name__": "my_gan"}
    exec(CODE, names)
    with torch.no_grad():
        saved(names["Gan"]()(torch.randn(256, 8)), "photos")
    common = [*model, "--latent", "normal:8", "--data", "photos", "--examples", "16"]
    status, out, err = run(*common, "--against", "my_gan:Gan('clean', 8)", "--write", "good")
    assert (status, "left " in out) == (0, False), out + err
    files = {path.relative_to("good").as_posix() for path in Path("good").rglob("*.py")}
    assert files == {"conftest.py", "test_latent.py", "agreement/conftest.py", "agreement/test_agreement.py"}
    done = run_pytest(folder, "good", "--gentest-examples", "16", "--gentest-json", "good.json")
    assert done.returncode == 0, done.stdout + done.stderr
    properties = [result["property"] for result in json.loads(Path("good.json").read_text())["results"]]
    assert "agrees(within=0.01568627450980392)" in properties
    assert any(name.startswith("matches(images in photos, ") for name in properties), properties
    status, out, err = run(*common, "--against", "far:load", "--within", "0.001", "--write", "bad", "--force")
    assert status == 1, out + err
    done = run_pytest(folder, "bad/agreement", "--gentest-examples", "16")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "agrees(within=0.001): violated by" in done.stdout


COPY = """
from torch import nn


class Copy(nn.Module):
    def __init__(self, share=1.0):
        super().__init__()
        self.share = share
        self.layer = nn.Identity()

    def encode(self, x):
        return x.flatten(1)

    def decode(self, z):
        return self.share * z.view(-1, 3, 4, 4)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("model", "comes_back"),
    [(["copy_model:Copy"], True), (["copy_model:Copy(0.5)"], False), (["vae"], False)],
)
def test_the_round_trip_of_an_autoencoder_is_written(
    model: list[str],
    comes_back: bool,  # noqa: FBT001
    run: Run,
    folder: Path,
) -> None:
    """The written test passes exactly if the check found that images come back, on the same encodings."""
    Path("copy_model.py").write_text(COPY)
    if model == ["vae"]:
        pytest.importorskip("diffusers", reason="needs diffusers")
        made("autoencoder", "clean")
    rng = torch.Generator().manual_seed(0)
    saved(2 * torch.rand(40, 3, 4, 4, generator=rng) - 1, "photos")
    given = ["--latent", "normal:48", "--range=-1,1"] if model != ["vae"] else []
    options = ["--data", "photos", "--examples", "16", "--json", "check.json"]
    status, out, err = run(*model, *given, *options, "--write", "tests")
    assert status == (0 if comes_back else 1), out + err
    assert "left " not in out
    clean(folder / "tests")
    done = run_pytest(folder, "tests", "--gentest-examples", "16", "--gentest-json", "tests.json")
    assert done.returncode == status, done.stdout + done.stderr
    checked, tested = verdicts("check.json"), verdicts("tests.json")
    assert tested == checked
    assert tested["agrees"] == ("no_counterexample" if comes_back else "violated")


@pytest.mark.usefixtures("in_process")
def test_the_written_tests_find_what_the_check_found(run: Run, folder: Path) -> None:
    """A broken model fails the check, and its files are written all the same."""
    Path("my_gan.py").write_text(CODE)
    status, out, _ = run("my_gan:Gan('one image')", "--examples", "8", "--write")
    assert status == 1
    assert "wrote conftest.py" in out
    assert 'make_model("one image"),' in Path("conftest.py").read_text()


@pytest.mark.usefixtures("in_process")
def test_code_that_takes_no_checkpoint_refuses_one(run: Run, folder: Path) -> None:
    """A run with a checkpoint that the code cannot load fails with the line that `--write` prints; others pass."""
    Path("my_gan.py").write_text(f"{CODE}{MORE}\n\ndef made(checkpoint=None):\n    return Gan()\n")
    Path("other.pt").write_text("weights")
    line = "takes no checkpoint, so a run with --gentest-checkpoint fails: let the fixture in conftest.py load"
    for name, refuses in (("load", True), ("Gan('clean', 8)", True), ("made", False)):
        _, out, _ = run(f"my_gan:{name}", "--examples", "2", "--write", "--force")
        assert (f"note  {name.partition('(')[0]} {line} gentest_checkpoint" in out) == refuses
        checked = run_pytest(folder, "--gentest-examples=2", "--gentest-checkpoint=other.pt", "-k", "valid")
        assert (checked.returncode == 1) == refuses, checked.stdout
        assert (f"{line} gentest_checkpoint" in checked.stdout) == refuses


def test_what_is_loaded_is_found_beside_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of modules and files are relative to the fixture, wherever the tests are."""
    Path(".git").mkdir()
    Path("here/tests").mkdir(parents=True)
    Path("src").mkdir()
    for name in ("src/deep_model.py", "top_model.py", "here/near_model.py", "here/near.onnx"):
        Path(name).touch()
    monkeypatch.chdir("here")
    for module, place in {
        "deep_model": 'Path(__file__).parents[2] / "src"',
        "top_model": "Path(__file__).parents[2]",
        "near_model": "Path(__file__).parents[1]",
    }.items():
        write_tests(Answers("gan", find_model("MODEL", f"{module}:load"), call="()"), Path("tests"))
        text = Path("tests/conftest.py").read_text()
        assert f"sys.path.insert(0, str({place}))" in text
        clean(Path("tests"))
        where = eval(place, {"Path": Path, "__file__": str(Path("tests/conftest.py").absolute())})
        assert (where / f"{module}.py").is_file()
    write_tests(Answers("onnx", find_model("MODEL", "near.onnx")), Path("tests"))
    assert 'Path(__file__).parent / "../near.onnx"' in Path("tests/conftest.py").read_text()


@pytest.mark.parametrize("name", ["generator", "pytest_configure", "gentest", "Path", "model", "make_model"])
def test_no_name_hides_another(name: str, folder: Path) -> None:
    """A conftest.py binds every name once, whatever the user's function is called."""
    source = ModelSource("MODEL", "", ModelKind.CODE, code=Code("my_model", name, root=str(folder)))
    for call in ("", "()"):
        write_tests(Answers("gan", source, call=call), folder)
        tree = ast.parse(Path("conftest.py").read_text())
        bound = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        for node in tree.body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                bound += [alias.asname or alias.name for alias in node.names]
        assert len(set(bound)) == len(bound)
        assert not any(n.startswith("pytest_") for n in bound)


HOSTILE = "g\"]) or __import__('os').system('touch ran')  #\n"


def strings(text: str) -> list[str]:
    """The string literals of a Python text. It has to compile, and must not use the name `__import__`."""
    nodes = list(ast.walk(ast.parse(text)))
    assert not any(isinstance(node, ast.Name) and node.id == "__import__" for node in nodes)
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx", "pipeline", "component", "weights"])
def test_the_name_of_a_model_is_never_written_as_code(kind: str, folder: Path) -> None:
    """The names of files, keys and prompts stay inside literals and comments."""
    name = HOSTILE.strip().replace("/", "")
    template = {"onnx": "onnx", "pipeline": "pipeline", "component": "autoencoder"}.get(kind, "gan")
    code = Code("my_model", "Net") if kind == "weights" else None
    answers = Answers(
        template,
        ModelSource("MODEL", name, ModelKind(kind), str(folder / name), code),
        form="pipeline" if kind == "pipeline" else "function",
        component="AutoencoderKL" if kind == "component" else "",
        weights_key=HOSTILE if kind == "weights" else "",
        call_arguments={"prompt": HOSTILE} if kind == "pipeline" else {},
        call="()" if kind == "weights" else "",
        assumptions=(HOSTILE,),
    )
    write_tests(answers, folder)
    found = strings(Path("conftest.py").read_text())
    assert found.count(name) == 1
    assert found.count(HOSTILE) == (kind in ("weights", "pipeline"))


MYPY = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "--allow-untyped-calls"]
"""Calls of diffusers are untyped."""


@pytest.mark.slow
def test_what_is_written_type_checks(folder: Path) -> None:
    """mypy --strict accepts the files of every template, before the edit too."""
    Path("my_model.py").write_text("from typing import Any\n\n\ndef load(path: object = None) -> Any: ...\n")
    source = find_model("MODEL", "my_model:load")
    for template in ("gan", "autoencoder", "pipeline", "onnx", "other"):
        write_tests(skeleton(template), folder / f"{template}_skeleton")
        if template != "onnx":
            form = template if template in ("autoencoder", "pipeline") else "function"
            write_tests(Answers(template, source, "(gentest_checkpoint)", form=form), folder / template)
    on_data = Answers("autoencoder", source, "()", form="autoencoder", data="photos", image_shape=(3, 4, 4), loss=0.1)
    write_tests(replace(on_data, laws=("round_trip", "matches")), folder / "encodings")
    for where in sorted(path.parent for path in folder.glob("*/conftest.py")):
        assert len(list(where.glob("test_latent*.py"))) == 1
        done = subprocess.run(
            [*MYPY, "conftest.py", *(path.name for path in where.glob("test_latent*.py"))],
            cwd=where,
            env={**os.environ, "MYPYPATH": f"{ROOT}{os.pathsep}..", "MYPY_CACHE_DIR": str(folder.parent / "mypy")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, where.name + done.stdout + done.stderr


def workflow(folder: Path, answers: Answers | None = None) -> dict[Any, Any]:
    write_tests(answers or skeleton("gan"), folder)
    said: dict[Any, Any] = yaml.safe_load(Path(".github/workflows/gentest.yml").read_text())
    return said


def test_the_workflow_asks_for_little(folder: Path) -> None:
    """It only reads, has a time limit, pins actions to a major version, and installs no other package named gentest."""
    said = workflow(folder)
    assert said["permissions"] == {"contents": "read"}
    assert "pull_request" in said[True]  # YAML 1.1 reads `on` as true
    (job,) = said["jobs"].values()
    assert job["timeout-minutes"] <= 60
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/checkout@v6"))
        assert not re.search(r"pip install (\S+ )*gentest", step.get("run", ""))


@pytest.mark.parametrize("name", ["runs #2", "exp: a", "it's", "é 😀", "{a}", '"q\\'])
def test_any_name_of_a_folder_fits_the_workflow(name: str, folder: Path) -> None:
    """The path of the tests is quoted for the shell, and the baseline lies where the guides put it."""
    Path(".git").mkdir()
    (job,) = workflow(folder / name)["jobs"].values()
    assert job["env"]["BASELINE"] == "gentest_baseline.json"
    (check,) = (step["run"] for step in job["steps"] if step.get("name") == "Check")
    assert shlex.split(check.splitlines()[-1])[-1] == name


def test_the_workflow_installs_what_there_is(folder: Path) -> None:
    """It installs the model's package, the requirements, the repository if that is a package, and the extra."""
    Path("requirements.txt").write_text("torch\n")
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")
    source = find_model("MODEL", "gan_face_generate.models:Generator")
    steps = workflow(folder, Answers("gan", source, call="()"))["jobs"]["gentest"]["steps"]
    installs = [step["run"] for step in steps if "pip install" in step.get("run", "")]
    assert installs[1:3] == ["python -m pip install -r requirements.txt", "python -m pip install ."]
    assert installs[3] == "python -m pip install pytest-gentest gan_face_generate==1.1.1"
    Path(".github/workflows/gentest.yml").unlink()
    steps = workflow(folder, skeleton("onnx"))["jobs"]["gentest"]["steps"]
    assert "python -m pip install 'pytest-gentest[onnx]'" in [step.get("run") for step in steps]


@pytest.mark.slow
@pytest.mark.parametrize("blessed", [False, True])
def test_the_steps_of_the_workflow_run(blessed: bool, folder: Path) -> None:  # noqa: FBT001
    """In a repository with a folder of tests the steps check them, and compare with a baseline if there is one."""
    Path(".git").mkdir()
    Path("tests").mkdir()
    Path("tests/my_gan.py").write_text(CODE + MORE)
    source = ModelSource(
        "MODEL", "my_gan:load", ModelKind.CODE, code=Code("my_gan", "load", root=str(folder / "tests"))
    )
    said = workflow(folder / "tests", Answers("gan", source, call="()", latent="gentest.Normal(8)"))
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


def test_the_workflow_is_where_github_reads_it(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """At the root of the Git repository; without one, in the working directory, or else in the folder itself."""
    source = Path(".github/workflows/gentest.yml")
    write_tests(skeleton("gan"), folder / "latent_tests")
    assert 'python -m pytest "${arguments[@]}" latent_tests' in source.read_text()
    assert not (folder / "latent_tests" / source).exists()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_tests(skeleton("gan"), elsewhere)
    assert (elsewhere / source).is_file()
    (elsewhere / ".git").mkdir()
    (elsewhere / source).unlink()
    write_tests(skeleton("gan"), elsewhere / "deep" / "tests")
    assert 'python -m pytest "${arguments[@]}" deep/tests' in (elsewhere / source).read_text()
