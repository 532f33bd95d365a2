"""The command `gentest bless`: check a checkpoint, and make it the baseline of later ones.

Its own module because each command has one.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gentest._support.printable import counted, noun
from gentest.cli.results_files import HELD, MISUSE, print_lines
from gentest.gate import paired_samples
from gentest.gate.baseline import Baseline, Entry
from gentest.results.outcome import Outcome, Verdict

HELP = "check a checkpoint, and make it the baseline of later ones"
FAILING = (Verdict.VIOLATED, Verdict.UNDECIDED)
"""The verdicts of properties that do not hold on the blessed checkpoint."""
DESCRIPTION = "Further arguments go to pytest: the tests, --gentest-checkpoint, and so on."


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the baseline to write or replace")
    parser.add_argument("--by", required=True, help="the person who answers for it")
    parser.add_argument("--note", default="", help="the reason")
    parser.add_argument("--seed", type=int, help="seed of its probes (default: one more than the last baseline's)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="bless levels of 256 outputs and outcomes of single latents, for a quick gate; slow images always are",
    )
    parser.add_argument(
        "--keep-outputs",
        type=int,
        metavar="N",
        help="keep outputs of N probes beside FILE, for gentest.blessed (default: as many as the last baseline)",
    )


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Run pytest with `rest`, and sign the baseline that it saves.

    Each blessing takes another seed: checkpoints chosen again and again on the same probes would be fitted to them.
    """
    before = Baseline.load(options.file) if options.file.exists() else None
    written_before = options.file.stat().st_mtime_ns if before is not None else None
    seed = options.seed if options.seed is not None else before.blessings[0].seed + 1 if before is not None else 1
    command = [sys.executable, "-m", "pytest", "--gentest", "--gentest-save-baseline", str(options.file)]
    command += ["--gentest-quick"] if options.quick else []
    command += [] if options.keep_outputs is None else ["--gentest-keep-outputs", str(options.keep_outputs)]
    done = subprocess.run([*command, "--gentest-seed", str(seed), *rest], check=False)
    if not options.file.exists() or options.file.stat().st_mtime_ns == written_before:
        sys.stderr.write(f"gentest: nothing was blessed: pytest ended with exit status {done.returncode}\n")
        return MISUSE
    baseline = Baseline.load(options.file)
    latest, *earlier = baseline.blessings
    baseline = replace(baseline, blessings=(replace(latest, by=options.by, note=options.note), *earlier))
    baseline.save(options.file)
    recorded = _recorded(baseline)
    unexplained = done.returncode != 0 and not recorded
    closing = _closing(baseline, options.file, unexplained=unexplained)
    print_lines([f"{options.file}: {baseline.blessed}", *recorded, closing])
    return Outcome.FAILED.exit_status if unexplained else HELD


def _recorded(baseline: Baseline) -> list[str]:
    """A line for each property that does not hold on the blessed checkpoint."""
    return [
        f"recorded as {entry.verdict.value}: {key}{_kept_outcomes(entry)}"
        for key, entry in baseline.entries.items()
        if entry.verdict in FAILING
    ]


def _kept_outcomes(entry: Entry) -> str:
    outcomes = paired_samples.outcomes(entry.sample)
    return (
        f" (holds on {int(outcomes.sum())} of {len(outcomes)} {noun(len(outcomes), 'kept probe')})"
        if len(outcomes)
        else ""
    )


def _closing(baseline: Baseline, path: Path, *, unexplained: bool) -> str:
    """The line that ends a blessing: what was written, what does not hold, and what to do next.

    `unexplained` says that pytest failed, although every property holds.
    """
    n, n_failing = len(baseline.entries), sum(entry.verdict in FAILING for entry in baseline.entries.values())
    files = str(path) if baseline.kept is None else f"{path} and {path.with_name(baseline.kept.file)}"
    recorded = "all of them hold"
    if n_failing:
        recorded = (
            f"{n_failing} of them {'does' if n_failing == 1 else 'do'} not hold and "
            f"{'is' if n_failing == 1 else 'are'} recorded as above: the run above may call a test failed for that, "
            "and a candidate fails only if it is worse"
        )
    if unexplained:
        recorded += ", but something else failed above, which no baseline records"
    gate = f"pytest --gentest --gentest-baseline {shlex.quote(str(path))}"
    return f"done: {counted(n, 'property', 'properties')} in {files}; {recorded}. Commit, and gate with {gate}"
