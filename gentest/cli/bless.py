"""The command `gentest bless`: check a checkpoint, and make it the baseline of later ones.

Its own module because each command has one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gentest.cli.results_files import HELD, MISUSE, print_lines
from gentest.gate.baseline import Baseline
from gentest.results.result import Verdict

HELP = "check a checkpoint, and make it the baseline of later ones"
DESCRIPTION = "Further arguments go to pytest: the tests, --gentest-checkpoint, and so on."


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the baseline to write or replace")
    parser.add_argument("--by", required=True, help="the person who answers for it")
    parser.add_argument("--note", default="", help="the reason")
    parser.add_argument("--seed", type=int, help="seed of its probes (default: one more than the last baseline's)")
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
    command += [] if options.keep_outputs is None else ["--gentest-keep-outputs", str(options.keep_outputs)]
    done = subprocess.run([*command, "--gentest-seed", str(seed), *rest], check=False)
    if not options.file.exists() or options.file.stat().st_mtime_ns == written_before:
        sys.stderr.write(f"gentest: nothing was blessed: pytest ended with exit status {done.returncode}\n")
        return MISUSE
    baseline = Baseline.load(options.file)
    latest, *earlier = baseline.blessings
    baseline = replace(baseline, blessings=(replace(latest, by=options.by, note=options.note), *earlier))
    baseline.save(options.file)
    known = [key for key, entry in baseline.entries.items() if entry.verdict in (Verdict.VIOLATED, Verdict.UNDECIDED)]
    print_lines(
        [
            f"{options.file}: {baseline.blessed}",
            *(f"does not hold on it, and later runs do not report it as new: {key}" for key in known),
        ]
    )
    return HELD
