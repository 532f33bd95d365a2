"""References for `matches`: images in a folder, an array, or another generator.

gentest fits the images to the outputs that it compares them with: it crops the middle to their aspect ratio, resizes
with antialiasing, and converts between grey and RGB. Otherwise a difference in resolution would hide all others.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gentest._support.arguments import is_whole
from gentest._support.printable import in_one_line
from gentest.attributes.pixels import REC_601
from gentest.errors import GentestError, InvalidArgument
from gentest.generators.generator import Generator
from gentest.spaces.space import digest_of

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
DEEP = 65_535.0
MOST_PIXELS = 2**26
"""The largest image that is read: a small file can claim to hold more pixels than fit into memory."""
_CHOICE = 1 << 33
"""The stream of Philox that selects images of a reference."""

Reference: TypeAlias = "Folder | Stored | Generator"


@dataclass(frozen=True)
class Folder:
    """The image files under a folder, in the order of their paths."""

    path: str
    files: tuple[Path, ...] = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return f"images in {self.path}"

    def __len__(self) -> int:
        return len(self.files)

    def fitted(self, indices: Sequence[int], shape: Sequence[int]) -> Tensor:
        """The images at `indices`, as floats [n, *shape] in [0, 1]."""
        return torch.cat([fitted(_read(self.files[i]), shape) for i in indices])


@dataclass(frozen=True)
class Stored:
    """Outputs in memory: images [M, C, H, W] in [0, 1], or other outputs [M, ...]."""

    values: Tensor = field(repr=False, compare=False)
    digest: str

    def __repr__(self) -> str:
        return f"{len(self)} of {tuple(self.values.shape[1:])}, {self.digest}"

    def __len__(self) -> int:
        return len(self.values)

    def fitted(self, indices: Sequence[int], shape: Sequence[int]) -> Tensor:
        """The outputs at `indices`, as floats [n, *shape]."""
        values = self.values[torch.as_tensor(indices)]
        return values if values.shape[1:] == torch.Size(shape) else fitted(values, shape)


def reference_of(value: object) -> Reference:
    """The reference that a generator, a folder's path, or an array or tensor of outputs gives."""
    if isinstance(value, Generator):
        return value
    if isinstance(value, (str, PathLike)):
        return _folder(Path(value))
    if isinstance(value, (np.ndarray, Tensor)):
        return _stored(value)
    what = "a folder of images, an array or tensor of outputs [M, C, H, W], or a gentest.Generator"
    raise InvalidArgument.expected(what, "reference", value)


def images_in(
    folder: str | PathLike[str],
    shape: Sequence[int],
    *,
    most: int = 256,
    output_range: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Tensor:
    """Images of a folder and those below it, float32 [M, C, H, W] in `output_range`, for an encoder.

    `shape` is (C, H, W) with C = 1 or 3: the middle of each image is cropped to that aspect ratio and resized. Of more
    than `most` images, `seed` selects as many. Raises `InvalidArgument` if the folder has no images or one cannot be
    read.

    >>> import gentest, tempfile
    >>> from PIL import Image
    >>> folder = tempfile.mkdtemp()
    >>> Image.new("RGB", (40, 20), "white").save(f"{folder}/white.png")
    >>> images = gentest.images_in(folder, (1, 8, 8), output_range=(-1, 1))
    >>> images.shape, round(images.mean().item(), 3)
    (torch.Size([1, 1, 8, 8]), 1.0)
    """
    if not isinstance(folder, (str, PathLike)):
        raise InvalidArgument.expected("the path of a folder of images", "folder", folder)
    sizes = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else ()
    if len(sizes) != 3 or not all(is_whole(size, 1) for size in sizes) or sizes[0] not in (1, 3):
        raise InvalidArgument.expected("(C, H, W) with C = 1 or 3", "shape", shape)
    if not is_whole(most, 1):
        raise InvalidArgument.expected("a whole number >= 1", "most", most)
    low, high = output_range
    found = _folder(Path(folder))
    return low + found.fitted(chosen(found, most, seed), sizes) * (high - low)


def chosen(reference: Folder | Stored, n: int, seed: int) -> list[int]:
    """The indices of `n` entries of a reference, a function of the seed; all of them if there are no more."""
    key = np.array([seed, _CHOICE], dtype=np.uint64)
    order = np.argsort(np.random.Philox(key=key).random_raw(len(reference)), kind="stable")
    return [int(i) for i in order[:n]]


def fitted(images: Tensor, shape: Sequence[int]) -> Tensor:
    """Images [n, C, H, W] in [0, 1] as [n, *shape]: the largest crop around the middle, resized.

    >>> fitted(torch.rand(2, 1, 100, 60), (3, 32, 32)).shape
    torch.Size([2, 3, 32, 32])
    """
    if images.ndim != 4 or len(shape) != 3 or images.shape[1] not in (1, 3):
        raise InvalidArgument(f"Expected a reference of outputs {tuple(shape)} but got {tuple(images.shape[1:])}")
    channels, height, width = shape
    if channels == 1 and images.shape[1] == 3:
        images = torch.einsum("bchw,c->bhw", images, images.new_tensor(REC_601))[:, None]
    images = images.expand(-1, channels, -1, -1)
    h, w = images.shape[2:]
    scale = min(h / height, w / width)
    cut = max(1, round(scale * height)), max(1, round(scale * width))
    top, left = (h - cut[0]) // 2, (w - cut[1]) // 2
    images = images[:, :, top : top + cut[0], left : left + cut[1]]
    if cut == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True).clamp(0.0, 1.0)


def _folder(path: Path) -> Folder:
    if not path.is_dir():
        raise InvalidArgument.expected("an existing folder", "reference", str(path))
    named = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    files = tuple(sorted(file for file in named if not file.name.startswith(".") and not file.is_dir()))
    if not files:
        raise InvalidArgument(f"Expected images ({', '.join(SUFFIXES)}) in reference={str(path)!r} but found none")
    whole, here = Path(os.path.abspath(path)), Path.cwd()
    shown = whole.relative_to(here) if whole.is_relative_to(here) else path  # a baseline names it on any machine
    return Folder(shown.as_posix(), files)


def _read(path: Path) -> Tensor:
    """The image in a file, [1, C, H, W] in [0, 1]."""
    from PIL import Image

    if not path.is_file():  # opening a pipe would wait forever
        raise InvalidArgument(f"{path}: not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about size, which is limited below, and about broken tags
            with Image.open(path) as image:
                if image.width * image.height > MOST_PIXELS:
                    size = f"{image.width} x {image.height} pixels"
                    raise InvalidArgument(f"{path}: {size} are more than the limit of {MOST_PIXELS:,}")
                depth = _depth(path, image.mode, image.format)
                shown = image if depth == DEEP else image.convert("L" if image.mode in ("1", "L") else "RGB")
                pixels = torch.from_numpy(np.array(shown, dtype=np.float32) / depth)
    except GentestError:
        raise
    except Exception as error:  # a decoder may raise anything on a broken file
        raise InvalidArgument(f"{path}: Pillow cannot read this image: {in_one_line(str(error))}") from error
    return pixels[None, None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)[None]


def _depth(path: Path, mode: str, format: str | None) -> float:
    """The largest value of an image: 255, or 65,535 for 16-bit grey, which `convert` would clip."""
    # Some versions of Pillow open 16-bit PNG files in mode I.
    if mode.startswith("I;16") or (mode == "I" and format == "PNG"):
        return DEEP
    if mode in ("I", "F"):
        raise InvalidArgument(f"{path}: the range of its values (mode {mode!r}) is unknown; save it in 8 or 16 bits")
    return 255.0


def _stored(value: np.ndarray[Any, Any] | Tensor) -> Stored:
    numbers = value.dtype.kind in "fiu" if isinstance(value, np.ndarray) else _of_numbers(value)
    if value.ndim < 2 or 0 in value.shape[1:] or not numbers:
        got = f"reference of shape {tuple(value.shape)} and type {value.dtype}"
        raise InvalidArgument(f"Expected outputs [M, C, H, W] as numbers but got {got}")
    own = np.require(value, requirements=("C", "W")) if isinstance(value, np.ndarray) else value.detach().cpu()
    values = torch.as_tensor(own)
    whole = values.dtype == torch.uint8
    values = values.float() / 255.0 if whole else values.float()
    if values.ndim == 3 and whole:
        values = values[:, None]
    if values.ndim == 4 and values.shape[1] not in (1, 3) and values.shape[3] in (1, 3):
        values = values.permute(0, 3, 1, 2).contiguous()
    if not values.isfinite().all():
        raise InvalidArgument("Expected finite outputs in reference but some are not")
    return Stored(values, digest_of(values.numpy()))


def _of_numbers(values: Tensor) -> bool:
    return not values.is_complex() and values.dtype != torch.bool


def check_unit_range(values: Tensor) -> None:
    """Raises `InvalidArgument` unless all outputs of a reference lie in [0, 1]."""
    low, high = values.min().item(), values.max().item()
    if low < -1e-3 or high > 1 + 1e-3:
        raise InvalidArgument(f"Expected a reference in [0, 1] (or uint8) but got values from {low:.3g} to {high:.3g}")
