"""Properties of properties: under which priors one holds (meaning belongs to f, not to p(z)), and how far out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gentest._support.arguments import as_number, is_whole
from gentest.errors import InvalidArgument
from gentest.properties.definition import Declaration, Definition, RateInvariance, Under, WithinRadius, non_defaults
from gentest.spaces import Space, at_radius
from gentest.spaces.space import check_radius


def prior_invariant(inner: Declaration, *, priors: Sequence[Space], delta: float = 0.05) -> Definition:
    """The definition behind `gentest.prior_invariant`."""
    priors = tuple(priors) if isinstance(priors, (list, tuple)) else priors
    if not isinstance(priors, tuple) or not priors or not all(isinstance(p, Space) for p in priors):
        raise InvalidArgument.expected("a list of latent spaces such as [gentest.Uniform(128)]", "priors", priors)
    if not 0.0 < as_number(delta) < 1.0:
        raise InvalidArgument.expected("a difference of rates above 0 and below 1", "delta", delta)
    pointwise = _pointwise(inner, "prior_invariant(..., priors=[...])")
    if len(set(priors)) < len(priors):
        raise InvalidArgument.expected("priors that differ", "priors", list(priors))
    if isinstance(pointwise.states, RateInvariance):
        raise InvalidArgument("prior_invariant(prior_invariant(...)) names priors twice: give them all in one list")

    def under(own: Space) -> tuple[Under, ...]:
        others = [prior for prior in priors if dict(prior.parts) != dict(own.parts)]
        if not others:
            raise InvalidArgument.expected(f"a prior other than the generator's own, {own!r}", "priors", list(priors))
        return tuple(
            Under(u.space, _joined(repr(prior), u.arm), _joined(f"under {prior!r}", u.name))
            for prior in (own, *others)
            for u in pointwise.under(prior)
        )

    inner = replace(pointwise, scope=None)
    arguments = {"property": inner, **non_defaults(prior_invariant, priors=priors, delta=delta)}
    states = RateInvariance(float(delta))
    return replace(pointwise, name="prior_invariant", arguments=arguments, under=under, states=states)


def holds_within(inner: Declaration, radius: float, *, places: int = 4) -> Definition:
    """The definition behind `gentest.holds_within`."""
    furthest = check_radius("radius", radius)
    if not is_whole(places, 1):
        raise InvalidArgument.expected("a number of places >= 1", "places", places)
    pointwise = _pointwise(inner, f"holds_within(..., radius={radius!r})")
    if isinstance(pointwise.states, WithinRadius):
        raise InvalidArgument("holds_within(holds_within(...)) names two radii: give the one that is meant")
    radii = [furthest * k / places for k in range(1, places + 1)]

    def under(own: Space) -> tuple[Under, ...]:
        return tuple(
            Under(at_radius(u.space, r), u.arm, _joined(u.name, f"at radius {r:.4g}"))
            for u in pointwise.under(own)
            for r in radii
        )

    arguments = {"property": pointwise, **non_defaults(holds_within, radius=radius, places=places)}
    states = WithinRadius(pointwise, furthest)
    name = "holds_within"  # and what another property meets lies beyond the radius
    return replace(pointwise, name=name, arguments=arguments, under=under, states=states, valid_within=None)


def _pointwise(inner: Declaration, outer: str) -> Definition:
    """The inner property. Raises `InvalidArgument` if it does not judge single probes, or has a rate of its own."""
    if not isinstance(inner, Definition):
        raise InvalidArgument(f"{inner.name} speaks of all outputs together: compare .under(prior) of the generator")
    if inner.rate is not None:
        raise InvalidArgument(f"give the rate to the whole: {outer}{inner.rate}")
    return inner


def _joined(*names: str) -> str:
    return ", ".join(name for name in names if name)
