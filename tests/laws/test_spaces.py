"""Laws of sampling: whatever the space, the family and the probe, latents are the prior's, and a seed's for ever.

Spaces are drawn with all that may lie in one another: joints of truncated, mapped and pulled parts. The statistical
test uses fixed seeds, not chosen, and fails by chance at a level of 1e-6.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import gentest
from gentest.probes import ends, families
from gentest.probes.ends import noise
from gentest.probes.families import LEAST_STEP, Probes, along, neighbours, points, segments, steps
from gentest.probes.probe import FULL_MASK, Probe, independent
from gentest.spaces import AtRadius, Choice, Part, Space, Truncated, at_radius
from gentest.spaces.streams import FAR, NEAR, uniforms_of
from tests.helpers.law import tried_on

ALARM = 1e-6
ROUNDING = 1e-5
BANK = np.random.default_rng(0).normal(size=(5, 3))


def network(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """A mapping network whose outputs lie in (-1, 1)."""
    return np.tanh(z.reshape(len(z), -1)[:, :1] * np.array([[1.0, -0.5, 2.0, 0.3]]))


MAPPED = gentest.Mapped(gentest.Normal(2), network)  # made once: it draws samples of its own

# what is drawn

SIZES = st.integers(1, 5) | st.lists(st.integers(1, 3), min_size=2, max_size=3).map(tuple)
PRIORS = st.one_of(
    st.builds(gentest.Normal, SIZES),
    st.builds(gentest.Sphere, SIZES, radius=st.none() | st.floats(0.1, 10)),
    st.builds(gentest.TruncatedNormal, SIZES, bound=st.floats(0.1, 10)),
    st.builds(
        lambda shape, low, width: gentest.Uniform(shape, low=low, high=low + width),
        SIZES,
        st.floats(-5, 5),
        st.floats(0.1, 5),
    ),
    st.just(gentest.Empirical(BANK)),
    st.just(MAPPED),
)
PSIS = st.floats(0.1, 1.0)
PULLED = PRIORS | st.builds(lambda part, r: at_radius(part, r), PRIORS, st.floats(0.1, 3))
MOVING = PULLED | st.builds(lambda part, psi: part.truncated(psi), PULLED, PSIS)
CHOICES = st.sampled_from([(1.0,), (0.5, 0.5), (0.2, 0.0, 0.8), (0.0, 0.1, 0.6, 0.3)]).map(
    lambda p: gentest.Categorical(len(p), probabilities=p)
)
PARTS = MOVING | CHOICES
SPACES = MOVING | st.lists(PARTS, min_size=1, max_size=3).map(
    lambda parts: gentest.Joint(**{f"part{i}": part for i, part in enumerate(parts)})
)
WINDOWS = st.tuples(st.integers(0, 63), st.integers(1, 64)).map(lambda w: (min(w[0], w[1] - 1), w[1]))
EPSILONS = st.floats(LEAST_STEP, 1 / 64)
FAMILIES = st.one_of(
    st.just(points()),
    st.builds(segments, st.integers(2, 6)),
    st.builds(neighbours, st.floats(0.01, 1.0), st.integers(1, 3)),
    st.builds(
        lambda epsilon, at, straight: steps(epsilon, at=at, straight=straight),
        EPSILONS,
        st.sampled_from(["path", "ends"]),
        st.booleans(),
    ),
)


def probes_in(space: Space, n_ends: int, *, shifted: bool = True) -> st.SearchStrategy[Probe]:
    """Any probe that fits a space: a mask, a window, choices or the seed's own, moved by an attack or not."""
    n_scores = n_ends * sum(part.dim for part in space.parts.values())
    chosen = st.tuples(*map(st.sampled_from, space.supports))
    shifts = st.binary(min_size=n_scores, max_size=n_scores).filter(any) if shifted else st.nothing()
    return st.builds(
        Probe,
        st.integers(0, 2**64 - 1),
        st.just(FULL_MASK) | st.integers(0, FULL_MASK),
        WINDOWS,
        st.just(()) | chosen,
        st.just(b"") | shifts,
    )


@st.composite
def looked_at(draw: st.DrawFn, *, n: int = 1) -> tuple[Space, Probes, list[Probe]]:
    """A space, a family, and some probes that fit both."""
    space, family = draw(SPACES), draw(FAMILIES)
    moving = [name for name, part in space.parts.items() if part.n_groups]
    if len(moving) == 1 and draw(st.booleans()):
        part = space.parts[moving[0]]
        direction = gentest.Direction(np.arange(1.0, np.prod(part.shape) + 1).reshape(part.shape))
        family = along(direction, reach=draw(st.floats(0.1, 9)), points=3)
    return space, family, draw(st.lists(probes_in(space, len(family.streams)), min_size=1, max_size=n))


# where latents may lie


def outside(part: Part, z: NDArray[np.float64], family: Probes) -> float:
    """By how much latents [N, *shape] leave what the prior and its paths reach, as a share of its size."""
    flat = z.reshape(len(z), -1)
    if isinstance(part, Truncated):
        mean = part.part.mean()
        return outside(part.part, mean + (z - mean) / part.psi, family) * part.psi
    if isinstance(part, AtRadius):
        if isinstance(family, type(ALONG)):  # whose box is the part's own, where that reaches further
            return 0.0
        return float((part.part.radii(z) / part.radius).max() - 1.0)
    if isinstance(part, gentest.Uniform):
        return float(max(part.low - z.min(), z.max() - part.high)) / (abs(part.low) + abs(part.high))
    if isinstance(part, gentest.TruncatedNormal):
        return float(np.abs(z).max()) / part.bound - 1.0
    if isinstance(part, gentest.Sphere):
        off = np.linalg.norm(flat, axis=1) / part.radius - 1.0
        on_it = flat.shape[1] > 1 and not getattr(family, "straight", False)
        return float(np.abs(off).max() if on_it else off.max())
    if isinstance(part, gentest.Empirical) and not isinstance(family, type(ALONG)):
        low, high = part.bank.min(axis=0), part.bank.max(axis=0)
        return float(max((low - z).max(), (z - high).max()))
    return float(np.abs(z).max()) - 1.0 if part is MAPPED and not isinstance(family, type(ALONG)) else 0.0


ALONG = along(gentest.Direction([1.0]))


@tried_on(25)
@given(looked_at())
def test_every_latent_is_one_that_the_prior_has(case: tuple[Space, Probes, list[Probe]]) -> None:
    """In its box, on its sphere, in its bank, at its radius, one of its choices: windowed, masked, shifted, moved."""
    space, family, asked = case
    chosen = iter(asked[0].choices)
    for name, z in family.place(space, asked).items():
        part = space.parts[name]
        assert z.shape == (1, family.n_points, *part.shape)
        if isinstance(part, Choice):
            said = next(chosen, z[0, 0])
            assert z.dtype == np.int64
            assert (z == said).all()
            assert said in part.slots[0].support
            continue
        assert z.dtype == np.float32
        assert np.isfinite(z).all()
        assert outside(part, z[0].astype(np.float64), family) <= ROUNDING


@tried_on(25)
@given(st.data(), MOVING)
def test_a_sample_at_a_radius_is_at_it(data: st.DataObject, part: Part) -> None:
    """Where the radius of a part is set, every sample has it, but for one in the middle itself."""
    radius = data.draw(st.floats(0.1, 5))
    pulled = at_radius(part, radius).parts[""]
    z = points().place(pulled, data.draw(st.lists(probes_in(pulled, 1), min_size=1, max_size=3)))[""][:, 0]
    found = pulled.radii(z.astype(np.float64))
    at_middle = np.abs(z - part.mean()).reshape(len(z), -1).max(axis=1) < 1e-6
    np.testing.assert_allclose(found[~at_middle], radius, rtol=1e-3)


# one seed, one latent


@tried_on(25)
@given(looked_at(n=6), st.randoms(use_true_random=False))
def test_a_latent_does_not_depend_on_its_company(case: tuple[Space, Probes, list[Probe]], rng: Any) -> None:
    """In any order, cut into any blocks, with whatever beside it, a probe has the same latents, to the last bit."""
    space, family, asked = case
    together = family.place(space, asked)
    order = list(range(len(asked))) * 2
    rng.shuffle(order)
    while order:
        some = [order.pop() for _ in range(rng.randint(1, len(order)))]
        placed = family.place(space, [asked[i] for i in some])
        for name, z in placed.items():
            assert z.tobytes() == np.ascontiguousarray(together[name][some]).tobytes()


@tried_on(25)
@given(st.data(), SPACES)
def test_families_share_their_ends(data: st.DataObject, space: Space) -> None:
    """The near end of a seed is one latent, in whichever family; so is the first far one, which a point is."""
    (probe,) = [data.draw(probes_in(space, 2, shifted=False))]
    probe = Probe(probe.seed, probe.mask, choices=probe.choices)
    families = [segments(3), segments(2), neighbours(1.0, 2), steps(at="ends")]
    placed = [family.place(space, [probe]) for family in families]
    for name in space.parts:
        assert len({z[name][0, 0].tobytes() for z in placed}) == 1
        far = {placed[0][name][0, -1].tobytes(), placed[1][name][0, -1].tobytes(), placed[2][name][0, 1].tobytes()}
        assert far == {points().place(space, [probe])[name][0, 0].tobytes()}


@tried_on(25)
@given(looked_at(), st.integers(1, 3))
def test_no_uniform_is_used_twice(case: tuple[Space, Probes, list[Probe]], n_noise: int) -> None:
    """Ends, parts, noise and place of a probe draw from streams of their own: no number of one is another's."""
    space, family, asked = case
    used: list[tuple[int, int]] = []
    numbers: list[NDArray[np.float64]] = []

    def spied(seeds: Any, stream: int, part: int, n: int) -> NDArray[np.float64]:
        used.append((stream, part))
        numbers.append(uniforms_of(seeds, stream, part, n))
        return numbers[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ends, "uniforms_of", spied)
        patch.setattr(families, "uniforms_of", spied)
        family.place(space, asked)
        noise({f"n{i}": gentest.Normal(2) for i in range(n_noise)}, asked, 2)
    assert len(set(used)) == len(used)
    drawn = np.concatenate([u.ravel() for u in numbers])
    assert len(np.unique(drawn)) == len(drawn)


# the prior's law

UNIFORMS = st.lists(st.floats(2.0**-54, 1.0 - 2.0**-53), min_size=1, max_size=8).map(
    lambda u: np.array(sorted(u))[:, None]
)
SCALARS = st.one_of(
    st.just((gentest.Normal(1), stats.norm())),
    st.floats(1e-3, 40).map(lambda b: (gentest.TruncatedNormal(1, bound=b), stats.truncnorm(-b, b))),
    st.tuples(st.floats(-100, 100), st.floats(1e-3, 100)).map(
        lambda b: (gentest.Uniform(1, low=b[0], high=b[0] + b[1]), stats.uniform(b[0], b[1]))
    ),
)


@tried_on(25)
@given(SCALARS, UNIFORMS, st.none() | PSIS)
def test_a_prior_is_its_inverse_cdf(scalar: tuple[Part, Any], uniforms: NDArray[np.float64], psi: float | None) -> None:
    """The CDF of a latent is the uniform that made it, truncated or not, and a larger uniform makes no smaller one."""
    part, law = scalar
    z = (part if psi is None else part.truncated(psi)).from_uniforms(uniforms)
    assert (np.diff(z, axis=0) >= 0).all()
    untruncated = z if psi is None else part.mean() + (z - part.mean()) / psi
    np.testing.assert_allclose(law.cdf(untruncated), uniforms, rtol=0, atol=1e-9)


@tried_on(25)
@given(st.lists(st.just(0.0) | st.floats(0.01, 1), min_size=1, max_size=6).filter(any), st.integers(1, 6))
def test_choices_and_entries_have_their_shares(weights: list[float], m: int) -> None:
    """Of evenly spread uniforms each choice, and each entry of a bank, gets its share to within one; 0 gets none."""
    n = 2_000
    u = (np.arange(n)[:, None] + 0.5) / n
    share = np.array(weights) / sum(weights)
    labels = gentest.Categorical(len(weights), probabilities=share.tolist()).from_uniforms(u)
    assert (np.abs(np.bincount(labels, minlength=len(share)) - n * share) <= 1 + 1e-6 * n).all()
    assert not np.isin(labels, np.flatnonzero(share == 0.0)).any()
    entries = gentest.Empirical(np.arange(m)[:, None]).from_uniforms(u)[:, 0]
    assert (np.abs(np.bincount(entries.astype(int), minlength=m) - n / m) <= 1).all()


def test_every_marginal_of_a_joint_space_follows_its_prior() -> None:
    """The ends of 4,000 paths follow the law of each part (Kolmogorov-Smirnov, Bonferroni), whatever lies beside it."""
    box = stats.uniform(-sqrt(3), 2 * sqrt(3))
    space = gentest.Joint(
        a=gentest.Normal((2, 3)),
        b=gentest.Uniform(4).truncated(0.5).truncated(0.5),
        c=gentest.Categorical(3),
        d=gentest.TruncatedNormal(2, bound=1.5),
        e=at_radius(gentest.Normal(3), 0.5).parts[""],
        f=gentest.Sphere(3, radius=2).truncated(0.5),
    )
    laws = {
        "a": stats.norm(),
        "b": stats.uniform(box.ppf(0) / 4, 2 * sqrt(3) / 4),
        "d": stats.truncnorm(-1.5, 1.5),
        "e": stats.uniform(-sqrt(3) / 2, sqrt(3)),  # Archimedes
        "f": stats.uniform(-1, 2),
    }
    placed = segments(2).place(space, independent(23, 0, 4000))
    tested = [(placed[name].reshape(8000, -1)[:, k], law) for name, law in laws.items() for k in (0, 1)]
    for values, law in tested:
        assert stats.kstest(values, law.cdf).pvalue > ALARM / len(tested)


# masks, windows and the way between


@tried_on(25)
@given(st.data(), SPACES)
def test_a_mask_splices_the_uniforms(data: st.DataObject, space: Space) -> None:
    """The far end is what the prior makes of the far end's uniforms in the mask's groups, else of the near end's."""
    probe = data.draw(probes_in(space, 2, shifted=False))
    far = points().place(space, [Probe(probe.seed, probe.mask)])
    for index, (name, part) in enumerate(space.parts.items()):
        near_u, far_u = (uniforms_of([probe.seed], stream, index, part.dim) for stream in (NEAR, FAR))
        spliced = near_u.copy()
        for g, group in enumerate(space.groups):
            if group.part == name and probe.mask & (1 << g):
                spliced[0, group.low : group.high] = far_u[0, group.low : group.high]
        expected = part.from_uniforms(spliced)
        assert far[name][0, 0].tobytes() == ends.rounded(expected)[0].tobytes()


@tried_on(25)
@given(st.data(), SPACES, st.integers(2, 9))
def test_a_window_is_a_piece_of_the_path(data: st.DataObject, space: Space, n: int) -> None:
    """t climbs from the window's low to its high, and the latents there are the whole path's own, to the last bit."""
    probe = data.draw(probes_in(space, 2))
    low, high = probe.window
    (t,) = segments(n).t([probe])
    assert (t[0], t[-1]) == (low / 64, high / 64)
    assert (np.diff(t) > 0).all()
    np.testing.assert_allclose(np.diff(t), (high - low) / 64 / (n - 1), rtol=1e-9)
    piece = segments(n).place(space, [probe])
    whole = segments(65).place(space, [Probe(probe.seed, probe.mask, choices=probe.choices, shift=probe.shift)])
    for name, z in piece.items():
        assert z[0, 0].tobytes() == whole[name][0, low].tobytes()
        assert z[0, -1].tobytes() == whole[name][0, high].tobytes()


@tried_on(25)
@given(st.integers(0, 2**64 - 1), WINDOWS, EPSILONS, st.sampled_from(["path", "ends"]))
def test_a_step_lies_within_its_window(seed: int, window: tuple[int, int], epsilon: float, at: Any) -> None:
    """A step goes forward by its epsilon, and neither begins before the window nor ends behind it."""
    family = steps(epsilon, at=at)
    ((start, stop),) = family.t([Probe(seed, window=window)])
    assert window[0] / 64 <= start < stop <= window[1] / 64
    assert stop - start == pytest.approx(epsilon, rel=1e-6)


@tried_on(25)
@given(st.data(), st.integers(2, 6), WINDOWS)
def test_a_path_of_a_normal_goes_evenly_from_shell_to_shell(data: st.DataObject, dim: int, window: Any) -> None:
    """The length of a latent on a path is between those of its ends as t is, however the ends were masked and moved."""
    space = gentest.Normal(dim)
    probe = data.draw(probes_in(space, 2))
    family = segments(5)
    z = family.place(space, [probe])[""][0].astype(np.float64)
    near, far = segments(2).place(space, [Probe(probe.seed, probe.mask, shift=probe.shift)])[""][0].astype(np.float64)
    (t,) = family.t([probe])
    evenly = np.linalg.norm(near) * (1 - t) + np.linalg.norm(far) * t
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), evenly, rtol=1e-5)
