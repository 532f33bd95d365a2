"""A look at outputs themselves: the level of each attribute in use, and an embedding, on the same latents every time.

Interpolation properties judge the shape of f, and a checkpoint can go bad and keep it; so a baseline keeps what outputs
were like. Embeddings are projected to a few dimensions by random signs, which keeps distances between outputs
(Achlioptas 2003, "Database-friendly random projections"), and rounded to 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes import Attribute, Feature, Readout
from gentest.attributes.attribute import Bindable, describe, fingerprint
from gentest.comparison import Embedded, Look
from gentest.engine.context import Context
from gentest.engine.evidence import Observed, Subject
from gentest.probes import independent, points
from gentest.records import pack, pack_bytes
from gentest.spaces.space import Array

LATENTS = 512
"""Outputs that are looked at: a two-sample test on fewer sees little."""
SIDE = 16
FOLDED = 256
DIMENSIONS = 48
PROJECTION_SEED = 0x70726F6A656374
BYTE = 127


def sketch(outputs: Tensor) -> Tensor:
    """Outputs that are no images, as rows [B, D <= 256] divided by the square root of how many values they have.

    Where there are more, they are added up with random signs, which keeps distances (Charikar et al. 2002, "Finding
    frequent items in data streams").
    """
    flat = outputs.flatten(1)
    n = flat.shape[1]
    if n > FOLDED:
        signs = torch.from_numpy(_random_signs(n, n)).to(flat)
        flat = F.pad(flat * signs, (0, -n % FOLDED)).reshape(len(flat), -1, FOLDED).sum(1)
    rows: Tensor = flat / n**0.5
    return rows


def thumbnails(images: Tensor) -> Tensor:
    """Outputs shrunk to at most 16 x 16 pixels, as rows [B, D] divided by sqrt(D)."""
    small = F.adaptive_avg_pool2d(images, (min(SIDE, images.shape[2]), min(SIDE, images.shape[3]))).flatten(1)
    rows: Tensor = small / small.shape[1] ** 0.5
    return rows


def look(
    context: Context,
    subject: Subject,
    attributes: Mapping[str, Attribute],
    features: Mapping[str, Feature],
    seed: int,
    *,
    blesses: bool,
) -> Look:
    """What the first outputs of a seed are like, in the attributes and features that a property measured.

    Levels are of the same latents in every checkpoint, since they are compared latent by latent. Embeddings are of
    other latents in a candidate than in the checkpoint that is blessed: they are compared as two independent samples,
    and a permutation test sees next to nothing where the outputs of one latent resemble each other.
    """
    bound = {name: context.bound(attribute) for name, attribute in attributes.items()}
    feature = _embedding(context, attributes, features, images=subject.generator.images)
    scores: dict[str, list[float]] = {name: [] for name in attributes}
    for evidence in _outputs(context, subject, seed, 0):
        for name, attribute in bound.items():
            scores[name] += evidence.measured(attribute, scalar=True)[:, 0].double().cpu().tolist()
    rows = [
        evidence.measured(feature, scalar=False)[:, 0].double().cpu().numpy()
        for evidence in _outputs(context, subject, seed, 0 if blesses else LATENTS)
    ]
    return Look(
        levels={name: pack(values) for name, values in scores.items()},
        embeddings={describe(feature): _packed(np.concatenate(rows), fingerprint(feature))},
    )


def _outputs(context: Context, subject: Subject, seed: int, start: int) -> Iterator[Observed]:
    """Blocks of the outputs of a seed's latents from `start` on; one that ran out of memory leaves smaller ones."""
    taken = 0
    while taken < LATENTS:
        n = min(context.batch_size, LATENTS - taken)
        yield context.evidence(subject, points(), independent(seed, start + taken, n))
        taken += n


def _embedding(
    context: Context, attributes: Mapping[str, Attribute], features: Mapping[str, Feature], *, images: bool
) -> Feature:
    """CLIP's embedding, or whatever model's, where the property uses one; small images, or a sketch, otherwise."""
    for attribute in attributes.values():
        bound = context.bound(attribute)
        if isinstance(bound, Readout):
            return bound.feature
    for feature in features.values():
        if isinstance(feature, Bindable):
            embedding: Feature = context.bound(feature)
            return embedding
    return thumbnails if images else sketch


def _packed(rows: Array, clip: str) -> Embedded:
    """Rows [n, D] in at most 48 dimensions, as int8 and their scale."""
    if rows.shape[1] > DIMENSIONS:
        rows = rows @ _signs(rows.shape[1]) / DIMENSIONS**0.5
    scale = float(np.abs(rows).max()) / BYTE or 1.0
    return Embedded(pack_bytes(np.round(rows / scale).astype(np.int8).tobytes()), rows.shape[1], scale, clip)


def _signs(dim: int) -> Array:
    """Random signs [dim, 48], the same for ever."""
    return _random_signs(dim, dim * DIMENSIONS).reshape(dim, DIMENSIONS)


def _random_signs(stream: int, n: int) -> Array:
    raw = np.random.Philox(key=np.array([PROJECTION_SEED, stream], dtype=np.uint64)).random_raw(n)
    return np.where(raw >> np.uint64(63), 1.0, -1.0)
