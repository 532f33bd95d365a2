"""Hypothesis strategies for probes: what gentest's own search draws, and for whoever wants a bare `@given`.

A probe is drawn as one seed, as bytes, and its choices, never as floats: every draw is a sample of the prior.

    @given(gentest.strategies.segments(gentest.Normal(128), points=5))
    def test_decodes(path):
        assert decode(path.latents).isfinite().all()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from hypothesis import strategies as st
from torch import Tensor

from gentest import probes as families
from gentest.errors import InvalidArgument
from gentest.probes import SEED_BITS, Probe, Probes
from gentest.spaces import Space


@dataclass(frozen=True)
class Drawn:
    """A probe together with its space: what the strategies give a test."""

    probe: Probe
    family: Probes
    space: Space

    def __repr__(self) -> str:
        return f"{type(self.family).__name__}({self.probe})"

    @property
    def latents(self) -> Tensor | Mapping[str, Tensor]:
        """[P, *shape], or [*shape] for a single point: the latents in order; by part in a `Joint`."""
        placed = self.family.place(self.space, [self.probe])
        single = self.family.n_points == 1
        rows = {name: torch.from_numpy(z[0]) for name, z in placed.items()}
        tensors = {name: z[0] if single else z for name, z in rows.items()}
        return tensors[""] if list(tensors) == [""] else tensors

    @property
    def t(self) -> Tensor:
        """Where on its path each latent lies, [P], from 0 to 1."""
        return torch.from_numpy(self.family.t([self.probe])[0]).float()


def points(space: Space) -> st.SearchStrategy[Drawn]:
    """Single samples of a space's prior."""
    return _drawn(space, families.points())


def segments(space: Space, *, points: int = 9) -> st.SearchStrategy[Drawn]:
    """Paths between two independent samples, at `points` places."""
    return _drawn(space, families.segments(points))


def neighbours(space: Space, *, step: float = 0.1, count: int = 1) -> st.SearchStrategy[Drawn]:
    """A sample and `count` neighbours, each `step` of the way to another sample."""
    return _drawn(space, families.neighbours(step, count))


def _drawn(space: Space, family: Probes) -> st.SearchStrategy[Drawn]:
    if not isinstance(space, Space):
        raise InvalidArgument.expected("a latent space such as gentest.Normal(128)", "space", space)
    return probes(space).map(lambda probe: Drawn(probe, family, space))


def probes(space: Space) -> st.SearchStrategy[Probe]:
    """Whole probes of a space: a seed, and one choice for each discrete part."""
    sizes = [part.n_choices for part in space.parts.values() if part.n_choices]
    choices = st.tuples(*(st.integers(0, n - 1) for n in sizes))
    return st.builds(lambda seed, chosen: Probe(seed, choices=chosen), seeds(), choices)


def seeds() -> st.SearchStrategy[int]:
    """Seeds of 64 bits."""
    n = SEED_BITS // 8
    return st.binary(min_size=n, max_size=n).map(lambda raw: int.from_bytes(raw, "big"))


def simpler(probe: Probe, family: Probes) -> st.SearchStrategy[Probe]:
    """The same seed and groups in simpler structures: a narrower window of the path, lower choices, or both."""
    low, high = probe.window

    @st.composite
    def windows(draw: st.DrawFn) -> tuple[int, int]:
        width = draw(st.integers(1, high - low))
        start = draw(st.integers(low, high - width))
        return start, start + width

    narrower = windows() if family.has_path else st.just(probe.window)
    lower = st.tuples(*(st.integers(0, choice) for choice in probe.choices))
    return st.one_of(
        narrower.map(lambda window: replace(probe, window=window)),
        lower.map(lambda choices: replace(probe, choices=choices)),
        st.builds(lambda window, choices: replace(probe, window=window, choices=choices), narrower, lower),
    )
