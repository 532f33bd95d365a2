"""Whether gentest catches broken checkpoints, and lets harmless ones pass: the bench behind a guide.

    python -m tests.audit.detection.bench
    python -m tests.audit.detection.bench --models fashion --only "noise 0.1,8 bit"

Two real generators, the face GAN and the fashion generator of the examples, are broken in the ways in which training
and export break them (`breaking`), and changed in ways that change nothing (`harmless`). The good
checkpoint is blessed; every other one is tested with the same suite (`models`, which says where its numbers
come from) and gated, drift included (`--gentest-drift fail`).

Prints Markdown. Exit status 0 if at least nine in ten broken checkpoints are refused by the gate and no harmless one
is, nor fails a property by itself. Two processes of one thread each; what they find depends on neither number nor
order.
With `--attack`, so many images are spent on attacking each property that the search found nothing against, on the good
and the broken checkpoints; harmless ones are not attacked, which would take a third longer. `--thresholds` prints what
the suite's numbers were set from.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import functools
import gc
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Hashable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from gentest.probes.probe import Probe
from gentest.results.result import Result
from tests.audit.detection import accounting, breaking, harmless, thresholds
from tests.audit.detection.changing import Candidate
from tests.audit.detection.judging import Blessed, Judged, Plan, bless, from_json, judge, to_json
from tests.audit.detection.models import MODELS


@dataclass(frozen=True)
class Job:
    """One checkpoint to be judged, by name: a candidate itself does not pickle."""

    model: str
    name: str
    harmless: bool


@functools.cache
def candidates(model: str, *, good: bool) -> dict[str, Candidate]:
    """The broken checkpoints of a model, or its harmless ones, by name."""
    made = harmless.harmless(MODELS[model]) if good else breaking.broken(MODELS[model])
    return {candidate.name: candidate for candidate in made}


@functools.cache
def _plans(model: str) -> dict[Hashable, list[Probe]]:
    """What searches look at in one model's space: drawn once in a process."""
    return {}


def blessed(model: str, plan: Plan, folder: Path) -> tuple[Blessed, list[Result]]:
    """A model's baseline, in a file of the folder."""
    return bless(MODELS[model], plan, folder / f"{model}.json")


def judged(job: Job, plan: Plan, measure: Blessed) -> Judged:
    """What comes of one job."""
    candidate = candidates(job.model, good=job.harmless)[job.name]
    plan = replace(plan, attack=0) if job.harmless else plan
    torch.set_num_threads(candidate.threads)
    try:
        found = judge(candidate, plan, measure, harmless=job.harmless, plans=_plans(job.model))
        measured = harmless.confirmed if job.harmless else harmless.difference
        moved = measured(candidate.model, candidate.make())
    finally:
        torch.set_num_threads(1)
        gc.collect()  # a context and the outputs that it keeps, up to 1 GB, know one another
    return replace(found, moved=moved)


def chosen(models: list[str], only: list[str]) -> list[Job]:
    """The jobs asked for. Raises `SystemExit` for a name that nothing has."""
    jobs = [Job(m, name, good) for m in models for good in (False, True) for name in candidates(m, good=good)]
    unknown = set(only) - {job.name for job in jobs}
    if unknown:
        raise SystemExit(f"no checkpoint is called {', '.join(sorted(unknown))}; there are {[j.name for j in jobs]}")
    return [job for job in jobs if not only or job.name in only]


def main() -> None:
    """Bless, judge every checkpoint, print."""
    parser = argparse.ArgumentParser(description="Broken and harmless checkpoints.")
    parser.add_argument("--only", default="", help="names of checkpoints, with commas between")
    parser.add_argument("--models", default=",".join(MODELS), help="faces,fashion")
    parser.add_argument("--attack", type=int, default=0, metavar="IMAGES", help="images of an attack on each property")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything that was found")
    parser.add_argument("--told", default="", metavar="FILE,...", help="print what earlier runs found, from --json")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--thresholds", action="store_true", help="print what the suites' numbers are from, and stop")
    args = parser.parse_args()
    models = args.models.split(",")
    if unknown := set(models) - set(MODELS):
        raise SystemExit(f"no model is called {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    if args.thresholds:
        for model in models:
            print(f"{model}:")
            thresholds.report(MODELS[model])
        return
    if args.told:
        earlier = [from_json(value) for path in args.told.split(",") for value in json.loads(Path(path).read_text())]
        asked = [f"{job.model}/{job.name}" for job in chosen(models, [])]
        sys.exit(_told(earlier, asked, attack=any(j.attacked for j in earlier)))
    started = time.monotonic()
    plan = Plan(attack=args.attack)
    jobs = chosen(models, [name for name in args.only.split(",") if name])
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(args.processes, spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        waiting = {model: pool.submit(blessed, model, plan, Path(folder)) for model in models}
        measures = {model: future.result() for model, future in waiting.items()}
        for model, (_, results) in measures.items():
            for result in results:
                _say(f"good {model}: {result.test}: {result.verdict.value}, {result.seconds:.0f} s {result.message}")
        found: list[Judged] = []
        for each in [pool.submit(judged, job, plan, measures[job.model][0]) for job in jobs]:
            found.append(each.result())
            last = found[-1]
            _say(f"{last.model}/{last.name}: {'refused' if last.refused else 'passed'}, {last.seconds:.0f} s")
            if args.json is not None:
                args.json.write_text(json.dumps([to_json(j) for j in found], indent=1) + "\n")
    said = [f"{n} {name}" for name, n in asdict(plan).items() if name not in ("seed", "attack") or n]
    print(f"Suites: {', '.join(said)}; alpha 0.01; {time.monotonic() - started:.0f} s.\n")
    sys.exit(_told(found, [f"{job.model}/{job.name}" for job in jobs], attack=args.attack > 0))


def _told(found: list[Judged], asked: list[str], *, attack: bool) -> int:
    """Prints the table and what it comes to; the exit status."""
    own = accounting.account(found, asked)
    print("\n".join(accounting.table(found, attack=attack)))
    print("\n" + "\n".join(accounting.summary(own)))
    return 0 if own.good else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
