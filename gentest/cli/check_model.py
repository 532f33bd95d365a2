"""The command `gentest check`: verdicts on a model, without a line of test code.

The command reads its arguments and prints. `check_run` loads the model, finds out what it takes and gives, and checks
the laws that hold for every generator, in a child process.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gentest._support.printable import printable
from gentest.cli import child
from gentest.cli.model_options import add_model_options, given_by, read_tolerance
from gentest.cli.model_source import MODELS, ModelKind, ModelSource, find_model, kind_of_path
from gentest.cli.write_tests import Answers, write_tests
from gentest.cli.written_places import check_folder
from gentest.errors import InvalidArgument
from gentest.report import run_facts, terminal
from gentest.results.document import Document
from gentest.results.outcome import Outcome, Verdict
from gentest.results.result import Result

HELP = "check a model as it is: a file, a folder or MODULE:NAME, without a test"
DESCRIPTION = (
    f"Checks MODEL without a line of test code. MODEL is {MODELS}. gentest calls it to find out what it takes and "
    "gives, says what it assumes, and checks what holds for every generator: outputs are finite and in range, a latent "
    "gives the same output again, no output is blank, and other latents give other outputs. Exit status: 0 if all of "
    "it holds, 1 if something is violated, 3 if the time did not suffice, 2 for a wrong argument. A file runs no "
    "pickled code; MODULE:NAME runs the code that it names."
)
MINUTES = 2.0
GRACE = 60.0
"""Seconds beyond the time limit in which the child may load libraries, end a call, and write its report."""
TRUST = "--trust"


@dataclass(frozen=True)
class Law:
    """Something that is checked, in words for a person who has never seen gentest."""

    test: str
    """Its name in tables."""
    asks: str
    """Completes "gentest checks that ..."."""
    otherwise: str
    """The usual cause of a violation."""


LAWS: Mapping[str, Law] = {
    "well_formed": Law(
        "values are valid",
        "every value of an output is a finite number within the output range",
        "the model overflows, divides by zero, or lacks its last activation; or its "
        "outputs have another range (--range LOW,HIGH) or none (--outputs arrays)",
    ),
    "reproducible": Law(
        "same again",
        "a latent gives the same output again, alone and in any batch",
        "a layer is in train mode (batch norm), or draws noise of its own, or mixes the rows of a batch",
    ),
    "not_blank": Law(
        "no blank output",
        "no output is flat, with nearly the same value everywhere",
        "activations die or saturate at some latents",
    ),
    "responsive": Law(
        "latents matter",
        "another latent gives another output",
        "the model ignores its latent, or has collapsed",
    ),
    "diverse": Law(
        "samples differ",
        "no two of 16 samples are nearly the same",
        "the model has collapsed to a few outputs",
    ),
    "agrees": Law(
        "agrees",
        "the model gives the outputs of the reference",
        "the export, the precision or the weights differ: gentest compare measures by how much",
    ),
    "round_trip": Law(
        "images come back",
        "an image comes back from the encoder and the decoder",
        "the autoencoder loses more than is allowed: --within RMS",
    ),
    "matches": Law(
        "matches the data",
        "outputs are distributed as the images of the data are",
        "the model does not draw what the data shows",
    ),
}
"""The laws by the name at the start of a replay string, in the order of the checks."""
KINDS = {
    ModelKind.ONNX: "an ONNX file",
    ModelKind.TORCHSCRIPT: "a TorchScript file",
    ModelKind.EXPORTED: "a program of torch.export",
    ModelKind.PIPELINE: "a diffusers pipeline",
    ModelKind.COMPONENT: "a diffusers autoencoder",
    ModelKind.WEIGHTS: "weights",
    ModelKind.CODE: "code",
}


@dataclass(frozen=True)
class Report:
    """The findings of `check_run`."""

    kind: str
    """The model in a few words."""
    assumptions: tuple[tuple[str, str, str], ...]
    """Each guess: what it is about, the guess, and the option that changes it."""
    document: Document
    skipped: str
    """Why some laws were not checked; empty if all were."""
    information: tuple[str, ...]
    """Figures that decide nothing."""
    answers: Mapping[str, Any]
    """The facts that `--write` needs."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Report:
        return cls(
            kind=value["kind"],
            assumptions=tuple((about, text, option) for about, text, option in value["assumptions"]),
            document=Document.from_json(value["document"]),
            skipped=value["skipped"],
            information=tuple(value["information"]),
            answers=value["answers"],
        )


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", metavar="MODEL", help=MODELS)
    add_model_options(parser)
    parser.add_argument(
        "--given", action="append", metavar="NAME=VALUE", help="fix a part, such as label=3; repeat for more"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="denoising steps of a pipeline (default: 20, or fewer)")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="a prompt on each line, for a text-to-image model")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of images that outputs should look like")
    parser.add_argument("--against", metavar="REFERENCE", help="a model that MODEL should agree with")
    parser.add_argument(
        "--within", metavar="TOLERANCE", help="the difference that --against allows, as in gentest compare (4/255)"
    )
    parser.add_argument(
        "--max-minutes", type=float, default=MINUTES, metavar="M", help=f"end after this time (default: {MINUTES:g})"
    )
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="latents on which each law is checked, as the time allows (default: from 50 to 1000, by its cost)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the latents (default: 0)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report with pictures: .html, or .md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results, which gentest show reads")
    parser.add_argument("--replay", metavar="PROBE", help="evaluate one latent again: the line of a failure")
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="FOLDER",
        help="write a conftest.py, tests and a CI workflow that do the same (default: .)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite files")
    parser.add_argument(TRUST, action="store_true", help="load a .pt2 file, which may run code that it holds")


def run(options: argparse.Namespace, rest: Sequence[str] = ()) -> int:
    """Check the model, print the verdicts, and return the exit status."""
    question = _question(options)
    if options.write is not None:
        check_folder(options.write, force=options.force)
    seconds = 60.0 * options.max_minutes + GRACE
    report = Report.from_json(child.ask("gentest.cli.check_run:check_model", question, seconds=seconds))
    _print(report, options)
    if options.write is not None:
        assumptions = [f"{about}: {text}" for about, text, _ in report.assumptions]
        source = ModelSource.from_json(question["model"])
        against = None if question["against"] is None else ModelSource.from_json(question["against"])
        answers = Answers.from_json(report.answers, source, assumptions, against=against)
        sys.stdout.write(printable("\n".join(write_tests(answers, options.write))) + "\n")
    return report.document.outcome.exit_status


def _question(options: argparse.Namespace) -> dict[str, Any]:
    """The argument of `check_run.check_model`. Raises `InvalidArgument` for arguments that cannot be used."""
    for option, path in (("--report", options.report), ("--json", options.json)):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise InvalidArgument.expected("a file in a folder that exists", option, str(path))
    if not 0.0 < options.max_minutes < 1e6:
        raise InvalidArgument.expected("a number of minutes > 0", "--max-minutes", options.max_minutes)
    if options.examples is not None and options.examples < 1:
        raise InvalidArgument.expected("a whole number >= 1", "--examples", options.examples)
    if options.seed < 0:
        raise InvalidArgument.expected("a whole number >= 0", "--seed", options.seed)
    if options.data is not None and not options.data.is_dir():
        raise InvalidArgument.expected("a folder of images", "--data", str(options.data))
    if options.within is not None and options.against is None and options.data is None:
        raise InvalidArgument("--within is for --against REFERENCE, or for --data DIR of an autoencoder")
    if options.replay is not None and options.replay.partition(":")[0] not in LAWS:
        what = f"the line of a failure, which begins with one of {', '.join(LAWS)}"
        raise InvalidArgument.expected(what, "--replay", options.replay)
    model = find_model("MODEL", options.model, made_by=options.made_by)
    against = None
    if options.against is not None:
        weights = kind_of_path(Path(options.against)) is ModelKind.WEIGHTS
        against = find_model("--against", options.against, made_by=options.made_by if weights else None)
    for source in (model, against):
        if source is not None and source.kind is ModelKind.EXPORTED and not options.trust:
            _ask_for_trust(source)
    return {
        "model": model.to_json(),
        "kind": KINDS[model.kind],
        "against": None if against is None else against.to_json(),
        "given": given_by(options).to_json(),
        "within": None if options.within is None else read_tolerance(options.within),
        "data": None if options.data is None else str(options.data),
        "settings": {name: getattr(options, name) for name in ("seed", "device", "batch_size")},
        "examples": options.examples,
        "started": time.time(),
        "minutes": options.max_minutes,
        "replay": options.replay,
        "report": None if options.report is None else str(options.report.absolute()),
        "json": None if options.json is None else str(options.json.absolute()),
        "command": check_command(options),
    }


def _ask_for_trust(source: ModelSource) -> None:
    """Ask at a terminal whether a .pt2 file may be loaded. Raises `InvalidArgument` unless the answer is yes."""
    may = f"{source.name} holds a program, and loading it may run any code in it"
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            answer = input(f"{may}. Load it? [y/N]: ")
        except (EOFError, KeyboardInterrupt):
            answer = ""
        if answer.strip().lower().startswith("y"):
            return
    raise InvalidArgument(f"{may}: add {TRUST} if you trust the file")


def check_command(options: argparse.Namespace) -> str:
    """The command that checks the same again; with `--replay` it evaluates one latent."""
    flags = ("prompts", "data", "against", "within")
    return check_of(options.model, options, {name: getattr(options, name) for name in flags}, trust=options.trust)


def check_of(model: str, options: argparse.Namespace, others: Mapping[str, object], *, trust: bool) -> str:
    """`gentest check MODEL` with what the options say of the model, and with `others`."""
    words = ["gentest", "check", model]
    own = {
        name: getattr(options, name) for name in ("latent", "labels", "range", "outputs", "made_by", "device", "steps")
    }
    for name, value in {**own, **others}.items():
        if value is not None:
            flag = "--class" if name == "made_by" else f"--{name}"
            words += [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]
    words += [word for text in getattr(options, "given", None) or () for word in ("--given", text)]
    words += ["--no-images"] if options.no_images else []
    words += [TRUST] if trust else []
    words += ["--seed", str(options.seed)] if options.seed else []
    return shlex.join(words)


# what is printed


def _print(report: Report, options: argparse.Namespace) -> None:
    """Print what was assumed, each failure, the table of verdicts, and what to do next."""
    from rich.console import Console
    from rich.text import Text

    console, width = Console(highlight=False), terminal.columns()
    styles = {Outcome.PASSED: "green", Outcome.UNDECIDED: "yellow", Outcome.FAILED: "red", Outcome.ERROR: "red"}

    def line(text: str, outcome: Outcome | None = None) -> None:
        console.print(Text(printable(text), style="" if outcome is None else styles[outcome]), soft_wrap=True)

    line(f"{options.model}: {report.kind}")
    for text in _assumed(report.assumptions, width):
        line(text)
    line("")
    document, replay = report.document, f"{check_command(options)} --replay"
    for result in document.results:
        if not result.passed:
            for text in _failure(result, f"{replay} {shlex.quote(result.replay)}" if result.replay else "", width):
                line(text)
            line("")
    for row in terminal.table(document.results, width=width, explained=lambda result: not result.passed):
        line(row.text, row.outcome)
    for text in report.information:
        for part in terminal.wrapped(f"for information: {text}", width, rest="    "):
            line(part)
    if report.skipped:
        names = ", ".join(document.unchecked)
        for part in terminal.wrapped(f"not checked: {names} ({report.skipped})", width, rest="    "):
            line(part, Outcome.UNDECIDED)
    totals = f"{run_facts.totals(document.results)} on {document.session.device}, seed {document.session.seed}"
    line(totals, document.outcome)
    for path in filter(None, (options.report, options.json)):
        line(f"wrote {path}")


def _assumed(assumptions: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    """Each assumption, with the option that changes it."""
    lines = []
    for at, (about, text, option) in enumerate(assumptions):
        head = f"  {'assumed' if at == 0 else '':<9}{about:<9}"
        change = f" (to change it: {option})" if option else ""
        lines += terminal.wrapped(text + change, width, first=head, rest=" " * len(head))
    return lines


def _failure(result: Result, command: str, width: int) -> list[str]:
    """The block about a law that does not hold, with its meaning."""
    law = LAWS[_label(result)]
    lines = terminal.failure(replace(result, traceback=""), command, width=width).splitlines()
    if result.verdict is Verdict.VIOLATED:
        asks = terminal.wrapped(law.asks, width, first="  asks     ", rest=" " * terminal.INDENT)
        usual = terminal.wrapped(law.otherwise, width, first="  usually  ", rest=" " * terminal.INDENT)
        lines = [lines[0], *asks, *lines[1:], *usual]
    return lines


def _label(result: Result) -> str:
    return next(label for label, law in LAWS.items() if law.test == result.test)
