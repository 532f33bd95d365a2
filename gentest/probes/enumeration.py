"""All latents of a finite space as probes: each latent once, in order.

A finite space is made of banks, whose entries a seed draws, and of choices, which a probe names. So each entry needs a
seed that draws it: `every_point` tries the seeds 0, 1, 2, ... until each entry, or each combination of entries of
several banks, has one. The first seed counts, so an input has the same replay string in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod

import numpy as np

from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe
from gentest.spaces import Part, Space
from gentest.spaces.space import Array, rounded
from gentest.spaces.streams import FAR, uniforms_of

MOST = 100_000
"""The largest number of latents to enumerate."""
TRIED_AT_ONCE = 1 << 14
"""Seeds tried in one call."""
PLACED_AT_ONCE = 256
"""Entries of a bank placed in one call: they may be images."""


def every_point(space: Space) -> list[Probe]:
    """A probe of a single point for each distinct latent of a space; the last part of a `Joint` changes fastest.

    Equal entries of a bank are one latent. Raises `InvalidArgument` for a space with infinitely many latents, and for
    one whose banks and choices have more than `MOST` combinations.

    >>> from gentest import Categorical, Empirical, Joint
    >>> [str(probe) for probe in every_point(Joint(w=Empirical([[5.0], [6.0], [5.0]]), label=Categorical(2)))]
    ['1-c0', '1-c1', '0-c0', '0-c1']
    """
    if space.n_latents is None:
        raise InvalidArgument(f"{space!r} has infinitely many latents")
    parts = list(space.parts.values())
    banks = {i: part for i, part in enumerate(parts) if part.n_entries}
    n = prod([*(part.n_entries for part in banks.values()), *map(len, space.supports)])
    if n > MOST:
        raise InvalidArgument(f"{space!r} has {n:,} latents, more than {MOST:,}")
    first = {i: _first_equal(part) for i, part in banks.items()}
    seeds = _seeds(banks, first)
    values: list[Sequence[int]] = []
    is_entry: list[bool] = []
    for i, part in enumerate(parts):
        own = [sorted(set(first[i]))] if i in first else [slot.support for slot in part.slots]
        values += own
        is_entry += [i in first] * len(own)
    probes = []
    for latent in product(*values):
        entries = tuple(value for value, bank in zip(latent, is_entry, strict=True) if bank)
        choices = tuple(value for value, bank in zip(latent, is_entry, strict=True) if not bank)
        probes.append(Probe(seeds[entries], choices=choices))
    return probes


def _seeds(banks: Mapping[int, Part], first: Mapping[int, Sequence[int]]) -> dict[tuple[int, ...], int]:
    """The first seed that draws each combination of distinct entries, by those entries."""
    if not banks:
        return {(): 0}
    distinct = {i: np.array(entries) for i, entries in first.items()}
    missing = prod(len(set(entries)) for entries in first.values())
    seeds: dict[tuple[int, ...], int] = {}
    start = 0
    while len(seeds) < missing:
        tried = range(start, start + TRIED_AT_ONCE)
        drawn = [distinct[i][part.entries(uniforms_of(tried, FAR, i, part.dim))] for i, part in banks.items()]
        for seed, entries in zip(tried, np.stack(drawn, axis=1).tolist(), strict=True):
            seeds.setdefault(tuple(entries), seed)
        start += TRIED_AT_ONCE
    return seeds


def _first_equal(part: Part) -> list[int]:
    """For each entry of a part's bank, the first entry that is the same latent."""
    first: dict[bytes, int] = {}
    return [first.setdefault(latent.tobytes(), entry) for entry, latent in enumerate(_latents(part))]


def entry_of(part: Part, latent: Array) -> int:
    """The first entry of a part's bank that is this latent [*shape], as generators receive it."""
    return next(entry for entry, own in enumerate(_latents(part)) if np.array_equal(own, latent))


def _latents(part: Part) -> Iterator[Array]:
    """The latent of each entry of a part's bank, in order, as generators receive it."""
    n = part.n_entries
    for start in range(0, n, PLACED_AT_ONCE):
        entries = np.arange(start, min(start + PLACED_AT_ONCE, n))
        yield from rounded(part.from_uniforms((entries[:, None] + 0.5) / n))
