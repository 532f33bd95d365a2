"""Find out what a model takes and gives, by looking at it and calling it: its latent space, its labels, its outputs.

It runs in a child process, which imports torch. Each guess becomes an `Assumption`, which says what it rests on and
which option changes it. `gentest check` and `gentest compare` share this module.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gentest import outputs, spaces
from gentest._support.printable import error_summary
from gentest.cli.model_loading import LATENT_NAMES, is_autoencoder, is_pipeline
from gentest.cli.model_options import Given, NamedKind, NamedSpace
from gentest.errors import InvalidArgument, WrongOutputs
from gentest.generators.calling import OnArrays, call_in_own_dtype, inputs_on
from gentest.generators.generator import Generator
from gentest.generators.modules import modules_of, to_eval_mode
from gentest.outputs import Arrays, Kind
from gentest.outputs.returned import BYTES, MAX_CHANNELS, TANH, Returned, read_images, read_values

N = 16
"""Number of latents that a model is called with."""
UNIT = (0.0, 1.0)
RANGES = (TANH, UNIT, BYTES)
"""Ranges that images usually have."""
_UNBOUNDED = "--outputs arrays if they have no range, or --range LOW,HIGH"
"""The options for outputs beyond the usual ranges. It names no numbers: a few outputs do not show the range of all."""
SLACK = 1e-3
"""Share of a range by which outputs may leave it."""
MOST_UNIT = 16.0
"""Images whose largest value is above this have the range of bytes."""
OVERSHOOT = 0.25
"""Share of its range by which an autoencoder's decoder may leave it: diffusers clamps there."""
SIZES = ("latent_dim", "latent_size", "z_dim", "nz", "dim_z", "latent_channels", "noise_dim")
"""The names under which modules keep the number of their latents."""
LABELS = ("label", "labels", "y", "c", "cls", "classes", "class_label", "class_labels", "class_idx", "condition")
"""The names of parameters that take a label."""
MOST_LABELS = 1024
"""More labels than these are not looked for."""
USUAL_STEPS = 20
PROMPT = "a photograph"
"""The prompt of a text-to-image pipeline if none is given."""
Model = Callable[..., Any]
Shape = tuple[int, ...]
Shapes = list[Shape]


@dataclass(frozen=True)
class Assumption:
    """A guess about a model: the fact, its evidence, and the option that changes it."""

    about: str
    """One word: latents, labels, outputs."""
    text: str
    option: str = ""
    """As a user writes it: `--latent uniform:128`."""


@dataclass(frozen=True)
class Described:
    """A model as a generator, with everything that was assumed."""

    generator: Generator
    assumptions: tuple[Assumption, ...] = ()
    encode: Model | None = None
    """The encoder of an autoencoder, from images in the generator's range."""


@dataclass(frozen=True)
class ModelInput:
    """An input of a model."""

    name: str
    is_label: bool = False
    shape: Sequence[int | None] | None = None
    """The shape of one, without the batch; None if it is not declared."""


def describe_model(
    model: Any,
    given: Given,
    *,
    like: Generator | None = None,
    space: spaces.Space | None = None,
    guesses_range: bool = True,
) -> Described:
    """The model as a generator, from what the user says of it and what it tells itself.

    `like` is a generator that does the same, whose outputs tell those of the model, and `space` is the latent space if
    that is known. Without `guesses_range`, images beyond the usual ranges are an error. Raises `InvalidArgument` with
    the option to give if something stays unknown.
    """
    if given.prompts and not is_pipeline(model):
        raise InvalidArgument(
            "--prompts is for a text-to-image pipeline of diffusers; for another model write a function that returns "
            "gentest.Generator(model, latent=gentest.Joint(z=..., prompt=gentest.Prompts.from_file(...)))"
        )
    if isinstance(model, Generator):
        return Described(_with_choices(_unchanged(model, given), given))
    if is_pipeline(model):
        described = _pipeline(model, given)
    elif is_autoencoder(model):
        described = _autoencoder(model, given)
    else:
        described = _function(model, given, like, known=space, guesses_range=guesses_range)
    return replace(described, generator=_with_choices(described.generator, given))


def _unchanged(generator: Generator, given: Given) -> Generator:
    asked = (("--labels", given.labels), ("--range", given.output_range), ("--steps", given.steps))
    for option, value in (*asked, ("--outputs and --no-images", given.outputs)):
        if value is not None:
            raise InvalidArgument(f"a gentest.Generator declares its space and outputs: leave out {option}")
    if given.latent is not None and repr(generator.latent) != repr(_part(given.latent)):
        raise InvalidArgument(
            f"--latent says {_part(given.latent)!r}, and a gentest.Generator has {generator.latent!r}: leave it out"
        )
    return generator


def _with_choices(generator: Generator, given: Given) -> Generator:
    return generator.given(**given.choices) if given.choices else generator


def kind_of(named: NamedKind) -> Kind:
    """The kind of outputs that `--outputs` names."""
    kind: Kind = getattr(outputs, named.kind)(**named.arguments)
    return kind


def _part(named: NamedSpace) -> spaces.Part:
    part: spaces.Part = getattr(spaces, named.space)(named.shape, **named.bounds)
    return part


# pipelines


def _pipeline(pipeline: Any, given: Given) -> Described:
    """A diffusers pipeline as a function of its initial noise, and of its prompt or label."""
    from gentest.generators.diffusers import LATENTS, initial_noise

    if given.output_range is not None or given.outputs is not None:
        raise InvalidArgument("a diffusers pipeline declares its outputs: leave out --range and --outputs")
    takes = inspect.signature(type(pipeline).__call__).parameters
    try:
        noise: Any = initial_noise(pipeline) if given.latent is None else _part(given.latent)
    except InvalidArgument as error:
        raise InvalidArgument(
            "its config does not tell the shape of its initial noise: give --latent normal:CHANNELS,HEIGHT,WIDTH"
        ) from error
    assumptions = []
    if given.latent is None:
        assumptions.append(
            Assumption("latents", f"{noise!r}, the noise that its config declares", "--latent normal:4,64,64")
        )
    parts: dict[str, Any] = {LATENTS: noise}
    arguments: dict[str, Any] = {}
    if "class_labels" in takes and (count := given.labels or _config_labels(pipeline)):
        parts["class_labels"] = spaces.Categorical(count)
        if given.labels is None:
            assumptions.append(Assumption("labels", f"{count}, as its config says", f"--labels {count}"))
    if given.prompts and "prompt" not in takes:
        raise InvalidArgument(f"--prompts: a {type(pipeline).__name__} takes no prompt")
    if given.prompts:
        parts["prompt"] = spaces.Prompts.from_file(given.prompts)
    elif "prompt" in takes:
        arguments["prompt"] = PROMPT
        assumptions.append(Assumption("prompt", f"{PROMPT!r} for every image", "--prompts FILE"))
    steps = given.steps
    default = getattr(takes.get("num_inference_steps"), "default", None)
    if steps is None and isinstance(default, int) and default > USUAL_STEPS:
        steps = USUAL_STEPS
        assumptions.append(
            Assumption("steps", f"{steps} of denoising, to be quick; its default is {default}", f"--steps {default}")
        )
    space = noise if len(parts) == 1 else spaces.Joint(**parts)
    made = Generator.from_diffusers(pipeline, latent=space, steps=steps, **arguments)
    return Described(made, tuple(assumptions))


def _config_labels(pipeline: Any) -> int | None:
    """The number of labels that a pipeline's denoiser declares; None if it has none."""
    for name in ("unet", "transformer"):
        config = getattr(getattr(pipeline, name, None), "config", None)
        for key in ("num_class_embeds", "num_embeds_ada_norm"):
            count = getattr(config, key, None)
            if isinstance(count, int) and count > 1:
                return count
    return None


# autoencoders


@dataclass(frozen=True)
class Decoding:
    """An autoencoder's decoder as a function of scaled latents, clamped as diffusers clamps it if `limits` says so."""

    decode: Model
    scale: float = 1.0
    shift: float = 0.0
    limits: tuple[float, float] | None = None

    def __call__(self, z: Tensor) -> Tensor:
        z = z / self.scale + self.shift
        sizes = {"z": tuple(z.shape)}
        x = read_values(self.decode(z), len(z), sizes).values
        return x if self.limits is None else x.clamp(*self.limits)


@dataclass(frozen=True)
class Encoding:
    """An autoencoder's encoder, to the scaled latents of `Decoding`."""

    encode: Model
    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        from gentest.generators.autoencoder import latents_in

        return (latents_in(self.encode(x), len(x)) - self.shift) * self.scale


def _autoencoder(model: Any, given: Given) -> Described:
    """An autoencoder's decoder on latents of the scale that its config declares."""
    config = getattr(model, "config", None)
    scale = _number(getattr(config, "scaling_factor", None), 1.0)
    shift = _number(getattr(config, "shift_factor", None), 0.0)
    decoding = Decoding(model.decode, scale, shift)
    named, assumptions = given, []
    if given.latent is None and (shape := _config_latent(config)):
        named = replace(given, latent=NamedSpace("Normal", shape, {}))
        text = f"Normal({list(shape)}), as its config says" + (
            f", divided by scaling_factor {scale:g}" if scale != 1.0 else ""
        )
        assumptions.append(Assumption("latents", text, f"--latent normal:{','.join(map(str, shape))}"))
    described = _function(decoding, named, None, weights_of=getattr(model, "decoder", model))
    generator, output_range = described.generator, given.output_range
    if output_range is None and generator.images and hasattr(model, "config") and _range_of(generator) == TANH:
        # as diffusers' image processor does
        low, high = _bounds(generator)
        if not (TANH[0] <= low and high <= TANH[1]) and max(TANH[0] - low, high - TANH[1]) <= OVERSHOOT * 2.0:
            clamped = replace(decoding, limits=TANH)
            generator = Generator(clamped, latent=generator.latent, output_range=TANH)
            assumptions.append(
                Assumption(
                    "outputs",
                    f"clamped to [-1, 1], as diffusers does: {N} of them lie within [{low:.3g}, {high:.3g}]",
                    "--range LOW,HIGH",
                )
            )
            described = replace(described, assumptions=tuple(a for a in described.assumptions if a.about != "outputs"))
    return Described(generator, (*assumptions, *described.assumptions), Encoding(model.encode, scale, shift))


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def _config_latent(config: Any) -> Shape | None:
    """The shape of an autoencoder's latents by its config; None if the config does not say."""
    channels, size = getattr(config, "latent_channels", None), getattr(config, "sample_size", None)
    blocks = getattr(config, "block_out_channels", None)
    if not isinstance(channels, int) or not isinstance(size, int) or not isinstance(blocks, (list, tuple)):
        return None
    side = max(1, size // 2 ** (len(blocks) - 1))
    return channels, side, side


def _range_of(generator: Generator) -> tuple[float, float]:
    return generator.output_range or TANH


def _bounds(generator: Generator) -> tuple[float, float]:
    """The smallest and the largest value of the first outputs, in their own units."""
    low, high = _range_of(generator)
    latents = first_latents(generator.latent, torch.device("cpu"), N)
    with torch.no_grad():
        x = generator.outputs(latents)
    x = x[x.isfinite()]
    return (low + float(x.min()) * (high - low), low + float(x.max()) * (high - low)) if len(x) else (low, high)


# functions of latents


def _function(
    model: Model,
    given: Given,
    like: Generator | None,
    *,
    known: spaces.Space | None = None,
    guesses_range: bool = True,
    weights_of: Any = None,
) -> Described:
    """A function of latents, and perhaps of a label."""
    weights = model if weights_of is None else weights_of
    inputs = inputs_of_model(model)
    latent_input, label_input = _roles(inputs, given, has_embedding=len(_embeddings(weights)) == 1)
    assumptions: list[Assumption] = []
    space: spaces.Space
    if known is not None:
        space = known
    elif len(inputs) > 1 and latent_input is None:
        space = _joint_of(inputs)
        assumptions.append(Assumption("latents", f"{space!r}, as its inputs say", "--latent normal:128"))
    else:
        called: Model = model
        label = None if label_input is None else label_input.name
        shapes = [given.latent.shape] if given.latent else _declared(latent_input) or latent_shapes(weights)
        name = None if latent_input is None else latent_input.name
        kind = Arrays() if given.outputs is None else kind_of(given.outputs)
        shape, called = _accepted(called, shapes, name, label, weights, is_given=given.latent is not None, kind=kind)
        if called is not model:
            model = called
            assumptions.append(Assumption("latents", "NumPy arrays: it does not take tensors"))
        part = spaces.Normal(shape) if given.latent is None else _part(given.latent)
        if given.latent is None:
            evidence = f"{part!r}, since it takes {_sizes([N, *shape])}; the prior is a guess"
            assumptions.append(Assumption("latents", evidence, f"--latent uniform:{','.join(map(str, shape))}:-1:1"))
        space = part
        if label is not None:
            count, why = (given.labels, "") if given.labels else count_labels(model, part, latent_input, label, weights)
            space = spaces.Joint(**{latent_input.name if latent_input else "z": part, label: spaces.Categorical(count)})
            if why:
                assumptions.append(Assumption("labels", f"{label} is one of {count}: {why}", f"--labels {count}"))
    return _outputs(model, space, given, like, assumptions, guesses_range=guesses_range)


def _outputs(
    model: Model,
    space: spaces.Space,
    given: Given,
    like: Generator | None,
    assumptions: list[Assumption],
    *,
    guesses_range: bool,
) -> Described:
    """The generator of a function with a known latent space: its outputs as given, as `like` has them, or as seen."""
    from gentest.generators.onnx import OnnxModel

    if isinstance(model, OnnxModel):
        model.check(space, {})
    if like is not None:
        made = Generator(model, latent=space, output_range=like.output_range, noise=like.noise, outputs=like.kind)
        return Described(made, tuple(assumptions))
    kind = None if given.outputs is None else kind_of(given.outputs)
    if kind is not None and not kind.has_pixels:
        made = Generator(model, latent=space, output_range=given.output_range, outputs=kind)
        return Described(made, tuple(assumptions))
    facts = output_facts(*_first_outputs(model, space))
    many = facts.images and facts.shape[0] > MAX_CHANNELS
    if not facts.images or (many and kind is None):
        text = f"not images: for {N} latents it gives {_sizes([N, *facts.shape])}"
        if many:
            text += f", and images have at most {MAX_CHANNELS} channels"
        assumptions.append(Assumption("outputs", text, "--outputs images" if many else ""))
        made = Generator(model, latent=space, output_range=given.output_range, outputs=Arrays())
        return Described(made, tuple(assumptions))
    output_range = given.output_range or facts.usual
    within = f"{N} of them lie within [{facts.low:.3g}, {facts.high:.3g}]"
    if output_range is None:
        if not guesses_range:
            raise InvalidArgument(
                f"{N} outputs lie within [{facts.low:.3g}, {facts.high:.3g}], which is none of the usual "
                f"ranges of images: give {_UNBOUNDED}"
            )
        output_range = nearest_range(facts.low, facts.high)
        within += ", which is none of the usual ranges"
    if given.output_range is None:
        low, high = output_range
        option = "--range 0,1" if output_range == TANH else "--range -1,1"
        if not facts.usual:
            option = _UNBOUNDED
        elif facts.shape[0] == 1:
            option += ", or --outputs arrays if they are not images"
        text = f"images {_sizes(facts.shape)} in [{low:g}, {high:g}]: {within}"
        assumptions.append(Assumption("outputs", text, option))
    return Described(Generator(model, latent=space, output_range=output_range), tuple(assumptions))


def inputs_of_model(model: Any) -> list[ModelInput]:
    """The inputs that a model must be given, in order; empty if it does not tell."""
    from gentest.generators.onnx import OnnxModel
    from gentest.generators.torchscript import Exported, input_names, inputs_of

    if isinstance(model, OnnxModel):
        return [
            ModelInput(
                value.name, is_label=not value.dtype.startswith("float"), shape=value.shape[1:] if value.shape else None
            )
            for value in model.inputs
        ]
    if isinstance(model, Exported):
        pairs = zip(input_names(model.program), inputs_of(model.program), strict=True)
        return [
            ModelInput(
                name, not value.is_floating_point(), [s if isinstance(s, int) else None for s in value.shape[1:]]
            )
            for name, value in pairs
        ]
    if isinstance(model, torch.jit.ScriptModule):
        schema = model.forward.schema  # type: ignore[attr-defined]
        arguments = [a for a in schema.arguments if a.name != "self" and not a.has_default_value()]
        return [ModelInput(a.name, is_label=a.name.lower() in LABELS) for a in arguments]
    function = model.forward if isinstance(model, nn.Module) else model
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.KEYWORD_ONLY)
    needed = [p for p in parameters if p.default is p.empty and p.kind in plain]
    return [ModelInput(p.name, is_label=p.name.lower() in LABELS) for p in needed]


def _roles(
    inputs: Sequence[ModelInput], given: Given, *, has_embedding: bool
) -> tuple[ModelInput | None, ModelInput | None]:
    """The input that is the latent, and the one that is a label; None for one that there is not.

    With `--labels` the second of two inputs is the label, whatever its name. So it is without if the first has the name
    of a latent, and the model has one embedding, since only a label could go into that.
    """
    if not inputs:
        return (ModelInput("z"), ModelInput("label", is_label=True)) if given.labels else (None, None)
    if len(inputs) == 1:
        if given.labels:
            raise InvalidArgument(f"--labels {given.labels}: it takes one input, {inputs[0].name}, and no label")
        return inputs[0], None
    if len(inputs) == 2:
        labels = [one for one in inputs if one.is_label]
        if len(labels) == 1 and (labels[0].shape is None or len(labels[0].shape) == 0):
            (latent,) = [one for one in inputs if one is not labels[0]]
            return latent, labels[0]
        declares = any(one.shape is not None for one in inputs)
        if given.labels or (has_embedding and not declares and inputs[0].name.lower() in LATENT_NAMES):
            return inputs[0], inputs[1]
    return None, None


def _joint_of(inputs: Sequence[ModelInput]) -> spaces.Space:
    """The space of several inputs that all declare their shapes. Raises `InvalidArgument` if one does not."""
    parts: dict[str, spaces.Part] = {}
    for one in inputs:
        if one.is_label or not one.shape or None in one.shape:
            names, two = ", ".join(each.name for each in inputs), len(inputs) == 2
            raise InvalidArgument(
                f"it takes {names}, and gentest does not know what they are: "
                + (f"if {inputs[1].name} is a label, give --labels N, the number of labels; else " if two else "")
                + "write a function that returns gentest.Generator(model, latent=gentest.Joint(...)), and give "
                "MODULE:NAME"
            )
        parts[one.name] = spaces.Normal([size for size in one.shape if size is not None])
    return spaces.Joint(**parts)


def _declared(one: ModelInput | None) -> Shapes:
    """The shape that an input declares, if it does."""
    if one is None or not one.shape:
        return []
    if None in one.shape[:1]:
        raise InvalidArgument(f"its input {one.name!r} does not tell the latent space: give --latent (and --labels)")
    return [tuple(size or 1 for size in one.shape)]


def latent_shapes(model: Any) -> Shapes:
    """The shapes of latents that a model may take, by its first weight and by the sizes that it keeps."""
    modules = [to_eval_mode(module) for module in modules_of(model)]
    embeddings = set(map(id, _embeddings(model)))
    shapes = {
        f"{i}.{name}": tuple(t.shape)
        for i, module in enumerate(modules)
        for name, t in module.state_dict(keep_vars=True).items()
        if id(t) not in embeddings
    }
    guess = guess_latent(shapes)
    sizes = [getattr(module, name, None) for module in modules for name in SIZES]
    kept: Shapes = [(size,) for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0]
    return list(dict.fromkeys([*([] if guess is None else [guess[0]]), *kept]))


def _embeddings(model: Any) -> list[Tensor]:
    """The weights of a model's embeddings, each [labels, width]."""
    parts: list[Any] = [part for module in modules_of(model) for part in module.modules()]
    kinds = [getattr(part, "original_name", type(part).__name__) for part in parts]  # TorchScript hides the class
    return [part.weight for part, kind in zip(parts, kinds, strict=True) if kind == "Embedding"]


def guess_latent(shapes: Mapping[str, Sequence[int]]) -> tuple[Shape, str] | None:
    """The shape of the latent that the first of these weights takes, and that weight's name; None if none fits.

    >>> guess_latent({"0.weight": (100, 512, 4, 4), "1.weight": (512,), "3.weight": (512, 3, 4, 4)})
    ((100, 1, 1), '0.weight')
    >>> guess_latent({"0.weight": (256, 64), "2.weight": (3, 256)})
    ((64,), '0.weight')
    """
    wide = [(name, tuple(shape)) for name, shape in shapes.items() if len(shape) in (2, 4)]
    if not wide:
        return None
    (name, first), later = wide[0], [shape for _, shape in wide[1:] if len(shape) == 4]
    if len(first) == 2:
        return (first[1],), name
    transposed = first[1] == later[0][0] if later else first[1] in (1, 3)  # [in, out, h, w]; else [out, in, h, w]
    return (first[0 if transposed else 1], 1, 1), name


def _accepted(
    model: Model,
    shapes: Shapes,
    latent: str | None,
    label: str | None,
    weights: Any,
    *,
    is_given: bool,
    kind: Kind,
) -> tuple[Shape, Model]:
    """The first of some shapes that a model takes, as a tensor or as an array, and the model that takes it.

    Raises `InvalidArgument` if it takes none.
    """
    forms = list(shapes) if is_given else list(dict.fromkeys(f for s in shapes for f in (s, s[:1], (*s[:1], 1, 1))))
    if label is not None and not is_given:
        # the first weight takes the latent and the label's code together: its embedding, or one-hot
        widths = dict.fromkeys([*(e.shape[1] for e in _embeddings(weights)), *range(1, MOST_LABELS)])
        forms += [(form[0] - width, *form[1:]) for form in forms for width in widths if form[0] > width]
    first_error = ""
    for form in forms:
        z = torch.randn(N, *form, generator=torch.Generator().manual_seed(0))
        batch = _batch(z, latent, label)
        for called in (model, OnArrays(model)):
            try:
                with silent_stderr():
                    raw = call(called, batch)
                kind.read(raw, N, {"z": tuple(z.shape)}, None)
            except Exception as error:  # the next shape may fit
                first_error = first_error or error_summary(error)
                continue
            return form, called
    if is_given:
        raise InvalidArgument(f"it does not take latents {_sizes([N, *forms[0]])}, as --latent says: {first_error}")
    why = first_error or "no weight and no input says its shape"
    raise InvalidArgument(f"it does not tell its latent space: give --latent, such as --latent normal:128 ({why})")


def _batch(z: Tensor, latent: str | None, label: str | None) -> dict[str, Tensor]:
    """The inputs of a call: one without a name, or the latent and a label by name."""
    if label is None:
        return {"": z}
    return {latent or "z": z, label: torch.zeros(len(z), dtype=torch.int64)}


def call(model: Model, batch: Mapping[str, Tensor]) -> Any:
    """What a model gives for a batch, as a run calls it: by position, or by the names of its inputs."""

    def in_dtype(dtype: torch.dtype | None) -> Any:
        cast = {name: z.to(dtype or z.dtype, copy=True) if z.is_floating_point() else z for name, z in batch.items()}
        return model(cast[""]) if list(cast) == [""] else model(**cast)

    with torch.no_grad():
        return call_in_own_dtype(in_dtype, modules_of(model))


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what native code writes to standard error nowhere: calls that may fail are no news."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def count_labels(
    model: Model, part: spaces.Part, latent: ModelInput | None, label: str, weights: Any
) -> tuple[int, str]:
    """The number of labels that a model takes, and the evidence: an embedding, or the first label that it refuses."""
    embeddings = _embeddings(weights)
    if embeddings and len(embeddings[0]) > 1:
        return len(embeddings[0]), "it embeds as many"
    z = torch.from_numpy(np.zeros((1, *part.shape), np.float32))
    name = latent.name if latent is not None else "z"

    def takes(value: int) -> bool:
        try:
            with silent_stderr():  # ONNX Runtime prints each error
                call(model, {name: z, label: torch.tensor([value])})
        except Exception:  # a model refuses a label by raising anything
            return False
        return True

    high = 1
    while high < MOST_LABELS and takes(high):
        high *= 2
    if high >= MOST_LABELS:
        return 10, "it takes any number, so ten are a guess"
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if takes(middle) else (low, middle)
    if high < 2:
        raise InvalidArgument(f"it takes {label!r}, and refuses label 1: give --labels, the number of labels")
    return high, f"it refuses label {high}"


# outputs


@dataclass(frozen=True)
class OutputFacts:
    """The outputs of a model, as the first of them look."""

    shape: Shape
    """The shape of one output."""
    images: bool
    """False if they cannot be images."""
    low: float
    high: float
    usual: tuple[float, float] | None
    """The usual range that the finite values lie in, if there is one."""


def _first_outputs(model: Model, space: spaces.Space) -> tuple[Any, dict[str, Shape]]:
    latents = first_latents(space, torch.device("cpu"), N)
    return call(model, latents), {name or "z": tuple(z.shape) for name, z in latents.items()}


def first_latents(space: spaces.Space, device: torch.device, n: int) -> dict[str, Any]:
    """What f receives for the first `n` independent latents of a space, by part: tensors [n, *shape], or n values."""
    from gentest.probes.families import points
    from gentest.probes.probe import independent

    placed = points().place(space, independent(0, 0, n))
    return dict(inputs_on(device, space, {name: latents[:, 0] for name, latents in placed.items()}))


def output_facts(raw: Any, sizes: Mapping[str, Shape]) -> OutputFacts:
    """Facts about a model's outputs, read as a run reads them: as images, or else as outputs of another kind.

    Raises `WrongOutputs` with the code to write if they are neither.
    """
    images, read = True, None
    try:
        read = read_images(raw, N, sizes)
    except WrongOutputs:
        images, read = False, _values_instead(raw, sizes)
        if read is None:
            raise
    values = read.values.detach()
    shape = tuple(values.shape[1:])
    finite = values[values.isfinite()] if values.is_floating_point() else values
    if not finite.numel():
        return OutputFacts(shape, images, float("nan"), float("nan"), None)
    low, high = float(finite.min()), float(finite.max())
    ranges = (BYTES,) if read.pixels or values.dtype == torch.uint8 else RANGES
    usual = next((r for r in ranges if _lies_within(low, high, r)), None)
    return OutputFacts(shape, images, low, high, usual)


def _values_instead(raw: Any, sizes: Mapping[str, Shape]) -> Returned | None:
    """Outputs that are not images; None for images that are wrong in one thing, which the first error names."""
    try:
        read = read_values(raw, N, sizes)
    except WrongOutputs:
        return None
    return None if read.values.ndim > 3 else read


def _lies_within(low: float, high: float, usual: tuple[float, float]) -> bool:
    if usual == BYTES and high <= MOST_UNIT:
        return False
    slack = SLACK * (usual[1] - usual[0])
    return usual[0] - slack <= low and high <= usual[1] + slack and (low < 0 or usual[0] == 0.0)


def nearest_range(low: float, high: float) -> tuple[float, float]:
    """The usual range that is meant by images that leave it.

    >>> nearest_range(-2.5, 3.0), nearest_range(0.1, 1.7), nearest_range(0.0, 300.0)
    ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
    """
    if high > MOST_UNIT:
        return BYTES
    return TANH if low < 0.0 else UNIT


def _sizes(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
