"""A space that a network makes of another: StyleGAN's w of z (Karras et al. 2019, arXiv:1812.04948).

The network is evaluated on the CPU, in float64 and one latent at a time, so that a latent does not depend on which
others are drawn with it, and is rounded once, to float32, as every latent is.
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
from gentest.spaces.space import Array, Floats, Part
from gentest.spaces.streams import uniforms_of

N_MEAN = 10_000
"""Latents whose mean is the mean of the space, as StyleGAN's w_avg is, and whose distance from it is radius 1."""
N_DIGEST = 16
CHUNK = 500
SEED = 0x6D6170706564
"""Of the fixed samples."""


class _Moments(NamedTuple):
    """The mean of the fixed samples, and the root of their mean square distance from it."""

    mean: Floats
    radius: float


@dataclass(frozen=True, init=False)
class Mapped(Part):
    """What a network makes of the latents of another space, as one part: `Mapped(Normal(512), mapping)` is w.

    `network` is an `nn.Module`, of which a copy is kept, or a callable on float64 arrays [N, *shape] that gives
    [N, *shape of w]. Further inputs of a module are given by a partial: `functools.partial(mapping, c=None)`. Paths are
    straight lines between what the network makes of the two ends; truncation draws to the mean of 10,000 fixed samples.

    >>> import gentest
    >>> gentest.Mapped(gentest.Normal(2), lambda z: np.tanh(z @ np.ones((2, 3)))).shape
    (3,)
    """

    part: Part
    network: Callable[[Floats], Array] = field(compare=False, repr=False)
    shape: tuple[int, ...]
    digest: str

    def __init__(self, part: Part, network: Callable[..., Any]) -> None:
        if not isinstance(part, Part) or part.n_groups == 0:
            raise InvalidArgument.expected("a space that is one part and no choice", "part", part)
        if not callable(network) or isinstance(network, type):
            raise InvalidArgument.expected("an nn.Module or a callable on arrays", "network", network)
        function = network if _module_of(network) is None else OfModule(network)
        object.__setattr__(self, "part", part)
        object.__setattr__(self, "network", function)
        samples = self._mapped(self._drawn(0, N_DIGEST))
        object.__setattr__(self, "shape", samples.shape[1:])
        content = function.content if isinstance(function, OfModule) else samples.astype(np.float32).tobytes()
        object.__setattr__(self, "digest", hashlib.sha256(repr(self.shape).encode() + content).hexdigest()[:16])

    def __repr__(self) -> str:
        shown = self.shape[0] if len(self.shape) == 1 else self.shape
        return f"Mapped({self.part!r} to {shown}, {self.digest})"

    @property
    def dim(self) -> int:
        return self.part.dim

    @property
    def n_groups(self) -> int:
        return self.part.n_groups

    @property
    def n_values(self) -> int | None:
        return self.part.n_values

    @property
    def cut(self) -> str:
        return self.part.cut

    def from_uniforms(self, uniforms: Floats) -> Array:
        return self._mapped(self.part.from_uniforms(uniforms))

    def mean(self) -> Floats:
        return self._moments.mean

    def unit_radius(self) -> float:
        return self._moments.radius

    @cached_property
    def _moments(self) -> _Moments:
        total = np.zeros(self.shape)
        square, about = 0.0, np.zeros(self.shape)
        for at in range(N_MEAN // CHUNK):
            rows = self._called(self._drawn(at, CHUNK))
            about = about if at else rows.mean(axis=0)  # near the mean, so that nothing is lost in the difference
            total += rows.sum(axis=0)
            square += float(np.square(rows - about).sum())
        mean = total / N_MEAN
        variance = square / N_MEAN - float(np.square(mean - about).sum())
        return _Moments(mean, max(variance, 0.0) ** 0.5 or 1.0)

    def _drawn(self, index: int, n: int) -> Floats:
        """Fixed samples [n, *shape] of the inner space."""
        drawn = uniforms_of([SEED], index, 0, n * self.dim).reshape(n, self.dim)
        return np.asarray(self.part.from_uniforms(drawn), dtype=np.float64)

    def _mapped(self, latents: Array) -> Floats:
        """Latents [N, *shape of w] of latents [N, *shape], one at a time."""
        made = [self._called(row[None]) for row in np.asarray(latents, dtype=np.float64)]
        return np.concatenate(made) if made else np.empty((0, *self.shape))

    def _called(self, rows: Floats) -> Floats:
        try:
            made = np.asarray(self.network(rows), dtype=np.float64)
        except Exception as error:
            what = f"raised {error_summary(error)} (for latents {rows.shape})"
            raise InvalidArgument(f"the network of a Mapped space {what}") from error
        if made.ndim < 2 or len(made) != len(rows) or not np.isfinite(made).all():
            broken = "" if np.isfinite(made).all() else "values that are not finite, in "
            raise InvalidArgument(
                f"the network of a Mapped space gave {broken}shape {made.shape} for latents {rows.shape}; "
                f"expected finite latents [{len(rows)}, *shape]"
            )
        return made


class OfModule:
    """A copy of an `nn.Module`, or of a partial over one, on arrays: in float64, on the CPU, in eval mode.

    Nothing of torch is imported: a module brings its own tensors.
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

    @property
    def content(self) -> bytes:
        """The weights: names, shapes and values."""
        return b"".join(
            f"{name} {tuple(weight.shape)}".encode() + weight.detach().contiguous().numpy().tobytes()
            for name, weight in self.state.items()
        )


def _module_of(network: Any) -> Any:
    """The `nn.Module` that a network is, or is a partial over; None for another callable."""
    inner = network.func if isinstance(network, partial) else network
    return inner if all(hasattr(inner, name) for name in ("state_dict", "double", "parameters")) else None
