"""Audio: waveforms in full-scale units, of one length or of several lengths padded with a mask."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument, WrongOutputs
from gentest.outputs.kind import Kind
from gentest.outputs.ragged import padded, read_ragged
from gentest.outputs.returned import Range, Sizes

FULL_SCALE = {torch.int16: (0.0, 2.0**15), torch.int32: (0.0, 2.0**31), torch.uint8: (128.0, 128.0)}
"""The middle of whole numbers, and the distance from there to full scale."""
MAX_SPEAKERS = 8
"""The most channels of audio whose channels come last."""


class Sound(NamedTuple):
    """Waveforms [n, C, T], and True [n, T] where they are not padding."""

    wave: Tensor
    mask: Tensor


@dataclass(frozen=True, repr=False)
class Audio(Kind):
    """Waveforms [B, C, T] in full-scale units, from -1 to 1; [B, T] has one channel.

    `rate` is the number of samples a second. 16-bit, 32-bit and 8-bit whole numbers are divided by full scale. Floats
    stay as they are: `gentest.clipping()` and `gentest.limits` judge how loud they are. A declared `output_range` is
    mapped to (-1, 1), and then values beyond it are a fault of `well_formed`.

    `longest`, a number of samples, is for outputs of several lengths: a list of B waveforms, or waveforms with
    `lengths`, `sequence_lengths` or `attention_mask` beside them. Outputs are then [B, C + 1, longest]: the waveform
    padded with 0, and as the last channel the mask, which is 1 up to the end of the sound. Measures of gentest leave
    the padding out.

    Raises `InvalidArgument` for a rate or a length that is not above 0.

    >>> import gentest, torch
    >>> tone = lambda z: (torch.arange(800) * z * 0.1).sin()
    >>> g = gentest.Generator(tone, latent=gentest.Uniform(1, low=0.5, high=1), outputs=gentest.Audio(rate=8000))
    >>> g.outputs({"": torch.ones(2, 1)}).shape
    torch.Size([2, 1, 800])
    """

    rate: float
    longest: int | None = None
    is_read: bool = field(default=False, kw_only=True, repr=False)
    """True for outputs that were read before, so that the last channel is the mask."""

    plural: ClassVar[str] = "sounds"
    interval: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    instead: ClassVar[str] = "measure loudness(), clipping() or another sound, or pass a callable on [B, C, T]"
    place_axis: ClassVar[int | None] = -1

    def __post_init__(self) -> None:
        if not as_number(self.rate) > 0.0:
            raise InvalidArgument.expected("samples a second > 0", "rate", self.rate)
        if self.longest is not None and not is_whole(self.longest, 1):
            raise InvalidArgument.expected("a number of samples >= 1", "longest", self.longest)

    @property
    def as_read(self) -> Kind:
        return replace(self, is_read=True)

    def read(self, raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
        if self.is_read and isinstance(raw, Tensor) and raw.ndim == 3 and self.longest is not None:
            return raw.to(torch.float32)
        ragged = read_ragged(raw, n, sizes, axis=-1)
        rows = [_channels_first(row) for row in ragged.rows]
        shapes = {tuple(row.shape) for row in rows}
        if any(len(shape) != 2 or shape[0] == 0 or (shape[1] == 0 and self.longest is None) for shape in shapes):
            shape = ragged.shape or sorted(shapes)[0]
            raise WrongOutputs(
                f"the generator returned shape {tuple(shape)} for latents {sizes}; expected waveforms [{n}, T] or "
                f"[{n}, C, T]"
            )
        scaled = [_in_full_scale(row, output_range) for row in rows]
        if self.longest is None:
            ragged.check_one_length(f"Audio(rate={self.rate:g}, longest={{}})")
            return torch.stack(scaled)
        if len({len(row) for row in scaled}) > 1:
            raise WrongOutputs(f"the generator returned waveforms of several numbers of channels: {sorted(shapes)}")
        return padded(scaled, self.longest, f"Audio(rate={self.rate:g}, longest={{}})")

    def sound(self, outputs: Tensor) -> Sound:
        """The waveforms in outputs [n, C, T] as they were read, and their mask."""
        if self.longest is None:
            return Sound(outputs, torch.ones_like(outputs[:, 0], dtype=torch.bool))
        return Sound(outputs[:, :-1], outputs[:, -1] > 0.5)

    def contrast(self, outputs: Tensor) -> Tensor:
        wave, mask = self.sound(outputs)
        weights = mask[:, None].to(wave) / mask.sum(1).clamp(min=1)[:, None, None]
        mean = (wave * weights).sum(2, keepdim=True)
        deviations: Tensor = ((wave - mean).square() * weights).sum(2).sqrt().amax(1)
        return deviations

    def moves(self, outputs: Tensor) -> Tensor | None:
        if self.longest is None:
            return None
        wave, mask = self.sound(outputs)
        return torch.cat([mask[:, None].expand_as(wave), torch.zeros_like(mask[:, None])], 1)

    def items(self, outputs: Tensor) -> list[Any]:
        """Each waveform [C, T] without its padding."""
        wave, mask = self.sound(outputs)
        return [one[:, : int(own.sum())] for one, own in zip(wave, mask, strict=True)]

    def place(self, output: Tensor, start: int, stop: int) -> str:
        """The samples as a time.

        >>> Audio(rate=8000).place(torch.zeros(1, 800), 80, 81), Audio(rate=8000).place(torch.zeros(1, 800), 80, 480)
        ('sample 80, at 0.01 s', '0.01 to 0.06 s')
        """
        if stop - start == 1:
            return f"sample {start:,}, at {start / self.rate:.4g} s"
        return f"{start / self.rate:.4g} to {stop / self.rate:.4g} s"


def _channels_first(row: Tensor) -> Tensor:
    """One waveform [T], [C, T] or [T, C] as [C, T]."""
    if row.ndim == 1:
        return row[None]
    if row.ndim == 2 and row.shape[1] <= MAX_SPEAKERS < row.shape[0]:
        return row.T
    return row


def _in_full_scale(row: Tensor, output_range: Range) -> Tensor:
    """One waveform with full scale at 1, float32."""
    if row.is_complex() or row.dtype == torch.bool:
        raise WrongOutputs(f"the generator returned {row.dtype} values; expected waveforms of floats or whole numbers")
    if output_range is not None:
        low, high = output_range
        return (row.to(torch.float32) - low) * (2.0 / (high - low)) - 1.0
    if row.is_floating_point():
        return row.to(torch.float32)
    if row.dtype not in FULL_SCALE:
        raise WrongOutputs(
            f"the generator returned {row.dtype} values, which have no known full scale: "
            "say Generator(..., output_range=(low, high))"
        )
    middle, scale = FULL_SCALE[row.dtype]
    return ((row.to(torch.float64) - middle) / scale).to(torch.float32)
