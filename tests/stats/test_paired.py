"""The gate: its evidence is the formula's, its figures are reproduced, and no batch size matters.

Holm's procedure over many claims is the closed test of Bonferroni's.

A candidate and its baseline are two thresholds on latent normals of correlation rho. Figures that are expected were
simulated, with 4,000 runs or more, so that a mean is compared at four standard errors of the difference. Fixed seeds,
none of them chosen.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from gentest.errors import InvalidArgument
from gentest.stats.paired import LOOK, Holm, Paired, compare, difference_bounds, holm, log_held, log_regressed

ALPHA = 0.01
BASELINE = 0.95
RUNS = 4000
PLENTY = 16_384


@dataclass(frozen=True)
class Shares:
    """What many runs of the gate ended on."""

    probes: float
    probes_error: float
    regressed: float
    held: float
    undecided: float


def gate(rate: float, rho: float, *, tolerance: float, stored: int, runs: int, seed: int = 0) -> Shares:
    """The gate run many times at once, from its evidence at every look."""
    rng = np.random.default_rng(seed)
    both = _both_hold(rate, rho)
    chances = [rate - both, BASELINE - both, 1.0 - rate - BASELINE + 2.0 * both]
    looks = np.unique([*range(LOOK, stored + 1, LOOK), stored])
    sizes = np.diff(looks, prepend=0)
    probes, regressed, held = np.zeros(0), 0, 0
    for start in range(0, runs, 250):
        n = min(250, runs - start)
        drawn = np.stack([rng.multinomial(size, chances, size=n) for size in sizes], axis=1).cumsum(axis=1)
        wins, losses, ties = np.moveaxis(drawn, 2, 0)
        down = log_regressed(wins, losses) >= -math.log(ALPHA)
        decided = down | (log_held(wins, losses, ties, tolerance) >= -math.log(ALPHA))
        first = np.where(decided.any(axis=1), decided.argmax(axis=1), len(looks) - 1)
        at_first = np.arange(n), first
        probes = np.append(probes, looks[first])
        regressed += int(down[at_first].sum())
        held += int((decided & ~down)[at_first].sum())
    error = float(probes.std() / math.sqrt(runs))
    return Shares(float(probes.mean()), error, regressed / runs, held / runs, (runs - regressed - held) / runs)


def outcomes(rate: float, rho: float, n: int, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Outcomes of a baseline and of a candidate of this rate on the same n probes."""
    common, own = np.random.default_rng(seed).standard_normal((2, n))
    other = rho * common + math.sqrt(1.0 - rho**2) * own
    return common < stats.norm.ppf(BASELINE), other < stats.norm.ppf(rate)


@pytest.mark.parametrize(
    ("rate", "tolerance", "rho", "probes"),
    [
        (0.95, 0.02, 0.0, 2818),
        (0.95, 0.02, 0.9, 1234),
        (0.95, 0.02, 0.98, 749),
        (0.93, 0.02, 0.0, 3276),
        (0.93, 0.02, 0.9, 1320),
        (0.93, 0.02, 0.98, 728),
        (0.90, 0.02, 0.0, 682),
        (0.90, 0.02, 0.9, 311),
        (0.90, 0.02, 0.98, 222),
        (0.85, 0.02, 0.0, 242),
        (0.85, 0.02, 0.9, 127),
        (0.85, 0.02, 0.98, 115),
        (0.95, 0.05, 0.0, 530),
        (0.95, 0.05, 0.9, 295),
        (0.95, 0.05, 0.98, 219),
    ],
)
def test_a_verdict_takes_as_many_probes_as_it_should(rate: float, tolerance: float, rho: float, probes: int) -> None:
    """The expected number of probes is the known one, within four standard errors, and the verdict the right one."""
    runs = RUNS // 4
    got = gate(rate, rho, tolerance=tolerance, stored=PLENTY, runs=runs)
    error = got.probes_error * math.sqrt(1.0 + runs / RUNS)
    assert got.probes == pytest.approx(probes, abs=4.0 * error + 0.5)
    assert (got.held if rate == BASELINE else got.regressed) >= 0.99


@pytest.mark.parametrize(("stored", "undecided"), [(384, 0.98), (1000, 0.89), (4096, 0.195), (8192, 0.005)])
def test_few_stored_probes_leave_most_candidates_undecided(stored: int, undecided: float) -> None:
    """How many candidates of the baseline's own rate end undecided at tolerance .02 falls from 98 % to almost none."""
    runs = RUNS // 2
    got = gate(BASELINE, 0.0, tolerance=0.02, stored=stored, runs=runs)
    error = math.sqrt(undecided * (1.0 - undecided) * (1.0 / runs + 1.0 / RUNS))
    assert got.undecided == pytest.approx(undecided, abs=4.0 * error + 0.005)


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("tolerance", [0.02, 0.05])
def test_an_equal_candidate_is_seldom_regressed(rho: float, tolerance: float) -> None:
    """Of 4,000 candidates of exactly the baseline's rate, at most alpha are called regressed."""
    assert gate(BASELINE, rho, tolerance=tolerance, stored=4096, runs=RUNS, seed=1).regressed <= ALPHA


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("tolerance", [0.02, 0.05])
def test_a_candidate_down_by_the_tolerance_is_seldom_held(rho: float, tolerance: float) -> None:
    """Of 4,000 candidates that are down by exactly the tolerance, at most alpha are called held."""
    got = gate(BASELINE - tolerance, rho, tolerance=tolerance, stored=4096, runs=RUNS, seed=2)
    assert got.held <= ALPHA


@pytest.mark.parametrize("rate", [0.85, 0.93, 0.95, 1.0])
@pytest.mark.parametrize(("claims", "candidates"), [(1, 1), (20, 1), (20, 5)])
def test_a_comparison_is_its_evidence_look_by_look(rate: float, claims: int, candidates: int) -> None:
    """The verdict comes at the first look whose evidence reaches its threshold, and keeps the most there was so far."""
    for seed in range(5):
        baseline, candidate = outcomes(rate, 0.9, 2000, seed)
        got = compare(baseline, candidate, tolerance=0.05, alpha=ALPHA, claims=claims, candidates=candidates)
        most_regressed = most_held = 0.0
        for n in [*range(LOOK, 2001, LOOK), 2000]:
            wins, losses = int((candidate & ~baseline)[:n].sum()), int((baseline & ~candidate)[:n].sum())
            ties = n - wins - losses
            most_regressed = max(most_regressed, float(log_regressed(wins, losses)))
            most_held = max(most_held, float(log_held(wins, losses, ties, 0.05)))
            fired = "held" if most_held >= math.log(candidates / ALPHA) else ""
            fired = "regressed" if most_regressed >= math.log(claims / ALPHA) else fired
            if fired:
                break
        assert (got.wins, got.losses, got.ties, got.probes, got.fired) == (wins, losses, ties, n, fired)
        assert got.log_regressed == pytest.approx(most_regressed)
        assert got.log_held == pytest.approx(most_held)


@pytest.mark.parametrize("rate", [0.80, 0.95])
def test_no_batch_size_changes_a_verdict(rate: float) -> None:
    """Of any prefix of the candidate the verdict is the whole's once that is reached, and open before."""
    baseline, candidate = outcomes(rate, 0.9, 1000, 7)
    whole = compare(baseline, candidate, tolerance=0.05, alpha=ALPHA, claims=3)
    assert whole.fired == ("held" if rate == BASELINE else "regressed")
    for n in range(len(candidate) + 1):
        prefix = compare(baseline, candidate[:n], tolerance=0.05, alpha=ALPHA, claims=3)
        if n >= whole.probes:
            assert prefix == whole
        else:
            assert (prefix.fired, prefix.probes) == ("", n - n % LOOK)
            assert prefix.log_regressed <= whole.log_regressed


def test_more_claims_need_more_evidence_to_regress_and_no_more_to_hold() -> None:
    """With 20 claims a regression takes longer to call than with one, and what is held takes the same."""
    down, same = outcomes(0.85, 0.9, 2048, 3), outcomes(0.95, 0.9, 2048, 3)
    one, many = (compare(*down, tolerance=0.05, alpha=ALPHA, claims=claims) for claims in (1, 20))
    assert one.fired == many.fired == "regressed"
    assert one.probes < many.probes
    assert many.log_regressed >= math.log(20 / ALPHA)
    held_one, held_many = (compare(*same, tolerance=0.05, alpha=ALPHA, claims=claims) for claims in (1, 20))
    assert held_one == held_many
    assert held_one.fired == "held"


def test_the_end_of_the_baseline_is_looked_at() -> None:
    """The last probes that a baseline has count although they do not fill a look; those before its end have to."""
    baseline = np.ones(40, dtype=bool)
    assert compare(baseline, baseline, tolerance=0.05, alpha=ALPHA, claims=1).probes == 40
    assert compare(baseline, baseline[:39], tolerance=0.05, alpha=ALPHA, claims=1).probes == 32
    assert compare(baseline, baseline[:32], tolerance=0.05, alpha=ALPHA, claims=1).probes == 32
    assert compare(baseline[:20], baseline[:20], tolerance=0.05, alpha=ALPHA, claims=1).probes == 20
    assert compare(baseline, baseline[:31], tolerance=0.05, alpha=ALPHA, claims=1) == Paired(0, 0, 0, 0, 0.0, 0.0, "")


def test_the_last_probe_of_a_look_counts() -> None:
    """A win and a loss at the end of the first look are in its counts, and outcomes may be 0 and 1 as well."""
    before, after = np.ones((2, 40), dtype=int)
    before[[31, 35]] = after[[30, 36]] = 0
    for pair in ((before[:32], after[:32]), (before, after[:35])):
        for sides in (pair, [side.astype(float) for side in pair], [side.tolist() for side in pair]):
            got = compare(*sides, tolerance=0.05, alpha=ALPHA, claims=1)
            assert (got.wins, got.losses, got.ties, got.probes, got.fired) == (1, 1, 30, 32, "")


@pytest.mark.parametrize(("wins", "losses", "ties"), [(3, 5, 1992), (30, 2, 0), (0, 40, 60), (1, 0, 31)])
def test_a_bound_is_where_its_wager_has_won_enough(wins: int, losses: int, ties: int) -> None:
    """At the lower bound the mean wealth of a wager on a difference above it is 1 / alpha; the upper is its mirror."""
    lam = np.geomspace(0.03, 0.999, 12)
    low, high = difference_bounds(wins, losses, ties, ALPHA)
    for bound, won, lost in ((low, wins, losses), (-high, losses, wins)):
        mu = lam / (1.0 + bound)
        wealth = np.mean((1 - lam) ** lost * (1 - mu * bound) ** ties * (1 + mu * (1 - bound)) ** won)
        assert wealth == pytest.approx(1.0 / ALPHA, rel=1e-5)
    assert -1.0 < low < (wins - losses) / (wins + losses + ties) < high < 1.0


def test_a_bound_of_one_probe_is_in_closed_form() -> None:
    """A win is wealth 1 + lam (1 - b) / (1 + b) against b: 1 / alpha at b = (1 - r) / (1 + r), r = 99 / mean lam."""
    r = 99.0 / np.geomspace(0.03, 0.999, 12).mean()
    bound = (1.0 - r) / (1.0 + r)
    assert difference_bounds(1, 0, 0, ALPHA) == pytest.approx((bound, 1.0))
    assert difference_bounds(0, 1, 0, ALPHA) == pytest.approx((-1.0, -bound))


def test_nothing_compared_bounds_nothing() -> None:
    """Without probes the difference may be any; ties alone bound it from both sides."""
    assert difference_bounds(0, 0, 0, ALPHA) == (-1.0, 1.0)
    assert difference_bounds(0, 2000, 1, ALPHA)[0] == -1.0  # so many losses leave no wager that won
    low, high = difference_bounds(0, 0, 200, ALPHA)
    assert -0.1 < low == -high < 0.0


def test_nothing_compared_decides_nothing() -> None:
    """Without probes there are no wins, losses or ties, and no verdict."""
    nothing = np.zeros(0, dtype=bool)
    assert compare(nothing, nothing, tolerance=0.05, alpha=ALPHA, claims=1) == Paired(0, 0, 0, 0, 0.0, 0.0, "")


@pytest.mark.parametrize(
    ("wins", "losses", "ties", "tolerance"), [(3, 5, 24, 0.05), (0, 40, 0, 0.02), (9, 0, 991, 0.5)]
)
def test_evidence_is_the_mean_wealth_of_the_wagers(wins: int, losses: int, ties: int, tolerance: float) -> None:
    """The evidence is the plain mean of products over the grid of fractions."""
    lam = np.geomspace(0.03, 0.999, 12)
    mu = lam / (1 - tolerance)
    regressed = np.mean((1 + lam) ** losses * (1 - lam) ** wins)
    factors = (1 - mu * (1 - tolerance)) ** losses * (1 + mu * tolerance) ** ties * (1 + mu * (1 + tolerance)) ** wins
    assert float(log_regressed(wins, losses)) == pytest.approx(math.log(regressed))
    assert float(log_held(wins, losses, ties, tolerance)) == pytest.approx(math.log(np.mean(factors)))


def test_evidence_stays_finite_at_ten_million_probes() -> None:
    """Evidence of 1e7 probes neither overflows nor underflows."""
    n = 10_000_000
    assert math.isfinite(log_regressed(0, n))
    assert math.isfinite(log_regressed(n, 0))
    assert math.isfinite(log_held(0, n, 0, 0.05))
    assert math.isfinite(log_held(n, 0, 0, 0.05))


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("tolerance", 0.0, "a tolerance in (0, 1)"),
        ("tolerance", 1.0, "a tolerance in (0, 1)"),
        ("alpha", 0.0, "a probability in (0, 1)"),
        ("alpha", 1.0, "a probability in (0, 1)"),
        ("claims", 0, "a number of claims >= 1"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(name: str, value: float, what: str) -> None:
    """A tolerance, alpha or number of claims out of its range is misuse, and the message says what it may be."""
    some = np.ones(64, dtype=bool)
    arguments: dict[str, Any] = {"tolerance": 0.05, "alpha": ALPHA, "claims": 1, name: value}
    with pytest.raises(InvalidArgument, match=f"^Expected {re.escape(what)} but got {name}={value} "):
        compare(some, some, **arguments)


def test_more_outcomes_than_the_baseline_has_are_refused() -> None:
    """A candidate has outcomes on a prefix of the baseline's probes, never on more than it stored."""
    some = np.ones(64, dtype=bool)
    said = (
        r"^Expected at most 32 outcomes but got len\(candidate\)=64 .*; only probes that the baseline has outcomes of"
    )
    with pytest.raises(InvalidArgument, match=said):
        compare(some[:32], some, tolerance=0.05, alpha=ALPHA, claims=1)


def _both_hold(rate: float, rho: float) -> float:
    """How often both the baseline and a candidate of this rate hold."""
    if rho == 0.0:
        return BASELINE * rate
    thresholds = [stats.norm.ppf(BASELINE), stats.norm.ppf(rate)]
    return float(stats.multivariate_normal.cdf(thresholds, cov=[[1.0, rho], [rho, 1.0]]))


p_values = st.lists(st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.05 / k for k in range(1, 7)])), max_size=5)


def closed_bonferroni(p: list[float], alpha: float) -> tuple[bool, ...]:
    """A claim is rejected where Bonferroni rejects every intersection that it is part of (Marcus et al. 1976)."""
    subsets = [s for size in range(1, len(p) + 1) for s in combinations(range(len(p)), size)]
    rejects = {s: min(p[i] for i in s) <= alpha / len(s) for s in subsets}
    return tuple(all(rejects[s] for s in subsets if i in s) for i in range(len(p)))


@given(p_values, st.integers(0, 3))
def test_holm_is_the_closed_test(p: list[float], others: int) -> None:
    """What is rejected is what the closed test rejects, claims that were not given counting as p = 1."""
    got = holm(p, 0.05, claims=len(p) + others)
    assert got.rejected == closed_bonferroni(p + [1.0] * others, 0.05)[: len(p)]


@given(p_values, st.integers(0, 3))
def test_needed_is_what_would_be_rejected(p: list[float], others: int) -> None:
    """A claim is rejected exactly at or below the p-value it needs: moved there it would be, and just above not."""
    claims = len(p) + others
    got = holm(p, 0.05, claims=claims)
    for i, (rejected, needed) in enumerate(zip(got.rejected, got.needed, strict=True)):
        assert rejected == (p[i] <= needed)
        assert holm([*p[:i], needed, *p[i + 1 :]], 0.05, claims=claims).rejected[i]
        if not rejected:
            assert not holm([*p[:i], needed * 1.0001, *p[i + 1 :]], 0.05, claims=claims).rejected[i]


def test_claims_not_given_make_it_harder() -> None:
    """A claim that would be rejected alone is not among twenty, and what it needs says so."""
    assert holm([0.004], 0.05) == Holm((True,), (0.05,))
    assert holm([0.004], 0.05, claims=20) == Holm((False,), (0.0025,))


def test_each_rejection_makes_the_next_easier() -> None:
    """The least p-value needs alpha / m, the next alpha / (m - 1), and so on in the order of p, not as given."""
    got = holm([0.012, 0.001, 0.02, 0.9], 0.05)
    assert got.rejected == (True, True, True, False)
    assert got.needed == (0.05 / 3, 0.05 / 4, 0.05 / 2, 0.05)


def test_true_nulls_are_seldom_rejected() -> None:
    """Of 4,000 families of six true nulls, independent or all the same, at most alpha (4 sd more) lose one."""
    uniform = np.random.default_rng(1).random((4000, 6))
    for family in (uniform, np.repeat(uniform[:, :1], 6, axis=1)):
        wrong = sum(any(holm(list(map(float, p)), 0.05).rejected) for p in family)
        assert wrong <= 4000 * 0.05 + 4 * (4000 * 0.05 * 0.95) ** 0.5


def test_no_claims_reject_nothing() -> None:
    """Without p-values there is nothing to reject."""
    assert holm([], 0.05) == holm([], 0.05, claims=3) == Holm((), ())


@pytest.mark.parametrize(
    ("p", "alpha", "claims", "said"),
    [
        ([0.1, 1.1], 0.05, None, "p-values in [0, 1] but got p_values=[0.1, 1.1]"),
        ([-0.1], 0.05, None, "p-values in [0, 1] but got p_values=[-0.1]"),
        ([float("nan")], 0.05, None, "p-values in [0, 1] but got p_values=[nan]"),
        ([0.1], 0.0, None, "a probability in (0, 1) but got alpha=0.0"),
        ([0.1], 1.0, None, "a probability in (0, 1) but got alpha=1.0"),
        ([0.1, 0.2], 0.05, 1, "at least the 2 p-values given but got claims=1"),
    ],
)
def test_claims_that_make_no_sense_are_refused(p: list[float], alpha: float, claims: int | None, said: str) -> None:
    """A p-value, alpha or number of claims out of its range is misuse, and the message says what it may be."""
    with pytest.raises(InvalidArgument, match=f"^Expected {re.escape(said)}"):
        holm(p, alpha, claims=claims)
