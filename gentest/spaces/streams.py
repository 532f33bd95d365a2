"""The uniforms of a seed: raw bits of the counter-based generator Philox-4x64, in one stream for each use.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". Its own module because every stored seed,
replay string and baseline rests on these bits: a change here changes every latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from gentest.spaces.space import Floats

NEAR, FAR, NOISE = 0, 1, 1 << 16
"""The streams of a probe's ends (further ends follow FAR) and of a generator's noise inputs."""
PLACE = 1 << 17
"""The stream of the place on its path where a probe looks."""
_INDEPENDENT = 1 << 31
"""The stream of the seeds of independent probes."""


def uniforms(seed: int, stream: int, part: int, n: int) -> Floats:
    """The first `n` uniforms in (0, 1) of one stream of a seed: 53 of Philox's 64 bits, at the middle of their cell.

    From 1/2 upwards float64 cannot represent the middle of a cell. The nearest number below 1 is taken instead.

    >>> uniforms(7, 0, 0, 2).round(6).tolist()
    [0.872073, 0.295365]
    """
    return np.asarray(uniforms_of([seed], stream, part, n)[0])


def uniforms_of(seeds: Sequence[int], stream: int, part: int, n: int) -> Floats:
    """The first `n` uniforms of one stream of each seed, [N, n]; each row is that of `uniforms`."""
    raw = np.empty((len(seeds), n), dtype=np.uint64)
    source = np.random.Philox(key=0)
    key = [0, (stream << 32) | part]
    # One source for all seeds: setting its state gives the bits of a new one in a tenth of the time. NumPy reads lists
    # in half the time of its own arrays.
    fresh: Any = {**source.state, "state": {"counter": [0] * 4, "key": key}, "buffer": [0] * 4}
    for row, seed in enumerate(seeds):
        key[0] = seed
        source.state = fresh
        raw[row] = source.random_raw(n)
    raw >>= np.uint64(11)
    middles = raw.astype(np.float64)
    middles += 0.5
    middles *= 2.0**-53
    return np.asarray(np.minimum(middles, 1.0 - 2.0**-53, out=middles))


def uniforms_at(scores: Floats) -> Floats:
    """The uniforms of normal scores, Phi(score), within the range that `uniforms` draws from."""
    return np.asarray(np.clip(ndtr(scores), 2.0**-54, 1.0 - 2.0**-53))


def independent_seeds(master: int, start: int, n: int) -> list[int]:
    """Seeds `start` to `start + n` (excluded) of the stream of `master`: independent draws, replayable by index."""
    key = np.array([master, _INDEPENDENT], dtype=np.uint64)
    bits = np.random.Philox(key=key, counter=start // 4).random_raw(n + start % 4)  # one counter step is 4 numbers
    return [int(b) for b in bits[start % 4 :]]
