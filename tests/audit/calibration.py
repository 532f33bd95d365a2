"""How often a claim is wrong, counted: `python -m tests.audit.calibration gate --n 400 --seed 3`.

Each part draws cases in which the truth is known, most of them where a claim is hardest, and counts wrong claims. It
prints, for each case, how many of how many runs were wrong and the exact 99 % upper bound of that share (Clopper and
Pearson 1934), and exits with 1 where any share is above its nominal level beyond chance: where the exact lower bound,
at 99.9 %, is above it.

    matches   `closeness`, the bound that lets `matches(tolerance=)` hold, is below the true MMD^2
    engine    `matches(tolerance=)` on a collapsed generator holds where the true MMD^2 is the tolerance
    drift     a level that moved by 0.1 sd at most is called a drift
    levels    a level that moved by exactly the tolerance is certified within it, or refuted
    pairs     `same_level` on a pair whose levels differ by exactly the tolerance holds, or is violated
    where     a rate among the probes to which a property applies is its border, and is refuted or certified
    gate      an equal candidate of a baseline that was blessed as `holds` passes; one that fell by 10 points does not
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline, Blessing
from gentest.results.comparison import Terms
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from gentest.stats.drift import drift_between
from gentest.stats.kernels import WIDTHS, squared_distances
from gentest.stats.levels import LevelTest
from gentest.stats.paired import probes_to_hold
from gentest.stats.two_sample import closeness

ALPHA = 0.01
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Count:
    """How many runs of a case were wrong, and the share of wrong ones that is nominal."""

    case: str
    wrong: int
    runs: int
    nominal: float = ALPHA

    @property
    def bounds(self) -> tuple[float, float]:
        """The exact lower bound at 99.9 % and the upper one at 99 % of the share of wrong runs."""
        low = float(beta.ppf(0.001, self.wrong, self.runs - self.wrong + 1)) if self.wrong else 0.0
        high = float(beta.ppf(0.99, self.wrong + 1, self.runs - self.wrong)) if self.wrong < self.runs else 1.0
        return low, high

    @property
    def is_off(self) -> bool:
        """Whether more runs were wrong than chance explains."""
        return self.bounds[0] > self.nominal


@gentest.property(probes=gentest.points())
def lit(evidence: gentest.Evidence) -> Tensor:
    """A probe holds where its output, a number, is 1."""
    return evidence.outputs.flatten(1)[:, 0] - 0.5


def failing(rate: float, coordinate: int) -> gentest.Generator:
    """A generator whose outputs are 1 at a share `rate` of latents, chosen by one of two coordinates."""

    def draw(z: Tensor) -> Tensor:
        return (z[:, [coordinate]] < rate).double()

    latent = gentest.Uniform(2, low=0, high=1)
    return gentest.Generator(draw, latent=latent, images=False, output_range=(0, 1))


Mixture: TypeAlias = tuple[tuple[float, float, float], ...]
"""Weight, centre along the first axis, and standard deviation of each of some spherical Gaussians."""


def drawn_from(mixture: Mixture, n: int, dims: int, rng: np.random.Generator) -> Floats:
    """Rows [n, dims] of a mixture."""
    weights, centres, sds = (np.array(column) for column in zip(*mixture, strict=True))
    which = rng.choice(len(mixture), size=n, p=weights / weights.sum())
    rows = rng.standard_normal((n, dims)) * sds[which, None]
    rows[:, 0] += centres[which]
    return np.asarray(rows)


def mean_kernel(one: Mixture, other: Mixture, squared_width: float, dims: int) -> float:
    """The mean of a Gaussian kernel between two mixtures, in closed form."""
    total = 0.0
    for weight, centre, sd in one:
        for weight2, centre2, sd2 in other:
            spread = squared_width + sd**2 + sd2**2
            fading = math.exp(-((centre - centre2) ** 2) / (2.0 * spread))
            total += weight * weight2 * (squared_width / spread) ** (dims / 2) * fading
    return total


def true_mmd2(x: Mixture, y: Mixture, median: float, dims: int) -> float:
    """MMD^2 of the summed kernel whose median squared distance is given."""
    widths = [width**2 * median for width in WIDTHS]
    of = ((x, x, 1.0), (y, y, 1.0), (x, y, -2.0))
    return sum(sign * mean_kernel(a, b, width, dims) for a, b, sign in of for width in widths)


def lopsided(kind: str, p: float) -> tuple[Mixture, Mixture]:
    """A generator, and a reference with a mode of weight `p` that the generator lacks or has less of."""
    cases: dict[str, tuple[Mixture, Mixture]] = {
        "point": (((1, 0, 0),), ((1 - p, 0, 0), (p, 1, 0))),
        "pair": (((1 - p, 0, 0), (p, 1, 0)), ((1 - 2 * p, 0, 0), (2 * p, 1, 0))),
        "swapped": (((1 - p, 0, 0), (p, -1, 0)), ((1 - p, 0, 0), (p, 1, 0))),
        "narrow mode": (((1, 0, 1),), ((1 - p, 0, 1), (p, 40, 0.05))),
        "collapsed": (((1, 0, 0.5),), ((1 - p, 0, 1), (p, 40, 1))),
        "far": (((1, 0, 1),), ((1 - p, 0, 1), (p, 40, 1))),
    }
    return cases[kind]


LOPSIDED = ("point", "pair", "swapped", "narrow mode", "collapsed", "far")


def bounds_of_matches(n: int, seed: int) -> Iterator[Count]:
    """`closeness` at the median distance of each sample, where the truth is in closed form; p from 1 to 10 %."""
    for size in (64, 256, 512):
        for kind in LOPSIDED if size == 64 else ("any kind",):
            rng, wrong = np.random.default_rng([seed, size, len(kind)]), 0
            for run in range(n):
                of, dims = kind if size == 64 else str(rng.choice(LOPSIDED)), int(rng.choice([2, 16]))
                x, y = lopsided(of, float(rng.uniform(0.01, 0.1)))
                rows = drawn_from(x, size, dims, rng), drawn_from(y, size, dims, rng)
                squared = squared_distances(np.concatenate(rows))
                apart = squared[squared > 0.0]
                median = float(np.median(squared) or np.median(apart)) if len(apart) else 1.0
                wrong += closeness(*rows, seed=run) < true_mmd2(x, y, median, dims)
            yield Count(f"n = {size}, {kind}: the bound is below MMD^2", wrong, n)


def two_points(p: float) -> gentest.Generator:
    """A generator that gives 1 with probability `p`, and 0 otherwise."""
    latent = gentest.Uniform(1, low=0, high=1)
    return gentest.Generator(lambda z: (z < p).double(), latent=latent, images=False, output_range=(0, 1))


def matches_of_engine(n: int, seed: int) -> Iterator[Count]:
    """A generator collapsed to one point, against one with a second mode; the tolerance is the true MMD^2."""
    for p in (0.02, 0.035, 0.05):
        true = true_mmd2(*lopsided("point", p), 1.0, 1)
        rng, wrong = np.random.default_rng([seed, round(1000 * p)]), 0
        for _ in range(n):
            values = Values(device="cpu", seed=int(rng.integers(1 << 31)))
            asked = gentest.matches(two_points(p), feature=gentest.pixels(), tolerance=true, n=256)
            result = check(Question(asked.definition, test="test_it"), two_points(0.0), Context(values), values)
            if result.verdict is Verdict.ERROR and "there is nothing to compare" not in result.message:
                raise RuntimeError(result.message)
            wrong += result.verdict is Verdict.HOLDS
        yield Count(f"a second mode of {p:.1%}, n = 256: holds at MMD^2 = tolerance", wrong, n)


Draw: TypeAlias = Callable[[np.random.Generator], Floats]
LATENTS = 512


def scores_of() -> dict[str, tuple[Draw, float]]:
    """How scores are drawn, centred on their mean, and the standard deviation that they are drawn with."""

    def lognormal(sigma: float) -> tuple[Draw, float]:
        mean, sd = math.exp(sigma**2 / 2), math.sqrt(math.expm1(sigma**2)) * math.exp(sigma**2 / 2)
        return lambda rng: rng.lognormal(0.0, sigma, LATENTS) - mean, sd

    def mixed(p: float) -> tuple[Draw, float]:
        sd = math.sqrt(0.09 + 100 * p * (1 - p))
        return lambda rng: 0.3 * rng.standard_normal(LATENTS) + 10.0 * ((rng.random(LATENTS) < p) - p), sd

    return {
        "normal": (lambda rng: rng.standard_normal(LATENTS), 1.0),
        "exponential": (lambda rng: rng.standard_exponential(LATENTS) - 1.0, 1.0),
        **{f"lognormal {sigma}": lognormal(sigma) for sigma in (0.5, 1.0, 1.25, 1.5)},
        **{f"second mode of {p:.0%}": mixed(p) for p in (0.01, 0.02, 0.05)},
    }


def drifts(n: int, seed: int) -> Iterator[Count]:
    """Levels that moved by 0.1 true standard deviations, and differences of mean 0 that are skewed."""
    kinds = scores_of()

    def called(before: Floats, moved: Floats) -> bool:
        return drift_between(before, before + moved).p <= ALPHA

    for name, (draw, sd) in kinds.items():
        rng = np.random.default_rng([seed, len(name), round(1000 * sd)])
        wrong = Counter[str]()
        for _ in range(n):
            before, sign = draw(rng), rng.choice([-1.0, 1.0])
            width = float(rng.choice([0.5, 1.0, 2.0])) * sd
            other, other_sd = kinds[str(rng.choice(list(kinds)))]
            wrong["a constant of .1 sd"] += called(before, np.full(LATENTS, 0.1 * sign * sd))
            wrong["other latents, .1 sd away"] += called(before, draw(rng) - before + 0.1 * sign * sd)
            wrong["skewed differences of mean 0"] += called(before, sign * width * other(rng) / other_sd)
        for moved, count in wrong.items():
            yield Count(f"{name} scores, {moved}: called a drift", count, n)


EDGES = tuple((tolerance, noise) for tolerance in (0.3, 0.5) for noise in (0.1, 0.3, 0.7))
"""The tolerance, and the standard deviation of a latent's difference, both in sd of the reference."""
TAILS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "exponential": lambda rng, n: rng.standard_exponential(n) - 1.0,
    "lognormal": lambda rng, n: (rng.lognormal(0.0, 1.0, n) - math.exp(0.5)) / math.sqrt(math.expm1(1.0) * math.e),
}
"""Differences of mean 0 and standard deviation 1."""
N_PILOT = 16


def at_the_edge(tolerance: float, noise: float, tail: str, n: int, seed: int, *, budget: int) -> Count:
    """Runs of `LevelTest` on a mean of plus or minus the tolerance, with a tail to either side: each verdict is wrong.

    Neither verdict may be wrong in more than 1 % of runs; the count is that of the verdict that is wrong more often.
    """
    rng, wrong = np.random.default_rng([seed, round(100 * tolerance), round(100 * noise), len(tail)]), Counter[bool]()
    for _ in range(n):
        sign, side = rng.choice([-1.0, 1.0], 2)
        differences = sign * (tolerance + side * noise * TAILS[tail](rng, N_PILOT + budget))
        test = LevelTest.within(tolerance, differences[:N_PILOT], ALPHA)
        if (holds := test.decide(differences[N_PILOT:], ends=True).holds) is not None:
            wrong[holds] += 1
    return Count(f"{tail} differences, tolerance {tolerance} sd, noise {noise} sd", max(wrong.values(), default=0), n)


def of_a_gate(mean: float, noise: float, tail: str, n: int, seed: int) -> Count:
    """Runs of the test of a quick gate, without a pilot and on 256 latents: one verdict on this mean is wrong.

    A mean of half a standard deviation may not be held, and a mean of 0 may not be found to have moved.
    """
    rng, wrong = np.random.default_rng([seed, round(100 * noise), len(tail), int(mean != 0)]), 0
    test = LevelTest.against(np.array([-1.0, 1.0]), falls_by=0.5, rises_by=0.5, alpha=ALPHA)
    for _ in range(n):
        sign, side = rng.choice([-1.0, 1.0], 2)
        differences = sign * (mean + side * noise * TAILS[tail](rng, 256))
        wrong += test.decide(differences, ends=True).holds is (mean != 0.0)
    return Count(f"a quick gate, {tail} differences, mean {mean} sd, noise {noise} sd", wrong, n)


def levels(n: int, seed: int) -> Iterator[Count]:
    """The sequential test at both limits, with all of the default budget; then the test of a quick gate."""
    for tail in TAILS:
        for tolerance, noise in EDGES:
            yield at_the_edge(tolerance, noise, tail, n, seed, budget=4096)
        for mean in (0.0, 0.5):
            for noise in (0.1, 0.3, 0.7, 1.4):
                yield of_a_gate(mean, noise, tail, n, seed)


def first_value(rows: Tensor) -> Tensor:
    """The score of a row: its first value."""
    return rows[:, 0]


def pairs(n: int, seed: int) -> Iterator[Count]:
    """`same_level` through the engine, `n` runs over all of `EDGES` and both signs: each verdict is wrong."""
    rng, wrong = np.random.default_rng([seed, 9]), Counter[Verdict]()
    reference = gentest.Generator(lambda z: z, latent=gentest.Normal(2), images=False)
    for run in range(n):
        (tolerance, noise), sign = EDGES[run % len(EDGES)], float(rng.choice([-1.0, 1.0]))
        values = Values(device="cpu", seed=int(rng.integers(1 << 31)))
        move = partial(moved, by=sign * tolerance, noise=noise)
        asked = gentest.same_level(first_value, within=tolerance)
        result = check(Question(asked.definition), reference.then(move).against(reference), Context(values), values)
        if result.verdict is Verdict.ERROR:
            raise RuntimeError(result.message)
        wrong[result.verdict] += 1
    for verdict in (Verdict.HOLDS, Verdict.VIOLATED):
        yield Count(f"`same_level` at the tolerance {verdict.value}", wrong[verdict], n)


def moved(rows: Tensor, *, by: float, noise: float) -> Tensor:
    """Rows [n, 2] whose first value moved, on average and by the second value."""
    return torch.stack([rows[:, 0] + by + noise * rows[:, 1], rows[:, 1]], dim=1)


APPLYING = (0.5, 0.1)
"""Shares of probes to which a property applies."""


@gentest.property(probes=gentest.points())
def second_below(evidence: gentest.Evidence, *, limit: float) -> Tensor:
    """The second value of each output is at most `limit`."""
    return limit - evidence.outputs[:, 0, 1]


def wheres(n: int, seed: int) -> Iterator[Count]:
    """`.where(...).at_rate(0.9)` through the engine at a true conditional rate of 0.9, and of 0.9 less its slack.

    The two values are independent: the first says where the property applies, the second whether it holds. Outside of
    the scope it never holds, so a probe that is counted wrongly would show.
    """
    space = gentest.Uniform(2, low=0, high=1)
    rng = np.random.default_rng([seed, 10])
    for share in APPLYING:
        generator = gentest.Generator(
            lambda z, share=share: torch.stack([z[:, 0], torch.where(z[:, 0] < share, z[:, 1], 2.0)], dim=1),
            latent=space,
            images=False,
        )
        for rate, wrong in ((0.9, Verdict.VIOLATED), (0.86, Verdict.HOLDS)):
            asked = second_below(limit=rate).where(first_value, at_most=share).at_rate(0.9)
            verdicts = Counter[Verdict]()
            for _ in range(n):
                values = Values(
                    device="cpu", seed=int(rng.integers(1 << 31)), examples=1, budget=round(256 / share), reduce=0
                )
                result = check(Question(asked.definition), generator, Context(values), values)
                if result.verdict is Verdict.ERROR:
                    raise RuntimeError(result.message)
                verdicts[result.verdict] += 1
            yield Count(f"a rate of {rate} among {share:.0%} of probes is {wrong.value}", verdicts[wrong], n)


RATES = ((0.8, 0.08), (0.9, 0.04), (0.95, 0.02), (0.99, 0.004))
FALLEN = 0.1


def checked(rate: float, coordinate: int, p0: float, *, against: Baseline | None = None, seed: int) -> Result:
    """One rate on a generator, as pytest's run checks it: to bless, or against a baseline."""
    generator, values = failing(rate, coordinate), Values(device="cpu", examples=16, seed=seed)
    definition = lit().at_rate(p0).definition
    question = Question(definition, test="test_it", looks=False)
    if against is None:
        assert definition.rate is not None
        test = definition.rate.test
        stored = probes_to_hold((test.certified, test.p0 + test.slack))
        return check(replace(question, n_sampled=stored, blesses=True), generator, Context(values), values)
    (key,) = against.entries
    terms = Terms(drift="off")
    asked = replace(question, against=against.entries[key].sample, terms=terms)
    result = check(asked, generator, Context(values), values)
    return replace(result, gate=gate.weigh(result, against.entries[key], terms))


def gates(n: int, seed: int) -> Iterator[Count]:
    """Candidates of baselines that hold, at each rate of `RATES`, over all true rates between p0 -+ slack."""
    for p0, slack in RATES:
        rng, refused, passed, runs = np.random.default_rng([seed, round(1000 * p0)]), 0, 0, 0
        while runs < n:
            rate, run = float(rng.uniform(p0 - slack, p0 + slack)), int(rng.integers(1 << 31))
            blessed = checked(rate, 0, p0, seed=run)
            if blessed.verdict is not Verdict.HOLDS:
                continue
            runs += 1
            baseline = Baseline.of([blessed], Blessing("me", "today", run, "a.pt"), before=None, version="0")
            refused += not checked(rate, 1, p0, against=baseline, seed=run).passed
            passed += checked(rate - FALLEN, 1, p0, against=baseline, seed=run).passed
        yield Count(f"an equal candidate at a rate about {p0} is refused or undecided", refused, runs, 0.05)
        yield Count(f"a candidate that fell by 10 points from about {p0} passes", passed, runs, 0.01)


PARTS: dict[str, Callable[[int, int], Iterator[Count]]] = {
    "matches": bounds_of_matches,
    "engine": matches_of_engine,
    "drift": drifts,
    "levels": levels,
    "pairs": pairs,
    "where": wheres,
    "gate": gates,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--n", type=int, default=400, help="runs of each case")
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    off = False
    for count in PARTS[given.part](given.n, given.seed):
        off = off or count.is_off
        share, (_, high) = count.wrong / count.runs, count.bounds
        sys.stdout.write(
            f"{count.wrong:4d} of {count.runs}, {share:.2%}, at most {high:.2%} (nominal {count.nominal:.0%})"
            f"{'  OFF' if count.is_off else ''}: {count.case}\n"
        )
        sys.stdout.flush()
    return int(off)


if __name__ == "__main__":
    sys.exit(main())
