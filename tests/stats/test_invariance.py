"""Invariance: its level on either side, how many pairs it takes, and that it is the gate's evidence look by look.

Outcomes under two priors are two thresholds on latent normals of correlation rho. Fixed seeds, none of them chosen.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gentest.errors import InvalidArgument
from gentest.stats.invariance import Invariance, compare_priors
from gentest.stats.paired import difference_bounds, log_held, log_regressed
from gentest.stats.rates import LOOK

ALPHA = 0.01
RUNS = 3000


@dataclass(frozen=True)
class Shares:
    """What many runs ended on, and after how many pairs."""

    probes: float
    error: float
    invariant: int
    different: int


def both_hold(own: float, other: float, rho: float) -> float:
    """How often a probe holds under both priors."""
    thresholds = [stats.norm.ppf(own), stats.norm.ppf(other)]
    return float(stats.multivariate_normal.cdf(thresholds, cov=[[1.0, rho], [rho, 1.0]]))


def many(own: float, other: float, rho: float, *, delta: float, budget: int, look: int = LOOK, seed: int = 0) -> Shares:
    """`RUNS` runs at once, each stopped at its first look that has the evidence."""
    rng = np.random.default_rng(seed)
    both = both_hold(own, other, rho)
    chances = [other - both, own - both, 1.0 - own - other + 2.0 * both]
    looks = np.arange(look, budget + 1, look)
    probes, invariant, different = np.zeros(0), 0, 0
    for _ in range(RUNS // 500):
        wins, losses, ties = np.moveaxis(rng.multinomial(look, chances, size=(500, len(looks))).cumsum(axis=1), 2, 0)
        least, most = -math.log(ALPHA), math.log(2.0 / ALPHA)
        sides = [log_held(*counts, ties, delta) >= least for counts in ((wins, losses), (losses, wins))]
        within = np.logical_and(*(np.logical_or.accumulate(side, axis=1) for side in sides))
        decided = within | (np.maximum(log_regressed(wins, losses), log_regressed(losses, wins)) >= most)
        first = np.where(decided.any(axis=1), decided.argmax(axis=1), len(looks) - 1)
        at_first = np.arange(500), first
        probes = np.append(probes, looks[first])
        invariant += int(within[at_first].sum())
        different += int((decided & ~within)[at_first].sum())
    return Shares(float(probes.mean()), float(probes.std() / math.sqrt(RUNS)), invariant, different)


def paired(own: float, other: float, rho: float, n: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Outcomes of n probes under either prior."""
    common, fresh = np.random.default_rng(seed).standard_normal((2, n))
    return common < stats.norm.ppf(own), rho * common + math.sqrt(1.0 - rho**2) * fresh < stats.norm.ppf(other)


@pytest.mark.parametrize(
    ("delta", "rho", "look", "pairs", "of_runs"),
    [
        (0.05, 0.0, 16, 713.5, 12_000),
        (0.05, 0.9, 16, 369.7, 12_000),
        (0.10, 0.0, 16, 216.1, 12_000),
        (0.10, 0.9, 16, 137.8, 12_000),
        (0.05, 0.0, 32, 731, 4000),
        (0.05, 0.9, 32, 380, 4000),
        (0.10, 0.0, 32, 228, 4000),
        (0.10, 0.9, 32, 148, 4000),
    ],
)
def test_equal_rates_take_as_many_pairs_as_they_should(
    delta: float, rho: float, look: int, pairs: float, of_runs: int
) -> None:
    """At .95 under both priors the expected number of pairs is the known one, within four standard errors.

    Looks at every 32nd pair have the figures that were simulated elsewhere; at every 16th it is about ten pairs fewer,
    by other seeds than this test's.
    """
    got = many(0.95, 0.95, rho, delta=delta, budget=2560 if delta == 0.05 else 960, look=look)
    assert got.probes == pytest.approx(pairs, abs=4.0 * got.error * math.sqrt(1.0 + RUNS / of_runs) + 0.5)
    assert got.different <= stats.binom.ppf(0.99, RUNS, ALPHA)
    assert got.invariant >= 0.99 * RUNS


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize(("own", "other"), [(0.95, 0.90), (0.90, 0.95), (0.55, 0.50), (1.0 - 1e-9, 0.95)])
def test_a_difference_of_delta_is_seldom_invariant(own: float, other: float, rho: float) -> None:
    """Of 3,000 pairs of priors that differ by exactly delta, no more are invariant than a level of alpha allows."""
    got = many(own, other, rho, delta=own - other if own > other else other - own, budget=1536, seed=1)
    assert got.invariant <= stats.binom.ppf(0.99, RUNS, ALPHA)


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_equal_rates_are_seldom_different(rate: float, rho: float) -> None:
    """Of 3,000 pairs of equal rates, with a delta that never lets them be invariant first, at most alpha differ."""
    got = many(rate, rate, rho, delta=1e-3, budget=1024, seed=2)
    assert got.different <= stats.binom.ppf(0.99, RUNS, ALPHA)
    assert got.invariant == 0


@pytest.mark.parametrize(("other", "fired"), [(0.95, "invariant"), (0.80, "different"), (0.99, ""), (0.92, "")])
@pytest.mark.parametrize("claims", [1, 20])
def test_a_verdict_is_its_evidence_look_by_look(other: float, fired: str, claims: int) -> None:
    """The verdict comes at the first look with the evidence, of each wager's best, invariant before different."""
    seen = set()
    for seed in range(3):
        own, under = paired(0.95, other, 0.9, 1000, seed)
        got = compare_priors(own, under, delta=0.05, alpha=ALPHA, claims=claims)
        best = dict.fromkeys(["above", "below", "different"], 0.0)
        for n in range(LOOK, 1001, LOOK):
            wins, losses = int((under & ~own)[:n].sum()), int((own & ~under)[:n].sum())
            ties = n - wins - losses
            best["above"] = max(best["above"], float(log_held(wins, losses, ties, 0.05)))
            best["below"] = max(best["below"], float(log_held(losses, wins, ties, 0.05)))
            either = max(float(log_regressed(wins, losses)), float(log_regressed(losses, wins)))
            best["different"] = max(best["different"], either)
            verdict = "different" if best["different"] >= math.log(2 * claims / ALPHA) else ""
            verdict = "invariant" if min(best["above"], best["below"]) >= math.log(1 / ALPHA) else verdict
            if verdict:
                break
        assert (got.fired, got.probes, got.wins, got.losses, got.ties) == (verdict, n, wins, losses, ties)
        assert got.log_invariant == pytest.approx(min(best["above"], best["below"]))
        assert got.log_different == pytest.approx(best["different"])
        assert (got.low, got.high) == difference_bounds(wins, losses, ties, ALPHA)
        seen.add(got.fired)
    assert not fired or seen == {fired}


def test_no_batch_size_changes_a_verdict() -> None:
    """Of any prefix the verdict is the whole's once that is reached, and open before."""
    for other in (0.80, 0.95):
        own, under = paired(0.95, other, 0.9, 600, 7)
        whole = compare_priors(own, under, delta=0.05, alpha=ALPHA)
        assert whole.fired
        for n in range(0, 601, 7):
            prefix = compare_priors(own[:n], under[:n], delta=0.05, alpha=ALPHA)
            assert prefix == whole if n >= whole.probes else (prefix.fired, prefix.probes) == ("", n - n % LOOK)


def test_what_fills_a_look_is_looked_at_once_it_does() -> None:
    """Looks are at 16 and 32 outcomes, the last of which counts; and outcomes may be 0 and 1 as well."""
    before, after = np.ones((2, 40), dtype=int)
    before[[15, 31]] = after[[14, 30]] = 0
    for n in (16, 31, 32, 40):
        for sides in ((before, after), (before.astype(float), after.astype(float)), (before.tolist(), after.tolist())):
            looks = n // 16
            for own, other in (sides, sides[::-1]):
                got = compare_priors(own[:n], other[:n], delta=0.05, alpha=ALPHA)
                counts = got.probes, got.wins, got.losses, got.ties
                assert (got.fired, *counts) == ("", 16 * looks, looks, looks, 14 * looks)


def test_one_claim_unless_more_are_said() -> None:
    """11 losses of 16 are evidence of 5.4, between log (2 / alpha) and log (4 / alpha): different, and not of two."""
    own, under = np.ones(16, dtype=bool), np.arange(16) >= 11
    assert math.log(2 / ALPHA) < float(log_regressed(0, 11)) < math.log(4 / ALPHA)
    assert compare_priors(own, under, delta=0.05, alpha=ALPHA).fired == "different"
    assert compare_priors(own, under, delta=0.05, alpha=ALPHA, claims=2).fired == ""


def test_swapping_the_priors_swaps_the_bounds() -> None:
    """Neither statement has a direction: the other way round it is the same verdict, its bounds mirrored."""
    own, under = paired(0.95, 0.80, 0.5, 400, 3)
    one, two = (compare_priors(*sides, delta=0.05, alpha=ALPHA) for sides in ((own, under), (under, own)))
    assert (one.fired, one.probes, one.wins, one.losses) == (two.fired, two.probes, two.losses, two.wins)
    assert (one.low, one.high) == (-two.high, -two.low)
    assert one.high < 0.0 < two.low


def test_nothing_compared_bounds_nothing() -> None:
    """Fewer outcomes than a look are no evidence, and leave the difference anywhere."""
    few = np.ones(LOOK - 1, dtype=bool)
    nothing = Invariance("", 0, 0, 0, 0, 0.0, 0.0, -1.0, 1.0)
    assert compare_priors(few, few, delta=0.05, alpha=ALPHA) == nothing


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("delta", 0.0, "a difference in (0, 1)"),
        ("delta", 1.0, "a difference in (0, 1)"),
        ("delta", math.nan, "a difference in (0, 1)"),
        ("alpha", 0.0, "a probability in (0, 1)"),
        ("alpha", 1.0, "a probability in (0, 1)"),
        ("claims", 0, "a number of claims >= 1"),
    ],
)
def test_terms_that_make_no_sense_are_refused(name: str, value: float, what: str) -> None:
    """A delta, alpha or number of claims out of its range is misuse, and the message says what it may be."""
    some = np.ones(32, dtype=bool)
    arguments: dict[str, Any] = {"delta": 0.05, "alpha": ALPHA, "claims": 1, name: value}
    with pytest.raises(InvalidArgument, match=f"^Expected {re.escape(what)} but got {name}={value} "):
        compare_priors(some, some, **arguments)


@pytest.mark.parametrize("shape", [(31,), (32, 1), ()])
def test_outcomes_that_are_not_pairs_are_refused(shape: tuple[int, ...]) -> None:
    """As many outcomes under one prior as under the other."""
    said = rf"^Expected outcomes of shape \(32,\) but got other\.shape={re.escape(str(shape))} .*; outcomes are paired"
    with pytest.raises(InvalidArgument, match=said):
        compare_priors(np.ones(32, dtype=bool), np.ones(shape, dtype=bool), delta=0.05, alpha=ALPHA)
