"""The ends of probes: the uniforms of a seed, shifted by an attack, spliced by the mask, and mapped to latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import ndtri

from gentest.errors import InvalidArgument
from gentest.probes import shifts
from gentest.probes.probe import FULL_MASK, Probe
from gentest.spaces import Codes, Part, Space
from gentest.spaces.space import Array, Floats, rounded
from gentest.spaces.streams import NEAR, NOISE, uniforms_of


def ends_of(space: Space, probes: Sequence[Probe], streams: Sequence[int]) -> dict[str, dict[int, Array]]:
    """Each part's latent at each end, float64 [N, *shape]; the mask splices the far ends into the near one."""
    spliced: dict[str, dict[int, Array]] = {}
    choice, uniforms = 0, _Uniforms(space, probes, streams)
    spans = code_spans(space) if any(probe.blanks for probe in probes) else {}
    for name, part in space.parts.items():
        near = uniforms.of(name, NEAR)
        if part.n_groups == 0:
            values = part.from_uniforms(near)
            chosen = slice(choice, choice := choice + len(part.slots))
            for row, probe in enumerate(probes):
                if probe.choices[chosen]:
                    values[row] = np.reshape(probe.choices[chosen], part.shape)
            spliced[name] = dict.fromkeys(streams, values)
            continue
        whole = all(probe.mask == FULL_MASK for probe in probes)
        keep = None if whole else kept(space, name, part.dim, probes)
        spliced[name] = {}
        for stream in streams:
            ends = near if stream == NEAR else uniforms.of(name, stream)
            if keep is not None:
                ends = np.where(keep, ends, near)
            spliced[name][stream] = part.from_uniforms(ends)
            if name in spans:
                _set_blanks(spliced[name][stream], part, spans[name], probes)
    return spliced


def code_spans(space: Space) -> dict[str, range]:
    """The positions of each grid of codes of a space, by the name of its part, as `Probe.blanks` counts them."""
    spans, start = {}, 0
    for name, part in space.parts.items():
        if isinstance(part, Codes):
            spans[name] = range(start, start := start + part.n_positions)
    return spans


def _set_blanks(codes: Array, part: Part, span: range, probes: Sequence[Probe]) -> None:
    """Set the blank positions of codes [N, *shape], in place."""
    assert isinstance(part, Codes)
    flat = codes.reshape(len(codes), -1)  # a view
    for row, probe in enumerate(probes):
        for low, high in probe.blanks:
            flat[row, max(low - span.start, 0) : max(high - span.start, 0)] = part.blank


def scores_of(space: Space, probes: Sequence[Probe], streams: Sequence[int]) -> Floats:
    """The normal scores [N, S * D] of each probe's S ends in the D uniforms of the space, in the order of a shift."""
    uniforms = _Uniforms(space, probes, streams)
    ends = [uniforms.of(name, stream) for stream in streams for name in space.parts]
    return np.asarray(ndtri(np.concatenate(ends, axis=1)))


def shifted_groups(space: Space, n_ends: int, probe: Probe) -> tuple[int, ...]:
    """The coordinate groups in which an attack moved some end of a probe."""
    if not probe.shift:
        return ()
    moved: Array = np.asarray(np.frombuffer(probe.shift, dtype=np.int8).reshape(n_ends, -1).any(axis=0))  # [D]
    return tuple(g for g, (low, high) in enumerate(_columns(space)) if moved[low:high].any())


def with_shift_of(space: Space, n_ends: int, probe: Probe, groups: Sequence[int]) -> Probe:
    """The probe with its shift kept in these coordinate groups only."""
    steps = np.frombuffer(probe.shift, dtype=np.int8).reshape(n_ends, -1)
    keep = np.zeros(steps.shape[1], dtype=bool)
    for g, (low, high) in enumerate(_columns(space)):
        keep[low:high] = g in groups
    left = np.where(keep, steps, 0).astype(np.int8)
    return replace(probe, shift=left.tobytes() if left.any() else b"")


def nearer(space: Space, streams: Sequence[int], probe: Probe, share: float) -> Probe:
    """The probe moved only `share` of the way from its sample; its scores have the interpolated length."""
    origin = scores_of(space, [replace(probe, shift=b"")], streams)[0]
    by = shifts.to_scores(probe.shift)
    target = origin + share * by
    for block in blocks(space, len(streams)):
        lengths = [float(np.linalg.norm(scores[block])) for scores in (origin, origin + by, target)]
        target[block] *= ((1.0 - share) * lengths[0] + share * lengths[1]) / max(lengths[2], 1e-300)
    return replace(probe, shift=shifts.to_bytes(np.where(by == 0.0, 0.0, target - origin)))


def blocks(space: Space, n_ends: int) -> list[slice]:
    """The slice of each part of each end in the S * D scores of a probe: part after part, end after end."""
    edges = np.cumsum([0, *[part.dim for part in space.parts.values()] * n_ends]).tolist()
    return [slice(*span) for span in pairwise(edges)]


def _columns(space: Space) -> list[tuple[int, int]]:
    """The columns of each coordinate group in the D uniforms of one end."""
    starts = {name: block.start for name, block in zip(space.parts, blocks(space, 1), strict=True)}
    return [(starts[group.part] + group.low, starts[group.part] + group.high) for group in space.groups]


class _Uniforms:
    """The uniforms of probes at their ends, with the shifts of an attack."""

    def __init__(self, space: Space, probes: Sequence[Probe], streams: Sequence[int]) -> None:
        self._seeds = [probe.seed for probe in probes]
        self._index = {name: (i, part.dim) for i, (name, part) in enumerate(space.parts.items())}
        self._blocks: dict[tuple[int, str], slice] = {}
        self._shifts: Floats | None = None
        if any(probe.shift for probe in probes):
            ends = [(stream, name) for stream in streams for name in space.parts]
            self._blocks = dict(zip(ends, blocks(space, len(streams)), strict=True))
            n_scores = sum(part.dim for part in space.parts.values()) * len(streams)
            self._shifts = np.zeros((len(probes), n_scores))
            for row, probe in enumerate(probes):
                if probe.shift:
                    if len(probe.shift) != n_scores:
                        what = f"a shift of {n_scores} scores ({len(streams)} ends in {space!r})"
                        raise InvalidArgument(f"Expected {what} but got one of {len(probe.shift)}")
                    self._shifts[row] = shifts.to_scores(probe.shift)

    def of(self, name: str, stream: int) -> Floats:
        """Uniforms [N, dim] of one part at one end."""
        index, dim = self._index[name]
        own = uniforms_of(self._seeds, stream, index, dim)
        block = self._blocks.get((stream, name))
        return own if self._shifts is None or block is None else shifts.moved(own, self._shifts[:, block])


def kept(space: Space, name: str, dim: int, probes: Sequence[Probe]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True for coordinates that take the far end's uniforms, [N, dim]."""
    keep = np.ones((len(probes), dim), dtype=bool)
    for row, probe in enumerate(probes):
        if probe.mask != FULL_MASK:
            for g, group in enumerate(space.groups):
                if group.part == name and not probe.mask >> g & 1:
                    keep[row, group.low : group.high] = False
    return keep


def noise(spaces: Mapping[str, Part], probes: Sequence[Probe], n_points: int) -> dict[str, Array]:
    """The noise inputs [N, P, *shape] of a stochastic generator: one draw per probe's seed, for all its latents."""
    drawn, seeds = {}, [probe.seed for probe in probes]
    for index, (name, part) in enumerate(spaces.items()):
        values = part.from_uniforms(uniforms_of(seeds, NOISE, index, part.dim))
        drawn[name] = rounded(values)[:, None].repeat(n_points, axis=1)
    return drawn
