"""`gentest init`: its files run as they are for each kind of model, formatters and type checkers accept them, and
nothing is overwritten or run that was not allowed to be.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import gentest
from gentest import cli
from gentest.cli import init
from gentest.cli.init_source import KINDS
from gentest.errors import InvalidArgument
from tests.helpers.commands import Run
from tests.helpers.new_models import LATENT, MODEL, clean, exported, onnx, scripted

ROOT = Path(gentest.__file__).parents[1]


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
"""Each has a kind, a function that makes its file, the arguments, and a text that its conftest.py must have."""

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
    """Every kind has a case."""
    assert {kind for kind, *_ in CASES.values()} == set(KINDS)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n in ("diffusers", "exported", "labels", "no images") else ())
        for n in CASES
    ],
)
def test_what_is_written_runs(name: str, run_init: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """pytest checks the files of each kind without an edit, and formatters change nothing in them."""
    _, make, given, said = CASES[name]
    if make is nothing:
        Path("my_model.py").write_text(MODEL + LABELLED)
    make()
    capsys.readouterr()  # what other packages print as they are imported
    status, out, err = run_init("--yes", *given)
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


MYPY = [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports"]

TYPED: dict[str, list[str]] = {
    "a function": ["--load", "my_model:load", "--clip", "a smile|a frown"],
    "a class of a package": ["--load", "gan_face_generate.models:Generator", "--probe"],
    "an autoencoder": ["--kind", "autoencoder", "--load", "my_model:load"],
    "nothing": [],
    "labels": ["--load", "my_model:load", "--labels", "3"],
}


@pytest.mark.slow
def test_what_is_written_type_checks(run_init: Run, folder: Path, peeked: list[Any]) -> None:
    """mypy --strict accepts the files of every form, before the edit too, except for packages without types."""
    for name, given in TYPED.items():
        where = Path(name.replace(" ", "_"))
        where.mkdir()
        if "my_model:load" in given:
            (where / "my_model.py").write_text("from typing import Any\n\n\ndef load(path: object) -> Any: ...\n")
        assert run_init(str(where), "--yes", "--ci", "none", *given)[0] == 0
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


def test_a_class_is_left_to_a_person(run_init: Run, peeked: list[Any]) -> None:
    """The user fills in the arguments of a class. Its weights tell the latent, with or without --probe."""
    state = {"main.0.weight": torch.zeros(100, 512, 4, 4), "main.3.weight": torch.zeros(512, 3, 4, 4)}
    torch.save({"netG_state_dict": state, "epoch": 3}, "weights.tar")
    given = ["--yes", "--load", "gan_face_generate.models:Generator", "--weights", "weights.tar", "--ci", "none"]
    status, out, _ = run_init(*given, "--probe")
    assert status == 0
    lines = Path("conftest.py").read_text().splitlines()
    (at,) = re.findall(r"^edit +conftest\.py:(\d+): the arguments that your model is made with$", out, re.MULTILINE)
    assert lines[int(at) - 1] == "    model = Model(ngpu=..., nc=..., nz=..., ngf=...)"
    text = "\n".join(lines)
    assert 'Path(__file__).parent / "weights.tar"' in text
    assert 'state["netG_state_dict"]' in text
    assert "latent=gentest.Normal((100, 1, 1))," in text
    status, out, _ = run_init(*given, "--force")
    assert status == 0
    assert "the arguments that your model is made with, if it needs any" in out
    assert "    model = Model()" in Path("conftest.py").read_text()
    assert "latent=gentest.Normal((100, 1, 1))," in Path("conftest.py").read_text()
    assert ["module" in question for question in peeked] == [True, False]


def test_a_class_that_needs_nothing_is_made_and_called(run_init: Run, folder: Path) -> None:
    """With --probe, a class without arguments tells its latent as a function does."""
    Path("my_model.py").write_text(MODEL + MADE)
    status, out, err = run_init("--yes", "--load", "my_model:Made", "--probe")
    assert (status, err) == (0, "")
    assert "edit " not in out
    assert f"latent=gentest.Normal({LATENT})," in Path("conftest.py").read_text()
    assert "model = Model()" in Path("conftest.py").read_text()
    clean(folder)


def test_with_nothing_known_one_function_is_left(run_init: Run) -> None:
    """In an empty folder the only edit is the function that makes the model."""
    status, out, _ = run_init("--yes")
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
def test_a_call_of_other_arguments_is_left_to_a_person(name: str, run_init: Run, folder: Path) -> None:
    """If a function takes other arguments than the checkpoint, the user fills them in."""
    source, line = OPEN[name]
    Path("my_model.py").write_text(source + "\n")
    status, out, _ = run_init("--yes", "--load", "my_model:make", "--probe")
    lines = Path("conftest.py").read_text().splitlines()
    (at,) = re.findall(r"^edit +conftest\.py:(\d+): the arguments that your model is made with$", out, re.MULTILINE)
    assert (status, lines[int(at) - 1]) == (0, line)
    clean(folder)


@pytest.mark.parametrize("source", ["make = lambda path: path", "def make(path, *, a=1): ...", "def make(): ..."])
@pytest.mark.usefixtures("peeked")
def test_a_call_that_is_told_is_written(source: str, run_init: Run, folder: Path) -> None:
    """The fixture calls a function of the checkpoint, or of nothing, with the right argument. A lambda works too."""
    Path("my_model.py").write_text(source + "\n")
    assert "edit " not in run_init("--yes", "--load", "my_model:make", "--probe")[1]
    assert f"make_model({'gentest_checkpoint' * ('path' in source)})," in Path("conftest.py").read_text()


@pytest.mark.parametrize("name", ["conftest.py", "test_latent.py", ".github/workflows/gentest.yml"])
def test_no_file_is_overwritten(name: str, run_init: Run) -> None:
    """If one of the files exists, none is written and the message says how to go on. --force overwrites."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("mine")
    status, out, err = run_init("--yes")
    assert (status, out) == (2, "")
    assert f"{name}: exist already" in err
    assert "--force" in err
    assert [p for p in Path().rglob("*") if p.is_file()] == [Path(name)]
    assert Path(name).read_text() == "mine"
    assert run_init("--yes", "--force")[0] == 0
    assert Path(name).read_text() != "mine"


def test_a_dry_run_prints_and_writes_nothing(run_init: Run, folder: Path) -> None:
    """--dry-run prints the files, even if they exist."""
    Path("conftest.py").write_text("mine")
    status, out, _ = run_init("--yes", "--dry-run")
    assert status == 0
    assert all(word in out for word in ("# conftest.py\n", "# test_latent.py\n", "# .github/workflows/gentest.yml\n"))
    assert [p.name for p in folder.iterdir()] == ["conftest.py"]


def test_code_is_not_run_unless_it_may_be(run_init: Run, folder: Path) -> None:
    """The command imports no module that --load names. With --probe a child imports it and tells its latent."""
    Path("my_model.py").write_text(MODEL)
    assert run_init("--yes", "--load", "my_model:load")[0] == 0
    assert not Path("ran").exists()
    assert "gentest.Normal(128)" in Path("conftest.py").read_text()
    status, out, err = run_init("--yes", "--load", "my_model:load", "--probe", "--force")
    assert (status, err) == (0, "")
    assert Path("ran").exists()
    assert f"gentest.Normal({LATENT})" in Path("conftest.py").read_text()
    assert f"guessed  latent: the model takes [16, {LATENT}]" in out
    assert "guessed  output_range: 16 outputs lie within [" in out


@pytest.mark.slow
def test_a_probe_that_fails_is_said_and_not_fatal(run_init: Run) -> None:
    """If a model raises or exits, one line says so, and the files have the defaults."""
    for body, said in {
        "raise KeyError('why')": "KeyError: 'why'",
        "raise SystemExit(3)": "ended with exit status 3",
        "return 3": "int",
    }.items():
        Path("my_model.py").write_text(f"def load(checkpoint):\n    {body}\n")
        status, _, err = run_init("--yes", "--load", "my_model:load", "--probe", "--force")
        assert status == 0
        assert err.startswith("gentest: my_model:load told nothing of its latent space: ")
        assert said in err
        assert err.count("\n") == 1


def test_a_program_of_torch_export_is_not_loaded_unasked(run_init: Run, peeked: list[Any]) -> None:
    """Loading a .pt2 file unpickles it, so the command names it in the conftest.py without loading it."""
    Path("gan.pt2").touch()
    assert run_init("--yes")[0] == 0
    assert 'Path(__file__).parent / "gan.pt2"' in Path("conftest.py").read_text()
    assert not peeked
    assert run_init("--yes", "--load", "gan.pt2", "--force")[0] == 0
    assert not peeked
    assert run_init("--yes", "--probe", "--force")[0] == 0
    assert [(q["kind"], "file" in q) for q in peeked] == [("exported", True)]


def answered(run_command: Callable[..., int], arguments: list[str], replies: list[str]) -> list[str]:
    """The questions that the command asks at a terminal, answered one after the other."""
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
    """Each answer ends in the files. The command asks again if it cannot read one. Enter takes the default."""
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
    """The command loads a .pt2 file only after the user agrees, as with code."""
    Path("gan.pt2").touch()
    asked = answered(init.run, ["--ci", "none", "--clip", "a dog"], ["", "n", "", ""])
    assert asked[1].startswith("Load gan.pt2, which may run code of its own, and call it once, ")
    assert not peeked
    answered(init.run, ["--ci", "none", "--clip", "a dog", "--force"], ["", "y", "", ""])
    assert [(q["kind"], "file" in q) for q in peeked] == [("exported", True)]


@pytest.mark.usefixtures("at_a_terminal")
def test_a_person_may_keep_files(capsys: pytest.CaptureFixture[str]) -> None:
    """The command overwrites only files that the user allows, and lists only those."""
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
    """A user who leaves in the middle finds the folder as it was."""
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
def test_misuse_is_one_line(name: str, run_init: Run, folder: Path) -> None:
    """The error is one line, with exit status 2, and nothing is written."""
    Path("my_model.py").write_text(MODEL)
    Path("weights.ckpt").write_bytes(b"\x80")
    given, said = MISUSE[name]
    status, out, err = run_init("--yes", *given)
    assert (status, out) == (2, "")
    assert err.startswith("gentest: ")
    assert err.count("\n") == 1
    assert said in err
    assert {p.name for p in folder.iterdir()} == {"my_model.py", "weights.ckpt"}


NO_LATENTS = ["", "normal", "normal:", "normal:0", "normal:3,", "normal:-3", "normal:3:1", "uniform:3:1"]

NO_LATENTS += ["uniform:3:1:-1", "truncated:3:0", "sphere:3:1", "normal:3.5", "uniform:3:nan:1"]


def test_outputs_that_are_no_images_make_a_suite_without_images(run_init: Run, peeked: list[Any]) -> None:
    """For a model that gives rows of a table the command writes `images=False`, and says why."""
    Path("my_model.py").write_text(
        f"import torch\n\n\ndef load(checkpoint):\n    return torch.nn.Linear({LATENT}, 5)\n"
    )
    status, out, err = run_init("--yes", "--load", "my_model:load", "--probe", "--ci", "none")
    assert (status, err) == (0, "")
    assert "images=False," in Path("conftest.py").read_text()
    assert "guessed  images: for 16 latents it gives [16, 5], which cannot be images" in out
    assert "brightness" not in Path("test_latent.py").read_text()
