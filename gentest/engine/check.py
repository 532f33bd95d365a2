"""The driver: a property and a generator in, a `Result` out. It orders the methods and knows the inside of none."""

from __future__ import annotations

import time
import traceback as tracebacks
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TypeVar

from gentest._support.printable import error_summary
from gentest.engine import pictures
from gentest.engine.cluster.transport import user_traceback
from gentest.engine.cost import LEVEL_MEASURED, Bound, Budget, BudgetSpent, wanted
from gentest.engine.evidence.audit import MOST, MOST_SLOW, Audited
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import examine, examine_again
from gentest.engine.evidence.plans import Inputs, inputs
from gentest.engine.evidence.subject import Subject
from gentest.engine.explain import Explained, explain, explain_broken, values_at
from gentest.engine.illustrations import Material, illustrate
from gentest.engine.judge import Judge
from gentest.engine.methods.attack.descent import attack
from gentest.engine.methods.baseline_sample import Keeper, SampleFacts, keep_outputs, take_sample
from gentest.engine.methods.estimation import estimate_codes, estimate_sample, estimate_share, estimate_statistic
from gentest.engine.methods.kept_level import keep_level
from gentest.engine.methods.level_comparison import compare_levels
from gentest.engine.methods.problem import Problem
from gentest.engine.methods.quick_sample import QUICK, take_quick_sample
from gentest.engine.methods.rate import RateFacts, certify_radius, check_budget, confirm_rate, decide_rate
from gentest.engine.methods.reduce import ReductionFacts, first_and_worst, reduce
from gentest.engine.methods.reference_comparison import compare_with_reference
from gentest.engine.methods.search import SearchFacts, check_plan, planned, replay, search
from gentest.errors import GentestError, InvalidArgument, InvalidOutput, WrongOutputs, out_of_memory
from gentest.generators.generator import Generator, Pair
from gentest.generators.modules import device_name
from gentest.generators.recalled import Recalled
from gentest.probes.families import points
from gentest.probes.probe import Probe
from gentest.properties.agreement import SameLevel
from gentest.properties.all_outputs import OUTPUTS_ALONE, CodesInUse, ShareBetween, StatisticWithin
from gentest.properties.definition import AnyDefinition, AtRate, Definition, OfAll, WithinRadius
from gentest.properties.distribution import Matches
from gentest.properties.domains import holds_within
from gentest.properties.level_limits import KeepsLevel
from gentest.results.comparison import KeptReference, Sample, Terms
from gentest.results.drawings import Drawings, Rays
from gentest.results.estimate import OverallEstimate
from gentest.results.level_claim import LevelClaim
from gentest.results.records import applies
from gentest.results.result import Attack as AttackRecord
from gentest.results.result import (
    Audit,
    BrokenOutput,
    Cost,
    Deviation,
    Distribution,
    Level,
    Margins,
    Provenance,
    Radius,
    Rate,
    Result,
    Rounding,
    Search,
    Shortfall,
    Verdict,
)
from gentest.results.settings import Values

T = TypeVar("T")
COMMIT_EVERY = 60.0
"""Seconds after which a long check audits its measurements so far, and keeps them on disk."""


@dataclass(frozen=True)
class Question:
    """A property to check: its names in reports and replays, and what to evaluate besides a search."""

    definition: AnyDefinition
    test: str = ""
    label: str = ""
    """The property's name within its test, at the start of a replay string."""
    stored: tuple[Probe, ...] = ()
    """Probes that failed before: they are evaluated first."""
    replay: Probe | None = None
    """The only probe to evaluate."""
    checkpoint: str = ""
    """The name of the checkpoint, in a run of several."""
    n_sampled: int = 0
    """Number of independent probes whose margins are kept, for a baseline or on request."""
    quick: bool = False
    """True for a blessing that a quick gate will use, even if images are fast."""
    n_quick: int = QUICK
    """Number of latents that a quick blessing keeps."""
    against: Sample | None = None
    """The baseline's sample: its probes are evaluated until the comparison is decided."""
    terms: Terms = field(default_factory=Terms)
    looks: bool = True
    """Whether a sample has a summary of the outputs."""
    blesses: bool = False
    """Whether the sample becomes a baseline's, rather than a candidate's."""
    keeper: Keeper | None = None
    """Takes the generator's first outputs, for a baseline that keeps some."""
    shows: bool = False
    """Whether the result has illustrations for a report. They change no figure."""
    whole: bool = False
    """Whether the illustrations have pictures in full size as well."""
    begins: bool = True
    """Whether a user's code may have run since the last check: evidence from before is then audited again."""
    reduces: bool = False
    """True if the check reduces stored probes that fail. Those of a test stay as they were reported."""


@dataclass(frozen=True)
class Decision:
    """The verdict on a property, and the records that it rests on."""

    verdict: Verdict
    message: str = ""
    traceback: str = ""
    search: Search = field(default_factory=Search)
    rate: Rate | None = None
    radius: Radius | None = None
    distribution: Distribution | None = None
    level: Level | None = None
    level_claim: LevelClaim | None = None
    estimate: OverallEstimate | None = None
    attack: AttackRecord | None = None
    sample: Sample | None = None
    rounding: Rounding = field(default_factory=Rounding)
    material: Material = field(default_factory=Material)
    """The facts to illustrate."""
    audit: Audit | None = None
    drawings: Drawings | None = None
    shortfall: Shortfall | None = None
    broken: BrokenOutput | None = None
    """The invalid output that stopped the check."""
    deviations: tuple[Deviation, ...] = ()
    audited: bool = True
    """False if the budget ended before the audit: no measurement is kept."""


def check(
    question: Question,
    generator: Generator | Pair,
    context: Context,
    values: Values,
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
    budget: Budget | None = None,
) -> Result:
    """Decides one property on one generator. Errors are in the result; only interrupts are raised.

    `watch` receives the numbers of probes decided and planned. The budget is that of the settings, unless the check is
    a part of a run, which has a `budget` for all of its checks.
    """
    started, before = time.perf_counter(), replace(context.meter)
    space, fingerprint, own = generator.latent, "", ""
    kept = _kept_reference(generator)
    if kept is not None:  # its probes are those of its seed, and nothing else can be compared with them
        values = replace(values, seed=kept.seed, budget=min(values.budget, max(kept.n, 1)), attack=0)
        question = replace(question, n_sampled=0, against=None)
    decided = Decision(Verdict.ERROR)
    context.begin(values.seed, body=question.begins, budget=budget or Budget(Bound.of(values)))
    try:
        generator.to(context.device)
        subject = context.subject(generator)
        fingerprint, own = subject.fingerprint, subject.fingerprint_of_outputs
        with context.measuring.measured_by({} if question.against is None else question.against.spreads):
            decided = _run_of(question, subject, context, values, watch).run()
    except BudgetSpent as spent:
        shortfall = Shortfall(
            spent.bound, wanted(question.definition, space, values, n_sampled=question.n_sampled).images
        )
        decided = Decision(Verdict.UNDECIDED, shortfall=shortfall, audited=False)
    except WrongOutputs as error:
        message = context.maker.unreadable(_candidate(generator), error, question.test, str(question.definition))
        decided = Decision(Verdict.ERROR, message, user_traceback(error))
    except InvalidOutput as error:
        error.subject = error.subject or own
        broken = explain_broken(error, space, question.definition, test=question.test, label=question.label)
        there = values_at(space, error.probe)
        message = f"{error}; there {there}" if there else str(error)
        decided = Decision(Verdict.ERROR, message, user_traceback(error), broken=broken)
    except GentestError as error:
        there = values_at(space, getattr(error, "probe", None))
        decided = Decision(Verdict.ERROR, f"{error}; there {there}" if there else str(error), user_traceback(error))
    except Exception as error:
        message = f"{error_summary(error)} (while checking {generator!r})"
        if out_of_memory(error):
            message = f"out of memory with a single output at a time: {error_summary(error)}"
        decided = Decision(Verdict.ERROR, message, tracebacks.format_exc())
    finally:
        unreadable = context.identities.unreadable
        context.end(believed=decided.audited and decided.verdict is not Verdict.ERROR)
    return Result(
        test=question.test,
        property=str(question.definition),
        verdict=decided.verdict,
        message=decided.message,
        traceback=decided.traceback,
        search=decided.search,
        rate=decided.rate,
        radius=decided.radius,
        distribution=decided.distribution,
        level=decided.level,
        level_claim=decided.level_claim,
        estimate=decided.estimate,
        attack=decided.attack,
        sample=decided.sample,
        rounding=decided.rounding,
        audit=decided.audit,
        drawings=decided.drawings,
        kept=kept,
        provenance=Provenance(
            generator=fingerprint,
            checkpoint=question.checkpoint,
            prior=repr(space),
            subject=own,
            truncation=space.truncation,
            seed=values.seed,
            device=device_name(_candidate(generator).device or context.device),
            has_images=generator.images,
            unreadable=unreadable,
        ),
        cost=Cost(
            images=context.meter.images - before.images,
            calls=context.meter.calls - before.calls,
            seconds=round(time.perf_counter() - started, 3),
        ),
        shortfall=decided.shortfall,
        broken=decided.broken,
        valid_within=question.definition.valid_within if isinstance(question.definition, Definition) else None,
        deviations=decided.deviations,
    )


def _candidate(generator: Generator | Pair) -> Generator:
    """The generator under test: of a pair, the candidate."""
    return generator.candidate if isinstance(generator, Pair) else generator


def _kept_reference(generator: Generator | Pair) -> KeptReference | None:
    """The kept outputs that a pair compares with; None if its reference computes its own, or there is none."""
    function = generator.reference.function if isinstance(generator, Pair) else None
    return function.record if isinstance(function, Recalled) else None


def _check_kept(definition: AnyDefinition, subject: Subject) -> None:
    """Raise `InvalidArgument` for a property that asks a pair for other latents than those whose outputs are kept."""
    if subject.known_probes is None or not isinstance(definition, Definition):
        return
    what = "outputs of single samples of the prior are kept"
    if definition.probes != points():
        raise InvalidArgument(f"{what}, and {definition} looks at {definition.probes!r}: give the reference itself")
    if [under.space for under in definition.under(subject.generator.base)] != [subject.generator.base]:
        raise InvalidArgument(f"{what}, and {definition} looks at other priors: give the reference itself")
    if definition.rate is not None and definition.rate.each:
        each = definition.rate.each
        raise InvalidArgument(f"{what}, and each={each!r} looks at others: give the reference itself, or omit each=")


def _run_of(
    question: Question, subject: Subject, context: Context, values: Values, watch: Callable[[int, int], None]
) -> _Run:
    """The run that fits the kind of property."""
    compares = question.definition.compares
    if compares and subject.reference is None:
        raise InvalidArgument(f"{question.definition} compares two generators: check candidate.against(reference)")
    if compares is False and subject.reference is not None:
        raise InvalidArgument(f"{question.definition} is about one generator: check the candidate itself, not a pair")
    _check_kept(question.definition, subject)
    if isinstance(question.definition, Matches):
        return _Comparison(question, question.definition, subject, context, values)
    if isinstance(question.definition, (ShareBetween, CodesInUse, StatisticWithin)):
        return _Estimation(question, question.definition, subject, context, values, watch)
    if isinstance(question.definition, SameLevel):
        return _LevelComparison(question, question.definition, subject, context, values, watch)
    if isinstance(question.definition, KeepsLevel):
        return _LevelKeeping(question, question.definition, subject, context, values)
    assert isinstance(question.definition, Definition)
    return _Check(question, question.definition, subject, context, values, watch)


class _Run(ABC):
    """One check of one generator: decide, then audit the outputs that the verdict rests on, then illustrate."""

    total = False
    """True if the property judges outputs that others take for granted."""
    n_images = 1
    """Images of one probe."""

    def __init__(self, question: Question, subject: Subject, context: Context, values: Values) -> None:
        self.question = question
        self.subject = subject
        self.context = context
        self.values = values

    @abstractmethod
    def _check_question(self) -> None:
        """Raise `InvalidArgument` for a question that no outputs could answer."""

    @abstractmethod
    def _decide(self) -> Decision:
        """The verdict, and the records that it rests on."""

    def run(self) -> Decision:
        """Decides the property, audits the evidence for the verdict, and adds what a baseline or a report shows."""
        self._check_question()
        self._hold()
        if not self.total:
            for subject in self.subject.computing:
                examine(self.context, subject)
            self._hold()  # more, unless images are slow, which is known now
        try:
            decided = self._decide()
        except BudgetSpent as spent:
            decided = Decision(Verdict.UNDECIDED, shortfall=Shortfall(spent.bound, self._wanted()))
        if self.question.keeper is not None:
            try:
                keep_outputs(self.context, self.subject, self.question.test, self.values.seed, self.question.keeper)
            except BudgetSpent as spent:
                missing = self.question.keeper.n + (0 if decided.shortfall is None else decided.shortfall.images)
                decided = replace(decided, shortfall=Shortfall(spent.bound, missing))
        with self.context.budget.released():
            return self._completed(decided)

    def _wanted(self) -> int:
        """Images that the property wants."""
        question, space = self.question, self.subject.generator.latent
        return wanted(question.definition, space, self.values, n_sampled=question.n_sampled).images

    @property
    def _is_quick(self) -> bool:
        """Whether a gate looks at levels and single latents alone: for slow images, or because somebody asked."""
        question = self.question
        gated = bool(question.n_sampled) or question.against is not None
        asked = question.quick or (question.against is not None and question.against.quick)
        return gated and (asked or self.context.slow)

    def _hold(self) -> None:
        """Hold back the images that prove a decision."""
        known = all(pace.known for pace in self.context.maker.paces)
        is_fast = known and not self.context.slow
        self.context.budget.hold(len(self.subject.computing) * (MOST if is_fast else MOST_SLOW) + self.n_images)

    def _completed(self, decided: Decision) -> Decision:
        """The decision with its audit and its pictures."""
        decided = replace(decided, audit=self._audited(decided.verdict))
        with suppress(BudgetSpent):  # pictures decide nothing
            return self._pictured(decided)
        return decided

    def _pictured(self, decided: Decision) -> Decision:
        """The decision with the pictures that a baseline or a report shows."""
        sample = decided.sample
        if sample is not None and sample.look is not None and self.question.blesses:
            frames = pictures.baseline_frames(self.context, self.subject, self.values.seed)
            sample = replace(sample, look=replace(sample.look, pictures=frames))
        drawings = None
        if self.question.shows:
            baseline = self.question.against
            drawings = illustrate(
                self.context,
                self.subject,
                decided.material,
                rate=decided.rate,
                sample=sample,
                baseline=baseline,
                seed=self.values.seed if baseline is None else baseline.seed,
                whole=self.question.whole,
            )
        return replace(decided, sample=sample, drawings=drawings)

    def _audited(self, verdict: Verdict) -> Audit | None:
        """The audit of some outputs. Raises `GeneratorError` if one differs from the evidence for the verdict.

        There is no audit if a property that judges whether f is a function has found that it is not.
        """
        auditor = self.context.maker.audit
        if self.total and verdict is Verdict.VIOLATED:
            return None
        if not self.total and not auditor.slow:
            for subject in self.subject.computing:
                examine_again(self.context, subject)
        return self._believe(auditor.finish(self._unit))

    def _believe(self, audited: Audited) -> Audit:
        """The record of an audit. Raises `GeneratorError` if an output differed; wrong evidence is discarded."""
        if audited.stale is not None:
            self.context.discard(audited.stale)
        if audited.error is not None:
            raise audited.error
        return audited.audit

    def _unit(self, subject: Subject) -> float:
        """The unit of differences between a subject's outputs."""
        return self.context.measuring.unit(subject)


class _OfAll(_Run):
    """A property that judges all outputs together."""

    def __init__(self, question: Question, of_all: OfAll, subject: Subject, context: Context, values: Values) -> None:
        super().__init__(question, subject, context, values)
        self._of_all = of_all

    def _check_question(self) -> None:
        if self.question.replay is not None:
            raise InvalidArgument(f"{self._of_all} judges all outputs together, so it has no probe to replay")
        if self.values.exhaustive:
            raise InvalidArgument(
                f"exhaustive=True is for properties of single latents: {self._of_all} judges all outputs together"
            )

    @property
    def _keeps(self) -> bool:
        """Whether the result has a sample."""
        return bool(self.question.n_sampled) or self.question.against is not None


class _Comparison(_OfAll):
    """The distribution of outputs against a reference."""

    def __init__(
        self, question: Question, matches: Matches, subject: Subject, context: Context, values: Values
    ) -> None:
        super().__init__(question, matches, subject, context, values)
        self.matches = matches

    def _decide(self) -> Decision:
        question = self.question
        facts = compare_with_reference(
            self.context,
            self.subject,
            self.matches,
            self.values.seed,
            baseline=question.against,
            keeps=self._keeps,
            looks=question.looks,
            blesses=question.blesses,
        )
        return Decision(facts.verdict, distribution=facts.distribution, sample=facts.sample)


class _LevelComparison(_OfAll):
    """The level of an attribute on both sides of a pair."""

    def __init__(
        self,
        question: Question,
        same: SameLevel,
        subject: Subject,
        context: Context,
        values: Values,
        watch: Callable[[int, int], None],
    ) -> None:
        super().__init__(question, same, subject, context, values)
        self.same = same
        self._watch = watch

    def _decide(self) -> Decision:
        facts = compare_levels(self.context, self.subject, self.same, self.values, keeps=self._keeps, watch=self._watch)
        return Decision(facts.verdict, level=facts.level, sample=facts.sample)


class _LevelKeeping(_OfAll):
    """The level of an attribute against the one that a baseline keeps."""

    def __init__(
        self, question: Question, keeps: KeepsLevel, subject: Subject, context: Context, values: Values
    ) -> None:
        super().__init__(question, keeps, subject, context, values)
        self.keeps = keeps

    def _decide(self) -> Decision:
        question = self.question
        kept = keep_level(
            self.context,
            self.subject,
            self.keeps,
            self.values.seed,
            n=question.n_quick if question.n_sampled else LEVEL_MEASURED,
            baseline=question.against,
            terms=question.terms,
            blesses=question.blesses,
            quick_gate=self._is_quick,
        )
        shortfall = Shortfall(self.context.budget.bound, kept.missing) if kept.missing else None
        return Decision(kept.verdict, kept.message, level_claim=kept.claim, sample=kept.sample, shortfall=shortfall)


class _Estimation(_OfAll):
    """A figure of all outputs together."""

    def __init__(
        self,
        question: Question,
        stated: ShareBetween | CodesInUse | StatisticWithin,
        subject: Subject,
        context: Context,
        values: Values,
        watch: Callable[[int, int], None],
    ) -> None:
        super().__init__(question, stated, subject, context, values)
        self.stated = stated
        asked = stated.asked if isinstance(stated, ShareBetween) else OUTPUTS_ALONE
        self.problem = Problem(Judge(context, subject, asked), values, watch)

    def _decide(self) -> Decision:
        match self.stated:
            case ShareBetween() as stated:
                found = estimate_share(self.problem, stated)
            case CodesInUse() as stated:
                found = estimate_codes(self.problem, stated)
            case stated:
                found = estimate_statistic(self.problem, stated)
        sample = estimate_sample(self.problem, self.stated) if self._keeps else None
        self.problem.judge.check_draws()
        return Decision(found.verdict, estimate=found, sample=sample)


class _Check(_Run):
    """A property that judges probe by probe."""

    def __init__(
        self,
        question: Question,
        definition: Definition,
        subject: Subject,
        context: Context,
        values: Values,
        watch: Callable[[int, int], None],
    ) -> None:
        super().__init__(question, subject, context, values)
        self.definition = definition
        self.total = definition.total
        self.judge = Judge(context, subject, definition)
        self.n_images = self.judge.local.n_images
        self.problem = Problem(self.judge, values, self._watch)
        self._report_progress = watch
        self._missing = 0
        """About as many images as the budget left out."""
        self._committed = time.perf_counter()

    def _watch(self, done: int, total: int) -> None:
        """Reports progress. A long check audits its measurements on the way, so that it can keep them on disk."""
        self._report_progress(done, total)
        if self.context.maker.store is not None and time.perf_counter() - self._committed > COMMIT_EVERY:
            self._believe(self.context.maker.audit.spot(self._unit))
            self.context.commit()
            self._committed = time.perf_counter()

    def _check_question(self) -> None:
        if self.question.replay is None:
            if self.definition.rate is not None:
                check_budget(self.problem, self.definition.rate)
            check_plan(self.problem)

    def _decide(self) -> Decision:
        with self._pilot_of_slow_images():
            decided = self._judge_probes() if self.question.replay is None else self._replay(self.question.replay)
        decided = replace(decided, deviations=self._deviations())
        self.judge.check_draws()
        return decided

    def _pilot_of_slow_images(self) -> AbstractContextManager[None]:
        """Inside, `gentest.sd(x)` of slow images is measured on what the search looks at."""
        if not self.context.slow or not self.definition.in_deviations or self.values.exhaustive:
            return nullcontext()
        probes = self.problem.usable(planned(self.problem))
        return self.context.measuring.sampling(self.definition.probes, probes, self.judge.local.block_size)

    def _deviations(self) -> tuple[Deviation, ...]:
        """The standard deviations that rest on fewer samples than a whole pilot has."""
        yardstick = self.subject.reference or self.subject
        estimates = {
            name: self.context.measuring.estimate(thing, yardstick)
            for name, (thing, _) in self.judge.local.spreads.items()
        }
        return tuple(Deviation(name, e.value, e.error, e.n) for name, e in estimates.items() if e is not None)

    def _judge_probes(self) -> Decision:
        question, baseline, goal = self.question, self.question.against, self.definition.rate
        # within a budget, the cheapest decision comes first: no search decides a rate
        rated = self._rated(goal) if self.context.budget.bounded else None
        # in a quick gate, a rate needs no search beside it
        skips = goal is not None and self._is_quick
        searched = SearchFacts((), ()) if skips else search(self.problem, stored=question.stored)
        self._missing += searched.missing * self.n_images
        rated = self._rated(goal) if rated is None else rated
        failing = searched.failing or (() if rated is None else rated.failing)
        radius, rays = (None, None)
        if goal is not None and rated is not None and not rated.missing:
            rate = rated.rate
            radius, rays = self._if_affordable(lambda: self._radius(goal, rate)) or (None, None)
        attacked = None
        untried = not failing and not searched.exhaustive and searched.applying
        if self.values.attack and untried and baseline is None and not question.blesses:
            attacked = self._if_affordable(
                lambda: attack(self.problem, searched.probes, searched.margins), self.values.attack
            )
            failing = () if attacked is None else attacked.failing
        reduced = self._reduced(searched, failing) if failing else None
        minimal = None if reduced is None else self._explained(reduced.minimal)
        if minimal is not None and reduced is not None:
            minimal = replace(minimal, record=replace(minimal.record, fewer_words=reduced.fewer_words))
        worst = None if reduced is None else self._explained(reduced.worst)
        verdict = Verdict.HOLDS if searched.exhaustive else Verdict.NO_COUNTEREXAMPLE
        too_few = len(searched.applying) < self._fewest_applying(searched)
        verdict = Verdict.VIOLATED if failing else Verdict.UNDECIDED if self._missing or too_few else verdict
        sampled = self._sampled(searched, verdict if rated is None else rated.rate.verdict)
        verdict = Verdict.UNDECIDED if self._missing and not failing else verdict
        min_margin = min(searched.applying, default=None)
        if reduced is not None and searched.failing:
            min_margin = reduced.min_margin
        screening = self.judge.screening
        return Decision(
            verdict if rated is None else rated.rate.verdict,
            search=self._search_record(searched, min_margin, minimal, worst),
            rate=None if rated is None else rated.rate,
            radius=radius,
            attack=None if attacked is None else attacked.record,
            sample=None if sampled is None else sampled.sample,
            rounding=Rounding(self.judge.decided_alone, screening if screening.probes else None),
            material=Material(
                search_margins=searched.applying,
                rate_margins={}
                if rated is None
                else {arm: list(filter(applies, margins)) for arm, margins in rated.margins.items()},
                rays=rays,
                minimal=minimal,
                worst=worst,
            ),
            shortfall=Shortfall(self.context.budget.bound, self._missing) if self._missing else None,
        )

    def _sampled(self, searched: SearchFacts, verdict: Verdict) -> SampleFacts | None:
        """The sample for a baseline, or for a comparison with one; None if nobody asked or the budget ends before."""
        question, n = self.question, self.question.n_sampled
        if not n and question.against is None:
            return None
        if self._is_quick:
            n = question.n_quick
            first = searched.probes or tuple(self.problem.stream().probes(0, self.problem.block))
            sampled = self._if_affordable(
                lambda: take_quick_sample(
                    self.problem,
                    first[: self.judge.local.block_size],
                    verdict,
                    n=n,
                    baseline=question.against,
                    terms=question.terms,
                ),
                n,
            )
        else:
            sampled = self._if_affordable(
                lambda: take_sample(
                    self.problem,
                    n=n,
                    baseline=question.against,
                    terms=question.terms,
                    looks=question.looks,
                    blesses=question.blesses,
                ),
                n * self.n_images,
            )
        self._missing += 0 if sampled is None else sampled.missing * (1 if self._is_quick else self.n_images)
        return sampled

    def _rated(self, goal: AtRate | None) -> RateFacts | None:
        """The rate, as far as the budget reaches."""
        if goal is None:
            return None
        rated = decide_rate(self.problem, goal)
        self._missing += rated.missing * self.n_images
        return rated

    def _if_affordable(self, step: Callable[[], T], images: int = 0) -> T | None:
        """The result of a step that takes so many images; None if the budget does not reach for it."""
        try:
            return step()
        except BudgetSpent:
            self._missing += max(images, self.n_images)
            return None

    def _replay(self, probe: Probe) -> Decision:
        searched = replay(self.problem, probe)
        explained = self._explained(searched.probes[0])
        violates = bool(searched.failing)
        failing = explained if violates else None
        held = Verdict.NO_COUNTEREXAMPLE if searched.applying else Verdict.UNDECIDED
        return Decision(
            Verdict.VIOLATED if violates else held,
            search=self._search_record(searched, min(searched.applying, default=None), failing, failing),
            material=Material(search_margins=searched.applying, minimal=explained),
        )

    def _fewest_applying(self, searched: SearchFacts) -> int:
        """The fewest applying probes that count: one of all inputs, or of a replay."""
        scope = self.definition.scope
        if scope is None:
            return 0
        return 1 if searched.exhaustive or searched.replayed else scope.fewest_of(len(searched.margins))

    def _reduced(self, searched: SearchFacts, failing: Sequence[Probe]) -> ReductionFacts:
        """The worst and the minimal of some failing probes. Those of an earlier run stay as they were reported."""
        if searched.replayed and not self.question.reduces:
            return ReductionFacts(worst=failing[-1], min_margin=min(searched.margins), minimal=failing[0])
        try:
            return (first_and_worst if searched.exhaustive else reduce)(self.problem, failing)
        except BudgetSpent:  # a violation stays one, as it was found
            with self.context.budget.released():
                margins = dict(zip(failing, self.judge.margins(failing), strict=True))
                worst = min(failing, key=margins.__getitem__)
                margin = self.judge.alone(worst)
                self.judge.confirm(worst, margin)
            return ReductionFacts(worst=worst, min_margin=margin, minimal=worst)

    def _radius(self, goal: AtRate, rate: Rate) -> tuple[Radius | None, Rays | None]:
        """The radius of `holds_within`, confirmed on probes that had no part in choosing it, and the rays."""
        within = self.definition.states
        if not isinstance(within, WithinRadius):
            return None, None
        if rate.verdict is Verdict.HOLDS:
            return Radius(within.radius, within.radius, rate.probes, rate), None
        facts, confirmed = certify_radius(self.problem, goal, within), None
        if facts.certified:
            inner = Judge(self.context, self.subject, holds_within(within.inner, facts.certified))
            confirmed = confirm_rate(replace(self.problem, judge=inner), goal)
        return Radius(within.radius, facts.certified, facts.rays.n, confirmed), facts.rays

    def _explained(self, probe: Probe) -> Explained:
        with self.context.budget.released():
            return explain(self.judge, probe, self.question.label or self.definition.name)

    def _search_record(
        self, searched: SearchFacts, min_margin: float | None, minimal: Explained | None, worst: Explained | None
    ) -> Search:
        generator, n = self.subject.generator, len(searched.probes)
        if searched.exhaustive:
            seen = Inputs(n, generator.latent.n_latents if searched.stopped or searched.missing else n)
        else:
            seen = inputs(self.definition.probes, generator, searched.probes)
        return Search(
            examples=len(searched.margins),
            violations=len(searched.failing),
            margin=None if min_margin is None else Margins(min_margin, median(searched.applying or [min_margin])),
            counterexample=None if minimal is None else minimal.record,
            worst=None if worst is None else worst.record,
            replayed=searched.replayed,
            stopped=searched.stopped,
            distinct=seen.distinct,
            inputs=seen.of,
            exhaustive=searched.exhaustive,
            applied=None if self.definition.scope is None else len(searched.applying),
            fewest=None if self.definition.scope is None else self._fewest_applying(searched),
        )
