"""The generator under test and the measures of its outputs, each with a key that changes when what it computes does."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch

from gentest.attributes.attribute import describe
from gentest.attributes.pixels import Pixels
from gentest.errors import AttributeFailed
from gentest.generators.generator import Generator
from gentest.generators.identity import Identity, Tensors, identify
from gentest.spaces import Space


def thing_key(thing: Any) -> Hashable:
    """What tells two callables apart: their value where they have one, else which object it is."""
    try:
        hash(thing)
    except TypeError:
        return ("id", id(thing))
    return (type(thing), thing)


_became: dict[str, str] = {}
"""By the digest of a state, the digest that the same callable had when it was first read in this process."""


class Identities:
    """The identities of one session, each read once while no code but gentest's and the model's own runs.

    A call may change what a callable holds: a counter, a cache, a scheduler's step. The callable is then read again
    after the check, and its new state stands for the same function. Whatever else changes it makes it another one.
    """

    def __init__(self) -> None:
        self.body = 0
        """How often somebody else's code may have run: a test's body, or whatever lies between two checks."""
        self._tensors: Tensors = {}
        self._read: dict[tuple[int, str], tuple[object, Identity]] = {}

    def begin(self, *, body: bool) -> None:
        """Starts a check; `body` says that somebody else's code may have run since the one before."""
        if body:
            self.body += 1
            self._tensors.clear()
            self._read.clear()

    def of(self, thing: object, name: str = "") -> Identity:
        """The identity of a callable or a value, as it was when it was first read."""
        if (id(thing), name) not in self._read:
            found = identify(thing, name=name, tensors=self._tensors)
            digest = _became.get(found.digest, found.digest)
            self._read[id(thing), name] = thing, Identity(digest, found.unknown)  # kept alive: its id is the key
        return self._read[id(thing), name][1]

    def end(self, *, believed: bool) -> None:
        """Ends a check: states that its calls led to stand for what they came from, where its audit agreed."""
        if not believed:
            return
        for (_, name), (thing, before) in self._read.items():
            if not before.unknown:
                now = identify(thing, name=name, tensors=self._tensors)
                if not now.unknown and now.digest != before.digest:
                    _became[now.digest] = before.digest

    def own(self, thing: object) -> Identity | None:
        """The identity of a measure that is somebody else's, or wraps somebody else's; None of a value of ours."""
        if not type(thing).__module__.startswith("gentest."):
            return self.of(thing)
        held = [getattr(thing, f.name) for f in fields(thing) if f.compare] if is_dataclass(thing) else []
        others = [value for value in held if callable(value) and not type(value).__module__.startswith("gentest.")]
        return self.of(others[0]) if others and not isinstance(thing, Pixels) else None

    @property
    def unreadable(self) -> dict[str, str]:
        """What has a part that cannot be read, by its description, and which part that is."""
        return {describe(thing): found.unknown for thing, found in self._read.values() if found.unknown}

    def key(self, thing: Any) -> Hashable:
        """What tells an attribute, feature or distance from another: the values that ours are, or an identity."""
        if not type(thing).__module__.startswith("gentest."):
            found = self.of(thing)
            return ("unknown", self.body, id(thing)) if found.unknown else ("identity", found.digest)
        if is_dataclass(thing):
            return (type(thing), *(self._field(getattr(thing, f.name)) for f in fields(thing) if f.compare))
        return thing_key(thing)

    def _field(self, value: Any) -> Hashable:
        if type(value).__module__.startswith("gentest.") or callable(value):
            return self.key(value)
        return thing_key(value)


@dataclass(frozen=True)
class Subject:
    """A generator with a key that no other outputs have: what it computes now, its space, and its range."""

    generator: Generator
    key: Hashable
    fingerprint: str
    unknown: str = ""
    """The part of the generator that cannot be read, and why: it shares no evidence then. Empty where all is read."""

    @classmethod
    def of(cls, generator: Generator, identities: Identities | None = None) -> Subject:
        """The generator as it is now; `identities` are those of a session, in which its own calls do not change it."""
        identities = identities or Identities()
        function = identities.of(generator.function, generator.identity)
        around = identities.of((generator.base, dict(generator.noise)), generator.identity)
        unknown = function.unknown or around.unknown
        fresh = (identities.body, id(generator.function)) if unknown else ()
        return cls._of(generator, (function.digest, around.digest, *fresh), function.digest[:16], unknown)

    @classmethod
    def _of(cls, generator: Generator, computed: tuple[Hashable, ...], fingerprint: str, unknown: str) -> Subject:
        values = (generator.output_range, generator.images)
        key = (computed, repr(generator.latent), values, repr(dict(generator.noise)))
        return cls(generator, key, fingerprint, unknown)

    @property
    def bounded(self) -> bool:
        """Whether the outputs have a range."""
        return self.generator.images or self.generator.output_range is not None

    @property
    def computed(self) -> tuple[Hashable, ...]:
        """What the key says of the generator's function and of the values that its space was made of."""
        return self.key[0]  # type: ignore[index, no-any-return]

    @property
    def address(self) -> tuple[str, ...]:
        """What tells its outputs from any other's on any machine; empty where it cannot be known again."""
        from gentest._support import __version__

        if self.unknown:
            return ()
        return (__version__, torch.__version__, repr(self.key))

    def under(self, prior: Space) -> Subject:
        """The same generator under another prior."""
        computed = (*self.computed[:2], repr(prior), *self.computed[2:])
        return self._of(self.generator.under(prior), computed, self.fingerprint, self.unknown)


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
