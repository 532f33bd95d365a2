"""`matches`: all outputs together are distributed as a reference is."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass

from gentest._support.arguments import as_number, is_whole
from gentest.attributes import Feature
from gentest.attributes.clip import clip_embedding
from gentest.errors import InvalidArgument
from gentest.properties.definition import Measure, OfAll, check_callable, check_number, non_defaults
from gentest.properties.references import Reference, reference_of

SIDE = 512
LEAST = 256


@dataclass(frozen=True)
class Matches(OfAll):
    """The statement of `matches`: `n` outputs are distributed as the reference is, to within `tolerance` in MMD^2."""

    reference: Reference
    feature: Feature
    tolerance: float | None
    n: int


def matches(
    reference: object, *, feature: Feature | None = None, tolerance: float | None = None, n: int = SIDE
) -> Matches:
    """Outputs are distributed as a reference is: images in a folder, an array, or another generator.

    `reference` is a folder's path, an array or tensor of images [M, C, H, W] (in [0, 1], or uint8), or a
    `gentest.Generator`. gentest crops and resizes images to the shape of the outputs. It compares `n` >= 256 of each
    side in the space of `feature` (`gentest.clip_embedding()` by default; `gentest.pixels()` suits outputs that are not
    images), by the maximum mean discrepancy (Gretton et al. 2012, "A kernel two-sample test") with a sum of Gaussian
    kernels around the median distance.

    Without a `tolerance` the property is violated if the two differ (permutation test at 1 %), however little. Hardly
    any generator equals its data, so compare with another generator, or give a `tolerance` > 0 in MMD^2. The property
    then holds if MMD^2 is certified (99 %) to be below it, is violated if they differ, and is undecided otherwise.
    MMD^2 sees little within modes that lie far apart: a collapse there may be within the tolerance.

    It has no rate and no counterexample, since it speaks of the distribution and not of each output. Against a
    baseline it asks whether the candidate is further from the reference than the blessed checkpoint.

    >>> import gentest, torch
    >>> gentest.matches(torch.zeros(300, 3, 8, 8), feature=gentest.pixels())
    matches(300 of (3, 8, 8), c1cd55b8e96b0936, pixels())
    """
    known = reference_of(reference)
    feature = clip_embedding() if feature is None else feature
    check_callable("feature", feature)
    if tolerance is not None:
        check_number("tolerance", tolerance, positive=True)
    if not is_whole(n, LEAST):
        raise InvalidArgument.expected(f"a number of outputs >= {LEAST}", "n", n, hint="fewer show too little")
    if isinstance(known, Sized) and len(known) < LEAST:
        raise InvalidArgument(
            f"Expected a reference of at least {LEAST} images but got {len(known)}: fewer show too little"
        )
    return Matches(
        "matches",
        known,
        feature,
        None if tolerance is None else as_number(tolerance),
        n,
        arguments=non_defaults(matches, reference=known, feature=feature, tolerance=tolerance, n=n),
        measures=(Measure(feature, scalar=False),),
    )
