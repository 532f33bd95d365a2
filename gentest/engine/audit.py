"""Audits: outputs that a verdict rests on are made again, alone, and compared with what was believed of them.

An audit proves two things. Evidence of an earlier test, or of the cache, is still what the generator makes. And a row
of a batch is what the generator makes of that latent alone, wherever it stood in the batch and whatever came before.

Of every check some outputs are made again: rows drawn at random over all that the property looked at, the first, the
middle and the last row of the largest batch and the last row of a smaller one, the probe of the smallest margin and
probes that violate; of reused evidence also one row for every value of each discrete part, up to `MOST_VALUES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from gentest.attributes.attribute import Readout, called, describe, embed, score
from gentest.attributes.distances import apart
from gentest.ends import noise
from gentest.engine.refused import named
from gentest.engine.subject import Subject, measure_of
from gentest.errors import GeneratorError
from gentest.probes import Probe, Probes
from gentest.result import Audit

if TYPE_CHECKING:
    from gentest.engine.block import Block
    from gentest.engine.maker import Maker

RANDOM = 16
"""Rows that are drawn at random: where 17 % of all rows are wrong, one of these is with a probability of 95 %."""
RANDOM_SLOW = 4
"""The same where an image takes longer than `SLOW` seconds, ..."""
MOST_SLOW = 7
"""... and all rows that are made again then."""
SLOW = 0.5
FAILING = 2
MOST_VALUES = 32
"""Values of discrete parts of which a row of reused evidence is made again."""
CHANGED = 1 / 256
"""How far an output may differ, alone, from what it was: a grey level of 256, as a share of its range."""
CHANGED_HALF = 1 / 32
"""The same for a generator that computes in half precision."""
DRAWN = 5e-5
"""A difference between two calls that is no rounding, as a share of the output's range."""
SUSPECTS = 2
"""Rows that differ by more than that, and by less than `CHANGED`, which are made once more to see why."""
OF_RANGE, OF_SIZE, LEAST = 1 / 64, 1e-3, 1e-4
"""How far a measurement may differ, alone, from what was kept: a share of its range in a block, or of its size."""
EXAMINED = 16
"""Rows of the batch that every generator is examined on first."""


@dataclass(frozen=True)
class Number:
    """Something that was measured of a row: by `thing` at this place, or between the places `ends` of its probe."""

    thing: Any
    scalar: bool
    ends: tuple[int, int] | None
    kept: Tensor
    allowed: float


@dataclass(frozen=True)
class Row:
    """One output that a property looked at, with what is known of it."""

    subject: Subject
    family: Probes
    probe: Probe
    place: int
    reused: bool
    output: Tensor | None
    numbers: tuple[Number, ...] = ()
    whole: tuple[Any, Tensor] | None = None
    """What a property's margin was, and how it is computed anew of the whole probe."""
    where: str = ""
    """Its place in a batch, in words."""


@dataclass(frozen=True)
class Audited:
    """What an audit came to; `wrong` is the first row that is not what it was, and `why` says how."""

    audit: Audit
    wrong: Row | None = None
    why: str = ""


class Auditor:
    """Collects rows while a check goes on, and makes them again at its end."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker
        self._is_on = False
        self.begin(0)
        self._is_on = False
        self._largest_ever: dict[Any, int] = {}
        """By subject, the size of the largest batch after which a row was made alone."""

    def begin(self, seed: int) -> None:
        """Starts a check: nothing was looked at yet."""
        self._is_on = True
        self._rng = np.random.default_rng(seed)
        self._random: list[tuple[float, Row]] = []
        self._n_seen = 0
        self._layout: list[Row] = []
        self._partial: Row | None = None
        self._largest = 0
        self._extreme: tuple[float, Row] | None = None
        self._failing: list[Row] = []
        self._values: dict[tuple[str, int], Row] = {}
        self._after: list[tuple[Row, Tensor]] = []

    def stop(self) -> None:
        """Lets everything go."""
        self.begin(0)
        self._is_on = False

    @property
    def slow(self) -> bool:
        """Whether an image takes so long that few are made again."""
        meter = self._maker.meter
        return meter.seconds > SLOW * max(meter.images, 1)

    def called(self, block: Block, start: int, outputs: Tensor) -> None:
        """After a call on a larger batch than any before, its last row is made alone: state of the call may be left."""
        size, key = len(outputs), block.subject.key
        if not self._is_on or block.alone or size <= max(EXAMINED, self._largest_ever.get(key, 0)):
            return
        self._largest_ever[key] = size
        at = start + size - 1
        row = self._row(block, at, outputs=outputs, first=start, where=f"row {size - 1} of a batch of {size}")
        self._after.append((row, self._again(row, chance=0)))

    def made(self, block: Block, outputs: Tensor, sizes: Sequence[int]) -> None:
        """Outputs [N * P, ...] were made, in calls of these sizes."""
        if not self._is_on or block.alone:
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

    def judged(self, block: Block, margins: Sequence[float] | None) -> None:
        """A property has looked at the probes of a block; `margins` are theirs, if it gives one for each."""
        reused = block.reused
        if not self._is_on or (block.alone and not reused):
            return
        n, p = block.shape
        self._n_seen += n * p
        draws = self._rng.random(n * p)
        limit = self._random[-1][0] if len(self._random) == RANDOM else 1.0
        for at in np.flatnonzero(draws < limit):
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
        anew: Callable[[Subject, Probes, Probe], Tensor],
    ) -> None:
        """Another process gave the margins of some probes under each prior; `anew` makes a probe here, alone."""
        if self._is_on:
            for probe, kept, draw in zip(probes, margins, self._rng.random(len(probes)), strict=True):
                row = Row(subject, family, probe, 0, reused=False, output=None, whole=(anew, torch.tensor(kept)))
                self._random.append((float(draw), row))
            self._random = sorted(self._random, key=lambda pair: pair[0])[:RANDOM_SLOW]

    def _place(self, block: Block, index: int) -> int:
        p = block.shape[1]
        return index * p + int(self._rng.integers(p))

    def _note_values(self, block: Block) -> None:
        for name, part in block.subject.generator.latent.parts.items():
            if not part.support:
                continue
            values = block.placed[name].reshape(-1)
            for value, at in zip(*np.unique(values, return_index=True), strict=True):
                if len(self._values) < MOST_VALUES and (name, int(value)) not in self._values:
                    self._values[name, int(value)] = self._row(block, int(at))

    def _row(self, block: Block, at: int, *, outputs: Tensor | None = None, first: int = 0, where: str = "") -> Row:
        """The row of a block with what is known of it; `outputs` are those from row `first` on."""
        index, place = divmod(at, block.shape[1])
        known = block.known_outputs if outputs is None else outputs
        output = None if known is None else known.reshape(-1, *known.shape[2 if outputs is None else 1 :])[at - first]
        probe = block.probes[index]
        row = Row(block.subject, block.family, probe, place, block.reused, None, where=where)
        row = replace(row, output=None if output is None else output.detach().clone())
        if block.reused or output is None:
            row = replace(row, numbers=tuple(block.numbers(index, place)), whole=block.whole(index))
        return row

    def finish(self, unit: Callable[[Subject], float]) -> Audited:
        """Makes the rows again and compares them; `unit` gives what a difference of a subject's outputs is a share of.

        It stops at the first row that is not what it was.
        """
        before = self._maker.meter.images - len(self._after)
        audited = self._finished(unit)
        return replace(audited, audit=replace(audited.audit, images=self._maker.meter.images - before))

    def _finished(self, unit: Callable[[Subject], float]) -> Audited:
        slow = self.slow
        drawn = [row for _, row in self._random[: RANDOM_SLOW if slow else RANDOM]]
        layout = self._layout[-1:] if slow else self._layout
        others = [*layout, *([self._partial] if self._partial is not None and not slow else [])]
        others += [self._extreme[1]] if self._extreme is not None else []
        others += [] if slow else self._failing
        others += list(self._values.values())[: MOST_SLOW - len(drawn) - len(others) if slow else None]
        rows = {(row.subject.key, row.family, row.probe, row.place): row for row in [*drawn, *others]}
        self._is_on = False
        n_reused = sum(row.reused for row in rows.values())
        catches = 1 - 0.05 ** (1 / len(drawn)) if drawn else 0.0
        audit = Audit(len(rows), len(drawn), round(catches, 4), n_reused)
        for row, alone in self._after:
            if why := self._differs(row, alone, unit(row.subject)):
                return Audited(audit, row, f"{why} right after that batch")
        n_suspects = 0
        for index, row in enumerate(rows.values()):
            if row.output is None and not row.numbers:
                if row.whole is not None and (why := self._whole_differs(row)):
                    return Audited(audit, row, why)
                continue
            alone = self._again(row, chance=index + 1)
            if row.output is not None:
                if why := self._differs(row, alone, unit(row.subject)):
                    return Audited(audit, row, why)
                difference = _difference(row.output, alone, unit(row.subject))
                if difference > DRAWN and n_suspects < SUSPECTS:
                    n_suspects += 1
                    other = self._again(row, chance=RANDOM + MOST_VALUES + index)
                    if (drawn_by := _difference(alone, other, unit(row.subject))) > DRAWN:
                        return Audited(audit, replace(row, reused=False), undeclared(drawn_by))
            for number in row.numbers:
                if why := self._number_differs(row, number, alone):
                    return Audited(audit, row, why)
        return Audited(audit)

    def _again(self, row: Row, *, chance: int, place: int | None = None) -> Tensor:
        """The output [1, ...] of a row's latent, or of another one of its probe, made alone."""
        at = row.place if place is None else place
        generator = row.subject.generator
        placed = row.family.place(generator.latent, [row.probe])
        drawn = noise(generator.noise, [row.probe], row.family.n_points)
        latents, hiss = ({name: z[0, at][None] for name, z in arrays.items()} for arrays in (placed, drawn))
        with self._maker.exactly():
            try:
                return self._maker.call(generator, latents, hiss, chance)
            except GeneratorError as error:
                named(error, row.probe)
                raise

    def _differs(self, row: Row, alone: Tensor, unit: float) -> str:
        """How an output differs from the one that was kept; empty where it does not."""
        if row.output is None:
            return ""
        difference = _difference(row.output, alone, unit)
        allowed = CHANGED_HALF if _in_half(row.subject) else CHANGED
        if difference <= allowed:
            return ""
        return f"they differ by {difference:.3g} of the range"

    def _number_differs(self, row: Row, number: Number, alone: Tensor) -> str:
        """How something measured differs from what was kept; empty where it does not."""
        with torch.no_grad(), self._maker.exactly():
            if number.ends is None:
                now = self._measured(row, number, alone)
            else:
                one, other = (self._again(row, chance=0, place=place) for place in number.ends)
                if number.scalar:
                    now = apart(number.thing, _shown(row, one), _shown(row, other))
                else:
                    a, b = (self._measured(row, number, x) for x in (one, other))
                    now = torch.linalg.vector_norm(b - a, dim=-1)
        kept = number.kept.to(now.device)
        difference = _difference(kept, now.reshape(kept.shape), 1.0)
        if difference <= number.allowed:
            return ""
        return f"{describe(number.thing)} differs by {difference:.3g}"

    def _measured(self, row: Row, number: Number, output: Tensor) -> Tensor:
        thing, images = number.thing, _shown(row, output)
        if isinstance(thing, Readout):
            rows = embed(thing.feature, images)
            result = thing.read(rows)
            return result if isinstance(result, Tensor) else torch.as_tensor(result)
        bound = measure_of(thing, row.subject.generator, output.shape[1:])
        if number.scalar:
            return score(bound, images)
        found = called(bound, images)
        return embed(bound, images) if getattr(found, "ndim", 2) > 1 else score(bound, images)

    def _whole_differs(self, row: Row) -> str:
        """How a margin that was kept of a whole probe differs from what it is now; empty where it does not."""
        assert row.whole is not None
        compute, kept = row.whole
        now = compute(row.subject, row.family, row.probe)
        difference = _difference(kept.to(now.device), now.reshape(kept.shape), 1.0)
        allowed = max(OF_SIZE * kept.abs().max().item(), LEAST)
        return f"the margin differs by {difference:.3g}" if difference > allowed else ""


def undeclared(difference: float) -> str:
    """The error of a generator that draws random numbers which nobody declared."""
    return (
        f"undeclared noise: the same latent, alone, gives outputs that differ by {difference:.3g} of the range from "
        "one call to the next; declare what the generator draws with Generator(..., noise=...), or fix its seed"
    )


def _difference(kept: Tensor, now: Tensor, unit: float) -> float:
    """The largest difference of two outputs in their unit; infinite where they are not of one shape, or one is NaN."""
    one, other = kept.reshape(-1).float(), now.reshape(-1).float()
    if one.shape != other.shape:
        return float("inf")
    gap = (one - other.to(one.device)).abs()
    gap = torch.where(one.eq(other) | (one.isnan() & other.isnan()), torch.zeros_like(gap), gap)
    return float(gap.nan_to_num(nan=float("inf")).max()) / unit if len(gap) else 0.0


def _shown(row: Row, output: Tensor) -> Tensor:
    """An output as attributes are given it: in [0, 1] where it has a range."""
    generator = row.subject.generator
    return output.clamp(0.0, 1.0) if generator.images or generator.output_range is not None else output


def _in_half(subject: Subject) -> bool:
    """Whether any weight of a generator is in half precision."""
    half = (torch.float16, torch.bfloat16)
    return any(weight.dtype in half for module in subject.generator.modules for weight in module.parameters())
