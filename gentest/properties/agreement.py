"""Pairs: on every latent the candidate does what the reference does, or differs from it as it should.

`same_level` speaks of all outputs together: on average the candidate scores as the reference does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from gentest._support.printable import outward
from gentest.attributes import Attribute, Distance, Feature
from gentest.errors import InvalidArgument
from gentest.probes.families import points
from gentest.properties.definition import (
    Definition,
    Evidence,
    Measure,
    OfAll,
    StandardDeviations,
    Tolerance,
    check_callable,
    check_number,
    check_tolerance,
    non_defaults,
)

PLACES = 3
"""Number of values of an output that a counterexample names."""


def agrees(on: Attribute | Feature | Distance | None = None, *, within: Tolerance) -> Definition:
    """The candidate of a pair gives the reference's outputs, up to `within` >= 0.

    Without `on`, two outputs differ by their largest absolute difference of a value, as a share of the output range
    (without a declared range: of the range of 16 samples of the reference). `on` may be a distance of two outputs such
    as `gentest.lpips()`; a feature, whose difference is the L2 norm; or an attribute, whose difference is absolute, in
    its own units or, with `within=gentest.sd(x)`, in standard deviations of the reference.

    Margin: `within` minus the difference of the two outputs.

    >>> import gentest
    >>> gentest.agrees(within=4 / 255).at_rate(0.99)
    agrees(within=0.01568627450980392).at_rate(0.99)
    """
    tolerance = check_tolerance(within)
    _check_on(on)
    if isinstance(tolerance, StandardDeviations) and (on is None or isinstance(on, Distance)):
        raise InvalidArgument.expected("a number, since only attributes and features have sd(x)", "within", within)

    def margin(evidence: Evidence) -> Tensor:
        difference = evidence.from_reference(on)[:, 0]
        allowed: float | Tensor = evidence.rounding_of_reference(on)[:, 0]
        if isinstance(tolerance, StandardDeviations):
            assert on is not None
            return evidence.in_units(tolerance, on) + allowed - difference
        return tolerance + allowed - difference

    arguments = non_defaults(agrees, on=on, within=within)
    note = None
    if on is None and isinstance(tolerance, float):
        note = partial(_largest_differences, tolerance)
    return Definition("agrees", points(), margin, arguments=arguments, measures=_measures(on), compares=True, note=note)


def differs(on: Attribute | Feature | Distance | None = None, *, at_least: float) -> Definition:
    """The candidate of a pair gives other outputs than the reference: the adapter was applied, the weights were loaded.

    `at_least` > 0 is the smallest difference of two outputs, in the units of `agrees`. It cannot be `gentest.sd(x)`,
    since a collapsing candidate would lower its own bar.

    Margin: the difference of the two outputs minus `at_least`.

    >>> import gentest
    >>> gentest.differs(at_least=0.02)
    differs(at_least=0.02)
    """
    floor = check_number("at_least", at_least, positive=True)
    _check_on(on)

    def margin(evidence: Evidence) -> Tensor:
        return evidence.from_reference(on)[:, 0] + evidence.rounding_of_reference(on)[:, 0] - floor

    arguments = non_defaults(differs, on=on, at_least=at_least)
    return Definition(
        "differs",
        points(),
        margin,
        arguments=arguments,
        measures=_measures(on),
        compares=True,
    )


@dataclass(frozen=True)
class SameLevel(OfAll):
    """The statement of `same_level`: the means of an attribute on both sides differ by less than `within`."""

    attribute: Attribute
    within: Tolerance
    compares: ClassVar[bool] = True


def same_level(attribute: Attribute, *, within: Tolerance) -> SameLevel:
    """The mean of an attribute is the same on both sides of a pair, up to `within` > 0.

    `within` is in the attribute's own units or, with `gentest.sd(x)`, in standard deviations of the reference. Both
    sides get the same latents, and a sequential test of the differences of their scores stops as soon as it is certain,
    at most after `settings(budget=...)` latents: the property holds if the mean difference is certified to lie within
    (-`within`, `within`), and is violated if it is certified to lie beyond. Each is wrong with a probability of at most
    1 %, whenever the test stops (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
    betting"). It looks after every 8 latents. An unchanged candidate takes 16 latents; one that moved by five times
    `within` takes 8 to 24.

    It says nothing of single outputs: `agrees` does. It has no rate and no counterexample, since it speaks of the mean.
    A tail that no latent has shown so far is not in the mean: outputs that break on one latent in a thousand are
    found by `agrees`, or by a rate of it.

    >>> import gentest
    >>> gentest.same_level(gentest.brightness(), within=gentest.sd(0.3))
    same_level(brightness(), within=sd(0.3))
    """
    check_callable("attribute", attribute)
    return SameLevel(
        "same_level",
        attribute,
        check_tolerance(within, "within", positive=True),
        arguments=non_defaults(same_level, attribute=attribute, within=within),
        measures=(Measure(attribute, scalar=True),),
    )


def _largest_differences(within: float, evidence: Evidence) -> str:
    """The number of values of one output that differ by more than `within`, and the largest places, in words."""
    own, other = evidence.images[0, 0], evidence.reference.images[0, 0]  # [*shape]
    differences = (own - other) / evidence.reference.unit
    sizes = differences.abs()
    n = int((sizes > within + evidence.rounding_of_reference()[0, 0]).sum())
    if not n:
        return ""
    order = sizes.flatten().topk(min(n, PLACES)).indices
    places = [tuple(int(i) for i in torch.unravel_index(at, sizes.shape)) for at in order]
    named = ", ".join(f"{list(place)} by {outward(differences[place].item())}" for place in places)
    by_more = " by more" if within else ""
    return f"{n:,} of {sizes.numel():,} values differ{by_more}, the most at {named}"


def _check_on(on: object) -> None:
    if on is not None and not isinstance(on, Distance):
        check_callable("on", on)


def _measures(on: Attribute | Feature | Distance | None) -> tuple[Measure, ...]:
    """The measures of each side by itself: a distance needs both sides."""
    return () if on is None or isinstance(on, Distance) else (Measure(on),)
