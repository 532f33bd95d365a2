"""Fuzzed files, options and strings to every parser of gentest, each used as a run would use it.

    python -m tests.audit.fuzz --n 10000 --seed 0 [--only KIND] [--at I]

An input is a real one that was changed: as a tree, by the type of what stands where, with its digest made to fit; or as
bytes. It has to give a value that can be rendered and decided on, or an error in one line that names the file or the
option. Anything else is a finding: another exception, a warning, more than 2 s or 400 MB, code that runs, a file
outside the folder, an element in a page. `--only KIND --at I` makes one input again. Exit status 1 with any finding.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image

from gentest.report import terminal
from tests.audit import parsers
from tests.audit.parsers import ALLOWED, BLESSED, KINDS, RESULTS, Finding, Kind, Refused, check_message
from tests.audit.watching import Hang, Watch
from tests.helpers import handmade


@dataclass
class Tally:
    """What became of the inputs, by kind."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[str, int, str]] = field(default_factory=list)


def feed(kind: Kind, number: int, seed: int, root: Path, watch: Watch) -> str:
    """One input: "accepted" or "refused", or else what is wrong with it."""
    rng = Random(f"{seed} {kind.name} {number}")
    folder = root / f"{kind.name}-{number}"
    folder.mkdir()
    handmade.written(folder / "good.json", RESULTS)
    BLESSED.save(folder / "good_baseline.json")
    made = kind.make(rng, folder)
    came = "accepted"
    trouble: list[str] = []
    try:
        with watch.armed(folder) as trouble:
            try:
                kind.use(made, folder)
            except Refused:
                came = "refused"
            except ALLOWED as error:
                check_message(str(error), kind.names)
                came = "refused"
    except Finding as error:
        trouble.append(str(error))
    except Hang:
        trouble.append("waits for ever")
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        trouble.append(
            f"{type(error).__name__}: {str(error)[:200]!r} at {where.filename.rpartition('/')[2]}:{where.lineno}"
        )
    shutil.rmtree(folder)
    return came if not trouble else "; ".join(trouble[:3])


def plan(n: int, kinds: tuple[Kind, ...] = KINDS) -> Iterator[tuple[Kind, int]]:
    """Which kind each of `n` inputs is of, by their shares, and its number among them."""
    whole = sum(kind.share for kind in kinds)
    for kind in kinds:
        for number in range(max(1, round(n * kind.share / whole))):
            yield kind, number


def warm_up() -> None:
    """What is imported and compiled at first use is no input's doing."""
    for name in ("safetensors.torch", "PIL.ImageCms", "rich._emoji_codes", "encodings.ascii"):
        importlib.import_module(name)
    Image.init()
    terminal.shortened("笑", 40)
    parsers.check_page(parsers.EVERY)


def run(n: int, seed: int, kinds: tuple[Kind, ...] = KINDS, watch: Watch | None = None, at: int | None = None) -> Tally:
    """Feeds `n` inputs to the parsers."""
    tally = Tally()
    watch = watch or Watch()
    warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        for kind in kinds:  # what is imported and compiled at first use
            for number in range(2):
                feed(kind, -1 - number, seed, Path(scratch), watch)
        for kind, number in plan(n, kinds):
            if at is not None and number != at:
                continue
            came = feed(kind, number, seed, Path(scratch), watch)
            if came in ("accepted", "refused"):
                (tally.accepted if came == "accepted" else tally.refused)[kind.name] += 1
            else:
                tally.findings.append((kind.name, number, came))
    return tally


def main() -> int:
    """Prints a line for each kind, and each finding; 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=10_000, help="inputs (default: 10,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[kind.name for kind in KINDS], help="one kind")
    parser.add_argument("--at", type=int, help="one input of each kind, by its number")
    given = parser.parse_args()
    kinds = tuple(kind for kind in KINDS if given.only in (None, kind.name))
    began = time.perf_counter()
    tally = run(given.n, given.seed, kinds, at=given.at)
    lines = [f"{'kind':<10} {'inputs':>7} {'accepted':>9} {'refused':>8} {'findings':>9}"]
    wrong = Counter(name for name, _, _ in tally.findings)
    for kind in kinds:
        a, r, w = (counter[kind.name] for counter in (tally.accepted, tally.refused, wrong))
        lines.append(f"{kind.name:<10} {a + r + w:>7,} {a:>9,} {r:>8,} {w:>9,}")
    a, r, w = tally.accepted.total(), tally.refused.total(), len(tally.findings)
    lines.append(f"{'all':<10} {a + r + w:>7,} {a:>9,} {r:>8,} {w:>9,}   in {time.perf_counter() - began:,.0f} s")
    lines += [f"{name} --at {number}: {said}" for name, number, said in tally.findings]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
