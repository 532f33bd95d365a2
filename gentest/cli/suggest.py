"""The command `gentest suggest`: write tests whose tolerances are measured on your model."""

from __future__ import annotations

import argparse
import json
import keyword
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gentest.cli.results_files import HELD
from gentest.errors import InvalidArgument
from gentest.stats.quantiles import upper_rank

HELP = "write tests whose tolerances are measured on your model"
DESCRIPTION = (
    "Measures at which tolerance each property holds on the generator that a fixture gives, and writes a test file. "
    "Arguments after -- go to pytest: --gentest-checkpoint, --gentest-device, --gentest-clip, and so on."
)
ATTRIBUTES = ("brightness", "contrast", "saturation", "colorfulness", "sharpness")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="a folder that sees the fixture (.)"
    )
    parser.add_argument("--fixture", default="generator", metavar="NAME", help="the generator's fixture (generator)")
    parser.add_argument(
        "--attribute",
        action="append",
        default=[],
        choices=ATTRIBUTES,
        help="an attribute to measure; repeat for more (default: those that fit the images)",
    )
    parser.add_argument(
        "--clip",
        action="append",
        default=[],
        metavar="TEXT[|AGAINST]",
        help="a CLIP attribute to measure too; repeat for more",
    )
    parser.add_argument("--rate", type=float, default=0.95, help="share of probes on which it holds (default: 0.95)")
    parser.add_argument("--confidence", type=float, default=0.99, help="confidence in that rate (default: 0.99)")
    parser.add_argument("--n", type=int, default=1024, metavar="N", help="number of probes (default: 1024)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the probes (default: 0)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the test file to write (default: standard output)")


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Measure, and write the test file. Notes go to standard error."""
    prompts = _checked(options)
    text, notes = _measured(options, prompts, rest)
    sys.stderr.write("\n")  # the progress line has no end
    sys.stderr.writelines(f"gentest: {note}\n" for note in notes)
    if options.output is None:
        sys.stdout.write(text)
    else:
        with options.output.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return HELD


def _checked(options: argparse.Namespace) -> list[list[str]]:
    """The prompts of each --clip. Raises `InvalidArgument` for any option that cannot be used."""
    if not options.folder.is_dir():
        raise InvalidArgument.expected("a folder", "FOLDER", str(options.folder))
    if not options.fixture.isidentifier() or keyword.iskeyword(options.fixture):
        raise InvalidArgument.expected("the name of a fixture", "--fixture", options.fixture)
    if options.output is not None and options.output.exists():
        raise InvalidArgument(f"{options.output}: exists already, and is not overwritten")
    if options.output is not None and not options.output.absolute().parent.is_dir():
        raise InvalidArgument.expected("a file in a folder that exists", "--output", str(options.output))
    for name, share in (("--rate", options.rate), ("--confidence", options.confidence)):
        if not 0.0 < share < 1.0:
            raise InvalidArgument.expected("a number above 0 and below 1", name, share)
    if options.seed < 0:
        raise InvalidArgument.expected("a whole number >= 0", "--seed", options.seed)
    upper_rank(options.n, options.rate, options.confidence)
    prompts = [[part.strip() for part in text.split("|")] for text in options.clip]
    for text, parts in zip(options.clip, prompts, strict=True):
        if len(parts) > 2 or not all(parts):
            raise InvalidArgument.expected("'a text' or 'a text|another that it is measured against'", "--clip", text)
    return prompts


def _measured(options: argparse.Namespace, prompts: list[list[str]], rest: Sequence[str]) -> tuple[str, list[str]]:
    """The text of the test file, and notes. pytest resolves the fixture in a child process."""
    folder = str(options.folder.resolve())
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        asked = {"folder": folder, "answer": str(answer), "attributes": options.attribute, "prompts": prompts}
        asked |= {name: getattr(options, name) for name in ("fixture", "rate", "confidence", "n", "seed")}
        request = Path(scratch, "request.json")
        request.write_text(json.dumps(asked), encoding="utf-8")
        inis = {"cache_dir": f"{scratch}/cache"}
        inis |= dict.fromkeys(("gentest_json", "gentest_baseline", "gentest_report", "gentest_images"), "")
        written = {"COVERAGE_FILE": f"{scratch}/coverage", "HYPOTHESIS_STORAGE_DIRECTORY": f"{scratch}/hypothesis"}
        command = [sys.executable, "-m", "pytest", "-p", "gentest", "--gentest", "--gentest-suggest", str(request)]
        command += ["-q", "--no-header", "--no-summary", "-k", "", "-m", "", folder]
        command += [word for name, value in inis.items() for word in ("-o", f"{name}={value}")]
        done = subprocess.run(
            [*command, *rest],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **written},
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {"shown": True}
    if said.get("text"):
        return said["text"], said["notes"]
    if said["shown"]:
        sys.stderr.write(done.stdout)
    raise InvalidArgument(said.get("error") or f"pytest ended with exit status {done.returncode}, nothing measured")
