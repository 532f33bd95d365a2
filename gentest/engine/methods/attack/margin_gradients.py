"""Evidence that keeps its way back to the latents, and the slope of a margin along it.

Memory is bounded: outputs are made, and measured, so many at a time as `AT_ONCE` says, and what a generator or a CLIP
computes on the way is not kept but computed again when the gradient comes back through it (Chen et al. 2016, "Training
deep nets with sublinear memory cost", arXiv:1604.06174). No weight is given a gradient, and no flag is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from gentest.engine.evidence.maker import Maker, flat, sliced
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.methods.attack.pullback import pulled_back
from gentest.errors import out_of_memory
from gentest.probes.ends import noise
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.spaces import Space
from gentest.spaces.space import Floats

if TYPE_CHECKING:
    from gentest.engine.evidence.context import Context
    from gentest.engine.evidence.subject import Subject
    from gentest.engine.judge import Judge

AT_ONCE = 1 << 23
"""Bytes of outputs that are made at once; a generator's activations take some 150 times that."""
MOST_AT_ONCE = 256
MEASURED = 16
"""Outputs that are measured at once: a CLIP takes far more memory on the way than an image."""
BLOCK = 1 << 28
"""Bytes of outputs that are kept at once, with as many of their gradients."""


@dataclass(frozen=True)
class Slopes:
    """Margins [N] of some probes, and their gradients [N, S * D] in the normal scores of the probes' ends."""

    margins: Floats
    gradients: Floats


class TracedOutputs(Outputs):
    """Outputs of N probes, with gradients; the sizes of its batches depend on nothing but the outputs' size."""

    keeps_gradients = True

    def __init__(self, maker: Maker, subject: Subject, family: Probes, probes: Sequence[Probe]) -> None:
        size = max(1, min(MOST_AT_ONCE, AT_ONCE // max(maker.image_bytes, 1)))
        super().__init__(maker, subject, family, probes, batch_size=size)
        self._whole = len(probes) * family.n_points <= size
        self._noise = flat(noise(subject.generator.noise, self.probes, family.n_points))
        self.leaves = {
            name: torch.from_numpy(z).to(maker.device).requires_grad_(z.dtype != np.int64)
            for name, z in self.placed.items()
        }

    @property
    def latents(self) -> Mapping[str, Tensor]:
        return self.leaves

    @property
    def measured_at_once(self) -> int:
        return MEASURED

    def _make(self, start: int, stop: int) -> Tensor:
        latents, drawn = (sliced(arrays, slice(start, stop)) for arrays in (flat(self.leaves), self._noise))

        def call(*parts: Tensor) -> Tensor:
            return self.maker.call(
                self.subject.generator, dict(zip(latents, parts, strict=True)), drawn, gradients=True
            )

        return call(*latents.values()) if self._whole else self.recomputing(call, *latents.values())

    def recomputing(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        made: Tensor = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
        return made


class Traced(Observed):
    """The evidence of N probes, with gradients."""

    def __init__(
        self, context: Context, subject: Subject, family: Probes, probes: Sequence[Probe], yardstick: Subject
    ) -> None:
        self._context = context
        self._traced = TracedOutputs(context.maker, subject, family, probes)
        super().__init__(context.measuring, Measurements(self._traced), yardstick=yardstick)
        self.elsewhere: dict[Space, Traced] = {}
        """The same probes under other priors."""

    @property
    def leaves(self) -> Mapping[str, Tensor]:
        """The latents [N, P, *shape] by part, which gradients come back to."""
        return self._traced.leaves

    def under(self, prior: Space) -> Traced:
        if prior not in self.elsewhere:
            subject = self._traced.subject.under(prior)
            self.elsewhere[prior] = Traced(self._context, subject, self._traced.family, self.probes, self._yardstick)
        return self.elsewhere[prior]


def slopes(judge: Judge, probes: Sequence[Probe]) -> Slopes | None:
    """The margins of some probes and where they fall; None where there is no gradient.

    There is none where the generator, an attribute or the margin breaks the way back to the latents, or where that
    ends at the latents: a bank's entries, choices.
    """
    n_points, context = judge.definition.probes.n_points * len(judge.under), judge.context
    size, found, at = max(1, BLOCK // max(context.maker.image_bytes * n_points, 1)), [], 0
    while at < len(probes):
        try:
            block = _slopes(judge, probes[at : at + size])
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
            size = (min(size, len(probes)) + 1) // 2
            torch.cuda.empty_cache()
            continue
        if block is None:
            return None
        found.append(block)
        at += size
    return Slopes(*(np.concatenate(rows) for rows in zip(*((b.margins, b.gradients) for b in found), strict=True)))


def _slopes(judge: Judge, probes: Sequence[Probe]) -> Slopes | None:
    own = Traced(judge.context, judge.subject, judge.definition.probes, probes, judge.subject)
    try:
        margins, found = _differentiated(judge, own)
    except Exception as error:
        if out_of_memory(error):
            raise
        return None  # somebody's code that does not like tensors with gradients; what else is wrong shows without
    total: Floats | None = None
    for evidence, gradients in found:
        pulled = pulled_back(judge.definition.probes, evidence.space, probes, gradients) if gradients else None
        if pulled is not None:
            total = pulled if total is None else total + pulled
    return None if total is None else Slopes(margins, total)


def _differentiated(judge: Judge, own: Traced) -> tuple[Floats, list[tuple[Traced, dict[str, Floats]]]]:
    """Margins [N], and under each prior that was looked at their gradients in the latents [N, P, *shape] by part."""
    base = judge.subject.generator.base
    # a checkpoint stops early by raising, through whoever catches exceptions
    with torch.enable_grad(), set_checkpoint_early_stop(enable=False):
        rows = [judge.definition.margin(own if u.space == base else own.under(u.space)) for u in judge.under]
        margins = torch.stack(rows).amin(0)
        seen = (own, *own.elsewhere.values())
        asked = [(e, name) for e in seen for name, z in e.leaves.items() if z.requires_grad]
        leaves = [e.leaves[name] for e, name in asked]
        found = (
            torch.autograd.grad(margins.sum(), leaves, allow_unused=True) if margins.requires_grad and leaves else ()
        )
    gradients: list[tuple[Traced, dict[str, Floats]]] = [(e, {}) for e in seen]
    of = {id(e): parts for e, parts in gradients}
    for (evidence, name), gradient in zip(asked, found, strict=False):
        if gradient is not None:
            of[id(evidence)][name] = torch.nan_to_num(gradient).double().cpu().numpy()
    return margins.detach().double().cpu().numpy(), gradients
