"""Directions of the latent space: a direction moves one attribute and leaves others as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gentest.attributes import Attribute
from gentest.errors import InvalidArgument
from gentest.probes.families import Along
from gentest.properties.definition import (
    Definition,
    Evidence,
    Measure,
    Tolerance,
    check_callable,
    check_kept,
    check_tolerance,
    non_defaults,
)
from gentest.spaces import Direction

AnyDirection: TypeAlias = Direction | ArrayLike | Mapping[str, ArrayLike]
"""A direction, an array or tensor of the latent's shape, or `{part: array}` in a `Joint`."""


def steers(
    attribute: Attribute,
    *,
    along: AnyDirection,
    at_least: Tolerance,
    keeps: Sequence[Attribute] = (),
    tolerance: Tolerance | None = None,
    reach: float = 3.0,
    points: int = 5,
) -> Definition:
    """A direction of the latent space raises an attribute, from any sample, and leaves others as they are.

    A probe is a sample of the prior and `points` >= 2 places on the way from it, up to `reach` along the unit
    direction, in the latent's own units (standard deviations of a `Normal`). The way stays inside the prior's support:
    it is clamped to a box and goes round a sphere. Choices stay. `along` is an array or tensor of the latent's shape
    and of any length but 0, a `gentest.Direction` as `gentest.find_direction` returns, or `{part: array}` in a `Joint`
    with several continuous parts. To lower an attribute, pass `along=-direction`.

    `at_least` > 0 is the smallest rise from the sample to the far end. Each attribute of `keeps` may move by
    `tolerance` > 0, up or down, anywhere on the way. Both are numbers in the attribute's units, or `gentest.sd(x)`,
    which suits attributes of different units. Stack decorators to give each attribute its own tolerance.

    Margin: dimensionless, the smaller of rise / at_least - 1 and, over `keeps`, 1 - largest move / tolerance.

    `monotone` and `between` speak of paths between any two samples, and hold where nothing changes at all. `steers`
    names a direction, a sign and a size, and leaves the shape of the way to them.

    >>> import gentest
    >>> gentest.steers(gentest.brightness(), along=[1.0, 0.0], at_least=0.1, keeps=[gentest.contrast()], tolerance=0.05)
    steers(brightness(), along=Direction(2, 061667be4a27a47b), at_least=0.1, keeps=[contrast()], tolerance=0.05)
    """
    check_callable("attribute", attribute)
    direction = as_direction(along)
    check_tolerance(at_least, "at_least", positive=True)
    kept = check_kept(keeps)
    for number, other in enumerate(kept):
        if other is attribute or other == attribute:
            raise InvalidArgument.expected("other attributes than the one it moves", f"keeps[{number}]", other)
    if kept and tolerance is None:
        raise InvalidArgument.expected("a tolerance for what it keeps", "tolerance", tolerance)
    if tolerance is not None:
        check_tolerance(tolerance, positive=True)
        if not kept:
            raise InvalidArgument(f"tolerance={tolerance!r} is for keeps=[...], and it keeps nothing")

    def margin(evidence: Evidence) -> Tensor:
        a = evidence.scores(attribute)  # [N, P]
        margins = [(a[:, -1] - a[:, 0]) / evidence.in_units(at_least, attribute) - 1.0]
        for other in kept:
            b = evidence.scores(other)
            moved = (b - b[:, :1]).abs().amax(1)
            margins.append(1.0 - moved / evidence.in_units(tolerance or 0.0, other))
        return torch.stack(margins).amin(0)

    arguments = non_defaults(
        steers,
        attribute=attribute,
        along=direction,
        at_least=at_least,
        keeps=kept,
        tolerance=tolerance,
        reach=reach,
        points=points,
    )
    probes = Along(direction, reach, points)
    measures = tuple(Measure(measured, scalar=True) for measured in (attribute, *kept))
    # Fewer coordinates would make another direction, about which the user claims nothing.
    return Definition("steers", probes, margin, arguments=arguments, measures=measures, reducible=False)


def as_direction(along: AnyDirection) -> Direction:
    """The direction that an array, a tensor or `{part: array}` gives. Raises `InvalidArgument` for anything else."""
    if isinstance(along, Direction):
        return along
    if isinstance(along, Mapping):
        if len(along) != 1:
            raise InvalidArgument.expected("the direction of one part", "along", along)
        ((part, vector),) = along.items()
        return Direction(vector, part=part)
    return Direction(along)
