"""What a user says of a model on the command line: `--latent`, `--labels`, `--given`, `--range`, `--outputs`.

`gentest check` and `gentest compare` share these options. `model_facts` finds out what they leave open.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from gentest.errors import InvalidArgument

SPACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "normal": ("Normal", ()),
    "uniform": ("Uniform", ("low", "high")),
    "sphere": ("Sphere", ()),
    "truncated": ("TruncatedNormal", ("bound",)),
}
"""The space that each word of --latent names, and the arguments after its shape."""


@dataclass(frozen=True)
class NamedSpace:
    """A latent space of one part, as `--latent` names it: the class in `gentest`, and its arguments."""

    space: str
    shape: tuple[int, ...]
    """The shape of one latent."""
    bounds: Mapping[str, float]
    """The arguments after the shape, by name."""

    @property
    def code(self) -> str:
        """The space in Python."""
        arguments = [str(self.shape if len(self.shape) > 1 else self.shape[0])]
        arguments += [f"{name}={bound:g}" for name, bound in self.bounds.items()]
        return f"gentest.{self.space}({', '.join(arguments)})"


@dataclass(frozen=True)
class NamedKind:
    """A kind of outputs, as `--outputs` names it: the class in `gentest`, and its arguments."""

    kind: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The kind in Python."""
        return f"gentest.{self.kind}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True)
class Given:
    """What a user says of a model. None, or empty, is for gentest to find out."""

    latent: NamedSpace | None = None
    labels: int | None = None
    """The number of labels that the model takes beside the latent."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """Parts of the space that are fixed, by name."""
    output_range: tuple[float, float] | None = None
    outputs: NamedKind | None = None
    """The kind of outputs."""
    steps: int | None = None
    """The denoising steps of a pipeline."""
    prompts: str = ""
    """The absolute path of a file of prompts."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Given:
        latent, bounds, outputs = value["latent"], value["output_range"], value["outputs"]
        space = None if latent is None else NamedSpace(**{**latent, "shape": tuple(latent["shape"])})
        kind = None if outputs is None else NamedKind(**outputs)
        output_range = None if bounds is None else (bounds[0], bounds[1])
        return cls(**{**value, "latent": space, "output_range": output_range, "outputs": kind})


def add_model_options(parser: argparse._ActionsContainer) -> None:
    """Declare the options that say what a model takes and gives."""
    parser.add_argument(
        "--latent",
        metavar="SPACE",
        help="the latent space: normal:128, normal:100,1,1, uniform:64, uniform:64:-1:1, sphere:512, truncated:128:2 "
        "(default: guessed)",
    )
    parser.add_argument("--labels", type=int, metavar="N", help="the model takes a label, one of N (default: guessed)")
    parser.add_argument("--range", metavar="LOW,HIGH", help="the range of outputs (default: guessed for images)")
    parser.add_argument(
        "--outputs",
        metavar="KIND",
        help="the kind of outputs: images, arrays, video:FPS, audio:RATE, audio:RATE:LONGEST, tokens, tokens:LONGEST, "
        "text:LONGEST, or rows:NAME,NAME (default: guessed, images or arrays)",
    )
    parser.add_argument("--no-images", action="store_true", help="short for --outputs arrays")
    parser.add_argument(
        "--class",
        dest="made_by",
        metavar="MODULE:NAME",
        help="the class, or the function, that makes the module of a file of weights",
    )
    parser.add_argument("--device", metavar="DEVICE", help="torch device (default: CUDA, else the CPU)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="latents in one call of the model (default: auto)")


def given_by(options: argparse.Namespace) -> Given:
    """What the options say of a model. Raises `InvalidArgument` for an option that cannot be used."""
    if options.labels is not None and options.labels < 2:
        raise InvalidArgument.expected("a number of labels >= 2", "--labels", options.labels)
    steps = getattr(options, "steps", None)
    if steps is not None and steps < 1:
        raise InvalidArgument.expected("a number of steps >= 1", "--steps", steps)
    prompts: Path | None = getattr(options, "prompts", None)
    if prompts is not None and not prompts.is_file():
        raise InvalidArgument.expected("a file with a prompt on each line", "--prompts", str(prompts))
    return Given(
        latent=None if options.latent is None else read_latent(options.latent),
        labels=options.labels,
        choices=dict(map(read_choice, getattr(options, "given", None) or ())),
        output_range=None if options.range is None else read_range(options.range),
        outputs=_outputs_by(options),
        steps=steps,
        prompts="" if prompts is None else str(prompts.absolute()),
    )


def _outputs_by(options: argparse.Namespace) -> NamedKind | None:
    if options.outputs is None:
        return NamedKind("Arrays") if options.no_images else None
    kind = read_outputs(options.outputs)
    if options.no_images and kind.kind != "Arrays":
        raise InvalidArgument(f"--outputs {options.outputs} and --no-images contradict each other: leave out one")
    return kind


def read_outputs(text: str) -> NamedKind:
    """The kind of outputs that a text names. Raises `InvalidArgument`.

    >>> read_outputs("audio:16000").code, read_outputs("text:80").code, read_outputs("rows:age,income").code
    ('gentest.Audio(rate=16000)', 'gentest.Tokens(text=True, longest=80)', "gentest.Rows(columns=['age', 'income'])")
    """
    word, *rest = text.strip().split(":")
    plain = {"images": "Images", "arrays": "Arrays", "tokens": "Tokens", "video": "Video"}
    try:
        if word in plain and not rest:
            return NamedKind(plain[word])
        if word == "rows" and len(rest) == 1 and all(names := [name.strip() for name in rest[0].split(",")]):
            return NamedKind("Rows", {"columns": names})
        numbers = [float(number) if word == "video" else int(number) for number in rest]
    except ValueError:
        numbers = []
    if numbers and all(number > 0 for number in numbers):
        if word == "video" and len(numbers) == 1:
            return NamedKind("Video", {"fps": numbers[0]})
        if word == "audio" and len(numbers) <= 2:
            return NamedKind("Audio", dict(zip(("rate", "longest"), numbers, strict=False)))
        if word == "tokens" and len(numbers) == 1:
            return NamedKind("Tokens", {"longest": numbers[0]})
        if word == "text" and len(numbers) == 1:
            return NamedKind("Tokens", {"text": True, "longest": numbers[0]})
    what = "images, arrays, video:FPS, audio:RATE, audio:RATE:LONGEST, tokens, tokens:LONGEST, text:LONGEST or rows:A,B"
    raise InvalidArgument.expected(what, "--outputs", text)


def read_latent(text: str) -> NamedSpace:
    """The latent space that a text names. Raises `InvalidArgument`.

    >>> read_latent("normal:100,1,1").code, read_latent("uniform:64:-1:1").code
    ('gentest.Normal((100, 1, 1))', 'gentest.Uniform(64, low=-1, high=1)')
    """
    name, _, rest = text.replace(" ", "").partition(":")
    sizes, *words = rest.split(":")
    try:
        space, names = SPACES[name]
        shape = tuple(int(size) for size in sizes.split(","))
        bounds = [float(word) for word in words]
    except (KeyError, ValueError):
        valid = False
    else:
        valid = min(shape) > 0 and len(bounds) in (0, len(names)) and all(map(math.isfinite, bounds))
        valid = valid and bounds == sorted(set(bounds)) and (name != "truncated" or all(b > 0 for b in bounds))
    if not valid:
        what = "normal:128, normal:100,1,1, uniform:64, uniform:64:LOW:HIGH, sphere:512 or truncated:128:BOUND"
        raise InvalidArgument.expected(what, "--latent", text)
    return NamedSpace(space, shape, dict(zip(names, bounds, strict=False)))


def read_range(text: str) -> tuple[float, float]:
    """The range of outputs that a text such as `-1,1` says. Raises `InvalidArgument`."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise InvalidArgument.expected("LOW,HIGH with LOW < HIGH, such as -1,1", "--range", text)
    return low, high


def read_choice(text: str) -> tuple[str, Any]:
    """The part and the value that a text such as `label=3` fixes. Raises `InvalidArgument`.

    >>> read_choice("label=3"), read_choice("guidance_scale=5.5"), read_choice("prompt=a red coat")
    (('label', 3), ('guidance_scale', 5.5), ('prompt', 'a red coat'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier() or not value.strip():
        raise InvalidArgument.expected("NAME=VALUE, such as label=3", "--given", text)
    for read in (int, float):
        try:
            return name.strip(), read(value)
        except ValueError:
            continue
    return name.strip(), value.strip()


def read_tolerance(text: str) -> float:
    """The number that a fraction or a decimal says. Raises `InvalidArgument` unless it is finite and >= 0.

    >>> read_tolerance("4/255") == 4 / 255, read_tolerance("1e-3")
    (True, 0.001)
    """
    try:
        value = float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise InvalidArgument.expected("a fraction or a number >= 0, such as 4/255", "--within", text)
    return value


def read_texts(text: str) -> tuple[str, ...]:
    """The one or two texts of a CLIP attribute. Raises `InvalidArgument`.

    >>> read_texts("a smiling person | a frowning person")
    ('a smiling person', 'a frowning person')
    """
    parts: Sequence[str] = tuple(part.strip() for part in text.split("|"))
    if len(parts) > 2 or not all(parts) or len(set(parts)) < len(parts):
        raise InvalidArgument.expected("'a text' or 'a text|another that it is measured against'", "--clip", text)
    return tuple(parts)
