"""Changes of a checkpoint that a gate must let pass: the same network in another file, format, batch, or rounding.

Harmless is what moves images by less than one step of 8 bits on average: `difference` measures it, and the bench
refuses to call anything harmless that it does not hold for.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import fusion

import gentest
from tests.audit.detection import changing
from tests.audit.detection.changing import Candidate
from tests.audit.detection.models import Model, State

LATENTS = 256
STEP = 1 / 255
"""A step of 8 bits, of images in [0, 1]."""

Made = Callable[[], gentest.Generator]


def harmless(model: Model) -> list[Candidate]:
    """Every harmless change of a model: twenty."""
    changes = [Candidate(model, name, says, make) for name, says, make in _changes(model)]
    good = partial(_of_state, model, changing.same)
    sizes = [Candidate(model, f"batch {n}", f"batches of {n}", good, batch_size=n) for n in (16, 32, 64, 256)]
    return [*changes, *sizes, Candidate(model, "threads 2", "two threads", good, threads=2)]


def confirmed(model: Model, generator: gentest.Generator, *, n: int = LATENTS) -> float:
    """The `difference` of a harmless change. Raises `ValueError` where it is none."""
    moved = difference(model, generator, n=n)
    if not moved < STEP:
        raise ValueError(f"{model.name}: not harmless, images differ by {moved * 255:.2f}/255")
    return moved


def difference(model: Model, generator: gentest.Generator, *, n: int = LATENTS) -> float:
    """By how much images of `n` latents differ on average from the good checkpoint's, in [0, 1]."""
    good, latents = model.generator(model.module(model.good())), model.inputs(n, seed=2)
    with torch.no_grad():
        return float((generator.outputs(latents) - good.outputs(latents)).abs().mean())


def _changes(model: Model) -> Iterator[tuple[str, str, Made]]:
    def of(change: Callable[[State], State]) -> Made:
        return partial(_of_state, model, change)

    yield "pt", "saved again by torch", of(partial(_through_torch, new=True))
    yield "old pt", "saved again in torch's older format", of(partial(_through_torch, new=False))
    yield "safetensors", "saved as safetensors", of(_through_safetensors)
    yield "npz", "saved as arrays of NumPy", of(_through_numpy)
    yield "fp16", "weights in half precision", of(partial(changing.cast, dtype=torch.float16))
    yield "bf16", "weights in bfloat16", of(partial(changing.cast, dtype=torch.bfloat16))
    yield "8 bit rows", "weights in 8 bits, a scale a row", of(partial(changing.rounded, bits=8, rows=True))
    yield "8 bit", "weights in 8 bits, a scale a tensor", of(partial(changing.rounded, bits=8))
    yield "TorchScript", "traced", partial(_traced, model)
    yield "TorchScript scripted", "scripted", partial(_scripted, model)
    yield "torch.export", "exported", partial(_exported, model)
    yield "ONNX", "exported to ONNX, on onnxruntime", partial(_onnx, model)
    yield "float64", "evaluated in double precision", partial(_in_double, model)
    yield "channels last", "evaluated with channels last", partial(_channels_last, model)
    yield "NumPy", "called with arrays of NumPy", partial(_on_arrays, model)


def _good(model: Model) -> nn.Module:
    return model.module(model.good()).eval()


def _of_state(model: Model, change: Callable[[Any], Any]) -> gentest.Generator:
    return model.generator(model.module(change(model.good())).eval())


def _through_torch(state: State, *, new: bool) -> State:
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=new)
    file.seek(0)
    again: State = torch.load(file, weights_only=True)
    return again


def _through_safetensors(state: State) -> State:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
        return load_file(path)


def _through_numpy(state: State) -> State:
    file = io.BytesIO()
    np.savez(file, **{name: tensor.numpy() for name, tensor in state.items()})
    file.seek(0)
    with np.load(file) as arrays:
        return {name: torch.from_numpy(arrays[name].copy()) for name in arrays.files}


@contextmanager
def _quietly() -> Iterator[None]:
    """Exporters say much that is none of the bench's business."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _arguments(model: Model) -> tuple[Tensor, ...]:
    return tuple(model.inputs(4).values())


def _traced(model: Model) -> gentest.Generator:
    with _quietly():
        script = torch.jit.trace(_good(model), _arguments(model))
    return gentest.Generator.from_torchscript(script, latent=model.latent, output_range=(-1, 1))


def _scripted(model: Model) -> gentest.Generator:
    with _quietly():
        script = torch.jit.script(_good(model))
    return gentest.Generator.from_torchscript(script, latent=model.latent, output_range=(-1, 1))


def _named(model: Model) -> dict[str, Tensor]:
    """Latents by the names that the network's own arguments have."""
    return {name or "input": z for name, z in model.inputs(4).items()}


def _shapes(model: Model) -> dict[str, dict[int, Any]]:
    n = torch.export.Dim("n", min=1, max=4096)
    return {name: {0: n} for name in _named(model)}


def _exported(model: Model) -> gentest.Generator:
    with _quietly():
        positional = _arguments(model) if not model.continuous else ()
        named = {} if not model.continuous else _named(model)
        program = torch.export.export(_good(model), positional, named, dynamic_shapes=_shapes(model))
    return gentest.Generator.from_exported(program, latent=model.latent, output_range=(-1, 1))


def _onnx(model: Model) -> gentest.Generator:
    with _quietly(), tempfile.TemporaryDirectory() as folder:
        path, names = Path(folder) / "net.onnx", [name or "z" for name in model.inputs(1)]
        net, shapes = _good(model), _shapes(model)
        torch.onnx.export(
            net, _arguments(model), path, input_names=names, dynamic_shapes=shapes, dynamo=True, verbose=False
        )
        one = path.read_bytes() if not path.with_suffix(".onnx.data").exists() else None
        source: Any = one if one is not None else path
        return gentest.Generator.from_onnx(source, latent=model.latent, output_range=(-1, 1))


class InDouble(nn.Module):
    """A network that computes in double precision."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.double()

    def forward(self, z: Tensor, **others: Tensor) -> Tensor:
        """The images of latents [B, ...], in double precision."""
        image: Tensor = self.inner(z.double(), **others)
        return image


def _in_double(model: Model) -> gentest.Generator:
    return model.generator(InDouble(_good(model)))


def _channels_last(model: Model) -> gentest.Generator:
    return model.generator(_good(model).to(memory_format=torch.channels_last))  # type: ignore[call-overload]


def _on_arrays(model: Model) -> gentest.Generator:
    net = _folded(_good(model))

    def arrays(*latents: np.ndarray[Any, Any], **named: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            tensors = [torch.from_numpy(z) for z in latents]
            image: Tensor = net(*tensors, **{name: torch.from_numpy(z) for name, z in named.items()})
            return image.numpy()

    return gentest.Generator.from_numpy(arrays, latent=model.latent, output_range=(-1, 1))


def _folded(net: nn.Module) -> nn.Module:
    """The network with each batch norm in the transposed convolution before it, as it is deployed."""
    layers = getattr(net, "main", None)
    if not isinstance(layers, nn.Sequential):
        return net
    folded: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            folded[-1] = fusion.fuse_conv_bn_eval(folded[-1], layer, transpose=True)
        else:
            folded.append(layer)
    return nn.Sequential(*folded)
