"""Load a model and call it, so that `gentest init` knows its latent space and outputs.

The command calls `inspect_model` in a child process, which imports torch. A file of weights is read as tensors, without
running code in it. TorchScript and ONNX files are loaded and called. The user's own code, and programs of torch.export,
which are unpickled, run only with `--probe`. The latent shape is guessed from the first weight and accepted if a call
with it succeeds.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gentest._support.printable import error_summary
from gentest.errors import WrongOutputs
from gentest.generators.calling import OnArrays, called
from gentest.generators.returned import BYTES, TANH, read_images, read_values
from gentest.generators.weights import held, to_eval_mode

N = 16
"""Number of latents that a model is called with."""
RANGES = (TANH, (0.0, 1.0), BYTES)
"""Ranges that outputs usually have."""
SLACK = 1e-3
"""Share of a range by which outputs may leave it."""


@dataclass
class Facts:
    """What loading and calling a model told. Shapes are of one latent or output, without the batch."""

    is_class: bool = False
    takes_checkpoint: bool = True
    """Whether the function that makes the model accepts a positional argument."""
    needs: tuple[str, ...] | None = None
    """The arguments that the user has to give; empty if the model can be made without, None if no code was loaded."""
    latent: list[int] | None = None
    latent_from: str = ""
    """The evidence for the latent's shape, in words."""
    output: list[int] | None = None
    """None unless a call succeeded."""
    images: bool = True
    """Whether the outputs can be images."""
    low: float = 0.0
    high: float = 0.0
    range: list[float] | None = None
    key: str = ""
    """The name of the state dict inside the file of weights; empty if the file is a state dict itself."""
    error: str = ""


def inspect_model(question: dict[str, Any]) -> dict[str, Any]:
    """The facts about a model, as JSON.

    `question` has a `kind` and any of: a file of `weights`; the model's `file`; code, as `module`, `name` and the
    folders to put on Python's `path`; the `shape` of one latent.
    """
    warnings.simplefilter("ignore")  # of other people's models
    facts = Facts()
    parts = {"weights": _read_weights, "file": _try_model, "module": _try_model}
    for look in dict.fromkeys(look for part, look in parts.items() if part in question):
        try:
            look(facts, question)
        except Exception as error:  # other people's files and code raise anything
            facts.error = error_summary(error)
    return asdict(facts)


def _try_model(facts: Facts, question: Mapping[str, Any]) -> None:
    loaded = _load(facts, question)
    if loaded is not None:
        model, shapes = loaded
        _call(facts, model, [tuple(question["shape"])] if question.get("shape") else shapes)


def _read_weights(facts: Facts, question: Mapping[str, Any]) -> None:
    path = Path(question["weights"])
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no dict
    else:
        state: Any = torch.load(path, map_location="meta", weights_only=True)
        if isinstance(state, Mapping) and not _is_state_dict(state):
            parts = {str(name): part for name, part in state.items() if _is_state_dict(part)}
            facts.key = min(parts, key=_generators_first, default="")
            state = parts.get(facts.key)
        if not _is_state_dict(state):
            facts.error = "holds no state dict"
            return
        shapes = {str(name): tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}
    guess = guess_latent(shapes)
    if guess is not None:
        shape, weight = guess
        facts.latent = list(shape)
        facts.latent_from = f"the first weight, {weight}, is {list(shapes[weight])}"


def _is_state_dict(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(part, Tensor) for part in value.values())


def _generators_first(name: str) -> tuple[bool, bool, str]:
    """Sorts names of state dicts: averaged weights first, then a generator's."""
    lower = name.lower()
    return "ema" not in lower, not lower.startswith(("g", "netg", "decoder", "model", "state")), name


def guess_latent(shapes: Mapping[str, Sequence[int]]) -> tuple[tuple[int, ...], str] | None:
    """The shape of the latent that the first of these weights takes, and that weight's name; None if none fits.

    >>> guess_latent({"0.weight": (100, 512, 4, 4), "1.weight": (512,), "3.weight": (512, 3, 4, 4)})
    ((100, 1, 1), '0.weight')
    >>> guess_latent({"0.weight": (256, 64), "2.weight": (3, 256)})
    ((64,), '0.weight')
    """
    wide = [(name, tuple(shape)) for name, shape in shapes.items() if len(shape) in (2, 4)]
    if not wide:
        return None
    (name, first), later = wide[0], [shape for _, shape in wide[1:] if len(shape) == 4]
    if len(first) == 2:
        return (first[1],), name
    transposed = first[1] == later[0][0] if later else first[1] in (1, 3)  # [in, out, h, w]; else [out, in, h, w]
    return (first[0 if transposed else 1], 1, 1), name


Model = Callable[..., Any]
Shapes = list[tuple[int, ...]]


def _load(facts: Facts, question: Mapping[str, Any]) -> tuple[Model, Shapes] | None:
    """The model as a function of tensors, and shapes that its latent can have; None if it needs more arguments."""
    kind = question["kind"]
    if kind == "torchscript":
        from gentest.generators.torchscript import scripted

        return _with_shapes(scripted(question["file"]))
    if kind == "exported":
        from gentest.generators.torchscript import exported, inputs_of

        program = exported(question["file"])
        return program, [tuple(int(size) for size in value.shape[1:]) for value in inputs_of(program.program)]
    if kind == "onnx":
        from gentest.generators.onnx import OnnxModel

        model = OnnxModel(question["file"])
        return model, [tuple(size or 1 for size in value.shape[1:]) for value in model.inputs if value.shape]
    sys.path[:0] = question["path"]
    make = getattr(importlib.import_module(question["module"]), question["name"])
    if not _is_ready(facts, make):
        return None
    made = make() if facts.is_class or not facts.takes_checkpoint else make(None)
    return (OnArrays(made), []) if kind == "numpy" else _with_shapes(made)


def _is_ready(facts: Facts, make: Any) -> bool:
    """Whether a function takes a checkpoint or nothing, or a class nothing. Its parameters become facts."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(make).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind not in variadic]
    facts.is_class = isinstance(make, type)
    facts.takes_checkpoint = any(p.kind in (*positional, inspect.Parameter.VAR_POSITIONAL) for p in parameters)
    if not needed or (not facts.is_class and len(needed) == 1 and needed[0].kind in positional):
        facts.needs = ()
    else:
        facts.needs = tuple(p.name for p in needed)
    return not facts.needs


def _with_shapes(made: Any) -> tuple[Model, Shapes]:
    if not callable(made):
        raise TypeError(f"it gave a {type(made).__name__}, which cannot be called")
    modules = [to_eval_mode(part) for part in held(made) if isinstance(part, nn.Module)]
    shapes = {f"{i}.{name}": tuple(t.shape) for i, m in enumerate(modules) for name, t in m.state_dict().items()}
    guess = guess_latent(shapes)
    return made, [] if guess is None else [guess[0]]


def _call(facts: Facts, model: Model, shapes: Iterable[tuple[int, ...]]) -> None:
    """Call a model as a run does, with latents of each shape until it takes one."""
    facts.error = "its weights do not tell the shape of its latents: give --latent"
    first_error = ""
    rng = torch.Generator().manual_seed(0)
    modules = [part for part in held(model) if isinstance(part, nn.Module)]
    forms = dict.fromkeys(form for s in shapes for form in (s, s[:1], (*s[:1], 1, 1)))
    for form in forms:
        z = torch.randn(N, *form, generator=rng)
        try:
            with torch.no_grad():
                raw = called(lambda dtype, z=z: model(z.to(dtype or z.dtype, copy=True)), modules)  # type: ignore[misc]
        except Exception as error:  # the next shape may fit
            first_error = first_error or error_summary(error)
            continue
        _read_outputs(facts, form, raw)
        return
    facts.error = first_error or facts.error


def _read_outputs(facts: Facts, form: tuple[int, ...], raw: Any) -> None:
    """Read a model's outputs as a run does: as images, or else as outputs of another kind."""
    facts.latent, facts.error = list(form), ""
    facts.latent_from = f"the model takes {[N, *form]}"
    sizes = {"z": (N, *form)}
    try:
        read = read_images(raw, N, sizes)
    except WrongOutputs as error:
        facts.images = False
        try:
            read = read_values(raw, N, sizes)
        except WrongOutputs:
            facts.error = str(error)
            return
        if read.values.ndim > 3:  # images, but for one thing, which the error names
            facts.error = str(error)
            return
    values = read.values.detach()
    facts.output = list(values.shape[1:])
    facts.low, facts.high = float(values.min()), float(values.max())
    ranges = (BYTES,) if read.pixels or values.dtype == torch.uint8 else RANGES
    for low, high in ranges:
        slack = SLACK * (high - low)
        if low - slack <= facts.low and facts.high <= high + slack and (facts.low < 0 or low == 0.0):
            facts.range = [low, high]
            return
