"""A candidate against its baseline, as text: its figures, a line for each drift, and one for the whole."""

from __future__ import annotations

from collections import Counter
from math import exp

from gentest.report.figures import change, standing
from gentest.report.layout import WIDEST, Line, wrapped
from gentest.report.numbers import above, below, bounds, confidence, needed_odds, observed, odds, toward_zero
from gentest.results.comparison import Comparison, Drift, Gate, Standing
from gentest.results.outcome import Outcome

SHOWN = 3
ORDER = list(Standing)
INDENT = 11
"""Where what is said of a word begins."""


def lines(comparison: Comparison, width: int = WIDEST) -> list[Line]:
    """What a run against a baseline came to: each drift that is certain, what was not looked at, and the whole.

    Each property has its row in the table of results.
    """
    found = [Line(f"against {comparison.baseline} ({comparison.blessed}){unchanged(comparison)}")]
    found += [Line(f"drift      {describe(drift)}", Outcome.UNDECIDED) for drift in comparison.drifted]
    if comparison.drifts and not comparison.drifted:
        found.append(Line(f"drift      not found in {seen(comparison)}", Outcome.PASSED))
    for said, names in (("not seen   ", comparison.missing), ("drift      not comparable: ", comparison.uncompared)):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        found += [Line(f"{said}{', '.join(names[:SHOWN])}{more}", Outcome.UNDECIDED)] if names else []
    lines = [Line(text, line.outcome) for line in found for text in hanging(line.text, width)]
    return [*lines, Line(total(comparison), comparison.outcome)]


def seen(comparison: Comparison) -> str:
    """The levels and distributions that were looked at for drift."""
    return ", ".join(dict.fromkeys(drift.what for drift in comparison.drifts))


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
    claims, n = comparison.terms.claims, comparison.terms.checkpoints
    among = f" on {n} checkpoints, which share the probability of a wrong decision" if n > 1 else ""
    return f"{said}; tolerance {comparison.terms.tolerance:g}, {claims} {'claim' if claims == 1 else 'claims'}{among}"


def total(comparison: Comparison) -> str:
    """The whole in one line."""
    return f"gate: {word(comparison)} ({counts(comparison)})"


def figures(gate: Gate) -> str:
    """Rates before and now, how many outcomes differ, and the evidence with what it needs."""
    if gate.message:
        return gate.message
    if not gate.probes:
        return "too few outcomes to compare any"
    held = f"{odds(gate.log_held)} that it is not worse by the tolerance, needs {needed_odds(gate.needed_held)}"
    if gate.standing is Standing.HELD:
        evidence = f"evidence {held}"
    else:
        evidence = f"evidence {odds(gate.log_regressed)} that it is worse, needs {needed_odds(gate.needed)}"
        if gate.standing is Standing.UNDECIDED:
            evidence += f"; {held}"
    differ = observed(gate.wins + gate.losses, gate.probes, up=gate.standing is not Standing.REGRESSED)
    spent = " (all there are)" if gate.probes == gate.stored else ""
    return (
        f"{change(gate)} of {gate.probes} probes{spent}, {gate.losses} lost and {gate.wins} won "
        f"(discordance {differ}, difference within {bounds(gate.low, gate.high)}, "
        f"each end {confidence(gate.each_end)}); {evidence}"
    )


def describe(drift: Drift) -> str:
    """What drifted, how far, and the evidence."""
    by = "" if drift.mean is None else f" by {toward_zero(drift.mean, 2)} of the baseline's sd"
    evidence = f"evidence {odds(drift.log_evidence)}, needs {needed_odds(drift.needed)}"
    if drift.mean is None:
        evidence = f"p = {above(exp(-drift.log_evidence), 2)}, needs {below(exp(-drift.needed), 2)}"
    if drift.certain_at:
        evidence += f", certain after {drift.certain_at}"
    more = f" and {len(drift.tests) - 1} more" if len(drift.tests) > 1 else ""
    on = f" on {drift.checkpoint}" if drift.checkpoint else ""
    return f"{drift.what}{by}{on}  [{drift.probes} latents; {evidence}]  in {drift.tests[0]}{more}"
