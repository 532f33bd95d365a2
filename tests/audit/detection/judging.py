"""What gentest says of a checkpoint: the whole suite on it, and the gate's decision against the blessed one.

It asks as a run of `pytest --gentest --gentest-baseline FILE --gentest-drift fail` does (module `baseline_run`): the
same questions, on the same probes, with the same number of claims, and `gentest.gate.decision.decide` over all of them.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline, Blessing
from gentest.generators.generator import Generator
from gentest.plugin.decorators import Property
from gentest.probes.probe import Probe
from gentest.properties.distribution import Matches
from gentest.results.comparison import Comparison, Standing, Terms
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.audit.detection.changing import Candidate
from tests.audit.detection.models import Model

BLESSED = "2026-01-01"


@dataclass(frozen=True)
class Plan:
    """How much is looked at: the same for every checkpoint."""

    examples: int = 48
    """Probes of each property's search."""
    budget: int = 512
    """Independent probes that a rate may use."""
    probes: int = 512
    """Independent probes that the baseline keeps of each property."""
    tolerance: float = 0.05
    """How far a rate may fall and the gate hold it."""
    attack: int = 0
    """Images that an attack on each property may make."""
    seed: int = 0

    def values(self, model: Model, *, batch_size: int = 128) -> Values:
        """As gentest's settings."""
        return Values(
            examples=self.examples,
            budget=self.budget,
            attack=self.attack,
            seed=self.seed,
            device="cpu",
            batch_size=batch_size,
            clip=model.clip,
            reduce=0,
            replay_failures=False,
        )


@dataclass(frozen=True)
class Judged:
    """What was found of one checkpoint; properties by their short names."""

    model: str
    name: str
    says: str
    harmless: bool
    searched: tuple[str, ...] = ()
    """Those that its search found violated, and not the good checkpoint's."""
    rated: tuple[str, ...] = ()
    """Those whose rate is refuted, of all outputs together where it is `matches`."""
    attacked: tuple[str, ...] = ()
    """Those that an attack found violated, and neither its search nor the good checkpoint's attack."""
    regressed: tuple[str, ...] = ()
    drifted: tuple[str, ...] = ()
    """Levels and embeddings that drifted, or could not be seen any more."""
    undecided: tuple[str, ...] = ()
    """Those that the gate could neither certify nor refuse."""
    failed: tuple[str, ...] = ()
    """Those whose check ended in an error."""
    fails: tuple[str, ...] = ()
    """Those whose own verdict fails a run, whatever the gate says."""
    refused: bool = False
    needed: int = 0
    """Images after which the first claim was certain; 0 where none was."""
    images: int = 0
    seconds: float = 0.0
    evidence: tuple[str, ...] = ()
    """What there is for and against each claim, in words."""
    moved: float = 0.0
    """By how much images differ from the good checkpoint's on average, in [0, 1]."""

    @property
    def red(self) -> bool:
        """Whether a run of pytest fails, other than for want of evidence."""
        return self.refused or bool(self.fails) or bool(self.failed)


@dataclass(frozen=True)
class Blessed:
    """The good checkpoint: the file of its baseline, and what search and attack find of it anyway."""

    path: Path
    searched: frozenset[str]
    attacked: frozenset[str]


def bless(model: Model, plan: Plan, path: Path) -> tuple[Blessed, list[Result]]:
    """Checks the good checkpoint, and writes its baseline. Raises `InvalidArgument` where it was not decided."""
    generator = model.generator(model.module(model.good()))
    results = asked(model, generator, plan, None, Context(plan.values(model)))
    own = list(results.values())
    who = Blessing("the bench", BLESSED, plan.seed)
    Baseline.of(own, who, before=None, version=gentest.__version__).save(path)
    searched = frozenset(name for name, result in results.items() if search_found(result))
    attacked = frozenset(name for name, result in results.items() if attack_found(result))
    return Blessed(path, searched, attacked), own


def asked(
    model: Model,
    generator: Generator,
    plan: Plan,
    baseline: Baseline | None,
    context: Context,
    terms: Terms | None = None,
    suite: Mapping[str, Property] | None = None,
) -> dict[str, Result]:
    """The result of each property, by its short name: to be blessed, or weighed against a baseline."""
    values = plan.values(model, batch_size=context.batch_size)
    results: dict[str, Result] = {}

    def attack_on(name: str, result: Result) -> Result:
        """With what an attack finds, which is none of a gate's business: in a check of its own."""
        definition = (model.suite() if suite is None else suite)[name].definition
        if not plan.attack or isinstance(definition, Matches):
            return result
        alone = Question(replace(definition, rate=None), test=name)
        return replace(result, attack=check(alone, generator, context, values).attack)

    for name, property in (model.suite() if suite is None else suite).items():
        question = Question(property.definition, test=name, label=property.name)
        if baseline is None:
            question = replace(question, n_sampled=plan.probes, blesses=True)
            results[name] = attack_on(name, check(question, generator, context, values))
            continue
        entry = baseline.entries[key_of(name, property)]
        question = replace(question, against=entry.sample, terms=terms or Terms())
        result = attack_on(name, check(question, generator, context, values))
        try:
            results[name] = replace(result, gate=gate.weigh(result, entry, question.terms))
        except InvalidArgument as error:
            results[name] = replace(result, verdict=Verdict.ERROR, message=str(error))
    return results


def key_of(name: str, property: Property) -> str:
    """A property's key in a baseline."""
    return f"{name} {property!r}"


def search_found(result: Result) -> bool:
    """Whether a search found a counterexample."""
    return result.violations > 0


def attack_found(result: Result) -> bool:
    """Whether an attack found a counterexample."""
    return result.attack is not None and result.attack.found


def judge(
    candidate: Candidate, plan: Plan, blessed: Blessed, *, harmless: bool, plans: dict[Hashable, dict[Probe, None]]
) -> Judged:
    """The suite on a checkpoint, and the gate's decision; `plans` are probes of a search, shared by all."""
    started = time.perf_counter()
    model, baseline = candidate.model, Baseline.load(blessed.path)
    terms = Terms(tolerance=plan.tolerance, drift="fail", claims=gate.n_claims(baseline, drift=True))
    suite = model.suite()
    context = Context(plan.values(model, batch_size=candidate.batch_size))
    context.plans.searched = plans
    results = asked(model, candidate.make(), plan, baseline, context, terms, suite)
    comparison = gate.decide(list(results.values()), baseline, terms)
    results = dict(zip(results, gate.applied(list(results.values()), comparison), strict=True))
    judged = Judged(candidate.model.name, candidate.name, candidate.says, harmless)
    return replace(
        judged,
        **_found(results, blessed),
        **_gated(results, comparison, suite),
        images=context.meter.images,
        seconds=round(time.perf_counter() - started, 1),
    )


def _found(results: Mapping[str, Result], blessed: Blessed) -> dict[str, Any]:
    """What properties came to by themselves."""
    violated = {n: r for n, r in results.items() if r.verdict is Verdict.VIOLATED}
    before = blessed.searched
    searched = tuple(n for n, r in results.items() if search_found(r) and n not in before)
    ended = {n: r for n, r in results.items() if r.verdict is Verdict.ERROR}
    return {
        "searched": searched,
        "rated": tuple(n for n, r in violated.items() if r.rate is not None or r.distribution is not None),
        "attacked": tuple(
            n for n, r in results.items() if attack_found(r) and n not in blessed.attacked and n not in searched
        ),
        "failed": tuple(ended),
        "fails": tuple(n for n, r in violated.items() if not r.known),
    }


def _gated(results: Mapping[str, Result], comparison: Comparison, suite: Mapping[str, Property]) -> dict[str, Any]:
    """What the gate says, and after how many images."""
    regressed = [n for n, r in results.items() if r.gate is not None and r.gate.standing is Standing.REGRESSED]
    undecided = [n for n, r in results.items() if r.gate is not None and r.gate.standing is Standing.UNDECIDED]
    needed: list[int] = []
    for name in regressed:
        result = results[name]
        if result.distribution is not None:
            needed.append(result.distribution.n)
        elif result.gate is not None:
            needed.append(result.gate.probes * suite[name].definition.probes.n_points)
    needed += [drift.certain_at or drift.probes for drift in comparison.drifted]
    return {
        "regressed": tuple(regressed),
        "drifted": (*(drift.what for drift in comparison.drifted), *(f"no {w}" for w in comparison.uncompared)),
        "undecided": tuple(undecided),
        "refused": comparison.refused,
        "needed": min(needed, default=0),
        "evidence": tuple(_evidence(results, comparison)),
    }


def _evidence(results: Mapping[str, Result], comparison: Comparison) -> Iterator[str]:
    """A line for each property, level and embedding."""
    for name, result in results.items():
        g = result.gate
        if g is not None:
            told = g.message or f"{g.baseline_passes} -> {g.candidate_passes} of {g.probes}, {g.losses} lost"
            yield f"{name}: {g.standing.value}, {told}; evidence {g.log_regressed:.1f} of {g.needed:.1f}"
    for d in comparison.drifts:
        by = "" if d.mean is None else f" by {d.mean:+.2f} sd"
        yield f"{d.what}{by}; evidence {d.log_evidence:.1f} of {d.needed:.1f}"


def to_json(judged: Judged) -> dict[str, Any]:
    """A judgement as JSON takes it."""
    return asdict(judged)


def from_json(value: Mapping[str, Any]) -> Judged:
    """The judgement that `to_json` took apart."""
    return Judged(**{name: tuple(v) if isinstance(v, list) else v for name, v in value.items()})
