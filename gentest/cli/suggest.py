"""The command `gentest suggest`: write tests whose tolerances are measured on your model."""

from __future__ import annotations

import argparse
import json
import keyword
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gentest.cli import child
from gentest.cli.model_options import read_texts
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
        type=_attribute,
        metavar="NAME|MODULE:NAME",
        help=f"an attribute to measure: {', '.join(ATTRIBUTES)}, or one of your own in a module that the current "
        "folder or PYTHONPATH has; repeat for more (default: those that fit the images)",
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


def _attribute(text: str) -> str:
    """The name of an attribute, or the place of one's own."""
    module, colon, name = text.partition(":")
    is_place = bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))
    if text not in ATTRIBUTES and not is_place:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(ATTRIBUTES)}, or MODULE:NAME, but got {text!r}")
    return text


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Measure, and write the test file. Notes go to standard error."""
    _check(options)
    text, notes = _measured(options, rest)
    sys.stderr.write("\n")  # the progress line has no end
    sys.stderr.writelines(f"gentest: {note}\n" for note in notes)
    if options.output is None:
        sys.stdout.write(text)
    else:
        with options.output.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return HELD


def _check(options: argparse.Namespace) -> None:
    """Raise `InvalidArgument` for an option that cannot be used."""
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
    for text in options.clip:
        read_texts(text)


def _measured(options: argparse.Namespace, rest: Sequence[str]) -> tuple[str, list[str]]:
    """The text of the test file, and notes: pytest measures in a child process, and writes only to a scratch folder."""
    folder = str(options.folder.resolve())
    with tempfile.TemporaryDirectory() as scratch:
        answer, request = Path(scratch, "answer.json"), Path(scratch, "request.json")
        wanted = {name: getattr(options, name) for name in ("fixture", "rate", "confidence", "n", "seed")}
        wanted |= {"folder": folder, "attributes": options.attribute, "prompts": list(map(read_texts, options.clip))}
        request.write_text(json.dumps({**wanted, "answer": str(answer)}), encoding="utf-8")
        try:
            arguments = [folder, *_arguments(request, scratch), *rest]
            reply = child.call("pytest:main", arguments, environment=_environment(scratch))
        except child.ChildFailed as error:
            raise InvalidArgument(f"pytest {error}; nothing was measured") from None
        measured = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    if measured.get("text"):
        return measured["text"], measured["notes"]
    if measured.get("shown", True):
        sys.stderr.write(reply.output)
    ended = f"pytest ended with exit status {reply.value}; nothing was measured"
    raise InvalidArgument(measured.get("error") or ended)


def _arguments(request: Path, scratch: str) -> list[str]:
    """The arguments of pytest. They undo options of an ini file that select tests or write files."""
    inis = {"cache_dir": f"{scratch}/cache"}
    inis |= dict.fromkeys(("gentest_json", "gentest_baseline", "gentest_report", "gentest_images"), "")
    overrides = [word for name, value in inis.items() for word in ("-o", f"{name}={value}")]
    selects_all = ["-k", "", "-m", ""]
    gentest = ["-p", "gentest", "--gentest", "--gentest-suggest", str(request)]
    return [*gentest, "-q", "--no-header", "--no-summary", *selects_all, *overrides]


def _environment(scratch: str) -> dict[str, str]:
    """Variables that keep files out of the user's folders, and let Python import from the current one."""
    path = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        "COVERAGE_FILE": f"{scratch}/coverage",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }
