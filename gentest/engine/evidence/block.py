"""A block: some probes' outputs on one generator, and what was measured on them, for all who look at the same ones.

Made when first asked for, and kept within a bound that the context keeps to: outputs go first, which are large and can
be made again, and measurements stay. Nothing in it may be written in.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest.attributes import Distance
from gentest.attributes.attribute import Readout, describe, embed, evaluate, read, read_rows, score
from gentest.attributes.distances import distances_between
from gentest.engine.evidence.audit import LEAST, OF_RANGE, OF_SIZE, Number
from gentest.engine.evidence.maker import Maker, flat, full_precision, sliced
from gentest.engine.evidence.output_checks import clamped, named
from gentest.engine.evidence.store import address_of, place
from gentest.engine.evidence.subject import Subject, measure_of
from gentest.errors import AttributeFailed, GeneratorError
from gentest.generators.calling import pinned_rng
from gentest.probes.ends import noise
from gentest.probes.families import Probes
from gentest.probes.probe import Probe, independent
from gentest.properties.definition import Measure

COMPANY_SEED = 0x636F6D70616E79
"""The master seed of the samples that keep a latent company in `again`."""
PROBE_BYTES = 512
"""What a probe takes here besides tensors, ..."""
BLOCK_BYTES = 4096
"""... and a block."""
MOVES = (1, 2)
"""Each value by itself, and each output as a whole."""
PLACED_AT_ONCE = 1 << 18
"""Bytes of latents that are placed at once where nothing else runs meanwhile, at least a batch: each call costs."""


class Block:
    """N probes of P latents each; `alone` makes and measures one output at a time.

    `chance` is the random state that a generator finds which draws by itself: other than 0, nothing is kept on disk.
    """

    gradients = False
    """Whether what is made and measured keeps its way back to the latents."""

    def __init__(
        self,
        maker: Maker,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        *,
        alone: bool = False,
        batch_size: int | None = None,
        chance: int = 0,
    ) -> None:
        self.maker = maker
        self.subject = subject
        self.family = family
        self.probes = tuple(probes)
        self.alone = alone
        self._batch_size = 1 if alone else batch_size
        self._chance = chance
        self._placed: Mapping[str, np.ndarray[Any, Any]] | None = None
        self._window: tuple[int, int, Mapping[str, Any], Mapping[str, Any]] | None = None
        self._outputs: Tensor | None = None
        self._shown: Tensor | None = None
        self._measured: dict[tuple[Hashable, ...], Tensor] = {}
        self._by: dict[tuple[Hashable, ...], tuple[Any, bool, tuple[tuple[int, ...], tuple[int, ...]] | None]] = {}
        """What measured each of those: the thing, whether it gives one number, and between which places."""
        self._kept_whole: tuple[Callable[..., Tensor], Tensor] | None = None
        self._body = maker.identities.body
        self.ahead: Callable[..., Iterable[Any]] = lambda family, drawn: ()
        """The measures that are still to be asked for, as far as was known when somebody last looked at this block."""
        self._from_disk = False
        self._n_bytes: int | None = None
        self.moved: tuple[Block, ...] = ()
        """The same outputs moved, once somebody asked: what is measured here ahead of time is measured there too."""

    @property
    def shape(self) -> tuple[int, int]:
        """N probes of P latents."""
        return len(self.probes), self.family.n_points

    @property
    def n_bytes(self) -> int:
        """What the block keeps."""
        if self._n_bytes is None:
            kept = (self._outputs, self._shown, *self._measured.values())
            tensors = {id(t): t.numel() * t.element_size() for t in kept if t is not None}  # some stand there twice
            placed = sum(z.nbytes for z in (self._placed or {}).values())
            self._n_bytes = sum(tensors.values()) + placed + PROBE_BYTES * len(self.probes) + BLOCK_BYTES
        return self._n_bytes

    @property
    def reused(self) -> bool:
        """Whether something here is of an earlier test, or of the cache: then it is to be proved."""
        return self._from_disk or self._body != self.maker.identities.body

    @property
    def known_outputs(self) -> Tensor | None:
        """The outputs [N, P, ...] that are kept at the moment."""
        return self._outputs

    def numbers(self, index: int, at: int) -> Iterator[Number]:
        """What was measured of a probe that its output at a place can prove: there, or between two places."""
        for key, (thing, scalar, ends) in self._by.items():
            if key[0] != self.maker.identities.key(thing):
                continue  # it computes something else now, and nobody asks for these rows
            rows = self._measured[key]
            size = rows.abs().max().item() if rows.numel() else 0.0
            span = (rows.max() - rows.min()).item() if rows.numel() else 0.0
            allowed = max(OF_RANGE * span, OF_SIZE * size, LEAST)
            if ends is None:
                yield Number(thing, scalar, None, rows[index, at].detach().clone(), allowed)
            elif ends[0]:
                k = at % len(ends[0])
                yield Number(thing, scalar, (ends[0][k], ends[1][k]), rows[index, k].detach().clone(), allowed)

    def whole(self, index: int) -> tuple[Callable[..., Tensor], Tensor] | None:
        """A margin that was kept of a whole probe, and how it is computed anew."""
        return None if self._kept_whole is None else (self._kept_whole[0], self._kept_whole[1][index])

    @property
    def has_outputs(self) -> bool:
        """Whether outputs are kept at the moment."""
        return self._outputs is not None

    def drop_outputs(self) -> None:
        """Lets outputs and latents go; they are made again if somebody asks."""
        self._outputs = self._shown = self._placed = self._window = self._n_bytes = None
        for block in self.moved:
            block.drop_outputs()

    def drop_rows(self) -> None:
        """Drops the rows of features that take more than everything else that is kept of a probe."""
        for key, rows in list(self._measured.items()):
            if rows.ndim > 2 and rows[0].numel() * rows.element_size() > PROBE_BYTES:
                del self._measured[key]
                self._by.pop(key, None)
        self._n_bytes = None

    @property
    def placed(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Latents [N, P, *shape] by part, as arrays."""
        if self._placed is None:
            self._placed = self.family.place(self.subject.generator.latent, self.probes)
            self._n_bytes = None
        return self._placed

    @property
    def latents(self) -> Mapping[str, Tensor]:
        """The same as tensors on the device."""
        return {name: torch.from_numpy(z).to(self.maker.device) for name, z in self.placed.items()}

    @property
    def outputs(self) -> Tensor:
        """Outputs [N, P, ...] as they came."""
        if self._outputs is None:
            n, p = self.shape
            try:
                with self._exactly(), pinned_rng(self.maker.device, 0):
                    parts = self.maker.in_parts(self._make, n * p, size=self._at_once, lasting=not self.gradients)
            except GeneratorError as error:
                self._name_the_probe(error)
                raise
            sizes = sorted({tuple(x.shape[1:]) for x in parts})
            if len(sizes) > 1:
                raise GeneratorError(f"the generator returned outputs of several sizes: {sizes}")
            whole = _joined(parts)
            if not self.gradients:
                self.maker.audit.made(self, whole, [len(part) for part in parts])
            self._outputs = whole.reshape(n, p, *parts[0].shape[1:])
            self._window = self._n_bytes = None
        return self._outputs

    @property
    def shown(self) -> Tensor:
        """The outputs, checked, in [0, 1] where they are bounded."""
        if self._shown is None:
            x = self.outputs
            low, high = x.aminmax()  # of which one is NaN where any value is
            self._shown = (
                x if bool((low >= 0.0) & (high <= 1.0)) else clamped(x, self.subject, self.probes, bounded=self.bounded)
            )
            self._n_bytes = None
        return self._shown

    @property
    def bounded(self) -> bool:
        """Whether the outputs have a range."""
        return self.subject.bounded

    def measured(self, thing: Any, *, scalar: bool | None = None) -> Tensor:
        """A bound attribute [N, P] or feature [N, P, D] of every output; `scalar` None takes either."""
        key = self.maker.identities.key(thing)
        if (key, scalar) not in self._measured:
            rows, is_scalar = self._measure(thing, scalar=scalar)
            self._measured[key, scalar] = self._measured[key, is_scalar] = rows
            self._by[key, bool(is_scalar)] = thing, is_scalar, None
            self._n_bytes = None
        self._asks(thing, (key, scalar), (key, True), (key, False))
        return self._measured[key, scalar]

    def apart(self, distance: Distance, first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        """A bound distance [N, K] of the outputs at K pairs of places, as many pairs at once as fill a batch."""
        key = (self.maker.identities.key(distance), first, second)
        if key not in self._measured:
            of = self._of(self._address(distance), f"apart {first} {second}")
            self._measured[key] = self._known(of, lambda: self._distances(distance, first, second))
            self._by[key] = distance, True, (first, second)
            self._n_bytes = None
        self._asks(distance, key)
        return self._measured[key]

    def steps(self, feature: Any, first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        """How far the rows of a bound feature are apart at K pairs of places, [N, K]: the L2 norm."""
        key = (self.maker.identities.key(feature), "steps", first, second)
        if key not in self._measured:

            def compute() -> Tensor:
                rows = self.measured(feature, scalar=False)
                norms: Tensor = torch.linalg.vector_norm(rows[:, second] - rows[:, first], dim=-1)
                return norms

            of = "" if isinstance(feature, Readout) else self._address(feature)
            self._measured[key] = self._known(self._of(of, f"steps {first} {second}"), compute)
            self._by[key] = feature, False, (first, second)
            self._n_bytes = None
        self._asks(feature, key)
        return self._measured[key]

    def _asks(self, thing: Any, *keys: tuple[Hashable, ...]) -> None:
        """Lets rows be proved by the object that asks for them now, and not by an equal one that measured them."""
        for key in keys:
            if key in self._by and self._by[key][0] is not thing:
                self._by[key] = (thing, *self._by[key][1:])

    def measure(self, thing: Any, measure: Measure) -> None:
        """Measures `thing`, which is what a `Measure` names and is bound, so that asking for it takes no outputs."""
        if measure.pairs is None:
            self.measured(thing, scalar=measure.scalar)
        elif isinstance(measure.thing, Distance):
            self.apart(thing, *measure.pairs)
        else:
            self.steps(thing, *measure.pairs)

    def moves(self, by: float) -> tuple[Block, ...]:
        """The same probes with outputs moved by so much, in each of two ways."""
        self.moved = self.moved or tuple(Moved(self, move, by) for move in MOVES)
        return self.moved

    def known(self, what: str, compute: Callable[[Block], Tensor]) -> Tensor:
        """Rows [N, ...] that `what` names among everything that outputs here can be asked: kept on disk, if any is."""
        rows = self._known(self._of(what, "known"), lambda: compute(self))
        if self._from_disk:

            def anew(subject: Subject, family: Probes, probe: Probe) -> Tensor:
                return compute(Block(self.maker, subject, family, [probe], alone=True))

            self._kept_whole = anew, rows
        return rows

    def again(self, company: int, chance: int) -> Tensor:
        """Outputs [N, P, ...] made once more, each latent last in a batch with `company` others."""
        generator, n_others = self.subject.generator, max(company, 1)
        strangers = independent(COMPANY_SEED, 0, n_others)
        others = {name: z[:company, 0] for name, z in self.family.place(generator.latent, strangers).items()}
        other_noise = {name: z[:company, 0] for name, z in noise(generator.noise, strangers, 1).items()}
        own_noise, placed = noise(generator.noise, self.probes, self.shape[1]), self.placed
        made = []
        for at in np.ndindex(self.shape):
            latents = {name: np.concatenate([others[name], z[at][None]]) for name, z in placed.items()}
            drawn = {name: np.concatenate([other_noise[name], z[at][None]]) for name, z in own_noise.items()}
            try:
                made.append(self.maker.call(generator, latents, drawn, chance)[-1])
            except GeneratorError as error:
                named(error, self.probes[at[0]])
                raise
        return torch.stack(made).reshape(*self.shape, *made[0].shape)

    def _name_the_probe(self, error: GeneratorError) -> None:
        """Says which probe the generator fails on: raises anew if it fails on one alone."""
        if len(self.probes) == 1:
            named(error, self.probes[0])
            return
        for probe in self.probes:
            Block(self.maker, self.subject, self.family, [probe], alone=True).outputs  # noqa: B018
        error.args = (f"{error} (in a batch, but on none of its probes alone)",)

    @property
    def _at_once(self) -> int:
        """How many outputs are made at once."""
        return self._batch_size or self.maker.batch_size

    @property
    def _measured_at_once(self) -> int:
        """How many outputs are measured at once."""
        return self._at_once

    def _make(self, start: int, stop: int) -> Tensor:
        """The outputs of some rows."""
        chance = self._chance and self._chance + start  # in each call another, where any is drawn
        made = self.maker.call(self.subject.generator, *self._rows(start, stop), chance)
        self.maker.audit.called(self, start, made)
        return made

    def _exactly(self) -> AbstractContextManager[None]:
        """In full precision, where outputs are made alone."""
        return full_precision(self.maker.device) if self.alone else nullcontext()

    def _small(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """What a function gives; where gradients are kept, without what it computes on the way."""
        return function(*arguments)

    def _asked(self, function: Callable[..., Tensor], thing: Any, *images: Tensor) -> Tensor:
        """What something that measures gives."""
        with self.maker.limited(describe(thing), AttributeFailed):
            return self._small(function, thing, *images)

    def _rows(self, start: int, stop: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Latents and noise of some rows: placed as they are asked for, while an accelerator makes the ones before."""
        n_points, generator = self.family.n_points, self.subject.generator
        low, high = start // n_points, -(-stop // n_points)
        if self._window is None or low < self._window[0] or high > self._window[1]:
            high = max(high, min(low + self._placed_at_once, len(self.probes)))
            probes = self.probes[low:high]
            latents = flat(self.family.place(generator.latent, probes))
            self._window = low, high, latents, flat(noise(generator.noise, probes, n_points))
        first = self._window[0] * n_points
        rows = slice(start - first, stop - first)
        return sliced(self._window[2], rows), sliced(self._window[3], rows)

    @property
    def _placed_at_once(self) -> int:
        """How many probes are placed at once, if a batch is not more."""
        if self.maker.device.type != "cpu":
            return 0
        generator = self.subject.generator
        numbers = sum(
            part.dim for space in (generator.latent, *generator.noise.values()) for part in space.parts.values()
        )
        return PLACED_AT_ONCE // (4 * max(numbers, 1) * self.family.n_points)

    def _measure(self, thing: Any, *, scalar: bool | None) -> tuple[Tensor, bool]:
        """Rows [N, P, ...], checked to be finite, and whether they are scores."""
        if isinstance(thing, Readout):
            embedding = self.measured(thing.feature, scalar=False).flatten(0, 1)
            if scalar is None:
                scalar = getattr(thing.read(embedding[:1]), "ndim", 1) <= 1
            return self._checked(thing, (read if scalar else read_rows)(thing, embedding)), scalar
        if scalar is None:
            for guess in (True, False):
                if (found := self._stored(self._of(self._address(thing), f"measured {guess}"))) is not None:
                    return found, guess
            images = self.shown[:1, 0]
            scalar = getattr(evaluate(self._measure_of(thing), images), "ndim", 1) <= 1
        function: Callable[[Any, Tensor], Tensor] = score if scalar else embed

        def compute() -> Tensor:
            images = self.shown.flatten(0, 1)
            bound = self._measure_of(thing)
            with self._exactly(), torch.set_grad_enabled(self.gradients):
                rows = self.maker.in_parts(
                    lambda start, stop: self._asked(function, bound, images[start:stop]),
                    len(images),
                    size=self._measured_at_once,
                    lasting=not self.gradients,
                )
                return self._checked(thing, _joined(rows))

        return self._known(self._of(self._address(thing), f"measured {scalar}"), compute), scalar

    def _measure_of(self, thing: Any) -> Any:
        return measure_of(thing, self.subject.generator, self.shown.shape[2:])

    def _checked(self, thing: Any, rows: Tensor) -> Tensor:
        finite = rows.isfinite().flatten(1).all(1) if rows.ndim > 1 else rows.isfinite()
        if not finite.all():
            where = int((~finite).nonzero()[0].item())
            probe = self.probes[where // self.family.n_points]
            value = rows[where].flatten()
            said = value[~value.isfinite()][0].item()
            raise AttributeFailed(f"{describe(thing)} is {said} at probe {probe}; expected finite values")
        return rows.reshape(*self.shape, *rows.shape[1:])

    def _distances(self, distance: Distance, first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        images = self.shown.flatten(0, 1)  # [N * P, C, H, W]
        start = torch.arange(len(self.probes), device=images.device)[:, None] * self.family.n_points
        one, other = ((start + torch.tensor(ends, device=images.device)).flatten() for ends in (first, second))

        def part(start: int, stop: int) -> Tensor:
            pair = (images.index_select(0, rows[start:stop]) for rows in (one, other))
            return self._asked(distances_between, distance, *pair).to(images.device)

        if not len(one):
            return images.new_zeros(len(self.probes), 0)
        with self._exactly(), torch.set_grad_enabled(self.gradients):
            size = max(self._measured_at_once // 2, 1)
            pairs = _joined(self.maker.in_parts(part, len(one), size=size, lasting=False))
        if not (finite := pairs.isfinite()).all():
            where = int((~finite).nonzero()[0].item())
            n, k = divmod(where, len(first))
            raise AttributeFailed(
                f"{describe(distance)} is {pairs[where].item()} between latents {first[k]} and {second[k]} of "
                f"probe {self.probes[n]}; expected finite distances"
            )
        return pairs.reshape(len(self.probes), len(first))

    def _address(self, thing: Any) -> str:
        """What tells a measure's rows from any other's; empty where nothing can."""
        address, own = address_of(thing), self.maker.identities.own(thing)
        if not address or own is None:
            return address
        return "" if own.unknown else f"{address} {own.digest}"

    def _of(self, address: str, how: str) -> str:
        """Where on disk something of these probes is kept; empty where nothing is."""
        store = self.maker.store
        if store is None or not address or self.gradients or self._chance:
            return ""
        if not (of := self.maker.address(self.subject)):
            return ""
        return place(of, repr(self.family), "alone" if self.alone else "together", address, how)

    def _known(self, of: str, compute: Callable[[], Tensor]) -> Tensor:
        if (kept := self._stored(of)) is not None:
            return kept
        found = compute()
        if of and self.maker.store is not None:
            self.maker.store.hold(of, self.probes, found.detach().float().cpu().numpy())
        return found

    def _stored(self, of: str) -> Tensor | None:
        store = self.maker.store
        rows = store.rows(of, self.probes) if of and store is not None else None
        if rows is None:
            return None
        self._from_disk = True
        return torch.from_numpy(rows).to(self.maker.device)


class Moved(Block):
    """The probes of a block, their outputs moved by as much as rounding might.

    Move 1 moves each value up or down, and move 2 each output as a whole; none takes a value out of a range that it is
    in. No image is made where the block keeps its outputs.
    """

    def __init__(self, block: Block, move: int, by: float) -> None:
        super().__init__(block.maker, block.subject, block.family, block.probes, alone=block.alone)
        self._source = block
        self._move = move
        self._distance = by

    @property
    def outputs(self) -> Tensor:
        """The outputs [N, P, ...], moved."""
        x = self._source.outputs
        moved = x + self._distance * self._directions(x)
        return torch.where((x >= 0.0) & (x <= 1.0), moved.clamp(0.0, 1.0), moved) if self.bounded else moved

    def _directions(self, x: Tensor) -> Tensor:
        """1 or -1 for each value, or for each output: the probe's own, whichever others are moved with it."""
        shape = x.shape[1:] if self._move == 1 else (x.shape[1], *[1] * (x.ndim - 2))
        coins = [np.random.default_rng((self._move, probe.seed)).integers(0, 2, shape) for probe in self.probes]
        return torch.from_numpy(2.0 * np.stack(coins) - 1.0).to(x)

    def _of(self, address: str, how: str) -> str:
        return super()._of(address, f"{how}, move {self._move} by {self._distance:.9g}")


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
