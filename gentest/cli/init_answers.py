"""The answers that `gentest init` needs, and how each is read from text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gentest.errors import InvalidArgument

LATENT = "normal:128"
RANGE = "-1,1"
CLIP = "ViT-B-32:laion2b_s34b_b79k"
SPACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "normal": ("Normal", ()),
    "uniform": ("Uniform", ("low", "high")),
    "sphere": ("Sphere", ()),
    "truncated": ("TruncatedNormal", ("bound",)),
}
"""The space that each word of --latent names, and the arguments after its shape."""


@dataclass(frozen=True)
class Kind:
    """A kind of generator that `gentest init` writes a fixture for."""

    name: str
    description: str
    suffixes: tuple[str, ...] = ()
    """Suffixes of its files; empty if the user's code makes the model."""
    extra: str = ""
    """The extra of gentest that it needs."""
    package: str = ""
    """A package of that extra, by the name that imports it."""

    @property
    def is_code(self) -> bool:
        return not self.suffixes


PIPELINE = "model_index.json"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("torch", "an nn.Module, or any function of a batch of tensors"),
        Kind("numpy", "a function of a batch of NumPy arrays"),
        Kind("torchscript", "a TorchScript file, as torch.jit.save writes it", (".pt", ".pth", ".ts")),
        Kind("exported", "a .pt2 file, as torch.export.save writes it", (".pt2",)),
        Kind("onnx", "an ONNX file", (".onnx",), "onnx", "onnxruntime"),
        Kind("diffusers", "a diffusers pipeline, its folder or name on the hub", (PIPELINE,), "diffusers", "diffusers"),
        Kind("autoencoder", "an autoencoder, whose latent space is its encodings of images"),
    )
}


@dataclass(frozen=True)
class Code:
    """A function or class of the user's, as `--load` or `--data` names it."""

    module: str
    name: str
    root: Path | None = None
    """The folder that Python imports it from; None if it is installed."""
    requirement: str = ""
    """What pip installs it with; empty if that is not known."""


@dataclass(frozen=True)
class Answers:
    """Everything that the templates need to know."""

    kind: Kind
    code: Code | None = None
    """The function or class that makes the model, if code does and it is known."""
    is_class: bool = False
    takes_checkpoint: bool = True
    needs: tuple[str, ...] | None = ()
    """The arguments that the user has to fill in; None if nobody looked."""
    data: Code | None = None
    """The function that returns an autoencoder's images."""
    weights: Path | None = None
    """A class's file of weights, relative to the fixture's folder."""
    weights_key: str = ""
    """The name of the state dict inside that file, if it holds several."""
    file: str = ""
    """The model's file or pipeline, relative to the fixture's folder, or a pipeline's name on the hub."""
    latent: str = LATENT
    labels: int | None = None
    """The number of labels that the model takes beside the latent."""
    output_range: tuple[float, float] | None = None
    images: bool = True
    prompts: tuple[tuple[str, ...], ...] = ()
    clip: str = CLIP
    ci: bool = True
    guesses: tuple[tuple[str, str], ...] = ()
    """What was guessed, and the evidence for it."""


def read_latent(text: str) -> tuple[tuple[int, ...], str]:
    """The shape of one latent, and its space in Python.

    >>> read_latent("normal:100,1,1"), read_latent("uniform:64:-1:1")
    (((100, 1, 1), 'gentest.Normal((100, 1, 1))'), ((64,), 'gentest.Uniform(64, low=-1, high=1)'))
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
    arguments = [str(shape if len(shape) > 1 else shape[0])]
    arguments += [f"{name}={bound:g}" for name, bound in zip(names, bounds, strict=False)]
    return shape, f"gentest.{space}({', '.join(arguments)})"


def read_range(text: str) -> tuple[float, float]:
    """The range of outputs that a text such as `-1,1` says."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise InvalidArgument.expected("LOW,HIGH with LOW < HIGH, such as -1,1", "--range", text)
    return low, high


def read_prompts(text: str) -> tuple[str, ...]:
    """The one or two texts of a CLIP attribute.

    >>> read_prompts("a smiling person | a frowning person")
    ('a smiling person', 'a frowning person')
    """
    parts = tuple(part.strip() for part in text.split("|"))
    if len(parts) > 2 or not all(parts) or len(set(parts)) < len(parts):
        raise InvalidArgument.expected("'a text' or 'a text|another that it is measured against'", "--clip", text)
    return parts


def ask_until_valid(question: str, default: str, read: Callable[[str], object], ask: Callable[[str], str]) -> str:
    """An answer that `read` accepts, or the default if nothing is typed. Explains and asks again until then."""
    while True:
        text = ask(f"{question} [{default}]: " if default else f"{question}: ").strip() or default
        try:
            read(text)
        except InvalidArgument as error:
            print(f"  {error}")  # noqa: T201  # for the person who answers
            continue
        return text
