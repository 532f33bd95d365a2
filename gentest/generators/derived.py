"""Derived functions: a generator's function with a transform before it, on latents, or after it, on outputs.

Its own module because it calls f and reads its outputs, which `calling` does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gentest.errors import GeneratorError
from gentest.generators.autoencoder import latents_in
from gentest.generators.calling import size_of
from gentest.outputs.kind import Kind


@dataclass(frozen=True)
class Before:
    """`function` on transformed latents: a tensor, or in a `Joint` space the mapping of its parts."""

    function: Callable[..., Any]
    transform: Callable[..., Any]
    parts: tuple[str, ...]
    """The names of a `Joint` space's parts; empty for a space of one part."""

    def __call__(self, *latents: Tensor | list[Any], **named: Tensor | list[Any]) -> Any:
        if not self.parts:
            return self.function(self.transform(*latents), **named)
        transformed = self.transform({name: named[name] for name in self.parts})
        if not isinstance(transformed, Mapping) or set(transformed) != set(self.parts):
            raise GeneratorError(
                f"the transform before the generator gave {type(transformed).__name__}; expected a mapping with "
                f"{', '.join(map(repr, self.parts))}"
            )
        return self.function(**{**named, **transformed})


@dataclass(frozen=True)
class After:
    """A transform of the outputs of `function`: images [B, C, H, W] in [0, 1], or other outputs [B, ...]."""

    function: Callable[..., Any]
    transform: Callable[..., Any]
    output_range: tuple[float, float] | None
    kind: Kind

    def __call__(self, *latents: Tensor | list[Any], **named: Tensor | list[Any]) -> Any:
        raw = self.function(*latents, **named)
        inputs = {**({"z": latents[0]} if latents else {}), **named}
        sizes = {name: size_of(z) for name, z in inputs.items()}
        n = next(iter(sizes.values()))[0]
        return self.transform(self.kind.read(raw, n, sizes, self.output_range))


@dataclass(frozen=True)
class Reconstruction:
    """Decoded codes of images [B, C, H, W]: `decode(encode(x))`."""

    encode: Callable[..., Any]
    decode: Callable[..., Any]

    def __call__(self, x: Tensor) -> Any:
        return self.decode(latents_in(self.encode(x), len(x)))


@dataclass(frozen=True)
class Reencoding:
    """Encoded outputs of latents [B, *shape]: `encode(decode(z))`."""

    encode: Callable[..., Any]
    decode: Callable[..., Any]

    def __call__(self, z: Tensor) -> Tensor:
        made = self.decode(z)
        return latents_in(self.encode(getattr(made, "sample", made)), len(z))


def same(x: Tensor) -> Tensor:
    """The input of a round trip, as its reference."""
    return x
