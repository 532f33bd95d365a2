"""The figures of a result as text: one room, so that terminal, Markdown, HTML and the test of them say the same.

How each figure is rounded stands in `numbers.py`.
"""

from __future__ import annotations

from math import ceil

from gentest.report import rates
from gentest.report.numbers import bounds, observed
from gentest.results.comparison import Gate, Standing
from gentest.results.result import Result, Verdict

WORDS = {
    Verdict.NO_COUNTEREXAMPLE: "no counterexample",
    Verdict.HOLDS: "holds",
    Verdict.VIOLATED: "violated",
    Verdict.UNDECIDED: "undecided",
    Verdict.ERROR: "error",
}
_VERDICTS = (Verdict.ERROR, Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.HOLDS, Verdict.NO_COUNTEREXAMPLE)


def verdict(result: Result) -> str:
    """The verdict in a word or two; the rate that is certified, and why a run passes in spite of it."""
    certified = result.verdict is Verdict.HOLDS and result.rate is not None
    word = rates.holds([result.rate]) if certified and result.rate is not None else WORDS[result.verdict]
    return word + (
        " (known)" if result.known else " (left to the gate)" if result.left_to_gate and result.passed else ""
    )


def probes(result: Result) -> str:
    """How many probes the verdict rests on: of a rate also how many hold, of a distribution how many outputs.

    Where the latent space has only so many inputs, also how many of the probes are distinct.
    """
    if result.distribution is not None:
        return f"{result.distribution.n:,}"
    if result.rate is not None:
        return f"{result.rate.passes:,} of {result.rate.probes:,}{_distinct(result.rate.distinct, result.rate.inputs)}"
    return f"{result.examples:,}{_distinct(result.distinct, result.inputs)}"


def inputs(result: Result) -> str:
    """How many distinct inputs a result rests on, where the latent space has only so many; else nothing."""
    rate = result.rate
    found = rates.inputs(*((result.distinct, result.inputs) if rate is None else (rate.distinct, rate.inputs)))
    return found.removeprefix(", ")


def _distinct(n: int | None, of: int | None) -> str:
    if n is None:
        return ""
    return (
        f" (all {n:,} distinct)" if n == of else f" ({n:,} distinct)" if of is None else f" ({n:,} of {of:,} distinct)"
    )


def measure(result: Result) -> str:
    """What the verdict rests on: a rate with its bounds, a distance, or else the smallest margin."""
    if result.rate is not None:
        return f"{rates.share(result.rate)} {bounds(result.rate.low, result.rate.high).replace(' %', '')}"
    if result.distribution is not None:
        return rates.distance(result.distribution, result.verdict)
    least = smallest(result)
    return "" if least is None else f"{least:.4g}"


def smallest(result: Result) -> float | None:
    """The smallest margin that anything saw, search, replay or attack; None where none was."""
    found = [c.margin for c in (result.worst, result.counterexample) if c is not None]
    found += [result.margin.min] if result.margin is not None else []
    return min(found, default=None)


def brief(result: Result) -> str:
    """As `measure`, but of a rate without its bounds: for narrow places."""
    return measure(result).partition(" [")[0]


def unreadable(what: str, part: str) -> str:
    """That nothing of a callable is shared or cached, since a part of it cannot be read; and how to name that part."""
    return (
        f"identity: gentest shares nothing of {what} between tests and caches none of it: {part}; "
        'give that part an attribute gentest_identity = "a name", or say Generator(..., identity="a name")'
    )


def audited(result: Result) -> str:
    """How many outputs were made again, and what share of wrong ones that would have shown; empty where none was."""
    audit = result.audit
    if audit is None or not audit.outputs:
        return ""
    said = f"audited: {audit.outputs} outputs made again, alone, and they agree"
    said += f", {audit.reused} of them from an earlier test or the cache" if audit.reused else ""
    share = f"{ceil(1000 * audit.catches) / 10:.1f} %"
    shows = f"had {share} of all been wrong, one of the {audit.drawn} drawn at random would have shown it with 95 %"
    return f"{said}; {shows}" if audit.drawn else said


def rounding(result: Result) -> str:
    """How many probes rounding could have decided, and what did instead; nothing where it could decide none."""
    n = result.decided_alone
    whose = "the margin of 1 probe was" if n == 1 else f"the margins of {n:,} probes were"
    how = "decided by that probe alone" if n == 1 else "decided by each probe alone"
    return f"{whose} within rounding of zero, and {how}, in full precision" if n else ""


def seconds(result: Result) -> str:
    """How long it took."""
    return f"{result.seconds:.1f} s"


def change(gate: Gate) -> str:
    """The rate of the baseline and that of the candidate, on the same probes.

    Both are rounded up where the candidate has regressed, and else down, so that equal rates look equal.
    """
    if not gate.probes:
        return ""
    up = gate.standing is Standing.REGRESSED
    before, now = (observed(n, gate.probes, up=up) for n in (gate.baseline_passes, gate.candidate_passes))
    return f"{before} -> {now}"


def standing(gate: Gate) -> str:
    """How a candidate stands to the baseline, in words: what nothing certifies is not said to be held.

    >>> standing(Gate(Standing.HELD)), standing(Gate(Standing.HELD, certified=False))
    ('held', 'not found further')
    """
    return gate.standing.value if gate.certified or gate.standing is not Standing.HELD else "not found further"


def severity(result: Result) -> tuple[int, int, int]:
    """A key that sorts the worst results first: by outcome, then by verdict, then by standing."""
    standings = (Standing.REGRESSED, Standing.UNDECIDED, Standing.HELD)
    standing = len(standings) if result.gate is None else standings.index(result.gate.standing)
    return result.outcome.severity, _VERDICTS.index(result.verdict), standing
