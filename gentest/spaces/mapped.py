"""A space that a network makes of another: StyleGAN's w of z (Karras et al. 2019, arXiv:1812.04948).

The network runs on the CPU in float64, one latent at a time, so that a latent does not depend on the others drawn with
it. The result is rounded once, to float32, like every latent.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from gentest._support.printable import error_summary
from gentest.errors import InvalidArgument
from gentest.spaces.space import Array, Floats, Part, Wrapper, format_shape
from gentest.spaces.streams import uniforms_at, uniforms_of

N_MEAN = 10_000
"""The fixed samples that define the mean of the space, as for StyleGAN's w_avg, and its radius 1."""
N_DIGEST = 16
"""The fixed samples that identify a callable by what it returns."""
CHUNK = 500
SEED = 0x6D6170706564
"""The seed of the fixed samples."""


class _Moments(NamedTuple):
    """The mean of the fixed samples, and their root-mean-square distance from it."""

    mean: Floats
    radius: float


@dataclass(frozen=True, init=False)
class Mapped(Wrapper):
    """The latents of another space, mapped by a network, as one part: `Mapped(Normal(512), mapping)` is w. Float32.

    `network` is an `nn.Module`, which is copied, or a callable from float64 arrays [N, *shape] to [N, *shape of w]. A
    partial sets further inputs of a module: `functools.partial(mapping, c=None)`. Paths are straight lines between the
    mapped ends. Truncation draws toward the mean of 10,000 fixed samples.

    Raises `InvalidArgument` for a space that is not one continuous part, and for a network that raises or returns
    anything but one finite latent for each input.

    >>> import gentest
    >>> gentest.Mapped(gentest.Normal(2), lambda z: np.tanh(z @ np.ones((2, 3)))).shape
    (3,)
    """

    network: Callable[[Floats], Array] = field(compare=False, repr=False)
    mapped_shape: tuple[int, ...]
    digest: str

    def __init__(self, part: Part, network: Callable[..., Any]) -> None:
        if not isinstance(part, Part) or part.n_groups == 0:
            raise InvalidArgument.expected("a space of one part that is not a choice", "part", part)
        if not callable(network) or isinstance(network, type):
            raise InvalidArgument.expected("an nn.Module or a callable on arrays", "network", network)
        function = network if _module_of(network) is None else OfModule(network)
        object.__setattr__(self, "part", part)
        object.__setattr__(self, "network", function)
        samples = self._mapped(self._fixed_samples(0, N_DIGEST))
        object.__setattr__(self, "mapped_shape", samples.shape[1:])
        content = function.content if isinstance(function, OfModule) else samples.astype(np.float32).tobytes()
        object.__setattr__(self, "digest", hashlib.sha256(repr(self.shape).encode() + content).hexdigest()[:16])

    def __repr__(self) -> str:
        return f"Mapped({self.part!r} to {format_shape(self.shape)}, {self.digest})"

    @property
    def key(self) -> str:
        return f"Mapped({self.part.key} to {format_shape(self.shape)})"

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.mapped_shape

    @property
    def is_round(self) -> bool:
        return False

    def from_uniforms(self, uniforms: Floats) -> Array:
        return self._mapped(self.part.from_uniforms(uniforms))

    def score_gradients(self, scores: Floats, gradients: Floats) -> Floats | None:
        if not isinstance(self.network, OfModule):
            return None
        inner = self.network.input_gradients(self.part.from_uniforms(uniforms_at(scores)), gradients)
        return None if inner is None else self.part.score_gradients(scores, inner)

    def mean(self) -> Floats:
        return self._moments.mean

    def unit_radius(self) -> float:
        return self._moments.radius

    @cached_property
    def _moments(self) -> _Moments:
        total = np.zeros(self.shape)
        square, about = 0.0, np.zeros(self.shape)
        for chunk in range(N_MEAN // CHUNK):
            rows = self._called(self._fixed_samples(chunk, CHUNK))
            about = about if chunk else rows.mean(axis=0)  # near the mean, so that the difference loses no digits
            total += rows.sum(axis=0)
            square += float(np.square(rows - about).sum())
        mean = total / N_MEAN
        variance = square / N_MEAN - float(np.square(mean - about).sum())
        return _Moments(mean, max(variance, 0.0) ** 0.5 or 1.0)

    def _fixed_samples(self, index: int, n: int) -> Floats:
        """Fixed samples [n, *shape] of the inner space."""
        drawn = uniforms_of([SEED], index, 0, n * self.dim).reshape(n, self.dim)
        return np.asarray(self.part.from_uniforms(drawn), dtype=np.float64)

    def _mapped(self, latents: Array) -> Floats:
        """Latents [N, *shape of w] from latents [N, *shape], one at a time."""
        mapped = [self._called(row[None]) for row in np.asarray(latents, dtype=np.float64)]
        return np.concatenate(mapped) if mapped else np.empty((0, *self.shape))

    def _called(self, rows: Floats) -> Floats:
        try:
            mapped = np.asarray(self.network(rows), dtype=np.float64)
        except Exception as error:
            what = f"raised {error_summary(error)} (for latents {rows.shape})"
            raise InvalidArgument(f"the network of a Mapped space {what}") from error
        if mapped.ndim < 2 or len(mapped) != len(rows) or not np.isfinite(mapped).all():
            broken = "" if np.isfinite(mapped).all() else "values that are not finite, in "
            raise InvalidArgument(
                f"the network of a Mapped space gave {broken}shape {mapped.shape} for latents {rows.shape}; "
                f"expected finite latents [{len(rows)}, *shape]"
            )
        return mapped


class OfModule:
    """A copy of an `nn.Module`, or of a partial over one, as a function of arrays: float64, on the CPU, in eval mode.

    It imports nothing from torch: a module brings its own tensors.
    """

    def __init__(self, network: Callable[..., Any]) -> None:
        self.network = copy.deepcopy(network)
        self.module: Any = _module_of(self.network)
        for weight in self.module.parameters():
            weight.detach_()  # no gradient, of a TorchScript module's copies either
        self.module.double().cpu()
        with suppress(NotImplementedError):  # a program of torch.export, which has no modes
            self.module.eval()
        self.state = dict(sorted(self.module.state_dict().items()))
        floats = [weight for weight in self.state.values() if weight.is_floating_point()]
        if not floats:
            raise InvalidArgument("the network of a Mapped space has no weights: give a callable on arrays instead")
        self.like = floats[0]

    def __call__(self, rows: Floats) -> Array:
        return np.asarray(self.network(self.like.new_tensor(rows)).detach().numpy())

    def input_gradients(self, rows: Array, gradients: Floats) -> Floats | None:
        """Gradients [N, *shape] in the inputs, from those in the outputs; None if the module has no derivative."""
        inputs = self.like.new_tensor(rows).requires_grad_()
        try:
            self.network(inputs).backward(self.like.new_tensor(gradients), inputs=[inputs])
        except Exception:  # somebody's code that does not support gradients
            return None
        return np.asarray(inputs.grad.numpy())

    @property
    def content(self) -> bytes:
        """The names, shapes and values of all weights."""
        return b"".join(
            f"{name} {tuple(weight.shape)}".encode() + weight.detach().contiguous().numpy().tobytes()
            for name, weight in self.state.items()
        )


def _module_of(network: Any) -> Any:
    """The `nn.Module` that a network is, or is a partial over; None for any other callable."""
    inner = network.func if isinstance(network, partial) else network
    return inner if all(hasattr(inner, name) for name in ("state_dict", "double", "parameters")) else None
