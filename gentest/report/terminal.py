"""Results as text: the block that a failing test prints, and the lines that end a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gentest.comparison import Standing
from gentest.report import comparison, rates
from gentest.result import Attack, Counterexample, Moved, Result, Verdict

BARS = "▁▂▃▄▅▆▇█"
WORDS = {
    Verdict.NO_COUNTEREXAMPLE: "no counterexample",
    Verdict.HOLDS: "holds",
    Verdict.VIOLATED: "violated",
    Verdict.UNDECIDED: "undecided",
    Verdict.ERROR: "error",
}
SHOWN = 8


def headline(result: Result) -> str:
    """One line that says what was decided.

    >>> headline(Result("t", "between(brightness(), tolerance=0.05)", Verdict.NO_COUNTEREXAMPLE, examples=300))
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
        return f"{result.property}: no counterexample in {again}{_withstood(result.attack)}"
    if result.replayed:
        return f"{result.property}: violated by a replayed probe, margin {_worst(result):.4g}"
    if result.attack is not None and result.attack.found:
        return (
            f"{result.property}: violated under attack, worst margin {_worst(result):.4g} "
            f"(by none of {result.examples} probes; {result.attack.method}, {result.attack.probes:,} probes more)"
        )
    return (
        f"{result.property}: violated by {result.violations} of {result.examples} probes, "
        f"worst margin {_worst(result):.4g}"
    )


def undecided(result: Result) -> str:
    """What is undecided of a result: its rate, or how it stands to the baseline."""
    if result.verdict is Verdict.UNDECIDED or result.gate is None:
        return headline(result)
    return f"{result.property}: undecided against the baseline: {comparison.figures(result.gate)}"


def failure(result: Result, command: str) -> str:
    """The whole block on a result that fails a test; `command` replays its minimal counterexample."""
    lines = [headline(result)]
    lines += [f"  {line}" for line in rates.arms(result.rate)] if result.rate is not None else []
    lines += [f"  radius   {rates.radius(result.radius)}"] if result.radius is not None else []
    if result.gate is not None:
        standing = result.gate.standing.value
        lines.append(f"  {standing:<8} {comparison.figures(result.gate)}")
        if result.known and result.gate.standing is Standing.REGRESSED:
            lines.append("           (what follows is as the baseline has it; the gate refused its rate)")
    if result.worst is not None and result.counterexample != result.worst:
        lines += _found("worst", result.worst)
    if result.counterexample is not None:
        lines += _found("minimal", result.counterexample)
        lines += matters(result.counterexample)
        lines += ["  replay   " + command]
    if result.traceback:
        lines += ["", *(f"  {line}" for line in result.traceback.rstrip().splitlines())]
    return "\n".join(lines)


def curve(values: Sequence[float]) -> str:
    """Numbers as a line of bars, lowest to highest.

    >>> curve([0.0, 0.5, 1.0, 0.0])
    '▁▅█▁'
    """
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BARS[round((v - low) / span * (len(BARS) - 1))] for v in values)


def table(results: Sequence[Result]) -> list[str]:
    """One line a result, and none for what the others say already."""
    if not results:
        return []
    words = [WORDS[r.verdict] + (" (known)" if r.known else "") for r in results]
    width = max(map(len, words))
    return [f"{word:<{width}}  {r.test}  {_figures(r)}" for word, r in zip(words, results, strict=True)]


def totals(results: Sequence[Result]) -> str:
    """One line on the whole run."""
    counts = Counter(r.verdict for r in results)
    said = ", ".join(f"{counts[v]} {WORDS[v]}" for v in Verdict if counts[v])
    images, seconds = sum(r.images for r in results), sum(r.seconds for r in results)
    speed = f" ({images / seconds:,.0f} images/s)" if seconds else ""
    n = len(results)
    return f"{n} {'property' if n == 1 else 'properties'}: {said}; {images:,} images in {seconds:.1f} s{speed}"


def _figures(result: Result) -> str:
    on = f" on {result.checkpoint}" if result.checkpoint else ""
    if result.verdict is Verdict.ERROR:
        return f"{result.property}{on}"
    if result.distribution is not None:
        compared = rates.distribution(result.distribution, result.verdict)
        return f"{result.property}{on}  [{compared}, {result.seconds:.1f} s]"
    smallest = f", smallest margin {result.margin.min:.4g}" if result.margin else ""
    probes = "1 probe" if result.examples == 1 else f"{result.examples} probes"
    said = ""
    if result.rate is not None:
        said = f"{rates.brief(result.rate)}; "
        said += f"{rates.radius(result.radius)}; " if result.radius is not None else ""
        found = (
            "no counterexample" if result.counterexample is None else f"counterexample {result.counterexample.replay}"
        )
        probes = f"{found} in {probes}"
    return f"{result.property}{on}  [{said}{probes}{smallest}{_under_attack(result.attack)}, {result.seconds:.1f} s]"


def _worst(result: Result) -> float:
    found = [c.margin for c in (result.worst, result.counterexample) if c is not None]
    return min(found, default=float("nan"))


def _found(word: str, found: Counterexample) -> list[str]:
    lines = [f"  {word:<8} margin {found.margin:.4g}{where(found)}"]
    width = max((len(name) for name in found.scores), default=0)
    for name, scores in found.scores.items():
        if len(scores) > 1:
            ends = f"{scores[0]:.3g} {curve(scores)} {scores[-1]:.3g}"
            lines.append(f"           {name:<{width}}  {ends}   (from {min(scores):.3g} to {max(scores):.3g})")
        else:
            lines += [f"           {name:<{width}}  {score:.4g}" for score in scores]
    return lines


def where(found: Counterexample) -> str:
    said = f", {found.under}" if found.under else ""
    if len(found.t) > 1 and (found.t[0], found.t[-1]) != (0.0, 1.0):
        said += f", from {found.t[0]:.2f} to {found.t[-1]:.2f} of the way"
    if choices := found.probe.get("choices"):
        said += f", choice {', '.join(map(str, choices))}"
    if found.typicality is not None:
        said += (
            f", typical of its prior (norm at quantile {found.typicality:.2f})"
            if _usual(found.typicality)
            else (f", far out in its prior (norm at quantile {found.typicality:.4f})")
        )
    return said


def _withstood(attack: Attack | None) -> str:
    """What to add to what a search has not found, of an attack that has found nothing either."""
    if attack is None:
        return ""
    if attack.message:
        return f" (not attacked: {attack.message})"
    return f", nor by an attack ({attack.method}, {attack.probes:,} probes, smallest margin {attack.least:.4g})"


def _under_attack(attack: Attack | None) -> str:
    if attack is None:
        return ""
    if attack.message:
        return ", not attacked"
    return f", {'found' if attack.found else 'none'} under attack ({attack.probes:,} probes)"


def _moved(moved: Moved, found: Counterexample) -> list[str]:
    """How far an attack went from a sample, in which coordinates, and how that sample is looked at."""
    share = f"{moved.distance:.2g} of the way to an unrelated sample"
    where = f"in {_coordinates(moved.groups, found)}"
    return [
        f"  moved    {share}, {where}",
        f"  from     {moved.start}, a sample of margin {moved.start_margin:.4g}",
    ]


def _coordinates(groups: Sequence[str], found: Counterexample) -> str:
    if len(groups) == found.n_groups:
        return f"all {found.n_coordinates} coordinates"
    runs = _runs(groups)
    more = f" and {len(runs) - SHOWN} more runs" if len(runs) > SHOWN else ""
    said = f"{', '.join(runs[:SHOWN])}{more} of {found.n_coordinates}"
    return f"coordinates {said} ({len(groups)} of {found.n_groups} groups)"


def _usual(quantile: float) -> bool:
    return 0.005 <= quantile <= 0.995


def matters(found: Counterexample) -> list[str]:
    """Which coordinates matter: those that the far end still changes."""
    if found.moved is not None:
        return _moved(found.moved, found)
    n = len(found.groups)
    if found.n_groups == 0:
        return []
    if n == 0:
        return ["  matters  no coordinate: other samples fail as well"]
    if n == found.n_groups:
        return [f"  changes  all {found.n_coordinates} coordinates of the latent"]
    return [f"  matters  {_coordinates(found.groups, found)}"]


def _runs(groups: Sequence[str]) -> list[str]:
    """Coordinate groups, those that adjoin joined into one.

    >>> _runs(["0..7", "8..15", "z[3]", "z[4]", "z[9]"])
    ['0..15', 'z[3..4]', 'z[9]']
    """
    runs: list[tuple[str, int, int]] = []
    for group in groups:
        part, _, span = group.rstrip("]").rpartition("[")
        low, _, high = span.partition("..")
        first, last = int(low), int(high or low)
        if runs and runs[-1][0] == part and runs[-1][2] == first - 1:
            runs[-1] = (part, runs[-1][1], last)
        else:
            runs.append((part, first, last))
    spans = [(part, f"{a}" if a == b else f"{a}..{b}") for part, a, b in runs]
    return [f"{part}[{span}]" if part else span for part, span in spans]
