"""Shifts: how far an attack moved a probe, as bytes that replay anywhere and text that anybody may have written."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gentest
from gentest.errors import InvalidArgument
from gentest.probes import shifts
from gentest.probes.ends import nearer, scores_of, shifted_groups, with_shift_of
from gentest.probes.families import along
from gentest.probes.probe import Probe

some = st.binary(min_size=1, max_size=40).filter(any)


def packed(raw: bytes) -> str:
    """Bytes as a shift's text, whatever they are."""
    return base64.b64encode(zlib.compress(raw)).decode().rstrip("=")


@given(some, st.integers(0, 2**64 - 1), st.integers(0, 63))
def test_a_shifted_probe_comes_back_from_text_and_json(shift: bytes, seed: int, low: int) -> None:
    """`parse` reads what `str` wrote, and `from_json` what `to_json` did, through JSON's own text."""
    probe = Probe(seed, mask=5, window=(low, 64), choices=(3, 0), shift=shift)
    assert Probe.parse(str(probe)) == probe
    assert Probe.from_json(json.loads(json.dumps(probe.to_json()))) == probe


def test_a_probe_of_before_has_no_shift() -> None:
    """JSON without a shift is read as it was before there were any, and a probe without one writes none."""
    assert "shift" not in Probe(7).to_json()
    assert Probe.from_json({"seed": "7", "mask": "ff", "window": [0, 64], "choices": []}).shift == b""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "AAAA",
        "not base64!",
        packed(b""),
        packed(bytes(8)),
        packed(b"\1")[:-3],
        base64.b64encode(zlib.compress(b"\1") + b"more").decode(),
        packed(bytes(shifts.MAX_BYTES) + b"\1"),
    ],
    ids=["empty", "short", "no zlib", "no base64", "nothing", "zeros", "cut off", "more behind", "a bomb"],
)
def test_text_that_is_no_shift_is_refused(text: str) -> None:
    """What nobody's gentest wrote is misuse with one clear line, and takes no memory."""
    with pytest.raises(InvalidArgument):
        Probe.parse(f"1f-s{text}")
    with pytest.raises(InvalidArgument):
        Probe.from_json({**Probe(7).to_json(), "shift": text})


@pytest.mark.parametrize("shift", [5, ["x"], True])
def test_json_of_another_type_is_refused(shift: object) -> None:
    """A shift is text."""
    with pytest.raises(InvalidArgument):
        Probe.from_json({**Probe(7).to_json(), "shift": shift})


def test_text_over_the_limit_is_refused_unread() -> None:
    """A quarter of a megabyte of text is no probe, and the message does not repeat it."""
    with pytest.raises(InvalidArgument) as caught:
        Probe.parse("1f-s" + "A" * shifts.MAX_TEXT)
    assert len(str(caught.value)) < 300


def test_a_shift_of_another_length_fits_no_probe() -> None:
    """Two ends of 8 coordinates need 16 scores."""
    with pytest.raises(InvalidArgument, match="a shift of 16 scores"):
        gentest.segments().place(gentest.Normal(8), [Probe(1, shift=b"\1" * 8)])


def test_only_what_is_shifted_moves() -> None:
    """A shift of one score moves that coordinate of that end by it, and leaves the others to the last bit."""
    space = gentest.Normal(4)
    steps = np.zeros(8, dtype=np.int8)
    steps[4 + 2] = 16  # half a standard deviation, of coordinate 2 of the far end
    plain, moved = (gentest.segments(2).place(space, [p])[""][0] for p in (Probe(3), Probe(3, shift=steps.tobytes())))
    assert moved[1, 2] - plain[1, 2] == pytest.approx(0.5, abs=1e-6)
    moved[1, 2] = plain[1, 2]
    np.testing.assert_array_equal(moved, plain)


@pytest.mark.parametrize("quiet", [-127, 127])
@pytest.mark.parametrize(
    "space",
    [gentest.Uniform(6), gentest.Uniform(6, low=-1, high=4), gentest.TruncatedNormal(6), gentest.Sphere(6, radius=2)],
    ids=repr,
)
def test_whatever_a_shift_says_the_latents_are_the_priors(space: gentest.Space, quiet: int) -> None:
    """Pushed as far as a shift can push, latents are finite, inside a box and on a sphere."""
    shift = np.full(12, quiet, dtype=np.int8).tobytes()
    z = gentest.segments().place(space, [Probe(seed, shift=shift) for seed in range(40)])[""].astype(float)
    assert np.isfinite(z).all()
    if isinstance(space, gentest.Uniform):
        assert z.min() >= space.low - 1e-6
        assert z.max() <= space.high + 1e-6
    elif isinstance(space, gentest.TruncatedNormal):
        assert np.abs(z).max() <= 2.0
    else:
        np.testing.assert_allclose(np.linalg.norm(z, axis=2), 2.0, rtol=1e-5)


def test_a_spliced_end_takes_the_near_end_as_it_was_moved() -> None:
    """Where the mask says that the far end is the near one, it is the near end with its shift."""
    space, steps = gentest.Normal(4), np.arange(1, 9, dtype=np.int8).tobytes()
    z = gentest.segments(2).place(space, [Probe(3, mask=0b0011, shift=steps)])[""][0]
    np.testing.assert_array_equal(z[0, 2:], z[1, 2:])
    assert (z[0, :2] != z[1, :2]).all()


def test_groups_of_a_shift() -> None:
    """Groups count at every end and in every part, and a shift of some of them keeps just those."""
    space = gentest.Joint(label=gentest.Categorical(3), z=gentest.Normal(3), w=gentest.Uniform(2))
    steps = np.zeros((2, 6), dtype=np.int8)  # label, z z z, w w
    steps[0, 1], steps[1, 3], steps[1, 5] = 4, -4, 9
    probe = Probe(1, shift=steps.tobytes())
    named = [str(space.groups[g]) for g in shifted_groups(space, 2, probe)]
    assert named == ["z[0]", "z[2]", "w[1]"]
    left = with_shift_of(space, 2, probe, shifted_groups(space, 2, probe)[1:2])
    assert np.flatnonzero(np.frombuffer(left.shift, dtype=np.int8)).tolist() == [9]
    assert with_shift_of(space, 2, probe, ()).shift == b""


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_nearer_lies_on_the_way_and_no_shorter(share: float) -> None:
    """Between a sample and where it was moved, of a length between the two; a chord would be shorter."""
    rng, space, streams = np.random.default_rng(0), gentest.Normal(64), (0, 1)
    start = Probe(5)
    moved = Probe(5, shift=shifts.to_bytes(rng.normal(size=128)))
    near, way, far = (scores_of(space, [p], streams)[0] for p in (start, nearer(space, streams, moved, share), moved))
    for end in (slice(0, 64), slice(64, 128)):
        lengths = [float(np.linalg.norm(scores[end])) for scores in (near, way, far)]
        assert min(lengths[0], lengths[2]) - 0.2 <= lengths[1] <= max(lengths[0], lengths[2]) + 0.2
    assert np.linalg.norm(way - near) < np.linalg.norm(far - near)


def test_an_end_along_a_direction_can_be_moved() -> None:
    """A family of one end takes a shift of one."""
    family = along(gentest.Direction([1.0, 0.0, 0.0]), points=2)
    z = family.place(gentest.Normal(3), [Probe(2, shift=b"\0\x20\0")])[""][0]
    plain = family.place(gentest.Normal(3), [Probe(2)])[""][0]
    np.testing.assert_allclose(z - plain, [[0, 1, 0], [0, 1, 0]], atol=1e-6)
