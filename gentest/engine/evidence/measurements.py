"""Measurements: attributes, features and distances of some outputs, each computed once and shared by all properties.

With `--gentest-cache` they also come from disk and go there. Nobody writes into them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest.attributes import Distance
from gentest.attributes.attribute import describe, embed, evaluate, is_readout, read, read_rows, score
from gentest.attributes.conditional import is_conditional
from gentest.attributes.distances import LargestDifference, distances_between
from gentest.engine.evidence.audit import CHANGED, LEAST, OF_RANGE, OF_SIZE, Number, largest_by_batch
from gentest.engine.evidence.maker import flat, sliced
from gentest.engine.evidence.output_store import HALF_STEP, Recall
from gentest.engine.evidence.outputs import PROBE_BYTES, Outputs, joined
from gentest.engine.evidence.plans import Upcoming
from gentest.engine.evidence.store import address_of, place
from gentest.engine.evidence.subject import Subject, measure_of, with_values
from gentest.errors import AttributeFailed, GeneratorError
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.properties.definition import Measure

ROUNDING_FACTOR = OF_RANGE / CHANGED
"""Largest difference of a measurement, as a share of its range, for each share of the range that outputs may differ."""


@dataclass(frozen=True)
class _Measured:
    """Rows [N, ...] and what measured them; `pairs` are the places of a probe that a distance lies between."""

    rows: Tensor
    thing: Any
    scalar: bool
    pairs: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    other: Subject | None = None
    """The generator whose outputs of the same latents a distance leads to."""


class Measurements:
    """All that is known of some outputs: N probes of P latents on one generator."""

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        outputs.audited_as = self
        self.upcoming: Upcoming = lambda family, origin: ()
        """The measures that later properties will ask for."""
        self._maker = outputs.maker
        self._measured: dict[tuple[Hashable, ...], _Measured] = {}
        self._is_scalar: dict[Hashable, bool] = {}
        """By key: whether a callable that nobody declared gives one number for an output."""
        self._margin_from_disk: tuple[Callable[..., Tensor], Tensor] | None = None
        self._moves: dict[float, tuple[Measurements, ...]] = {}
        self._parts: dict[tuple[Probe, ...], Measurements] = {}
        """The probes that a disk store lacks, if it has others."""
        self._body = outputs.maker.identities.body
        self._from_disk = False
        self._from_rounded = False
        """Whether rows from disk were measured on outputs from disk that were not exact."""
        self._n_bytes: int | None = None

    @property
    def subject(self) -> Subject:
        """The generator that made the outputs."""
        return self.outputs.subject

    @property
    def family(self) -> Probes:
        """The family that makes latents of the probes."""
        return self.outputs.family

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The N probes."""
        return self.outputs.probes

    @property
    def alone(self) -> bool:
        """Whether each output is made by itself."""
        return self.outputs.alone

    @property
    def shape(self) -> tuple[int, int]:
        """N probes of P latents."""
        return self.outputs.shape

    @property
    def placed(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Latents [N, P, *shape] by part, as arrays."""
        return self.outputs.placed

    @property
    def known_outputs(self) -> Tensor | None:
        """The outputs [N, P, ...] in memory at the moment."""
        return self.outputs.kept

    @property
    def n_bytes(self) -> int:
        """Memory taken by outputs and measurements."""
        if self._n_bytes is None:
            rows = {id(entry.rows): entry.rows for entry in self._measured.values()}  # one tensor may have two keys
            self._n_bytes = sum(t.numel() * t.element_size() for t in rows.values())
        return self._n_bytes + self.outputs.n_bytes + sum(part.n_bytes for part in self._parts.values())

    @property
    def reused(self) -> bool:
        """Whether something here comes from an earlier test or from disk, so that the audit has to prove it."""
        from_disk = self._from_disk or self.outputs.recalled is not Recall.NEVER
        return from_disk or self._body != self._maker.identities.body

    @property
    def rounding(self) -> float:
        """The largest error of an output from disk that anything here was measured on, in the outputs' own units."""
        low, high = self.subject.generator.limits or (0.0, 1.0)
        return max(self.outputs.rounding, HALF_STEP * (high - low) if self._from_rounded else 0.0)

    @property
    def recalled(self) -> Recall:
        """How exact the outputs from disk are that anything here was measured on."""
        return Recall.ROUNDED if self._from_rounded else self.outputs.recalled

    @property
    def moved(self) -> tuple[Measurements, ...]:
        """Measurements of the moved outputs, once `moves` was called."""
        return tuple(one for moved in self._moves.values() for one in moved)

    def moves(self, by: float) -> tuple[Measurements, ...]:
        """Measurements of the same outputs, moved by a distance in each of two ways."""
        if by not in self._moves:
            self._moves[by] = tuple(Measurements(outputs) for outputs in self.outputs.moved(by))
        return self._moves[by]

    def drop_outputs(self) -> None:
        """Free the outputs; measurements stay."""
        for one in (self, *self.moved, *self._parts.values()):
            one.outputs.drop()

    def drop_features(self) -> None:
        """Free rows of features that take more memory than everything else about a probe."""
        large = [
            key
            for key, entry in self._measured.items()
            if entry.rows.ndim > 2 and entry.rows[0].numel() * entry.rows.element_size() > PROBE_BYTES
        ]
        for key in large:
            del self._measured[key]
        self._n_bytes = None

    def measured(self, thing: Any, *, scalar: bool | None = None) -> Tensor:
        """A bound attribute [N, P] or feature [N, P, D] of every output; `scalar=None` takes either."""
        key = self._maker.identities.key(thing)
        if scalar is None:
            scalar = self._is_scalar.get(key)
        if scalar is None or (key, scalar) not in self._measured:
            rows, is_scalar = self._measure(thing, scalar=scalar)
            if scalar is None:
                scalar = self._is_scalar[key] = is_scalar
            self._measured[key, scalar] = _Measured(rows, thing, scalar)
            self._n_bytes = None
        return self._rows((key, scalar), thing)

    def distances(self, distance: Distance, first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        """A bound distance [N, K] between the outputs at K pairs of places."""
        key = (self._maker.identities.key(distance), first, second)
        if key not in self._measured:
            at = self._disk_key(self._address(distance), f"apart {first} {second}")
            rows = self._kept_on_disk(at, lambda own: own._distances(distance, first, second))
            self._measured[key] = _Measured(rows, distance, scalar=True, pairs=(first, second))
            self._n_bytes = None
        return self._rows(key, distance)

    def distances_to(self, distance: Distance, other: Measurements) -> Tensor:
        """A bound distance [N, P] of each output to the output of another generator on the same latent.

        Raises `GeneratorError` if the outputs have other shapes.
        """
        key = (self._maker.identities.key(distance), "to", other.subject.key, other.outputs.variant)
        if key not in self._measured:
            theirs = self._maker.address(other.subject)
            address = self._address(distance) if theirs else ""
            at = self._disk_key(address, f"to {theirs}{other.outputs.variant}")

            def compute(own: Measurements) -> Tensor:
                theirs = other if own is self else Measurements(other.outputs.of(own.probes))
                return own._distances_to(distance, theirs)

            rows = self._kept_on_disk(at, compute)
            self._measured[key] = _Measured(rows, distance, scalar=True, other=other.subject)
            self._n_bytes = None
        return self._rows(key, distance)

    def check_shape(self, other: Measurements) -> None:
        """Raise `GeneratorError` if the outputs in memory have another shape than those of another generator."""
        own, theirs = self.known_outputs, other.known_outputs
        if own is not None and theirs is not None and own.shape != theirs.shape:
            shapes = f"{list(own.shape[2:])} and the reference {list(theirs.shape[2:])}"
            raise GeneratorError(f"the candidate makes outputs {shapes}: bring one to the shape of the other")

    def steps(self, feature: Any, first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        """The L2 distance [N, K] between the rows of a bound feature at K pairs of places."""
        key = (self._maker.identities.key(feature), "steps", first, second)
        if key not in self._measured:

            def compute(own: Measurements) -> Tensor:
                rows = own.measured(feature, scalar=False)
                norms: Tensor = torch.linalg.vector_norm(rows[:, second] - rows[:, first], dim=-1)
                return norms

            address = "" if is_readout(feature) else self._address(feature)
            rows = self._kept_on_disk(self._disk_key(address, f"steps {first} {second}"), compute)
            self._measured[key] = _Measured(rows, feature, scalar=False, pairs=(first, second))
            self._n_bytes = None
        return self._rows(key, feature)

    def measure(self, thing: Any, measure: Measure) -> None:
        """Compute what a `Measure` asks of the bound `thing`, so that asking for it later needs no outputs."""
        if measure.pairs is None:
            self.measured(thing, scalar=measure.scalar)
        elif isinstance(measure.thing, Distance):
            self.distances(thing, *measure.pairs)
        else:
            self.steps(thing, *measure.pairs)

    def margins(self, name: str, compute: Callable[[Measurements], Tensor]) -> Tensor:
        """The margins [N] of the property called `name`: from disk, or else computed."""
        rows = self._kept_on_disk(self._disk_key(name, "known"), compute)
        if self._from_disk:

            def recompute(subject: Subject, family: Probes, probe: Probe) -> Tensor:
                return compute(Measurements(Outputs(self._maker, subject, family, [probe], alone=True)))

            self._margin_from_disk = recompute, rows
        return rows

    def numbers(self, index: int, at: int) -> Iterator[Number]:
        """The numbers of one probe that its output at place `at` can prove: measured there, or from there on."""
        for key, entry in self._measured.items():
            if key[0] != self._maker.identities.key(entry.thing):
                continue  # the callable computes something else now, and nobody asks for these rows
            rows = entry.rows
            size = rows.abs().max().item() if rows.numel() else 0.0
            span = (rows.max() - rows.min()).item() if rows.numel() else 0.0
            share = max(OF_RANGE, ROUNDING_FACTOR * self.subject.generator.rounding)
            allowed = max(share * span, OF_SIZE * size, LEAST)
            if entry.other is not None:
                if self.outputs.bounded and isinstance(entry.thing, LargestDifference):
                    allowed = max(allowed, largest_by_batch(self.subject), largest_by_batch(entry.other))
                kept = rows[index, at].detach().clone()
                yield Number(entry.thing, entry.scalar, None, kept, allowed, other=entry.other)
            elif entry.pairs is None:
                yield Number(entry.thing, entry.scalar, None, rows[index, at].detach().clone(), allowed)
            else:
                k = at % len(entry.pairs[0])
                ends = (entry.pairs[0][k], entry.pairs[1][k])
                yield Number(entry.thing, entry.scalar, ends, rows[index, k].detach().clone(), allowed)

    def whole(self, index: int) -> tuple[Callable[..., Tensor], Tensor] | None:
        """A margin that came from disk, and the function that computes it again."""
        return None if self._margin_from_disk is None else (self._margin_from_disk[0], self._margin_from_disk[1][index])

    def _rows(self, key: tuple[Hashable, ...], thing: Any) -> Tensor:
        """The rows under a key. The audit proves them with the object that asked last, not with an equal one."""
        entry = self._measured[key]
        if entry.thing is not thing:
            self._measured[key] = replace(entry, thing=thing)
        return entry.rows

    def _measure(self, thing: Any, *, scalar: bool | None) -> tuple[Tensor, bool]:
        """Rows [N, P, ...], checked to be finite, and whether they are scores."""
        if is_conditional(thing) and scalar is None:
            scalar = True
        own = self._with_values(thing, 0, self.shape[0] * self.shape[1])
        if is_readout(own):
            embedding = self.measured(own.feature, scalar=False).flatten(0, 1)
            if scalar is None:
                scalar = getattr(own.read(embedding[:1]), "ndim", 1) <= 1
            return self._finite(thing, (read if scalar else read_rows)(own, embedding)), scalar
        if scalar is None:
            for guess in (True, False):
                if any(self._known_on_disk(self._disk_key(self._address(thing), f"measured {guess}"))):
                    return self._measure(thing, scalar=guess)
            scalar = getattr(evaluate(self._bound_to_outputs(thing), self.outputs.checked[:1, 0]), "ndim", 1) <= 1
        function: Callable[[Any, Tensor], Tensor] = score if scalar else embed

        def compute(own: Measurements) -> Tensor:
            images = own.outputs.checked.flatten(0, 1)
            bound = own._bound_to_outputs(thing)
            with own.outputs.exactly(), torch.set_grad_enabled(own.outputs.keeps_gradients):
                rows = own._maker.in_parts(
                    lambda start, stop: own._call(function, own._with_values(bound, start, stop), images[start:stop]),
                    len(images),
                    size=own.outputs.measured_at_once,
                    lasting=not own.outputs.keeps_gradients,
                )
                return own._finite(thing, joined(rows))

        return self._kept_on_disk(self._disk_key(self._address(thing), f"measured {scalar}"), compute), scalar

    def _bound_to_outputs(self, thing: Any) -> Any:
        return measure_of(thing, self.subject.generator, self.outputs.checked.shape[2:])

    def _with_values(self, thing: Any, start: int, stop: int) -> Any:
        """The measure for the rows `start` to `stop`, with their values if it sees the condition."""
        if not is_conditional(thing):
            return thing
        rows = sliced(flat(self.placed), slice(start, stop))
        return with_values(thing, self.subject.generator, rows, self._maker.device)

    def _call(self, function: Callable[..., Tensor], thing: Any, *images: Tensor) -> Tensor:
        """The result of somebody's measuring code, within the time limit."""
        with self._maker.limited(describe(thing), AttributeFailed):
            return self.outputs.recomputing(function, thing, *images)

    def _finite(self, thing: Any, rows: Tensor) -> Tensor:
        """Rows [N * P, ...] as [N, P, ...]. Raises `AttributeFailed` for a value that is not finite."""
        finite = rows.isfinite().flatten(1).all(1) if rows.ndim > 1 else rows.isfinite()
        if not finite.all():
            where = int((~finite).nonzero()[0].item())
            probe = self.probes[where // self.family.n_points]
            values = rows[where].flatten()
            value = values[~values.isfinite()][0].item()
            raise AttributeFailed(f"{describe(thing)} is {value} at probe {probe}; expected finite values")
        return rows.reshape(*self.shape, *rows.shape[1:])

    def _distances(self, distance: Distance, first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        images = self.outputs.checked.flatten(0, 1)  # [N * P, C, H, W]
        start = torch.arange(len(self.probes), device=images.device)[:, None] * self.family.n_points
        one, other = ((start + torch.tensor(ends, device=images.device)).flatten() for ends in (first, second))

        def part(start: int, stop: int) -> Tensor:
            pair = (images.index_select(0, rows[start:stop]) for rows in (one, other))
            return self._call(distances_between, distance, *pair).to(images.device)

        if not len(one):
            return images.new_zeros(len(self.probes), 0)
        with self.outputs.exactly(), torch.set_grad_enabled(self.outputs.keeps_gradients):
            size = max(self.outputs.measured_at_once // 2, 1)
            pairs = joined(self._maker.in_parts(part, len(one), size=size, lasting=False))
        if not (finite := pairs.isfinite()).all():
            where = int((~finite).nonzero()[0].item())
            n, k = divmod(where, len(first))
            raise AttributeFailed(
                f"{describe(distance)} is {pairs[where].item()} between latents {first[k]} and {second[k]} of "
                f"probe {self.probes[n]}; expected finite distances"
            )
        return pairs.reshape(len(self.probes), len(first))

    def _distances_to(self, distance: Distance, other: Measurements) -> Tensor:
        own, theirs = self.outputs.checked, other.outputs.checked
        self.check_shape(other)
        own, theirs = own.flatten(0, 1), theirs.flatten(0, 1)  # [N * P, ...]

        def part(start: int, stop: int) -> Tensor:
            return self._call(distances_between, distance, own[start:stop], theirs[start:stop]).to(own.device)

        with self.outputs.exactly(), torch.set_grad_enabled(self.outputs.keeps_gradients):
            size = max(self.outputs.measured_at_once // 2, 1)
            return self._finite(distance, joined(self._maker.in_parts(part, len(own), size=size, lasting=False)))

    def _address(self, thing: Any) -> str:
        """A name on disk for what a measure computes; empty if nothing can tell it from another."""
        address, own = address_of(thing), self._maker.identities.own(thing)
        if not address or own is None:
            return address
        return "" if own.unknown else f"{address} {own.digest}"

    def _disk_key(self, address: str, how: str) -> str:
        """The key of some rows on disk; empty if they are not kept there."""
        outputs = self.outputs
        if self._maker.store is None or not address or outputs.keeps_gradients or outputs.chance:
            return ""
        if not (subject := self._maker.address(self.subject)):
            return ""
        together = "alone" if self.alone else "together"
        return place(subject, repr(self.family), together, address, f"{how}{outputs.variant}")

    def _kept_on_disk(self, at: str, compute: Callable[[Measurements], Tensor]) -> Tensor:
        """Rows from disk, or else computed, and written to disk once their check has been audited.

        If only some rows are on disk, as after a run that was cut short, the others are computed by themselves.
        """
        if (rows := self._from_store(at)) is not None:
            return rows
        if self.outputs.recall is Recall.ROUNDED and (rows := self._from_store(_rounded(at))) is not None:
            self._from_rounded = True
            return rows
        if self.outputs.kept is None and any(known := self._known_on_disk(at)):
            have, lack = (
                [probe for probe, k in zip(self.probes, known, strict=True) if k is is_known]
                for is_known in (True, False)
            )
            if lack and (kept := self._part_from_store(at, have)) is not None:
                part = self._parts.setdefault(tuple(lack), Measurements(self.outputs.of(lack)))
                made = part._held(at, compute)
                rows = made.new_empty(len(self.probes), *made.shape[1:])
                mask = torch.tensor(known, device=made.device)
                rows[mask], rows[~mask] = kept.to(made), made
                self._from_disk = True
                return rows
        return self._held(at, compute)

    def _held(self, at: str, compute: Callable[[Measurements], Tensor]) -> Tensor:
        """Computed rows, which wait to be written to disk."""
        rows = compute(self)
        if self.recalled is Recall.ROUNDED:
            at = _rounded(at) if self.outputs.bounded else ""
        if at and self._maker.store is not None:
            self._maker.store.hold(at, self.probes, rows.detach().float().cpu().numpy())
        return rows

    def _known_on_disk(self, at: str) -> list[bool]:
        """Whether each probe has a row on disk."""
        store = self._maker.store
        return store.known(at, self.probes) if at and store is not None else []

    def _from_store(self, at: str) -> Tensor | None:
        rows = self._part_from_store(at, self.probes)
        self._from_disk = self._from_disk or rows is not None
        return rows

    def _part_from_store(self, at: str, probes: Sequence[Probe]) -> Tensor | None:
        store = self._maker.store
        rows = store.rows(at, probes) if at and store is not None else None
        return None if rows is None else torch.from_numpy(rows).to(self._maker.device)


def _rounded(at: str) -> str:
    """The key on disk of rows that were measured on outputs of 16 bits."""
    return f"{at} of 16 bits" if at else ""
