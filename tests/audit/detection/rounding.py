"""Weights as the files in `weights/` hold them: 8 bits each, with a scale for every row."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

SCALE = ".scale"
"""What the name of a tensor of scales ends with, beside that of the rounded weights."""


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in 8 bits a weight and a scale for every row; vectors in half precision, counters as is."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            scale = tensor.flatten(1).abs().amax(1).clamp_min(1e-8) / 127  # [rows]
            rows = scale.view(-1, *[1] * (tensor.ndim - 1))
            packed[name] = (tensor / rows).round().to(torch.int8)
            packed[name + SCALE] = scale
        else:
            packed[name] = tensor.half() if tensor.is_floating_point() else tensor
    return {name: tensor.contiguous() for name, tensor in packed.items()}


def unpack(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `pack` rounded, in float32."""
    state: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        scale = packed.get(name + SCALE)
        if scale is not None:
            state[name] = tensor.float() * scale.view(-1, *[1] * (tensor.ndim - 1))
        else:
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def read(path: Path) -> dict[str, Tensor]:
    """The weights in a file that `train.py` wrote."""
    return unpack(load_file(path))
