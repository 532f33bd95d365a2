"""From latents back to normal scores: what an attack, which moves scores, makes of a gradient with respect to latents.

Probes are placed with NumPy, and exactly (`Probes.place`); here the same is written once more in torch, so that it can
be differentiated. Nothing is looked at where this says: it gives directions only, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest.probes.ends import kept, scores_of
from gentest.probes.families import Along, Neighbours, Points, Probes, Segments, Steps
from gentest.probes.probe import Probe
from gentest.spaces import Empirical, Mapped, Normal, Part, Space, Sphere, TruncatedNormal, Uniform
from gentest.spaces.mapped import OfModule
from gentest.spaces.radius import AtRadius
from gentest.spaces.space import Array, Choice, Floats, Truncated
from gentest.spaces.streams import NEAR

TINY = 1e-12


def pulled_back(family: Probes, space: Space, probes: Sequence[Probe], gradients: Mapping[str, Array]) -> Floats | None:
    """Gradients [N, S * D] in the normal scores of the ends, of those [N, P, *shape] in the latents of each part.

    None where the way from scores to latents is not known: a family or a prior that somebody else wrote.
    """
    scores = torch.from_numpy(scores_of(space, probes, family.streams)).requires_grad_()
    try:
        placed = _placed(family, space, probes, scores)
    except NotImplementedError:
        return None
    pairs = [(placed[name], torch.from_numpy(np.asarray(g, dtype=np.float64))) for name, g in gradients.items()]
    moving = [(z, g) for z, g in pairs if z.requires_grad]
    if not moving:
        return None
    with torch.enable_grad():
        (found,) = torch.autograd.grad([z for z, _ in moving], scores, [g for _, g in moving])
    return np.asarray(torch.nan_to_num(found).numpy())


def _placed(family: Probes, space: Space, probes: Sequence[Probe], scores: Tensor) -> dict[str, Tensor]:
    """The latents [N, P, *shape] of each part, as `family.place` gives them."""
    dims = [part.dim for part in space.parts.values()]
    blocks = iter(torch.split(scores, dims * len(family.streams), dim=1))
    ends = {(stream, name): next(blocks) for stream in family.streams for name in space.parts}
    near = {name: ends[NEAR, name] for name in space.parts if NEAR in family.streams}
    if not near:  # what a mask takes from it is as the seed has it
        own = torch.from_numpy(scores_of(space, [replace(probe, shift=b"") for probe in probes], [NEAR]))
        near = dict(zip(space.parts, torch.split(own, dims, dim=1), strict=True))
    placed = {}
    with torch.enable_grad():
        for name, part in space.parts.items():
            keep = torch.from_numpy(kept(space, name, part.dim, probes))
            spliced = [torch.where(keep, ends[stream, name], near[name]) for stream in family.streams]
            if family.streams[0] == NEAR:
                spliced[0] = near[name]
            placed[name] = _walked(family, space, name, probes, [_latents(part, end) for end in spliced])
    return placed


def _walked(family: Probes, space: Space, name: str, probes: Sequence[Probe], ends: Sequence[Tensor]) -> Tensor:
    """The latents [N, P, *shape] of a part between its ends [N, *shape]."""
    part, t = space.parts[name], torch.from_numpy(family.t(probes))
    if isinstance(family, Points):
        return ends[0][:, None]
    if isinstance(family, (Segments, Steps)):
        straight = isinstance(family, Steps) and family.straight
        return _straight(ends[0], ends[1], t) if straight else _path(part, ends[0], ends[1], t)
    if isinstance(family, Neighbours):
        step = t[:, 1:2]
        return torch.cat([ends[0][:, None], *(_path(part, ends[0], far, step) for far in ends[1:])], dim=1)
    if isinstance(family, Along):  # as if nothing held it at a border
        return ends[0][:, None].expand(-1, family.points, *part.shape)
    raise NotImplementedError


@singledispatch
def _latents(part: Part, scores: Tensor) -> Tensor:
    """A part's latents [N, *shape] of scores [N, dim], as `part.from_uniforms(Phi(scores))` gives them."""
    raise NotImplementedError


@_latents.register
def _(part: Normal, scores: Tensor) -> Tensor:
    return scores.reshape(-1, *part.shape)


@_latents.register
def _(part: Uniform, scores: Tensor) -> Tensor:
    inside: Tensor = part.low + torch.special.ndtr(scores) * (part.high - part.low)
    return inside.reshape(-1, *part.shape)


@_latents.register
def _(part: TruncatedNormal, scores: Tensor) -> Tensor:
    low = torch.special.ndtr(torch.tensor(-part.bound, dtype=scores.dtype))
    inside: Tensor = torch.special.ndtri(low + torch.special.ndtr(scores) * (1.0 - 2.0 * low))
    clamped: Tensor = inside.clamp(-part.bound, part.bound)
    return clamped.reshape(-1, *part.shape)


@_latents.register
def _(part: Sphere, scores: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(scores, dim=1, keepdim=True)
    onto: Tensor = scores * (part.radius / length.clamp(min=TINY))
    return onto.reshape(-1, *part.shape)


@_latents.register
def _(part: Truncated, scores: Tensor) -> Tensor:
    mean, latents = torch.from_numpy(part.mean()), _latents(part.part, scores)
    drawn: Tensor = mean + part.psi * (latents - mean)
    return drawn


@_latents.register
def _(part: AtRadius, scores: Tensor) -> Tensor:
    mean, latents = torch.from_numpy(part.mean()), _latents(part.part, scores)
    out = torch.from_numpy(part.part.radii(latents.detach().numpy())).clamp(min=TINY)
    scale = (part.radius / out).reshape(-1, *(1,) * len(part.shape))
    away = (latents - mean) * scale
    along = away.detach() / away.detach().flatten(1).norm(dim=1).clamp(min=TINY).reshape(scale.shape)
    outward = (away * along).flatten(1).sum(1).reshape(scale.shape)
    turned: Tensor = mean + away - (outward - outward.detach()) * along  # its radius is given: only the ray turns
    return turned


@_latents.register
def _(part: Mapped, scores: Tensor) -> Tensor:
    if not isinstance(part.network, OfModule):
        raise NotImplementedError  # of arrays, there is nothing to differentiate
    latents = _latents(part.part, scores)
    try:
        made: object = part.network.network(latents)
    except Exception as error:  # somebody's code that does not like tensors with gradients
        raise NotImplementedError from error
    if not isinstance(made, Tensor) or not made.requires_grad:
        raise NotImplementedError
    return made


@_latents.register(Choice)
@_latents.register(Empirical)
def _(part: Part, scores: Tensor) -> Tensor:
    return torch.zeros(len(scores), *part.shape, dtype=scores.dtype)  # an entry is taken whole: there is no way to go


def _path(part: Part, near: Tensor, far: Tensor, t: Tensor) -> Tensor:
    inner: Any = part
    while isinstance(inner, (Truncated, AtRadius)):
        inner = inner.part
    if not isinstance(inner, (Normal, Sphere)):
        return _straight(near, far, t)
    n = len(near)
    return _great_circle(near.reshape(n, -1), far.reshape(n, -1), t).reshape(*t.shape, *part.shape)


def _straight(near: Tensor, far: Tensor, t: Tensor) -> Tensor:
    t = t.reshape(*t.shape, *(1,) * (near.ndim - 1))
    return near[:, None] * (1.0 - t) + far[:, None] * t


def _great_circle(near: Tensor, far: Tensor, t: Tensor) -> Tensor:
    """`gentest.spaces.priors.great_circle`, but for ends that are parallel or opposite: those are joined straight."""
    near_length, far_length = (z.norm(dim=1, keepdim=True).clamp(min=TINY) for z in (near, far))
    u, v = near / near_length, far / far_length
    cosine = (u * v).sum(1, keepdim=True)
    across = (v - cosine * u).norm(dim=1, keepdim=True)
    narrow = across < 1e-6
    angle = torch.atan2(torch.where(narrow, 1.0, across), cosine)
    sine, length = torch.sin(angle), near_length * (1.0 - t) + far_length * t
    a = torch.where(narrow, 1.0 - t, torch.sin((1.0 - t) * angle) / sine * (length / near_length))
    b = torch.where(narrow, t, torch.sin(t * angle) / sine * (length / far_length))
    return near[:, None] * a[..., None] + far[:, None] * b[..., None]
