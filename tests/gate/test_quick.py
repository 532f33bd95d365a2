"""The gate of slow images on samples made by hand: levels, and what a property's own verdict leaves open."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gentest.gate import decision, quick
from gentest.gate.baseline import Baseline
from gentest.results.comparison import Comparison, Look, Standing, Terms
from gentest.results.level_claim import Allowed, LevelLimits
from gentest.results.outcome import Outcome, Verdict
from gentest.results.records import pack
from gentest.results.result import Rate, Result
from gentest.results.settings import OnDrift
from tests.helpers import handmade
from tests.helpers.handmade import baseline, outcomes, result, sample

N = 128
RATE = Rate(Verdict.HOLDS, 0.9, 0.04, 0.99, 48, 48, 4096, 0.88, 1.0, 4.7, -3.2, 4.6, 4.6, 0.99)
HELD, REGRESSED, UNDECIDED = Standing.HELD, Standing.REGRESSED, Standing.UNDECIDED


def levels(moved: float = 0.0, noise: float = 0.1, n: int = N, name: str = "brightness()") -> Look:
    """Levels of standard deviation 0.1, moved by a number of them, with noise on each latent."""
    rng = np.random.default_rng(5)
    scores, changes = rng.standard_normal((2, N))
    return Look({name: pack((0.5 + 0.1 * (scores + moved + noise * changes))[:n].tolist())}, {})


def of(
    look: Look, margins: list[float] | None = None, *, limits: LevelLimits | None = None, **changed: object
) -> Result:
    """A result with a quick sample."""
    quick_sample = sample(margins or [], seen=look, quick=True, limits=limits)
    return replace(result([], **changed), sample=quick_sample)  # type: ignore[arg-type]


def decided(blessed: Baseline, *results: Result, drift: str = "warn") -> Comparison:
    """The gate's decision as a run makes it."""
    terms = Terms(claims=decision.n_claims(blessed, drift=drift != "off"), drift=OnDrift(drift))
    return decision.decide(results, blessed, terms)


@pytest.mark.parametrize(
    ("moved", "noise", "standing"),
    [(0.0, 0.0, HELD), (0.0, 0.3, HELD), (-0.5, 0.3, REGRESSED), (0.5, 0.3, REGRESSED), (0.0, 6.0, UNDECIDED)],
)
def test_a_level_counts_as_a_property_does(moved: float, noise: float, standing: Standing) -> None:
    """It refuses under "warn", since nothing else of a quick gate sees it; and "off" leaves it out."""
    blessed = baseline(of(levels(noise=0.0)))
    candidate = of(levels(moved, noise))
    compared = decided(blessed, candidate)
    (drift,) = compared.levels
    assert drift.standing is standing
    assert compared.standing is standing
    assert compared.outcome is {HELD: Outcome.PASSED, REGRESSED: Outcome.FAILED, UNDECIDED: Outcome.UNDECIDED}[standing]
    assert drift.needed == pytest.approx(math.log(compared.terms.claims / 0.01))
    off = decided(blessed, candidate, drift="off")
    assert not off.levels
    assert off.standing is HELD


def test_a_prefix_decides_as_much_as_it_shows() -> None:
    """A candidate that stopped at the look that decided is compared on its latents alone."""
    blessed = baseline(of(levels(noise=0.0)))
    (whole,), (part,) = (decided(blessed, of(levels(noise=0.1, n=n))).levels for n in (N, 24))
    assert whole == part
    assert (part.probes, part.stored, part.held) == (24, N, True)


def test_a_declared_level_has_one_claim_and_its_own_limits() -> None:
    """A fall beyond them regresses the property; a rise is free; and no second claim is made of the same scores."""
    limits = LevelLimits("brightness()", falls_by=Allowed(0.5, in_sd=True))
    blessed = baseline(of(levels(noise=0.0), limits=limits, verdict=Verdict.HOLDS))
    assert decision.n_claims(blessed, drift=True) == 1
    for moved, standing in ((0.0, HELD), (-0.5, REGRESSED), (2.0, HELD)):
        compared = decided(blessed, of(levels(moved), limits=limits, verdict=Verdict.HOLDS))
        assert not compared.drifts
        (one,) = compared.properties
        assert one.gate.standing is standing
        assert "of the baseline's sd on " in one.gate.message
    rises = LevelLimits("brightness()", rises_by=Allowed(0.05, in_sd=False))
    blessed = baseline(of(levels(noise=0.0), limits=rises, verdict=Verdict.HOLDS))
    (one,) = decided(blessed, of(levels(1.0), limits=rises, verdict=Verdict.HOLDS)).properties
    assert one.gate.standing is REGRESSED


def test_a_level_without_scores_is_undecided() -> None:
    """A candidate whose budget ended before it had any."""
    limits = LevelLimits("brightness()", falls_by=Allowed(0.5, in_sd=True))
    blessed = baseline(of(levels(), limits=limits))
    (one,) = decided(blessed, of(Look({}, {}), limits=limits)).properties
    assert (one.gate.standing, one.gate.certified) == (UNDECIDED, True)
    assert one.gate.message == "there are no scores of brightness() on both sides to compare"


@pytest.mark.parametrize(
    ("before", "now", "lost", "rate", "standing", "certified"),
    [
        (Verdict.NO_COUNTEREXAMPLE, Verdict.NO_COUNTEREXAMPLE, 0, None, HELD, False),
        (Verdict.NO_COUNTEREXAMPLE, Verdict.VIOLATED, 0, None, REGRESSED, False),
        (Verdict.VIOLATED, Verdict.VIOLATED, 0, None, HELD, False),
        (Verdict.VIOLATED, Verdict.VIOLATED, 2, None, UNDECIDED, False),
        (Verdict.HOLDS, Verdict.HOLDS, 1, RATE, HELD, True),
        (Verdict.HOLDS, Verdict.VIOLATED, 3, RATE, UNDECIDED, False),
        (Verdict.HOLDS, Verdict.UNDECIDED, 0, RATE, UNDECIDED, False),
        (Verdict.HOLDS, Verdict.HOLDS, 40, RATE, REGRESSED, True),
    ],
)
def test_what_outcomes_leave_open_is_left_to_the_verdict(
    before: Verdict,
    now: Verdict,
    lost: int,
    rate: Rate | None,
    standing: Standing,
    certified: bool,  # noqa: FBT001
) -> None:
    """A rate that holds is certified, "no counterexample" passes, and certain outcomes refuse whatever it says."""
    blessed = baseline(of(levels(), outcomes(64), verdict=before))
    candidate = replace(of(levels(), outcomes(64, lost=lost), verdict=now), rate=rate)
    (one,) = decided(blessed, candidate).properties
    assert (one.gate.standing, one.gate.certified) == (standing, certified)


def test_paths_are_left_to_the_verdict_without_outcomes() -> None:
    """A quick sample of paths has no margins, and the gate says so."""
    blessed = baseline(of(levels()))
    (one,) = decided(blessed, of(levels())).properties
    assert (one.gate.own, one.gate.probes) == (True, 0)
    assert one.gate.message == "no counterexample; no outcomes were compared"


def test_a_slow_candidate_of_a_whole_baseline_is_compared_by_levels() -> None:
    """Its baseline was blessed on a faster machine: embeddings are not missed, and levels are decided."""
    seen = handmade.look(1, n=N)
    blessed = baseline(replace(result([]), sample=sample(outcomes(64), seen=seen)))
    candidate = of(Look(seen.levels, {}), outcomes(64))
    compared = decided(blessed, candidate)
    assert compared.uncompared == ()
    assert [drift.standing for drift in compared.drifts] == [HELD]


def test_a_baseline_keeps_what_it_was_blessed_with(tmp_path: Path) -> None:
    """The file says that it is quick, and has the limits of each level."""
    limits = LevelLimits("brightness()", Allowed(0.5, in_sd=True), Allowed(0.1, in_sd=False))
    blessed = baseline(of(levels(), limits=limits, verdict=Verdict.HOLDS))
    path = tmp_path / "b.json"
    blessed.save(path)
    (entry,) = Baseline.load(path).entries.values()
    assert entry == next(iter(blessed.entries.values()))
    assert (entry.sample.quick, entry.sample.limits) == (True, limits)
    assert any("by its level" in line for line in blessed.summary)


def test_scores_of_a_level_are_those_of_its_look() -> None:
    """And none where nobody measured it."""
    assert len(quick.scores(levels(), "brightness()")) == N
    assert len(quick.scores(None, "brightness()")) == len(quick.scores(levels(), "contrast()")) == 0
