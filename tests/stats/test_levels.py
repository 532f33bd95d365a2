"""Levels: a mean within its limits is certified soon, one beyond them is refuted soon, and one at a limit is neither.

Simulations use fixed seeds, none of them chosen.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.stats.levels import LOOK, LevelDecision, LevelTest, Limit, spread_of
from tests.audit.calibration import EDGES, TAILS, at_the_edge, of_a_gate

ALPHA = 0.01
N_PILOT = 16
Floats = NDArray[np.float64]


def decided(mean: float, noise: float, tolerance: float, rng: np.random.Generator, budget: int = 1024) -> LevelDecision:
    """The decision on normal differences, with a pilot of the same kind."""
    differences = mean + noise * rng.standard_normal(N_PILOT + budget)
    return LevelTest.within(tolerance, differences[:N_PILOT], ALPHA).decide(differences[N_PILOT:], ends=True)


@pytest.mark.slow
@pytest.mark.parametrize(("tolerance", "noise"), EDGES)
def test_a_mean_at_its_limit_is_seldom_decided(tolerance: float, noise: float) -> None:
    """Of 2,000 runs on a mean of plus or minus the tolerance, at most 1 % are certified, and at most 1 % refuted."""
    assert at_the_edge(tolerance, noise, "normal", 2000, 7, budget=1024).wrong <= 20


@pytest.mark.slow
@pytest.mark.parametrize("tail", list(TAILS))
def test_tails_do_not_spoil_the_claim(tail: str) -> None:
    """The same holds of skewed differences and the whole budget, though no clip bounds them."""
    assert at_the_edge(0.3, 0.7, tail, 500, 7, budget=4096).wrong <= 5


@pytest.mark.parametrize(
    ("mean", "noise", "holds", "most"),
    [
        (0.0, 0.1, True, 16),
        (0.0, 0.3, True, 56),
        (0.0, 0.7, True, 256),
        (0.6, 0.1, False, 24),
        (-0.6, 0.3, False, 64),
        (1.5, 0.7, False, 40),
        (-6.0, 0.7, False, 16),
    ],
)
def test_a_clear_mean_is_decided_soon(mean: float, noise: float, holds: bool, most: int) -> None:  # noqa: FBT001
    """With a tolerance of 0.3, 19 of 20 runs are decided within so many differences, and none is wrong."""
    rng = np.random.default_rng(2)
    runs = [decided(mean, noise, 0.3, rng) for _ in range(200)]
    assert {run.holds for run in runs} == {holds}
    assert np.quantile([run.n for run in runs], 0.95) <= most


def test_more_differences_change_no_decision() -> None:
    """A decision is the same in blocks of any size: the test looks at fixed places."""
    rng = np.random.default_rng(3)
    for mean in (0.0, 0.25, 0.7):
        differences = mean + 0.5 * rng.standard_normal(2000)
        test = LevelTest.within(0.3, 0.5 * rng.standard_normal(N_PILOT), ALPHA)
        whole = test.decide(differences, ends=True)
        assert whole.holds is not None
        assert whole.n % LOOK == 0
        for block in (8, 37, 256):
            n = 0
            while (part := test.decide(differences[:n], ends=False)).holds is None:
                n += block
            assert part == whole


def test_evidence_of_one_difference_is_by_hand() -> None:
    """At 0, a wager against a mean of at most -1 with clip 1 grows by 1 + lam: lam is .2984 on average."""
    test = LevelTest.within(1.0, [0.0, 0.0], ALPHA)
    first = test.decide(np.zeros(1), ends=True)
    assert first.log_certified == pytest.approx(math.log(1.0 + np.geomspace(0.03, 0.999, 12).mean()))
    assert (first.log_refuted, first.holds, first.n) == (0.0, None, 1)
    assert test.needed_certified == pytest.approx(math.log(100.0))
    assert test.needed_refuted == pytest.approx(math.log(200.0))


def test_the_first_clip_comes_from_the_pilot_and_later_ones_from_what_was_seen() -> None:
    """A fall counts as the clip at most, and twice as much is allowed once it was seen."""
    test = LevelTest.within(1.0, [0.0, 0.0], ALPHA)
    fractions = np.geomspace(0.03, 0.999, 12)

    def wealth(falls: list[float]) -> float:
        """Evidence that the mean is above -1 after -1, which is no news, then falls below it, in units of the clip."""
        return math.log(np.mean(np.prod([1.0 - fractions * fall for fall in falls], axis=0)))

    def evidence(*differences: float) -> float:
        return float(test._log_above(np.array(differences), -1.0, 1.0)[-1])

    assert evidence(-1.5) == pytest.approx(wealth([0.5]))
    assert evidence(-9.0) == evidence(-2.0) == pytest.approx(wealth([1.0]))
    assert evidence(-2.0, -2.0) == pytest.approx(wealth([1.0, 1.0 / 2.0]))
    assert evidence(-9.0, -9.0) == pytest.approx(wealth([1.0, 8.0 / 16.0]))
    wide = LevelTest.within(1.0, [-5.0, -1.0], ALPHA)
    assert float(wide._log_above(np.array([-3.0]), -1.0, 1.0)[0]) == pytest.approx(wealth([2.0 / 8.0]))


def test_an_interval_agrees_with_the_decision() -> None:
    """A mean that is certified has its interval within the limits, one that is refuted beyond one of them."""
    rng = np.random.default_rng(5)
    for mean in (0.0, 0.1, 0.6, -0.6):
        differences = mean + 0.4 * rng.standard_normal(512)
        test = LevelTest.within(0.3, differences[:N_PILOT], ALPHA)
        own = differences[N_PILOT:]
        decision = test.decide(own, ends=True)
        low, high = test.interval(own[: decision.n], ALPHA if decision.holds else ALPHA / 2)
        assert low <= own[: decision.n].mean() <= high
        assert decision.holds is not None
        assert (low > -0.3 and high < 0.3) if decision.holds else (low > 0.3 or high < -0.3)


@pytest.mark.parametrize("tail", list(TAILS))
def test_an_interval_covers_the_mean(tail: str) -> None:
    """Both bounds at 99 %: of 150 intervals after 200 differences, at most 2 % miss the mean, and all are narrow."""
    rng, missed, widths = np.random.default_rng(6), 0, []
    for _ in range(150):
        differences = 0.2 + 0.5 * rng.choice([-1.0, 1.0]) * TAILS[tail](rng, N_PILOT + 200)
        low, high = LevelTest.within(0.1, differences[:N_PILOT], ALPHA).interval(differences[N_PILOT:], ALPHA)
        missed += not low <= 0.2 <= high
        widths.append(high - low)
    assert missed <= 3
    assert np.median(widths) < 0.5


def test_an_outlier_widens_the_interval() -> None:
    """One difference of a million moves the sample's mean, which the interval contains, on its side alone."""
    for sign in (-1.0, 1.0):
        differences = np.zeros(300)
        differences[100] = sign * 1e6
        low, high = LevelTest.within(0.1, np.zeros(N_PILOT), ALPHA).interval(differences, ALPHA)
        assert low <= differences.mean() <= high
        assert max(-low, high) == pytest.approx(1e6 / 300)


def test_a_claim_about_one_side_ignores_the_other() -> None:
    """A level that rises has not fallen; between the limits both are true, and the first with evidence decides."""
    pilot = (0.0,) * N_PILOT
    gate = LevelTest(pilot, 0.5, Limit(0.5, 0.0), None, ALPHA)
    assert gate.needed_refuted == pytest.approx(gate.needed_certified)
    assert gate.decide(np.full(64, 3.0), ends=True).holds is True
    assert gate.decide(np.full(64, -3.0), ends=True).holds is False
    assert gate.decide(np.full(64, -0.1), ends=True).holds is True
    assert gate.decide(np.full(256, -0.45), ends=True).holds is False
    other = LevelTest(pilot, 0.5, None, Limit(0.5, 0.0), ALPHA)
    assert other.decide(np.full(256, 0.45), ends=True).holds is False
    assert other.decide(np.full(64, -3.0), ends=True).holds is True


@pytest.mark.slow
@pytest.mark.parametrize("tail", list(TAILS))
@pytest.mark.parametrize("noise", [0.3, 0.7, 1.4])
def test_a_gate_without_a_pilot_errs_as_seldom(tail: str, noise: float) -> None:
    """A move by the tolerance is held, and an unmoved level refused, in 1 % of 1,000 runs or as chance has it."""
    assert not of_a_gate(0.5, noise, tail, 1000, 7).is_off
    assert not of_a_gate(0.0, noise, tail, 1000, 7).is_off


def test_a_gate_learns_its_clip_from_the_first_differences() -> None:
    """Two standard deviations for eight of them, and then what they show, as from a pilot; scores give the unit."""
    scores = np.array([-0.2, 0.2])
    test = LevelTest.against(scores, falls_by=0.1, rises_by=None, alpha=ALPHA)
    fractions = np.geomspace(0.03, 0.999, 12)
    wins = math.log(np.mean((1.0 + fractions * 0.1 / 0.4) ** 8 * (1.0 + fractions)))
    assert float(test._log_above(np.zeros(9), -0.1, 1.0)[-1]) == pytest.approx(wins)
    assert spread_of(scores) == pytest.approx(0.2)
    assert spread_of(np.zeros(4)) > 0.0
    deep = test._log_above(np.array([-0.3] * 8 + [0.0]), -0.1, 1.0)
    lost = math.log(np.mean((1.0 - fractions * 0.2 / 0.4) ** 8 * (1.0 + fractions * 0.1 / 0.4)))
    assert float(deep[-1]) == pytest.approx(lost)


def test_the_guide_has_the_latents_that_a_level_takes() -> None:
    """The table of examples/guides/cost.md: medians of 300 levels among nine claims."""
    test = LevelTest.against(np.array([-1.0, 1.0]), falls_by=0.5, rises_by=0.5, alpha=ALPHA, claims=9)
    medians = []
    for noise in (0.0, 0.3, 0.7, 1.4):
        rng = np.random.default_rng(7)
        for mean in (0.0, -0.5):
            runs = [test.decide(mean + noise * rng.standard_normal(256), ends=True).n for _ in range(300)]
            medians.append(int(np.median(runs)))
    assert medians == [16, 24, 24, 24, 56, 56, 176, 208]
    page = (Path(__file__).parents[2] / "examples" / "guides" / "cost.md").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"(?:held|regressed) after (\d+)", page)] == medians


def test_claims_and_candidates_share_alpha() -> None:
    """Each side of each claim may refuse, and one of the candidates may be chosen because it held."""
    one = LevelTest.against(np.array([-1.0, 1.0]), falls_by=0.5, rises_by=0.5, alpha=ALPHA)
    many = replace(one, claims=9, candidates=3)
    assert one.needed_refuted == pytest.approx(math.log(200))
    assert one.needed_certified == pytest.approx(math.log(100))
    assert many.needed_refuted == pytest.approx(math.log(1800))
    assert many.needed_certified == pytest.approx(math.log(300))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LevelTest.within(0.0, [0.0, 0.0], ALPHA), "least=0.0"),
        (lambda: LevelTest.within(math.inf, [0.0, 0.0], ALPHA), "least=inf"),
        (lambda: LevelTest.within(1.0, [0.0], ALPHA), "at least two finite differences"),
        (lambda: LevelTest.within(1.0, [0.0, math.nan], ALPHA), "at least two finite differences"),
        (lambda: LevelTest.within(1.0, [0.0, 0.0], 1.0), "alpha=1.0"),
        (lambda: LevelTest((0.0, 0.0), 1.0, None, None, ALPHA), "at least one side"),
        (lambda: LevelTest((), 1.0, Limit(0.1, 0.0), None, ALPHA), "at least two finite differences"),
        (lambda: LevelTest.against(np.ones(2), falls_by=None, rises_by=None, alpha=ALPHA), "at least one side"),
        (lambda: LevelTest((0.0, 0.0), 1.0, Limit(0.1, 0.2), None, ALPHA), "0 <= refused <= allowed"),
    ],
)
def test_wrong_arguments_are_named(make: object, words: str) -> None:
    """In one line."""
    with pytest.raises(InvalidArgument, match=words):
        make()  # type: ignore[operator]
