"""Recognize the model that a command is given: a file, a folder, or the user's code. Nothing is loaded here.

`model_loading` loads it, in a child process.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from gentest.errors import InvalidArgument

PIPELINE, CONFIG = "model_index.json", "config.json"
"""The files that mark the folder of a diffusers pipeline, and the folder of one model."""
TORCHSCRIPT = (".pt", ".pth", ".ts")
WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".tar", ".bin")
"""Suffixes of files of weights."""
MAX_NAMES = 3
"""Models of a folder that are named in a line."""
MODELS = (
    "an ONNX file, a TorchScript file, a .pt2 file, a file of weights with --class, a diffusers folder, "
    "or MODULE:NAME such as my_model:load"
)
"""Everything that a command accepts as a model, in words."""


class ModelKind(str, Enum):
    """A form in which a model is kept."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    """A file of `torch.jit.save`."""
    EXPORTED = "exported"
    """A file of `torch.export.save`. Loading it may run code that it holds."""
    PIPELINE = "pipeline"
    """The folder of a diffusers pipeline."""
    COMPONENT = "component"
    """The folder of one diffusers model, such as an autoencoder: a config and weights."""
    WEIGHTS = "weights"
    """A file of weights, with the class or function that makes their module."""
    CODE = "code"
    """A function, a class or a value of the user's code."""


@dataclass(frozen=True)
class Code:
    """A function, class or value of the user's, as MODULE:NAME or MODULE:NAME(ARGUMENTS) says it."""

    module: str
    name: str
    arguments: Sequence[Any] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    called: bool = False
    """True if arguments are given, even if there are none between the brackets."""
    root: str = ""
    """The folder that Python imports it from; empty if it is installed."""
    requirement: str = ""
    """The argument of pip that installs it; empty if that is not known."""

    def __str__(self) -> str:
        arguments = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.keywords.items())]
        return f"{self.module}:{self.name}" + (f"({', '.join(arguments)})" if self.called else "")


@dataclass(frozen=True)
class ModelSource:
    """A model that a command is given, before anything of it is loaded."""

    argument: str
    """The argument of the command that names it, such as REFERENCE."""
    name: str
    """The model as the user named it."""
    kind: ModelKind
    path: str = ""
    """The absolute path of the file or folder; empty for code."""
    code: Code | None = None
    """The code of kind CODE, or the one that makes the module of a file of weights."""
    folders: Sequence[str] = ()
    """Folders that Python imports the code from."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModelSource:
        code = value["code"]
        return cls(**{**value, "kind": ModelKind(value["kind"]), "code": None if code is None else Code(**code)})


def find_model(argument: str, text: str, *, made_by: str | None = None) -> ModelSource:
    """The model that `text` names: a file or folder that exists, else code.

    `made_by` is the code that makes the module of a file of weights. Raises `InvalidArgument`.
    """
    path, here = Path(text), Path.cwd()
    kind = kind_of_path(path)
    if kind is ModelKind.WEIGHTS:
        if made_by is None:
            raise InvalidArgument(
                f"{argument} {text}: holds weights alone; add --class MODULE:NAME, the class or the function that "
                "makes the module they belong to, such as --class my_model:Generator"
            )
        code = code_of("--class", made_by, here)
        return ModelSource(argument, text, kind, str(path.absolute()), code, _import_folders(code, here))
    if made_by is not None:
        raise InvalidArgument(f"--class is for a file of weights, and {text} is not one: leave --class out")
    if kind is not None:
        return ModelSource(argument, text, kind, str(path.absolute()))
    if path.exists() or ":" not in text:
        raise InvalidArgument.expected(MODELS, argument, text, hint=_hint(path))
    code = code_of(argument, text, here)
    return ModelSource(argument, text, ModelKind.CODE, code=code, folders=_import_folders(code, here))


def _hint(path: Path) -> str:
    """The reason why a path is not a model, and what may be meant instead."""
    if path.is_dir():
        models = sorted(entry.name for entry in path.iterdir() if kind_of_path(entry) is not None)
        if models:
            more = f" and {len(models) - MAX_NAMES} more" if len(models) > MAX_NAMES else ""
            return f"it is a folder with {', '.join(models[:MAX_NAMES])}{more}: give one of them"
        return f"it is a folder without {PIPELINE} or {CONFIG}"
    if path.suffix == ".py":
        return f"to check what its code makes, give {path.stem}:NAME, a function of it that returns the model"
    return "it is a kind of file that gentest does not load" if path.is_file() else "no such file"


def kind_of_path(path: Path) -> ModelKind | None:
    """The kind of a file or folder, by its name and by what it holds; None for anything else."""
    if path.is_dir():
        if (path / PIPELINE).is_file():
            return ModelKind.PIPELINE
        return ModelKind.COMPONENT if (path / CONFIG).is_file() else None
    suffix = path.suffix.lower()
    if not path.is_file():
        return None
    if suffix == ".onnx":
        return ModelKind.ONNX
    if suffix == ".pt2":
        return ModelKind.EXPORTED
    if suffix in TORCHSCRIPT and _is_torchscript(path):
        return ModelKind.TORCHSCRIPT
    return ModelKind.WEIGHTS if suffix in WEIGHTS else None


def read_config(path: Path) -> Mapping[str, Any]:
    """The config of a diffusers folder. Raises `InvalidArgument` if it is not a JSON object."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{path}: not a JSON file: {error}") from error
    if not isinstance(config, Mapping):
        raise InvalidArgument(f"{path}: not a JSON object")
    return config


def repository_of(folder: Path) -> Path:
    """The root of the Git repository, or the folder itself outside of one."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def code_of(argument: str, text: str, folder: Path) -> Code:
    """The code that MODULE:NAME names, with the folder that Python imports it from. Nothing is imported.

    MODULE:NAME(1, width=64) gives the arguments of its call, as literals. Raises `InvalidArgument`.
    """
    module, _, rest = text.partition(":")
    name, arguments, keywords = _read_call(argument, text, rest)
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise InvalidArgument.expected("PACKAGE.MODULE:NAME, such as my_model:load", argument, text)
    called = rest != name
    top = module.partition(".")[0]
    places = dict.fromkeys((folder, Path.cwd(), repository_of(folder)))
    for root in (root for place in places for root in (place, place / "src")):
        if (root / top).is_dir() or (root / f"{top}.py").is_file():
            return Code(module, name, arguments, keywords, called, str(root))
    try:
        installed = importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        installed = False
    if not installed:
        raise InvalidArgument(f"{argument} {text}: no module {top!r} in {folder}, and none is installed")
    return Code(module, name, arguments, keywords, called, requirement=_requirement(top))


def _read_call(argument: str, text: str, call: str) -> tuple[str, list[Any], dict[str, Any]]:
    """The name and the literal arguments of NAME or NAME(1, width=64)."""
    if not call.endswith(")"):
        return call, [], {}
    try:
        node = ast.parse(call, mode="eval").body
        if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError
        arguments = [ast.literal_eval(value) for value in node.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        json.dumps([arguments, keywords])
    except (SyntaxError, ValueError, TypeError):
        what = "MODULE:NAME(ARGUMENTS) with numbers and texts, such as my_model:Generator(100, width=64)"
        raise InvalidArgument.expected(what, argument, text) from None
    return ast.unparse(node.func), arguments, keywords


def _import_folders(code: Code, folder: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys((code.root or str(folder), str(folder), str(folder / "src"))))


def _is_torchscript(path: Path) -> bool:
    """True if torch.jit.save wrote the file: its archive then holds code."""
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # a broken archive raises anything
        names = [name.partition("/")[2] for name in archive.namelist()]
        return "constants.pkl" in names and any(name.startswith("code/") for name in names)
    return False


def _requirement(top: str) -> str:
    """The pinned distribution of an installed package; empty if it came from a folder or URL, not from an index."""
    for name in importlib.metadata.packages_distributions().get(top, []):
        distribution = importlib.metadata.distribution(name)
        return "" if distribution.read_text("direct_url.json") else f"{name}=={distribution.version}"
    return ""
