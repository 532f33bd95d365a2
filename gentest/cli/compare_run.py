"""Load two models and compare their outputs, for `gentest compare`.

The command calls `compare` in a child process, which imports torch and the user's code.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gentest._support import __version__
from gentest._support.files import write_whole
from gentest._support.printable import counted
from gentest.attributes import Attribute, brightness, contrast, describe
from gentest.cli.compare import CONFIDENCE, SHARES, ComparedLevel, Differences, Worst
from gentest.cli.invalid_candidate import (
    CandidateInvalid,
    JudgingFailed,
    check_reference,
    failure_of,
    is_own,
    raw_differences,
    valid_where_reference_is,
)
from gentest.cli.model_facts import describe_model, first_latents
from gentest.cli.model_loading import load, naming
from gentest.cli.model_options import Given
from gentest.cli.model_source import ModelSource
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import samples
from gentest.engine.evidence.measuring import LEAST_SPREAD
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.subject import Subject
from gentest.errors import GentestError, InvalidArgument, InvalidOutput
from gentest.generators.generator import Generator, Pair
from gentest.probes.probe import Probe, independent
from gentest.properties.agreement import agrees
from gentest.report import facts, page
from gentest.report.numbers import above
from gentest.report.progress import Watch, stderr
from gentest.report.within_counterexample import matters
from gentest.results.document import Document, Session, installed_versions
from gentest.results.drawings import Drawings
from gentest.results.records import unpack
from gentest.results.result import Attack, Result, Verdict
from gentest.results.settings import Values, settings
from gentest.stats.levels import LevelTest

LEAST = 2e-4
"""The smallest tolerance that is used if none is given. Below it the engine would evaluate each latent alone, since
rounding could decide."""
MARGIN = 1e-3
"""Share by which a tolerance lies above the largest difference so far, so that rounding does not decide on that."""
FINE = 0.1
"""The shift of a level, in standard deviations of the reference, down to which its bounds are made to be near."""
VERSIONS = ("torch", "numpy", "hypothesis")


Floats = np.ndarray[Any, np.dtype[np.float64]]


def compare(question: Mapping[str, Any]) -> dict[str, Any]:
    """The `differences` of two models as JSON; or the `misuse` or the `error` that prevented the comparison.

    `question` has both models, the latent space or None, the tolerance or None, and the options of the command.
    """
    warnings.simplefilter("ignore")  # other people's models warn of anything
    try:
        values = settings(**question["settings"]).over(Values())
        pair = load_pair(question)
        progress = stderr()
        with progress or nullcontext(), Watch("comparing", progress, live=False) as watch:
            context = Context(values, watch=watch.images)
            _check_shapes(pair, context, question)
            started = time.perf_counter()
            differences, result = Comparing(pair, context, values, watch.probes).run(question["within"])
            differences = replace(differences, seconds=time.perf_counter() - started)
        if question["report"] is not None:
            named = f"{question['candidate']['name']} against {question['reference']['name']}"
            _write_page(Path(question["report"]), replace(result, test=named), context, values)
    except JudgingFailed as error:
        return {"error": str(error)}
    except (GentestError, OSError) as error:
        return {"misuse": str(error)}
    except KeyboardInterrupt:
        return {"error": "interrupted"}
    return {"differences": asdict(differences)}


# the models


def load_pair(question: Mapping[str, Any]) -> Pair:
    """The candidate against the reference. Raises `InvalidArgument`, which names the model that is wrong.

    A `gentest.Generator` knows its latent space and its outputs, and so tells those of a model on the other side. Other
    facts are given, or read from the models. If a model does not tell what it takes, the other side may.
    """
    given = Given.from_json(question["given"])
    sources = [ModelSource.from_json(question[side]) for side in ("reference", "candidate")]
    loaded: list[Any] = []
    for source in sources:
        with naming(source):
            loaded.append(load(source))
    for source, made in zip(sources, loaded, strict=True):
        with naming(source):
            if isinstance(made, Pair):
                raise InvalidArgument("gave a pair of generators; expected one of them")
    sides = list(zip(sources, loaded, strict=True))
    try:
        reference, candidate = _described(sides, given)
    except InvalidArgument as error:
        try:
            candidate, reference = _described(sides[::-1], given)
        except InvalidArgument:
            raise error from None
    return candidate.against(reference)


def _described(sides: Sequence[tuple[ModelSource, Any]], given: Given) -> list[Generator]:
    """Two models as generators. The first tells the second what it cannot tell itself."""
    like = next((made for _, made in sides if isinstance(made, Generator)), None)
    space = None if like is None else like.latent
    generators: list[Generator] = []
    for source, made in sides:
        other = replace(given, output_range=None, outputs=None) if like and not isinstance(made, Generator) else given
        with naming(source):
            try:
                described = describe_model(made, other, like=like, space=space, guesses_range=False)
            except InvalidArgument:
                if space is not None or not generators:
                    raise
                described = describe_model(made, other, like=like, space=generators[0].latent, guesses_range=False)
        generators.append(described.generator)
        like = like or generators[0]
    return generators


def _check_shapes(pair: Pair, context: Context, question: Mapping[str, Any]) -> None:
    """Raises `InvalidArgument` unless both sides take the latents, and give outputs of one shape."""
    shapes = []
    for side, generator in (("candidate", pair.candidate), ("reference", pair.reference)):
        with naming(ModelSource.from_json(question[side])), torch.no_grad():
            generator.to(context.device)
            outputs = generator.outputs(first_latents(generator.latent, generator.device or context.device, 2))
        shapes.append(list(outputs.shape[1:]))
    if shapes[0] != shapes[1]:
        raise InvalidArgument(f"the candidate makes outputs {shapes[0]} and the reference {shapes[1]}")


# the comparison


@dataclass(frozen=True)
class Sampled:
    """The differences and scores of independent latents of the prior."""

    differences: np.ndarray[Any, np.dtype[np.float64]]
    """Float [n]."""
    levels: tuple[ComparedLevel, ...]
    shape: tuple[int, ...]
    """The shape of an output."""


class Comparing:
    """One comparison of a pair: independent latents, a search for a larger difference, and the verdict."""

    def __init__(self, pair: Pair, context: Context, values: Values, watch: Callable[[int, int], None]) -> None:
        self.pair = pair
        self.context = context
        self.values = values
        self._watch = watch

    def run(self, within: float | None) -> tuple[Differences, Result]:
        """The differences, and the result of checking `agrees`. Raises `JudgingFailed` if the check is an error.

        Without a tolerance, the check asks for a larger difference than any that was found before. A candidate that
        is invalid where the reference is valid disagrees, at any tolerance.
        """
        try:
            return self._compared(within)
        except CandidateInvalid as failed:
            return self._of_invalid(failed, within)

    def _compared(self, within: float | None) -> tuple[Differences, Result]:
        """Raises `CandidateInvalid` if an output of the candidate cannot be compared."""
        sampled = self._sample()
        at = int(sampled.differences.argmax())
        (probe,) = independent(self.values.seed, at, 1)
        worst, source = float(sampled.differences[at]), "an independent sample"
        searching = replace(self.values, attack=0, reduce=0)
        searched = self._check(_above(worst), searching)
        if searched.worst is not None:
            probe, source = Probe.from_json(searched.worst.probe), "the search"
            worst = _above(worst) - searched.worst.margin
        tolerance = _above(worst) if within is None else within
        result = self._check(tolerance, self.values, n_sampled=self.values.examples, shows=True)
        assert result.sample is not None
        disagreeing = int((np.array(unpack(result.sample.margins, "margins")) < 0).sum())
        if disagreeing and result.verdict is Verdict.NO_COUNTEREXAMPLE:
            # the search missed what the independent latents show
            result = self._check(tolerance, self.values, stored=(probe,), reduces=True, shows=True)
        if result.worst is not None and tolerance - result.worst.margin > worst:
            probe, worst = Probe.from_json(result.worst.probe), tolerance - result.worst.margin
            source = "the search" if result.attack is None else "the attack"
        replayed = self._check(tolerance if worst > tolerance else 0.0, self.values, replay=probe, shows=True)
        shown = replayed.counterexample
        differences = Differences(
            **self._measured(sampled.differences, sampled.shape, result),
            levels=sampled.levels,
            worst=Worst(
                worst,
                source,
                f"agrees:{probe}",
                "" if shown is None else facts.choices(shown),
                "" if shown is None else shown.note,
            ),
            attack="" if result.attack is None else _describe_attack(result.attack, tolerance),
            disagreeing=disagreeing,
            agrees=result.verdict is Verdict.NO_COUNTEREXAMPLE,
        )
        return differences, _with_worst(result, replayed)

    def _of_invalid(self, failed: CandidateInvalid, within: float | None) -> tuple[Differences, Result]:
        """The differences if the candidate is invalid at a probe, and the result of looking for such probes."""
        check_reference(failed, self.pair, self.context, self.values)
        differences, shape = self._sample_raw()
        definition = valid_where_reference_is()
        question = Question(
            definition,
            label=definition.name,
            stored=(failed.probe,),
            reduces=True,
            shows=True,
            looks=False,
            begins=False,
        )
        result = check(question, self.pair, self.context, self.values, watch=self._watch)
        worst = result.worst or result.counterexample
        if result.verdict is not Verdict.VIOLATED or worst is None:  # it leaves its range by next to nothing
            raise JudgingFailed(result.message or str(failed))
        command = f"gentest.well_formed().replay(candidate, {worst.replay!r})"
        result = replace(result, drawings=replace(result.drawings or Drawings(), command=command))
        return Differences(
            **self._measured(differences, shape, result),
            levels=(),
            worst=Worst(np.inf, "the comparison", worst.replay, facts.choices(worst), worst.note),
            attack="",
            disagreeing=int((differences > (np.inf if within is None else within)).sum()),
            agrees=False,
            invalid=int(np.isinf(differences).sum()),
        ), result

    def _measured(self, differences: Floats, shape: tuple[int, ...], result: Result) -> dict[str, Any]:
        """The fields of `Differences` that any comparison fills in alike, after the check that gave the result."""
        return {
            "space": repr(self.pair.latent),
            "outputs": self._describe_outputs(shape),
            "unit": self._describe_unit(),
            "n": len(differences),
            "searched": result.examples,
            "quantiles": tuple(float(q) for q in np.quantile(differences, SHARES, method="higher")),
            "images": -(-self.context.meter.images // 2),
            "seconds": 0.0,
            **_reduced(result),
        }

    def _sample_raw(self) -> tuple[Floats, tuple[int, ...]]:
        """The differences [n] of the seed's first independent latents, some infinite, and the shape of an output."""
        differences: list[float] = []
        shape: tuple[int, ...] = ()
        try:
            for evidence in self.context.samples(
                self.context.subject(self.pair), self.values.seed, 0, self.values.examples
            ):
                differences += raw_differences(evidence)
                shape = tuple(evidence.outputs.shape[2:])
        except GentestError as error:
            raise JudgingFailed(str(error)) from error
        return np.array(differences), shape

    def _sample(self) -> Sampled:
        """The differences and levels of the seed's first independent latents."""
        subject = self.context.subject(self.pair)
        try:
            return self._sampled(subject)
        except InvalidOutput as error:
            own = error.subject == subject.fingerprint_of_outputs
            raise failure_of(str(error), error.probe, own=own) from error
        except GentestError as error:
            raise JudgingFailed(str(error)) from error

    def _sampled(self, subject: Subject) -> Sampled:
        pilot = samples(self.context, subject)
        differences: list[float] = []
        scores: dict[str, tuple[list[float], list[float]]] = {}
        shape: tuple[int, ...] = ()
        for evidence in self.context.samples(subject, self.values.seed, 0, self.values.examples):
            differences += evidence.from_reference()[:, 0].double().tolist()
            shape = tuple(evidence.images.shape[2:])
            for attribute in self._attributes(shape):
                own, other = scores.setdefault(describe(attribute), ([], []))
                own += evidence.scores(attribute)[:, 0].double().tolist()
                other += evidence.reference.scores(attribute)[:, 0].double().tolist()
            self._watch(len(differences), self.values.examples)
        levels = tuple(
            _level(attribute, pilot, *map(np.array, scores[describe(attribute)]))
            for attribute in self._attributes(shape)
        )
        return Sampled(np.array(differences), levels, shape)

    def _attributes(self, shape: tuple[int, ...]) -> list[Attribute]:
        """The attributes whose levels are compared: none for outputs that are not images of one or three channels."""
        if not self.pair.images or shape[0] not in (1, 3):
            return []
        return [brightness(), contrast()] if max(shape[1:]) > 1 else [brightness()]

    def _check(self, within: float, values: Values, **asked: Any) -> Result:
        """The result of checking `agrees` on the pair. Raises `JudgingFailed` if it is an error."""
        question = Question(agrees(within=within), label="agrees", looks=False, begins=False, **asked)
        result = check(question, self.pair, self.context, values, watch=self._watch)
        if result.verdict is Verdict.ERROR:
            broken = result.broken
            raise failure_of(result.message, broken and broken.probe, own=is_own(broken, result))
        if result.drawings is None or result.counterexample is None:
            return result
        command = f"gentest.agrees(within={within}).replay(pair, {result.counterexample.replay!r})"
        return replace(result, drawings=replace(result.drawings, command=command))

    def _describe_outputs(self, shape: tuple[int, ...]) -> str:
        plain = self.pair.kind
        kind = "values" if plain.drawn_by_shape else plain.plural
        bounds = self.pair.reference.output_range or plain.default_range
        within = "" if bounds is None else f" in [{bounds[0]:g}, {bounds[1]:g}]"
        steps = getattr(self.pair.reference.function, "arguments", {}).get("num_inference_steps")
        after = "" if steps is None else f", after {steps} denoising steps"
        return f"{kind} {list(shape)}{within}{after}"

    def _describe_unit(self) -> str:
        if self.pair.reference.limits is not None:
            return "as a share of the output range"
        return "as a share of the range of 16 samples of the reference"


def _reduced(result: Result) -> dict[str, Any]:
    """The smallest latent that fails, as fields of `Differences`; empty without one, and for one of an attack."""
    found = result.counterexample
    if found is None or found.moved is not None:
        return {}
    return {"matters": "; ".join(detail.text for detail in matters(found, result.search)), "reduced": found.replay}


def _with_worst(result: Result, replayed: Result) -> Result:
    """The result with the worst latent of all, which may be an independent sample, as the one that a page shows."""
    drawings, shown = result.drawings or Drawings(), replayed.drawings or Drawings()
    if result.verdict is not Verdict.VIOLATED:  # the page shows both sides of the latent that differs most
        drawings = replace(drawings, minimal=shown.minimal, minimal_difference=shown.minimal_difference)
        return replace(result, drawings=drawings)
    worst = replayed.counterexample
    if worst is None:
        return result
    drawings = replace(drawings, worst=shown.minimal, worst_difference=shown.minimal_difference)
    return replace(result, search=replace(result.search, worst=worst), drawings=drawings)


def _above(difference: float) -> float:
    """A tolerance that a difference does not reach, nor rounding near it."""
    return max(LEAST, difference * (1.0 + MARGIN))


def _describe_attack(attack: Attack, tolerance: float) -> str:
    """The largest difference that an attack reached, or the reason why there was none."""
    if attack.message:
        return f"did not start: {attack.message}"
    reached = above(tolerance - attack.least, 3)
    return f"reached a difference of {reached} ({attack.method}, {counted(attack.probes, 'latent')})"


def _level(attribute: Attribute, pilot: Observed, candidate: Floats, reference: Floats) -> ComparedLevel:
    """The scores [n] of both sides on independent latents, with bounds of the shift that the pilot's spread allows."""
    own, other = float(candidate.mean()), float(reference.mean())
    spread = float(reference.std(ddof=1)) if len(reference) > 1 else 0.0
    if not spread > LEAST_SPREAD * max(1.0, abs(other)):
        return ComparedLevel(describe(attribute), other, own, None, None, None)
    before = (pilot.scores(attribute) - pilot.reference.scores(attribute))[:, 0].double().cpu().numpy()
    test = LevelTest.within(FINE * spread, before, 1.0 - CONFIDENCE)
    low, high = test.interval(candidate - reference, (1.0 - CONFIDENCE) / 2.0)
    return ComparedLevel(describe(attribute), other, own, (own - other) / spread, low / spread, high / spread)


def _write_page(path: Path, result: Result, context: Context, values: Values) -> None:
    """Write the page that a run of this one check would write. Raises `OSError`."""
    session = Session(None, result.generator, None, str(context.device), values.seed, installed_versions(*VERSIONS))
    document = Document(session, (replace(result, sample=None),), gentest=__version__)
    write_whole(path, page.page(document))
