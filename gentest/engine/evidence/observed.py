"""Evidence: what a margin is given of a block of probes, and what it asked for on the way."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import Lowerable, Named, Readout, describe
from gentest.attributes.distances import NO_SPREAD
from gentest.engine.evidence.block import Block
from gentest.engine.evidence.subject import Subject
from gentest.errors import InvalidArgument
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.properties.definition import StandardDeviations, Tolerance
from gentest.results.settings import Precision
from gentest.spaces import Space


class Measuring(Protocol):
    """In which units evidence is measured, on which device, and where other evidence comes from: the session."""

    device: torch.device

    def unit(self, subject: Subject) -> float: ...

    def bound(self, thing: Attribute | Feature | Distance) -> Any: ...

    def spread(self, of: Attribute | Feature, subject: Subject, name: str) -> float: ...

    def block(self, subject: Subject, family: Probes, probes: Sequence[Probe], *, alone: bool = False) -> Block: ...


def _name(thing: Any, named: Mapping[str, Any]) -> str:
    """A name for a report: two callables that are described alike are told apart by a number."""
    name, n = describe(thing), 1
    while name in named and named[name] is not thing and named[name] != thing:
        n += 1
        name = f"{describe(thing)} ({n})"
    return name


def _check_of_one(thing: object) -> None:
    if isinstance(thing, Distance):
        raise InvalidArgument(f"{describe(thing)} is a distance of two images: ask evidence.distances(...)")


def _checked_places(first: Sequence[int], second: Sequence[int], n_points: int) -> tuple[tuple[int, ...], ...]:
    """Pairs of places of a probe, checked: as many firsts as seconds, each from 0 to P - 1."""
    ends = []
    for name, places in (("first", first), ("second", second)):
        if not isinstance(places, Sequence) or any(type(p) is not int or not 0 <= p < n_points for p in places):
            what = f"a list of places from 0 to {n_points - 1}, as the probe has {n_points} latents"
            raise InvalidArgument.expected(what, name, places)
        ends.append(tuple(places))
    if len(ends[0]) != len(ends[1]):
        raise InvalidArgument(
            f"Expected as many places in first as in second but got {len(ends[0])} and {len(ends[1])}"
        )
    return tuple(ends)


@dataclass(frozen=True)
class _ReadLower(Named):
    """An attribute that is read out of a feature in a lower precision."""

    own: Readout
    feature: Feature

    def read(self, embedding: Tensor) -> Tensor:
        return self.own.read(embedding)

    def __call__(self, images: Tensor) -> Tensor:
        return self.read(self.feature(images))

    def __repr__(self) -> str:
        return repr(self.own)


def lower(bound: Any, precision: Precision) -> Any:
    """The same in a lower precision, where it has one; itself in full precision, or where it has none."""
    if precision == "full":
        return bound
    if isinstance(bound, Readout) and isinstance(bound.feature, Lowerable) and isinstance(bound, Hashable):
        return _ReadLower(bound, bound.feature.lowered(precision))
    return bound.lowered(precision) if isinstance(bound, Lowerable) else bound


class Observed:
    """The evidence of N probes of P latents: what `gentest.Evidence` promises to a margin.

    `yardstick` is under whose prior standard deviations are measured: the block's own subject unless said.
    """

    def __init__(
        self,
        context: Measuring,
        block: Block,
        *,
        yardstick: Subject | None = None,
        precision: Precision = "full",
    ) -> None:
        self._context = context
        self.block = block
        self._yardstick = yardstick or block.subject
        self._precision: Precision = precision
        self.lowered = False
        """Whether something was measured in a lower precision."""
        self.attributes: dict[str, Attribute] = {}
        self.named_features: dict[str, Feature] = {}
        self.named_distances: dict[str, Distance] = {}
        self.spreads: dict[str, float] = {}
        """The standard deviations that `gentest.sd(x)` stood for, by what they are of."""
        self.measured_in: dict[str, Attribute | Feature | Distance] = {}
        """What those are of."""
        self._others: dict[Space, Observed] = {}

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The N probes."""
        return self.block.probes

    @property
    def shape(self) -> tuple[int, int]:
        """N probes of P latents."""
        return self.block.shape

    @property
    def space(self) -> Space:
        """The prior that the latents are of."""
        return self.block.subject.generator.latent

    @property
    def placed(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Latents [N, P, *shape] by part, as arrays."""
        return self.block.placed

    @property
    def latents(self) -> Tensor | Mapping[str, Tensor]:
        tensors = self.block.latents
        return tensors[""] if list(tensors) == [""] else tensors

    @property
    def t(self) -> Tensor:
        return torch.from_numpy(self.block.family.t(self.probes)).float().to(self._context.device)

    @property
    def outputs(self) -> Tensor:
        return self.block.outputs.clone()

    @property
    def images(self) -> Tensor:
        return self.block.shown.clone()

    @property
    def bounded(self) -> bool:
        return self.block.bounded

    @property
    def unit(self) -> float:
        return 1.0 if self.bounded else self._context.unit(self.block.subject)

    def scores(self, attribute: Attribute) -> Tensor:
        _check_of_one(attribute)
        self.attributes.setdefault(_name(attribute, self.attributes), attribute)
        return self.measured(self._bound(attribute), scalar=True).clone()  # a margin may write in it

    def features(self, feature: Feature) -> Tensor:
        _check_of_one(feature)
        self.named_features.setdefault(_name(feature, self.named_features), feature)
        return self.measured(self._bound(feature), scalar=False).clone()

    def distances(self, thing: Feature | Distance, first: Sequence[int], second: Sequence[int]) -> Tensor:
        ends = _checked_places(first, second, self.shape[1])
        if not isinstance(thing, Distance):
            self.named_features.setdefault(_name(thing, self.named_features), thing)
            return self.block.steps(self._bound(thing), *ends).clone()
        self.named_distances.setdefault(_name(thing, self.named_distances), thing)
        return self.block.apart(self._bound(thing), *ends).clone()

    def measured(self, thing: Any, *, scalar: bool | None = None) -> Tensor:
        """A bound attribute [N, P] or feature [N, P, D] of every output; `scalar` None takes either."""
        return self.block.measured(thing, scalar=scalar)

    def _bound(self, thing: Attribute | Feature | Distance) -> Any:
        bound = self._context.bound(thing)
        asked = lower(bound, self._precision)
        self.lowered = self.lowered or asked is not bound
        return asked

    def in_units(self, tolerance: Tolerance, of: Attribute | Feature | Distance) -> float:
        if not isinstance(tolerance, StandardDeviations):
            return float(tolerance)
        if isinstance(of, Distance):
            raise InvalidArgument.expected(NO_SPREAD, "tolerance", tolerance)
        name = _name(of, self.measured_in)
        self.measured_in.setdefault(name, of)
        self.spreads[name] = self._context.spread(of, self._yardstick, name)
        return tolerance.multiple * self.spreads[name]

    def under(self, prior: Space) -> Observed:
        if prior not in self._others:
            subject = self.block.subject.under(prior)
            other = self._context.block(subject, self.block.family, self.probes, alone=self.block.alone)
            precision, yardstick = self._precision, self._yardstick
            self._others[prior] = Observed(self._context, other, yardstick=yardstick, precision=precision)
        return self._others[prior]

    @property
    def all_lowered(self) -> bool:
        """Whether something was measured in a lower precision, here or under another prior."""
        return self.lowered or any(other.all_lowered for other in self._others.values())

    def again(self, company: int, *, chance: int = 0) -> Tensor:
        return self.block.again(company, chance)
