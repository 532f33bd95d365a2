"""Records of a comparison with a blessed checkpoint: what a baseline keeps, and what the gate decided.

The engine makes samples, the gate compares them, and reports show the decision.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from gentest.errors import InvalidArgument
from gentest.results.level_claim import LevelLimits
from gentest.results.outcome import Outcome, Verdict
from gentest.results.outcome import Standing as Standing
from gentest.results.records import Confidence, Count, Evidence, Packed, Scale, Seed, Spread, Tolerance, Wrong, unpack
from gentest.results.settings import OnDrift, OnUndecided


@dataclass(frozen=True)
class Embedded:
    """Embeddings of outputs, [n, D] projected to few dimensions."""

    rows: Packed
    """int8 in base64, in steps of `scale`."""
    dim: Count
    scale: Scale
    clip: str = ""
    """The fingerprint of the CLIP that made the embeddings."""


@dataclass(frozen=True)
class Look:
    """The outputs of a generator on the first independent latents of a seed."""

    levels: Mapping[str, Packed]
    """The score of every output by each attribute, as packed float32."""
    embeddings: Mapping[str, Embedded]
    """The embeddings by each feature."""
    pictures: tuple[str, ...] = ()
    """Small pictures of the first few outputs. A baseline keeps them for people; they decide nothing."""


@dataclass(frozen=True)
class Sample:
    """A property on the first independent probes of a seed: a baseline keeps it, and a gate replays it."""

    seed: Seed
    generator: str
    """The fingerprint of the generator."""
    space: str
    """The latent space's key."""
    margins: Packed
    """The margin of each probe in the order of the seed's stream, as packed float32. A probe holds at 0 or above."""
    measures: Mapping[str, str] = field(default_factory=dict)
    """The names of what the property measures, with the fingerprint of its CLIP, if it has one."""
    spreads: Mapping[str, Spread] = field(default_factory=dict)
    """The standard deviations that `gentest.sd(x)` stood for."""
    look: Look | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    """The identity of each measure that is a user's callable: 16 hexadecimal digits, empty if it cannot be read."""
    python: str = ""
    """The version of Python that read the identities."""
    quick: bool = False
    """True for a sample of slow images, or one that was asked for: levels of few outputs, and no paths."""
    limits: LevelLimits | None = None
    """What `level` declares; None for other properties."""

    def inconsistency(self) -> str:
        """Refuse margins that are not packed numbers."""
        try:
            unpack(self.margins, "margins")
        except InvalidArgument as error:
            return str(error)
        return ""


MOST_KEPT_BYTES = 2**31
"""The most bytes that the kept outputs of one generator may take in memory."""


@dataclass(frozen=True)
class KeptOutputs:
    """The outputs of one generator that a baseline keeps: where they are from, and how their values are written."""

    tests: tuple[str, ...]
    """The tests whose properties checked the generator."""
    generator: str
    """The fingerprint of the generator."""
    space: str
    """The latent space's key."""
    noise: Mapping[str, str]
    """The keys of the spaces of noise inputs."""
    seed: Seed
    latents: Packed
    """The mean of each probe's latents and noise: it tells latents of another bank or network from these."""
    images: bool
    bounded: bool
    """True for outputs with a range, which is mapped to [0, 1]."""
    shape: tuple[int, ...]
    """The shape of one output."""
    bits: Count
    """Bits of a value: 8, or 16 if 8 are not exact."""
    low: float
    """The value that is written as 0."""
    high: float
    """The value that is written as 255 or 65,535."""
    rounding: float
    """The largest error of a value; 0 if each comes back bit for bit."""
    span: Spread
    """The unit of differences of outputs: 1, or the range of 16 samples for outputs without a range."""
    kind: str = ""
    """The kind of outputs in Python; empty for images and arrays."""

    def inconsistency(self) -> str:
        """Refuse a form that gentest does not write, and outputs that do not fit in memory."""
        if self.bits not in (8, 16) or not self.tests or any(size < 1 for size in self.shape):
            return f"{self.bits} bits, {len(self.tests)} tests, outputs {list(self.shape)}"
        if not (self.low <= self.high and self.rounding >= 0.0):
            return f"values from {self.low} to {self.high}, rounding {self.rounding}"
        try:
            unpack(self.latents, "latents")
        except InvalidArgument as error:
            return str(error)
        if (n_bytes := self.n_bytes) > MOST_KEPT_BYTES:
            return f"{n_bytes / 2**30:.3g} GiB of outputs; at most {MOST_KEPT_BYTES / 2**30:.3g} are allowed"
        return ""

    @builtins.property
    def n(self) -> int:
        """Number of probes."""
        return len(unpack(self.latents, "latents"))

    @builtins.property
    def n_bytes(self) -> int:
        """Bytes of all values."""
        return self.n * prod(self.shape) * self.bits // 8


@dataclass(frozen=True)
class KeptFile:
    """The file of outputs beside a baseline."""

    file: str
    """Its name."""
    digest: str
    """The SHA-256 of its bytes."""
    outputs: tuple[KeptOutputs, ...]
    """The generators, in their order in the file."""

    def inconsistency(self) -> str:
        """Refuse a file elsewhere than beside the baseline."""
        return "" if self.file and set(self.file).isdisjoint("/\\\0") else f"not the name of a file: {self.file!r}"


@dataclass(frozen=True)
class KeptReference:
    """The reference of a pair that a baseline's kept outputs stand for."""

    file: str
    """The name of the baseline's file."""
    blessed: str
    """Who blessed which checkpoint, and when."""
    n: Count
    """Probes whose outputs are kept: the first independent ones of the seed."""
    seed: Seed
    bits: Count
    """Bits of a value: 8 or 16."""
    rounding: float
    """The largest error of a value, in the unit of the outputs; 0 if each comes back bit for bit."""
    digest: str
    """The digest of the file of outputs, and the place of these in it."""


@dataclass(frozen=True)
class Terms:
    """The terms of a gate, fixed before it sees any evidence."""

    tolerance: Tolerance = 0.05
    """How far a rate may fall."""
    alpha: Wrong = 0.01
    """The probability of a wrong decision."""
    claims: Count = 1
    """Claims that share alpha: a regression of each property, and a drift of each level and embedding."""
    undecided: OnUndecided = OnUndecided.FAIL
    drift: OnDrift = OnDrift.WARN
    checkpoints: Count = 1
    """Checkpoints that are judged at once. One of them may be chosen because it held, so they share alpha too."""


@dataclass(frozen=True)
class Gate:
    """One property of a candidate and of the baseline, on the same probes. Evidence is the logarithm of odds."""

    standing: Standing
    message: str = ""
    """Why there are no figures; empty if there are."""
    baseline_verdict: Verdict | None = None
    """The property's verdict when the baseline was blessed, or None. A known violation fails nobody now."""
    baseline_passes: Count = 0
    """Probes that hold in the baseline."""
    candidate_passes: Count = 0
    """Probes that hold in the candidate."""
    wins: Count = 0
    """Probes that hold in the candidate alone."""
    losses: Count = 0
    """Probes that hold in the baseline alone."""
    probes: Count = 0
    """Probes that were compared."""
    stored: Count = 0
    """Probes that the baseline keeps."""
    log_regressed: Evidence = 0.0
    """Evidence that the candidate is worse."""
    log_held: Evidence = 0.0
    """Evidence that the candidate is not worse by the tolerance."""
    needed: Evidence = 0.0
    """The value of `log_regressed` at which the property has regressed."""
    low: float = -1.0
    """The lower bound of how much more often the property holds than in the baseline."""
    high: float = 1.0
    """The upper bound of how much more often the property holds than in the baseline."""
    needed_held: Evidence = 0.0
    """The value of `log_held` at which the property has held: log(checkpoints / alpha)."""
    each_end: Confidence = 0.0
    """The confidence of `low`, and that of `high`."""
    new: bool = False
    """True if the baseline lacks the property, so that nothing is claimed about it."""
    own: bool = False
    """True if a quick gate leaves the property to its own verdict, since the outcomes on both sides decide nothing."""
    certified: bool = True
    """False for a distribution: HELD then says only that no regression was found."""
    final: bool = True
    """False before the other properties of the run are weighed: if they are refused, this one needs less evidence."""

    def figures(self) -> dict[str, float]:
        """The numbers of the comparison, flat and unrounded; none but the evidence if no probes were compared."""
        evidence = {"gate_log_regressed": self.log_regressed, "gate_log_held": self.log_held}
        if not self.probes:
            return evidence
        return {
            "gate_probes": self.probes,
            "gate_rate_before": self.baseline_passes / self.probes,
            "gate_rate": self.candidate_passes / self.probes,
            "gate_wins": self.wins,
            "gate_losses": self.losses,
            "gate_low": self.low,
            "gate_high": self.high,
            **evidence,
        }


@dataclass(frozen=True)
class Drift:
    """A level or a distribution of a candidate's outputs and of the baseline's."""

    what: str
    """Its name, such as `level of brightness()`."""
    tests: tuple[str, ...]
    """The tests that measured it."""
    drifted: bool
    """True if the drift is certain among all claims."""
    log_evidence: Evidence
    """-log p of "no drift": for a level p is 2 / evidence, for a distribution that of a permutation test."""
    needed: Evidence
    """The value of `log_evidence` at which the drift is certain."""
    probes: Count
    """Latents that were compared."""
    mean: float | None = None
    """The mean paired difference of a level in the baseline's standard deviations; None for a distribution."""
    certain_at: Count = 0
    """The number of latents after which a level's drift was certain; 0 if it never was, and for a distribution."""
    checkpoint: str = ""
    tolerance: Spread | None = None
    """How far the level of a quick gate may move to either side, in sd of the baseline; None for drift."""
    held: bool = False
    """True if a quick gate has certified that the level moved by less."""
    log_held: Evidence = 0.0
    """Evidence that the level moved by less."""
    needed_held: Evidence = 0.0
    """The value of `log_held` at which the level has held."""
    stored: Count = 0
    """Latents of which the baseline keeps the score, in a quick gate."""

    def inconsistency(self) -> str:
        """Refuse a drift that no test measured."""
        return "" if self.tests else "it names no test"

    @builtins.property
    def standing(self) -> Standing | None:
        """The standing of a level in a quick gate; None for drift, which only warns unless the terms say more."""
        if self.tolerance is None:
            return None
        return Standing.REGRESSED if self.drifted else Standing.HELD if self.held else Standing.UNDECIDED


@dataclass(frozen=True)
class Compared:
    """One property's standing after all claims were weighed together."""

    test: str
    property: str
    checkpoint: str
    gate: Gate


@dataclass(frozen=True)
class Differing:
    """A version, or the device, that was another one when the baseline was blessed."""

    what: str
    """Its name, such as `torch` or `device`."""
    blessed: str
    now: str


@dataclass(frozen=True)
class Comparison:
    """A whole run compared with a baseline."""

    baseline: str
    """The name of the baseline's file."""
    blessed: str
    """Who blessed which checkpoint, and when."""
    terms: Terms
    properties: tuple[Compared, ...]
    drifts: tuple[Drift, ...]
    missing: tuple[str, ...]
    """Properties of the baseline that the run should have checked, and did not."""
    uncompared: tuple[str, ...] = ()
    """Levels and embeddings of the baseline that the candidate lacks, or that something else measured."""
    unchanged: tuple[str, ...] = ()
    """The files of checkpoints that have the blessed weights; an empty name if the file is unknown."""
    blessed_file: str = ""
    """The file of the blessed checkpoint."""
    differing: tuple[Differing, ...] = ()
    """What computed the outputs then and now, as far as it differs and both are known."""
    ignored: tuple[str, ...] = ()
    """Those of `unchanged` whose file is another than the blessed one: nothing shows that a test loads it."""
    unselected: tuple[str, ...] = ()
    """Properties of the baseline that the run did not check because it selected other tests (`-k`, a node id)."""

    @builtins.property
    def standing(self) -> Standing:
        """REGRESSED if any property has, or any level of a quick gate; HELD if all of the baseline's have held.

        A candidate that no test loads is UNDECIDED, since the outputs that held are those of the blessed weights.
        """
        return Standing.UNDECIDED if self.held_in_part else self._of_those_selected

    @builtins.property
    def held_in_part(self) -> bool:
        """True if all properties that the run selected have held, and it selected only some of the baseline's."""
        return bool(self.unselected) and self._of_those_selected is Standing.HELD

    @builtins.property
    def _of_those_selected(self) -> Standing:
        standings = {compared.gate.standing for compared in self.properties}
        standings |= {drift.standing for drift in self.drifts if drift.standing is not None}
        if Standing.REGRESSED in standings:
            return Standing.REGRESSED
        is_whole = not self.missing and not self.ignored
        return Standing.HELD if standings == {Standing.HELD} and is_whole else Standing.UNDECIDED

    @builtins.property
    def refused(self) -> bool:
        """True if the candidate is refused: it regressed, or drift counts and it drifted or could not be compared."""
        drifts = bool(self.drifted or self.uncompared)
        return self.standing is Standing.REGRESSED or (self.terms.drift == OnDrift.FAIL and drifts)

    @builtins.property
    def outcome(self) -> Outcome:
        """The comparison's meaning for the candidate."""
        return Outcome.FAILED if self.refused else self.standing.outcome

    @builtins.property
    def levels(self) -> tuple[Drift, ...]:
        """The levels that a quick gate decides, as it decides properties."""
        return tuple(drift for drift in self.drifts if drift.tolerance is not None)

    @builtins.property
    def drifted(self) -> tuple[Drift, ...]:
        """The drifts that are certain."""
        return tuple(drift for drift in self.drifts if drift.drifted)
