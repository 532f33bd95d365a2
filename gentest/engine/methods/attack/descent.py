"""The attack: walk probes down the slope of their margin, by gradients or by an evolution strategy.

Random search sees what happens often. Most generators and CLIP are differentiable, so the margin of a probe has a
gradient in the probe's latents, and a few steps against it reach latents that no number of samples would. Adversarial
examples work the same way (Goodfellow et al. 2015, arXiv:1412.6572; Madry et al. 2018, arXiv:1706.06083). The walk
moves the normal scores of the probe's ends (`gentest.probes.shifts`), so every probe on it is a probe of the prior, and
each end stays on the shell that holds 99 % of samples. Without a gradient, an evolution strategy walks instead (Hansen
2016, "The CMA evolution strategy: a tutorial", arXiv:1604.00772; in many coordinates its separable form, Ros and Hansen
2008).

The attack reports only probes that violate alone, in full precision. They refute "always", and never count in a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtri

from gentest.engine.judge import Judge
from gentest.engine.methods.attack.margin_gradients import margin_gradients
from gentest.engine.methods.problem import Problem, Purpose
from gentest.errors import InvalidArgument, out_of_memory
from gentest.probes import shifts
from gentest.probes.ends import blocks, scores_of
from gentest.probes.probe import Probe
from gentest.results.result import Attack
from gentest.spaces import Choice, Space
from gentest.spaces.space import Floats

if TYPE_CHECKING:
    from cmaes import CMA, SepCMA

POPULATION = 16
"""Probes that walk side by side."""
FIRST_TURN, MAX_TURN, MIN_TURN = 0.2, 0.5, 0.01
"""The angle of a step, in radians: of the first, of the largest, and below which a probe is stuck."""
SPEED_UP, SLOW_DOWN = 1.4, 0.4
"""Factors of the angle after a step that went down, and after one that did not."""
TAIL = 0.005
"""The share of samples beyond each border of the shell."""
SEPARABLE_FROM = 64
"""Number of coordinates from which evolution adapts each by itself, without their covariances."""
SIGMA = 0.3
REACH = shifts.MAX_STEPS * shifts.STEP
CLIPS, ROUNDING, TINY = 4, 0.98, 1e-300
PATIENCE = 20
"""Generations without a smaller margin after which evolution starts elsewhere."""


@dataclass(frozen=True)
class AttackFacts:
    """The probes that violate, confirmed alone, the furthest first; and the record of the attack."""

    failing: tuple[Probe, ...]
    record: Attack


def attack(problem: Problem, probes: Sequence[Probe], margins: Sequence[float]) -> AttackFacts:
    """Attacks from the probes of a search, the worst first, and then from fresh ones."""
    judge, min_margin = problem.judge, min(margins)
    if reason := reason_against(judge):
        return AttackFacts((), Attack("", 0, 0, problem.values.attack, min_margin, found=False, message=reason))
    by_margin = dict(zip(probes, margins, strict=True))
    fresh = problem.stream(Purpose.ATTACK)
    starts = chain(sorted(probes, key=lambda probe: by_margin[probe]), (fresh.probes(index, 1)[0] for index in count()))
    # steps depend on each other, so a cluster is no faster; the audit samples what verdicts rest on
    with judge.context.without_cluster(), judge.context.maker.audit.paused():
        return Descent(problem, starts, min_margin).run()


def reason_against(judge: Judge) -> str:
    """The reason why a property cannot be attacked; "" if it can."""
    dims = {tuple(part.dim for part in space.parts.values()) for space in judge.spaces}
    n_scores = sum(next(iter(dims))) * len(judge.definition.probes.streams)
    if len(dims) > 1:
        return "its priors draw latents of different numbers of coordinates"
    return f"its probes have {n_scores:,} coordinates, over {shifts.MAX_BYTES:,}" if n_scores > shifts.MAX_BYTES else ""


class Descent:
    """The walk of an attack on one property, from some starts in their order.

    It stops once it has looked at `values.attack` outputs, after the round that passes this number. Outputs count even
    if they are kept from before, so the cache changes nothing.
    """

    def __init__(self, problem: Problem, starts: Iterator[Probe], min_margin: float = float("inf")) -> None:
        self._problem = problem
        self._judge = problem.judge
        self._space = problem.judge.subject.generator.latent
        self._streams = problem.judge.definition.probes.streams
        self._starts = starts
        self._images_before = problem.judge.context.meter.images
        self._onto_shell = _Shell(self._space, len(self._streams))
        self._probes = 0
        self._min_margin = min_margin

    def run(self) -> AttackFacts:
        """Walks until a violation is confirmed, or budget or memory runs out."""
        failing: list[Probe] | None = []
        method = "gradient"
        first = list(islice(self._starts, POPULATION))
        try:
            failing = self._descend([self._walker(probe) for probe in first])
            if failing is None:
                method = "evolution"
                failing = self._evolve(first)
        except Exception as error:
            if not out_of_memory(error):  # the other facts about the property are worth more than this error
                raise
        images, budget = self._judge.context.meter.images - self._images_before, self._problem.values.attack
        record = Attack(method, self._probes, images, budget, self._min_margin, found=bool(failing))
        return AttackFacts(tuple(failing or ()), record)

    def _is_spent(self) -> bool:
        """Whether the budget is spent; also reports progress."""
        budget, outputs = self._problem.values.attack, self._judge.definition.probes.n_points * len(self._judge.under)
        if self._probes:
            self._problem.watch(self._probes, max(self._probes, budget // outputs))
        return self._probes * outputs >= budget

    def _scores(self, probe: Probe) -> Floats:
        return np.asarray(scores_of(self._space, [probe], self._streams)[0])

    def _walker(self, probe: Probe) -> _Walker:
        return _Walker(probe, self._scores(probe))

    def _confirmed(self, probes: Sequence[Probe], margins: Floats) -> list[Probe]:
        """The probes that violate, alone too; the furthest first."""
        self._probes += len(probes)
        order = np.argsort(margins, kind="stable")
        alone = {probes[i]: self._judge.alone(probes[i]) for i in order if margins[i] < 0}
        self._min_margin = min(self._min_margin, *alone.values(), *(float(m) for m in margins if m >= 0), float("inf"))
        return [probe for probe, margin in alone.items() if margin < 0]

    def _descend(self, walkers: list[_Walker]) -> list[Probe] | None:
        """The failing probes down the slope of the margin; None if it has none."""
        while walkers and not self._is_spent():
            probes = [walker.probe for walker in walkers]
            slopes = margin_gradients(self._judge, probes)
            if slopes is None:  # if the margins raise as well, the fault has nothing to do with gradients
                return self._confirmed(probes, np.array(self._judge.margins(probes))) or None
            if failing := self._confirmed(probes, slopes.margins):
                return failing
            for walker, margin, gradient in zip(walkers, slopes.margins, slopes.gradients, strict=True):
                walker.step(float(margin), gradient, self._onto_shell)
            n_stuck = sum(walker.stuck for walker in walkers)
            walkers = [walker for walker in walkers if not walker.stuck]
            walkers += [self._walker(probe) for probe in islice(self._starts, n_stuck)]
        return []

    def _evolve(self, first: Sequence[Probe]) -> list[Probe]:
        """The failing probes of an evolution strategy, from one start after the other."""
        for number, start in enumerate(chain(first, self._starts)):
            origin = self._scores(start)
            strategy = _strategy(origin, self._problem.values.seed + number)
            smallest, idle = float("inf"), 0
            while idle < PATIENCE and not strategy.should_stop():
                if self._is_spent():
                    return []
                drawn = [strategy.ask() for _ in range(strategy.population_size)]
                probes = [replace(start, shift=self._onto_shell(x, origin)) for x in drawn]
                margins = np.array(self._judge.margins(probes))
                if failing := self._confirmed(probes, margins):
                    return failing
                if margins.min() == margins.max():
                    break  # flat all around: the strategy has nothing to adapt to
                strategy.tell([(x, float(margin)) for x, margin in zip(drawn, margins, strict=True)])
                idle = 0 if margins.min() < smallest else idle + 1
                smallest = min(smallest, float(margins.min()))
        return []


@dataclass
class _Walker:
    """A probe on its way down: `shift` is the next one to look at."""

    start: Probe
    origin: Floats
    min_margin: float = float("inf")
    turn: float = FIRST_TURN
    stuck: bool = False
    shift: bytes = b""
    _best: bytes = b""
    _down: Floats = field(init=False)

    @property
    def probe(self) -> Probe:
        """The next probe to look at."""
        return replace(self.start, shift=self.shift)

    def step(self, margin: float, gradient: Floats, onto_shell: Callable[[Floats, Floats], bytes]) -> None:
        """Steps further if the margin went down, and less far from the best shift if it did not.

        The walker is stuck if a step leads nowhere: on flat ground, or against the border of the shell.
        """
        if margin <= self.min_margin:  # nearly flat, float32 margins are equal and the gradient still points down
            self.turn = min(self.turn * SPEED_UP, MAX_TURN) if np.isfinite(self.min_margin) else self.turn
            self.min_margin, self._best = margin, self.shift
            steepness = float(np.linalg.norm(gradient))
            self._down = -gradient / steepness if steepness > 0.0 else np.zeros_like(gradient)
        else:
            self.turn *= SLOW_DOWN
        best = self.origin + shifts.to_scores(self._best) if self._best else self.origin
        self.shift = onto_shell(best + self.turn * float(np.linalg.norm(best)) * self._down, self.origin)
        self.stuck = self.turn < MIN_TURN or self.shift == self._best


class _Shell:
    """Moves the scores [S * D] of a probe's ends to the shell that holds 99 % of samples.

    Each part of each end gets a length that samples have, as nearly as a shift can reach; choices do not move.
    """

    def __init__(self, space: Space, n_ends: int) -> None:
        parts = [part for _ in range(n_ends) for part in space.parts.values()]
        dims = [(s, part) for part, s in zip(parts, blocks(space, n_ends), strict=True) if part.n_groups]
        moving = [(s, part.dim) for s, part in dims if not isinstance(part, Choice)]
        self._blocks = [(s, float(chdtri(d, 1.0 - TAIL) ** 0.5), float(chdtri(d, TAIL) ** 0.5)) for s, d in moving]

    def __call__(self, scores: Floats, origin: Floats) -> bytes:
        """The shift that leads from the origin to the shell near some scores; empty if no shift reaches it."""
        by: Floats = np.zeros_like(origin)
        for block, shortest, longest in self._blocks:
            target = scores[block]
            for _ in range(CLIPS):  # clips what a shift cannot reach, and lengthens the rest to make up for it
                length = float(np.linalg.norm(target))
                target = target * (min(max(length, shortest), longest) / max(length, TINY))
                target = origin[block] + np.clip(target - origin[block], -REACH, REACH)
            by[block] = target - origin[block]
            if not ROUNDING * shortest <= float(np.linalg.norm(target)) <= longest / ROUNDING:
                return b""
        return shifts.to_bytes(by)


def _strategy(mean: Floats, seed: int) -> CMA | SepCMA:
    try:
        from cmaes import CMA, SepCMA
    except ImportError as error:
        raise InvalidArgument(
            "the attack found no gradient, and its evolution strategy needs cmaes: pip install 'pytest-gentest[attack]'"
        ) from error
    kind = CMA if len(mean) < SEPARABLE_FROM else SepCMA
    return kind(mean=mean.copy(), sigma=SIGMA, seed=seed % 2**32)
