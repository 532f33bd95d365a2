"""Load a model, find out what it takes and gives, and check the laws of every generator, for `gentest check`.

The command calls `check_model` in a child process, which imports torch and the user's code. Cheap laws come first. If
the time ends within a law, that law is undecided and those after it are not checked.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gentest._support import __version__
from gentest._support.files import write_whole
from gentest._support.printable import counted, noun
from gentest.attributes import Attribute, brightness, contrast, describe, pixels
from gentest.cli.check_model import LAWS
from gentest.cli.model_facts import Assumption, Decoding, Described, describe_model, first_latents
from gentest.cli.model_loading import call_of, is_autoencoder, is_pipeline, load, naming, state_key
from gentest.cli.model_options import Given
from gentest.cli.model_source import ModelKind, ModelSource
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import shared_context
from gentest.engine.cost import Bound, Budget, clock
from gentest.engine.evidence.context import Context
from gentest.errors import GentestError, InvalidArgument
from gentest.generators.calling import OnArrays
from gentest.generators.diffusers import Pipeline
from gentest.generators.generator import Generator, Pair
from gentest.outputs.returned import TANH
from gentest.plugin.report_files import shows_pictures, writer_for
from gentest.probes.probe import Probe
from gentest.properties import references
from gentest.properties.agreement import agrees
from gentest.properties.definition import AnyDefinition, AtRate, sd
from gentest.properties.distribution import LEAST as LEAST_REFERENCE
from gentest.properties.distribution import matches
from gentest.properties.paths import between
from gentest.properties.samples import diverse, not_blank, reproducible, responsive, well_formed
from gentest.report import facts
from gentest.report.numbers import above, short_figures
from gentest.report.progress import Watch, stderr
from gentest.results import validity
from gentest.results.document import Document, Family, Session, installed_versions
from gentest.results.drawings import Drawings
from gentest.results.outcome import Verdict
from gentest.results.result import Result
from gentest.results.settings import Values, settings
from gentest.spaces import Categorical, Condition, Empirical, Joint

SPACES = re.compile(r"\b(Normal|Uniform|Sphere|TruncatedNormal|Joint|Categorical)\(")
"""The names of spaces, as they print."""
STEPS = "num_inference_steps"
VERSIONS = ("torch", "numpy", "hypothesis")
FLOOR = 0.01
"""The smallest difference between two outputs, and the smallest contrast of one, as a share of their range."""
DUPLICATE, MANY = 1e-6, 64
"""The smallest difference between two outputs of fewer than `MANY` values, which chance makes nearly alike."""
WITHIN = 4 / 255
"""The difference from a reference that is allowed if none is given, as a share of the output range."""
SAME = 1e-6
"""Differences below are rounding of the margins."""
MARGIN = 1e-3
"""The share by which a tolerance lies below the largest difference, so that this one alone exceeds it."""
LOSS = 0.1
"""The root-mean-square difference that an autoencoder's images may have, as a share of their range."""
APART = 0.05
"""The distance from the data that is allowed, in MMD^2."""
ENCODED = 256
"""Images of the data that an autoencoder encodes."""
LEVELS = 64
"""Samples behind the levels."""
SHARES = {"well_formed": 0.1, "reproducible": 0.1, "not_blank": 0.05, "responsive": 0.1, "diverse": 0.1}
"""The share of the time that the probes of each law may take. Examining, audits and reduction take some, too."""
IMAGES = {"well_formed": 1, "reproducible": 3, "not_blank": 1, "responsive": 2, "diverse": 16}
"""Outputs that a probe of each law makes; `reproducible` makes them in calls of their own."""
MOST = {"well_formed": 1_000, "reproducible": 50, "not_blank": 1_000, "responsive": 300, "diverse": 64}
LEAST = {"well_formed": 8, "reproducible": 4, "not_blank": 8, "responsive": 8, "diverse": 2}
FIRST = ("well_formed", "reproducible")
"""Laws without which no other margin means anything."""
PATHS = 32
"""The fewest paths that are worth telling a rate of."""


@dataclass(frozen=True)
class Asked:
    """A law to check, on what, and with how many probes."""

    label: str
    definition: AnyDefinition
    subject: Generator | Pair
    examples: int


def check_model(question: Mapping[str, Any]) -> dict[str, Any]:
    """The report on a model as JSON, which `Report` of the command reads; or the `misuse` that prevented it."""
    warnings.simplefilter("ignore")  # other people's models warn of anything
    try:
        return Check(question).run()
    except (GentestError, OSError) as error:
        return {"misuse": str(error)}


class Check:
    """One run of the command."""

    def __init__(self, question: Mapping[str, Any]) -> None:
        self.question = question
        self.source = ModelSource.from_json(question["model"])
        self.values = settings(**question["settings"]).over(Values())
        self.given = Given.from_json(question["given"])
        elapsed = time.time() - question["started"]
        self._bound = Bound(max_minutes=question["minutes"], started=clock() - elapsed)
        self._budget = Budget(self._bound)
        self.seconds = self.alone = 0.0
        self._watch: Watch | None = None
        self._assumptions: list[Assumption] = []
        self._results: list[Result] = []
        self._skipped = ""
        self._reference: dict[str, Any] | None = None
        """The facts about the reference that `--write` needs."""
        self._images: Tensor | None = None
        """The images of the data, once they were read."""

    def run(self) -> dict[str, Any]:
        """The report. Raises `InvalidArgument` or `OSError`."""
        self.context = shared_context(self.values, watch=self._count)
        with naming(self.source):
            described, pair = self._described()
        generator = described.generator
        self._assumptions += described.assumptions
        asked: list[Asked] = []
        try:
            with naming(self.source):
                self._time(generator)
            asked += self._asked(described, pair)
            self._check_all(asked)
            information = [] if self.question["replay"] else self._distance(asked)
            information += [] if self._skipped or self.question["replay"] else self._information(generator)
        except KeyboardInterrupt:
            self._skipped, information = "interrupted", []
        document = self._document([each.label for each in asked])
        self._write(document)
        return {
            "kind": self._kind(),
            "assumptions": [[a.about, a.text, a.option] for a in self._assumptions],
            "document": document.to_json(),
            "skipped": self._skipped,
            "information": information,
            "answers": self._answers(asked),
        }

    # the model

    def _described(self) -> tuple[Described, Pair | None]:
        """The model as a generator, and the pair that it is or makes with a reference."""
        given = self.given
        model = self._model = load(self.source)
        if isinstance(model, Pair):
            self._prior = describe_model(model.candidate, given)
            return self._prior, model
        described = self._prior = describe_model(model, given)
        if self.question["data"] is not None and described.encode is not None:
            described = self._on_data(described)
        if self.question["against"] is None:
            return described, None
        generator, source = described.generator, ModelSource.from_json(self.question["against"])
        with naming(source):
            made = load(source)
            other = describe_model(made, given, like=generator, space=generator.latent)
        self._reference = answers(source, made, given, other, ())
        return described, generator.against(other.generator)

    def _answers(self, asked: Sequence[Asked]) -> dict[str, Any]:
        """The facts that `--write` needs about the model, the reference and the folder of data."""
        own = answers(self.source, self._model, self.given, self._prior, asked)
        given = self.question["within"]
        return {
            **own,
            "reference": self._reference,
            "within": given or WITHIN,
            "data": self.question["data"] or "",
            "image_shape": [] if self._images is None else list(self._images.shape[1:]),
            "loss": given or LOSS,
            "apart": APART,
        }

    def _on_data(self, described: Described) -> Described:
        """An autoencoder on the encodings of the data, instead of a prior that is assumed."""
        generator, encode = described.generator, described.encode
        assert encode is not None
        images = self._data(generator)
        with torch.no_grad():
            latents = torch.cat([encode(part) for part in torch.split(images, 16)])
        bank = Empirical(latents.float())
        self._assumptions.append(
            Assumption("latents", f"the encodings of {counted(len(images), 'image')} in {self.question['data']}")
        )
        made = Generator(generator.function, latent=bank, output_range=generator.output_range)
        others = tuple(a for a in described.assumptions if a.about != "latents")
        return replace(described, generator=made, assumptions=others)

    def _data(self, generator: Generator) -> Tensor:
        """Some images of the data [M, C, H, W], fitted to the generator's outputs, in its range. They are read once."""
        if self._images is not None:
            return self._images
        with torch.no_grad():
            shape = generator.outputs(first_latents(generator.latent, torch.device("cpu"), 1)).shape[1:]
        self._images = references.images_in(
            self.question["data"],
            tuple(shape),
            most=ENCODED,
            output_range=generator.output_range or TANH,
            seed=self.values.seed,
        )
        return self._images

    def _kind(self) -> str:
        size = Path(self.source.path).stat().st_size if Path(self.source.path).is_file() else 0
        told = f" of {size / 1e6:.1f} MB" if size >= 1e6 else f" of {size / 1e3:.0f} kB" if size else ""
        return f"{self.question['kind']}{told}, {1000 * self.seconds:.3g} ms an output"

    def _time(self, generator: Generator) -> None:
        """Measure how long an output takes: alone, and in a batch unless that is a twentieth of the whole time."""
        generator.to(self.context.device)
        latents = first_latents(generator.latent, generator.device or self.context.device, 16)
        with torch.no_grad():
            for n in (1, 1, 16):  # the first call is slower than those after it
                started = time.perf_counter()
                generator.outputs({name: z[:n] for name, z in latents.items()})
                self.seconds = (time.perf_counter() - started) / n
                self.alone = self.seconds if n == 1 else self.alone
                if 16 * self.seconds > 0.05 * self._left():
                    break

    # the laws

    def _left(self) -> float:
        """The seconds that are left."""
        return self._bound.seconds_left

    def _count(self, n: int) -> None:
        """Show the progress of `n` more outputs."""
        if self._watch is not None:
            self._watch.images(n)

    def _asked(self, described: Described, pair: Pair | None) -> Iterator[Asked]:
        """The laws that apply to a model, in the order in which they are checked."""
        generator = described.generator
        with torch.no_grad():
            first = generator.outputs(first_latents(generator.latent, generator.device or self.context.device, 2))
        unit = generator.kind.unit(generator.output_range)
        span = max(float(first.max() - first.min()), 1e-12) if unit is None else unit
        is_row = not generator.images and (first[0].numel() < MANY or not generator.kind.blank_is_wrong)
        least = float(f"{(DUPLICATE if is_row else FLOOR) * span:.2g}")
        laws: dict[str, AnyDefinition] = {"well_formed": well_formed(), "reproducible": reproducible()}
        n_values = first[0, 0].numel() if first.ndim == 4 else first[0].numel() - 2  # a few numbers may well be equal
        if n_values > 1 and generator.kind.blank_is_wrong:
            laws["not_blank"] = not_blank(at_least=FLOOR)
        laws["responsive"] = responsive(at_least=least)
        if not _is_small(generator):
            laws["diverse"] = diverse(at_least=least)
        for label, definition in laws.items():
            seconds = self.alone if label == "reproducible" else self.seconds
            n = int(SHARES[label] * max(self._left(), 0.0) / max(seconds, 1e-6) / IMAGES[label])
            n = max(LEAST[label], min(self.question["examples"] or MOST[label], n))
            yield Asked(label, definition, generator, n)
        for name, part in generator.latent.parts.items():
            if isinstance(part, (Categorical, Condition)) and part.n_values != 1 and len(generator.latent.parts) > 1:
                text = f"whether another value of {name} gives another output of the same latent"
                self._assumptions.append(Assumption("unasked", text, "a test with gentest.differs"))
        if pair is not None:
            within = self.question["within"] or WITHIN
            if self.question["within"] is None and self.question["against"]:
                self._assumptions.append(Assumption("agrees", "within 4/255 of the output range", "--within TOLERANCE"))
            yield Asked("agrees", agrees(within=within), pair, self._points(2))
        if self.question["data"] is not None:
            yield from self._on_images(described)

    def _on_images(self, described: Described) -> Iterator[Asked]:
        """The laws about a folder of images."""
        generator = described.generator
        if not generator.images:
            raise InvalidArgument("--data is a folder of images, and the outputs are not images")
        if described.encode is not None:
            within = self.question["within"] or LOSS
            if self.question["within"] is None:
                text = f"up to a root-mean-square difference of {LOSS:g} of the range"
                self._assumptions.append(Assumption("images", f"come back {text}", "--within 0.05"))
            trip = Generator.round_trip(
                described.encode, generator.function, data=self._data(generator), output_range=generator.output_range
            )
            yield Asked("round_trip", agrees(pixels(), within=within), trip, self._points(2))
        folder = references.reference_of(self.question["data"])
        assert isinstance(folder, references.Folder)
        if len(folder) < LEAST_REFERENCE:
            few = counted(len(folder), "image is", "images are")
            text = f"not checked: {few} too few, and {LEAST_REFERENCE} are enough"
            self._assumptions.append(Assumption("matches", text))
            return
        text = f"within {APART:g} of the data, as MMD^2 of pixels"
        self._assumptions.append(Assumption("matches", text, "a test with gentest.matches"))
        definition = matches(self.question["data"], feature=pixels(), tolerance=APART)
        yield Asked("matches", definition, generator, 1)

    def _points(self, images: int) -> int:
        most: int = self.question["examples"] or 300
        return min(most, max(8, int(0.2 * max(self._left(), 0.0) / max(self.seconds, 1e-6) / images)))

    def _check_all(self, asked: Sequence[Asked]) -> None:
        """Check each law until one makes the others meaningless, or until the time is over."""
        replay = self.question["replay"]
        if replay is not None:
            asked = [each for each in asked if each.label == replay.partition(":")[0]]
            if not asked:
                raise InvalidArgument(f"--replay {replay}: this is not checked on this model")
        for each in asked:
            if self._left() < 0.0:
                self._skipped = self._time_is_over()
                return
            probe = None if replay is None else Probe.parse(replay.partition(":")[2])
            result = self._checked(each, probe)
            self._results = validity.of_a_run([*self._results, result])
            last = each is asked[-1]
            if result.verdict is Verdict.VIOLATED and each.label in FIRST and not last:
                # an error before it says the same in other words
                self._results = [result]
                self._skipped = f"without {LAWS[each.label].test!r} they mean nothing; mend that first"
                return
            if result.verdict is Verdict.ERROR and each.label != FIRST[0] and not last:
                self._skipped = "an error stopped the check"
                return
            if result.shortfall is not None:
                self._skipped = "" if last else self._time_is_over()
                return

    def _time_is_over(self) -> str:
        minutes = self.question["minutes"]
        return f"{minutes:g} {noun(minutes, 'minute is', 'minutes are')} over: give --max-minutes"

    def _checked(self, asked: Asked, probe: Probe | None) -> Result:
        """The result of one law; undecided if its time ends first."""
        law = LAWS[asked.label]
        shows = self.question["report"] is not None and shows_pictures(Path(self.question["report"]))
        question = Question(asked.definition, law.test, asked.label, replay=probe, shows=shows, begins=False)
        values = replace(self.values, examples=asked.examples, time_limit=max(1.0, self._left()))
        progress = stderr()
        with progress or nullcontext(), Watch(law.test, progress) as self._watch:
            result = check(question, asked.subject, self.context, values, watch=self._watch.probes, budget=self._budget)
        self._watch = None
        if result.replay and shows:
            command = f"{self.question['command']} --replay {result.replay}"
            result = replace(result, drawings=replace(result.drawings or Drawings(), command=command))
        return result

    # figures that decide nothing

    def _distance(self, asked: Sequence[Asked]) -> list[str]:
        """How far the model is from its reference on the latent that differs most, and where."""
        found = next((result for result in self._results if result.test == LAWS["agrees"].test), None)
        each = next((each for each in asked if each.label == "agrees"), None)
        if found is None or each is None or found.verdict is Verdict.ERROR or found.smallest_margin is None:
            return []
        within = float(each.definition.arguments["within"])  # type: ignore[arg-type]
        worst, largest = found.worst, within - found.smallest_margin
        if largest < SAME:
            return [f"the outputs are those of the reference up to {SAME:g}, on all {found.examples:,} latents"]
        if worst is None:  # it agrees, so a smaller tolerance names the latent and the place
            values = replace(self.values, examples=each.examples, reduce=0, time_limit=max(1.0, self._left()))
            question = Question(agrees(within=largest * (1.0 - MARGIN)), "", "agrees", begins=False)
            worst = check(question, each.subject, self.context, values, budget=self._budget).worst
        unit = "of the output range" if _has_range(each.subject) else "of the range of 16 samples of the reference"
        place = "" if worst is None or not worst.note else f"; there, {worst.note}"
        replay = "" if worst is None else f" (--replay {worst.replay})"
        most = f"the latent that differs most from the reference{replay} does so by {above(largest, 3)} {unit}"
        return [f"{most}, and {short_figures(str(within))} is allowed{place}"]

    def _information(self, generator: Generator) -> list[str]:
        """The levels of brightness and contrast, and the share of paths along which brightness stays between."""
        try:
            lines = self._levels(generator)
            rate = self._between(generator)
        except GentestError:
            return []
        return [*lines, *([rate] if rate else [])]

    def _levels(self, generator: Generator) -> list[str]:
        subject = self.context.subject(generator)
        scores: dict[Attribute, list[float]] = {brightness(): [], contrast(): []}
        if not _has_colours(self.context, generator):
            return []
        n = max(2, min(LEVELS, int(0.1 * self._left() / max(self.seconds, 1e-6))))
        for evidence in self.context.samples(subject, self.values.seed, 0, n):
            for attribute, own in scores.items():
                own += evidence.scores(attribute)[:, 0].double().tolist()
        own_scores = {describe(attribute).removesuffix("()"): torch.tensor(own) for attribute, own in scores.items()}
        told = [f"{name} {own.mean():.2f} (sd {own.std():.2f})" for name, own in own_scores.items()]
        return [f"mean {', '.join(told)}, of {n} outputs"]

    def _between(self, generator: Generator) -> str:
        """How often brightness stays between its ends along a path; empty if it would take too long."""
        n = int(0.5 * self._left() / max(self.seconds, 1e-6) / 9)
        n = min(n, self.question["examples"] or n)
        if n < PATHS or not _has_colours(self.context, generator):
            return ""
        definition = replace(between(brightness(), tolerance=sd(0.5)), rate=AtRate(0.9))
        values = replace(self.values, examples=PATHS, budget=min(512, n), reduce=0)
        question = Question(definition, "", "between", begins=False)
        result = check(question, generator, self.context, values, budget=self._budget)
        if result.rate is None:
            return ""
        return (
            "along a path between two latents, brightness stays between its ends, give or take half a standard "
            f"deviation, on {facts.rate_interval(result.rate)} of {result.rate.probes} paths"
        )

    # the files

    def _document(self, labels: Sequence[str]) -> Document:
        done = {result.test for result in self._results}
        unchecked = tuple(LAWS[label].test for label in labels if LAWS[label].test not in done) if self._skipped else ()
        generators = {result.generator for result in self._results if result.generator}
        session = Session(
            None,
            generators.pop() if len(generators) == 1 else None,
            None,
            str(self.context.device),
            self.values.seed,
            installed_versions(*VERSIONS),
            command=self.question["command"],
        )
        results = tuple(self._results)
        return Document(session, results, gentest=__version__, unchecked=unchecked, family=Family.of(results))

    def _write(self, document: Document) -> None:
        if self.question["report"] is not None:
            path = Path(self.question["report"])
            write_whole(path, writer_for(path)(document))
        if self.question["json"] is not None:
            document.save(Path(self.question["json"]))


def _is_small(generator: Generator) -> bool:
    """True for a bank of latents too small for 16 of them to differ: the birthday paradox."""
    return any(isinstance(part, Empirical) for part in generator.latent.parts.values())


def _has_range(subject: Generator | Pair) -> bool:
    """True if differences of outputs are shares of a range that is known."""
    generator = subject.reference if isinstance(subject, Pair) else subject
    return generator.limits is not None


def _has_colours(context: Context, generator: Generator) -> bool:
    """True for images of one or three channels."""
    if not generator.images:
        return False
    with torch.no_grad():
        latents = first_latents(generator.latent, generator.device or context.device, 1)
        return generator.outputs(latents).shape[1] in (1, 3)


def answers(
    source: ModelSource, model: Any, given: Given, described: Described, asked: Sequence[Asked]
) -> dict[str, Any]:
    """What the files of `--write` need to know of a model, as `gentest.cli.write_tests.Answers` reads it."""
    generator, function = described.generator, described.generator.function
    form = "numpy" if isinstance(function, OnArrays) else "function"
    form = "autoencoder" if is_autoencoder(model) else "pipeline" if is_pipeline(model) else form
    form = "generator" if isinstance(model, (Generator, Pair)) else form
    template = form if form in ("autoencoder", "pipeline") else "gan" if generator.images else "other"
    decoding = function if isinstance(function, Decoding) else None
    arguments: dict[str, Any] = {}
    if isinstance(function, Pipeline):
        arguments = {("steps" if name == STEPS else name): value for name, value in function.arguments.items()}
    space = generator.base.parts["latents"] if given.prompts else generator.base
    has_own_space = isinstance(space, Empirical) or (form == "pipeline" and not isinstance(generator.base, Joint))
    floors = [each.definition.arguments["at_least"] for each in asked if each.label == "responsive"]
    coded = source.kind in (ModelKind.CODE, ModelKind.WEIGHTS)
    has_key = source.kind is ModelKind.WEIGHTS and not source.path.endswith(".safetensors")
    return {
        "template": "onnx" if template == "gan" and source.kind is ModelKind.ONNX else template,
        "call": call_of(source) if coded else "",
        "form": form,
        "latent": "" if has_own_space else SPACES.sub(r"gentest.\1(", repr(space)),
        "prompts": given.prompts,
        "output_range": generator.output_range or generator.kind.default_range,
        "outputs": "" if generator.kind.has_pixels else f"gentest.{generator.kind!r}",
        "choices": dict(given.choices),
        "call_arguments": arguments,
        "component": type(model).__name__ if source.kind is ModelKind.COMPONENT else "",
        "scale": 1.0 if decoding is None else decoding.scale,
        "shift": 0.0 if decoding is None else decoding.shift,
        "clamps": decoding is not None and decoding.limits is not None,
        "weights_key": state_key(Path(source.path)) if has_key else "",
        "laws": [each.label for each in asked],
        "at_least": floors[0] if floors else FLOOR,
    }
