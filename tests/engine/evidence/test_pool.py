"""The memory pool keeps to its bound: outputs go first, after what later tests need was measured on them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gentest
from gentest.engine.evidence.subject import Subject
from gentest.probes.families import points
from gentest.probes.probe import independent
from tests.helpers.counting import Counting, checked, context, fold, images, without_costs


def test_outputs_go_before_what_was_measured_on_them() -> None:
    """Beyond the bound the oldest outputs are let go; their measurements stay, and nothing is measured twice."""
    here, bright = context(memory=1, batch_size=8), Counting()
    subject = Subject.of(images(1 << 16))
    blocks = [here.evidence(subject, points(), independent(1, 8 * i, 8)) for i in range(4)]
    for evidence in blocks:
        evidence.scores(bright)
        here.evidence(subject, points(), independent(2, 0, 1))  # makes room
        assert here.pool.n_bytes <= (1 << 20) + (1 << 19) + 1024  # the bound, and the block at hand
    assert blocks[0].measurements.known_outputs is None
    n = here.meter.images
    again = here.evidence(subject, points(), independent(1, 0, 8))
    torch.testing.assert_close(again.scores(bright), blocks[0].scores(bright))
    assert bright.sizes == [8] * 4
    assert here.meter.images == n
    assert again.images.shape == (8, 1, 1, 128, 128)  # made again where they are asked for
    assert here.meter.images == n + 8


def test_before_outputs_go_what_tests_to_come_need_is_measured() -> None:
    """One pass over the images serves all: nothing is made again for the second attribute."""
    here, first, second = context(memory=1, batch_size=8), Counting(), Counting(gentest.contrast())
    here.pool.upcoming = lambda family, origin: [second] if family == points() and origin else []
    subject = Subject.of(images(1 << 16))
    for i in range(6):
        here.evidence(subject, points(), independent(1, 8 * i, 8)).scores(first)
    here.evidence(subject, points(), independent(1, 0, 8)).scores(second)
    assert here.meter.images == 48


class Lower:
    """A feature that is a little wrong in a lower precision."""

    def __init__(self, error: float) -> None:
        self.error = error
        self.n_full = self.n_low = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.n_full += len(x)
        return x.flatten(1)[:, :1]

    def lowered(self, precision: str) -> LowerHalf:
        return self.__dict__.setdefault("half", LowerHalf(self))


class LowerHalf:
    def __init__(self, own: Lower) -> None:
        self.own = own

    def __call__(self, x: Tensor) -> Tensor:
        self.own.n_low += len(x)
        exact = x.flatten(1)[:, :1]
        return exact + self.own.error * (1e4 * exact).sin()


class Score:
    """An attribute that is read out of it."""

    def __init__(self, feature: Lower) -> None:
        self.feature = feature

    def read(self, embedding: Tensor) -> Tensor:
        return embedding[:, 0]

    def __call__(self, x: Tensor) -> Tensor:
        return self.read(self.feature(x))


@pytest.mark.parametrize("rate", [None, 0.9])
@pytest.mark.parametrize("error", [0.0, 1e-4, 1e-2, 10.0])
def test_a_lower_precision_decides_nothing_that_it_could_mistake(error: float, rate: float | None) -> None:
    """Verdict, counterexample and rate are those of full precision, however wrong the lower one is."""
    found = []
    for precision in ("full", "bf16"):
        feature = Lower(error)
        property = gentest.between(Score(feature), tolerance=0.05)
        asked = property if rate is None else property.at_rate(rate)
        found.append((feature, checked(None, Counting(fold), asked, precision=precision)))
    (_, full), (feature, low) = found
    assert (full.verdict, full.violations, full.rate) == (low.verdict, low.violations, low.rate)
    assert full.counterexample == low.counterexample
    assert full.worst == low.worst
    assert low.screening is not None
    assert full.screening is None
    assert feature.n_low > 0
    if error and error < 1e-3:
        assert feature.n_full < feature.n_low
        assert low.screening.again < low.screening.probes
    if error:
        assert low.screening.band is not None
        assert low.screening.band > error


def test_what_cannot_be_had_in_a_lower_precision_is_measured_in_full() -> None:
    """No probe is looked at twice, and the result claims no screening."""
    function, between = Counting(fold), gentest.between(gentest.brightness(), tolerance=0.3)
    full = checked(None, Counting(fold), between)
    low = checked(None, function, between, precision="bf16")
    assert without_costs(full) == without_costs(low)
    assert low.screening is None
    assert low.images == full.images
