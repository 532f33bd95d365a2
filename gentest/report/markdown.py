"""A run as Markdown: what stands on the page of a CI job."""

from __future__ import annotations

import re
import shlex
from html import escape

from gentest._support.printable import printable
from gentest.report import certainty, comparison, figures, terminal
from gentest.report.numbers import needed_odds, odds
from gentest.results.comparison import Comparison, Standing
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import Result

SIGNS = {Outcome.PASSED: "✅", Outcome.UNDECIDED: "⚠️", Outcome.FAILED: "❌", Outcome.ERROR: "❌"}
MOST_BYTES = 900_000
"""GitHub takes one MiB of a step, and shows nothing of a page that is longer."""


def page(document: Document) -> str:
    """The gate first where there is one, then every property, and folded below all that was decided of what failed."""
    session = document.session
    ordered = sorted(document.results, key=figures.severity)
    lines = [*(_gate(document.gate) if document.gate is not None else []), "### gentest", ""]
    if partial := terminal.unfinished(document.interrupted, document.unchecked):
        lines += [f"❌ {_cell(partial)}", ""]
    lines += ["| verdict | test | property | probes | margin or rate | time |", "|---|---|---|---:|---|---:|"]
    lines += [_row(result) for result in ordered]
    lines += ["", f"{terminal.totals(document.results)} on {_cell(session.device)}, seed {session.seed}", ""]
    lines += [line for said in certainty.lines(document) for line in (_cell(said), "")]
    length = sum(map(_bytes, lines))
    failed = [result for result in ordered if not result.passed]
    for n, result in enumerate(failed):
        block = _failure(result, document)
        length += sum(map(_bytes, block))
        if length > MOST_BYTES:
            lines += [f"{len(failed) - n} more that do not pass are left out here: the page would be too long.", ""]
            break
        lines += block
    return printable("\n".join(lines).rstrip()) + "\n"


def _failure(result: Result, document: Document) -> list[str]:
    """The block that the failing test printed, folded; from its fence nothing breaks out."""
    text = terminal.failure(result, _command(result, document))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    on = f" on {result.checkpoint}" if result.checkpoint else ""
    title = escape(" ".join(f"{result.test}{on}: {result.property}".split()), quote=False)
    summary = f"<details><summary>{SIGNS[result.outcome]} {title}</summary>"
    return [summary, "", f"{fence}text", *text.splitlines(), fence, "", "</details>", ""]


def _bytes(line: str) -> int:
    return len(line.encode(errors="backslashreplace")) + 1


def _command(result: Result, document: Document) -> str:
    """How to look at the counterexample again, in the folder of the tests."""
    if result.counterexample is None:
        return ""
    words = ["pytest", "--gentest", result.test, "--gentest-replay", result.counterexample.replay]
    one = document.session.checkpoint
    return shlex.join([*words, "--gentest-checkpoint", one] if one and not document.session.checkpoints else words)


def _gate(found: Comparison) -> list[str]:
    lines = [f"### Gate: {SIGNS[found.outcome]} {comparison.word(found)}", ""]
    lines += [f"{_cell(comparison.total(found))}, against {_cell(found.baseline)} ({_cell(found.blessed)})", ""]
    lines += ["| | test | property | baseline | candidate | probes | lost / won | evidence |", "|---" * 8 + "|"]
    for compared in found.properties:
        gate = compared.gate
        sign = f"{SIGNS[gate.standing.outcome]} {figures.standing(gate)}"
        on = f" on {_cell(compared.checkpoint)}" if compared.checkpoint else ""
        names = f"{_cell(compared.test)}{on} | {_cell(compared.property)}"
        if not gate.probes:
            lines.append(f"| {sign} | {names} | | | | | {_cell(comparison.figures(gate))} |")
            continue
        evidence = (
            f"{odds(gate.log_held)} for held, needs {needed_odds(gate.needed_held)}"
            if gate.standing is Standing.HELD
            else f"{odds(gate.log_regressed)} for worse, needs {needed_odds(gate.needed)}"
        )
        before, now = figures.change(gate).split(" -> ")
        counts = f"{gate.probes:,} of {gate.stored:,} | {gate.losses} / {gate.wins}"
        lines.append(f"| {sign} | {names} | {before} | {now} | {counts} | {evidence} |")
    lines += ["", *(f"- ⚠️ drift: {_cell(comparison.describe(drift))}" for drift in found.drifted)]
    lines += [f"- ⚠️ drift not comparable: {_cell(key)}" for key in found.uncompared]
    lines += [f"- ⚠️ not looked at: {_cell(key)}" for key in found.missing]
    return [*lines, ""]


def _row(result: Result) -> str:
    on = f" on {_cell(result.checkpoint)}" if result.checkpoint else ""
    said = [figures.verdict(result), figures.probes(result), figures.measure(result), figures.seconds(result)]
    verdict, *numbers = (_cell(text) for text in said)
    names = f"{_cell(result.test)}{on} | {_cell(result.property)}"
    return f"| {SIGNS[result.outcome]} {verdict} | {names} | {' | '.join(numbers)} |"


def _cell(text: str) -> str:
    """Text that is nothing but text: names and prompts come from anybody."""
    escaped = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\|*_[]`~#" else c for c in escaped)
