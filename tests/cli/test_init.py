"""`gentest init`: what it writes for each kind of model runs as it is, is what formatters and type checkers accept, and
nothing is overwritten or run that was not allowed to be.
"""

from __future__ import annotations

import ast
import os
import pty
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import gentest
from gentest import cli, plugin
from gentest.cli import init, init_model
from gentest.cli.init_answers import KINDS, read_latent
from gentest.cli.init_model import Facts, inspect_model
from gentest.errors import InvalidArgument

ROOT = Path(gentest.__file__).parents[1]
LATENT = 6
MODEL = f"""
import pathlib

import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear({LATENT}, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))


def load(checkpoint):
    return net()


def arrays(checkpoint):
    f = net().eval()
    return lambda z: f(torch.from_numpy(z)).detach().numpy()


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = net()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(192, {LATENT}))

    def encode(self, x):
        return self.encoder(x)

    def decode(self, z):
        return self.decoder(z)


class Sized(nn.Module):
    def __init__(self, nz, *, width=192):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(nz, width), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))

    def forward(self, z):
        return self.net(z)


def vae(checkpoint):
    return Vae()


def data():
    return torch.rand(40, 3, 8, 8)


pathlib.Path("ran").write_text("my_model was imported")
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in, of no repository of git's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command there: exit status, output, error."""

    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            status = cli.main(["init", *arguments])
        except SystemExit as error:
            status = int(str(error.code))
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def net() -> nn.Module:
    """The model of `MODEL`."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(LATENT, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8))).eval()


def scripted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        torch.jit.trace(net(), torch.zeros(2, LATENT)).save("gan.pt")  # type: ignore[no-untyped-call]


def exported() -> None:
    size = torch.export.Dim("batch", min=1, max=4096)
    torch.export.save(torch.export.export(net(), (torch.zeros(2, LATENT),), dynamic_shapes=({0: size},)), "gan.pt2")


def onnx() -> None:
    """A graph of one node: an image of tanh of each latent."""
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 3, 4, 4]) for n in ("z", "x")]
    graph = helper.make_graph([helper.make_node("Tanh", ["z"], ["x"])], "gan", [ends[0]], [ends[1]])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "gan.onnx")


def pipeline() -> None:
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1}
    types = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(sample_size=8, in_channels=3, out_channels=3, **blocks, **types)
    DDIMPipeline(unet, DDIMScheduler(num_train_timesteps=100)).save_pretrained("ddim")


def nothing() -> None:
    pass


CASES: dict[str, tuple[str, Callable[[], None], list[str], str]] = {
    "torch": ("torch", nothing, ["--load", "my_model:load", "--latent", f"normal:{LATENT}"], f"Normal({LATENT})"),
    "labels": ("torch", nothing, ["--load=my_model:labelled", "--latent=uniform:6:-1:1", "--labels=3"], "label="),
    "numpy": ("numpy", nothing, ["--kind", "numpy", "--load", "my_model:arrays", "--latent", "normal:6"], "from_numpy"),
    "torchscript": ("torchscript", scripted, ["--load", "gan.pt"], f"Normal({LATENT})"),
    "exported": ("exported", exported, ["--probe"], f"Normal({LATENT})"),
    "onnx": ("onnx", onnx, ["--kind", "onnx"], "Normal((3, 4, 4))"),
    "diffusers": ("diffusers", pipeline, ["--load", "ddim"], 'Path(__file__).parent / "ddim"'),
    "autoencoder": (
        "autoencoder",
        nothing,
        ["--kind", "autoencoder", "--load", "my_model:vae", "--data", "my_model:data"],
        "from_autoencoder",
    ),
    "no images": ("torch", nothing, ["--load", "my_model:load", "--latent", "normal:6", "--no-images"], "images=False"),
}  # fmt: skip
"""The kind, what makes its file, what is given, and what stands in the conftest.py of it."""
MADE = """

class Made(nn.Sequential):
    def __init__(self):
        super().__init__(*net())
"""
LABELLED = """

def labelled(checkpoint):
    f = net()
    return lambda z, label: f(z + label[:, None])
"""


def test_every_kind_has_a_case() -> None:
    """No kind is left untried."""
    assert {kind for kind, *_ in CASES.values()} == set(KINDS)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in ("diffusers", "exported") else ()) for n in CASES]
)
def test_what_is_written_runs(name: str, run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files of each kind are checked by pytest without an edit, and formatters find nothing in them."""
    _, make, given, said = CASES[name]
    if make is nothing:
        Path("my_model.py").write_text(MODEL + LABELLED)
    make()
    capsys.readouterr()  # what other packages print as they are imported
    status, out, err = run("--yes", *given)
    assert (status, err) == (0, "")
    assert "edit " not in out
    assert said in Path("conftest.py").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:asyncio", "--gentest", "--gentest-examples", "8"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert re.search(r"^(no counterexample|violated) +test_latents_matter ", done.stdout, re.MULTILINE)
    assert not re.search(r"^(error|undecided) ", done.stdout, re.MULTILINE), done.stdout
    clean(folder)


def clean(folder: Path) -> None:
    """Ruff at its own width and ours, and mypy, find nothing in what was written."""
    files = ["conftest.py", "test_latent.py"]
    rules = "E4,E7,E9,F,W,I,B,UP,SIM,PT,RUF"
    for arguments in (["check", "--select", rules], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", arguments[0], "--isolated", "--no-cache", *arguments[1:], *files],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


MYPY = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"]
TYPED: dict[str, list[str]] = {
    "a function": ["--load", "my_model:load", "--clip", "a smile|a frown"],
    "a class of a package": ["--load", "gan_face_generate.models:Generator", "--probe"],
    "an autoencoder": ["--kind", "autoencoder", "--load", "my_model:load"],
    "nothing": [],
    "labels": ["--load", "my_model:load", "--labels", "3"],
}


@pytest.mark.slow
def test_what_is_written_type_checks(run: Run, folder: Path, peeked: list[Any]) -> None:
    """Mypy, strict but for packages without types, finds nothing in files of every form, even before the edit."""
    for name, given in TYPED.items():
        where = Path(name.replace(" ", "_"))
        where.mkdir()
        if "my_model:load" in given:
            (where / "my_model.py").write_text("from typing import Any\n\n\ndef load(path: object) -> Any: ...\n")
        assert run(str(where), "--yes", "--ci", "none", *given)[0] == 0
        clean(folder / where)
    allowed = [f"--disable-error-code={code}" for code in ("no-any-return", "arg-type")]  # of packages without types
    for where in sorted(folder.iterdir()):
        done = subprocess.run(
            [*MYPY, *allowed, "conftest.py", "test_latent.py"],
            cwd=where,
            env={**os.environ, "MYPYPATH": f"{ROOT}{os.pathsep}.", "MYPY_CACHE_DIR": str(folder.parent / "mypy")},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def peeked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Questions to `inspect_model`, answered in this process: without a `my_model` that another test imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_model", raising=False)
    questions: list[Any] = []

    def facts(question: dict[str, Any]) -> dict[str, Any]:
        if len(question) < 2:
            return {}
        questions.append(question)
        return inspect_model(question)

    monkeypatch.setattr(init, "_facts", facts)
    yield questions
    sys.modules.pop("my_model", None)


# what is left to a person


def test_a_class_is_left_to_a_person(run: Run, peeked: list[Any]) -> None:
    """The arguments of a class are left to a person; its weights tell the latent, with or without --probe."""
    state = {"main.0.weight": torch.zeros(100, 512, 4, 4), "main.3.weight": torch.zeros(512, 3, 4, 4)}
    torch.save({"netG_state_dict": state, "epoch": 3}, "weights.tar")
    given = ["--yes", "--load", "gan_face_generate.models:Generator", "--weights", "weights.tar", "--ci", "none"]
    status, out, _ = run(*given, "--probe")
    assert status == 0
    lines = Path("conftest.py").read_text().splitlines()
    (at,) = re.findall(r"^edit +conftest\.py:(\d+): the arguments that your model is made with$", out, re.MULTILINE)
    assert lines[int(at) - 1] == "    model = Model(ngpu=..., nc=..., nz=..., ngf=...)"
    text = "\n".join(lines)
    assert 'Path(__file__).parent / "weights.tar"' in text
    assert 'state["netG_state_dict"]' in text
    assert "latent=gentest.Normal((100, 1, 1))," in text
    status, out, _ = run(*given, "--force")
    assert status == 0
    assert "the arguments that your model is made with, if it needs any" in out
    assert "    model = Model()" in Path("conftest.py").read_text()
    assert "latent=gentest.Normal((100, 1, 1))," in Path("conftest.py").read_text()
    assert ["module" in question for question in peeked] == [True, False]


def test_a_class_that_needs_nothing_is_made_and_called(run: Run, folder: Path) -> None:
    """With --probe a class without arguments tells its latent as a function does."""
    Path("my_model.py").write_text(MODEL + MADE)
    status, out, err = run("--yes", "--load", "my_model:Made", "--probe")
    assert (status, err) == (0, "")
    assert "edit " not in out
    assert f"latent=gentest.Normal({LATENT})," in Path("conftest.py").read_text()
    assert "model = Model()" in Path("conftest.py").read_text()
    clean(folder)


def test_with_nothing_known_one_function_is_left(run: Run) -> None:
    """In an empty folder the one edit is the function that loads the model, and an unedited run says so."""
    status, out, _ = run("--yes")
    assert status == 0
    (at,) = re.findall(r"^edit +conftest\.py:(\d+): make your model, and return it$", out, re.MULTILINE)
    assert "still to be written" in Path("conftest.py").read_text().splitlines()[int(at) - 1]
    assert out.splitlines()[-3] == "next     pytest --gentest"
    assert {str(p) for p in Path().rglob("*") if p.is_file()} == {
        "conftest.py", "test_latent.py", ".github/workflows/gentest.yml",
    }  # fmt: skip


OPEN = {
    "two": ("def make(path, width): ...", "    model = Model(path=..., width=...)"),
    "by name": ("def make(*, path): ...", "    model = Model(path=...)"),
    "one of each": ("def make(a=0, *, b): ...", "    model = Model(b=...)"),
}


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.usefixtures("peeked")
def test_a_call_of_other_arguments_is_left_to_a_person(name: str, run: Run, folder: Path) -> None:
    """A function of other arguments than the checkpoint is called with arguments that a person fills in."""
    source, line = OPEN[name]
    Path("my_model.py").write_text(source + "\n")
    status, out, _ = run("--yes", "--load", "my_model:make", "--probe")
    lines = Path("conftest.py").read_text().splitlines()
    (at,) = re.findall(r"^edit +conftest\.py:(\d+): the arguments that your model is made with$", out, re.MULTILINE)
    assert (status, lines[int(at) - 1]) == (0, line)
    clean(folder)


@pytest.mark.parametrize("source", ["make = lambda path: path", "def make(path, *, a=1): ...", "def make(): ..."])
@pytest.mark.usefixtures("peeked")
def test_a_call_that_is_told_is_written(source: str, run: Run, folder: Path) -> None:
    """A function of the checkpoint or of nothing, an anonymous one too, is called as it is."""
    Path("my_model.py").write_text(source + "\n")
    assert "edit " not in run("--yes", "--load", "my_model:make", "--probe")[1]
    assert f"make_model({'gentest_checkpoint' * ('path' in source)})," in Path("conftest.py").read_text()


# names, and where they are looked for

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
def test_no_name_hides_another(name: str, run: Run, folder: Path) -> None:
    """Every name in a conftest.py is bound once, none as a hook of pytest's, and what is called is what was named."""
    names = ("generator", "images", "load", "load_data", "model", "pytest_configure")
    source = "\n\n".join(f"def {n}(path=None):\n    return '{n}'" for n in names) + "\n"
    Path("my_model.py").write_text(source + "\n\nclass Vae:\n    pass\n")
    Path("other.py").write_text(source)
    assert run("--yes", *NAMES[name])[0] == 0
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


def test_what_is_loaded_is_found_beside_the_folder(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module, file or pipeline of the current folder or the repository's is found, and imported from there."""
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
        assert run("tests", *told, "--load", f"{module}:load")[0] == 0
        text = Path("tests/conftest.py").read_text()
        assert f"sys.path.insert(0, str({place}))" in text
        assert f"from {module} import load" in text
        clean(Path("tests"))
        where = eval(place, {"Path": Path, "__file__": str(Path("tests/conftest.py").absolute())})
        assert (where / f"{module}.py").is_file()
    assert run("tests", *told, "--load", "near.onnx")[0] == 0
    assert 'Path(__file__).parent / "../near.onnx"' in Path("tests/conftest.py").read_text()
    assert run("tests", "--yes", "--force", "--load", "pipe")[0] == 0
    assert 'Path(__file__).parent / "../../pipe"' in Path("tests/conftest.py").read_text()
    Path("tests/my_model.py").write_text("def load(path): ...\n")
    assert run("tests", *told, "--load", "my_model:load")[0] == 0
    assert "sys" not in Path("tests/conftest.py").read_text()


def test_only_what_an_index_gave_is_pinned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that was installed from a folder may be another's on an index."""
    Path("work").mkdir()

    def installed(at: Path, url: str = "") -> str:
        (at / "packed").mkdir(parents=True)
        (at / "packed/__init__.py").write_text("def load(path): ...\n")
        (at / "packed-1.0.dist-info").mkdir()
        (at / "packed-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: packed\nVersion: 1.0\n")
        (at / "packed-1.0.dist-info/top_level.txt").write_text("packed\n")
        if url:
            (at / "packed-1.0.dist-info/direct_url.json").write_text(url)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(at)
            return init._code_of("--load", "packed:load", folder / "work").requirement

    assert installed(folder / "elsewhere") == "packed==1.0"
    assert installed(folder / "work/venv/site-packages") == "packed==1.0"
    assert installed(folder / "editable", '{"url": "file:///x", "dir_info": {"editable": true}}') == ""


# nothing is overwritten, and nothing is run, that was not allowed to be


@pytest.mark.parametrize("name", ["conftest.py", "test_latent.py", ".github/workflows/gentest.yml"])
def test_no_file_is_overwritten(name: str, run: Run) -> None:
    """Where one of the files is there, none is written and the message says what to do; --force overwrites."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("mine")
    status, out, err = run("--yes")
    assert (status, out) == (2, "")
    assert f"{name}: exist already" in err
    assert "--force" in err
    assert [p for p in Path().rglob("*") if p.is_file()] == [Path(name)]
    assert Path(name).read_text() == "mine"
    assert run("--yes", "--force")[0] == 0
    assert Path(name).read_text() != "mine"


def test_a_dry_run_prints_and_writes_nothing(run: Run, folder: Path) -> None:
    """--dry-run shows the files, where they are there already too."""
    Path("conftest.py").write_text("mine")
    status, out, _ = run("--yes", "--dry-run")
    assert status == 0
    assert all(word in out for word in ("# conftest.py\n", "# test_latent.py\n", "# .github/workflows/gentest.yml\n"))
    assert [p.name for p in folder.iterdir()] == ["conftest.py"]


def test_code_is_not_run_unless_it_may_be(run: Run, folder: Path) -> None:
    """A module that --load names is read; --probe imports and calls it, in another process, and takes what it sees."""
    Path("my_model.py").write_text(MODEL)
    assert run("--yes", "--load", "my_model:load")[0] == 0
    assert not Path("ran").exists()
    assert "gentest.Normal(128)" in Path("conftest.py").read_text()
    status, out, err = run("--yes", "--load", "my_model:load", "--probe", "--force")
    assert (status, err) == (0, "")
    assert Path("ran").exists()
    assert f"gentest.Normal({LATENT})" in Path("conftest.py").read_text()
    assert f"guessed  latent: the model takes [16, {LATENT}]" in out
    assert "guessed  output_range: 16 outputs lie within [" in out


def test_a_probe_that_fails_is_said_and_not_fatal(run: Run) -> None:
    """A model that raises, or exits, is told of in one line; the files are written with the defaults."""
    for body, said in {
        "raise KeyError('why')": "KeyError: 'why'",
        "raise SystemExit(3)": "ended with exit status 3",
        "return 3": "int",
    }.items():
        Path("my_model.py").write_text(f"def load(checkpoint):\n    {body}\n")
        status, _, err = run("--yes", "--load", "my_model:load", "--probe", "--force")
        assert status == 0
        assert err.startswith("gentest: my_model:load told nothing of its latent space: ")
        assert said in err
        assert err.count("\n") == 1


def test_a_program_of_torch_export_is_not_loaded_unasked(run: Run, peeked: list[Any]) -> None:
    """A .pt2 that lies in the folder is unpickled when it is loaded: it is written down and not looked into."""
    Path("gan.pt2").touch()
    assert run("--yes")[0] == 0
    assert 'Path(__file__).parent / "gan.pt2"' in Path("conftest.py").read_text()
    assert not peeked
    assert run("--yes", "--load", "gan.pt2", "--force")[0] == 0
    assert not peeked
    assert run("--yes", "--probe", "--force")[0] == 0
    assert [(q["kind"], "file" in q) for q in peeked] == [("exported", True)]


def test_modules_of_the_folder_do_not_shadow_others(run: Run) -> None:
    """A json.py or torch.py beside a file of weights is not imported by the process that looks into the file."""
    for name in ("json", "torch", "runpy"):
        Path(f"{name}.py").write_text("open('ran', 'w')\n")
    Path("my_model.py").write_text(MODEL)
    torch.save({"0.weight": torch.zeros(8, LATENT)}, "weights.pt")
    status, out, err = run("--yes", "--load", "my_model:Vae", "--weights", "weights.pt")
    assert (status, err) == (0, "")
    assert f"is [8, {LATENT}]" in out
    assert not Path("ran").exists()


# questions


def answered(run_command: Callable[..., int], arguments: list[str], replies: list[str]) -> list[str]:
    """The questions that are asked at a terminal, answered one after the other."""
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        if len(asked) > len(replies):
            raise EOFError
        return replies[len(asked) - 1]

    run_command(cli.command_parser().parse_args(["init", *arguments]), (), ask)
    return asked


@pytest.fixture
def at_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())


@pytest.mark.usefixtures("at_a_terminal")
def test_a_person_is_asked_what_was_not_given(peeked: list[Any]) -> None:
    """Each answer ends in the files; one that cannot be read is asked for again; nothing typed takes the default."""
    Path("my_model.py").write_text(MODEL)
    replies = ["my_model:load", "n", "normal", "normal:6", "", "a smile|a frown", "n"]
    asked = answered(init.run, [], replies)
    assert len(asked) == len(replies)
    assert asked[1].startswith("Import my_model and call load once")
    assert not peeked
    text = Path("conftest.py").read_text()
    assert "gentest.Normal(6)" in text
    assert "output_range=(-1, 1)" in text
    assert 'gentest.clip("a smile", "a frown")' in Path("test_latent.py").read_text()
    assert not Path(".github").exists()


@pytest.mark.usefixtures("at_a_terminal")
def test_a_person_is_asked_before_a_program_is_loaded(peeked: list[Any]) -> None:
    """As for code: a .pt2 file that was not named is loaded once a person says so."""
    Path("gan.pt2").touch()
    asked = answered(init.run, ["--ci", "none", "--clip", "a dog"], ["", "n", "", ""])
    assert asked[1].startswith("Load gan.pt2, which may run code of its own, and call it once, ")
    assert not peeked
    answered(init.run, ["--ci", "none", "--clip", "a dog", "--force"], ["", "y", "", ""])
    assert [(q["kind"], "file" in q) for q in peeked] == [("exported", True)]


@pytest.mark.usefixtures("at_a_terminal")
def test_a_person_may_keep_files(capsys: pytest.CaptureFixture[str]) -> None:
    """Only files that a person allows to are overwritten, and only those that were are said to be."""
    Path("conftest.py").write_text("mine")
    Path("test_latent.py").write_text("mine")
    given = ["--load", "my_model:load", "--latent", "normal:6", "--range", "0,1", "--ci", "none", "--clip", "a dog"]
    Path("my_model.py").write_text(MODEL)
    assert len(answered(init.run, given, ["", "y"])) == 2
    assert Path("conftest.py").read_text() == "mine"
    assert Path("test_latent.py").read_text() != "mine"
    assert "wrote    conftest.py" not in capsys.readouterr().out


@pytest.mark.usefixtures("at_a_terminal")
def test_an_end_of_input_writes_nothing(folder: Path) -> None:
    """Who leaves in the middle finds the folder as it was."""
    with pytest.raises(InvalidArgument, match="nothing was written"):
        answered(init.run, [], [""])
    assert list(folder.iterdir()) == []


def test_a_real_terminal_is_asked(folder: Path) -> None:
    """On a pseudo-terminal the command asks, and takes what is typed."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "gentest", "init", "--load", "my_model:load", "--latent", "normal:6", "--ci", "none"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    Path("my_model.py").write_text(MODEL)
    os.close(theirs)
    for line in ("n", "0,1", ""):
        os.write(ours, f"{line}\n".encode())
    said = b""
    with suppress(OSError):  # the end of a pseudo-terminal
        while chunk := os.read(ours, 4096):
            said += chunk
    os.close(ours)
    assert done.wait(timeout=60) == 0, said
    assert "output_range=(0, 1)" in Path("conftest.py").read_text()
    assert b"next     pytest --gentest" in said


# misuse

MISUSE = {
    "no module": (["--load", "nowhere:load"], "no module 'nowhere' in "),
    "not a name": (["--load", "my-model:load"], "Expected PACKAGE.MODULE:NAME"),
    "no file": (["--load", "gan.onnx"], "Expected MODULE:NAME, such as my_model:load, or a file that exists"),
    "weights alone": (["--load", "weights.ckpt"], "holds weights alone"),
    "a file of no kind": (["--load", "my_model.py"], "not a kind of file"),
    "no source": (["--kind", "onnx"], "--kind onnx needs --load"),
    "no such file": (["--kind", "onnx", "--load", "gan.onnx"], "Expected the model's file"),
    "latent": (["--latent", "gauss:3"], "Expected normal:128"),
    "range": (["--range", "1,-1"], "Expected LOW,HIGH"),
    "range of words": (["--range", "nan,1"], "Expected LOW,HIGH"),
    "clip": (["--clip", "a|b|c"], "'a text|another"),
    "clip without images": (["--clip", "a smile", "--no-images"], "--clip needs images"),
    "labels": (["--labels", "1"], "a number of labels >= 2"),
    "data": (["--data", "my_model:data"], "--data is for --kind autoencoder"),
    "weights": (["--weights", "none.pt"], "--weights='none.pt'"),
    "folder": (["my_model.py"], "Expected a folder"),
    "diffusers": (
        ["--kind", "diffusers", "--load", "a/b", "--latent", "normal:3"],
        "--latent: a diffusers pipeline has its own",
    ),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_one_line(name: str, run: Run, folder: Path) -> None:
    """What is wrong is said in one line with exit status 2, and nothing is written."""
    Path("my_model.py").write_text(MODEL)
    Path("weights.ckpt").write_bytes(b"\x80")
    given, said = MISUSE[name]
    status, out, err = run("--yes", *given)
    assert (status, out) == (2, "")
    assert err.startswith("gentest: ")
    assert err.count("\n") == 1
    assert said in err
    assert {p.name for p in folder.iterdir()} == {"my_model.py", "weights.ckpt"}


NO_LATENTS = ["", "normal", "normal:", "normal:0", "normal:3,", "normal:-3", "normal:3:1", "uniform:3:1"]
NO_LATENTS += ["uniform:3:1:-1", "truncated:3:0", "sphere:3:1", "normal:3.5", "uniform:3:nan:1"]


@pytest.mark.parametrize("text", NO_LATENTS)
def test_a_latent_that_is_none_is_refused(text: str) -> None:
    """Shapes, bounds and names are checked."""
    with pytest.raises(InvalidArgument, match="--latent"):
        read_latent(text)


@pytest.mark.parametrize(
    "text", ["normal:3", "normal:3,4,4", "uniform:3", "uniform:3:-1:1", "sphere:3", "truncated:3:1.5"]
)
def test_a_latent_that_is_read_is_a_space(text: str) -> None:
    """What is written for each is a space of gentest's."""
    assert isinstance(eval(read_latent(text)[1], {"gentest": gentest}), gentest.Space)


# what a folder tells


def test_files_of_models_are_known_by_their_contents(folder: Path) -> None:
    """A .pt of TorchScript is told from one of weights, without loading either."""
    scripted()
    torch.save(net().state_dict(), "weights.pt")
    assert init._file_kind(folder / "gan.pt") == "torchscript"
    assert init._file_kind(folder / "weights.pt") is None


WEIGHTS = {
    "linear": ({"0.weight": (8, LATENT)}, (LATENT,)),
    "transposed": ({"0.weight": (100, 64, 4, 4), "3.weight": (64, 3, 4, 4)}, (100, 1, 1)),
    "convolution": ({"0.weight": (64, 4, 3, 3), "3.weight": (3, 64, 3, 3)}, (4, 1, 1)),
    "one transposed": ({"0.weight": (16, 3, 4, 4)}, (16, 1, 1)),
    "none": ({"0.bias": (3,)}, None),
}


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("form", ["plain.pt", "nested.pt", "plain.safetensors"])
def test_the_latent_is_guessed_from_weights(name: str, form: str, folder: Path) -> None:
    """The first weight says what it takes, whatever the file: a state dict, one of several, safetensors."""
    shapes, latent = WEIGHTS[name]
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    if form.endswith("safetensors"):
        from safetensors.torch import save_file

        save_file(state, form)
    else:
        other = {"1.weight": torch.zeros(1, 7)}
        torch.save({"netD": other, "epoch": 3, "netG": state, "optimizer": {}} if form == "nested.pt" else state, form)
    facts = Facts(**inspect_model({"kind": "torch", "weights": form}))
    assert facts.error == ""
    assert facts.latent == (None if latent is None else list(latent))
    assert facts.key == ("netG" if form == "nested.pt" else "")


def test_a_file_of_weights_that_is_none_is_an_error(folder: Path) -> None:
    """A pickle that would run code is refused by torch, and said."""
    Path("bad.pt").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    assert inspect_model({"kind": "torch", "weights": "bad.pt"})["error"]
    assert not Path("ran").exists()
    torch.save([1, 2], "list.pt")
    assert inspect_model({"kind": "torch", "weights": "list.pt"})["error"] == "holds no state dict"


def facts_of(model: Callable[..., Any], shapes: list[tuple[int, ...]]) -> Facts:
    """The facts that calling a model tells."""
    facts = Facts()
    init_model._call(facts, model, shapes)
    return facts


RANGES = {
    "tanh": (lambda z: z[:, :1].tanh(), [-1.0, 1.0]),
    "sigmoid": (lambda z: z[:, :1].sigmoid(), [0.0, 1.0]),
    "bytes": (lambda z: (z[:, :1].sigmoid() * 255).round(), [0.0, 255.0]),
    "none": (lambda z: 50 * z[:, :1].tanh(), None),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_is_seen(name: str) -> None:
    """Values that lie in a usual range have it; others have none, rather than a wrong one."""
    f, expected = RANGES[name]
    assert facts_of(f, [(3,)]).range == expected


FORMS: dict[str, tuple[Any, list[float] | None]] = {
    "tuple": (lambda x: (x, None), [0.0, 1.0]),
    "list": (list, [0.0, 1.0]),
    "dictionary": (lambda x: {"sample": x}, [0.0, 1.0]),
    "array, channels last": (lambda x: x.permute(0, 2, 3, 1).numpy(), [0.0, 1.0]),
    "bytes, channels last": (lambda x: (x * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy(), [0.0, 255.0]),
    "PIL": (
        lambda x: [Image.fromarray((one * 255).to(torch.uint8).permute(1, 2, 0).numpy()) for one in x],
        [0.0, 255.0],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_outputs_are_read_as_a_run_reads_them(name: str) -> None:
    """The shape of one image in any container, its range, and a run with these that comes to a verdict."""
    form, expected = FORMS[name]
    model = nn.Sequential(nn.Linear(LATENT, 192), nn.Sigmoid(), nn.Unflatten(1, (3, 8, 8)))

    def f(z: torch.Tensor) -> Any:
        return form(model(z).detach())

    seen = facts_of(f, [(LATENT,)])
    assert (seen.error, seen.output, seen.images, seen.range) == ("", [3, 8, 8], True, expected)
    assert seen.range is not None
    low, high = seen.range
    generator = gentest.Generator(f, latent=gentest.Normal(LATENT), output_range=(low, high))
    few = gentest.settings(examples=5, device="cpu")
    for property in (gentest.well_formed(), gentest.between(gentest.brightness(), tolerance=1)):
        assert property.check(generator, settings=few).verdict is gentest.Verdict.NO_COUNTEREXAMPLE


def test_outputs_that_a_run_would_refuse_are_said() -> None:
    """What `--probe` says is what a run would: the code to write."""
    seen = facts_of(lambda z: (z[:, :, None, None], z[:, :, None, None] * 2), [(3,)])
    assert "return x[0], or whichever is meant" in seen.error
    assert seen.output is None


def test_a_model_in_half_precision_is_called_as_a_run_calls_it() -> None:
    """A probe casts latents where a run does."""
    model = nn.Sequential(nn.Linear(LATENT, 192), nn.Tanh(), nn.Unflatten(1, (3, 8, 8))).bfloat16()
    seen = facts_of(model, [(LATENT,)])
    assert (seen.error, seen.output, seen.range) == ("", [3, 8, 8], [-1.0, 1.0])


def test_outputs_that_are_no_images_make_a_suite_without_images(run: Run, peeked: list[Any]) -> None:
    """A probe that sees rows of a table writes `images=False`, and says why."""
    Path("my_model.py").write_text(
        f"import torch\n\n\ndef load(checkpoint):\n    return torch.nn.Linear({LATENT}, 5)\n"
    )
    status, out, err = run("--yes", "--load", "my_model:load", "--probe", "--ci", "none")
    assert (status, err) == (0, "")
    assert "images=False," in Path("conftest.py").read_text()
    assert "guessed  images: for 16 latents it gives [16, 5], which are no images" in out
    assert "brightness" not in Path("test_latent.py").read_text()


HOSTILE = "g\"]) or __import__('os').system('touch ran')  #\n"


def strings(text: str) -> list[str]:
    """The string literals in Python, which has to compile and to call nothing by the name `__import__`."""
    tree = ast.walk(ast.parse(text))
    nodes = list(tree)
    assert not any(isinstance(node, ast.Name) and node.id == "__import__" for node in nodes)
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_what_a_file_holds_is_never_written_as_code(run: Run, peeked: list[Any]) -> None:
    """A key, the name of a weight and that of a file of weights end in one literal each, or in a comment."""
    Path("my_model.py").write_text(MODEL)
    file = "w\"+__import__('os')+\".pt"
    state = {"a\nimport os\n\x00": torch.zeros(8, LATENT)}
    torch.save({HOSTILE: state}, file)
    assert run("--yes", "--load", "my_model:Vae", "--weights", file)[0] == 0
    text = Path("conftest.py").read_text()
    assert f"gentest.Normal({LATENT})" in text
    assert {HOSTILE, file} <= set(strings(text))
    assert not any(isinstance(node, ast.Import) and node.names[0].name == "os" for node in ast.parse(text).body)


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx", "diffusers"])
def test_the_name_of_a_model_is_never_written_as_code(kind: str, run: Run) -> None:
    """Nor that of a model's file, a pipeline on the hub or a CLIP."""
    name = HOSTILE.strip().replace("/", "")
    if kind != "diffusers":
        Path(name).touch()
    told = [] if kind == "diffusers" else ["--latent", "normal:6", "--range", "0,1"]
    given = ["--kind", kind, "--load", name, *told, "--clip", "a smile", "--clip-model", HOSTILE, "--ci", "none"]
    assert run("--yes", *given)[0] == 0
    assert strings(Path("conftest.py").read_text()).count(name) == 1
    assert strings(Path("test_latent.py").read_text()).count(HOSTILE) == 1


# the workflow


def workflow(run: Run, *given: str) -> dict[Any, Any]:
    assert run("--yes", *given)[0] == 0
    said: dict[Any, Any] = yaml.safe_load(Path(".github/workflows/gentest.yml").read_text())
    return said


def test_the_workflow_asks_for_little(run: Run) -> None:
    """Read permission, an end in time, actions of a major version, no expression in a script, nobody else's gentest."""
    said = workflow(run, "--clip", "a smile")
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
def test_any_name_of_a_folder_fits_the_workflow(name: str, run: Run, folder: Path) -> None:
    """What YAML or the shell would read otherwise is quoted: the baseline's path, the tests, the cache's key."""
    Path(".git").mkdir()
    (job,) = workflow(run, name, "--clip", "a smile", "--clip-model", "local-dir:a #b: c")["jobs"].values()
    assert job["env"]["BASELINE"] == f"{name}/gentest_baseline.json"
    (key,) = (step["with"]["key"] for step in job["steps"] if step.get("uses", "").startswith("actions/cache@"))
    assert key == "clip-local-dir-a #b- c"
    (check,) = (step["run"] for step in job["steps"] if step.get("name") == "Check")
    assert shlex.split(check.splitlines()[-1])[-1] == name


def test_the_workflow_installs_what_there_is(run: Run, folder: Path, peeked: list[Any]) -> None:
    """The model's package, the repository's requirements, and the repository itself where it is a package."""
    Path("requirements.txt").write_text("torch\n")
    Path("pyproject.toml").write_text("[project]\nname = 'x'\n")
    steps = workflow(run, "--load", "gan_face_generate.models:Generator")["jobs"]["gentest"]["steps"]
    installs = [step["run"] for step in steps if "pip install" in step.get("run", "")]
    assert installs[1:3] == ["python -m pip install -r requirements.txt", "python -m pip install ."]
    assert installs[3] == "python -m pip install pytest-gentest gan_face_generate==1.1.1"


@pytest.mark.parametrize("blessed", [False, True])
def test_the_steps_of_the_workflow_run(blessed: bool, run: Run, folder: Path) -> None:  # noqa: FBT001
    """In a repository whose tests lie in a folder, the steps check, and gate where there is a baseline."""
    Path(".git").mkdir()
    Path("tests").mkdir()
    Path("tests/my_model.py").write_text(MODEL)
    said = workflow(run, "tests", "--load", "my_model:load", "--latent", f"normal:{LATENT}")
    (job,) = said["jobs"].values()
    if blessed:
        Path(job["env"]["BASELINE"]).write_text("no baseline")
    scripts = {step["name"]: step["run"] for step in job["steps"] if "name" in step and "run" in step}
    if not any(option.name == "report" for option in plugin.OPTIONS):
        scripts["Check"] = scripts["Check"].replace(" --gentest-report=gentest.html", "")
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
