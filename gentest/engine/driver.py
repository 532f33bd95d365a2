"""The one driver: a property and a generator in, a `Result` out. It knows the order of things, no method's inside."""

from __future__ import annotations

import time
import traceback as tracebacks
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from gentest._settings import Values
from gentest.engine import reduce, search
from gentest.engine.context import PILOT_SEED, Context
from gentest.engine.evidence import Observed, Subject
from gentest.engine.margins import Judge
from gentest.errors import GeneratorError, GentestError, InvalidArgument
from gentest.generators import TANH, Generator
from gentest.probes import FULL_MASK, Probe, active_groups, independent, moves, points
from gentest.properties.definition import Definition
from gentest.result import Counterexample, Margins, Result, Verdict
from gentest.spaces import Part

OURS = Path(__file__).parents[1]
EXAMINED = 16
"""Samples on which a generator is examined before a property is looked at."""
ALONE = 4
"""Of these, so many once more alone."""
LEAST_BUDGET = 64
"""A reduction asks about no more probes than the search did, or this many after a short search."""
SAME = 1 / 32
"""How far an output may differ alone and in a batch, as a share of its range, before no margin of it means anything."""


@dataclass(frozen=True)
class Question:
    """What a check is asked: the property, under which names it is reported and replayed, and where to look first."""

    definition: Definition
    test: str = ""
    label: str = ""
    """The property's name within its test: what a replay string begins with."""
    stored: tuple[Probe, ...] = ()
    """Probes that failed before: looked at first."""
    replay: Probe | None = None
    """The only probe to look at."""


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
    result = Result(question.test, str(question.definition), Verdict.ERROR)
    try:
        generator.to(context.device)
        subject = Subject.of(generator)
        result = replace(result, generator=subject.fingerprint)
        result = _Check(question, subject, context, values, watch).run(result)
    except GentestError as error:
        result = replace(result, message=str(error), traceback=_their_traceback(error))
    except torch.cuda.OutOfMemoryError as error:
        result = replace(result, message=f"out of memory at batch size {context.batch_size}: {error}".splitlines()[0])
    except Exception as error:
        said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        result = replace(result, message=f"{said} (while checking {generator!r})", traceback=tracebacks.format_exc())
    return replace(
        result,
        seconds=round(time.perf_counter() - started, 3),
        images=context.meter.images - before.images,
        generator_calls=context.meter.calls - before.calls,
    )


class _Check:
    def __init__(
        self,
        question: Question,
        subject: Subject,
        context: Context,
        values: Values,
        watch: Callable[[int, int], None],
    ) -> None:
        self.question = question
        self.definition = question.definition
        self.subject = subject
        self.context = context
        self.values = values
        self.watch = watch
        self.space = subject.generator.latent
        self.judge = Judge(context, subject, question.definition)
        self.budget = min(values.reduce, max(values.examples, LEAST_BUDGET))

    def run(self, result: Result) -> Result:
        if not self.definition.total:
            self._examine()
        if self.question.replay is not None:
            return self._replayed(result, self.question.replay)
        if failing := [probe for probe in self._fitting(self.question.stored) if self.judge.alone(probe) < 0]:
            return self._still_violated(result, failing)
        probes = self._planned()
        margins: list[float] = []
        step = max(1, self.context.batch_size)
        while len(margins) < len(probes):
            margins += self.judge.margins(probes[len(margins) : len(margins) + step])
            self.watch(len(margins), len(probes))
        if min(margins) >= 0:
            return replace(self._looked(result, margins), verdict=Verdict.NO_COUNTEREXAMPLE)
        return self._violated(result, probes, margins)

    def _examine(self) -> None:
        """Looks at a few samples in a batch and alone: what no property could judge is said once, in one line."""
        if self.subject.key in self.context.examined:
            return
        samples = independent(PILOT_SEED, 0, EXAMINED)
        together = self.context.evidence(self.subject, points(), samples)
        images = together.images
        if self.subject.generator.output_range is None and bool((together.outputs >= 0.5).all()):
            low, high = (TANH[0] + v.item() * 2 for v in (together.outputs.min(), together.outputs.max()))
            raise GeneratorError(
                f"no output is negative (values from {low:.3g} to {high:.3g}); "
                "say Generator(..., output_range=(0, 1)), or output_range=(-1, 1) where that is meant"
            )
        alone = self.context.evidence(self.subject, points(), samples[-ALONE:], alone=True).again(0, chance=1)
        same_size = alone.shape == images[-ALONE:].shape
        difference = (alone - images[-ALONE:]).abs().max().item() if same_size else 1.0
        if difference > SAME:
            raise GeneratorError(
                f"an output depends on the rest of its batch, by up to {difference:.3g} of its range: is some layer in "
                "train mode, or noise not declared with Generator(..., noise=...)? (gentest.reproducible() shows it)"
            )
        self.context.examined.add(self.subject.key)

    def _planned(self) -> list[Probe]:
        key = (self.space.supports, self.values.examples, self.values.seed)
        if key not in self.context.plans:
            self.context.plans[key] = search.plan(self.space, self.values.examples, self.values.seed)
        probes = self._real(self.context.plans[key])
        if not probes:
            raise InvalidArgument(
                f"{self.definition} looks at {self.definition.probes!r}, and nothing moves in {self.space!r}"
            )
        return probes

    def _real(self, probes: Sequence[Probe]) -> list[Probe]:
        """The probes that are not degenerate; a continuous part always moves."""
        if not probes or any(part.n_groups > 1 for part in self.space.parts.values()):
            return list(probes)
        real = moves(self.definition.probes.place(self.space, probes))
        return [probe for probe, is_real in zip(probes, real, strict=True) if is_real]

    def _fitting(self, probes: Sequence[Probe]) -> list[Probe]:
        """Of probes from elsewhere, those that the space can place."""
        return self._real(
            [
                probe
                for probe in probes
                if not probe.choices
                or (
                    len(probe.choices) == len(self.space.supports)
                    and all(c in support for c, support in zip(probe.choices, self.space.supports, strict=True))
                )
            ]
        )

    def _replayed(self, result: Result, probe: Probe) -> Result:
        if not self._fitting([probe]):
            raise InvalidArgument(f"the probe {probe} does not fit {self.space!r}")
        margin = self.judge.alone(probe)
        found = self._counterexample(probe)
        verdict = Verdict.VIOLATED if margin < 0 else Verdict.NO_COUNTEREXAMPLE
        result = replace(self._looked(result, [margin]), verdict=verdict, replayed=True)
        return replace(result, counterexample=found, worst=found) if margin < 0 else result

    def _violated(self, result: Result, probes: Sequence[Probe], margins: Sequence[float]) -> Result:
        failing = [probe for probe, margin in zip(probes, margins, strict=True) if margin < 0]
        worst = self._confirmed(self.judge.worst(failing))
        reduced = self._confirmed(self._reduced([self._confirmed(probe) for probe in failing[: reduce.POOL]]))
        minimal = self._confirmed(self._simplified(reduced))
        return replace(
            self._looked(result, margins),
            verdict=Verdict.VIOLATED,
            counterexample=self._counterexample(minimal),
            worst=self._counterexample(worst),
        )

    def _confirmed(self, probe: Probe) -> Probe:
        """A probe that violates in a batch, once it violates alone as well: no other is ever a counterexample."""
        if self.judge.alone(probe) >= 0:
            raise GeneratorError(
                f"probe {probe} violates {self.definition} in a batch and not alone: "
                "the output depends on the batch (gentest.reproducible() shows it)"
            )
        return probe

    def _still_violated(self, result: Result, failing: Sequence[Probe]) -> Result:
        """Counterexamples of the run before that violate still: reported as they were, until the generator is mended.

        The first was the minimal one; nothing is searched or reduced anew, so a failing test fails quickly and alike.
        """
        margins = [self.judge.alone(probe) for probe in failing]
        return replace(
            self._looked(result, margins),
            verdict=Verdict.VIOLATED,
            replayed=True,
            counterexample=self._counterexample(failing[0]),
            worst=self._counterexample(self.judge.worst(failing)),
        )

    def _reduced(self, failing: Sequence[Probe]) -> Probe:
        if not self.definition.reducible:
            return failing[0]
        return reduce.reduce_groups(
            failing,
            len(self.space.groups),
            self._violates,
            budget=self.budget,
            may_be_empty=self.definition.probes.n_points == 1,
        )

    def _simplified(self, probe: Probe) -> Probe:
        return search.simplify(
            probe, self.space, self.definition.probes, self._violates, seed=self.values.seed, budget=self.budget
        )

    def _violates(self, probes: list[Probe]) -> list[bool]:
        """Which probes are real and violate the property."""
        real = self._real(probes)
        margins = dict(zip(real, self.judge.margins(real), strict=True))
        return [margins.get(probe, 0.0) < 0 for probe in probes]

    def _looked(self, result: Result, margins: Sequence[float]) -> Result:
        return replace(
            result,
            examples=len(margins),
            violations=sum(margin < 0 for margin in margins),
            margin=Margins(min(margins), median(margins)),
        )

    def _counterexample(self, probe: Probe) -> Counterexample:
        evidence = self.context.evidence(self.subject, self.definition.probes, [probe], alone=True)
        with torch.no_grad():
            self.definition.margin(evidence)
        groups = self.space.groups
        active = range(len(groups)) if probe.mask == FULL_MASK else active_groups(probe, len(groups))
        return Counterexample(
            probe=probe.to_json(),
            margin=self.judge.alone(probe),
            scores=_curves(evidence),
            t=tuple(float(t) for t in evidence.t[0]),
            groups=tuple(str(groups[g]) for g in active),
            n_groups=len(groups),
            n_coordinates=sum(part.dim for part in self.space.parts.values() if part.n_groups),
            typicality=_typicality(evidence, self.space.parts),
            replay=f"{self.question.label or self.definition.name}:{probe}",
        )


def _curves(evidence: Observed) -> dict[str, tuple[float, ...]]:
    """What was measured along one probe: each attribute, and the steps of each feature between neighbours."""
    curves = {
        name: tuple(float(v) for v in evidence.scores(attribute)[0]) for name, attribute in evidence.attributes.items()
    }
    for name, feature in evidence.named_features.items():
        steps = evidence.features(feature)[0].diff(dim=0).norm(dim=-1)
        curves[f"step in {name}"] = tuple(float(v) for v in steps)
    return curves


def _typicality(evidence: Observed, parts: Mapping[str, Part]) -> float | None:
    """The prior's quantile of the latent that lies furthest from typical; None where the prior cannot tell."""
    quantiles = [part.typicality(evidence.placed[name][0]) for name, part in parts.items()]
    known = np.concatenate(quantiles)
    known = known[np.isfinite(known)]
    return float(known[np.abs(known - 0.5).argmax()]) if known.size else None


def _their_traceback(error: GentestError) -> str:
    """The traceback of what a user's code raised, without gentest's own frames."""
    cause = error.__cause__
    if cause is None:
        return ""
    frames = tracebacks.extract_tb(cause.__traceback__)
    theirs = [frame for frame in frames if OURS not in Path(frame.filename).parents]
    return "".join([*tracebacks.format_list(theirs or frames), *tracebacks.format_exception_only(cause)])
