"""The opinion of a pipeline's safety checker, as an attribute of images.

A pipeline of diffusers replaces an image that its checker flags by a black one. gentest switches that off, so that a
property judges the image itself, and reads the flag here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gentest.attributes.attribute import Named, check_images
from gentest.errors import InvalidArgument


@dataclass(frozen=True, repr=False)
class Flagged(Named):
    """The value of `flagged`."""

    checker: nn.Module
    extractor: Any

    def __call__(self, images: Tensor) -> Tensor:
        pixels = check_images(images, channels=(3,)).clamp(0.0, 1.0)
        arrays = [np.asarray(x) for x in (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()]
        weights = [weight for weight in self.checker.parameters() if weight.is_floating_point()]
        device, dtype = (weights[0].device, weights[0].dtype) if weights else (images.device, torch.float32)
        inputs = self.extractor(arrays, return_tensors="pt").pixel_values.to(device, dtype)
        with torch.no_grad():
            # the checker writes into the images that it gets
            _, flags = self.checker(images=pixels.permute(0, 2, 3, 1).cpu().numpy().copy(), clip_input=inputs)
        return torch.tensor([float(flag) for flag in flags], device=images.device)

    def __repr__(self) -> str:
        return "flagged()"


def flagged(pipeline: Any) -> Flagged:
    """1 for images that a pipeline's safety checker flags and 0 for others, [B], from RGB images [B, 3, H, W].

    `Generator.from_diffusers` makes images as if there were no checker, so a flagged image is not black. This attribute
    asks the pipeline's own `safety_checker`, with its `feature_extractor`, on the images: a property reads the flag.

    Raises `InvalidArgument` for a pipeline without a checker.

    >>> import gentest, types
    >>> class Checker(torch.nn.Module):
    ...     def forward(self, images, clip_input):
    ...         return images, [bool(x.mean() > 0.5) for x in images]
    >>> extract = lambda arrays, return_tensors: types.SimpleNamespace(pixel_values=torch.zeros(len(arrays), 3, 2, 2))
    >>> pipeline = types.SimpleNamespace(safety_checker=Checker(), feature_extractor=extract)
    >>> gentest.flagged(pipeline)(torch.stack([torch.ones(3, 4, 4), torch.zeros(3, 4, 4)]))
    tensor([1., 0.])
    """
    checker, extractor = (getattr(pipeline, name, None) for name in ("safety_checker", "feature_extractor"))
    if not isinstance(checker, nn.Module) or not callable(extractor):
        what = "a pipeline with a safety_checker and a feature_extractor"
        raise InvalidArgument.expected(what, "pipeline", type(pipeline).__name__)
    return Flagged(checker.eval(), extractor)
