"""Evaluation: the margins of a property on batches of probes, the same at any batch size.

Batch-independent margins. Models score slightly differently at other batch sizes. gentest measures how much on probes
spread over the first batches and over the first larger ones, by comparing their margins in a batch with their margins
alone. Rows that nobody compared may round worse, so gentest also measures how far a margin moves when outputs move by
2^-20 of their range. A probe whose margin lies within a safe multiple of both from zero is re-evaluated alone: one
latent at a time, in full precision. If that shows a larger difference, the band around zero widens at once.

A lower precision adds one step before this. gentest measures its error on the first probes, and re-evaluates in full
precision every margin whose sign that error could flip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from math import inf
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from gentest.engine.cost import SLOW_BLOCK
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.maker import full_precision
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.output_store import Recall
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.errors import GentestError, PropertyFailed, out_of_memory
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.properties.definition import Definition, Under
from gentest.results.result import Screening
from gentest.results.settings import Precision

FIRST = 16
"""Probes in the first batch, before the size of an output is known."""
BAND_PROBES = 4
"""Probes of the first batch on which rounding is measured."""
BAND_SLOW = 3
"""Latents of the probes of the first batch on which rounding is measured if images are slow: at least one probe."""
BAND_PROBES_LARGER = 3
"""Probes of each larger batch on which rounding is measured again: the first, the middle and the last."""
BAND_FACTOR = 16.0
"""Width of the band in multiples of the largest rounding difference."""
BAND_FLOOR = 1e-6
"""Least width of the band, as a share of the size of the margins."""
MOVE = 2.0**-20
"""Distance by which outputs are moved, as a share of their range."""
MOVE_FACTOR = 64.0
"""Width of the band in multiples of the largest change that a move makes."""
DECLARED_FACTOR = 2.0
"""The same for a move by as much as the generator declares that outputs may differ between batches."""
SCREENED = 16
"""Probes on which the error of a lower precision is measured."""
SCREEN_FACTOR = 4.0
"""Width of the band of a lower precision in multiples of its largest error: about eight standard deviations."""
REMEMBERED = 8192
"""Least number of margins kept in memory, the most recent first. Others are evaluated again when needed."""

Margins: TypeAlias = tuple[float, ...]
"""A probe's margin under each prior of its property."""


@dataclass(frozen=True)
class Answer:
    """The margins [N] of a batch of probes, their signs beyond rounding."""

    margins: tuple[Margins, ...] = ()
    band: float = 0.0
    """Probes with a margin nearer to zero than this were evaluated alone."""
    near: tuple[int, ...] = ()
    """The indices of those probes."""
    screening: Screening = field(default_factory=Screening)
    """The share of a lower precision in these margins."""


class Evaluator(Protocol):
    """Evaluates one property on one generator: in this process, or in those of a cluster."""

    def margins(self, probes: Sequence[Probe]) -> Iterator[tuple[list[Probe], Answer]]:
        """Batches of the probes, in order, each with its answer. A batch that gets no answer is left out."""


class LocalEvaluator:
    """Evaluates one property on one generator in this process."""

    def __init__(self, context: Context, subject: Subject, definition: Definition) -> None:
        self.context = context
        self.subject = subject
        self.definition = definition
        self.under = definition.under(subject.generator.base)
        """The priors under which the property looks at each probe."""
        self.spreads: dict[str, tuple[Any, float]] = {}
        """By name, the measure and value of each `gentest.sd(x)` in the margins, after a probe was evaluated alone."""
        self.rounding: float | None = None
        """The band that rounding needs; None before it is measured."""
        self._floor = 0.0
        """The band that moved outputs need."""
        self._largest = 0
        """Latents in the largest batch on which rounding was measured."""
        self._screens = context.precision != "full"
        self._screen_band: float | None = None
        self._alone: dict[Probe, Margins] = {}
        judges_calls = definition.total or definition.again
        self._recall = Recall.NEVER if judges_calls else Recall.ROUNDED
        """How far outputs from disk may stand for new ones."""
        self._of_file = 0.0
        """The largest error of outputs from disk for which the band was measured, in the outputs' own units."""
        self._least = 0.0
        """The least band that exact outputs would need."""

    @property
    def band(self) -> float:
        """Distance from zero below which a margin is evaluated alone."""
        return max(self.rounding or 0.0, self._floor)

    @property
    def n_latents(self) -> int:
        """Latents that the property looks at for one probe, under all its priors."""
        return self.definition.probes.n_points * len(self.under)

    @property
    def n_images(self) -> int:
        """Images that the property takes for one probe: those of its latents, and those that it makes again."""
        return self.n_latents * (1 + self.definition.again)

    def affordable(self, n: int, *, at_once: int = 1) -> int:
        """How many of `n` probes the budget reaches for, with those that have to be evaluated alone as well."""
        alone = BAND_PROBES if self.rounding is None else 0
        affordable = self.context.budget.affordable(n + alone, self.n_images, at_once=at_once)
        return max(affordable - alone, min(affordable, 2 * alone) // 2)

    @property
    def block_size(self) -> int:
        """Probes to evaluate together: their latents fill whole batches, and their outputs fit in memory."""
        size = self.context.batch_size
        image_bytes = self.context.maker.image_bytes
        if not image_bytes:
            return min(size, FIRST)
        if self.context.slow:
            return max(1, min(size, SLOW_BLOCK // self.n_latents))
        room = max(self.context.pool.room // 2 // (image_bytes * self.n_latents), size // self.n_latents)
        return max(1, min(size, room))

    def margins(
        self, probes: Sequence[Probe], counts: Callable[[Probe], bool] = lambda probe: True
    ) -> Iterator[tuple[list[Probe], Answer]]:
        """Batches of the probes, in order, each with its answer.

        No probe is evaluated alone unless it `counts`: the sign of its margin decides nothing.
        """
        for block in self.blocks(probes):
            yield block, self._answer(block, counts)

    def alone(self, probe: Probe) -> Margins:
        """The probe's margins, evaluated by itself in full precision."""
        margins = self._alone.get(probe)
        if margins is None:
            with full_precision(self.context.device):
                (margins,) = self._evaluate([probe], alone=True)
            self._alone = most_recent(self._alone)
            self._alone[probe] = margins
        return margins

    def in_full(self, probes: Sequence[Probe]) -> list[float]:
        """The smallest margin of each probe, in full precision, in batches."""
        return [min(row) for block in self.blocks(probes) for row in self._evaluate(block)]

    def recompute(self, subject: Subject, family: Probes, probe: Probe) -> Tensor:
        """The probe's margins [priors], alone, from outputs that are made anew."""
        with full_precision(self.context.device):
            margins = []
            for under in self.under:
                own = Measurements(Outputs(self.context.maker, subject, family, [probe], alone=True))
                evidence = Observed(self.context.measuring, own)
                margins += self.margins_of(
                    evidence if under.space == subject.generator.base else evidence.under(under.space)
                )
        return torch.tensor(margins)

    def evidence(
        self, probes: Sequence[Probe], under: Under, *, alone: bool = False, precision: Precision = "full"
    ) -> Observed:
        """The evidence of some probes under one prior."""
        family = self.definition.probes
        recall = min(self._recall, Recall.EXACT) if alone else self._recall
        own = self.context.evidence(self.subject, family, probes, alone=alone, precision=precision, recall=recall)
        return own if under.space == self.subject.generator.base else own.under(under.space)

    def observed(self, measurements: Measurements) -> Observed:
        """The evidence in measurements that nobody shares."""
        return Observed(self.context.measuring, measurements, yardstick=self.subject)

    def margins_of(self, evidence: Observed) -> list[float]:
        """The property's margins [N] as numbers. Raises `PropertyFailed` unless there are N finite ones."""
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
        values: list[float] = margins.double().tolist()
        for at in (~margins.isfinite()).nonzero().flatten().tolist()[:1]:
            gave = f"{self.definition} gave the margin {values[at]} at probe {evidence.probes[at]}"
            raise PropertyFailed(f"{gave}; expected a number")
        return values

    def learn(self, block: Sequence[Probe], answer: Answer) -> None:
        """Widen the band to the one that another process needed for a batch of probes."""
        self.rounding = max(self.rounding or 0.0, answer.band)
        self._largest = max(self._largest, self._n_latents(block))

    def _margin(self, evidence: Observed) -> Tensor:
        """The margins [N], which the disk cache may hold if the property allows it."""
        definition, measuring = self.definition, self.context.measuring
        if definition.storable:
            return evidence.measurements.margins(
                str(definition), lambda own: definition.margin(Observed(measuring, own))
            )
        return definition.margin(evidence)

    def blocks(self, probes: Sequence[Probe]) -> Iterator[list[Probe]]:
        """The probes in batches that are evaluated together."""
        start = 0
        while start < len(probes):
            size = self.block_size  # may shrink when memory runs out
            yield list(probes[start : start + size])
            start += size

    def _answer(self, block: list[Probe], counts: Callable[[Probe], bool]) -> Answer:
        exact: Sequence[int] = range(len(block))
        screening = Screening(self.context.precision)
        with self.context.budget.holding(self._n_to_measure(block) * self.n_images):
            if self.definition.again:
                self.context.budget.check(len(block) * self.n_images)
            if self._screens:
                margins, exact, screening = self._screened(block)
            else:
                margins = self._evaluate(block)
        error = self._error_on_disk(block)
        self._measure_rounding(block, margins, exact, error)
        decided = list(margins)
        alone: set[int] = set()
        distances = [nearest_to_zero(row) if counts(probe) else inf for probe, row in zip(block, margins, strict=True)]
        if error and self._is_too_coarse(distances):
            return self._answer_exactly(block, counts)
        while near := [i for i in _up_to(self.band, distances) if i not in alone]:
            for i in near:
                decided[i] = self.alone(block[i])
            self._compare((margins[i], decided[i]) for i in near)  # may widen the band
            alone.update(near)
        return Answer(tuple(decided), self.band, tuple(sorted(alone)), screening)

    def _error_on_disk(self, block: Sequence[Probe]) -> float:
        """The largest error of outputs from disk that the margins of a batch rest on."""
        if self._recall is not Recall.ROUNDED or self.context.maker.output_store is None:
            return 0.0
        return max(self.evidence(block, under).rounding for under in self.under)

    def _is_too_coarse(self, distances: Sequence[float]) -> bool:
        """Whether outputs from disk leave most of a batch undecided that exact ones would decide.

        `distances` are those of the margins from zero.
        """
        n, most = len(distances), len(distances) // 2
        return n >= FIRST and len(_up_to(self.band, distances)) > most >= len(_up_to(self._least, distances))

    def _answer_exactly(self, block: list[Probe], counts: Callable[[Probe], bool]) -> Answer:
        """The answer to a batch from outputs that are made now, as it is from here on for this property."""
        self.context.too_fine[str(self.definition)] = None
        self._recall = Recall.EXACT
        self.rounding, self._floor, self._largest = None, 0.0, 0
        return self._answer(block, counts)

    def _measure_rounding(
        self, block: list[Probe], margins: Sequence[Margins], exact: Sequence[int], error: float
    ) -> None:
        """Measure how far rounding moves margins, if no batch as large as this one was measured before.

        `exact` are the indices of probes evaluated in full precision. In a lower precision, only the first batch is
        measured. `error` is that of the outputs, if they come from disk.
        """
        if error > self._of_file and self.rounding is not None:
            # outputs without a range have errors of their own; the first ones had smaller errors, or none
            self._floor = max(self._floor, self._band_for(block[:BAND_PROBES], error))
        first, n = self.rounding is None, self._n_to_measure(block)
        if not n or (not first and len(exact) < len(block)):
            return
        self._largest = max(self._largest, self._n_latents(block))
        indices = [exact[i] for i in _spread(len(exact), n)]
        self.context.plans.rounded.update(block[i] for i in indices)
        if first:  # while the outputs are in memory
            moved = [block[i] for i in indices]
            self._floor = self._least = MOVE_FACTOR * self._change_of_moves(moved, MOVE)
            if error:
                self._floor = max(self._floor, self._band_for(moved, error))
            if declared := max(side.generator.rounding for side in self.subject.sides):
                self._floor = max(self._floor, DECLARED_FACTOR * self._change_of_moves(moved, declared))
        self._compare(
            (margins[i], self.alone(block[i])) for i in reversed(indices)
        )  # the last one right after the batch
        self._floor = max(self._floor, BAND_FLOOR * max(abs(m) for row in margins for m in row))

    def _band_for(self, probes: Sequence[Probe], error: float) -> float:
        """The band that outputs with an error of up to `error` need, measured on some probes."""
        self._of_file = error
        return DECLARED_FACTOR * self._change_of_moves(probes, error / self.context.measuring.unit(self.subject))

    def _n_to_measure(self, block: Sequence[Probe]) -> int:
        """The number of probes on which rounding is to be measured after a batch."""
        if self.context.slow and self.definition.again:
            return 0  # its margin is the difference that a batch makes
        if self.rounding is None:
            most = max(1, BAND_SLOW // self.definition.probes.n_points) if self.context.slow else BAND_PROBES
            return min(len(block), most)
        return BAND_PROBES_LARGER if self._n_latents(block) > self._largest else 0

    def _n_latents(self, block: Sequence[Probe]) -> int:
        """Latents in the largest batch for these probes."""
        return min(len(block) * self.definition.probes.n_points, self.context.batch_size)

    def _compare(self, pairs: Iterable[tuple[Margins, Margins]]) -> None:
        """Widen the band to the differences between margins in a batch and alone."""
        differences = (abs(a - b) for together, alone in pairs for a, b in zip(together, alone, strict=True))
        self.rounding = max(self.rounding or 0.0, BAND_FACTOR * max(differences))

    def _change_of_moves(self, probes: Sequence[Probe], share: float) -> float:
        """The largest change of the probes' margins, alone, when outputs move by a share of their range.

        Skips margins that fail on moved outputs, and properties that judge whether the generator is a function.
        """
        if self.definition.total:
            return 0.0
        by, changes = share * self.context.measuring.unit(self.subject), [0.0]
        with full_precision(self.context.device):
            for probe in probes:
                for under in self.under:
                    own = self.evidence([probe], under, alone=True).measurements
                    (margin,) = self.margins_of(self.observed(own))
                    with suppress(GentestError):
                        changes += [abs(margin - self.margins_of(self.observed(moved))[0]) for moved in own.moves(by)]
        return max(changes)

    def _screened(self, block: list[Probe]) -> tuple[list[Margins], Sequence[int], Screening]:
        """Margins in a lower precision, except those whose sign its error could flip: these in full precision.

        Also gives the indices of the latter. The first batch has some spread over it to measure the error.
        """
        margins = self._evaluate(block, precision=self.context.precision)
        if not self._screens:  # nothing that this property measures has a lower precision
            return margins, range(len(block)), Screening(self.context.precision)
        exact: list[int] = []
        if self._screen_band is None:
            exact = _spread(len(block), SCREENED)
            rows = self._evaluate([block[i] for i in exact])
            error = max(
                abs(a - b) for i, row in zip(exact, rows, strict=True) for a, b in zip(row, margins[i], strict=True)
            )
            self._screen_band = SCREEN_FACTOR * error
            for i, row in zip(exact, rows, strict=True):
                margins[i] = row
        band = max(self._screen_band, self.band)
        doubtful = [i for i, row in enumerate(margins) if i not in exact and nearest_to_zero(row) <= band]
        if doubtful:
            for i, row in zip(doubtful, self._evaluate([block[i] for i in doubtful]), strict=True):
                margins[i] = row
        self._screens = 2 * len(doubtful) <= len(block)  # else screening costs more than it saves
        again = len(exact) + len(doubtful)
        screening = Screening(self.context.precision, probes=len(block), again=again, band=self._screen_band)
        return margins, exact, screening

    def _evaluate(self, block: list[Probe], *, alone: bool = False, precision: Precision = "full") -> list[Margins]:
        """The margins of a batch; of half as many at a time when the margin's own arithmetic runs out of memory."""
        try:
            return self._evaluate_together(block, alone=alone, precision=precision)
        except Exception as error:
            if len(block) == 1 or not out_of_memory(error):
                raise
        half = len(block) // 2
        parts = (block[:half], block[half:])
        return [row for part in parts for row in self._evaluate(part, alone=alone, precision=precision)]

    def _evaluate_together(self, block: list[Probe], *, alone: bool, precision: Precision) -> list[Margins]:
        rows, lowered = [], False
        for under in self.under:
            evidence = self.evidence(block, under, alone=alone, precision=precision)
            margins = self.margins_of(evidence)
            rows.append(margins)
            self.context.maker.audit.judged(evidence.measurements, margins)
            if evidence.compared is not None:
                self.context.maker.audit.judged(evidence.compared.measurements, None)
            lowered = lowered or evidence.all_lowered
            if alone:
                self.spreads |= {name: (evidence.measured_in[name], s) for name, s in evidence.spreads.items()}
        if precision != "full":
            self._screens = lowered
        return list(zip(*rows, strict=True))


def _up_to(limit: float, distances: Sequence[float]) -> list[int]:
    """The indices of the distances up to a limit."""
    return [i for i, distance in enumerate(distances) if distance <= limit]


def nearest_to_zero(row: Margins) -> float:
    """The smallest distance from zero among a probe's margins."""
    return min(map(abs, row))


def most_recent(margins: dict[Probe, Margins]) -> dict[Probe, Margins]:
    """The most recent margins, once there are twice as many as `REMEMBERED`: a bound on memory."""
    surplus = len(margins) - REMEMBERED
    return margins if surplus < REMEMBERED else dict(islice(margins.items(), surplus, None))


def combined(one: Screening, other: Screening) -> Screening:
    """The record of a lower precision on two sets of probes together."""
    band = max((s.band for s in (one, other) if s.band is not None), default=None)
    return replace(one, probes=one.probes + other.probes, again=one.again + other.again, band=band)


def joined(answers: Iterable[Answer]) -> Answer:
    """The answer to several batches, in their order."""
    whole = Answer()
    for answer in answers:
        near = tuple(len(whole.margins) + i for i in answer.near)
        screening = combined(answer.screening, whole.screening)
        whole = Answer(whole.margins + answer.margins, answer.band, whole.near + near, screening)
    return whole


def _spread(n: int, most: int) -> list[int]:
    """At most `most` of the indices below n, evenly spaced from the first to the last."""
    return sorted({round(i * (n - 1) / max(min(n, most) - 1, 1)) for i in range(min(n, most))})
