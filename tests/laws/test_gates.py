"""Laws of the gate: what one loses the other wins; a thing is as good as itself; no order of claims counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gentest.gate import decision as gate
from gentest.results.comparison import Comparison, Standing, Terms
from gentest.results.result import Result
from tests.helpers.handmade import baseline, look, result
from tests.helpers.law import tried_on

RANK = [Standing.REGRESSED, Standing.UNDECIDED, Standing.HELD]
TESTS = "abc"
ENOUGH = 192
"""Probes of which none differs, and the rate is certified not to have fallen by 0.05."""


@st.composite
def margins(draw: st.DrawFn, n: int) -> list[float]:
    """Outcomes of `n` probes, mostly of a few runs: sequences that fire early, late and never."""
    found: list[bool] = []
    while len(found) < n:
        share = draw(st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]))
        found += (np.random.default_rng(draw(st.integers(0, 9))).random(draw(st.integers(8, n))) < share).tolist()
    return [0.5 if holds else -0.5 for holds in found[:n]]


@st.composite
def pairs(draw: st.DrawFn, *, least: int = 1, most: int = 3) -> tuple[list[list[float]], list[list[float]]]:
    """Outcomes of several properties before and now; some of them are as they were."""
    n = draw(st.sampled_from([20, 64, 100, 256]))
    before = draw(st.lists(margins(n), min_size=least, max_size=most))
    return before, [draw(st.just(row) | margins(n)) for row in before]


def results(rows: Sequence[Sequence[float]]) -> list[Result]:
    """A result of each row of outcomes, of a test of its own."""
    return [result(row, test=test) for row, test in zip(rows, TESTS, strict=False)]


def decided(before: Sequence[Result], now: Sequence[Result], *, spare: int = 0, drift: str = "off") -> Comparison:
    """The gate's decision, with as many claims as there are and `spare` more."""
    blessed = baseline(*before)
    claims = gate.n_claims(blessed, drift=drift != "off") + spare
    return gate.decide(now, blessed, Terms(claims=claims, drift=drift))


def standings(found: Comparison) -> dict[str, Standing]:
    """Each test's standing."""
    return {c.test: c.gate.standing for c in found.properties}


@tried_on(10)
@given(pairs(), st.integers(0, 30))
def test_what_one_loses_the_other_wins(rows: tuple[list[list[float]], list[list[float]]], spare: int) -> None:
    """Where a candidate has regressed, the same two the other way round are held: in no claim are both refused."""
    before, now = map(results, rows)
    there, back = decided(before, now, spare=spare), decided(now, before, spare=spare)
    for test, standing in standings(there).items():
        assert standing is not Standing.REGRESSED or standings(back)[test] is Standing.HELD
    assert not (there.refused and back.refused) or len(before) > 1  # of several, each may have lost another
    for one, other in zip(there.properties, back.properties, strict=True):
        if one.gate.probes == other.gate.probes:
            assert (one.gate.wins, one.gate.losses) == (other.gate.losses, other.gate.wins)


@tried_on(10)
@given(pairs(), st.integers(0, 3), st.sampled_from(["off", "warn", "fail"]))
def test_a_thing_is_as_good_as_itself(rows: tuple[list[list[float]], list[list[float]]], seed: int, drift: str) -> None:
    """Compared with itself nothing is refused, nor drifted; and all of it is held, given probes enough."""
    same = [replace(r, sample=replace(r.sample, look=look(seed, n=16))) for r in results(rows[0]) if r.sample]
    found = decided(same, same, drift=drift)
    assert not found.refused
    assert found.drifted == ()
    assert all(d.log_evidence == 0.0 for d in found.drifts)
    assert Standing.REGRESSED not in standings(found).values()
    assert (found.standing is Standing.HELD) is (len(rows[0][0]) >= ENOUGH)
    assert all((c.gate.wins, c.gate.losses, c.gate.log_regressed) == (0, 0, 0.0) for c in found.properties)


@tried_on(10)
@given(pairs(), st.data())
def test_no_standing_gets_worse_where_more_holds(
    rows: tuple[list[list[float]], list[list[float]]], data: st.DataObject
) -> None:
    """A candidate that holds on further probes stands no worse in that property, and the whole is refused no sooner."""
    before, now = rows
    which = data.draw(st.integers(0, len(now) - 1))
    mended = data.draw(st.sets(st.integers(0, len(now[which]) - 1), min_size=1, max_size=len(now[which])))
    better = [list(row) for row in now]
    for probe in mended:
        better[which][probe] = 0.5
    worse, found = (decided(results(before), results(side)) for side in (now, better))
    assert RANK.index(found.properties[which].gate.standing) >= RANK.index(worse.properties[which].gate.standing)
    assert worse.refused or not found.refused


@tried_on(10)
@given(pairs(least=2), st.randoms(use_true_random=False))
def test_the_order_of_claims_does_not_count(rows: tuple[list[list[float]], list[list[float]]], rng: object) -> None:
    """Results in another order, and a baseline of another, give each property what it had: standing, evidence, need."""
    before, now = map(results, rows)
    found = decided(before, now)
    turned = decided(data_shuffled(before, rng), data_shuffled(now, rng))
    by_test = [{c.test: c.gate for c in comparison.properties} for comparison in (found, turned)]
    assert {t: replace(g, needed=0.0) for t, g in by_test[0].items()} == {
        t: replace(g, needed=0.0) for t, g in by_test[1].items()
    }
    needs = [sorted((g.log_regressed, round(g.needed, 9)) for g in gates.values()) for gates in by_test]
    assert needs[0] == needs[1]
    assert (found.standing, found.refused) == (turned.standing, turned.refused)


def data_shuffled(rows: list[Result], rng: object) -> list[Result]:
    """The same results in another order."""
    copy = list(rows)
    rng.shuffle(copy)  # type: ignore[attr-defined]
    return copy


@tried_on(10)
@given(pairs(most=2), st.integers(1, 20))
def test_a_claim_that_holds_strengthens_no_refusal(
    rows: tuple[list[list[float]], list[list[float]]], n_more: int
) -> None:
    """With properties that are as they were beside it, no other is refused sooner, or needs less evidence for it."""
    before, now = map(results, rows)
    held = [result([0.5] * len(rows[0][0]), test=f"more{i}") for i in range(n_more)]
    alone, among = decided(before, now), decided([*before, *held], [*now, *held])
    for one, other in zip(alone.properties, among.properties[: len(now)], strict=True):
        assert one.test == other.test
        assert other.gate.standing is not Standing.REGRESSED or one.gate.standing is Standing.REGRESSED
        assert other.gate.needed >= one.gate.needed
        assert other.gate.needed == 0.0 or other.gate.log_regressed >= one.gate.log_regressed
    assert alone.refused or not among.refused


@tried_on(10)
@given(pairs(), st.integers(0, 10))
def test_no_refusal_is_without_its_evidence(rows: tuple[list[list[float]], list[list[float]]], spare: int) -> None:
    """What is refused has the evidence that it is said to need, 1 / alpha at least; what is held, what that needs."""
    before, now = map(results, rows)
    found = decided(before, now, spare=spare)
    for c in found.properties:
        assert c.gate.needed >= math.log(100) - 1e-9
        if c.gate.standing is Standing.REGRESSED:
            assert c.gate.log_regressed >= c.gate.needed - 1e-9
            assert c.gate.losses > c.gate.wins
        if c.gate.standing is Standing.HELD:
            assert c.gate.log_held >= math.log(100) - 1e-9
            assert c.gate.low > -found.terms.tolerance - 1e-6
    assert found.refused is (Standing.REGRESSED in standings(found).values())
