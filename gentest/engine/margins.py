"""Margins that do not depend on the batch: computed once a probe, and where rounding could decide, alone.

Models score a little differently at other batch sizes. How much, in this property's units, is measured on the first
probes: their margins in a batch against their margins alone. Any margin within a safe multiple of that of zero,
of either sign, is replaced by the margin of the probe alone: one latent at a time, in full precision.

In a lower precision the same happens a step earlier: its error is measured on the first probes, and a margin that it
could mistake is evaluated again in full, in a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from math import isfinite
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gentest._settings import Precision
from gentest.engine.block import Block
from gentest.engine.context import Context
from gentest.engine.evidence import Observed
from gentest.engine.maker import full_precision
from gentest.engine.subject import Subject
from gentest.errors import GentestError, PropertyFailed, out_of_memory
from gentest.probes import Probe, Probes
from gentest.properties import outputs
from gentest.properties.definition import Definition, Under
from gentest.result import Screening
from gentest.spaces import Space

FIRST = 16
"""Probes of the first block where the size of an output is not known yet."""
BAND_PROBES = 4
"""Probes on which rounding is measured."""
BAND_FACTOR = 16.0
"""The band is this many times the largest difference seen."""
BAND_FLOOR = 1e-6
"""And never narrower than this share of the margins' size."""
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
        self.band: float | None = None
        self.decided_alone = 0
        """Probes whose margin lay within the band."""
        self.screening = Screening(context.precision)
        self._screens = context.precision != "full"
        self.spreads: dict[str, tuple[Any, float]] = {}
        """What `gentest.sd(x)` is of in the margins, and how much it is: known once a probe was evaluated alone."""
        self._margins: ByPrior = {}
        self._alone: ByPrior = {}

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
        mine = [i for i, u in enumerate(self.under) if u.arm == name]
        return [min(margins[i] for i in mine) for margins in self.by_prior(probes)]

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
                self.band = max(self.band or 0.0, answer.band)
                self.decided_alone += answer.decided_alone
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
        limit = min(margins.values()) + 2 * (self.band or 0.0)
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
        margins = self._screened(block) if self._screens else self._evaluate(block)
        if self.band is None:
            alone = [self._by_prior_alone(probe) for probe in block[:BAND_PROBES]]
            pairs = [zip(one, row, strict=True) for one, row in zip(alone, margins, strict=False)]
            difference = max(abs(a - b) for pair in pairs for a, b in pair)
            self.band = BAND_FACTOR * difference + BAND_FLOOR * max(abs(m) for row in margins for m in row)
        near = [min(map(abs, row)) <= self.band for row in margins]
        self.decided_alone += sum(near)
        return [
            self._by_prior_alone(probe) if is_near else row
            for probe, row, is_near in zip(block, margins, near, strict=True)
        ]

    def _screened(self, block: list[Probe]) -> list[tuple[float, ...]]:
        """Margins in a lower precision; where it could mistake one, in full. The first of all are in full."""
        found = self._evaluate(block, precision=self.context.precision)
        if not self._screens:  # nothing of it can be had in a lower precision
            return found
        n_exact = 0
        if self.screening.band is None:
            exact = self._evaluate(block[:SCREENED])
            pairs = [zip(a, b, strict=True) for a, b in zip(exact, found, strict=False)]
            error = max(abs(a - b) for pair in pairs for a, b in pair)
            self.screening = replace(self.screening, band=SCREEN_FACTOR * error)
            found, n_exact = exact + found[len(exact) :], len(exact)
        band = max(self.screening.band or 0.0, self.band or 0.0)
        doubtful = [i for i, row in enumerate(found) if i >= n_exact and min(map(abs, row)) <= band]
        if doubtful:
            for i, row in zip(doubtful, self._evaluate([block[i] for i in doubtful]), strict=True):
                found[i] = row
        before = self.screening
        again = before.again + n_exact + len(doubtful)
        self.screening = replace(before, probes=before.probes + len(block), again=again)
        self._screens = 2 * len(doubtful) <= len(block)  # else it does not pay
        return found

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
        """The property's margins [N]; one of ours that looks at whole outputs is kept as what was measured is."""
        definition = self.definition
        if definition.total and getattr(definition.margin, "__module__", "") == outputs.__name__:
            context = self.context
            return evidence.block.known(str(definition), lambda block: definition.margin(Observed(context, block)))
        return definition.margin(evidence)


def _remembered(margins: ByPrior) -> ByPrior:
    """The margins that were found last, once there are twice as many as are kept: so that memory has a bound."""
    surplus = len(margins) - REMEMBERED
    return margins if surplus < REMEMBERED else dict(islice(margins.items(), surplus, None))


def together(one: Screening, other: Screening) -> Screening:
    """What two processes screened of one property."""
    band = max((s.band for s in (one, other) if s.band is not None), default=None)
    return replace(one, probes=one.probes + other.probes, again=one.again + other.again, band=band)
