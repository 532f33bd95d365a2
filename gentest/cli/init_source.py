"""Find the model that `gentest init` writes a fixture for: the user's code, a file or a pipeline. Nothing is loaded."""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gentest.cli.model_source import Code, code_of, repository_of
from gentest.errors import InvalidArgument


@dataclass(frozen=True)
class Kind:
    """A kind of generator that `gentest init` writes a fixture for."""

    name: str
    description: str
    suffixes: tuple[str, ...] = ()
    """Suffixes of its files; empty if the user's code makes the model."""
    extra: str = ""
    """The extra of gentest that it needs."""
    package: str = ""
    """A package of that extra, by the name that imports it."""

    @property
    def is_code(self) -> bool:
        return not self.suffixes


PIPELINE = "model_index.json"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("torch", "an nn.Module, or any function of a batch of tensors"),
        Kind("numpy", "a function of a batch of NumPy arrays"),
        Kind("torchscript", "a TorchScript file, as torch.jit.save writes it", (".pt", ".pth", ".ts")),
        Kind("exported", "a .pt2 file, as torch.export.save writes it", (".pt2",)),
        Kind("onnx", "an ONNX file", (".onnx",), "onnx", "onnxruntime"),
        Kind("diffusers", "a diffusers pipeline, its folder or name on the hub", (PIPELINE,), "diffusers", "diffusers"),
        Kind("autoencoder", "an autoencoder, whose latent space is its encodings of images"),
    )
}
WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".tar", ".bin")
"""Suffixes of files of weights."""


@dataclass(frozen=True)
class Source:
    """The model: its kind, and the code, file or pipeline that it comes from."""

    kind: Kind
    code: Code | None = None
    """The function or class that makes the model; None if it has yet to be written, or if the model is a file."""
    data: Code | None = None
    """The function that returns an autoencoder's images."""
    weights: Path | None = None
    """The file of weights of a class, relative to the fixture's folder."""
    file: str = ""
    """The model's file or pipeline relative to the fixture's folder, or a pipeline's name on the hub."""


def find_source(load: str | None, kind: str | None, weights: Path | None, data: str | None, folder: Path) -> Source:
    """The model that the options name, for a fixture in `folder`. Raises `InvalidArgument` if it is not there."""
    of_kind = KINDS[kind] if kind else kind_of(load, folder)
    if not of_kind.is_code:
        return Source(of_kind, file=_file_of(load, of_kind, folder))
    return Source(
        of_kind,
        code=code_of("--load", load, folder) if load else None,
        data=code_of("--data", data, folder) if data else None,
        weights=Path(os.path.relpath(weights.absolute(), folder)) if weights and load else None,
    )


def _places(folder: Path) -> list[Path]:
    """The folders in which a name is looked up: the fixture's, the current one, the repository's root."""
    return list(dict.fromkeys((folder, Path.cwd(), repository_of(folder))))


def _located(load: str, folder: Path) -> Path:
    """The file or folder that `--load` may name; it need not exist."""
    return next((path for place in _places(folder) if (path := place / load).exists()), folder / load)


def model_file(folder: Path, kind: str | None) -> str | None:
    """The name of the first model file or pipeline in the folder, of that kind if one is given."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    kinds = {path.name: file_kind(path) for path in paths}
    return next((name for name, found in kinds.items() if found and kind in (None, found)), None)


def file_kind(path: Path) -> str | None:
    """The kind of a model's file or pipeline; None for anything else."""
    if path.is_dir():
        return "diffusers" if (path / PIPELINE).is_file() else None
    kinds = [kind.name for kind in KINDS.values() if path.suffix.lower() in kind.suffixes and path.is_file()]
    return None if not kinds or (kinds == ["torchscript"] and not _is_torchscript(path)) else kinds[0]


def _is_torchscript(path: Path) -> bool:
    """True if torch.jit.save wrote the file: its archive then holds code."""
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # a broken archive raises anything
        names = [name.partition("/")[2] for name in archive.namelist()]
        return "constants.pkl" in names and any(name.startswith("code/") for name in names)
    return False


def kind_of(load: str | None, folder: Path) -> Kind:
    """The kind of what `--load` names."""
    if load is None:
        return KINDS["torch"]
    path = _located(load, folder)
    if (kind := file_kind(path)) is not None:
        return KINDS[kind]
    if path.is_file() and path.suffix.lower() in WEIGHTS:
        raise InvalidArgument(f"--load {load}: holds weights alone; give --load my_model:Generator --weights {load}")
    if path.is_file():
        raise InvalidArgument(f"--load {load}: not a kind of file that gentest loads")
    if ":" in load:
        return KINDS["torch"]
    raise InvalidArgument.expected(
        "MODULE:NAME, such as my_model:load, or a file that exists; or give --kind diffusers", "--load", load
    )


def _file_of(load: str | None, kind: Kind, folder: Path) -> str:
    """The model's file relative to the folder; or a pipeline, as `./PATH` or its name on the hub."""
    if load is None:
        raise InvalidArgument(f"--kind {kind.name} needs --load: {kind.description}")
    path = _located(load, folder)
    relative = Path(os.path.relpath(path, folder)).as_posix()
    if kind.name == "diffusers":
        return f"./{relative}" if path.exists() else load
    if not path.is_file():
        raise InvalidArgument.expected("the model's file", "--load", load)
    return relative
