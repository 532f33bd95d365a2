"""What the attack finds, beside random search and beside plain Hypothesis with `target()`: the figures of a guide.

    python -m tests.audit.attack [--only faces,planted,random] [--seeds 20]

faces: the face GAN of examples/faces, brightness `between` on 9-point slerp paths. For each of 20 seeds, from 16
independent paths: how many paths are evaluated until one violates alone, at a tolerance of 0.2 and of 0.5, every
evaluation counted, the starts and confirmations included. Hypothesis is given the same paths as a strategy, and
`target(excess)`, and 500 evaluations.

random: the worst of so many independent random paths (`--paths 20000`), and how many violate.

planted: analytic generators of 64 coordinates with a defect of known rarity, in a smooth slope (`ridge`), in a ball of
three coordinates (`ball`), where two coordinates are large (`corner`), and one with a hard edge and flat all around
(`cliff`), which no slope leads to. Evaluations of single latents until one is found, the median of 20 seeds and the
largest; random search takes 1 / rarity in the mean. With gradients, and as NumPy functions, without.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median

import hypothesis
import torch
from hypothesis import given, target
from scipy.stats import ncx2, norm
from torch import Tensor

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.methods.attack.descent import AttackFacts, Descent
from gentest.engine.methods.problem import Problem
from gentest.probes.probe import Probe, independent
from gentest.properties.definition import Definition
from gentest.properties.paths import between
from gentest.results.settings import Values
from tests.audit.detection.models import faces_example

WITHIN = {0.2: 200, 0.5: 500}
"""Path evaluations allowed at a tolerance."""
D = 64
RARITIES = (1e-3, 1e-4, 1e-5)
MOST = 20_000
"""Evaluations after which an attack on a planted defect has not found it."""


def face_gan() -> gentest.Generator:
    """The face GAN of examples/faces."""
    import gan_face_generate

    example = faces_example()
    weights = example.weights(Path(gan_face_generate.__file__).parent / "weights.tar")
    generator: gentest.Generator = example.faces(weights)
    return generator


def attacked(generator: gentest.Generator, definition: Definition, seed: int, budget: int) -> tuple[AttackFacts, int]:
    """An attack from independent probes of a seed; what it came to, and how many outputs were made for it."""
    context = Context(Values(device="cpu"))
    judge = Judge(context, Subject.of(generator), definition)

    def starts() -> Iterator[Probe]:
        yield from (independent(seed, index, 1)[0] for index in count())

    context.maker.image_bytes = 4 * int(generator.outputs(dict(_one(generator))).numel())
    came = Descent(Problem(judge, Values(attack=budget, seed=seed)), starts()).run()
    return came, context.meter.images


def _one(generator: gentest.Generator) -> dict[str, Tensor]:
    placed = gentest.points().place(generator.latent, [Probe(0)])
    return {name: torch.from_numpy(z[:, 0]) for name, z in placed.items()}


def on_faces(seeds: int) -> None:
    """Paths until a confirmed violation: the attack, and Hypothesis with `target()`."""
    generator = face_gan()
    for tolerance, allowed in WITHIN.items():
        paths = []
        for seed in range(seeds):
            came, images = attacked(generator, between(gentest.brightness(), tolerance=tolerance), seed, 100_000)
            paths.append(images / 9 if came.failing else float("inf"))
        met = sum(n <= allowed for n in paths)
        print(
            f"faces, tolerance {tolerance}: attack {met} of {seeds} within {allowed} paths "
            f"(median {median(paths):.0f}, most {max(paths):.0f})",
            flush=True,
        )
    found = {tolerance: 0 for tolerance in WITHIN}
    for seed in range(seeds):
        excesses = with_target(generator, seed, max(WITHIN.values()))
        for tolerance, allowed in WITHIN.items():
            found[tolerance] += any(excess > tolerance for excess in excesses[:allowed])
    for tolerance, allowed in WITHIN.items():
        print(f"faces, tolerance {tolerance}: Hypothesis with target() {found[tolerance]} of {seeds} within {allowed}")


def with_target(generator: gentest.Generator, seed: int, n: int) -> list[float]:
    """By how much brightness leaves its ends on the paths that Hypothesis draws, told what to make large."""
    excesses: list[float] = []
    brightness = gentest.brightness()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @given(gentest.strategies.segments(generator.latent))
    def look(path: gentest.strategies.Drawn) -> None:
        latents = path.latents
        assert isinstance(latents, Tensor)
        with torch.no_grad():
            a = brightness(generator.outputs({"": latents}))
        excess = float(torch.maximum(a.max() - a[[0, -1]].max(), a[[0, -1]].min() - a.min()))
        excesses.append(excess)
        target(excess)

    look()
    return excesses


def at_random(n: int) -> None:
    """The worst of many independent random paths."""
    generator, block = face_gan(), 256
    context = Context(Values(device="cpu"))
    judge = Judge(context, Subject.of(generator), between(gentest.brightness(), tolerance=0.0))
    excesses: list[float] = []
    for start in range(0, n, block):
        excesses += [-margin for margin in judge.margins(independent(1, start, min(block, n - start)))]
    said = ", ".join(f"{sum(e > t for e in excesses)} leave by more than {t}" for t in (0.05, 0.1, 0.2, 0.3, 0.5))
    print(f"faces, {n} random paths: worst {max(excesses):.3f}; {said}", flush=True)


def planted(kind: str, rarity: float, seed: int) -> Callable[[Tensor], Tensor]:
    """A level [B] of latents [B, 64] that exceeds 0.5 with this probability under the prior."""
    rng = torch.Generator().manual_seed(seed)
    along = torch.nn.functional.normalize(torch.randn(D, generator=rng), dim=0)
    some = torch.randperm(D, generator=rng)[:3]
    if kind in ("ridge", "cliff"):
        edge = float(norm.isf(rarity))
        sharp = 2.0 if kind == "ridge" else float("inf")
        return lambda z: torch.sigmoid(sharp * (z @ along - edge)) if kind == "ridge" else (z @ along > edge).float()
    if kind == "corner":
        edge = float(norm.isf(rarity**0.5))
        return lambda z: torch.sigmoid(2.0 * (z[:, some[:2]].amin(1) - edge))
    middle = torch.nn.functional.normalize(torch.randn(3, generator=rng), dim=0) * 3.0  # ball
    radius2 = float(ncx2.ppf(rarity, df=3, nc=9.0))
    return lambda z: torch.sigmoid(2.0 * (radius2**0.5 - (z[:, some] - middle).norm(dim=1)))


@gentest.property(probes=gentest.points())
def dark(evidence: gentest.Evidence) -> Tensor:
    """No output is brighter than a half."""
    return 0.5 - evidence.scores(gentest.brightness())[:, 0]


def on_planted(seeds: int) -> None:
    """Latents until a confirmed violation, by kind, rarity and method."""
    print(f"| defect | rarity | gradient: median (most), found | evolution | random | fewer |\n{'|---' * 6}|")
    for kind in ("ridge", "ball", "corner", "cliff"):
        for rarity in RARITIES[: 2 if kind == "cliff" else None]:  # of rarer ones MOST would find one in five
            cells, best = [], float("inf")
            for differentiable in (True, False):
                taken = [_taken(kind, rarity, seed, differentiable=differentiable) for seed in range(seeds)]
                cells.append(f"{median(taken):.0f} ({max(taken):.0f}), {sum(n <= MOST for n in taken)} of {seeds}")
                best = min(best, median(taken))
            fewer = f"{1 / rarity / best:.0f} x" if best <= MOST else "-"
            print(f"| {kind} | {rarity:g} | {' | '.join(cells)} | {1 / rarity:.0f} | {fewer} |", flush=True)


def _taken(kind: str, rarity: float, seed: int, *, differentiable: bool) -> float:
    level = planted(kind, rarity, seed)

    def images(z: Tensor) -> Tensor:
        made = level(z)[:, None, None, None].expand(-1, 1, 2, 2)
        return made if differentiable else made.detach()

    generator = gentest.Generator(images, latent=gentest.Normal(D), output_range=(0, 1))
    came, made = attacked(generator, dark().definition, seed, MOST)
    return made if came.failing else float("inf")


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description="What the attack finds.")
    parser.add_argument("--only", default="faces,planted,random")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--paths", type=int, default=20_000)
    args = parser.parse_args()
    for name, run in (
        ("faces", lambda: on_faces(args.seeds)),
        ("planted", lambda: on_planted(args.seeds)),
        ("random", lambda: at_random(args.paths)),
    ):
        if name in args.only.split(","):
            started = time.monotonic()
            run()
            print(f"({name}: {time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
