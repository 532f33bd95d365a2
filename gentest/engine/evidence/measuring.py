"""Measuring: attributes bound to the session's device and CLIP, and the units that tolerances are in."""

from __future__ import annotations

import platform
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gentest._support.printable import noun
from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import Named, Readout, Setup, bind, describe, is_lowerable, is_readout
from gentest.engine.evidence.maker import Maker
from gentest.engine.evidence.plans import PILOT, PILOT_SEED
from gentest.engine.evidence.pool import MemoryPool
from gentest.engine.evidence.subject import Subject
from gentest.errors import NoSpread
from gentest.measures.fixtures import resolved
from gentest.probes.families import Probes, points
from gentest.probes.probe import Probe, independent
from gentest.results.settings import Precision

PYTHON = ".".join(platform.python_version_tuple()[:2])
"""The version of Python, on which the identity of a measure's code depends."""
PILOT_BATCH = 16
PILOT_SLOW = 32
"""Least number of samples of a pilot of slow images."""
MOST_OF_SEARCH = 64
"""Samples of the prior that a pilot of slow images takes from a search."""
LEAST_SPREAD = 1e-6
"""A spread below this share of an attribute's size is rounding."""


class Measuring:
    """The measures of a session, ready to run, and their units.

    Standard deviations come from a pilot of 256 samples with a fixed seed, or from the baseline inside `measured_by`. A
    pilot of slow images takes 64 samples of the search instead (`sampling`), and at least 32.
    """

    def __init__(self, maker: Maker, pool: MemoryPool, setup: Setup) -> None:
        self.pool = pool
        self.device = maker.device
        self._maker = maker
        self._setup = setup
        self._bound: dict[Hashable, tuple[Any, Any]] = {}
        """By key: the bound measure, and the one it was made of, kept alive since its id may be the key."""
        self._spreads: dict[Hashable, float] = {}
        self._units: dict[Hashable, float] = {}
        self._of_baseline: dict[str, float] = {}
        self._estimates: dict[Hashable, Estimate] = {}
        self._drawn: tuple[Probes, Sequence[Probe], int] | None = None
        """The family of a search, its probes, and how many of them are evaluated together."""

    def bound(self, thing: Attribute | Feature | Distance) -> Any:
        """An attribute, feature or distance, ready to run on the device."""
        thing = resolved(thing)
        identities = self._maker.identities
        key = identities.key(thing)
        held = self._bound.get(key)
        if held is None or (held[1] is not thing and identities.own(thing) is not None):
            self._bound[key] = (bind(thing, self._setup), thing)
        return self._bound[key][0]

    def codes(self, things: Mapping[str, Attribute | Feature | Distance]) -> dict[str, str]:
        """The identity of each measure that is somebody else's callable; empty if it cannot be read."""
        identities = {name: self._maker.identities.own(thing) for name, thing in things.items()}
        return {name: "" if own.unknown else own.digest[:16] for name, own in identities.items() if own is not None}

    def unit(self, subject: Subject) -> float:
        """The unit of differences between outputs: that of their kind, 1 for images; `span` if it has none."""
        unit = subject.generator.kind.unit(subject.generator.output_range)
        return self.span(subject) if unit is None else unit

    def span(self, subject: Subject) -> float:
        """Largest minus smallest value over 16 samples, each made alone; 1 if all values are equal."""
        if subject.recalled is not None:
            return subject.recalled.span
        if subject.key not in self._units:
            samples = independent(PILOT_SEED, 0, PILOT_BATCH)
            values = self.pool.measurements(subject, points(), samples, alone=True).outputs.values
            self._units[subject.key] = self.span_of(values)
        return self._units[subject.key]

    def span_of(self, values: Tensor) -> float:
        """Largest minus smallest of some values, in four digits; 1 if all are equal."""
        values = values[values.isfinite()]
        span = (values.max() - values.min()).item() if len(values) else 0.0
        return float(f"{span:.4g}") or 1.0

    def known_span(self, subject: Subject) -> float | None:
        """The span, if it was measured."""
        return self._units.get(subject.key)

    def spread(self, of: Attribute | Feature, subject: Subject, name: str) -> float:
        """One standard deviation under the prior; inside `measured_by`, the baseline's for a measure of this name."""
        if name in self._of_baseline:
            return self._of_baseline[name]
        key = (subject.key, self._maker.identities.key(of))
        if key not in self._spreads:
            self._spreads[key] = self._pilot(of, subject)
        return self._spreads[key]

    def estimate(self, of: Attribute | Feature, subject: Subject) -> Estimate | None:
        """The standard deviation of slow images with its error; None if it comes from a whole pilot or a baseline."""
        return self._estimates.get((subject.key, self._maker.identities.key(of)))

    @contextmanager
    def sampling(self, family: Probes, probes: Sequence[Probe], block: int) -> Iterator[None]:
        """Inside, slow images are not made for a pilot: it takes those of a search, `block` of its probes at a time."""
        self._drawn, before = (family, probes, block), self._drawn
        try:
            yield
        finally:
            self._drawn = before

    def adopt(
        self, subject: Subject, spreads: Iterable[tuple[Attribute | Feature, float]], span: float | None = None
    ) -> None:
        """Take over standard deviations and a span that another process measured."""
        self._spreads |= {(subject.key, self._maker.identities.key(of)): spread for of, spread in spreads}
        if span is not None:
            self._units[subject.key] = span

    @contextmanager
    def measured_by(self, spreads: Mapping[str, float]) -> Iterator[None]:
        """Inside, these are the standard deviations: a candidate must not loosen its own tolerance."""
        self._of_baseline, before = dict(spreads), self._of_baseline
        try:
            yield
        finally:
            self._of_baseline = before

    def forget(self, subject: Subject) -> None:
        """Drop the standard deviations and the span of a subject."""
        self._units.pop(subject.key, None)
        self._estimates = {key: e for key, e in self._estimates.items() if key[0] != subject.key}  # type: ignore[index]
        for key in [key for key in self._spreads if isinstance(key, tuple) and key[0] == subject.key]:
            del self._spreads[key]

    def _pilot(self, of: Attribute | Feature, subject: Subject) -> float:
        """The standard deviation under the prior, from small batches of one size whatever the batch size is."""
        slow = self._maker.slow and subject.recalled is None
        bound, rows = self.bound(of), self._of_search(of, subject) if slow else []
        samples = _pilot_probes(subject)[: max(0, PILOT_SLOW - sum(map(len, rows))) if slow else None]
        size = min(PILOT_BATCH, self._maker.batch_size)
        for start in range(0, len(samples), size):
            probes = samples[start : start + size]
            pilot = self.pool.measurements(subject, points(), probes, batch_size=size)
            rows.append(pilot.measured(bound)[:, 0].double().cpu())
        values = torch.cat(rows)  # [n] or [n, D]
        spread = float(f"{values.var(0).sum().item() ** 0.5:.4g}")
        if slow:
            self._estimates[subject.key, self._maker.identities.key(of)] = Estimate.of(values)
        if spread <= LEAST_SPREAD * max(1.0, values.abs().max().item()):
            raise NoSpread(
                f"{describe(of)} does not vary under the prior (standard deviation {spread:.2g}), so sd(x) of it means "
                "nothing: give a tolerance in its units, or check whether the generator collapsed"
            )
        return spread

    def _of_search(self, of: Attribute | Feature, subject: Subject) -> list[Tensor]:
        """The measure of outputs that a search looks at anyway, and whose latents are samples of the prior."""
        if self._drawn is None or not self._drawn[0].samples:
            return []
        (family, probes, block), rows, bound = self._drawn, list[Tensor](), self.bound(of)
        places, n = list(family.samples), -(-MOST_OF_SEARCH // len(family.samples))
        for start in range(0, min(n, len(probes)), block):
            own = self.pool.measurements(subject, family, probes[start : start + block])
            rows.append(own.measured(bound)[:, places].flatten(0, 1).double().cpu())
        return rows


@dataclass(frozen=True)
class Estimate:
    """A standard deviation and its standard error, from `n` samples."""

    value: float
    error: float
    n: int

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """The estimate of some measurements [n] or [n, D], at any distribution of them.

        >>> Estimate.of(torch.tensor([1.0, 2.0, 3.0, 4.0])).n
        4
        """
        squares = (values - values.mean(0)).square().flatten(1).sum(1) if values.ndim > 1 else None
        squares = (values - values.mean(0)).square() if squares is None else squares
        n, value = len(values), values.var(0).sum().item() ** 0.5
        error = squares.std().item() / n**0.5 / (2 * value) if value else 0.0
        return cls(float(f"{value:.4g}"), float(f"{error:.2g}"), n)


def _pilot_probes(subject: Subject) -> list[Probe]:
    """The samples that measure a subject's spread. Of kept outputs there are no others than those of the file."""
    recalled = subject.recalled
    if recalled is None:
        return independent(PILOT_SEED, 0, PILOT)
    if recalled.n < PILOT_BATCH:
        raise NoSpread(
            f"{recalled.record.file} keeps outputs of {recalled.n} {noun(recalled.n, 'probe')}, and sd(x) "
            f"needs {PILOT_BATCH}: bless again "
            f"with --keep-outputs {PILOT}, or give a tolerance in units"
        )
    return independent(recalled.record.seed, 0, min(recalled.n, PILOT))


def in_six_digits(figure: float) -> float:
    """A figure in 6 digits: later digits depend on the batch size, by rounding."""
    return float(f"{figure:.6g}")


@dataclass(frozen=True)
class _LowerReadout(Named):
    """An attribute computed from a feature in a lower precision."""

    own: Readout
    feature: Feature

    def read(self, embedding: Tensor) -> Tensor:
        return self.own.read(embedding)

    def __call__(self, images: Tensor) -> Tensor:
        return self.read(self.feature(images))

    def __repr__(self) -> str:
        return repr(self.own)


def in_precision(bound: Any, precision: Precision) -> Any:
    """The measure in a lower precision if it has one, else the measure itself."""
    if precision == "full":
        return bound
    if is_readout(bound) and is_lowerable(bound.feature) and isinstance(bound, Hashable):
        return _LowerReadout(bound, bound.feature.lowered(precision))
    return bound.lowered(precision) if is_lowerable(bound) else bound
