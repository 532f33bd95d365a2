"""Load a model of any kind: the one loader of `gentest check`, `gentest compare` and `gentest init`.

It runs in a child process, which imports torch. Weights are read as tensors and configs as JSON, so nothing is
unpickled. Code runs if the user names it as MODULE:NAME, and TorchScript, ONNX and .pt2 files are programs themselves.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gentest._support.printable import error_summary
from gentest.cli.model_source import CONFIG, PIPELINE, ModelKind, ModelSource, read_config
from gentest.errors import GentestError, InvalidArgument
from gentest.generators.generator import Generator, Pair
from gentest.generators.modules import to_eval_mode

CHECKPOINT = ("checkpoint", "path", "file", "weights", "ckpt", "state")
"""Words in the name of a parameter that takes a checkpoint's path, or None for the usual weights."""
LIBRARIES = ("diffusers", "transformers")
"""The packages that a pipeline's parts may come from: their code is installed, not read from the folder."""
EXPECTED = "a gentest.Generator, a pair, an nn.Module, a diffusers pipeline or a callable on latents"


@contextmanager
def naming(source: ModelSource) -> Iterator[None]:
    """Turn any error of loading or calling a model into one that names the model."""
    try:
        yield
    except GentestError as error:
        raise InvalidArgument(f"{source.name}: {error}") from error
    except (Exception, SystemExit) as error:  # other people's files and code raise anything
        raise InvalidArgument(f"{source.name}: {error_summary(error)}") from error


def load(source: ModelSource) -> Any:
    """The model: a `Generator`, a `Pair`, a diffusers pipeline, a module, or another callable.

    Raises anything that the model's file or code raises; `naming` turns that into one line.
    """
    logging.disable(logging.WARNING)  # libraries warn of what a user of the command cannot change
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return LOADERS[source.kind](source)
    finally:
        logging.disable(logging.NOTSET)


def is_pipeline(model: object) -> bool:
    """True for a diffusers pipeline."""
    components = None if isinstance(model, (Generator, nn.Module, type)) else getattr(model, "components", None)
    return callable(model) and isinstance(components, Mapping)


def is_autoencoder(model: object) -> bool:
    """True for an object that encodes images and decodes latents."""
    return not isinstance(model, Generator) and all(callable(getattr(model, n, None)) for n in ("encode", "decode"))


# by kind


def _load_onnx(source: ModelSource) -> Any:
    from gentest.generators.onnx import OnnxModel

    return OnnxModel(source.path)


def _load_torchscript(source: ModelSource) -> Any:
    from gentest.generators.torchscript import scripted

    return to_eval_mode(scripted(source.path))


def _load_exported(source: ModelSource) -> Any:
    from gentest.generators.torchscript import exported

    return exported(source.path)


def _load_pipeline(source: ModelSource) -> Any:
    folder = Path(source.path)
    config, diffusers = read_config(folder / PIPELINE), _diffusers()
    if not isinstance(config.get("_class_name"), str):
        raise InvalidArgument(_runs_code(f"its class is {config.get('_class_name')!r}"))
    for name, part in config.items():
        library = part[0] if isinstance(part, list) and part else None
        if isinstance(library, str) and library not in LIBRARIES and not hasattr(diffusers.pipelines, library):
            raise InvalidArgument(_runs_code(f"its part {name!r} comes from {library!r}"))
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _runs_code(why: str) -> str:
    return f"{why}, so loading it would run code of its own; load it in a function, and give MODULE:NAME"


def _load_component(source: ModelSource) -> Any:
    folder = Path(source.path)
    name, diffusers = read_config(folder / CONFIG).get("_class_name"), _diffusers()
    kind = getattr(diffusers, name, None) if isinstance(name, str) and name.isidentifier() else None
    if not isinstance(kind, type) or not issubclass(kind, diffusers.ModelMixin):
        raise InvalidArgument(
            f"its {CONFIG} names no model of diffusers (_class_name={name!r}); load it in a function, and give "
            "MODULE:NAME"
        )
    made: Any = kind
    model = made.from_pretrained(folder, local_files_only=True)
    if not is_autoencoder(model):
        raise InvalidArgument(f"a {name} is only a part of a generator: give the folder of its pipeline")
    return to_eval_mode(model)


def _diffusers() -> Any:
    try:
        diffusers = importlib.import_module("diffusers")
    except ImportError as error:
        raise InvalidArgument("a diffusers folder needs: pip install 'pytest-gentest[diffusers]'") from error
    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()
    return diffusers


def _load_weights(source: ModelSource) -> Any:
    module = _load_code(source)
    if not isinstance(module, nn.Module):
        raise InvalidArgument(f"--class {source.code} gave a {type(module).__name__}; expected an nn.Module")
    state = read_state(Path(source.path))
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        lines = " ".join(str(error).split())
        raise InvalidArgument(f"its weights do not fit --class {source.code}: {lines}") from error
    return to_eval_mode(module)


def read_state(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """The weights in a file, by name. Of several state dicts in one file, a generator's averaged weights come first.

    Raises `InvalidArgument` for a file without weights, or one that only unpickling could read.
    """
    return _read_state(path, device)[0]


def state_key(path: Path) -> str:
    """The key under which a file holds the weights that `read_state` takes; empty if the file is a state dict."""
    return _read_state(path, "meta")[1]


def _read_state(path: Path, device: str) -> tuple[dict[str, Tensor], str]:
    if path.suffix.lower() == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path, device="cpu"), ""
        except Exception as error:  # as below
            raise InvalidArgument(f"holds no weights: {error_summary(error)}") from error
    try:
        state: Any = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a file that is none raises anything
        raise InvalidArgument(
            f"holds no weights that can be read without unpickling: {error_summary(error)}"
        ) from error
    key = ""
    if isinstance(state, Mapping) and not _is_state_dict(state):
        parts = {str(name): part for name, part in state.items() if _is_state_dict(part)}
        key = min(parts, key=_generators_first, default="")
        state = parts.get(key)
    if not _is_state_dict(state):
        raise InvalidArgument("holds no state dict")
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}, key


def _is_state_dict(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(part, Tensor) for part in value.values())


def _generators_first(name: str) -> tuple[bool, bool, str]:
    """Sorts names of state dicts: averaged weights first, then a generator's."""
    lower = name.lower()
    return "ema" not in lower, not lower.startswith(("g", "netg", "decoder", "model", "state")), name


def _load_code(source: ModelSource) -> Any:
    """The value that MODULE:NAME names, or what it gives when it is called."""
    value, made = _value(source), None
    call = call_of(source)
    if not call:
        return value
    code = source.code
    assert code is not None
    if code.called:
        made = value(*code.arguments, **code.keywords)
    else:
        made = value(None) if needed_parameters(value) else value()
    if not _is_model(made) and not callable(made) and not is_autoencoder(made):
        raise InvalidArgument(f"gave a {type(made).__name__}; expected {EXPECTED}")
    return made


def _value(source: ModelSource) -> Any:
    """The value of the user's code, uncalled."""
    code = source.code
    assert code is not None
    sys.path[:0] = [folder for folder in source.folders if folder not in sys.path]
    return functools.reduce(getattr, code.name.split("."), importlib.import_module(code.module))


def call_of(source: ModelSource) -> str:
    """The arguments, in brackets, with which the user's code makes the model; empty if it is the model itself.

    `(gentest_checkpoint)` stands for the checkpoint of a run. Raises `InvalidArgument` if it needs other arguments.
    """
    code, value = source.code, _value(source)
    assert code is not None
    if code.called:
        return str(code).removeprefix(f"{code.module}:{code.name}")
    if _is_model(value) or (callable(value) and is_itself_a_generator(value)):
        return ""
    if not callable(value):
        raise InvalidArgument(f"is a {type(value).__name__}; expected {EXPECTED}, or a function that gives one")
    needed = needed_parameters(value)
    if len(needed) > 1 or (needed and not _takes_checkpoint(needed[0])):
        values = ", ".join(f"{name}=..." for name in needed)
        names = ", ".join(map(repr, needed))
        raise InvalidArgument(f"needs {names}: give them, as in '{code.module}:{code.name}({values})'")
    first = next(iter(_parameters(value)), "")
    return "(gentest_checkpoint)" if not isinstance(value, type) and _takes_checkpoint(first) else "()"


def needed_parameters(make: Callable[..., Any]) -> list[str]:
    """The names of the arguments that a function or class cannot be called without."""
    return [name for name, needed in _parameters(make).items() if needed]


def _parameters(make: Callable[..., Any]) -> dict[str, bool]:
    """The names of the arguments of a function or class, and whether it cannot be called without them."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # a builtin
        return {}
    return {p.name: p.default is p.empty for p in parameters if p.kind not in variadic}


def _takes_checkpoint(name: str) -> bool:
    return any(word in name.lower() for word in CHECKPOINT)


def is_itself_a_generator(function: Callable[..., Any]) -> bool:
    """True for a function of latents, rather than one that makes a model: it needs an input that is no checkpoint."""
    if isinstance(function, type):
        return False
    needed = needed_parameters(function)
    return bool(needed) and needed[0].lower() in LATENT_NAMES


LATENT_NAMES = ("z", "latent", "latents", "noise", "zs", "x", "w")
"""The names of a first parameter that is a batch of latents."""


def _is_model(value: object) -> bool:
    return isinstance(value, (Generator, Pair, nn.Module)) or is_pipeline(value)


LOADERS: Mapping[ModelKind, Callable[[ModelSource], Any]] = {
    ModelKind.ONNX: _load_onnx,
    ModelKind.TORCHSCRIPT: _load_torchscript,
    ModelKind.EXPORTED: _load_exported,
    ModelKind.PIPELINE: _load_pipeline,
    ModelKind.COMPONENT: _load_component,
    ModelKind.WEIGHTS: _load_weights,
    ModelKind.CODE: _load_code,
}
