"""Margins that do not depend on the batch: a probe whose sign rounding could flip is evaluated again, alone.

Models score a little differently at other batch sizes. How much, in this property's units, is measured on probes spread
over the first batches, and over the first larger ones that come: their margins in a batch against their margins alone.
Rows that nobody measured may round worse, so it is also measured how far a margin moves when outputs move by 2^-20 of
their range. Any margin, of either sign, that is within a safe multiple of both of zero is replaced by the margin of the
probe alone: one latent at a time, in full precision. Whatever such a probe shows of rounding widens the band at once.

In a lower precision the same happens a step earlier: its error is measured on the first probes, and a margin that it
could mistake is evaluated again in full, in a batch.

A few of the probes that were decided alone are made once more from another random state: had noise that nobody declared
moved their margins, each would have seen one and the same draw of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import islice
from math import isfinite
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gentest.engine.evidence.audit import DRAWN, largest_difference, undeclared
from gentest.engine.evidence.block import Block
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.maker import full_precision
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.output_checks import named
from gentest.engine.evidence.subject import Subject
from gentest.errors import GeneratorError, GentestError, PropertyFailed, out_of_memory
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.properties.definition import Definition, Under
from gentest.results.result import Screening
from gentest.results.settings import Precision
from gentest.spaces import Space

FIRST = 16
"""Probes of the first block where the size of an output is not known yet."""
BAND_PROBES = 4
"""Probes on which rounding is measured, spread over a block, ..."""
BAND_PROBES_LARGER = 3
"""... and once more so many, the first, the middle and the last, of the first block that fills larger batches."""
BAND_FACTOR = 16.0
"""The band is this many times the largest difference seen."""
BAND_FLOOR = 1e-6
"""And never narrower than this share of the margins' size, ..."""
MOVE = 2.0**-20
"""... nor than `MOVE_FACTOR` times what a margin changes where outputs move by this share of their range."""
MOVE_FACTOR = 64.0
WIDER = 4.0
"""A failure of a rate that is within so many bands of zero is confirmed alone, ..."""
CONFIRMED, CONFIRMED_SLOW = 16, 4
"""... and so are the first of all others; fewer where images are slow."""
REDRAWN, REDRAWN_SLOW = 8, 2
"""Of the probes that were decided alone, so many are made again from another random state."""
WEAKEST = 2.5e-5
"""The least standard deviation, as a share of the range, that so many draws tell from rounding of 1e-5."""
SCREENED = 16
"""Probes on which the error of a lower precision is measured."""
SCREEN_FACTOR = 4.0
"""What it could mistake is within this many times the largest error seen: some eight standard deviations."""
REMEMBERED = 8192
"""Margins that are kept, at least: those that were found last. Of others, where somebody asks, they are found again."""
CLOSE = 32
"""Of the probes whose margins rounding could confuse, at most so many are evaluated alone to find the worst."""

ByPrior: TypeAlias = dict[Probe, tuple[float, ...]]
"""A probe's margin under each prior."""


class Judge:
    """The margins of one property on one generator; each probe is evaluated once while its margins are kept.

    A probe has a margin under each prior that the property names, and the smallest is its margin; standard deviations
    are measured under the generator's own.
    """

    def __init__(self, context: Context, subject: Subject, definition: Definition) -> None:
        self.context = context
        self.subject = subject
        self.definition = definition
        self.under = definition.under(subject.generator.base)
        self.rounding: float | None = None
        """A safe multiple of what batches change of margins: known once it was measured."""
        self._floor = 0.0
        """The same of what moves too small to matter would change."""
        self._largest = 0
        """Latents in the largest batches on which rounding was measured."""
        self.decided_alone = 0
        """Probes whose margin lay within the band."""
        self._near: dict[Probe, None] = {}
        """The first of them."""
        self._n_confirmed = 0
        self.screening = Screening(context.precision)
        self._screens = context.precision != "full"
        self.spreads: dict[str, tuple[Any, float]] = {}
        """What `gentest.sd(x)` is of in the margins, and how much it is: known once a probe was evaluated alone."""
        self._margins: ByPrior = {}
        self._alone: ByPrior = {}

    @property
    def band(self) -> float:
        """Margins that are nearer to zero than this are decided alone."""
        return max(self.rounding or 0.0, self._floor)

    def margins(self, probes: Sequence[Probe]) -> list[float]:
        """The margin of each probe, evaluated in full batches, the sign of each beyond rounding."""
        return [min(margins) for margins in self.by_prior(probes)]

    @cached_property
    def spaces(self) -> list[Space]:
        """The spaces that probes are placed in: the generator's own, and those of the property's priors."""
        generator = self.subject.generator
        return list(dict.fromkeys([generator.latent, *(generator.under(u.space).latent for u in self.under)]))

    @property
    def arms(self) -> list[str]:
        """What has a rate of its own, in the property's order."""
        return list(dict.fromkeys(u.arm for u in self.under))

    def arm(self, name: str, probes: Sequence[Probe]) -> list[float]:
        """The margin of each probe under the priors of one arm."""
        return [min(margins[i] for i in self._places(name)) for margins in self.by_prior(probes)]

    def arm_alone(self, name: str, probe: Probe) -> float:
        """The probe's margin under the priors of one arm, by itself."""
        margins = self._by_prior_alone(probe)
        return min(margins[i] for i in self._places(name))

    def _places(self, name: str) -> list[int]:
        return [i for i, u in enumerate(self.under) if u.arm == name]

    def alone(self, probe: Probe) -> float:
        """The probe's margin evaluated by itself: the one that is reported and replayed."""
        return min(self._by_prior_alone(probe))

    def weakest(self, probe: Probe) -> Under:
        """The prior under which the probe's margin is smallest, alone."""
        margins = self._by_prior_alone(probe)
        return self.under[margins.index(min(margins))]

    def evidence(
        self, probes: Sequence[Probe], under: Under, *, alone: bool = False, precision: Precision = "full"
    ) -> Observed:
        """What some probes show under one prior."""
        family = self.definition.probes
        own = self.context.evidence(self.subject, family, probes, alone=alone, precision=precision)
        return own if under.space == self.subject.generator.base else own.under(under.space)

    def by_prior(self, probes: Sequence[Probe]) -> list[tuple[float, ...]]:
        """The margins of each probe under each prior; by the actors, where work is shared, as far as they answer."""
        fresh = [probe for probe in dict.fromkeys(probes) if probe not in self._margins]
        if fresh and (actors := self.context.actors) is not None:
            for block, answer in actors.margins(self, fresh):
                self._margins.update(zip(block, answer.margins, strict=True))
                self.context.maker.audit.answered(
                    self.subject, self.definition.probes, block, answer.margins, self._anew
                )
                self.rounding = max(self.rounding or 0.0, answer.band)
                self._largest = max(self._largest, self._latents_at_once(block))
                self.decided_alone += answer.decided_alone
                self._note_near(p for p, row in zip(block, answer.margins, strict=True) if _least(row) <= answer.band)
                self.screening = together(self.screening, answer.screening)
            fresh = [probe for probe in fresh if probe not in self._margins]
        for block in self._blocks(fresh):
            self._margins.update(zip(block, self._decided(block), strict=True))
        found = [self._margins[probe] for probe in probes]
        self._margins = _remembered(self._margins)
        return found

    def _anew(self, subject: Subject, family: Probes, probe: Probe) -> Tensor:
        """A probe's margin under each prior, alone, from outputs that nobody has seen before."""
        with full_precision(self.context.device):
            found = []
            for under in self.under:
                own = Block(self.context.maker, subject, family, [probe], alone=True)
                evidence = Observed(self.context, own)
                within = evidence if under.space == subject.generator.base else evidence.under(under.space)
                found += self._margins_of(within)
        return torch.tensor(found)

    def _by_prior_alone(self, probe: Probe) -> tuple[float, ...]:
        if (found := self._alone.get(probe)) is None:
            with full_precision(self.context.device):
                (found,) = self._evaluate([probe], alone=True)
            self._alone = _remembered(self._alone)
            self._alone[probe] = found
        return found

    def worst(self, probes: Sequence[Probe]) -> Probe:
        """The probe of the smallest margin, told apart alone where rounding could mistake it; the first of equals."""
        margins = dict(zip(probes, self.margins(probes), strict=True))
        if self.screening.band:
            limit = min(margins.values()) + 2 * self.screening.band
            near = [probe for probe in probes if margins[probe] <= limit]
            margins = dict(zip(near, self._in_full(near), strict=True))
            probes = near
        limit = min(margins.values()) + 2 * self.band
        close = [probe for probe in probes if margins[probe] <= limit]
        return min(
            sorted(close, key=lambda probe: margins[probe])[:CLOSE], key=lambda probe: (self.alone(probe), probe)
        )

    @property
    def block(self) -> int:
        """So many probes are evaluated at once: their latents fill whole batches, and their outputs can be kept."""
        size = self.context.batch_size
        image_bytes = self.context.maker.image_bytes
        if not image_bytes:
            return min(size, FIRST)
        latents = self.definition.probes.n_points * len(self.under)
        room = max(self.context.room // 2 // (image_bytes * latents), size // latents)
        return max(1, min(size, room))

    def _blocks(self, probes: Sequence[Probe]) -> Iterator[list[Probe]]:
        """Blocks of as many probes as a batch has latents, so that their latents fill whole batches."""
        start = 0
        while start < len(probes):
            size = self.block
            yield list(probes[start : start + size])
            start += size

    def _decided(self, block: list[Probe]) -> list[tuple[float, ...]]:
        exact: Sequence[int] = range(len(block))
        if self._screens:
            margins, exact = self._screened(block)
        else:
            margins = self._evaluate(block)
        self._measure_rounding(block, margins, exact)
        decided = list(margins)
        alone: set[int] = set()
        while near := [i for i, row in enumerate(margins) if i not in alone and _least(row) <= self.band]:
            for i in near:
                decided[i] = self._by_prior_alone(block[i])
            self._saw((margins[i], decided[i]) for i in near)  # the band may be wider now
            alone.update(near)
        self.decided_alone += len(alone)
        self._note_near(block[i] for i in sorted(alone))
        return decided

    def _measure_rounding(self, block: list[Probe], margins: Sequence[tuple[float, ...]], exact: Sequence[int]) -> None:
        """Measures how far rounding moves margins, where none of so large batches was measured before.

        `exact` are the probes that were evaluated in full precision; in a lower one, only the first block is measured.
        """
        first, latents = self.rounding is None, self._latents_at_once(block)
        if not first and (latents <= self._largest or len(exact) < len(block)):
            return
        self._largest = max(self._largest, latents)
        probes = [exact[i] for i in _spread(len(exact), BAND_PROBES if first else BAND_PROBES_LARGER)]
        self.context.rounded.update(block[i] for i in probes)
        if first:  # while their outputs are there
            self._floor = MOVE_FACTOR * self._change_of_moves([block[i] for i in probes])
        self._saw((margins[i], self._by_prior_alone(block[i])) for i in probes)
        self._floor = max(self._floor, BAND_FLOOR * max(abs(m) for row in margins for m in row))

    def _latents_at_once(self, block: Sequence[Probe]) -> int:
        """How many latents the largest batch of a block has."""
        return min(len(block) * self.definition.probes.n_points, self.context.batch_size)

    def _saw(self, pairs: Iterable[tuple[Sequence[float], Sequence[float]]]) -> None:
        """Widens the band to what margins in a batch and alone differ by."""
        differences = (abs(a - b) for together, alone in pairs for a, b in zip(together, alone, strict=True))
        self.rounding = max(self.rounding or 0.0, BAND_FACTOR * max(differences))

    def _change_of_moves(self, probes: Sequence[Probe]) -> float:
        """The most by which margins of some probes change, alone, where their outputs move by `MOVE` of the range.

        A margin that cannot be computed of moved outputs says nothing, and none is asked that judges f itself.
        """
        if self.definition.total:
            return 0.0
        by, changes = MOVE * self._unit, [0.0]
        with full_precision(self.context.device):
            for probe in probes:
                for under in self.under:
                    block = self.evidence([probe], under, alone=True).block
                    (own,) = self._margins_of(self._observed(block))
                    with suppress(GentestError):
                        changes += [abs(own - self._margins_of(self._observed(one))[0]) for one in block.moves(by)]
        return max(changes)

    def _observed(self, block: Block) -> Observed:
        """The evidence of a block that nobody shares."""
        return Observed(self.context, block, yardstick=self.subject)

    @property
    def _unit(self) -> float:
        return 1.0 if self.subject.bounded else self.context.unit(self.subject)

    def _note_near(self, probes: Iterable[Probe]) -> None:
        self._near |= dict.fromkeys(islice(probes, max(REMEMBERED - len(self._near), 0)))

    def confirm(self, probe: Probe, margin: float) -> None:
        """Raises `GeneratorError` where a probe that violates in a batch does not violate alone, by its `margin` there.

        No other is ever a counterexample, nor speaks against a rate.
        """
        if margin >= 0:
            self._moved_by_a_draw(probe, 1)
            raise GeneratorError(
                f"probe {probe} violates {self.definition} in a batch and not alone: "
                "the output depends on the batch (gentest.reproducible() shows it)"
            )

    def confirm_failures(
        self, probes: Sequence[Probe], margins: Sequence[float], alone: Callable[[Probe], float]
    ) -> None:
        """Confirms failures of a rate, by the margins that `alone` gives: those within `WIDER` bands of zero, and the
        first of those beyond, which only a fault that is no rounding could have made. Raises `GeneratorError`."""
        most = CONFIRMED_SLOW if self.context.maker.audit.slow else CONFIRMED
        for probe, margin in zip(probes, margins, strict=True):
            if margin < 0 and (-margin <= WIDER * self.band or self._n_confirmed < most):
                self._n_confirmed += -margin > WIDER * self.band
                self.confirm(probe, alone(probe))

    def check_draws(self) -> None:
        """Makes a few of the probes that were decided alone again, from another random state.

        Raises `GeneratorError` where their margins follow it, and outputs change by more than rounding: then the
        generator draws noise that nobody declared, and the probes that it decides have all seen one draw.
        """
        if self.definition.total or not self._near:
            return
        few = REDRAWN_SLOW if self.context.maker.audit.slow else REDRAWN
        squares, n = torch.zeros(()), 0
        for index, probe in enumerate(sorted(self._near, key=self.alone)[:few]):
            moved = self._moved_by_a_draw(probe, 1 + index * self.definition.probes.n_points)
            squares, n = squares.to(moved.device) + moved.square().sum(0), n + len(moved)
        sd = (float(squares.max()) / max(n, 1) / 2) ** 0.5  # of the value that varies most
        if n >= REDRAWN and sd > WEAKEST:
            raise GeneratorError(undeclared(2**0.5 * sd))

    def _moved_by_a_draw(self, probe: Probe, chance: int) -> Tensor:
        """What another random state changes of the outputs [R, values] on which a probe's margins rest that follow it,
        as shares of the range. Raises `GeneratorError` where that alone is too much for rounding."""
        changes = []
        with full_precision(self.context.device):
            for under, before in zip(self.under, self._by_prior_alone(probe), strict=True):
                own = self.evidence([probe], under, alone=True).block
                other = Block(self.context.maker, own.subject, own.family, [probe], alone=True, chance=chance)
                (after,) = self._margins_of(self._observed(other))
                if after == before:
                    continue
                if (difference := largest_difference(own.outputs, other.outputs, self._unit)) > DRAWN:
                    raise named(GeneratorError(undeclared(difference)), probe)
                changes.append((own.outputs - other.outputs)[0].flatten(1) / self._unit)
        return torch.cat(changes) if changes else torch.zeros(0, 1)

    def _screened(self, block: list[Probe]) -> tuple[list[tuple[float, ...]], Sequence[int]]:
        """Margins in a lower precision, and which are in full; where it could mistake one, it is. Of the first block
        some are, spread over it."""
        found = self._evaluate(block, precision=self.context.precision)
        if not self._screens:  # nothing of it can be had in a lower precision
            return found, range(len(block))
        exact: list[int] = []
        if self.screening.band is None:
            exact = _spread(len(block), SCREENED)
            rows = self._evaluate([block[i] for i in exact])
            error = max(
                abs(a - b) for i, row in zip(exact, rows, strict=True) for a, b in zip(row, found[i], strict=True)
            )
            self.screening = replace(self.screening, band=SCREEN_FACTOR * error)
            for i, row in zip(exact, rows, strict=True):
                found[i] = row
        band = max(self.screening.band or 0.0, self.band)
        doubtful = [i for i, row in enumerate(found) if i not in exact and _least(row) <= band]
        if doubtful:
            for i, row in zip(doubtful, self._evaluate([block[i] for i in doubtful]), strict=True):
                found[i] = row
        before = self.screening
        again = before.again + len(exact) + len(doubtful)
        self.screening = replace(before, probes=before.probes + len(block), again=again)
        self._screens = 2 * len(doubtful) <= len(block)  # else it does not pay
        return found, exact

    def _in_full(self, probes: Sequence[Probe]) -> list[float]:
        """Margins in full precision, in batches."""
        blocks = self._blocks(probes)
        return [min(row) for block in blocks for row in self._evaluate(block)]

    def _evaluate(
        self, block: list[Probe], *, alone: bool = False, precision: Precision = "full"
    ) -> list[tuple[float, ...]]:
        """The margins of a block; where a margin's own arithmetic runs out of memory, of half as many at a time."""
        try:
            return self._evaluated(block, alone=alone, precision=precision)
        except Exception as error:
            if len(block) == 1 or not out_of_memory(error):
                raise
        half = len(block) // 2
        parts = (block[:half], block[half:])
        return [row for part in parts for row in self._evaluate(part, alone=alone, precision=precision)]

    def _evaluated(self, block: list[Probe], *, alone: bool, precision: Precision) -> list[tuple[float, ...]]:
        rows, lowered = [], False
        for under in self.under:
            evidence = self.evidence(block, under, alone=alone, precision=precision)
            margins = self._margins_of(evidence)
            rows.append(margins)
            self.context.maker.audit.judged(evidence.block, margins)
            lowered = lowered or evidence.all_lowered
            if alone:
                self.spreads |= {name: (evidence.measured_in[name], s) for name, s in evidence.spreads.items()}
        if precision != "full":
            self._screens = lowered
        return list(zip(*rows, strict=True))

    def _margins_of(self, evidence: Observed) -> list[float]:
        n = evidence.shape[0]
        try:
            with torch.no_grad():
                margins = self._margin(evidence)
        except GentestError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            latents = {name or "z": tuple(z.shape) for name, z in evidence.placed.items()}
            raise PropertyFailed(
                f"{self.definition} raised {type(error).__name__}: {error} "
                f"(probe {evidence.probes[0]} and {n - 1} more, latents {latents})"
            ) from error
        if not isinstance(margins, Tensor) or margins.shape != (n,):
            got = f"shape {tuple(margins.shape)}" if isinstance(margins, Tensor) else f"a {type(margins).__name__}"
            raise PropertyFailed(f"{self.definition} gave {got}; expected one margin a probe, a tensor [{n}]")
        if margins.dtype == torch.bool:
            raise PropertyFailed(f"{self.definition} gave True or False; expected a margin, >= 0 where it holds")
        values = [float(m) for m in margins.double().cpu()]
        for probe, value in zip(evidence.probes, values, strict=True):
            if not isfinite(value):
                raise PropertyFailed(f"{self.definition} gave the margin {value} at probe {probe}; expected a number")
        return values

    def _margin(self, evidence: Observed) -> Tensor:
        """The property's margins [N], kept as what was measured is where the property says that they can be."""
        definition = self.definition
        if definition.storable:
            context = self.context
            return evidence.block.known(str(definition), lambda block: definition.margin(Observed(context, block)))
        return definition.margin(evidence)


def _least(row: Sequence[float]) -> float:
    """How near to zero the margins of a probe come."""
    return min(map(abs, row))


def _spread(n: int, most: int) -> list[int]:
    """At most so many of the numbers below n, from the first to the last."""
    return sorted({round(i * (n - 1) / max(min(n, most) - 1, 1)) for i in range(min(n, most))})


def _remembered(margins: ByPrior) -> ByPrior:
    """The margins that were found last, once there are twice as many as are kept: so that memory has a bound."""
    surplus = len(margins) - REMEMBERED
    return margins if surplus < REMEMBERED else dict(islice(margins.items(), surplus, None))


def together(one: Screening, other: Screening) -> Screening:
    """What two processes screened of one property."""
    band = max((s.band for s in (one, other) if s.band is not None), default=None)
    return replace(one, probes=one.probes + other.probes, again=one.again + other.again, band=band)
