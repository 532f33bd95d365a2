"""Attributes and features: an attribute is a score for each image, a feature an embedding for each image.

Any callable will do. Two protocols allow more. A `Readout` is read out of a feature that it shares with others, so that
the feature is computed once for all of them. A `Bindable` waits for what only the session knows: the device, the CLIP,
the cached prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Protocol, TypeGuard, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from gentest.errors import AttributeFailed, InvalidArgument, out_of_memory
from gentest.results.settings import Precision

if TYPE_CHECKING:
    from gentest.attributes.prompts import PromptCache


class Attribute(Protocol):
    """A score for each image: float images [B, C, H, W] in [0, 1] to scores [B], in the attribute's own units.

    With `images=False` it gets the generator's outputs [B, ...] instead, as features and distances do.
    """

    def __call__(self, images: Tensor, /) -> Tensor: ...


class Feature(Protocol):
    """An embedding for each image: float images [B, C, H, W] in [0, 1] to rows [B, D]."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


@runtime_checkable
class Readout(Protocol):
    """An attribute that is read out of a feature: `attribute(images)` is `attribute.read(attribute.feature(images))`.

    Attributes with equal features share one embedding of each image. A feature may be read out of another feature in
    the same way; its `read` then gives rows [B, K].
    """

    @property
    def feature(self) -> Feature: ...

    def read(self, embedding: Tensor, /) -> Tensor:
        """Scores [B] from the feature's rows [B, D]."""
        ...

    def __call__(self, images: Tensor, /) -> Tensor: ...


@runtime_checkable
class Lowerable(Protocol):
    """A bound feature with rows [B, D] that also exists in a lower precision, for screening."""

    def lowered(self, precision: Precision, /) -> Feature:
        """The same feature in that precision. Equal features give equal ones."""
        ...


@dataclass(frozen=True)
class Setup:
    """The session's facts that an attribute may need before it can run."""

    device: torch.device
    clip: str | None = None
    """The session's CLIP, as `MODEL:PRETRAINED`, `local-dir:DIR` or `hf-hub:ORG/REPO`."""
    prompts: PromptCache | None = None
    """Stored text embeddings, which replace CLIP's text tower."""


@runtime_checkable
class Bindable(Protocol):
    """An attribute, feature or distance that needs the session's device, CLIP or prompts before it can run."""

    def bind(self, setup: Setup, /) -> object: ...


class Named:
    """An attribute, feature or distance whose repr is the code that makes it; reports show that."""


def is_readout(thing: object) -> TypeGuard[Readout]:
    """True for a `Readout`. `isinstance` of a protocol takes 30 us in Python 3.11; `hasattr` takes 0.1 us."""
    return hasattr(thing, "read") and hasattr(thing, "feature") and callable(thing)


def is_lowerable(thing: object) -> TypeGuard[Lowerable]:
    """True for a `Lowerable`."""
    return hasattr(thing, "lowered")


def is_bindable(thing: object) -> TypeGuard[Bindable]:
    """True for a `Bindable`."""
    return hasattr(thing, "bind")


def bind(attribute: object, setup: Setup) -> object:
    """The attribute, feature or distance, ready to run: the result of its `bind`, or itself if it has none."""
    return attribute.bind(setup) if is_bindable(attribute) else attribute


def describe(attribute: object) -> str:
    """The name of an attribute, feature or distance in reports: gentest's own as code, anything else by its name.

    >>> from gentest.attributes import brightness
    >>> describe(brightness()), describe(torch.sigmoid), describe(torch.nn.Identity())
    ('brightness()', 'sigmoid', 'Identity')
    """
    if isinstance(attribute, partial):
        return describe(attribute.func)
    if isinstance(attribute, Named):
        return repr(attribute)
    if isinstance(attribute, (FunctionType, MethodType)):
        return attribute.__qualname__.replace("<locals>.", "")
    return str(getattr(attribute, "__name__", type(attribute).__qualname__))


def fingerprint(attribute: object) -> str:
    """The model behind a bound attribute or feature, as 16 hexadecimal digits; empty if there is none."""
    digits = getattr(getattr(attribute, "feature", attribute), "fingerprint", "")
    return digits if isinstance(digits, str) else ""


def weights_fingerprint(module: nn.Module) -> str:
    """16 hexadecimal digits of the SHA-256 of a module's state: each tensor's name, shape and float32 values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.float().contiguous().cpu().numpy().astype("<f4", copy=False))
    return digest.hexdigest()[:16]


def check_images(images: Tensor, channels: tuple[int, ...] | None = (1, 3)) -> Tensor:
    """The images [B, C, H, W] as float32. Raises `InvalidArgument` for another type or shape.

    `channels` are the numbers of channels that are allowed; None allows any.
    """
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise InvalidArgument(f"Expected float images [B, C, H, W] in [0, 1] but got {got}")
    if channels is not None and images.shape[1] not in channels:
        remedy = "return x[:, :3] for RGB of RGBA" if images.shape[1] == 4 else "return the channels that are meant"
        raise InvalidArgument(
            f"Expected images of {' or '.join(map(str, channels))} channels but got shape {tuple(images.shape)}: "
            f"{remedy}, or measure with a callable of your own on [B, C, H, W]"
        )
    return images.float()


def score(attribute: Attribute, images: Tensor) -> Tensor:
    """Scores [B], float32, of images [B, C, H, W]. Gradients flow; scores may still be non-finite.

    Raises `AttributeFailed`, which names the attribute and the shapes, if it raises or returns anything but [B].

    >>> score(lambda images: images.amax((1, 2, 3)), torch.ones(2, 3, 4, 4))
    tensor([1., 1.])
    """
    return _check_scores(attribute, evaluate(attribute, images), len(images), f"images {tuple(images.shape)}")


def embed(feature: Feature, images: Tensor) -> Tensor:
    """Rows [B, D], float32, of images [B, C, H, W]; features of more dimensions are flattened. Gradients flow.

    Raises `AttributeFailed`, which names the feature and the shapes, if it raises or returns anything but B rows.

    >>> embed(lambda images: images[:, :, ::2, ::2], torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 12])
    """
    rows = as_numbers(feature, evaluate(feature, images), images.device)
    return _check_rows(feature, rows, len(images), f"images {tuple(images.shape)}")


def read(attribute: Readout, embedding: Tensor) -> Tensor:
    """Scores [B], float32, of rows [B, D] of the attribute's feature. Raises as `score` does."""
    given = f"rows {tuple(embedding.shape)} of {describe(attribute.feature)}"
    return _check_scores(attribute, call(attribute, attribute.read, given, embedding), len(embedding), given)


def read_rows(feature: Readout, embedding: Tensor) -> Tensor:
    """Rows [B, K], float32, of a feature that is read out of rows [B, D] of another. Raises as `embed` does."""
    given = f"rows {tuple(embedding.shape)} of {describe(feature.feature)}"
    rows = as_numbers(feature, call(feature, feature.read, given, embedding), embedding.device)
    return _check_rows(feature, rows, len(embedding), given)


def _check_rows(feature: object, rows: Tensor, n_images: int, given: str) -> Tensor:
    if rows.ndim < 2 or len(rows) != n_images:
        raise AttributeFailed(
            f"feature {describe(feature)} gave shape {tuple(rows.shape)} for {given}; "
            f"expected one row for each image: ({n_images}, D)"
        )
    return rows.flatten(1)


def _check_scores(attribute: object, result: object, n_images: int, given: str) -> Tensor:
    """An attribute's result as float32 scores [n_images]. `given` describes its input, for errors."""
    scores = as_numbers(attribute, result, None)
    if scores.shape != (n_images,):
        raise AttributeFailed(
            f"attribute {describe(attribute)} gave shape {tuple(scores.shape)} for {given}; "
            f"expected one score for each image: ({n_images},)"
        )
    return scores


def evaluate(attribute: Attribute, images: Tensor) -> object:
    """The unchecked result of an attribute or feature for images. Raises `AttributeFailed` if it raises."""
    return call(attribute, attribute, f"images {tuple(images.shape)} {images.dtype} on {images.device}", images)


def call(attribute: object, function: Callable[..., object], given: str, *inputs: Tensor) -> object:
    """The unchecked result of a function of an attribute, feature or distance.

    `given` describes the inputs, for errors. Raises `AttributeFailed` if the function raises; exhausted memory passes,
    since the caller may retry with fewer images.
    """
    try:
        return function(*inputs)
    except Exception as error:
        if out_of_memory(error):
            raise
        raise AttributeFailed(f"{describe(attribute)} raised {type(error).__name__} for {given}: {error}") from error


def as_numbers(attribute: object, result: object, device: torch.device | None) -> Tensor:
    """The result as a float32 tensor. Raises `AttributeFailed` for anything but real numbers."""
    if isinstance(result, np.ndarray) and result.dtype.kind in "fiu":
        result = torch.as_tensor(result, device=device)
    if not isinstance(result, Tensor):
        raise AttributeFailed(f"{describe(attribute)} gave a {type(result).__name__}; expected a tensor of numbers")
    if result.dtype == torch.bool or result.is_complex():
        raise AttributeFailed(
            f"{describe(attribute)} gave {result.dtype}; expected floats (or integers): call .float()"
        )
    return result.float()
