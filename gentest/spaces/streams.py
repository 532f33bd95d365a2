"""Where a seed's uniforms come from: the raw bits of the counter-based generator Philox-4x64 (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3"), one stream for each end of a probe and whatever else it draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gentest.spaces.space import Floats

NEAR, FAR, NOISE = 0, 1, 1 << 16
"""Streams; further ends follow FAR."""
PLACE = 1 << 17
"""Where on its path a probe looks."""
_INDEPENDENT = 1 << 31
"""The stream that independent probes' seeds are drawn from."""


def uniforms(seed: int, stream: int, part: int, n: int) -> Floats:
    """The first `n` uniforms in (0, 1) of one stream of a seed: 53 of Philox's 64 bits, at the middle of their cell.

    From 1/2 upwards a float64 cannot hold the middle of a cell, and the nearest number it can is taken, never 1.

    >>> uniforms(7, 0, 0, 2).round(6).tolist()
    [0.872073, 0.295365]
    """
    return np.asarray(uniforms_of([seed], stream, part, n)[0])


def uniforms_of(seeds: Sequence[int], stream: int, part: int, n: int) -> Floats:
    """The first `n` uniforms of one stream of each seed, [N, n]: rows as `uniforms` gives them."""
    raw = np.empty((len(seeds), n), dtype=np.uint64)
    source = np.random.Philox(key=0)
    fresh = source.state
    for row, seed in enumerate(seeds):
        fresh["state"]["key"][:] = seed, (stream << 32) | part
        source.state = fresh  # as if made anew, in a seventh of the time
        raw[row] = source.random_raw(n)
    raw >>= np.uint64(11)
    middles = raw.astype(np.float64)
    middles += 0.5
    middles *= 2.0**-53
    return np.asarray(np.minimum(middles, 1.0 - 2.0**-53, out=middles))


def independent_seeds(master: int, start: int, n: int) -> list[int]:
    """Seeds `start` to `start + n` of the stream that belongs to `master`: independent draws, replayable by index."""
    key = np.array([master, _INDEPENDENT], dtype=np.uint64)
    bits = np.random.Philox(key=key, counter=start // 4).random_raw(n + start % 4)  # a step of the counter is 4 numbers
    return [int(b) for b in bits[start % 4 :]]
