"""Shifts: the distance by which an attack moved a probe's latents, as a few bytes that replay on any machine.

An attack finds latents that belong to no seed. It moves the *normal scores* of each end: standard normal numbers that
the prior's inverse CDF turns into latents, z = F^-1(Phi(score)). Wherever they move, latents stay in the prior's
support, inside a box or on a sphere. For a probe with S ends in a space of D uniforms, a shift is S * D steps of 1/32,
8 bits each: those of the first end, part after part, then those of the next.
"""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np
from scipy.special import ndtri

from gentest.errors import InvalidArgument
from gentest.spaces.space import Floats
from gentest.spaces.streams import uniforms_at

STEP = 1 / 32
"""The unit of a shift, in standard deviations."""
MAX_STEPS = 127
MAX_BYTES = 1 << 16
"""The longest shift. As text it fits into a command line, whose words Linux limits to 131,071 characters."""
MAX_TEXT = 1 << 17


def to_bytes(moved: Floats) -> bytes:
    """The shift that moves normal scores by `moved`, rounded to steps and at most 127 of them; empty if none moves.

    >>> to_scores(to_bytes(np.array([0.0, 0.5, -9.0])))
    array([ 0.     ,  0.5    , -3.96875])
    """
    steps = np.clip(np.rint(np.asarray(moved) / STEP), -MAX_STEPS, MAX_STEPS).astype(np.int8)
    return steps.tobytes() if steps.any() else b""


def to_scores(shift: bytes) -> Floats:
    """The distance by which each score moves, float64."""
    return np.frombuffer(shift, dtype=np.int8).astype(np.float64) * STEP


def moved(uniforms: Floats, by: Floats) -> Floats:
    """Uniforms with their normal scores moved; those that do not move stay the same, to the last bit."""
    return np.asarray(np.where(by == 0.0, uniforms, uniforms_at(ndtri(uniforms) + by)))


def to_text(shift: bytes) -> str:
    """A shift as letters, digits, + and /.

    >>> from_text(to_text(bytes([1, 0, 255]))) == bytes([1, 0, 255])
    True
    """
    return base64.b64encode(zlib.compress(shift, 9)).decode().rstrip("=")


def from_text(text: str) -> bytes:
    """The shift that `to_text` wrote. Raises `InvalidArgument` for anything else, and for one over 64 KiB."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        reader = zlib.decompressobj()
        shift = reader.decompress(packed, MAX_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InvalidArgument.expected("a shift as gentest prints it", "shift", text[:40]) from error
    if not reader.eof or reader.unused_data or not any(shift):
        raise InvalidArgument.expected("a shift as gentest prints it", "shift", text[:40])
    return shift
