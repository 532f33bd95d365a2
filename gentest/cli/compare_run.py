"""Load two models and compare their outputs, for `gentest compare`.

The command calls `compare` in a child process, which imports torch and the user's code.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gentest import spaces
from gentest._support import __version__
from gentest._support.files import write_whole
from gentest._support.printable import error_summary
from gentest.attributes import Attribute, brightness, contrast, describe
from gentest.cli.compare import SHARES, Differences, Level, Worst
from gentest.cli.init_model import N, call_facts, latent_shapes, output_facts
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.errors import GentestError, InvalidArgument
from gentest.generators.calling import call_in_own_dtype
from gentest.generators.generator import Generator, Pair
from gentest.generators.modules import modules_of
from gentest.probes.families import points
from gentest.probes.probe import Probe, independent
from gentest.properties.agreement import agrees
from gentest.report import facts, page
from gentest.report.numbers import above
from gentest.report.progress import Watch, stderr
from gentest.results.document import Document, Session, installed_versions
from gentest.results.records import unpack
from gentest.results.result import Attack, Result, Verdict
from gentest.results.settings import Values, settings

LEAST = 2e-4
"""The smallest tolerance that is used if none is given. Below it the engine would evaluate each latent alone, since
rounding could decide."""
MARGIN = 1e-3
"""Share by which a tolerance lies above the largest difference so far, so that rounding does not decide on that."""
VERSIONS = ("torch", "numpy", "hypothesis")
Model = Callable[..., Any]


class JudgingFailed(GentestError):
    """An error while outputs were made or judged: nothing was decided."""


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


@contextmanager
def _naming(model: Mapping[str, Any]) -> Iterator[None]:
    """Turn any error of loading or calling a model into one that names the model."""
    try:
        yield
    except GentestError as error:
        raise InvalidArgument(f"{model['name']}: {error}") from error
    except (Exception, SystemExit) as error:  # other people's files and code raise anything
        raise InvalidArgument(f"{model['name']}: {error_summary(error)}") from error


def load_pair(question: Mapping[str, Any]) -> Pair:
    """The candidate against the reference. Raises `InvalidArgument`, which names the model that is wrong.

    A `gentest.Generator` knows its latent space and its outputs, and so tells those of a model on the other side. Other
    facts are given, or read from the models.
    """
    models = [question["reference"], question["candidate"]]
    loaded: list[Any] = []
    for model in models:
        with _naming(model):
            loaded.append(_load(model))
    known = next((made for made in loaded if isinstance(made, Generator)), None)
    if known is not None and (question["output_range"] is not None or not question["images"]):
        raise InvalidArgument("a gentest.Generator declares its outputs: leave out --output-range and --no-images")
    space = _given_space(question)
    generators: list[Generator] = []
    for model, made in zip(models, loaded, strict=True):
        with _naming(model):
            if isinstance(made, Generator):
                generators.append(made)
                continue
            own = space or (known.latent if known else None) or space_of(made)
            like = known or (generators[0] if generators else None)
            generators.append(_generator(made, own, like, question))
    reference, candidate = generators
    if space is not None and known is not None and repr(known.latent) != repr(space):
        raise InvalidArgument(f"--latent says {space!r}, and a gentest.Generator has {known.latent!r}: leave it out")
    return candidate.against(reference)


def _load(model: Mapping[str, Any]) -> Any:
    """The model in a file, or the one that a function gives."""
    if model["kind"] == "onnx":
        from gentest.generators.onnx import OnnxModel

        return OnnxModel(model["file"])
    if model["kind"] in ("torchscript", "exported"):
        from gentest.generators.torchscript import exported, scripted

        return scripted(model["file"]) if model["kind"] == "torchscript" else exported(model["file"])
    sys.path[:0] = [folder for folder in model["path"] if folder not in sys.path]
    make = getattr(importlib.import_module(model["module"]), model["function"])
    if isinstance(make, (Generator, nn.Module)):
        return make
    inspect.signature(make).bind()  # raises TypeError, which names an argument without a default
    made = make()
    if not callable(getattr(made, "function", made)):
        raise InvalidArgument(f"gave a {type(made).__name__}; expected a gentest.Generator, an nn.Module or a callable")
    return made


def _given_space(question: Mapping[str, Any]) -> spaces.Space | None:
    """The latent space that `--latent` and `--labels` say, if they do."""
    if question["latent"] is None:
        return None
    named = question["latent"]
    space: spaces.Part = getattr(spaces, named["space"])(tuple(named["shape"]), **named["bounds"])
    labels = question["labels"]
    return space if labels is None else spaces.Joint(z=space, label=spaces.Categorical(labels))


def space_of(model: Model) -> spaces.Space:
    """The normal latent space that a model takes. Raises `InvalidArgument` if the model does not tell."""
    from gentest.generators.onnx import OnnxModel
    from gentest.generators.torchscript import Exported, inputs_of

    if isinstance(model, OnnxModel):
        for value in model.inputs:
            if not value.dtype.startswith("float") or len(value.shape) < 2 or None in value.shape[1:]:
                raise InvalidArgument(f"its input {value} does not tell the latent space: give --latent (and --labels)")
        normals = {value.name: spaces.Normal([size or 1 for size in value.shape[1:]]) for value in model.inputs}
        return next(iter(normals.values())) if len(normals) == 1 else spaces.Joint(**normals)
    if isinstance(model, Exported):
        inputs = inputs_of(model.program)
        if len(inputs) != 1 or not inputs[0].is_floating_point() or inputs[0].ndim < 2:
            raise InvalidArgument("its inputs do not tell the latent space: give --latent (and --labels)")
        return spaces.Normal([int(size) for size in inputs[0].shape[1:]])
    told = call_facts(model, latent_shapes(model))
    if "latent" not in told:
        raise InvalidArgument(f"it does not tell its latent space: give --latent ({told['error']})")
    return spaces.Normal(told["latent"])


def _generator(model: Model, space: spaces.Space, like: Generator | None, question: Mapping[str, Any]) -> Generator:
    """The model as a generator. Its outputs are as the command says, as on the other side, or as 16 of them look."""
    from gentest.generators.onnx import OnnxModel

    if isinstance(model, OnnxModel):
        model.check(space, {})
    given = question["output_range"]
    if like is not None:
        return Generator(model, latent=space, output_range=like.output_range, noise=like.noise, images=like.images)
    images = question["images"]
    if images:
        told = _output_facts(model, space)
        if "output" not in told:
            raise InvalidArgument(told["error"])
        images = told["images"]
        if images and given is None and told["range"] is None:
            bounds = f"[{told['low']:.3g}, {told['high']:.3g}]"
            raise InvalidArgument(
                f"16 outputs lie within {bounds}, which is none of the usual ranges: give --output-range"
            )
        given = given or (told["range"] if images else None)
    return Generator(model, latent=space, output_range=None if given is None else tuple(given), images=images)


def _output_facts(model: Model, space: spaces.Space) -> dict[str, Any]:
    """Facts about outputs of the first independent latents."""
    latents = _latents(space, torch.device("cpu"), N)
    sizes = {name or "z": tuple(z.shape) for name, z in latents.items()}

    def call(dtype: torch.dtype | None) -> Any:
        cast = {name: z.to(dtype or z.dtype, copy=True) if z.is_floating_point() else z for name, z in latents.items()}
        return model(cast[""]) if list(cast) == [""] else model(**cast)

    with torch.no_grad():
        return output_facts(call_in_own_dtype(call, modules_of(model)), sizes)


def _latents(space: spaces.Space, device: torch.device, n: int) -> dict[str, Tensor]:
    """The first `n` independent latents of a space by part, each [n, *shape]."""
    placed = points().place(space, independent(0, 0, n))
    return {name: torch.from_numpy(latents[:, 0]).to(device) for name, latents in placed.items()}


def _check_shapes(pair: Pair, context: Context, question: Mapping[str, Any]) -> None:
    """Raises `InvalidArgument` unless both sides take the latents, and give outputs of one shape."""
    shapes = []
    for side, generator in (("candidate", pair.candidate), ("reference", pair.reference)):
        with _naming(question[side]), torch.no_grad():
            generator.to(context.device)
            outputs = generator.outputs(_latents(generator.latent, generator.device or context.device, 2))
        shapes.append(list(outputs.shape[1:]))
    if shapes[0] != shapes[1]:
        raise InvalidArgument(f"the candidate makes outputs {shapes[0]} and the reference {shapes[1]}")


# the comparison


@dataclass(frozen=True)
class Sampled:
    """The differences and scores of independent latents of the prior."""

    differences: np.ndarray[Any, np.dtype[np.float64]]
    """Float [n]."""
    levels: tuple[Level, ...]
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

        Without a tolerance, the check asks for a larger difference than any that was found before.
        """
        try:
            sampled = self._sample()
        except GentestError as error:
            raise JudgingFailed(str(error)) from error
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
            result = self._check(tolerance, self.values, stored=(probe,), shows=True)
        if result.worst is not None and tolerance - result.worst.margin > worst:
            probe, worst = Probe.from_json(result.worst.probe), tolerance - result.worst.margin
            source = "the search" if result.attack is None else "the attack"
        replayed = self._check(tolerance if worst > tolerance else 0.0, self.values, replay=probe)
        shown = replayed.counterexample
        differences = Differences(
            space=repr(self.pair.latent),
            outputs=self._describe_outputs(sampled.shape),
            unit=self._describe_unit(),
            n=len(sampled.differences),
            searched=result.examples,
            quantiles=tuple(float(q) for q in np.quantile(sampled.differences, SHARES, method="higher")),
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
            images=-(-self.context.meter.images // 2),
            seconds=0.0,
        )
        return differences, result

    def _sample(self) -> Sampled:
        """The differences and levels of the seed's first independent latents."""
        subject = self.context.subject(self.pair)
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
        levels = tuple(_level(name, *both) for name, both in scores.items())
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
            raise JudgingFailed(result.message)
        if result.drawings is None or result.counterexample is None:
            return result
        command = f"gentest.agrees(within={within}).replay(pair, {result.counterexample.replay!r})"
        return replace(result, drawings=replace(result.drawings, command=command))

    def _describe_outputs(self, shape: tuple[int, ...]) -> str:
        kind = "images" if self.pair.images else "values"
        bounds = self.pair.reference.output_range or ((-1.0, 1.0) if self.pair.images else None)
        within = "" if bounds is None else f" in [{bounds[0]:g}, {bounds[1]:g}]"
        return f"{kind} {list(shape)}{within}"

    def _describe_unit(self) -> str:
        if self.pair.images or self.pair.reference.output_range is not None:
            return "as a share of the output range"
        return "as a share of the range of 16 samples of the reference"


def _above(difference: float) -> float:
    """A tolerance that a difference does not reach, nor rounding near it."""
    return max(LEAST, difference * (1.0 + MARGIN))


def _describe_attack(attack: Attack, tolerance: float) -> str:
    """The largest difference that an attack reached, or the reason why there was none."""
    if attack.message:
        return f"did not start: {attack.message}"
    reached = above(tolerance - attack.least, 3)
    return f"reached a difference of {reached} ({attack.method}, {attack.probes:,} latents)"


def _level(name: str, candidate: list[float], reference: list[float]) -> Level:
    own, other = float(np.mean(candidate)), float(np.mean(reference))
    spread = float(np.std(reference, ddof=1)) if len(reference) > 1 else 0.0
    return Level(name, reference=other, candidate=own, shift=(own - other) / spread if spread > 0.0 else None)


def _write_page(path: Path, result: Result, context: Context, values: Values) -> None:
    """Write the page that a run of this one check would write. Raises `OSError`."""
    session = Session(None, result.generator, None, str(context.device), values.seed, installed_versions(*VERSIONS))
    document = Document(session, (replace(result, sample=None),), gentest=__version__)
    write_whole(path, page.page(document))
