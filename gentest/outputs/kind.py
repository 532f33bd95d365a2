"""The kind of a generator's outputs: images, arrays, and what every other kind has to answer.

A kind reads what f returned as one tensor, tells the limits of its values and the unit of differences, and names a
place in an output. The rest of gentest asks the kind, and never which one it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from gentest.errors import InvalidArgument
from gentest.outputs.returned import TANH, Range, Sizes, as_images, as_values


class Kind(ABC):
    """A kind of output. Its values are frozen: they hash, compare and print as code."""

    plural: ClassVar[str] = "outputs"
    """The outputs in words."""
    default_range: ClassVar[Range] = None
    """The range of outputs for which none is declared; None leaves them in their units."""
    interval: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The interval that a declared range is mapped to."""
    instead: ClassVar[str] = "pass a callable on outputs [B, ...]"
    """What to do instead of measuring an output as one image."""
    place_axis: ClassVar[int | None] = None
    """The axis of one output whose places have names: frames, samples, positions, columns; None without one."""
    drawn_by_shape: ClassVar[bool] = False
    """True if reports draw an output as its shape allows: a line, a grid, or figures."""
    has_domains: ClassVar[bool] = False
    """True if a value within the limits may still be outside its domain."""
    is_exact: ClassVar[bool] = False
    """True if rounding to 16 bits may change the meaning of an output."""
    blank_is_wrong: ClassVar[bool] = True
    """True if an output whose values are all equal is a fault of any generator."""
    has_pixels: ClassVar[bool] = False
    """True if an output is one image [C, H, W], which every attribute of pixels takes."""

    def __repr__(self) -> str:
        given = (
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)  # type: ignore[arg-type]
            if f.repr and getattr(self, f.name) != f.default
        )
        return f"{type(self).__name__}({', '.join(given)})"

    @abstractmethod
    def read(self, raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
        """The n outputs [n, ...] in what f returned for latents of these sizes, float32. Raises `WrongOutputs`."""

    @property
    def key(self) -> Hashable:
        """The part of an output's identity that the kind decides."""
        return repr(self)

    @property
    def recorded(self) -> str:
        """The kind in a baseline; empty for images and arrays, which older baselines know by one word."""
        return "" if isinstance(self.key, bool) else str(self.key)

    @property
    def helpers(self) -> tuple[Callable[..., Any], ...]:
        """Somebody else's functions that the kind calls; they belong to the identity of outputs."""
        return ()

    @property
    def as_read(self) -> Kind:
        """The kind that reads once more what this one has read."""
        return self

    def limits(self, output_range: Range) -> Range:
        """The interval in which outputs that were read must lie; None if any value will do."""
        return None if output_range is None and self.default_range is None else self.interval

    def unit(self, output_range: Range) -> float | None:
        """The unit of differences between outputs; None for the range of some samples."""
        limits = self.limits(output_range)
        return None if limits is None else limits[1] - limits[0]

    def excess(self, outputs: Tensor, limits: Range) -> Tensor:
        """How far each value [n, ...] is outside its limits, as a share of their width; 0 without limits."""
        if limits is None:
            return torch.zeros_like(outputs)
        low, high = limits
        return torch.maximum(outputs - high, low - outputs).nan_to_num(0.0, 0.0, 0.0).clamp(min=0.0) / (high - low)

    def out_of_range(self, worst: Tensor, output_range: Range) -> str:
        """How outputs [n, ...] leave their range, and what to do about it, for an error."""
        (low, high), (bottom, top) = output_range or self.default_range or (0.0, 1.0), self.interval
        raw = [low + (value.item() - bottom) / (top - bottom) * (high - low) for value in worst.aminmax()]
        return (
            f"returned values from {raw[0]:.4g} to {raw[1]:.4g}, outside the "
            f"{'declared' if output_range else 'default'} output_range=({low:g}, {high:g}); "
            "say Generator(..., output_range=(low, high)), or clamp its outputs"
        )

    def contrast(self, outputs: Tensor) -> Tensor:
        """The standard deviation of the values of each output [n], in the channel of an image where it is largest."""
        values = outputs.flatten(2) if outputs.ndim == 4 else outputs.flatten(1)[:, None]  # [n, C, V]
        if values.shape[2] < 2:
            raise InvalidArgument(f"not_blank needs outputs of at least two values but got {list(outputs.shape[1:])}")
        deviations: Tensor = values.std(dim=2, correction=0).amax(1)
        return deviations

    def rows(self, outputs: Tensor) -> Tensor:
        """Outputs [n, ...] as vectors [n, D] whose L2 distance says how far two outputs are apart."""
        flat = outputs.flatten(1)
        rows: Tensor = flat / flat.shape[1] ** 0.5
        return rows

    def differences(self, one: Tensor, other: Tensor) -> Tensor:
        """How far each value of one output [...] is from that of another."""
        return (one - other).abs()

    def moves(self, outputs: Tensor) -> Tensor | None:
        """True for the values [n, ...] that rounding may change; None for all."""
        return None

    def items(self, outputs: Tensor) -> Sequence[Any]:
        """Each output [n, ...] as a person would write it: a text, a mapping of columns, or a tensor."""
        return list(outputs)

    def place(self, output: Tensor, start: int, stop: int) -> str:
        """The name of the places `start` to `stop` (not included) along `place_axis` of one output [...]."""
        return ""


@dataclass(frozen=True, repr=False)
class Images(Kind):
    """Images [B, C, H, W] or [B, H, W], mapped from the output range, (-1, 1) by default, to [0, 1].

    This is the default kind. [B, H, W, C] is accepted if C is 1 to 4 and H and W are larger; PIL images run from 0 to
    255.

    >>> import gentest, torch
    >>> g = gentest.Generator(lambda z: z.tanh()[:, None], latent=gentest.Normal((8, 8)), outputs=gentest.Images())
    >>> g.outputs({"": torch.zeros(2, 8, 8)}).shape
    torch.Size([2, 1, 8, 8])
    """

    plural: ClassVar[str] = "images"
    default_range: ClassVar[Range] = TANH
    has_pixels: ClassVar[bool] = True

    @property
    def key(self) -> Hashable:
        return True

    def read(self, raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
        return as_images(raw, n, sizes, output_range)


@dataclass(frozen=True, repr=False)
class Arrays(Kind):
    """Outputs [B, ...] of any kind, in their own units unless an output range is declared. `images=False` is the same.

    Attributes and distances of them are callables of your own.

    >>> import gentest, torch
    >>> g = gentest.Generator(lambda z: z * 1000, latent=gentest.Normal(3), outputs=gentest.Arrays())
    >>> g.outputs({"": torch.ones(1, 3)})
    tensor([[1000., 1000., 1000.]])
    """

    plural: ClassVar[str] = "not images (images=False)"
    drawn_by_shape: ClassVar[bool] = True

    @property
    def key(self) -> Hashable:
        return False

    def read(self, raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
        return as_values(raw, n, sizes, output_range)


def kind_of(outputs: object, images: object) -> Kind:
    """The kind that the arguments `outputs` and `images` of a generator name. Raises `InvalidArgument`."""
    if images is not None and not isinstance(images, bool):
        raise InvalidArgument.expected("True, or False for outputs that are not images", "images", images)
    if outputs is None:
        return Arrays() if images is False else Images()
    if not isinstance(outputs, Kind):
        called = isinstance(outputs, type) and issubclass(outputs, Kind)
        hint = f"call it: gentest.{outputs.__name__}(...)" if called and isinstance(outputs, type) else ""
        what = "a kind of output such as gentest.Images() or gentest.Arrays()"
        raise InvalidArgument.expected(what, "outputs", outputs, hint=hint)
    if images is not None and images is not outputs.has_pixels:
        raise InvalidArgument(f"outputs={outputs!r} says what f makes: leave out images={images}")
    return outputs
