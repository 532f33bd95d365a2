"""Latent spaces: golden vectors, the law of every prior, paths, groups and masks.

Statistical tests use fixed seeds, none of them chosen, and fail by chance at a level of 1e-6 each.
"""

from __future__ import annotations

import re
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from scipy import stats

import gentest
from gentest.errors import InvalidArgument
from gentest.probes.families import points, segments
from gentest.probes.probe import FULL_MASK, Probe, independent
from gentest.spaces import Part, Space, at_radius
from gentest.spaces.space import MAX_GROUPS, Array
from tests.helpers.spaces import BANK, CONTINUOUS, SPACES

ALARM = 1e-6


def ends(space: Space, probes: list[Probe]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Near and far end of each probe's path, by part."""
    placed = segments(2).place(space, probes)
    return {name: z[:, 0] for name, z in placed.items()}, {name: z[:, 1] for name, z in placed.items()}


def assert_follows(values: Array, law: stats.rv_continuous) -> None:
    assert stats.kstest(values.ravel().astype(np.float64), law.cdf).pvalue > ALARM


def assert_uncorrelated(a: Array, b: Array) -> None:
    assert stats.pearsonr(a.ravel(), b.ravel()).pvalue > ALARM


def word(space: Space) -> str:
    return repr(space)[:60]


GOLDEN = [
    (
        gentest.Normal(4),
        "c011668dbf338a3abf9c078b3e26104dc009c2dcbe9a6dc23eb50077bfd51603be6921bc3ec004163fdd51adc00dc7b6",
        "3e269853bf15dfdd3f5c96c9bfd565c6bec53ab5bf3109f3bd9103c3bffc134bbf63c802bf15dfddbf8fb54abfd565c6",
    ),
    (
        gentest.Normal((1, 2, 2)),
        "c011668dbf338a3abf9c078b3e26104dc009c2dcbe9a6dc23eb50077bfd51603be6921bc3ec004163fdd51adc00dc7b6",
        "3e269853bf15dfdd3f5c96c9bfd565c6bec53ab5bf3109f3bd9103c3bffc134bbf63c802bf15dfddbf8fb54abfd565c6",
    ),
    (
        gentest.Uniform(4),
        "bfd89526bf65325fbfac4bb43e647e7fbf80414fbe471f933df6a051bf3b3677be9fb5e03f01a2953fcb1fbebfd7c646",
        "3e653804bf43e01d3f877d6dbfc888bebedc72f4bf43e01dbde1cc78bfc888bebf8ae07bbf43e01dbfa3b6fcbfc888be",
    ),
    (
        gentest.Uniform(4, low=-1, high=1),
        "bf7a168bbf0453aabf46f3313e03ebd0bf1418a4bde5ed863d8e63c5bed82cb6be386af23e95b0913f6a8c22bf7927aa",
        "3e0456ecbee22d6f3f1c7348bf678e90be7e8d79bee22d6fbd825d6dbf678e90bf205c77bee22d6fbf3d0aa3bf678e90",
    ),
    (
        gentest.TruncatedNormal(4),
        "bfe9fd55bf2a035bbf90b8623e1e7218bf82e44bbe1d23673e4d93ccbf5346fbbe5e5a0d3eb6e34e3fc41d55bfe7153e",
        "3e1ef3c6bf0e48f73f4fecd1bfbe84f8beaec332bf0e48f7bdf04d8bbfbe84f8bf568024bf0e48f7bf86001abfbe84f8",
    ),
    (
        gentest.Sphere(4),
        "bfd94567bf062485bf69275d3df825d7bfc79d3fbe5fc3ee3e83227cbf9a6126be23eeaa3e87054c3f9ba038bfc7646c",
        "3e28e8b7bf17f4cc3f5fa72cbfd85c97beb9be8dbf26bac6bd8891fbbfed6587bf48456abf03c603bf7cb42ebfbb9fe7",
    ),
    (
        gentest.Empirical(BANK),
        "000000003f80000040000000404000004080000040a00000",
        "40c0000040e000004080000040a000004000000040400000",
    ),
    (
        gentest.Normal(4).truncated(0.5),
        "bf91668dbeb38a3abf1c078b3da6104dbf89c2dcbe1a6dc23e350077bf551603bde921bc3e4004163f5d51adbf8dc7b6",
        "3da69853be95dfdd3edc96c9bf5565c6be453ab5beb109f3bd1103c3bf7c134bbee3c802be95dfddbf0fb54abf5565c6",
    ),
]

GOLDEN_PROBES = [Probe(0), Probe(0x9E3779B97F4A7C15, mask=0b101)]


@pytest.mark.parametrize(("space", "first", "second"), GOLDEN, ids=lambda v: word(v) if isinstance(v, Space) else "")
def test_a_seed_is_a_latent_for_ever(space: Space, first: str, second: str) -> None:
    """The latents of a probe are the ones written here, to the last bit of float32."""
    z = segments(3).place(space, GOLDEN_PROBES)[""]
    assert [row.astype(">f4").tobytes().hex() for row in z] == [first, second]


def test_the_parts_of_a_joint_space_are_fixed_too() -> None:
    """Each part of a joint space has its own stream, and a label is int64."""
    space = gentest.Joint(z=gentest.Normal(2), label=gentest.Categorical(10), w=gentest.Uniform(2))
    placed = segments(3).place(space, GOLDEN_PROBES[1:])
    assert placed["z"].astype(">f4").tobytes().hex() == "3e269853bf15dfddbe96680abf4877dabf63c802bf15dfdd"
    assert placed["w"].astype(">f4").tobytes().hex() == "3f0d81cebef249fe3f238be0bef249fe3f3995f1bef249fe"
    assert placed["label"].dtype == np.int64
    assert placed["label"].tolist() == [[4, 4, 4]]


@pytest.mark.parametrize("space", CONTINUOUS, ids=word)
def test_the_ends_of_a_path_are_independent(space: Part) -> None:
    """Near and far end are uncorrelated, coordinate by coordinate and in their sizes, and each follows one law."""
    near, far = (end[""] for end in ends(space, independent(1, 0, 2000)))
    assert_uncorrelated(near, far)
    assert_uncorrelated(np.abs(near), np.abs(far))
    assert_uncorrelated(near[:, :-1], far[:, 1:])
    assert stats.ks_2samp(near.ravel(), far.ravel()).pvalue > ALARM


def test_the_parts_of_a_joint_space_are_independent() -> None:
    """Two parts of one shape share nothing."""
    space = gentest.Joint(a=gentest.Normal(8), b=gentest.Normal(8))
    placed = points().place(space, independent(2, 0, 2000))
    assert_uncorrelated(placed["a"], placed["b"])


@pytest.mark.parametrize("space", SPACES, ids=word)
def test_a_path_starts_and_ends_exactly_at_its_ends(space: Space) -> None:
    """The first and the last latent of a path are the two samples themselves, bit by bit."""
    probes = independent(4, 0, 50)
    placed = segments(5).place(space, probes)
    far = points().place(space, probes)
    for name, z in placed.items():
        assert (z[:, -1] == far[name][:, 0]).all()
    mirrored = segments(5).place(space, [Probe(p.seed, mask=0) for p in probes])
    for name, z in placed.items():
        assert (z[:, 0] == mirrored[name][:, 0]).all()


@pytest.mark.parametrize(
    "space", [gentest.Sphere(2), gentest.Sphere(8, radius=1), gentest.Sphere((3, 16, 16))], ids=word
)
def test_a_path_on_a_sphere_stays_on_it_and_walks_evenly(space: gentest.Sphere) -> None:
    """Every latent of a great circle has the sphere's radius, and neighbours are the same angle apart."""
    z = segments(9).place(space, independent(5, 0, 300))[""].reshape(300, 9, -1).astype(float)
    np.testing.assert_allclose(np.linalg.norm(z, axis=2), space.radius, rtol=1e-6)
    steps = np.linalg.norm(np.diff(z, axis=1), axis=2)
    np.testing.assert_allclose(steps, steps[:, :1] * np.ones(8), rtol=1e-4, atol=1e-5 * space.radius)


def test_a_path_of_a_normal_keeps_typical_norms() -> None:
    """At 512 dimensions the latents of 500 paths are within the prior's 1e-9 quantiles; straight lines leave them."""
    space = gentest.Normal(512)
    z = segments(9).place(space, independent(6, 0, 500))[""]
    quantiles = space.typicality(z.reshape(-1, 512))
    assert quantiles.min() > 1e-9
    assert quantiles.max() < 1 - 1e-9
    straight = (z[:, 0] + z[:, -1]) / 2
    assert space.typicality(straight).max() < 1e-9


@pytest.mark.parametrize("space", [gentest.Uniform(8), gentest.Uniform(8, low=0.1, high=0.3)], ids=word)
def test_a_path_of_a_uniform_is_straight_and_stays_in_its_box(space: gentest.Uniform) -> None:
    """Every latent lies in the box, and the middle one is the mean of the ends."""
    z = segments(9).place(space, independent(7, 0, 300))[""]
    assert z.min() >= np.float32(space.low)
    assert z.max() <= np.float32(space.high)
    np.testing.assert_allclose(z[:, 4], (z[:, 0] + z[:, 8]) / 2, rtol=0, atol=3e-7)


def test_a_path_between_entries_of_a_bank_is_straight() -> None:
    """Between two entries the path passes through their mean, off the bank."""
    z = segments(3).place(gentest.Empirical(BANK), independent(8, 0, 100))[""]
    np.testing.assert_array_equal(z[:, 1], (z[:, 0] + z[:, 2]) / 2)


def test_a_label_is_constant_along_a_path() -> None:
    """A path leaves a choice as it is, while the labels of different paths differ."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    label = segments(9).place(space, independent(9, 0, 300))["label"]
    assert (label == label[:, :1]).all()
    assert len(np.unique(label)) == 10


def test_a_given_choice_is_the_same_everywhere() -> None:
    """`.given(label=3)` fixes the part, and leaves the others' latents as they were."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(10))
    placed, free = (segments().place(s, independent(10, 0, 50)) for s in (space.given({"label": 3}), space))
    assert (placed["label"] == 3).all()
    assert (placed["z"] == free["z"]).all()


@pytest.mark.parametrize("space", SPACES[:-2], ids=word)
@pytest.mark.parametrize("psi", [0.25, 0.7, 1.0])
def test_a_path_of_a_truncated_space_is_the_truncation_of_the_path(space: Part, psi: float) -> None:
    """Truncating a path is walking between truncated ends: mean + psi (z - mean) at every place."""
    probes = independent(11, 0, 50)
    plain, short = (segments(5).place(s, probes)[""] for s in (space, space.truncated(psi)))
    mean = space.mean()
    np.testing.assert_allclose(short, mean + psi * (plain - mean), rtol=1e-5, atol=1e-6)


def test_truncations_of_a_space_compose() -> None:
    """Truncating to 0.5 twice is truncating to 0.25, part by part, and leaves a label alone."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3))
    assert space.truncated(0.5).truncated(0.5) == space.truncated(0.25)
    assert space.truncated(0.5).parts["label"] == gentest.Categorical(3)


@pytest.mark.parametrize("space", [gentest.Normal(1), gentest.Sphere(1), gentest.Uniform(1), gentest.Normal((1, 1, 1))])
def test_spaces_of_one_dimension_have_finite_paths(space: Space) -> None:
    """In one dimension every pair of ends is parallel or opposite, and the path is finite."""
    assert np.isfinite(segments(9).place(space, independent(12, 0, 100))[""]).all()


@pytest.mark.parametrize(
    "space",
    [
        *SPACES,
        *(gentest.Normal(n) for n in (1, 2, 63, 64, 65, 100, 127, 128, 512)),
        gentest.Normal((4, 8, 8)),
        gentest.Joint(a=gentest.Normal(100), b=gentest.Uniform((3, 7)), c=gentest.Empirical(BANK), d=gentest.Sphere(2)),
        gentest.Joint(**{f"w{i}": gentest.Normal(40) for i in range(18)}),
        gentest.Joint(**{f"w{i}": gentest.Normal(2) for i in range(64)}),
        gentest.Joint(z=gentest.Normal(9), label=gentest.Categorical(3)),
    ],
    ids=word,
)
def test_groups_hold_every_coordinate_once(space: Space) -> None:
    """There are at most 64 groups, none is empty, and they cut each moving part's coordinates in order."""
    groups = space.groups
    assert 1 <= len(groups) <= MAX_GROUPS
    for name, part in space.parts.items():
        own = [(g.low, g.high) for g in groups if g.part == name]
        if part.n_groups == 0:
            assert own == []
            continue
        assert (own[0][0], own[-1][1]) == (0, part.dim)
        assert all(low < high for low, high in own)
        assert all(a[1] == b[0] for a, b in pairwise(own))
        sizes = [high - low for low, high in own]
        assert max(sizes) - min(sizes) <= 1


def test_a_small_space_has_one_group_a_coordinate() -> None:
    """Up to 64 coordinates each is a group of its own, so that a reduction can name it."""
    assert [str(g) for g in gentest.Normal(3).groups] == ["0", "1", "2"]
    assert [str(g) for g in gentest.Joint(z=gentest.Normal(100), y=gentest.Normal(2)).groups][-2:] == ["y[0]", "y[1]"]
    assert str(gentest.Normal(128).groups[1]) == "2..3"


def test_more_parts_than_groups_are_refused() -> None:
    """A mask of 64 bits cannot hold 65 parts."""
    with pytest.raises(InvalidArgument, match="at most 64 named parts but got 65"):
        gentest.Joint(**{f"w{i}": gentest.Normal(2) for i in range(65)})


@pytest.mark.parametrize(
    "space",
    [
        gentest.Normal(128),
        gentest.Uniform(128),
        gentest.TruncatedNormal(100),
        gentest.Normal((3, 5, 7)).truncated(0.5),
        gentest.Joint(z=gentest.Normal(40), y=gentest.Uniform((2, 30))),
    ],
    ids=word,
)
def test_ends_differ_in_the_groups_of_the_mask_only(space: Space) -> None:
    """Coordinates of groups that are not in the mask are equal at both ends; those in it all differ."""
    rng = np.random.default_rng(0)
    for probe in independent(13, 0, 20):
        mask = int(rng.integers(0, 2**63)) & ((1 << len(space.groups)) - 1)
        near, far = ends(space, [Probe(probe.seed, mask=mask)])
        for g, group in enumerate(space.groups):
            same = near[group.part].ravel()[group.low : group.high] == far[group.part].ravel()[group.low : group.high]
            assert (~same).all() if mask >> g & 1 else same.all()


@pytest.mark.parametrize(
    ("space", "law"),
    [
        (gentest.Normal(128), stats.norm()),
        (gentest.Uniform(100), stats.uniform(-sqrt(3), 2 * sqrt(3))),
        (gentest.TruncatedNormal(65), stats.truncnorm(-2, 2)),
        (gentest.Sphere(3, radius=1), stats.uniform(-1, 2)),
    ],
    ids=lambda v: word(v) if isinstance(v, Space) else "",
)
def test_an_end_with_a_random_mask_is_still_a_sample_of_the_prior(space: Part, law: stats.rv_continuous) -> None:
    """Spliced in the uniforms, far ends under random masks follow the prior's law (Kolmogorov-Smirnov)."""
    rng = np.random.default_rng(1)
    masks = rng.integers(0, FULL_MASK, size=3000, endpoint=True, dtype=np.uint64)
    probes = [Probe(p.seed, mask=int(m)) for p, m in zip(independent(14, 0, 3000), masks, strict=True)]
    far = points().place(space, probes)[""]
    assert_follows(far if space.dim > 3 else far[:, 0, 0], law)
    if isinstance(space, gentest.Sphere):
        np.testing.assert_allclose(np.linalg.norm(far, axis=2), 1.0, rtol=3e-7)


def test_a_bank_is_taken_whole() -> None:
    """The far end of a bank's path is its own entry if the bank's group is in the mask, and the near entry if not."""
    space = gentest.Joint(z=gentest.Normal(3), w=gentest.Empirical(BANK))
    probes = independent(15, 0, 200)
    near, full = ends(space, probes)
    _, without = ends(space, [Probe(p.seed, mask=0b0111) for p in probes])
    _, only = ends(space, [Probe(p.seed, mask=0b1000) for p in probes])
    assert (without["w"] == near["w"]).all()
    assert (only["w"] == full["w"]).all()
    assert (only["z"] == near["z"]).all()
    assert 0.7 < (near["w"] != full["w"]).any(1).mean() < 0.95  # 5/6 are another entry


def test_an_empty_mask_is_no_path() -> None:
    """Without any group in the mask, all latents of a path are the near end."""
    for space in SPACES[:-1]:
        z = segments(5).place(space, [Probe(1, mask=0)])[""].astype(np.float64)
        np.testing.assert_allclose(z, z[:, :1] * np.ones((1, 5) + (1,) * (z.ndim - 2)), rtol=1e-6)


KEYS = [
    (gentest.Normal((2, 3)), "Normal((2, 3))"),
    (gentest.Empirical(BANK), "Empirical(6 of 2)"),
    (gentest.Empirical(BANK).truncated(0.5), "Truncated(part=Empirical(6 of 2), psi=0.5)"),
    (at_radius(gentest.Empirical(BANK), 2.0), "at_radius(Empirical(6 of 2), 2.0)"),
    (gentest.Mapped(gentest.Normal(2), lambda z: z), "Mapped(Normal(2) to 2)"),
    (
        gentest.Joint(z=gentest.Mapped(gentest.Empirical(BANK), lambda z: z[:, None]), label=gentest.Categorical(3)),
        "Joint(z=Mapped(Empirical(6 of 2) to (1, 2)), label=Categorical(3))",
    ),
    (gentest.Joint(label=gentest.Categorical(3)).given({"label": 1}), "Joint(label=Fixed(value=1))"),
]


@pytest.mark.parametrize(("space", "key"), KEYS, ids=[key for _, key in KEYS])
def test_a_key_is_the_repr_without_digests(space: Space, key: str) -> None:
    """Baselines store the key, so it must stay as it is. It does not identify a bank or a network."""
    assert space.key == key
    assert re.sub(r", [0-9a-f]{16}(?=\))", "", repr(space)) == key


@pytest.mark.parametrize("space", SPACES, ids=word)
def test_spaces_are_values(space: Space) -> None:
    """Equal spaces are equal and hash alike; other spaces differ."""
    again = gentest.Joint(**space.parts) if isinstance(space, gentest.Joint) else space.truncated(1.0)
    assert {space: 1}[space] == 1
    assert space != gentest.Normal(99)
    assert not isinstance(space, gentest.Joint) or (again == space and hash(again) == hash(space))


MISUSE = [
    (lambda: gentest.Normal(0), "Expected a positive size, or several but got shape=0"),
    (lambda: gentest.Normal(()), r"shape=\(\)"),
    (lambda: gentest.Normal(True), "shape=True"),  # noqa: FBT003 - the misuse itself
    (lambda: gentest.Normal("128"), "shape='128'"),  # type: ignore[arg-type]
    (lambda: gentest.Normal((3, 2.0)), "shape="),  # type: ignore[arg-type]
    (lambda: gentest.Uniform(2, low=1, high=1), "low < high"),
    (lambda: gentest.Uniform(2, low="a"), "low < high"),  # type: ignore[arg-type]
    (lambda: gentest.Uniform(2, high=float("inf")), "bounds that float32 can hold"),
    (lambda: gentest.Uniform(2, high=10**400), "bounds that float32 can hold"),
    (lambda: gentest.Uniform(2, low=-1e39, high=1e39), "bounds that float32 can hold"),
    (lambda: gentest.Uniform(2, low=1e8, high=1e8 + 1e-3), "low < high"),
    (lambda: gentest.TruncatedNormal(2, bound=0), "a bound > 0 but got bound=0"),
    (lambda: gentest.TruncatedNormal(2, bound="2"), "bound='2'"),  # type: ignore[arg-type]
    (lambda: gentest.Sphere(2, radius=-1), "a radius > 0 but got radius=-1"),
    (lambda: gentest.Sphere(2, radius="1"), "radius='1'"),  # type: ignore[arg-type]
    (lambda: gentest.Sphere(2, radius=float("nan")), "radius=nan"),
    (lambda: gentest.Categorical(0), "a number of choices >= 1 but got n=0"),
    (lambda: gentest.Categorical(2, probabilities=[0.5, 0.6]), "2 probabilities that sum to 1"),
    (lambda: gentest.Categorical(2, probabilities=[1.5, -0.5]), "2 probabilities"),
    (lambda: gentest.Categorical(2, probabilities=[1.0]), "2 probabilities"),
    (lambda: gentest.Categorical(2, probabilities=["a", "b"]), "2 probabilities"),  # type: ignore[list-item]
    (lambda: gentest.Categorical(2, probabilities=0.5), "2 probabilities"),  # type: ignore[arg-type]
    (lambda: gentest.Empirical([1.0, 2.0]), r"\[M, \*shape\].*\(2,\)"),
    (lambda: gentest.Empirical(np.zeros((0, 3))), r"M >= 1"),
    (lambda: gentest.Empirical([[np.nan]]), "finite"),
    (lambda: gentest.Empirical([["a"]]), "numbers"),
    (lambda: gentest.Empirical([[1.0], [1.0, 2.0]]), "numbers"),
    (lambda: gentest.Joint(), "at least one named part"),
    (lambda: gentest.Joint(z=3), "a space that is one part but got z=3"),  # type: ignore[arg-type]
    (lambda: gentest.Joint(z=gentest.Joint(a=gentest.Normal(1))), "a space that is one part"),  # type: ignore[arg-type]
    (lambda: gentest.Normal(2).truncated(0), r"a truncation in \(0, 1\] but got psi=0"),
    (lambda: gentest.Normal(2).truncated(1.5), "psi=1.5"),
    (lambda: gentest.Categorical(2).truncated(2), "psi=2"),
    (lambda: gentest.Categorical(2).mean(), "a choice: it has no mean"),
    (lambda: gentest.Joint(z=gentest.Normal(1)).given({"y": 1}), "No part is named 'y'; the space has z"),
    (lambda: gentest.Joint(z=gentest.Normal(1)).given({"z": [1, 2]}), "one latent of Normal"),
    (lambda: gentest.Joint(y=gentest.Categorical(3)).given({"y": 3}), "a choice from 0 to 2 but got y=3"),
    (lambda: gentest.Joint(y=gentest.Categorical(3)).given({"y": True}), "y=True"),
]


@pytest.mark.parametrize(("misuse", "message"), MISUSE, ids=[message for _, message in MISUSE])
def test_misuse_is_rejected_at_once(misuse: object, message: str) -> None:
    """A wrong argument is an error when the space is made, in one line with its name and value."""
    assert callable(misuse)
    with pytest.raises(InvalidArgument, match=message) as caught:
        misuse()
    assert "\n" not in str(caught.value)
