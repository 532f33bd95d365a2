"""A run as Markdown: what stands on the page of a CI job."""

from __future__ import annotations

from gentest.comparison import Comparison, Standing
from gentest.report import comparison, rates, terminal
from gentest.report.numbers import odds, percent
from gentest.result import Document, Result

SIGNS = {Standing.HELD: "✅ held", Standing.REGRESSED: "❌ regressed", Standing.UNDECIDED: "⚠️ undecided"}


def page(document: Document) -> str:
    """The gate first where there is one, then every property, and why and how to replay what failed."""
    session = document.session
    lines = [*(_gate(document.gate) if document.gate is not None else []), "### gentest", ""]
    lines += ["| verdict | test | property | probes | worst margin |", "|---|---|---|---|---|"]
    lines += [_row(result) for result in document.results]
    lines += ["", f"{terminal.totals(document.results)} on {_cell(session.device)}, seed {session.seed}", ""]
    lines += [line for result in document.results if not result.passed for line in _why(result)]
    return "\n".join(lines).rstrip() + "\n"


def _why(result: Result) -> list[str]:
    """What was decided of a result that fails, each of several rates below it, and how to see it again."""
    found = result.counterexample
    replay = "" if found is None else f": `--gentest-replay {_code(found.replay)}`"
    below = [] if result.rate is None else rates.arms(result.rate)
    below += [] if result.radius is None else [rates.radius(result.radius)]
    return [f"- {_cell(terminal.headline(result))}{replay}", *(f"  - {_cell(line)}" for line in below)]


def _gate(found: Comparison) -> list[str]:
    drifts = found.refused and found.standing is not Standing.REGRESSED
    lines = [f"### Gate: {'❌ refused for drift' if drifts else SIGNS[found.standing]}", ""]
    lines += [f"{_cell(comparison.total(found))}, against {_cell(found.baseline)} ({_cell(found.blessed)})", ""]
    lines += ["| | test | property | baseline | candidate | probes | lost / won | evidence |", *["|---" * 8 + "|"]]
    for compared in found.properties:
        gate = compared.gate
        on = f" on {_cell(compared.checkpoint)}" if compared.checkpoint else ""
        names = f"{_cell(compared.test)}{on} | {_cell(compared.property)}"
        if not gate.probes:
            lines.append(f"| {SIGNS[gate.standing]} | {names} | | | | | {_cell(comparison.figures(gate))} |")
            continue
        before, now = (percent(n / gate.probes) for n in (gate.baseline_passes, gate.candidate_passes))
        evidence = (
            f"{odds(gate.log_held)} for held"
            if gate.standing is Standing.HELD
            else f"{odds(gate.log_regressed)} for worse, needs {odds(gate.needed)}"
        )
        counts = f"{gate.probes} of {gate.stored} | {gate.losses} / {gate.wins}"
        lines.append(f"| {SIGNS[gate.standing]} | {names} | {before} | {now} | {counts} | {evidence} |")
    lines += ["", *(f"- ⚠️ drift: {_cell(comparison.describe(drift))}" for drift in found.drifted)]
    lines += [f"- ⚠️ not looked at: {_cell(key)}" for key in found.missing]
    return [*lines, ""]


def _row(result: Result) -> str:
    verdict = terminal.WORDS[result.verdict]
    probes = f"{result.rate.passes} of {result.rate.probes}" if result.rate is not None else str(result.examples)
    if result.distribution is not None:  # of all outputs together
        probes = str(result.distribution.n)
    margin = f"{result.margin.min:.4g}" if result.margin is not None else ""
    on = f" on {_cell(result.checkpoint)}" if result.checkpoint else ""
    return f"| {verdict} | {_cell(result.test)}{on} | {_cell(result.property)} | {probes} | {margin} |"


def _cell(text: str) -> str:
    """Text that is nothing but text: names and prompts come from anybody."""
    escaped = " ".join(text.splitlines()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\|*_[]`~#" else c for c in escaped)


def _code(text: str) -> str:
    return " ".join(text.replace("`", "").splitlines())
