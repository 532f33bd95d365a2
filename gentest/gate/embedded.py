"""Embeddings of outputs as a baseline keeps them: few dimensions, 8 bits, one word of text.

Rows are projected by random signs, which keeps distances between outputs (Achlioptas 2003, "Database-friendly random
projections"), and cut down to a grid whose step is a power of two. Two samples are compared on one grid, the coarser of
theirs: a two-sample test that sees detail would see the grids otherwise. Cutting twice, to a grid and to one twice as
coarse, is cutting once, so that what is compared depends on where a sample was kept in nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gentest.results.comparison import Embedded
from gentest.results.records import pack_bytes, unpack_bytes

DIMENSIONS = 48
PROJECTION_SEED = 0x70726F6A656374
BYTE = 127


def packed(rows: NDArray[np.float64], clip: str = "") -> Embedded:
    """Rows [n, D] in at most 48 dimensions, as int8 and their scale; `clip` is the fingerprint of what they are of."""
    rows = projected(rows)
    largest = float(np.abs(rows).max())
    scale = 2.0 ** np.ceil(np.log2(largest / BYTE)) if largest > 0.0 else 1.0
    steps = np.floor(rows / scale).astype(np.int8)
    return Embedded(pack_bytes(steps.tobytes()), rows.shape[1], float(scale), clip)


def unpacked(*kept: Embedded) -> list[NDArray[np.float64]]:
    """The rows [n, at most 48] of samples that were packed, all on the coarsest of their grids.

    >>> fine, coarse = np.array([[0.3], [-0.9]]), np.array([[70.0], [5.0]])
    >>> [rows.ravel().tolist() for rows in unpacked(packed(fine), packed(coarse))]
    [[0.5, -0.5], [70.5, 5.5]]
    """
    scale = max(embedded.scale for embedded in kept)
    return [(np.floor(_steps(embedded) * (embedded.scale / scale)) + 0.5) * scale for embedded in kept]


def _steps(embedded: Embedded) -> NDArray[np.float64]:
    raw = np.frombuffer(unpack_bytes(embedded.rows, "embeddings"), dtype=np.int8)
    return raw.reshape(-1, embedded.dim).astype(np.float64)


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
