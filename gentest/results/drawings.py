"""Pictures and curves for a report. The engine makes them if a report is asked for.

They travel with a result from an xdist worker, and JSON files omit them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gentest.errors import InvalidArgument
from gentest.results.media import Media
from gentest.results.records import unpack_bytes

SIDE = 112
"""Pixels of the longer side of a small picture."""
MAX_BYTES = 24 * 2**10
"""The largest file of a small picture."""
SAMPLES = 6
"""Outputs of a seed's first latents in a report. A baseline keeps as many of its checkpoint."""


@dataclass(frozen=True)
class Strip:
    """Outputs in order, as WebP pictures of at most `SIDE` x `SIDE` pixels in base64, all of one size."""

    frames: tuple[str, ...]
    width: int
    height: int
    places: tuple[int, ...]
    """The output that each frame shows, of `n` outputs of a probe. Of many outputs some are left out."""
    n: int
    whole: tuple[str, ...] = ()
    """The same frames as PNG in full size, until they are written as files."""


@dataclass(frozen=True)
class Change:
    """Two outputs of a counterexample and a heat map of how far apart their pixels are."""

    strip: Strip
    """The two outputs and the map."""
    names: tuple[str, ...]
    """The names of the two outputs."""
    largest: float
    """The largest difference of a pixel, drawn brightest. Outputs lie in [0, 1]."""
    mean: float
    """The mean difference of all pixels."""


@dataclass(frozen=True)
class Difference:
    """Both sides of a pair at one latent, and what the candidate adds to the reference in each pixel."""

    strip: Strip
    """The reference, the candidate, and a map of their signed difference: blue below 0, grey at 0, red above."""
    largest: float
    """The largest absolute difference of a value, at the end of the colour scale. Outputs lie in [0, 1]."""
    signed: float
    """The same difference with its sign: candidate minus reference."""
    mean: float
    """The mean absolute difference of all values."""
    row: int
    column: int
    """The pixel of the largest difference, counted from 0."""
    height: int
    width: int
    """The size of the outputs in pixels."""
    whole: tuple[str, ...] = ()
    """The reference and the map as PNG in full size, until they are written as files."""


@dataclass(frozen=True)
class Trace:
    """A rate as its probes came in: the probes that had passed, and the bounds of the rate, at several looks."""

    arm: str
    probes: tuple[int, ...]
    passes: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Histogram:
    """The number of margins in each of equally wide bins from `low` to `high`. 0 is an edge of bins."""

    of: str
    """The name of the probes that have these margins."""
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
class ArrayOutput:
    """One output that is not an image: figures of its finite values, and the values if they are drawn as a line."""

    name: str
    """Its number among the outputs of a probe, or the side of a pair."""
    least: float
    mean: float
    largest: float
    sd: float
    not_finite: int
    """Values that are not finite."""
    line: tuple[float, ...] = ()
    """The values in order; of many, the smallest and the largest of each run of neighbours."""
    gaps: tuple[int, ...] = ()
    """The places of `line` near which some value is not finite."""
    alike: bool = False
    """True if it is one of the outputs that a counterexample names as alike."""


@dataclass(frozen=True)
class ArrayStrip:
    """Outputs that are not images, in order and on one scale: as lines, as heat maps, or else as figures alone."""

    shape: tuple[int, ...]
    """The shape of an output."""
    outputs: tuple[ArrayOutput, ...]
    n: int
    """Outputs of the probe. Of many, some are left out."""
    maps: tuple[str, ...] = ()
    """A heat map of each output, as a WebP picture in base64."""
    width: int = 0
    height: int = 0
    """Pixels of a heat map."""


@dataclass(frozen=True)
class Drawings:
    """Everything that a report draws of one result."""

    worst: Strip | None = None
    minimal: Strip | None = None
    change: Change | None = None
    worst_difference: Difference | None = None
    minimal_difference: Difference | None = None
    """The two sides of a pair at the worst and at the minimal probe."""
    worst_arrays: ArrayStrip | None = None
    minimal_arrays: ArrayStrip | None = None
    """The outputs of the worst and of the minimal probe, if they are not images."""
    worst_media: Media | None = None
    minimal_media: Media | None = None
    """The outputs of the worst and of the minimal probe, if they are videos, sounds, rows or texts."""
    samples: Strip | None = None
    """Outputs of the seed's first latents."""
    sample_arrays: ArrayStrip | None = None
    """The same, if they are arrays."""
    sample_media: Media | None = None
    """The same, if they are videos, sounds, rows or texts."""
    baseline: Strip | None = None
    """The blessed checkpoint's outputs of the same latents."""
    traces: tuple[Trace, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    rays: Rays | None = None
    missing: str = ""
    """Why pictures could not be made; empty if they were."""
    command: str = ""
    """The command that replays the minimal counterexample."""
    files: int = 0
    """The number of image files that were written."""


def check_pictures(frames: tuple[str, ...], name: str) -> tuple[int, int]:
    """The width and height of small pictures that were read from a file; (0, 0) if there are none.

    Raises `InvalidArgument`, which calls them `name`, unless they are at most six still WebP pictures of one size.
    """
    if len(frames) > SAMPLES:
        raise InvalidArgument(f"{name} are {len(frames)} pictures; a baseline has at most {SAMPLES}")
    sizes = set()
    for frame in frames:
        if len(frame) > 2 * MAX_BYTES:
            raise InvalidArgument(f"a picture of {name} has more than {MAX_BYTES} bytes")
        sizes.add(_size(unpack_bytes(frame, name), name))
    if len(sizes) > 1:
        raise InvalidArgument(f"{name} are pictures of several sizes")
    return sizes.pop() if sizes else (0, 0)


def _size(data: bytes, name: str) -> tuple[int, int]:
    """The width and height in the header of a WebP file (RFC 9649), whose length has to be that of the header."""
    head, kind = data[:16], data[12:16]
    whole = len(data) >= 30 and head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    if not whole or len(data) > MAX_BYTES or struct.unpack("<I", head[4:8])[0] + 8 != len(data):
        raise InvalidArgument(f"a picture of {name} is not a WebP file of at most {MAX_BYTES} bytes")
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack("<I", data[21:25])
        size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        size = width & 0x3FFF, height & 0x3FFF
    # this bit marks an animation
    elif kind == b"VP8X" and not data[20] & 0x02:
        size = int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    else:
        raise InvalidArgument(f"a picture of {name} is not a still WebP picture")
    if not all(1 <= side <= SIDE for side in size):
        raise InvalidArgument(f"a picture of {name} is {size[0]} x {size[1]} pixels; the largest side is {SIDE}")
    return size
