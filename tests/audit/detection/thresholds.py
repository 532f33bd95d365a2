"""The numbers of the suites, measured on the good checkpoint alone.

Probes are of `gentest.suggest`'s own stream, latents of a seed that the bench does not use; see `models` for
what is made of them.
"""

# ruff: noqa: T201
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import gentest
from tests.audit.detection.models import FACES, HERE, WEIGHTS, Model

SEED = 1
LATENTS = 512
TAIL = 0.025
REACH = 2.0
FOUND = "brighter_garments.json"


def report(model: Model) -> None:
    """Prints what `gentest.suggest` says of the good checkpoint, and what its direction and its outputs do."""
    generator = model.generator(model.module(model.good()))
    for found in gentest.suggest(generator, [gentest.brightness()], rate=0.95):
        if found.figures is None:
            print(found.line or found.why)
        else:
            print(f"{found.line}; worst {found.figures.worst:.3g}")
    path = FACES / "brighter.json" if model.name == "faces" else HERE / FOUND
    direction = gentest.Direction.load(path)
    for name, moves in moved(model, generator, direction).items():
        shown = ", ".join(f"{q:.1%}: {np.quantile(moves, q):+.2f}" for q in (TAIL, 0.5, 1 - TAIL))
        print(f"along {path.name}, {name} moves by sd of {shown}; |move| {np.quantile(abs(moves), 1 - TAIL):.2f}")
    if model.clip is not None:
        real = np.load(WEIGHTS / "fashion_test_images.npz")["images"]
        looks = gentest.settings(seed=SEED, clip=model.clip)
        matches = gentest.matches(real, feature=gentest.clip_embedding()).check(generator, settings=looks)
        if matches.distribution is None:
            raise SystemExit(matches.message)
        print(f"to real images: MMD^2 {matches.distribution.mmd2:.4f}, below {matches.distribution.bound:.4f}")


def find(model: Model, path: Path) -> None:
    """Finds the direction that brightens garments and keeps their sharpness, and saves it."""
    generator = model.generator(model.module(model.good()))
    keeps = [gentest.sharpness()]
    found = gentest.find_direction(generator, gentest.brightness(), keeps=keeps, seed=SEED, part=model.continuous)
    found.save(path)
    print(f"{found!r} in {path.name}")


def moved(model: Model, generator: gentest.Generator, direction: gentest.Direction) -> dict[str, NDArray[np.float64]]:
    """By how much brightness rises, and sharpness moves, over `REACH`: [LATENTS] in standard deviations of each."""
    here = model.inputs(LATENTS, seed=SEED)
    part = model.continuous
    there = {**here, part: here[part] + REACH * torch.from_numpy(direction.vector.copy())}
    with torch.no_grad():
        images = [generator.outputs(latents) for latents in (here, there)]
    scores = {a.name: [a(i).double().numpy() for i in images] for a in (gentest.brightness(), gentest.sharpness())}
    return {name: np.asarray((after - before) / before.std()) for name, (before, after) in scores.items()}
