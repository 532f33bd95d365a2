"""What gentest costs, and what it saves: beside the bare loop, and beside what people write today, on this machine.

    python -m tests.bench.speed [--only ROW[,ROW]] [--device cpu|cuda] [--rounds N] [--threads N] [--clip SPEC]
                                     [--json FILE] [--quick]

Both sides of a ratio run on this machine, in one run, in turn: each goes first in its turn, and the ratio is the median
of the rounds' own. It is the clock that counts, once a GPU is done; processor time with `--threads 1` on a CPU, for a
machine that others share (not of the rows that start processes: pytest, Ray). `--quick` takes sizes that mean nothing,
to try it. CLIP is a ViT-B-32 of random weights, as fast as any other, unless `--clip` names a real one
(`MODEL:PRETRAINED`, `local-dir:DIR`). Exit status 1 where a row could not be measured; a target that is missed is said,
and no failure.

Rows:

- `end-to-end`: images a second of a rate test whose budget is spent (`between(clip(...)).at_rate(...)`; planning,
  examining and calibration included), over those of the bare loop: `torch.randn`, 9 points of a line, generator,
  resize as floats with antialias, CLIP, dot product, in the batch that is fastest of several. The face GAN (64 x 64)
  and a DCGAN of 256 x 256, each with a ViT-B-32. 4,096 paths on a GPU, 128 on a CPU.
- `plain given`: paths a second of a search at each precision (planning, the pilot of `sd(2)`, calibration and all),
  over those of a plain Hypothesis test: a path a call, made in one batch and scored image by image by open_clip's own
  preprocessing, in float32. Models are loaded before. Verdicts must be the same at each precision.
- `20 attributes`: seconds of one run of pytest with a test for each of 20 CLIP attributes, over one with one test.
  Prompts are in a file; all tests pass. The whole process, and the checks alone as gentest counts them.
- `warm`: seconds of a run of pytest with `--gentest-cache` that finds everything there, over the run that filled it.
- `overhead`: microseconds a probe of 9 latents, where generator and attribute cost nothing. A search over
  `hypothesis.find` that draws as many seeds; a rate over all its latents drawn at once (`tests.bench.costs.in_bulk`).
- `reduce`: seconds from a search's counterexamples to the minimal one, of a defect planted in one of 100 coordinates,
  over a loop that makes as many images.
- `workers`: seconds of one worker over those of two, one thread each: pytest-xdist's on a suite of two generators,
  Ray's actors on one search. Verdicts must be the same.
- `memory`: the most memory of a process that looks at 100,000 probes, over one that looks at 10,000; on a GPU also that
  of a 1024 x 1024 generator with a ViT-B-32, as a share of 8 GB.
- `path length`: seconds of a perceptual path length, over the faster of torch-fidelity and torchmetrics.
- `start`: processor time of a run of pytest on an empty test, over one without the plugin.
- `page`: seconds until a browser shows the HTML page of fifty failures, over a page of the same pictures alone.

`tests.bench.gpu` has what needs a GPU.

What was tried, and what it gave:

- On two cores with AVX512_BF16 a ViT-B-32 takes 18.5 images/s in float32 at batch 32 (16.7 at 128, 11.6 at 1), autocast
  21 to 25, a copy in bfloat16 37 to 41, ONNX Runtime in float32 21 and in 8 bits 55. `torch.compile` gained nothing in
  either precision, and mkldnn's implicit bfloat16 (`fp32_precision`) neither.
- A tower in 8 bits with one scale for all activations (onnxruntime's dynamic quantisation) is the fastest, 55
  images/s, and screens nothing with real weights (`gentest.attributes.clip.low_precision`); one with a scale for 32
  numbers takes a search of 300 paths to 2.0 times the plain `@given`, the bfloat16 copy to 2.6. Of 107 s that this
  takes, about 29 are in full precision whatever the copy costs: the pilot of `sd(2)` (256 images), and 16 probes
  on which its error is measured.
- Blocks of single outputs, by which rounding is measured, were made for each property: 20 attributes cost 1.9 times
  one.
- Latents placed a batch at a time cost 8 us a probe more than 256 KiB of them at a time; whole blocks, as much again,
  since large temporaries leave the cache. NumPy's global random state takes 0.1 ms to save and restore: once a block,
  not a call.
- Margins and probes of a rate were kept for ever: 0.5 KB a probe.
- Of a rate at d = 128, Philox and the inverse CDF take 0.7 times as long as the whole bulk floor. A split of the
  inverse CDF into centre and tails, smaller pieces and buffers for great circles gained nothing.
  `Generator.random(out=row)` gains a tenth of Philox, but NumPy guarantees its bits to bit generators alone. Batches of
  2,048 tiny outputs and blocks of 512 probes gained a fifth of a rate.
- Hypothesis takes 20 us an example for each map of a strategy.
- Of a path length of 512 paths of the tiny DCGAN, the examination (37 images, 5 of them alone) takes 4.2 %,
  identities 1.4 %, drawing 1.8 % and the rest of gentest 2.7 %. Of a rate of 128 paths with CLIP, 105 of 1,257 images
  are fixed: 37 of the examination, 36 alone for the rounding of scores, 9 of a search, 23 of the audit.
- By default glibc gives freed memory back. Large temporaries then cost page faults, which are half the time of the bulk
  floor: with `MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_` of 1 GB it takes 6.7 instead of 11.6 us a probe, and
  gentest 23 instead of 24.
- An OrderedDict of blocks hashed every probe of every key at each look: 19 of 66 us a probe at 8,000 probes. A
  dictionary does not.
"""

# ruff: noqa: T201 - it prints a table
from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.bench import costs, loops, opening, startup, suites
from tests.bench.figures import Asked, Figure


def _path_length(asked: Asked) -> Iterator[Figure]:
    try:
        from tests.bench.path_length import path_length
    except ImportError as error:
        yield Figure("path length", note=f"skipped: needs {error.name}: pip install torch-fidelity torchmetrics")
        return
    yield from path_length(asked)


ROWS: dict[str, Callable[[Asked], Iterator[Figure]]] = {
    "end-to-end": loops.end_to_end,
    "plain given": loops.plain_given,
    "20 attributes": suites.attributes,
    "warm": suites.warm,
    "overhead": costs.overhead,
    "reduce": costs.reduction,
    "workers": suites.workers,
    "memory": costs.memory,
    "path length": _path_length,
    "start": startup.start,
    "page": opening.page_of_failures,
}
COLUMNS = ("row", "what", "gentest", "other", "ratio", "target", "met", "note")


def rows(text: str) -> list[str]:
    """Names of rows with commas between them, checked."""
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"no row {unknown[0]!r}; the rows are {', '.join(ROWS)}")
    return names


def at_least_one(text: str) -> int:
    """A whole number >= 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number >= 1 but got {text!r}")
    return int(text)


def number(value: float | None, unit: str = "") -> str:
    """A figure in three digits."""
    if value is None:
        return ""
    return f"{value:,.0f} {unit}".strip() if abs(value) >= 100 else f"{value:.3g} {unit}".strip()


def judged(figure: Figure, *, quick: bool) -> bool | None:
    """Whether a figure meets its target; a quick one neither meets it nor misses it."""
    return None if quick else figure.met


def cells(row: str, figure: Figure, *, quick: bool) -> list[str]:
    """A figure as a line of the table."""
    met = {None: "", True: "met", False: "MISSED"}[judged(figure, quick=quick)]
    target = str(figure.target or "")
    own, other = number(figure.ours, figure.unit), number(figure.other, figure.unit)
    return [row, figure.what, own, other, number(figure.ratio), target, met, figure.note]


def machine(asked: Asked) -> str:
    """What the figures are of."""
    name = torch.cuda.get_device_name(asked.device) if asked.on_gpu else platform.processor() or platform.machine()
    return f"{asked.device} ({name}), {asked.threads} threads of {os.cpu_count()} cores, torch {torch.__version__}"


def measured(name: str, asked: Asked) -> tuple[list[Figure], bool]:
    """A row's figures, and whether all of it could be measured."""
    figures: list[Figure] = []
    try:
        for figure in ROWS[name](asked):
            figures.append(figure)
            print("  ".join(filter(None, cells(name, figure, quick=asked.quick))), file=sys.stderr, flush=True)
    except Exception as error:
        traceback.print_exc()
        return [*figures, Figure("failed", note=f"{type(error).__name__}: {error}".splitlines()[0][:200])], False
    return figures, True


def main() -> None:
    """Measure the rows that were asked for, and print a table of them."""
    parser = argparse.ArgumentParser(description="What gentest costs and saves.")
    parser.add_argument("--only", type=rows, default=list(ROWS), metavar="ROW[,ROW]", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=at_least_one, default=3)
    parser.add_argument("--threads", type=at_least_one, default=torch.get_num_threads())
    parser.add_argument("--clip", metavar="SPEC", help="a real CLIP instead of one of random weights")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="sizes that mean nothing, to try it")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device is here")
    torch.set_num_threads(args.threads)
    asked = Asked(torch.device(args.device), args.rounds, args.quick, args.threads, args.clip)
    started, found = time.monotonic(), {name: measured(name, asked) for name in args.only}
    table = Table(*COLUMNS, title=machine(asked), caption=f"{args.rounds} rounds, {time.monotonic() - started:.0f} s")
    for name, (figures, _) in found.items():
        for figure in figures:
            table.add_row(*cells(name, figure, quick=args.quick))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    if args.json:
        written = [
            asdict(f) | {"row": name, "met": judged(f, quick=args.quick)}
            for name, (figures, _) in found.items()
            for f in figures
        ]
        args.json.write_text(json.dumps({"machine": machine(asked), "quick": args.quick, "rows": written}, indent=1))
    sys.exit(0 if all(whole for _, whole in found.values()) else 1)


if __name__ == "__main__":
    main()
