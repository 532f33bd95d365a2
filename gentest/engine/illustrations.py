"""What a report will draw of a check, noted while it is decided. Where no report is asked for, nothing is noted.

It is made of what the check has made anyway, as far as that goes; what goes wrong here is said in the report, and is
no error of the check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gentest._support.printable import error_summary
from gentest.engine import pictures
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.probes.probe import FULL_MASK, Probe
from gentest.results.comparison import Sample
from gentest.results.records import unpack
from gentest.results.result import Rate, Verdict
from gentest.results.shown import Histogram, Rays, Shown, Strip, Trace, check_pictures
from gentest.stats.rates import LOOK, RateTest

BINS = 40
LOOKS = 32
"""Places at which a rate is drawn."""
EDGE = 1e-9
"""As a share of a bin: a margin this near below an edge is on it."""


class Showing:
    """Notes on one check; `whole` asks for pictures in full size as well."""

    def __init__(self, context: Context, subject: Subject, *, whole: bool) -> None:
        self._context = context
        self._subject = subject
        self._whole = whole
        self._shown = Shown()
        self._searched: list[float] = []
        self._rated: dict[str, list[float]] = {}

    def searched(self, margins: Sequence[float]) -> None:
        """The margins of the probes that the search looked at."""
        self._searched = list(margins)

    def rated(self, arm: str, margins: Sequence[float]) -> None:
        """The margins of further independent probes of one rate."""
        self._rated.setdefault(arm, []).extend(margins)

    def rays(self, radii: Sequence[float], held: Sequence[int], n: int) -> None:
        """How many of `n` rays hold up to each radius."""
        self._shown = replace(self._shown, rays=Rays(tuple(radii), tuple(k / n for k in held), n))

    def probe(self, judge: Judge, which: str, probe: Probe, evidence: Observed) -> None:
        """The outputs of the "worst" or the "minimal" probe."""
        if not self._subject.generator.images:
            return
        with self._drawing():
            outputs = self._outputs(judge, probe, probe, evidence.measurements.outputs)  # [P, C, H, W]
            made = pictures.strip(outputs, whole=self._whole)
            if which == "worst":
                self._shown = replace(self._shown, worst=made)
            else:
                self._shown = replace(self._shown, minimal=made)
                self._shown = replace(self._shown, change=pictures.change(*self._pair(judge, probe, evidence, outputs)))

    def _pair(
        self, judge: Judge, probe: Probe, evidence: Observed, outputs: Tensor
    ) -> tuple[Tensor, Tensor, tuple[str, str]]:
        """The two outputs between which only the probe's coordinate groups differ, and what they are.

        Of several outputs of one probe it is the first, and the one that is furthest from it.
        """
        if probe.shift:
            before = self._outputs(judge, probe, replace(probe, shift=b""))
            at = _furthest(before, outputs)
            return before[at], outputs[at], ("the sample", "as attacked")
        if len(outputs) == 1:
            names = ("another sample", "this sample") if probe.mask == FULL_MASK else ("without them", "with them")
            return self._outputs(judge, probe, replace(probe, mask=0))[0], outputs[0], names
        at = _furthest(outputs[:1].expand_as(outputs), outputs)
        if not judge.definition.probes.has_path:
            return outputs[0], outputs[at], ("output 1", f"output {at + 1}")
        ends = {0.0: "near end", 1.0: "far end"}
        first, other = (float(t) for t in evidence.t[0][[0, at]])
        return outputs[0], outputs[at], (ends.get(first, f"t = {first:.2f}"), ends.get(other, f"t = {other:.2f}"))

    def _outputs(self, judge: Judge, found: Probe, other: Probe, made: Outputs | None = None) -> Tensor:
        """The outputs [P, C, H, W] of a probe, under the prior under which the one found violates most.

        Takes those in memory if there are any. Others are made and not counted, so nobody else may use them.
        """
        if made is not None and made.kept is not None:
            return made.kept[0]
        space = judge.weakest(found).space
        own = judge.subject if space == judge.subject.generator.base else judge.subject.under(space)
        return Outputs(judge.context.maker, own, judge.definition.probes, [other], alone=True).values[0]

    def finished(self, rate: Rate | None, sample: Sample | None, *, seed: int, against: Sample | None) -> Shown:
        """All that was noted, with the outputs of the seed's first latents beside the baseline's."""
        with self._drawing():
            seed = seed if against is None else against.seed
            made = pictures.samples(self._context, self._subject, seed)
            self._shown = replace(self._shown, samples=made)
            if against is not None and against.look is not None and against.look.pictures:
                frames = against.look.pictures
                size = check_pictures(frames, "the baseline's outputs")
                kept = Strip(frames, *size, tuple(range(len(frames))), len(frames))
                self._shown = replace(self._shown, baseline=kept)
        with self._drawing():
            self._shown = replace(self._shown, traces=self._traces(rate))
        with self._drawing():
            self._shown = replace(self._shown, histograms=self._histograms(rate, sample, against))
        return self._shown

    def _traces(self, decided: Rate | None) -> tuple[Trace, ...]:
        """Each rate as its probes came in, at up to `LOOKS` of the places where it was looked at."""
        found = []
        for rate in () if decided is None else decided.arms or (decided,):
            passed = np.array(self._rated.get(rate.arm, ())[: rate.probes]) >= 0
            if not len(passed):
                continue
            test = RateTest(rate.p0, rate.slack, 1.0 - rate.confidence, rate.claims)
            bounds = test.interval_of_all if rate.verdict is Verdict.UNDECIDED else test.interval
            looks = [*range(LOOK, len(passed), LOOK), len(passed)]
            probes = [
                looks[i] for i in sorted({round(i) for i in np.linspace(0, len(looks) - 1, min(len(looks), LOOKS))})
            ]
            passes = [int(passed[:n].sum()) for n in probes]
            low, high = zip(*(bounds(k, n) for k, n in zip(passes, probes, strict=True)), strict=True)
            found.append(Trace(rate.arm, tuple(probes), tuple(passes), low, high))
        return tuple(found)

    def _histograms(self, rate: Rate | None, sample: Sample | None, against: Sample | None) -> tuple[Histogram, ...]:
        """Of the probes of a search; of independent ones: those of the rate that holds least; and of a gate's."""
        found = histograms({"probes of the search": self._searched})
        if rate is not None:
            margins = self._rated.get(rate.arm, ())[: rate.probes]
            on = f", {rate.arm}" if rate.arm else ""
            found += histograms({f"independent probes{on}": margins})
        if against is not None and sample is not None:
            now = unpack(sample.margins, "margins")
            found += histograms({"baseline": unpack(against.margins, "margins")[: len(now)], "candidate": now})
        return found

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """While it lasts nothing is counted, and an error is only noted."""
        try:
            with pictures.uncounted(self._context):
                yield
        except Exception as error:
            self._shown = replace(self._shown, missing=error_summary(error))


def histograms(margins: Mapping[str, Sequence[float]]) -> tuple[Histogram, ...]:
    """One histogram for each list of margins that is not empty, all over the same bins; none where no bins hold all.

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
    found = []
    for name, own in zip(margins, values, strict=True):
        if len(own):
            counts = np.bincount(_bins(own, width) - first, minlength=last - first)
            found.append(Histogram(name, first * width, last * width, tuple(map(int, counts))))
    return tuple(found)


def _bins(values: NDArray[np.float64], width: float) -> NDArray[np.int64]:
    """Which bin each value is in, those below 0 in bins below 0: rounding takes no violation to the other side."""
    bins = np.floor(values / width + EDGE).astype(np.int64)
    return np.where(values < 0, np.minimum(bins, -1), np.maximum(bins, 0))


def _furthest(one: Tensor, other: Tensor) -> int:
    """Which of outputs [P, C, H, W] is furthest from that in the same place."""
    return int((other - one).nan_to_num().abs().flatten(1).mean(1).argmax())
