"""Reduction: exact on analytic conditions, within its budget, on the cause of most; simplifying keeps what fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import gentest
from gentest.engine.methods.reduce import far_end, reduce_groups, simplify
from gentest.probes.families import Segments, points
from gentest.probes.probe import FULL_MASK, Probe, active_groups

N = 64


def reduced(
    probes: list[Probe], violates: Callable[[Probe], bool], *, budget: int = 2000, may_be_empty: bool = False
) -> tuple[Probe, list[int]]:
    """The reduction, and how many probes each round asked about."""
    rounds: list[int] = []

    def answers(asked: list[Probe]) -> list[bool]:
        rounds.append(len(asked))
        return [violates(probe) for probe in asked]

    return reduce_groups(probes, far_end(gentest.Normal(N)), answers, budget=budget, may_be_empty=may_be_empty), rounds


@given(st.sets(st.integers(0, N - 1), min_size=1, max_size=6))
def test_a_condition_on_groups_is_found_exactly(needed: set[int]) -> None:
    """Where a violation needs just some groups, those are what is left."""
    found, _ = reduced([Probe(7)], lambda probe: needed <= set(active_groups(probe, N)))
    assert set(active_groups(found, N)) == needed


def test_one_group_takes_a_round_a_halving() -> None:
    """A single needed group of 64 is isolated in log2(64) rounds of a few candidates."""
    found, rounds = reduced([Probe(s) for s in range(5)], lambda probe: bool(probe.mask >> 37 & 1))
    assert active_groups(found, N) == (37,)
    assert len(rounds) == 6
    assert max(rounds) <= 10


def test_the_cause_of_most_counterexamples_wins() -> None:
    """One probe that fails for a reason of its own does not decide which coordinates matter."""

    def violates(probe: Probe) -> bool:
        return bool(probe.mask >> (3 if probe.seed == 0 else 50) & 1)

    found, _ = reduced([Probe(s) for s in range(5)], violates)
    assert active_groups(found, N) == (50,)


@pytest.mark.parametrize("budget", [0, 1, 7, 30])
def test_the_budget_is_kept_and_the_result_still_violates(budget: int) -> None:
    """With a small budget the reduction stops early, on a probe that is known to violate."""

    def violates(probe: Probe) -> bool:
        return {1, 40, 60} <= set(active_groups(probe, N))

    found, rounds = reduced([Probe(7), Probe(8)], violates, budget=budget)
    assert sum(rounds) <= budget
    assert violates(found)


def test_nothing_is_removed_where_everything_matters() -> None:
    """A violation that needs every group keeps the full mask."""
    found, _ = reduced([Probe(7)], lambda probe: probe.mask == FULL_MASK, budget=10_000)
    assert found == Probe(7)


def test_a_single_point_may_need_no_group_at_all() -> None:
    """Where other samples fail as well, a point's reduction ends on no group; a path keeps at least one."""
    assert active_groups(reduced([Probe(7)], lambda probe: True, may_be_empty=True)[0], N) == ()
    assert len(active_groups(reduced([Probe(7)], lambda probe: True)[0], N)) == 1


PROMPTS = ("a coat", "a hat", "a red hat", "a shoe")


@pytest.mark.parametrize("above", [0.8, 2.0])
def test_a_rare_defect_at_one_coordinate_is_never_at_none(above: float) -> None:
    """A sample in place of the coordinates fails by chance, once in 5 or 44 times. Fifty reductions name z[0] alone."""
    space = gentest.Joint(z=gentest.Normal(12), label=gentest.Categorical(4))

    def violates(probes: list[Probe]) -> list[bool]:
        return (points().place(space, probes)["z"][:, 0, 0] > above).tolist()

    n_coincidences = 0
    for run in range(50):
        planned = [Probe(seed) for seed in range(1_000 * run, 1_000 * run + 200)]
        failing = [probe for probe, fails in zip(planned, violates(planned), strict=True) if fails][:16]
        n_coincidences += sum(violates([replace(probe, mask=0) for probe in failing]))
        found = reduce_groups(failing, far_end(space, points()), violates, budget=200, may_be_empty=True)
        assert active_groups(found, len(space.groups)) == (0,)
    assert n_coincidences > 3


def test_a_rare_defect_of_a_prompt_and_a_coordinate_keeps_both() -> None:
    """The prompt alone fails by chance, with another sample that is as far out."""
    space = gentest.Joint(z=gentest.Normal(12), prompt=gentest.OneOf(*PROMPTS))

    def violates(probes: list[Probe]) -> list[bool]:
        placed = points().place(space, probes)
        return ((placed["z"][:, 0, 0] > 1.5) & (placed["prompt"].reshape(-1) == 2)).tolist()

    for run in range(30):
        planned = [Probe(seed, choices=(seed % 4,)) for seed in range(1_000 * run, 1_000 * run + 400)]
        failing = [probe for probe, fails in zip(planned, violates(planned), strict=True) if fails][:16]
        found = reduce_groups(failing, far_end(space, points()), violates, budget=200, may_be_empty=True)
        assert active_groups(found, len(space.groups)) == (0,)
        assert found.choices == (2,)


@pytest.mark.parametrize("code", [0, 2])
def test_a_rare_defect_of_a_prompt_needs_no_coordinate(code: int) -> None:
    """One prompt of four fails with any sample: all coordinates go, and the prompt stays."""
    space = gentest.Joint(z=gentest.Normal(12), prompt=gentest.OneOf(*PROMPTS))

    def violates(probes: list[Probe]) -> list[bool]:
        return [probe.choices == (code,) for probe in probes]

    failing = [Probe(seed, choices=(code,)) for seed in range(16)]
    found = reduce_groups(failing, far_end(space, points()), violates, budget=200, may_be_empty=True)
    assert found == Probe(0, mask=0, choices=(code,))


def test_a_reduced_probe_is_reduced_further() -> None:
    """A counterexample of an earlier run starts from its own groups."""
    start = Probe(7, mask=(1 << 5) | (1 << 9))
    found, _ = reduced([start], lambda probe: bool(probe.mask >> 9 & 1))
    assert active_groups(found, N) == (9,)


def simplified(probe: Probe, fails: object, budget: int = 400) -> Probe:
    def violates(probes: list[Probe]) -> list[bool]:
        return [bool(fails(probe)) for probe in probes]  # type: ignore[operator]

    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    return simplify(probe, space, Segments(9), violates, seed=0, budget=budget)


def test_simplify_narrows_the_window_to_what_fails() -> None:
    """The window shrinks around the defect and never loses it."""

    def holds_the_defect(probe: Probe) -> bool:
        return probe.window[0] <= 20 and probe.window[1] >= 24

    found = simplified(Probe(1), holds_the_defect)
    assert holds_the_defect(found)
    assert found.window[1] - found.window[0] <= 32


def test_simplify_lowers_choices() -> None:
    """A label that does not matter becomes a lower one."""
    found = simplified(Probe(1, choices=(9,)), lambda probe: probe.choices[0] >= 3)
    assert 3 <= found.choices[0] < 9


@pytest.mark.parametrize("budget", [0, 5])
def test_simplify_without_a_budget_keeps_the_probe(budget: int) -> None:
    """Nothing is asked where not even one round fits the budget."""
    assert simplified(Probe(1), lambda probe: True, budget) == Probe(1)


def test_simplify_keeps_a_probe_that_nothing_simpler_violates() -> None:
    """Where every simpler structure holds, the probe stays as it is."""
    assert simplified(Probe(1, choices=(2,)), lambda probe: False) == Probe(1, choices=(2,))


GRID = gentest.Codes((16, 16), 1024)


def test_a_single_position_of_a_grid_takes_a_round_a_halving() -> None:
    """One needed position of 256 is found in log2(256) rounds, and the probe stays one seed and two runs."""
    asked: list[Probe] = []

    def violates(probes: list[Probe]) -> list[bool]:
        asked.extend(probes)
        return [not any(low <= 87 < high for low, high in probe.blanks) for probe in probes]

    found = reduce_groups([Probe(7)], far_end(GRID), violates, budget=300, may_be_empty=True)
    assert str(found) == "7-b0.87_88.256"
    assert len(asked) == 17


def test_positions_and_coordinates_are_reduced_together() -> None:
    """A failure that needs one code and one group of z keeps just these."""
    space = gentest.Joint(codes=gentest.Codes(8, 4), z=gentest.Normal(8))
    group = next(g for g, group in enumerate(space.groups) if str(group) == "z[5]")

    def violates(probes: list[Probe]) -> list[bool]:
        return [
            bool(probe.mask >> group & 1) and not any(low <= 2 < high for low, high in probe.blanks) for probe in probes
        ]

    found = reduce_groups([Probe(7)], far_end(space), violates, budget=300, may_be_empty=True)
    assert found.blanks == ((0, 2), (3, 8))
    assert [str(space.groups[g]) for g in active_groups(found, len(space.groups)) if g >= 8] == ["z[5]"]


@gentest.property(probes=gentest.points())
def dark(evidence: gentest.Evidence) -> Tensor:
    return 0.5 - evidence.images.flatten(1).amax(1)


def decoder_with_a_broken_code(row: int, column: int, remainder: int) -> gentest.Generator:
    """A decoder of 16 x 16 codes that is bright where the code at one position has a remainder by 10."""

    def decode(codes: Tensor) -> Tensor:
        images = 0.2 + 0.1 * codes[:, None].float() / 1024
        broken = codes[:, row, column] % 10 == remainder
        return torch.where(broken[:, None, None, None], images + 0.6, images)

    return gentest.Generator(decode, latent=GRID, output_range=(0, 1))


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(20), marks=pytest.mark.slow)])
def test_a_defect_at_one_position_is_found_and_reduced_to_it(seeds: range) -> None:
    """A tenth of the codes break the image at one of 256 positions. At least 18 of 20 seeds end on that position."""
    n_found = 0
    for seed in seeds:
        row, column = 7 * seed % 16, (5 * seed + 3) % 16
        generator = decoder_with_a_broken_code(row, column, 1 + seed % 9)
        settings = gentest.settings(seed=seed)
        found = dark().check(generator, settings=settings).counterexample
        assert found is not None
        (grid,) = found.codes
        n_found += grid.places == (f"[{row}, {column}]",) and grid.codes[0] % 10 == 1 + seed % 9
        again = dark().replay(generator, found.replay, settings=settings).counterexample
        assert again is not None
        assert again.margin == found.margin
    assert n_found >= len(seeds) - len(seeds) // 10


def test_an_intact_decoder_has_no_broken_code() -> None:
    generator = decoder_with_a_broken_code(0, 0, 10)
    assert dark().check(generator, settings=gentest.settings(examples=100)).verdict.value == "no_counterexample"
