"""Meaning belongs to f and not to p(z): what holds under one prior holds under another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gentest.errors import InvalidArgument
from gentest.properties.definition import Definition, Evidence
from gentest.spaces import Space


def prior_invariant(inner: Definition, *, priors: Sequence[Space]) -> Definition:
    """`gentest.prior_invariant`, of a property's definition."""
    priors = tuple(priors) if isinstance(priors, (list, tuple)) else priors
    if not isinstance(priors, tuple) or not priors or not all(isinstance(p, Space) for p in priors):
        raise InvalidArgument.expected("a list of latent spaces such as [gentest.Uniform(128)]", "priors", priors)

    if inner.rate is not None:
        raise InvalidArgument(f"give the rate to the whole: prior_invariant(..., priors=[...]){inner.rate}")

    def margin(evidence: Evidence) -> Tensor:
        margins = [inner.margin(evidence), *(inner.margin(evidence.under(prior)) for prior in priors)]
        return torch.stack(margins).amin(0)

    arguments = {"property": inner, "priors": priors}
    return Definition("prior_invariant", inner.probes, margin, arguments, inner.total, inner.reducible)
