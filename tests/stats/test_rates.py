"""Rates: the evidence is the formula's, the figures of the calibration are reproduced, and no batch size matters.

Figures that are expected come from exact dynamic programming over the counts. Simulations use fixed seeds, none of
them chosen.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import betainc, betaln, gammaln, logsumexp, xlog1py, xlogy

from gentest.errors import InvalidArgument
from gentest.stats import rates
from gentest.stats.rates import LOOK, RateDecision, RateTest, default_slack

ALPHA = 0.01
BUDGET = 4096
RUNS = 4000


@functools.cache
def decisions(p0: float, slack: float, look: int = LOOK) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Per look, which counts of passes hold and which are violated."""
    test = RateTest(p0=p0, slack=slack, alpha=ALPHA)
    table = []
    for n in range(look, BUDGET + 1, look):
        passes = np.arange(n + 1)
        violated = test.log_violated(passes, n) >= test.threshold
        table.append(((test.log_holds(passes, n) >= test.threshold) & ~violated, violated))
    return table


def expected(p0: float, slack: float, rate: float, look: int = LOOK) -> dict[str, float]:
    """By dynamic programming: the mean and 95th percentile of the probes, and the chance of each verdict."""
    step = stats.binom.pmf(np.arange(look + 1), look, rate)
    chance, stops = np.ones(1), []
    holds = violated = 0.0
    for held, broken in decisions(p0, slack, look):
        chance = np.convolve(chance, step)
        holds += chance[held].sum()
        violated += chance[broken].sum()
        stops.append(chance[held | broken].sum())
        chance[held | broken] = 0.0
    undecided = chance.sum()
    stops[-1] += undecided
    n = np.arange(1, len(stops) + 1) * look
    percentile = n[np.searchsorted(np.cumsum(stops), 0.95)]
    return {
        "mean": float(n @ stops),
        "p95": float(percentile),
        "holds": holds,
        "violated": violated,
        "undecided": undecided,
    }


@pytest.mark.parametrize(
    ("p0", "slack", "look", "rate", "mean", "p95"),
    [
        (0.95, 0.02, 16, 0.90, 295, 640),
        (0.95, 0.02, 16, 0.92, 743, 1664),
        (0.95, 0.02, 16, 0.96, 759, None),
        (0.95, 0.02, 16, 0.97, 376, 784),
        (0.95, 0.02, 16, 0.98, 212, 432),
        (0.95, 0.02, 16, 0.99, 129, 240),
        (0.95, 0.02, 16, 1.0, 80, None),
        (0.95, 0.0, 16, 0.90, 295, 640),
        (0.95, 0.0, 16, 0.92, 745, 1664),
        (0.95, 0.0, 16, 0.97, 1255, 2624),
        (0.95, 0.0, 16, 0.98, 468, 944),
        (0.95, 0.0, 16, 0.99, 218, 416),
        (0.95, 0.0, 16, 1.0, 112, None),
        (0.95, 0.0, 256, 0.90, 453, 768),
        (0.95, 0.0, 256, 0.92, 952, 1792),
        (0.95, 0.0, 256, 0.97, 1527, 2816),
        (0.95, 0.0, 256, 0.98, 662, 1280),
        (0.95, 0.0, 256, 0.99, 381, 512),
        (0.95, 0.0, 256, 1.0, 256, None),
        (0.8, 0.0, 16, 0.70, 216, 464),
        (0.8, 0.0, 16, 0.90, 161, 304),
        (0.9, 0.0, 16, 0.80, 142, 304),
        (0.9, 0.0, 16, 0.95, 348, 720),
        (0.99, 0.0, 16, 0.97, 463, 1056),
        (0.99, 0.0, 16, 0.999, 756, 1472),
    ],
)
def test_a_decision_takes_as_many_probes_as_it_should(
    p0: float, slack: float, look: int, rate: float, mean: float, p95: float | None
) -> None:
    """The expected number of probes and its 95th percentile are the known ones, to the last digit."""
    got = expected(p0, slack, rate, look)
    assert got["mean"] == pytest.approx(mean, abs=0.55)
    assert p95 is None or got["p95"] == p95


@pytest.mark.parametrize(
    ("slack", "look", "wrong"),
    [(0.02, 16, 0.004), (0.0, 16, 0.011), (0.0, 256, 0.002)],
)
def test_a_rate_of_exactly_p0_is_seldom_wrong(slack: float, look: int, wrong: float) -> None:
    """At p0 the chance of a wrong verdict is the known one, and each side's is at most alpha."""
    got = expected(0.95, slack, 0.95, look)
    wrong_sides = [got["violated"]] if slack else [got["violated"], got["holds"]]
    assert sum(wrong_sides) == pytest.approx(wrong, abs=0.0005)
    assert max(wrong_sides) <= ALPHA


def test_slack_is_what_decides_a_rate_close_to_p0() -> None:
    """One point above p0, 68 % of runs end undecided without slack, and none to speak of with it."""
    assert expected(0.95, 0.0, 0.96)["undecided"] == pytest.approx(0.68, abs=0.005)
    assert expected(0.95, 0.02, 0.96)["undecided"] < 1e-5


@pytest.mark.parametrize(("rate", "wrong"), [(0.95, "violated"), (0.93, "holds")])
def test_wrong_verdicts_at_the_boundary_are_rarer_than_alpha(rate: float, wrong: str) -> None:
    """Of 4,000 runs at p0, and at p0 - slack, at most alpha end in the verdict that is false there."""
    passes = np.random.default_rng(1).binomial(LOOK, rate, size=(RUNS, BUDGET // LOOK)).cumsum(axis=1)
    open_ = np.ones(RUNS, dtype=bool)
    n_wrong = 0
    for look, (held, broken) in enumerate(decisions(0.95, 0.02)):
        k = passes[:, look]
        n_wrong += int((open_ & (held if wrong == "holds" else broken)[k]).sum())
        open_ &= ~(held | broken)[k]
    assert n_wrong <= ALPHA * RUNS
    assert expected(0.95, 0.02, rate)[wrong] <= ALPHA
    assert n_wrong / RUNS == pytest.approx(expected(0.95, 0.02, rate)[wrong], abs=4 * math.sqrt(ALPHA / RUNS))


@pytest.mark.parametrize("rate", [0.90, 0.95, 0.98])
def test_the_first_decision_is_the_first_look_that_decides(rate: float) -> None:
    """Walking over outcomes stops at the first multiple of 16 whose counts decide, and gives those counts."""
    test = RateTest(p0=0.95, slack=0.02, alpha=ALPHA)
    rng = np.random.default_rng(2)
    for _ in range(20):
        outcomes = rng.random(BUDGET) < rate
        looks = range(LOOK, BUDGET + 1, LOOK)
        counts = [(int(outcomes[:n].sum()), n) for n in looks]
        verdicts = ((test.decide(k, n), k, n) for k, n in counts)
        first = next((v for v in verdicts if v[0] is not None), (None, *counts[-1]))
        assert test.first_decision(outcomes) == RateDecision(*first)


def test_looks_are_at_every_sixteenth_and_go_on_from_the_last() -> None:
    """8 of 16 decide and 12 of 16 do not; what fills no look is left, and a look goes on from the one before it."""
    test = RateTest(p0=0.95, slack=0.02, alpha=ALPHA)
    early, late = np.arange(48) >= 4, np.arange(48) >= 8
    assert [test.first_decision(early[:n]) for n in (15, 16, 31)] == [
        RateDecision(None, 0, 0),
        RateDecision(None, 12, 16),
        RateDecision(None, 12, 16),
    ]
    assert test.first_decision(late) == RateDecision(holds=False, passes=8, probes=16)
    assert test.first_decision(early) == RateDecision(None, 44, 48)
    assert test.first_decision(early[16:], after=RateDecision(None, 12, 16)) == RateDecision(None, 44, 48)
    assert test.first_decision(early[16:20], after=RateDecision(None, 12, 16)) == RateDecision(None, 12, 16)


def test_an_end_of_the_interval_is_where_evidence_is_enough() -> None:
    """At either end of the interval the evidence is log (1 / alpha), and where nothing failed, or held, it is 0 or 1.

    One pass of one: evidence of more than q is that of a Beta(8q, 8 - 8q) cut at q, over q, which is 100 at the end.
    """
    test = RateTest(p0=0.95, slack=0.0, alpha=ALPHA)
    for passes, n in ((1, 1), (1, 40), (39, 40), (190, 200)):
        low, high = test.interval(passes, n)
        for end, above in ((low, True), (high, False)):
            if 0.0 < end < 1.0:
                own = RateTest(p0=end, slack=0.0, alpha=ALPHA)
                evidence = own.log_holds(passes, n) if above else own.log_violated(passes, n)
                assert float(evidence) == pytest.approx(math.log(100.0), abs=1e-6)
        assert (low > 0.0, high < 1.0) == (True, passes < n)
    assert test.interval(0, 0) == (0.0, 1.0)
    assert test.interval(0, 40)[0] == test.interval(0, 1)[0] == 0.0
    assert test.interval(40, 40)[1] == test.interval(1, 1)[1] == 1.0
    many = 10_000_000
    assert (test.interval(0, many)[0], test.interval(many, many)[1]) == (0.0, 1.0)
    sure = RateTest(p0=0.95, slack=0.0, alpha=1e-15)  # one probe is no such evidence, not even against 1e-12
    assert sure.interval(1, 1) == sure.interval(0, 1) == (0.0, 1.0)
    low = test.interval(1, 1)[0]
    q = stats.beta.expect(lambda p: p, (8 * low, 8 - 8 * low), lb=low, ub=1.0, conditional=True)
    assert q / low == pytest.approx(100.0, rel=1e-4)


@pytest.mark.parametrize("rate", [0.85, 0.95, 1.0])
def test_no_batch_size_changes_a_decision(rate: float) -> None:
    """Of any prefix the decision is the whole's once that is reached, and open before."""
    test = RateTest(p0=0.95, slack=0.02, alpha=ALPHA)
    outcomes = np.random.default_rng(3).random(700) < rate
    whole = test.first_decision(outcomes)
    for n in range(len(outcomes) + 1):
        prefix = test.first_decision(outcomes[:n])
        assert test.first_decision(outcomes[prefix.probes :], after=prefix) == whole or prefix.holds is not None
        if whole.holds is not None and n >= whole.probes:
            assert prefix == whole
        else:
            assert prefix == RateDecision(None, int(outcomes[: n - n % LOOK].sum()), n - n % LOOK)


@pytest.mark.parametrize(("rate", "holds"), [(0.90, False), (0.949, False), (0.951, True), (1.0, True), (0.0, False)])
def test_ten_million_probes_are_decided(rate: float, *, holds: bool) -> None:
    """At 1e7 probes the evidence is finite, and the verdict the right one, however sure it is."""
    test = RateTest(p0=0.95, slack=0.0, alpha=ALPHA)
    n = 10_000_000
    passes = round(rate * n)
    assert math.isfinite(test.log_holds(passes, n))
    assert math.isfinite(test.log_violated(passes, n))
    assert test.decide(passes, n) is holds
    low, high = test.interval(passes, n)
    assert 0.0 <= low <= rate <= high <= 1.0
    assert high - low < 0.001


@pytest.mark.parametrize("p0", [1e-6, 0.05, 0.5, 0.95, 1.0 - 1e-6])
@pytest.mark.parametrize("n", [10_000, 10_000_000])
def test_evidence_is_monotone_and_finite_far_in_the_tails(p0: float, n: int) -> None:
    """More passes are always more evidence of holding and less of violation, also where SciPy underflows."""
    test = RateTest(p0=p0, slack=0.0, alpha=ALPHA)
    passes = np.unique(np.concatenate([np.linspace(0, n, 2001), n * p0 + np.linspace(-1, 1, 501) * 50 * n**0.5]))
    passes = np.unique(np.clip(passes.round(), 0, n))
    holds, violated = test.log_holds(passes, n), test.log_violated(passes, n)
    assert np.isfinite(holds).all()
    assert np.isfinite(violated).all()
    rounding = 1e-7 * n**0.5
    assert (np.diff(holds) > -rounding).all()
    assert (np.diff(violated) < rounding).all()


@pytest.mark.parametrize("p0", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("n", [1, 16, 500, 20_000])
def test_evidence_is_the_exact_sum_of_binomial_terms(p0: float, n: int) -> None:
    """Where the prior's parameters are whole, the evidence is a sum over a binomial's terms, taken in logarithms."""
    test = RateTest(p0=p0, slack=0.0, alpha=ALPHA)
    a, b = round(8 * p0), round(8 * (1 - p0))
    for k in np.unique(np.linspace(0, n, 23).round()):
        for above, got in [(True, test.log_holds(k, n)), (False, test.log_violated(k, n))]:
            posterior = betaln(a + k, b + n - k) + _log_mass(a + k, b + n - k, p0, above=above)
            prior = betaln(a, b) + _log_mass(a, b, p0, above=above)
            exact = posterior - prior - xlogy(k, p0) - xlog1py(n - k, -p0)
            assert got == pytest.approx(exact, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("passes", [9_400_000, 9_480_000, 8_000_000, 1_000_000, 0])
def test_evidence_is_right_where_scipy_underflows(passes: int) -> None:
    """Far in the tail of 1e7 probes the evidence is that of a quadrature in logarithms."""
    test = RateTest(p0=0.95, slack=0.0, alpha=ALPHA)
    n, q, a, b = 10_000_000, 0.95, 7.6, 0.4
    slope = (a + passes - 1) / q - (b + n - passes - 1) / (1 - q)
    x = np.linspace(0.0, 60.0, 200_001)
    p = q + x / -slope  # the density falls by e for each step of 1 in x, at the least
    log_density = xlogy(a + passes - 1, p) + xlog1py(b + n - passes - 1, -p)
    step = np.log(x[1] / -slope) + np.log(np.where((x == x[0]) | (x == x[-1]), 0.5, 1.0))
    prior = betaln(a, b) + stats.beta.logsf(q, a, b)
    exact = logsumexp(log_density + step) - prior - xlogy(passes, q) - xlog1py(n - passes, -q)
    assert test.log_holds(passes, n) == pytest.approx(exact, rel=1e-6, abs=1e-5)


def test_a_tail_is_a_sum_of_binomial_terms() -> None:
    """Of whole parameters the incomplete beta function is P(Bin(a + b - 1, x) >= a): of 2, 3 and .1 it is .0523.

    By hand: 6 (.01) (.81) + 4 (.001) (.9) + .0001. SciPy's own is as good wherever it does not underflow.
    """
    tail = np.exp(rates._log_tail(np.array([2.0, 4.0]), np.array([3.0, 1.0]), 0.1))
    assert tail == pytest.approx([0.0523, 0.0001], rel=1e-13)
    a, b = np.array([0.4, 0.4, 7.6, 7.6, 30.0, 2.5]), np.array([0.4, 7.6, 0.4, 50.4, 300.0, 90.0])
    for x in (1e-9, 0.01, 0.02):
        assert np.exp(rates._log_tail(a, b, x)) == pytest.approx(betainc(a, b, x), rel=1e-11)


def test_a_fraction_never_divides_by_nothing() -> None:
    """What Lentz's evaluation divides by is kept from 0, and is otherwise itself."""
    assert rates._away_from_zero(np.array([0.0, -1e-301, -2.0, 1e-299])).tolist() == [1e-300, 1e-300, -2.0, 1e-299]


def test_evidence_agrees_with_scipy_where_scipy_is_fine() -> None:
    """Of 200 probes the evidence is that of SciPy's own log survival function, to one part in a million."""
    test = RateTest(p0=0.95, slack=0.02, alpha=ALPHA)
    k = np.arange(100, 201)
    a, b = 8 * 0.95, 8 * 0.05
    mass = stats.beta.logsf(0.93, a + k, b + 200 - k) - stats.beta.logsf(0.93, a, b)
    exact = betaln(a + k, b + 200 - k) - betaln(a, b) + mass - xlogy(k, 0.93) - xlog1py(200 - k, -0.93)
    np.testing.assert_allclose(test.log_holds(k, 200), exact, rtol=1e-6)


def test_the_interval_is_the_known_one() -> None:
    """190 of 200 puts the rate between 0.880 and 0.986, whatever rate is asked for."""
    for p0 in (0.5, 0.95):
        low, high = RateTest(p0=p0, slack=0.0, alpha=ALPHA).interval(190, 200)
        assert (round(low, 3), round(high, 3)) == (0.880, 0.986)


@pytest.mark.parametrize(("passes", "n"), [(0, 0), (0, 40), (40, 40), (1, 40), (30, 40), (900, 1000), (1, 1)])
def test_the_interval_is_where_no_rate_is_ruled_out(passes: int, n: int) -> None:
    """A rate lies in the interval exactly where a test of that rate finds evidence against neither side."""
    low, high = RateTest(p0=0.5, slack=0.0, alpha=ALPHA).interval(passes, n)
    assert 0.0 <= low <= (passes / n if n else 0.5) <= high <= 1.0
    for p0 in np.linspace(0.001, 0.999, 500):
        decided = RateTest(p0=float(p0), slack=0.0, alpha=ALPHA).decide(passes, n)
        assert decided is (True if p0 <= low else False if p0 >= high else None)


def test_the_interval_covers_over_all_looks() -> None:
    """Of 4,000 runs of 1,024 probes, at most 2 alpha ever lose the true rate from the interval, at any look."""
    test = RateTest(p0=0.9, slack=0.0, alpha=ALPHA)
    n = np.arange(LOOK, 1025, LOOK)
    passes = np.random.default_rng(4).binomial(LOOK, 0.9, size=(RUNS, len(n))).cumsum(axis=1)
    lost = (test.log_holds(passes, n) >= test.threshold) | (test.log_violated(passes, n) >= test.threshold)
    assert lost.any(axis=1).mean() <= 2 * ALPHA
    run = int(lost.any(axis=1).argmax())  # one that loses it
    look = int(lost[run].argmax())
    low, high = test.interval(int(passes[run, look]), int(n[look]))
    assert not low < 0.9 < high


def test_the_slack_leaves_two_fifths_of_what_may_fail() -> None:
    """The default slack is .02 at .95 and .004 at .99, and what is certified is p0 less it."""
    assert default_slack(0.95) == pytest.approx(0.02)
    assert default_slack(0.99) == pytest.approx(0.004)
    assert RateTest(p0=0.95, slack=default_slack(0.95), alpha=ALPHA).certified == pytest.approx(0.93)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("p0", 0.0),
        ("p0", 0.99e-6),
        ("p0", 1.0),
        ("p0", 1),
        ("p0", 1.0 - 0.99e-6),
        ("p0", "0.9"),
        ("p0", True),
        ("p0", math.nan),
        ("slack", -1e-9),
        ("slack", 0.95),
        ("slack", None),
        ("alpha", 0.0),
        ("alpha", 1.0),
        ("alpha", True),
        ("claims", 0),
        ("claims", 1.0),
    ],
)
def test_a_test_that_makes_no_sense_is_refused(name: str, value: object) -> None:
    """A rate, slack, alpha or number of claims out of its range is misuse, and the message says what it may be."""
    what = {
        "p0": "a rate in [1e-06, 1 - 1e-06]",
        "slack": "a slack in [0, p0)",
        "alpha": "a probability in (0, 1)",
        "claims": "a number of claims >= 1",
    }[name]
    with pytest.raises(InvalidArgument) as caught:
        RateTest(**{"p0": 0.95, "slack": 0.02, "alpha": ALPHA, name: value})  # type: ignore[arg-type]
    said, _, hint = str(caught.value).partition("; ")
    assert said == f"Expected {what} but got {name}={value!r} (type={type(value).__name__})"
    assert hint == ("a rate of 1 is a property without a rate" if name == "p0" and value == 1 else "")


def test_the_ends_of_what_may_be_asked_are_allowed() -> None:
    """A rate as near to 0 or 1 as one in a million, no slack, and as many claims as one: all are tests."""
    for p0 in (1e-6, 1.0 - 1e-6):
        assert RateTest(p0=p0, slack=0.0, alpha=ALPHA, claims=1).certified == p0


@pytest.mark.parametrize(("passes", "n"), [(-1, 4), (5, 4)])
def test_counts_that_cannot_be_are_refused(passes: int, n: int) -> None:
    """More passes than probes, or fewer than none, are misuse."""
    test = RateTest(p0=0.95, slack=0.02, alpha=ALPHA)
    for ask in (test.decide, test.interval):
        with pytest.raises(InvalidArgument, match=f"^Expected a count from 0 to n=4 but got passes={passes} "):
            ask(passes, n)


def test_claims_share_alpha_where_one_refuted_is_enough() -> None:
    """Four claims need log 4 more to be refuted, and no more to hold: 10 of 16 refute a rate of .95 alone, not of four.

    The evidence of 9, 10 and 11 of 16 is 7.88, 5.89 and 4.13; log 100 is 4.61, log 400 is 5.99.
    """
    one, four = (RateTest(p0=0.95, slack=0.02, alpha=ALPHA, claims=claims) for claims in (1, 4))
    assert one.threshold == four.threshold == one.refuting == pytest.approx(math.log(100.0))
    assert four.refuting == pytest.approx(math.log(400.0))
    assert np.asarray(one.log_violated([9, 10, 11], 16)) == pytest.approx([7.88, 5.89, 4.13], abs=0.005)
    assert [one.decide(k, 16) for k in (9, 10, 11)] == [False, False, None]
    assert [four.decide(k, 16) for k in (9, 10, 11)] == [False, None, None]
    assert four.first_decision(np.arange(16) < 10) == RateDecision(None, 10, 16)
    assert one.first_decision(np.arange(16) < 10) == RateDecision(holds=False, passes=10, probes=16)


def _log_mass(a: float, b: float, q: float, *, above: bool) -> float:
    """Log mass of Beta(a, b) above q: that a binomial of a + b - 1 trials at q has fewer than a successes."""
    trials = a + b - 1
    i = np.arange(0, a) if above else np.arange(a, trials + 1)
    terms = gammaln(trials + 1) - gammaln(i + 1) - gammaln(trials - i + 1) + xlogy(i, q) + xlog1py(trials - i, -q)
    return float(logsumexp(terms))


@pytest.mark.parametrize("claims", [1, 3, 10])
@pytest.mark.parametrize("p0", [0.5, 0.9, 0.99])
def test_the_interval_of_all_rates_is_below_the_asked_one_where_it_is_refuted(p0: float, claims: int) -> None:
    """At every count of 96 probes; it is the interval of one rate where there is one, wider where there are more."""
    test = RateTest(p0, 0.0, 0.01, claims)
    for passes in range(97):
        (low, high), (own_low, own_high) = test.interval_of_all(passes, 96), test.interval(passes, 96)
        assert (high < p0) is (test.decide(passes, 96) is False)
        assert low <= own_low
        assert own_high <= high
        assert claims > 1 or (low, high) == (own_low, own_high)
    assert (test.interval_of_all(48, 96) == test.interval(48, 96)) is (claims == 1)
