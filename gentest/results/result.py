"""The result of one check: frozen records, grouped by what they are about, and their JSON.

The engine builds a `Result` once, and reports read it. Nothing here computes a figure.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar, cast

from gentest.results.comparison import Gate, KeptReference, Sample
from gentest.results.counterexample import Counterexample as Counterexample
from gentest.results.drawings import Drawings
from gentest.results.estimate import OverallEstimate
from gentest.results.level_claim import LevelClaim
from gentest.results.outcome import RATE_VERDICTS, Outcome
from gentest.results.outcome import Verdict as Verdict
from gentest.results.records import Chance, Confidence, Count, Evidence, Seconds, Seed, Share, Spread, read_record

T = TypeVar("T")


@dataclass(frozen=True)
class Margins:
    """The margins of the probes that a search evaluated, in the property's units; a probe holds at 0 or above."""

    min: float
    median: float


@dataclass(frozen=True)
class Search:
    """The search for a counterexample. It does not say how often the property holds."""

    examples: Count = 0
    """Distinct probes that were evaluated."""
    violations: Count = 0
    """Those of them that violate."""
    margin: Margins | None = None
    """None if nothing was evaluated."""
    counterexample: Counterexample | None = None
    """The minimal counterexample, from the search, the rate's probes or an attack."""
    worst: Counterexample | None = None
    """The counterexample with the smallest margin."""
    replayed: bool = False
    """True if the probes come from an earlier run or from `--gentest-replay`, so that nothing new was drawn."""
    stopped: bool = False
    """True if the search ended at a violation, as `stop_after` asks, and left further probes of its plan alone."""
    distinct: Count | None = None
    """Distinct inputs among the probes, if the latent space is finite."""
    inputs: Count | None = None
    """Inputs that the space has; None for probes of several latents."""
    exhaustive: bool = False
    """True if the probes are all inputs of a finite space in order, up to the last violation if it `stopped`."""
    applied: Count | None = None
    """Probes to which the property applies, if it has a `where()`; None if it applies to all."""
    fewest: Count | None = None
    """The fewest applying probes that count. With fewer, a search without a violation is undecided."""


@dataclass(frozen=True)
class ValueRate:
    """How often a property holds for one of many values of a discrete part, among the probes of the prior's rate."""

    value: str
    """The value by the name of its part, as `prompt='a red coat'`."""
    passes: Count
    probes: Count
    low: Share
    """The lower bound of the value's rate, valid for all values at once and whenever the test stops."""
    high: Share
    """The upper bound of the value's rate, valid for all values at once and whenever the test stops."""
    each_end: Confidence
    """The confidence of `low`, and that of `high`."""


@dataclass(frozen=True)
class Rate:
    """How often a property holds, on independent probes of the prior.

    HOLDS certifies a rate of at least p0 - slack, VIOLATED one below p0; each is wrong with a probability of at most
    1 - confidence.
    """

    verdict: Verdict
    p0: Share
    """The rate that was asked for."""
    slack: Share
    confidence: Confidence
    passes: Count
    """Probes that held when the test stopped."""
    probes: Count
    """Probes that were evaluated when the test stopped."""
    budget: Count
    """Probes that the test might have used."""
    low: Share
    """The lower bound of the rate, valid whenever the test is stopped."""
    high: Share
    """The upper bound of the rate, valid whenever the test is stopped."""
    log_holds: float
    """The logarithm of the evidence that the rate holds, as odds."""
    log_violated: float
    """The logarithm of the evidence that the rate is violated, as odds."""
    needed_holds: Evidence
    """The value of `log_holds` at which the rate holds: log(1 / (1 - confidence))."""
    needed_violated: Evidence
    """The value of `log_violated` at which the rate is violated: log(claims / (1 - confidence))."""
    each_end: Confidence
    """The confidence of `low`, and that of `high`. Both together err with the sum of their errors."""
    arm: str = ""
    """The name of this rate among several: the prior, or the value of a label."""
    arms: tuple[Rate, ...] = ()
    """All rates, if there are several. The figures above are then of the worst one."""
    invariant: tuple[Invariant, ...] = ()
    """How the rate of each further prior compares with that of the first."""
    overall: Share | None = None
    """The rate of the whole prior, estimated from the rate of each label and how often the prior draws it."""
    worst: tuple[ValueRate, ...] = ()
    """The values that fail most surely, if each value was asked about and there are too many for a rate each.

    The rate is then that of the whole prior.
    """
    n_values: Count | None = None
    """The number of values among which these are the worst."""
    claims: Count = 1
    """Rates that share 1 - confidence: if one is refuted, all are."""
    certified: Share | None = None
    """The rate that is certified, p0 - slack; None while nothing is."""
    fewest: Count | None = None
    """The fewest probes with which the rate can hold, if all of them pass."""
    distinct: Count | None = None
    """Distinct inputs among the probes, if the latent space is finite."""
    inputs: Count | None = None
    """Inputs that the space has; None for probes of several latents."""
    drawn: Count | None = None
    """Probes that were evaluated to find those to which the property applies; None if it applies to all.

    `passes` and `probes` count only those to which it applies.
    """

    def inconsistency(self) -> str:
        """Name a verdict that a rate cannot have, or more probes than were drawn."""
        if self.drawn is not None and self.drawn < self.probes:
            return f"{self.probes} probes of {self.drawn} that were drawn"
        return "" if self.verdict in RATE_VERDICTS else f"a rate cannot be {self.verdict.value}"

    @builtins.property
    def evaluated(self) -> int:
        """Probes that were evaluated when the test stopped, with those to which the property does not apply."""
        return self.probes if self.drawn is None else self.drawn

    @builtins.property
    def certifiable(self) -> float:
        """The rate that a verdict of HOLDS certifies: p0 - slack."""
        return self.p0 - self.slack

    @builtins.property
    def weakest(self) -> Verdict:
        """The worst verdict of any arm; of a single rate, its own."""
        return min((arm.verdict for arm in self.arms), key=RATE_VERDICTS.index, default=self.verdict)


@dataclass(frozen=True)
class Invariant:
    """How a property's rate under another prior compares with its rate under the generator's own.

    HOLDS certifies that they differ by less than `delta`. VIOLATED certifies that they differ.
    """

    verdict: Verdict
    arm: str
    """The other prior."""
    delta: Share
    probes: Count
    """Pairs of probes that were compared."""
    wins: Count
    """Pairs that hold under the other prior alone."""
    losses: Count
    """Pairs that hold under the generator's own prior alone."""
    low: float
    """The lower bound of the difference of the rates."""
    high: float
    """The upper bound of the difference of the rates."""

    def inconsistency(self) -> str:
        """Name a verdict that a comparison of rates cannot have."""
        return "" if self.verdict in RATE_VERDICTS else f"a comparison of rates cannot be {self.verdict.value}"


@dataclass(frozen=True)
class Radius:
    """The distance from the middle of the latent space up to which a property holds at its rate."""

    asked: float
    """The radius that was asked for."""
    certified: float
    """The largest radius of a grid up to which at least p0 of the rays hold; 0 if there is none.

    It is wrong with a probability of at most 1 - confidence, provided that a ray that fails keeps failing further out.
    """
    rays: Count
    confirmed: Rate | None
    """The rate within that radius on fresh probes, which needs no such provision."""


@dataclass(frozen=True)
class Distribution:
    """The distribution of outputs compared with that of a reference, by a sample of each."""

    reference: str
    mmd2: float
    """The unbiased estimate of the squared distance MMD^2."""
    p: Share
    """The probability of a distance this large if the distributions are the same."""
    bound: float
    """An upper bound of the true distance, valid with probability 1 - alpha."""
    alpha: Share
    n: Count
    """Outputs in the sample."""
    n_reference: Count
    """Items of the reference in the sample."""
    tolerance: float | None = None
    """The distance that was declared as close enough."""
    further: float | None = None
    """How much further from the reference the outputs are than the baseline's."""
    p_further: Chance | None = None
    """The p-value of `further`, if they are in fact no further."""


@dataclass(frozen=True)
class Level:
    """The level of an attribute, its mean score, on both sides of a pair: `same_level`. Figures are in its own units.

    HOLDS certifies that the levels differ by less than `tolerance`, VIOLATED that they differ by more.
    """

    attribute: str
    tolerance: Spread
    candidate: float
    """The mean score of the candidate's outputs."""
    reference: float
    """The mean score of the reference's outputs."""
    difference: float
    """The mean of the candidate's score less the reference's on the same latent."""
    low: float
    """The lower bound of the difference, valid whenever the test is stopped."""
    high: float
    """The upper bound of the difference, valid whenever the test is stopped."""
    each_end: Confidence
    """The confidence of `low`, and that of `high`."""
    latents: Count
    """Latents that were evaluated when the test stopped."""
    budget: Count
    """Latents that the test might have used."""
    log_within: Evidence
    """The logarithm of the evidence that the levels differ by less, as odds."""
    log_beyond: Evidence
    """The logarithm of the evidence that the levels differ by more, as odds."""
    needed_within: Evidence
    needed_beyond: Evidence
    alpha: Share
    """The largest probability of a wrong verdict."""
    sd: Spread | None = None
    """The standard deviation of the reference's scores, if the tolerance is given in it."""


@dataclass(frozen=True)
class Attack:
    """An attack, made after the search found no counterexample."""

    method: str
    """"gradient" or "evolution"."""
    probes: Count
    """Probes that were evaluated."""
    images: Count
    """Images that were made."""
    budget: Count
    """Images that might have been made."""
    least: float
    """The smallest margin that it saw."""
    found: bool
    """True if it found a counterexample."""
    message: str = ""
    """Why there was no attack; empty if there was one."""


@dataclass(frozen=True)
class Screening:
    """The probes that a lower precision decided before full precision was needed."""

    precision: str = "full"
    probes: Count = 0
    """Probes that were evaluated in the lower precision."""
    again: Count = 0
    """Those of them that were evaluated again in full precision."""
    band: float | None = None
    """How near zero a margin has to be to be decided in full precision; None if nothing was screened."""


@dataclass(frozen=True)
class Rounding:
    """The probes that numerical precision could have decided."""

    decided_alone: Count = 0
    """Probes within rounding of zero, each decided by itself in full precision.

    If another machine or another release of torch gives another margin, it is one of these.
    """
    screening: Screening | None = None
    """The probes that a lower precision decided; None if none was used."""


@dataclass(frozen=True)
class BrokenOutput:
    """An output that is not finite or not in range, which a property met that takes valid outputs for granted."""

    test: str
    """The test of the property that met it."""
    property: str
    probe: str
    """The probe, as replay strings have it."""
    replay: str
    """The replay string; empty if no single probe can be replayed, since the property judges all outputs together."""
    place: Count
    """The output's place among the outputs of the probe."""
    n_places: Count
    """Outputs of the probe."""
    n_values: Count
    """Values of the output."""
    not_finite: Count
    """Those of them that are not finite."""
    excess: float
    """The largest distance of a finite value from the range, as a share of the range's width."""
    subject: str
    """The fingerprint of the generator with its prior and range."""


@dataclass(frozen=True)
class Audit:
    """Outputs that were made again, alone, after the verdict, and agreed with those that the verdict rests on."""

    outputs: Count = 0
    """Outputs that were made again."""
    drawn: Count = 0
    """Those of them that were drawn at random from everything the property evaluated."""
    catches: Share = 0.0
    """The share of wrong outputs that the random ones would have revealed with a probability of 95 %."""
    reused: Count = 0
    """Those of them that came from an earlier test or from the cache."""
    images: Count = 0
    """Images that the audit made."""


@dataclass(frozen=True)
class Provenance:
    """The generator, latents and seed that a result is about: enough to check it again."""

    generator: str = ""
    """The fingerprint of the generator."""
    checkpoint: str = ""
    """The checkpoint's name in a run of several; else empty."""
    prior: str = ""
    """The latent space that probes are drawn from, as Python writes it; empty if nothing was evaluated."""
    truncation: str = ""
    """How the prior is truncated, such as `psi=0.7`; empty if it is not."""
    seed: Seed | None = None
    """The seed of the probes."""
    device: str = field(default="", compare=False)
    """The device that made the outputs, such as `cuda (NVIDIA H200)`; empty in files of early versions."""
    has_images: bool = field(default=True, compare=False)
    """True if the outputs are images."""
    unreadable: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Objects with a part that gentest cannot read, and the part: neither tests nor runs share evidence of them."""
    subject: str = field(default="", compare=False)
    """The fingerprint of all that outputs depend on: the generator, its prior, its range and its noise."""


@dataclass(frozen=True)
class Cost:
    """The cost of the check, with pilots, confirmations and reduction."""

    images: Count = 0
    calls: Count = 0
    """Calls of the generator."""
    seconds: Seconds = 0.0


@dataclass(frozen=True)
class Deviation:
    """The standard deviation of a measure under the prior, from fewer samples than a whole pilot has."""

    measure: str
    value: float
    error: float
    """The standard error of `value`."""
    samples: Count


@dataclass(frozen=True)
class Shortfall:
    """The end of the run's budget, which came before the end of the check."""

    bound: str
    """The setting that ended it: `max_images=500` or `max_minutes=5`."""
    images: Count
    """About as many images more as the check would have needed."""


def _shortcut(read: Callable[[Result], T]) -> T:
    """A property that reads a field of one of the groups; to a type checker, the field itself."""
    return cast(T, builtins.property(read))


@dataclass(frozen=True)
class Result:
    """The result of checking one property on one generator.

    The search and the rate are two answers. `search.counterexample` says that the property does not always hold; `rate`
    says how often it does, and then decides the verdict. `gate` compares the property with a baseline.
    """

    test: str
    """The test's node id."""
    property: str
    """The property, as Python writes it."""
    verdict: Verdict
    message: str = ""
    """Why nothing was decided; empty unless the verdict is an error."""
    search: Search = field(default_factory=Search)
    """The search for a counterexample."""
    rate: Rate | None = None
    """How often the property holds; None unless a rate was asked for."""
    radius: Radius | None = None
    """How far `holds_within` holds at its rate."""
    distribution: Distribution | None = None
    """How `matches` compares the outputs with a reference."""
    level: Level | None = None
    """How `same_level` compares the mean of an attribute with a reference's."""
    level_claim: LevelClaim | None = None
    """How `level` compares the mean of an attribute with a baseline's."""
    estimate: OverallEstimate | None = None
    """The figure of all outputs together: of `share`, `uses_codes` or a `gentest.statistic`."""
    attack: Attack | None = None
    """The attack; None unless one was asked for, the search found nothing and no rate was refuted."""
    gate: Gate | None = None
    """How the property compares with the baseline."""
    sample: Sample | None = None
    """Outcomes probe by probe, for a baseline, or for a JSON file if asked for."""
    kept: KeptReference | None = None
    """The kept outputs that a pair was compared with; None if its reference computed its own."""
    rounding: Rounding = field(default_factory=Rounding)
    """The probes that numerical precision could have decided."""
    audit: Audit | None = field(default=None, compare=False)
    """The outputs that were made again to verify the verdict; None if nothing was decided."""
    provenance: Provenance = field(default_factory=Provenance)
    """The generator, latents and seed that were checked."""
    cost: Cost = field(default_factory=Cost)
    """Images, calls and seconds."""
    shortfall: Shortfall | None = None
    """The end of the budget; None if the check came to its own end."""
    broken: BrokenOutput | None = None
    """The invalid output that this property met, or that another one met and that refutes this one."""
    valid_within: float | None = None
    """The excess over the range that is allowed, if the property says that every output is finite and in range."""
    deviations: tuple[Deviation, ...] = ()
    """The standard deviations that `gentest.sd(x)` stands for, if images are slow and a short pilot measured them."""
    traceback: str = field(default="", compare=False)
    """The traceback of an error."""
    drawings: Drawings | None = field(default=None, compare=False, repr=False)
    """Pictures and curves for a report. They decide nothing, and JSON files omit them."""

    counterexample = _shortcut(lambda result: result.search.counterexample)
    worst = _shortcut(lambda result: result.search.worst)
    margin = _shortcut(lambda result: result.search.margin)
    examples = _shortcut(lambda result: result.search.examples)
    violations = _shortcut(lambda result: result.search.violations)
    replayed = _shortcut(lambda result: result.search.replayed)
    distinct = _shortcut(lambda result: result.search.distinct)
    inputs = _shortcut(lambda result: result.search.inputs)
    decided_alone = _shortcut(lambda result: result.rounding.decided_alone)
    screening = _shortcut(lambda result: result.rounding.screening)
    generator = _shortcut(lambda result: result.provenance.generator)
    checkpoint = _shortcut(lambda result: result.provenance.checkpoint)
    prior = _shortcut(lambda result: result.provenance.prior)
    truncation = _shortcut(lambda result: result.provenance.truncation)
    seed = _shortcut(lambda result: result.provenance.seed)
    unreadable = _shortcut(lambda result: result.provenance.unreadable)
    images = _shortcut(lambda result: result.cost.images)
    generator_calls = _shortcut(lambda result: result.cost.calls)
    seconds = _shortcut(lambda result: result.cost.seconds)

    @builtins.property
    def known(self) -> bool:
        """True if the baseline was blessed with a verdict that is as bad."""
        before = None if self.gate is None else self.gate.baseline_verdict
        if self.verdict is Verdict.VIOLATED:
            return before == Verdict.VIOLATED
        return self.verdict is Verdict.UNDECIDED and before in (Verdict.VIOLATED, Verdict.UNDECIDED)

    @builtins.property
    def left_to_gate(self) -> bool:
        """True if the gate decides, and not the verdict on the candidate alone.

        The gate decides if the violation is known, and if a rate that held when the baseline was blessed is now in
        doubt. HOLDS certifies p0 - slack, so a rate a little below p0 is blessed as often as not, and an equal
        candidate has other outcomes: its own verdict would refuse one in five. The verdict decides about what the gate
        does not compare: the rate of one label, prior or radius.
        """
        if self.known or self.gate is None or self.rate is None:
            return self.known
        in_doubt = self.verdict is Verdict.UNDECIDED or (self.verdict is Verdict.VIOLATED and not self.rate.arms)
        return in_doubt and self.radius is None and self.gate.baseline_verdict == Verdict.HOLDS

    @builtins.property
    def outcome(self) -> Outcome:
        """The result's meaning for its test: its verdict and its standing together."""
        verdict = Outcome.PASSED if self.left_to_gate else self.verdict.outcome
        if self.gate is None or verdict is Outcome.ERROR:
            return verdict
        return Outcome.worst((verdict, self.gate.standing.outcome))

    @builtins.property
    def passed(self) -> bool:
        """True if the property holds as far as it was checked, and has held against the baseline."""
        return self.outcome is Outcome.PASSED

    @builtins.property
    def undecided(self) -> bool:
        """True if nothing speaks against the property, and too little for it."""
        return self.outcome is Outcome.UNDECIDED

    @builtins.property
    def replay(self) -> str:
        """The replay string of the minimal counterexample, or of the invalid output that was met; empty if none."""
        if self.counterexample is not None:
            return str(self.counterexample.replay)
        return "" if self.broken is None else self.broken.replay

    @builtins.property
    def replayed_in(self) -> str:
        """The test whose property the replay string names: another one if that met a latent among several."""
        return self.test if self.broken is None or self.broken.n_places == 1 else self.broken.test

    @builtins.property
    def smallest_margin(self) -> float | None:
        """The smallest margin that the search, a replay or an attack saw; None if there is none."""
        margins = [c.margin for c in (self.search.worst, self.search.counterexample) if c is not None]
        margins += [] if self.search.margin is None else [self.search.margin.min]
        return min(margins, default=None)

    def figures(self) -> dict[str, float]:
        """The numbers of the result, flat and unrounded, for experiment trackers and dashboards.

        The names never change, and a number that the result lacks has none. `examples/guides/results.md` lists them.

        >>> search = Search(300, 2, Margins(-0.25, 0.5))
        >>> figures = Result("t", "lit()", Verdict.VIOLATED, search=search).figures()
        >>> figures["passed"], figures["probes"], figures["violations"], figures["margin"], figures["margin_median"]
        (0, 300, 2, -0.25, 0.5)
        """
        margin = self.search.margin
        attack = None if self.attack is None or self.attack.message else self.attack
        named: dict[str, float | None] = {
            "passed": int(self.passed),
            **self._evidence_figures(),
            "violations": self.search.violations if self.search.examples else None,
            "margin": self.smallest_margin,
            "margin_median": None if margin is None else margin.median,
            "radius": None if self.radius is None else self.radius.certified,
            "attack_probes": None if attack is None else attack.probes,
            "attack_margin": None if attack is None else attack.least,
            **({} if self.gate is None else self.gate.figures()),
            "decided_alone": self.rounding.decided_alone,
            "images": self.cost.images,
            "calls": self.cost.calls,
            "seconds": self.cost.seconds,
        }
        return {name: value for name, value in named.items() if value is not None}

    def _evidence_figures(self) -> dict[str, float | None]:
        """The numbers of the rate, the distribution, the level or the estimate, or else of the search."""
        rate, distribution, level, claim = self.rate, self.distribution, self.level, self.level_claim
        estimate = self.estimate
        if rate is not None:
            return {
                "probes": rate.probes,
                "passes": rate.passes,
                "rate": rate.passes / rate.probes if rate.probes else None,
                "rate_low": rate.low,
                "rate_high": rate.high,
                "rate_each_end": rate.each_end,
                "rate_asked": rate.p0,
                "rate_certified": rate.certified,
                "log_holds": rate.log_holds,
                "log_violated": rate.log_violated,
                "needed_holds": rate.needed_holds,
                "needed_violated": rate.needed_violated,
                "distinct": rate.distinct,
                "inputs": rate.inputs,
                "drawn": rate.drawn,
            }
        if distribution is not None:
            bound, p = distribution.bound, distribution.p
            return {"probes": distribution.n, "mmd2": distribution.mmd2, "mmd2_bound": bound, "p": p}
        if level is not None:
            return {
                "probes": level.latents,
                "level": level.candidate,
                "level_reference": level.reference,
                "level_difference": level.difference,
                "level_low": level.low,
                "level_high": level.high,
                "level_each_end": level.each_end,
                "level_tolerance": level.tolerance,
                "log_holds": level.log_within,
                "log_violated": level.log_beyond,
                "needed_holds": level.needed_within,
                "needed_violated": level.needed_beyond,
            }
        if claim is not None:
            return {
                "probes": claim.latents,
                "level": claim.candidate,
                "level_reference": claim.reference,
                "level_difference": None if claim.reference is None else claim.difference,
                "level_low": None if claim.reference is None else claim.low,
                "level_high": None if claim.reference is None else claim.high,
                "log_holds": claim.log_within,
                "log_violated": claim.log_beyond,
                "needed_holds": claim.needed_within,
                "needed_violated": claim.needed_beyond,
            }
        if estimate is not None:
            return {
                "probes": estimate.outputs,
                "estimate": estimate.value,
                "estimate_low": estimate.low,
                "estimate_high": estimate.high,
                "estimate_each_end": estimate.each_end,
                "estimate_at_least": estimate.at_least,
                "estimate_at_most": estimate.at_most,
                "drawn": estimate.drawn,
            }
        search = self.search
        return {
            "probes": search.examples,
            "distinct": search.distinct,
            "inputs": search.inputs,
            "applied": search.applied,
        }

    def to_json(self, *, drawings: bool = False) -> dict[str, Any]:
        """A dictionary that `json.dumps` takes and `from_json` reads; `drawings` adds pictures and curves."""
        value: dict[str, Any] = plain(asdict(self if drawings else replace(self, drawings=None)))
        if not drawings:
            del value["drawings"]
        return value

    @classmethod
    def from_json(cls, value: object) -> Result:
        """The result that `to_json` wrote. Raises `InvalidArgument` for anything else."""
        result: Result = read_record(cls, value)
        return result

    def _repr_html_(self) -> str | None:
        """The result as a notebook displays it; None, for the plain repr, if no report writer is loaded."""
        return None if _html_writer is None else _html_writer(self)


_html_writer: Callable[[Result], str] | None = None


def set_html_writer(write: Callable[[Result], str]) -> None:
    """Set the function that displays results in a notebook: reports are a higher layer than results."""
    global _html_writer
    _html_writer = write


def plain(value: Any) -> Any:
    """The value of `dataclasses.asdict`, with enumerations replaced by their values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
