"""Figures of all outputs together, through the engine: each is found, at any batch size, and misuse is one line."""

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
from gentest.gate import decision
from gentest.gate.baseline import Baseline, Blessing
from gentest.probes.probe import independent
from gentest.results.comparison import Standing, Terms
from gentest.results.document import Family
from gentest.results.estimate import Bounding, OverallEstimate
from gentest.results.result import Cost
from gentest.results.settings import OnDrift, Values

HOLDS, VIOLATED, UNDECIDED, ERROR = Verdict.HOLDS, Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.ERROR
UNIT = gentest.Uniform(8, low=0, high=1)
K = 256


def first(rows: Tensor) -> Tensor:
    return rows[:, 0]


def is_low(rows: Tensor) -> Tensor:
    return (rows[:, 0] < 0.5).float()


def rows(latent: gentest.Space = UNIT) -> gentest.Generator:
    return gentest.Generator(lambda z: z, latent=latent, images=False)


def tokens(k: int) -> gentest.Generator:
    """Eight tokens an output, each equally likely among the first `k`."""
    return gentest.Generator(lambda z: (z * k).long(), latent=UNIT, images=False)


def checked(property: gentest.Property, subject: gentest.Generator | None = None, **values: object) -> Result:
    result = property.check(subject or rows(), settings=settings(device="cpu", **values))  # type: ignore[arg-type]
    assert Result.from_json(result.to_json()) == result
    return result


def estimated(
    property: gentest.Property, subject: gentest.Generator | None = None, **values: object
) -> OverallEstimate:
    result = checked(property, subject, **values)
    assert result.estimate is not None, result.message
    assert result.verdict is result.estimate.verdict
    assert result.counterexample is None
    return result.estimate


@pytest.mark.parametrize(
    ("between", "verdict"), [((0.3, 0.7), HOLDS), ((0.6, 0.9), VIOLATED), ((0.1, 0.4), VIOLATED), ((0.4, 1), HOLDS)]
)
def test_a_share_is_judged_on_both_sides(between: tuple[float, float], verdict: Verdict) -> None:
    """The figures are those of the stream's own outputs."""
    found = estimated(gentest.share(is_low, between=between), seed=4)
    assert found.verdict is verdict
    z = gentest.points().place(UNIT, independent(4, 0, found.outputs))[""][:, 0, 0]
    assert (found.counted, found.of) == (int((z < 0.5).sum()), found.outputs)
    assert found.low <= found.value <= found.high
    assert found.bounding is Bounding.ANY_TIME


def test_scores_count_by_a_threshold() -> None:
    assert estimated(gentest.share(first, at_most=0.2, between=(0.1, 0.3))).verdict is HOLDS
    assert estimated(gentest.share(first, at_least=0.2, at_most=0.4, between=(0.1, 0.4))).verdict is HOLDS
    result = checked(gentest.share(first, between=(0.1, 0.3)))
    assert result.verdict is ERROR
    assert "neither yes (1) nor no (0)" in result.message


def test_a_share_at_its_end_stays_undecided() -> None:
    found = estimated(gentest.share(is_low, between=(0.5, 0.9)), budget=512)
    assert (found.verdict, found.outputs, found.budget) == (UNDECIDED, 512, 512)


def test_a_share_among_some_outputs_counts_them() -> None:
    """Two in ten outputs are asked about, and all of these are yes; of the others none is."""
    asked = gentest.share(first, at_most=0.2, between=(0.8, 1))
    assert estimated(asked).verdict is VIOLATED
    found = estimated(asked.where(first, at_most=0.2))
    assert found.verdict is HOLDS
    assert found.drawn is not None
    z = gentest.points().place(UNIT, independent(0, 0, found.drawn))[""][:, 0, 0]
    assert found.outputs == int((z <= 0.2).sum())
    never = estimated(asked.where(first, at_most=-1), budget=200)
    assert (never.verdict, never.outputs, never.drawn) == (UNDECIDED, 0, 200)


def test_each_label_has_a_share() -> None:
    space = gentest.Joint(z=UNIT, label=gentest.Categorical(3))
    subject = gentest.Generator(lambda z, label: z + 0.3 * label[:, None], latent=space, images=False)
    found = estimated(gentest.share(first, at_least=0.5, between=(0.3, 0.9), each="label"), subject)
    assert [(arm.arm, arm.verdict) for arm in found.arms] == [
        ("label=0", HOLDS),
        ("label=1", HOLDS),
        ("label=2", VIOLATED),
    ]
    assert (found.verdict, found.arm) == (VIOLATED, "label=2")
    assert found.arms[0].each_end == 0.99
    assert found.each_end == pytest.approx(1 - 0.01 / 6)


def test_half_a_codebook_is_found_dead() -> None:
    """All codes are seen at once; a decoder that has half of them is refuted, and no code is taken for another."""
    whole = estimated(gentest.uses_codes(k=K, at_least=0.9), tokens(K))
    assert (whole.verdict, whole.low, whole.of) == (HOLDS, whole.value, K)
    half = estimated(gentest.uses_codes(k=K, at_least=0.9), tokens(K // 2))
    assert half.verdict is VIOLATED
    assert half.counted == K // 2
    assert half.value == 0.5 <= half.high < 0.9
    assert estimated(gentest.uses_codes(k=K, at_least=0.5), tokens(K // 2)).verdict is HOLDS
    assert estimated(gentest.uses_codes(k=K, at_least=0.9), tokens(K // 2), budget=64).verdict is UNDECIDED


def test_an_encoder_gives_the_codes_of_outputs() -> None:
    def encode(outputs: Tensor) -> Tensor:
        return (outputs * K).long().reshape(-1, 2, 4)

    assert estimated(gentest.uses_codes(encode, k=K, at_least=0.9)).verdict is HOLDS
    narrow = rows(gentest.Uniform(8, low=0, high=0.4))
    assert estimated(gentest.uses_codes(encode, k=K, at_least=0.9), narrow).verdict is VIOLATED


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (tokens(K + 1), f"expected whole numbers from 0 to {K - 1}"),
        (rows(), "expected whole numbers"),
        (gentest.Generator(lambda z: z[:, None, None], latent=UNIT, output_range=(0, 1)), "the outputs have a range"),
    ],
)
def test_what_are_no_codes_is_an_error(subject: gentest.Generator, message: str) -> None:
    result = checked(gentest.uses_codes(k=K, at_least=0.9), subject)
    assert result.verdict is ERROR
    assert message in result.message


@gentest.statistic(n=128, of=first)
def spread(scores: Tensor, *, share: float = 0.5) -> Tensor:
    return scores.quantile(0.5 + share / 2) - scores.quantile(0.5 - share / 2)


@gentest.statistic(n=64)
def correlation(outputs: Tensor) -> Tensor:
    return torch.corrcoef(outputs[:, :2].T)[0, 1]


def test_a_statistic_has_bounds_by_the_bootstrap() -> None:
    found = estimated(spread(at_least=0.3, at_most=0.7))
    assert (found.verdict, found.outputs, found.bounding) == (HOLDS, 128, Bounding.BOOTSTRAP)
    z = gentest.points().place(UNIT, independent(0, 0, 128))[""][:, 0, 0]
    assert found.value == pytest.approx(float(np.subtract(*np.quantile(z, [0.75, 0.25]))), rel=1e-5)
    assert estimated(spread(share=0.8, at_most=0.5)).verdict is VIOLATED
    assert estimated(spread(at_least=0.5)).verdict is UNDECIDED
    assert estimated(correlation(at_least=-0.6, at_most=0.6)).verdict is HOLDS


def test_a_statistic_of_a_feature_gets_its_rows() -> None:
    shapes = set()

    @gentest.statistic(n=64, of=lambda outputs: outputs[:, :3])
    def rank(features: Tensor) -> float:
        shapes.add(tuple(features.shape))
        return float(np.linalg.matrix_rank(features.numpy()))

    assert estimated(rank(at_least=3)).value == 3
    assert shapes == {(64, 3)}


@pytest.mark.parametrize("result", [float("nan"), "many", None, torch.zeros(2), True])
def test_a_statistic_that_is_no_number_is_an_error(result: object) -> None:
    @gentest.statistic(n=64)
    def wrong(outputs: Tensor) -> object:
        return result

    found = checked(wrong(at_least=0))
    assert found.verdict is ERROR
    assert "wrong(at_least=0)" in found.message


@pytest.mark.parametrize(
    "asked",
    [
        gentest.share(is_low, between=(0.6, 0.9)),
        gentest.share(is_low, between=(0.3, 0.7)).where(first, at_least=0.2),
        gentest.uses_codes(lambda x: (x * K).long(), k=2 * K, at_least=0.9),
        spread(at_least=0.3),
    ],
    ids=str,
)
def test_verdict_and_figures_do_not_depend_on_the_batch(asked: gentest.Property) -> None:
    results = [replace(checked(asked, batch_size=size), cost=Cost(), audit=None) for size in (5, 16, 100)]
    assert results[0] == results[1] == results[2]


def test_a_share_and_a_rate_of_the_same_outputs_share_them() -> None:
    """The share looks at the independent latents of the seed, as a rate does."""
    values = Values(device="cpu")
    context, subject = Context(values), rows()
    before = check(Question(gentest.share(is_low, between=(0.3, 0.7)).definition), subject, context, values)
    after = check(Question(gentest.share(first, at_most=0.5, between=(0.3, 0.7)).definition), subject, context, values)
    assert before.estimate is not None
    assert before.images > before.estimate.outputs > after.images


def test_each_figure_is_one_verdict_that_may_be_wrong() -> None:
    results = [checked(gentest.share(is_low, between=(0.3, 0.7))), checked(spread(at_least=0.3))]
    family = Family.of(results)
    assert family is not None
    assert (family.verdicts, family.each) == (2, 0.01)


def test_a_budget_that_ends_first_is_undecided() -> None:
    result = checked(gentest.share(is_low, between=(0.45, 0.55)), max_images=120)
    assert result.verdict is UNDECIDED
    assert result.shortfall is not None


@pytest.mark.parametrize(("below", "standing"), [(0.5, Standing.HELD), (0.9, Standing.REGRESSED)])
def test_a_gate_takes_the_verdict_on_the_candidate(below: float, standing: Standing) -> None:
    """The baseline held; a candidate whose share is outside has regressed."""
    values = Values(device="cpu", seed=1)
    asked = gentest.share(lambda x: (x[:, 0] < 0.5).float(), between=(0.3, 0.7)).definition
    question = Question(asked, test="test_it", looks=False)
    blessed = check(replace(question, n_sampled=64, blesses=True), rows(), Context(values), values)
    baseline = Baseline.of([blessed], Blessing("me", "today", 1, "a.pt"), before=None, version="0")
    (entry,) = baseline.entries.values()
    terms = Terms(drift=OnDrift.OFF)
    subject = gentest.Generator(lambda z: z - (below - 0.5), latent=UNIT, images=False)
    result = check(replace(question, against=entry.sample, terms=terms), subject, Context(values), values)
    gate = decision.weigh(result, entry, terms)
    assert gate.standing is standing
    assert replace(result, gate=gate).passed is (standing is Standing.HELD)


def test_a_share_needs_no_probe_to_replay_and_no_list_of_inputs() -> None:
    asked = gentest.share(is_low, between=(0.3, 0.7))
    assert "no probe to replay" in asked.replay(rows(), "1").message
    assert "exhaustive=True is for" in checked(asked, exhaustive=True).message
