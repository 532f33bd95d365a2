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

from gentest.engine.evidence import Observed
from gentest.engine.pullback import pulled_back
from gentest.probes import Probe, Probes
from gentest.spaces import Space
from gentest.spaces.space import Floats

if TYPE_CHECKING:
    from gentest.engine.context import Context
    from gentest.engine.margins import Judge
    from gentest.engine.subject import Subject

AT_ONCE = 1 << 24
"""Bytes of outputs that are made at once; a generator's activations take some hundred times that."""
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


class Traced(Observed):
    """The evidence of N probes, with gradients; the sizes of its batches depend on nothing but the outputs' size."""

    def __init__(
        self, context: Context, subject: Subject, family: Probes, probes: Sequence[Probe], yardstick: Subject
    ) -> None:
        size = max(1, min(MOST_AT_ONCE, AT_ONCE // max(context.image_bytes, 1)))
        super().__init__(context, subject, family, probes, batch_size=size)
        self._yardstick = yardstick
        self._whole = len(probes) * family.n_points <= size
        self.leaves = {
            name: torch.from_numpy(z).to(context.device).requires_grad_(z.dtype != np.int64)
            for name, z in self._placed.items()
        }
        self.elsewhere: dict[Space, Traced] = {}
        """The same probes under other priors."""

    @property
    def _gradients(self) -> bool:
        return True

    @property
    def _inputs(self) -> Mapping[str, Any]:
        return self.leaves

    @property
    def latents(self) -> Tensor | Mapping[str, Tensor]:
        return self.leaves[""] if list(self.leaves) == [""] else self.leaves

    @property
    def _at_once(self) -> int:
        return MEASURED

    def _kept_small(self, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        if self._whole and function == self._call:
            return function(*arguments)
        made: Tensor = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
        return made

    def under(self, prior: Space) -> Traced:
        if prior not in self.elsewhere:
            subject = self._subject.under(prior)
            self.elsewhere[prior] = Traced(self._context, subject, self._family, self.probes, self._yardstick)
        return self.elsewhere[prior]


def slopes(judge: Judge, probes: Sequence[Probe]) -> Slopes | None:
    """The margins of some probes and where they fall; None where there is no gradient.

    There is none where the generator, an attribute or the margin breaks the way back to the latents, or where that
    ends at the latents: a bank's entries, choices.
    """
    n_points, context = judge.definition.probes.n_points * len(judge.under), judge.context
    size = max(1, BLOCK // max(context.image_bytes * n_points, 1))
    blocks = [_slopes(judge, probes[at : at + size]) for at in range(0, len(probes), size)]
    found = [block for block in blocks if block is not None]
    if len(found) < len(blocks):
        return None
    return Slopes(*(np.concatenate(rows) for rows in zip(*((b.margins, b.gradients) for b in found), strict=True)))


def _slopes(judge: Judge, probes: Sequence[Probe]) -> Slopes | None:
    family, base = judge.definition.probes, judge.subject.generator.base
    own = Traced(judge.context, judge.subject, family, probes, judge.subject)
    # a checkpoint stops early by raising, through whoever catches exceptions
    with torch.enable_grad(), set_checkpoint_early_stop(enable=False):
        rows = [judge.definition.margin(own if u.space == base else own.under(u.space)) for u in judge.under]
        margins = torch.stack(rows).amin(0)
        if not margins.requires_grad:
            return None
        asked = [(e, name) for e in (own, *own.elsewhere.values()) for name, z in e.leaves.items() if z.requires_grad]
        if not asked:
            return None
        found = torch.autograd.grad(margins.sum(), [e.leaves[name] for e, name in asked], allow_unused=True)
    total: Floats | None = None
    for evidence in (own, *own.elsewhere.values()):
        parts = {
            name: torch.nan_to_num(g).double().cpu().numpy()
            for (e, name), g in zip(asked, found, strict=True)
            if e is evidence and g is not None
        }
        pulled = pulled_back(family, evidence.space, probes, parts) if parts else None
        if pulled is not None:
            total = pulled if total is None else total + pulled
    return None if total is None else Slopes(margins.detach().double().cpu().numpy(), total)
