"""Calls of f: in the precision of its weights, with pinned random numbers, in batches that fit; errors with a hint.

Latents are float32. If f raises because dtypes disagree, and all floating-point parameters of its modules have one
other dtype, f is called once more with latents of that dtype. A model that casts by itself only ever sees float32.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from gentest._support.printable import error_summary, printable
from gentest.errors import GeneratorError, InvalidArgument, out_of_memory
from gentest.spaces import Categorical, Space

SHAPES = (
    "shapes cannot be multiplied", "mat1 and mat2 shapes", "size mismatch", "Sizes of tensors must match",
    "The size of tensor a", "is invalid for input of size", "expected input[", "expected input with shape",
    "expected 2D", "expected 3D", "expected 4D", "expected 5D", "Expected 2D", "Expected 3D", "Expected 4D",
    "Expected 5D", "elements not", "of size equal to the number of channels", "must match the existing size",
    "Dimension out of range", "too many indices", "but got input with", "input.size(-1) must be equal to",
    "Expected size for first two dimensions", "input1 size does not match", "was expecting embedding dimension",
    "must have same reduction dim", "Kernel size can't be greater than", "unflatten:", "split_with_sizes", "einsum():",
    "number of dimensions", "Number of dimensions", "each tensor to be equal size", "Guard failed: ",
    "mismatch in its core dimension", "could not be broadcast", "cannot be broadcast", "not aligned",
    "cannot reshape array", "must match exactly", "Got invalid dimensions for input", "Invalid rank for input",
)  # fmt: skip
"""Words of torch, NumPy and ONNX Runtime for shapes that disagree; no exception type tells."""
DTYPES = (
    "dtype", "scalar type", "data type", "Input type (", "can't be cast", "not implemented for '", "FloatTensor",
    "LongTensor", "used as indices must be",
)  # fmt: skip
"""Their words for dtypes that disagree."""
INDICES = ("out of range", "out of bounds", "Class values must be smaller")
"""Their words for an index, such as a label, that is too large."""


def _as_array(value: Tensor | list[Any]) -> Any:
    return value.cpu().numpy() if isinstance(value, Tensor) else value


Inputs: TypeAlias = Mapping[str, "Tensor | list[Any]"]
"""What f receives, by the name of the part: tensors [B, *shape], or lists of B values that somebody wrote."""


@dataclass(frozen=True)
class OnArrays:
    """A NumPy function that takes tensors; lists of values stay lists."""

    function: Callable[..., Any]

    def __call__(self, *latents: Tensor | list[Any], **named: Tensor | list[Any]) -> Any:
        arrays = [_as_array(z) for z in latents]
        return self.function(*arrays, **{name: _as_array(z) for name, z in named.items()})


def inputs_on(device: torch.device, space: Space, latents: Mapping[str, Any]) -> Inputs:
    """What f receives for latents [B, *shape] by part, arrays or tensors: tensors on the device, and values.

    The values of a condition are a tensor [B] if they are numbers, else a list of B.
    """
    inputs: dict[str, Tensor | list[Any]] = {}
    for name, z in latents.items():
        part = space.parts.get(name)
        if part is not None and part.has_values:
            z = part.values_of(z.detach().cpu().numpy() if isinstance(z, Tensor) else z)
            if z.dtype == object:
                inputs[name] = z.tolist()
                continue
        inputs[name] = (z if isinstance(z, Tensor) else torch.from_numpy(np.ascontiguousarray(z))).to(device)
    return inputs


def size_of(value: Tensor | list[Any]) -> tuple[int, ...]:
    """The sizes of an input: those of a tensor, or the length of a list."""
    return tuple(value.shape) if isinstance(value, Tensor) else (len(value),)


def call_in_own_dtype(call: Callable[[torch.dtype | None], Any], modules: Sequence[nn.Module]) -> Any:
    """The result of `call(None)`, or of `call(dtype)` in the dtype of f's modules if f says that float32 does not fit.

    Raises what `call` raises.
    """
    try:
        return call(None)
    except (RuntimeError, ValueError, TypeError) as error:
        dtype = own_dtype(modules)
        final = isinstance(error, GeneratorError) or out_of_memory(error)
        if dtype in (None, torch.float32) or final or not _line_with(error, DTYPES):
            raise
    return call(dtype)


def own_dtype(modules: Iterable[nn.Module]) -> torch.dtype | None:
    """The dtype of all floating-point parameters of some modules; None if there are several dtypes, or no parameters.

    >>> own_dtype([nn.Linear(2, 2).bfloat16()]), own_dtype([])
    (torch.bfloat16, None)
    """
    dtypes = _dtypes(modules)
    return dtypes[0] if len(dtypes) == 1 else None


def generator_error(
    error: Exception,
    function: Callable[..., Any],
    latent: Space,
    sizes: Mapping[str, tuple[int, ...]],
    inputs: Sequence[Tensor | list[Any]],
    named: Inputs,
    modules: Sequence[nn.Module],
) -> GeneratorError:
    """The error of a generator that raised, in one line: its own error, the sizes of the latents, and a hint."""
    summary, hint = error_summary(error), ""
    if isinstance(error, TypeError) and (takes := _signature_mismatch(function, inputs, named)) is not None:
        gives = ", ".join([*(["one input without a name"] * len(inputs)), *(f"{name}=" for name in named)])
        hint = f"it takes {takes} but gets {gives}: name the parts of the space, and the noise, as f does"
    elif line := _line_with(error, SHAPES):
        summary, hint = f"{type(error).__name__}: {line}", "does the space fit?"
    elif line := _line_with(error, DTYPES):
        summary, hint = f"{type(error).__name__}: {line}", _dtype_hint(modules)
    elif line := _line_with(error, INDICES):
        summary, hint = f"{type(error).__name__}: {line}", _label_hint(latent)
    latents = f"latents {sizes} from {latent!r}{f': {hint}' if hint else ''}"
    return GeneratorError(f"the generator raised {summary} ({latents})")


def _dtypes(modules: Iterable[nn.Module]) -> list[torch.dtype]:
    return list(dict.fromkeys(p.dtype for m in modules for p in m.parameters() if p.is_floating_point()))


def _line_with(error: Exception, words: Sequence[str]) -> str:
    """The first line of an error's text that contains one of these words; empty if no line does."""
    lines = str(error).splitlines()
    first = next((line for line in lines if any(word in line for word in words)), "")
    return printable(first.strip().removeprefix("RuntimeError: "))


def _signature_mismatch(
    function: Callable[..., Any], inputs: Sequence[Tensor | list[Any]], named: Inputs
) -> str | None:
    """The parameters of f, if they do not fit the inputs; None if they fit, or if f has no signature."""
    function = function.function if isinstance(function, OnArrays) else function
    try:
        takes = inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (TypeError, ValueError):
        return None
    try:
        takes.bind(*inputs, **named)
    except TypeError:
        return f"({', '.join(str(p).partition(':')[0].partition('=')[0].strip() for p in takes.parameters.values())})"
    return None


def _dtype_hint(modules: Sequence[nn.Module]) -> str:
    dtypes = " and ".join(str(dtype).removeprefix("torch.") for dtype in _dtypes(modules))
    weights = f"its weights are {dtypes}, " if dtypes else ""
    return f"{weights}latents are float32 and labels int64: cast them in f, as in model(z.to(torch.float16))"


def _label_hint(latent: Space) -> str:
    """The range of each label, for the user to compare with f's; empty without labels."""
    labels = {name or "the choice": part.n for name, part in latent.parts.items() if isinstance(part, Categorical)}
    ranges = [f"{name} is 0 to {n - 1}" for name, n in labels.items()]
    return f"{', '.join(ranges)}: does f know as many? gentest.Categorical(n) gives 0 to n - 1" if ranges else ""


def check_numbers(latent: Space, what: str) -> None:
    """Raises `InvalidArgument` for a part whose values are not numbers, which `what` cannot take."""
    for name, part in latent.parts.items():
        if part.has_values and part.values_of(np.zeros((1, *part.shape), np.int64)).dtype == object:
            label = repr(name) if name else "the condition"
            raise InvalidArgument(
                f"{what} takes numbers, and {label} is {part!r}: wrap the model in a function that encodes the values"
            )


def in_batches_of(size: int | None, call: Callable[[dict[str, Tensor]], Any], inputs: Mapping[str, Tensor]) -> Any:
    """The outputs of `call` for inputs [B, ...], in batches of exactly `size`; in one batch if `size` is None.

    Exported models often take one batch size. The last batch is filled with copies of its last row, whose outputs are
    dropped. In a tuple, list or dictionary each tensor of `size` rows is joined. Anything but a batch of `size` outputs
    is returned as it is, for the generator to reject.
    """
    n = len(next(iter(inputs.values())))
    if size is None or size == n:
        return call(dict(inputs))
    chunks = []
    for start in range(0, n, size):
        rows = torch.arange(start, start + size).clamp(max=n - 1)
        chunk = call({name: value[rows.to(value.device)] for name, value in inputs.items()})
        if isinstance(chunk, Tensor) and not _is_batch(chunk, size):
            return chunk
        chunks.append(chunk)
    return _joined(chunks, size, n)


def _joined(chunks: Sequence[Any], size: int, n: int) -> Any:
    """The first `n` outputs of several calls, each tensor joined inside its container."""
    first = chunks[0]
    if isinstance(first, Mapping):
        return {key: _joined([chunk[key] for chunk in chunks], size, n) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(_joined(items, size, n) for items in zip(*chunks, strict=False))
    if isinstance(first, Tensor) and all(_is_batch(chunk, size) for chunk in chunks):
        return torch.cat(list(chunks))[:n]
    return first


def _is_batch(outputs: Any, size: int) -> bool:
    return isinstance(outputs, Tensor) and outputs.ndim > 0 and len(outputs) == size


_pinned: list[torch.device] = []
"""Devices on which random numbers are pinned already."""


@contextmanager
def pinned_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Pins the random state of torch, NumPy and `random` to a seed, and restores the old state on leaving.

    A nested entry only seeds, since NumPy takes 0.1 ms to save its state. Several calls in a row share one entry.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    if device in _pinned:
        _seed(generators, seed)
        yield
        return
    states = [(generator, generator.get_state()) for generator in generators]
    legacy, plain = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 - the global state is meant
    # NumPy reads a list in a third of the time that it takes for its own array.
    numbers = {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in legacy["state"].items()
    }
    _pinned.append(device)
    try:
        _seed(generators, seed)
        yield
    finally:
        _pinned.remove(device)
        np.random.set_state({**legacy, "state": numbers})  # noqa: NPY002
        random.setstate(plain)
        for generator, state in states:
            generator.set_state(state)


def _seed(generators: Sequence[torch.Generator], seed: int) -> None:
    for generator in generators:
        generator.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
