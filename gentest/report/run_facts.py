"""Everything there is to say about a run: its totals, its certainty, its gate and the order of its checkpoints."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf

from gentest._support.printable import counted, noun
from gentest.report import numbers
from gentest.report.facts import HOLDS_ON_ALL, WORDS, holds, measure, standing, verdict
from gentest.report.numbers import at_least, at_most, needed_odds, odds
from gentest.results.comparison import Comparison, Drift
from gentest.results.document import Document, Family
from gentest.results.outcome import Outcome, Standing, Verdict
from gentest.results.result import Result

MAX_NAMES = 3
"""Priors, tests, files and keys that are listed in one line."""
MAX_UNCHECKED = 8
"""Tests without a result that are listed in one line."""


# a run against the baseline


def gate_word(comparison: Comparison) -> str:
    """The outcome of the whole comparison in a word or three."""
    if comparison.refused and comparison.standing is not Standing.REGRESSED:
        return "refused for drift"
    if comparison.held_in_part:
        return "held in part"
    certified = all(compared.gate.certified for compared in comparison.properties)
    return comparison.standing.value if certified or comparison.standing is not Standing.HELD else "passed"


def gate_counts(comparison: Comparison) -> str:
    """How many properties have each standing, and the terms of the comparison."""
    order = list(Standing)
    gates = sorted((c.gate for c in comparison.properties), key=lambda g: (order.index(g.standing), not g.certified))
    counted = dict(Counter(map(standing, gates)))
    counted["not looked at"] = len(comparison.missing)
    counted["not selected"] = len(comparison.unselected)
    of_levels = Counter(drift.standing for drift in comparison.levels)
    counted["drifted"] = sum(drift.tolerance is None for drift in comparison.drifted)
    counted["drift not comparable"] = len(comparison.uncompared)
    for one in order:
        counted[f"{'level' if of_levels[one] == 1 else 'levels'} {one.value}"] = of_levels[one]
    words = ", ".join(f"{n} {what}" for what, n in counted.items() if n)
    claims, n = comparison.terms.claims, comparison.terms.checkpoints
    among = f" on {n} checkpoints, which share the probability of a wrong decision" if n > 1 else ""
    return f"{words}; tolerance {comparison.terms.tolerance:g}, {claims} {'claim' if claims == 1 else 'claims'}{among}"


def gate_total(comparison: Comparison) -> str:
    """The whole comparison in one line."""
    return f"gate: {gate_word(comparison)} ({gate_counts(comparison)})"


def has_changed(result: Result) -> bool:
    """True if a result says something else than the baseline's; without a baseline, if it does not pass.

    A property that has regressed or is undecided has changed, a new violation, and one that the baseline violates and
    the candidate does not.
    """
    if result.gate is None or not result.passed:
        return not result.passed
    return result.gate.baseline_verdict in (Verdict.VIOLATED, Verdict.UNDECIDED) and (
        result.verdict.outcome is Outcome.PASSED
    )


def against(comparison: Comparison) -> str:
    """The baseline that a run was compared with, and whether the candidate is the blessed checkpoint itself."""
    return f"against {comparison.baseline} ({comparison.blessed}){_unchanged(comparison)}"


def _unchanged(comparison: Comparison) -> str:
    """That the candidate has the weights that were blessed, and whether the fixture may ignore the checkpoint."""
    if not comparison.unchanged:
        return ""
    if not comparison.ignored:
        return ": same weights as blessed"
    verb = "is" if len(comparison.ignored) == 1 else "are"
    blessed = f"the blessed {comparison.blessed_file}" if comparison.blessed_file else "the blessing, which names none"
    return (
        f": undecided, same weights as blessed, though {', '.join(comparison.ignored[:MAX_NAMES])} {verb} another file "
        f"than {blessed}; does the fixture load gentest_checkpoint? If it does, bless this file"
    )


def differing(comparison: Comparison) -> str:
    """The versions and the device that are others than at the blessing, if anything was refused or drifted.

    They decide nothing, and may explain a difference that the weights do not.
    """
    if not comparison.differing or not (comparison.refused or comparison.drifted or comparison.uncompared):
        return ""
    words = (f"{one.what} {one.blessed}, now {one.now}" for one in comparison.differing)
    return f"blessed with {'; '.join(words)}"


def without_drift(comparison: Comparison) -> str:
    """The levels and distributions in which drift was looked for, if none was found."""
    drifts = [drift for drift in comparison.drifts if drift.tolerance is None]
    return "" if drifted(comparison) else ", ".join(dict.fromkeys(drift.what for drift in drifts))


def drifted(comparison: Comparison) -> list[str]:
    """Each drift that is certain. The levels of a quick gate are no drift: `level_facts.levels` tells of them."""
    return [drift(one) for one in comparison.drifted if one.tolerance is None]


def drift(drift: Drift) -> str:
    """The name of a drift, its size, its evidence, and the tests that measured it."""
    by = "" if drift.mean is None else f" by {numbers.toward_zero(drift.mean, 2)} of the baseline's sd"
    evidence = f"evidence {odds(drift.log_evidence)}, needs {needed_odds(drift.needed)}"
    if drift.mean is None:
        p, needed = numbers.above(exp(-drift.log_evidence), 2), numbers.below(exp(-drift.needed), 2)
        evidence = f"p = {p}, needs {needed}"
    if drift.certain_at:
        evidence += f", certain after {drift.certain_at}"
    on = f" on {drift.checkpoint}" if drift.checkpoint else ""
    return (
        f"{drift.what}{by}{on} [{drift.probes} {noun(drift.probes, 'latent')}; {evidence}] in {first_of(drift.tests)}"
    )


def first_of(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


# a run


def totals(results: Sequence[Result]) -> str:
    """The whole run in one line: how many results have each verdict, and what they cost."""
    counts = Counter(result.verdict for result in results)
    rates = [r.rate for r in results if r.verdict is Verdict.HOLDS and r.rate is not None]
    rates.sort(key=lambda rate: -rate.certifiable)
    n_on_all = sum(r.verdict is Verdict.HOLDS and r.rate is None and r.search.exhaustive for r in results)
    counts[Verdict.HOLDS] -= len(rates) + n_on_all
    words = []
    for kind in Verdict:
        words += [f"{n_on_all} {HOLDS_ON_ALL}"] if kind is Verdict.HOLDS and n_on_all else []
        if kind is Verdict.HOLDS:
            words += [f"{n} {said}" for said, n in Counter(holds([rate]) for rate in rates).items()]
        words += [f"{counts[kind]} {WORDS[kind]}"] if counts[kind] else []
    return f"{counted(len(results), 'property', 'properties')}: {', '.join(words)}; {cost(results)}"


def cost(results: Sequence[Result]) -> str:
    """The images and seconds of a run, and its speed."""
    images, seconds = sum(result.images for result in results), sum(result.seconds for result in results)
    word = outputs_word(results)
    speed = f" ({images / seconds:,.0f} {word}/s)" if seconds else ""
    return f"{images:,} {word} in {seconds:.1f} s{speed}"


def outputs_word(results: Sequence[Result]) -> str:
    """The word for what generators make: images, unless some of the outputs are not."""
    return "images" if all(result.provenance.has_images for result in results) else "outputs"


def duration(seconds: float) -> str:
    """A time in the units that a person thinks in.

    >>> duration(9672), duration(125), duration(8.4), duration(0.05)
    ('2 h 41 min', '2 min', '8 s', '0.05 s')
    """
    if seconds >= 3570:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
    if seconds >= 90:
        return f"{round(seconds / 60)} min"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.2g} s"


def forecast(images: Mapping[tuple[str, str], int], pace: float) -> str:
    """The images that a run is going to take, by test and property, and the time at so many seconds an image.

    >>> forecast({("test_a", "between"): 1900, ("test_a", "well_formed"): 40}, 5.0)
    '2 properties want 1,940 images, 2 h 42 min at 5.0 s an image'
    """
    total = sum(images.values())
    want = f"{counted(len(images), 'property wants', 'properties want')} {counted(total, 'image', 'images')}"
    if not pace:
        return want
    speed = f"{pace:.1f} s an image" if pace >= 0.1 else f"{1 / pace:,.0f} images/s"
    return f"{want}, {duration(total * pace)} at {speed}"


def forecast_table(images: Mapping[tuple[str, str], int]) -> list[str]:
    """The images that each property adds to those of the properties before it, a line each."""
    return [f"{n:>10,}  {test}  {property}" for (test, property), n in images.items()]


def run_left(made: int, images: int, pace: float) -> str:
    """How far a run is, and the time that it still takes, by its forecast.

    >>> run_left(970, 1940, 5.0), run_left(2000, 1940, 5.0)
    ('970 of about 1,940 images, 1 h 21 min left', '2,000 images, more than the forecast of 1,940')
    """
    if made > images:
        return f"{counted(made, 'image')}, more than the forecast of {images:,}"
    left = f", {duration((images - made) * pace)} left" if images > made and pace else ""
    return f"{made:,} of about {counted(images, 'image')}{left}"


def unfinished(interrupted: str, unchecked: Sequence[str]) -> str:
    """Why a run is not whole, and which tests it did not check; empty if it is.

    >>> unfinished("KeyboardInterrupt", ["test_a.py::test_a", "test_a.py::test_b"])
    'interrupted (KeyboardInterrupt): 2 tests not checked: test_a.py::test_a, test_a.py::test_b'
    """
    what = f"interrupted ({interrupted})" if interrupted else "not whole"
    if not unchecked:
        return what if interrupted else ""
    more = f" and {len(unchecked) - MAX_UNCHECKED} more" if len(unchecked) > MAX_UNCHECKED else ""
    listed = ", ".join(unchecked[:MAX_UNCHECKED])
    return f"{what}: {counted(len(unchecked), 'test', 'tests')} not checked: {listed}{more}"


def check_command(document: Document) -> str:
    """The command that checks the same again: as it was typed, or put together for a file that does not have it."""
    session = document.session
    if session.command:
        return session.command
    words = ["pytest", "--gentest", *dict.fromkeys(result.test.partition("::")[0] for result in document.results)]
    words += ["--gentest-seed", str(session.seed)]
    return shlex.join(words + (["--gentest-checkpoint", session.checkpoint] if session.checkpoint else []))


def certainty(document: Document) -> list[str]:
    """Lines that a reader needs once per run: its priors and seeds, its intervals, and all verdicts together.

    A gate weighs all claims together, and its table shows no intervals.
    """
    results, family = document.results, Family.of(document.results)
    of_rates = [] if document.gate is not None else [_intervals(results), _together(family)]
    return list(filter(None, [prior(results), *of_rates, _reused_seed(document, family)]))


def prior(results: Sequence[Result]) -> str:
    """The priors of some results, whether any is truncated, and the seeds of their probes.

    >>> from gentest.results.result import Provenance
    >>> prior([Result("t", "p", Verdict.HOLDS, provenance=Provenance(prior="Normal(4)", seed=0))])
    'prior: Normal(4), not truncated, seed 0'
    """
    sources = [result.provenance for result in results if result.prior]
    if not sources:
        return ""
    priors = dict.fromkeys(p.prior for p in sources)  # a truncated one says so itself
    truncated = "" if any(p.truncation for p in sources) else ", not truncated"
    more = f"; and {len(priors) - MAX_NAMES} more" if len(priors) > MAX_NAMES else ""
    seeds = list(dict.fromkeys(str(source.seed) for source in sources))
    word = "seed" if len(seeds) == 1 else "seeds"
    return f"prior: {'; '.join(list(priors)[:MAX_NAMES])}{more}{truncated}, {word} {', '.join(seeds)}"


def _intervals(results: Sequence[Result]) -> str:
    """The confidence of the intervals in a table: of each end, and of both together."""
    bounded = [r for result in results for r in (result.rate, result.level, result.estimate) if r is not None]
    ends = sorted({record.each_end for record in bounded})
    if not ends:
        return ""
    each = " or ".join(map(numbers.confidence, ends))
    both = " or ".join(numbers.confidence(max(2.0 * end - 1.0, 0.0)) for end in ends)
    return f"intervals: each end {each} confidence, both ends together {both}"


def _together(family: Family | None) -> str:
    """How likely it is that any of several verdicts is wrong; empty if there are not several."""
    if family is None or family.verdicts < 2:
        return ""
    return (
        f"certainty: {family.verdicts} statistical verdicts, each wrong with a probability of at most "
        f"{at_most(family.each)}, any of them with at most {at_most(family.any_wrong)}"
    )


def _reused_seed(document: Document, family: Family | None) -> str:
    """The price of choosing among checkpoints: one seed judges all of them on the same probes."""
    seeds = {result.seed for result in document.results if result.seed is not None}
    statistical = family is not None or document.gate is not None
    if not statistical or document.session.checkpoint is None or len(seeds) != 1:
        return ""
    (seed,), n = seeds, len(document.session.checkpoints)
    if n < 2:
        risk = "1 - confidence" if document.gate is None else "alpha"
        return f"seed {seed} judges every checkpoint on the same probes: to choose the best of k, divide {risk} by k"
    line = f"seed {seed} judges all {n} checkpoints on the same probes"
    if family is None:
        return line
    each, chosen = at_most(family.each), at_most(family.chosen_wrong)
    return f"{line}: a verdict on the one that is chosen is wrong with a probability of at most {chosen}, not {each}"


# several checkpoints side by side


@dataclass(frozen=True)
class Ranking:
    """Checkpoints in an order, best first, each with its rank and a summary."""

    title: str
    rows: tuple[tuple[int, str, str], ...]


def rankings(results: Sequence[Result]) -> list[Ranking]:
    """The order of the checkpoints of a run, and the order in each property; none for a run of one checkpoint.

    The best has the most properties that pass, then the lowest mean rank over the properties, then the greatest median
    margins. In a property, checkpoints rank by the share of probes that hold.
    """
    checkpoints = list(dict.fromkeys(result.checkpoint for result in results if result.checkpoint))
    if len(checkpoints) < 2:
        return []
    properties: dict[str, dict[str, Result]] = {}
    for result in results:
        if result.checkpoint:
            properties.setdefault(f"{result.test}  {result.property}", {})[result.checkpoint] = result
    by_checkpoint = list(properties.values())
    passed = {c: sum(c in row and row[c].passed for row in by_checkpoint) for c in checkpoints}
    mean = {c: sum(_rank(row, c) for row in by_checkpoint) / len(by_checkpoint) for c in checkpoints}
    margins = {c: sum(_rank(row, c, by=_median_margin) for row in by_checkpoint) for c in checkpoints}
    order = sorted(checkpoints, key=lambda c: (-passed[c], mean[c], margins[c]))
    summaries = {c: f"{passed[c]} of {len(properties)} properties pass, mean rank {mean[c]:.2f}" for c in order}
    first = Ranking("checkpoints, best first:", tuple((i, c, summaries[c]) for i, c in enumerate(order, start=1)))
    return [first, *(_property_ranking(name, row, order) for name, row in properties.items())]


def _property_ranking(name: str, row: dict[str, Result], order: Sequence[str]) -> Ranking:
    ranks = {checkpoint: _rank(row, checkpoint) for checkpoint in order}
    ordered = sorted(order, key=lambda checkpoint: ranks[checkpoint])
    return Ranking(name, tuple((ranks[c], c, _rank_figures(row.get(c))) for c in ordered))


def share_that_holds(result: Result) -> float:
    """The share of probes that hold: of a rate's independent probes, else of the search.

    For a distribution or a level it is 1 less the distance from the reference, so that nearer ranks higher; for
    a figure of all outputs, 1 less the distance from its range.
    """
    if result.distribution is not None:
        return 1.0 - result.distribution.mmd2
    if result.level is not None:
        return 1.0 - abs(result.level.difference)
    if result.level_claim is not None:
        return 1.0 - abs(result.level_claim.difference)
    if result.estimate is not None:
        return 1.0 - result.estimate.distance
    if result.rate is not None and result.rate.probes:
        return result.rate.passes / result.rate.probes
    return 1.0 - result.violations / result.examples if result.examples else 0.0


def _median_margin(result: Result) -> float:
    return result.margin.median if result.margin is not None else 0.0


def _rank(row: dict[str, Result], checkpoint: str, by: Callable[[Result], float] = share_that_holds) -> int:
    """1 for the best. Equals share a rank, and results without a decision come last."""

    def cost(result: Result | None) -> float:
        return -by(result) if result is not None and result.verdict is not Verdict.ERROR else inf

    own = cost(row.get(checkpoint))
    return 1 + sum(cost(other) < own for other in row.values())


def _rank_figures(result: Result | None) -> str:
    if result is None:
        return "not checked"
    if result.verdict is Verdict.ERROR:
        return "error"
    of_all = (result.distribution, result.level, result.level_claim, result.estimate)
    if any(record is not None for record in of_all):
        return f"{measure(result)}  {verdict(result)}"
    median = "" if result.margin is None else f", median margin {result.margin.median:.4g}"
    rounded = at_most if result.verdict is Verdict.VIOLATED else at_least
    return f"{rounded(share_that_holds(result))}  {verdict(result)}{median}"
