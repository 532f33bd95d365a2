"""Records as JSON, and numbers as one word: what was packed comes back, and nothing else is taken for it."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.errors import InvalidArgument
from gentest.results.comparison import Embedded, Standing
from gentest.results.records import LARGEST, SMALLEST, pack, pack_bytes, read_record, unpack, unpack_bytes

NUMBERS = st.floats(allow_nan=False)


@given(st.lists(NUMBERS))
def test_packing_changes_no_sign_and_makes_nothing_infinite(values: list[float]) -> None:
    """However small or large, a violation stays one, and every number that comes back is finite."""
    back = unpack(pack(values), "margins")
    assert [v < 0 for v in back] == [v < 0 for v in values]
    assert all(math.isfinite(v) for v in back)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_float32_comes_back_as_it_was(values: list[float]) -> None:
    """Numbers that float32 holds are not changed at all."""
    assert list(unpack(pack(values), "margins")) == values


@given(st.lists(st.floats(-LARGEST, LARGEST)))
def test_packing_again_changes_nothing(values: list[float]) -> None:
    """What was unpacked packs to the same word."""
    word = pack(values)
    assert pack(unpack(word, "margins")) == word


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e300, LARGEST), (-1e300, -LARGEST), (math.inf, LARGEST), (-math.inf, -LARGEST), (-1e-300, -SMALLEST), (0, 0.0)],
)
def test_the_ends_of_float32(value: float, expected: float) -> None:
    """What float32 cannot hold becomes the nearest number of the same sign that it can."""
    assert unpack(pack([value]), "margins") == (expected,)


def test_a_number_that_is_none_is_not_packed() -> None:
    """NaN is neither a pass nor a failure, so it is refused rather than packed as either."""
    with pytest.raises(InvalidArgument, match="NaN"):
        pack([0.5, math.nan])


def test_a_word_is_little_endian_float32() -> None:
    """The format is fixed: base64 of little-endian float32, on any machine."""
    assert pack([1.0, -2.0]) == base64.b64encode(struct.pack("<ff", 1.0, -2.0)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "!!!!",
        "AAAA",  # three bytes
        "AAAAA",
        "AACA\nPw==",
        "AACAPw==AACAPw==",
        "é",
        " AACAPw==",
        base64.b64encode(struct.pack("<f", math.nan)).decode(),
        base64.b64encode(struct.pack("<ff", 1.0, math.inf)).decode(),
    ],
)
def test_what_pack_did_not_write_is_refused(text: str) -> None:
    """Anything but whole, finite float32 in base64 is refused in one line that says what it was for."""
    with pytest.raises(InvalidArgument, match=r"^the margins are not [^\n]*$"):
        unpack(text, "the margins")


@given(st.binary())
def test_bytes_come_back(values: bytes) -> None:
    """Small whole numbers survive as they are."""
    assert unpack_bytes(pack_bytes(values), "rows") == values


@pytest.mark.parametrize("text", ["!", "AAA", "AA A", "é"])
def test_bytes_that_are_not_base64_are_refused(text: str) -> None:
    """What is not base64 is refused in one line that says what it was for."""
    with pytest.raises(InvalidArgument, match=r"^rows are not base64[^\n]*$"):
        unpack_bytes(text, "rows")


@dataclass(frozen=True)
class Inner:
    """A record within a record."""

    number: float


@dataclass(frozen=True)
class Outer:
    """A record with a field of every kind."""

    text: str
    count: int
    on: bool
    standing: Standing
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    named: Mapping[str, float] = field(default_factory=dict)


WHOLE = Outer(
    "a", 1, on=True, standing=Standing.HELD, inner=Inner(0.5), several=(Inner(1.0), Inner(2.0)), named={"x": 3.0}
)


def test_a_record_comes_back() -> None:
    """Every kind of field is read as it was written; fields with a default may be missing."""
    assert read_record(Outer, asdict(WHOLE)) == WHOLE
    short = {"text": "a", "count": 1, "on": True, "standing": "held"}
    assert read_record(Outer, short) == Outer("a", 1, on=True, standing=Standing.HELD)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": 1}, "Expected str but got Outer.text=1"),
        ({"text": None}, "Expected str but got Outer.text=None"),
        ({"count": 1.0}, "Expected int but got Outer.count=1.0"),
        ({"count": True}, "Expected int but got Outer.count=True"),
        ({"on": 1}, "Expected bool but got Outer.on=1"),
        ({"standing": "lost"}, "Expected one of held, regressed, undecided but got standing='lost'"),
        ({"standing": ["held"]}, "Expected one of held"),
        ({"inner": 0.5}, "Expected a JSON object for a Inner"),
        ({"inner": {"number": "x"}}, "Expected a finite number but got Inner.number='x'"),
        ({"inner": {"number": True}}, "Expected a finite number but got Inner.number=True"),
        ({"inner": {"number": math.nan}}, "Expected a finite number but got Inner.number=nan"),
        ({"inner": {"number": 10**400}}, "Expected a finite number but got Inner.number="),
        ({"inner": {}}, "a Inner needs 'number'"),
        ({"several": {}}, "Expected tuple"),
        ({"several": [1]}, "Expected a JSON object for a Inner"),
        ({"named": []}, "Expected Mapping"),
        ({"named": {"x": None}}, "Expected a finite number but got Outer.named=None"),
        ({"named": {1: 1.0}}, "Expected Mapping"),
        ({"more": 1, "others": 2}, "a Outer has no field 'more', 'others'"),
    ],
)
def test_anything_else_is_refused_by_name(changed: dict[str, object], said: str) -> None:
    """A field of another type, unknown or missing, is named in one line."""
    with pytest.raises(InvalidArgument) as caught:
        read_record(Outer, {**asdict(WHOLE), **changed})
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 1, "x", [], [["text", "a"]]])
def test_a_record_is_a_json_object(value: object) -> None:
    """Nothing but an object is read as a record."""
    with pytest.raises(InvalidArgument, match="Expected a JSON object for a Embedded"):
        read_record(Embedded, value)
