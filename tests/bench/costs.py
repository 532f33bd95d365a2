"""Rows `overhead`, `reduce` and `memory`: what gentest itself takes, where models take nothing or next to it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from scipy.special import ndtri

import gentest
from gentest.engine.evidence.maker import LARGEST_BATCH
from tests.bench import models
from tests.bench.figures import NEVER, Asked, Figure, Target, compared, in_turn, sound, spent

ROOT = Path(__file__).parents[2]


def overhead(asked: Asked) -> Iterator[Figure]:
    """Microseconds a probe, of 9-point paths through a generator and an attribute that cost nothing.

    A search beside `hypothesis.find` that draws as many seeds, and a rate beside `in_bulk`.
    """
    free = {dim: gentest.Generator(models.free, latent=gentest.Normal(dim), output_range=(0, 1)) for dim in (128, 512)}
    own, device = gentest.between(models.nothing, tolerance=1.0), str(asked.device)
    seeds = count(1)  # each search and rate looks at probes of its own

    def search(dim: int, n: int) -> float:
        looks = gentest.settings(examples=n, device=device, seed=next(seeds))
        results: list[gentest.Result] = []
        seconds = asked.seconds(lambda: results.append(sound(own.check(free[dim], settings=looks))))
        if results[-1].examples != n:
            raise RuntimeError(f"{results[-1].examples} examples were looked at, of {n}")
        return seconds / n * 1e6

    def rate(dim: int, n: int) -> float:
        looks = gentest.settings(examples=1, budget=n, device=device, seed=next(seeds))
        seconds = asked.seconds(lambda: spent(own.at_rate(NEVER).check(free[dim], settings=looks), n))
        return seconds / n * 1e6

    search(128, 4), rate(128, 16)
    for n in (40, 80) if asked.quick else (300, 2000):
        ways = {
            "gentest": lambda n=n: search(128, n),
            "find": lambda n=n: asked.seconds(lambda: drawn_by_find(n, next(seeds))) / n * 1e6,
        }
        found = in_turn(ways, asked.rounds)
        yield compared(f"search, {n} probes, d = 128, against hypothesis.find", found["gentest"], found["find"],
                       unit="us/probe", target=Target(1.3, "at most"))  # fmt: skip
    budget = 160 if asked.quick else 8000
    for dim, bound in ((128, 2.0), (512, 1.5)):
        ways = {
            "gentest": lambda dim=dim: rate(dim, budget),
            "bulk": lambda dim=dim: asked.seconds(lambda: in_bulk(dim, budget, asked.device, next(seeds))) / budget
            * 1e6,
        }  # fmt: skip
        found = in_turn(ways, asked.rounds)
        yield compared(f"rate, {budget} probes, d = {dim}, against bulk", found["gentest"], found["bulk"],
                       unit="us/probe", target=Target(bound, "at most"))  # fmt: skip


def drawn_by_find(n: int, seed: int) -> None:
    """What Hypothesis itself takes to draw `n` distinct seeds of 64 bits. Raises `RuntimeError` if it draws fewer."""
    drawn: set[int] = set()

    def is_last(number: int) -> bool:
        drawn.add(number)
        return len(drawn) == n

    quiet = settings(
        max_examples=4 * n, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    find(st.integers(0, 2**64 - 1), is_last, settings=quiet, random=Random(seed))
    if len(drawn) != n:
        raise RuntimeError(f"hypothesis.find drew {len(drawn)} seeds, of {n}")


def in_bulk(dim: int, n: int, device: torch.device, seed: int) -> None:
    """The same work without probes: the ends of all `n` paths at once, their 9 points, and the free generator.

    NumPy draws uniforms and maps them by the inverse CDF in float64, as any seed's are. torch walks the great circles
    in float32, which gentest does in float64. The generator gets 128 latents at once, 256 on a GPU.
    """
    ends = ndtri(np.random.Generator(np.random.Philox(seed)).random((2, n, dim)))
    near, far = torch.from_numpy(ends).float().to(device)
    t = torch.linspace(0, 1, 9, device=device)
    lengths = [z.norm(dim=1, keepdim=True) for z in (near, far)]
    angle = (near / lengths[0] * (far / lengths[1])).sum(1, keepdim=True).clamp(-1, 1).acos()
    length = (lengths[0] * (1 - t) + lengths[1] * t) / angle.sin()  # [n, 9]
    path = near[:, None] * (((1 - t) * angle).sin() * length / lengths[0])[..., None]
    path += far[:, None] * ((t * angle).sin() * length / lengths[1])[..., None]
    for batch in path.flatten(0, 1).split(LARGEST_BATCH[device.type]):
        models.nothing(models.free(batch))


def reduction(asked: Asked) -> Iterator[Figure]:
    """Seconds from the counterexamples of a search to the minimal one, beside a loop that makes as many images.

    gentest's are those of a check with reduction less one without.
    """
    net, dim = (models.dcgan(100, 64, 64), 100) if not asked.quick else (models.dcgan(16, 16, 8), 16)
    generator = models.generator(models.Planted(net, 7, 0.8), dim)
    own, n = gentest.between(gentest.brightness(), tolerance=0.1), 40 if asked.quick else 300
    results: dict[int, gentest.Result] = {}

    def check(reduce: int) -> float:
        looks = gentest.settings(examples=n, reduce=reduce, device=str(asked.device))
        return asked.seconds(lambda: results.update({reduce: sound(own.check(generator, settings=looks))}))

    def loop(n_images: int) -> None:
        score = gentest.brightness()
        with torch.inference_mode():
            for z in torch.randn(n_images, dim, device=asked.device).split(LARGEST_BATCH[asked.device.type]):
                score((generator.function(z) + 1) / 2)

    check(256), check(0)
    n_images = results[256].images - results[0].images
    ways = {"with": lambda: check(256), "without": lambda: check(0)}
    found = in_turn(ways | {"loop": lambda: asked.seconds(lambda: loop(n_images))}, asked.rounds)
    reduced = results[256].counterexample
    if reduced is None:
        raise RuntimeError(f"the planted defect was not found: {results[256]}")
    took = [a - b for a, b in zip(found["with"], found["without"], strict=True)]
    note = f"{results[256].violations} of {n} violate; {n_images} images; "
    note += f"down to {len(reduced.groups)} of {reduced.n_groups} groups, whole check {median(found['with']):.2f} s"
    yield compared("to the minimal counterexample, against a loop", took, found["loop"], unit="s",
                   target=Target(2, "at most"), note=note)  # fmt: skip


MIB = 1 << 20
LIMIT = 8 << 30
"""Bytes of the device that the largest run may take."""
KEPT = 64
"""MiB of outputs and measurements that the runs of the row `memory` may keep, so that both keep as much."""


def memory(asked: Asked) -> Iterator[Figure]:
    """The most memory that a rate takes: ten times as many probes, in a process of its own, beside fewer."""
    few, many = (200, 2000) if asked.quick else (10_000, 100_000)
    peaks = {n: _in_a_process("peak", asked, n) for n in (few, many)}
    at = f"both may keep {KEPT} MiB"
    for what in ("host", "device") if asked.on_gpu else ("host",):
        less, more = peaks[few][what], peaks[many][what]
        grown = f"{more - less:+.0f} MiB; {at}"
        what = f"peak on the {what}, {many:,} probes against {few:,}"
        yield Figure(what, more, less, "MiB", more / less, Target(1.05, "at most"), grown)
    yield from large(asked, 16 if asked.quick else 300)


def large(asked: Asked, n: int) -> Iterator[Figure]:
    """The memory of a search with a 1024 x 1024 generator and a ViT-B-32 on a device of 8 GB, as a share of it."""
    what = "1024 x 1024 + ViT-B-32 in 8 GB"
    if not asked.on_gpu:
        yield Figure(what, note="skipped: needs a CUDA device")
        return
    came = _in_a_process("large", asked, n)
    note = str(came["message"]) or f"finished ({came['verdict']}) at {came['batch']} images a call"
    used = came["device"] if came["finished"] else None
    ratio = None if used is None else used * MIB / LIMIT
    yield Figure(what, used, LIMIT / MIB, "MiB", ratio, Target(1, "at most"), note)


def _in_a_process(what: str, asked: Asked, n: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.costs", what, str(asked.device), str(n), asked.clip or ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _peaks(device: torch.device) -> dict[str, Any]:
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"host": host} | ({"device": torch.cuda.max_memory_allocated() / MIB} if device.type == "cuda" else {})


def _peak(device: torch.device, n: int) -> dict[str, Any]:
    """A rate of so many probes of images that are not free: 9 of 3 x 32 x 32 are 110 KB."""
    own = gentest.between(gentest.brightness(), tolerance=1.0).at_rate(NEVER)
    looks = gentest.settings(examples=1, budget=n, device=str(device), memory=KEPT)
    spent(own.check(models.generator(models.linear(64, 32), 64), settings=looks), n)
    return _peaks(device)


def _large(device: torch.device, n: int, clip: str) -> dict[str, Any]:
    """Whether a search with a large generator and a ViT-B-32 finishes on a small device."""
    share = LIMIT / torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(share, 1.0), device)
    with tempfile.TemporaryDirectory() as folder:
        spec = clip or models.write_clip(Path(folder), small=False)
        own = gentest.between(gentest.clip(*models.PROMPTS), tolerance=gentest.sd(2))
        result = own.check(
            models.named("large1024"), settings=gentest.settings(examples=n, clip=spec, device=str(device))
        )
    finished = result.verdict is not gentest.Verdict.ERROR
    batch = round(result.images / max(result.generator_calls, 1), 1)
    said = {"finished": finished, "message": result.message, "verdict": result.verdict.value, "batch": batch}
    return _peaks(device) | said


if __name__ == "__main__":
    what, name, count, spec = sys.argv[1:]
    on = torch.device(name)
    print(json.dumps(_peak(on, int(count)) if what == "peak" else _large(on, int(count), spec)))  # noqa: T201
