"""What was decided: frozen records, and their JSON. Written by the engine, read by reports; nothing here computes.

The JSON is versioned by `SCHEMA`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from gentest.errors import InvalidArgument
from gentest.results.comparison import Comparison, Gate, OnUndecided, Sample
from gentest.results.counterexample import Counterexample as Counterexample
from gentest.results.counterexample import Moved as Moved
from gentest.results.outcome import RATE_VERDICTS, Outcome, Standing
from gentest.results.outcome import Verdict as Verdict
from gentest.results.records import Chance, Confidence, Count, Evidence, Seconds, Seed, Share, read_record
from gentest.results.shown import Shown

SCHEMA = 2
MOST_CHECKPOINTS = 1_000
"""Of one run: whatever would refuse a candidate is looked at on each of them."""


@dataclass(frozen=True)
class Margins:
    """The margins of the probes that a search looked at, in the property's units; >= 0 holds."""

    min: float
    median: float


@dataclass(frozen=True)
class Rate:
    """How often a property holds, on independent probes of the prior: another question than whether it always does.

    `passes` of `probes` held when the test stopped; `budget` is how many it might have used. HOLDS certifies a rate of
    at least p0 - slack and VIOLATED one below p0, each wrong with a probability of at most 1 - confidence. `low` and
    `high` bound the rate with that confidence, whenever it was looked at, or with that of all rates together while
    nothing is decided. `log_holds` and `log_violated` are the logarithms of the evidence for each, as odds, of which
    `needed_holds` and `needed_violated` are enough.
    """

    verdict: Verdict
    p0: Share
    slack: Share
    confidence: Confidence
    passes: Count
    probes: Count
    budget: Count
    low: Share
    high: Share
    log_holds: float
    log_violated: float
    arm: str = ""
    """Which of several rates it is: under one prior, or for one value of a label."""
    arms: tuple[Rate, ...] = ()
    """All of them, where there are several: the figures above are then of the one that holds least."""
    invariant: tuple[Invariant, ...] = ()
    """Whether the rates differ between priors, each against the first."""
    overall: Share | None = None
    """The rate of the whole prior, estimated from those of each label and how often each is drawn."""
    claims: Count = 1
    """How many rates share 1 - confidence, of which one refuted refutes the whole."""
    needed_holds: Evidence | None = None
    """Log odds at which the rate holds: log(1 / (1 - confidence)); None in results of earlier versions."""
    needed_violated: Evidence | None = None
    """Log odds at which the rate is violated: log(claims / (1 - confidence)); None in results of earlier versions."""
    certified: Share | None = None
    """The rate that is certified, p0 - slack, where it holds; None while nothing is certified."""
    each_end: Confidence | None = None
    """The confidence of `low`, and that of `high`; both together err with the sum of what each may err with."""
    fewest: Count | None = None
    """The fewest probes with which the rate can hold: all of them have to pass."""
    distinct: Count | None = None
    """How many distinct inputs the probes are, where the latent space has only so many; else None."""
    inputs: Count | None = None
    """How many inputs there are, then; None of probes of several latents."""

    def misfit(self) -> str:
        """A verdict that no rate has."""
        return "" if self.verdict in RATE_VERDICTS else f"no rate is {self.verdict.value}"


@dataclass(frozen=True)
class Invariant:
    """Whether a property's rate under another prior differs from that under the generator's own.

    HOLDS: they differ by less than `delta`, certified. VIOLATED: they differ, and nothing certified before that the
    difference is so small. `wins` of `probes` hold under `arm` alone, `losses` under the generator's own alone; `low`
    and `high` bound the difference of the rates.
    """

    verdict: Verdict
    arm: str
    delta: Share
    probes: Count
    wins: Count
    losses: Count
    low: float
    high: float

    def misfit(self) -> str:
        """A verdict that no comparison of two rates has."""
        return "" if self.verdict in RATE_VERDICTS else f"no comparison of rates is {self.verdict.value}"


@dataclass(frozen=True)
class Radius:
    """Up to which distance from the middle of the latent space a property holds at its rate.

    `certified` is the largest of a grid of radii, up to the one `asked`, up to which at least p0 of the rays hold;
    wrong with a probability of at most 1 - confidence where what fails on a ray fails further out too; 0 where none is.
    `confirmed` is the rate of the property within that radius on fresh rays, which assumes nothing of the kind.
    """

    asked: float
    certified: float
    rays: Count
    confirmed: Rate | None


@dataclass(frozen=True)
class Distribution:
    """Outputs against a reference, as two samples of `n` and `n_reference`: `mmd2` is the unbiased squared distance.

    `p` is the probability of so large a distance where there is none; `bound` lies above the true one with probability
    1 - alpha, and is compared with the `tolerance` that was declared.
    """

    reference: str
    mmd2: float
    p: Share
    bound: float
    alpha: Share
    n: Count
    n_reference: Count
    tolerance: float | None = None
    further: float | None = None
    """Against a baseline: how much further from the reference the outputs are than the baseline's, ..."""
    p_further: Chance | None = None
    """... and the p-value of their being no further."""


@dataclass(frozen=True)
class Attack:
    """What an attack did, where the search had found nothing: `probes` that it looked at, `images` that it made.

    `method` is "gradient" or "evolution"; `least` the smallest margin that it saw, and `found` whether one violates.
    """

    method: str
    probes: Count
    images: Count
    budget: Count
    least: float
    found: bool
    message: str = ""
    """Why none was made, where none was."""


@dataclass(frozen=True)
class Screening:
    """What a lower precision decided: `probes` were looked at in it, and `again` of them in full precision as well.

    `band` is how near to zero a margin was decided in full, in the margin's units; None where nothing was screened.
    """

    precision: str = "full"
    probes: Count = 0
    again: Count = 0
    band: float | None = None


@dataclass(frozen=True)
class Audit:
    """Outputs that were made again, alone, after the verdict, and agreed with what it rests on.

    `outputs` is how many. `drawn` of them were drawn at random over all that the property looked at: if a share of
    `catches` of all outputs had been wrong, one of these would have shown it with a probability of 95 %. `reused` of
    them were evidence of an earlier test, or of the cache.
    """

    outputs: Count = 0
    drawn: Count = 0
    catches: Share = 0.0
    reused: Count = 0
    images: Count = 0
    """All images that were made for it."""


@dataclass(frozen=True)
class Result:
    """What checking one property on one generator came to.

    The search and the rate are two answers: `counterexample` says that the property does not always hold, `rate` how
    often it does where that was asked, and then the verdict is the rate's. `gate` compares with a baseline.

    `examples` counts the distinct probes that the search looked at, `violations` those of them that violate;
    `images` and `generator_calls` count everything the generator made, pilots, confirmations and reduction included.
    """

    test: str
    property: str
    verdict: Verdict
    message: str = ""
    examples: Count = 0
    violations: Count = 0
    images: Count = 0
    generator_calls: Count = 0
    seconds: Seconds = 0.0
    margin: Margins | None = None
    counterexample: Counterexample | None = None
    worst: Counterexample | None = None
    generator: str = ""
    replayed: bool = False
    rate: Rate | None = None
    radius: Radius | None = None
    """Of `holds_within` at a rate: how far it holds."""
    attack: Attack | None = None
    """What an attack did, where one was asked for, the search found nothing and no rate was refuted."""
    screening: Screening | None = None
    """What a lower precision decided, where one was asked for and could be had."""
    decided_alone: Count = 0
    """Probes whose margin lay so near zero that rounding could have decided it: each was decided by itself, in full
    precision. Where hardware, or another release of torch, makes margins differ, these are the ones it may concern."""
    prior: str = ""
    """The latent space that probes are drawn from, as Python has it; empty where nothing was looked at."""
    truncation: str = ""
    """How that prior is truncated, such as `psi=0.7` or `bound=2.0`; empty where it is not."""
    seed: Seed | None = None
    """The seed of the probes."""
    distinct: Count | None = None
    """How many distinct inputs the search looked at, where the latent space has only so many; else None."""
    inputs: Count | None = None
    """How many inputs there are, then; None of probes of several latents."""
    audit: Audit | None = field(default=None, compare=False)
    """The outputs that were made again, alone; None where nothing was decided."""
    distribution: Distribution | None = None
    """Of `matches`: the outputs against the reference."""
    gate: Gate | None = None
    sample: Sample | None = None
    """Its outcomes probe by probe: kept for a baseline, and in a JSON where asked for."""
    checkpoint: str = ""
    """Which checkpoint was checked, in a run of several."""
    unreadable: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What has a part that gentest cannot read, and which: nothing of it is shared between tests or cached."""
    traceback: str = field(default="", compare=False)
    shown: Shown | None = field(default=None, compare=False, repr=False)
    """What a report draws of it, where one was asked for: it decides nothing, and no JSON file has it."""

    @builtins.property
    def left_to_gate(self) -> bool:
        """Whether the gate decides, and not the verdict on the candidate alone.

        So it is where the violation is known, and with a rate that held when the baseline was blessed. `holds`
        certifies p0 - slack, so that a rate a little below p0 is blessed as often as not, and an equal candidate has
        other outcomes: by its own verdict one in five such candidates would be refused. What the gate does not
        compare stays with the verdict: a value of a label, a prior or a radius at which a rate is refuted.
        """
        if self.known or self.gate is None or self.rate is None:
            return self.known
        in_doubt = self.verdict is Verdict.UNDECIDED or (self.verdict is Verdict.VIOLATED and not self.rate.arms)
        return in_doubt and self.radius is None and self.gate.baseline_verdict == Verdict.HOLDS.value

    @builtins.property
    def known(self) -> bool:
        """Whether what speaks against the property did so when the baseline was blessed."""
        before = "" if self.gate is None else self.gate.baseline_verdict
        as_bad = {Verdict.VIOLATED.value: (Verdict.VIOLATED, Verdict.UNDECIDED), "undecided": (Verdict.UNDECIDED,)}
        return self.verdict in as_bad.get(before, ())

    @builtins.property
    def passed(self) -> bool:
        """Whether the property may be relied on as far as it was looked at, and has held against the baseline."""
        absolute = self.verdict in (Verdict.NO_COUNTEREXAMPLE, Verdict.HOLDS) or self.left_to_gate
        return absolute and (self.gate is None or self.gate.standing is Standing.HELD)

    @builtins.property
    def outcome(self) -> Outcome:
        """What the result means for its test: its verdict and its standing together."""
        if self.verdict is Verdict.ERROR:
            return Outcome.ERROR
        if self.passed:
            return Outcome.PASSED
        refuted = self.verdict is Verdict.VIOLATED and not self.left_to_gate
        regressed = self.gate is not None and self.gate.standing is Standing.REGRESSED
        return Outcome.FAILED if refuted or regressed else Outcome.UNDECIDED

    @builtins.property
    def undecided(self) -> bool:
        """Whether nothing speaks against the property, and too little for it."""
        return self.outcome is Outcome.UNDECIDED

    def to_json(self, *, shown: bool = False) -> dict[str, Any]:
        """A dictionary that `json.dumps` takes and `from_json` reads; `shown` adds what a report draws."""
        whole: dict[str, Any] = plain(asdict(self if shown else replace(self, shown=None)))
        if not shown:
            del whole["shown"]
        return whole

    def _repr_html_(self) -> str | None:
        """What a notebook shows, where something above this layer said how; else its repr."""
        return None if _draw is None else _draw(self)

    @classmethod
    def from_json(cls, value: object) -> Result:
        """The result of `to_json`. Raises `InvalidArgument` for anything else."""
        result: Result = read_record(cls, value)
        return result


_draw: Callable[[Result], str] | None = None


def drawn_by(draw: Callable[[Result], str]) -> None:
    """Say how a notebook shows results: as HTML, which this layer does not know how to write."""
    global _draw
    _draw = draw


@dataclass(frozen=True)
class Session:
    """What a run was made with: enough to make it again."""

    checkpoint: str | None
    generator: str | None
    """The fingerprint of the generator under test; None where the tests looked at several."""
    clip: str | None
    device: str
    seed: Seed
    versions: Mapping[str, str]
    checkpoints: tuple[str, ...] = ()
    """The names of the checkpoints of a run of several."""

    def misfit(self) -> str:
        """That there are too many checkpoints."""
        n = len(self.checkpoints)
        return "" if n <= MOST_CHECKPOINTS else f"{n:,} checkpoints, of which {MOST_CHECKPOINTS:,} are the most"

    def to_json(self) -> dict[str, Any]:
        """A dictionary that `json.dumps` takes."""
        return asdict(self)


@dataclass(frozen=True)
class Family:
    """How sure the statistical verdicts of a run are together: those on rates, on priors and on distributions.

    Each of `verdicts` is wrong with a probability of at most `each`, and any of them with one of at most `any_wrong`,
    the sum. Of several `checkpoints` that are judged on the same probes, one may be chosen for what was decided of it:
    that this is wrong has a probability of at most `chosen_wrong`, as many times `each`.
    """

    verdicts: Count
    each: Share
    any_wrong: Share
    checkpoints: Count = 1
    chosen_wrong: Share = 0.0


@dataclass(frozen=True)
class Document:
    """The whole of a run: what `--gentest-json FILE` writes."""

    session: Session
    results: tuple[Result, ...]
    gate: Comparison | None = None
    schema: int = SCHEMA
    gentest: str = ""
    interrupted: str = ""
    """What ended the run before its end; empty where nothing did."""
    unchecked: tuple[str, ...] = ()
    """The tests that were to be checked and were not, or not all of them."""
    family: Family | None = None
    """How sure all verdicts are together; None where nothing statistical was decided."""

    @builtins.property
    def outcome(self) -> Outcome:
        """What the run came to; a gate decides in place of undecided results, and a partial run passes nothing."""
        results = Outcome.worst(result.outcome for result in self.results)
        if results in (Outcome.FAILED, Outcome.ERROR):
            return results
        if self.gate is not None and self.gate.refused:
            return Outcome.FAILED
        if self.interrupted or self.unchecked:
            return Outcome.UNDECIDED
        if self.gate is None:
            return results
        excused = self.gate.terms.undecided is OnUndecided.WARN and not self.gate.missing
        return Outcome.PASSED if excused else self.gate.outcome

    def to_json(self) -> dict[str, Any]:
        """A dictionary that `json.dumps` takes and `from_json` reads: schema and version first."""
        whole = plain(asdict(replace(self, results=())))
        whole["results"] = [result.to_json() for result in self.results]
        names = ("schema", "gentest", "session", "interrupted", "unchecked", "family", "results", "gate")
        return {name: whole[name] for name in names}

    @classmethod
    def from_json(cls, value: object) -> Document:
        """The document of `to_json`. Raises `InvalidArgument` for anything else, another schema first of all."""
        schema = value.get("schema") if isinstance(value, Mapping) else None
        if schema != SCHEMA:
            raise InvalidArgument(f"not results of schema {SCHEMA} (schema: {schema!r})")
        document: Document = read_record(cls, value)
        if any(result.shown is not None for result in document.results):
            raise InvalidArgument("a result has what a report draws, which no file has")
        return document


def plain(value: Any) -> Any:
    """What `dataclasses.asdict` gives, with enumerations as their values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
