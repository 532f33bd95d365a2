"""Probes: the streams of uniforms, the text and JSON of a probe, and how each family becomes latents.

Statistical tests use fixed seeds, none of them chosen, and fail by chance at a level of 1e-6 each.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

import gentest
from gentest.errors import InvalidArgument
from gentest.probes import shifts
from gentest.probes.ends import ends_of, noise
from gentest.probes.families import LEAST_STEP, Probes, moves, neighbours, points, segments, steps
from gentest.probes.probe import FULL_MASK, FULL_WINDOW, Probe, active_groups, independent, without_groups
from gentest.spaces import Space
from gentest.spaces.streams import FAR, NEAR, NOISE, PLACE, independent_seeds, uniforms

ALARM = 1e-6

BANK = np.arange(12.0).reshape(6, 2)

SPACES = [
    gentest.Normal(33),
    gentest.Sphere((3, 11)),
    gentest.Uniform(33),
    gentest.TruncatedNormal(33),
    gentest.Empirical(BANK),
    gentest.Normal(33).truncated(0.5),
    gentest.Joint(z=gentest.Normal(17), label=gentest.Categorical(10), w=gentest.Empirical(BANK)),
]

FAMILIES = [points(), segments(9), segments(2), neighbours(0.1, 3), steps(), steps(1e-3, at="ends", straight=True)]


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, int]:
    low = draw(st.integers(0, 63))
    return low, draw(st.integers(low + 1, 64))


PROBES = st.builds(
    Probe,
    st.integers(0, 2**64 - 1),
    st.integers(0, FULL_MASK),
    st.just(FULL_WINDOW) | windows(),
    st.lists(st.integers(0, 10**9 - 1), max_size=64).map(tuple),
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**65)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1f", "-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def test_independent_seeds_are_fixed_for_ever() -> None:
    """The seeds of a master's stream are these, also far along it."""
    assert independent_seeds(0, 0, 5) == [
        0xF92875AADB8E0138,
        0x16F5694BD80E582,
        0x21CB1F8C39733D98,
        0x8404A95B9D97C56C,
        0x20802CF8E48125E1,
    ]
    assert independent_seeds(2**63 - 1, 1022, 3) == [0xE141C1477788A280, 0x1148806D658CC262, 0x6E9697E1B1EF7B25]


@given(st.integers(0, 2**63 - 1), st.integers(0, 200), st.integers(0, 20))
def test_independent_probes_are_replayable_by_index(master: int, start: int, n: int) -> None:
    """Any stretch of a master's probes is the same stretch of all of them."""
    assert independent(master, start, n) == independent(master, 0, start + n)[start:]


def test_independent_probes_are_distinct_across_masters() -> None:
    """10,000 probes of each of three masters share no seed."""
    seeds = {p.seed for master in (0, 1, 2**63 - 1) for p in independent(master, 0, 10_000)}
    assert len(seeds) == 30_000


@given(PROBES)
def test_a_probe_is_read_back_from_its_text(probe: Probe) -> None:
    """`Probe.parse` undoes `str`, for every probe."""
    assert Probe.parse(str(probe)) == probe


@given(PROBES)
def test_a_probe_is_read_back_from_json(probe: Probe) -> None:
    """A probe survives `json.dumps`, and its JSON holds no integer that JSON readers would round."""
    text = json.dumps(probe.to_json())
    assert Probe.from_json(json.loads(text)) == probe
    assert all(n < 2**53 for n in json.loads(text)["choices"])
    assert isinstance(json.loads(text)["seed"], str)


def test_a_plain_probe_is_short() -> None:
    """What is usual is left out of the text: the full mask, the whole path, no choices."""
    assert str(Probe(255)) == "ff"
    assert str(Probe(255, mask=0, window=(0, 32), choices=(0, 1))) == "ff-m0-w0.32-c0.1"


def test_a_whole_probe_is_text_and_json() -> None:
    """Every part of a probe has its place in both: hexadecimal, dots between, and the shift as `shifts` has it."""
    probe = Probe(0x1F, mask=0b101, window=(3, 40), choices=(3, 0, 12), shift=bytes([1, 0, 255]))
    moved = shifts.to_text(probe.shift)
    assert str(probe) == f"1f-m5-w3.40-c3.0.12-s{moved}"
    assert probe.to_json() == {"seed": "1f", "mask": "5", "window": [3, 40], "choices": [3, 0, 12], "shift": moved}
    assert Probe.parse(str(probe)) == Probe.from_json(probe.to_json()) == probe
    assert Probe.from_json({**Probe(31).to_json(), "shift": None}) == Probe.parse("1f") == Probe(31)


def test_a_probes_hash_is_of_its_seed_and_mask() -> None:
    """Probes that differ in either are told apart by their hash; equal ones have one."""
    probes = [Probe(seed, mask=mask) for seed in range(20) for mask in (0, 1, FULL_MASK)]
    assert len({hash(probe) for probe in probes}) == len(probes)
    assert hash(Probe(3, 5, (0, 32), (1,))) == hash(Probe(3, 5, (0, 32), (1,))) == hash(Probe(3, 5))


def test_what_a_text_should_have_been_is_said_and_no_more_of_it_than_fits() -> None:
    """The message shows how a probe looks and 80 characters of what was given; of a window, what it may be."""
    for text in ("x" * 100, "1f-s" + "A" * shifts.MAX_TEXT):
        said = f"a probe as gentest prints it, such as '1f-m5-w0.32-c3' but got probe={text[:80]!r} (type=str)"
        with pytest.raises(InvalidArgument, match=f"^Expected {re.escape(said)}$"):
            Probe.parse(text)
    for text in ("1f-w6.5", "1f-w6.5-s" + "A" * 1000):
        said = f"a window low.high with 0 <= low < high <= 64 but got window={text[:80]!r} (type=str)"
        with pytest.raises(InvalidArgument, match=f"^Expected {re.escape(said)}$"):
            Probe.parse(text)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"seed": 31}, "a seed and a mask are hexadecimal text, a shift is text"),
        ({"mask": 31}, "a seed and a mask are hexadecimal text, a shift is text"),
        ({"shift": 31}, "a seed and a mask are hexadecimal text, a shift is text"),
        ({"choices": "31"}, "choices are a list of whole numbers"),
        ({"choices": [3.0]}, "choices are a list of whole numbers"),
    ],
)
def test_what_is_wrong_with_a_probes_json_is_its_cause(change: dict[str, Any], cause: str) -> None:
    """The message shows the JSON; what is wrong with it is the error that it comes from."""
    value = Probe(31).to_json() | change
    with pytest.raises(InvalidArgument) as caught:
        Probe.from_json(value)
    assert str(caught.value) == f"Expected a probe's JSON but got probe={value!r} (type=dict)"
    assert str(caught.value.__cause__) == cause


def _only_invalid(text: Any) -> None:
    try:
        probe = Probe.parse(text)
    except InvalidArgument:
        return
    assert Probe.parse(str(probe)) == probe


@given(st.text())
@example("")
@example("1f-w\u0660.\u0663")
@example("1f\n")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Arbitrary text is refused with `InvalidArgument` alone."""
    _only_invalid(text)


@given(st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_bytes_are_read_or_refused(text: str) -> None:
    """Arbitrary decoded bytes are refused with `InvalidArgument` alone."""
    _only_invalid(text)


@given(PROBES, st.integers(0, 80), st.sampled_from([0, 1]), st.text("0123456789abcdefmwc.-xG\u0663 \n", max_size=3))
def test_a_probes_text_with_a_slip_is_read_or_refused(probe: Probe, at: int, dropped: int, slip: str) -> None:
    """Valid text with characters put in or taken out is another probe or refused with `InvalidArgument` alone."""
    text = str(probe)
    _only_invalid(text[:at] + slip + text[at + dropped :])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "xyz",
            "1F",
            "-1",
            "1f-",
            "1f-m",
            "1f-w5",
            "1f-w5.5",
            "1f-w6.5",
            "1f-w0.65",
            "1f-w\u0660.\u0663",
            "1f\n",
            " 1f",
        ),
        *("1f-c", "1f-c1.", "1f-c-1", "1f-c1-m5", "1" * 17, "1f-m" + "f" * 17, "1f-c" + "9" * 10, None, 31, b"1f"),
    ],
)
def test_text_that_is_no_probe_is_refused(text: Any) -> None:
    """What gentest does not print is refused, with an example of what it prints or the bounds of a window."""
    with pytest.raises(InvalidArgument, match=r"such as '1f-m5-w0.32-c3'|0 <= low < high <= 64"):
        Probe.parse(text)


@given(JSON)
def test_any_json_is_a_probe_or_refused(value: Any) -> None:
    """JSON that is no probe is refused with `InvalidArgument` alone."""
    with pytest.raises(InvalidArgument):
        Probe.from_json(value)


@given(PROBES, st.sampled_from(["seed", "mask", "window", "choices"]), JSON)
def test_a_probe_with_a_wrong_field_is_refused(probe: Probe, field: str, wrong: Any) -> None:
    """A probe's JSON with another value in one field is a probe that says so, or is refused."""
    value = json.loads(json.dumps(probe.to_json() | {field: wrong}))
    try:
        read = Probe.from_json(value)
    except InvalidArgument:
        return
    assert read == Probe.from_json(json.loads(json.dumps(read.to_json())))
    assert type(wrong) is (str if field in ("seed", "mask") else list)


@pytest.mark.parametrize(
    "change",
    [
        *({"choices": [1.5]}, {"choices": "12"}, {"choices": ["1.2"]}, {"choices": [True]}, {"choices": [-1]}),
        *({"choices": None}, {"window": "12"}, {"window": ["3", "4"]}, {"window": [0.0, 64.0]}, {"window": [0]}),
        *({"window": [0, 65]}, {"window": None}, {"seed": 31}, {"seed": "0x1f"}, {"seed": "-1"}, {"seed": "1f-m5"}),
        *({"mask": 5}, {"mask": "5-w0.3"}, {"mask": ""}),
    ],
    ids=str,
)
def test_json_that_only_looks_like_a_probe_is_refused(change: dict[str, Any]) -> None:
    """Numbers as text, text as numbers, and fields that would run into each other are no probe."""
    with pytest.raises(InvalidArgument, match="a probe's JSON"):
        Probe.from_json(Probe(31).to_json() | change)


def test_a_probe_without_a_field_is_refused() -> None:
    """Each of the four fields is needed."""
    whole = Probe(31).to_json()
    for field in whole:
        with pytest.raises(InvalidArgument):
            Probe.from_json({k: v for k, v in whole.items() if k != field})


@pytest.mark.parametrize(
    ("family", "text", "n_points", "streams", "has_path"),
    [
        (points(), "points()", 1, (FAR,), False),
        (segments(), "segments(points=9)", 9, (NEAR, FAR), True),
        (segments(2), "segments(points=2)", 2, (NEAR, FAR), True),
        (neighbours(), "neighbours(step=0.1, count=1)", 2, (NEAR, FAR), False),
        (neighbours(1, 3), "neighbours(step=1, count=3)", 4, (NEAR, FAR, FAR + 1, FAR + 2), False),
        (steps(), "steps(epsilon=0.0001, at='path', straight=False)", 2, (NEAR, FAR), False),
        (
            steps(1 / 64, at="ends", straight=True),
            "steps(epsilon=0.015625, at='ends', straight=True)",
            2,
            (0, 1),
            False,
        ),
    ],
)
def test_a_family_says_what_it_is(
    family: Probes, text: str, n_points: int, streams: tuple[int, ...], *, has_path: bool
) -> None:
    """A family's text is how it is made; it has so many latents a probe, at these ends, with or without an order."""
    assert repr(family) == repr(type(family)(**vars(family))) == text
    assert (family.n_points, family.streams, family.has_path) == (n_points, streams, has_path)
    placed = family.place(gentest.Normal(3), [Probe(1), Probe(2)])[""]
    assert placed.shape == (2, n_points, 3)
    assert family.t([Probe(1), Probe(2)]).shape == (2, n_points)


def test_what_is_not_said_of_a_family_is_what_is_documented() -> None:
    """Nine points of a path, one neighbour a tenth of the way, and steps of 1e-4 along the prior's own path."""
    assert (segments(), neighbours(), steps()) == (
        segments(9),
        neighbours(0.1, 1),
        steps(1e-4, at="path", straight=False),
    )


def test_single_points_are_the_far_ends() -> None:
    """A point is the far end of its seed's path, in the groups of its mask, at place 0."""
    probes = [Probe(1), Probe(2), Probe(2, mask=0b10)]
    ends = segments(2).place(gentest.Uniform(3), probes)[""]
    assert (points().place(gentest.Uniform(3), probes)[""][:, 0] == ends[:, 1]).all()
    assert (ends[2, 1] == [ends[1, 0, 0], ends[1, 1, 1], ends[1, 0, 2]]).all()
    assert points().t(probes).tolist() == [[0.0], [0.0], [0.0]]


def test_a_step_starts_where_its_seed_says() -> None:
    """In a window from 1/4 to 1/2 the place is 1/4 + (1/4 - epsilon) u, of the seed's own uniform for places."""
    u = float(uniforms(9, PLACE, 0, 1)[0])
    place = 0.25 + (0.25 - 1e-3) * u
    assert steps(1e-3).t([Probe(9, window=(16, 32))]) == pytest.approx(np.array([[place, place + 1e-3]]), rel=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_neighbours_lie_on_the_paths_to_other_ends(count: int) -> None:
    """Each is a tenth of the way along the prior's own path from the sample to another end of the same seed."""
    space, probes = gentest.Sphere(4), [Probe(1), Probe(2)]
    ends = ends_of(space, probes, (NEAR, *(FAR + i for i in range(count))))[""]
    placed = neighbours(0.1, count).place(space, probes)[""]
    for i in range(count):
        path = space.path(ends[NEAR], ends[FAR + i], np.array([[0.1]] * 2))
        np.testing.assert_allclose(placed[:, 1 + i], path[:, 0], rtol=1e-6)


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_a_latent_does_not_depend_on_its_batch(family: Probes, space: Space) -> None:
    """A probe alone has the latents that it has in a batch, bit by bit, in float32 or int64."""
    rng = np.random.default_rng(0)
    probes = [Probe(p.seed, mask=int(rng.integers(1, 2**63))) for p in independent(16, 0, 37)]
    together = family.place(space, probes)
    for i in (0, 1, 17, 36):
        alone = family.place(space, [probes[i]])
        for name, z in alone.items():
            assert z.shape == (1, family.n_points, *space.parts[name].shape)
            assert z.dtype == (np.int64 if space.parts[name].n_choices else np.float32)
            assert z[0].tobytes() == together[name][i].tobytes()


DIGEST = """
import hashlib, sys
import gentest
from gentest.probes.ends import noise
from gentest.probes.probe import Probe
from gentest.probes.families import segments
space = gentest.Joint(z=gentest.Normal((4, 8)), s=gentest.Sphere(64), label=gentest.Categorical(10))
probes = [Probe(seed, mask=seed * 0x9E3779B97F4A7C15 & 2**64 - 1) for seed in range(64)]
placed = segments(9).place(space, probes) | noise({"noise": gentest.Normal(9)}, probes, 9)
print(hashlib.sha256(b"".join(z.tobytes() for z in placed.values())).hexdigest())
print("torch" in sys.modules)
"""


def test_latents_are_the_same_in_another_process() -> None:
    """A process with other hash and thread settings makes the same latents, without importing torch."""
    environment = {**os.environ, "PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    space = gentest.Joint(z=gentest.Normal((4, 8)), s=gentest.Sphere(64), label=gentest.Categorical(10))
    probes = [Probe(seed, mask=seed * 0x9E3779B97F4A7C15 & 2**64 - 1) for seed in range(64)]
    placed = segments(9).place(space, probes) | noise({"noise": gentest.Normal(9)}, probes, 9)
    here = hashlib.sha256(b"".join(z.tobytes() for z in placed.values())).hexdigest()
    assert done.stdout.split() == [here, "False"]


def test_a_window_looks_at_a_part_of_the_same_path() -> None:
    """Under a window the latents are those of the whole path at the window's fractions."""
    space = gentest.Normal(16)
    whole = segments(65).place(space, [Probe(9)])[""][0]
    part = segments(9).place(space, [Probe(9, window=(16, 32))])[""][0]
    np.testing.assert_allclose(part, whole[16:33:2], rtol=1e-5, atol=1e-6)
    assert segments(3).t([Probe(9, window=(16, 32)), Probe(9)]).tolist() == [[0.25, 0.375, 0.5], [0.0, 0.5, 1.0]]


def test_neighbours_share_a_sample_and_step_toward_others() -> None:
    """The first latent is the sample, and each neighbour lies `step` of the way to a different other sample."""
    space = gentest.Uniform(16)
    z = neighbours(0.25, 3).place(space, [Probe(9)])[""][0]
    ends = segments(2).place(space, [Probe(9)])[""][0]
    assert (z[0] == ends[0]).all()
    np.testing.assert_allclose(z[1], 0.75 * ends[0] + 0.25 * ends[1], rtol=1e-6, atol=1e-6)
    assert len({row.tobytes() for row in z}) == 4
    assert neighbours(0.25, 3).t([Probe(9)]).tolist() == [[0.0, 0.25, 0.25, 0.25]]


def test_a_step_is_a_small_part_of_the_path_from_a_place_of_the_seeds_own() -> None:
    """Its two latents are those of the whole path at t and t + epsilon, t uniform and never beyond the path's end."""
    probes = independent(19, 0, 2000)
    t = steps(1 / 64).t(probes)
    assert stats.kstest(t[:, 0] * 64 / 63, "uniform").pvalue > ALARM
    assert t.min() >= 0
    assert t.max() <= 1
    space = gentest.Normal(16)
    placed = steps(1 / 64).place(space, probes[:50])[""]
    ends = segments(2).place(space, probes[:50])[""].astype(float)
    np.testing.assert_allclose(placed, space.path(ends[:, 0], ends[:, 1], t[:50]), rtol=0, atol=2e-6)
    assert stats.pearsonr(t[:, 0], first_uniform(probes)).pvalue > ALARM


def first_uniform(probes: list[Probe]) -> Any:
    """The first coordinate of each probe's near end, as a uniform: what its place must not depend on."""
    return segments(2).place(gentest.Uniform(1), probes)[""][:, 0, 0]


def test_a_step_from_the_ends_starts_at_a_sample() -> None:
    """`at="ends"` is the path's first latent and epsilon on; under a window, the window's first."""
    family = steps(1e-3, at="ends")
    assert family.t([Probe(9), Probe(9, window=(16, 32))]).tolist() == [[0.0, 0.001], [0.25, 0.251]]
    space = gentest.Sphere(8)
    near = segments(2).place(space, [Probe(9)])[""][0, 0]
    z = family.place(space, [Probe(9)])[""][0]
    assert (z[0] == near).all()
    assert 0 < np.linalg.norm(z[1] - z[0]) < 1e-3 * np.pi * space.radius


def test_a_window_and_a_mask_limit_a_step() -> None:
    """A step lies within its window, and moves in the groups of its mask alone (of a straight line)."""
    probes = [Probe(seed, window=(16, 17)) for seed in range(300)]
    t = steps(1e-3).t(probes)
    assert t.min() >= 16 / 64
    assert t.max() <= 17 / 64
    z = steps(1e-3, straight=True).place(gentest.Normal(8), [Probe(9, mask=0b101)])[""][0]
    assert (z[0] != z[1]).nonzero()[0].tolist() == [0, 2]


@pytest.mark.parametrize("space", [gentest.Normal(16), gentest.Sphere(16), gentest.Normal(16).truncated(0.5)], ids=repr)
def test_a_straight_step_is_on_the_line_between_the_ends(space: Space) -> None:
    """`straight` takes lines where the prior has great circles, and leaves a label as it is."""
    joint = gentest.Joint(z=space.parts[""], label=gentest.Categorical(10))
    probes = independent(20, 0, 50)
    placed, ends = steps(1 / 64, straight=True).place(joint, probes), segments(2).place(joint, probes)
    t = steps(1 / 64).t(probes)[..., None]
    line = ends["z"][:, :1] * (1 - t) + ends["z"][:, 1:] * t
    np.testing.assert_allclose(placed["z"], line, rtol=0, atol=2e-6)
    assert (placed["label"] == ends["label"]).all()


def test_choices_of_a_probe_win_over_its_seed() -> None:
    """Choices go to the discrete parts in their order; without them the seed decides."""
    space = gentest.Joint(a=gentest.Categorical(10), z=gentest.Normal(2), b=gentest.Categorical(10))
    placed = segments(3).place(space, [Probe(1, choices=(7, 2)), Probe(1)])
    assert placed["a"][0].tolist() == [7, 7, 7]
    assert placed["b"][0].tolist() == [2, 2, 2]
    assert (placed["z"][0] == placed["z"][1]).all()


def test_noise_is_of_the_seed_and_the_same_along_a_path() -> None:
    """Noise inputs are one sample of their prior for each probe, shared by its latents, and no latent's own stream."""
    probes = independent(17, 0, 2000)
    drawn = noise({"a": gentest.Normal(4), "b": gentest.Uniform((2, 2))}, probes, 3)
    assert drawn["a"].shape == (2000, 3, 4)
    assert drawn["b"].shape == (2000, 3, 2, 2)
    assert (drawn["a"] == drawn["a"][:, :1]).all()
    assert stats.kstest(drawn["a"][:, 0].ravel(), "norm").pvalue > ALARM
    latents = segments(2).place(gentest.Normal(4), probes)[""]
    for other in (latents[:, 0], latents[:, 1], drawn["b"][:, 0].reshape(-1, 4)):
        assert stats.pearsonr(drawn["a"][:, 0].ravel(), other.ravel()).pvalue > ALARM


def test_a_path_without_length_is_told_apart() -> None:
    """`moves` is False for a path whose latents are all equal, in every part, and True for single points."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3))
    probes = [Probe(1), Probe(1, mask=0), Probe(1, mask=0b1000)]
    assert moves(segments(3).place(space, probes)).tolist() == [True, False, True]
    assert moves(neighbours().place(space, probes)).tolist() == [True, False, True]
    assert moves(points().place(space, probes)).tolist() == [True, True, True]
    assert moves(points().place(space, probes)).dtype == moves(segments(3).place(space, probes)).dtype == bool


def test_groups_are_bits_of_the_mask() -> None:
    """Of groups 0, 1 and 3 what is left without 0 and 3, said twice, and 2, which is not there, is 1."""
    probe = Probe(9, mask=0b1011)
    assert active_groups(probe, 64) == (0, 1, 3)
    assert active_groups(probe, 3) == (0, 1)
    assert without_groups(probe, [0, 3, 3, 2]) == Probe(9, mask=0b0010)


@given(PROBES, st.sets(st.integers(0, 63)))
def test_groups_are_taken_away_once(probe: Probe, groups: set[int]) -> None:
    """`without_groups` clears exactly those groups, and leaves seed, window and choices."""
    less = without_groups(probe, [*groups, *groups])
    assert set(active_groups(less, 64)) == set(active_groups(probe, 64)) - groups
    assert (less.seed, less.window, less.choices) == (probe.seed, probe.window, probe.choices)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: segments(1), "^Expected a number of points >= 2 but got points=1 "),
        (lambda: segments(2.5), "points=2.5"),  # type: ignore[arg-type]
        (lambda: neighbours(0.0), "^Expected a step >= 1e-06 and <= 1 but got step=0.0 "),
        (lambda: neighbours(1.5), "step=1.5"),
        (lambda: neighbours(step=True), "step=True"),
        (lambda: neighbours("x"), "step='x'"),  # type: ignore[arg-type]
        (lambda: neighbours(float("nan")), "step=nan"),
        (lambda: neighbours(0.1, 0), "^Expected a number of neighbours >= 1 but got count=0 "),
        (lambda: neighbours(0.1, NOISE - FAR + 1), "count=65536"),
        (lambda: steps(0.0), "^Expected a step >= 1e-06 and <= 1/64 but got epsilon=0.0 "),
        (lambda: steps(1e-8), "epsilon=1e-08"),
        (lambda: neighbours(1e-9), "step=1e-09"),
        (lambda: steps(0.016), "epsilon=0.016"),
        (lambda: steps(float("nan")), "epsilon=nan"),
        (lambda: steps("x"), "epsilon='x'"),  # type: ignore[arg-type]
        (lambda: steps(at="start"), "^Expected 'path' or 'ends' but got at='start' "),  # type: ignore[arg-type]
        (lambda: steps(straight=1), "^Expected True or False but got straight=1 "),  # type: ignore[arg-type]
    ],
)
def test_families_check_their_arguments(make: Any, message: str) -> None:
    """A family of no use is refused where it is made."""
    with pytest.raises(InvalidArgument, match=message):
        make()


def test_the_smallest_step_moves_a_latent() -> None:
    """It is allowed, and float32 tells its ends apart in every coordinate of most probes."""
    for family in (steps(LEAST_STEP), neighbours(LEAST_STEP)):
        z = family.place(gentest.Normal(8), independent(1, 0, 64))[""]
        assert (z[:, 0] != z[:, 1]).mean() > 0.9


def test_as_many_neighbours_as_there_are_streams_are_allowed() -> None:
    """The last neighbour's end is the stream before the noise's."""
    assert neighbours(0.1, NOISE - FAR).streams[-1] == NOISE - 1
