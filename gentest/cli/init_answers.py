"""The answers that `gentest init` needs, and how each is read from text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gentest.cli.init_source import Source
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
class Facts:
    """The facts that loading and calling a model told. Shapes are of one latent or output, without the batch."""

    is_class: bool = False
    takes_checkpoint: bool = True
    """True if the function that makes the model accepts a positional argument."""
    needs: Sequence[str] | None = None
    """The arguments that the user has to give; empty if the model can be made without, None if no code was loaded."""
    latent: Sequence[int] | None = None
    latent_from: str = ""
    """The evidence for the latent's shape, in words."""
    output: Sequence[int] | None = None
    """None unless a call succeeded."""
    images: bool = True
    """False if the outputs cannot be images."""
    low: float = 0.0
    high: float = 0.0
    range: Sequence[float] | None = None
    """The usual range that the outputs lie in, if there is one."""
    weights_key: str = ""
    """The name of the state dict inside the file of weights; empty if the file is a state dict itself."""
    error: str = ""


@dataclass(frozen=True)
class Answers:
    """Everything that the templates need to know."""

    source: Source
    facts: Facts
    latent: str = LATENT
    labels: int | None = None
    """The number of labels that the model takes beside the latent."""
    output_range: tuple[float, float] | None = None
    images: bool = True
    prompts: tuple[tuple[str, ...], ...] = ()
    clip: str = CLIP
    ci: bool = True
    guesses: tuple[str, ...] = ()
    """A line for each answer that was guessed, with the evidence for it."""

    @property
    def is_wrapped(self) -> bool:
        """True if a function in the conftest.py makes the model, from a class or from arguments that the user gives."""
        return self.facts.is_class or self.source.weights is not None or bool(self.facts.needs)


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
