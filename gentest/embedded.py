"""Embeddings of outputs as a baseline keeps them: few dimensions, 8 bits, one word of text.

Rows are projected by random signs, which keeps distances between outputs (Achlioptas 2003, "Database-friendly random
projections"), and rounded to 8 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gentest.comparison import Embedded
from gentest.records import pack_bytes, unpack_bytes

DIMENSIONS = 48
PROJECTION_SEED = 0x70726F6A656374
BYTE = 127


def packed(rows: NDArray[np.float64], clip: str = "") -> Embedded:
    """Rows [n, D] in at most 48 dimensions, as int8 and their scale; `clip` is the fingerprint of what they are of."""
    rows = projected(rows)
    scale = float(np.abs(rows).max()) / BYTE or 1.0
    return Embedded(pack_bytes(np.round(rows / scale).astype(np.int8).tobytes()), rows.shape[1], scale, clip)


def unpacked(embedded: Embedded) -> NDArray[np.float64]:
    """The rows that were packed, [n, at most 48]."""
    raw = np.frombuffer(unpack_bytes(embedded.rows, "embeddings"), dtype=np.int8)
    return np.asarray(raw.reshape(-1, embedded.dim).astype(np.float64) * embedded.scale)


def projected(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows [n, D] in at most 48 dimensions, by signs that are the same for ever."""
    if rows.shape[1] <= DIMENSIONS:
        return rows
    dim = rows.shape[1]
    signs = random_signs(dim, dim * DIMENSIONS).reshape(dim, DIMENSIONS)
    return np.asarray(rows @ signs / DIMENSIONS**0.5)


def random_signs(stream: int, n: int) -> NDArray[np.float64]:
    """The first `n` signs, 1 or -1, of one of the streams of signs, the same for ever."""
    raw = np.random.Philox(key=np.array([PROJECTION_SEED, stream], dtype=np.uint64)).random_raw(n)
    return np.where(raw >> np.uint64(63), 1.0, -1.0)
