"""Videos: frames in order, each an image, at a number of frames a second."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from gentest._support.arguments import as_number
from gentest.errors import InvalidArgument, WrongOutputs
from gentest.outputs.kind import Kind
from gentest.outputs.returned import MAX_CHANNELS, TANH, Range, Sizes, in_unit_range, read_values, where

LAYOUTS = ("BTCHW", "BCTHW", "BTHWC")
"""Orders of the axes: batch B, frames T, channels C, rows H, columns W."""
DEFAULT_FPS = 8.0


@dataclass(frozen=True, repr=False)
class Video(Kind):
    """Videos [B, T, C, H, W] of T frames, mapped from the output range, (-1, 1) by default, to [0, 1].

    `fps` > 0 is the number of frames a second; it names places and sets the speed of a report's animation. [B, C, T, H,
    W], [B, T, H, W, C] and grey [B, T, H, W] are understood, and so are lists of B lists of PIL images, and the
    `frames` of a diffusers pipeline. `layout` says the order of the axes where sizes do not tell: "BTCHW", "BCTHW" or
    "BTHWC". All videos have the same number of frames.

    `gentest.over_frames(attribute)` measures frames; `gentest.flicker()` and `gentest.motion()` measure videos. Raises
    `InvalidArgument` for another layout, or for a number of frames a second that is not above 0.

    >>> import gentest, torch
    >>> moving = lambda z: z.tanh()[:, :, None, None, None].expand(-1, -1, 3, 8, 8)
    >>> g = gentest.Generator(moving, latent=gentest.Normal(16), outputs=gentest.Video(fps=8))
    >>> g.outputs({"": torch.zeros(2, 16)}).shape
    torch.Size([2, 16, 3, 8, 8])
    """

    fps: float = DEFAULT_FPS
    layout: str = ""

    plural: ClassVar[str] = "videos"
    default_range: ClassVar[Range] = TANH
    instead: ClassVar[str] = "measure frames with gentest.over_frames(...), or pass a callable on [B, T, C, H, W]"
    place_axis: ClassVar[int | None] = 0

    def __post_init__(self) -> None:
        if not as_number(self.fps) > 0.0:
            raise InvalidArgument.expected("frames a second > 0", "fps", self.fps)
        if self.layout not in ("", *LAYOUTS):
            raise InvalidArgument.expected(f"one of {', '.join(map(repr, LAYOUTS))}", "layout", self.layout)

    @property
    def key(self) -> Hashable:
        return f"Video({self.layout!r})"

    @property
    def as_read(self) -> Kind:
        return replace(self, layout="BTCHW")

    def read(self, raw: object, n: int, sizes: Sizes, output_range: Range) -> Tensor:
        read = read_values(raw, n, sizes)
        x = read.values
        if x.ndim == 4 and not (x.shape[3] <= MAX_CHANNELS < min(x.shape[1:3])):
            x = x[:, :, None]
        if x.ndim != 5:
            raise WrongOutputs(
                f"the generator returned shape {tuple(read.values.shape)}{where(read)} for latents {sizes}; expected "
                f"videos [{n}, T, C, H, W]; for images leave out outputs=Video(...)"
            )
        turned = False
        if not read.pixels:
            layout = self.layout or self._layout_of(x)
            x = x.permute([layout.index(axis) for axis in LAYOUTS[0]])
            turned = layout == "BTHWC"
        return in_unit_range(replace(read, values=x, turned=turned), output_range, TANH)

    def _layout_of(self, x: Tensor) -> str:
        """The only layout in which a video [5 axes] has 1 to 4 channels. Raises `WrongOutputs`."""
        fitting = [layout for layout in LAYOUTS if x.shape[layout.index("C")] <= MAX_CHANNELS]
        if len(fitting) == 1:
            return fitting[0]
        what = "may be " + " or ".join(fitting) if fitting else "has no axis of 1 to 4 channels"
        raise WrongOutputs(
            f"the generator returned shape {tuple(x.shape)}, which {what}: "
            f'say outputs=gentest.Video(fps={self.fps:g}, layout="{(fitting or LAYOUTS)[0]}")'
        )

    def contrast(self, outputs: Tensor) -> Tensor:
        values = outputs.transpose(1, 2).flatten(2)  # [n, C, T * H * W]
        deviations: Tensor = values.std(dim=2, correction=0).amax(1)
        return deviations

    def place(self, output: Tensor, start: int, stop: int) -> str:
        """The frames in words, counted from 1.

        >>> import torch
        >>> Video(fps=8).place(torch.zeros(16, 3, 4, 4), 8, 9), Video(fps=8).place(torch.zeros(16, 3, 4, 4), 7, 9)
        ('frame 9 of 16, at 1 s', 'frames 8 to 9 of 16, at 0.875 s')
        """
        frames = f"frame {start + 1}" if stop - start == 1 else f"frames {start + 1} to {stop}"
        return f"{frames} of {len(output)}, at {start / self.fps:.4g} s"
