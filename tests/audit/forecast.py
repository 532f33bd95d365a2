"""The forecast of a run against what the run then costs, on the examples: `python -m tests.audit.forecast`.

Each example runs in a process of its own. The script prints a table of images, as `examples/guides/cost.md` has it, and
exits with status 1 if a forecast is wrong by more than a quarter. The painter of `examples/prompts` takes 0.55 seconds
an image, which is slow.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ("fashion", "faces", "prompts")
ALLOWED = 0.25
SLOW = "0.55"
"""Seconds that the painter takes for an image: more than half a second is slow."""


@dataclass(frozen=True)
class Compared:
    """The images of one run of an example."""

    example: str
    forecast: int
    made: int
    printed: str
    """What pytest printed."""

    @property
    def error(self) -> float:
        """The forecast's error, as a share of the images made; below 0 if it was too low."""
        return self.forecast / self.made - 1


def compared(example: str, *arguments: str) -> Compared:
    """Run an example, and read its forecast and its images."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.json")
        plain = ["-p", "no:asyncio", "-p", "no:cacheprovider"]
        asked = ["--gentest", f"examples/{example}", "--gentest-json", str(results), *arguments]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *plain, *asked],
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "100", "PAINTER_SECONDS": SLOW},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        forecast = re.search(r"gentest: \d+ properties want ([\d,]+) images", done.stdout)
        if forecast is None or not results.exists():
            raise RuntimeError(f"the run of examples/{example} has no forecast:\n{done.stdout}")
        made = sum(result["cost"]["images"] for result in json.loads(results.read_text())["results"])
    return Compared(example, int(forecast[1].replace(",", "")), made, done.stdout)


def main() -> None:
    """Compare, and print the table."""
    parser = argparse.ArgumentParser(description="Compare the forecasts of the examples with their runs.")
    parser.add_argument("--only", nargs="+", choices=EXAMPLES, default=EXAMPLES)
    args = parser.parse_args()
    print("| example | forecast | made | error |\n|---|---|---|---|")
    worst = 0.0
    for example in args.only:
        one = compared(example)
        worst = max(worst, abs(one.error))
        print(f"| {example} | {one.forecast:,} | {one.made:,} | {one.error:+.0%} |", flush=True)
    sys.exit(worst > ALLOWED)


if __name__ == "__main__":
    main()
