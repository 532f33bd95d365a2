"""CLIP's preprocessing: images resized, cropped and normalised as float tensors, on their own device.

Geometry and antialiasing are those of open_clip's own pipeline. That one goes through PIL, so through the host and 8
bits, which would hide small steps and stop gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes.attribute import check_images
from gentest.errors import ClipError

Interpolation = Literal["bicubic", "bilinear"]
ResizeMode = Literal["shortest", "longest", "squash"]


@dataclass(frozen=True)
class Preprocess:
    """The preprocessing of one CLIP, from its configuration."""

    size: tuple[int, int]
    """Height and width of the image tower's input, in pixels."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bicubic"
    resize_mode: ResizeMode = "shortest"
    """Fit the shortest side and crop the centre, fit the longest side and pad, or squash both."""
    fill: float = 0.0
    """The value of the padding, in [0, 1]."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str) -> Preprocess:
        """The preprocessing of open_clip's `preprocess_cfg` for the model `name`. Raises `ClipError` if unsupported."""
        size = config["size"]
        interpolation, resize_mode = config["interpolation"], config["resize_mode"]
        if interpolation == "random":  # for training; open_clip evaluates with bicubic
            interpolation = "bicubic"
        if interpolation not in ("bicubic", "bilinear") or resize_mode not in ("shortest", "longest", "squash"):
            raise ClipError(f"CLIP {name}: cannot preprocess with {interpolation=}, {resize_mode=}")
        mean, std = ((x,) * 3 if isinstance(x, float) else tuple(x) for x in (config["mean"], config["std"]))
        if len(mean) != 3 or len(std) != 3:
            raise ClipError(f"CLIP {name}: cannot preprocess with {mean=}, {std=}; expected one number a channel")
        height, width = (size, size) if isinstance(size, int) else size
        fill = config.get("fill_color", 0) / 255
        return cls((int(height), int(width)), mean, std, interpolation, resize_mode, fill)

    def __call__(self, images: Tensor) -> Tensor:
        """Float images [B, 1 or 3, H, W] in [0, 1] to CLIP's input [B, 3, *size]. Gradients flow."""
        images = check_images(images)
        fitted = self._fit(images.expand(-1, 3, -1, -1))
        mean, std = (_by_channel(values, fitted.device) for values in (self.mean, self.std))
        return (fitted - mean) / std

    def _fit(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        rows, columns = self.size
        if self.resize_mode == "squash":
            return _resize(images, self.size, self.interpolation)
        if self.resize_mode == "longest":
            scale = max(height / rows, width / columns)
            fitted = (round(height / scale), round(width / scale))
            return _pad(_resize(images, fitted, self.interpolation), self.size, self.fill)
        if rows == columns:
            short = min(height, width)
            fitted = (int(rows * height / short), int(rows * width / short))  # torchvision's rounding: down
            return _crop(_resize(images, fitted, self.interpolation), self.size)
        scale = min(height / rows, width / columns)
        fitted = (round(height / scale), round(width / scale))
        return _crop(_resize(images, fitted, "bicubic"), self.size)  # open_clip ignores the interpolation here


@cache
def _by_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """One number a channel, [3, 1, 1], float32: made once, since a copy to a GPU at each call would wait for it."""
    with torch.inference_mode(mode=False):  # an inference tensor could not take part in gradients later
        return torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1)


def _resize(images: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """Images resized across, then down, and clamped after each as in PIL, because bicubic overshoots at edges."""
    for fitted in ((images.shape[-2], size[1]), size):
        if images.shape[-2:] != fitted:
            images = F.interpolate(images, fitted, mode=interpolation, align_corners=False, antialias=True)
            images = images.clamp(0.0, 1.0)
    return images


def _crop(images: Tensor, size: tuple[int, int]) -> Tensor:
    top, left = (round((have - want) / 2) for have, want in zip(images.shape[-2:], size, strict=True))
    return images[..., top : top + size[0], left : left + size[1]]


def _pad(images: Tensor, size: tuple[int, int], fill: float) -> Tensor:
    down, across = (max(want - have, 0) for have, want in zip(images.shape[-2:], size, strict=True))
    padding = (across // 2, across - across // 2, down // 2, down - down // 2)
    return F.pad(images, padding, value=fill) if torch.Size(size) != images.shape[-2:] else images
