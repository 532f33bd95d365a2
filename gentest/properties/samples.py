"""Single outputs: f is a function, its outputs are images, and a change of z changes them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import torch
from torch import Tensor

from gentest._support.arguments import as_number, is_whole
from gentest._support.printable import counted
from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.of_kind import PerOutput
from gentest.errors import InvalidArgument, InvalidOutput
from gentest.probes.families import neighbours, points
from gentest.properties.definition import (
    Apart,
    Definition,
    Evidence,
    Measure,
    along,
    check_callable,
    check_measure,
    check_number,
    non_defaults,
)


def responsive(
    feature: Feature | Distance | None = None,
    *,
    at_least: float,
    step: float = 1.0,
    moves: Sequence[str] | None = None,
) -> Definition:
    """A change of z changes x: between a sample and a latent `step` of the way to an independent sample.

    `at_least` > 0 is the smallest change allowed, in the units of the feature or distance (`gentest.pixels()` by
    default: root-mean-square difference in [0, 1]). It cannot be `gentest.sd(x)`, since a collapsing generator would
    lower its own bar. `step` lies in [1e-6, 1]: 1 compares independent samples (mode collapse), a small step compares
    neighbours (a dead region). `moves` names the parts of a `Joint` that change; by default all do.

    Margin: the distance of the two outputs, in feature space or by the distance given, minus `at_least`.

    >>> import gentest
    >>> gentest.responsive(at_least=0.01, step=0.5)
    responsive(pixels(), at_least=0.01, step=0.5)
    """
    feature = check_measure("feature", feature)
    floor = check_number("at_least", at_least, positive=True)

    def margin(evidence: Evidence) -> Tensor:
        return evidence.distances(feature, [0], [1])[:, 0] - floor

    arguments = non_defaults(responsive, feature=feature, at_least=at_least, step=step, moves=moves)
    measures = along(feature, 2)
    probes = neighbours(step=step, moves=moves)
    return Definition("responsive", probes, margin, arguments=arguments, measures=measures, reducible=False)


def diverse(
    feature: Feature | Distance | None = None,
    *,
    at_least: float,
    among: int = 16,
    moves: Sequence[str] | None = None,
) -> Definition:
    """No mode collapse: among `among` >= 2 independent samples, no two give nearly the same output.

    This is the birthday paradox as a test (Arora and Zhang 2017, "Do GANs actually learn the distribution?",
    arXiv:1706.08224). If f has m distinct outputs, all equally likely, s samples contain no duplicate with a
    probability of about exp(-s (s - 1) / (2 m)); unequal probabilities make duplicates more likely. A rate p0 therefore
    speaks for a support of at least s (s - 1) / (2 ln(1 / p0)) outputs: 2,340 with 16 samples at 0.95, and 1,650 once
    the default slack of 0.02 is taken off. Against a thousand modes, one probe in nine shows a duplicate;
    `responsive(step=1)`, which compares two samples, shows one in a thousand.

    `at_least` > 0 is the distance below which two outputs count as one, in the units of the feature or distance
    (`gentest.pixels()` by default: root-mean-square difference in [0, 1]; `gentest.clip_embedding()` for outputs that
    look the same to a person). It cannot be `gentest.sd(x)`, since a collapsing generator would lower its own bar. All
    samples of a probe have the same choices, so in a `Joint` with a label this is diversity within a label. An
    `Empirical` bank of m entries repeats itself as m outputs do. `moves` names the parts of a `Joint` in which the
    samples differ; by default they differ in all but choices.

    Margin: the smallest distance between two of the outputs, minus `at_least`. A report names the outputs that are
    alike by their numbers.

    >>> import gentest
    >>> gentest.diverse(at_least=0.01).at_rate(0.95)
    diverse(pixels(), at_least=0.01).at_rate(0.95)
    """
    feature = check_measure("feature", feature)
    floor = check_number("at_least", at_least, positive=True)
    if not is_whole(among, 2):
        raise InvalidArgument.expected("a number of samples >= 2", "among", among)
    samples = neighbours(step=1.0, count=among - 1, moves=moves)

    apart = Apart(feature, floor, among)

    def margin(evidence: Evidence) -> Tensor:
        return apart.distances(evidence).amin(1) - floor

    arguments = non_defaults(diverse, feature=feature, at_least=at_least, among=among, moves=moves)
    measures = (Measure(feature, scalar=False, pairs=apart.pairs if isinstance(feature, Distance) else None),)
    return Definition("diverse", samples, margin, arguments=arguments, measures=measures, reducible=False, apart=apart)


def limits(attribute: Attribute, *, at_least: float | None = None, at_most: float | None = None) -> Definition:
    """The attribute of every output lies within limits: at least `at_least`, at most `at_most`, or both.

    Limits are finite numbers in the attribute's units. This is the property for an attribute that measures a fault:
    `limits(gentest.flicker(), at_most=0.05)`, `limits(gentest.valid(parse), at_least=1)`.

    Margin: the distance of the score from the nearer limit, below 0 outside. The scores of `valid` are 0 and 1, so a
    limit between them counts as 0.5, where rounding decides nothing.

    >>> import gentest
    >>> gentest.limits(gentest.brightness(), at_least=0.1, at_most=0.9)
    limits(brightness(), at_least=0.1, at_most=0.9)
    """
    check_callable("attribute", attribute)
    given = {name: value for name, value in (("at_least", at_least), ("at_most", at_most)) if value is not None}
    for name, value in given.items():
        if not isfinite(as_number(value)):
            raise InvalidArgument.expected("a finite number", name, value)
    low, high = (float(given.get(name, end)) for name, end in (("at_least", -torch.inf), ("at_most", torch.inf)))
    if not given or low > high:
        raise InvalidArgument(f"Expected at_least=, at_most=, or both in order but got {at_least!r} and {at_most!r}")

    if isinstance(attribute, PerOutput) and attribute.judges:
        low, high = 0.5 if 0.0 < low <= 1.0 else low, 0.5 if 0.0 <= high < 1.0 else high

    def margin(evidence: Evidence) -> Tensor:
        scores = evidence.scores(attribute)[:, 0]
        return torch.minimum(scores - low, high - scores)

    arguments = {"attribute": attribute, **given}
    measures = (Measure(attribute, scalar=True),)
    return Definition("limits", points(), margin, arguments=arguments, measures=measures)


def not_blank(*, at_least: float) -> Definition:
    """No output is flat: a floor under the contrast of every sample.

    `at_least` > 0 is the smallest contrast allowed: the standard deviation of a channel's values over the image, in the
    channel where it is largest, for values in [0, 1]. For outputs that are not images it is the standard deviation of
    all values of an output, as a share of the output range (without a declared range: of the range of 16 samples'
    values). A frame of one colour has none, a photograph 0.1 to 0.3. Outputs of a single value have no contrast, and
    are an error.

    Margin: the contrast minus `at_least`.

    >>> import gentest
    >>> gentest.not_blank(at_least=0.02)
    not_blank(at_least=0.02)
    """
    floor = check_number("at_least", at_least, positive=True)

    def margin(evidence: Evidence) -> Tensor:
        return _contrast(evidence) - floor

    def note(evidence: Evidence) -> str:
        return f"its contrast is {float(_contrast(evidence)[0]):.3g}, and {floor:g} is the least allowed"

    return Definition("not_blank", points(), margin, arguments={"at_least": at_least}, storable=True, note=note)


def _contrast(evidence: Evidence) -> Tensor:
    """How far the values of each output differ among themselves [N], as a share of the range."""
    return evidence.kind.contrast(evidence.images[:, 0]) / evidence.unit


def well_formed(*, tolerance: float = 1e-3) -> Definition:
    """Every output is finite and within the declared output range; outputs without a range only have to be finite.

    Margin: `tolerance` >= 0 minus the largest excess of a value over the range, as a share of the range's width. If
    some values are not finite: -1 minus their share.

    Other properties take valid outputs for granted. If one of them meets an invalid output of the same generator in the
    same run, `well_formed` is violated too, although its own search may have missed that output.

    >>> import gentest
    >>> gentest.well_formed()
    well_formed(tolerance=0.001)
    """
    allowed = check_number("tolerance", tolerance)

    def margin(evidence: Evidence) -> Tensor:
        x = evidence.outputs.flatten(1)  # [N, P * C * H * W]
        finite = x.isfinite()
        excess = evidence.kind.excess(evidence.outputs.flatten(0, 1), evidence.limits).reshape(x.shape).amax(1)
        return torch.where(finite.all(1), allowed - excess, finite.float().mean(1) - 2.0)

    return Definition(
        "well_formed",
        points(),
        margin,
        arguments={"tolerance": tolerance},
        total=True,
        storable=True,
        valid_within=allowed,
        note=_invalid_values,
    )


def _invalid_values(evidence: Evidence) -> str:
    """The number of values that are not finite, or else out of range, and where the first or the furthest is.

    In words; empty if all values are valid. A kind whose places have names names the place itself.
    """
    output, named = evidence.outputs[0], evidence.kind.place_axis is not None
    broken = ~output.isfinite()
    if n := int(broken.sum()):
        where = "" if named or n == output.numel() else f", the first at {_index_of(broken)}"
        return f"{n:,} of {counted(output.numel(), 'value is', 'values are')} not finite{where}"
    if named or evidence.limits is None:
        return ""
    excess = evidence.kind.excess(output, evidence.limits)
    if not (n := int((excess > 0).sum())):
        return ""
    side = "below" if output.flatten()[excess.argmax()] < evidence.limits[0] else "above"
    furthest = f"the furthest by {excess.max().item():.3g} of its width {side} it, at {_index_of(excess)}"
    return f"{n:,} of {counted(output.numel(), 'value is', 'values are')} out of range, {furthest}"


def _index_of(values: Tensor) -> list[int]:
    """The index, within its output, of the first of the largest values [P, ...] of a single output."""
    place = torch.unravel_index(values.flatten().float().argmax(), values.shape)
    return [int(i) for i in place][1:]


def reproducible(*, tolerance: float = 1e-3, company: int = 3) -> Definition:
    """The same latent gives the same output: alone, after `company` other samples, and in the batches of the run.

    Margin: `tolerance` >= 0 minus the largest difference between two values, as a share of the output range (without a
    declared range: of the range of 16 samples' values). Rounding alone gives 1e-6 to 1e-4 in float32; batch norm in
    train mode or undeclared noise gives a thousand times that. Values that are not finite cannot be compared: they are
    an error, as in most properties.

    >>> import gentest
    >>> gentest.reproducible()
    reproducible(tolerance=0.001)
    """
    allowed = check_number("tolerance", tolerance)
    if not is_whole(company, 1):
        raise InvalidArgument.expected("a number of other samples >= 1", "company", company)

    def margin(evidence: Evidence) -> Tensor:
        alone = evidence.again(0)
        others = (evidence.again(company, chance=1), evidence.outputs)
        finite = torch.stack([made.isfinite().flatten(1).all(1) for made in (alone, *others)]).all(0)  # [N]
        if not finite.all():
            at = int((~finite).nonzero()[0])
            made = next(made[at] for made in (alone, *others) if not made[at].isfinite().all())
            error = InvalidOutput(
                f"the generator returned values that are not finite (at probe {evidence.probes[at]}; "
                "gentest.well_formed() looks for such outputs)"
            )
            error.probe, error.n_values = evidence.probes[at], made.numel()
            error.not_finite = int((~made.isfinite()).sum())
            raise error
        difference = torch.stack([(made - alone).abs().flatten(1).amax(1) for made in others]).amax(0)
        held: Tensor = allowed - difference / evidence.unit
        return held

    arguments = {"tolerance": tolerance, **non_defaults(reproducible, company=company)}
    again = 1 + 1 + company  # alone, and last in a batch
    return Definition("reproducible", points(), margin, arguments=arguments, total=True, storable=True, again=again)
