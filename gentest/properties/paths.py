"""Paths: an attribute lies between its ends and moves one way, nothing jumps, and no stretch is too long."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gentest._support.arguments import is_whole
from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.distances import NO_SPREAD
from gentest.errors import InvalidArgument
from gentest.probes.families import Where, segments, steps
from gentest.properties.definition import (
    Definition,
    Evidence,
    Measure,
    StandardDeviations,
    Tolerance,
    along,
    check_callable,
    check_measure,
    check_number,
    check_tolerance,
    non_defaults,
)


def between(
    attribute: Attribute, *, tolerance: Tolerance, points: int = 9, moves: Sequence[str] | None = None
) -> Definition:
    """An attribute stays between its values at the two ends of a path, everywhere on the path.

    `tolerance` is a number >= 0 in the attribute's units, or `gentest.sd(x)`. `points` >= 3 is the number of places on
    the path. `moves` names the parts of a `Joint` that change from end to end, as `["latents"]`; by default all do, and
    choices and conditions never.

    Margin: `tolerance` minus the largest excess of the attribute over [a(x_0), a(x_1)], in the attribute's units.

    >>> import gentest
    >>> gentest.between(gentest.brightness(), tolerance=0.05)
    between(brightness(), tolerance=0.05)
    """
    check_callable("attribute", attribute)
    check_tolerance(tolerance)
    _check_interior(points)

    def margin(evidence: Evidence) -> Tensor:
        a = evidence.scores(attribute)  # [N, P]
        ends = a[:, [0, -1]]
        inside = a[:, 1:-1]
        excess = torch.maximum(inside - ends.amax(1, keepdim=True), ends.amin(1, keepdim=True) - inside).amax(1)
        held: Tensor = evidence.in_units(tolerance, attribute) - excess
        return held

    arguments = non_defaults(between, attribute=attribute, tolerance=tolerance, points=points, moves=moves)
    measures = (Measure(attribute, scalar=True),)
    return Definition("between", segments(points, moves=moves), margin, arguments=arguments, measures=measures)


def monotone(
    attribute: Attribute, *, tolerance: Tolerance, points: int = 9, moves: Sequence[str] | None = None
) -> Definition:
    """An attribute moves one way along a path: up or down, but not both.

    `tolerance` is a number >= 0 in the attribute's units, or `gentest.sd(x)`. `points` >= 3 is the number of places on
    the path. `moves` names the parts of a `Joint` that change from end to end, as `["latents"]`; by default all do, and
    choices and conditions never.

    Margin: `tolerance` minus the largest move back, in the attribute's units. The move back is the smaller of the
    largest fall (against a path that goes up) and the largest rise (against one that goes down) between any two places
    in order along the path.

    >>> import gentest
    >>> gentest.monotone(gentest.sharpness(), tolerance=gentest.sd(2), points=17)
    monotone(sharpness(), tolerance=sd(2), points=17)
    """
    check_callable("attribute", attribute)
    check_tolerance(tolerance)
    _check_interior(points)

    def margin(evidence: Evidence) -> Tensor:
        a = evidence.scores(attribute)
        fall = (a.cummax(1).values - a).amax(1)
        rise = (a - a.cummin(1).values).amax(1)
        held: Tensor = evidence.in_units(tolerance, attribute) - torch.minimum(fall, rise)
        return held

    arguments = non_defaults(monotone, attribute=attribute, tolerance=tolerance, points=points, moves=moves)
    measures = (Measure(attribute, scalar=True),)
    return Definition("monotone", segments(points, moves=moves), margin, arguments=arguments, measures=measures)


STILL = 1e-6
"""A path with a shorter mean step has no steps to compare: its ratio counts as 1."""


def continuous(
    feature: Feature | Distance | None = None,
    *,
    tolerance: Tolerance | None = None,
    ratio: float | None = None,
    points: int = 9,
    moves: Sequence[str] | None = None,
) -> Definition:
    """Nothing jumps: no step along a path is too long, in a feature's own units or against the path's mean step.

    `feature` maps images to vectors (`gentest.pixels()` by default, whose distance is the root-mean-square difference
    in [0, 1]; `gentest.clip_embedding()` for CLIP's space), or is a distance of two images, such as `gentest.lpips()`.
    Give one limit. `tolerance` >= 0 is the longest step allowed, in the units of the feature or distance, or
    `gentest.sd(x)` for a feature. `ratio`, >= 1 and below points - 1, is the scale-free form: the longest step over the
    mean step. More `points` (>= 3) make both stricter against jumps.
    `moves` names the parts of a `Joint` that change from end to end; by default all do.

    Margin: `tolerance` minus the longest step, or `ratio` minus the longest step over the mean step.

    >>> import gentest
    >>> gentest.continuous(ratio=4)
    continuous(pixels(), ratio=4)
    """
    feature = check_measure("feature", feature)
    if (tolerance is None) == (ratio is None):
        raise InvalidArgument(
            f"continuous() takes one of tolerance= and ratio= but got tolerance={tolerance!r}, ratio={ratio!r}"
        )
    if tolerance is not None:
        check_tolerance(tolerance)
    if isinstance(feature, Distance) and isinstance(tolerance, StandardDeviations):
        raise InvalidArgument.expected(NO_SPREAD, "tolerance", tolerance)
    _check_interior(points)
    if tolerance is None and not 1 <= check_number("ratio", ratio) < points - 1:
        what = f"a ratio >= 1 and < points - 1 = {points - 1}, which no path of {points} points exceeds"
        raise InvalidArgument.expected(what, "ratio", ratio)

    def margin(evidence: Evidence) -> Tensor:
        walked = evidence.distances(feature, range(points - 1), range(1, points))  # [N, P - 1]
        if tolerance is None:
            mean, limit = walked.mean(1), ratio or 0.0
            longest = torch.where(mean > STILL, walked.amax(1) / mean.clamp(min=STILL), torch.ones_like(mean))
        else:
            longest, limit = walked.amax(1), evidence.in_units(tolerance, feature)
        held: Tensor = limit - longest
        return held

    arguments = non_defaults(continuous, feature=feature, tolerance=tolerance, ratio=ratio, points=points, moves=moves)
    return Definition(
        "continuous", segments(points, moves=moves), margin, arguments=arguments, measures=along(feature, points)
    )


def path_length(
    distance: Feature | Distance | None = None,
    *,
    at_most: float,
    epsilon: float = 1e-4,
    at: Where = "path",
    straight: bool = False,
    moves: Sequence[str] | None = None,
) -> Definition:
    """No stretch of latent space is too long: a small step of the latent changes the output by a bounded amount.

    The length is d(f(z(t)), f(z(t + epsilon))) / epsilon^2 on the path z between two independent samples (Karras et al.
    2019, "A style-based generator architecture for generative adversarial networks", arXiv:1812.04948, section 4.1).
    `distance` is a squared distance of two images, such as `gentest.lpips()`, or a feature (`gentest.pixels()` by
    default), whose L2 distance gentest squares. With a `gentest.distance` that is not squared, lengths grow without
    bound as epsilon shrinks. `epsilon` lies in [1e-6, 1/64]. `at="path"` draws t uniformly from the probe's seed;
    `at="ends"` starts at a sample. `straight` walks straight lines instead of the prior's paths, and
    `moves` names the parts of a `Joint` that change.

    Margin: `at_most` >= 0 minus that length. `gentest.perceptual_path_length` measures the mean of the lengths.

    >>> import gentest
    >>> gentest.path_length(at_most=0.5)
    path_length(pixels(), at_most=0.5)
    """
    distance = check_measure("distance", distance)
    limit = check_number("at_most", at_most)
    family = steps(epsilon, at=at, straight=straight, moves=moves)

    def margin(evidence: Evidence) -> Tensor:
        return limit - lengths(evidence, distance, epsilon)

    arguments = non_defaults(
        path_length, distance=distance, at_most=at_most, epsilon=epsilon, at=at, straight=straight, moves=moves
    )
    return Definition("path_length", family, margin, arguments=arguments, measures=along(distance, 2))


def lengths(evidence: Evidence, distance: Feature | Distance, epsilon: float) -> Tensor:
    """The length [N] of each step of `gentest.steps(epsilon)`: the squared distance of its ends over epsilon^2."""
    d = evidence.distances(distance, [0], [1])[:, 0]
    return (d if isinstance(distance, Distance) else d.square()) / epsilon**2


def _check_interior(points: object) -> None:
    if not is_whole(points, 3):
        raise InvalidArgument.expected("a number of points >= 3", "points", points)
