"""Hypothesis strategies for probes, for gentest's own search and for users of a plain `@given`.

A draw is a seed, as bytes, and choices, never floats: so every draw is a sample of the prior.

    @given(gentest.strategies.segments(gentest.Normal(128), points=5))
    def test_decodes(path):
        assert decode(path.latents).isfinite().all()
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from random import Random
from typing import Any, TypeVar

import torch
from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from torch import Tensor

from gentest.errors import InvalidArgument
from gentest.probes import families
from gentest.probes.ends import nearer
from gentest.probes.families import Probes, Where
from gentest.probes.probe import SEED_BITS, Probe
from gentest.spaces import Direction, Space
from gentest.spaces.space import Array

T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """A probe with its family and space: the value that a test receives from a strategy."""

    probe: Probe
    family: Probes
    space: Space

    def __repr__(self) -> str:
        return f"{type(self.family).__name__}({self.probe})"

    @property
    def latents(self) -> Any:
        """The latents in order, [P, *shape], or [*shape] for a single point; by part in a `Joint`.

        Values that somebody wrote are themselves: a list of P, or one for a single point; numbers are tensors.
        """
        placed = self.family.place(self.space, [self.probe])
        seen = {name: self._seen(self.space.parts[name].values_of(z[0])) for name, z in placed.items()}
        return seen[""] if list(seen) == [""] else seen

    def _seen(self, values: Array) -> Any:
        """The values [P, ...] of one part, or the only one."""
        rows = values.tolist() if values.dtype == object else torch.from_numpy(values)
        return rows[0] if self.family.n_points == 1 else rows

    @property
    def t(self) -> Tensor:
        """The position of each latent on its path, [P], from 0 to 1."""
        return torch.from_numpy(self.family.t([self.probe])[0]).float()


def points(space: Space) -> st.SearchStrategy[Drawn]:
    """Single samples of a space's prior."""
    return _drawn(space, families.points())


def segments(space: Space, *, points: int = 9, moves: Sequence[str] | None = None) -> st.SearchStrategy[Drawn]:
    """Paths between two independent samples, at `points` >= 2 places; `moves` names the parts that change."""
    return _drawn(space, families.segments(points, moves=moves))


def neighbours(
    space: Space, *, step: float = 0.1, count: int = 1, moves: Sequence[str] | None = None
) -> st.SearchStrategy[Drawn]:
    """A sample and `count` neighbours, each `step` of the way to another sample in the parts that `moves` names."""
    return _drawn(space, families.neighbours(step, count, moves=moves))


def steps(
    space: Space,
    *,
    epsilon: float = 1e-4,
    at: Where = "path",
    straight: bool = False,
    moves: Sequence[str] | None = None,
) -> st.SearchStrategy[Drawn]:
    """A sample, or a place on the way between two samples, and the latent `epsilon` of that way further on."""
    return _drawn(space, families.steps(epsilon, at=at, straight=straight, moves=moves))


def along(space: Space, direction: Direction, *, reach: float = 3.0, points: int = 5) -> st.SearchStrategy[Drawn]:
    """A sample and the way from it along a direction, up to `reach`, at `points` places."""
    family = families.along(direction, reach=reach, points=points)
    if isinstance(space, Space):
        direction.part_of(space)  # raises if it fits no part
    return _drawn(space, family)


def _drawn(space: Space, family: Probes) -> st.SearchStrategy[Drawn]:
    if not isinstance(space, Space):
        raise InvalidArgument.expected("a latent space such as gentest.Normal(128)", "space", space)
    family.moving(space)  # raises if it has no such part
    return probes(space).map(lambda probe: Drawn(probe, family, space))


APART = 0x5EED_0DD5_0000_1239
"""The smallest integer to draw. Hypothesis mixes constants of the loaded modules into its draws, and a plan must not
depend on them: no module has constants of this size."""
UNUSED_BYTES = 5
"""Bytes that are drawn and dropped, for the same reason: no module has constants of the resulting length."""
BLOCK_BYTES = 61
"""A draw of seed and choices together is this many bytes, or a multiple, again because no module has such constants."""
SHIFT_STEPS = 64
"""The number of steps from a sample to the place where an attack moved it, for shrinking."""
SPARE_DRAWS = 4
"""Hypothesis repeats itself: `draw` may draw this many times as many probes as it returns."""


def _below(n: int) -> st.SearchStrategy[int]:
    """Integers from 0 to n - 1, which shrink toward 0."""
    return st.integers(APART, APART + n - 1).map(lambda number: number - APART)


def _one_of(values: Sequence[int]) -> st.SearchStrategy[int]:
    """One of the values; it shrinks toward the first."""
    return _below(len(values)).map(lambda index: values[index])


def probes(space: Space) -> st.SearchStrategy[Probe]:
    """Probes of a space with full mask and window: a seed, and a possible choice for each discrete part.

    Hypothesis copies one part of an example over another (its mutator). Where seed and choices are draws of their own,
    about half of all probes repeat a seed and have the first value. So a space with discrete parts is one draw of
    bytes, where nothing can be copied.
    """
    return _in_one_draw(space.supports) if space.supports else _raw_seeds().map(lambda raw: Probe(_seed(raw)))


def plan(space: Space, n: int, seed: int) -> list[Probe]:
    """The first `n` distinct probes that Hypothesis draws from `probes(space)`; fewer if the space has no more."""
    if space.supports:
        return draw(probes(space), n, seed)
    # The same draws, without the 20 us that Hypothesis takes for a map. With choices it would draw others.
    return _draw(_raw_seeds(), lambda raw: Probe(_seed(raw)), n, seed)


def _raw_seeds() -> st.SearchStrategy[bytes]:
    n = SEED_BITS // 8 + UNUSED_BYTES
    return st.binary(min_size=n, max_size=n)


def _seed(raw: bytes) -> int:
    return int.from_bytes(raw[: SEED_BITS // 8], "big")


def _in_one_draw(supports: Sequence[Sequence[int]]) -> st.SearchStrategy[Probe]:
    """Probes from one draw of bytes: those of the choices, then those of the seed.

    A choice has a byte more than its number of values needs, so that values are equally likely within one in 256. It
    shrinks toward the first value as its bytes shrink toward zero.
    """
    sizes = [1 + (len(support).bit_length() + 7) // 8 for support in supports]
    edges = list(accumulate(sizes, initial=0))
    n_blocks = -(-(edges[-1] + SEED_BITS // 8) // BLOCK_BYTES)

    def probe(raw: bytes) -> Probe:
        numbers = [int.from_bytes(raw[start:end], "big") for start, end in pairwise(edges)]
        choices = tuple(
            support[number * len(support) >> 8 * size]
            for support, number, size in zip(supports, numbers, sizes, strict=True)
        )
        return Probe(int.from_bytes(raw[edges[-1] : edges[-1] + SEED_BITS // 8], "big"), choices=choices)

    return st.binary(min_size=n_blocks * BLOCK_BYTES, max_size=n_blocks * BLOCK_BYTES).map(probe)


def simpler(probe: Probe, space: Space, family: Probes) -> st.SearchStrategy[Probe]:
    """The same seed and groups with a narrower window of the path, lower choices, or a smaller shift."""
    low, high = probe.window

    @st.composite
    def windows(draw: st.DrawFn) -> tuple[int, int]:
        width = 1 + draw(_below(high - low))
        start = low + draw(_below(high - low - width + 1))
        return start, start + width

    narrower = windows() if family.has_path else st.just(probe.window)
    lower = st.tuples(
        *(
            _one_of([c for c in values if c <= chosen])
            for values, chosen in zip(space.supports, probe.choices, strict=False)
        )
    )
    less = (
        [_below(SHIFT_STEPS - 1).map(lambda k: nearer(space, family.streams, probe, (k + 1) / SHIFT_STEPS))]
        if probe.shift
        else []
    )
    return st.one_of(
        *less,
        narrower.map(lambda window: replace(probe, window=window)),
        lower.map(lambda choices: replace(probe, choices=choices)),
        st.builds(lambda window, choices: replace(probe, window=window, choices=choices), narrower, lower),
    )


def draw(strategy: st.SearchStrategy[Probe], n: int, seed: int) -> list[Probe]:
    """The first `n` distinct probes that Hypothesis draws by a seed; fewer if the strategy has no more.

    Hypothesis only generates: it runs a condition that records each probe, and keeps no examples.
    """
    return _draw(strategy, lambda probe: probe, n, seed)


def _draw(strategy: st.SearchStrategy[T], read: Callable[[T], Probe], n: int, seed: int) -> list[Probe]:
    drawn: dict[Probe, None] = {}
    held: list[int] = []

    def is_enough(value: T) -> bool:
        drawn.setdefault(read(value))
        return len(drawn) >= n or bool(held)

    quiet = settings(
        max_examples=SPARE_DRAWS * n,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        verbosity=Verbosity.quiet,
        backend="hypothesis",
        suppress_health_check=list(HealthCheck),
    )
    with _hold_interrupts(held), suppress(NoSuchExample):
        find(strategy, is_enough, settings=quiet, random=Random(seed))
    return list(drawn)[:n]


@contextmanager
def _hold_interrupts(held: list[int]) -> Iterator[None]:
    """Collect SIGINT and SIGTERM in `held`, and deliver the first one at the end.

    Hypothesis may lose an interrupt that arrives inside a draw, and then it reports inconsistent data.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: held.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if held:
        handlers[signal.Signals(held[0])](held[0], None)
