"""Priors: samples follow their law, couple by their uniforms, and stay within their bounds."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import stats

import gentest
from gentest.probes.families import points
from gentest.probes.probe import independent
from gentest.spaces import Part, Space
from gentest.spaces.space import Array
from tests.helpers.spaces import BANK, SPACES

ALARM = 1e-6


def drawn(space: Part, n: int, *, seed: int = 0) -> Array:
    """`n` independent samples of a prior, [n, *shape]."""
    return points().place(space, independent(seed, 0, n))[""][:, 0]


def assert_follows(values: Array, law: stats.rv_continuous) -> None:
    assert stats.kstest(values.ravel().astype(np.float64), law.cdf).pvalue > ALARM


def assert_uncorrelated(a: Array, b: Array) -> None:
    assert stats.pearsonr(a.ravel(), b.ravel()).pvalue > ALARM


def word(space: Space) -> str:
    return repr(space)[:60]


@pytest.mark.parametrize(
    ("space", "law"),
    [
        (gentest.Normal(8), stats.norm()),
        (gentest.Normal((2, 2, 2)), stats.norm()),
        (gentest.Normal(8).truncated(0.7), stats.norm(scale=0.7)),
        (gentest.Uniform(8), stats.uniform(-sqrt(3), 2 * sqrt(3))),
        (gentest.Uniform(8, low=2, high=3), stats.uniform(2, 1)),
        (gentest.Uniform(8, low=2, high=3).truncated(0.5), stats.uniform(2.25, 0.5)),
        (gentest.TruncatedNormal(8), stats.truncnorm(-2, 2)),
        (gentest.TruncatedNormal(8, bound=0.5), stats.truncnorm(-0.5, 0.5)),
    ],
    ids=lambda v: word(v) if isinstance(v, Space) else "",
)
def test_each_coordinate_follows_the_prior(space: Part, law: stats.rv_continuous) -> None:
    """16,000 coordinates follow the prior's law (Kolmogorov-Smirnov), and two of them are uncorrelated."""
    z = drawn(space, 2000).reshape(2000, -1)
    assert_follows(z, law)
    assert_uncorrelated(z[:, 0], z[:, 7])
    assert_uncorrelated(z[:, :-1], z[:, 1:])


def test_the_law_test_can_fail() -> None:
    """The same test rejects a law with 20 % more spread."""
    with pytest.raises(AssertionError):
        assert_follows(drawn(gentest.Normal(8), 2000), stats.norm(scale=1.2))


def test_a_uniform_space_has_the_normals_variance_by_default() -> None:
    """`Uniform(d)` lies within sqrt(3) of 0, so that its variance is 1."""
    space = gentest.Uniform(8)
    assert (space.high - space.low) ** 2 / 12 == pytest.approx(1.0)


@pytest.mark.parametrize("bound", [0.1, 2.0, 40.0])
def test_a_truncated_normal_stays_within_its_bound(bound: float) -> None:
    """Every coordinate is finite and within the bound, even at the ends of the uniforms."""
    space = gentest.TruncatedNormal(2, bound=bound)
    extremes = space.from_uniforms(np.array([[2.0**-54, 1.0 - 2.0**-53]]))
    assert (np.abs(drawn(space, 2000)) <= np.float32(bound)).all()
    assert (np.abs(extremes) <= bound).all()


@pytest.mark.parametrize("space", SPACES[:-1], ids=word)
def test_the_ends_of_the_uniforms_are_finite(space: Part) -> None:
    """The smallest and the largest uniform that can be drawn make finite latents."""
    for u in (2.0**-54, 1.0 - 2.0**-53):
        assert np.isfinite(space.from_uniforms(np.full((1, space.dim), u))).all()


@pytest.mark.parametrize("radius", [None, 1.0, 300.0])
def test_a_sphere_has_its_radius(radius: float | None) -> None:
    """Every latent has the radius, sqrt(d) by default, to float32's precision."""
    z = drawn(gentest.Sphere(3, radius=radius), 2000)
    np.testing.assert_allclose(np.linalg.norm(z.astype(float), axis=1), radius or sqrt(3), rtol=3e-7)


def test_a_sphere_is_isotropic() -> None:
    """In three dimensions the projection on any axis is uniform (Archimedes), and two projections are uncorrelated."""
    z = drawn(gentest.Sphere(3, radius=1), 10_000).astype(float)
    for axis in ([0, 0, 1], [1, 0, 0], [0.6, 0.0, 0.8], [-2 / 3, 1 / 3, 2 / 3]):
        assert_follows(z @ np.array(axis), stats.uniform(-1, 2))
    assert_uncorrelated(z[:, 0], z[:, 1])
    assert_uncorrelated(z[:, 0] ** 2, np.sign(z[:, 2]))


@pytest.mark.parametrize("probabilities", [None, (0.1, 0.2, 0.0, 0.7)])
def test_a_label_follows_its_probabilities(probabilities: tuple[float, ...] | None) -> None:
    """20,000 labels have the declared probabilities (chi-squared), and a choice of probability 0 never comes."""
    counts = np.bincount(drawn(gentest.Categorical(4, probabilities=probabilities), 20_000), minlength=4)
    expected = 20_000 * np.array(probabilities or [0.25] * 4)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert stats.chisquare(counts[possible], expected[possible]).pvalue > ALARM


def test_every_entry_of_a_bank_is_as_likely() -> None:
    """20,000 draws from a bank of 50 visit each entry as often (chi-squared), and give entries as they are."""
    bank = np.arange(50.0).reshape(50, 1)
    z = drawn(gentest.Empirical(bank), 20_000)
    assert np.isin(z, bank.astype(np.float32)).all()
    assert stats.chisquare(np.bincount(z[:, 0].astype(int), minlength=50)).pvalue > ALARM


def test_two_priors_are_coupled_by_their_uniforms() -> None:
    """The same probes under two priors have the same ranks, coordinate by coordinate."""
    probes = independent(3, 0, 500)
    normal, uniform = (points().place(space, probes)[""] for space in (gentest.Normal(4), gentest.Uniform(4)))
    np.testing.assert_allclose(stats.norm.cdf(normal), (uniform + sqrt(3)) / (2 * sqrt(3)), rtol=0, atol=2e-7)


def test_typicality_is_the_priors_own_quantile() -> None:
    """Under the prior the typicality of a normal latent is uniform, truncated or not; far out it is 1."""
    space = gentest.Normal(16)
    z = drawn(space, 5000)
    assert_follows(space.typicality(z), stats.uniform())
    assert_follows(space.truncated(0.3).typicality(drawn(space.truncated(0.3), 5000)), stats.uniform())
    assert space.typicality(np.full((1, 16), 4.0))[0] > 1 - 1e-9
    assert np.isnan(gentest.Uniform(16).typicality(z)).all()


def test_banks_are_told_apart_by_their_values() -> None:
    """Two banks are equal if all their entries are, and a bank keeps a read-only copy."""
    bank = BANK.copy()
    space = gentest.Empirical(bank)
    bank[0] = 7
    assert space == gentest.Empirical(BANK)
    assert space != gentest.Empirical(bank)
    with pytest.raises(ValueError, match="read-only"):
        space.bank[0] = 7


def test_a_bank_may_be_a_tensor() -> None:
    """A tensor with a gradient and an array of the same values make the same bank."""
    torch = pytest.importorskip("torch")
    assert gentest.Empirical(torch.tensor(BANK, requires_grad=True)) == gentest.Empirical(BANK)
