"""The attack: from the worst probes that were seen, to where the property is violated, by gradients or by evolution.

Random search sees what happens often. Most generators and CLIP can be differentiated, so the margin of a probe has a
slope in the probe's latents, and a few steps down it reach what no number of samples would (as adversarial examples do:
Goodfellow et al. 2015, arXiv:1412.6572; Madry et al. 2018, arXiv:1706.06083). It goes down in the normal scores of the
probe's ends (`gentest.shifts`), so that what it looks at is always the prior's, and no end leaves the shell on which
99 % of samples lie. Where there is no gradient, an evolution strategy goes the same way (Hansen 2016, "The CMA
evolution strategy: a tutorial", arXiv:1604.00772; of many coordinates its separable form, Ros and Hansen 2008).

Only a probe that violates alone, in full precision, is found. What is found refutes "always"; nothing of it ever counts
in a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import chdtri

from gentest import shifts
from gentest.ends import scores_of
from gentest.engine.margins import Judge
from gentest.engine.traced import Slopes, slopes
from gentest.probes import Probe
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
PATIENCE = 20
"""Generations without a smaller margin after which evolution starts elsewhere."""


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

    At most `budget` outputs of the generator are made, but for the round that passes it. `watch` is told how many were.
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
        self._probes = 0
        self._least = float("inf")

    def run(self) -> Attacked:
        """Goes on until a violation is confirmed, or the budget is spent."""
        first = list(islice(self._starts, POPULATION))
        failing, method = self._descended([self._member(probe) for probe in first]), "gradient"
        if failing is None:
            failing, method = self._evolved(first), "evolution"
        return Attacked(tuple(failing), method, self._probes, self._images, self._least)

    @property
    def _images(self) -> int:
        return self._judge.context.meter.images - self._before

    @property
    def _spent(self) -> bool:
        self._watch(min(self._images, self._budget), self._budget)
        return self._images >= self._budget

    def _scores(self, probe: Probe) -> Floats:
        return np.asarray(scores_of(self._space, [probe], self._streams)[0])

    def _member(self, probe: Probe) -> _Member:
        return _Member(probe, self._scores(probe))

    def _confirmed(self, probes: Sequence[Probe], margins: Floats) -> list[Probe]:
        """Those of some probes that violate, alone too; the furthest first."""
        self._probes += len(probes)
        self._least = min(self._least, float(margins.min()))
        order = np.argsort(margins, kind="stable")
        return [probes[i] for i in order if margins[i] < 0 and self._judge.alone(probes[i]) < 0]

    def _descended(self, members: list[_Member]) -> list[Probe] | None:
        """Probes found by going down the slope of the margin; None where it has none."""
        while members and not self._spent:
            probes = [member.probe for member in members]
            found = self._slopes(probes)
            if found is None:
                return None
            if failing := self._confirmed(probes, found.margins):
                return failing
            for member, margin, gradient in zip(members, found.margins, found.gradients, strict=True):
                member.take(float(margin), gradient, self._onto)
            stuck = sum(member.stuck for member in members)
            members = [member for member in members if not member.stuck]
            members += [self._member(probe) for probe in islice(self._starts, stuck)]
        return []

    def _slopes(self, probes: Sequence[Probe]) -> Slopes | None:
        """The slopes at some probes; None where there is no gradient, be it that somebody's code fails when asked."""
        try:
            return slopes(self._judge, probes)
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception:
            self._judge.margins(probes)  # which fails as well, unless it was the gradient that did
            return None

    def _evolved(self, first: Sequence[Probe]) -> list[Probe]:
        """Probes found by an evolution strategy, from one start after the other."""
        for number, start in enumerate(_chained(first, self._starts)):
            origin = self._scores(start)
            strategy, least, idle = _strategy(origin, self._seed + number), float("inf"), 0
            while idle < PATIENCE and not strategy.should_stop():
                if self._spent:
                    return []
                drawn = [strategy.ask() for _ in range(strategy.population_size)]
                probes = [replace(start, shift=shifts.to_bytes(self._onto(x) - origin)) for x in drawn]
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
    asked: Floats = field(init=False)
    _best: Floats = field(init=False)
    _down: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.asked = self._best = self.origin

    @property
    def probe(self) -> Probe:
        return replace(self.start, shift=shifts.to_bytes(self.asked - self.origin))

    def take(self, margin: float, gradient: Floats, onto: Callable[[Floats], Floats]) -> None:
        """Goes on from where it asked, further, if that is lower; asks nearer to where it was if not."""
        if margin <= self.least:  # where it is nearly flat, float32 sees no difference in margins, but a slope
            self.turn = min(self.turn * FASTER, LARGEST) if np.isfinite(self.least) else self.turn
            self.least, self._best = margin, self.asked
            steepness = float(np.linalg.norm(gradient))
            self._down = -gradient / steepness if steepness > 0.0 else np.zeros_like(gradient)
        else:
            self.turn *= SLOWER
        self.asked = onto(self._best + self.turn * float(np.linalg.norm(self._best)) * self._down)
        self.stuck = self.turn < LEAST or not self._down.any()


class _Shell:
    """Takes scores [S * D] of a probe's ends to where all but few samples of the prior lie, each part of each end."""

    def __init__(self, space: Space, n_ends: int) -> None:
        dims = [part.dim for part in space.parts.values()] * n_ends
        self._edges = np.cumsum([0, *dims])
        self._bounds = [(float(chdtri(d, 1.0 - TAIL) ** 0.5), float(chdtri(d, TAIL) ** 0.5)) for d in dims]

    def __call__(self, scores: Floats) -> Floats:
        onto: Floats = scores.copy()
        for low, high, (shortest, longest) in zip(self._edges, self._edges[1:], self._bounds, strict=False):
            length = float(np.linalg.norm(scores[low:high]))
            onto[low:high] *= min(max(length, shortest), longest) / max(length, 1e-300)
        return onto


def _chained(first: Sequence[Probe], more: Iterator[Probe]) -> Iterator[Probe]:
    yield from first
    yield from more


def _strategy(mean: Floats, seed: int) -> CMA | SepCMA:
    from cmaes import CMA, SepCMA

    kind = CMA if len(mean) < WIDE else SepCMA
    return kind(mean=mean.copy(), sigma=SIGMA, seed=seed % 2**32)
