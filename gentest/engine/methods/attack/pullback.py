"""Gradients in the normal scores of a probe's ends, which an attack moves, from gradients in the probe's latents.

This is the chain rule backward through `Probes.place`: along the prior's paths, through the masks, and through each
part's inverse CDF. The derivatives belong to the parts: `Part.path_gradients` and `Part.score_gradients`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from gentest.probes.ends import blocks, ends_of, kept, scores_of
from gentest.probes.families import Along, Neighbours, Points, Probes, Segments, Steps
from gentest.probes.probe import Probe
from gentest.spaces import Part, Space
from gentest.spaces.space import Array, Floats
from gentest.spaces.streams import NEAR


def pulled_back(family: Probes, space: Space, probes: Sequence[Probe], gradients: Mapping[str, Array]) -> Floats | None:
    """Gradients [N, S * D] in the scores of the S ends, from gradients [N, P, *shape] in the latents of each part.

    None if nothing moves, or if a family or a part that somebody else wrote has no known derivative.
    """
    if all(space.parts[name].n_values is not None for name in gradients):
        return None
    streams, parts = family.streams, space.parts
    ends, scores = ends_of(space, probes, streams), scores_of(space, probes, streams)
    columns = dict(zip([(s, name) for s in streams for name in parts], blocks(space, len(streams)), strict=True))
    if NEAR in streams:
        near = {name: scores[:, columns[NEAR, name]] for name in parts}
    else:  # an attack moves only the far end, and a mask takes the rest from the seed's own near end
        unshifted = scores_of(space, [replace(probe, shift=b"") for probe in probes], [NEAR])
        near = {name: unshifted[:, block] for name, block in zip(parts, blocks(space, 1), strict=True)}
    total, moving = np.zeros_like(scores), family.moving(space)
    for name, gradient in gradients.items():
        part, part_ends = parts[name], [ends[name][stream] for stream in streams]
        gradient = np.asarray(gradient, dtype=np.float64)
        if name in moving:
            at_ends = _at_ends(family, part, part_ends, family.t(probes), gradient)
        else:
            still = gradient.sum(axis=1)
            at_ends = [still if stream == NEAR else np.zeros_like(still) for stream in streams]
        if at_ends is None:
            return None
        keep = kept(space, name, part.dim, probes)
        for stream, at_end in zip(streams, at_ends, strict=True):
            own = keep | (stream == NEAR)  # the coordinates that this end does not take from the near end
            with torch.enable_grad():  # the network of a Mapped part needs it
                pulled = part.score_gradients(np.where(own, scores[:, columns[stream, name]], near[name]), at_end)
            if pulled is None:
                return None
            total[:, columns[stream, name]] += np.where(own, pulled, 0.0)
            if NEAR in streams:
                total[:, columns[NEAR, name]] += np.where(own, 0.0, pulled)
    return np.asarray(np.nan_to_num(total))


def _at_ends(family: Probes, part: Part, ends: Sequence[Array], t: Floats, gradient: Floats) -> list[Floats] | None:
    """Gradients [N, *shape] in each end of a part, from those [N, P, *shape] in its latents; None if unknown."""
    match family:
        case Points():
            return [gradient[:, 0]]
        case Segments() | Steps():
            straight = isinstance(family, Steps) and family.straight
            pull = part.straight_gradients if straight else part.path_gradients
            return [*pull(ends[0], ends[1], t, gradient)]
        case Neighbours():
            pairs = [
                part.path_gradients(ends[0], far, t[:, i : i + 1], gradient[:, i : i + 1])
                for i, far in enumerate(ends[1:], start=1)
            ]
            return [gradient[:, 0] + sum(near for near, _ in pairs), *(far for _, far in pairs)]
        case Along():  # as if no border stopped it
            return [gradient.sum(axis=1)]
    return None
