"""Pictures of outputs: small ones for a report, whole ones for files.

What is not finite is painted magenta. Nothing here is counted among the images of a run, and none of it decides
anything: what a report asks for leaves every figure as it is.
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
from gentest.results.records import pack_bytes
from gentest.results.shown import MAX_BYTES, SAMPLES, SIDE, Change, Strip

Pixels: TypeAlias = NDArray[np.uint8]

MOST = 17
"""Frames of a strip: of a probe with more outputs, some are left out."""
EXACT = 32
"""Pictures of no more pixels a side are kept without loss."""
ROOM = 32 * 2**10
"""Bytes that a strip may take; where frames are noise, they get smaller and coarser until it does."""
STEPS = ((SIDE, 82), (SIDE, 60), (80, 50), (56, 40), (40, 25), (24, 10))
"""Pixels of the longer side and quality, the first that fits."""
MAGENTA = (255, 0, 255)
HEAT = ((0, 0, 0), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""From no difference to the largest: black, violet, red, orange, pale yellow."""


@contextmanager
def uncounted(context: Context) -> Iterator[None]:
    """While it lasts, what the generator makes is not counted: in blocks of one's own, which no check is given."""
    before = replace(context.meter)
    try:
        yield
    finally:
        context.meter.images, context.meter.calls = before.images, before.calls


def strip(outputs: Tensor, *, whole: bool = False, room: int = ROOM) -> Strip:
    """Outputs [P, C, H, W] in [0, 1], as far as they are, in order; `whole` keeps a PNG of each, in its own size."""
    n = len(outputs)
    places = sorted({round(i) for i in np.linspace(0, n - 1, min(n, MOST))})
    frames = [pixels(outputs[place]) for place in places]
    small = _small(frames, room)
    files = tuple(pack_bytes(_encoded(pixels(output), "PNG")) for output in outputs) if whole else ()
    return replace(small, places=tuple(places), n=n, whole=files)


def change(near: Tensor, far: Tensor, names: tuple[str, str]) -> Change:
    """Two outputs [C, H, W] and where they differ: the mean over channels, as a share of the largest."""
    one, other = (
        np.nan_to_num(x.detach().double().cpu().numpy(), nan=0.0, posinf=1.0, neginf=0.0) for x in (near, far)
    )
    apart = np.abs(other.clip(0, 1) - one.clip(0, 1)).mean(0)  # [H, W]
    largest = float(apart.max())
    small = _small([pixels(near), pixels(far), heat(apart / largest if largest else apart)], ROOM // 2)
    return Change(replace(small, places=(0, 1, 2), n=3), names, largest, float(apart.mean()))


def samples(context: Context, subject: Subject, seed: int) -> Strip | None:
    """Outputs of a seed's first latents; None where they are no images or cannot be made."""
    key = (subject.key, seed)
    if key not in context.pictures:
        context.pictures[key] = None
        if subject.generator.images:
            with uncounted(context):
                outputs = Outputs(context.maker, subject, points(), independent(seed, 0, SAMPLES), alone=True)
                context.pictures[key] = strip(outputs.values[:, 0], room=ROOM // 2)
    found: Strip | None = context.pictures[key]
    return found


def samples_of(context: Context, subject: Subject, seed: int) -> tuple[str, ...]:
    """The frames of `samples`; none where there are none, or a generator that makes no picture is blessed as it is."""
    with suppress(Exception):  # of what library ever
        found = samples(context, subject, seed)
        return () if found is None else found.frames
    return ()


def pixels(image: Tensor) -> Pixels:
    """An output [C, H, W] as [H, W] or [H, W, 3 or 4]: grey, RGB or RGBA; of other channels, their mean."""
    values = image.detach().double().cpu().numpy()
    broken = ~np.isfinite(values).all(0)  # [H, W]
    values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)
    grey = len(values) not in (3, 4)
    if grey:
        values = values.mean(0, keepdims=True)
    found: Pixels = np.round(values * 255).astype(np.uint8).transpose(1, 2, 0)  # [H, W, C]
    if not broken.any():
        return found[..., 0] if grey else found
    if grey:
        found = np.repeat(found, 3, axis=2)
    found[broken] = (*MAGENTA, 255)[: found.shape[2]]
    return found


def heat(shares: NDArray[np.float64]) -> Pixels:
    """Shares [H, W] in [0, 1] as colours [H, W, 3]."""
    at = np.linspace(0.0, 1.0, len(HEAT))
    channels = [np.interp(shares, at, column) for column in zip(*HEAT, strict=True)]
    found: Pixels = np.round(np.stack(channels, axis=2)).astype(np.uint8)
    return found


def _small(frames: Sequence[Pixels], room: int) -> Strip:
    """The frames as WebP, as good as the room allows."""
    found: list[bytes] = []
    size = (0, 0)
    for side, quality in STEPS:
        size = _within(frames[0], side)
        found = [_encoded(frame, "WEBP", size=size, quality=quality) for frame in frames]
        if sum(map(len, found)) <= room and max(map(len, found)) <= MAX_BYTES:
            break
    return Strip(tuple(map(pack_bytes, found)), *size, (), 0)


def _within(frame: Pixels, side: int) -> tuple[int, int]:
    """The width and height of a frame that is made no larger, and its longer side no longer than `side`."""
    height, width = frame.shape[:2]
    scale = min(1.0, side / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _encoded(frame: Pixels, form: str, *, size: tuple[int, int] | None = None, quality: int = 0) -> bytes:
    from PIL import Image

    picture, out = Image.fromarray(frame), BytesIO()
    options: dict[str, Any] = {"optimize": True}
    if size is not None:
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BOX)
        if picture.mode == "L":
            picture = picture.convert("RGB")  # WebP has no grey
        options = {"quality": quality, "lossless": max(size) <= EXACT and quality >= STEPS[0][1], "method": 4}
    picture.save(out, form, **options)
    return out.getvalue()
