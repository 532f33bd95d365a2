"""The gate on results made by hand, whose outcome is known: each claim alone, and all of them weighed together."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline, Entry
from gentest.gate.paired_samples import incomparable
from gentest.results.comparison import Comparison, Differing, Drift, Embedded, Gate, Look, Standing, Terms
from gentest.results.document import Document
from gentest.results.records import pack, pack_bytes, unpack
from gentest.results.result import Distribution, Provenance, Result, Verdict
from gentest.stats.drift import level_drift, spread_bound
from gentest.stats.paired import difference_bounds
from tests.helpers import handmade
from tests.helpers.handmade import baseline, look, outcomes, result, sample

HELD, REGRESSED, UNDECIDED = Standing.HELD, Standing.REGRESSED, Standing.UNDECIDED
N = 256
GOOD = result(outcomes(N))
PROPERTY = GOOD.property


def weighed(before: list[float], now: list[float], **terms: Any) -> Gate:
    """The gate of outcomes before and now."""
    entry = Entry(Verdict.NO_COUNTEREXAMPLE.value, sample(before))
    return gate.weigh(result(now), entry, Terms(**terms))


def decided(blessed: Baseline, *results: Result, drift: bool = True, checkpoints: int = 1) -> Comparison:
    """The gate's decision as the command makes it."""
    claims = gate.n_claims(blessed, drift=drift, checkpoints=checkpoints)
    terms = Terms(claims=claims, drift="warn" if drift else "off", checkpoints=checkpoints)
    return gate.decide(results, blessed, terms)


# one property


def test_the_same_outcomes_are_held() -> None:
    """Nothing differs: held at the first look with the evidence, and before all probes are spent."""
    found = weighed(outcomes(N), outcomes(N))
    assert (found.standing, found.wins, found.losses, found.probes, found.stored) == (HELD, 0, 0, 160, N)
    assert (found.baseline_passes, found.candidate_passes, found.wins, found.losses) == (160, 160, 0, 0)
    assert found.log_held >= math.log(100)
    assert found.log_regressed == 0.0
    assert found.low < 0.0 < found.high


def test_lost_probes_are_a_regression() -> None:
    """A candidate that fails where the baseline held is refused at the first look."""
    found = weighed(outcomes(N), outcomes(N, lost=32))
    assert (found.standing, found.losses, found.wins, found.probes) == (REGRESSED, 32, 0, 32)
    assert (found.baseline_passes, found.candidate_passes) == (32, 0)
    assert found.log_regressed >= found.needed == pytest.approx(math.log(100))
    assert found.high < 0.0


def test_spent_probes_are_undecided() -> None:
    """Where the baseline's probes are too few for either, nothing is said."""
    found = weighed(outcomes(96), outcomes(96, lost=2))
    assert (found.standing, found.probes, found.stored, found.losses) == (UNDECIDED, 96, 96, 2)
    assert found.message == ""


def test_wins_and_losses_are_told_apart() -> None:
    """Of 32 probes the baseline fails on the first 3 and the candidate on the next 5: it passes 27 to 29."""
    before, now = [-0.5] * 3 + [0.5] * 29, [0.5] * 3 + [-0.5] * 5 + [0.5] * 24
    found = weighed(before, now, alpha=0.1)
    assert (found.wins, found.losses, found.baseline_passes, found.candidate_passes) == (3, 5, 29, 27)
    assert (found.low, found.high) == difference_bounds(3, 5, 24, 0.1)
    assert -1.0 < found.low < -2 / 32 < found.high < 1.0


def of_all_outputs(
    p: float | None,
    *,
    further: float | None = 0.25,
    tolerance: float | None = None,
    verdict: Verdict = Verdict.UNDECIDED,
) -> Result:
    """A property of all outputs together, as far as `matches` is compared with a baseline."""
    found = Distribution("real", 0.5, 0.1, 0.6, 0.01, 64, 64, tolerance=tolerance, further=further, p_further=p)
    return replace(result([]), distribution=found, verdict=verdict)


HOLDS, OPEN, VIOLATED = Verdict.HOLDS, Verdict.UNDECIDED, Verdict.VIOLATED


@pytest.mark.parametrize(
    ("p", "tolerance", "verdict", "standing"),
    [
        (0.125, None, HOLDS, REGRESSED),
        (0.125, 0.7, HOLDS, REGRESSED),
        (0.125, 0.7, OPEN, REGRESSED),
        (0.126, None, VIOLATED, HELD),
        (0.126, None, OPEN, HELD),
        (0.126, 0.7, HOLDS, HELD),
        (0.126, 0.7, OPEN, UNDECIDED),
        (0.126, 0.7, VIOLATED, UNDECIDED),
    ],
)
def test_outputs_that_are_further_from_a_reference_are_a_regression(
    p: float, tolerance: float | None, verdict: Verdict, standing: Standing
) -> None:
    """Of two claims at .25 each needs p <= .125 to regress; where it does not, what was declared close has to be so."""
    entry, terms = Entry("holds", sample([])), Terms(alpha=0.25, claims=2)
    found = gate.weigh(of_all_outputs(p, tolerance=tolerance, verdict=verdict), entry, terms)
    assert (found.standing, found.baseline_verdict) == (standing, "holds")
    assert (found.log_regressed, found.needed) == pytest.approx((-math.log(p), math.log(8.0)))
    said = f"MMD^2 to the reference +0.25 against the baseline's, p = {p:.2g} of being no further, needs 0.12"
    assert found.message == said


@pytest.mark.parametrize("p", [0.5, 1e-9])
def test_outputs_that_were_not_found_further_are_not_certified(p: float) -> None:
    """Nothing certifies a distribution, and a rate that held is certified."""
    found = gate.weigh(of_all_outputs(p), Entry("holds", sample([])), Terms())
    assert not found.certified
    assert weighed(outcomes(N), outcomes(N)).certified
    assert found.standing is (HELD if p > 0.01 else REGRESSED)


@pytest.mark.parametrize(
    ("before", "verdict", "standing", "certified"),
    [
        (HOLDS, HOLDS, HELD, True),
        (HOLDS, VIOLATED, REGRESSED, True),
        (HOLDS, OPEN, UNDECIDED, True),
        (OPEN, OPEN, HELD, False),
        (VIOLATED, OPEN, HELD, False),
        (VIOLATED, VIOLATED, HELD, False),
        (OPEN, VIOLATED, REGRESSED, True),
        (VIOLATED, HOLDS, HELD, True),
    ],
)
def test_the_level_of_a_pair_is_held_by_its_own_verdict(
    before: Verdict, verdict: Verdict, standing: Standing, *, certified: bool
) -> None:
    """Its reference is in the pair. What the baseline shares is known: it fails nobody, and nothing certifies it."""
    candidate = replace(result([]), level=handmade.level(), verdict=verdict)
    found = gate.weigh(candidate, Entry(before, sample([])), Terms())
    assert (found.standing, found.certified) == (standing, certified)
    assert found.message == f"the level is {verdict.value}, and was {before.value} when the baseline was blessed"
    assert replace(candidate, gate=found).outcome is standing.outcome


def of_embeddings(n: int) -> Baseline:
    """A baseline of one `matches`, with embeddings of `n` outputs."""
    seen = replace(look(0, n=n), levels={})
    return baseline(replace(of_all_outputs(0.5), sample=sample([], seen=seen)))


@pytest.mark.parametrize(("n", "claims", "reaches"), [(16, 20, True), (16, 21, False), (64, 10_000, True)])
def test_a_distribution_that_cannot_reach_its_threshold_is_an_error(n: int, claims: int, *, reaches: bool) -> None:
    """16 outputs come to p = 5e-4 at the least: alpha / 20, and more than alpha / 21."""
    terms = Terms(claims=claims, drift="off")
    if reaches:
        gate.check_reach(of_embeddings(n), terms)
        return
    said = rf"{n} probes or outputs .* among {claims} claims: p is 0.0005 at the least, and 0.00048 is needed; bless"
    with pytest.raises(InvalidArgument, match=said):
        gate.check_reach(of_embeddings(n), terms)


def test_each_kind_of_claim_has_to_reach_its_threshold() -> None:
    """Probes, levels and distributions that are too few for so many claims, and by how few more they are enough."""
    gate.check_reach(baseline(result(outcomes(32))), Terms(claims=1_000))
    with pytest.raises(InvalidArgument, match=r"8 probes or outputs cannot show a regression among 1 claims"):
        gate.check_reach(baseline(result(outcomes(8))), Terms(claims=1))
    seen = look(0, n=8)
    few = baseline(result(outcomes(N), seen=seen))
    gate.check_reach(few, Terms(claims=1, drift="off"))
    with pytest.raises(InvalidArgument, match=r"^the level of .*: 8 probes or outputs"):
        gate.check_reach(few, Terms(claims=1))
    with pytest.raises(InvalidArgument, match=r"^the distribution in .*: 8 probes or outputs"):
        gate.check_reach(baseline(result(outcomes(N), seen=replace(seen, levels={}))), Terms(claims=1_000))


@pytest.mark.parametrize(("p", "further"), [(None, 0.25), (0.5, None), (None, None)])
def test_outputs_that_were_not_compared_are_undecided(p: float | None, further: float | None) -> None:
    """Without a distance of the baseline's own outputs nothing is said, but how to have it."""
    found = gate.weigh(of_all_outputs(p, further=further), Entry("violated", sample([])), Terms())
    assert found == Gate(
        UNDECIDED,
        "nothing says how far the baseline's outputs are from the reference: check with --gentest-baseline",
        baseline_verdict="violated",
    )


def test_a_property_that_fails_as_before_is_held() -> None:
    """Probes that fail in both are ties: what was blessed is the measure, not 100 per cent."""
    found = weighed(outcomes(N, passes=0.0), outcomes(N, passes=0.0))
    assert (found.standing, found.baseline_passes, found.candidate_passes) == (HELD, 0, 0)


@pytest.mark.parametrize(
    ("before", "now", "tolerance", "standing"),
    [(0, 8, 0.3, HELD), (0, 8, 0.01, UNDECIDED), (8, 0, 0.05, HELD), (0, 30, 0.9, REGRESSED)],
)
def test_a_tolerance_says_how_much_may_be_lost(before: int, now: int, tolerance: float, standing: Standing) -> None:
    """A loss within the tolerance is held where the evidence comes first; a clear one is refused at any."""
    assert weighed(outcomes(N, lost=before), outcomes(N, lost=now), tolerance=tolerance).standing is standing


def test_a_property_that_the_baseline_lacks_is_undecided() -> None:
    """Nobody knows whether a new property held before."""
    found = gate.weigh(GOOD, None, Terms())
    assert (found.standing, found.probes) == (UNDECIDED, 0)
    assert found.message == "not in the baseline: it is gated once the baseline is blessed again"


def test_an_error_is_undecided() -> None:
    """A check that failed has nothing to compare, and says so."""
    entry = Entry("violated", sample(outcomes(N)))
    found = gate.weigh(replace(GOOD, verdict=Verdict.ERROR), entry, Terms())
    assert (found.standing, found.message) == (UNDECIDED, "the check of the candidate failed")
    assert found.baseline_verdict == "violated"


def test_results_without_outcomes_are_undecided() -> None:
    """Results that kept no outcomes cannot be compared, and say how to make them."""
    found = gate.weigh(result(None), Entry("holds", sample(outcomes(N))), Terms())
    assert (found.standing, found.message) == (
        UNDECIDED,
        "the results have no outcomes: make them with --gentest-outcomes",
    )


def test_fewer_outcomes_than_the_baseline_has_are_enough_where_they_decide() -> None:
    """A run that stopped when the gate fired has the same standing as one that went on."""
    short, whole = (weighed(outcomes(N), outcomes(n)) for n in (160, N))
    assert short == whole
    assert weighed(outcomes(N), outcomes(64)).standing is UNDECIDED


def test_more_outcomes_than_the_baseline_has_do_not_count() -> None:
    """Only probes that the baseline has are compared."""
    assert weighed(outcomes(N), outcomes(2 * N)) == weighed(outcomes(N), outcomes(N))


def test_less_than_one_look_is_undecided() -> None:
    """A result with fewer outcomes than the gate's first look compares none."""
    assert weighed(outcomes(N), outcomes(16)) == Gate(
        UNDECIDED,
        baseline_verdict="no_counterexample",
        stored=N,
        needed=math.log(100),
        needed_held=math.log(100),
        each_end=0.99,
        final=False,
    )


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=32, max_size=200), st.integers(1, 40))
def test_swapping_baseline_and_candidate_swaps_wins_and_losses(pairs: list[tuple[bool, bool]], claims: int) -> None:
    """What one loses the other wins, and the bounds of the difference are mirrored."""
    before, now = ([0.5 if holds else -0.5 for holds in side] for side in zip(*pairs, strict=True))
    n = 32  # one look each, so that both stop at the same
    there, back = (weighed(a[:n], b[:n], claims=claims) for a, b in ((before, now), (now, before)))
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert (there.baseline_passes, there.candidate_passes) == (back.candidate_passes, back.baseline_passes)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert not (there.standing is REGRESSED and back.standing is REGRESSED)


# what does not fit

WITH_ITS_OWN = ": check the candidate with --gentest-baseline, which takes the baseline's"
MISFITS = [
    ({"space": "Normal(9)"}, "the baseline's latent space is Normal(8), the generator's Normal(9)"),
    ({"seed": 4}, "the baseline's probes are of seed 3, these of seed 4" + WITH_ITS_OWN),
    (
        {"measures": {"brightness()": "abc"}},
        "brightness() was measured by the CLIP none in the baseline, and by abc now",
    ),
    (
        {"spreads": {"brightness()": 0.25}},
        "sd(...) of brightness() was 0.5 in the baseline and 0.25 here" + WITH_ITS_OWN,
    ),
]


@pytest.mark.parametrize(("changed", "said"), MISFITS)
def test_samples_of_other_things_are_not_compared(changed: dict[str, Any], said: str) -> None:
    """Another space, seed, CLIP or unit is one line that names both, and what to do."""
    entry = Entry("holds", sample(outcomes(N), spreads={"brightness()": 0.5}))
    values = {"spreads": {"brightness()": 0.5}, **changed}
    assert incomparable(entry.sample, sample(outcomes(N), **values)) == said
    with pytest.raises(InvalidArgument) as caught:
        gate.weigh(result(outcomes(N), **values), entry, Terms())
    assert str(caught.value) == f"test_a.py::test_a {PROPERTY}: {said}; or bless the checkpoint again"
    assert "\n" not in said


# many claims


def test_claims_are_all_that_could_refuse() -> None:
    """Properties, and with drift the levels and embeddings of each generator once, for each checkpoint."""
    both = baseline(
        result(outcomes(N), test="a", seen=look()),
        result(outcomes(N), test="b", seen=look()),
        result(outcomes(N), test="c", seen=look(1), generator="another"),
    )
    assert gate.n_claims(both, drift=False) == 3
    assert gate.n_claims(both, drift=True) == 3 + 2 * 2
    assert gate.n_claims(both, drift=True, checkpoints=3) == 21


def test_many_claims_need_more_evidence() -> None:
    """What refuses a candidate of one property does not refuse one of a hundred."""
    lost = 12
    assert weighed(outcomes(32), outcomes(32, lost=lost), claims=1).standing is REGRESSED
    assert weighed(outcomes(32), outcomes(32, lost=lost), claims=100).standing is UNDECIDED


def test_a_property_that_is_refused_lowers_what_the_next_one_needs() -> None:
    """Holm: evidence between claims / alpha and what is left counts once the others are refused."""
    names = ("a", "b", "c")
    blessed = baseline(*(result(outcomes(32), test=t) for t in names))
    terms = Terms(claims=3, drift="off")
    lost = next(
        n
        for n in range(1, 32)
        if math.log(200) <= weighed(outcomes(32), outcomes(32, lost=n), claims=3).log_regressed < math.log(300)
    )
    alone = gate.decide([result(outcomes(32, lost=lost if t == "b" else 0), test=t) for t in names], blessed, terms)
    assert [c.gate.standing for c in alone.properties] == [UNDECIDED] * 3
    assert alone.properties[1].gate.needed == pytest.approx(math.log(300))
    together = gate.decide(
        [result(outcomes(32, lost={"a": 32, "b": lost, "c": 0}[t]), test=t) for t in names],
        blessed,
        terms,
    )
    assert [c.gate.standing for c in together.properties] == [REGRESSED, REGRESSED, UNDECIDED]
    assert [c.gate.needed for c in together.properties] == pytest.approx([math.log(n * 100) for n in (3, 2, 1)])
    assert together.standing is REGRESSED


def test_all_must_hold_for_the_whole_to_hold() -> None:
    """One undecided property leaves the whole undecided, and so does one that the run did not look at."""
    blessed = baseline(*(result(outcomes(N), test=t) for t in "ab"))
    both = [result(outcomes(N), test=t) for t in "ab"]
    assert decided(blessed, *both).standing is HELD
    assert decided(blessed, both[0], result(outcomes(64), test="b")).standing is UNDECIDED
    missing = decided(blessed, both[0])
    assert (missing.standing, missing.missing) == (UNDECIDED, (f"b {PROPERTY}",))
    assert decided(blessed).missing == (f"a {PROPERTY}", f"b {PROPERTY}")
    new = decided(blessed, *both, result(outcomes(N), test="c"))
    assert [c.gate.standing for c in new.properties] == [HELD, HELD, UNDECIDED]
    assert new.standing is UNDECIDED


def test_a_regression_outweighs_all_else() -> None:
    """The whole has regressed where one property has, whatever is missing or held."""
    blessed = baseline(*(result(outcomes(N), test=t) for t in "abc"))
    found = decided(blessed, result(outcomes(N), test="a"), result(outcomes(N, lost=N), test="b"))
    assert found.standing is REGRESSED


@pytest.mark.parametrize("checkpoints", [1, 2, 20])
def test_one_of_several_checkpoints_is_held_with_as_many_times_the_evidence(checkpoints: int) -> None:
    """Whoever takes the one that held has chosen among all of them, on the same probes."""
    found = weighed(outcomes(4 * N), outcomes(4 * N), checkpoints=checkpoints)
    assert found.needed_held == pytest.approx(math.log(100 * checkpoints))
    assert (found.standing, found.log_held >= found.needed_held) == (HELD, True)
    before = weighed(outcomes(4 * N), outcomes(found.probes - 32), checkpoints=checkpoints)
    assert (before.standing, before.log_held < found.needed_held) == (UNDECIDED, True)


def test_several_checkpoints_share_the_claims() -> None:
    """Each is compared with the same baseline, and together they need more evidence than one."""
    blessed = baseline(*(result(outcomes(32), test=t) for t in "ab"))
    lost = next(
        n
        for n in range(1, 32)
        if math.log(200) <= weighed(outcomes(32), outcomes(32, lost=n), claims=2).log_regressed < math.log(400)
    )

    def of(checkpoint: str, n: int) -> list[Result]:
        return [result(outcomes(32, lost=n * (t == "a")), test=t, checkpoint=checkpoint) for t in "ab"]

    assert decided(blessed, *of("", lost)).standing is REGRESSED
    both = decided(blessed, *of("good", 0), *of("bad", lost), checkpoints=2)
    assert [(c.checkpoint, c.gate.standing) for c in both.properties] == [
        ("good", UNDECIDED),
        ("good", UNDECIDED),
        ("bad", UNDECIDED),
        ("bad", UNDECIDED),
    ]
    worse = decided(blessed, *of("good", 0), *of("bad", 32), checkpoints=2)
    assert [c.gate.standing for c in worse.properties] == [UNDECIDED, UNDECIDED, REGRESSED, UNDECIDED]
    assert (both.terms.claims, both.missing) == (4, ())


def test_a_test_without_a_checkpoint_is_not_missing_in_each() -> None:
    """In a run of several checkpoints, a test that asks for none runs once and has been looked at."""
    blessed = baseline(*(result(outcomes(N), test=t) for t in "ab"))
    results = [result(outcomes(N), test="a", checkpoint=c) for c in ("x", "y")] + [result(outcomes(N), test="b")]
    found = decided(blessed, *results, checkpoints=2)
    assert found.missing == ()
    assert found.standing is HELD


def test_what_a_checkpoint_lacks_is_missing_on_it() -> None:
    """Each checkpoint asked for has to have each property, one of which nothing came all of them."""
    blessed = baseline(*(result(outcomes(N), test=t) for t in "ab"))
    some = [result(outcomes(N), test=t, checkpoint=c) for t, c in ("ax", "bx", "ay")]
    assert decided(blessed, *some, checkpoints=2).missing == (f"b {PROPERTY} on y",)
    found = gate.decide(some, blessed, Terms(claims=6), checkpoints=("z", "x"))
    assert found.missing == (f"a {PROPERTY} on z", f"b {PROPERTY} on z", f"b {PROPERTY} on y")
    assert [c.checkpoint for c in found.properties] == ["x", "x", "y"]


def test_claims_that_nothing_came_of_count_too() -> None:
    """A property needs as much evidence where the other two did not run; and never less than those that ran need."""
    blessed = baseline(*(result(outcomes(N), test=t) for t in "abc"))
    both = [result(outcomes(N), test=t) for t in "ab"]
    assert [c.gate.needed for c in decided(blessed, *both).properties] == pytest.approx([math.log(300)] * 2)
    few = gate.decide(both, blessed, Terms(claims=1))
    assert [c.gate.needed for c in few.properties] == pytest.approx([math.log(200)] * 2)


def test_a_claim_that_holm_rejects_is_refused_unless_it_was_held() -> None:
    """Two refused leave the third an alpha of its own: .005 is too much of three, not of one; what is held stays held.

    With a tolerance of .3 the third loses 10 of its first 32 probes, evidence between log 100 and log 300 that it is
    worse, and then none: it is held.
    """
    names = ("a", "b", "c")
    blessed = baseline(*(result(outcomes(N), test=t) for t in names))
    terms = Terms(claims=3, drift="off", tolerance=0.3)
    held = result([-0.25] * 10 + [0.5] * (N - 10), test="c")
    lost = [result(outcomes(N, lost=N), test=t) for t in "ab"]
    alone = gate.weigh(held, blessed.entries[f"c {PROPERTY}"], terms)
    assert (alone.standing, alone.losses) == (HELD, 10)
    assert math.log(100) <= alone.log_regressed < math.log(300)
    for third, standing in ((held, HELD), (replace(of_all_outputs(0.005), test="c"), REGRESSED)):
        found = gate.decide([*lost, third], blessed, terms)
        assert [c.gate.standing for c in found.properties] == [REGRESSED, REGRESSED, standing]
        assert found.properties[2].gate.needed == pytest.approx(math.log(100))


def test_each_result_has_its_own_standing() -> None:
    """Of results in any order, and of one property twice in a test, each is given what was decided of it."""
    results = [
        result(outcomes(N, lost=n), test=t, checkpoint=c) for t, c, n in (("a", "x", 0), ("a", "x", N), ("b", "y", N))
    ]
    blessed = baseline(*(result(outcomes(N), test=t) for t in "aab"))
    found = gate.applied(results[::-1], gate.decide(results, blessed, Terms()))
    assert [(r.test, r.checkpoint, r.gate and r.gate.standing) for r in found] == [
        ("b", "y", REGRESSED),
        ("a", "x", HELD),
        ("a", "x", REGRESSED),
    ]
    assert [replace(r, gate=None) for r in found] == results[::-1]


# drift


def drift_of(before: Look, now: Look, **changed: Any) -> dict[str, tuple[bool, float]]:
    """Whether each thing drifted, and the evidence for it, between two looks."""
    found = decided(baseline(result(outcomes(N), seen=before)), result(outcomes(N), seen=now, **changed))
    assert found.standing is HELD
    return {d.what: (d.drifted, d.log_evidence) for d in found.drifts}


def test_the_same_outputs_do_not_drift() -> None:
    """Identical levels and embeddings have no evidence at all: odds of 1 : 1."""
    assert drift_of(look(), look()) == {
        "level of brightness()": (False, 0.0),
        "distribution in pixels()": (False, 0.0),
    }


def test_rounding_does_not_drift() -> None:
    """Levels that differ by rounding, as another batch size brings, never count, however many there are."""
    before = look(n=512)
    levels = [v + 1e-6 * (-1) ** i for i, v in enumerate(unpack(before.levels["brightness()"], "levels"))]
    now = replace(before, levels={"brightness()": pack(levels)})
    assert drift_of(before, now)["level of brightness()"] == (False, 0.0)


def test_a_level_that_is_the_same_everywhere_and_rounds_does_not_drift() -> None:
    """Levels without any spread have a unit all the same: rounding of them is no drift, a step is."""
    flat = Look({"brightness()": pack([0.5] * 512)}, {})
    rounded = Look({"brightness()": pack([0.5 + 6e-8] * 512)}, {})
    assert drift_of(flat, rounded) == {"level of brightness()": (False, 0.0)}
    assert drift_of(flat, Look({"brightness()": pack([0.6] * 512)}, {}))["level of brightness()"][0]


@pytest.mark.parametrize("level", [0.5, -0.5])
def test_a_level_that_moves_drifts(level: float) -> None:
    """A shift of half a standard deviation on every latent is certain, says which way, and how far."""
    before, now = look(n=256), look(n=256, level=level)
    found = decided(baseline(result(outcomes(N), seen=before)), result(outcomes(N), seen=now))
    (drift,) = found.drifted
    assert (drift.what, drift.tests, drift.probes) == ("level of brightness()", ("test_a.py::test_a",), 256)
    assert drift.mean == pytest.approx(level, rel=0.1)
    assert drift.log_evidence >= drift.needed == pytest.approx(math.log(300), abs=1e-6)


def test_a_drift_is_no_standing() -> None:
    """A property that held still holds where outputs drifted: the two are answers to two questions."""
    found = decided(
        baseline(result(outcomes(N), seen=look(n=256))), result(outcomes(N), seen=look(n=256, level=1.0, shift=2.0))
    )
    assert found.standing is HELD
    assert {d.what for d in found.drifted} == {"level of brightness()", "distribution in pixels()"}


def test_other_embeddings_of_the_same_distribution_do_not_drift() -> None:
    """Independent samples of one distribution are no evidence against it."""
    before, now = look(0, n=256), look(1, n=256)
    assert not drift_of(before, replace(now, levels=before.levels))["distribution in pixels()"][0]


def test_embeddings_that_move_drift() -> None:
    """A shift of one standard deviation is as certain as 9,999 permutations can say."""
    before = look(0, n=128)
    found = drift_of(before, replace(look(1, n=128, shift=1.0), levels=before.levels))
    assert found["distribution in pixels()"] == (True, pytest.approx(math.log(10_000)))


def test_a_measure_that_only_one_of_them_has_is_not_compared() -> None:
    """A property that measures something new has no drift in it until it is blessed again."""
    before = look()
    assert drift_of(replace(before, embeddings={}), before) == {"level of brightness()": (False, 0.0)}
    assert drift_of(before, Look({"redness()": pack([0.5] * 64)}, {})) == {}


@pytest.mark.parametrize("changed", [{"dim": 2, "rows": pack_bytes(bytes(128))}, {"clip": "abc"}])
def test_embeddings_of_another_clip_are_one_line(changed: dict[str, Any]) -> None:
    """Embeddings that cannot be compared are refused in one line."""
    before = look()
    now = replace(before, embeddings={"pixels()": replace(before.embeddings["pixels()"], **changed)})
    with pytest.raises(InvalidArgument, match=r"^[^\n]*pixels\(\) of the outputs is by another CLIP[^\n]*$"):
        drift_of(before, now)


@pytest.mark.parametrize(
    "broken",
    [
        Look({"brightness()": "!"}, {}),
        Look({"brightness()": pack([0.5])}, {}),
        Look({"brightness()": pack([0.5] * 5000)}, {}),
        Look({}, {"pixels()": Embedded(pack_bytes(bytes(9)), 4, 1.0)}),
    ],
)
def test_a_look_that_is_broken_is_one_line(broken: Look) -> None:
    """What a result's file says of its outputs is checked before it is compared, and named by its generator."""
    with pytest.raises(InvalidArgument, match=r"^[^\n]* of gan Normal\(8\) 3 [^\n]*$"):
        drift_of(look(), broken)


def test_a_baseline_that_is_broken_is_one_line() -> None:
    """Levels that a baseline made in a program cannot have are named, not compared."""
    with pytest.raises(InvalidArgument, match=r"^brightness\(\) are not base64 of float32[^\n]*$"):
        drift_of(Look({"brightness()": "!"}, {}), look())


@pytest.mark.parametrize(("drift", "refused"), [("warn", False), ("fail", True), ("off", False)])
def test_a_drift_refuses_where_that_is_asked(*, drift: str, refused: bool) -> None:
    """A certain drift refuses a candidate that held under `fail` only; a regression refuses it under all."""
    blessed = baseline(result(outcomes(N), seen=look(n=256)))
    terms = Terms(claims=3, drift=drift)
    found = gate.decide([result(outcomes(N), seen=look(n=256, level=1.0))], blessed, terms)
    assert (found.standing, found.refused) == (HELD, refused)
    assert gate.decide([result(outcomes(N, lost=N), seen=look(n=256))], blessed, terms).refused
    assert not gate.decide([result(outcomes(N), seen=look(n=256))], blessed, terms).refused


def test_no_drift_is_looked_for_where_none_is_asked() -> None:
    """With drift off, outputs are not compared, and claim nothing."""
    blessed = baseline(result(outcomes(N), seen=look()))
    found = decided(blessed, result(outcomes(N), seen=look(level=9.0, shift=9.0)), drift=False)
    assert (found.drifts, found.terms.claims) == ((), 1)


def levels_of(values: Any, name: str = "brightness()") -> Look:
    """A look at one attribute's levels, and nothing else."""
    return Look({name: pack(np.asarray(values).tolist())}, {})


def only_drift(before: Look, now: Look, **terms: Any) -> Drift:
    """The one drift between two looks."""
    (drift,) = gate.decide(
        [result(outcomes(N), seen=now)], baseline(result(outcomes(N), seen=before)), Terms(**terms)
    ).drifts
    return drift


HALVES = np.array([0.0, 1.0] * 64)


@pytest.mark.parametrize(
    ("before", "step"), [(HALVES, 0.25), (np.full(128, -128.0), 0.0064), (np.full(128, 0.0), 5e-13)]
)
def test_a_level_moves_by_deviations_of_the_baseline(before: NDArray[np.float64], step: float) -> None:
    """Its mean is in the baseline's deviation, or 1e-4 of its largest level, or 1e-12: these steps are half of each.

    The first look has a deviation of 1/2; without one, 1e-4 of 128 is .0128. Evidence is in the bound of a deviation.
    """
    drift = only_drift(levels_of(before), levels_of(before + step), claims=3)
    unit = spread_bound(before) or 2 * step
    known = level_drift(np.full(128, step / unit), log_needed=math.log(2 * 3 / 0.01))
    assert drift.mean == pytest.approx(0.5, rel=2e-3)  # float32 of -128 + .0064
    assert drift.certain_at == known.certain_at > 0
    assert drift.log_evidence == pytest.approx(known.log_evidence - math.log(2), rel=5e-3)
    assert (drift.drifted, drift.probes, drift.tests) == (True, 128, ("test_a.py::test_a",))


def test_levels_are_compared_latent_by_latent_as_far_as_both_go() -> None:
    """Of 128 levels and 32 the first 32 are compared, in the baseline's deviation over all of its own."""
    before, now = np.array([0.0, 1.0] * 16 + [0.5] * 96), np.array([0.0, 1.0] * 16)
    same = only_drift(levels_of(before), levels_of(now))
    assert (same.probes, same.mean, same.log_evidence) == (32, 0.0, 0.0)
    moved = only_drift(levels_of(before), levels_of(now + 0.0625))  # the deviation of the 128 is 1/4
    assert (moved.probes, moved.mean) == (32, 0.25)


def test_many_claims_have_as_many_permutations_as_they_need() -> None:
    """Of 100 claims at .01 one needs a p-value of 1e-4, which 2 * 100 / .01 permutations reach with room to spare."""
    before, now = look(0, n=16), look(1, n=16, shift=3.0)
    before, now = (replace(seen, levels={}) for seen in (before, now))
    assert only_drift(before, now, claims=100).log_evidence == pytest.approx(math.log(20_001))
    assert only_drift(before, now, claims=1).log_evidence == pytest.approx(math.log(10_000))
    assert only_drift(before, now).probes == 16


def test_drifts_are_named_in_order_and_by_checkpoint() -> None:
    """Levels come by name and before embeddings, each checkpoint's after the last one's."""
    seen = Look({name: pack([0.5] * 64) for name in ("b()", "a()")}, look().embeddings)
    blessed = baseline(result(outcomes(N), seen=seen))
    results = [result(outcomes(N), seen=seen, checkpoint=c) for c in "yx"]
    found = decided(blessed, *results, checkpoints=2)
    what = ["level of a()", "level of b()", "distribution in pixels()"]
    assert [(d.checkpoint, d.what) for d in found.drifts] == [(c, w) for c in "yx" for w in what]


def test_what_the_candidate_did_not_look_at_is_said() -> None:
    """A level or an embedding that only the baseline has is named, on which checkpoint; under `fail` that refuses."""
    blessed = baseline(result(outcomes(N), seen=look()))
    for seen, missing in (
        (None, ("level of brightness()", "distribution in pixels()")),
        (replace(look(), levels={}), ("level of brightness()",)),
        (replace(look(), embeddings={}), ("distribution in pixels()",)),
        (look(), ()),
    ):
        results = [result(outcomes(N), seen=seen)]
        found = gate.decide(results, blessed, Terms(claims=3, drift="fail"))
        assert (found.uncompared, found.refused) == (missing, bool(missing))
        assert len(found.drifts) == 2 - len(missing)
        on = gate.decide([replace(r, provenance=Provenance(checkpoint="x")) for r in results], blessed, Terms(claims=3))
        assert on.uncompared == tuple(f"{what} on x" for what in missing)
    others = result(outcomes(N), test="b", seen=levels_of([0.5] * 64, "redness()"), generator="another")
    blind = [result(outcomes(N)), result(outcomes(N), test="b", generator="another")]
    found = decided(baseline(result(outcomes(N), seen=look()), others), *blind)
    assert found.uncompared == ("level of brightness()", "distribution in pixels()", "level of redness()")


@pytest.mark.parametrize("changed", [{"verdict": Verdict.ERROR}, {"sample": None}, {"test": "new"}])
def test_what_is_not_compared_has_no_drift(changed: dict[str, Any]) -> None:
    """A check that failed, one that kept nothing, and a property that the baseline lacks say nothing of its outputs."""
    blessed = baseline(result(outcomes(N), seen=look()))
    found = decided(blessed, replace(result(outcomes(N), seen=look(level=9.0, shift=9.0)), **changed))
    assert (found.drifts, found.uncompared) == ((), ())


def test_a_generator_that_became_two_has_one_drift_the_clearest() -> None:
    """Of two looks at what was one generator the clearer one counts, its p-value doubled, by the tests that saw it."""
    before, gone = look(n=256), look(n=256, level=1.0)
    blessed = baseline(*(result(outcomes(N), test=t, seen=before) for t in "ab"))
    whole, _ = decided(baseline(result(outcomes(N), seen=before)), result(outcomes(N), seen=gone)).drifts
    for first, second in (("same", "gone"), ("gone", "same")):
        sides = {"same": before, "gone": gone}
        results = [
            result(outcomes(N), test=t, seen=sides[side], generator=side) for t, side in (("a", first), ("b", second))
        ]
        level, embedding = decided(blessed, *results).drifts
        assert (level.tests, level.drifted) == (("b",) if second == "gone" else ("a",), True)
        assert level.log_evidence == pytest.approx(whole.log_evidence - math.log(2))
        assert (embedding.log_evidence, embedding.drifted) == (0.0, False)


@pytest.mark.parametrize("n_looks", [2, 3])
def test_the_clearest_of_several_looks_pays_for_all_of_them(n_looks: int) -> None:
    """Of 100 claims at .01 one needs 1e-4: each look can reach half of that, times how many there are."""
    before, gone = (replace(look(seed, n=16, shift=shift), levels={}) for seed, shift in ((0, 0.0), (1, 3.0)))
    names = "abc"[:n_looks]
    blessed = baseline(*(result(outcomes(N), test=t, seen=before) for t in names))
    results = [result(outcomes(N), test=t, seen=gone, generator=t) for t in names]
    (drift,) = gate.decide(results, blessed, Terms(claims=100)).drifts
    assert drift.log_evidence == pytest.approx(math.log((20_000 * n_looks + 1) / n_looks))
    assert drift.drifted


def test_a_unit_is_the_baselines_whatever_the_candidates_size() -> None:
    """A candidate's outlier counts as three deviations, and makes no unit: 127 halves and one 3 of 128."""
    now = np.full(128, 128.0064)
    now[0] = 1e6
    drift = only_drift(levels_of(np.full(128, 128.0)), levels_of(now))
    assert drift.mean == pytest.approx((127 * 0.5 + 3.0) / 128, rel=2e-3)


def test_two_properties_of_a_test_name_it_once() -> None:
    """A test is named once in a drift, however many of its properties looked; another generator has its own."""
    two = [result(outcomes(N), test="a", property=p, seen=look()) for p in ("p", "q")]
    other = result(outcomes(N), test="b", seen=look(), generator="another")
    found = decided(baseline(*two, other), *two, other)
    assert [d.tests for d in found.drifts] == [("a",), ("a",), ("b",), ("b",)]


def test_tests_of_one_generator_have_one_drift() -> None:
    """A drift of a generator is one claim, and names the tests that saw it."""
    blessed = baseline(*(result(outcomes(N), test=t, seen=look(n=256)) for t in "ab"))
    found = decided(blessed, *(result(outcomes(N), test=t, seen=look(n=256, level=1.0)) for t in "ab"))
    assert [d.tests for d in found.drifts] == [("a", "b"), ("a", "b")]
    assert found.terms.claims == 4


# from files


@given(st.integers(0, 2**32 - 1))
def test_files_decide_as_the_records_do(seed: int) -> None:
    """A comparison of results that went through JSON is the comparison itself."""
    rng = np.random.default_rng(seed)
    before, now = ((rng.random(N) - share).tolist() for share in rng.random(2) * 0.3)
    blessed = baseline(result(before, seen=look(n=16)))
    results = [result(now, seen=look(n=16, level=float(rng.normal())))]
    document = Document(handmade.SESSION, tuple(results))
    again = Document.from_json(json.loads(json.dumps(document.to_json())))
    assert decided(blessed, *again.results) == decided(blessed, *results)


def test_a_comparison_survives_its_json() -> None:
    """The comparison of a run is in its file, whole."""
    blessed = baseline(result(outcomes(N), seen=look()))
    found = decided(blessed, result(outcomes(N, lost=N), seen=look(level=2.0)), result(None, test="new"))
    document = Document(handmade.SESSION, (), found)
    assert Document.from_json(json.loads(json.dumps(document.to_json()))).gate == found


def test_other_versions_and_another_device_are_named() -> None:
    """What differs from the blessing is known where both sides say it; nothing of it decides."""
    blessing = replace(
        handmade.BLESSING, made_with={"torch": "2.13", "numpy": "2.5", "device": "cuda (A)", "gone": "1"}
    )
    blessed = baseline(result(outcomes(N)), blessing=blessing)
    now = result(outcomes(N))
    now = replace(now, provenance=replace(now.provenance, device="cpu (x86_64)"))
    versions = {"torch": "2.14", "numpy": "2.5", "onnxruntime": "1"}
    found = gate.decide([now], blessed, Terms(), versions=versions)
    assert found.differing == (
        Differing("torch", "2.13", "2.14"),
        Differing("device", "cuda (A)", "cpu (x86_64)"),
    )
    plain = gate.decide([now], baseline(result(outcomes(N))), Terms(), versions=versions)
    assert plain.differing == ()
    assert found.standing is plain.standing
