"""What is under test, and what tells it and what is measured on it apart from anything else."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gentest.attributes.attribute import describe
from gentest.attributes.pixels import Pixels
from gentest.errors import AttributeFailed
from gentest.generators import Generator
from gentest.spaces import Space


def thing_key(thing: Any) -> Hashable:
    """What tells two callables apart: their value where they have one, else which object it is."""
    try:
        hash(thing)
    except TypeError:
        return ("id", id(thing))
    return (type(thing), thing)


@dataclass(frozen=True)
class Subject:
    """A generator and what tells its outputs apart from another's: its weights now, the object, and its space."""

    generator: Generator
    key: Hashable
    fingerprint: str

    @classmethod
    def of(cls, generator: Generator) -> Subject:
        """The generator as its weights are now."""
        return cls._of(generator, generator.fingerprint())

    @classmethod
    def _of(cls, generator: Generator, fingerprint: str) -> Subject:
        function = thing_key(generator.function)
        values = (generator.output_range, generator.images)
        key = (fingerprint, function, repr(generator.latent), values, repr(generator.noise))
        return cls(generator, key, fingerprint)

    @property
    def address(self) -> tuple[str, ...]:
        """What tells it from another on any machine, but for its code."""
        from gentest import __version__

        g = self.generator
        values = (__version__, torch.__version__, self.fingerprint, repr(g.latent), repr(dict(g.noise)))
        return (*values, repr(g.output_range), repr(g.images))

    def under(self, prior: Space) -> Subject:
        """The same generator under another prior."""
        return self._of(self.generator.under(prior), self.fingerprint)


def measure_of(thing: Any, generator: Generator, shape: Sequence[int]) -> Any:
    """What measures a generator's outputs [*shape] by a bound attribute or feature: itself, unless they are no images.

    A measure of pixels then takes their values, where that means something; `AttributeFailed` where it does not.
    """
    if generator.images or not isinstance(thing, Pixels):
        return thing
    if thing.of_images:
        raise AttributeFailed(
            f"{describe(thing)} is of images, and these outputs {list(shape)} are none (images=False): "
            "pass a callable on outputs [B, ...]"
        )
    return thing.measure
