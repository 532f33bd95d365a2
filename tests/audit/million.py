"""A million probes through a rate, on a generator whose rate is known: `python -m tests.audit.million`.

Levels are uniform in (0, 1), and the property holds below a bound: its rate under the prior is that bound, exactly. At
the rate that is asked for the test has to stay undecided to the end of its budget (either verdict would be wrong, which
may happen in one run of a hundred); two and five thousandths above and below, it has to say so. Memory is what the
process takes after so many probes (/proc on Linux, elsewhere the most it ever took), of which 32 MiB may be outputs
and measurements kept for further properties: `--gentest-memory`, which is 1,024 unless said, and fills up first.
"""

# ruff: noqa: T201 - it prints a table
from __future__ import annotations

import argparse
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values

ASKED = 0.95
TRUTHS = {0.95: Verdict.UNDECIDED, 0.952: Verdict.HOLDS, 0.948: Verdict.VIOLATED, 0.955: Verdict.HOLDS}
"""What the test is to say at each true rate, given a million probes."""
PLACES = (10_000, 100_000, 250_000, 500_000, 750_000, 1_000_000)
KEPT = 32
"""MiB of outputs and measurements."""
FLAT = 32
"""MiB by which a process may grow between a tenth of the budget and its end."""


def level(z: Tensor) -> Tensor:
    """Images [B, 1, 1, 1] whose level is uniform in (0, 1)."""
    return (z[:, :1] / (2 * 3**0.5) + 0.5)[:, :, None, None]


def below(bound: float) -> gentest.Property:
    """The property that a sample's level is below a bound: it holds at that rate."""

    @gentest.property(probes=gentest.points())
    def below(evidence: gentest.Evidence, *, bound: float) -> Tensor:
        return bound - evidence.scores(gentest.brightness())[:, 0]

    return below(bound=bound)


@dataclass(frozen=True)
class Run:
    """What one rate came to, the seconds it took, and MiB after so many probes."""

    result: Result
    seconds: float
    memory: dict[int, float]

    @property
    def growth(self) -> float:
        """MiB from a tenth of the probes on."""
        asked = max(self.memory, default=0)
        early = [mib for n, mib in self.memory.items() if n >= asked / 10]
        return max(early) - early[0] if early else 0.0


def memory() -> float:
    """MiB that this process takes now."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def run(truth: float, budget: int, *, seed: int = 0) -> Run:
    """The rate of a property that holds at `truth`, asked for at `ASKED` with no slack."""
    found: dict[int, float] = {}
    places = [place for place in PLACES if place <= budget] or [budget]

    def watch(done: int, total: int) -> None:
        if places and done >= places[0]:
            found[places.pop(0)] = memory()

    values = Values(device="cpu", examples=20, budget=budget, seed=seed, memory=KEPT)
    generator = gentest.Generator(level, latent=gentest.Uniform(2), output_range=(0.0, 1.0))
    rate = below(truth).at_rate(ASKED, slack=0.0)
    started = time.perf_counter()
    result = check(Question(rate.definition), generator, Context(values), values, watch=watch)
    return Run(result, time.perf_counter() - started, found)


def main() -> int:
    """Prints a line for each true rate; 1 where a verdict is wrong, or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=int, default=1_000_000, metavar="N", help="probes at the most (1,000,000)")
    budget = parser.parse_args().budget
    torch.set_num_threads(1)
    wrong = 0
    for truth, expected in TRUTHS.items():
        came = run(truth, budget)
        rate = came.result.rate
        if rate is None:
            print(came.result.message)
            return 1
        is_right = rate.verdict is expected and came.growth <= FLAT and rate.low <= truth <= rate.high
        wrong += not is_right
        sizes = ", ".join(f"{mib:,.0f} MiB at {n:,}" for n, mib in came.memory.items())
        print(
            f"true rate {truth:.1%}, asked {ASKED:.0%}: {rate.verdict.value} after {rate.probes:,} probes, "
            f"{rate.passes / rate.probes:.3%} [{rate.low:.2%}, {rate.high:.2%}], {came.seconds:.1f} s "
            f"({1e6 * came.seconds / rate.probes:.0f} us a probe); {sizes}" + ("" if is_right else "  WRONG")
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
