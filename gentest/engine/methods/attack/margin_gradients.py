"""Gradients of margins in the normal scores of probes, by evidence that keeps its way back to the latents.

Memory is bounded. The generator and the attributes run on a few outputs at a time, and their intermediate values are
computed again when the gradient comes back (Chen et al. 2016, "Training deep nets with sublinear memory cost",
arXiv:1604.06174). No weight gets a gradient, and no flag of a module changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from gentest.engine.evidence.context import Context
from gentest.engine.evidence.maker import Maker, flat, sliced
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.methods.attack.pullback import pulled_back
from gentest.errors import out_of_memory
from gentest.probes.ends import noise
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.spaces import Space
from gentest.spaces.space import Floats

BYTES_AT_ONCE = 1 << 23
"""Bytes of outputs of one call; a generator's activations take about 150 times as much."""
MAX_AT_ONCE = 256
MEASURED_AT_ONCE = 16
"""Outputs measured in one call: with gradients, CLIP takes far more memory than an image."""
BLOCK_BYTES = 1 << 28
"""Bytes of outputs that are kept at a time; their gradients take as much again."""


@dataclass(frozen=True)
class MarginGradients:
    """Margins [N] of some probes, and their gradients [N, S * D] in the normal scores of the probes' ends."""

    margins: Floats
    gradients: Floats


class TracedOutputs(Outputs):
    """Outputs of N probes that keep the autograd graph. The size of an output alone decides the size of a batch."""

    keeps_gradients = True

    def __init__(
        self,
        maker: Maker,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        leaves: Mapping[str, Tensor] | None = None,
    ) -> None:
        size = max(1, min(MAX_AT_ONCE, BYTES_AT_ONCE // max(maker.image_bytes, 1)))
        super().__init__(maker, subject, family, probes, batch_size=size)
        self._is_one_batch = len(probes) * family.n_points <= size
        self._noise = flat(noise(subject.generator.noise, self.probes, family.n_points))
        self.leaves = leaves or {
            name: torch.from_numpy(z).to(maker.device).requires_grad_(z.dtype != np.int64)
            for name, z in self.placed.items()
        }

    @property
    def latents(self) -> Mapping[str, Tensor]:
        return self.leaves

    @property
    def measured_at_once(self) -> int:
        return MEASURED_AT_ONCE

    def _make(self, start: int, stop: int) -> Tensor:
        latents, drawn = (sliced(arrays, slice(start, stop)) for arrays in (flat(self.leaves), self._noise))

        def call(*parts: Tensor) -> Tensor:
            return self.maker.call(
                self.subject.generator, dict(zip(latents, parts, strict=True)), drawn, gradients=True
            )

        return call(*latents.values()) if self._is_one_batch else self.recomputing(call, *latents.values())

    def recomputing(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        result: Tensor = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
        return result


class Traced(Observed):
    """The evidence of N probes, with gradients. `leaves` are the latents [N, P, *shape] by part."""

    def __init__(
        self,
        context: Context,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        yardstick: Subject,
        leaves: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._context = context
        self._traced = TracedOutputs(context.maker, subject, family, probes, leaves)
        super().__init__(context.measuring, Measurements(self._traced), yardstick=yardstick)
        self.leaves: Mapping[str, Tensor] = self._traced.leaves
        self.under_priors: dict[Space, Traced] = {}
        """The same probes under each other prior that a margin asked for."""

    def under(self, prior: Space) -> Traced:
        if prior not in self.under_priors:
            subject = self._traced.subject.under(prior)
            self.under_priors[prior] = Traced(self._context, subject, self._traced.family, self.probes, self._yardstick)
        return self.under_priors[prior]

    def _reference_evidence(self, subject: Subject) -> Traced:
        return Traced(self._context, subject, self._traced.family, self.probes, subject, self.leaves)


def margin_gradients(judge: Judge, probes: Sequence[Probe]) -> MarginGradients | None:
    """The margins of some probes and their gradients; None if there is no gradient.

    There is none if the generator, an attribute or the margin breaks the graph, or if the graph ends at the latents,
    which then are a bank's entries or choices.
    """
    n_points, context = judge.definition.probes.n_points * len(judge.under), judge.context
    size, blocks, start = max(1, BLOCK_BYTES // max(context.maker.image_bytes * n_points, 1)), [], 0
    while start < len(probes):
        try:
            block = _of_block(judge, probes[start : start + size])
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
            size = (min(size, len(probes)) + 1) // 2
            torch.cuda.empty_cache()
            continue
        if block is None:
            return None
        blocks.append(block)
        start += size
    return MarginGradients(
        np.concatenate([block.margins for block in blocks]), np.concatenate([block.gradients for block in blocks])
    )


def _of_block(judge: Judge, probes: Sequence[Probe]) -> MarginGradients | None:
    own = Traced(judge.context, judge.subject, judge.definition.probes, probes, judge.subject)
    try:
        margins, by_leaf = _differentiated(judge, own)
    except Exception as error:
        if out_of_memory(error):
            raise
        return None  # a user's code may not take tensors with gradients; the evaluation without shows any other fault
    total: Floats | None = None
    for evidence in (own, *own.under_priors.values()):
        gradients = {name: by_leaf[id(leaf)] for name, leaf in evidence.leaves.items() if id(leaf) in by_leaf}
        pulled = pulled_back(judge.definition.probes, evidence.space, probes, gradients) if gradients else None
        if pulled is not None:
            total = pulled if total is None else total + pulled
    return None if total is None else MarginGradients(margins, total)


def _differentiated(judge: Judge, own: Traced) -> tuple[Floats, dict[int, Floats]]:
    """Margins [N], and the gradients of their sum [N, P, *shape] by the id of the leaf."""
    base = judge.subject.generator.base
    # With early stop, a checkpoint raises an exception, which a user's `except` could swallow.
    with torch.enable_grad(), set_checkpoint_early_stop(enable=False):
        rows = [judge.definition.margin(own if u.space == base else own.under(u.space)) for u in judge.under]
        margins = torch.stack(rows).amin(0)
        evidence = (own, *own.under_priors.values())
        leaves = [leaf for one in evidence for leaf in one.leaves.values() if leaf.requires_grad]
        by_leaf: dict[int, Floats] = {}
        if margins.requires_grad and leaves:
            gradients = torch.autograd.grad(margins.sum(), leaves, allow_unused=True)
            for leaf, gradient in zip(leaves, gradients, strict=True):
                if gradient is not None:
                    by_leaf[id(leaf)] = torch.nan_to_num(gradient).double().cpu().numpy()
    return margins.detach().double().cpu().numpy(), by_leaf
