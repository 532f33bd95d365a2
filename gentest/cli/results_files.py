"""Read a run's JSON, compare it with a baseline, and print lines: what several commands do with files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gentest._support.files import read_json
from gentest._support.printable import in_one_line, printable
from gentest.errors import InvalidArgument
from gentest.gate import decision
from gentest.gate.baseline import Baseline
from gentest.integrations.sources import file_name
from gentest.report import run_facts, terminal
from gentest.results.comparison import Comparison, Terms
from gentest.results.document import Document
from gentest.results.outcome import Outcome, Verdict
from gentest.results.settings import OnDrift

HELD, MISUSE = Outcome.PASSED.exit_status, 2
MAX_BYTES = 256 * 2**20
"""A larger file of results is refused."""


def read_results(path: Path) -> object:
    """The JSON value of a file. Raises `InvalidArgument`, which names the file."""
    try:
        value: object = read_json(path, most_bytes=MAX_BYTES)
    except ValueError as error:
        raise InvalidArgument(f"{path}: not a JSON file: {in_one_line(str(error))}") from error
    return value


def document_of(path: Path, value: object) -> Document:
    """The record of a run from the JSON of its file. Raises `InvalidArgument`, which names the file."""
    try:
        return Document.from_json(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {error}") from error


def compared_with(baseline_file: Path, file: Path, document: Document, terms: Terms) -> tuple[Document, Comparison]:
    """A run with its comparison with a baseline. Raises `InvalidArgument` if the two cannot be compared."""
    baseline = Baseline.load(baseline_file)
    errors = [result for result in document.results if result.verdict is Verdict.ERROR]
    if len(errors) < len(document.results) and all(result.sample is None for result in document.results):
        raise InvalidArgument(f"{file}: has no outcomes to compare; make it with --gentest-outcomes")
    try:
        compared = _compare(document, baseline, terms)
    except InvalidArgument as error:
        raise InvalidArgument(f"{file} against {baseline_file}: {error}") from error
    return replace(document, results=tuple(decision.applied(document.results, compared)), gate=compared), compared


def _compare(document: Document, baseline: Baseline, terms: Terms) -> Comparison:
    """The decision on every checkpoint of the run."""
    results, session = document.results, document.session
    checkpoints = session.checkpoints or tuple(dict.fromkeys(r.checkpoint for r in results if r.checkpoint))
    n = max(1, len(checkpoints))
    claims = decision.n_claims(baseline, drift=terms.drift != OnDrift.OFF, checkpoints=n)
    terms = replace(terms, claims=claims, checkpoints=n)
    decision.check_reach(baseline, terms)
    return decision.decide(
        results,
        baseline,
        terms,
        checkpoints=checkpoints,
        file="" if checkpoints else file_name(session.checkpoint or ""),
        versions=session.versions,
        digest_of=lambda name: session.digests.get(name, ""),
        selects=session.selects,
    )


def unfinished_lines(document: Document) -> list[str]:
    """One line if the run did not finish, else none. Nothing passes on a part of its tests."""
    line = run_facts.unfinished(document.interrupted, document.unchecked)
    return [line] if line else []


def texts(lines: Sequence[terminal.Line]) -> list[str]:
    """Lines of a report without their colours."""
    return [line.text for line in lines]


def print_lines(lines: Sequence[str]) -> None:
    """Print lines, with control characters in names and messages escaped."""
    sys.stdout.write(printable("\n".join(lines)) + "\n")
