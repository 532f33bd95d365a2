"""`gentest.level`: the level of a slow generator against the scores that a baseline keeps, with every image counted."""

from __future__ import annotations

import json

import pytest
from torch import Tensor

import gentest
from gentest.engine.cost import LEVEL_MEASURED
from gentest.engine.methods.quick_sample import QUICK
from gentest.results.comparison import Standing
from gentest.results.outcome import Verdict
from gentest.results.result import Result
from gentest.results.settings import Values, settings
from tests.audit.quick_gate import OVERHEAD
from tests.helpers.slow import Clock
from tests.helpers.slow_gate import ATTRIBUTES, blessed, candidate, checked, gate, images, levels, small

FALLS = gentest.level(ATTRIBUTES[0], falls_by=gentest.sd(0.5))
RATE = small().at_rate(0.9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the checks in this process."""
    return Clock.installed(monkeypatch)


def test_eight_levels_and_a_rate_take_at_most_64_images(clock: Clock) -> None:
    """The levels are free beside the rate, which looks at 48 latents: two more images are the least that they cost."""
    properties = [RATE, *levels()]
    baseline = blessed(checked(properties, first := candidate(clock)))
    assert images(first) <= QUICK + OVERHEAD
    for noise in (0.0, 0.3):
        same = candidate(clock, noise=noise, name=f"same {noise}")
        assert gate(checked(properties, same, baseline=baseline), baseline).standing is Standing.HELD
        assert 48 < images(same) <= 48 + OVERHEAD == 64
    fallen = candidate(clock, moved=-0.5, noise=0.3)
    results = checked(properties, fallen, baseline=baseline)
    assert gate(results, baseline).standing is Standing.REGRESSED
    assert [r.verdict for r in results[:2]] == [Verdict.HOLDS, Verdict.VIOLATED]
    assert images(fallen) <= 64


def test_levels_alone_take_two_blocks(clock: Clock) -> None:
    """Sixteen latents, or 32, which all of them share, and at most twelve images besides."""
    baseline = blessed(checked(levels(), candidate(clock)))
    for noise, most in ((0.0, 16 + 12), (0.3, 32 + 14)):
        same = candidate(clock, noise=noise, name=f"same {noise}")
        results = checked(levels(), same, baseline=baseline)
        assert {r.verdict for r in results} == {Verdict.HOLDS}
        assert images(same) <= most


@pytest.mark.parametrize(("moved", "verdict"), [(0.0, Verdict.HOLDS), (-0.5, Verdict.VIOLATED), (3.0, Verdict.HOLDS)])
def test_a_side_without_a_limit_is_free(clock: Clock, moved: float, verdict: Verdict) -> None:
    """The record has both levels, the bounds of the move, and the evidence that decided."""
    baseline = blessed(checked([FALLS], candidate(clock)))
    (result,) = checked([FALLS], candidate(clock, moved=moved, noise=0.2), baseline=baseline)
    assert result.verdict is verdict
    claim = result.level_claim
    assert claim is not None
    assert claim.reference is not None
    assert claim.low <= claim.difference <= claim.high
    assert claim.difference == pytest.approx(moved, abs=0.2)
    assert claim.falls_by == pytest.approx(claim.sd / 2, rel=1e-5)
    assert claim.rises_by is None
    assert (claim.stored, claim.latents % 8) == (QUICK, 0)
    decisive = claim.log_within if verdict is Verdict.HOLDS else claim.log_beyond
    assert decisive >= (claim.needed_within if verdict is Verdict.HOLDS else claim.needed_beyond)
    assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_limits_in_units_of_the_attribute(clock: Clock) -> None:
    """A limit of 0.05 standard deviations is refused at once by a move of one."""
    property = gentest.level(ATTRIBUTES[1], rises_by=0.05, falls_by=5.0)
    baseline = blessed(checked([property], candidate(clock)))
    (result,) = checked([property], candidate(clock, noise=0.0), baseline=baseline)
    assert result.verdict is Verdict.HOLDS
    assert result.level_claim is not None
    assert (result.level_claim.falls_by, result.level_claim.rises_by) == (5.0, 0.05)


def test_a_level_without_a_baseline_is_measured_and_compared_with_nothing(clock: Clock) -> None:
    """By `.check()`, and by a run: undecided, on 16 latents."""
    generator = candidate(clock)
    result = FALLS.check(generator, settings=settings(device="cpu"))
    assert result.verdict is Verdict.UNDECIDED
    assert "there is no level to compare with" in result.message
    assert result.level_claim is not None
    assert (result.level_claim.latents, result.level_claim.reference) == (LEVEL_MEASURED, None)
    assert images(generator) <= LEVEL_MEASURED + 12


def test_a_level_of_a_pair_is_refused(clock: Clock) -> None:
    """`same_level` is for pairs, whose other side can be asked."""
    pair = candidate(clock).against(candidate(clock, moved=1.0))
    result = FALLS.check(pair, settings=settings(device="cpu"))
    assert "is about one generator: check the candidate itself, not a pair" in result.message


def test_scores_that_do_not_vary_have_a_unit(clock: Clock) -> None:
    """A constant level moves by more than rounding, or it holds."""

    def constant(rows: Tensor) -> Tensor:
        return rows[:, 0] * 0 + 2.0

    property = gentest.level(constant, falls_by=gentest.sd(0.5))
    baseline = blessed(checked([property], candidate(clock)))
    (result,) = checked([property], candidate(clock, noise=0.1), baseline=baseline)
    assert result.verdict is Verdict.HOLDS


def test_the_verdict_is_the_same_at_any_batch_size(clock: Clock) -> None:
    """Blocks fill batches; the test looks after every eighth latent."""
    from gentest.engine.check import Question, check
    from gentest.engine.evidence.context import Context

    baseline = blessed(checked([FALLS], candidate(clock)))
    (entry,) = baseline.entries.values()
    claims = set()
    for size in (1, 5, 16, 64):
        values = Values(device="cpu", seed=1, batch_size=size)
        question = Question(FALLS.definition, test="test_it", against=entry.sample)
        result = check(question, candidate(clock, moved=-0.2, noise=0.5), Context(values), values)
        assert result.level_claim is not None, result.message
        claims.add(result.level_claim)
    assert len(claims) == 1
