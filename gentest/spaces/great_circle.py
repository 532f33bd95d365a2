"""Great circles (slerp) between latents, and their derivative.

Source: Shoemake 1985, "Animating rotation with quaternion curves". White 2016 (arXiv:1609.04468) takes them for
latents.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from gentest.spaces.space import Array, Floats, pieces

NARROW = 1e-7
"""Ends whose angle has a smaller sine count as parallel or opposite."""
ORIGIN = 1e-150
"""A shorter latent has no direction: its square underflows in float64."""


def great_circle(near: Floats, far: Floats, t: Floats, *, dtype: DTypeLike = np.float64) -> Array:
    """Latents [N, P, d] from near [N, d] to far [N, d] at fractions t [N, P]: direction and length change evenly.

    Computes in float64, and rounds once if another `dtype` is asked for.

    The direction follows Shoemake's formula and the length goes straight. His formula for both would leave every bound
    between nearly opposite ends of unequal length.

    A straight line joins parallel ends, an end at the origin, and latents of one coordinate. Exactly opposite ends are
    joined by the half circle through the coordinate axis that lies furthest from them.
    """
    arc = _arc(near, far)
    length = arc.near_length * (1.0 - t) + arc.far_length * t  # [N, P]
    a = np.where(arc.narrow, 1.0 - t, np.sin((1.0 - t) * arc.angle) / arc.sine * (length / arc.near_length))
    b = np.where(arc.narrow, t, np.sin(t * arc.angle) / arc.sine * (length / arc.far_length))
    path = np.empty((*t.shape, near.shape[1]), dtype)
    for rows in pieces(len(path), path[:1].size):
        some = near[rows, None] * a[rows, :, None]
        some += far[rows, None] * b[rows, :, None]
        path[rows] = some
    opposite = (arc.narrow_angle & (arc.cosine < -0.5))[:, 0]
    if opposite.any() and near.shape[1] > 1:
        path[opposite] = _half_circle(near[opposite], far[opposite], t[opposite])
    return path


def great_circle_gradients(near: Floats, far: Floats, t: Floats, gradients: Floats) -> tuple[Floats, Floats]:
    """Gradients [N, d] in near and in far, from gradients [N, P, d] in the latents of `great_circle`.

    With unit vectors u, v at angle w, the path is L (A u + B v), where L = (1 - t) |near| + t |far|, A = sin((1 - t) w)
    / sin w and B = sin(t w) / sin w; and sin(w) dw = -(v du + u dv). Ends that are parallel or opposite are
    differentiated as if a straight line joined them.
    """
    arc = _arc(near, far)
    length = arc.near_length * (1.0 - t) + arc.far_length * t
    a, b = (np.sin(share * arc.angle) / arc.sine for share in (1.0 - t, t))  # [N, P]
    by_angle_a, by_angle_b = (
        (share * np.cos(share * arc.angle) - weight * arc.cosine) / arc.sine for share, weight in ((1.0 - t, a), (t, b))
    )
    along_u, along_v = (np.einsum("npd,nd->np", gradients, unit) for unit in (arc.u, arc.v))
    turning = (length * (by_angle_a * along_u + by_angle_b * along_v)).sum(axis=1, keepdims=True) / arc.sine  # [N, 1]
    stretching = a * along_u + b * along_v
    result = []
    for unit, other, size, share, weight in (
        (arc.u, arc.v, arc.near_length, 1.0 - t, a),
        (arc.v, arc.u, arc.far_length, t, b),
    ):
        sideways = np.einsum("np,npd->nd", length * weight, gradients) - turning * other
        sideways -= np.einsum("nd,nd->n", sideways, unit)[:, None] * unit
        curved = (share * stretching).sum(axis=1, keepdims=True) * unit + sideways / size
        result.append(np.where(arc.narrow, np.einsum("np,npd->nd", share, gradients), curved))
    return result[0], result[1]


class _Arc(NamedTuple):
    """Two ends [N, d] as lengths [N, 1], unit vectors [N, d], and the angle [N, 1] between them."""

    near_length: Floats
    far_length: Floats
    u: Floats
    v: Floats
    cosine: Floats
    angle: Floats
    narrow_angle: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    """The ends are parallel or opposite."""
    narrow: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    """The ends are parallel or opposite, or one is the origin: a straight line joins them."""
    sine: Floats
    """The sine of the angle; 1 where a straight line joins the ends."""


def _arc(near: Floats, far: Floats) -> _Arc:
    near_length, far_length = _lengths(near), _lengths(far)
    u, v = near / near_length, far / far_length
    cosine = np.einsum("nd,nd->n", u, v)[:, None]
    across = _norms(v - cosine * u)
    angle = np.arctan2(across, cosine)  # an arc cosine is off by 1e-8 if the ends are nearly opposite
    narrow_angle = across < NARROW
    narrow = narrow_angle | (np.minimum(near_length, far_length) <= ORIGIN)
    sine = np.where(narrow, 1.0, np.sin(angle))
    return _Arc(near_length, far_length, u, v, cosine, angle, narrow_angle, narrow, sine)


def _half_circle(near: Floats, far: Floats, t: Floats) -> Floats:
    """Great circles between opposite latents near, far [N, d], through the coordinate axis furthest from both."""
    near_length, far_length = _lengths(near), _lengths(far)
    u, rows = near / near_length, np.arange(len(near))
    axis = np.abs(u).argmin(axis=1)
    aside = -u[rows, axis][:, None] * u
    aside[rows, axis] += 1.0
    aside /= _lengths(aside)
    length, along = near_length * (1.0 - t) + far_length * t, np.cos(np.pi * t)  # [N, P]
    parts = (
        (near, np.maximum(along, 0.0) * (length / near_length)),
        (far, np.maximum(-along, 0.0) * (length / far_length)),
        (aside, np.sin(np.pi * np.minimum(t, 1.0 - t)) * length),
    )
    return np.asarray(sum(part[:, None] * weight[..., None] for part, weight in parts))


def _lengths(latents: Floats) -> Floats:
    """Lengths [N, 1] of latents [N, d], at least `ORIGIN`."""
    return np.asarray(np.maximum(_norms(latents), ORIGIN))


def _norms(rows: Floats) -> Floats:
    """The norms [N, 1] of rows [N, d]: the bits of `np.linalg.norm`, in half its time for few rows."""
    return np.asarray(np.sqrt(np.add.reduce(rows * rows, axis=1, keepdims=True)))
