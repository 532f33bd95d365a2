"""Noise, drawn: `python -m tests.audit.noise --undeclared 240 --rounding 50 --seed 7`.

Noise that nobody declared must be an error that names noise, and never a verdict: of .3 % of the range or of .02 %, of
one value or of all, whatever draws it and wherever the limit is. The same noise, declared, is no error. Rounding is
none either: differences of 1e-7 to 1e-5 of the range between batches, on 5 % to 100 % of rows, with margins that lie
densely about zero; there verdict, passes, violations and counterexamples are the same at batch sizes 1, 16 and 128.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import gentest
from gentest.results.result import Result, Verdict

SIZES = (1, 16, 128)
DIM = 8


# --- noise that nobody declared

DRAWS: dict[str, Callable[[tuple[int, ...]], Tensor]] = {
    "torch normal": lambda shape: torch.randn(shape),
    "torch uniform": lambda shape: (torch.rand(shape) - 0.5) * 12**0.5,
    "torch Laplace": lambda shape: torch.distributions.Laplace(0.0, 0.5**0.5).sample(shape),
    "NumPy normal": lambda shape: torch.from_numpy(np.random.standard_normal(shape)).float(),  # noqa: NPY002
    "random": lambda shape: torch.tensor([random.gauss(0, 1) for _ in range(int(np.prod(shape)))]).reshape(shape),
    "of its own": lambda shape: torch.from_numpy(np.random.default_rng().standard_normal(shape)).float(),
}
"""Of standard deviation 1; the last draws from a state that nobody pins."""
PLACES = ("one value", "half of the values", "all values", "the whole output")


@dataclass(frozen=True)
class Noise:
    """Noise of one standard deviation `sd`, as a share of the range, and what it is looked at by."""

    sd: float
    draws: str
    place: str
    images: bool
    spread: float
    """How far levels lie apart without it."""
    limit: float
    """Where the limit lies, in standard deviations of the noise."""
    rate: float | None
    size: int
    seed: int
    declared: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one output."""
        return (1, 8, 8) if self.images else (2,)

    def drawn(self, n: int) -> Tensor:
        """The noise of n outputs, [n, ...], before it is scaled."""
        if self.place == "the whole output":
            return DRAWS[self.draws]((n, *[1] * len(self.shape))).expand(n, *self.shape)
        return DRAWS[self.draws]((n, *self.shape))

    @property
    def generator(self) -> gentest.Generator:
        """A level of the latent in every value, and the noise."""
        mask = torch.ones(self.shape).flatten()
        mask[1 if self.place == "one value" else len(mask) // 2 if "half" in self.place else len(mask) :] = 0.0

        def outputs(z: Tensor, hiss: Tensor | None = None) -> Tensor:
            level = 0.5 + self.spread * torch.tanh(z[:, 0])
            noise = self.drawn(len(z)) if hiss is None else hiss
            return level.reshape(-1, *[1] * len(self.shape)) + self.sd * mask.reshape(self.shape) * noise

        noise = {"hiss": gentest.Normal(self.shape)} if self.declared else None
        return gentest.Generator(
            outputs, latent=gentest.Normal(DIM), images=self.images, output_range=(0, 1), noise=noise
        )

    @property
    def claim(self) -> gentest.Property:
        """A value that has noise is no larger than the limit."""

        @gentest.property(probes=gentest.points())
        def quiet(evidence: gentest.Evidence, *, limit: float) -> Tensor:
            return limit - evidence.outputs.flatten(1)[:, 0]

        found = quiet(limit=0.5 + self.sd * self.limit)
        return found if self.rate is None else found.at_rate(self.rate)

    @property
    def result(self) -> Result:
        """What comes of it."""
        given = gentest.settings(batch_size=self.size, seed=self.seed, examples=60, budget=512, device="cpu")
        return self.claim.check(self.generator, settings=given)


def drawn_noise(rng: random.Random) -> Noise:
    """A case of noise that nobody declared."""
    return Noise(
        sd=rng.choice([0.003, 0.0002]),
        draws=rng.choice(list(DRAWS)),
        place=rng.choice(PLACES),
        images=rng.random() < 0.5,
        spread=rng.choice([0.0, 1e-4, 0.3]),
        limit=rng.choice([-3.0, -1.5, -1.0, -0.5, 0.0, 1.0, 3.0, rng.uniform(-4.0, 4.0)]),
        rate=rng.choice([None, 0.5, 0.95]),
        size=rng.choice(SIZES),
        seed=rng.randint(0, 999),
    )


def names_noise(result: Result) -> bool:
    """Whether a result is an error that names noise."""
    return result.verdict is Verdict.ERROR and "noise" in result.message


# --- rounding, which is none


@dataclass
class Rounded:
    """A level of the latent that comes out a little different in each batch, but for single latents."""

    level: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]
    size: float
    share: float
    is_normal: bool
    of_each_value: bool
    of_each_call: bool
    calls: int = 0

    def __call__(self, z: Tensor) -> Tensor:
        self.calls += 1
        n, ones = len(z), [1] * len(self.shape)
        level = self.level(z).reshape(-1, *ones).expand(n, *self.shape).clone()
        if n == 1 or not self.size:
            return level
        rng = torch.Generator().manual_seed(self.calls if self.of_each_call else n)
        shape = (n, *self.shape) if self.of_each_value else (n, *ones)
        error = torch.randn(shape, generator=rng) if self.is_normal else 2 * torch.rand(shape, generator=rng) - 1
        rows = torch.rand((n, *ones), generator=rng) < self.share
        return level + self.size * error * rows


class Network(nn.Module):
    """A network in float32, whose products of matrices round by the size of a batch."""

    def __init__(self, seed: int, width: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(DIM, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
            )

    def forward(self, z: Tensor) -> Tensor:
        """Levels [B], about 0."""
        found: Tensor = self.layers(z)[:, 0]
        return found


@dataclass(frozen=True)
class Rounding:
    """Rounding of one size, and margins that lie about zero within `spread`."""

    network: bool
    size: float
    share: float
    is_normal: bool
    of_each_value: bool
    of_each_call: bool
    images: bool
    spread: float
    quantile: float
    kind: str
    rate: float | None
    seed: int
    examples: int = 100
    budget: int = 512

    def level(self) -> Callable[[Tensor], Tensor]:
        """Levels [B] of latents, spread by so much about 0.5."""
        inner: Callable[[Tensor], Tensor] = Network(self.seed, 192) if self.network else lambda z: z.mean(1)
        with torch.no_grad():
            sample = inner(torch.randn(512, DIM, generator=torch.Generator().manual_seed(1)))
        middle, scale = sample.mean().item(), sample.std().item()
        return lambda z: 0.5 + self.spread * torch.tanh((inner(z) - middle) / scale)

    def generator(self) -> gentest.Generator:
        """A fresh one: it counts its calls."""
        shape = (1, 8, 8) if self.images else (2,)
        function = Rounded(
            self.level(), shape, self.size, self.share, self.is_normal, self.of_each_value, self.of_each_call
        )
        return gentest.Generator(function, latent=gentest.Normal(DIM), images=self.images, output_range=(0, 1))

    @property
    def claim(self) -> gentest.Property:
        """A value of an output, or the brightness of one, is no larger than most are; or a path has no such step."""
        with torch.no_grad():
            z = torch.randn(2, 4096, DIM, generator=torch.Generator().manual_seed(2))
            levels, others = (self.level()(one).double() for one in z)
        limit = torch.quantile(levels, self.quantile).item()
        step = torch.quantile((levels - others).abs(), self.quantile).item()

        @gentest.property(probes=gentest.points())
        def first(evidence: gentest.Evidence) -> Tensor:
            return limit - evidence.outputs.flatten(1)[:, 0].double()

        @gentest.property(probes=gentest.points())
        def dark(evidence: gentest.Evidence) -> Tensor:
            return limit - evidence.images.flatten(1).double().mean(1)

        @gentest.property(probes=gentest.segments(3))
        def short(evidence: gentest.Evidence) -> Tensor:
            x = evidence.outputs.flatten(2).double().mean(2)
            return step - (x[:, -1] - x[:, 0]).abs()

        found = {"first": first, "dark": dark, "short": short}[self.kind]()
        return found if self.rate is None else found.at_rate(self.rate)

    def found(self, size: int | None) -> Result:
        """What comes of it at a batch size."""
        given = gentest.settings(
            batch_size=size, seed=self.seed, examples=self.examples, budget=self.budget, device="cpu"
        )
        return self.claim.check(self.generator(), settings=given)


def drawn_rounding(rng: random.Random) -> Rounding:
    """A case of rounding: of a network, as it comes, or with more of it; or of rows that are changed."""
    network = rng.random() < 0.4
    size = 0.0 if network and rng.random() < 0.5 else 10.0 ** rng.uniform(-7, -5)
    return Rounding(
        network=network,
        size=size,
        share=rng.choice([0.05, 0.05, 0.2, 1.0]),
        is_normal=rng.random() < 0.5,
        of_each_value=rng.random() < 0.5,
        of_each_call=rng.random() < 0.5,
        images=rng.random() < 0.5,
        spread=rng.choice([1e-6, 1e-5, 1e-4, 1e-3, 0.3]),
        quantile=rng.choice([0.5, 0.9, 0.95]),
        kind=rng.choice(["first", "dark", "short"]),
        rate=rng.choice([None, 0.5, 0.9]),
        seed=rng.randint(0, 999),
    )


def said(result: Result) -> dict[str, Any]:
    """What must not depend on the batch size."""
    rate = result.rate
    return {
        "verdict": result.verdict,
        "rate": None if rate is None else (rate.passes, rate.probes, rate.low, rate.high),
        "violations": result.violations,
        "minimal": result.counterexample and result.counterexample.replay,
        "worst": result.worst and result.worst.replay,
    }


def differences(case: Rounding) -> list[str]:
    """What is an error, or differs between batch sizes."""
    results = {size: case.found(size) for size in SIZES}
    errors = [f"{size}: {r.message}" for size, r in results.items() if r.verdict is Verdict.ERROR]
    all_said = [said(result) for result in results.values()]
    different = [name for name, value in all_said[0].items() if any(one[name] != value for one in all_said)]
    return errors + [f"{name}: {[one[name] for one in all_said]}" for name in different]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--undeclared", type=int, default=240, help="cases of noise that nobody declared")
    parser.add_argument("--declared", type=int, default=40, help="and of noise that is")
    parser.add_argument("--rounding", type=int, default=50, help="cases of rounding, each at three batch sizes")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng, counts, wrong = random.Random(given.seed), Counter[tuple[float, str]](), 0
    for _ in range(given.undeclared):
        noise = drawn_noise(rng)
        result = noise.result
        right = names_noise(result)
        counts[noise.sd, "right" if right else "wrong"] += 1
        if not right:
            wrong += 1
            print(f"wrong: {noise}: {result.verdict.value} {result.message[:200]}")  # noqa: T201
    print(f"undeclared noise, by its size: {dict(counts)}")  # noqa: T201
    errors = 0
    for _ in range(given.declared):
        noise = replace(drawn_noise(rng), declared=True)
        result = noise.result
        if result.verdict is Verdict.ERROR:
            errors += 1
            print(f"wrong: {noise}: {result.message[:200]}")  # noqa: T201
    print(f"declared noise: {given.declared} cases, {errors} errors")  # noqa: T201
    n_apart = 0
    for _ in range(given.rounding):
        case = drawn_rounding(rng)
        if apart := differences(case):
            n_apart += 1
            print(f"wrong: {case}: {apart}")  # noqa: T201
    print(f"rounding: {given.rounding} cases at batch sizes {SIZES}, {n_apart} that differ or are errors")  # noqa: T201
    return 1 if wrong or errors or n_apart else 0


if __name__ == "__main__":
    sys.exit(main())
