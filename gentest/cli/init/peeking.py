"""What a model says of its latent space and outputs, for `gentest init`: `main` takes JSON and prints JSON.

A file of weights is read as tensors alone; TorchScript and ONNX are loaded and called. Code of the user's own, and
programs of torch.export, which are unpickled, run only where the command was told so (`--probe`): only for the user's
own code is its folder put where Python imports from. The latent is guessed from the shape of the
first weight, and is taken where a call with it succeeds.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
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
"""Latents that a model is called with."""
USUAL = (TANH, (0.0, 1.0), BYTES)
SLACK = 1e-3
"""Of a range, as a share of it."""


@dataclass
class Seen:
    """What came of it. A shape is that of one latent or output, without its batch."""

    latent: list[int] | None = None
    why: str = ""
    output: list[int] | None = None
    images: bool = True
    """Whether the outputs can be images."""
    low: float = 0.0
    high: float = 0.0
    range: list[float] | None = None
    key: str = ""
    """Under which name a file of weights holds them; "" where it is a state dict itself."""
    error: str = ""


def peek(asked: Mapping[str, Any]) -> Seen:
    """What a file (`kind`, `file`) or code (`load`, in `folder`) says, of latents of a shape where one is given."""
    try:
        if asked["kind"] == "weights":
            return _of_weights(Path(asked["file"]))
        function, shapes = _model(asked)
        return _of_calls(function, [tuple(asked["shape"])] if asked.get("shape") else shapes)
    except Exception as error:  # a stranger's file or code raises what it likes
        return Seen(error=error_summary(error))


def _of_weights(path: Path) -> Seen:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            state: Any = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
            shapes = {name: tuple(part.get_shape()) for name, part in state.items()}
        return _guessed(Seen(), shapes)
    state = torch.load(path, map_location="meta", weights_only=True)
    key = ""
    if isinstance(state, Mapping) and not any(isinstance(value, Tensor) for value in state.values()):
        parts = {name: part for name, part in state.items() if _is_state(part)}
        key = min(parts, key=_generators_first, default="")
        state = parts.get(key)
    if not _is_state(state):
        return Seen(error="holds no state dict")
    return _guessed(Seen(key=key), {name: tuple(t.shape) for name, t in state.items() if isinstance(t, Tensor)})


def _is_state(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(part, Tensor) for part in value.values())


def _generators_first(name: str) -> tuple[bool, bool, str]:
    """Of several state dicts, that of averaged weights, then of the generator."""
    said = name.lower()
    return "ema" not in said, not said.startswith(("g", "netg", "decoder", "model", "state")), name


def _guessed(seen: Seen, shapes: Mapping[str, Sequence[int]]) -> Seen:
    found = guess(shapes)
    if found is not None:
        seen.latent, name = list(found[0]), found[1]
        seen.why = f"the first weight, {name}, is {list(shapes[name])}"
    return seen


def guess(shapes: Mapping[str, Sequence[int]]) -> tuple[tuple[int, ...], str] | None:
    """The shape of a latent that the first of these weights takes, and the name of that weight; None without one.

    >>> guess({"0.weight": (100, 512, 4, 4), "1.weight": (512,), "3.weight": (512, 3, 4, 4)})
    ((100, 1, 1), '0.weight')
    >>> guess({"0.weight": (256, 64), "2.weight": (3, 256)})
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


def _model(asked: Mapping[str, Any]) -> tuple[Callable[..., Any], list[tuple[int, ...]]]:
    """The model as a callable on tensors, and shapes that its latent may have."""
    kind, file = asked["kind"], asked.get("file", "")
    if kind == "torchscript":
        from gentest.generators.torchscript import scripted

        return _with_shapes(scripted(file))
    if kind == "exported":
        from gentest.generators.torchscript import exported, inputs_of

        made = exported(file)
        return made, [tuple(int(size) for size in value.shape[1:]) for value in inputs_of(made.program)]
    if kind == "onnx":
        from gentest.generators.onnx import OnnxModel

        model = OnnxModel(file)
        return model, [tuple(size or 1 for size in value.shape[1:]) for value in model.inputs if value.shape]
    module, _, name = asked["load"].partition(":")
    folder = asked["folder"]
    sys.path[:0] = dict.fromkeys((asked.get("root", folder), folder, str(Path(folder) / "src")))
    load = getattr(importlib.import_module(module), name)
    made = load(None) if asked.get("takes", 1) else load()
    if kind == "numpy":
        return OnArrays(made), []
    return _with_shapes(made)


def _with_shapes(made: Any) -> tuple[Callable[..., Any], list[tuple[int, ...]]]:
    if not callable(made):
        raise TypeError(f"it gave a {type(made).__name__}, which cannot be called")
    modules = [to_eval_mode(thing) for thing in held(made) if isinstance(thing, nn.Module)]
    shapes = {f"{i}.{name}": tuple(t.shape) for i, m in enumerate(modules) for name, t in m.state_dict().items()}
    found = guess(shapes)
    return made, [] if found is None else [found[0]]


def _of_calls(function: Callable[..., Any], shapes: Iterable[tuple[int, ...]]) -> Seen:
    """Calls a function with latents of each shape until it takes one, as a run would."""
    said = ""
    rng = torch.Generator().manual_seed(0)
    modules = [thing for thing in held(function) if isinstance(thing, nn.Module)]
    tried: list[tuple[int, ...]] = []
    for shape in shapes:
        for form in (shape, shape[:1], (*shape[:1], 1, 1)):
            if form in tried:
                continue
            tried.append(form)
            z = torch.randn(N, *form, generator=rng)
            try:
                with torch.no_grad():
                    made = called(lambda dtype, z=z: function(z.to(dtype or z.dtype, copy=True)), modules)  # type: ignore[misc]
            except Exception as error:  # the next shape may fit
                said = said or error_summary(error)
                continue
            return _seen(form, made)
    return Seen(error=said or "the shape of its latents is not told by its weights: say it with --latent")


def _seen(shape: tuple[int, ...], made: Any) -> Seen:
    """What a model gave for latents of a shape, read as a run reads it: images, or else outputs of another kind."""
    sizes = {"z": (N, *shape)}
    try:
        images, read = True, read_images(made, N, sizes)
    except WrongOutputs as error:
        try:
            images, read = False, read_values(made, N, sizes)
        except WrongOutputs:
            return Seen(latent=list(shape), error=str(error))
        if read.values.ndim > 3:  # they would be images, but for one thing
            return Seen(latent=list(shape), error=str(error))
    values = read.values.detach()
    low, high = float(values.min()), float(values.max())
    usual = (BYTES,) if read.pixels or values.dtype == torch.uint8 else USUAL
    fits = [r for r in usual if r[0] - SLACK * (r[1] - r[0]) <= low and high <= r[1] + SLACK * (r[1] - r[0])]
    fits = [r for r in fits if low < 0 or r[0] == 0.0]
    return Seen(
        latent=list(shape),
        why=f"the model takes [{N}, {', '.join(map(str, shape))}]",
        output=list(values.shape[1:]),
        images=images,
        low=low,
        high=high,
        range=list(fits[0]) if fits else None,
    )


def main() -> None:
    """Answers the question that is the first argument of the process."""
    answer = Seen(error="it ended the process")
    with suppress(BaseException), redirect_stdout(sys.stderr):  # what a stranger's code prints or raises is no answer
        answer = peek(json.loads(sys.argv[1]))
    sys.stdout.write(f"\n{json.dumps(vars(answer))}\n")
