"""The kind of a model: files known by their contents, folders by their configs, code by its module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gentest.cli.model_source import ModelKind, ModelSource, code_of, find_model, kind_of_path, read_config
from gentest.errors import InvalidArgument
from tests.helpers.new_models import net, scripted


def test_files_and_folders_are_known_by_their_contents(folder: Path) -> None:
    """A .pt of TorchScript is told from one of weights, and a pipeline from one model, without loading any."""
    scripted()
    torch.save(net().state_dict(), "weights.pt")
    for name in ("gan.onnx", "gan.pt2", "w.safetensors", "notes.txt"):
        Path(name).touch()
    for name, file in (("pipe", "model_index.json"), ("vae", "config.json"), ("empty", "other")):
        Path(name).mkdir()
        Path(name, file).write_text("{}")
    assert {name: kind_of_path(Path(name)) for name in sorted(p.name for p in folder.iterdir())} == {
        "empty": None,
        "gan.onnx": ModelKind.ONNX,
        "gan.pt": ModelKind.TORCHSCRIPT,
        "gan.pt2": ModelKind.EXPORTED,
        "notes.txt": None,
        "pipe": ModelKind.PIPELINE,
        "vae": ModelKind.COMPONENT,
        "w.safetensors": ModelKind.WEIGHTS,
        "weights.pt": ModelKind.WEIGHTS,
    }


def test_weights_need_their_class(folder: Path) -> None:
    """A file of weights is loaded into the class that the user names; other models have none."""
    Path("my_model.py").touch()
    Path("w.safetensors").touch()
    with pytest.raises(InvalidArgument, match="holds weights alone; add --class MODULE:NAME"):
        find_model("MODEL", "w.safetensors")
    source = find_model("MODEL", "w.safetensors", made_by="my_model:Net(100, width=64)")
    assert source.code is not None
    assert (source.code.name, list(source.code.arguments), dict(source.code.keywords)) == ("Net", [100], {"width": 64})
    assert source.code.root == str(folder)
    with pytest.raises(InvalidArgument, match="leave --class out"):
        find_model("MODEL", "my_model:load", made_by="my_model:Net")


def test_a_source_survives_json(folder: Path) -> None:
    """The child that loads the model gets the source that the command found."""
    Path("my_model.py").touch()
    source = find_model("MODEL", "my_model:load('a', n=2)")
    again = ModelSource.from_json(json.loads(json.dumps(source.to_json())))
    assert (again.kind, str(again.code), list(again.folders)) == (source.kind, str(source.code), list(source.folders))
    assert str(again.code) == "my_model:load('a', n=2)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("none.onnx", "no such file"),
        ("notes.txt", "a kind of file that gentest does not load"),
        ("empty", "without model_index.json or config.json"),
        (".", "it is a folder with one.onnx: give one of them"),
        ("my_model.py", "give my_model:NAME, a function of it that returns the model"),
        ("nothing_here:load", "no module 'nothing_here'"),
        ("my_model:", "PACKAGE.MODULE:NAME"),
        ("my_model:load(os.getcwd())", "with numbers and texts"),
        ("my_model:load(**x)", "with numbers and texts"),
        ("my_model:load()()", "PACKAGE.MODULE:NAME"),
    ],
)
def test_what_is_no_model_is_named(text: str, words: str, folder: Path) -> None:
    """Each error names the argument and says what was found instead."""
    for name in ("notes.txt", "my_model.py", "one.onnx"):
        Path(name).touch()
    Path("empty").mkdir()
    with pytest.raises(InvalidArgument, match="MODEL") as error:
        find_model("MODEL", text)
    assert words in str(error.value)


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
            return code_of("MODEL", "packed:load", folder / "work").requirement

    assert installed(folder / "elsewhere") == "packed==1.0"
    assert installed(folder / "work/venv/site-packages") == "packed==1.0"
    assert installed(folder / "editable", '{"url": "file:///x", "dir_info": {"editable": true}}') == ""


def test_a_broken_config_is_named(folder: Path) -> None:
    """A file that is not a JSON object is one line."""
    for text, words in (("{", "not a JSON file"), ("[]", "not a JSON object")):
        Path("config.json").write_text(text)
        with pytest.raises(InvalidArgument, match=words):
            read_config(Path("config.json"))
