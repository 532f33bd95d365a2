"""A generator's outputs as a baseline keeps them: levels of attributes, and small embeddings.

Embeddings are projected to few dimensions by random signs, which keeps the distances between outputs (Achlioptas 2003,
"Database-friendly random projections"), and rounded down to a grid whose step is a power of two. Two samples are
compared on the coarser of their grids, since a two-sample test that sees detail would see the grids. Rounding to a
grid and then to a coarser one is the same as rounding once, so a comparison does not depend on the grid of the file.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.results.comparison import Embedded, Look, Sample
from gentest.results.drawings import check_pictures
from gentest.results.records import pack_bytes, unpack, unpack_bytes

MAX_OUTPUTS = 4096
"""Outputs of a look: gentest keeps 512, and comparing distributions takes memory by the square of them."""
ROUNDING = 0.01
"""How far two measurements of one level may differ, as a share of its range."""
DIMENSIONS = 48
PROJECTION_SEED = 0x70726F6A656374
BYTE = 127


def look_key(sample: Sample) -> str:
    """The generator, space and seed of a sample: samples that share them share their outputs."""
    return f"{sample.generator} {sample.space} {sample.seed}"


def merge_looks(samples: Iterable[Sample]) -> dict[str, Look]:
    """One look for each generator, space and seed, with everything that any property measured on its outputs.

    Raises `InvalidArgument` if two attributes have the same name and different levels.
    """
    looks: dict[str, Look] = {}
    for sample in samples:
        if sample.look is None:
            continue
        merged = looks.get(look_key(sample), Look({}, {}))
        for name, scores in sample.look.levels.items():
            if not _agree(merged.levels.get(name, scores), scores):
                raise InvalidArgument(
                    f"two attributes of tests on one generator are both called {name}: their levels cannot be told "
                    "apart; make one of them a function of another name"
                )
        embeddings = dict(merged.embeddings)
        for name, embedded in sample.look.embeddings.items():
            # `matches(n=)` may embed more outputs than another property: both sides keep the larger sample
            if name not in embeddings or len(embeddings[name].rows) <= len(embedded.rows):
                embeddings[name] = embedded
        levels = dict(merged.levels)
        for name, scores in sample.look.levels.items():
            levels[name] = max(levels.get(name, scores), scores, key=len)
        looks[look_key(sample)] = Look(levels, embeddings, merged.pictures or sample.look.pictures)
    return looks


def _agree(one: str, other: str) -> bool:
    """True if two packed levels are the same but for rounding, as far as both go."""
    if one == other:
        return True
    a, b = unpack(one, "levels"), unpack(other, "levels")
    limit = ROUNDING * (max(a) - min(a))
    return all(abs(x - y) <= limit for x, y in zip(a, b, strict=False))


def check_look(look: Look, name: str) -> Look:
    """A look that was read from a file, with its sizes checked.

    Levels and embeddings may be of different numbers of outputs: `matches(n=)` says how many it embeds, and the levels
    of a quick gate stop when they are decided. Raises `InvalidArgument`, which calls the outputs `name`.
    """
    check_pictures(look.pictures, f"the outputs of {name}")
    counts = {len(unpack(scores, f"the levels of {name}")) for scores in look.levels.values()}
    embedded_counts = set()
    for embedded in look.embeddings.values():
        rows = unpack_bytes(embedded.rows, f"the embeddings of {name}")
        if embedded.dim < 1 or len(rows) % embedded.dim or not embedded.scale > 0:
            raise InvalidArgument(f"the embeddings of {name} are not rows of {embedded.dim} numbers")
        embedded_counts.add(len(rows) // embedded.dim)
    every = sorted(counts | embedded_counts)
    if every and not 2 <= every[0] <= every[-1] <= MAX_OUTPUTS:
        raise InvalidArgument(f"levels and embeddings of {name} are of {every} outputs")
    return look


def packed(rows: NDArray[np.float64], clip: str = "") -> Embedded:
    """Embeddings [n, D] in at most 48 dimensions, as int8 and their scale; `clip` is the fingerprint of their CLIP."""
    rows = projected(rows)
    largest = float(np.abs(rows).max())
    scale = 2.0 ** np.ceil(np.log2(largest / BYTE)) if largest > 0.0 else 1.0
    steps = np.floor(rows / scale).astype(np.int8)
    return Embedded(pack_bytes(steps.tobytes()), rows.shape[1], float(scale), clip)


def unpacked(*samples: Embedded) -> list[NDArray[np.float64]]:
    """The rows [n, at most 48] of packed samples, all on the coarsest of their grids.

    >>> fine, coarse = np.array([[0.3], [-0.9]]), np.array([[70.0], [5.0]])
    >>> [rows.ravel().tolist() for rows in unpacked(packed(fine), packed(coarse))]
    [[0.5, -0.5], [70.5, 5.5]]
    """
    scale = max(embedded.scale for embedded in samples)
    return [(np.floor(_steps(embedded) * (embedded.scale / scale)) + 0.5) * scale for embedded in samples]


def _steps(embedded: Embedded) -> NDArray[np.float64]:
    raw = np.frombuffer(unpack_bytes(embedded.rows, "embeddings"), dtype=np.int8)
    return raw.reshape(-1, embedded.dim).astype(np.float64)


def projected(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows [n, D] in at most 48 dimensions, by signs that never change."""
    if rows.shape[1] <= DIMENSIONS:
        return rows
    dim = rows.shape[1]
    signs = random_signs(dim, dim * DIMENSIONS).reshape(dim, DIMENSIONS)
    return np.asarray(rows @ signs / DIMENSIONS**0.5)


def random_signs(stream: int, n: int) -> NDArray[np.float64]:
    """The first `n` signs, 1 or -1, of one of the streams of signs. They never change."""
    raw = np.random.Philox(key=np.array([PROJECTION_SEED, stream], dtype=np.uint64)).random_raw(n)
    return np.where(raw >> np.uint64(63), 1.0, -1.0)
