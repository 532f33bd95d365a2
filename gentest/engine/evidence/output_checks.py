"""What outputs are refused for, and by which probe that is said."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from gentest.engine.evidence.subject import Subject
from gentest.errors import GeneratorError
from gentest.generators.generator import TANH
from gentest.probes.probe import Probe

SLACK = 1e-3
"""How far outputs may leave the declared range, as a share of its width, before it is an error."""


def named(error: GeneratorError, probe: Probe) -> GeneratorError:
    """The error, which says on which probe the generator failed."""
    error.probe = probe
    error.args = (f"{error} (probe {probe})",)
    return error


def clamped(x: Tensor, subject: Subject, probes: Sequence[Probe], *, bounded: bool) -> Tensor:
    """The outputs [N, P, ...] of some probes, in [0, 1] where they are bounded.

    Raises `GeneratorError` where one is not finite, or out of the range by more than rounding.
    """
    bad = ~x.isfinite().flatten(2).all(-1)
    if bad.any():
        raise _refused("returned values that are not finite", bad, probes)
    if not bounded:
        return x
    declared = subject.generator.output_range
    low, high = declared or TANH
    out = ((x < -SLACK) | (x > 1 + SLACK)).flatten(2).any(-1)
    if out.any():
        worst = x[out]
        raw = f"{low + worst.min().item() * (high - low):.4g} to {low + worst.max().item() * (high - low):.4g}"
        raise _refused(
            f"returned values from {raw}, outside the {'declared' if declared else 'default'} "
            f"output_range=({low:g}, {high:g}); say Generator(..., output_range=(low, high)), or clamp its outputs",
            out,
            probes,
        )
    return x.clamp(0.0, 1.0)


def _refused(what: str, bad: Tensor, probes: Sequence[Probe]) -> GeneratorError:
    n, p = (int(i) for i in bad.nonzero()[0])
    error = GeneratorError(
        f"the generator {what} (at latent {p} of probe {probes[n]}; "
        "gentest.well_formed() finds and reduces such latents)"
    )
    error.probe = probes[n]
    return error
