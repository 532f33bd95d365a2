"""What must hold of all outputs together: they are distributed as a reference is."""

from __future__ import annotations

from torch import Tensor

from gentest._support.arguments import as_number, is_whole
from gentest.attributes import Feature
from gentest.attributes.clip import clip_embedding
from gentest.errors import InvalidArgument
from gentest.probes.families import points
from gentest.properties.definition import Definition, Evidence, Matches, Measure, check_callable, check_number
from gentest.properties.references import reference_of

SIDE = 512
LEAST = 256


def matches(
    reference: object, *, feature: Feature | None = None, tolerance: float | None = None, n: int = SIDE
) -> Definition:
    """Outputs are distributed as a reference is: images in a folder, an array, or another generator.

    `reference` is a folder's path, an array or tensor of images [M, C, H, W] ([0, 1], or uint8), or a
    `gentest.Generator`; images are cut and resized to the outputs' shape. Of each side `n` >= 256 are compared in the
    space of `feature`, `gentest.clip_embedding()` unless given (`gentest.pixels()` suits outputs that are no images),
    by the maximum mean discrepancy (Gretton et al. 2012) with a sum of Gaussian kernels around the median distance. It
    is violated where the two differ (permutation test at 1 %), however little: hardly any generator equals its data, so
    compare it with another generator, or give a `tolerance` in MMD^2. With one, it holds where MMD^2 is certified (99
    %) to be below it, and is undecided where neither is known; MMD^2 sees little within modes that lie far apart, so a
    collapse there may be close. It speaks of the distribution, not of each output: it has no rate and no
    counterexample. Against a baseline, the candidate is asked whether it is further from the reference than the blessed
    checkpoint.

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
    size = getattr(known, "__len__", lambda: n)()
    if size < LEAST:
        raise InvalidArgument(f"Expected a reference of at least {LEAST} images but got {size}: fewer show too little")

    def margin(evidence: Evidence) -> Tensor:
        raise InvalidArgument("matches() speaks of all outputs together and has no margin on any of them")

    arguments: dict[str, object] = {"reference": known, "feature": feature}
    arguments |= {} if tolerance is None else {"tolerance": tolerance}
    arguments |= {} if n == SIDE else {"n": n}
    limit = None if tolerance is None else as_number(tolerance)
    states = Matches(known, feature, limit, n)
    return Definition("matches", points(), margin, arguments, states=states, measures=(Measure(feature, scalar=False),))
