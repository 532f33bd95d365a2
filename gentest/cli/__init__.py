"""The command `gentest`.

    gentest check MODEL                               check a model as it is, without a test
    gentest init MODEL                                the same, and write tests and a CI workflow that do it
    gentest doctor [FOLDER]                           find what would stop a run, and say how to fix it
    gentest compare REFERENCE CANDIDATE               measure how far a model and its export are apart
    gentest show RESULT.json                          print the results of a run, or a baseline
    gentest gate RESULT.json --baseline FILE          compare a run with a baseline, from files alone
    gentest comment RESULT.json                       print the comment of a bot on a pull request
    gentest card RESULT.json [--into README.md]       print or update a part of a model card
    gentest bless FILE --by NAME [PYTEST ARGUMENTS]   make a checkpoint the baseline of later ones
    gentest suggest [FOLDER] [-- PYTEST ARGUMENTS]    write tests whose tolerances are measured on your model

Each command is a module with `add_to`, which declares its arguments, and `run`, which returns the exit status: 0 held
(or all passed), 1 regressed (or violated, or drifted where that fails; or `doctor` found a problem), 3 undecided (or
the run was interrupted), 2 misuse. None imports torch: what needs torch or pytest runs in a child process (`child.py`).
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Sequence

from gentest._support.printable import in_one_line
from gentest.cli import bless, card, check_model, child, comment, compare, doctor, gate, init, show, suggest
from gentest.cli.results_files import MISUSE
from gentest.errors import InvalidArgument
from gentest.results.outcome import Outcome

COMMANDS = {
    "check": check_model,
    "init": init,
    "doctor": doctor,
    "compare": compare,
    "show": show,
    "gate": gate,
    "card": card,
    "comment": comment,
    "bless": bless,
    "suggest": suggest,
}
LONGEST_ERROR = 4_000
"""Characters."""
NEGATIVE = re.compile(r"-[.\d]")
"""How a value starts that argparse would take for an option."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status. Misuse is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character shows its escape
            stream.reconfigure(errors="backslashreplace")
    parser = command_parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    takes_dashes = words[:1] in (["suggest"], ["doctor"])
    end = words.index("--") if takes_dashes and "--" in words else len(words)
    own = words[:end] if words[:1] == ["bless"] else joined(words[:end])
    options, rest = parser.parse_known_args(own)
    if rest and options.command is not bless:
        hint = "; arguments of pytest come after --" if takes_dashes else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    try:
        status: int = options.command.run(options, rest + words[end + 1 :])
    except (InvalidArgument, OSError) as error:
        sys.stderr.write(f"gentest: {in_one_line(str(error), LONGEST_ERROR)}\n")
        return MISUSE
    except child.Unanswered as error:
        sys.stderr.write(f"gentest: undecided: {in_one_line(str(error), LONGEST_ERROR)}\n")
        return Outcome.UNDECIDED.exit_status
    return status


def joined(words: Sequence[str]) -> list[str]:
    """The words with each option and a value that starts with a negative number in one, as argparse needs them.

    >>> joined(["check", "gan.onnx", "--range", "-1,1", "--seed", "3"])
    ['check', 'gan.onnx', '--range=-1,1', '--seed', '3']
    """
    found: list[str] = []
    for word in words:
        if NEGATIVE.match(word) and found and found[-1].startswith("--") and "=" not in found[-1]:
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def command_parser() -> argparse.ArgumentParser:
    """The parser of the command line, with a subparser for each command."""
    parser = argparse.ArgumentParser(prog="gentest", description="property-based testing for generative models")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_to(subparsers.add_parser(name, help=command.HELP, description=command.DESCRIPTION))
        subparsers.choices[name].set_defaults(command=command)
    return parser
