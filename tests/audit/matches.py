"""How often `matches` finds what it is to find, and how often it errs: through the engine, on fresh seeds.

    python -m tests.audit.matches [POWER_RUNS [LEVEL_RUNS]]

A generator draws from eight modes of 16 dimensions, their centres 1.5 of their own standard deviations apart (and half,
twice and four times as far), and its outputs are its features. Power: modes of 85 % of their spread, against the
reference, 512 outputs a side. Level: the same generator on other seeds, at most as often different as a 99 % binomial
bound on 1 % allows. Exit status 0 where power is at least 0.9 everywhere and the level is kept.
"""

# ruff: noqa: T201 - it prints a table
from __future__ import annotations

import sys
import time

import torch
from scipy.stats import binom
from torch import Tensor

import gentest
from gentest import Verdict, settings

MODES, D, ALPHA = 8, 16, 0.01
APART = (0.75, 1.5, 3.0, 6.0)
SHRUNK = 0.85


def modes(apart: float, spread: float) -> gentest.Generator:
    """Modes whose centres have this standard deviation, each of this spread; which of them the last coordinate says."""
    centres = apart * torch.randn(MODES, D, generator=torch.Generator().manual_seed(99))

    def draw(z: Tensor) -> Tensor:
        which = (torch.special.ndtr(z[:, D]) * MODES).long().clamp(0, MODES - 1)
        return centres[which] + spread * z[:, :D]

    return gentest.Generator(draw, latent=gentest.Normal(D + 1), images=False)


def rows(outputs: Tensor) -> Tensor:
    """Outputs are their own features."""
    return outputs


def different(apart: float, spread: float, seed: int) -> bool:
    """Whether modes of this spread are found different from those of spread 1."""
    property = gentest.matches(modes(apart, 1.0), feature=rows)
    found = property.check(modes(apart, spread), settings=settings(seed=seed))
    if found.verdict not in (Verdict.VIOLATED, Verdict.NO_COUNTEREXAMPLE):
        raise SystemExit(f"not decided: {found.message}")
    return found.verdict is Verdict.VIOLATED


def main() -> None:
    """Both tables."""
    power_runs, level_runs = (*map(int, sys.argv[1:]), *(50, 400)[len(sys.argv) - 1 :])
    started, good = time.monotonic(), True
    for apart in APART:
        found = sum(different(apart, SHRUNK, seed) for seed in range(power_runs))
        good &= found >= 0.9 * power_runs
        print(f"centres at {apart:<4} modes shrunk to {SHRUNK:.0%}: found in {found} of {power_runs}", flush=True)
    allowed = int(binom.ppf(0.99, level_runs, ALPHA))
    wrong = sum(different(1.5, 1.0, 1000 + seed) for seed in range(level_runs))
    good &= wrong <= allowed
    print(f"the same generator: called different in {wrong} of {level_runs} ({allowed} allowed)")
    print(f"{time.monotonic() - started:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
