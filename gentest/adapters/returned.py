"""What a generator returned, checked and made into float32: images, or whatever else it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from gentest.adapters.arrays import as_tensor
from gentest.errors import GeneratorError

TANH = (-1.0, 1.0)
Range: TypeAlias = "tuple[float, float] | None"
Sizes: TypeAlias = Mapping[str, tuple[int, ...]]


def as_images(raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
    """Images [n, C, H, W], the range (tanh's, unless declared) mapped to [0, 1]; `sizes` are those of the latents."""
    raw = _tensor(raw, "a tensor or array of images")
    if raw.ndim == 3:
        raw = raw[:, None]
    if raw.ndim != 4 or raw.shape[0] != n:
        raise GeneratorError(
            f"the generator returned shape {tuple(raw.shape)} for latents {sizes}; "
            f"expected [{n}, C, H, W] or [{n}, H, W]"
            + ("; of outputs that are no images say images=False" if raw.ndim and raw.shape[0] == n else "")
        )
    if raw.shape[1] > 4 and raw.shape[3] in (1, 3):
        raise GeneratorError(
            f"the generator returned shape {tuple(raw.shape)}, channels last; expected [{n}, C, H, W]: "
            "return x.permute(0, 3, 1, 2)"
        )
    if raw.dtype == torch.uint8 and output_range is None:
        raise GeneratorError("the generator returned uint8 values; say Generator(..., output_range=(0, 255))")
    if raw.is_complex():
        raise GeneratorError("the generator returned complex values; expected real images")
    return _mapped(raw, output_range or TANH)


def as_values(raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
    """Outputs [n, ...] of any kind, in their own units unless a range is declared; numbers [n] become [n, 1]."""
    raw = _tensor(raw, "a tensor or array of outputs")
    if raw.ndim == 1:
        raw = raw[:, None]
    if raw.ndim < 1 or raw.shape[0] != n or 0 in raw.shape:
        raise GeneratorError(
            f"the generator returned shape {tuple(raw.shape)} for latents {sizes}; expected [{n}, ...]"
        )
    if raw.is_complex():
        raise GeneratorError("the generator returned complex values; expected real ones: return torch.view_as_real(x)")
    return _mapped(raw, output_range or (0.0, 1.0))


def _tensor(raw: object, expected: str) -> Tensor:
    if isinstance(raw, np.ndarray):
        raw = as_tensor(raw)
    if not isinstance(raw, Tensor):
        raise GeneratorError(f"the generator returned a {type(raw).__name__}; expected {expected}")
    return raw


def _mapped(raw: Tensor, output_range: tuple[float, float]) -> Tensor:
    low, high = output_range
    return (raw.to(torch.float32) - low).div_(high - low)
