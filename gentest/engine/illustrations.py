"""The illustrations of one check for a report: pictures of outputs, curves of rates, histograms of margins.

They use what the check made anyway as far as possible. An error here goes into the report and is no error of the check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gentest._support.printable import error_summary
from gentest.engine import pictures
from gentest.engine.array_drawings import array_strip, in_own_units, sample_arrays
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.engine.explain import Explained
from gentest.engine.media_drawings import media, sample_media
from gentest.engine.places import places
from gentest.probes.probe import FULL_MASK, Probe
from gentest.results.comparison import Sample
from gentest.results.drawings import (
    ArrayStrip,
    Change,
    Difference,
    Drawings,
    Histogram,
    Rays,
    Strip,
    Trace,
    check_pictures,
)
from gentest.results.media import Media
from gentest.results.records import applies, unpack
from gentest.results.result import Rate, Verdict
from gentest.stats.rates import LOOK, RateTest

T = TypeVar("T")

BINS = 40
MAX_LOOKS = 32
"""The most places at which the curve of a rate is drawn."""
EDGE = 1e-9
"""A margin this near below an edge, as a share of a bin, lies on the edge."""


@dataclass(frozen=True)
class Material:
    """The facts of one check that are illustrated."""

    search_margins: Sequence[float] = ()
    rate_margins: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """The margins of the rate's probes by arm, in their order."""
    rays: Rays | None = None
    worst: Explained | None = None
    """The worst probe."""
    minimal: Explained | None = None
    """The minimal probe, or the one that was replayed."""


def illustrate(
    context: Context,
    subject: Subject,
    material: Material,
    *,
    rate: Rate | None,
    sample: Sample | None,
    baseline: Sample | None,
    seed: int,
    whole: bool,
) -> Drawings:
    """All illustrations of a check, with pictures of the seed's first outputs; `whole` adds pictures in full size."""
    errors: list[Exception] = []

    def drawn(draw: Callable[[], T]) -> T | None:
        try:
            with pictures.uncounted(context):
                return draw()
        except Exception as error:
            errors.append(error)
            return None

    def outputs_of(explained: Explained | None) -> Tensor | None:
        if explained is None or not subject.generator.images:
            return None
        return drawn(lambda: _outputs(context, explained.evidence))

    def strip_of(explained: Explained | None, outputs: Tensor | None) -> Strip | None:
        if explained is None or outputs is None:
            return None
        return drawn(lambda: pictures.strip(outputs, whole=whole, needed=_alike(explained)))

    def arrays_of(explained: Explained | None) -> ArrayStrip | None:
        if explained is None or not explained.evidence.kind.drawn_by_shape:
            return None
        return drawn(lambda: array_strip(_named_outputs(context, explained.evidence), _alike(explained)))

    def media_of(explained: Explained | None) -> Media | None:
        if explained is None or explained.evidence.kind.place_axis is None:
            return None
        return drawn(lambda: _media(context, explained))

    def change_of(explained: Explained | None, outputs: Tensor | None) -> Change | None:
        if explained is None or outputs is None or explained.evidence.compared is not None:
            return None
        return drawn(lambda: _change(context, explained, outputs))

    def difference_of(explained: Explained | None, outputs: Tensor | None) -> Difference | None:
        if explained is None or outputs is None or explained.evidence.compared is None:
            return None
        return drawn(lambda: _difference(context, explained.evidence, outputs, whole=whole))

    worst, minimal = outputs_of(material.worst), outputs_of(material.minimal)
    drawings = Drawings(
        worst=strip_of(material.worst, worst),
        minimal=strip_of(material.minimal, minimal),
        change=change_of(material.minimal, minimal),
        worst_difference=difference_of(material.worst, worst),
        minimal_difference=difference_of(material.minimal, minimal),
        worst_arrays=arrays_of(material.worst),
        minimal_arrays=arrays_of(material.minimal),
        worst_media=media_of(material.worst),
        minimal_media=media_of(material.minimal),
        sample_media=drawn(lambda: sample_media(context, subject, seed)),
        samples=drawn(lambda: pictures.samples(context, subject, seed)),
        sample_arrays=drawn(lambda: sample_arrays(context, subject, seed)),
        baseline=None if baseline is None else drawn(lambda: _of_baseline(baseline)),
        traces=drawn(lambda: _traces(rate, material.rate_margins)) or (),
        histograms=drawn(lambda: _histograms_of(material, rate, sample, baseline)) or (),
        rays=material.rays,
    )
    return replace(drawings, missing=error_summary(errors[-1])) if errors else drawings


def _alike(explained: Explained) -> tuple[int, ...]:
    """The outputs that are alike, the nearest two first; empty if none are."""
    return () if explained.record.alike is None else explained.record.alike.outputs


def _outputs(context: Context, evidence: Observed, probe: Probe | None = None) -> Tensor:
    """The outputs [P, C, H, W] of the evidence's probe, or of another one under the same prior.

    Takes the outputs in memory if there are any. Others are made and not counted, so nothing else may use them.
    """
    outputs = evidence.measurements.outputs
    if probe is None and outputs.kept is not None:
        return outputs.kept[0]
    own = [probe or evidence.probes[0]]
    return Outputs(context.maker, outputs.subject, outputs.family, own, alone=True).values[0]


def _named_outputs(context: Context, evidence: Observed) -> list[tuple[str, Tensor]]:
    """The outputs [...] of the evidence's probe by their numbers; of a pair, both sides where they differ most.

    They are as f returned them: a value that is not finite shows.
    """
    subject = evidence.measurements.outputs.subject
    outputs = in_own_units(subject, _outputs(context, evidence))
    if evidence.compared is None:
        return [(str(i + 1), output) for i, output in enumerate(outputs)]
    reference = in_own_units(subject, _outputs(context, evidence.compared))
    at = _furthest(reference, outputs)
    return [("reference", reference[at]), ("candidate", outputs[at]), ("difference", outputs[at] - reference[at])]


def _media(context: Context, explained: Explained) -> Media | None:
    """The outputs of a probe by their numbers; of a pair, both sides where they differ most."""
    evidence = explained.evidence
    outputs, marked = _outputs(context, evidence), places(evidence)
    if evidence.compared is None:
        named = [(str(i + 1), output) for i, output in enumerate(outputs)]
        return media(evidence.kind, named, marked, _alike(explained))
    reference = _outputs(context, evidence.compared)
    at = _furthest(reference, outputs)
    both = [replace(place, output=side) for place in marked if place.output == at for side in (0, 1)]
    return media(evidence.kind, [("reference", reference[at]), ("candidate", outputs[at])], both)


def _change(context: Context, explained: Explained, outputs: Tensor) -> Change:
    """The two of a probe's outputs [P, C, H, W] between which only its coordinate groups differ.

    With several outputs, these are the first one and the one that is furthest from it; or the nearest two, if it is a
    fault that they are alike.
    """
    evidence = explained.evidence
    probe = evidence.probes[0]
    if nearest := sorted(_alike(explained)[:2]):
        names = (f"output {nearest[0] + 1}", f"output {nearest[1] + 1}")
        return pictures.change(outputs[nearest[0]], outputs[nearest[1]], names)
    if probe.shift:
        before = _outputs(context, evidence, replace(probe, shift=b""))
        at = _furthest(before, outputs)
        return pictures.change(before[at], outputs[at], ("the sample", "as attacked"))
    if len(outputs) == 1:
        names = ("another sample", "this sample") if probe.mask == FULL_MASK else ("without them", "with them")
        return pictures.change(_outputs(context, evidence, replace(probe, mask=0))[0], outputs[0], names)
    at = _furthest(outputs[:1].expand_as(outputs), outputs)
    names = ("output 1", f"output {at + 1}")
    if evidence.measurements.family.has_path:
        ends = {0.0: "near end", 1.0: "far end"}
        first, other = (float(t) for t in evidence.t[0][[0, at]])
        names = ends.get(first, f"t = {first:.2f}"), ends.get(other, f"t = {other:.2f}")
    return pictures.change(outputs[0], outputs[at], names)


def _difference(context: Context, evidence: Observed, outputs: Tensor, *, whole: bool) -> Difference:
    """Both sides of a pair at a probe, at the output [C, H, W] where they are furthest apart."""
    assert evidence.compared is not None
    reference = _outputs(context, evidence.compared)
    at = _furthest(reference, outputs)
    return pictures.difference(reference[at], outputs[at], whole=whole)


def _furthest(one: Tensor, other: Tensor) -> int:
    """The index of the output [P, C, H, W] that is furthest from its counterpart."""
    return int((other - one).nan_to_num().abs().flatten(1).mean(1).argmax())


def _of_baseline(baseline: Sample) -> Strip | None:
    """The baseline's pictures of the same latents. Raises `InvalidArgument` for broken ones."""
    if baseline.look is None or not baseline.look.pictures:
        return None
    frames = baseline.look.pictures
    return Strip(frames, *check_pictures(frames, "the baseline's outputs"), tuple(range(len(frames))), len(frames))


def _traces(whole: Rate | None, margins: Mapping[str, Sequence[float]]) -> tuple[Trace, ...]:
    """The curve of each rate over its probes, at up to `MAX_LOOKS` of the places where the test looked."""
    traces = []
    for rate in () if whole is None else whole.arms or (whole,):
        passed = np.array(margins.get(rate.arm, ())[: rate.probes]) >= 0
        if not len(passed):
            continue
        test = RateTest(rate.p0, rate.slack, 1.0 - rate.confidence, rate.claims)
        bounds = test.interval_of_all if rate.verdict is Verdict.UNDECIDED else test.interval
        looks = [*range(LOOK, len(passed), LOOK), len(passed)]
        chosen = sorted({round(i) for i in np.linspace(0, len(looks) - 1, min(len(looks), MAX_LOOKS))})
        probes = [looks[i] for i in chosen]
        passes = [int(passed[:n].sum()) for n in probes]
        low, high = zip(*(bounds(k, n) for k, n in zip(passes, probes, strict=True)), strict=True)
        traces.append(Trace(rate.arm, tuple(probes), tuple(passes), low, high))
    return tuple(traces)


def _histograms_of(
    material: Material, rate: Rate | None, sample: Sample | None, baseline: Sample | None
) -> tuple[Histogram, ...]:
    """The margins of the search, of the rate that holds least, and of a candidate beside its baseline."""
    drawn = histograms({"probes of the search": material.search_margins})
    if rate is not None:
        name = f"independent probes, {rate.arm}" if rate.arm else "independent probes"
        drawn += histograms({name: material.rate_margins.get(rate.arm, ())[: rate.probes]})
    if baseline is not None and sample is not None:
        now, before = (unpack(own.margins, "margins") for own in (sample, baseline))
        both = {"baseline": before[: len(now)], "candidate": now}
        drawn += histograms({name: list(filter(applies, margins)) for name, margins in both.items()})
    return drawn


def histograms(margins: Mapping[str, Sequence[float]]) -> tuple[Histogram, ...]:
    """One histogram for each list of margins that is not empty, all over the same bins.

    There is none if the margins are too far apart for bins of a finite width.

    >>> [one] = histograms({"a": [-1.0, 0.0, 1.0, 1.0]})
    >>> one.low, one.high, sum(one.counts[:20]), sum(one.counts[20:])
    (-1.0, 1.05, 1, 3)
    """
    values: list[NDArray[np.float64]] = [np.array(list(given), dtype=np.float64) for given in margins.values()]
    pooled = np.concatenate([np.empty(0), *values])
    if not len(pooled):
        return ()
    low, high = float(pooled.min()), float(pooled.max())
    if not isfinite((high - low) / EDGE):
        return ()
    width = (high - low) / BINS or max(abs(high), 1.0) / BINS
    pooled_bins = _bins(pooled, width)
    first, last = int(pooled_bins.min()), int(pooled_bins.max()) + 1
    drawn = []
    for name, own in zip(margins, values, strict=True):
        if len(own):
            counts = np.bincount(_bins(own, width) - first, minlength=last - first)
            drawn.append(Histogram(name, first * width, last * width, tuple(map(int, counts))))
    return tuple(drawn)


def _bins(values: NDArray[np.float64], width: float) -> NDArray[np.int64]:
    """The bin of each value. Rounding moves no value across zero: values below 0 lie in bins below 0."""
    bins = np.floor(values / width + EDGE).astype(np.int64)
    return np.where(values < 0, np.minimum(bins, -1), np.maximum(bins, 0))
