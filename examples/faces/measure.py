"""Measures the face GAN beyond pass and fail, and checks a claim about each figure.

    pip install -e '.[faces,directions]'
    python examples/faces/measure.py
    python examples/faces/measure.py --only matches --clip local-dir:DIR

It has four parts; `--only` runs one of them:

- `radius`: the distance from the middle of the latent space up to which the brightness of a path stays between its
  values at the ends (within 0.05), on 95 % of paths and on 90 %.
- `direction`: a direction that brightens a face and keeps its sharpness, against one found without `keeps` and against
  a random one. `--save FILE` saves the first; `--save brighter.json` wrote `brighter.json`, with the defaults.
- `matches`: the GAN against itself on several seeds, and against copies with Gaussian noise on every weight, as in
  `gate.py`: in pixels, and in CLIP's embeddings if `--clip` names a model.
- `length`: its path length in pixels, of great circles at their ends.

It takes some five minutes on two cores without CLIP, and exits with status 1 if a claim fails.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gate import OWN, perturbed
from scipy.stats import binom

import gentest
from conftest import faces, weights

Claims = dict[str, bool]
"""The claims of a part, and whether each holds."""

REACH = 2.0
AT_LEAST = gentest.sd(1)
TOLERANCE = gentest.sd(1.5)
RATE = 0.9
"""Numbers of the property `steers`. They come from the latents of `moved`, which no seed of gentest's draws: nearly all
of those rise by a standard deviation over `REACH`, and nearly all keep their sharpness within one and a half."""
STRENGTHS = (0.02, 0.05, 0.1, 0.3, 0.6)
ALPHA = 0.01
"""Rate at which `matches` calls two samples of one distribution different."""


def radius(args: argparse.Namespace) -> Claims:
    """The radius up to which `between` holds, at two rates."""
    generator, claims = faces(weights(OWN)), Claims()
    between = gentest.between(gentest.brightness(), tolerance=0.05)
    looks = gentest.settings(examples=1, reduce=0, budget=args.budget, seed=args.seed)
    print(f"{'rate':>5}  {'within 1':<10} {'passes':>12}  {'certified':>9} {'rays':>5}  {'there':<10} {'passes':>12}")
    for p0 in (0.95, 0.9):
        result = gentest.holds_within(between, radius=1.0).at_rate(p0).check(generator, settings=looks)
        rate, found = result.rate, result.radius
        if rate is None:
            raise SystemExit(result.message)
        line = f"{p0:>5}  {result.verdict.value:<10} {rate.passes:>5} of {rate.probes:<4}"
        if found is not None:
            line += f"  {found.certified:>9.3f} {found.rays:>5}"
        if found is not None and (fresh := found.confirmed) is not None:
            line += f"  {fresh.verdict.value:<10} {fresh.passes:>5} of {fresh.probes:<4}"
        print(line, flush=True)
        if p0 == 0.95:
            within = found is not None and 0 < found.certified < 1 and found.confirmed is not None
            claims["brightness is between on 95 % of paths within some radius, not within 1"] = (
                within and result.verdict is gentest.Verdict.VIOLATED
            )
            claims["fresh rays do not refute that radius"] = (
                within and found.confirmed.verdict is not gentest.Verdict.VIOLATED  # type: ignore[union-attr]
            )
    return claims


def moved(generator: gentest.Generator, direction: gentest.Direction, n: int) -> dict[str, np.ndarray]:
    """Change [n] of each attribute as `n` latents move by `REACH` along a direction, in its standard deviations."""
    z = torch.randn(n, 100, 1, 1, generator=torch.Generator().manual_seed(0))
    far = z + REACH * torch.from_numpy(direction.vector.copy())
    attributes = {"brightness": gentest.brightness(), "sharpness": gentest.sharpness()}
    scores: dict[str, list[np.ndarray]] = {name: [] for name in attributes}
    with torch.no_grad():
        for places in (z, far):
            images = torch.cat([generator.outputs({"": part}) for part in torch.split(places, 64)])
            for name, attribute in attributes.items():
                scores[name].append(attribute(images).double().numpy())
    return {name: (after - before) / before.std() for name, (before, after) in scores.items()}


def direction(args: argparse.Namespace) -> Claims:
    """Directions for brightness, on other latents: the attributes that they move, and whether they steer."""
    generator = faces(weights(OWN))
    brightness, sharpness = gentest.brightness(), gentest.sharpness()
    find = {"n": args.samples, "seed": args.seed}
    found = {
        "keeps sharpness": gentest.find_direction(generator, brightness, keeps=[sharpness], **find),
        "keeps nothing": gentest.find_direction(generator, brightness, **find),
        "random": gentest.Direction(torch.randn(100, 1, 1, generator=torch.Generator().manual_seed(args.seed))),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = args.save or Path(folder) / "brighter.json"
        found["keeps sharpness"].save(path)
        print(f"{found['keeps sharpness']!r}, {path.stat().st_size} bytes, seed {args.seed}, {args.samples} samples")
    print(f"moves over {REACH:g}, in sd of {args.others} other latents; steers up {AT_LEAST}, keeps {TOLERANCE}")
    print(
        f"{'direction':<16} {'accuracy':>8}  {'brighter by':>11} {'99 % by':>8}"
        f"  {'sharpness by':>12} {'99 % within':>11}  {'search':<18} at {RATE}"
    )
    means, verdicts = {}, {}
    looks = gentest.settings(examples=args.examples, seed=args.seed + 1, reduce=0)
    for name, way in found.items():
        moves = moved(generator, way, args.others)
        means[name] = float(moves["sharpness"].mean())
        steers = gentest.steers(
            brightness, along=way, at_least=AT_LEAST, keeps=[sharpness], tolerance=TOLERANCE, reach=REACH
        )
        result = steers.at_rate(RATE).check(generator, settings=looks)
        verdicts[name], rate = result.verdict, result.rate
        if rate is None:
            raise SystemExit(result.message)
        accuracy = "" if way.accuracy is None else f"{way.accuracy:.3f}"
        print(
            f"{name:<16} {accuracy:>8}  {moves['brightness'].mean():>+11.2f}"
            f" {np.quantile(moves['brightness'], 0.01):>+8.2f}"
            f"  {means[name]:>+12.2f} {np.quantile(np.abs(moves['sharpness']), 0.99):>11.2f}"
            f"  {result.violations:>3} of {result.examples} violate"
            f"  {result.verdict.value}: {rate.passes} of {rate.probes}",
            flush=True,
        )
    return {
        "the direction that keeps sharpness steers brightness": verdicts["keeps sharpness"] is gentest.Verdict.HOLDS,
        "a random one does not": verdicts["random"] is gentest.Verdict.VIOLATED,
        "sharpness moves less in the mean where it was kept": (
            abs(means["keeps sharpness"]) < abs(means["keeps nothing"])
        ),
    }


def matches(args: argparse.Namespace) -> Claims:
    """The GAN against itself and against noisy copies."""
    own = faces(weights(OWN))
    features: dict[str, gentest.Feature] = {"pixels": gentest.pixels()}
    features |= {"clip": gentest.clip_embedding()} if args.clip else {}
    claims = Claims()
    print(f"{'feature':<8} {'noise':>5} {'seed':>4}  {'verdict':<18} {'MMD^2':>9} {'p':>6} {'below, 99 %':>11}")
    for name, feature in features.items():
        asked = [(0.0, seed) for seed in range(args.seed, args.seed + args.seeds)]
        asked += [(strength, args.seed) for strength in STRENGTHS]
        verdicts: dict[float, list[gentest.Verdict]] = {}
        for strength, seed in asked:
            looks = gentest.settings(seed=seed, clip=args.clip)
            candidate = faces(perturbed(strength)) if strength else own
            result = gentest.matches(own, feature=feature, n=args.outputs).check(candidate, settings=looks)
            found = result.distribution
            if found is None:
                raise SystemExit(result.message)
            verdicts.setdefault(strength, []).append(result.verdict)
            print(
                f"{name:<8} {strength:>5} {seed:>4}  {result.verdict.value:<18} {found.mmd2:>+9.5f} {found.p:>6.3f}"
                f" {found.bound:>11.5f}",
                flush=True,
            )
        wrong = verdicts[0.0].count(gentest.Verdict.VIOLATED)
        claims[
            f"in {name} {wrong} of {args.seeds} seeds call the GAN different from itself, which 1 % a seed explains"
        ] = float(binom.sf(wrong - 1, args.seeds, ALPHA)) >= ALPHA
        claims[f"in {name} noise of {STRENGTHS[-1]} on the weights is found"] = verdicts[STRENGTHS[-1]] == [
            gentest.Verdict.VIOLATED
        ]
    return claims


def length(args: argparse.Namespace) -> Claims:
    """The path length in pixels: of the GAN on two seeds, of its truncation, and of noisy weights."""
    own = faces(weights(OWN))
    asked = {"the GAN": own, "truncated(0.7)": own.truncated(0.7), "noise 0.6": faces(perturbed(0.6))}
    for name, generator in asked.items():
        measured = [
            gentest.perceptual_path_length(generator, distance=gentest.pixels(), n=args.paths, seed=seed)
            for seed in (args.seed, args.seed + 1)
        ]
        print(f"{name:<15} {measured[0]}, on another seed {measured[1]}", flush=True)
        if generator is own:
            first, second = measured
    error = (first.standard_error**2 + second.standard_error**2) ** 0.5
    return {"two seeds give the same path length within 4 standard errors": abs(first.mean - second.mean) < 4 * error}


PARTS: dict[str, Callable[[argparse.Namespace], Claims]] = {
    "radius": radius,
    "direction": direction,
    "matches": matches,
    "length": length,
}


def main() -> None:
    """Measure, print, and say which claims hold."""
    parser = argparse.ArgumentParser(description="Measures of the face GAN.")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=1024, help="independent paths that a rate may use")
    parser.add_argument("--samples", type=int, default=2048, help="latents to find a direction from")
    parser.add_argument("--others", type=int, default=512, help="other latents to measure it on")
    parser.add_argument("--examples", type=int, default=300, help="probes of the search along a direction")
    parser.add_argument("--save", type=Path, help="save the direction that keeps sharpness")
    parser.add_argument("--outputs", type=int, default=512, help="outputs to compare on each side, at least 256")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the GAN against itself")
    parser.add_argument("--clip", help="MODEL:PRETRAINED or local-dir:DIR, for distances in CLIP's embeddings")
    parser.add_argument("--paths", type=int, default=1000, help="paths to average a length over")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    claims = Claims()
    for name in args.only:
        print(f"--- {name}", flush=True)
        started = time.monotonic()
        claims |= PARTS[name](args)
        print(f"{time.monotonic() - started:.0f} s", flush=True)
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}  {claim}")
    sys.exit(0 if all(claims.values()) else 1)


if __name__ == "__main__":
    main()
