"""Outputs: run the generator on a batch of probes, check what comes back, and keep it while memory lasts.

The generator runs at first use. Memory may drop outputs at any time, since they can be made again. Nobody writes into
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest.engine.evidence.audit import AuditedRows, Number
from gentest.engine.evidence.maker import Maker, flat, full_precision, sliced
from gentest.engine.evidence.output_store import Recall
from gentest.engine.evidence.store import place
from gentest.engine.evidence.subject import Subject
from gentest.errors import GeneratorError, InvalidOutput
from gentest.probes.ends import noise
from gentest.probes.families import Probes
from gentest.probes.probe import Probe, independent

COMPANY_SEED = 0x636F6D70616E79
"""The master seed of the samples that fill a latent's batch in `Outputs.again`."""
PROBE_BYTES = 512
"""Memory that one probe takes besides its tensors."""
SLACK = 1e-3
"""Share of the declared range by which outputs may leave it."""
BATCH_BYTES = 4096
"""Memory that one batch of probes takes besides its tensors."""
MOVES = (1, 2)
"""The two ways to move outputs: each value by itself, or each output as a whole."""
PLACED_AT_ONCE = 1 << 20
"""Bytes of latents to compute in one call on a CPU, where each call has a fixed cost and more would leave the cache."""


class Outputs:
    """The outputs of N probes with P latents each.

    `alone=True` makes one output at a time, in full precision. `chance` selects the random state for a generator that
    draws its own random numbers; outputs of any state but 0 are never kept on disk.
    """

    keeps_gradients = False
    """Whether outputs keep the autograd graph back to their latents."""

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
        self.chance = chance
        self.audited_as: AuditedRows | None = None
        """These outputs with their measurements, for the audit; None leaves them out of it."""
        self.recall = Recall.ROUNDED
        """How far outputs from disk may stand for these."""
        self.recalled = Recall.NEVER
        """How exact those are that came from disk; `NEVER` if none did."""
        self.rounding = 0.0
        """The largest error of a value that came from disk, in the outputs' own units."""
        self._batch_size = 1 if alone else batch_size
        self._placed: Mapping[str, np.ndarray[Any, Any]] | None = None
        self._window: tuple[int, int, Mapping[str, Any], Mapping[str, Any]] | None = None
        """Latents and noise of the probes from the first number to the second."""
        self._values: Tensor | None = None
        self._checked: Tensor | None = None
        self._n_bytes: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """N probes of P latents."""
        return len(self.probes), self.family.n_points

    @property
    def bounded(self) -> bool:
        """Whether the outputs have a range."""
        return self.subject.bounded

    @property
    def variant(self) -> str:
        """The change made to the generator's own outputs; empty if there is none."""
        return ""

    @property
    def batch_size(self) -> int:
        """Outputs made in one call of the generator."""
        return self._batch_size or self.subject.generator.batch_size or self.maker.batch_size

    @property
    def measured_at_once(self) -> int:
        """Outputs measured in one call of an attribute, feature or distance."""
        return self.batch_size

    @property
    def n_bytes(self) -> int:
        """Memory taken at the moment."""
        if self._n_bytes is None:
            kept = {id(t): t.numel() * t.element_size() for t in (self._values, self._checked) if t is not None}
            placed = sum(z.nbytes for z in (self._placed or {}).values())
            self._n_bytes = sum(kept.values()) + placed + PROBE_BYTES * len(self.probes) + BATCH_BYTES
        return self._n_bytes

    @property
    def kept(self) -> Tensor | None:
        """The outputs [N, P, ...] in memory; None when they are not made yet, or dropped."""
        return self._values

    def drop(self) -> None:
        """Free outputs and latents. The next use makes them again."""
        self._values = self._checked = self._placed = self._window = self._n_bytes = None

    @property
    def placed(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Latents [N, P, *shape] by part, as arrays."""
        if self._placed is None:
            self._placed = self.family.place(self.subject.generator.latent, self.probes)
            self._n_bytes = None
        return self._placed

    @property
    def latents(self) -> Mapping[str, Tensor]:
        """Latents [N, P, *shape] by part, as tensors on the device."""
        return {name: torch.from_numpy(z).to(self.maker.device) for name, z in self.placed.items()}

    @property
    def values(self) -> Tensor:
        """Outputs [N, P, ...] as the generator returned them."""
        if self._values is None:
            recalled = self._recalled()
            self._values = self._all_made() if recalled is None else recalled
            self._window = self._n_bytes = None
        return self._values

    def _all_made(self) -> Tensor:
        """Outputs [N, P, ...] that the generator makes now."""
        n, p = self.shape
        if self.subject.recalled is None:
            self.maker.budget.check(n * p)  # none of them is made unless all of them can be
        try:
            with self.exactly(), self.maker.pinned():
                parts = self.maker.in_parts(self._make, n * p, size=self.batch_size, lasting=not self.keeps_gradients)
        except GeneratorError as error:
            self._name_probe(error)
            self._name_side(error)
            raise
        if len(sizes := sorted({tuple(x.shape[1:]) for x in parts})) > 1:
            raise GeneratorError(f"the generator returned outputs of several sizes: {sizes}")
        rows = joined(parts)  # [N * P, ...]
        if self.audited_as is not None and not self.keeps_gradients:
            self.maker.audit.made(self.audited_as, rows, [len(part) for part in parts])
        if self.alone and n == 1 and not self.keeps_gradients:
            for at in range(p):
                self.maker.audit.made_alone(self.subject, self.family, self.probes[0], at, rows[at : at + 1])
        made = rows.reshape(n, p, *parts[0].shape[1:])
        if (address := self._address) and self.maker.output_store is not None:
            outputs = made.detach().float().cpu().numpy()
            generator = self.subject.generator
            self.maker.output_store.hold(
                address,
                self.probes,
                outputs,
                bounded=generator.limits == (0.0, 1.0),
                # without a range, no error is small: values of several sizes may share an output
                exact=self.alone or generator.kind.is_exact or generator.limits is None,
            )
        return made

    @property
    def _address(self) -> str:
        """The name of these outputs on disk; empty if they are not kept there."""
        if self.maker.output_store is None or self.keeps_gradients or self.chance:
            return ""
        if self.subject.recalled is not None or not (subject := self.maker.address(self.subject)):
            return ""
        return place(subject, repr(self.family), "alone" if self.alone else "together", "outputs")

    def _recalled(self) -> Tensor | None:
        """Outputs [N, P, ...] of which some come from disk, and the generator makes the others; None if none does."""
        if not (address := self._address) or self.maker.output_store is None:
            return None
        kept = self.maker.output_store.rows(address, self.probes, self.recall)
        shapes = {row.outputs.shape for row in kept if row is not None}
        if len(shapes) != 1 or (shape := shapes.pop())[0] != self.shape[1]:
            return None
        missing = [probe for probe, row in zip(self.probes, kept, strict=True) if row is None]
        known = torch.tensor([row is not None for row in kept], device=self.maker.device)
        values = torch.zeros(len(kept), *shape, device=self.maker.device)
        values[known] = torch.from_numpy(np.stack([row.outputs for row in kept if row is not None])).to(values)
        if missing:
            others = self.of(missing)
            others.audited_as = None if self.audited_as is None else NewRows(others)
            others.recall = Recall.NEVER
            made = others.values
            if made.shape[1:] != values.shape[1:]:
                raise GeneratorError(
                    f"the generator returned outputs {list(made.shape[2:])}, and earlier ones {list(shape[1:])}"
                )
            values[~known] = made.to(values)
        self.rounding = max(self.rounding, *(row.error for row in kept if row is not None))
        self.recalled = Recall.ROUNDED if self.rounding else Recall.EXACT
        return values

    @property
    def checked(self) -> Tensor:
        """Outputs [N, P, ...], checked to be finite and within their range; in [0, 1] if they have a range."""
        if self._checked is None:
            x = self.values
            low, high = x.aminmax()  # NaN if any value is NaN, so that the comparison fails
            limits = self.subject.generator.limits or (0.0, 1.0)
            is_clean = bool((low >= limits[0]) & (high <= limits[1])) and not self.subject.generator.kind.has_domains
            try:
                self._checked = x if is_clean else checked_outputs(x, self.subject, self.probes, bounded=self.bounded)
            except GeneratorError as error:
                self._name_side(error)
                raise
            self._n_bytes = None
        return self._checked

    def of(self, probes: Sequence[Probe]) -> Outputs:
        """The outputs of other probes, made in the same way."""
        others = Outputs(
            self.maker,
            self.subject,
            self.family,
            probes,
            alone=self.alone,
            batch_size=self._batch_size,
            chance=self.chance,
        )
        others.recall = self.recall
        return others

    def moved(self, by: float) -> tuple[MovedOutputs, ...]:
        """The same outputs, moved by a distance in each of two ways."""
        return tuple(MovedOutputs(self, move, by) for move in MOVES)

    def again(self, company: int, chance: int) -> Tensor:
        """Outputs [N, P, ...] made once more, each latent after `company` others in a batch.

        Each is the last one of its batch, unless images are slow: then as many as fit share the others.
        """
        generator, n_others = self.subject.generator, max(company, 1)
        strangers = independent(COMPANY_SEED, 0, n_others)
        others = {name: z[:company, 0] for name, z in self.family.place(generator.latent, strangers).items()}
        other_noise = {name: z[:company, 0] for name, z in noise(generator.noise, strangers, 1).items()}
        own_noise, placed = noise(generator.noise, self.probes, self.shape[1]), self.placed
        places = list(np.ndindex(self.shape))
        together = max(self.batch_size - company, 1) if company and self.maker.slow else 1
        made: list[Tensor] = []
        with self.maker.pinned():
            for start in range(0, len(places), together):
                rows = tuple(np.array(places[start : start + together]).T)
                latents = {name: np.concatenate([others[name], z[rows]]) for name, z in placed.items()}
                drawn = {name: np.concatenate([other_noise[name], z[rows]]) for name, z in own_noise.items()}
                try:
                    made += self.maker.call(generator, latents, drawn, chance)[company:].unbind()
                except GeneratorError as error:
                    self._name_side(error.at(self.probes[places[start][0]]))
                    raise
        if not company:
            for (n, p), output in zip(places, made, strict=True):
                self.maker.audit.made_alone(self.subject, self.family, self.probes[n], p, output[None])
        return torch.stack(made).reshape(*self.shape, *made[0].shape)

    def exactly(self) -> AbstractContextManager[None]:
        """Inside, single outputs are computed in full precision."""
        return full_precision(self.maker.device) if self.alone else nullcontext()

    def recomputing(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """The function's result. Outputs with gradients recompute its intermediate values rather than keep them."""
        return function(*arguments)

    def _make(self, start: int, stop: int) -> Tensor:
        """Outputs of the rows `start` to `stop`, from one call of the generator."""
        chance = self.chance and self.chance + start  # a different random state for each call
        made = self.maker.call(self.subject.generator, *self._rows(start, stop), chance)
        if self.audited_as is not None:
            self.maker.audit.called(self.audited_as, start, made)
        return made

    def _rows(self, start: int, stop: int) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Latents and noise of the rows `start` to `stop`, placed while an accelerator makes the rows before them."""
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
        """The least number of probes to place in one call."""
        if self.maker.device.type != "cpu":
            return 0
        generator = self.subject.generator
        numbers = sum(
            part.dim for space in (generator.latent, *generator.noise.values()) for part in space.parts.values()
        )
        return PLACED_AT_ONCE // (4 * max(numbers, 1) * self.family.n_points)

    def _name_side(self, error: GeneratorError) -> None:
        """Add to an error of a pair's side which of the two it is."""
        if self.subject.is_reference:
            error.args = (f"in the reference, {error}",)
        elif self.subject.reference is not None:
            error.args = (f"in the candidate, {error}",)

    def _name_probe(self, error: GeneratorError) -> None:
        """Add to an error the probe on which the generator fails, or that it fails on none of them alone."""
        if len(self.probes) == 1:
            error.at(self.probes[0])
            return
        for probe in self.probes:
            Outputs(self.maker, self.subject, self.family, [probe], alone=True).values  # noqa: B018
        error.args = (f"{error} (in a batch, but on none of its probes alone)",)


class NewRows:
    """Outputs that were just made, for the audit: the ones that a batch from disk lacked."""

    reused = False
    known_outputs = None
    rounding = 0.0

    def __init__(self, outputs: Outputs) -> None:
        self.subject = outputs.subject
        self.family = outputs.family
        self.probes = outputs.probes
        self.alone = outputs.alone
        self.shape = outputs.shape
        self.placed: Mapping[str, np.ndarray[Any, Any]] = {}

    def numbers(self, index: int, at: int) -> Iterator[Number]:
        """Nothing is measured yet."""
        return iter(())

    def whole(self, index: int) -> None:
        """Nor has a probe a margin."""


class MovedOutputs(Outputs):
    """Outputs moved by about as much as rounding could move them; the generator does not run again.

    Move 1 moves each value up or down, move 2 each output as a whole. A value inside its range stays inside.
    """

    def __init__(self, source: Outputs, move: int, by: float) -> None:
        super().__init__(source.maker, source.subject, source.family, source.probes, alone=source.alone)
        self._source = source
        self._move = move
        self._distance = by

    def of(self, probes: Sequence[Probe]) -> Outputs:
        return MovedOutputs(self._source.of(probes), self._move, self._distance)

    @property
    def variant(self) -> str:
        return f", move {self._move} by {self._distance:.9g}"

    @property
    def values(self) -> Tensor:
        x = self._source.values
        generator = self.subject.generator
        moved = x + self._distance * self._directions(x)
        if (moves := generator.kind.moves(x.flatten(0, 1))) is not None:
            moved = torch.where(moves.reshape(x.shape), moved, x)
        if generator.limits is None:
            return moved
        low, high = generator.limits
        return torch.where((x >= low) & (x <= high), moved.clamp(low, high), moved)

    def _directions(self, x: Tensor) -> Tensor:
        """1 or -1 for each value or each output, from the probe's seed: the batch around a probe has no influence."""
        shape = x.shape[1:] if self._move == 1 else (x.shape[1], *[1] * (x.ndim - 2))
        coins = [np.random.default_rng((self._move, probe.seed)).integers(0, 2, shape) for probe in self.probes]
        return torch.from_numpy(2.0 * np.stack(coins) - 1.0).to(x)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Batches [B, ...] as one tensor, without a copy if there is only one."""
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


def checked_outputs(x: Tensor, subject: Subject, probes: Sequence[Probe], *, bounded: bool) -> Tensor:
    """The outputs [N, P, ...] of some probes, clamped to their limits if they have a range.

    Raises `GeneratorError` for a value that is not finite, or that leaves the range by more than rounding.
    """
    bad = ~x.isfinite().flatten(2).all(-1)
    if bad.any():
        raise invalid_output("returned values that are not finite", bad, x, subject, probes)
    if not bounded:
        return x
    generator = subject.generator
    excess = generator.kind.excess(x.flatten(0, 1), generator.limits).reshape(x.shape)
    out = (excess > SLACK).flatten(2).any(-1)
    if out.any():
        raise invalid_output(generator.kind.out_of_range(x[out], generator.output_range), out, x, subject, probes)
    low, high = generator.limits or (-torch.inf, torch.inf)
    return x.clamp(low, high)


def invalid_output(what: str, bad: Tensor, x: Tensor, subject: Subject, probes: Sequence[Probe]) -> InvalidOutput:
    """The error for the first of the outputs x [N, P, ...] that are `bad`, [N, P], with the facts about it."""
    n, p = (int(i) for i in bad.nonzero()[0])
    output, finite = x[n, p], x[n, p].isfinite()
    at = f"in output {p + 1} of {x.shape[1]} of probe" if x.shape[1] > 1 else "at probe"
    error = InvalidOutput(f"the generator {what} ({at} {probes[n]}; gentest.well_formed() looks for such outputs)")
    error.probe, error.place, error.n_places = probes[n], p, x.shape[1]
    error.n_values = output.numel()
    error.not_finite = error.n_values - int(finite.sum())
    if subject.bounded and bool(finite.any()):
        excess = subject.generator.kind.excess(output[None], subject.generator.limits)[0]
        error.excess = float(excess[finite].max())
    error.subject = subject.fingerprint_of_outputs
    return error
