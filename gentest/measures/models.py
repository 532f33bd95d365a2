"""Models behind attributes: loaded from a function, a module, an ONNX file or a folder of Hugging Face."""

from __future__ import annotations

import copy
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from gentest._support.files import read_json
from gentest._support.printable import first_line
from gentest.attributes.attribute import weights_fingerprint
from gentest.errors import AttributeFailed, InvalidArgument, out_of_memory
from gentest.generators.onnx import OnnxModel

Prepare: TypeAlias = Callable[[Tensor], Any]
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
MOST_BYTES = 1 << 24
"""A larger configuration is refused."""
RESAMPLING = {2: "bilinear", 3: "bicubic", 0: "nearest-exact"}
"""The interpolation of torch for each number of Pillow's."""
EXTRA = "pip install 'pytest-gentest[transformers]'"


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device: `prepare` makes its input from outputs, and `read` the scores from its result."""

    model: Callable[..., Any]
    prepare: Prepare | None
    read: Callable[[Any], Tensor]
    fingerprint: str = ""
    """Its weights, as hexadecimal digits; empty if it is a function."""

    def run(self, name: str, outputs: Tensor, **values: Any) -> Tensor:
        """Scores [B] or rows [B, D] of outputs [B, ...]. `name` is for errors."""
        given = outputs if self.prepare is None else self.prepare(outputs)
        try:
            return self.read(self.model(given, **values))
        except AttributeFailed as error:
            raise AttributeFailed(f"{name}: {error}") from error


def loaded(
    source: Any,
    device: torch.device,
    name: str,
    *,
    input: Prepare | tuple[int, int] | None,
    label: str | int | None,
) -> LoadedModel:
    """The model that a source leads to, on a device. Raises `InvalidArgument`, which begins with the attribute's name.

    `input` prepares outputs for it, and `label` chooses one of its scores.
    """
    prepare = _Resize(*input) if isinstance(input, tuple) else input
    if callable(source) and not isinstance(source, nn.Module):
        source = _called(source, device, name)
        if isinstance(source, nn.Module):
            source = source.to(device).eval()  # nobody else holds it
    if isinstance(source, nn.Module):
        module = _as_needed(source, device)
        return LoadedModel(module, prepare, _Reading(_column(name, label)), weights_fingerprint(module))
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if (path / CONFIG).is_file():
            return _from_folder(path, device, name, prepare, label)
        if path.suffix == ".onnx" and path.is_file():
            model = OnnxModel(path)
            if len(model.inputs) != 1:
                raise InvalidArgument(f"{name}: {path} takes {len(model.inputs)} inputs; expected one, the outputs")
            return LoadedModel(model, prepare, _Reading(_column(name, label)), model.digest[:16])
        what = "a .onnx file, or a folder with the config.json of a model of Hugging Face"
        raise InvalidArgument(f"{name}: {path}: {'not' if path.exists() else 'no such file, and not'} {what}")
    if callable(source):
        return LoadedModel(source, prepare, _Reading(_column(name, label)))
    got = f"{source!r:.100} (type={type(source).__name__})"
    raise InvalidArgument(f"{name}: its function loaded {got}; expected a torch module, a callable or a path")


def _called(load: Callable[..., Any], device: torch.device, name: str) -> Any:
    """The value that a function loads."""
    takes_device = "device" in inspect.signature(load).parameters
    try:
        return load(device=device) if takes_device else load()
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InvalidArgument(f"{name}: its function raised {type(error).__name__}: {first_line(error)}") from error


def _as_needed(module: nn.Module, device: torch.device) -> nn.Module:
    """The module on a device, in eval mode and in float32: itself if it already is, else a copy."""
    tensors = [*module.parameters(), *module.buffers()]
    fits = not any(part.training for part in module.modules()) and all(
        t.device == device and (not t.is_floating_point() or t.dtype == torch.float32) for t in tensors
    )
    return module if fits else copy.deepcopy(module).to(device).float().eval()


def _column(name: str, label: str | int | None) -> int | None:
    if isinstance(label, str):
        what = "the number of a column: only a model of Hugging Face has labels by name"
        raise InvalidArgument(f"{name}: Expected {what} but got label={label!r}")
    return label


@dataclass(frozen=True)
class _Reading:
    """Reads scores [B] or rows [B, D] out of a model's result, or one column of its rows."""

    column: int | None

    def __call__(self, result: Any) -> Tensor:
        rows = _tensor(result)
        if self.column is None:
            return rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows
        if rows.ndim != 2 or not -rows.shape[1] <= self.column < rows.shape[1]:
            raise AttributeFailed(f"the model gave {list(rows.shape)}, which has no column label={self.column}")
        return rows[:, self.column]


def _tensor(result: Any) -> Tensor:
    """The tensor of a model's result: itself, the logits, or the first of several."""
    for value in (result, getattr(result, "logits", None), *(result[:1] if isinstance(result, (tuple, list)) else ())):
        if isinstance(value, Tensor):
            return value.float() if value.is_floating_point() else value
    raise AttributeFailed(
        f"the model gave a {type(result).__name__}; expected a tensor, or something with logits: load a function that "
        "calls the model and returns the scores"
    )


@dataclass(frozen=True)
class _Resize:
    """Images [B, C, H, W], resized."""

    height: int
    width: int
    mode: str = "bilinear"

    def __call__(self, images: Tensor) -> Tensor:
        if images.ndim != 4:
            raise AttributeFailed(f"outputs {list(images.shape)} cannot be resized: give input= a function of them")
        if images.shape[-2:] == (self.height, self.width):
            return images
        if self.mode == "nearest-exact":
            return functional.interpolate(images, (self.height, self.width), mode=self.mode)
        return functional.interpolate(images, (self.height, self.width), mode=self.mode, antialias=True)


@dataclass(frozen=True)
class _Preprocess:
    """What a model of Hugging Face gets: images [B, C, H, W] in [0, 1], resized, cropped, scaled and normalised."""

    size: tuple[int, int] | None
    shortest: int | None
    longest: int | None
    crop: tuple[int, int] | None
    mode: str
    scale: float
    mean: tuple[float, ...]
    sd: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise AttributeFailed(f"expected images [B, 1 or 3, H, W] but got {list(images.shape)}: give input=")
        pixels = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        height, width = self._resized(*pixels.shape[-2:])
        pixels = _Resize(height, width, self.mode)(pixels)
        if self.crop is not None:
            pixels = _center(pixels, *self.crop)
        mean, sd = (pixels.new_tensor(x)[:, None, None] for x in (self.mean, self.sd))
        return (pixels.clamp(0.0, 1.0) * self.scale - mean) / sd

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        if self.shortest is None:
            return height, width
        short, long = min(height, width), max(height, width)
        ratio = self.shortest / short
        if self.longest is not None:
            ratio = min(ratio, self.longest / long)
        return max(1, round(height * ratio)), max(1, round(width * ratio))


def _center(pixels: Tensor, height: int, width: int) -> Tensor:
    """The middle of images, with black around those that are smaller."""
    down, right = (max(0, want - have) for want, have in zip((height, width), pixels.shape[-2:], strict=True))
    if down or right:
        pixels = functional.pad(pixels, (right // 2, right - right // 2, down // 2, down - down // 2))
    top, left = (pixels.shape[-2] - height) // 2, (pixels.shape[-1] - width) // 2
    return pixels[:, :, top : top + height, left : left + width]


def _from_folder(
    folder: Path, device: torch.device, name: str, prepare: Prepare | None, label: str | int | None
) -> LoadedModel:
    """The classifier or detector of a folder, which runs no code and unpickles nothing."""
    architectures = _json(folder / CONFIG, name).get("architectures") or [""]
    kind = next((k for k in ("ForImageClassification", "ForObjectDetection") if architectures[0].endswith(k)), "")
    if not kind:
        got = architectures[0] or "no architecture"
        raise InvalidArgument(f"{name}: {folder} holds {got}; expected an image classifier or an object detector")
    try:
        import transformers
    except ImportError as error:
        raise InvalidArgument(f"{name}: {folder} needs transformers: {EXTRA} ({error})") from error
    auto = getattr(transformers, f"AutoModel{kind}")
    try:
        model = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_safetensors=True)
    except Exception as error:  # whatever a file of somebody else's makes it raise
        raise InvalidArgument(f"{name}: {folder} cannot be loaded: {first_line(error)}") from error
    model = model.to(device).float().eval()
    place = _place(model.config, name, label)
    read: Callable[[Any], Tensor]
    if kind == "ForObjectDetection":
        read = _BestBox(place, len(model.config.id2label))
    else:
        is_free = model.config.problem_type in ("multi_label_classification", "regression")
        read = _LogOdds(place, is_free=is_free or len(model.config.id2label) == 1)
    return LoadedModel(model, prepare or _preprocess(folder, name), read, weights_fingerprint(model))


def _place(config: Any, name: str, label: str | int | None) -> int:
    """The number of a label."""
    labels = {int(i): str(text) for i, text in config.id2label.items()}
    if label is None and len(labels) == 1:
        return 0
    found = [i for i, text in labels.items() if label in (i, text)]
    if len(found) != 1:
        some = ", ".join(map(repr, list(labels.values())[:20])) + (", ..." if len(labels) > 20 else "")
        raise InvalidArgument(f"{name}: Expected label= one of {some} but got {label!r}")
    return found[0]


@dataclass(frozen=True)
class _LogOdds:
    """The log-odds [B] of a label against all others; its logit if labels do not exclude each other."""

    place: int
    is_free: bool

    def __call__(self, result: Any) -> Tensor:
        logits = _tensor(result)
        own = logits[:, self.place]
        if self.is_free:
            return own
        others = [i for i in range(logits.shape[1]) if i != self.place]
        return own - logits[:, others].logsumexp(1)


@dataclass(frozen=True)
class _BestBox:
    """The probability [B] of the box that looks most like a label. Some detectors have a last class for no object."""

    place: int
    n_labels: int

    def __call__(self, result: Any) -> Tensor:
        logits = _tensor(result)  # [B, boxes, labels]
        has_none = logits.shape[-1] == self.n_labels + 1
        shares = logits.softmax(-1) if has_none else logits.sigmoid()
        return shares[..., self.place].amax(1)


def _preprocess(folder: Path, name: str) -> _Preprocess:
    """What a folder says about the input of its model."""
    path = folder / PREPROCESSOR
    if not path.is_file():
        raise InvalidArgument(
            f"{name}: {folder} has no {PREPROCESSOR}: give input=, a function from images to its input"
        )
    says = _json(path, name)
    try:
        size, shortest, longest = _sizes(says.get("size")) if says.get("do_resize", True) else (None, None, None)
        crop, *_ = _sizes(says.get("crop_size")) if says.get("do_center_crop", False) else (None,)
        normalizes = says.get("do_normalize", True)
        scale = 255 * float(says.get("rescale_factor", 1 / 255)) if says.get("do_rescale", True) else 255.0
        return _Preprocess(
            size,
            shortest,
            longest,
            crop,
            mode=RESAMPLING[says.get("resample", 2)],
            scale=scale,
            mean=tuple(map(float, says.get("image_mean", (0.5,) * 3))) if normalizes else (0.0,) * 3,
            sd=tuple(map(float, says.get("image_std", (0.5,) * 3))) if normalizes else (1.0,) * 3,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"{name}: {path} is not understood ({error!r:.80}): give input=") from error


def _sizes(says: Any) -> tuple[tuple[int, int] | None, int | None, int | None]:
    """Height and width; or the lengths of the shortest and of the longest edge."""
    if isinstance(says, int):
        return None, says, None
    if "height" in says:
        return (int(says["height"]), int(says["width"])), None, None
    longest = says.get("longest_edge")
    return None, int(says["shortest_edge"]), None if longest is None else int(longest)


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        value = read_json(path, most_bytes=MOST_BYTES)
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise InvalidArgument(f"{name}: {path}: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise InvalidArgument(f"{name}: {path}: expected an object")
    return value
