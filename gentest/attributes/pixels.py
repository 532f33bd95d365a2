"""Attributes of the pixels, without a model: brightness, contrast, saturation, colourfulness, sharpness.

All are dimensionless and take grey or RGB images in [0, 1] on any device; `pixels` takes any number of channels.
Gradients flow, and are 0 rather than NaN where a deviation vanishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes.attribute import Named, check_images
from gentest.errors import InvalidArgument

REC_601 = (0.299, 0.587, 0.114)
"""The weights of R, G and B in the luma of ITU-R BT.601, as in PIL's mode "L"."""


@dataclass(frozen=True, repr=False)
class Pixels(Named):
    """A measure of pixels as a value: it hashes, compares, pickles and prints as code."""

    name: str
    measure: Callable[[Tensor], Tensor]
    of_images: bool = True
    """False if `measure` takes any outputs [B, ...], and not only images."""

    @property
    def address(self) -> str:
        """The key of its measurements in the cache."""
        return f"pixels {self.name}"

    def __call__(self, images: Tensor) -> Tensor:
        return self.measure(check_images(images, (1, 3) if self.of_images else None))

    def __repr__(self) -> str:
        return f"{self.name}()"


def brightness() -> Pixels:
    """Brightness [B] in [0, 1]: the mean of all values in all channels. 0 is black, 1 is white.

    >>> brightness()(torch.full((1, 3, 8, 8), 0.25))
    tensor([0.2500])
    """
    return Pixels("brightness", _brightness)


def contrast() -> Pixels:
    """RMS contrast [B] in [0, 0.5]: the standard deviation of luma over the image. 0 is flat.

    Source: Peli, "Contrast in complex images", JOSA A 7(10), 1990.

    >>> contrast()(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2))
    tensor([0.5000])
    """
    return Pixels("contrast", _contrast)


def saturation() -> Pixels:
    """Mean HSV saturation [B] in [0, 1]: the mean of (max - min) / max over R, G and B. 0 is grey, as is black.

    >>> saturation()(torch.tensor([1.0, 0.5, 0.5]).view(1, 3, 1, 1))
    tensor([0.5000])
    """
    return Pixels("saturation", _saturation)


def colorfulness() -> Pixels:
    """Colourfulness [B], at least 0: 0 is grey, 0.06 slightly, 0.18 averagely, 0.43 extremely colourful.

    It is sqrt(var rg + var yb) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2), with rg = R - G and yb = (R + G) / 2 - B. Source:
    Hasler and Süsstrunk, "Measuring colourfulness in natural images", 2003; their scale is [0, 255].

    >>> colorfulness()(torch.rand(1, 1, 8, 8)).item()
    0.0
    """
    return Pixels("colorfulness", _colorfulness)


def sharpness() -> Pixels:
    """Sharpness [B], at least 0: the standard deviation of the luma's Laplacian. 0 is flat or a ramp.

    The Laplacian is four times a pixel minus its four neighbours, at every pixel that has four. Noise is sharp too.
    Twice the contrast is twice the sharpness. Source: the square root of LAPV, Pech-Pacheco et al., "Diatom
    autofocusing in brightfield microscopy: a comparative study", ICPR 2000. Raises `InvalidArgument` for less than 3 x
    3 pixels.

    >>> sharpness()(torch.linspace(0, 1, 5).expand(1, 1, 5, 5)).item() < 1e-6
    True
    """
    return Pixels("sharpness", _sharpness)


def pixels() -> Pixels:
    """The pixels as a feature [B, C * H * W], each divided by sqrt(C * H * W).

    The L2 distance of two images is then the root mean square of their difference, in [0, 1]. With `images=False` the
    feature holds the outputs' values [B, ...], and the distance is in their units.

    >>> black, white = pixels()(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 8, 8))
    >>> torch.dist(black, white)
    tensor(1.)
    """
    return Pixels("pixels", _pixels, of_images=False)


def _brightness(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


def _contrast(images: Tensor) -> Tensor:
    return _deviation(_luma(images))


def _saturation(images: Tensor) -> Tensor:
    top = images.amax(1)  # [B, H, W]
    span = top - images.amin(1)
    return (span / top.where(top > 0, 1.0)).mean((1, 2))


def _colorfulness(images: Tensor) -> Tensor:
    red, green, blue = images.expand(-1, 3, -1, -1).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], 1).flatten(2)  # [B, 2, H * W]
    means = opponents.mean(2)
    spread = _norm((opponents - means[..., None]).flatten(1)) / math.sqrt(opponents.shape[2])
    return spread + 0.3 * _norm(means)


def _sharpness(images: Tensor) -> Tensor:
    if min(images.shape[2:]) < 3:
        raise InvalidArgument(f"sharpness needs images of at least 3 x 3 pixels, not {tuple(images.shape[2:])}")
    kernel = images.new_tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]])
    return _deviation(F.conv2d(_luma(images)[:, None], kernel[None, None]).squeeze(1))


def _pixels(images: Tensor) -> Tensor:
    rows = images.flatten(1)
    return rows / math.sqrt(rows.shape[1])


def _luma(images: Tensor) -> Tensor:
    """Luma [B, H, W]; that of a grey image is the image itself."""
    if images.shape[1] == 1:
        return images[:, 0]
    return torch.einsum("bchw,c->bhw", images, images.new_tensor(REC_601))


def _deviation(values: Tensor) -> Tensor:
    """Standard deviation [B] of values [B, H, W]."""
    rows = values.flatten(1)
    return _norm(rows - rows.mean(1, keepdim=True)) / math.sqrt(rows.shape[1])


def _norm(rows: Tensor) -> Tensor:
    """L2 norms [B] of rows [B, D]. The gradient at 0 is 0; that of a square root would not be finite."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms
