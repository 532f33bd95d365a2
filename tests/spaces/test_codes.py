"""Grids of codes: they follow their weights, move position by position, and refuse what is no code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import gentest
from gentest.errors import InvalidArgument
from gentest.probes.families import neighbours, points, segments
from gentest.probes.probe import Probe, independent
from gentest.spaces import Part
from gentest.spaces.space import Array

ALARM = 1e-6
GRIDS = np.array([[[3, 1], [1, 0]], [[1, 1], [2, 0]], [[3, 1], [1, 0]]])


def drawn(space: Part, n: int) -> Array:
    """`n` independent grids, int64 [n, *shape]."""
    return points().place(space, independent(0, 0, n))[""][:, 0]


def test_codes_are_equally_likely_and_independent() -> None:
    codes = drawn(gentest.Codes((2, 3), 5), 4_000)
    assert codes.dtype == np.int64
    assert codes.shape == (4_000, 2, 3)
    flat = codes.reshape(-1, 6)
    assert stats.chisquare(np.bincount(flat[:, 0], minlength=5)).pvalue > ALARM
    table = stats.contingency.crosstab(flat[:, 0], flat[:, 5]).count
    assert stats.chi2_contingency(table).pvalue > ALARM


def test_codes_follow_their_weights() -> None:
    codes = drawn(gentest.Codes(1, 4, weights=[1, 0, 2, 1]), 4_000)[:, 0]
    expected = np.array([1_000, 2_000, 1_000])
    assert not (codes == 1).any()
    assert stats.chisquare(np.bincount(codes, minlength=4)[[0, 2, 3]], expected).pvalue > ALARM


def test_the_codes_of_a_seed_never_change() -> None:
    """Golden codes: a replay string stands for them for ever."""
    space = gentest.Codes((2, 3), 1024)
    assert points().place(space, [Probe(7)])[""].tolist() == [[[[782, 689, 987], [209, 753, 775]]]]
    assert points().place(space, [Probe(7, blanks=((1, 5),))])[""].tolist() == [[[[782, 0, 0], [0, 0, 775]]]]


def test_a_bank_gives_its_grids_as_they_are() -> None:
    space = gentest.Codes.from_bank(GRIDS)
    codes = drawn(space, 300)
    assert {row.tobytes() for row in codes} == {row.tobytes() for row in GRIDS}
    assert (space.k, space.blank, space.n_latents) == (4, 1, 2)
    assert gentest.Codes.from_bank(torch.tensor(GRIDS)) == space
    assert gentest.Codes.from_bank(GRIDS[:2]) != space
    assert hash(gentest.Codes.from_bank(GRIDS)) == hash(space)


def test_a_finite_bank_is_checked_on_every_grid() -> None:
    """`exhaustive` looks at each distinct grid of a bank, once."""
    generator = gentest.Generator(lambda z: z[:, None] / 4, latent=gentest.Codes.from_bank(GRIDS), output_range=(0, 1))
    result = gentest.well_formed().check(generator, settings=gentest.settings(exhaustive=True))
    assert (result.verdict.value, result.examples) == ("holds", 2)


@pytest.mark.parametrize("space", [gentest.Codes((4, 4), 64), gentest.Codes.from_bank(np.arange(64).reshape(4, 4, 4))])
def test_a_path_replaces_positions_one_after_the_other(space: Part) -> None:
    """Each place has codes of one end or the other, and a position that was replaced stays so."""
    path = segments(9).place(space, [Probe(1)])[""][0].reshape(9, 16)
    assert path.dtype == np.int64
    assert ((path == path[0]) | (path == path[-1])).all()
    replaced = (path != path[0]).sum(1)
    assert replaced[0] == 0
    assert (np.diff(replaced) >= 0).all()
    assert 0 < replaced[4] < replaced[8]


def test_a_neighbour_differs_in_a_share_of_the_positions() -> None:
    near = neighbours(step=0.25).place(gentest.Codes((8, 8), 1024), [Probe(s) for s in range(20)])[""]
    assert set((near[:, 0] != near[:, 1]).reshape(20, 64).sum(1)) <= {15, 16}


def test_blanks_count_through_all_grids_of_a_space() -> None:
    """The third position is the first of the second grid; each grid has its own blank."""
    space = gentest.Joint(a=gentest.Codes(2, 9), z=gentest.Normal(2), b=gentest.Codes(2, 9, blank=5))
    whole, blank = (points().place(space, [Probe(3, blanks=blanks)]) for blanks in ((), ((1, 3),)))
    assert blank["a"][0, 0].tolist() == [whole["a"][0, 0, 0], 0]
    assert blank["b"][0, 0].tolist() == [5, whole["b"][0, 0, 1]]
    np.testing.assert_array_equal(blank["z"], whole["z"])


def test_a_generator_receives_int64_codes_that_somebody_may_give() -> None:
    seen: list[torch.Tensor] = []

    def decode(codes: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        seen.append(codes)
        return z[:, :, None, None].tanh()

    space = gentest.Joint(codes=gentest.Codes((2, 2), 9), z=gentest.Normal(3))
    generator = gentest.Generator(decode, latent=space).given(codes=[[1, 2], [3, 8]])
    gentest.well_formed().check(generator, settings=gentest.settings(examples=5))
    assert all(codes.dtype == torch.int64 and (codes == torch.tensor([[1, 2], [3, 8]])).all() for codes in seen)
    with pytest.raises(InvalidArgument, match="codes from 0 to 8 of shape"):
        generator.given(codes=[[1, 2], [3, 9]])


@pytest.mark.parametrize(
    "wrong",
    [
        dict(shape=0, k=4),
        dict(shape=(2, 2), k=0),
        dict(shape=2, k=1 << 25),
        dict(shape=2, k=4, weights=[1, 2]),
        dict(shape=2, k=2, weights=[0, 0]),
        dict(shape=2, k=2, weights=[1, -1]),
        dict(shape=2, k=4, blank=4),
        dict(shape=2, k=4, blank=True),
    ],
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        gentest.Codes(**wrong)


@pytest.mark.parametrize("grids", [[], [1, 2], [[0.5]], [[-1, 2]], "codes", [[1 << 24]]])
def test_what_is_no_bank_of_codes_is_refused(grids: Any) -> None:
    with pytest.raises(InvalidArgument, match="bank of codes"):
        gentest.Codes.from_bank(grids)
    with pytest.raises(InvalidArgument, match="at least 4"):
        gentest.Codes.from_bank(GRIDS, k=3)


def test_codes_have_no_direction_and_no_radius() -> None:
    """Truncation and a radius leave codes as they are; a direction needs another part."""
    space = gentest.Codes(3, 4)
    assert space.truncated(0.5) is space
    with pytest.raises(InvalidArgument, match="moves"):
        gentest.Direction([1.0, 0.0, 0.0]).part_of(space)
    with pytest.raises(InvalidArgument, match="radius"):
        gentest.spaces.at_radius(space, 1.0)
