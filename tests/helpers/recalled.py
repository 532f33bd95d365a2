"""Kept outputs of a generator in memory, as the reference of a pair: what a file beside a baseline gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gentest.gate.kept import Quantized
from gentest.generators.calling import inputs_on
from gentest.generators.generator import Generator, ReferenceSource
from gentest.generators.recalled import Recalled
from gentest.plugin.kept_outputs import inputs_of
from gentest.results.comparison import KeptReference


@dataclass(frozen=True)
class InMemory(ReferenceSource):
    """The outputs of the first `n` independent probes of a seed."""

    generator: Generator
    n: int
    seed: int = 1

    def beside(self, candidate: Generator) -> tuple[Recalled, tuple[float, float] | None]:
        """The outputs as a function of the candidate's latents, and their range."""
        generator, inputs = self.generator, inputs_of(candidate, self.seed, self.n)
        bounded = generator.images or generator.output_range is not None
        values = inputs_on(torch.device("cpu"), generator.latent, inputs)
        latents = {name: values[name] for name in generator.latent.parts}
        outputs = generator.outputs(latents, {name: values[name] for name in generator.noise}).numpy()
        quantized = Quantized.of(outputs, bounded=bounded)
        record = KeptReference(
            file="blessed.json",
            blessed="a.pt blessed by ann on 2026-11-24, seed 1",
            n=self.n,
            seed=self.seed,
            bits=quantized.bits,
            rounding=quantized.largest_error(outputs),
            digest=str(id(self)),
        )
        span = 1.0 if bounded else float(outputs.max() - outputs.min())
        return Recalled(record, values, quantized.restored, span=span), (0.0, 1.0) if bounded else None
