"""What a report draws of a check: small pictures and curves, made by the engine where a report is asked for.

Passive records, in the lowest layer. They travel with a result from an xdist worker, and are no part of a JSON file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gentest.errors import InvalidArgument
from gentest.results.records import unpack_bytes

SIDE = 112
"""Pixels of the longer side of a small picture."""
MAX_BYTES = 24 * 2**10
"""No small picture takes more."""
SAMPLES = 6
"""Outputs of the first latents of a seed that are shown: a baseline keeps those of its checkpoint."""


@dataclass(frozen=True)
class Strip:
    """Outputs in order, as WebP pictures of at most `SIDE` x `SIDE` pixels in base64, all of one size.

    `places` says which of the `n` outputs of a probe each frame is: where there are many, some are left out. `whole`
    holds the same frames as PNG in full size, until they are written as files.
    """

    frames: tuple[str, ...]
    width: int
    height: int
    places: tuple[int, ...]
    n: int
    whole: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """Two outputs of a counterexample, which `names` says, and how far each pixel is apart, as a heat map.

    The frames are those two and the map, in which the brightest is a difference of `largest` (outputs are in [0, 1]);
    `mean` is that of all pixels.
    """

    strip: Strip
    names: tuple[str, ...]
    largest: float
    mean: float


@dataclass(frozen=True)
class Trace:
    """A rate as its probes came in: after each of some looks, how many had passed, and the bounds of the rate."""

    arm: str
    probes: tuple[int, ...]
    passes: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Histogram:
    """How many margins `of` some probes lie in each of equally wide bins from `low` to `high`; 0 is an edge of bins."""

    of: str
    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Rays:
    """The share of `n` rays on which a property holds up to each radius."""

    radii: tuple[float, ...]
    held: tuple[float, ...]
    n: int


@dataclass(frozen=True)
class Shown:
    """All that a report draws of one result; `missing` says why pictures could not be made, where they could not."""

    worst: Strip | None = None
    minimal: Strip | None = None
    change: Change | None = None
    samples: Strip | None = None
    """Outputs of the seed's first latents."""
    baseline: Strip | None = None
    """Those of the blessed checkpoint, of the same latents."""
    traces: tuple[Trace, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    rays: Rays | None = None
    missing: str = ""
    command: str = ""
    """One line that evaluates the minimal counterexample again."""
    files: int = 0
    """How many image files were written."""


def check_pictures(frames: tuple[str, ...], name: str) -> tuple[int, int]:
    """The size, width and height, that small pictures from a file have in common; (0, 0) of none.

    Raises `InvalidArgument`, which calls them `name`, for more or larger ones than gentest writes, and for bytes that
    are no WebP picture of at most `SIDE` x `SIDE` pixels.
    """
    if len(frames) > SAMPLES:
        raise InvalidArgument(f"{name} are {len(frames)} pictures, of which there are {SAMPLES} at most")
    sizes = set()
    for frame in frames:
        if len(frame) > 2 * MAX_BYTES:
            raise InvalidArgument(f"a picture of {name} has more than {MAX_BYTES} bytes")
        sizes.add(_size(unpack_bytes(frame, name), name))
    if len(sizes) > 1:
        raise InvalidArgument(f"{name} are pictures of several sizes")
    return sizes.pop() if sizes else (0, 0)


def _size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height that the header of a WebP file says (RFC 9649), which has to be as long as the header says."""
    head, kind = data[:16], data[12:16]
    whole = len(data) >= 30 and head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    if not whole or len(data) > MAX_BYTES or struct.unpack("<I", head[4:8])[0] + 8 != len(data):
        raise InvalidArgument(f"a picture of {name} is no WebP file of at most {MAX_BYTES} bytes")
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack("<I", data[21:25])
        size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        size = width & 0x3FFF, height & 0x3FFF
    elif kind == b"VP8X" and not data[20] & 0x02:  # which would be an animation
        size = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    else:
        raise InvalidArgument(f"a picture of {name} is no still WebP picture")
    if not all(1 <= side <= SIDE for side in size):
        raise InvalidArgument(f"a picture of {name} is {size[0]} x {size[1]} pixels, of which {SIDE} are the most")
    return size
