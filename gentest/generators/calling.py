"""Call f in the precision of its weights where float32 does not fit; where it raises, hint at what went wrong.

Latents are float32. Where f says that types of numbers disagree, and all floating-point parameters of its modules have
one other dtype, it is called once more with latents of that dtype. A model that casts by itself only ever sees float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gentest._support.printable import printable
from gentest.errors import GeneratorError, in_a_line, out_of_memory
from gentest.generators.arrays import OnArrays
from gentest.spaces import Space

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
"""How torch, NumPy and ONNX Runtime say that shapes disagree."""
DTYPES = (
    "dtype", "scalar type", "data type", "Input type (", "can't be cast", "not implemented for '", "FloatTensor",
    "LongTensor", "used as indices must be",
)  # fmt: skip
"""How they say that types of numbers do."""
INDICES = ("out of range", "out of bounds", "Class values must be smaller")
"""How they say that an index, such as a label, is too large."""


def called(call: Callable[[torch.dtype | None], Any], modules: Sequence[nn.Module]) -> Any:
    """What `call` gives with inputs as they are (None), or in the dtype of f's modules where f says that none fits.

    Raises what `call` raises.
    """
    try:
        return call(None)
    except (RuntimeError, ValueError, TypeError) as error:
        dtype = own_dtype(modules)
        fits = dtype is None or dtype == torch.float32
        if fits or isinstance(error, GeneratorError) or out_of_memory(error) or not _line_with(error, DTYPES):
            raise
    return call(dtype)


def own_dtype(modules: Iterable[nn.Module]) -> torch.dtype | None:
    """The one dtype that all floating-point parameters of some modules have; None where they have several, or none.

    >>> own_dtype([nn.Linear(2, 2).bfloat16()]), own_dtype([])
    (torch.bfloat16, None)
    """
    dtypes = _dtypes(modules)
    return dtypes[0] if len(dtypes) == 1 else None


def failure(
    error: Exception,
    function: Callable[..., Any],
    latent: Space,
    sizes: Mapping[str, tuple[int, ...]],
    inputs: Sequence[Tensor],
    named: Mapping[str, Tensor],
    modules: Sequence[nn.Module],
) -> GeneratorError:
    """The error of a generator that raised, in a line: what it raised, for latents of which sizes, and a hint."""
    said, hint = in_a_line(error), ""
    if isinstance(error, TypeError) and (takes := _refusing(function, inputs, named)) is not None:
        gives = ", ".join([*(["one input without a name"] * len(inputs)), *(f"{name}=" for name in named)])
        hint = f"it takes {takes}, and is given {gives}: name the parts of the space, and the noise, as f does"
    elif line := _line_with(error, SHAPES):
        said, hint = f"{type(error).__name__}: {line}", "does the space fit?"
    elif line := _line_with(error, DTYPES):
        said, hint = f"{type(error).__name__}: {line}", _of_dtypes(modules)
    elif line := _line_with(error, INDICES):
        said, hint = f"{type(error).__name__}: {line}", _of_labels(latent)
    return GeneratorError(f"the generator raised {said} (latents {sizes} from {latent!r}{f': {hint}' if hint else ''})")


def _dtypes(modules: Iterable[nn.Module]) -> list[torch.dtype]:
    return list(dict.fromkeys(p.dtype for m in modules for p in m.parameters() if p.is_floating_point()))


def _line_with(error: Exception, words: Sequence[str]) -> str:
    """The first line of an error's text that has one of these words; empty where none has."""
    lines = str(error).splitlines()
    found = next((line for line in lines if any(word in line for word in words)), "")
    return printable(found.strip().removeprefix("RuntimeError: "))


def _refusing(function: Callable[..., Any], inputs: Sequence[Tensor], named: Mapping[str, Tensor]) -> str | None:
    """What f takes, where that is something else than it is given; None where it takes this, or does not tell."""
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


def _of_dtypes(modules: Sequence[nn.Module]) -> str:
    dtypes = " and ".join(str(dtype).removeprefix("torch.") for dtype in _dtypes(modules))
    weights = f"its weights are {dtypes}, " if dtypes else ""
    return f"{weights}latents are float32 and labels int64: cast them in f, as in model(z.to(torch.float16))"


def _of_labels(latent: Space) -> str:
    """The range of each label, to be compared with what f knows; empty where there is none."""
    choices = {name or "the choice": part.n_choices for name, part in latent.parts.items() if part.n_choices}
    found = [f"{name} is 0 to {n - 1}" for name, n in choices.items()]
    return f"{', '.join(found)}: does f know as many? gentest.Categorical(n) gives 0 to n - 1" if found else ""
