"""Measures of outputs: attributes (a score for each image), features (an embedding for each image), distances of two.

Any callable will do. gentest has measures of pixels, and those of CLIP and LPIPS.
"""

from gentest.attributes.attribute import (
    Attribute,
    Bindable,
    Feature,
    Readout,
    Setup,
    bind,
    describe,
    embed,
    read,
    score,
)
from gentest.attributes.clip import clip, clip_classes, clip_embedding
from gentest.attributes.distances import Distance, lpips, ssim
from gentest.attributes.pixels import brightness, colorfulness, contrast, pixels, saturation, sharpness
from gentest.attributes.prompts import PromptCache

__all__ = [
    "Attribute",
    "Bindable",
    "Distance",
    "Feature",
    "PromptCache",
    "Readout",
    "Setup",
    "bind",
    "brightness",
    "clip",
    "clip_classes",
    "clip_embedding",
    "colorfulness",
    "contrast",
    "describe",
    "embed",
    "lpips",
    "pixels",
    "read",
    "saturation",
    "score",
    "sharpness",
    "ssim",
]
