"""What must hold of single outputs: f is a function, its outputs are images, and a change of z changes them."""

from __future__ import annotations

import torch
from torch import Tensor

from gentest._support.arguments import is_whole
from gentest.attributes import Distance, Feature
from gentest.attributes.pixels import pixels
from gentest.errors import GeneratorError, InvalidArgument
from gentest.probes.families import neighbours, points
from gentest.properties.definition import Definition, Evidence, Measure, along, check_measure, check_number


def responsive(feature: Feature | Distance | None = None, *, at_least: float, step: float = 1.0) -> Definition:
    """A change of z gives a change of x: between a sample and another `step` of the way to an independent one.

    `at_least` > 0 is the smallest change allowed, in the units of the feature or distance (`gentest.pixels()` by
    default: root-mean-square difference in [0, 1]); not `gentest.sd(x)`, since a generator that collapses would lower
    its own bar. `step` in [1e-6, 1], where 1 compares independent samples (mode collapse) and a small one neighbours (a
    dead region).

    Margin: the distance of the two outputs, in feature space or by the distance given, less `at_least`.

    >>> import gentest
    >>> gentest.responsive(at_least=0.01, step=0.5)
    responsive(pixels(), at_least=0.01, step=0.5)
    """
    feature = pixels() if feature is None else feature
    check_measure("feature", feature)
    floor = check_number("at_least", at_least, positive=True)

    def margin(evidence: Evidence) -> Tensor:
        return evidence.distances(feature, [0], [1])[:, 0] - floor

    arguments = {"feature": feature, "at_least": at_least, **({} if step == 1.0 else {"step": step})}
    measures = along(feature, 2)
    return Definition("responsive", neighbours(step=step), margin, arguments, reducible=False, measures=measures)


def diverse(feature: Feature | Distance | None = None, *, at_least: float, among: int = 16) -> Definition:
    """No mode collapse: of `among` independent samples no two give nearly the same output.

    The birthday paradox turned into a test (Arora and Zhang 2017, arXiv:1706.08224): where f has only m outputs that
    differ, all equally likely, s samples have no duplicate with probability of about exp(-s (s - 1) / (2 m)), and
    unequal ones make duplicates likelier. So that it holds `.at_rate(p0)` speaks for a support of at least
    s (s - 1) / (2 ln(1 / p0)) outputs, as many as are likely: 2,340 at 16 samples and 0.95; a rate certifies p0 less
    its slack, so 1,650 with the default of 0.02. `responsive(step=1)` compares two: of a thousand modes one in a
    thousand of its probes speaks, and one in nine of these.

    `at_least` > 0 is the distance below which two outputs are one, in the units of the feature or distance
    (`gentest.pixels()` by default: root-mean-square difference in [0, 1]; `gentest.clip_embedding()` for what a person
    would call the same); not `gentest.sd(x)`, since a generator that collapses would lower its own bar. `among` >= 2.
    All samples of a probe have the same choices: in a `Joint` with a label this is diversity within a label. An
    `Empirical` bank of m entries repeats itself as m outputs do.

    Margin: the smallest distance of two of the outputs less `at_least`.

    >>> import gentest
    >>> gentest.diverse(at_least=0.01).at_rate(0.95)
    diverse(pixels(), at_least=0.01).at_rate(0.95)
    """
    feature = pixels() if feature is None else feature
    check_measure("feature", feature)
    floor = check_number("at_least", at_least, positive=True)
    if not is_whole(among, 2):
        raise InvalidArgument.expected("a number of samples >= 2", "among", among)
    samples = neighbours(step=1.0, count=among - 1)

    def margin(evidence: Evidence) -> Tensor:
        first, second = torch.triu_indices(among, among, offset=1)
        if isinstance(feature, Distance):
            return evidence.distances(feature, first.tolist(), second.tolist()).amin(1) - floor
        x = evidence.features(feature)  # [N, S, D]
        # by way of products, as it would for many rows, duplicates come out up to 1e-3 apart
        distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")  # [N, S, S]
        return distances[:, first, second].amin(1) - floor

    arguments = {"feature": feature, "at_least": at_least, **({} if among == 16 else {"among": among})}
    pairs = None
    if isinstance(feature, Distance):
        first, second = torch.triu_indices(among, among, offset=1)
        pairs = tuple(first.tolist()), tuple(second.tolist())
    measures = (Measure(feature, scalar=False, pairs=pairs),)
    return Definition("diverse", samples, margin, arguments, reducible=False, measures=measures)


def well_formed(*, tolerance: float = 1e-3) -> Definition:
    """Every output is finite and within the declared output range; of outputs that have none, that they are finite.

    Margin: `tolerance` less the most by which a value leaves the range, as a share of its width; -1 less the share of
    values that are not finite, where some are not.

    >>> import gentest
    >>> gentest.well_formed()
    well_formed(tolerance=0.001)
    """
    allowed = check_number("tolerance", tolerance)

    def margin(evidence: Evidence) -> Tensor:
        x = evidence.outputs.flatten(1)  # [N, P * C * H * W]
        finite = x.isfinite()
        excess = torch.maximum(x - 1.0, -x).nan_to_num(0.0, 0.0, 0.0).amax(1).clamp(min=0.0)
        excess = excess if evidence.bounded else torch.zeros_like(excess)
        return torch.where(finite.all(1), allowed - excess, finite.float().mean(1) - 2.0)

    arguments = {"tolerance": tolerance}
    return Definition("well_formed", points(), margin, arguments, total=True, note=_not_finite, storable=True)


def _not_finite(evidence: Evidence) -> str:
    """How many values of the outputs are not finite, where some are not."""
    finite = evidence.outputs.isfinite()
    n = finite.numel() - int(finite.sum())
    return f"{n:,} of {finite.numel():,} values are not finite" if n else ""


def reproducible(*, tolerance: float = 1e-3, company: int = 3) -> Definition:
    """The same latent gives the same output: alone, behind `company` other samples, and in the batches of the run.

    Margin: `tolerance` less the largest difference of two values, as a share of the output range (where none is
    declared, of the range of 16 samples' values). What differs by rounding alone is 1e-6 to 1e-4 in float32; batch norm
    in train mode or undeclared noise is a thousand times that. Values that are not finite cannot be compared: they are
    an error, as of most properties.

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
            probe = evidence.probes[int((~finite).nonzero()[0])]
            raise GeneratorError(
                f"the generator returned values that are not finite (at probe {probe}; "
                "gentest.well_formed() finds and reduces such latents)"
            )
        difference = torch.stack([(made - alone).abs().flatten(1).amax(1) for made in others]).amax(0)
        held: Tensor = allowed - difference / evidence.unit
        return held

    arguments = {"tolerance": tolerance, **({} if company == 3 else {"company": company})}
    return Definition("reproducible", points(), margin, arguments, total=True, storable=True)
