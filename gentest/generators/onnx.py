"""ONNX graphs as generators, run by onnxruntime."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from gentest._support.printable import first_line
from gentest.errors import GeneratorError, InvalidArgument
from gentest.generators.calling import check_numbers, in_batches_of
from gentest.generators.modules import Holder
from gentest.outputs.returned import as_tensor
from gentest.spaces import Part, Space

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    **{f"tensor({name})": name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    "tensor(bool)": "bool",
}
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])")
"""The protobuf field that names a file of external weights: the length of the name, then the name."""
CHUNK = 1 << 20
Provider: TypeAlias = "str | tuple[str, Mapping[str, Any]]"
"""A backend of onnxruntime: its name, or a pair (name, options)."""


@dataclass(frozen=True)
class Input:
    """One input of a graph: its name, NumPy dtype, and shape, with None for dynamic sizes."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    """Empty if the graph does not declare the number of axes."""

    def __str__(self) -> str:
        return f"{self.name!r} ({self.dtype}{f' {_sizes(self.shape)}' if self.shape else ''})"


class OnnxModel(Holder):
    """An ONNX graph as a callable on tensors: `f(z)`, or `f(z=..., label=...)` by the names of its inputs.

    `model` is the path of a .onnx file, or its bytes. `output` names the output to return, the first by default. Inputs
    are cast to the dtypes that the graph declares; a graph of one batch size is called as often as needed. It runs on
    the device of its inputs if onnxruntime supports that, or on `providers`, each a name or a pair (name, options).
    `sess_options` is an `onnxruntime.SessionOptions`.

    Wrap the model to convert inputs, for example a label to one-hot:

        model = gentest.generators.onnx.OnnxModel("gan.onnx")
        gentest.Generator(
            lambda z, label: model(z=z, label=torch.nn.functional.one_hot(label, 10)),
            latent=gentest.Joint(z=gentest.Normal(64), label=gentest.Categorical(10)),
        )

    Raises `InvalidArgument` if onnxruntime is not installed, if it cannot load the model, or if the model has no such
    output.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        output: str | None = None,
        providers: Sequence[Provider] | None = None,
        sess_options: Any = None,
    ) -> None:
        if not isinstance(model, (str, os.PathLike, bytes)):
            raise InvalidArgument.expected("the path of a .onnx file, or its bytes", "model", model)
        try:
            import onnxruntime
        except ImportError as error:
            raise InvalidArgument(
                f"an ONNX model needs onnxruntime: pip install 'pytest-gentest[onnx]' ({error})"
            ) from error
        known = onnxruntime.get_available_providers()  # onnxruntime only warns of others, and takes the CPU
        if isinstance(providers, str) or not all(
            _provider_name(p) in known for p in (() if providers is None else providers)
        ):
            what = f"a list of {', '.join(known)}, or of pairs (name, {{option: value}})"
            raise InvalidArgument.expected(what, "providers", providers)
        if sess_options is not None and not isinstance(sess_options, onnxruntime.SessionOptions):
            raise InvalidArgument.expected("an onnxruntime.SessionOptions", "sess_options", sess_options)
        self._runtime = onnxruntime
        self._model = model if isinstance(model, bytes) else os.fspath(model)
        self._providers = None if providers is None else list(providers)
        self._options = sess_options
        self._sessions: dict[int | None, Any] = {}
        """Sessions by the index of a GPU; None for the CPU."""
        session = self._session(torch.device("cpu"))
        self.inputs = tuple(_input_of(value) for value in session.get_inputs())
        names = [value.name for value in session.get_outputs()]
        if output is not None and output not in names:
            raise InvalidArgument.expected(f"one of the model's outputs, {', '.join(names)}", "output", output)
        self.output = names[0] if output is None else output
        self.digest = _digest(self._model)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the model, since sessions cannot be copied. Raises `TypeError` if there are `sess_options`."""
        if self._options is not None:
            raise TypeError(
                "an OnnxModel with sess_options cannot be copied to another process: leave sess_options out"
            )
        return partial(OnnxModel, output=self.output, providers=self._providers), (self._model,)

    def __repr__(self) -> str:
        name = "bytes" if isinstance(self._model, bytes) else Path(self._model).name
        return f"OnnxModel({name}, {', '.join(map(str, self.inputs))})"

    @property
    def modules(self) -> Sequence[nn.Module]:
        return ()

    @property
    def content(self) -> Sequence[object]:
        return self.digest, self.output

    def check(self, latent: Space, noise: Mapping[str, Part]) -> None:
        """Raises `InvalidArgument` if the graph's inputs do not fit a latent space and noise."""
        check_numbers(latent, "an ONNX graph")
        parts = {**latent.parts, **noise}
        names = {value.name: value for value in self.inputs}
        if "" in parts:
            (free,) = [set(names) - set(noise)]
            if len(free) == 1:
                parts[free.pop()] = parts.pop("")
        if set(parts) != set(names):
            given = " and ".join([repr(latent), *(f"noise {name!r}" for name in noise)])
            raise InvalidArgument(
                f"the model takes {', '.join(map(str, self.inputs))} but gets {given}: name each input, as in "
                f"gentest.Joint({', '.join(f'{name}=...' for name in names)})"
            )
        for name, part in parts.items():
            declared = names[name].shape
            if declared and not _fits(declared, (None, *part.shape)):
                raise InvalidArgument(
                    f"the model takes {names[name]}, and {part!r} gives {_sizes((None, *part.shape))}; "
                    "to convert it, wrap gentest.generators.onnx.OnnxModel in a function"
                )

    def __call__(self, *latents: Tensor, **named: Tensor) -> Tensor:
        free = [value.name for value in self.inputs if value.name not in named]
        inputs = {**(dict(zip(free, latents, strict=True)) if len(latents) == len(free) == 1 else {}), **named}
        if set(inputs) != {value.name for value in self.inputs}:
            given = [*(["one without a name"] * len(latents)), *map(repr, named)]
            raise GeneratorError(
                f"the model takes {', '.join(map(str, self.inputs))} but was given {', '.join(given) or 'nothing'}"
            )
        fixed = {value.shape[0] for value in self.inputs if value.shape}
        size = fixed.pop() if len(fixed) == 1 else None  # onnxruntime rejects several that differ
        outputs: Tensor = in_batches_of(size, self._run, inputs)
        return outputs

    def _run(self, inputs: dict[str, Tensor]) -> Tensor:
        session = self._session(next(iter(inputs.values())).device)
        arrays = {value.name: _cast(inputs[value.name], value) for value in self.inputs}
        (output,) = session.run([self.output], arrays)
        if not isinstance(output, np.ndarray):
            raise GeneratorError(f"output {self.output!r} is a {type(output).__name__}; expected a tensor")
        return as_tensor(output)

    def _session(self, device: torch.device) -> Any:
        """The session for a device, opened on first use."""
        on_gpu = device.type == "cuda" and CUDA in self._runtime.get_available_providers()
        index = (device.index or 0) if on_gpu else None
        if index not in self._sessions:
            own = [CPU] if index is None else [(CUDA, {"device_id": index}), CPU]
            self._sessions[index] = self._open_session(own if self._providers is None else self._providers)
        return self._sessions[index]

    def _open_session(self, providers: Sequence[Any]) -> Any:
        try:
            return self._runtime.InferenceSession(self._model, sess_options=self._options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base class
            model = "from bytes" if isinstance(self._model, bytes) else repr(self._model)
            raise InvalidArgument(f"onnxruntime cannot load the model {model}: {first_line(error)}") from error


def _provider_name(provider: object) -> object:
    """The name of a provider, given as a name or a pair (name, options); None for anything else."""
    if isinstance(provider, (tuple, list)) and len(provider) == 2 and isinstance(provider[1], Mapping):
        return provider[0]
    return provider if isinstance(provider, str) else None


def _input_of(value: Any) -> Input:
    if value.type not in DTYPES:
        raise InvalidArgument(
            f"input {value.name!r} of the model is a {value.type}; expected one of {', '.join(DTYPES)}"
        )
    sizes = tuple(n if isinstance(n, int) and n > 0 else None for n in value.shape or ())
    return Input(value.name, DTYPES[value.type], sizes)


def _cast(value: Tensor, declared: Input) -> np.ndarray[Any, Any]:
    array = value.detach().cpu().numpy()
    if array.dtype.kind == "f" and np.dtype(declared.dtype).kind != "f":
        raise GeneratorError(f"the model takes {declared} but was given {array.dtype} values")
    return np.ascontiguousarray(array, dtype=declared.dtype)


def _fits(declared: Sequence[int | None], given: Sequence[int | None]) -> bool:
    """True if a shape fits a declared one; None stands for any size."""
    return len(declared) == len(given) and all(
        d is None or n is None or d == n for d, n in zip(declared, given, strict=True)
    )


def _sizes(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if n is None else str(n) for n in shape)}]"


def is_within(name: str) -> bool:
    """True if a name, read from a file, stays inside the file's own folder.

    >>> is_within("weights.bin"), is_within("../weights.bin"), is_within("/dev/zero")
    (True, False, False)
    """
    path = PurePath(name)
    return "\0" not in name and not path.is_absolute() and ".." not in path.parts


def _digest(model: str | bytes) -> str:
    """The SHA-256 of a model's bytes and of its files of external weights."""
    path = None if isinstance(model, bytes) else Path(model)
    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    digest = hashlib.sha256(content)
    names = [content[m.end() : m.end() + m[1][0]].decode("utf-8", "replace") for m in LOCATION.finditer(content)]
    for name in sorted(set(names)):
        if path is not None and is_within(name) and (path.parent / name).is_file():
            with suppress(OSError), (path.parent / name).open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()
