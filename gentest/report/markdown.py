"""A run as Markdown: the page of a CI job."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from html import escape

from gentest._support.printable import printable
from gentest.report import facts, level_facts, numbers, run_facts, terminal
from gentest.results.comparison import Compared, Comparison
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import Result

SIGNS = {Outcome.PASSED: "✅", Outcome.UNDECIDED: "⚠️", Outcome.FAILED: "❌", Outcome.ERROR: "❌"}
MAX_BYTES = 900_000
"""GitHub takes one MiB from a step, and shows nothing of a longer page."""


def page(document: Document) -> str:
    """The gate, if there is one, then a row for each property, and a folded block for each that does not pass."""
    session = document.session
    ordered = sorted(document.results, key=facts.severity)
    lines = [*(_gate(document.gate) if document.gate is not None else []), "### gentest", ""]
    if partial := run_facts.unfinished(document.interrupted, document.unchecked):
        lines += [f"❌ {cell(partial)}", ""]
    lines += table(ordered)
    lines += ["", f"{run_facts.totals(document.results)} on {cell(session.device)}, seed {session.seed}", ""]
    lines += [line for text in run_facts.certainty(document) for line in (cell(text), "")]
    length = sum(map(_bytes, lines))
    failed = [result for result in ordered if not result.passed]
    for n, result in enumerate(failed):
        block = failure(result, document)
        length += sum(map(_bytes, block))
        if length > MAX_BYTES:
            lines += [f"{len(failed) - n} more that do not pass are left out here: the page would be too long.", ""]
            break
        lines += block
    return printable("\n".join(lines).rstrip()) + "\n"


def table(results: Sequence[Result]) -> list[str]:
    """A row for each result, under a head."""
    head = ["| verdict | test | property | probes | margin or rate | time |", "|---|---|---|---:|---|---:|"]
    return head + [_row(result) for result in results]


def _row(result: Result) -> str:
    verdict = f"{SIGNS[result.outcome]} {cell(facts.verdict(result))}"
    test = cell(result.test) + (f" on {cell(result.checkpoint)}" if result.checkpoint else "")
    figures = (facts.probes(result), facts.measure(result), facts.seconds(result))
    return f"| {' | '.join([verdict, test, *map(cell, (facts.property_of(result), *figures))])} |"


def failure(result: Result, document: Document, pictures: Sequence[str] = ()) -> list[str]:
    """The folded block of a failing test, with lines of pictures. Nothing in its text can close its fence."""
    text = terminal.failure(result, replay_command(result, document))
    fence = fence_of(text)
    title = escape(
        " ".join(f"{result.test}{facts.on_checkpoint(result)}: {facts.property_of(result)}".split()), quote=False
    )
    title = title.replace("@", "&#64;")
    summary = f"<details><summary>{SIGNS[result.outcome]} {title}</summary>"
    return [summary, "", f"{fence}text", *text.splitlines(), fence, "", *pictures, "</details>", ""]


def fence_of(text: str) -> str:
    """A fence for a block of text, which nothing in the text closes."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))


def replay_command(result: Result, document: Document) -> str:
    """The command that replays the counterexample or the invalid output, from the folder of the tests."""
    if not result.replay:
        return ""
    session = document.session
    if session.checks_a_model:
        return f"{session.command} --replay {shlex.quote(result.replay)}"
    words = ["pytest", "--gentest", result.replayed_in, "--gentest-replay", result.replay]
    if session.checkpoint and not session.checkpoints:
        words += ["--gentest-checkpoint", session.checkpoint]
    return shlex.join(words)


def _gate(comparison: Comparison) -> list[str]:
    differing = run_facts.differing(comparison)
    return [
        f"### Gate: {SIGNS[comparison.outcome]} {run_facts.gate_word(comparison)}",
        "",
        f"{cell(run_facts.gate_total(comparison))}, {cell(run_facts.against(comparison))}",
        "",
        "| | test | property | baseline | candidate | probes | lost / won | evidence |",
        "|---" * 8 + "|",
        *map(_gate_row, comparison.properties),
        "",
        *levels(comparison),
        *(f"- ⚠️ drift: {cell(text)}" for text in run_facts.drifted(comparison)),
        *(f"- ⚠️ drift not comparable: {cell(name)}" for name in comparison.uncompared),
        *(f"- ⚠️ not looked at: {cell(name)}" for name in comparison.missing),
        *(f"- ⚠️ not selected: {cell(name)}" for name in comparison.unselected),
        *([f"- {cell(differing)}"] if differing else []),
        "",
    ]


def levels(comparison: Comparison) -> list[str]:
    """A line for the levels of a quick gate with each standing."""
    return [
        f"- {SIGNS[standing.outcome]} level, {standing.value}: {cell(text)}"
        for standing, text in level_facts.levels(comparison)
    ]


def _gate_row(compared: Compared) -> str:
    gate = compared.gate
    standing = f"{SIGNS[gate.standing.outcome]} {facts.standing(gate)}"
    test = cell(compared.test) + (f" on {cell(compared.checkpoint)}" if compared.checkpoint else "")
    figures = ["", "", "", "", cell(facts.gate_figures(gate))]
    if gate.probes:
        probes, differ = f"{gate.probes:,} of {gate.stored:,}", f"{gate.losses} / {gate.wins}"
        figures = [*facts.rates_compared(gate), probes, differ, facts.gate_evidence(gate)]
    return f"| {' | '.join([standing, test, cell(numbers.short_figures(compared.property)), *figures])} |"


def _bytes(line: str) -> int:
    return len(line.encode(errors="backslashreplace")) + 1


def cell(text: str) -> str:
    """Text that stays text, and calls nobody: names and prompts come from anybody."""
    escaped = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;").replace("@", "&#64;")
    return "".join(f"\\{c}" if c in "\\|*_[]`~#" else c for c in escaped)
