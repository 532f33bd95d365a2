"""The attack: from the worst probes that were seen, to where the property is violated, by gradients or by evolution.

Random search sees what happens often. Most generators and CLIP can be differentiated, so the margin of a probe has a
slope in the probe's latents, and a few steps down it reach what no number of samples would (as adversarial examples do:
Goodfellow et al. 2015, arXiv:1412.6572; Madry et al. 2018, arXiv:1706.06083). It goes down in the normal scores of the
probe's ends (`gentest.probes.shifts`), so that what it looks at is always the prior's, and no end leaves the shell on
which 99 % of samples lie. Where there is no gradient, an evolution strategy goes the same way (Hansen 2016, "The CMA
evolution strategy: a tutorial", arXiv:1604.00772; of many coordinates its separable form, Ros and Hansen 2008).

Only a probe that violates alone, in full precision, is found. What is found refutes "always"; nothing of it ever counts
in a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtri

from gentest.engine.judge import Judge
from gentest.engine.methods.attack.margin_gradients import slopes
from gentest.errors import InvalidArgument, out_of_memory
from gentest.probes import shifts
from gentest.probes.ends import blocks, scores_of
from gentest.probes.probe import Probe
from gentest.spaces import Space
from gentest.spaces.space import Floats

if TYPE_CHECKING:
    from cmaes import CMA, SepCMA

POPULATION = 16
"""Probes that go down side by side."""
FIRST, LARGEST, LEAST = 0.2, 0.5, 0.01
"""How far a step turns the ends, in radians: at first, at most, and when a probe counts as stuck."""
FASTER, SLOWER = 1.4, 0.4
TAIL = 0.005
"""An end's scores are no longer, and no shorter, than those of all but this share of samples."""
WIDE = 64
"""From so many coordinates on evolution adapts each by itself, and not how they vary together."""
SIGMA = 0.3
REACH = shifts.MOST * shifts.STEP
CLIPS, ROUNDED, TINY = 4, 0.98, 1e-300
PATIENCE = 20
"""Generations without a smaller margin after which evolution starts elsewhere."""


def unfit(judge: Judge) -> str:
    """Why a property cannot be attacked; empty where it can."""
    dims = {tuple(part.dim for part in space.parts.values()) for space in judge.spaces}
    n_scores = sum(next(iter(dims))) * len(judge.definition.probes.streams)
    if len(dims) > 1:
        return "its priors draw latents of different numbers of coordinates"
    return f"its probes have {n_scores:,} coordinates, over {shifts.MAX_BYTES:,}" if n_scores > shifts.MAX_BYTES else ""


@dataclass(frozen=True)
class Attacked:
    """What an attack came to: probes that violate, confirmed alone, the furthest first, and how it went."""

    failing: tuple[Probe, ...]
    method: str
    probes: int
    images: int
    least: float
    """The smallest margin that it saw."""


class Attack:
    """An attack on one property, from some probes in the order in which they are to be tried.

    At most `budget` outputs of the generator are looked at, but for the round that passes it: whether somebody has kept
    what is measured on them, or they are made twice, changes nothing. `watch` is told how many probes were looked at,
    and how many the budget is enough for.
    """

    def __init__(
        self,
        judge: Judge,
        starts: Iterator[Probe],
        *,
        budget: int,
        seed: int,
        watch: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._judge = judge
        self._space = judge.subject.generator.latent
        self._streams = judge.definition.probes.streams
        self._starts = starts
        self._budget = budget
        self._seed = seed
        self._watch = watch
        self._before = judge.context.meter.images
        self._onto = _Shell(self._space, len(self._streams))
        self._method = "gradient"
        self._probes = 0
        self._least = float("inf")

    def run(self) -> Attacked:
        """Goes on until a violation is confirmed, the budget is spent, or memory is."""
        failing: list[Probe] | None = []
        first = list(islice(self._starts, POPULATION))
        try:
            failing = self._descended([self._member(probe) for probe in first])
            if failing is None:
                self._method = "evolution"
                failing = self._evolved(first)
        except Exception as error:
            if not out_of_memory(error):  # else what is known of the property by now is worth more than an error
                raise
        return Attacked(tuple(failing or ()), self._method, self._probes, self._images, self._least)

    @property
    def _images(self) -> int:
        return self._judge.context.meter.images - self._before

    @property
    def _spent(self) -> bool:
        a_probe = self._judge.definition.probes.n_points * len(self._judge.under)
        if self._probes:
            self._watch(self._probes, max(self._probes, self._budget // a_probe))
        return self._probes * a_probe >= self._budget

    def _scores(self, probe: Probe) -> Floats:
        return np.asarray(scores_of(self._space, [probe], self._streams)[0])

    def _member(self, probe: Probe) -> _Member:
        return _Member(probe, self._scores(probe))

    def _confirmed(self, probes: Sequence[Probe], margins: Floats) -> list[Probe]:
        """Those of some probes that violate, alone too; the furthest first."""
        self._probes += len(probes)
        order = np.argsort(margins, kind="stable")
        alone = {probes[i]: self._judge.alone(probes[i]) for i in order if margins[i] < 0}
        self._least = min(self._least, *alone.values(), *(float(m) for m in margins if m >= 0), float("inf"))
        return [probe for probe, margin in alone.items() if margin < 0]

    def _descended(self, members: list[_Member]) -> list[Probe] | None:
        """Probes found by going down the slope of the margin; None where it has none."""
        while members and not self._spent:
            probes = [member.probe for member in members]
            found = slopes(self._judge, probes)
            if found is None:  # the margins of these at least: where those fail too, it is no matter of gradients
                return self._confirmed(probes, np.array(self._judge.margins(probes))) or None
            if failing := self._confirmed(probes, found.margins):
                return failing
            for member, margin, gradient in zip(members, found.margins, found.gradients, strict=True):
                member.take(float(margin), gradient, self._onto)
            stuck = sum(member.stuck for member in members)
            members = [member for member in members if not member.stuck]
            members += [self._member(probe) for probe in islice(self._starts, stuck)]
        return []

    def _evolved(self, first: Sequence[Probe]) -> list[Probe]:
        """Probes found by an evolution strategy, from one start after the other."""
        for number, start in enumerate(chain(first, self._starts)):
            origin = self._scores(start)
            strategy, least, idle = _strategy(origin, self._seed + number), float("inf"), 0
            while idle < PATIENCE and not strategy.should_stop():
                if self._spent:
                    return []
                drawn = [strategy.ask() for _ in range(strategy.population_size)]
                probes = [replace(start, shift=self._onto(x, origin)) for x in drawn]
                margins = np.array(self._judge.margins(probes))
                if failing := self._confirmed(probes, margins):
                    return failing
                if margins.min() == margins.max():
                    break  # flat all around: there is nothing to adapt to
                strategy.tell([(x, float(margin)) for x, margin in zip(drawn, margins, strict=True)])
                idle = 0 if margins.min() < least else idle + 1
                least = min(least, float(margins.min()))
        return []


@dataclass
class _Member:
    """A probe on its way down: as far as it got, and what is to be looked at next."""

    start: Probe
    origin: Floats
    least: float = float("inf")
    turn: float = FIRST
    stuck: bool = False
    shift: bytes = b""
    _best: bytes = b""
    _down: Floats = field(init=False)

    @property
    def probe(self) -> Probe:
        return replace(self.start, shift=self.shift)

    def take(self, margin: float, gradient: Floats, onto: Callable[[Floats, Floats], bytes]) -> None:
        """Goes on from where it asked, further, if that is lower; asks nearer to where it was if not.

        It is stuck where a step would lead nowhere: in the flat, or against the border of where samples lie.
        """
        if margin <= self.least:  # where it is nearly flat, float32 sees no difference in margins, but a slope
            self.turn = min(self.turn * FASTER, LARGEST) if np.isfinite(self.least) else self.turn
            self.least, self._best = margin, self.shift
            steepness = float(np.linalg.norm(gradient))
            self._down = -gradient / steepness if steepness > 0.0 else np.zeros_like(gradient)
        else:
            self.turn *= SLOWER
        best = self.origin + shifts.to_scores(self._best) if self._best else self.origin
        self.shift = onto(best + self.turn * float(np.linalg.norm(best)) * self._down, self.origin)
        self.stuck = self.turn < LEAST or self.shift == self._best


class _Shell:
    """Takes scores [S * D] of a probe's ends to where all but few samples of the prior lie, as the shift from a sample.

    Each part of each end is kept as long as samples are, as near as a shift can reach; choices stay as they are.
    """

    def __init__(self, space: Space, n_ends: int) -> None:
        parts = [part for _ in range(n_ends) for part in space.parts.values()]
        moving = [(s, part.dim) for part, s in zip(parts, blocks(space, n_ends), strict=True) if part.n_groups]
        self._blocks = [(s, float(chdtri(d, 1.0 - TAIL) ** 0.5), float(chdtri(d, TAIL) ** 0.5)) for s, d in moving]

    def __call__(self, scores: Floats, origin: Floats) -> bytes:
        """The shift; none where no shift leads there."""
        by: Floats = np.zeros_like(origin)
        for block, shortest, longest in self._blocks:
            there = scores[block]
            for _ in range(CLIPS):  # what a shift cannot reach is cut off, and the rest makes up for it
                length = float(np.linalg.norm(there))
                there = there * (min(max(length, shortest), longest) / max(length, TINY))
                there = origin[block] + np.clip(there - origin[block], -REACH, REACH)
            by[block] = there - origin[block]
            if not ROUNDED * shortest <= float(np.linalg.norm(there)) <= longest / ROUNDED:
                return b""
        return shifts.to_bytes(by)


def _strategy(mean: Floats, seed: int) -> CMA | SepCMA:
    try:
        from cmaes import CMA, SepCMA
    except ImportError as error:
        raise InvalidArgument(
            "the attack found no gradient, and its evolution strategy needs cmaes: pip install 'pytest-gentest[attack]'"
        ) from error
    kind = CMA if len(mean) < WIDE else SepCMA
    return kind(mean=mean.copy(), sigma=SIGMA, seed=seed % 2**32)
