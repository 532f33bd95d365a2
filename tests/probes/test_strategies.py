"""Hypothesis strategies: usable with a bare `@given`, distinct, real, and always samples of the prior."""

from __future__ import annotations

import ast
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.errors import NoSuchExample
from scipy import stats

import gentest
from gentest import strategies
from gentest.errors import InvalidArgument
from gentest.probes.families import moves
from gentest.probes.probe import FULL_MASK, FULL_WINDOW, Probe
from gentest.probes.strategies import Drawn
from gentest.spaces import Space

LABELLED = gentest.Joint(z=gentest.Normal(64), label=gentest.Categorical(10))
BANK = gentest.Empirical(np.arange(100.0).reshape(50, 2))
SPACES = [gentest.Normal(128), LABELLED, BANK]
GENERATING: dict[str, Any] = {
    "phases": [Phase.generate],
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
}


def drawn_by_find(space: Space, n: int) -> list[Probe]:
    """What the search's own strategy draws in `n` examples, repetitions included."""
    seen: list[Probe] = []

    def never(probe: Probe) -> bool:
        seen.append(probe)
        return False

    with pytest.raises(NoSuchExample):
        find(
            strategies.probes(space),
            never,
            settings=settings(max_examples=n, derandomize=False, **GENERATING),
            random=Random(0),
        )
    return seen


def drawn_by_given(space: Space, n: int) -> list[Probe]:
    """What a bare `@given` draws in `n` examples, repetitions included."""
    seen: list[Probe] = []

    @settings(max_examples=n, derandomize=True, **GENERATING)
    @given(strategies.segments(space))
    def collect(path: Drawn) -> None:
        seen.append(path.probe)

    collect()
    return seen


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_plan_has_the_draws_of_the_strategy(space: Space) -> None:
    """A plan has the first distinct probes that `find` draws from the strategy which users get."""
    drawn = dict.fromkeys(strategies.draw(strategies.probes(space), 200, seed=4))
    assert strategies.plan(space, 200, seed=4) == list(drawn)


@given(strategies.points(gentest.Normal((2, 3))))
def test_points_with_a_bare_given(point: Drawn) -> None:
    """A point is one latent of the space's shape, float32 and finite."""
    assert isinstance(point.latents, torch.Tensor)
    assert point.latents.shape == (2, 3)
    assert point.latents.dtype == torch.float32
    assert point.latents.isfinite().all()
    assert point.t.tolist() == [0.0]


@given(strategies.segments(gentest.Uniform(4), points=5))
def test_segments_with_a_bare_given(path: Drawn) -> None:
    """A path is its latents in order, in the space, with their fractions."""
    assert isinstance(path.latents, torch.Tensor)
    assert path.latents.shape == (5, 4)
    assert path.t.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert path.latents.abs().max() <= 3**0.5
    assert not torch.equal(path.latents[0], path.latents[-1])


@given(strategies.neighbours(LABELLED, step=0.25, count=3))
def test_neighbours_of_a_joint_space_with_a_bare_given(around: Drawn) -> None:
    """A neighbourhood of a joint space is a sample and its neighbours by part, its label drawn as structure."""
    assert isinstance(around.latents, Mapping)
    assert around.latents["z"].shape == (4, 64)
    assert around.latents["label"].tolist() == list(around.probe.choices) * 4
    assert around.t.tolist() == [0.0, 0.25, 0.25, 0.25]


@given(strategies.along(LABELLED, gentest.Direction(np.eye(64)[5]), reach=2, points=3))
def test_a_way_along_a_direction_with_a_bare_given(way: Drawn) -> None:
    """It starts at a sample and moves in the direction's coordinate alone; the label stays."""
    assert isinstance(way.latents, Mapping)
    moved = way.latents["z"] - way.latents["z"][0]
    np.testing.assert_allclose(moved[:, 5], [0.0, 1.0, 2.0], atol=1e-5)
    assert not moved[:, :5].any()
    assert not moved[:, 6:].any()
    assert way.latents["label"].tolist() == list(way.probe.choices) * 3


def test_a_direction_of_another_space_is_refused_before_anything_is_drawn() -> None:
    """What does not fit is named where the strategy is made."""
    with pytest.raises(InvalidArgument, match="Expected a direction of shape"):
        strategies.along(gentest.Normal(3), gentest.Direction([1.0, 0.0]))
    with pytest.raises(InvalidArgument, match="direction"):
        strategies.along(gentest.Normal(3), [1.0, 0.0, 0.0])  # type: ignore[arg-type]


@given(strategies.points(LABELLED.given({"label": 3})))
def test_a_choice_that_is_made_is_not_drawn(point: Drawn) -> None:
    """Where the label is given, a probe has no choices and every point has the label."""
    assert point.probe.choices == ()
    assert isinstance(point.latents, Mapping)
    assert point.latents["label"].item() == 3


@given(strategies.probes(gentest.Normal(4)))
def test_whole_probes_are_plain(probe: Probe) -> None:
    """What is drawn is a seed: the full mask and the whole path."""
    assert (probe.mask, probe.window, probe.choices) == (FULL_MASK, FULL_WINDOW, ())
    assert 0 <= probe.seed < 2**64


def test_a_drawn_value_says_how_to_make_it_again() -> None:
    """The repr that Hypothesis prints of a failing example holds the probe."""
    path = find(strategies.segments(gentest.Normal(2)), lambda _: True)
    text = repr(path)
    assert text == f"Segments({path.probe})"
    again = gentest.segments().place(gentest.Normal(2), [Probe.parse(text[len("Segments(") : -1])])
    assert torch.equal(torch.from_numpy(again[""][0]), path.latents)  # type: ignore[arg-type]


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("draw", [drawn_by_find, drawn_by_given])
def test_most_probes_drawn_are_distinct_and_real(draw: Any, space: Space) -> None:
    """Of 1,000 examples at least 95 % are distinct probes and real paths (of a bank of 50, 2 % are not)."""
    probes = draw(space, 1000)
    distinct = list(dict.fromkeys(probes))
    real = moves(gentest.segments().place(space, distinct))
    assert len(probes) >= 950
    assert real.sum() >= 0.95 * len(probes)


def test_latents_drawn_are_typical_of_the_prior() -> None:
    """Both ends of 300 drawn paths of Normal(512) have norms within the prior's 1e-9 quantiles, and follow its law."""
    space = gentest.Normal(512)
    ends = gentest.segments(2).place(space, strategies.plan(space, 300, seed=0))[""].reshape(600, 512)
    quantiles = space.typicality(ends)
    assert 1e-9 < quantiles.min() < quantiles.max() < 1 - 1e-9
    assert stats.kstest(ends.ravel(), "norm").pvalue > 1e-6
    assert stats.kstest(quantiles, "uniform").pvalue > 1e-6


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_the_same_seed_is_the_same_plan(space: Space) -> None:
    """A plan has as many distinct probes as were asked for, the same for its seed and others for another."""
    plan = strategies.plan(space, 200, seed=5)
    assert len(plan) == len(set(plan)) == 200
    assert strategies.plan(space, 200, seed=5) == plan
    assert len(set(strategies.plan(space, 200, seed=6)) & set(plan)) < 20


def test_shrinking_ends_and_lowers_the_label() -> None:
    """Hypothesis shrinks a failing probe to the lowest label that fails and the simplest seed, in under 500 calls."""
    calls = 0

    def fails(path: Drawn) -> bool:
        nonlocal calls
        calls += 1
        return path.probe.choices[0] >= 3

    quietly = settings(database=None, deadline=None)
    smallest = find(strategies.segments(LABELLED), fails, settings=quietly, random=Random(0))
    assert smallest.probe == Probe(0, choices=(3,))
    assert calls < 500


def test_a_failure_under_given_is_shrunk_and_shown() -> None:
    """A failing test under a bare `@given` raises its own error for the simplest probe."""

    @settings(database=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
    @given(strategies.points(LABELLED))
    def check(point: Drawn) -> None:
        assert point.probe.choices[0] < 7, str(point.probe)

    with pytest.raises(AssertionError, match=r"^0-c7"):
        check()


TWO_LABELS = gentest.Joint(z=gentest.Normal(8), label=gentest.Categorical(5), hue=gentest.Categorical(3))


def test_a_choice_without_probability_is_never_drawn() -> None:
    """What the prior never gives is no sample of it: neither drawn nor shrunk to."""
    space = gentest.Joint(z=gentest.Normal(8), label=gentest.Categorical(4, probabilities=[0, 0.5, 0, 0.5]))

    @settings(max_examples=200, **GENERATING)
    @given(strategies.probes(space), strategies.simpler(Probe(9, choices=(3,)), space, gentest.points()))
    def check(drawn: Probe, simpler: Probe) -> None:
        assert drawn.choices[0] in (1, 3)
        assert simpler.choices[0] in (1, 3)

    check()


def test_simpler_structures_keep_seed_and_groups() -> None:
    """`simpler` draws windows inside the probe's own and choices no higher, and changes nothing else."""
    probe = Probe(9, mask=0b110, window=(8, 40), choices=(4, 2))

    @settings(max_examples=300, **GENERATING)
    @given(strategies.simpler(probe, TWO_LABELS, gentest.segments()))
    def check(candidate: Probe) -> None:
        low, high = candidate.window
        assert 8 <= low < high <= 40
        assert all(c <= most for c, most in zip(candidate.choices, (4, 2), strict=True))
        assert (candidate.seed, candidate.mask) == (9, 0b110)

    check()


@given(strategies.simpler(Probe(9, choices=(4,)), LABELLED, gentest.points()))
def test_probes_without_a_path_keep_their_window(candidate: Probe) -> None:
    """Where the order of latents means nothing, `simpler` leaves the window whole."""
    assert candidate.window == FULL_WINDOW


@pytest.mark.parametrize("make", [strategies.points, strategies.segments, strategies.neighbours])
def test_what_is_no_space_is_refused(make: Any) -> None:
    """A strategy of something that is no space is refused when it is made, not when it is drawn from."""
    with pytest.raises(InvalidArgument, match=r"a latent space such as gentest.Normal\(128\) but got space=128"):
        make(128)


def test_arguments_of_a_strategy_are_checked() -> None:
    """Places and steps of no use are refused when the strategy is made."""
    with pytest.raises(InvalidArgument, match="points=1"):
        strategies.segments(gentest.Normal(2), points=1)
    with pytest.raises(InvalidArgument, match="step=0"):
        strategies.neighbours(gentest.Normal(2), step=0)


def test_no_module_of_gentest_has_a_constant_that_a_search_could_draw() -> None:
    """Hypothesis mixes constants of loaded modules into its draws, so bytes of a draw's length would change plans."""
    lengths = strategies.SEED_BITS // 8 + strategies.UNUSED_BYTES, *(strategies.BLOCK_BYTES * k for k in range(1, 5))
    for path in Path(gentest.__file__).parent.rglob("*.py"):
        constants = [
            node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)
        ]
        assert [value for value in constants if isinstance(value, bytes) and len(value) in lengths] == [], path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_plan_after_the_current_draw(number: signal.Signals) -> None:
    """Hypothesis may turn an interrupt inside a draw into an error: it is held until the draw is over, then raised."""
    drawn: list[Probe] = []

    def interrupted(probe: Probe) -> Probe:
        drawn.append(probe)
        if len(drawn) == 5:
            signal.raise_signal(number)
        return probe

    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            strategies.draw(strategies.probes(gentest.Normal(3)).map(interrupted), 100, seed=1)
        assert len(drawn) < 10
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


PROMPT = gentest.Template(
    "a {size} {colour} {thing}", size=["big", None], colour=["red", "blue"], thing=["coat", "hat"]
)
ASKED = gentest.Joint(z=gentest.Normal(3), prompt=PROMPT, scale=gentest.OneOf(3.0, 5.0, 7.5))


@given(strategies.points(ASKED))
def test_a_point_has_the_values_that_somebody_wrote(point: Drawn) -> None:
    """The text itself, and the number as a tensor; a path has one for each place."""
    assert point.latents["prompt"] in {PROMPT.shown(option) for option in PROMPT.options()}
    assert point.latents["scale"].item() in (3.0, 5.0, 7.5)


@given(strategies.segments(ASKED, points=3, moves=["z"]))
def test_a_path_has_a_value_at_each_place(path: Drawn) -> None:
    assert len(path.latents["prompt"]) == 3
    assert len(set(path.latents["prompt"])) == 1
    assert path.latents["scale"].shape == (3,)


@pytest.mark.parametrize(
    ("fails", "shortest"),
    [
        (lambda text: True, "a red coat"),
        (lambda text: "hat" in text, "a red hat"),
        (lambda text: "blue" in text, "a blue coat"),
        (lambda text: "big" in text and "blue" in text, "a big blue coat"),
    ],
)
def test_hypothesis_shrinks_each_slot_toward_its_first_value(fails: Any, shortest: str) -> None:
    """And a slot that may be left out toward nothing, and numbers toward the first."""
    found = find(
        strategies.points(ASKED), lambda point: fails(point.latents["prompt"]), settings=settings(database=None)
    )
    assert found.latents["prompt"] == shortest
    assert found.latents["scale"].item() == 3.0


def prompts(n: int) -> Space:
    """So many texts."""
    return gentest.Prompts(*(f"prompt {i}" for i in range(n)))


@pytest.mark.parametrize("n", [3, 40, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("part", [gentest.Categorical, prompts])
def test_a_plan_draws_each_value_as_often_as_chance(n: int, part: Callable[[int], Space]) -> None:
    """No value comes more often than others, and no seed twice: of 4n probes, each misses one value in 50 or so."""
    space = gentest.Joint(z=gentest.Normal(4), given=part(n))
    plans = [strategies.plan(space, 4 * n, seed=seed) for seed in range(12)]
    counts = np.array([np.bincount([probe.choices[0] for probe in plan], minlength=n) for plan in plans])  # [12, n]
    assert all(len({probe.seed for probe in plan}) == 4 * n for plan in plans)
    assert stats.chisquare(counts.sum(0)).pvalue > 1e-4
    missed = (counts == 0).mean()
    assert missed <= (1 - 1 / n) ** (4 * n) + 5 * np.sqrt(0.018 / counts.size)


def test_choices_of_several_slots_are_independent() -> None:
    """Each combination of a template's slots and of a number comes about as often."""
    plan = strategies.plan(ASKED, 2_400, seed=0)
    combinations = Counter(probe.choices for probe in plan)
    assert len(combinations) == 24
    assert stats.chisquare(list(combinations.values())).pvalue > 1e-4


def test_a_strategy_refuses_a_part_that_cannot_move() -> None:
    with pytest.raises(InvalidArgument, match="'prompt' cannot move"):
        strategies.segments(ASKED, moves=["prompt"])
