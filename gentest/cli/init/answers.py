"""What `gentest init` has to know, and how each answer is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gentest.cli.init.looking import Defined
from gentest.errors import InvalidArgument

LATENT = "normal:128"
RANGE = "-1,1"
CLIP = "ViT-B-32:laion2b_s34b_b79k"
SPACES = {"normal": "Normal", "uniform": "Uniform", "sphere": "Sphere", "truncated": "TruncatedNormal"}


@dataclass(frozen=True)
class Latent:
    """A latent space as it is written: `gentest.Normal(128)`."""

    text: str
    labels: int | None = None
    """How many labels f is given beside it, if any."""

    @property
    def lines(self) -> list[str]:
        """The argument `latent=` in Python."""
        if self.labels is None:
            return [f"latent={self.text},"]
        parts = f"z={self.text}", f"label=gentest.Categorical({self.labels})"
        return ["latent=gentest.Joint(", *(f"    {part}," for part in parts), "),"]


@dataclass(frozen=True)
class Weights:
    """A file of weights that belongs to a model."""

    path: Path
    """Relative to the folder of the fixture, or to that of the package that it came with."""
    packaged: bool = False
    key: str = ""
    """Under which name a dict in it holds the state dict; "" where it is one itself."""
    why: str = ""
    """What it was taken for; "" where it was named."""

    @property
    def is_safe(self) -> bool:
        return self.path.suffix == ".safetensors"


@dataclass(frozen=True)
class Answers:
    """All that the files are made of."""

    kind: str
    latent: Latent
    output_range: tuple[float, float] | None
    defined: Defined | None = None
    """What loads the model, of a kind whose source is code."""
    file: str = ""
    """The model's file or pipeline, of the other kinds."""
    data: Defined | None = None
    """What gives an autoencoder's images."""
    weights: Weights | None = None
    choices: tuple[Path, ...] = ()
    """Files of weights, where which of them is the model's is left to a person."""
    prompts: tuple[tuple[str, ...], ...] = ()
    clip: str = CLIP
    images: bool = True
    ci: str = "github"
    guesses: tuple[tuple[str, str], ...] = ()
    """What was found out rather than said: of what, and by what."""


def read_latent(text: str) -> str:
    """`normal:128`, `normal:100,1,1`, `uniform:64`, `uniform:64:-1:1`, `sphere:512`, `truncated:128:2` in Python.

    >>> read_latent("normal:100,1,1"), read_latent("uniform:64:-1:1"), read_latent("truncated:128")
    ('gentest.Normal((100, 1, 1))', 'gentest.Uniform(64, low=-1, high=1)', 'gentest.TruncatedNormal(128)')
    """
    name, *rest = text.replace(" ", "").split(":")
    shape = [int(word) for word in rest[0].split(",") if word.isdecimal()] if rest else []
    whole = bool(rest) and len(shape) == len(rest[0].split(",")) and all(size > 0 for size in shape)
    bounds = [number for word in rest[1:] if (number := _number(word)) is not None]
    fits = {"normal": (0,), "sphere": (0,), "uniform": (0, 2), "truncated": (0, 1)}.get(name, ())
    ordered = len(bounds) < 2 or bounds[0] < bounds[1]
    positive = name != "truncated" or all(bound > 0 for bound in bounds)
    if not whole or len(bounds) != len(rest) - 1 or len(bounds) not in fits or not ordered or not positive:
        what = "normal:128, normal:100,1,1, uniform:64, uniform:64:LOW:HIGH, sphere:512 or truncated:128:BOUND"
        raise InvalidArgument.expected(what, "--latent", text)
    said = str(shape[0]) if len(shape) == 1 else str(tuple(shape))
    names = ("low", "high") if name == "uniform" else ("bound",)
    arguments = [said, *(f"{n}={b:g}" for n, b in zip(names, bounds, strict=False))]
    return f"gentest.{SPACES[name]}({', '.join(arguments)})"


def read_range(text: str) -> tuple[float, float]:
    """`-1,1` as a range of outputs."""
    values = [_number(word) for word in text.split(",")]
    match values:
        case [float(low), float(high)] if low < high:
            return low, high
    raise InvalidArgument.expected("LOW,HIGH with LOW < HIGH, such as -1,1", "--range", text)


def read_prompts(text: str) -> tuple[str, ...]:
    """`a text` or `a text|another that it is measured against`, as its parts.

    >>> read_prompts("a smiling person | a frowning person")
    ('a smiling person', 'a frowning person')
    """
    parts = tuple(part.strip() for part in text.split("|"))
    if len(parts) > 2 or not all(parts) or len(set(parts)) < len(parts):
        raise InvalidArgument.expected("'a text' or 'a text|another that it is measured against'", "--clip", text)
    return parts


def asked(question: str, default: str, read: Callable[[str], object], ask: Callable[[str], str]) -> str:
    """An answer that can be read; the default where nothing is typed. Asks again, and says why, until one can."""
    while True:
        text = ask(f"{question} [{default}]: " if default else f"{question}: ").strip() or default
        try:
            read(text)
        except InvalidArgument as error:
            print(f"  {error}")  # noqa: T201  # a person is answering
            continue
        return text


def printable(text: str) -> str:
    """A text that fits into a line or a comment: the names of files, and those in them, may hold anything.

    >>> printable("a\\nb\\x00")
    'a b '
    """
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _number(word: str) -> float | None:
    with suppress(ValueError):
        value = float(word)
        return value if math.isfinite(value) else None
    return None
