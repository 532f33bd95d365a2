"""A result as text: a line that says what was decided, and the block that a failing test prints; a run in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gentest.report import comparison, rates
from gentest.report.details import details
from gentest.report.figures import WORDS
from gentest.report.layout import WIDEST, wrapped
from gentest.results.result import Attack, Result, Verdict

INDENT = 11
"""Where what is said of a word begins."""
SHOWN = 8
"""Of the tests that were not checked, so many are named."""


def headline(result: Result) -> str:
    """One line that says what was decided.

    >>> headline(Result("t", "between(brightness(), tolerance=0.05)", Verdict.NO_COUNTEREXAMPLE, search=Search(300)))
    'between(brightness(), tolerance=0.05): no counterexample in 300 probes'
    """
    if result.verdict is Verdict.ERROR:
        return f"{result.property}: error: {result.message}"
    if result.distribution is not None:
        return f"{result.property}: {rates.distribution(result.distribution, result.verdict)}"
    if result.rate is not None:
        return f"{result.property}: {rates.rate(result.rate)}"
    if result.verdict is Verdict.NO_COUNTEREXAMPLE:
        again = "the replayed probe" if result.replayed else f"{result.examples} probes"
        seen = rates.inputs(result.distinct, result.inputs)
        return f"{result.property}: no counterexample in {again}{seen}{_withstood(result.attack)}"
    if result.replayed:
        return f"{result.property}: violated by a replayed probe, margin {_worst(result):.4g}"
    if result.attack is not None and result.attack.found:
        return (
            f"{result.property}: violated under attack, worst margin {_worst(result):.4g} "
            f"(by none of {result.examples} probes; {result.attack.method}, {result.attack.probes:,} probes more)"
        )
    return (
        f"{result.property}: violated by {result.violations} of {result.examples} probes"
        f"{rates.inputs(result.distinct, result.inputs)}, worst margin {_worst(result):.4g}"
    )


def undecided(result: Result) -> str:
    """What is undecided of a result: its rate, or how it stands to the baseline."""
    if result.verdict is Verdict.UNDECIDED or result.gate is None:
        return headline(result)
    return f"{result.property}: undecided against the baseline: {comparison.figures(result.gate)}"


def failure(result: Result, command: str, *, width: int = WIDEST) -> str:
    """The whole block on a result that fails a test; `command` replays its minimal counterexample.

    No line is longer than `width`, except the command, which is one line to copy.
    """
    lines = wrapped(headline(result), width, rest="    ")
    for detail in details(result):
        first = f"  {detail.word:<{INDENT - 3}} " if detail.word else " " * INDENT
        if detail.aligned and len(detail.text) + INDENT <= width:
            lines.append(first + detail.text)
        else:
            lines += wrapped(detail.text, width, first=first, rest=" " * INDENT)
    lines += ["  replay   " + command] if result.counterexample is not None else []
    if result.traceback:
        lines += ["", *(f"  {line}" for line in result.traceback.rstrip().splitlines())]
    return "\n".join(lines)


def totals(results: Sequence[Result]) -> str:
    """One line on the whole run."""
    counts = Counter(r.verdict for r in results)
    certified = [r.rate for r in results if r.verdict is Verdict.HOLDS and r.rate is not None]
    of_rates = f"{len(certified)} {rates.holds(certified)}" if certified else ""
    counts[Verdict.HOLDS] -= len(certified)
    words = {v: [of_rates] if of_rates and v is Verdict.HOLDS else [] for v in Verdict}
    said = ", ".join(word for v in Verdict for word in [*words[v], *([f"{counts[v]} {WORDS[v]}"] if counts[v] else [])])
    images, seconds = sum(r.images for r in results), sum(r.seconds for r in results)
    speed = f" ({images / seconds:,.0f} images/s)" if seconds else ""
    n = len(results)
    return f"{n} {'property' if n == 1 else 'properties'}: {said}; {images:,} images in {seconds:.1f} s{speed}"


def unfinished(interrupted: str, unchecked: Sequence[str]) -> str:
    """What there is to say of a run that did not come to its end; empty of one that did.

    >>> unfinished("KeyboardInterrupt", ["test_a.py::test_a", "test_a.py::test_b"])
    'interrupted (KeyboardInterrupt): 2 tests not checked: test_a.py::test_a, test_a.py::test_b'
    """
    what = f"interrupted ({interrupted})" if interrupted else "not whole"
    if not unchecked:
        return what if interrupted else ""
    more = f" and {len(unchecked) - SHOWN} more" if len(unchecked) > SHOWN else ""
    n = len(unchecked)
    return f"{what}: {n} {'test' if n == 1 else 'tests'} not checked: {', '.join(unchecked[:SHOWN])}{more}"


def _worst(result: Result) -> float:
    found = [c.margin for c in (result.worst, result.counterexample) if c is not None]
    return min(found, default=float("nan"))


def _withstood(attack: Attack | None) -> str:
    """What to add to what a search has not found, of an attack that has found nothing either."""
    if attack is None:
        return ""
    if attack.message:
        return f" (not attacked: {attack.message})"
    return f", nor by an attack ({attack.method}, {attack.probes:,} probes, smallest margin {attack.least:.4g})"
