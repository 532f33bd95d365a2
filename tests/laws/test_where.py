"""Where a property applies: what is outside is never a violation, is counted, and too little inside is undecided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest import Result, Verdict, settings
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.errors import InvalidArgument
from gentest.gate import decision
from gentest.gate.baseline import Baseline, Blessing
from gentest.probes.probe import independent
from gentest.properties.definition import Definition
from gentest.report import facts
from gentest.results.comparison import Standing, Terms
from gentest.results.result import Cost
from gentest.results.settings import OnDrift, Values

UNIT = gentest.Uniform(8, low=0, high=1)


def first(rows: Tensor) -> Tensor:
    return rows[:, 0]


def second(rows: Tensor) -> Tensor:
    return rows[:, 1]


@gentest.property(probes=gentest.points())
def below(evidence: gentest.Evidence, *, limit: float) -> Tensor:
    """The second value of each output is at most `limit`."""
    return limit - evidence.scores(second)[:, 0]


@gentest.property(probes=gentest.segments(3))
def below_on_paths(evidence: gentest.Evidence, *, limit: float) -> Tensor:
    return limit - evidence.scores(second).amax(1)


def generator(latent: gentest.Space = UNIT) -> gentest.Generator:
    return gentest.Generator(lambda z: z, latent=latent, images=False)


def checked(property: gentest.Property, subject: gentest.Generator | None = None, **values: object) -> Result:
    result = property.check(subject or generator(), settings=settings(device="cpu", **values))  # type: ignore[arg-type]
    assert result.verdict is not Verdict.ERROR, result.message
    assert Result.from_json(result.to_json()) == result
    return result


def test_it_is_written_as_it_was_declared() -> None:
    asked = below(limit=0.5).where(gentest.brightness(), at_least=0.2, at_most=0.9, fewest=8).at_rate(0.9)
    assert str(asked) == "below(limit=0.5).where(brightness(), at_least=0.2, at_most=0.9, fewest=8).at_rate(0.9)"
    other = below(limit=0.5).at_rate(0.9).where(gentest.brightness(), at_least=0.2, at_most=0.9, fewest=8)
    assert str(other) == str(asked)


def test_a_rate_counts_the_probes_to_which_the_property_applies() -> None:
    """The figures are those of the stream's own probes, and every image that was made counts."""
    result = checked(below(limit=0.97).where(first, at_least=0.8).at_rate(0.9), seed=5)
    rate = result.rate
    assert rate is not None
    assert (result.verdict, rate.verdict) == (Verdict.HOLDS, Verdict.HOLDS)
    assert rate.drawn is not None
    probes = gentest.points().place(UNIT, independent(5, 0, rate.drawn))[""][:, 0]
    inside = probes[probes[:, 0] >= 0.8]
    assert rate.probes == len(inside)
    assert rate.passes == int((inside[:, 1] <= 0.97).sum())
    assert probes[-1, 0] >= 0.8  # the decision falls on an applying probe
    assert result.images > rate.drawn
    assert f"{rate.passes} of {rate.probes} pass" in facts.statement(result)
    assert f"applied to {rate.probes} of {rate.drawn} probes" in facts.statement(result)


def test_a_rate_outside_of_the_scope_changes_nothing() -> None:
    """All of the other probes fail, and the rate holds all the same; without where() it is refuted."""
    subject = gentest.Generator(
        lambda z: torch.stack([z[:, 0], torch.where(z[:, 0] < 0.3, 9.0, 0.0)], dim=1), latent=UNIT, images=False
    )
    asked = below(limit=0.5).at_rate(0.95)
    assert checked(asked, subject).verdict is Verdict.VIOLATED
    inside = checked(asked.where(first, at_least=0.3), subject)
    assert inside.verdict is Verdict.HOLDS
    assert inside.counterexample is None
    assert checked(below(limit=0.5).where(first, at_least=0.3), subject).verdict is Verdict.NO_COUNTEREXAMPLE
    assert checked(below(limit=0.5).where(first, at_most=0.3), subject).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("rated", [True, False])
def test_a_scope_that_never_applies_is_undecided_and_says_so(*, rated: bool) -> None:
    asked = below(limit=2.0).where(first, at_least=1.5)
    result = checked(asked.at_rate(0.9) if rated else asked, budget=256, attack=64)
    assert result.verdict is Verdict.UNDECIDED
    assert not result.passed
    assert f"applied to none of {256 if rated else 300} probes" in facts.statement(result)
    assert result.margin is None
    assert result.attack is None


def test_too_few_probes_are_undecided_and_the_number_is_yours() -> None:
    asked = below(limit=2.0)
    few = checked(asked.where(first, at_least=0.95))
    assert few.verdict is Verdict.UNDECIDED
    assert few.search.applied is not None
    assert 0 < few.search.applied < 32
    said = f"undecided: applied to {few.search.applied} of 300 probes, and a search needs 32"
    assert facts.statement(few).startswith(said)
    enough = checked(asked.where(first, at_least=0.95, fewest=few.search.applied))
    assert enough.verdict is Verdict.NO_COUNTEREXAMPLE
    assert facts.statement(enough).endswith(f"applied to {few.search.applied} of 300 probes")


def test_few_probes_are_enough_for_a_violation() -> None:
    result = checked(below(limit=0.2).where(first, at_least=0.97))
    assert result.verdict is Verdict.VIOLATED


def test_reduction_and_replay_stay_where_the_property_applies() -> None:
    """The scope needs one coordinate and the violation another: both are kept, and nothing else."""
    latent = gentest.Uniform(16, low=0, high=1)
    subject = gentest.Generator(lambda z: z[:, [3, 12]], latent=latent, images=False)
    asked = below(limit=0.9).where(first, at_least=0.9)
    result = checked(asked, subject, examples=600)
    found = result.counterexample
    assert found is not None
    assert set(found.groups) <= {"3", "12"}
    assert all(first_score >= 0.9 for first_score in found.scores["first"])
    assert result.worst is not None
    assert result.worst.scores["first"][0] >= 0.9
    again = asked.replay(subject, found.replay)
    assert again.counterexample is not None
    assert again.counterexample.margin == found.margin
    elsewhere = asked.replay(subject, "below:3")
    assert elsewhere.verdict is Verdict.UNDECIDED
    assert facts.statement(elsewhere) == "undecided: the property does not apply to the replayed probe"


def test_all_latents_of_a_path_have_to_be_inside() -> None:
    result = checked(below_on_paths(limit=0.8).where(first, at_least=0.4, at_most=0.8))
    assert result.counterexample is not None
    assert all(0.4 <= score <= 0.8 for score in result.counterexample.scores["first"])


def test_an_attack_finds_no_violation_outside() -> None:
    """The slope leads out of the scope, where the property fails; inside it nearly does."""
    subject = gentest.Generator(
        lambda z: torch.stack([z[:, 0], z[:, 0]], dim=1), latent=gentest.Uniform(2, low=0, high=1), images=False
    )
    asked = below(limit=0.5).where(first, at_most=0.499)
    assert checked(asked, subject, attack=200).verdict is Verdict.NO_COUNTEREXAMPLE
    assert checked(below(limit=0.5), subject, attack=200).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("p0", [None, 0.9])
def test_verdict_and_figures_do_not_depend_on_the_batch(p0: float | None) -> None:
    asked = below(limit=0.93).where(first, at_least=0.7)
    asked = asked if p0 is None else asked.at_rate(p0)
    results = [replace(checked(asked, batch_size=size), cost=Cost(), audit=None) for size in (3, 16, 100)]
    assert results[0] == results[1] == results[2]


def test_rounding_does_not_decide_where_a_property_applies() -> None:
    """An attribute that is 1e-6 higher in batches applies to the same probes at any batch size."""

    def noisy(rows: Tensor) -> Tensor:
        return torch.round(rows[:, 0] * 64) / 64 + (1e-6 if len(rows) > 1 else 0.0)

    definition = below(limit=2.0).where(noisy, at_most=0.5).definition
    assert isinstance(definition, Definition)
    probes = independent(0, 0, 200)
    applying = []
    for size in (2, 50):
        judge = Judge(Context(Values(device="cpu", batch_size=size)), Subject.of(generator()), definition)
        applying.append([margin < np.inf for margin in judge.margins(probes)])
        assert [judge.alone(probe) < np.inf for probe in probes] == applying[-1]
    z = gentest.points().place(UNIT, probes)[""][:, 0, 0]
    assert applying[0] == applying[1] == (np.round(z * 64) <= 32).tolist()
    assert (np.round(z * 64) == 32).any()


def test_the_reference_of_a_pair_says_where_the_property_applies() -> None:
    """A candidate whose own score leaves the scope is judged there all the same."""
    reference = generator()
    candidate = reference.then(lambda rows: torch.where(rows[:, :1] > 0.5, -rows, rows))
    asked = gentest.agrees(within=0.01)
    inside = asked.where(first, at_least=0.6).check(candidate.against(reference), settings=settings(device="cpu"))
    assert inside.verdict is Verdict.VIOLATED
    outside = asked.where(first, at_most=0.4).check(candidate.against(reference), settings=settings(device="cpu"))
    assert outside.verdict is Verdict.NO_COUNTEREXAMPLE


def test_a_rate_under_several_priors_applies_under_each() -> None:
    narrow = gentest.Uniform(8, low=0, high=0.9)
    asked = gentest.prior_invariant(below(limit=0.88), priors=[narrow], delta=0.3).where(first, at_least=0.5)
    result = checked(asked.at_rate(0.8))
    assert result.rate is not None
    drawn = [arm.drawn for arm in result.rate.arms]
    assert all(n is not None and n > arm.probes for n, arm in zip(drawn, result.rate.arms, strict=True))
    assert str(asked).endswith("delta=0.3).where(first, at_least=0.5)")


def test_each_value_of_a_label_has_its_own_scope() -> None:
    space = gentest.Joint(z=UNIT, label=gentest.Categorical(2))
    subject = gentest.Generator(
        lambda z, label: torch.stack([z[:, 0] * label, z[:, 1]], dim=1), latent=space, images=False
    )
    result = checked(below(limit=2.0).where(first, at_least=0.5).at_rate(0.9, each="label"), subject, budget=256)
    assert result.rate is not None
    assert [(arm.arm, arm.verdict) for arm in result.rate.arms] == [
        ("label=0", Verdict.UNDECIDED),
        ("label=1", Verdict.HOLDS),
    ]
    assert result.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(("at_least", "verdict"), [(4.0, Verdict.HOLDS), (99.0, Verdict.UNDECIDED)])
def test_a_finite_space_needs_one_input_to_which_it_applies(at_least: float, verdict: Verdict) -> None:
    bank = np.stack([np.arange(6.0), np.zeros(6)], axis=1)
    asked = below(limit=1.0).where(first, at_least=at_least)
    result = checked(asked, generator(gentest.Empirical(bank)), exhaustive=True)
    assert result.verdict is verdict
    assert result.search.applied == (2 if verdict is Verdict.HOLDS else 0)


def test_misuse_is_refused() -> None:
    asked = below(limit=0.5)
    for wrong, message in (
        (asked.where(first), "at_least=, at_most= or both"),
        (asked.where(first, at_least=2, at_most=1), "at_least=2"),
        (asked.where(first, at_least=float("nan")), "a finite number"),
        (asked.where(first, at_least=1, fewest=0), "a number of probes >= 1"),
        (asked.where("bright", at_least=1), "attribute"),  # type: ignore[arg-type]
        (asked.where(first, at_least=1).where(second, at_least=1), "has a where"),
        (gentest.holds_within(asked, radius=1).where(first, at_least=1), "all latents up to a radius"),
        (gentest.holds_within(asked.where(first, at_least=1), radius=1), "all latents up to a radius"),
        (gentest.same_level(first, within=1).where(first, at_least=1), "speaks of all outputs"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            _ = wrong.definition


# a gate


def sampled(asked: gentest.Property, subject: gentest.Generator, against: Baseline | None = None) -> Result:
    """The property as pytest's run checks it: to bless with 1,024 probes, or against a baseline."""
    values = Values(device="cpu", examples=16, seed=1)
    question = Question(asked.definition, test="test_it", looks=False)
    if against is None:
        return check(replace(question, n_sampled=1024, blesses=True), subject, Context(values), values)
    (entry,) = against.entries.values()
    terms = Terms(drift=OnDrift.OFF)
    result = check(replace(question, against=entry.sample, terms=terms), subject, Context(values), values)
    return replace(result, gate=decision.weigh(result, entry, terms))


def failing(share: float, at: int) -> gentest.Generator:
    """Outputs whose second value is above 0.5 on a share of the probes whose first value is above 0.5."""
    return gentest.Generator(
        lambda z: torch.stack([z[:, 0], torch.where(z[:, 0] > 0.5, (z[:, at] < share).float(), 1.0)], dim=1),
        latent=UNIT,
        images=False,
    )


@pytest.mark.parametrize(("share", "standing"), [(0.02, Standing.HELD), (0.3, Standing.REGRESSED)])
def test_a_gate_compares_the_probes_to_which_the_property_applies(share: float, standing: Standing) -> None:
    """Half of the baseline's probes are outside, where all fail: they are neither passes nor ties."""
    asked = below(limit=0.5).where(first, at_least=0.5).at_rate(0.9)
    blessed = sampled(asked, failing(0.02, 1))
    assert blessed.verdict is Verdict.HOLDS
    baseline = Baseline.of([blessed], Blessing("me", "today", 1, "a.pt"), before=None, version="0")
    (entry,) = baseline.entries.values()
    n_applying = len(decision.outcomes(entry.sample))
    assert 400 < n_applying < 624
    gate = sampled(asked, failing(share, 2), baseline).gate
    assert gate is not None
    assert gate.standing is standing
    assert gate.probes <= gate.stored == n_applying
