"""Everything that only a GPU can answer, in one command of at most eight minutes.

    python -m tests.bench.gpu [--device cuda|cpu] [--json FILE] [--minutes N] [--only ROW[,ROW]] [--clip SPEC] [--quick]

Each row runs in a process of its own, so that none can spoil another, and gets the minutes that are left divided among
the rows to come. A row that cannot run says why, and the command goes on. Figures of a row that was stopped count as
far as they came. `--device cpu --quick` rehearses all of it on small models, whose figures mean nothing.
`tests/bench/wheels.sh` collects what a machine without a network needs.

The JSON has the device, each figure, and the profile: the shares of generator, CLIP, transfers and gentest in a rate.
Exit status 1 if a row ended in an error.

Rows:

- `tests`: those marked `gpu`.
- `verdicts`: verdict, counterexample and margin of five checks, equal to the CPU's.
- `end to end B-32`, `end to end L-14`: images a second of a rate, over those of the bare loop with the same tower, on
  generators of 64 x 64 and 256 x 256, in full precision and in bf16 (`tests.bench.loops`).
- `plain given`: paths a second over those of a plain Hypothesis test that scores image by image.
- `large`: a 1024 x 1024 generator with a ViT-B-32 within 8 GB.
- `pairs`: the largest difference between CPU and GPU, and between float32 and bfloat16, on the face GAN.
- `reduce`: seconds to the minimal counterexample, over those of a loop that makes as many images.
- `profile`: the shares of time in a rate, with the device waited for at each border.
- `towers`: images a second of the image tower as gentest runs it, over those of other ways to run it: channels last,
  autocast, `torch.compile`, CUDA graphs. A way that is faster here is worth a setting.
"""

# ruff: noqa: T201 - it prints a table
from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gentest
from gentest.attributes.clip.model import ClipModel, load_clip
from gentest.engine.evidence import maker
from tests.bench import costs, loops, models
from tests.bench.figures import NEVER, Asked, Figure, Target, compared, in_turn, sound, spent
from tests.bench.speed import COLUMNS, cells, judged, machine

ROOT = Path(__file__).parents[2]
MARKER = "mark.gpu"
LEAST_SECONDS = 20.0
"""A row with less time is not started."""
PRECISIONS = ("full", "bf16")


def gpu_tests(asked: Asked, clip: str) -> Iterator[Figure]:
    """The tests that are marked `gpu`: how many passed, of those that ran."""
    files = sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py") if MARKER in path.read_text("utf-8"))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    if done.returncode:
        raise RuntimeError(f"pytest -m gpu: {last}\n{done.stdout[-4000:]}")
    if " passed" not in last:
        yield Figure("tests marked gpu", note=f"skipped: none can run here ({last})")
        return
    n = float(last.split(" passed")[0].split()[-1])
    yield Figure("tests marked gpu", n, unit="passed", ratio=1.0, target=Target(1), note=last)


def verdicts(asked: Asked, clip: str) -> Iterator[Figure]:
    """Five checks on the device and on the CPU: how many of them decide the same, by the same counterexample.

    Without a GPU, the other side is the same CPU in batches of seven.
    """
    dim = 16 if asked.quick else 100
    net = models.dcgan(16, 16, 8) if asked.quick else models.dcgan(100, 64, 64)
    planted = models.Planted(net, 7, 0.8)
    n = 40 if asked.quick else 300
    checks = {
        "a planted defect": (planted, gentest.between(gentest.brightness(), tolerance=0.1)),
        "a property that holds": (net, gentest.between(gentest.brightness(), tolerance=0.9)),
        "a tolerance near the margins": (net, gentest.between(gentest.brightness(), tolerance=0.001)),
        "jumps": (planted, gentest.continuous(tolerance=0.2)),
        "a rate": (net, gentest.between(gentest.brightness(), tolerance=0.9).at_rate(0.9)),
    }
    other = {"device": "cpu"} if asked.on_gpu else {"device": "cpu", "batch_size": 7}
    differ = []
    for name, (made, own) in checks.items():
        sides = []
        for where in ({"device": str(asked.device)}, other):
            looks = gentest.settings(examples=n, budget=16 * n, **where)  # type: ignore[arg-type]
            sides.append(sound(own.check(models.generator(copy.deepcopy(made), dim), settings=looks)))
        if _decided(sides[0]) != _decided(sides[1]) or not _as_near(*sides):
            differ.append(f"{name}: {_decided(sides[0])} against {_decided(sides[1])}")
    against = "the CPU" if asked.on_gpu else "the same CPU in batches of 7 (needs a CUDA device for more)"
    note = "; ".join(differ) or f"all equal to those of {against}"
    same = len(checks) - len(differ)
    yield Figure("verdicts and counterexamples", same, len(checks), "equal", same / len(checks), Target(1), note)


def _decided(result: gentest.Result) -> tuple[object, ...]:
    found, rate = result.counterexample, result.rate
    counts = None if rate is None else (rate.verdict.value, rate.passes, rate.probes)
    return result.verdict.value, None if found is None else found.replay, result.violations, counts


def _as_near(one: gentest.Result, other: gentest.Result) -> bool:
    """Whether two minimal counterexamples have the same margin, up to what hardware rounds."""
    if one.counterexample is None or other.counterexample is None:
        return one.counterexample is other.counterexample
    return abs(one.counterexample.margin - other.counterexample.margin) < 1e-4


def end_to_end(architecture: str) -> Callable[[Asked, str], Iterator[Figure]]:
    """The row of one CLIP: generators of 64 x 64 and 256 x 256, each precision."""

    def row(asked: Asked, clip: str) -> Iterator[Figure]:
        with tempfile.TemporaryDirectory() as folder:
            spec = clip
            if not spec or architecture != models.ARCHITECTURE:
                spec = models.write_clip(Path(folder), small=asked.quick, architecture=architecture)
            loaded = loops.Clip.load(spec, asked.device)
            n = 4 if asked.quick else 32 if not asked.on_gpu else 2048 if architecture == models.ARCHITECTURE else 192
            for wanted in ("tiny",) if asked.quick else ("faces", "dcgan256"):
                name = wanted if _is_here(wanted) else "dcgan64"
                for precision in PRECISIONS:
                    yield loops.against_bare(
                        name, spec, loaded, asked, n_paths=n, called=architecture, precision=precision
                    )

    return row


def _is_here(name: str) -> bool:
    try:
        models.named(name)
    except models.Missing:
        return False
    return True


def plain_given(asked: Asked, clip: str) -> Iterator[Figure]:
    """The row of `tests.bench.loops`."""
    return loops.plain_given(asked)


def large(asked: Asked, clip: str) -> Iterator[Figure]:
    """The row of `tests.bench.costs`, on fewer probes."""
    return costs.large(asked, 16 if asked.quick else 64)


def reduction(asked: Asked, clip: str) -> Iterator[Figure]:
    """The row of `tests.bench.costs`."""
    return costs.reduction(asked)


def pairs(asked: Asked, clip: str) -> Iterator[Figure]:
    """The largest difference of two outputs of the face GAN, in grey levels of 256, over some hundred latents."""
    name = "tiny" if asked.quick else "faces" if _is_here("faces") else "dcgan64"
    reference, dim = models.named(name), models.NETS[name][1]
    n = 16 if asked.quick else 500

    def levels(candidate: gentest.Generator, other: gentest.Generator) -> tuple[float, str]:
        pair, looks = candidate.against(other), gentest.settings(examples=n, device=str(asked.device), reduce=0)
        result = sound(gentest.agrees(within=0.5).check(pair, settings=looks))
        return (0.5 - result.margin.min) * 255, f"{result.examples} latents of {name}"

    half = models.generator(copy.deepcopy(reference.function).bfloat16(), dim)
    worst, note = levels(half, reference)
    yield Figure("pair: bfloat16 against float32", worst, unit="levels of 256", note=note)
    what = "pair: the GPU against the CPU"
    if not asked.on_gpu:
        yield Figure(what, note="skipped: needs a CUDA device")
        return
    here = models.generator(copy.deepcopy(reference.function), dim)
    worst, note = levels(here.on(asked.device), reference.on("cpu"))
    yield Figure(what, worst, 1, "levels of 256", worst, Target(1, "at most"), note)


def profile(asked: Asked, clip: str) -> Iterator[Figure]:
    """The shares of a rate's time in the generator, CLIP, transfers to the device, and gentest itself.

    The clock waits for the device at each border. So nothing overlaps here, and the shares are upper bounds for what
    the device does.
    """
    name = "tiny" if asked.quick else "faces" if _is_here("faces") else "dcgan64"
    generator = models.named(name)
    own, n = (
        gentest.between(gentest.clip(*models.PROMPTS), tolerance=loops.ANY).at_rate(NEVER),
        asked.size(32, 1024, 16),
    )
    with tempfile.TemporaryDirectory() as folder:
        spec = clip or models.write_clip(Path(folder), small=asked.quick)
        spent_in: dict[str, float] = {}

        def clocked(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any, **named: Any) -> Any:
                started = asked.now()
                before = sum(spent_in.values())
                result = function(*given, **named)
                inner = sum(spent_in.values()) - before  # of parts called inside, such as CLIP on pieces of a batch
                spent_in[part] = spent_in.get(part, 0.0) + asked.now() - started - inner
                return result

            return call

        def check(budget: int) -> float:
            looks = gentest.settings(examples=1, budget=budget, clip=spec, device=str(asked.device))
            return asked.seconds(lambda: spent(own.check(generator, settings=looks), budget))

        check(1)
        net = type(generator.function)
        with (
            mock.patch.object(net, "forward", clocked("generator", net.forward)),
            mock.patch.object(ClipModel, "embed", clocked("CLIP", ClipModel.embed)),
            mock.patch.object(maker, "inputs_on", clocked("transfers", maker.inputs_on)),
        ):
            seconds = check(n)
    spent_in["gentest"] = seconds - sum(spent_in.values())
    for part in ("generator", "CLIP", "transfers", "gentest"):
        share = spent_in.get(part, 0.0) / seconds
        yield Figure(f"profile: {part}", spent_in.get(part, 0.0), seconds, "s", share, note=f"{n} paths of {name}")


def towers(asked: Asked, clip: str) -> Iterator[Figure]:
    """Images a second of the image tower as gentest runs it, over those of each other way to run it."""
    with tempfile.TemporaryDirectory() as folder:
        spec = clip or models.write_clip(Path(folder), small=asked.quick)
        model = load_clip(spec, asked.device, text=False)
        visual, size = model._visual, model.preprocess.size
        batch = torch.rand(asked.size(32, 256, 2), 3, 64, 64, device=asked.device)
        n_calls = asked.size(1, 8, 1)

        def encode(tower: Callable[[Tensor], Tensor], dtype: torch.dtype, layout: torch.memory_format) -> Any:
            inputs = model.preprocess(batch).to(dtype).contiguous(memory_format=layout)
            return tower(inputs)

        def autocast(inputs: Tensor) -> Any:
            with torch.autocast(asked.device.type, torch.bfloat16):
                return visual(inputs)

        flat, last, full, half = torch.contiguous_format, torch.channels_last, torch.float32, torch.bfloat16
        low = copy.deepcopy(visual).bfloat16()
        ways: dict[str, tuple[str, Callable[[], Any]]] = {
            "channels last": ("full", lambda: encode(copied_last, full, last)),
            "channels last, bf16": ("bf16", lambda: encode(low_last, half, last)),
            "autocast": ("bf16", lambda: encode(autocast, full, flat)),
        }
        copied_last, low_last = (copy.deepcopy(net).to(memory_format=last) for net in (visual, low))
        compiled = {"torch.compile": "default", "torch.compile with CUDA graphs": "reduce-overhead"}
        for name, mode in compiled.items():
            if asked.on_gpu:
                for precision, net, dtype in (("full", visual, full), ("bf16", low, half)):
                    tower = torch.compile(net, mode=mode)
                    ways[f"{name}, {precision}"] = (precision, lambda t=tower, d=dtype: encode(t, d, flat))
            else:
                yield Figure(f"tower: {name}", note="skipped: needs a CUDA device")
        for name, (precision, way) in ways.items():

            def rate(work: Callable[[], Any]) -> float:
                def calls() -> None:
                    with torch.inference_mode():
                        for _ in range(n_calls):
                            work()

                return n_calls * len(batch) / asked.seconds(calls)

            own = {"gentest": lambda p=precision: rate(lambda: model.embed(batch, p)), "other": lambda w=way: rate(w)}
            try:
                for work in own.values():
                    work()  # and warm
                found = in_turn(own, asked.rounds)
            except Exception as error:  # a compiler may be missing, or not know the device
                yield Figure(f"tower: {name}", note=f"skipped: {type(error).__name__}: {error}".splitlines()[0][:160])
                continue
            note = f"batches of {len(batch)} to {size[0]} x {size[1]}, {precision}"
            yield compared(f"tower as gentest runs it, against {name}", found["gentest"], found["other"],
                           unit="images/s", note=note)  # fmt: skip


ROWS: dict[str, tuple[Callable[[Asked, str], Iterator[Figure]], float]] = {
    "tests": (gpu_tests, 2.0),
    "verdicts": (verdicts, 1.0),
    "end to end B-32": (end_to_end("ViT-B-32"), 3.0),
    "large": (large, 1.5),
    "profile": (profile, 1.0),
    "plain given": (plain_given, 2.0),
    "pairs": (pairs, 1.0),
    "reduce": (reduction, 1.0),
    "end to end L-14": (end_to_end("ViT-L-14"), 3.0),
    "towers": (towers, 2.0),
}
"""Each row with its share of the time, the most important first."""


def run_row(name: str, asked: Asked) -> int:
    """Print each figure of a row as one line of JSON, as it comes; in a process of its own."""
    torch.set_num_threads(asked.threads)
    try:
        for figure in ROWS[name][0](asked, asked.clip or ""):
            print(json.dumps(asdict(figure)), flush=True)
    except models.Missing as error:
        print(json.dumps(asdict(Figure(name, note=f"skipped: {error}"))), flush=True)
    except Exception as error:
        traceback.print_exc()
        said = f"failed: {type(error).__name__}: {error}".splitlines()[0][:200]
        print(json.dumps(asdict(Figure(name, note=said))), flush=True)
        return 1
    return 0


def measured(name: str, arguments: list[str], seconds: float) -> tuple[list[Figure], bool]:
    """A row's figures, and whether it ended without an error, from a process that may take so many seconds."""
    if seconds < LEAST_SECONDS:
        return [Figure(name, note=f"skipped: {seconds:.0f} s were left, and a row needs {LEAST_SECONDS:.0f}")], True
    command = [sys.executable, "-m", "tests.bench.gpu", "--row", name, *arguments]
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, cwd=ROOT, stdout=out)
        try:
            ended = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            ended = None
        out.seek(0)
        lines = [line for line in out.read().splitlines() if line.startswith("{") and line.endswith("}")]
    figures = [_figure(json.loads(line)) for line in lines]
    if ended is None:
        figures.append(Figure(name, note=f"skipped: stopped after {seconds:.0f} s"))
    elif ended and not any(figure.note.startswith("failed") for figure in figures):
        figures.append(Figure(name, note=f"failed: its process ended with status {ended}"))
    elif not figures:
        figures.append(Figure(name, note="failed: it measured nothing"))
    return figures, not any(figure.note.startswith("failed") for figure in figures)


def _figure(stored: dict[str, Any]) -> Figure:
    target = stored.pop("target")
    return Figure(**stored, target=None if target is None else Target(**target))


def _rows(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in ROWS]:
        raise argparse.ArgumentTypeError(f"no row {unknown[0]!r}; the rows are {', '.join(ROWS)}")
    return names


def main() -> None:
    """Run each row in its process, print a table, and write the JSON."""
    parser = argparse.ArgumentParser(description="Everything that only a GPU can answer.")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures and profile as JSON")
    parser.add_argument("--minutes", type=float, default=7.5, help="the most that all rows take together")
    parser.add_argument("--only", type=_rows, default=list(ROWS), metavar="ROW[,ROW]", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--clip", metavar="SPEC", help="a real ViT-B-32 instead of one of random weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small models, to rehearse: the figures mean nothing")
    parser.add_argument("--row", choices=list(ROWS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device is here; --device cpu --quick rehearses")
    rounds = 1 if args.quick else args.rounds
    asked = Asked(torch.device(args.device), rounds, args.quick, torch.get_num_threads(), args.clip)
    if args.row:
        sys.exit(run_row(args.row, asked))
    given = ["--device", args.device, "--rounds", str(args.rounds)]
    given += ["--quick"] * args.quick + (["--clip", args.clip] if args.clip else [])
    started, found, whole = time.monotonic(), {}, True
    for i, name in enumerate(args.only):
        left = 60 * args.minutes - (time.monotonic() - started)
        shares = [ROWS[other][1] for other in args.only[i:]]
        began = time.monotonic()
        found[name], fine = measured(name, given, left * max(shares[0] / sum(shares), 0.3 if shares[1:] else 1.0))
        whole = whole and fine
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - started
    table = Table(*COLUMNS, title=machine(asked), caption=f"{rounds} rounds, {seconds:.0f} s")
    for name, figures in found.items():
        for figure in figures:
            table.add_row(*cells(name, figure, quick=args.quick))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    if args.json:
        written = [asdict(f) | {"row": n, "met": judged(f, quick=args.quick)} for n, fs in found.items() for f in fs]
        shares = {f.what.removeprefix("profile: "): f.ratio for f in found.get("profile", []) if f.ratio is not None}
        device = torch.cuda.get_device_name(asked.device) if asked.on_gpu else "cpu"
        record = {"machine": machine(asked), "device": device, "quick": args.quick, "seconds": round(seconds, 1)}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record | {"profile": shares, "rows": written}, indent=1) + "\n", "utf-8")
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
