"""Load a model and call it, so that `gentest init` knows its latent space and outputs (`init_answers.Facts`).

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gentest._support.printable import error_summary
from gentest.errors import WrongOutputs
from gentest.generators.calling import OnArrays, call_in_own_dtype
from gentest.generators.modules import modules_of, to_eval_mode
from gentest.generators.returned import BYTES, TANH, read_images, read_values

N = 16
"""Number of latents that a model is called with."""
RANGES = (TANH, (0.0, 1.0), BYTES)
"""Ranges that outputs usually have."""
SLACK = 1e-3
"""Share of a range by which outputs may leave it."""


Told = dict[str, Any]
"""Some of the fields of `Facts`, as JSON."""


def inspect_model(question: dict[str, Any]) -> Told:
    """The facts about a model.

    `question` has a `kind` and any of: a file of `weights`; the model's `file`; code, as `module`, `name` and the
    folders to put on Python's `path`; the `shape` of one latent.
    """
    warnings.simplefilter("ignore")  # other people's models warn of anything
    told: Told = {}
    parts = {"weights": _of_weights, "file": _of_model, "module": _of_model}
    for facts_of in [facts for part, facts in parts.items() if part in question]:
        try:
            for facts in facts_of(question):
                told |= facts
        except Exception as error:  # other people's files and code raise anything
            told["error"] = error_summary(error)
    return told


def _of_weights(question: Mapping[str, Any]) -> Iterator[Told]:
    path = Path(question["weights"])
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no dict
    else:
        state: Any = torch.load(path, map_location="meta", weights_only=True)
        if isinstance(state, Mapping) and not _is_state_dict(state):
            parts = {str(name): part for name, part in state.items() if _is_state_dict(part)}
            key = min(parts, key=_generators_first, default="")
            yield {"weights_key": key}
            state = parts.get(key)
        if not _is_state_dict(state):
            yield {"error": "holds no state dict"}
            return
        shapes = {str(name): tuple(value.shape) for name, value in state.items() if isinstance(value, Tensor)}
    guess = guess_latent(shapes)
    if guess is not None:
        shape, weight = guess
        yield {"latent": shape, "latent_from": f"the first weight, {weight}, is {list(shapes[weight])}"}


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


def _of_model(question: Mapping[str, Any]) -> Iterator[Told]:
    kind = question["kind"]
    shapes: Shapes
    if kind == "torchscript":
        from gentest.generators.torchscript import scripted

        model: Model = scripted(question["file"])
        shapes = latent_shapes(model)
    elif kind == "exported":
        from gentest.generators.torchscript import exported, inputs_of

        model = exported(question["file"])
        shapes = [tuple(int(size) for size in value.shape[1:]) for value in inputs_of(model.program)]
    elif kind == "onnx":
        from gentest.generators.onnx import OnnxModel

        model = OnnxModel(question["file"])
        shapes = [tuple(size or 1 for size in value.shape[1:]) for value in model.inputs if value.shape]
    else:
        sys.path[:0] = question["path"]
        make = getattr(importlib.import_module(question["module"]), question["name"])
        parameters = _parameters(make)
        yield parameters
        if parameters["needs"]:
            return
        made = make() if parameters["is_class"] or not parameters["takes_checkpoint"] else make(None)
        if not callable(made):
            raise TypeError(f"it gave a {type(made).__name__}, which cannot be called")
        model, shapes = (OnArrays(made), []) if kind == "numpy" else (made, latent_shapes(made))
    yield call_facts(model, [tuple(question["shape"])] if question.get("shape") else shapes)


def _parameters(make: Callable[..., Any]) -> Told:
    """Facts about a function or class. A function may need one positional argument, the checkpoint; a class, none."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(make).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind not in variadic]
    is_class = isinstance(make, type)
    checkpoint_only = not is_class and len(needed) == 1 and needed[0].kind in positional
    return {
        "is_class": is_class,
        "takes_checkpoint": any(p.kind in (*positional, inspect.Parameter.VAR_POSITIONAL) for p in parameters),
        "needs": [] if checkpoint_only else [p.name for p in needed],
    }


def latent_shapes(model: Model) -> Shapes:
    """The shape of latents that the model's first weight takes, if there is one."""
    modules = [to_eval_mode(module) for module in modules_of(model)]
    shapes = {f"{i}.{name}": tuple(t.shape) for i, m in enumerate(modules) for name, t in m.state_dict().items()}
    guess = guess_latent(shapes)
    return [] if guess is None else [guess[0]]


def call_facts(model: Model, shapes: Iterable[tuple[int, ...]]) -> Told:
    """Facts from calling a model as a run does, with latents of each shape until it takes one."""
    first_error = ""
    rng = torch.Generator().manual_seed(0)
    modules = modules_of(model)
    for form in dict.fromkeys(form for s in shapes for form in (s, s[:1], (*s[:1], 1, 1))):
        z = torch.randn(N, *form, generator=rng)
        try:
            with torch.no_grad():
                raw = call_in_own_dtype(lambda dtype, z=z: model(z.to(dtype or z.dtype, copy=True)), modules)  # type: ignore[misc]
        except Exception as error:  # the next shape may fit
            first_error = first_error or error_summary(error)
            continue
        latent = {"latent": form, "latent_from": f"the model takes {[N, *form]}", "error": ""}
        return {**latent, **output_facts(raw, {"z": (N, *form)})}
    return {"error": first_error or "its weights do not tell the shape of its latents: give --latent"}


def output_facts(raw: Any, sizes: Mapping[str, tuple[int, ...]]) -> Told:
    """Facts about a model's outputs, read as a run reads them: as images, or else as outputs of another kind."""
    try:
        images, read = True, read_images(raw, N, sizes)
    except WrongOutputs as error:
        try:
            images, read = False, read_values(raw, N, sizes)
        except WrongOutputs:
            return {"error": str(error)}
        if read.values.ndim > 3:  # images, but for one thing, which the error names
            return {"error": str(error)}
    values = read.values.detach()
    low, high = float(values.min()), float(values.max())
    ranges = (BYTES,) if read.pixels or values.dtype == torch.uint8 else RANGES
    usual = next((r for r in ranges if _lies_within(low, high, r)), None)
    return {
        "output": list(values.shape[1:]),
        "images": images,
        "low": low,
        "high": high,
        "range": usual and list(usual),
    }


def _lies_within(low: float, high: float, usual: tuple[float, float]) -> bool:
    slack = SLACK * (usual[1] - usual[0])
    return usual[0] - slack <= low and high <= usual[1] + slack and (low < 0 or usual[0] == 0.0)
