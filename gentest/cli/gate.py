"""The command `gentest gate`: compare a run with a baseline, from files alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gentest.cli.results_files import (
    compared_with,
    document_of,
    print_lines,
    read_results,
    texts,
    unfinished_lines,
)
from gentest.errors import InvalidArgument
from gentest.report import facts, markdown, terminal
from gentest.results.comparison import Terms
from gentest.results.document import Document
from gentest.results.result import Verdict
from gentest.results.settings import OnDrift, OnUndecided

HELP = "compare a run with a baseline, from files alone"
DESCRIPTION = "Decides as `pytest --gentest-baseline` does, without the model. Options override those of the run."


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="RESULT.json", help="results of a run with --gentest-outcomes")
    parser.add_argument(
        "--baseline", type=Path, required=True, metavar="FILE", help="a file that --gentest-save-baseline wrote"
    )
    parser.add_argument("--tolerance", type=float, metavar="T", help="default: the run's")
    parser.add_argument("--drift", choices=[word.value for word in OnDrift], help="default: the run's")
    parser.add_argument(
        "--undecided",
        choices=[word.value for word in OnUndecided],
        help="warn: exit with status 0 if undecided; default: the run's",
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for the page of a CI job")


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print the comparison, and return its exit status."""
    if options.tolerance is not None and not 0.0 < options.tolerance < 1.0:
        raise InvalidArgument.expected("a number above 0 and below 1", "--tolerance", options.tolerance)
    document = document_of(options.file, read_results(options.file))
    gated, compared = compared_with(options.baseline, options.file, document, _terms(options, document))
    new = [r for r in gated.results if r.verdict is Verdict.VIOLATED and not r.left_to_gate]
    if options.markdown:
        sys.stdout.write(markdown.page(gated))
    else:
        width = terminal.columns()
        print_lines(
            [
                *texts(terminal.table(gated.results, width=width)),
                *terminal.certainty(gated, width),
                *texts(terminal.comparison(compared, width)),
                *(f"violated, and not in the baseline: {r.test}  {facts.property_of(r)}" for r in new),
                *unfinished_lines(document),
            ]
        )
    return gated.outcome.exit_status


def _terms(options: argparse.Namespace, document: Document) -> Terms:
    """The terms of the run, with those that the command line overrides."""
    terms = document.gate.terms if document.gate is not None else Terms()
    kinds = {"tolerance": float, "undecided": OnUndecided, "drift": OnDrift}
    given = {name: kind(value) for name, kind in kinds.items() if (value := getattr(options, name)) is not None}
    return replace(terms, **given)
