"""The judge: the margins of one property on one generator, and what follows from them for single probes.

Margins come from an evaluator, of this process or of a cluster; the judge keeps them, tells the worst probe from
others as near, and confirms violations. It also makes a few of the probes that were evaluated alone once more, from
another random state: undeclared noise would have moved all of their margins by one and the same draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import islice
from math import inf

import torch
from torch import Tensor

from gentest.engine.evaluation import Answer, Evaluator, LocalEvaluator, Margins, combined, most_recent
from gentest.engine.evidence.audit import DRAWN, largest_difference, undeclared
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.maker import full_precision
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.errors import GeneratorError
from gentest.generators.generator import Pair
from gentest.probes.probe import Probe
from gentest.properties.definition import Definition, Under
from gentest.results.result import Screening
from gentest.results.settings import Precision
from gentest.spaces import Part, Space

WIDER = 4.0
"""A failure of a rate within this many bands of zero is confirmed alone."""
CONFIRMED, CONFIRMED_SLOW = 16, 4
"""Number of further failures of a rate that are confirmed alone; fewer if images are slow."""
REDRAWN, REDRAWN_SLOW = 8, 2
"""Number of probes near zero that are made again from another random state; fewer if images are slow."""
WEAKEST = 2.5e-5
"""The smallest standard deviation, as a share of the range, that `REDRAWN` draws tell from rounding of 1e-5."""
CLOSE = 32
"""Largest number of probes evaluated alone to find the worst among those that rounding could confuse."""
REMEMBERED_NEAR = 8192
"""Largest number of probes near zero that are remembered."""


class Judge:
    """The margins of one property on one generator. Each probe is evaluated once while its margins are kept.

    A probe has a margin under each prior that the property names; the smallest is its margin. Standard deviations are
    measured under the generator's own prior.
    """

    def __init__(self, context: Context, subject: Subject, definition: Definition) -> None:
        self.context = context
        self.subject = subject
        self.definition = definition
        self.local = LocalEvaluator(context, subject, definition)
        self.scope: Judge | None = None
        """The judge of where the property applies; None if it applies to all probes."""
        if definition.scope is not None:
            self.scope = Judge(context, subject, definition.scope.of(definition, pair=subject.reference is not None))
        self._decided_alone = 0
        self.screening = Screening(context.precision)
        self._remote: Evaluator | None = None
        self._margins: dict[Probe, Margins] = {}
        self._near: dict[Probe, None] = {}
        """The first probes whose margin lay within the band."""
        self._n_confirmed = 0

    @property
    def under(self) -> Sequence[Under]:
        """The priors under which the property looks at each probe."""
        return self.local.under

    @property
    def decided_alone(self) -> int:
        """Number of probes whose margin, or whose distance from the border of the scope, lay within the band."""
        return self._decided_alone + (0 if self.scope is None else self.scope.decided_alone)

    @property
    def band(self) -> float:
        """Distance from zero below which a margin is evaluated alone."""
        return self.local.band

    @cached_property
    def spaces(self) -> list[Space]:
        """The spaces of the probes: the generator's own, and those of the property's priors."""
        generator = self.subject.generator
        return list(dict.fromkeys([generator.latent, *(generator.under(u.space).latent for u in self.under)]))

    @property
    def arms(self) -> list[str]:
        """The names of what has a rate of its own, in the property's order."""
        return list(dict.fromkeys(u.arm for u in self.under))

    def margins(self, probes: Sequence[Probe]) -> list[float]:
        """The margin of each probe; infinite where the property does not apply.

        No sign is due to rounding or to the batch size, and neither is the scope.
        """
        return [min(margins) for margins in self.by_prior(probes)]

    def by_prior(self, probes: Sequence[Probe]) -> list[Margins]:
        """The margins of each probe under each prior; infinite where the property does not apply."""
        fresh = [probe for probe in dict.fromkeys(probes) if probe not in self._margins]
        if fresh and (cluster := self.context.cluster) is not None:
            self.context.budget.check(len(fresh) * self.local.n_images, at_once=self.context.n_processes)
            self._remote = self._remote or cluster.evaluator(self.local)
            for block, answer in self._remote.margins(fresh):
                self._take(block, answer)
                self.local.learn(block, answer)
                family, recompute = self.definition.probes, self.local.recompute
                self.context.maker.audit.answered(self.subject, family, block, answer.margins, recompute)
            fresh = [probe for probe in fresh if probe not in self._margins]
        if self.scope is None:
            for block, answer in self.local.margins(fresh):
                self._take(block, answer)
        else:
            self._evaluate_where_it_applies(self.scope, fresh)
        margins = [self._margins[probe] for probe in probes]
        self._margins = most_recent(self._margins)
        if self.scope is None:
            return margins
        return [_within(row, slack) for row, slack in zip(margins, self.scope.by_prior(probes), strict=True)]

    def _evaluate_where_it_applies(self, scope: Judge, probes: Sequence[Probe]) -> None:
        """Evaluate the margins of probes by the batches whose scope is known, so that both share the outputs."""
        for block in self.local.blocks(probes):
            in_scope = {p for p, slack in zip(block, scope.by_prior(block), strict=True) if max(slack) >= 0}
            if not in_scope:
                self._margins |= dict.fromkeys(block, (inf,) * len(self.under))
                continue
            for part, answer in self.local.margins(block, in_scope.__contains__):
                self._take(part, answer)

    def margins_with(self, name: str, part: Part, probes: Sequence[Probe]) -> list[float]:
        """The margins of probes of another space, which has `part` in place of the part called `name`.

        Standard deviations and units stay those of the generator's own space, and no row goes into the audit.
        """
        sides = [side.generator.with_part(name, part) for side in self.subject.sides]
        context, measuring = self.context, self.context.measuring
        subject = context.subject(sides[0] if len(sides) == 1 else Pair(*sides))
        for own, other in zip(self.subject.sides, subject.sides, strict=True):
            span = None if own.bounded else measuring.unit(own)
            measuring.adopt(other, self.local.spreads.values(), span)
        with context.without_cluster(), context.maker.audit.paused():
            return Judge(context, subject, self.definition).margins(probes)

    def arm(self, name: str, probes: Sequence[Probe]) -> list[float]:
        """The margin of each probe under the priors of one arm."""
        indices = self._indices(name)
        return [min(margins[i] for i in indices) for margins in self.by_prior(probes)]

    def arm_alone(self, name: str, probe: Probe) -> float:
        """The probe's margin under the priors of one arm, evaluated by itself."""
        margins = self._alone_by_prior(probe)
        return min(margins[i] for i in self._indices(name))

    def alone(self, probe: Probe) -> float:
        """The probe's margin, evaluated by itself: reported to users, and the one that replays."""
        return min(self._alone_by_prior(probe))

    def _alone_by_prior(self, probe: Probe) -> Margins:
        """The probe's margins under each prior, evaluated by itself; infinite where the property does not apply."""
        if self.scope is None:
            return self.local.alone(probe)
        slack = self.scope.local.alone(probe)
        return _within(self.local.alone(probe), slack) if max(slack) >= 0 else (inf,) * len(slack)

    def weakest(self, probe: Probe) -> Under:
        """The prior under which the probe has its smallest margin, evaluated by itself."""
        margins = self._alone_by_prior(probe)
        return self.under[margins.index(min(margins))]

    def evidence(
        self, probes: Sequence[Probe], under: Under, *, alone: bool = False, precision: Precision = "full"
    ) -> Observed:
        """The evidence of some probes under one prior."""
        return self.local.evidence(probes, under, alone=alone, precision=precision)

    def worst(self, probes: Sequence[Probe]) -> Probe:
        """The probe with the smallest margin, evaluated alone where rounding could confuse it; the first of equals."""
        margins = dict(zip(probes, self.margins(probes), strict=True))
        if self.screening.band:
            limit = min(margins.values()) + 2 * self.screening.band
            probes = [probe for probe in probes if margins[probe] <= limit]
            margins = dict(zip(probes, self.local.in_full(probes), strict=True))
        limit = min(margins.values()) + 2 * self.band
        close = [probe for probe in probes if margins[probe] <= limit]
        return min(
            sorted(close, key=lambda probe: margins[probe])[:CLOSE], key=lambda probe: (self.alone(probe), probe)
        )

    def confirm(self, probe: Probe, margin: float) -> None:
        """Raise `GeneratorError` if a probe that violates in a batch does not violate alone, by `margin` there.

        No unconfirmed probe is ever a counterexample, or counts against a rate.
        """
        if margin >= 0:
            self._change_by_redraw(probe, 1)
            raise GeneratorError(
                f"probe {probe} violates {self.definition} in a batch and not alone: "
                "the output depends on the batch (gentest.reproducible() shows it)"
            )

    def confirm_failures(
        self, probes: Sequence[Probe], margins: Sequence[float], alone: Callable[[Probe], float]
    ) -> None:
        """Confirm failures of a rate by the margins that `alone` gives. Raises `GeneratorError`.

        Confirms every failure within `WIDER` bands of zero, and the first of the failures beyond. Rounding cannot make
        the latter, but a fault of the generator can.
        """
        most = CONFIRMED_SLOW if self.context.maker.audit.slow else CONFIRMED
        for probe, margin in zip(probes, margins, strict=True):
            if margin < 0 and (-margin <= WIDER * self.band or self._n_confirmed < most):
                self._n_confirmed += -margin > WIDER * self.band
                self.confirm(probe, alone(probe))

    def check_draws(self) -> None:
        """Make a few probes near zero again from another random state. Raises `GeneratorError` for undeclared noise.

        Noise is undeclared if margins follow the random state, and outputs change by more than rounding. All probes
        evaluated alone have then seen one and the same draw.
        """
        if self.scope is not None:
            self.scope.check_draws()
        if self.definition.total or not self._near:
            return
        few = REDRAWN_SLOW if self.context.maker.audit.slow else REDRAWN
        few = max(1, self.context.budget.affordable(few, self.local.n_images))
        squares, n = torch.zeros(()), 0
        for index, probe in enumerate(sorted(self._near, key=self.alone)[:few]):
            change = self._change_by_redraw(probe, 1 + index * self.definition.probes.n_points)
            squares, n = squares.to(change.device) + change.square().sum(0), n + len(change)
        sd = (float(squares.max()) / max(n, 1) / 2) ** 0.5  # of the value that varies most
        if n >= REDRAWN and sd > WEAKEST:
            raise GeneratorError(undeclared(2**0.5 * sd))

    def _change_by_redraw(self, probe: Probe, chance: int) -> Tensor:
        """Change [R, values] of outputs in another random state, as shares of the range, where margins follow it.

        Raises `GeneratorError` if one change is too large for rounding.
        """
        unit = self.context.measuring.unit(self.subject)
        changes = []
        with full_precision(self.context.device):
            for under, before in zip(self.under, self.local.alone(probe), strict=True):
                own = self.evidence([probe], under, alone=True).measurements.outputs
                other = Outputs(self.context.maker, own.subject, own.family, [probe], alone=True, chance=chance)
                (after,) = self.local.margins_of(self.local.observed(Measurements(other)))
                if after == before:
                    continue
                if (difference := largest_difference(own.values, other.values, unit)) > DRAWN:
                    raise GeneratorError(undeclared(difference)).at(probe)
                changes.append((own.values - other.values)[0].flatten(1) / unit)
        return torch.cat(changes) if changes else torch.zeros(0, 1)

    def _take(self, block: Sequence[Probe], answer: Answer) -> None:
        self._margins.update(zip(block, answer.margins, strict=True))
        self._decided_alone += len(answer.near)
        self._remember_near(block[i] for i in answer.near)
        self.screening = combined(self.screening, answer.screening)

    def _remember_near(self, probes: Iterable[Probe]) -> None:
        self._near |= dict.fromkeys(islice(probes, max(REMEMBERED_NEAR - len(self._near), 0)))

    def _indices(self, arm: str) -> list[int]:
        """The indices of an arm's priors."""
        return [i for i, u in enumerate(self.under) if u.arm == arm]


def _within(margins: Margins, slack: Margins) -> Margins:
    """A probe's margins, infinite under each prior where the property does not apply: where `slack` is below 0."""
    return tuple(margin if room >= 0 else inf for margin, room in zip(margins, slack, strict=True))
