"""What must hold along a path: an attribute lies between its ends, moves one way, and nothing jumps."""

from __future__ import annotations

import torch
from torch import Tensor

from gentest.attributes import Attribute, Feature
from gentest.attributes.pixels import pixels
from gentest.errors import InvalidArgument
from gentest.probes import segments
from gentest.properties.definition import Definition, Evidence, check_callable
from gentest.tolerances import Tolerance, check_number, check_tolerance


def between(attribute: Attribute, *, tolerance: Tolerance, points: int = 9) -> Definition:
    """An attribute stays between its values at the two ends of a path, all along it.

    Margin: `tolerance` less the most by which the attribute leaves [a(x_0), a(x_1)], in the attribute's units.
    `tolerance` is a number >= 0 in those units or `gentest.sd(x)`; `points` >= 3 places on the path.

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

    return Definition("between", segments(points), margin, _arguments(attribute, tolerance, points))


def monotone(attribute: Attribute, *, tolerance: Tolerance, points: int = 9) -> Definition:
    """An attribute moves one way along a path: up or down, but not both.

    Margin: `tolerance` less the largest move back, in the attribute's units: the smaller of the largest fall (had it
    been going up) and the largest rise (had it been going down), between any two places in order along the path.

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

    return Definition("monotone", segments(points), margin, _arguments(attribute, tolerance, points))


STILL = 1e-6
"""A path whose mean step is shorter has no steps to compare: its largest step counts as its mean step."""


def continuous(
    feature: Feature | None = None, *, tolerance: Tolerance | None = None, ratio: float | None = None, points: int = 9
) -> Definition:
    """Nothing jumps: no step along a path is too long, in a feature's own units or against the path's mean step.

    `feature` maps images to vectors (`gentest.pixels()` by default, whose distance is the root-mean-square difference
    in [0, 1]; `gentest.clip_embedding()` for CLIP's space). Give one of `tolerance`, the longest step allowed, in the
    feature's units or as `gentest.sd(x)`; or `ratio` >= 1, the scale-free form: the longest step over the mean one.
    A larger number of points makes both stricter against jumps.

    Margin: the tolerance less the longest step, or the ratio less the longest step over the mean step.

    >>> import gentest
    >>> gentest.continuous(ratio=4)
    continuous(pixels(), ratio=4)
    """
    feature = pixels() if feature is None else feature
    check_callable("feature", feature)
    if (tolerance is None) == (ratio is None):
        raise InvalidArgument(
            f"continuous() takes one of tolerance= and ratio= but got tolerance={tolerance!r}, ratio={ratio!r}"
        )
    if tolerance is not None:
        check_tolerance(tolerance)
    _check_interior(points)
    if tolerance is None and not 1 <= check_number("ratio", ratio) < points - 1:
        what = f"a ratio >= 1 and < points - 1 = {points - 1}, which no path of {points} points exceeds"
        raise InvalidArgument.expected(what, "ratio", ratio)

    def margin(evidence: Evidence) -> Tensor:
        steps = evidence.features(feature).diff(dim=1).norm(dim=-1)  # [N, P - 1]
        if tolerance is None:
            mean, limit = steps.mean(1), ratio or 0.0
            longest = torch.where(mean > STILL, steps.amax(1) / mean.clamp(min=STILL), torch.ones_like(mean))
        else:
            longest, limit = steps.amax(1), evidence.in_units(tolerance, feature)
        held: Tensor = limit - longest
        return held

    bound = {"ratio": ratio} if tolerance is None else {"tolerance": tolerance}
    return Definition("continuous", segments(points), margin, {"feature": feature, **bound, **_points(points)})


def _check_interior(points: object) -> None:
    if not isinstance(points, int) or isinstance(points, bool) or points < 3:
        raise InvalidArgument.expected("a number of points >= 3", "points", points)


def _points(points: int) -> dict[str, object]:
    return {} if points == segments().n_points else {"points": points}


def _arguments(attribute: Attribute, tolerance: Tolerance, points: int) -> dict[str, object]:
    return {"attribute": attribute, "tolerance": tolerance, **_points(points)}
