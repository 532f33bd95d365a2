"""A checkpoint against the blessed one: what is kept of each, and what the comparison of the two came to.

Passive records, in the lowest layer: the engine makes samples, the gate compares them, reports show what it says.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field

from gentest.errors import InvalidArgument
from gentest.results.outcome import Outcome
from gentest.results.outcome import Standing as Standing
from gentest.results.records import Confidence, Count, Evidence, Packed, Scale, Seed, Spread, Tolerance, Wrong, unpack
from gentest.results.settings import OnDrift, OnUndecided


@dataclass(frozen=True)
class Embedded:
    """Rows [n, D] of a feature of outputs, projected to few dimensions: int8 `rows`, in steps of `scale`, in base64."""

    rows: Packed
    dim: Count
    scale: Scale
    clip: str = ""
    """The fingerprint of the CLIP that the feature is of."""


@dataclass(frozen=True)
class Look:
    """What a generator's outputs were like on the first independent latents of a seed.

    `levels` holds each attribute's score of every output (packed float32), `embeddings` each feature's rows. A baseline
    keeps `pictures` of the first few (`gentest.results.shown.Strip`), for a person to look at: they decide nothing.
    """

    levels: Mapping[str, Packed]
    embeddings: Mapping[str, Embedded]
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """A property on the first independent probes of a seed, probe by probe: what a baseline keeps, and a gate replays.

    `margins` is packed float32, one a probe, in the order of the seed's stream; a probe holds where it is >= 0.
    `measures` names what the property measured, with the fingerprint of its CLIP where it has one; `spreads` the
    standard deviations that its `gentest.sd(x)` stood for. `codes` holds the identity of each measure that is somebody
    else's callable, as the version of Python `python` reads it: 16 hexadecimal digits, empty where it cannot be read.
    """

    seed: Seed
    generator: str
    space: str
    margins: Packed
    measures: Mapping[str, str] = field(default_factory=dict)
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    look: Look | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    python: str = ""

    def misfit(self) -> str:
        """What is wrong with the margins, which are no text but numbers; nothing where all is well."""
        try:
            unpack(self.margins, "margins")
        except InvalidArgument as error:
            return str(error)
        return ""


@dataclass(frozen=True)
class Terms:
    """What a gate was asked: fixed before anything is looked at.

    `tolerance` is how far a rate may fall, `alpha` the probability of a wrong decision, `claims` how many claims share
    it: a regression of each property, and a drift of each level and embedding. `undecided` and `drift` say how the run
    treats each. Of several `checkpoints` one may be chosen because it held, so that they share the probability of a
    wrong HELD.
    """

    tolerance: Tolerance = 0.05
    alpha: Wrong = 0.01
    claims: Count = 1
    undecided: OnUndecided = OnUndecided.FAIL
    drift: OnDrift = OnDrift.WARN
    checkpoints: Count = 1


@dataclass(frozen=True)
class Gate:
    """One property, candidate against baseline, on the same probes.

    `losses` are probes on which it held in the baseline and not in the candidate, `wins` the other way round, of
    `probes` that were compared, of `stored` that the baseline has. Evidence is the logarithm of odds: `log_regressed`
    against "no worse", of which `needed` is enough; `log_held` against "worse by the tolerance", of which
    `needed_held` is.
    """

    standing: Standing
    message: str = ""
    baseline_verdict: str = ""
    """What the property's own verdict was when the baseline was blessed: a violation known then fails nobody now."""
    baseline_passes: Count = 0
    candidate_passes: Count = 0
    wins: Count = 0
    losses: Count = 0
    probes: Count = 0
    stored: Count = 0
    log_regressed: Evidence = 0.0
    log_held: Evidence = 0.0
    needed: Evidence = 0.0
    low: float = -1.0
    high: float = 1.0
    """Between these lies how much more often it holds than the baseline; each is wrong with probability alpha."""
    needed_held: Evidence = 0.0
    """Log odds at which it has held: log(checkpoints / alpha)."""
    each_end: Confidence = 0.0
    """The confidence of `low`, and that of `high`."""
    new: bool = False
    """Whether the baseline does not have the property: then nothing is claimed of it."""
    certified: bool = True
    """False for outputs that were compared with a reference: `HELD` then says only that no regression was found."""

    @builtins.property
    def discordance(self) -> float:
        """The share of probes whose outcomes differ: what pairing has to work with."""
        return (self.wins + self.losses) / self.probes if self.probes else 0.0


@dataclass(frozen=True)
class Drift:
    """A level or a distribution, candidate against baseline, on the same latents.

    `mean` is the mean paired difference of a level, in the baseline's standard deviations; None for a distribution.
    `log_evidence` is -log p of "no drift" (of a level p is 2 / evidence, of a distribution a permutation test's), of
    which `needed` is enough.
    """

    what: str
    tests: tuple[str, ...]
    drifted: bool
    log_evidence: Evidence
    needed: Evidence
    probes: Count
    mean: float | None = None
    certain_at: Count = 0
    """After how many latents a level's drift was certain; 0 where it never was, and for a distribution."""
    checkpoint: str = ""

    def misfit(self) -> str:
        """That no test saw it, where none did."""
        return "" if self.tests else "it names no test"


@dataclass(frozen=True)
class Compared:
    """One property's standing after all claims were weighed together."""

    test: str
    property: str
    checkpoint: str
    gate: Gate


@dataclass(frozen=True)
class Comparison:
    """A whole run against a baseline.

    `missing` names the baseline's properties that the run did not look at, `uncompared` the levels and embeddings that
    the candidate has not: its outputs could not be looked at, or are measured by something else.
    """

    baseline: str
    blessed: str
    terms: Terms
    properties: tuple[Compared, ...]
    drifts: tuple[Drift, ...]
    missing: tuple[str, ...]
    uncompared: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    """The files of checkpoints whose generators are the ones that were blessed; empty names where none is known."""
    blessed_file: str = ""
    """The file of the checkpoint that was blessed."""

    @builtins.property
    def standing(self) -> Standing:
        """Any regression is one of the whole; all must have held, and none be missing, for the whole to hold."""
        standings = {compared.gate.standing for compared in self.properties}
        if Standing.REGRESSED in standings:
            return Standing.REGRESSED
        return Standing.HELD if standings == {Standing.HELD} and not self.missing else Standing.UNDECIDED

    @builtins.property
    def refused(self) -> bool:
        """Whether the candidate is refused: it regressed; or where drift is enough, it drifted or could not be seen."""
        drifts = bool(self.drifted or self.uncompared)
        return self.standing is Standing.REGRESSED or (self.terms.drift == OnDrift.FAIL and drifts)

    @builtins.property
    def outcome(self) -> Outcome:
        """What the whole comparison means for the candidate."""
        return Outcome.FAILED if self.refused else self.standing.outcome

    @builtins.property
    def drifted(self) -> tuple[Drift, ...]:
        """The drifts that are certain."""
        return tuple(drift for drift in self.drifts if drift.drifted)
