"""A look at outputs themselves: the level of each attribute in use, and an embedding, on the same latents every time.

Interpolation properties judge the shape of f, and a checkpoint can go bad and keep it; so a baseline keeps what outputs
were like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes import Attribute, Distance, Feature, Readout
from gentest.attributes.attribute import Bindable, describe, fingerprint
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.subject import Subject
from gentest.gate.embedded import packed, random_signs
from gentest.properties.definition import Measure
from gentest.results.comparison import Look
from gentest.results.records import pack

LATENTS = 512
"""Outputs that are looked at: a two-sample test on fewer sees little."""
SIDE = 16
FOLDED = 256


def sketch(outputs: Tensor) -> Tensor:
    """Outputs that are no images, as rows [B, D <= 256] divided by the square root of how many values they have.

    Where there are more, they are added up with random signs, which keeps distances (Charikar et al. 2002, "Finding
    frequent items in data streams").
    """
    flat = outputs.flatten(1)
    n = flat.shape[1]
    if n > FOLDED:
        signs = torch.from_numpy(random_signs(n, n)).to(flat)
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
    bound = {name: context.measuring.bound(attribute) for name, attribute in attributes.items()}
    feature = _embedding(context, attributes, features, images=subject.generator.images)
    scores: dict[str, list[float]] = {name: [] for name in attributes}
    rows = []

    def embed(evidence: Observed) -> None:
        rows.append(evidence.measured(feature, scalar=False)[:, 0].double().cpu().numpy())

    for evidence in context.samples(subject, seed, 0, LATENTS):
        for name, attribute in bound.items():
            scores[name] += evidence.measured(attribute, scalar=True)[:, 0].double().cpu().tolist()
        if blesses:  # while the outputs are there
            embed(evidence)
    if not blesses:
        for evidence in context.samples(subject, seed, LATENTS, LATENTS):
            embed(evidence)
    return Look(
        levels={name: pack(values) for name, values in scores.items()},
        embeddings={describe(feature): packed(np.concatenate(rows), fingerprint(feature))},
    )


def measures_of_look(context: Context, measures: Sequence[Measure], *, images: bool) -> list[Measure]:
    """Everything that a look measures for a property, as far as it declares its measures. Raises `GentestError`."""
    of_one = [measure for measure in measures if not isinstance(measure.thing, Distance)]
    attributes: dict[str, Any] = {describe(m.thing): m.thing for m in of_one if m.scalar is not False}
    features: dict[str, Any] = {describe(m.thing): m.thing for m in of_one if not m.scalar}
    levels = [Measure(attribute, scalar=True) for attribute in attributes.values()]
    return [*levels, Measure(_embedding(context, attributes, features, images=images), scalar=False)]


def _embedding(
    context: Context, attributes: Mapping[str, Attribute], features: Mapping[str, Feature], *, images: bool
) -> Feature:
    """CLIP's embedding, or whatever model's, where the property uses one; small images, or a sketch, otherwise."""
    for thing in (*attributes.values(), *features.values()):
        bound = context.measuring.bound(thing)
        if isinstance(bound, Readout):
            return bound.feature
    for feature in features.values():
        if isinstance(feature, Bindable):
            embedding: Feature = context.measuring.bound(feature)
            return embedding
    return thumbnails if images else sketch
