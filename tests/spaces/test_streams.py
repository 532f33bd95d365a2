"""Uniforms of a seed: fixed for ever, uniform, and independent across seeds, streams and parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

import gentest
from gentest.probes.families import points
from gentest.probes.probe import Probe
from gentest.spaces.streams import NEAR, uniforms, uniforms_at, uniforms_of

ALARM = 1e-6


@pytest.mark.parametrize(
    ("seed", "stream", "part", "expected"),
    [
        (0, 0, 0, [208007833205047, 4351363486526001, 2007269765506059, 10167589918209388]),
        (7, 0, 0, [15709878744676992, 5320829688494481, 7567806993537707, 7302897468206747]),
        (7, 1, 0, [13773320233991428, 12136982006621804, 17377529798556892, 3677454190364693]),
        (7, 0, 1, [15897109151604700, 6648003626119755, 9314699533047228, 5976992791768533]),
        (2**64 - 1, 1 << 16, 3, [10811448412616976, 5639298298440991, 14657732365238292, 6098342790019517]),
    ],
)
def test_uniforms_are_fixed_for_ever(seed: int, stream: int, part: int, expected: list[int]) -> None:
    """The uniforms of a stream are these multiples of 2^-54, in every release of NumPy."""
    assert [int(u * 2.0**54) for u in uniforms(seed, stream, part, 4)] == expected


def test_fewer_uniforms_are_the_first_of_more() -> None:
    """A stream is always read from its beginning."""
    more = uniforms(3, 1, 2, 1000)
    for n in (1, 2, 3, 4, 5, 999):
        assert (uniforms(3, 1, 2, n) == more[:n]).all()


def test_uniforms_of_several_seeds_are_those_of_each() -> None:
    """The rows have the same bits as those of a new Philox for each seed."""
    seeds = [0, 7, 2**63, 2**64 - 1]
    together = uniforms_of(seeds, 1, 3, 70)
    for seed, row in zip(seeds, together, strict=True):
        raw = np.random.Philox(key=np.array([seed, (1 << 32) | 3], dtype=np.uint64)).random_raw(70)
        assert (row == np.minimum(((raw >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53, 1 - 2.0**-53)).all()
    assert uniforms_of([], 1, 3, 70).shape == (0, 70)


def test_uniforms_are_uniform_and_never_0_or_1() -> None:
    """20,000 uniforms are uniform (Kolmogorov-Smirnov) and strictly inside (0, 1)."""
    u = uniforms(123, 0, 0, 20_000)
    assert stats.kstest(u, "uniform").pvalue > ALARM
    assert 0 < u.min() < u.max() < 1


def test_the_largest_bits_do_not_make_a_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """If Philox gives all ones or all zeros, the uniform is still inside (0, 1), and its latent finite."""

    class AtTheEnds:
        def __init__(self, key: Any) -> None:
            self.state = {"state": {"key": np.zeros(2, np.uint64)}}

        def random_raw(self, n: int) -> Any:
            return np.array([0, 2**64 - 1] * n, dtype=np.uint64)[:n]

    monkeypatch.setattr(np.random, "Philox", AtTheEnds)
    assert uniforms(0, 0, 0, 2).tolist() == [2.0**-54, 1.0 - 2.0**-53]
    assert np.isfinite(points().place(gentest.Normal(2), [Probe(0)])[""]).all()


def test_seeds_streams_and_parts_are_uncorrelated() -> None:
    """Streams that differ in the seed, the end or the part alone are uncorrelated, also shifted against each other."""
    base = uniforms(5, 0, 0, 20_000)
    for other in [(6, 0, 0), (5, 1, 0), (5, 0, 1), (5, 1, 1), (5 + 2**63, 0, 0), (5 ^ 2**32, 0, 0), (5, 1 << 16, 0)]:
        u = uniforms(*other, 20_000)
        assert stats.pearsonr(base, u).pvalue > ALARM
        assert stats.pearsonr(base[:-1], u[1:]).pvalue > ALARM
        assert stats.pearsonr(np.abs(base - 0.5), np.abs(u - 0.5)).pvalue > ALARM


def test_the_first_uniforms_of_consecutive_seeds_are_independent() -> None:
    """Over 5,000 consecutive seeds, the first two uniforms of each are uniform and uncorrelated."""
    first = np.array([uniforms(seed, 0, 0, 2) for seed in range(5000)])
    assert stats.kstest(first[:, 0], "uniform").pvalue > ALARM
    assert stats.pearsonr(first[:, 0], first[:, 1]).pvalue > ALARM
    assert stats.pearsonr(first[:-1, 0], first[1:, 0]).pvalue > ALARM


def test_scores_become_the_uniforms_that_they_came_from() -> None:
    """Phi(score) gives back each uniform, and no score is too large for the range of the streams."""
    drawn = uniforms(1, NEAR, 0, 1000)
    np.testing.assert_allclose(uniforms_at(ndtri(drawn)), drawn, rtol=1e-12)
    assert uniforms_at(np.array([-40.0, 40.0])).tolist() == [2.0**-54, 1.0 - 2.0**-53]
