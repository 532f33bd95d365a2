"""The perceptual path length of a generator: how much its output changes for a small step, averaged over paths.

Karras et al. 2019, "A style-based generator architecture for generative adversarial networks", arXiv:1812.04948,
section 4.1: E[d(f(z(t)), f(z(t + epsilon))) / epsilon^2]. It is trimmed as in torch-fidelity (metric_ppl.py), so that
figures can be compared. The property `gentest.path_length` bounds each of these lengths.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
import torch

from gentest._support.arguments import as_number, is_whole
from gentest.attributes import Distance, Feature, lpips
from gentest.engine.cluster.actors import shared_context
from gentest.engine.evidence.examine import examine
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.plans import Stream, real
from gentest.errors import InvalidArgument
from gentest.generators.generator import Generator, check_generator
from gentest.probes.families import Where, steps
from gentest.properties.definition import check_measure
from gentest.properties.paths import lengths
from gentest.results.settings import in_force, settings
from gentest.spaces.space import Array


@dataclass(frozen=True)
class PathLength:
    """The mean and standard deviation of `n` path lengths, and the lengths of all probes before trimming."""

    mean: float
    sd: float
    n: int
    lengths: tuple[float, ...] = field(repr=False)

    @property
    def standard_error(self) -> float:
        """The standard error of the mean, `sd` / sqrt(n), which ignores the trimming."""
        return self.sd / sqrt(self.n)

    def __str__(self) -> str:
        return f"{self.mean:.4g} ± {self.standard_error:.2g} ({self.n} of {len(self.lengths)} paths)"


def perceptual_path_length(
    generator: Generator,
    *,
    distance: Feature | Distance | None = None,
    n: int = 10_000,
    epsilon: float = 1e-4,
    at: Where = "ends",
    straight: bool = False,
    seed: int = 0,
    discard: tuple[float, float] | None = (0.01, 0.99),
    settings: settings | None = None,
) -> PathLength:
    """The mean path length over `n` independent probes, in squared distance per squared step; >= 0.

    `distance` is a squared distance, by default `gentest.lpips("vgg")`, or a feature, whose L2 distance is squared.
    `epsilon`, `at` and `straight` mean the same as in `gentest.path_length`. By default torch-fidelity and torchmetrics
    start at the ends and walk straight lines: with a normal prior that is `straight=True`, and its figure can be
    (pi / 2)^2 = 2.5 times smaller than that of great circles. The probes are those of a rate with the same `seed`.
    `discard` leaves out lengths below the first quantile and above the second, as torch-fidelity does; None keeps all.
    Images stay floats and are never rounded to 8 bits. `settings` gives the device, the batch size and the CLIP.

    Raises `InvalidArgument`, `GeneratorError` or `AttributeFailed`.

    >>> import gentest
    >>> g = gentest.Generator(lambda z: z[:, :, None, None] / 10, latent=gentest.Uniform(1))
    >>> print(gentest.perceptual_path_length(g, distance=gentest.pixels(), n=1000))
    0.004904 ± 0.00018 (983 of 1000 paths)
    """
    check_generator(generator)
    if not is_whole(n, 1):
        raise InvalidArgument.expected("a number of probes >= 1", "n", n)
    context = shared_context(replace(in_force(settings), seed=seed))
    distance = lpips("vgg") if distance is None else distance
    check_measure("distance", distance)
    family, quantiles = steps(epsilon, at=at, straight=straight), _checked_quantiles(discard)
    generator.to(context.device)
    subject = context.subject(generator)
    examine(context, subject)
    probes = Stream(seed, functools.partial(real, family, generator.latent)).probes(0, n)
    measured: list[float] = []
    with torch.no_grad():
        while len(measured) < n:
            size = max(context.batch_size // family.n_points, 1)
            block = probes[len(measured) : len(measured) + size]
            outputs = Outputs(context.maker, subject, family, block)
            evidence = Observed(context.measuring, Measurements(outputs))
            measured += lengths(evidence, distance, epsilon).double().cpu().tolist()
    kept = _trimmed(np.array(measured), quantiles)
    return PathLength(float(kept.mean()), float(kept.std()), len(kept), tuple(measured))


def _checked_quantiles(discard: object) -> tuple[float, float]:
    if discard is None:
        return 0.0, 1.0
    low, high = map(as_number, discard) if isinstance(discard, tuple) and len(discard) == 2 else (1.0, 0.0)
    if not 0.0 <= low < high <= 1.0:
        raise InvalidArgument.expected("two quantiles, 0 <= low < high <= 1, or None", "discard", discard)
    return low, high


def _trimmed(measured: Array, quantiles: tuple[float, float]) -> Array:
    """The lengths between two quantiles, inclusive."""
    low = np.quantile(measured, quantiles[0], method="lower")
    high = np.quantile(measured, quantiles[1], method="higher")
    return np.asarray(measured[(low <= measured) & (measured <= high)])
