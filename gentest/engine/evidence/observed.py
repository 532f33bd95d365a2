"""Evidence: what a margin is given about a batch of probes, with a record of what it asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import describe
from gentest.attributes.distances import NO_SPREAD, LargestDifference
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.measuring import Measuring, in_precision
from gentest.engine.evidence.subject import Subject
from gentest.errors import InvalidArgument
from gentest.outputs import Kind
from gentest.probes.probe import Probe
from gentest.properties.definition import StandardDeviations, Tolerance
from gentest.results.settings import Precision
from gentest.spaces import Space


def _name(thing: Any, named: Mapping[str, Any]) -> str:
    """A name for reports. A number tells callables with the same description apart."""
    name, n = describe(thing), 1
    while name in named and named[name] is not thing and named[name] != thing:
        n += 1
        name = f"{describe(thing)} ({n})"
    return name


def _check_of_one(thing: object) -> None:
    if isinstance(thing, Distance):
        raise InvalidArgument(f"{describe(thing)} is a distance of two images: ask evidence.distances(...)")


def _checked_places(first: Sequence[int], second: Sequence[int], n_points: int) -> tuple[tuple[int, ...], ...]:
    """Pairs of places of a probe. Checks that both have the same length, and that each is from 0 to P - 1."""
    ends = []
    for name, places in (("first", first), ("second", second)):
        if not isinstance(places, Sequence) or any(type(p) is not int or not 0 <= p < n_points for p in places):
            what = f"a list of places from 0 to {n_points - 1} (the probe has {n_points} latents)"
            raise InvalidArgument.expected(what, name, places)
        ends.append(tuple(places))
    if len(ends[0]) != len(ends[1]):
        raise InvalidArgument(
            f"Expected as many places in first as in second but got {len(ends[0])} and {len(ends[1])}"
        )
    return tuple(ends)


class Observed:
    """The evidence of N probes of P latents: implements `gentest.Evidence`, and records what a margin asked for.

    Standard deviations are measured under the prior of `yardstick`, by default the subject that made the outputs; in a
    pair, on its reference.
    """

    def __init__(
        self,
        measuring: Measuring,
        measurements: Measurements,
        *,
        yardstick: Subject | None = None,
        precision: Precision = "full",
    ) -> None:
        self._measuring = measuring
        self.measurements = measurements
        yardstick = yardstick or measurements.subject
        self._yardstick = yardstick.reference or yardstick
        self._precision: Precision = precision
        self.lowered = False
        """Whether something was measured in a lower precision."""
        self.attributes: dict[str, Attribute] = {}
        self.named_features: dict[str, Feature] = {}
        self.named_distances: dict[str, Distance] = {}
        self.spreads: dict[str, float] = {}
        """The standard deviations that `gentest.sd(x)` stood for, by the name of their measure."""
        self.measured_in: dict[str, Attribute | Feature | Distance] = {}
        """The measure of each standard deviation."""
        self._others: dict[Space, Observed] = {}
        self._reference: Observed | None = None

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The N probes."""
        return self.measurements.probes

    @property
    def shape(self) -> tuple[int, int]:
        """N probes of P latents."""
        return self.measurements.shape

    @property
    def space(self) -> Space:
        """The prior of the latents."""
        return self.measurements.subject.generator.latent

    @property
    def placed(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Latents [N, P, *shape] by part, as arrays."""
        return self.measurements.placed

    @property
    def latents(self) -> Tensor | Mapping[str, Tensor]:
        seen: dict[str, Any] = dict(self.measurements.outputs.latents)
        for name, part in self.space.parts.items():
            if part.has_values:
                values = part.values_of(self.placed[name])
                seen[name] = values if values.dtype == object else torch.from_numpy(values).to(seen[name].device)
        return seen[""] if list(seen) == [""] else seen

    @property
    def t(self) -> Tensor:
        return torch.from_numpy(self.measurements.family.t(self.probes)).float().to(self._measuring.device)

    @property
    def outputs(self) -> Tensor:
        return self.measurements.outputs.values.clone()

    @property
    def images(self) -> Tensor:
        return self.measurements.outputs.checked.clone()

    @property
    def kind(self) -> Kind:
        return self.measurements.subject.generator.kind

    @property
    def limits(self) -> tuple[float, float] | None:
        return self.measurements.subject.generator.limits

    @property
    def bounded(self) -> bool:
        return self.measurements.outputs.bounded

    @property
    def unit(self) -> float:
        return self._measuring.unit(self.measurements.subject)

    def scores(self, attribute: Attribute) -> Tensor:
        _check_of_one(attribute)
        self.attributes.setdefault(_name(attribute, self.attributes), attribute)
        return self.measured(self._bound(attribute), scalar=True).clone()  # a margin may write into it

    def features(self, feature: Feature) -> Tensor:
        _check_of_one(feature)
        self.named_features.setdefault(_name(feature, self.named_features), feature)
        return self.measured(self._bound(feature), scalar=False).clone()

    def distances(self, thing: Feature | Distance, first: Sequence[int], second: Sequence[int]) -> Tensor:
        ends = _checked_places(first, second, self.shape[1])
        if not isinstance(thing, Distance):
            self.named_features.setdefault(_name(thing, self.named_features), thing)
            return self.measurements.steps(self._bound(thing), *ends).clone()
        self.named_distances.setdefault(_name(thing, self.named_distances), thing)
        return self.measurements.distances(self._bound(thing), *ends).clone()

    def measured(self, thing: Any, *, scalar: bool | None = None) -> Tensor:
        """A bound attribute [N, P] or feature [N, P, D] of every output; `scalar=None` takes either."""
        return self.measurements.measured(thing, scalar=scalar)

    def bound(self, thing: Any) -> Any:
        """The measure, ready to run in full precision."""
        return self._measuring.bound(thing)

    def _bound(self, thing: Attribute | Feature | Distance) -> Any:
        bound = self._measuring.bound(thing)
        in_use = in_precision(bound, self._precision)
        self.lowered = self.lowered or in_use is not bound
        return in_use

    def in_units(self, tolerance: Tolerance, of: Attribute | Feature | Distance) -> float:
        if not isinstance(tolerance, StandardDeviations):
            return float(tolerance)
        if isinstance(of, Distance):
            raise InvalidArgument.expected(NO_SPREAD, "tolerance", tolerance)
        name = _name(of, self.measured_in)
        self.measured_in.setdefault(name, of)
        self.spreads[name] = self._measuring.spread(of, self._yardstick, name)
        return tolerance.multiple * self.spreads[name]

    def under(self, prior: Space) -> Observed:
        if prior not in self._others:
            own = self.measurements
            other = self._measuring.pool.measurements(
                own.subject.under(prior), own.family, self.probes, alone=own.alone, recall=own.outputs.recall
            )
            self._others[prior] = Observed(self._measuring, other, yardstick=self._yardstick, precision=self._precision)
        return self._others[prior]

    @property
    def compared(self) -> Observed | None:
        """The evidence of the reference, if a margin asked for it."""
        return self._reference

    @property
    def reference(self) -> Observed:
        if self._reference is None:
            own = self.measurements
            if own.subject.reference is None:
                raise InvalidArgument("there is no reference to compare with: check candidate.against(reference)")
            self._reference = self._reference_evidence(own.subject.reference)
        return self._reference

    def _reference_evidence(self, subject: Subject) -> Observed:
        own = self.measurements
        other = self._measuring.pool.measurements(
            subject, own.family, self.probes, alone=own.alone, recall=own.outputs.recall
        )
        return Observed(self._measuring, other, precision=self._precision)

    def from_reference(self, thing: Attribute | Feature | Distance | None = None) -> Tensor:
        return self._from(self.reference, thing)

    def rounding_of_reference(self, thing: Attribute | Feature | Distance | None = None) -> Tensor:
        other, recalled = self.reference, self.reference.measurements.subject.recalled
        if recalled is None or not recalled.rounding:
            return torch.zeros(self.shape, device=self._measuring.device)
        if thing is None:
            return torch.full(self.shape, recalled.rounding, device=self._measuring.device) / other.unit
        now = self._from(other, thing)
        moved = [
            Observed(self._measuring, measurements, precision=self._precision)
            for measurements in other.measurements.moves(recalled.rounding)
        ]
        changes = [(self._from(one, thing) - now).abs() for one in moved]
        return torch.stack(changes).amax(0)

    def _from(self, other: Observed, thing: Attribute | Feature | Distance | None) -> Tensor:
        """How far each output is from another generator's on the same latent, [N, P]."""
        if thing is None:
            return self.measurements.distances_to(LargestDifference(), other.measurements) / other.unit
        if isinstance(thing, Distance):
            self.named_distances.setdefault(_name(thing, self.named_distances), thing)
            return self.measurements.distances_to(self._bound(thing), other.measurements).clone()
        bound = self._bound(thing)
        own, theirs = self.measured(bound), other.measured(other._bound(thing))
        self.measurements.check_shape(other.measurements)
        named = self.attributes if own.ndim == 2 else self.named_features
        named.setdefault(_name(thing, named), thing)
        return (own - theirs).abs() if own.ndim == 2 else torch.linalg.vector_norm(own - theirs, dim=-1)

    @property
    def all_lowered(self) -> bool:
        """Whether something was measured in a lower precision, here or under another prior."""
        return self.lowered or any(other.all_lowered for other in self._others.values())

    @property
    def rounding(self) -> float:
        """The largest error of an output from disk that anything was measured on, here or under another prior."""
        return max([self.measurements.rounding, *(other.rounding for other in self._others.values())])

    def again(self, company: int, *, chance: int = 0) -> Tensor:
        return self.measurements.outputs.again(company, chance)
