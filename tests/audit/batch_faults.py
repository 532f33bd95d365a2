"""Faults of batches, drawn: `python -m tests.audit.batch_faults --n 500 --seed 7`.

An intact generator is wrapped in a fault that changes some rows of some batches: from a row on, every so many rows,
in batches from a size on, or by what the call before left. Each is checked on a drawn property and batch size. A fault
that changed at least a fifth of the rows that the run made, by more than a grey level, must never be green, and never
be blamed on the property: `violated` is right only where the intact generator is violated too.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

import gentest
from gentest.results.result import Result, Verdict

GREEN = (Verdict.HOLDS, Verdict.NO_COUNTEREXAMPLE)
KINDS = ("rows from", "rows every", "batches from", "last of full", "after a larger", "after any", "after as large")
SIZES = (None, 50, 16, 7, 1)
LEAST_SHARE = 0.2
GREY = 1 / 256


@dataclass(frozen=True)
class Fault:
    """Which rows change, and by how much, as a share of the range."""

    kind: str
    at: int
    by: float

    def rows(self, n: int, before: int) -> Tensor:
        """Which rows of a batch of n change, after a call on `before` latents: bool [n]."""
        rows = torch.arange(n)
        some: dict[str, Callable[[], Tensor]] = {
            "rows from": lambda: rows >= self.at,
            "rows every": lambda: (rows % (1 + self.at % 4) == 0) & (rows > 0),
            "batches from": lambda: torch.full((n,), n >= self.at),
            "last of full": lambda: (rows >= n // 2) & (n >= 16),
            "after a larger": lambda: torch.full((n,), before > n),
            "after any": lambda: torch.full((n,), before > 0 and n > 1),
            "after as large": lambda: torch.full((n,), before >= n > 1),
        }
        return some[self.kind]()


@dataclass
class Faulty:
    """A level of the latent as an image of 8 x 8 pixels, of which some rows come out wrong."""

    fault: Fault | None
    before: int = 0
    changed: list[int] = field(default_factory=lambda: [0, 0])

    def __call__(self, z: Tensor) -> Tensor:
        level = 0.2 + 0.6 * torch.sigmoid(z[:, 0] + 0.2 * z[:, 1])
        if self.fault is not None:
            rows = self.fault.rows(len(z), self.before)
            level = torch.where(rows, level + self.fault.by * (1.0 - 2.0 * (level > 0.5)), level)
            self.changed[0] += int(rows.sum())
            self.changed[1] += len(z)
        self.before = len(z)
        return level[:, None, None, None].expand(-1, 1, 8, 8).clone()


def levels(at_most: float) -> gentest.Property:
    """A property of one's own: an output is no brighter than that."""

    @gentest.property(probes=gentest.points())
    def dark(evidence: gentest.Evidence, *, at_most: float) -> Tensor:
        return at_most - evidence.scores(gentest.brightness())[:, 0]

    return dark(at_most=at_most)


PROPERTIES: tuple[Callable[[random.Random], gentest.Property], ...] = (
    lambda rng: gentest.between(gentest.brightness(), tolerance=rng.choice([0.01, 0.1, 0.5])),
    lambda rng: gentest.continuous(tolerance=rng.choice([0.1, 0.5])),
    lambda rng: levels(rng.choice([0.6, 0.75, 0.9])),
    lambda rng: levels(rng.choice([0.6, 0.75, 0.9])).at_rate(rng.choice([0.8, 0.95])),
    lambda rng: gentest.between(gentest.brightness(), tolerance=0.1).at_rate(0.9),
    lambda rng: gentest.well_formed(),
    lambda rng: gentest.responsive(at_least=rng.choice([1e-4, 0.02])),
)


@dataclass(frozen=True)
class Case:
    """One fault, and how it is looked at."""

    fault: Fault
    property: gentest.Property
    size: int | None
    seed: int


def drawn(rng: random.Random) -> Case:
    """A case; two in five faults are near the smallest that counts."""
    by = rng.choice([1.2, 2, 8, 32, 100]) * GREY
    kind = rng.choice(KINDS)
    least = 2 if kind == "batches from" else 1  # what a batch of one shows too is another function, and no fault
    return Case(
        Fault(kind, rng.randint(least, 127), by), rng.choice(PROPERTIES)(rng), rng.choice(SIZES), rng.randint(0, 999)
    )


def checked(case: Case, fault: Fault | None) -> tuple[Result, float]:
    """What the property comes to, and the share of rows that the fault changed."""
    function = Faulty(fault)
    generator = gentest.Generator(function, latent=gentest.Normal(4), output_range=(0, 1))
    given = gentest.settings(batch_size=case.size, seed=case.seed, examples=60, budget=512, device="cpu")
    result = case.property.check(generator, settings=given)
    return result, function.changed[0] / max(function.changed[1], 1)


def judged(case: Case) -> tuple[str, Result]:
    """ "right", "wrong", or "small" where the fault changed too few rows to count."""
    result, share = checked(case, case.fault)
    if share < LEAST_SHARE:
        return "small", result
    if result.verdict is Verdict.ERROR:
        return ("right" if "the generator" in result.message or "output" in result.message else "wrong"), result
    intact, _ = checked(case, None)
    blamed = result.verdict is Verdict.VIOLATED and intact.verdict is not Verdict.VIOLATED
    return ("wrong" if result.verdict in GREEN or blamed else "right"), result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="faults that count")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    rng, counts, n = random.Random(given.seed), Counter[tuple[str, str]](), 0
    while n < given.n:
        case = drawn(rng)
        came, result = judged(case)
        counts[case.fault.kind, came] += 1
        n += came != "small"
        if came == "wrong":
            print(f"wrong: {case}: {result.verdict.value} {result.message[:200]}")  # noqa: T201
    errors = 0
    for _ in range(50):
        result, _ = checked(drawn(rng), None)
        errors += result.verdict is Verdict.ERROR
    for kind in KINDS:
        print(f"{kind:16}", {came: counts[kind, came] for came in ("right", "wrong", "small")})  # noqa: T201
    wrong = sum(n for (_, came), n in counts.items() if came == "wrong")
    print(f"{n} faults, {wrong} wrong; 50 intact generators, {errors} errors")  # noqa: T201
    return 1 if wrong or errors else 0


if __name__ == "__main__":
    sys.exit(main())
