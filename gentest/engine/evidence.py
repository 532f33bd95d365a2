"""Evidence: what a batch of probes shows, made lazily, in full batches, and kept for whoever asks next."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gentest.attributes import Attribute, Distance, Feature, apart
from gentest.attributes.attribute import Readout, called, describe, embed, read, read_rows, score
from gentest.attributes.distances import NO_SPREAD
from gentest.ends import noise
from gentest.engine.subject import Subject, measure_of, thing_key
from gentest.errors import AttributeFailed, GeneratorError, InvalidArgument
from gentest.generators import TANH
from gentest.probes import Probe, Probes, independent
from gentest.spaces import Space
from gentest.tolerances import StandardDeviations, Tolerance

if TYPE_CHECKING:
    from gentest.engine.context import Context

COMPANY_SEED = 0x636F6D70616E79
"""The master seed of the samples that keep a latent company in `again`."""
SLACK = 1e-3
"""How far outputs may leave the declared range, as a share of its width, before it is an error."""


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


class Observed:
    """The evidence of N probes of P latents: what `gentest.Evidence` promises to a margin."""

    def __init__(
        self, context: Context, subject: Subject, family: Probes, probes: Sequence[Probe], *, batch_size: int
    ) -> None:
        self._context = context
        self._subject = subject
        self._yardstick = subject  # under whose prior standard deviations are measured
        self._family = family
        self._batch_size = batch_size
        self.probes = tuple(probes)
        space = subject.generator.latent
        self._placed = family.place(space, self.probes)
        self._outputs: Tensor | None = None
        self._images: Tensor | None = None
        self._measured: dict[Hashable, Tensor] = {}
        self.attributes: dict[str, Attribute] = {}
        self.named_features: dict[str, Feature] = {}
        self.named_distances: dict[str, Distance] = {}
        self.spreads: dict[str, float] = {}
        """The standard deviations that `gentest.sd(x)` stood for, by what they are of."""
        self.measured_in: dict[str, Attribute | Feature | Distance] = {}
        """What those are of."""
        self._others: dict[Space, Observed] = {}

    @property
    def _gradients(self) -> bool:
        """Whether what is made and measured keeps its way back to the latents."""
        return False

    @property
    def shape(self) -> tuple[int, int]:
        """N probes of P latents."""
        return len(self.probes), self._family.n_points

    @property
    def space(self) -> Space:
        """The prior that the latents are of."""
        return self._subject.generator.latent

    @property
    def kept(self) -> dict[int, Tensor]:
        """The tensors that are kept here and under the other priors that were asked about, by their ids."""
        tensors = (*self._measured.values(), self._outputs, self._images)
        kept = {id(tensor): tensor for tensor in tensors if tensor is not None}
        for other in self._others.values():
            kept |= other.kept
        return kept

    @property
    def placed(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Latents [N, P, *shape] by part, as arrays."""
        return self._placed

    @property
    def latents(self) -> Tensor | Mapping[str, Tensor]:
        tensors = {name: torch.from_numpy(z).to(self._context.device) for name, z in self._placed.items()}
        return tensors[""] if list(tensors) == [""] else tensors

    @property
    def t(self) -> Tensor:
        return torch.from_numpy(self._family.t(self.probes)).float().to(self._context.device)

    @property
    def outputs(self) -> Tensor:
        return self._made.clone()

    @property
    def _made(self) -> Tensor:
        if self._outputs is None:
            drawn = noise(self._subject.generator.noise, self.probes, self._family.n_points)
            made = self._generate(_flat(self._inputs), _flat(drawn))
            self._outputs = made.reshape(*self.shape, *made.shape[1:])
        return self._outputs

    @property
    def _inputs(self) -> Mapping[str, Any]:
        """The latents [N, P, *shape] that the generator is given."""
        return self._placed

    @property
    def images(self) -> Tensor:
        return self._shown.clone()

    @property
    def _shown(self) -> Tensor:
        """The outputs, checked, in [0, 1]; not to be written in."""
        if self._images is None:
            x = self._made
            low, high = x.aminmax()  # of which one is NaN where any value is
            self._images = x if bool((low >= 0.0) & (high <= 1.0)) else self._clamped(x)
        return self._images

    def _clamped(self, x: Tensor) -> Tensor:
        bad = ~x.isfinite().flatten(2).all(-1)
        if bad.any():
            self._refuse("returned values that are not finite", bad)
        if not self.bounded:
            return x
        low, high = self._subject.generator.output_range or TANH
        out = ((x < -SLACK) | (x > 1 + SLACK)).flatten(2).any(-1)
        if out.any():
            worst = x[out]
            raw = f"{low + worst.min().item() * (high - low):.4g} to {low + worst.max().item() * (high - low):.4g}"
            said = "declared" if self._subject.generator.output_range else "default"
            self._refuse(
                f"returned values from {raw}, outside the {said} output_range=({low:g}, {high:g}); "
                "say Generator(..., output_range=(low, high)), or clamp its outputs",
                out,
            )
        return x.clamp(0.0, 1.0)

    @property
    def bounded(self) -> bool:
        return self._subject.generator.images or self._subject.generator.output_range is not None

    @property
    def unit(self) -> float:
        return 1.0 if self.bounded else self._context.unit(self._subject)

    def _refuse(self, what: str, bad: Tensor) -> None:
        n, p = (int(i) for i in bad.nonzero()[0])
        error = GeneratorError(
            f"the generator {what} (at latent {p} of probe {self.probes[n]}; "
            f"gentest.well_formed() finds and reduces such latents)"
        )
        error.probe = self.probes[n]
        raise error

    def scores(self, attribute: Attribute) -> Tensor:
        _check_of_one(attribute)
        self.attributes.setdefault(_name(attribute, self.attributes), attribute)
        return self.measured(self._context.bound(attribute), scalar=True).clone()  # a margin may write in it

    def features(self, feature: Feature) -> Tensor:
        _check_of_one(feature)
        self.named_features.setdefault(_name(feature, self.named_features), feature)
        return self.measured(self._context.bound(feature), scalar=False).clone()

    def distances(self, thing: Feature | Distance, first: Sequence[int], second: Sequence[int]) -> Tensor:
        ends = _checked_places(first, second, self._family.n_points)
        if not isinstance(thing, Distance):
            rows = self.features(thing)
            norms: Tensor = torch.linalg.vector_norm(rows[:, ends[1]] - rows[:, ends[0]], dim=-1)
            return norms
        self.named_distances.setdefault(_name(thing, self.named_distances), thing)
        return self._apart(self._context.bound(thing), *ends).clone()

    def _apart(self, distance: Distance, first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        """A bound distance [N, K] of the outputs at K pairs of places, as many pairs at once as fill a batch."""
        key = (thing_key(distance), first, second)
        if key not in self._measured:
            images = self._shown.flatten(0, 1)  # [N * P, C, H, W]
            start = torch.arange(len(self.probes), device=images.device)[:, None] * self._family.n_points
            one, other = ((start + torch.tensor(ends, device=images.device)).flatten() for ends in (first, second))
            at_once, found = max(self._at_once // 2, 1), [images.new_zeros(0)]
            with torch.set_grad_enabled(self._gradients):
                for at in range(0, len(one), at_once):
                    pair = (images.index_select(0, rows[at : at + at_once]) for rows in (one, other))
                    found.append(self._kept_small(apart, distance, *pair).to(images.device))
            pairs = torch.cat(found)
            if not (finite := pairs.isfinite()).all():
                where = int((~finite).nonzero()[0].item())
                n, k = divmod(where, len(first))
                raise AttributeFailed(
                    f"{describe(distance)} is {pairs[where].item()} between latents {first[k]} and {second[k]} of "
                    f"probe {self.probes[n]}; expected finite distances"
                )
            self._measured[key] = pairs.reshape(len(self.probes), len(first))
        return self._measured[key]

    def measured(self, thing: Any, *, scalar: bool | None = None) -> Tensor:
        """A bound attribute [N, P] or feature [N, P, D] of every output; `scalar` None takes either."""
        key = (thing_key(thing), scalar)
        if key not in self._measured:
            if isinstance(thing, Readout):
                embedding = self.measured(thing.feature, scalar=False).flatten(0, 1)
                if scalar is None:
                    scalar = getattr(thing.read(embedding[:1]), "ndim", 1) <= 1
                rows = (read if scalar else read_rows)(thing, embedding)
            else:
                rows = self._measure(thing, scalar=scalar)
            finite = rows.isfinite().flatten(1).all(1) if rows.ndim > 1 else rows.isfinite()
            if not finite.all():
                where = int((~finite).nonzero()[0].item())
                probe = self.probes[where // self._family.n_points]
                value = rows[where].flatten()
                said = value[~value.isfinite()][0].item()
                raise AttributeFailed(f"{describe(thing)} is {said} at probe {probe}; expected finite values")
            self._measured[key] = rows.reshape(*self.shape, *rows.shape[1:])
        return self._measured[key]

    def _measure(self, thing: Any, *, scalar: bool | None) -> Tensor:
        images = self.images.flatten(0, 1)
        thing = measure_of(thing, self._subject.generator, images.shape[1:])
        if scalar is None:
            result = called(thing, images[:1])
            scalar = getattr(result, "ndim", 1) <= 1
        measure: Callable[[Any, Tensor], Tensor] = score if scalar else embed
        with torch.set_grad_enabled(self._gradients):
            return torch.cat([self._kept_small(measure, thing, chunk) for chunk in torch.split(images, self._at_once)])

    def _ran_out(self, size: int) -> None:
        """Memory was too small for more than `size` latents at once."""
        self._context.batch_size = size

    @property
    def _at_once(self) -> int:
        """How many images are measured at once."""
        return self._batch_size

    def _kept_small(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """What a function gives; where gradients are kept, without what it computes on the way."""
        return function(*arguments)

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
            alone = self._batch_size == 1
            other = self._context.evidence(self._subject.under(prior), self._family, self.probes, alone=alone)
            other._made  # noqa: B018 - made before the copy, which then shares them
            view = self._others[prior] = copy.copy(other)
            view._yardstick = self._yardstick
        return self._others[prior]

    def again(self, company: int, *, chance: int = 0) -> Tensor:
        n_others = max(company, 1)
        space, spaces = self._subject.generator.latent, self._subject.generator.noise
        strangers = independent(COMPANY_SEED, 0, n_others)
        others = {name: z[:company, 0] for name, z in self._family.place(space, strangers).items()}
        other_noise = {name: z[:company, 0] for name, z in noise(spaces, strangers, 1).items()}
        own_noise = noise(spaces, self.probes, self._family.n_points)
        made = []
        for at in np.ndindex(self.shape):
            latents = {name: np.concatenate([others[name], z[at][None]]) for name, z in self._placed.items()}
            drawn = {name: np.concatenate([other_noise[name], z[at][None]]) for name, z in own_noise.items()}
            made.append(self._call(latents, drawn, chance)[-1])
        return torch.stack(made).reshape(*self.shape, *made[0].shape)

    def _generate(self, latents: Mapping[str, Any], drawn: Mapping[str, Any]) -> Tensor:
        total, start, size = len(next(iter(latents.values()))), 0, self._batch_size
        made: list[Tensor] = []
        while start < total:
            rows = slice(start, start + size)
            try:
                z, hiss = ({name: x[rows] for name, x in arrays.items()} for arrays in (latents, drawn))
                made.append(self._kept_small(self._call, z, hiss))
            except torch.cuda.OutOfMemoryError:
                if size == 1:
                    raise
                size = (size + 1) // 2
                self._ran_out(size)
                torch.cuda.empty_cache()
                continue
            start = rows.stop
        sizes = sorted({tuple(x.shape[1:]) for x in made})
        if len(sizes) > 1:
            raise GeneratorError(f"the generator returned outputs of several sizes: {sizes}")
        return torch.cat(made) if len(made) > 1 else made[0]

    def _call(self, latents: Mapping[str, Any], drawn: Mapping[str, Any], chance: int = 0) -> Tensor:
        device = self._context.device
        batch, hiss = ({name: _on(device, z) for name, z in arrays.items()} for arrays in (latents, drawn))
        with torch.set_grad_enabled(self._gradients):
            x = self._subject.generator.outputs(batch, hiss, chance=chance)
        self._context.count(len(x), 4 * x[0].numel())
        return x.to(device)


def _flat(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays or tensors [N, P, *shape] as [N * P, *shape]."""
    return {name: z.reshape(-1, *z.shape[2:]) for name, z in arrays.items()}


def _on(device: torch.device, z: Any) -> Tensor:
    return z if isinstance(z, Tensor) else torch.from_numpy(np.ascontiguousarray(z)).to(device)
