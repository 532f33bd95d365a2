"""The quick sample: what a blessing of slow images keeps, and where a candidate stops."""

from __future__ import annotations

import pytest

import gentest
from gentest.engine.methods.quick_sample import QUICK
from gentest.gate.decision import outcomes
from gentest.results.comparison import Standing
from gentest.results.outcome import Verdict
from gentest.results.result import Result
from tests.helpers.slow import Clock
from tests.helpers.slow_gate import ATTRIBUTES, attribute, blessed, candidate, checked, gate, images, levels, small

BETWEEN = gentest.between(ATTRIBUTES[0], tolerance=9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the checks in this process."""
    return Clock.installed(monkeypatch)


def sizes(result: Result) -> tuple[int, dict[str, int]]:
    """The outcomes of a sample, and the scores of each level."""
    assert result.sample is not None, result.message
    seen = result.sample.look
    return len(outcomes(result.sample)), {} if seen is None else {n: len(s) * 3 // 16 for n, s in seen.levels.items()}


def test_a_blessing_keeps_levels_and_outcomes_of_the_same_latents(clock: Clock) -> None:
    """256 images for a path property, a rate and its levels, besides four paths and what is examined and audited."""
    generator = candidate(clock)
    path, rate = checked([BETWEEN, small().at_rate(0.9)], generator)
    assert sizes(path) == (0, {"value_0": QUICK})
    assert sizes(rate) == (QUICK, {})
    assert rate.search.examples == 0
    assert rate.verdict is Verdict.HOLDS
    assert images(generator) <= QUICK + 4 * 9 + 30


def test_fewer_latents_are_kept_if_asked(clock: Clock) -> None:
    """`--gentest-baseline-probes` says how many."""
    path, rate = checked([BETWEEN, small().at_rate(0.9)], candidate(clock), n_quick=64)
    assert (sizes(path)[1]["value_0"], sizes(rate)[0]) == (64, 64)


def test_a_candidate_stops_where_it_is_decided(clock: Clock) -> None:
    """Its levels after two blocks of 16, its outcomes after the look that its rate needs, and no search beside it."""
    baseline = blessed(checked([BETWEEN, small().at_rate(0.9)], candidate(clock)))
    path, rate = checked([BETWEEN, small().at_rate(0.9)], candidate(clock, noise=0.3), baseline=baseline)
    assert sizes(path)[1]["value_0"] in (16, 32)
    assert sizes(rate)[0] == 32
    assert (rate.search.examples, rate.rate is not None and rate.rate.probes) == (0, 48)
    compared = gate([path, rate], baseline)
    assert compared.standing is Standing.HELD
    assert [c.gate.own for c in compared.properties] == [True, True]


def test_a_candidate_that_loses_probes_is_looked_at_until_it_regresses(clock: Clock) -> None:
    """Half of its latents fail, which the rate refutes; the outcomes on the same latents refuse it."""
    baseline = blessed(checked([small(at_most=4.5).at_rate(0.9)], candidate(clock)))
    (rate,) = checked([small(at_most=4.5).at_rate(0.9)], candidate(clock, moved=-4.5), baseline=baseline)
    assert rate.verdict is Verdict.VIOLATED
    (one,) = gate([rate], baseline).properties
    assert (one.gate.standing, one.gate.own) == (Standing.REGRESSED, False)
    assert sizes(rate)[0] <= 64


def test_a_property_without_a_rate_is_compared_for_one_look(clock: Clock) -> None:
    """Its own search decides; 32 outcomes would show a candidate that lost many."""
    baseline = blessed(checked([small(at_most=6.0)], candidate(clock)))
    same, worse = candidate(clock, noise=0.1), candidate(clock, moved=-7.0)
    (result,) = checked([small(at_most=6.0)], same, baseline=baseline)
    assert (result.verdict, sizes(result)[0]) == (Verdict.NO_COUNTEREXAMPLE, 32)
    (result,) = checked([small(at_most=6.0)], worse, baseline=baseline)
    assert result.verdict is Verdict.VIOLATED
    assert gate([result], baseline).standing is Standing.REGRESSED


def test_a_budget_that_ends_leaves_a_candidate_undecided_and_a_blessing_undone(clock: Clock) -> None:
    """Neither is passed off as whole."""
    from gentest.engine.check import Question, check
    from gentest.engine.cost import Bound, Budget, LocalLedger
    from gentest.engine.evidence.context import Context
    from gentest.results.settings import Values

    values = Values(device="cpu", examples=4, seed=1)

    def result(n: int, **asked: object) -> Result:
        question = Question(small().at_rate(0.9).definition, test="test_it", **asked)  # type: ignore[arg-type]
        budget = Budget(Bound(max_images=n, ledger=LocalLedger()))
        return check(question, candidate(clock), Context(values), values, budget=budget)

    blessing = result(100, n_sampled=2048, blesses=True)
    assert blessing.sample is None
    assert blessing.shortfall is not None
    baseline = blessed(checked([small().at_rate(0.9)], candidate(clock)))
    (entry,) = baseline.entries.values()
    part = result(45, against=entry.sample)
    assert part.verdict is Verdict.UNDECIDED
    assert part.shortfall is not None
    whole = result(80, against=entry.sample)
    assert (whole.verdict, whole.shortfall) == (Verdict.HOLDS, None)


def test_attributes_of_one_name_stay_apart(clock: Clock) -> None:
    """Two properties that measure the same attribute share its level; another of that name is an error of the gate."""
    results = checked([BETWEEN, gentest.monotone(ATTRIBUTES[0], tolerance=9)], candidate(clock))
    (look,) = blessed(results).looks.values()
    assert list(look.levels) == ["value_0"]
    assert attribute(3).__name__ == "value_3"


def test_a_fast_generator_is_quick_only_if_asked() -> None:
    """Images of a millisecond have 2,048 probes and an embedding."""
    generator = gentest.Generator(lambda z: z, latent=gentest.Normal(4), images=False)
    (result,) = checked([small()], generator, n_quick=32)
    assert result.sample is not None
    assert not result.sample.quick
    assert sizes(result)[0] == 2048
    (result,) = checked([small()], generator, n_quick=32, quick=True)
    assert result.sample is not None
    assert result.sample.quick
    assert sizes(result)[0] == 32


def test_levels_are_decided_by_claims_of_the_whole_gate(clock: Clock) -> None:
    """Each of eight levels needs nine times the evidence of one."""
    properties = [*levels(), small().at_rate(0.9)]
    baseline = blessed(checked(properties, candidate(clock)))
    compared = gate(checked(properties, candidate(clock, moved=-0.5, noise=0.3), baseline=baseline), baseline)
    first = next(c.gate for c in compared.properties if "value_0" in c.property)
    assert first.standing is Standing.REGRESSED
    assert first.log_regressed >= 6.8  # log(9 / 0.01)
