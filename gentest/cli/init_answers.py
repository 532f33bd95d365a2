"""The answers that `gentest init` needs, and how each is read from text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gentest.cli.init_source import Source
from gentest.errors import InvalidArgument

LATENT = "normal:128"
RANGE = "-1,1"
CLIP = "ViT-B-32:laion2b_s34b_b79k"


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
