"""Pictures of outputs: small ones for a report, and full-size ones for files.

Pixels that are not finite are magenta. Pictures decide nothing and count no image of a run: a report changes no figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gentest.engine.evidence.context import Context
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.results.drawings import MAX_BYTES, SAMPLES, SIDE, Change, Difference, Strip
from gentest.results.records import pack_bytes

Pixels: TypeAlias = NDArray[np.uint8]

MAX_FRAMES = 17
"""The most frames of a strip; a probe with more outputs is shown with gaps."""
LOSSLESS_SIDE = 32
"""Pictures with up to this many pixels a side are stored without loss."""
ROOM = 32 * 2**10
"""Bytes of a strip. Frames of noise get smaller and coarser until they fit."""
STEPS = ((SIDE, 82), (SIDE, 60), (80, 50), (56, 40), (40, 25), (24, 10))
"""Pixels of the longer side, and quality; the first that fits is used."""
MAGENTA = (255, 0, 255)
HEAT = ((0, 0, 0), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""Colours from no difference to the largest: black, violet, red, orange, pale yellow."""

DIVERGING = ((20, 70, 255), (90, 115, 190), (128, 128, 128), (195, 110, 95), (255, 60, 20))
"""Colours from the largest difference below 0 over grey to the largest above."""


@contextmanager
def uncounted(context: Context) -> Iterator[None]:
    """Within, images and calls do not count. Only outputs that no check shares may be made here."""
    before = replace(context.meter)
    try:
        yield
    finally:
        context.meter.images, context.meter.calls = before.images, before.calls


def drawn_places(n: int, needed: Sequence[int] = ()) -> list[int]:
    """The outputs that are drawn of `n`: at most `MAX_FRAMES`, spread evenly, and the first two that are `needed`.

    >>> drawn_places(3), len(drawn_places(65)), drawn_places(65, (1, 2, 3))[:4]
    ([0, 1, 2], 17, [0, 1, 2, 4])
    """
    return sorted({round(i) for i in np.linspace(0, n - 1, min(n, MAX_FRAMES))} | set(needed[:2]))


def strip(outputs: Tensor, *, whole: bool = False, room: int = ROOM, needed: Sequence[int] = ()) -> Strip:
    """Outputs [P, C, H, W] as small pictures, clipped to [0, 1]; `whole` adds a PNG of each in full size.

    Of many outputs some are left out, but none of the first two that are `needed`.
    """
    n = len(outputs)
    places = drawn_places(n, needed)
    frames = [pixels(outputs[place]) for place in places]
    small = small_pictures(frames, room)
    files = tuple(pack_bytes(_encoded(pixels(output), "PNG")) for output in outputs) if whole else ()
    return replace(small, places=tuple(places), n=n, whole=files)


def change(near: Tensor, far: Tensor, names: tuple[str, str]) -> Change:
    """Two outputs [C, H, W] and a map of their differences: the mean over channels, as a share of the largest."""
    differences = np.abs(_clipped(far) - _clipped(near)).mean(0)  # [H, W]
    largest = float(differences.max())
    shown = [pixels(near), pixels(far), heat(differences / largest if largest else differences)]
    small = small_pictures(shown, ROOM // 2)
    return Change(replace(small, places=(0, 1, 2), n=3), names, largest, float(differences.mean()))


def difference(reference: Tensor, candidate: Tensor, *, whole: bool = False) -> Difference:
    """The outputs [C, H, W] of both sides of a pair, and a map of their signed difference.

    A pixel of the map has the difference of the channel that differs most. A small map keeps the largest difference of
    the pixels that it draws as one. `whole` adds PNGs in full size of the reference and of the map.
    """
    by_channel = _clipped(candidate) - _clipped(reference)  # [C, H, W]
    signed = np.take_along_axis(by_channel, np.abs(by_channel).argmax(0)[None], axis=0)[0]  # [H, W]
    height, width = signed.shape
    row, column = divmod(int(np.abs(signed).argmax()), width)
    largest = abs(float(signed[row, column]))
    shares = signed / largest if largest else signed
    small_width, small_height = _size_within(pixels(reference), SIDE)
    small_map = diverging(_strongest(shares, small_height, small_width))
    small = small_pictures([pixels(reference), pixels(candidate), small_map], ROOM // 2)
    files = (pixels(reference), diverging(shares)) if whole else ()
    return Difference(
        replace(small, places=(0, 1, 2), n=3),
        largest,
        float(signed[row, column]),
        float(np.abs(by_channel).mean()),
        row=row,
        column=column,
        height=height,
        width=width,
        whole=tuple(pack_bytes(_encoded(file, "PNG")) for file in files),
    )


def samples(context: Context, subject: Subject, seed: int) -> Strip | None:
    """The outputs of a seed's first latents; None if they are not images, or after an attempt that failed."""
    key = (subject.key, seed)
    if key not in context.pictures:
        context.pictures[key] = None
        if subject.generator.images:
            with uncounted(context):
                outputs = Outputs(context.maker, subject, points(), independent(seed, 0, SAMPLES), alone=True)
                context.pictures[key] = strip(outputs.values[:, 0], room=ROOM // 2)
    strip_of_seed: Strip | None = context.pictures[key]
    return strip_of_seed


def baseline_frames(context: Context, subject: Subject, seed: int) -> tuple[str, ...]:
    """The frames of `samples` for a baseline; none if they cannot be made, since pictures never stop a blessing."""
    with suppress(Exception):
        strip_of_seed = samples(context, subject, seed)
        return () if strip_of_seed is None else strip_of_seed.frames
    return ()


def pixels(image: Tensor) -> Pixels:
    """An output [C, H, W] as grey [H, W], RGB or RGBA [H, W, 3 or 4]; other numbers of channels become their mean."""
    broken = ~image.detach().isfinite().all(0).cpu().numpy()  # [H, W]
    values = _clipped(image)
    is_grey = len(values) not in (3, 4)
    if is_grey:
        values = values.mean(0, keepdims=True)
    picture: Pixels = np.round(values * 255).astype(np.uint8).transpose(1, 2, 0)  # [H, W, C]
    if not broken.any():
        return picture[..., 0] if is_grey else picture
    if is_grey:
        picture = np.repeat(picture, 3, axis=2)
    picture[broken] = (*MAGENTA, 255)[: picture.shape[2]]
    return picture


def _clipped(image: Tensor) -> NDArray[np.float64]:
    """An output [C, H, W] in [0, 1]; NaN becomes 0."""
    values: NDArray[np.float64] = image.detach().double().cpu().numpy()
    return np.asarray(np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0))


def diverging(shares: NDArray[np.float64]) -> Pixels:
    """Shares [H, W] in [-1, 1] as colours [H, W, 3]: blue below 0, grey at 0, red above."""
    return _coloured(shares, -1.0, DIVERGING)


def heat(shares: NDArray[np.float64]) -> Pixels:
    """Shares [H, W] in [0, 1] as colours [H, W, 3]."""
    return _coloured(shares, 0.0, HEAT)


def _coloured(shares: NDArray[np.float64], lowest: float, colours: Sequence[tuple[int, int, int]]) -> Pixels:
    """Shares [H, W] from `lowest` to 1 as colours [H, W, 3], between the given ones."""
    stops = np.linspace(lowest, 1.0, len(colours))
    channels = [np.interp(shares, stops, column) for column in zip(*colours, strict=True)]
    picture: Pixels = np.round(np.stack(channels, axis=2)).astype(np.uint8)
    return picture


def _strongest(values: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Values [H, W] at a smaller size [height, width]: each is the one of its block that is furthest from 0."""
    for axis, n in ((0, height), (1, width)):
        edges = np.arange(n) * values.shape[axis] // n
        high, low = np.maximum.reduceat(values, edges, axis=axis), np.minimum.reduceat(values, edges, axis=axis)
        values = np.where(high >= -low, high, low)
    return values


def small_pictures(frames: Sequence[Pixels], room: int) -> Strip:
    """The frames as WebP, as good as the room allows."""
    files: list[bytes] = []
    size = (0, 0)
    for side, quality in STEPS:
        size = _size_within(frames[0], side)
        files = [_encoded(frame, "WEBP", size=size, quality=quality) for frame in frames]
        if sum(map(len, files)) <= room and max(map(len, files)) <= MAX_BYTES:
            break
    return Strip(tuple(map(pack_bytes, files)), *size, (), 0)


def _size_within(frame: Pixels, side: int) -> tuple[int, int]:
    """The width and height of a frame, scaled down until its longer side has at most `side` pixels."""
    height, width = frame.shape[:2]
    scale = min(1.0, side / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _encoded(frame: Pixels, format: str, *, size: tuple[int, int] | None = None, quality: int = 0) -> bytes:
    from PIL import Image

    picture, file = Image.fromarray(frame), BytesIO()
    options: dict[str, Any] = {"optimize": True}
    if size is not None:
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BOX)
        if picture.mode == "L":
            picture = picture.convert("RGB")  # WebP has no grey format
        options = {"quality": quality, "lossless": max(size) <= LOSSLESS_SIDE and quality >= STEPS[0][1], "method": 4}
    picture.save(file, format, **options)
    return file.getvalue()
