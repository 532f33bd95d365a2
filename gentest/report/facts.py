"""Everything there is to say about one result: figures, words and finished sentences. `run_facts` speaks of runs.

Every writer takes its words from here and only lays them out. No figure is rounded toward a claim (`numbers.py`), and
only what is certified is called so: a rate that holds is certified at p0 less its slack, a rate that is violated below
p0, and an undecided rate at nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

from gentest._support.printable import counted, noun, outward
from gentest.report import estimates, level_facts, numbers
from gentest.report.numbers import at_least, at_most, bounds, needed_odds, observed, odds, threshold
from gentest.report.within_counterexample import Detail, alike, fewer_words, matters
from gentest.results.comparison import Gate
from gentest.results.counterexample import Counterexample, shown_choice
from gentest.results.drawings import Difference
from gentest.results.outcome import Standing, Verdict
from gentest.results.result import (
    Attack,
    BrokenOutput,
    Deviation,
    Distribution,
    Invariant,
    Level,
    Radius,
    Rate,
    Result,
    Search,
    Shortfall,
)

WORDS = {
    Verdict.NO_COUNTEREXAMPLE: "no counterexample",
    Verdict.HOLDS: "holds",
    Verdict.VIOLATED: "violated",
    Verdict.UNDECIDED: "undecided",
    Verdict.ERROR: "error",
}
WORST_FIRST = (Verdict.ERROR, Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.HOLDS, Verdict.NO_COUNTEREXAMPLE)
HOLDS_ON_ALL = "holds on all inputs"
"""The word for a property that holds on each input of a finite latent space."""
BARS = "▁▂▃▄▅▆▇█"
MAX_BARS = 48
"""Bars in a curve. Of more scores some are left out, but never the ends."""
MAX_SCORES = 12
"""Single scores that are listed: the largest."""
MAX_ARMS = 10
"""Arms of a rate that are listed in one line."""


# a result in a few words


def severity(result: Result) -> tuple[int, int, int]:
    """A key that sorts the worst results first: by outcome, then by verdict, then by standing."""
    standings = (Standing.REGRESSED, Standing.UNDECIDED, Standing.HELD)
    rank = len(standings) if result.gate is None else standings.index(result.gate.standing)
    return result.outcome.severity, WORST_FIRST.index(result.verdict), rank


def verdict(result: Result) -> str:
    """The verdict in a word or two, with the certified rate, and with the reason if it passes all the same."""
    word = WORDS[result.verdict]
    if result.verdict is Verdict.HOLDS and result.rate is not None:
        word = holds([result.rate])
    elif result.verdict is Verdict.HOLDS and result.search.exhaustive:
        word = HOLDS_ON_ALL
    if result.known:
        return f"{word} (known)"
    return f"{word} (left to the gate)" if result.left_to_gate and result.passed else word


def n_probes(result: Result) -> str:
    """The number of probes behind the verdict: of a rate, with those that hold; of all outputs together, of outputs."""
    if result.level is not None:
        return f"{result.level.latents:,}"
    if result.level_claim is not None:
        return f"{result.level_claim.latents:,}"
    if result.estimate is not None:
        return f"{result.estimate.outputs:,}"
    if result.distribution is not None:
        return f"{result.distribution.n:,}"
    return f"{result.examples:,}" if result.rate is None else f"{result.rate.passes:,} of {result.rate.probes:,}"


def probes(result: Result) -> str:
    """As `n_probes`, with the number of distinct probes if the latent space is finite."""
    distinct, inputs = _distinct(result)
    if result.search.exhaustive and result.rate is None:
        return f"{n_probes(result)} of {inputs:,}" if result.search.stopped else f"all {n_probes(result)}"
    of_all = result.distribution or result.level or result.level_claim or result.estimate
    if distinct is None or of_all is not None:
        return n_probes(result)
    if inputs is None:
        return f"{n_probes(result)} ({distinct:,} distinct)"
    whole = f"all {distinct:,}" if distinct == inputs else f"{distinct:,} of {inputs:,}"
    return f"{n_probes(result)} ({whole} distinct)"


def measure(result: Result, *, with_bounds: bool = True) -> str:
    """The figure behind the verdict: a rate or a level with its bounds, a distance, or else the smallest margin."""
    if result.rate is not None:
        low, high = at_least(result.rate.low, unit=""), at_most(result.rate.high, unit="")
        return share(result.rate) + (f" [{low}, {high}]" if with_bounds else "")
    if result.distribution is not None:
        return distance(result.distribution, result.verdict)
    if result.level is not None:
        return level_difference(result.level) + (f" {level_bounds(result.level)}" if with_bounds else "")
    if result.level_claim is not None:
        return level_facts.measure(result.level_claim, with_bounds=with_bounds)
    if result.estimate is not None:
        found = result.estimate
        return estimates.value(found) + (f" {estimates.bounds(found)}" if with_bounds else "")
    margin = result.smallest_margin
    return "" if margin is None else f"{margin:.4g}"


def seconds(result: Result) -> str:
    """The time that the check took."""
    return f"{result.seconds:.1f} s"


# a result in a sentence


def property_of(result: Result) -> str:
    """The property, with long figures in few digits."""
    return numbers.short_figures(result.property)


def headline(result: Result) -> str:
    """One line that names the property and says what was decided.

    >>> from gentest.results.result import Search
    >>> headline(Result("t", "between(brightness(), tolerance=0.05)", Verdict.NO_COUNTEREXAMPLE, search=Search(300)))
    'between(brightness(), tolerance=0.05): no counterexample in 300 probes'
    """
    return f"{property_of(result)}: {statement(result)}"


def statement(result: Result) -> str:
    """The headline without the property."""
    if result.verdict is Verdict.ERROR:
        return f"error: {result.message}"
    if result.verdict is Verdict.UNDECIDED and result.shortfall is not None:
        return f"undecided, {shortfall(result.shortfall)}{_so_far(result)}"
    if result.verdict is Verdict.UNDECIDED and result.rate is None and result.search.applied is not None:
        return f"undecided: {_too_few_applied(result.search)}"
    if result.verdict is Verdict.UNDECIDED and result.rate is None and result.message:
        return f"undecided: {result.message}"
    if result.broken is not None:
        return f"violated by an output that another property met{_own_search(result)}"
    if result.distribution is not None:
        return distribution(result.distribution, result.verdict)
    if result.level is not None:
        return level(result.level, result.verdict)
    if result.level_claim is not None:
        return level_facts.statement(result.level_claim, result.verdict)
    if result.estimate is not None:
        return estimates.sentence(result.estimate)
    if result.rate is not None:
        return rate(result.rate)
    every, n = result.search.exhaustive, f"{result.examples:,}"
    scope = _after_comma(applied(result.search.applied, result.search.examples))
    if result.verdict is Verdict.HOLDS:
        return f"holds on all {n} inputs that there are{scope}"
    distinct = scope + ("" if every else _after_comma(inputs(result.distinct, result.inputs)))
    if result.verdict is Verdict.NO_COUNTEREXAMPLE:
        tried = "the replayed probe" if result.replayed else f"{result.examples} {noun(result.examples, 'probe')}"
        return f"no counterexample in {tried}{distinct}{_withstood(result.attack)}"
    margins = [c.margin for c in (result.worst, result.counterexample) if c is not None]
    worst = f"{min(margins, default=float('nan')):.4g}"
    if result.replayed:
        return f"violated by a replayed probe, margin {worst}"
    if result.attack is not None and result.attack.found:
        attack = f"{result.attack.method}, {counted(result.attack.probes, 'probe')} more"
        tried = f"{result.examples} {noun(result.examples, 'probe')}"
        return f"violated under attack, worst margin {worst} (by none of {tried}; {attack})"
    stopped = ", where the search stops" if result.search.stopped else ""
    tried = f"{result.examples} {noun(result.examples, 'probe')}{stopped}{distinct}"
    if every:
        tried = f"the first {n} of {result.inputs:,} inputs{stopped}" if stopped else f"all {n} inputs that there are"
    return f"violated by {result.violations} of {tried}, worst margin {worst}"


def applied(n: int | None, of: int) -> str:
    """The number of probes to which a property applies; empty for one that applies to all.

    >>> applied(37, 412), applied(0, 412), applied(None, 412)
    ('applied to 37 of 412 probes', 'applied to none of 412 probes', '')
    """
    return "" if n is None else f"applied to {n or 'none'} of {of} {noun(of, 'probe')}"


def _too_few_applied(search: Search) -> str:
    """Why a search without a violation says nothing."""
    if search.replayed:
        return "the property does not apply to the replayed probe"
    few = "a search needs one" if search.fewest == 1 else f"a search needs {search.fewest}"
    return f"{applied(search.applied, search.examples)}, and {few}: raise examples, or widen where()"


def shortfall(shortfall: Shortfall) -> str:
    """The setting that ended a check before its own end, and how many images it would have needed.

    >>> shortfall(Shortfall("max_images=500", 1200))
    'since max_images=500 ends the run: about 1,200 images more are needed'
    """
    more = counted(shortfall.images, "image more is", "images more are")
    return f"since {shortfall.bound} ends the run: about {more} needed"


def deviation(deviation: Deviation) -> str:
    """A standard deviation with its standard error, and the number of outputs that it rests on.

    >>> deviation(Deviation("brightness()", 0.1234, 0.011, 64))
    'sd(1) of brightness() is 0.1234, with a standard error of 0.011 (64 outputs)'
    """
    of = f"sd(1) of {deviation.measure} is {deviation.value:.4g}"
    samples = f"{deviation.samples} {noun(deviation.samples, 'output')}"
    return f"{of}, with a standard error of {deviation.error:.2g} ({samples})"


def _so_far(result: Result) -> str:
    """The evidence that an unfinished check has, to go on from its verdict; empty if it has none."""
    if result.rate is not None and result.rate.probes:
        return f"; so far {result.rate.passes} of {result.rate.probes} pass, {rate_interval(result.rate)}"
    return (
        f"; so far no counterexample in {result.examples} {noun(result.examples, 'probe')}"
        if result.examples and result.rate is None
        else ""
    )


def _own_search(result: Result) -> str:
    """The search of a property that another one refutes, to go on from its verdict."""
    return f" (none in its own {counted(result.examples, 'probe')})" if result.examples else ""


def broken_output(broken: BrokenOutput) -> str:
    """What is wrong with an invalid output, and which property met it where.

    >>> broken_output(BrokenOutput("test_all", "diverse(pixels(), at_least=0.01)", "1f", "", 6, 16, 192, 192, 0.0, ""))
    '192 of 192 values are not finite, in output 7 of 16 of probe 1f, which diverse(pixels(), at_least=0.01) in \
test_all met'
    """
    wrong = f"{broken.not_finite:,} of {counted(broken.n_values, 'value is', 'values are')} not finite"
    if not broken.not_finite:
        wrong = f"a value leaves the output range by {broken.excess:.3g} of its width"
    where = f"output {broken.place + 1} of {broken.n_places} of probe" if broken.n_places > 1 else "probe"
    return f"{wrong}, in {where} {broken.probe}, which {numbers.short_figures(broken.property)} in {broken.test} met"


def undecided(result: Result) -> str:
    """The headline of a result that is undecided: by its rate, or against the baseline."""
    if result.verdict is Verdict.UNDECIDED or result.gate is None:
        return headline(result)
    return f"{property_of(result)}: undecided against the baseline: {gate_figures(result.gate)}"


def on_checkpoint(result: Result) -> str:
    """The checkpoint to add to the test's name; empty in a run of one."""
    return f" on {result.checkpoint}" if result.checkpoint else ""


def attacked(attack: Attack) -> str:
    """The outcome of an attack, or why there was none."""
    if attack.message:
        return f"not attacked: {attack.message}"
    found = "found" if attack.found else "none"
    return (
        f"{found} under attack ({attack.method}, {counted(attack.probes, 'probe')}, smallest margin {attack.least:.4g})"
    )


def _withstood(attack: Attack | None) -> str:
    """An attack that found nothing, to go on from a search that found nothing."""
    if attack is None:
        return ""
    if attack.message:
        return f" (not attacked: {attack.message})"
    return (
        f", nor by an attack ({attack.method}, {counted(attack.probes, 'probe')}, smallest margin {attack.least:.4g})"
    )


def inputs(distinct: int | None, n_inputs: int | None) -> str:
    """The number of distinct inputs among some probes; empty if the latent space is not finite.

    >>> inputs(3, 3), inputs(2, 3), inputs(42, None), inputs(None, None)
    ('all 3 of 3 distinct inputs', '2 of 3 distinct inputs', '42 distinct inputs', '')
    """
    if distinct is None:
        return ""
    if n_inputs is None:
        return f"{distinct:,} distinct inputs"
    return f"{'all ' if distinct == n_inputs else ''}{distinct:,} of {n_inputs:,} distinct inputs"


def _distinct(result: Result) -> tuple[int | None, int | None]:
    """Distinct inputs among the probes behind the verdict, and how many inputs there are."""
    evidence = result.search if result.rate is None else result.rate
    return evidence.distinct, evidence.inputs


def applied_of(result: Result) -> str:
    """The number of probes to which a property applies, of those behind its verdict; empty if it applies to all."""
    if result.rate is not None:
        return _applied_of_rate(result.rate)
    return applied(result.search.applied, result.search.examples)


def _applied_of_rate(rate: Rate) -> str:
    return "" if rate.drawn is None else applied(rate.probes, rate.drawn)


def _after_comma(text: str) -> str:
    return f", {text}" if text else ""


def kept_reference(result: Result) -> str:
    """The kept outputs that a pair was compared with, and what that leaves open; empty for any other result."""
    kept = result.kept
    if kept is None:
        return ""
    probes = "1 probe" if kept.n == 1 else f"{kept.n:,} probes"
    exact = "bit for bit" if not kept.rounding else f"each value within {numbers.above(kept.rounding, 2)}"
    simpler = ", so no simpler counterexample was sought" if result.violations else ""
    return (
        f"compared with outputs of {probes} that {kept.file} keeps ({kept.bits} bit, {exact}; {kept.blessed}); "
        f"outputs of no others are known{simpler}"
    )


def audited(result: Result) -> str:
    """The outputs that were made again, and the share of wrong ones that they would have revealed; empty if none."""
    audit = result.audit
    if audit is None or not audit.outputs:
        return ""
    agree = f"audited: {audit.outputs} {noun(audit.outputs, 'output')} made again, alone, and they agree"
    agree += f", {audit.reused} of them from an earlier test or the cache" if audit.reused else ""
    wrong = f"{ceil(1000 * audit.catches) / 10:.1f} %"
    shows = f"had {wrong} of all been wrong, one of the {audit.drawn} drawn at random would have shown it with 95 %"
    return f"{agree}; {shows}" if audit.drawn else agree


def rounding(result: Result) -> str:
    """The number of probes that rounding could have decided, and what decided them instead; empty if none."""
    n = result.decided_alone
    if not n:
        return ""
    whose = "the margin of 1 probe was" if n == 1 else f"the margins of {n:,} probes were"
    how = "decided by that probe alone" if n == 1 else "decided by each probe alone"
    return f"{whose} within rounding of zero, and {how}, in full precision"


def unreadable(name: str, part: str) -> str:
    """Why gentest reuses no evidence of a callable, and how the user names the part that cannot be read."""
    return (
        f"identity: gentest shares nothing of {name} between tests and caches none of it: {part}; "
        'give that part an attribute gentest_identity = "a name", or say Generator(..., identity="a name")'
    )


def notes(result: Result, replay: Callable[[str], str], *, verbose: bool) -> list[str]:
    """Lines to put under a result's row in a table. `replay` shortens a replay string for display."""
    lines = []
    if result.verdict is Verdict.ERROR:
        lines += result.message.splitlines()[:1]
    lines += [deviation(one) for one in result.deviations]
    if result.broken is not None and result.replay:
        if result.verdict is Verdict.VIOLATED:
            lines.append(broken_output(result.broken))
        where = "" if result.replayed_in == result.test else f"{result.replayed_in} "
        lines.append(f"replay: {where}--gentest-replay {replay(result.replay)}")
    if result.shortfall is not None:
        lines.append(f"not finished, {shortfall(result.shortfall)}")
    if result.gate is not None and (result.gate.message or result.gate.standing is not Standing.HELD):
        lines.append(gate_figures(result.gate))
    if result.distribution is not None and result.verdict is not Verdict.ERROR:
        lines.append(distribution(result.distribution, result.verdict))
    if result.level is not None and result.verdict is not Verdict.ERROR:
        lines.append(level(result.level, result.verdict))
    if result.level_claim is not None and result.verdict is not Verdict.ERROR:
        lines.append(statement(result))
    if result.estimate is not None and result.verdict is not Verdict.ERROR:
        lines += filter(None, [estimates.sentence(result.estimate), estimates.groups(result.estimate)])
    if result.rate is not None and (verbose or result.rate.arms):
        lines.append(rate_in_brief(result.rate))
    if not result.search.exhaustive and (distinct := inputs(*_distinct(result))):
        lines.append(f"looked at {distinct}")
    if scope := applied_of(result):
        lines.append(scope)
    if result.radius is not None:
        lines.append(radius(result.radius, result.rate))
    if result.counterexample is not None:
        word = "a counterexample all the same" if result.passed else "a counterexample"
        lines.append(f"{word}: --gentest-replay {replay(result.counterexample.replay)}")
    if result.attack is not None:
        lines.append(attacked(result.attack))
    if result.kept is not None:
        lines.append(kept_reference(result))
    if verbose:
        lines += filter(None, [rounding(result), audited(result)])
    return lines


# a rate


def rate(rate: Rate) -> str:
    """The decision on a rate, with what it certifies, its bounds, and the evidence that is missing.

    >>> print(rate(Rate(Verdict.HOLDS, 0.95, 0.02, 0.99, 80, 80, 4096, 0.93, 1.0, 4.7, -3.2, 4.6, 4.6, 0.99)))
    holds for at least 93 % of probes (0.95 less slack 0.02): 80 of 80 pass, 100 % [93 %, 100 %], each end 99 %
    """
    if rate.verdict is not rate.weakest:
        # every rate holds by itself, so their comparison decides
        word = "rates may differ" if rate.verdict is Verdict.UNDECIDED else "rates differ"
        return f"{word} between priors: " + "; ".join(invariant(other, rate) for other in rate.invariant)
    arm = f" ({rate.arm})" if rate.arm else ""
    distinct = _after_comma(inputs(rate.distinct, rate.inputs)) + _after_comma(_applied_of_rate(rate))
    passes = f"{rate.passes} of {rate.probes} pass{arm}, {rate_interval(rate)}{distinct}"
    asked, certifiable = threshold(rate.p0), threshold(rate.certifiable)
    if rate.verdict is Verdict.HOLDS:
        return f"holds for at least {certifiable} of probes ({rate.p0:g} less slack {rate.slack:g}): {passes}"
    if rate.verdict is Verdict.VIOLATED:
        return f"holds for fewer than {asked} of probes: {passes}"
    among = f" ({rate.claims} rates)" if rate.claims > 1 else ""
    too_few = ""
    if rate.fewest is not None and rate.fewest > rate.budget:
        too_few = f", and {rate.fewest:,} that all pass are the fewest that certify {certifiable}"
    return (
        f"undecided between at least {certifiable} and fewer than {asked} of probes: {passes}; "
        f"evidence {odds(rate.log_holds)} for at least {certifiable}, needs {needed_odds(rate.needed_holds)}; "
        f"{odds(rate.log_violated)} for fewer than {asked}, needs {needed_odds(rate.needed_violated)}{among}; "
        f"budget {rate.budget} {noun(rate.budget, 'probe')}{too_few}"
    )


def share(rate: Rate) -> str:
    """The share of probes that pass, rounded up if the rate is violated, and else down."""
    return observed(rate.passes, rate.probes, up=rate.verdict is Verdict.VIOLATED)


def rate_interval(rate: Rate) -> str:
    """The share of probes that pass with its bounds, and the confidence of each bound."""
    return f"{share(rate)} {bounds(rate.low, rate.high)}, each end {numbers.confidence(rate.each_end)}"


def _rate_counted(rate: Rate) -> str:
    """As `rate_interval`, with the number of probes and of distinct inputs."""
    distinct = _after_comma(inputs(rate.distinct, rate.inputs))
    interval = f"{share(rate)} {bounds(rate.low, rate.high)} of {rate.probes}{distinct}"
    return f"{interval}, each end {numbers.confidence(rate.each_end)}"


def holds(rates: Sequence[Rate]) -> str:
    """The verdict of rates that hold, with the rate that is certified for each of them.

    >>> holds([Rate(Verdict.HOLDS, 0.95, 0.02, 0.99, 80, 80, 4096, 0.93, 1.0, 4.7, -3.2, 4.6, 4.6, 0.99)])
    'holds >= 93 %'
    """
    return f"holds >= {threshold(min(rate.certifiable for rate in rates))}"


def overall(rate: Rate) -> str:
    """The rate of the whole prior, rounded as the rate of each of its values; empty if there is none."""
    if rate.overall is None:
        return ""
    return at_most(rate.overall) if rate.verdict is Verdict.VIOLATED else at_least(rate.overall)


def rate_in_brief(rate: Rate) -> str:
    """A rate in one clause: each share that passes, what is certified, and how priors compare."""
    shares = [f"{arm.arm} {share(arm)}" for arm in rate.arms[:MAX_ARMS]] or [_rate_counted(rate)]
    more = [f"and {len(rate.arms) - MAX_ARMS} more"] if len(rate.arms) > MAX_ARMS else []
    clause = ", ".join([*shares, *more, certified(rate)])
    return "; ".join([clause, *(invariant(other, rate) for other in rate.invariant)])


def certified(rate: Rate) -> str:
    """The rate that is certified or refuted, for one rate or for every one of several."""
    if rate.weakest is Verdict.HOLDS:
        return f"certified at {threshold(rate.certifiable)}"
    if rate.weakest is Verdict.VIOLATED:
        return f"refuted: below {threshold(rate.p0)}"
    return f"at least {threshold(rate.certifiable)} not certified"


def invariant(other: Invariant, rate: Rate) -> str:
    """The comparison of another prior's rate, with the bounds of the difference."""
    words = {
        Verdict.HOLDS: f"differs by less than {threshold(other.delta)}",
        Verdict.VIOLATED: "differs",
        Verdict.UNDECIDED: f"is not known to differ, nor by less than {threshold(other.delta)}",
    }
    return (
        f"{other.arm} {words[other.verdict]}: within {bounds(other.low, other.high)}, "
        f"each end {numbers.confidence(rate.confidence)}, after {other.probes} {noun(other.probes, 'pair')}"
    )


def radius(radius: Radius, rate: Rate | None) -> str:
    """How far a property holds; `rate` is its rate within all that was asked. Only fresh probes certify a radius."""
    asked, confirmed = f"{radius.asked:.10g}", radius.confirmed
    reached = f"{numbers.below(radius.certified, 4)} of {asked} ({radius.rays} rays)"
    if not radius.certified:
        return f"certified at no radius up to {asked} ({radius.rays} rays)"
    if confirmed is None:
        return f"rays reach radius {reached}"
    if confirmed.verdict is not Verdict.HOLDS:
        word = "refuted" if confirmed.verdict is Verdict.VIOLATED else "not confirmed"
        return f"rays reach radius {reached}, {word} by fresh ones: {_rate_counted(confirmed)}"
    certifies = f"for at least {threshold(confirmed.certifiable)} of probes"
    if rate is not None and rate.verdict is Verdict.HOLDS:
        return f"holds within radius {asked}, all that was asked, {certifies}"
    return f"certified within radius {reached}, confirmed {certifies} by fresh ones: {_rate_counted(confirmed)}"


# a distribution


def distribution(compared: Distribution, verdict: Verdict) -> str:
    """How the outputs compare with the reference, with the p-value and the bound of the distance."""
    words = {
        Verdict.VIOLATED: "different from",
        Verdict.HOLDS: f"within MMD^2 {compared.tolerance} of",
        Verdict.NO_COUNTEREXAMPLE: "not found different from",
        Verdict.UNDECIDED: f"neither different from nor certified within MMD^2 {compared.tolerance} of",
    }
    p, bound = numbers.above(compared.p, 3), numbers.above(compared.bound, 4)
    return (
        f"{words.get(verdict, 'against')} {compared.reference}: {distance(compared, verdict)} (p = {p}, "
        f"below {bound} with {numbers.confidence(1.0 - compared.alpha)} confidence), "
        f"{compared.n} {noun(compared.n, 'output')} against {compared.n_reference}"
    )


def distance(compared: Distribution, verdict: Verdict) -> str:
    """The distance from the reference, rounded down if outputs are claimed to differ, and else up."""
    rounded = numbers.below if verdict is Verdict.VIOLATED else numbers.above
    return f"MMD^2 {rounded(compared.mmd2, 4)}"


# a level


def level(compared: Level, verdict: Verdict) -> str:
    """How the mean of an attribute compares with the reference's, with its bounds, and the evidence that is missing.

    >>> figures = dict(candidate=0.52, reference=0.5, difference=0.02, low=-0.0123, high=0.0512, each_end=0.99)
    >>> evidence = dict(log_within=4.7, log_beyond=0.0, needed_within=4.6051, needed_beyond=5.2983)
    >>> compared = Level("brightness()", 0.06, latents=40, budget=4096, alpha=0.01, sd=0.2, **figures, **evidence)
    >>> print(level(compared, Verdict.HOLDS))
    within 0.3 sd of the reference: 0.52 against 0.5 on 40 latents, differs by +0.1 sd [-0.0615 sd, +0.256 sd], \
each end 99 %
    """
    tolerance = _in_unit(compared, f"{compared.tolerance / (compared.sd or 1.0):.6g}")
    words = {
        Verdict.HOLDS: f"within {tolerance} of the reference",
        Verdict.VIOLATED: f"more than {tolerance} from the reference",
    }
    figures = (
        f"{words.get(verdict, f'neither within nor beyond {tolerance} of the reference')}: "
        f"{compared.candidate:.4g} against {compared.reference:.4g} on {counted(compared.latents, 'latent')}, "
        f"differs by {level_difference(compared)} {level_bounds(compared)}, "
        f"each end {numbers.confidence(compared.each_end)}"
    )
    if verdict is not Verdict.UNDECIDED:
        return figures
    return (
        f"{figures}; evidence {odds(compared.log_within)} for within, needs {needed_odds(compared.needed_within)}; "
        f"{odds(compared.log_beyond)} for beyond, needs {needed_odds(compared.needed_beyond)}; "
        f"budget {counted(compared.budget, 'latent')}"
    )


def level_difference(compared: Level) -> str:
    """The difference of the mean scores, in standard deviations of the reference if the tolerance is in them."""
    return _in_unit(compared, f"{compared.difference / (compared.sd or 1.0):+.3g}")


def level_bounds(compared: Level) -> str:
    """The bounds of the difference, rounded outward."""
    unit = compared.sd or 1.0
    low, high = numbers.signed(compared.low / unit, 3, up=False), numbers.signed(compared.high / unit, 3, up=True)
    return f"[{_in_unit(compared, low)}, {_in_unit(compared, high)}]"


def _in_unit(compared: Level, text: str) -> str:
    return text if compared.sd is None else f"{text} sd"


# what is behind a result


def details(result: Result) -> list[Detail]:
    """Each rate, the radius, the gate, the worst and the minimal counterexample, and what matters in it."""
    lines = [] if result.rate is None else _arms(result.rate)
    if result.radius is not None:
        lines.append(Detail("radius", radius(result.radius, result.rate)))
    if result.kept is not None:
        lines.append(Detail("against", kept_reference(result)))
    if result.gate is not None:
        lines.append(Detail("gate", f"{standing(result.gate)}: {gate_figures(result.gate)}"))
        if result.known and result.gate.standing is Standing.REGRESSED:
            lines.append(Detail("", "(what follows is as the baseline has it; the gate refused its rate)"))
    lines += [Detail("spread", deviation(one)) for one in result.deviations]
    if result.worst is not None and result.counterexample != result.worst:
        lines += [_counterexample("worst", result.worst), *_alike(result.worst)]
    if result.counterexample is not None:
        lines += [_counterexample("minimal", result.counterexample), *_alike(result.counterexample)]
        lines += matters(result.counterexample, result.search)
    if result.counterexample is not None and result.counterexample.fewer_words is not None:
        lines.append(Detail("words", fewer_words(result.counterexample.fewer_words)))
    if result.broken is not None and result.verdict is Verdict.VIOLATED:
        lines.append(Detail("because", broken_output(result.broken)))
    lines += [Detail("because", note) for note in _notes(result)]
    return lines + ([Detail("rounding", rounding(result))] if result.decided_alone else [])


def _notes(result: Result) -> list[str]:
    """The notes of the worst and the minimal counterexample, once if they are the same, else by their names."""
    named = (("worst", result.worst), ("minimal", result.counterexample))
    notes = {name: found.note for name, found in named if found is not None and found.note}
    if len(set(notes.values())) > 1:
        return [f"{name}: {note}" for name, note in notes.items()]
    return list(dict.fromkeys(notes.values()))


def _arms(rate: Rate) -> list[Detail]:
    """A row for each of several rates and one for the whole prior, then each comparison of two."""
    rows = [
        (holds([arm]) if arm.verdict is Verdict.HOLDS else WORDS[arm.verdict], arm.arm, _rate_counted(arm))
        for arm in rate.arms
    ]
    rows += [("overall", "", overall(rate))] if rate.overall is not None else []
    table = [Detail("rates", rows=tuple(rows))] if rows else []
    if rate.n_values is not None:
        table.append(worst_values(rate, rate.n_values))
    return table + [Detail("" if rows else "rates", invariant(other, rate)) for other in rate.invariant]


def worst_values(rate: Rate, n: int) -> Detail:
    """The values that fail most surely, where there are too many for a rate each."""
    if not rate.worst:
        return Detail("values", f"no value failed; {n:,} are too many for a rate each, so the rate is the prior's")
    rows = [
        (one.value, f"{observed(one.passes, one.probes, up=False)} {bounds(one.low, one.high)} of {one.probes}")
        for one in rate.worst
    ]
    ends = numbers.confidence(rate.worst[0].each_end)
    text = f"the worst of {n:,}, which are too many for a rate each: the rate is the prior's (each end {ends})"
    return Detail("values", text, tuple(rows))


def _counterexample(word: str, counterexample: Counterexample) -> Detail:
    """Its margin, its place, and the scores of each attribute: along a path, as a curve."""
    rows: list[tuple[str, ...]] = [
        (name, f"{scores[0]:.3g} {curve(scores)} {scores[-1]:.3g}   (from {min(scores):.3g} to {max(scores):.3g})")
        for name, scores in counterexample.scores.items()
        if len(scores) > 1
    ]
    singles = {name: scores[0] for name, scores in counterexample.scores.items() if len(scores) == 1}
    listed = list(singles)
    if len(singles) > MAX_SCORES:
        listed = sorted(singles, key=lambda name: -singles[name])[:MAX_SCORES]
    rows += [(name, f"{singles[name]:.4g}") for name in listed]
    more = len(singles) - len(listed)
    rows += [("", f"… and {more:,} smaller ones")] if more else []
    return Detail(word, place(counterexample), tuple(rows))


def _alike(counterexample: Counterexample) -> list[Detail]:
    return [] if counterexample.alike is None else [Detail("alike", alike(counterexample.alike))]


def curve(values: Sequence[float]) -> str:
    """Numbers as a line of bars, from the lowest to the highest.

    >>> curve([0.0, 0.5, 1.0, 0.0])
    '▁▅█▁'
    """
    n = len(values)
    if n > MAX_BARS:
        values = [values[round(i * (n - 1) / (MAX_BARS - 1))] for i in range(MAX_BARS)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(BARS[round((v - low) / span * (len(BARS) - 1))] for v in values)


def place(counterexample: Counterexample) -> str:
    """The margin of a counterexample, its place along the path, its choices and its quantile of the prior."""
    parts = [f"margin {counterexample.margin:.4g}", counterexample.under]
    if len(counterexample.t) > 1 and (counterexample.t[0], counterexample.t[-1]) != (0.0, 1.0):
        parts.append(f"from {counterexample.t[0]:.2f} to {counterexample.t[-1]:.2f} of the way")
    parts += [choices(counterexample), _entries(counterexample)]
    if counterexample.typicality is not None:
        usual = 0.005 <= counterexample.typicality <= 0.995
        parts.append(
            f"typical of its prior (norm at quantile {counterexample.typicality:.2f})"
            if usual
            else f"far out in its prior (norm at quantile {counterexample.typicality:.4f})"
        )
    return ", ".join(filter(None, parts))


def choices(counterexample: Counterexample) -> str:
    """The choices of a counterexample by the names of their parts, as `label=3`."""
    if counterexample.choices:
        return ", ".join(shown_choice(name, value) for name, value in counterexample.choices.items())
    # files of early versions name no parts
    unnamed = ", ".join(map(str, counterexample.probe.get("choices", ())))
    return f"choice {unnamed}" if unnamed else ""


def _entries(counterexample: Counterexample) -> str:
    """The entry of each bank that a counterexample is, as `entry 3 of the bank`."""
    named = {
        f" of the bank {name!r}" if name else " of the bank": entry for name, entry in counterexample.entries.items()
    }
    return ", ".join(f"entry {entry}{bank}" for bank, entry in named.items())


# the two sides of a pair


def difference_scale(difference: Difference) -> str:
    """The ends of the colour scale of a difference.

    >>> from gentest.results.drawings import Strip
    >>> difference_scale(Difference(Strip((), 0, 0, (), 0), 0.1234, -0.1234, 0.01, 5, 4, 28, 28))
    '-0.124 … +0.124'
    """
    end = outward(difference.largest).removeprefix("+")
    return f"-{end} … +{end}" if difference.largest else "no difference"


def difference(difference: Difference) -> str:
    """What the picture of a difference shows: its colours, and the pixel that differs most."""
    if not difference.largest:
        return "the two are the same in every pixel"
    place = f"row {difference.row}, column {difference.column} of {difference.height} x {difference.width} pixels"
    return (
        f"the candidate differs most by {outward(difference.signed)} of a range of 1, ringed, in {place}; "
        f"{difference.mean:.3g} in the mean; blue: lower, grey: equal, red: higher"
    )


# a property against the baseline


def standing(gate: Gate) -> str:
    """How a candidate compares with the baseline, in words. What nothing certifies is not called held.

    >>> standing(Gate(Standing.HELD)), standing(Gate(Standing.HELD, certified=False))
    ('held', 'not found further')
    >>> standing(Gate(Standing.HELD, own=True, certified=False))
    'own verdict'
    """
    if gate.own and not gate.certified and gate.standing is Standing.HELD:
        return "own verdict"
    return gate.standing.value if gate.certified or gate.standing is not Standing.HELD else "not found further"


def rates_compared(gate: Gate) -> tuple[str, str]:
    """The rate of the baseline and that of the candidate, on the same probes.

    Both are rounded up if the candidate has regressed, and else down, so that equal rates look equal.
    """
    up = gate.standing is Standing.REGRESSED
    return observed(gate.baseline_passes, gate.probes, up=up), observed(gate.candidate_passes, gate.probes, up=up)


def change(gate: Gate) -> str:
    """The rate of the baseline and that of the candidate as one text; empty if nothing was compared."""
    return " -> ".join(rates_compared(gate)) if gate.probes else ""


def before_and_now(result: Result) -> str:
    """The rate, or the level, of the baseline and of the candidate as one text; empty if nothing was compared.

    >>> from gentest.results.level_claim import LevelClaim
    >>> level = LevelClaim("brightness()", 0.45, 16, sd=0.1, falls_by=0.05, rises_by=None, reference=0.5)
    >>> before_and_now(Result("t", "level(brightness())", Verdict.VIOLATED, level_claim=level))
    '0.5 -> 0.45'
    """
    if result.level_claim is not None:
        return level_facts.before_and_now(result.level_claim)
    return "" if result.gate is None else change(result.gate)


def n_gated(result: Result) -> str:
    """The number of probes that the gate compared, or of those behind the verdict if that alone decides."""
    own = result.kept is not None or result.level_claim is not None or (result.gate is not None and result.gate.own)
    if own and not (result.gate is not None and result.gate.probes):
        return n_probes(result)
    return "" if result.gate is None else f"{result.gate.probes:,}"


def gate_evidence(gate: Gate) -> str:
    """The evidence for the standing of a property, and what it needs, in few words."""
    if gate.standing is Standing.HELD:
        return f"{odds(gate.log_held)} for held, needs {needed_odds(gate.needed_held)}"
    return f"{odds(gate.log_regressed)} for worse, needs {needed_odds(gate.needed)}"


def gate_figures(gate: Gate) -> str:
    """The rates before and now, the outcomes that differ, and the evidence with what it needs."""
    if gate.message:
        return gate.message
    if not gate.probes:
        return "too few outcomes to compare any"
    held = f"{odds(gate.log_held)} that it is not worse by the tolerance, needs {needed_odds(gate.needed_held)}"
    at_most = "" if gate.final else "at most "
    worse = f"{odds(gate.log_regressed)} that it is worse, needs {at_most}{needed_odds(gate.needed)}"
    evidence = {Standing.HELD: held, Standing.REGRESSED: worse, Standing.UNDECIDED: f"{worse}; {held}"}[gate.standing]
    differ = observed(gate.wins + gate.losses, gate.probes, up=gate.standing is not Standing.REGRESSED)
    spent = " (all there are)" if gate.probes == gate.stored else ""
    return (
        f"{change(gate)} of {gate.probes} {noun(gate.probes, 'probe')}{spent}, {gate.losses} lost and {gate.wins} won "
        f"(discordance {differ}, difference within {bounds(gate.low, gate.high)}, "
        f"each end {numbers.confidence(gate.each_end)}); evidence {evidence}"
    )
