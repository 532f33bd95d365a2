"""The command `gentest show`: the results of a run, or a baseline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gentest.cli.results_files import (
    HELD,
    document_of,
    print_lines,
    read_results,
    texts,
    unfinished_lines,
)
from gentest.gate.baseline import Baseline
from gentest.report import markdown, terminal
from gentest.results.document import Document
from gentest.results.result import Result

HELP = "print the results of a run, or a baseline"
DESCRIPTION = "Prints what a run reported. The exit status is the run's: 0 passed, 1 failed, 3 undecided."


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file", type=Path, metavar="RESULT.json", help="a file that --gentest-json wrote, or a baseline"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown, for the page of a CI job")


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Print the file, and return the exit status of the run that wrote it."""
    value = read_results(options.file)
    if isinstance(value, dict) and "blessed" in value:
        baseline = Baseline.load(options.file)
        print_lines([f"{options.file.name}: {baseline.blessed}", *baseline.summary])
        return HELD
    document = document_of(options.file, value)
    if options.markdown:
        sys.stdout.write(markdown.page(document))
    else:
        print_lines(_lines(document, terminal.columns()))
    return document.outcome.exit_status


def _lines(document: Document, width: int) -> list[str]:
    results = document.results
    failed = [r for r in results if not r.passed]
    blocks = [(r.test, terminal.failure(r, _replay(r, document), width=width)) for r in failed]
    failures = [line for test, block in blocks for line in (test, *block.splitlines())]
    rows = terminal.table(results, width=width, explained=lambda result: not result.passed)
    return [
        *failures,
        *texts(rows),
        *texts(terminal.summary(document, width=width)),
        *unfinished_lines(document),
    ]


def _replay(result: Result, document: Document) -> str:
    if document.session.checks_a_model:
        return markdown.replay_command(result, document)
    where = "" if result.replayed_in == result.test else f"{result.replayed_in} "
    return f"{where}--gentest-replay {result.replay}" if result.replay else ""
