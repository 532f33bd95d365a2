"""A candidate against its baseline, as text: its figures, a line for each drift, and one for the whole."""

from __future__ import annotations

from collections import Counter
from math import exp

from gentest.comparison import Comparison, Drift, Gate, Standing
from gentest.report.figures import change, standing
from gentest.report.layout import WIDEST, Line, wrapped
from gentest.report.numbers import odds, percent

SHOWN = 3
ORDER = list(Standing)
INDENT = 11
"""Where what is said of a word begins."""


def lines(comparison: Comparison, width: int = WIDEST) -> list[Line]:
    """What a run against a baseline came to: each drift that is certain, what was not looked at, and the whole.

    Each property has its row in the table of results.
    """
    found = [Line(f"against {comparison.baseline} ({comparison.blessed}){unchanged(comparison)}")]
    found += [Line(f"drift      {describe(drift)}", "unsure") for drift in comparison.drifted]
    if comparison.drifts and not comparison.drifted:
        found.append(Line(f"no drift   in {', '.join(dict.fromkeys(d.what for d in comparison.drifts))}", "good"))
    for said, names in (("not seen   ", comparison.missing), ("drift      not comparable: ", comparison.uncompared)):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        found += [Line(f"{said}{', '.join(names[:SHOWN])}{more}", "unsure")] if names else []
    lines = [Line(text, line.tone) for line in found for text in hanging(line.text, width)]
    return [*lines, Line(total(comparison), tone(comparison))]


def unchanged(comparison: Comparison) -> str:
    """That the generator is the one that was blessed; under another file, the fixture may ignore the checkpoint."""
    if not comparison.unchanged:
        return ""
    files = [file for file in comparison.unchanged if file and file != comparison.blessed_file]
    if not files:
        return ": same weights as blessed"
    verb = "is" if len(files) == 1 else "are"
    return (
        f": same weights as blessed, though {', '.join(files[:SHOWN])} {verb} another file than "
        f"{comparison.blessed_file or 'none'}; does the fixture load gentest_checkpoint?"
    )


def hanging(text: str, width: int) -> list[str]:
    """A word and what is said of it, in lines of a bounded width."""
    word, rest = text[:INDENT], text[INDENT:]
    if not word.endswith(" "):
        return wrapped(text, width, rest="    ")
    return wrapped(rest, width, first=word, rest=" " * INDENT)


def tone(comparison: Comparison) -> str:
    """What the whole means: "good", "unsure" or "bad"."""
    if comparison.refused:
        return "bad"
    return "good" if comparison.standing is Standing.HELD else "unsure"


def is_drift_alone(comparison: Comparison) -> bool:
    """Whether a run is refused, and by nothing but its drift."""
    return comparison.refused and comparison.standing is not Standing.REGRESSED


def word(comparison: Comparison) -> str:
    """What the whole came to, in a word or three."""
    if is_drift_alone(comparison):
        return "refused for drift"
    passed = comparison.standing is Standing.HELD
    return comparison.standing.value if not passed or all(c.gate.certified for c in comparison.properties) else "passed"


def counts(comparison: Comparison) -> str:
    """How many properties came to what, and by which terms."""
    gates = sorted((c.gate for c in comparison.properties), key=lambda g: (ORDER.index(g.standing), not g.certified))
    counted = dict(Counter(map(standing, gates)))
    counted["not looked at"] = len(comparison.missing)
    counted["drifted"] = len(comparison.drifted)
    counted["drift not comparable"] = len(comparison.uncompared)
    said = ", ".join(f"{n} {what}" for what, n in counted.items() if n)
    claims = comparison.terms.claims
    return f"{said}; tolerance {comparison.terms.tolerance:g}, {claims} {'claim' if claims == 1 else 'claims'}"


def total(comparison: Comparison) -> str:
    """The whole in one line."""
    return f"gate: {word(comparison)} ({counts(comparison)})"


def figures(gate: Gate) -> str:
    """Rates before and now, how many outcomes differ, and the evidence with what it needs."""
    if gate.message:
        return gate.message
    if not gate.probes:
        return "too few outcomes to compare any"
    if gate.standing is Standing.HELD:
        evidence = f"evidence {odds(gate.log_held)}"
    else:
        evidence = f"evidence {odds(gate.log_regressed)} that it is worse, needs {odds(gate.needed)}"
        if gate.standing is Standing.UNDECIDED:
            evidence += f"; {odds(gate.log_held)} that it is not worse by the tolerance"
    spent = " (all there are)" if gate.probes == gate.stored else ""
    return (
        f"{change(gate)} of {gate.probes} probes{spent}, {gate.losses} lost and {gate.wins} won "
        f"(discordance {percent(gate.discordance)}, difference within [{percent(gate.low)}, {percent(gate.high)}]); "
        f"{evidence}"
    )


def describe(drift: Drift) -> str:
    """What drifted, how far, and the evidence."""
    by = "" if drift.mean is None else f" by {drift.mean:+.2f} of the baseline's sd"
    evidence = f"evidence {odds(drift.log_evidence)}, needs {odds(drift.needed)}"
    if drift.mean is None:
        evidence = f"p = {exp(-drift.log_evidence):.2g}, needs {exp(-drift.needed):.2g}"
    if drift.certain_at:
        evidence += f", certain after {drift.certain_at}"
    more = f" and {len(drift.tests) - 1} more" if len(drift.tests) > 1 else ""
    on = f" on {drift.checkpoint}" if drift.checkpoint else ""
    return f"{drift.what}{by}{on}  [{drift.probes} latents; {evidence}]  in {drift.tests[0]}{more}"
