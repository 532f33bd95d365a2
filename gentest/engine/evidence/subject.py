"""The subject of a check: a generator, or a measure of its outputs, with a key that changes when its results change."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from hashlib import sha256
from math import prod
from typing import Any

import numpy as np
import torch

from gentest.attributes.attribute import describe
from gentest.attributes.conditional import MOST_OPTIONS, is_conditional
from gentest.attributes.of_kind import OfKind
from gentest.attributes.pixels import Pixels
from gentest.engine.evidence.store import digest
from gentest.errors import AttributeFailed, InvalidArgument
from gentest.generators.calling import inputs_on
from gentest.generators.generator import Generator, Pair
from gentest.generators.identity import Identity, Tensors, identify
from gentest.generators.recalled import Recalled
from gentest.measures.fixtures import resolved
from gentest.probes.probe import Probe, independent
from gentest.spaces import Part, Space
from gentest.spaces.space import Fixed


def thing_key(thing: Any) -> Hashable:
    """A key for a callable: its value if it is hashable, else the object's id."""
    try:
        hash(thing)
    except TypeError:
        return ("id", id(thing))
    return (type(thing), thing)


_became: dict[str, str] = {}
"""By the digest of a state: the digest of the same callable when this process first read it."""


class Identities:
    """The identities of one session. Each is read once, as long as only gentest and the model itself run.

    A call may change what a callable holds: a counter, a cache, a scheduler's step. gentest reads such a callable again
    after the check, and takes its new state for the same function. Any other change makes it another function.
    """

    def __init__(self) -> None:
        self.body = 0
        """Number of times that somebody else's code may have run, such as the body of a test."""
        self._tensors: Tensors = {}
        self._read: dict[tuple[int, str], tuple[object, Identity]] = {}

    def begin(self, *, body: bool) -> None:
        """Start a check. `body=True` if somebody else's code may have run since the check before."""
        if body:
            self.body += 1
            self._tensors.clear()
            self._read.clear()

    def of(self, thing: object, name: str = "") -> Identity:
        """The identity of a callable or a value from when it was first read."""
        if (id(thing), name) not in self._read:
            found = identify(thing, name=name, tensors=self._tensors)
            digest = _became.get(found.digest, found.digest)
            self._read[id(thing), name] = thing, Identity(digest, found.unknown)  # kept alive: its id is the key
        return self._read[id(thing), name][1]

    def end(self, *, believed: bool) -> None:
        """End a check. If its audit agreed, the states after its calls stand for those before them."""
        if not believed:
            return
        for (_, name), (thing, before) in self._read.items():
            if not before.unknown:
                now = identify(thing, name=name, tensors=self._tensors)
                if not now.unknown and now.digest != before.digest:
                    _became[now.digest] = before.digest

    def own(self, thing: object) -> Identity | None:
        """The identity of a measure that is, or wraps, somebody else's code; None for gentest's own values."""
        thing = resolved(thing)
        if not type(thing).__module__.startswith("gentest."):
            return self.of(thing)
        held = [getattr(thing, f.name) for f in fields(thing) if f.compare] if is_dataclass(thing) else []
        others = [value for value in held if callable(value) and not type(value).__module__.startswith("gentest.")]
        if not others or isinstance(thing, Pixels):
            return None
        found = [self.of(other) for other in others]
        if len(found) == 1:
            return found[0]
        return Identity(digest(*(one.digest for one in found)), next((o.unknown for o in found if o.unknown), ""))

    @property
    def unreadable(self) -> dict[str, str]:
        """By the description of a callable: the part of it that cannot be read."""
        return {describe(thing): found.unknown for thing, found in self._read.values() if found.unknown}

    def key(self, thing: Any) -> Hashable:
        """A key for an attribute, feature or distance: its value if it is gentest's own, else its identity."""
        thing = resolved(thing)
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
    """A generator with a key for its outputs: what it computes now, its space, and its range. A pair has two."""

    generator: Generator
    key: Hashable
    fingerprint: str
    unknown: str = ""
    """The part of the generator that cannot be read, and why, so that it shares no evidence; empty if there is none."""
    reference: Subject | None = field(default=None, compare=False)
    """In a pair, the subject that the candidate is compared with on the same probes."""
    is_reference: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, generator: Generator | Pair, identities: Identities | None = None) -> Subject:
        """The generator in its present state, or the candidate of a pair with its reference.

        `identities` are those of a session, whose calls do not change the generator.
        """
        identities = identities or Identities()
        if isinstance(generator, Pair):
            reference = replace(cls.of(generator.reference, identities), is_reference=True)
            return replace(cls.of(generator.candidate, identities), reference=reference)
        function = identities.of(generator.function, generator.identity)
        helpers = generator.kind.helpers
        inputs = (generator.base, dict(generator.noise))
        around = identities.of((*inputs, helpers) if helpers else inputs, generator.identity)
        unknown = function.unknown or around.unknown
        fresh = (identities.body, id(generator.function)) if unknown else ()
        return cls._of(generator, (function.digest, around.digest, *fresh), function.digest[:16], unknown)

    @classmethod
    def _of(cls, generator: Generator, computed: tuple[Hashable, ...], fingerprint: str, unknown: str) -> Subject:
        values: tuple[Hashable, ...] = (generator.output_range, generator.kind.key)
        if generator.device is not None or generator.batch_size is not None:
            values = (*values, str(generator.device), generator.batch_size)
        if generator.rounding:
            values = (*values, f"rounding {generator.rounding}")
        key = (computed, repr(generator.latent), values, repr(dict(generator.noise)))
        return cls(generator, key, fingerprint, unknown)

    @property
    def sides(self) -> tuple[Subject, ...]:
        """This subject, and the reference of a pair."""
        return (self,) if self.reference is None else (self, self.reference)

    @property
    def recalled(self) -> Recalled | None:
        """The function of a reference that gives back kept outputs; None for a subject that computes its own."""
        function = self.generator.function
        return function if isinstance(function, Recalled) else None

    @property
    def computing(self) -> tuple[Subject, ...]:
        """The sides that compute their outputs: there is nothing to examine or audit in kept ones."""
        return tuple(side for side in self.sides if side.recalled is None)

    @property
    def known_probes(self) -> tuple[Probe, ...] | None:
        """The only probes on which a pair can be compared, since outputs of no others are kept; None for all."""
        recalled = None if self.reference is None else self.reference.recalled
        return None if recalled is None else tuple(independent(recalled.record.seed, 0, recalled.n))

    @property
    def bounded(self) -> bool:
        """Whether the outputs have a range."""
        return self.generator.limits is not None

    @property
    def computed(self) -> tuple[Hashable, ...]:
        """The part of the key that is about the generator's function and the values in its space."""
        return self.key[0]  # type: ignore[index, no-any-return]

    @property
    def fingerprint_of_outputs(self) -> str:
        """A fingerprint of all that outputs depend on: the generator, its prior, its range and its noise."""
        return sha256(repr(self.key).encode()).hexdigest()[:16]

    @property
    def address(self) -> tuple[str, ...]:
        """A name for its outputs on any machine; empty if part of the generator cannot be read."""
        from gentest._support import __version__

        if self.unknown:
            return ()
        return (__version__, torch.__version__, repr(self.key))

    def under(self, prior: Space) -> Subject:
        """The same generator under another prior."""
        computed = (*self.computed[:2], repr(prior), *self.computed[2:])
        reference = None if self.reference is None else self.reference.under(prior)
        other = self._of(self.generator.under(prior), computed, self.fingerprint, self.unknown)
        return replace(other, reference=reference, is_reference=self.is_reference)


def measure_of(thing: Any, generator: Generator, shape: Sequence[int]) -> Any:
    """The bound measure for a generator's outputs [*shape]; `pixels()` takes the vectors of any kind of output.

    Raises `AttributeFailed` for a measure that makes sense on images only.
    """
    kind = generator.kind
    if isinstance(thing, OfKind):
        return thing.of_kind(kind)
    if kind.has_pixels or not isinstance(thing, Pixels):
        return thing
    if thing.of_images:
        raise AttributeFailed(
            f"{describe(thing)} measures images, and these outputs {list(shape)} are {kind.plural}: {kind.instead}"
        )
    return kind.rows


def with_values(thing: Any, generator: Generator, latents: Mapping[str, Any], device: torch.device) -> Any:
    """The bound measure for outputs of these latents [B, *shape]: one that sees the condition learns its values.

    Raises `InvalidArgument` for a part that the space does not have.
    """
    if not is_conditional(thing):
        return thing
    parts = generator.latent.parts
    if missing := [name for name in thing.sees if name not in parts]:
        known = ", ".join(map(repr, parts)) if list(parts) != [""] else "only latents without a name"
        raise InvalidArgument(f"{describe(thing)} sees {missing[0]!r}, and the space has {known}")
    values = inputs_on(device, generator.latent, {name: latents[name] for name in thing.sees})
    return thing.given(values, {name: _options(parts[name]) for name in thing.sees})


def _options(part: Part) -> Sequence[Any]:
    """All values that somebody wrote for a part; empty for other parts, and for more than `MOST_OPTIONS`."""
    whole = part.part if isinstance(part, Fixed) else part
    n_values = [len(slot.probabilities) for slot in whole.slots]
    if not whole.has_values or prod(n_values) > MOST_OPTIONS:
        return ()
    codes = np.stack([np.reshape(code, whole.shape) for code in np.ndindex(*n_values)])
    return list(whole.values_of(codes))
