"""The summary of a generator's outputs that a baseline keeps: the level of each attribute in use, and an embedding.

Interpolation properties judge the shape of f, and a checkpoint can go bad and keep its shape. Levels and embeddings
show that the outputs themselves have changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import Bindable, describe, fingerprint, is_readout
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.subject import Subject
from gentest.gate.looks import packed, random_signs
from gentest.outputs import Kind
from gentest.properties.definition import Measure
from gentest.results.comparison import Look
from gentest.results.records import pack

N_OUTPUTS = 512
"""Outputs in a summary: with fewer, a two-sample test sees little."""
SIDE = 16
"""Pixels of the longer side of a thumbnail, at most."""
MAX_DIM = 256
"""The most numbers of a sketch."""


def sketch(outputs: Tensor) -> Tensor:
    """Outputs [B, ...] as rows [B, D <= 256], divided by the square root of the number of values of an output.

    More values than 256 are added up with random signs, which keeps distances (Charikar et al. 2002, "Finding frequent
    items in data streams").
    """
    flat = outputs.flatten(1)
    n = flat.shape[1]
    if n > MAX_DIM:
        signs = torch.from_numpy(random_signs(n, n)).to(flat)
        flat = F.pad(flat * signs, (0, -n % MAX_DIM)).reshape(len(flat), -1, MAX_DIM).sum(1)
    rows: Tensor = flat / n**0.5
    return rows


def thumbnails(images: Tensor) -> Tensor:
    """Images [B, C, H, W] shrunk to at most 16 x 16 pixels, as rows [B, D] divided by sqrt(D)."""
    small = F.adaptive_avg_pool2d(images, (min(SIDE, images.shape[2]), min(SIDE, images.shape[3]))).flatten(1)
    rows: Tensor = small / small.shape[1] ** 0.5
    return rows


def summarize_outputs(
    context: Context,
    subject: Subject,
    attributes: Mapping[str, Attribute],
    features: Mapping[str, Feature],
    seed: int,
    *,
    blesses: bool,
) -> Look:
    """The levels of some attributes, and an embedding, of a seed's first outputs.

    Levels are compared latent by latent, so they are of the same latents in every checkpoint. Embeddings are compared
    as two independent samples, so a candidate's are of the next latents: a permutation test sees next to nothing if the
    outputs of one latent resemble each other. `blesses` says that the summary becomes a baseline's.
    """
    bound = {name: context.measuring.bound(attribute) for name, attribute in attributes.items()}
    feature = _embedding(context, attributes, features, kind=subject.generator.kind)
    scores: dict[str, list[float]] = {name: [] for name in attributes}
    rows: list[NDArray[np.float64]] = []

    def embed(evidence: Observed) -> None:
        rows.append(evidence.measured(feature, scalar=False)[:, 0].double().cpu().numpy())

    for evidence in context.samples(subject, seed, 0, N_OUTPUTS):
        for name, attribute in bound.items():
            scores[name] += evidence.measured(attribute, scalar=True)[:, 0].double().cpu().tolist()
        if blesses:
            embed(evidence)
    if not blesses:
        for evidence in context.samples(subject, seed, N_OUTPUTS, N_OUTPUTS):
            embed(evidence)
    return Look(
        levels={name: pack(values) for name, values in scores.items()},
        embeddings={describe(feature): packed(np.concatenate(rows), fingerprint(feature))},
    )


def summary_measures(context: Context, measures: Sequence[Measure], *, kind: Kind) -> list[Measure]:
    """The measures of the summary for a property that declares its measures. Raises `GentestError`."""
    of_one = [measure for measure in measures if not isinstance(measure.thing, Distance)]
    attributes: dict[str, Any] = {describe(m.thing): m.thing for m in of_one if m.scalar is not False}
    features: dict[str, Any] = {describe(m.thing): m.thing for m in of_one if not m.scalar}
    levels = [Measure(attribute, scalar=True) for attribute in attributes.values()]
    return [*levels, Measure(_embedding(context, attributes, features, kind=kind), scalar=False)]


def _embedding(
    context: Context, attributes: Mapping[str, Attribute], features: Mapping[str, Feature], *, kind: Kind
) -> Feature:
    """The embedding of CLIP or another model, if the property uses one; otherwise thumbnails or a sketch."""
    for thing in (*attributes.values(), *features.values()):
        bound = context.measuring.bound(thing)
        if is_readout(bound):
            return bound.feature
    for feature in features.values():
        if isinstance(feature, Bindable):
            embedding: Feature = context.measuring.bound(feature)
            return embedding
    return thumbnails if kind.has_pixels else sketch
