"""Rows `overhead`, `reduce` and `memory`: what gentest itself takes, where models take nothing or next to it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

import gentest
from tests.bench import models
from tests.bench.figures import NEVER, Asked, Figure, Target, in_turn, sound, spent

ROOT = Path(__file__).parents[2]


def overhead(asked: Asked) -> Iterator[Figure]:
    """Microseconds a probe, of 9-point paths through a generator and an attribute that cost nothing."""
    free = {dim: gentest.Generator(models.free, latent=gentest.Normal(dim), output_range=(0, 1)) for dim in (128, 512)}
    own, device = gentest.between(models.nothing, tolerance=1.0), str(asked.device)

    def search(dim: int, n: int) -> float:
        looks = gentest.settings(examples=n, device=device)
        seconds = asked.seconds(lambda: results.append(sound(own.check(free[dim], settings=looks))))
        if results[-1].examples != n:
            raise RuntimeError(f"{results[-1].examples} examples were looked at, of {n}")
        return seconds / n * 1e6

    def rate(dim: int, n: int) -> float:
        looks = gentest.settings(examples=1, budget=n, device=device)
        seconds = asked.seconds(lambda: spent(own.at_rate(NEVER).check(free[dim], settings=looks), n))
        return seconds / n * 1e6

    results: list[gentest.Result] = []
    search(128, 4), rate(128, 16)
    examples, budget = ((40, 80), 160) if asked.quick else ((300, 2000), 8000)
    for n in examples:
        took = in_turn({"": lambda n=n: search(128, n)}, asked.rounds)[""]
        yield Figure(f"search, {n} probes, d = 128", median(took), unit="us/probe", target=Target(1000, "at most"))
    for dim, bound in ((128, 50), (512, 200)):
        took = in_turn({"": lambda dim=dim: rate(dim, budget)}, asked.rounds)[""]
        yield Figure(
            f"rate, {budget} probes, d = {dim}", median(took), unit="us/probe", target=Target(bound, "at most")
        )


def reduction(asked: Asked) -> Iterator[Figure]:
    """Seconds from the counterexamples of a search to the minimal one: a check with reduction less one without."""
    net, dim = (models.dcgan(100, 64, 64), 100) if not asked.quick else (models.dcgan(16, 16, 8), 16)
    generator = models.generator(models.Planted(net, 7, 0.8), dim)
    own, n = gentest.between(gentest.brightness(), tolerance=0.1), 40 if asked.quick else 300
    results: dict[int, gentest.Result] = {}

    def check(reduce: int) -> float:
        looks = gentest.settings(examples=n, reduce=reduce, device=str(asked.device))
        return asked.seconds(lambda: results.update({reduce: sound(own.check(generator, settings=looks))}))

    check(0)
    found = in_turn({"with": lambda: check(256), "without": lambda: check(0)}, asked.rounds)
    reduced = results[256].counterexample
    if reduced is None:
        raise RuntimeError(f"the planted defect was not found: {results[256]}")
    took = median(a - b for a, b in zip(found["with"], found["without"], strict=True))
    note = f"{results[256].violations} of {n} violate; {results[256].images - results[0].images} images; "
    note += f"down to {len(reduced.groups)} of {reduced.n_groups} groups, whole check {median(found['with']):.2f} s"
    target = Target(5, "at most") if asked.on_gpu else None
    yield Figure("to the minimal counterexample", took, unit="s", target=target, note=note)


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
    if not asked.on_gpu:
        yield Figure("1024 x 1024 + ViT-B-32 in 8 GB", note="skipped: needs a CUDA device")
        return
    came = _in_a_process("large", asked, 16 if asked.quick else 300)
    note = str(came["message"]) or f"finished ({came['verdict']}) at {came['batch']} images a call"
    bound = Target(LIMIT / MIB, "at most")
    yield Figure("1024 x 1024 + ViT-B-32 in 8 GB", came["device"] if came["finished"] else None, unit="MiB",
                 target=bound, note=note)  # fmt: skip


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
