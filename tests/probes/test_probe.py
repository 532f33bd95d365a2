"""Probes: the streams of uniforms, the text and JSON of a probe, and how each family becomes latents.

Statistical tests use fixed seeds, none of them chosen, and fail by chance at a level of 1e-6 each.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import gentest
from gentest.errors import InvalidArgument
from gentest.probes import shifts
from gentest.probes.families import moves, neighbours, points, segments
from gentest.probes.probe import FULL_MASK, FULL_WINDOW, Probe, independent, located, recorded
from gentest.spaces.one_of import value_digest
from gentest.spaces.streams import independent_seeds


@st.composite
def windows(draw: st.DrawFn) -> tuple[int, int]:
    low = draw(st.integers(0, 63))
    return low, draw(st.integers(low + 1, 64))


PROBES = (
    st.builds(
        Probe,
        st.integers(0, 2**64 - 1),
        st.integers(0, FULL_MASK),
        st.just(FULL_WINDOW) | windows(),
        st.lists(st.integers(0, 10**9 - 1), max_size=64).map(tuple),
    )
    | st.builds(
        lambda seed, chosen: Probe(seed, choices=tuple(c for c, _ in chosen), digests=tuple(d for _, d in chosen)),
        st.integers(0, 2**64 - 1),
        st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["", "0123abcd", "ffffffff"])), max_size=64).map(
            lambda chosen: [*chosen, (1, "00000000")][:64]
        ),
    ).filter(lambda probe: any(probe.digests))
    | st.builds(
        lambda seed, edges: Probe(seed, blanks=tuple(pairwise(sorted(edges)))[::2]),
        st.integers(0, 2**64 - 1),
        st.sets(st.integers(0, 10**9 - 1), min_size=2, max_size=40),
    )
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
    blank = replace(probe, blanks=((0, 4), (5, 256)))
    assert str(blank) == f"1f-m5-w3.40-c3.0.12-b0.4_5.256-s{moved}"
    assert blank.to_json() == {**probe.to_json(), "blanks": "0.4_5.256"}
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
    for text in ("1f-b4.4", "1f-b5.4", "1f-b0.4_4.9", "1f-b8.9_0.4"):
        with pytest.raises(InvalidArgument, match=r"runs low\.high of blank positions"):
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


def test_a_path_without_length_is_told_apart() -> None:
    """`moves` is False for a path whose latents are all equal, in every part, and True for single points."""
    space = gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3))
    probes = [Probe(1), Probe(1, mask=0), Probe(1, mask=0b1000)]
    assert moves(segments(3).place(space, probes)).tolist() == [True, False, True]
    assert moves(neighbours().place(space, probes)).tolist() == [True, False, True]
    assert moves(points().place(space, probes)).tolist() == [True, True, True]
    assert moves(points().place(space, probes)).dtype == moves(segments(3).place(space, probes)).dtype == bool


def test_a_recorded_probe_names_its_values_and_is_located_again() -> None:
    """Choices that the seed makes are written out; labels stand for themselves and have no digest."""
    before = gentest.Joint(label=gentest.Categorical(4), prompt=gentest.OneOf("a", "b", "c"))
    after = gentest.Joint(label=gentest.Categorical(4), prompt=gentest.OneOf("new", "c", "b", "a"))
    for probe in independent(0, 0, 20):
        latents = points().place(before, [probe])
        kept = recorded(before, probe, latents)
        text = before.parts["prompt"].values_of(latents["prompt"])[0, 0]
        assert kept.choices == (latents["label"][0, 0], latents["prompt"][0, 0])
        assert kept.digests == ("", value_digest(text))
        again = points().place(after, [located(after, Probe.parse(str(kept)))])
        assert again["label"] == latents["label"]
        assert after.parts["prompt"].values_of(again["prompt"])[0, 0] == text


def test_a_space_without_conditions_records_probes_as_they_are() -> None:
    """Replay strings of labels stay as they were."""
    space = gentest.Joint(z=gentest.Normal(2), label=gentest.Categorical(4))
    for probe in (Probe(7), Probe(7, choices=(3,))):
        assert recorded(space, probe, points().place(space, [probe])) == located(space, probe) == probe
