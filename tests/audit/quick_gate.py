"""How often a quick gate is wrong, and how many images it takes: `python -m tests.audit.quick_gate --n 2000`.

A suite declares eight levels, each of which may move by half a standard deviation, and one rate, `.at_rate(0.9)`. The
baseline keeps 256 latents. Scores are normal, and a candidate's differ from them by a shift and by noise on each
latent, in standard deviations of the baseline's scores. A good checkpoint holds on 99 % of latents, and a candidate
loses one in a hundred of them and wins as many.

Everything but the images is real: the files, the tests, Holm's procedure. The candidate's images come in blocks of 16,
which levels and rate share, and `OVERHEAD` is what the engine makes besides them: it examines four, makes three alone
to measure rounding, and audits (`tests/engine/methods/test_kept_level.py` counts them).
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gentest.engine.cost import SLOW_BLOCK
from gentest.gate import decision, quick
from gentest.gate.baseline import Baseline, Blessing
from gentest.properties.definition import AtRate
from gentest.results.comparison import Comparison, Look, Sample, Standing, Terms
from gentest.results.level_claim import Allowed, LevelLimits
from gentest.results.outcome import Verdict
from gentest.results.records import pack
from gentest.results.result import Provenance, Rate, Result
from gentest.stats.rates import looks_at

N_LEVELS, N_KEPT, OVERHEAD = 8, 256, 16
NAMES = [f"attribute_{i}()" for i in range(N_LEVELS)]
HALF = Allowed(0.5, in_sd=True)
GOAL = AtRate(0.9, 0.99, None, "").test_among(1)
CHANGED = 0.01
"""The share of latents whose outcome a candidate of an equal rate draws anew."""
VERDICTS = {True: Verdict.HOLDS, False: Verdict.VIOLATED, None: Verdict.UNDECIDED}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A candidate: how far its first level moved, the noise of all its levels, and its rate."""

    name: str
    moved: float = 0.0
    noise: float = 0.3
    rate: float = 0.99
    right: Standing = Standing.HELD


CASES = (
    Case("the same weights", noise=0.0),
    Case("nothing changed, noise of 0.3 sd on each latent"),
    Case("nothing changed, noise of 0.7 sd on each latent", noise=0.7),
    Case("one of eight levels fell by 0.5 sd", moved=-0.5, right=Standing.REGRESSED),
    Case("one of eight levels rose by 0.5 sd", moved=0.5, right=Standing.REGRESSED),
    Case("one of eight levels fell by 0.5 sd, noise of 0.7 sd", moved=-0.5, noise=0.7, right=Standing.REGRESSED),
    Case("the rate fell to 0.85, below what it certifies", rate=0.85, right=Standing.REGRESSED),
)


@dataclass(frozen=True)
class Counted:
    """The standings of some runs, and their images."""

    case: Case
    standings: Counter[Standing]
    images: tuple[int, ...]

    def share(self, standing: Standing) -> float:
        """The share of runs with a standing."""
        return self.standings[standing] / len(self.images)

    def __str__(self) -> str:
        shares = ", ".join(f"{standing.value} {self.share(standing):.2%}" for standing in Standing)
        median, high = np.median(self.images), np.quantile(self.images, 0.95)
        return f"{self.case.name}: {shares}; images: median {median:.0f}, 95 % within {high:.0f}"


def blessed(scores: Floats, holds: NDArray[np.bool_]) -> Baseline:
    """The baseline of scores [8, 256] and outcomes [256]."""
    results = [_level(name, row, Verdict.HOLDS) for name, row in zip(NAMES, scores, strict=True)]
    results.append(_rated(holds, *_rate_of(holds)))
    return Baseline.of(results, Blessing("me", "today", 1, "a.pt"), before=None, version="0")


def gated(baseline: Baseline, scores: Floats, holds: NDArray[np.bool_], before: Floats) -> tuple[Comparison, int]:
    """The gate's decision on a candidate, and the images that it took."""
    terms = Terms(claims=decision.n_claims(baseline, drift=True))
    results, most = [], 0
    for name, row, was in zip(NAMES, scores, before, strict=True):
        limits = LevelLimits(name, HALF, HALF)
        test = quick.level_test(was, limits, alpha=terms.alpha, claims=terms.claims, candidates=1)
        decided = quick.decided(test, was, row)
        n = min(-(-decided.n // SLOW_BLOCK) * SLOW_BLOCK, N_KEPT)
        most = max(most, n)
        results.append(_level(name, row[:n], VERDICTS[decided.holds]))
    verdict, probes = _rate_of(holds)
    compared = probes if verdict is Verdict.HOLDS and not _behind(baseline, holds[:probes]) else N_KEPT
    results.append(_rated(holds[:compared], verdict, probes))
    most = max(most, probes, compared)
    return decision.decide(results, baseline, terms), most + OVERHEAD


def run(case: Case, n: int, seed: int) -> Counted:
    """Gates of `n` baselines, each with a candidate of its own."""
    rng, standings, images = np.random.default_rng([seed, len(case.name)]), Counter[Standing](), []
    for _ in range(n):
        scores = np.float64(np.float32(rng.standard_normal((N_LEVELS, N_KEPT))))
        holds = rng.random(N_KEPT) < 0.99
        noise = case.noise * rng.standard_normal(scores.shape)
        noise[0] += case.moved
        candidate = np.float64(np.float32(scores + scores.std(axis=1, keepdims=True) * noise))
        flips = (rng.random(N_KEPT) < CHANGED) & (case.noise > 0.0)
        now = np.where(flips, rng.random(N_KEPT) < 0.99, holds)
        if case.rate < 0.99:
            now = rng.random(N_KEPT) < case.rate
        compared, made = gated(blessed(scores, holds), candidate, now, scores)
        standings[compared.standing] += 1
        images.append(made)
    return Counted(case, standings, tuple(images))


def _level(name: str, scores: Floats, verdict: Verdict) -> Result:
    limits = LevelLimits(name, HALF, HALF)
    look = Look({name: pack(scores.tolist())}, {})
    sample = Sample(1, "gan", "Normal(8)", pack([]), look=look, quick=True, limits=limits)
    return Result("test_a.py::test_a", f"level({name})", verdict, sample=sample, provenance=Provenance("gan"))


def _rate_of(holds: NDArray[np.bool_]) -> tuple[Verdict, int]:
    """The verdict on the rate, and the probes that it took."""
    for n in looks_at(N_KEPT, ends=True):
        verdict = GOAL.decide(int(holds[:n].sum()), int(n))
        if verdict is not None:
            return VERDICTS[verdict], int(n)
    return Verdict.UNDECIDED, N_KEPT


def _rated(holds: NDArray[np.bool_], verdict: Verdict, probes: int) -> Result:
    passes = int(holds[:probes].sum())
    rate = Rate(verdict, 0.9, 0.04, 0.99, passes, probes, 4096, 0.0, 1.0, 0.0, 0.0, 4.6, 4.6, 0.99)
    sample = Sample(1, "gan", "Normal(8)", pack(np.where(holds, 0.5, -0.5).tolist()), quick=True)
    return Result("test_a.py::test_a", "lit()", verdict, rate=rate, sample=sample, provenance=Provenance("gan"))


def _behind(baseline: Baseline, holds: NDArray[np.bool_]) -> bool:
    """Whether a candidate has lost more probes than it won."""
    entry = next(entry for key, entry in baseline.entries.items() if key.endswith("lit()"))
    before = decision.outcomes(entry.sample)[: len(holds)]
    return int((before & ~holds).sum()) > int((~before & holds).sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="runs of each case")
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    for case in CASES:
        sys.stdout.write(f"{run(case, given.n, given.seed)}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
