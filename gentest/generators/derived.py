"""Derived functions: a generator's function with a transform before it, on latents, or after it, on outputs.

Its own module because it calls f and reads its outputs, and `calling` and `returned` do not know each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gentest.errors import GeneratorError
from gentest.generators.returned import as_images, as_values


@dataclass(frozen=True)
class Before:
    """`function` on transformed latents: a tensor, or in a `Joint` space the mapping of its parts."""

    function: Callable[..., Any]
    transform: Callable[..., Any]
    parts: tuple[str, ...]
    """The names of a `Joint` space's parts; empty for a space of one part."""

    def __call__(self, *latents: Tensor, **named: Tensor) -> Any:
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
    images: bool

    def __call__(self, *latents: Tensor, **named: Tensor) -> Any:
        raw = self.function(*latents, **named)
        inputs = {**({"z": latents[0]} if latents else {}), **named}
        sizes = {name: tuple(z.shape) for name, z in inputs.items()}
        n = next(iter(inputs.values())).shape[0]
        read = as_images if self.images else as_values
        return self.transform(read(raw, n, sizes, self.output_range))
