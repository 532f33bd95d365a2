"""The outputs in whatever a generator returned, as one tensor. Runs and `gentest check` share this module.

A tensor or array is taken as it is. In a tuple, list, dictionary, dataclass, named tuple or model output (of diffusers
and transformers) the one tensor that can be the outputs is found. A list with one image for each latent is stacked, PIL
images included. Anything else is a `WrongOutputs`, whose one line contains the code to write.

Images are channels first, [B, C, H, W], unless the last axis is 1 to 4 and the two before it are longer: those are
[B, H, W, C]. If both the second axis and the last are 1 to 4, the second is the channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from gentest.errors import WrongOutputs

TANH = (-1.0, 1.0)
BYTES = (0.0, 255.0)
"""The range of 8-bit images, such as PIL's."""
MAX_CHANNELS = 4
MAX_DEPTH = 3
"""Levels of nested containers to look through."""
MAX_FIELDS = 64
"""Fields of one container to look at."""
MAX_NAMED = 4
"""Tensors or types to name in an error."""
CONVENTIONAL = ("sample", "samples", "images", "frames")
"""The names that diffusers and transformers give the outputs among other tensors."""
Range: TypeAlias = "tuple[float, float] | None"
Sizes: TypeAlias = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Returned:
    """The tensor of a generator's outputs, [n, ...], and the code that picks it from the returned value `x`."""

    values: Tensor
    code: str = "x"
    name: str = ""
    """The key or field that holds it."""
    pixels: bool = False
    """True for PIL images: 8 bits, from 0 to 255."""
    turned: bool = False
    """True for images that came channels last."""

    def __str__(self) -> str:
        return f"{self.code} {tuple(self.values.shape)}"


def as_images(raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
    """Images [n, C, H, W] with the output range (tanh's by default) mapped to [0, 1]; `sizes` are those of the latents.

    PIL's pixels run from 0 to 255 whatever range is declared. uint8 in a tensor or array needs an `output_range`, since
    it may be a mask. Raises `WrongOutputs`.
    """
    return in_unit_range(read_images(raw, n, sizes), output_range, TANH)


def in_unit_range(read: Returned, output_range: Range, default: tuple[float, float]) -> Tensor:
    """Pixels [n, ...] with the declared range, or else the default, mapped to [0, 1]. Raises `WrongOutputs`."""
    x = read.values
    if read.pixels:
        return _to_unit_range(x, BYTES)
    if x.dtype == torch.uint8 and output_range is None:
        raise WrongOutputs("the generator returned uint8 values; say Generator(..., output_range=(0, 255))")
    if x.dtype == torch.uint8 and read.turned and output_range is not None and bool((x > output_range[1]).any()):
        low, high = output_range
        raise WrongOutputs(
            f"the generator returned uint8 values up to {x.max().item()}, channels last, and "
            f"output_range=({low:g}, {high:g}) is declared; say Generator(..., output_range=(0, 255))"
        )
    return _to_unit_range(x, output_range or default)


def as_values(raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
    """Returned [n, ...] of any kind, in their own units unless a range is declared. Numbers [n] become [n, 1].

    Raises `WrongOutputs`.
    """
    read = read_values(raw, n, sizes)
    own_range = BYTES if read.pixels and output_range is not None else output_range
    return _to_unit_range(read.values, own_range or (0.0, 1.0))


def read_images(raw: object, n: int, sizes: Sizes) -> Returned:
    """Images [n, C, H, W] in their own units and dtype. Raises `WrongOutputs`."""
    read = _pick(raw, n, sizes, images=True)
    x = read.values
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4 or x.shape[0] != n or 0 in x.shape[1:]:
        raise WrongOutputs(
            f"the generator returned shape {tuple(read.values.shape)}{where(read)} for latents {sizes}; "
            f"expected [{n}, C, H, W] or [{n}, H, W]"
            + ("; for outputs that are not images say images=False" if x.ndim and x.shape[0] == n else "")
            + (", for videos outputs=gentest.Video(fps=8)" if x.ndim == 5 and x.shape[0] == n else "")
        )
    if x.is_complex():
        raise WrongOutputs("the generator returned complex values; expected real images")
    first = x if read.pixels else _channels_first(x)
    return replace(read, values=first, turned=first is not x)


def read_values(raw: object, n: int, sizes: Sizes) -> Returned:
    """Returned [n, ...] in their own units and dtype; numbers [n] become [n, 1]. Raises `WrongOutputs`."""
    read = _pick(raw, n, sizes, images=False)
    x = read.values
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim < 1 or x.shape[0] != n or 0 in x.shape:
        shape = tuple(read.values.shape)
        raise WrongOutputs(
            f"the generator returned shape {shape}{where(read)} for latents {sizes}; expected [{n}, ...]"
        )
    if x.is_complex():
        raise WrongOutputs("the generator returned complex values; expected real ones: return torch.view_as_real(x)")
    return replace(read, values=x)


def as_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """An array as a tensor; a copy if torch cannot view it (reversed axes, byte order) or warns of it (read-only)."""
    if not (array.flags.carray and array.dtype.isnative):
        array = array.astype(array.dtype.newbyteorder("="), order="C")
    try:
        return torch.from_numpy(array)
    except (TypeError, ValueError) as error:
        raise WrongOutputs(f"the generator returned an array of {array.dtype}; expected numbers") from error


def _channels_first(x: Tensor) -> Tensor:
    """Images in either layout as [B, C, H, W]."""
    _, first, middle, last = x.shape
    if first <= MAX_CHANNELS or last > MAX_CHANNELS:
        return x
    if middle > MAX_CHANNELS:
        return x.permute(0, 3, 1, 2).contiguous()
    if last in (1, 3):  # an image of at most 4 columns, or feature maps of at most 4 pixels
        raise WrongOutputs(
            f"the generator returned shape {tuple(x.shape)}, which may be channels last; expected [B, C, H, W]: "
            "return x.permute(0, 3, 1, 2), or say images=False"
        )
    return x


def where(read: Returned) -> str:
    """Where the outputs were in what f returned, in words; empty if they are the whole of it."""
    return "" if read.code == "x" else f" in {read.code}"


def _pick(raw: object, n: int, sizes: Sizes, *, images: bool) -> Returned:
    """The tensor that is the outputs. Raises `WrongOutputs` if there is none, or if several could be."""
    expected = f"a tensor or array of {'images' if images else 'outputs'}"
    if isinstance(raw, torch.distributions.Distribution):
        raise WrongOutputs(f"the generator returned a {type(raw).__name__} distribution: return x.mean")
    other = _other_kind(raw)
    if isinstance(raw, (list, tuple)) and raw and all(isinstance(row, str) for row in raw):
        raise WrongOutputs(f"the generator returned {_type_in_words(raw)} of str; expected {expected}{other}")
    kind, whole = _type_in_words(raw), _as_one_tensor(raw, "x")
    candidates = [whole] if whole is not None else list(_tensors_in(raw, n, "x", images=images))
    candidates = list({id(read.values): read for read in reversed(candidates)}.values())[::-1]  # without repetitions
    if not candidates:
        raise WrongOutputs(f"the generator returned {kind}{_item_types(raw)}; expected {expected}{other}")
    if candidates[0].values.is_meta:
        raise WrongOutputs("the generator returned a tensor on the meta device, which holds no values")
    if len(candidates) == 1:
        return candidates[0]
    fitting = [read for read in candidates if _has_rows(read.values, n, images=images)]
    if len(fitting) > 1 and len(named := [read for read in fitting if read.name in CONVENTIONAL]) == 1:
        return named[0]
    if len(fitting) == 1:
        return fitting[0]
    what = " and ".join(map(str, (fitting or candidates)[:MAX_NAMED]))
    if not fitting:
        shape = f"[{n}, C, H, W]" if images else f"[{n}, ...]"
        raise WrongOutputs(f"the generator returned {kind} of {what} for latents {sizes}; expected one {shape}{other}")
    raise WrongOutputs(
        f"the generator returned {kind} in which {what} may be its outputs: "
        f"return {fitting[0].code}, or whichever is meant"
    )


def _other_kind(raw: object) -> str:
    """The kind to declare for texts, tables, and outputs of several lengths, as the end of an error; else empty."""
    if hasattr(raw, "columns") and hasattr(raw, "to_dict"):  # a data frame
        return f"; for a table say outputs=gentest.Rows(columns={[str(name) for name in raw.columns][:MAX_NAMED]})"
    if not isinstance(raw, (list, tuple)) or not raw:
        return ""
    if all(isinstance(row, str) for row in raw):
        longest = max(8, 2 * max(map(len, raw)))
        return f"; for texts say outputs=gentest.Tokens(text=True, longest={longest})"
    if all(isinstance(row, Mapping) for row in raw):
        return f"; for a table say outputs=gentest.Rows(columns={[str(name) for name in raw[0]][:MAX_NAMED]})"
    sizes = [getattr(row, "shape", None) for row in raw]
    if all(sizes) and len({size[-1] for size in sizes if size}) > 1:
        longest = max(size[-1] for size in sizes if size)
        return f"; for sounds of several lengths say outputs=gentest.Audio(rate=16000, longest={2 * longest})"
    return ""


def _has_rows(x: Tensor, n: int, *, images: bool) -> bool:
    """True if a tensor has a row for each latent and, for images, two sides."""
    return x.ndim > 0 and len(x) == n and (not images or x.ndim in (3, 4))


def _tensors_in(raw: object, n: int, code: str, *, images: bool, depth: int = MAX_DEPTH) -> Iterator[Returned]:
    """Each tensor in a container, with the code that picks it; a list of rows counts as one tensor."""
    if (whole := _as_one_tensor(raw, code)) is not None:
        yield whole
    elif isinstance(raw, (list, tuple)) and (stacked := _stacked(raw, n, code, images=images)) is not None:
        yield stacked
    elif depth:
        for name, picked, value in fields_of(raw, code):
            for outputs in _tensors_in(value, n, picked, images=images, depth=depth - 1):
                yield outputs if outputs.name else replace(outputs, name=name)


def _as_one_tensor(raw: object, code: str) -> Returned | None:
    """The outputs in a tensor, an array, or nested lists of numbers; None for anything else."""
    if isinstance(raw, Tensor):
        return Returned(raw.dequantize() if raw.is_quantized else raw, code)
    if isinstance(raw, (list, tuple)):
        leaf: object = raw
        while isinstance(leaf, (list, tuple)) and len(leaf):
            leaf = leaf[0]
        if not isinstance(leaf, (int, float, complex, str, np.generic)):
            return None
        try:
            array = np.asarray(raw)
        except ValueError:  # rows of several lengths
            return None
        return None if array.dtype == object else Returned(as_tensor(array), code)
    is_array = hasattr(raw, "__array__") and not isinstance(raw, type) and not hasattr(raw, "getbands")  # PIL's
    if isinstance(raw, (np.ndarray, np.generic)) or is_array:
        return Returned(as_tensor(np.asarray(raw)), code)
    return None


def _stacked(rows: Sequence[object], n: int, code: str, *, images: bool) -> Returned | None:
    """The rows [n, ...] of a list with one output for each latent; None for other lists."""
    if not n or len(rows) != n or hasattr(rows, "_fields"):
        return None
    read = [_read_row(row) for row in rows]
    outputs = [row for row in read if row is not None]
    if len(outputs) < n or len({row.pixels for row in outputs}) > 1:
        return None
    shapes = {tuple(row.values.shape) for row in outputs}
    if len(shapes) > 1:
        if outputs[0].pixels:
            raise WrongOutputs(f"the generator returned PIL images of several sizes: {sorted(shapes)}")
        return None
    (shape,) = shapes
    if outputs[0].pixels:
        return Returned(torch.stack([row.values for row in outputs]), code, pixels=True)
    single = bool(shape) and shape[0] == 1
    if single and n == 1:  # a batch of one in a list, or a list of one output: the same values
        return Returned(outputs[0].values, f"{code}[0]")
    if single and images and len(shape) == 4:
        return Returned(torch.cat([row.values for row in outputs]), code)
    if single and not images:
        raise WrongOutputs(
            f"the generator returned a list of {n} tensors {list(shape)}: return torch.cat(x), or torch.stack(x)"
        )
    if images and len(shape) not in (2, 3):
        return None
    return Returned(torch.stack([row.values for row in outputs]), code)


def _read_row(row: object) -> Returned | None:
    """One output in a list: a tensor or array, a PIL image [C, H, W], or a list of PIL images as [T, C, H, W]."""
    if (whole := _as_one_tensor(row, "")) is not None:
        return whole
    if isinstance(row, (list, tuple)) and row:
        frames = [_read_row(frame) for frame in row]
        if all(frame is not None and frame.pixels for frame in frames):
            pictures = [frame.values for frame in frames if frame is not None]
            if len({picture.shape for picture in pictures}) == 1:
                return Returned(torch.stack(pictures), "", pixels=True)
        return None
    return _pil_image(row)


def _pil_image(row: object) -> Returned | None:
    """A PIL image as [C, H, W]: 1 channel for grey, 4 with alpha, otherwise 3. None for anything else."""
    if not hasattr(row, "getbands"):
        return None
    from PIL import Image

    if not isinstance(row, Image.Image):
        return None
    if row.mode in ("I", "F") or row.mode.startswith("I;"):
        raise WrongOutputs(
            f"the generator returned PIL images of mode {row.mode!r}, whose values have no known range: "
            "return them as an array"
        )
    grey, alpha = row.mode in ("1", "L"), row.mode in ("RGBA", "LA", "PA")
    array = np.array(row.convert("L" if grey else "RGBA" if alpha else "RGB"))
    x = torch.from_numpy(array)
    return Returned(x[None] if grey else x.permute(2, 0, 1), "", pixels=True)


def fields_of(raw: object, code: str) -> list[tuple[str, str, object]]:
    """The parts of a container: the name of each, the code that picks it, and its value."""
    if isinstance(raw, Mapping):
        parts = [(str(key), f"{code}[{key!r}]", value) for key, value in raw.items()]
    elif isinstance(raw, tuple) and hasattr(raw, "_fields"):
        parts = [(name, f"{code}.{name}", value) for name, value in zip(raw._fields, raw, strict=False)]
    elif isinstance(raw, (list, tuple)):
        parts = [(str(i), f"{code}[{i}]", value) for i, value in enumerate(raw)]
    elif isinstance(raw, (type, torch.nn.Module)) or callable(raw):
        return []
    elif is_dataclass(raw):
        parts = [(field.name, f"{code}.{field.name}", getattr(raw, field.name)) for field in fields(raw)]
    else:
        names = [name for name in getattr(raw, "__dict__", {}) if not name.startswith("_")]
        names += [name for name in CONVENTIONAL if name not in names]
        parts = [(name, f"{code}.{name}", _attribute(raw, name)) for name in names]
    return parts[:MAX_FIELDS]


def _item_types(raw: object) -> str:
    """The types that a list or a dictionary contains, in words; empty for anything else."""
    items = list(raw.values() if isinstance(raw, Mapping) else raw if isinstance(raw, (list, tuple)) else ())
    names = list(dict.fromkeys(type(item).__name__ for item in items))
    return f" of {', '.join(names[:MAX_NAMED])}" if names else ""


def _attribute(raw: object, name: str) -> object:
    """An attribute of an object; None if it is missing, or if the property that computes it raises."""
    try:
        return getattr(raw, name, None)
    except Exception:
        return None


def _type_in_words(raw: object) -> str:
    """The type of a value, in words: `a tuple`, `an Image`."""
    name = type(raw).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _to_unit_range(raw: Tensor, output_range: tuple[float, float]) -> Tensor:
    low, high = output_range
    return (raw.to(torch.float32) - low).div_(high - low)
