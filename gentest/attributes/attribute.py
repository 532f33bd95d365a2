"""What is measured on outputs: an attribute is a score for each image, a feature an embedding for each image.

Any callable will do. Two protocols let one do more: a `Readout` is read out of a feature that it shares with others,
so that the feature is computed once for all of them, and a `Bindable` waits for what only the session knows (the
device, which CLIP, which cached prompts)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from gentest.errors import AttributeFailed, InvalidArgument, out_of_memory
from gentest.results.settings import Precision

if TYPE_CHECKING:
    from gentest.attributes.prompts import PromptCache


class Attribute(Protocol):
    """A score for each image: float images [B, C, H, W] in [0, 1] to scores [B], in the attribute's own units.

    Of a generator of no images (`images=False`) it is given outputs [B, ...] instead, as features and distances are.
    """

    def __call__(self, images: Tensor, /) -> Tensor: ...


class Feature(Protocol):
    """An embedding for each image: float images [B, C, H, W] in [0, 1] to rows [B, D]."""

    def __call__(self, images: Tensor, /) -> Tensor: ...


@runtime_checkable
class Readout(Protocol):
    """An attribute that is read out of a feature: `attribute(images)` is `attribute.read(attribute.feature(images))`.

    Attributes whose features compare equal share one embedding of each image. A feature may be read out of another in
    the same way: its `read` then gives rows [B, K].
    """

    @property
    def feature(self) -> Feature: ...

    def read(self, embedding: Tensor, /) -> Tensor:
        """Scores [B] of the feature's rows [B, D]."""
        ...

    def __call__(self, images: Tensor, /) -> Tensor: ...


@runtime_checkable
class Lowerable(Protocol):
    """A bound feature, of rows [B, D], that can be had in a lower precision, to screen with."""

    def lowered(self, precision: Precision, /) -> Feature:
        """The same feature in that precision; those of equal features are equal."""
        ...


@dataclass(frozen=True)
class Setup:
    """What only the session knows, and an attribute may need before it can run."""

    device: torch.device
    clip: str | None = None
    """The session's CLIP, as `MODEL:PRETRAINED`, `local-dir:DIR` or `hf-hub:ORG/REPO`."""
    prompts: PromptCache | None = None
    """Stored text embeddings, instead of CLIP's text tower."""


@runtime_checkable
class Bindable(Protocol):
    """An attribute, feature or distance that needs the session's device, CLIP or prompts before it can run."""

    def bind(self, setup: Setup, /) -> object: ...


def bind(thing: object, setup: Setup) -> object:
    """The attribute, feature or distance, ready to run: what its `bind` gives, or itself where it has none."""
    return thing.bind(setup) if isinstance(thing, Bindable) else thing


def describe(thing: object) -> str:
    """A short name for a person: our own values as they are written, functions and classes by name.

    >>> from gentest.attributes import brightness
    >>> describe(brightness()), describe(torch.sigmoid), describe(torch.nn.Identity())
    ('brightness()', 'sigmoid', 'Identity')
    """
    if isinstance(thing, partial):
        return describe(thing.func)
    if type(thing).__module__.startswith("gentest."):
        return repr(thing)
    if isinstance(thing, (FunctionType, MethodType)):
        return thing.__qualname__.replace("<locals>.", "")
    return str(getattr(thing, "__name__", type(thing).__qualname__))


def fingerprint(thing: object) -> str:
    """Which model a bound attribute or feature asks, as 16 hexadecimal digits; empty for one that asks none."""
    found = getattr(getattr(thing, "feature", thing), "fingerprint", "")
    return found if isinstance(found, str) else ""


def weights_fingerprint(module: nn.Module) -> str:
    """16 hexadecimal digits of the SHA-256 of a module's state: each tensor's name, shape and float32 values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.float().contiguous().cpu().numpy().astype("<f4", copy=False))
    return digest.hexdigest()[:16]


def check_images(images: Tensor, channels: tuple[int, ...] | None = (1, 3)) -> Tensor:
    """The images as float32, checked: a float tensor [B, C, H, W] with so many channels, or any number (None)."""
    if not isinstance(images, Tensor) or not images.is_floating_point() or images.ndim != 4:
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise InvalidArgument(f"Expected float images [B, C, H, W] in [0, 1] but got {got}")
    if channels is not None and images.shape[1] not in channels:
        wanted = " or ".join(map(str, channels))
        way_out = (
            "return x[:, :3] for RGB of RGBA, or" if images.shape[1] == 4 else "return the channels that are meant, or"
        )
        raise InvalidArgument(
            f"Expected images of {wanted} channels but got shape {tuple(images.shape)}: "
            f"{way_out} measure with a callable of your own on [B, C, H, W]"
        )
    return images.float()


def score(attribute: Attribute, images: Tensor) -> Tensor:
    """Scores [B], float32, of images [B, C, H, W]; gradients flow. Whether they are finite is not asked here.

    Raises `AttributeFailed`, which names the attribute and the shapes, where it raised or gave anything but [B].

    >>> score(lambda images: images.amax((1, 2, 3)), torch.ones(2, 3, 4, 4))
    tensor([1., 1.])
    """
    return check_scores(attribute, called(attribute, images), len(images), f"images {tuple(images.shape)}")


def embed(feature: Feature, images: Tensor) -> Tensor:
    """Rows [B, D], float32, of images [B, C, H, W]; a feature of more dimensions is flattened. Gradients flow.

    Raises `AttributeFailed`, which names the feature and the shapes, where it raised or gave anything but B rows.

    >>> embed(lambda images: images[:, :, ::2, ::2], torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 12])
    """
    rows = _numbers(feature, called(feature, images), images.device)
    return _check_rows(feature, rows, len(images), f"images {tuple(images.shape)}")


def read(attribute: Readout, embedding: Tensor) -> Tensor:
    """Scores [B], float32, read out of rows [B, D] of the attribute's feature; checked as `score` checks."""
    result, given = _read(attribute, embedding)
    return check_scores(attribute, result, len(embedding), given)


def read_rows(feature: Readout, embedding: Tensor) -> Tensor:
    """Rows [B, K], float32, of a feature that is read out of rows [B, D] of another; checked as `embed` checks."""
    result, given = _read(feature, embedding)
    return _check_rows(feature, _numbers(feature, result, embedding.device), len(embedding), given)


def _read(thing: Readout, embedding: Tensor) -> tuple[object, str]:
    """What a readout gives, and of what."""
    given = f"rows {tuple(embedding.shape)} of {describe(thing.feature)}"
    try:
        return thing.read(embedding), given
    except Exception as error:
        if out_of_memory(error):  # whoever asked may ask for fewer at once
            raise
        raise failed(thing, given, error) from error


def _check_rows(feature: object, rows: Tensor, n_images: int, given: str) -> Tensor:
    if rows.ndim < 2 or len(rows) != n_images:
        raise AttributeFailed(
            f"feature {describe(feature)} gave shape {tuple(rows.shape)} for {given}; "
            f"expected one row for each image: ({n_images}, D)"
        )
    return rows.flatten(1)


def check_scores(attribute: object, result: object, n_images: int, given: str) -> Tensor:
    """What an attribute returned, as float32 scores [n_images] on its device; `given` says for what it was called."""
    scores = _numbers(attribute, result, None)
    if scores.shape != (n_images,):
        raise AttributeFailed(
            f"attribute {describe(attribute)} gave shape {tuple(scores.shape)} for {given}; "
            f"expected one score for each image: ({n_images},)"
        )
    return scores


NEGATIVE = 1e-5
"""How far below 0 rounding may take the distance of equal images."""


def check_pairs(distance: object, result: object, n_pairs: int, given: str) -> Tensor:
    """What a distance returned, as float32 distances [n_pairs] >= 0; `given` says for what it was called."""
    distances = _numbers(distance, result, None)
    if distances.ndim == 0 or len(distances) != n_pairs or distances.numel() != n_pairs:
        raise AttributeFailed(
            f"{describe(distance)} gave shape {tuple(distances.shape)} for {given}; "
            f"expected one distance for each pair of images: ({n_pairs},)"
        )
    if bool((distances < -NEGATIVE).any()):
        raise AttributeFailed(
            f"{describe(distance)} gave {distances.min().item():.4g} for {given}; expected distances >= 0"
        )
    return distances.reshape(n_pairs).clamp(min=0.0)


def called(thing: Attribute, images: Tensor) -> object:
    """What an attribute or feature gives for images, of any type. Raises `AttributeFailed` where it raised."""
    try:
        return thing(images)
    except Exception as error:
        if out_of_memory(error):  # whoever asked may ask for fewer at once
            raise
        raise failed(thing, f"images {tuple(images.shape)} {images.dtype} on {images.device}", error) from error


def failed(thing: object, given: str, error: Exception) -> AttributeFailed:
    """The error of an attribute, feature or distance that raised; `given` says for what it was called."""
    return AttributeFailed(f"{describe(thing)} raised {type(error).__name__} for {given}: {error}")


def _numbers(thing: object, result: object, device: torch.device | None) -> Tensor:
    if isinstance(result, np.ndarray) and result.dtype.kind in "fiu":
        result = torch.as_tensor(result, device=device)
    if not isinstance(result, Tensor):
        raise AttributeFailed(f"{describe(thing)} gave a {type(result).__name__}; expected a tensor of numbers")
    if result.dtype == torch.bool or result.is_complex():
        raise AttributeFailed(f"{describe(thing)} gave {result.dtype}; expected floats (or integers): call .float()")
    return result.float()
