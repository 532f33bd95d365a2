"""The one driver: a property and a generator in, a `Result` out. It knows the order of things, no method's inside."""

from __future__ import annotations

import platform
import time
import traceback as tracebacks
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from statistics import median

from gentest._support.printable import error_summary
from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import fingerprint
from gentest.engine import pictures
from gentest.engine.cluster.transport import user_traceback
from gentest.engine.evidence.audit import Audited
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import examine, examine_again
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.plans import Stream, fits, inputs, real
from gentest.engine.evidence.subject import Subject
from gentest.engine.explain import explain, observed
from gentest.engine.illustrations import Showing
from gentest.engine.judge import Judge
from gentest.engine.methods import baseline_sample, search
from gentest.engine.methods.attack.descent import Attack, unfit
from gentest.engine.methods.counterexamples import Counterexamples
from gentest.engine.methods.rated import Rating
from gentest.engine.methods.reference_comparison import AgainstReference
from gentest.engine.outputs_summary import look
from gentest.errors import GeneratorError, GentestError, InvalidArgument, WrongOutputs, out_of_memory
from gentest.generators.generator import Generator
from gentest.probes.probe import Probe
from gentest.properties.definition import Definition
from gentest.properties.distribution import AnyDefinition, Matches
from gentest.results.comparison import Look, Sample, Terms
from gentest.results.records import pack
from gentest.results.result import Attack as AttackRecord
from gentest.results.result import (
    Audit,
    Cost,
    Counterexample,
    Distribution,
    Margins,
    Provenance,
    Radius,
    Rate,
    Result,
    Rounding,
    Search,
    Verdict,
)
from gentest.results.settings import Values
from gentest.results.shown import Shown

MOST_AT_ONCE = 256
"""A rate stops after some hundred probes: no larger block is evaluated before it is asked again."""
PYTHON = ".".join(platform.python_version_tuple()[:2])
"""The version whose code an identity reads."""
COMMIT_EVERY = 60.0
"""Seconds after which what a check has measured so far is audited and kept on disk."""
ATTACKED = 1 << 61
"""What tells the stream of an attack's further starts from that of a rate: a bit of the seed."""


@dataclass(frozen=True)
class Question:
    """What a check is asked: the property, under which names it is reported and replayed, and where to look first."""

    definition: AnyDefinition
    test: str = ""
    label: str = ""
    """The property's name within its test: what a replay string begins with."""
    stored: tuple[Probe, ...] = ()
    """Probes that failed before: looked at first."""
    replay: Probe | None = None
    """The only probe to look at."""
    checkpoint: str = ""
    """The name of the checkpoint, in a run of several."""
    n_sampled: int = 0
    """How many independent probes to keep the margins of: for a baseline, or where they are asked for."""
    against: Sample | None = None
    """What the baseline has of the property: its probes are evaluated until the comparison is decided."""
    terms: Terms = field(default_factory=Terms)
    looks: bool = True
    """Whether a sample holds what the outputs were like."""
    blesses: bool = False
    """Whether the sample is to be a baseline's, and not a candidate's."""
    shows: bool = False
    """Whether the result is to have what a report draws: it changes no figure."""
    whole: bool = False
    """Whether that has pictures in full size as well."""
    begins: bool = True
    """Whether code of somebody else may have run since the check before: then evidence of before is proved anew."""


@dataclass(frozen=True)
class Decision:
    """The verdict on a property, and the facts that it rests on: what each method returned."""

    verdict: Verdict
    message: str = ""
    traceback: str = ""
    search: Search = field(default_factory=Search)
    rate: Rate | None = None
    radius: Radius | None = None
    distribution: Distribution | None = None
    attack: AttackRecord | None = None
    sample: Sample | None = None
    rounding: Rounding = field(default_factory=Rounding)
    audit: Audit | None = None
    shown: Shown | None = None


def check(
    question: Question,
    generator: Generator,
    context: Context,
    values: Values,
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Decides one property on one generator. Whatever goes wrong is in the result; only interrupts are raised.

    `watch` is told how many of the planned probes are decided.
    """
    started, before = time.perf_counter(), replace(context.meter)
    space, fingerprint_of_weights = generator.latent, ""
    decided = Decision(Verdict.ERROR)
    context.begin(values.seed, body=question.begins)
    try:
        generator.to(context.device)
        subject = context.subject(generator)
        fingerprint_of_weights = subject.fingerprint
        with context.measuring.measured_by({} if question.against is None else question.against.spreads):
            decided = _run_of(question, subject, context, values, watch).run()
    except WrongOutputs as error:
        message = context.maker.unreadable(generator, error, question.test, str(question.definition))
        decided = Decision(Verdict.ERROR, message, user_traceback(error))
    except GentestError as error:
        decided = Decision(Verdict.ERROR, str(error), user_traceback(error))
    except Exception as error:
        message = f"{error_summary(error)} (while checking {generator!r})"
        if out_of_memory(error):
            message = f"out of memory, with as few at once as there can be: {error_summary(error)}"
        decided = Decision(Verdict.ERROR, message, tracebacks.format_exc())
    finally:
        unreadable = context.identities.unreadable
        context.end(believed=decided.verdict is not Verdict.ERROR)
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
        attack=decided.attack,
        sample=decided.sample,
        rounding=decided.rounding,
        audit=decided.audit,
        shown=decided.shown,
        provenance=Provenance(
            generator=fingerprint_of_weights,
            checkpoint=question.checkpoint,
            prior=repr(space),
            truncation=space.truncation,
            seed=values.seed,
            unreadable=unreadable,
        ),
        cost=Cost(
            images=context.meter.images - before.images,
            calls=context.meter.calls - before.calls,
            seconds=round(time.perf_counter() - started, 3),
        ),
    )


def _run_of(
    question: Question, subject: Subject, context: Context, values: Values, watch: Callable[[int, int], None]
) -> _Run:
    """The run that fits the kind of property."""
    if isinstance(question.definition, Matches):
        return _Comparison(question, question.definition, subject, context, values)
    return _Check(question, question.definition, subject, context, values, watch)


class _Run(ABC):
    """One check of one generator: decide, then prove the outputs that the verdict rests on, then illustrate."""

    total = False
    """True if the property judges outputs that others take for granted."""

    def __init__(self, question: Question, subject: Subject, context: Context, values: Values) -> None:
        self.question = question
        self.subject = subject
        self.context = context
        self.values = values
        self.showing = Showing(context, subject, whole=question.whole) if question.shows else None

    @abstractmethod
    def _decide(self) -> Decision:
        """The verdict, and the facts that it rests on."""

    def run(self) -> Decision:
        """Decides the property, audits what the verdict rests on, and adds what a report or a baseline shows."""
        if not self.total:
            examine(self.context, self.subject)
        decided = self._decide()
        audit, sample = self._audited(decided.verdict), decided.sample
        if sample is not None and sample.look is not None and self.question.blesses:
            kept = pictures.samples_of(self.context, self.subject, self.values.seed)
            sample = replace(sample, look=replace(sample.look, pictures=kept))
        shown = None
        if self.showing is not None:
            against, seed = self.question.against, self.values.seed
            shown = self.showing.finished(decided.rate, sample, seed=seed, against=against)
        return replace(decided, audit=audit, sample=sample, shown=shown)

    def _audited(self, verdict: Verdict) -> Audit | None:
        """What was made again, alone. Raises `GeneratorError` where it is not what the verdict rests on.

        A property that judges whether f is a function is not audited where it has found that f is none.
        """
        auditor = self.context.maker.audit
        if self.total and verdict is Verdict.VIOLATED:
            return None
        if not self.total and not auditor.slow:
            examine_again(self.context, self.subject)
        return self._believe(auditor.finish(self._unit))

    def _believe(self, audited: Audited) -> Audit:
        """What an audit came to. Raises `GeneratorError` where an output was not what it was taken for."""
        if audited.stale is not None:
            self.context.discard(audited.stale)
        if audited.error is not None:
            raise audited.error
        return audited.audit

    def _unit(self, subject: Subject) -> float:
        """What a difference of a subject's outputs is a share of."""
        return self.context.measuring.unit(subject)


class _Comparison(_Run):
    """All outputs together, against a reference."""

    def __init__(
        self, question: Question, matches: Matches, subject: Subject, context: Context, values: Values
    ) -> None:
        super().__init__(question, subject, context, values)
        self.matches = matches

    def _decide(self) -> Decision:
        question = self.question
        if question.replay is not None:
            raise InvalidArgument(f"{self.matches} speaks of all outputs together: no probe of it can be replayed")
        compared = AgainstReference(self.context, self.subject, self.matches, self.values.seed)
        distribution, verdict = compared.decide(question.against)
        sample = None
        if question.n_sampled or question.against is not None:
            sample = compared.sample(self.subject.generator.latent.key, looks=question.looks, blesses=question.blesses)
        return Decision(verdict, distribution=distribution, sample=sample)


@dataclass(frozen=True)
class _Searched:
    """The probes that a search evaluated and their margins; `replayed` if they come from an earlier run."""

    probes: Sequence[Probe]
    margins: Sequence[float]
    replayed: bool = False

    @property
    def failing(self) -> Sequence[Probe]:
        """The probes that violate, in their order."""
        return [probe for probe, margin in zip(self.probes, self.margins, strict=True) if margin < 0]


@dataclass(frozen=True)
class _Extremes:
    """The minimal and the worst counterexample, and the smallest margin of the search itself, evaluated alone."""

    minimal: Counterexample
    worst: Counterexample
    least: float | None = None


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
        self._told = watch
        self._committed = time.perf_counter()
        self.space = subject.generator.latent
        self.judge = Judge(context, subject, definition)
        self.streams: dict[int, Stream] = {}

    def watch(self, done: int, total: int) -> None:
        """Tells how many probes are decided. A long check is audited on its way, so that what it has can be kept."""
        self._told(done, total)
        store = self.context.maker.store
        if store is not None and time.perf_counter() - self._committed > COMMIT_EVERY:
            self._believe(self.context.maker.audit.spot(self._unit))
            store.commit()
            self._committed = time.perf_counter()

    @property
    def block(self) -> int:
        """So many probes are asked about before it is decided whether more are."""
        return min(self.context.batch_size, MOST_AT_ONCE) * self.context.n_processes

    def _decide(self) -> Decision:
        decided = self._judge_probes()
        self.judge.check_draws()
        return decided

    def _judge_probes(self) -> Decision:
        if self.question.replay is not None:
            return self._replayed(self.question.replay)
        goal, against = self.definition.rate, self.question.against
        if goal is not None:
            self._rating.check_budget(goal)
        searched = self._searched()
        rated = None if goal is None else self._rating.decide(goal)
        failing = searched.failing or (() if rated is None else rated.failing)
        attack = None
        if self.values.attack and not failing and against is None and not self.question.blesses:
            failing, attack = self._attacked()
        search = self._search(searched, self._extremes(searched, failing) if failing else None)
        verdict = Verdict.VIOLATED if failing else Verdict.NO_COUNTEREXAMPLE
        sample = self._sampled() if self.question.n_sampled or against is not None else None
        screening = self.judge.screening
        return Decision(
            verdict if rated is None else rated.rate.verdict,
            search=search,
            rate=None if rated is None else rated.rate,
            radius=None if rated is None else rated.radius,
            attack=attack,
            sample=sample,
            rounding=Rounding(self.judge.decided_alone, screening if screening.probes else None),
        )

    def _searched(self) -> _Searched:
        """The probes of the run before that still violate, if there are any; else those of a new search.

        While a probe of the run before violates, nothing is searched anew: a failing test fails quickly and alike.
        """
        if failing := [probe for probe in self._fitting(self.question.stored) if self.judge.alone(probe) < 0]:
            return _Searched(failing, [self.judge.alone(probe) for probe in failing], replayed=True)
        probes = self._planned()
        margins: list[float] = []
        step = max(1, self.context.batch_size) * self.context.n_processes
        while len(margins) < len(probes):
            margins += self.judge.margins(probes[len(margins) : len(margins) + step])
            self.watch(len(margins), len(probes))
        return _Searched(probes, margins)

    def _attacked(self) -> tuple[Sequence[Probe], AttackRecord]:
        """Probes that an attack found where the search found none, starting from the worst that the search saw."""
        probes = self._planned()
        margins = dict(zip(probes, self.judge.margins(probes), strict=True))
        starts = self._starts(sorted(probes, key=lambda probe: margins[probe]))
        budget, seed, least = self.values.attack, self.values.seed, min(margins.values())
        if why := unfit(self.judge):
            return (), AttackRecord("", 0, 0, budget, least, found=False, message=why)
        with self.context.without_cluster(), self.context.maker.audit.paused():
            came = Attack(self.judge, starts, budget=budget, seed=seed, watch=self.watch).run()
        least, found = min(came.least, least), bool(came.failing)
        return came.failing, AttackRecord(came.method, came.probes, came.images, budget, least, found=found)

    def _starts(self, worst_first: Sequence[Probe]) -> Iterator[Probe]:
        """What an attack starts from: the probes that were seen, and then fresh ones, for as long as it likes."""
        yield from worst_first
        fresh = self._stream_of(self.values.seed ^ ATTACKED)
        for index in count():
            yield from fresh.probes(index, 1)

    @property
    def _rating(self) -> Rating:
        stream = self._stream_of(self.values.seed)
        budget, showing = self.values.budget, self.showing
        return Rating(self.judge, stream, budget=budget, block=self.block, watch=self.watch, showing=showing)

    def _stream_of(self, seed: int) -> Stream:
        return self.streams.setdefault(seed, Stream(seed, self._real))

    def _stream(self, seed: int) -> Callable[[int, int], list[float]]:
        """The margins of a seed's independent probes, by index."""
        stream = self._stream_of(seed)

        def take(start: int, n: int) -> list[float]:
            margins = self.judge.margins(stream.probes(start, n))
            self.watch(start + n, 0)
            return margins

        return take

    def _sampled(self) -> Sample:
        """The property on the baseline's probes, or on as many of this run's seed as are asked for."""
        against, n = self.question.against, self.question.n_sampled
        seed = self.values.seed if against is None else against.seed
        take = self._stream(seed)
        if against is None or n:
            margins = baseline_sample.margins(take, n, block=self.block)
        else:
            margins = baseline_sample.margins_against(against, take, self.question.terms, block=self.block)
        evidence = observed(self.judge, self.streams[seed].probes(0, 1)[0])
        things: dict[str, Attribute | Feature | Distance] = {**evidence.attributes, **evidence.named_features}
        things |= evidence.named_distances
        codes = self.context.measuring.codes(things)
        return Sample(
            seed=seed,
            generator=self.subject.fingerprint,
            space=self.space.key,
            margins=pack(margins),
            measures={name: fingerprint(self.context.measuring.bound(thing)) for name, thing in things.items()},
            spreads=dict(evidence.spreads),
            codes=codes,
            python=PYTHON if codes else "",
            look=self._look(evidence, seed) if self.question.looks else None,
        )

    def _look(self, evidence: Observed, seed: int) -> Look | None:
        """What the outputs are like; None where a property that judges broken outputs has found that they are none."""
        with suppress(*((GeneratorError,) if self.definition.total else ())):
            return look(
                self.context,
                self.subject,
                evidence.attributes,
                evidence.named_features,
                seed,
                blesses=self.question.blesses,
            )
        return None

    def _planned(self) -> list[Probe]:
        key = (self.space.supports, self.values.examples, self.values.seed)
        if key not in self.context.plans.searched:
            self.context.plans.searched[key] = search.plan(self.space, self.values.examples, self.values.seed)
        probes = self.context.plans.searched[key]
        for space in self.judge.spaces:
            probes = real(self.definition.probes, space, probes)
            if not probes:
                raise InvalidArgument(
                    f"{self.definition} looks at {self.definition.probes!r}, and nothing moves in {space!r}"
                )
        return probes

    def _real(self, probes: Sequence[Probe]) -> list[Probe]:
        """The probes that are not degenerate, under any prior that the property names."""
        for space in self.judge.spaces:
            probes = real(self.definition.probes, space, probes)
        return list(probes)

    def _fitting(self, probes: Sequence[Probe]) -> list[Probe]:
        """Of probes from elsewhere, those that the space can place."""
        family, spaces = self.definition.probes, self.judge.spaces
        return self._real([probe for probe in probes if all(fits(family, space, probe) for space in spaces)])

    def _replayed(self, probe: Probe) -> Decision:
        if not self._fitting([probe]):
            raise InvalidArgument(f"the probe {probe} does not fit {self.definition.probes!r} in {self.space!r}")
        margin = self.judge.alone(probe)
        shown = self._explained("minimal", probe)
        searched = _Searched([probe], [margin], replayed=True)
        if margin < 0:
            return Decision(Verdict.VIOLATED, search=self._search(searched, _Extremes(shown, shown)))
        return Decision(Verdict.NO_COUNTEREXAMPLE, search=self._search(searched))

    def _extremes(self, searched: _Searched, failing: Sequence[Probe]) -> _Extremes:
        """The minimal and the worst of probes that violate. Those of an earlier run stay as they were reported."""
        least = None
        if searched.replayed:
            # a reduction may violate more than the worst, so their margins are not compared
            minimal, worst = failing[0], failing[-1]
        else:
            counterexamples = Counterexamples(self.judge, self._real, self.values)
            worst, minimal = counterexamples.worst(failing), counterexamples.minimal(failing)
            least = self.judge.alone(worst) if searched.failing else None
            # a reduction may violate more than the probe that it is made of
            worst = min(worst, minimal, key=self.judge.alone)
        return _Extremes(self._explained("minimal", minimal), self._explained("worst", worst), least)

    def _search(self, searched: _Searched, extremes: _Extremes | None = None) -> Search:
        """The record of a search, with its counterexamples."""
        if self.showing is not None:
            self.showing.searched(searched.margins)
        least = min(searched.margins) if extremes is None or extremes.least is None else extremes.least
        seen = inputs(self.definition.probes, self.subject.generator, searched.probes)
        return Search(
            examples=len(searched.margins),
            violations=len(searched.failing),
            margin=Margins(least, median(searched.margins)),
            counterexample=None if extremes is None else extremes.minimal,
            worst=None if extremes is None else extremes.worst,
            replayed=searched.replayed,
            distinct=seen.distinct,
            inputs=seen.of,
        )

    def _explained(self, which: str, probe: Probe) -> Counterexample:
        evidence = observed(self.judge, probe)
        if self.showing is not None:
            self.showing.probe(self.judge, which, probe, evidence)
        return explain(self.judge, probe, self.label, evidence)

    @property
    def label(self) -> str:
        return self.question.label or self.definition.name
