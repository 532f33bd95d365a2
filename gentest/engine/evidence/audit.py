"""The audit: make some outputs that a verdict rests on again, alone, and compare them with the evidence.

An audit proves two things. Evidence from an earlier test, or from the cache, is still what the generator makes. A row
of a batch is what the generator makes of that latent alone, wherever it stood in the batch and whatever came before.

Every check makes these rows again: random rows among all that the property looked at; the first, middle and last row
of the largest batch; the last row of a smaller batch; the probe with the smallest margin; probes that violate. From
reused evidence it also takes one row for each value of a discrete part, up to `MOST_VALUES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gentest.attributes.attribute import describe, embed, is_readout, read, read_rows, score
from gentest.attributes.conditional import is_conditional
from gentest.attributes.distances import distances_between
from gentest.engine.cost import BudgetSpent, Meter
from gentest.engine.evidence.subject import Subject, measure_of, with_values
from gentest.errors import GeneratorError
from gentest.generators.generator import Generator
from gentest.probes.ends import noise
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.results.result import Audit

RANDOM = 16
"""Number of random rows. If 17 % of all rows are wrong, at least one of these is wrong with probability 95 %."""
RANDOM_SLOW = 4
"""Number of random rows if images are slow."""
MOST_SLOW = 7
"""Number of all rows to make again if images are slow."""
MOST = 32
"""Images to hold back for an audit of fast images, within the budget of a run."""
FAILING = 2
"""Number of probes that violate."""
MOST_VALUES = 32
"""Largest number of values of discrete parts."""
CHANGED = 1 / 256
"""Largest difference of an output, alone, from the evidence: one grey level of 256, as a share of its range."""
CHANGED_HALF = 1 / 32
"""The same for a generator with weights in half precision."""
DRAWN = 1e-4
"""A difference between two calls that rounding does not explain, as a share of the output's range. It is ten times the
largest difference that deterministic networks show in float32."""
DRAWN_SLOW = DRAWN / 2
"""The same for slow images: with so few comparisons, a smaller difference has to count."""
SUSPECTS, SUSPECTS_SLOW = 2, 4
"""Number of rows with a difference between `DRAWN` and `CHANGED` to make once more, to see why. Of slow images, fewer
are compared, so that more are made again."""
MOST_ALONE = 64
"""Outputs of slow images that are kept because they were made alone."""
OF_ROUNDING = 4
"""The same for outputs from disk: a multiple of the change of the measurement when the outputs move by their error."""
OF_RANGE, OF_SIZE, LEAST = 1 / 64, 1e-3, 1e-4
"""Largest difference of a measurement, alone, from the evidence: a share of its range in the batch, a share of its
size, or this much."""
PLACED_TOGETHER = 1 << 18
"""Numbers of latents that an audit places in one call."""
EXAMINED = 16
"""Number of samples on which every generator is examined, in one batch, before any property is checked."""


@dataclass(frozen=True)
class Number:
    """A measurement: by `thing` on one output, or between the outputs at the places `ends` of a probe.

    With `other`, it lies between the output and that of another generator on the same latent.
    """

    thing: Any
    scalar: bool
    ends: tuple[int, int] | None
    kept: Tensor
    allowed: float
    other: Subject | None = None


@dataclass(frozen=True)
class Row:
    """One output that a property looked at, and what is known of it."""

    subject: Subject
    family: Probes
    probe: Probe
    place: int
    reused: bool
    output: Tensor | None
    numbers: tuple[Number, ...] = ()
    whole: tuple[Any, Tensor] | None = None
    """A function that computes the margin of the whole probe, and the margin."""
    where: str = ""
    """Its place in a batch, in words for the error."""
    rounding: float = 0.0
    """The largest error of the outputs that its numbers were measured on, in the outputs' own units."""

    def same_as(self, other: Row) -> bool:
        """Whether both are the same output."""
        mine = (self.probe, self.place, self.family, self.subject.key)
        return mine == (other.probe, other.place, other.family, other.subject.key)


@dataclass(frozen=True)
class Audited:
    """The record of an audit, with an `error` if an output differs from the evidence."""

    audit: Audit
    error: GeneratorError | None = None
    stale: Subject | None = None
    """The subject whose reused evidence is wrong. Everything kept of it has to go."""


class _Differs(Exception):
    """A row differs from the evidence."""

    def __init__(self, error: GeneratorError, row: Row) -> None:
        super().__init__(str(error))
        self.audited = Audited(Audit(), error.at(row.probe), row.subject if row.reused else None)


class OutputMaker(Protocol):
    """Makes outputs: `gentest.engine.evidence.maker.Maker`."""

    @property
    def meter(self) -> Meter: ...

    @property
    def slow(self) -> bool: ...

    def call(
        self, generator: Generator, latents: Mapping[str, Any], drawn: Mapping[str, Any], chance: int = 0
    ) -> Tensor: ...

    def exactly(self) -> AbstractContextManager[None]: ...

    def pinned(self) -> AbstractContextManager[None]: ...


class AuditedRows(Protocol):
    """N probes of P latents with their evidence: `gentest.engine.evidence.measurements.Measurements`."""

    @property
    def subject(self) -> Subject: ...

    @property
    def family(self) -> Probes: ...

    @property
    def probes(self) -> tuple[Probe, ...]: ...

    @property
    def alone(self) -> bool: ...

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def reused(self) -> bool: ...

    @property
    def rounding(self) -> float: ...

    @property
    def placed(self) -> Mapping[str, np.ndarray[Any, Any]]: ...

    @property
    def known_outputs(self) -> Tensor | None: ...

    def numbers(self, index: int, at: int) -> Iterator[Number]: ...

    def whole(self, index: int) -> tuple[Callable[..., Tensor], Tensor] | None: ...


class Auditor:
    """Collects rows during a check and makes them again at its end."""

    def __init__(self, maker: OutputMaker) -> None:
        self._maker = maker
        self._alone: dict[Any, Tensor] = {}
        """Outputs of slow images that were made alone since somebody else's code ran last."""
        self._trusted: set[Any] = set()
        """Subjects that gave the same bits twice: rounding explains their differences between batches."""
        self._placed: dict[Any, Mapping[str, np.ndarray[Any, Any]]] = {}
        """Latents [1, P, *shape] of the probes of rows that are being made again."""
        self.stop()
        self._largest_ever: dict[Any, int] = {}
        """By subject, the size of the largest batch so far."""

    def begin(self, seed: int, *, body: bool = False) -> None:
        """Start a check, with no rows yet. `body=True` if somebody else's code may have run since the check before."""
        if body:
            self._alone = {}
            self._trusted = set()
        self._is_on = True
        self._rng = np.random.default_rng(seed)
        self._random: list[tuple[float, Row]] = []
        self._layout: list[Row] = []
        self._partial: Row | None = None
        self._largest = 0
        self._extreme: tuple[float, Row] | None = None
        self._failing: list[Row] = []
        self._values: dict[tuple[str | int, ...], Row] = {}
        self._after: list[tuple[Row, Tensor]] = []
        self._unit: Callable[[Subject], float] = lambda subject: 1.0

    def stop(self) -> None:
        """Drop all rows and collect no more."""
        self.begin(0)
        self._is_on = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, collect no rows: somebody else counts the images made here."""
        self._is_on, before = False, self._is_on
        try:
            yield
        finally:
            self._is_on = before

    @property
    def slow(self) -> bool:
        """Whether images are slow, so that few are made again."""
        return self._maker.slow

    def _audits(self, block: AuditedRows) -> bool:
        """Whether rows are collected now, and these can be made again: nobody computes outputs that were kept."""
        return self._is_on and block.subject.recalled is None

    def trust(self, subject: Subject) -> None:
        """Note that a generator gives the same bits twice, so that no row is made twice to tell rounding from noise."""
        self._trusted.add(subject.key)

    def made_alone(self, subject: Subject, family: Probes, probe: Probe, place: int, output: Tensor) -> None:
        """Keep an output [1, ...] of slow images that was made alone: an audit need not make it again."""
        if self.slow:
            self._alone = dict(islice(self._alone.items(), max(len(self._alone) + 1 - MOST_ALONE, 0), None))
            self._alone[subject.key, family, probe, place] = output.detach()

    def called(self, block: AuditedRows, start: int, outputs: Tensor) -> None:
        """Make the last row of each largest batch so far alone, right after it: the call may have left state behind."""
        size, key = len(outputs), block.subject.key
        if not self._audits(block) or block.alone or size <= max(EXAMINED, self._largest_ever.get(key, 0)):
            return
        self._largest_ever[key] = size
        at = start + size - 1
        row = self._row(block, at, outputs=outputs, first=start, where=f"row {size - 1} of a batch of {size}")
        self._after.append((row, self._again(row, chance=0)))

    def made(self, block: AuditedRows, outputs: Tensor, sizes: Sequence[int]) -> None:
        """Collect rows of the outputs [N * P, ...] that calls of these sizes made."""
        if not self._audits(block) or block.alone:
            return
        starts = np.cumsum([0, *sizes[:-1]])
        at = int(np.argmax(sizes))
        size, start = sizes[at], int(starts[at])
        if size > max(self._largest, 1):
            self._largest = size
            places = dict.fromkeys((0, size // 2, size - 1))
            self._layout = [
                self._row(block, start + p, outputs=outputs, where=f"row {p} of a batch of {size}") for p in places
            ]
        if sizes[-1] < self._largest:
            last, n = len(outputs) - 1, sizes[-1]
            self._partial = self._row(block, last, outputs=outputs, where=f"row {n - 1} of a batch of {n}")

    def judged(self, block: AuditedRows, margins: Sequence[float] | None) -> None:
        """Collect rows of probes that a property looked at. `margins` [N] are theirs, if each probe has one."""
        reused = block.reused
        if not self._audits(block) or (block.alone and not reused):
            return
        first = self._row(block, 0)
        if first.output is None and not first.numbers and first.whole is None:
            return  # a reference whose distances came from disk: the candidate's rows prove them
        n, p = block.shape
        draws = self._rng.random(n * p)
        limit = self._random[-1][0] if len(self._random) == RANDOM else 1.0
        smaller = np.flatnonzero(draws < limit)
        for at in smaller[np.argsort(draws[smaller], kind="stable")[:RANDOM]]:
            self._random.append((float(draws[at]), self._row(block, int(at))))
        self._random = sorted(self._random, key=lambda pair: pair[0])[:RANDOM]
        if margins is not None:
            worst = int(np.argmin(margins))
            if self._extreme is None or margins[worst] < self._extreme[0]:
                self._extreme = margins[worst], self._row(block, self._place(block, worst))
            for index in np.flatnonzero(np.asarray(margins) < 0)[: FAILING - len(self._failing)]:
                self._failing.append(self._row(block, self._place(block, int(index))))
        if reused:
            self._note_values(block)

    def answered(
        self,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        margins: Sequence[Sequence[float]],
        recompute: Callable[[Subject, Probes, Probe], Tensor],
    ) -> None:
        """Collect probes whose margins come from another process; `recompute` gives a probe's margins here, alone."""
        if self._is_on:
            for probe, kept, draw in zip(probes, margins, self._rng.random(len(probes)), strict=True):
                row = Row(subject, family, probe, 0, reused=False, output=None, whole=(recompute, torch.tensor(kept)))
                self._random.append((float(draw), row))
            self._random = sorted(self._random, key=lambda pair: pair[0])[:RANDOM_SLOW]

    def _place(self, block: AuditedRows, index: int) -> int:
        p = block.shape[1]
        return index * p + int(self._rng.integers(p))

    def _note_values(self, block: AuditedRows) -> None:
        for name, part in block.subject.generator.latent.parts.items():
            if not part.slots:
                continue
            codes = block.placed[name].reshape(-1, len(part.slots))  # [N * P, slots]
            for code, at in zip(*np.unique(codes, axis=0, return_index=True), strict=True):
                if len(self._values) < MOST_VALUES and (value := (name, *code.tolist())) not in self._values:
                    self._values[value] = self._row(block, int(at))

    def _row(
        self, block: AuditedRows, at: int, *, outputs: Tensor | None = None, first: int = 0, where: str = ""
    ) -> Row:
        """Row `at` of some probes, with what is known of it. `outputs` are new ones, from row `first` on."""
        index, place = divmod(at, block.shape[1])
        known = block.known_outputs if outputs is None else outputs
        output = None if known is None else known.reshape(-1, *known.shape[2 if outputs is None else 1 :])[at - first]
        probe = block.probes[index]
        row = Row(block.subject, block.family, probe, place, block.reused, None, where=where)
        row = replace(row, output=None if output is None else output.detach().clone())
        if block.reused or output is None:
            numbers = tuple(block.numbers(index, place))
            row = replace(row, numbers=numbers, whole=block.whole(index), rounding=block.rounding)
        return row

    def finish(self, unit: Callable[[Subject], float]) -> Audited:
        """Make all rows again and compare them, up to the first that differs.

        `unit` gives the unit of differences between a subject's outputs.
        """
        self._is_on = False
        self._unit = unit
        before = self._maker.meter.images - len(self._after)
        done: list[Row] = []
        drawn = [row for _, row in self._random[: RANDOM_SLOW if self.slow else RANDOM]]
        n_drawn = 0
        try:
            for row, alone in self._after:
                self._compare_outputs(row, alone, " right after that batch")
            try:
                self._compare_all(drawn, done)
            finally:
                n_drawn = len(done)
            self._compare_all(self._chosen(), done)
        except _Differs as found:
            return found.audited
        except BudgetSpent:
            if drawn and not n_drawn:
                raise
        catches = round(1 - 0.05 ** (1 / n_drawn), 4) if n_drawn else 0.0
        n_reused = sum(row.reused for row in done)
        return Audited(Audit(len(done), n_drawn, catches, n_reused, self._maker.meter.images - before))

    def spot(self, unit: Callable[[Subject], float]) -> Audited:
        """Make a few random rows again while the check goes on."""
        self._unit = unit
        try:
            with self.paused():
                self._compare_all([row for _, row in self._random[:RANDOM_SLOW]], [])
        except _Differs as found:
            return found.audited
        return Audited(Audit())

    def _chosen(self) -> list[Row]:
        """The rows that are not random, the most telling first."""
        layout = [self._layout[at] for at in (-1, 0, 1) if -len(self._layout) <= at < len(self._layout)]
        partial = [] if self._partial is None else [self._partial]
        extreme = [] if self._extreme is None or (self.slow and self._extreme[0] >= 0) else [self._extreme[1]]
        return [*layout[:1], *extreme, *partial, *self._failing, *self._values.values(), *layout[1:]]

    def _compare_all(self, rows: Sequence[Row], done: list[Row]) -> None:
        """Make the rows again that are not done yet. Raises `_Differs`."""
        outputs_only = all(row.output is not None and not row.numbers for row in rows)  # nothing else is measured again
        with self._maker.pinned() if outputs_only else nullcontext():
            self._place_together(rows)
            try:
                self._compare_each(rows, done)
            finally:
                self._placed = {}

    def _place_together(self, rows: Sequence[Row]) -> None:
        """Place the probes of rows of small latents in one call, where a call for each is most of the cost."""
        groups: dict[Any, list[Row]] = {}
        for row in rows:
            groups.setdefault((row.subject.key, row.family), []).append(row)
        for (key, family), group in groups.items():
            space, probes = group[0].subject.generator.latent, list(dict.fromkeys(row.probe for row in group))
            numbers = len(probes) * family.n_points * sum(part.dim for part in space.parts.values())
            if numbers <= PLACED_TOGETHER:
                placed = family.place(space, probes)
                for i, probe in enumerate(probes):
                    self._placed[key, family, probe] = {name: z[i : i + 1] for name, z in placed.items()}

    def _latents(self, row: Row) -> Mapping[str, np.ndarray[Any, Any]]:
        """The latents [1, P, *shape] of a row's probe, by part."""
        placed = self._placed.get((row.subject.key, row.family, row.probe))
        return row.family.place(row.subject.generator.latent, [row.probe]) if placed is None else placed

    def _compare_each(self, rows: Sequence[Row], done: list[Row]) -> None:
        n_suspects = 0
        before = self._maker.meter.images
        most = MOST_SLOW - RANDOM_SLOW if done else RANDOM_SLOW
        for row in rows:
            if any(row.same_as(other) for other in done):
                continue
            if self.slow and self._maker.meter.images - before >= most:
                break
            if row.output is None and not row.numbers:
                self._compare_whole(row)
                done.append(row)
                continue
            alone: dict[int, Tensor] = {}
            if row.output is not None:
                alone[row.place] = made = self._made(row, row.place, chance=len(done) + 1)
                difference = self._compare_outputs(row, made)
                allowed, most_suspects = (DRAWN_SLOW, SUSPECTS_SLOW) if self.slow else (DRAWN, SUSPECTS)
                if difference > allowed and n_suspects < most_suspects and row.subject.key not in self._trusted:
                    n_suspects += 1
                    other = self._again(row, chance=RANDOM + MOST_VALUES + len(done) + 1)
                    if (between := largest_difference(made, other, self._unit(row.subject))) > allowed:
                        raise _Differs(GeneratorError(undeclared(between)), replace(row, reused=False))
            for number in row.numbers:
                self._compare_number(row, number, alone)
            done.append(row)

    def _made(self, row: Row, place: int, *, chance: int) -> Tensor:
        """The output [1, ...] at a place of a row's probe, made alone: now, or already since a user's code ran last."""
        kept = self._alone.get((row.subject.key, row.family, row.probe, place))
        if kept is None:
            kept = self._again(row, chance=chance, place=place)
            self.made_alone(row.subject, row.family, row.probe, place, kept)
        return kept

    def _again(self, row: Row, *, chance: int, place: int | None = None) -> Tensor:
        """The output [1, ...] of a row's latent, or of the latent at another place of its probe, made alone."""
        at = row.place if place is None else place
        generator = row.subject.generator
        placed = self._latents(row)
        drawn = noise(generator.noise, [row.probe], row.family.n_points)
        latents, own_noise = ({name: z[0, at][None] for name, z in arrays.items()} for arrays in (placed, drawn))
        with self._maker.exactly():
            try:
                return self._maker.call(generator, latents, own_noise, chance)
            except GeneratorError as error:
                error.at(row.probe)
                raise

    def _compare_outputs(self, row: Row, alone: Tensor, when: str = "") -> float:
        """The difference of an output from the evidence. Raises `_Differs` if it is too large."""
        assert row.output is not None
        difference = largest_difference(row.output, alone, self._unit(row.subject))
        if difference > largest_by_batch(row.subject):
            raise self._error(row, f"they differ by {difference:.3g} of the range{when}")
        return difference

    def _compare_number(self, row: Row, number: Number, alone: dict[int, Tensor]) -> None:
        """Compare a measurement with the evidence. Raises `_Differs`. `alone` holds the outputs made so far."""
        places = (row.place,) if number.ends is None else number.ends
        for place in places:
            if place not in alone:
                alone[place] = self._made(row, place, chance=0)
        made = [alone[place] for place in places]
        now = self._number_of(row, number, made, places)
        difference, allowed = largest_difference(number.kept.to(now.device), now, 1.0), number.allowed
        if difference > allowed and row.rounding:
            moved = ([_moved(x, row, move) for x in made] for move in (1, 2))
            changes = [largest_difference(now, self._number_of(row, number, x, places), 1.0) for x in moved]
            allowed += OF_ROUNDING * max(changes)
        if difference > allowed:
            raise self._error(row, f"{describe(number.thing)} differs by {difference:.3g}")

    def _number_of(self, row: Row, number: Number, made: Sequence[Tensor], places: Sequence[int]) -> Tensor:
        """A measurement of the outputs [1, ...] at some places of a row's probe, flat."""
        with torch.no_grad(), self._maker.exactly():
            if number.other is not None:
                theirs = replace(row, subject=number.other)
                images = _shown(row, made[0]), _shown(theirs, self._again(theirs, chance=0))
                now = distances_between(number.thing, *images)
            elif number.ends is None:
                now = self._measured(row, number, made[0], row.place)
            elif number.scalar:
                now = distances_between(number.thing, *(_shown(row, x) for x in made))
            else:
                one, other = (self._measured(row, number, x, place) for x, place in zip(made, places, strict=True))
                now = torch.linalg.vector_norm(other - one, dim=-1)
        return now.reshape(-1)

    def _error(self, row: Row, why: str) -> _Differs:
        """The error for a row that differs."""
        if row.reused:
            error = GeneratorError(
                f"evidence from an earlier test or from the cache is not what the generator makes now: {why}. gentest "
                "discarded all evidence of this generator. Something changed that gentest cannot see, such as a file "
                'that is read at each call: name its state with Generator(..., identity="...")'
            )
        else:
            error = GeneratorError(
                f"{row.where or 'an output of a batch'} is not what the generator makes of that latent alone: {why}; "
                "outputs depend on their place in the batch, or on earlier calls (gentest.reproducible() shows it)"
            )
        return _Differs(error, row)

    def _measured(self, row: Row, number: Number, output: Tensor, place: int) -> Tensor:
        thing, images = number.thing, _shown(row, output)
        if is_conditional(thing):
            placed = row.family.place(row.subject.generator.latent, [row.probe])
            latents = {name: z[0, place][None] for name, z in placed.items()}
            thing = with_values(thing, row.subject.generator, latents, output.device)
        if is_readout(thing):
            return (read if number.scalar else read_rows)(thing, embed(thing.feature, images))
        bound = measure_of(thing, row.subject.generator, output.shape[1:])
        return score(bound, images) if number.scalar else embed(bound, images)

    def _compare_whole(self, row: Row) -> None:
        """Compare the margin of a whole probe with the evidence. Raises `_Differs`."""
        if row.whole is None:
            return
        compute, kept = row.whole
        now = compute(row.subject, row.family, row.probe)
        difference = largest_difference(kept.to(now.device), now, 1.0)
        if difference > max(OF_SIZE * kept.abs().max().item(), LEAST):
            raise self._error(row, f"the margin differs by {difference:.3g}")


def undeclared(difference: float) -> str:
    """The message for a generator that draws random numbers without declaring them."""
    return (
        f"undeclared noise: the same latent gives outputs that differ by {difference:.3g} of the range from one call "
        "to the next; declare what the generator draws with Generator(..., noise=...), or fix its seed"
    )


def largest_difference(kept: Tensor, now: Tensor, unit: float) -> float:
    """The largest difference of two outputs in their unit; infinite if their shapes differ, or one of them is NaN."""
    if kept.dtype == now.dtype and kept.device == now.device and torch.equal(kept, now):
        return 0.0
    one, other = kept.reshape(-1).float(), now.reshape(-1).float()
    if one.shape != other.shape:
        return float("inf")
    gap = (one - other.to(one.device)).abs()
    gap = torch.where(one.eq(other) | (one.isnan() & other.isnan()), torch.zeros_like(gap), gap)
    return float(gap.nan_to_num(nan=float("inf")).max()) / unit if len(gap) else 0.0


def _moved(output: Tensor, row: Row, move: int) -> Tensor:
    """An output moved by as much as rounding on disk may have moved it: each value by itself, or all of them alike."""
    coins = np.random.default_rng((move, row.probe.seed)).integers(0, 2, output.shape if move == 1 else 1)
    return output + row.rounding * torch.from_numpy(2.0 * coins - 1.0).to(output)


def _shown(row: Row, output: Tensor) -> Tensor:
    """The output that attributes get: within its limits if it has a range."""
    limits = row.subject.generator.limits
    return output if limits is None else output.clamp(*limits)


def largest_by_batch(subject: Subject) -> float:
    """The largest difference of an output in a batch and alone: by the precision, or as the generator declares it."""
    return max(CHANGED_HALF if in_half(subject) else CHANGED, subject.generator.rounding)


def in_half(subject: Subject) -> bool:
    """Whether any weight of a generator is in half precision."""
    half = (torch.float16, torch.bfloat16)
    return any(weight.dtype in half for module in subject.generator.modules for weight in module.parameters())
