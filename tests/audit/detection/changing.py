"""What changes a checkpoint: of its weights, or of what stands before and behind its network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import gentest
from tests.audit.detection.models import Model, State


@dataclass(frozen=True)
class Candidate:
    """A checkpoint that the gate is to judge: how it is called, what was done to it, and how it is made."""

    model: Model
    name: str
    says: str
    """What was done, in a line."""
    make: Callable[[], gentest.Generator]
    batch_size: int = 128
    threads: int = 1


def same(value: Tensor) -> Tensor:
    """Nothing changed."""
    return value


class Around(nn.Module):
    """A network with something before it, on the part of the latent that moves, and behind it, on its images."""

    def __init__(
        self, inner: nn.Module, *, before: Callable[[Tensor], Tensor] = same, after: Callable[[Tensor], Tensor] = same
    ) -> None:
        super().__init__()
        self.inner = inner
        self._before = before
        self._after = after

    def forward(self, z: Tensor, **others: Tensor) -> Tensor:
        """The images of latents [B, ...]; `others` is the label."""
        image: Tensor = self.inner(self._before(z), **others)
        return self._after(image)


def noised(state: State, strength: float, *, seed: int = 0) -> State:
    """Gaussian noise on every weight and bias, of `strength` standard deviations of its tensor."""
    rng = torch.Generator().manual_seed(seed)
    learnt = [name for name, t in state.items() if name.endswith(("weight", "bias")) and t.numel() > 1]
    noise = {name: torch.randn(state[name].shape, generator=rng) for name in learnt}
    return {n: t + strength * t.std() * noise[n] if n in noise else t for n, t in state.items()}


def rounded(state: State, bits: int, *, rows: bool = False) -> State:
    """Matrices and kernels rounded to `bits` bits, symmetrically, with one scale a tensor or one for each row."""
    most = 2 ** (bits - 1) - 1

    def to_grid(tensor: Tensor) -> Tensor:
        if tensor.ndim < 2 or not tensor.is_floating_point():
            return tensor
        size = tensor.abs().flatten(1).amax(1) if rows else tensor.abs().amax().expand(len(tensor))
        scale = size.clamp_min(1e-12).view(-1, *[1] * (tensor.ndim - 1)) / most
        return (tensor / scale).round() * scale

    return {name: to_grid(tensor) for name, tensor in state.items()}


def cast(state: State, dtype: torch.dtype) -> State:
    """Weights rounded to a type, and computed with in float32."""
    return {name: t.to(dtype).float() if t.is_floating_point() else t for name, t in state.items()}


def edited(state: State, change: Callable[[Tensor], Any], *names: str) -> State:
    """Some tensors changed in place by a function; those that are not there are a mistake."""
    copied = {name: t.clone() for name, t in state.items()}
    for name in names:
        change(copied[name])
    return copied


def reinitialised(model: Model, layer: str, *, seed: int = 0) -> nn.Module:
    """The network with a layer as torch initialises it."""
    module = model.module(model.good())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module.get_submodule(layer).reset_parameters()  # type: ignore[operator]
    return module


def norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """The batch norms of a network."""
    return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]


def on_batches(module: nn.Module) -> nn.Module:
    """Batch norm by the batch's own statistics, in eval mode too: as an export in train mode has it."""
    for norm in norms(module):
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
        norm.track_running_stats = False
    return module


def without_statistics(module: nn.Module) -> nn.Module:
    """Batch norm with its running statistics as they were before training: lost in a conversion."""
    for norm in norms(module):
        norm.reset_running_stats()
    return module
