"""Results: a record survives JSON, and anything else is refused with one clear line."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.errors import InvalidArgument
from gentest.results.comparison import Embedded, Gate, Look, Sample, Standing
from gentest.results.document import SCHEMA, Document, Session
from gentest.results.outcome import RATE_VERDICTS
from gentest.results.records import pack
from gentest.results.result import (
    Attack,
    Cost,
    Counterexample,
    Distribution,
    Margins,
    Provenance,
    Radius,
    Rate,
    Result,
    Search,
    Verdict,
)
from tests.helpers import handmade

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)

COUNTS = st.integers(0, 2**53)

SHARES = st.floats(0.0, 1.0 - 2.0**-52)

EVIDENCE = st.floats(-700.0, 1e300)

PACKED = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=4).map(pack)

COUNTEREXAMPLES = st.builds(
    Counterexample,
    probe=st.fixed_dictionaries(
        {"seed": st.just("1f"), "mask": st.just("5"), "window": st.just([0, 64]), "choices": st.lists(COUNTS)}
    ),
    margin=NUMBERS,
    scores=st.dictionaries(st.text(), st.lists(NUMBERS, min_size=1, max_size=4).map(tuple), max_size=3),
    t=st.lists(NUMBERS, min_size=4, max_size=4).map(tuple),
    groups=st.lists(st.sampled_from(["0", "0..7", "z[3]", "a[b][8..15]"]), max_size=4).map(tuple),
    n_groups=COUNTS,
    n_coordinates=COUNTS,
    typicality=st.none() | SHARES,
    replay=st.text(),
)

SEARCHES = st.builds(
    Search,
    COUNTS,
    COUNTS,
    st.none() | st.builds(Margins, NUMBERS, NUMBERS),
    st.none() | COUNTEREXAMPLES,
    st.none() | COUNTEREXAMPLES,
    st.booleans(),
)

RATES = st.builds(
    Rate,
    st.sampled_from(RATE_VERDICTS),
    *[SHARES] * 3,
    *[COUNTS] * 3,
    *[SHARES] * 2,
    *[NUMBERS] * 2,
    *[EVIDENCE] * 2,
    SHARES,
)

RESULTS = st.builds(
    Result,
    test=st.text(),
    property=st.text(),
    verdict=st.sampled_from(Verdict),
    message=st.text(),
    search=SEARCHES,
    rate=st.none() | RATES,
    gate=st.none()
    | st.builds(
        Gate, st.sampled_from(Standing), st.text(), st.none() | st.sampled_from(Verdict), *[COUNTS] * 6, *[EVIDENCE] * 3
    ),
    sample=st.none()
    | st.builds(
        Sample,
        COUNTS,
        st.text(),
        st.text(),
        PACKED,
        st.dictionaries(st.text(), st.text(), max_size=2),
        st.dictionaries(st.text(), st.floats(5e-324, allow_infinity=False), max_size=2),
        st.none()
        | st.builds(
            Look,
            st.dictionaries(st.text(), PACKED, max_size=2),
            st.dictionaries(
                st.text(), st.builds(Embedded, st.text(), COUNTS, st.floats(1e-90, 1e90), st.text()), max_size=2
            ),
        ),
    ),
    provenance=st.builds(Provenance, generator=st.text(), checkpoint=st.text()),
    cost=st.builds(Cost, COUNTS, COUNTS, st.floats(0.0, 1e12)),
    traceback=st.text(),
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["violated", "error"])
)

JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from([f.name for f in fields(Result)]), inner, max_size=4)
    ),
    max_leaves=8,
)

ANYTHING = JSON | st.binary() | st.sets(st.integers()) | st.dictionaries(st.integers() | st.text(), st.none())

WHOLE: dict[str, Any] = Result(
    test="t",
    property="p",
    verdict=Verdict.VIOLATED,
    search=Search(
        margin=Margins(-1.0, 2.0),
        counterexample=Counterexample(
            {"seed": "1f"}, -1.0, {"a": (0.0, 1.0)}, (0.0, 1.0), ("0", "1..2"), 8, 16, 0.5, "p:1f"
        ),
        worst=Counterexample({"seed": "2f"}, -2.0, {}, (), (), 0, 0, None, "p:2f"),
    ),
    rate=Rate(Verdict.VIOLATED, 0.95, 0.02, 0.99, 80, 96, 4096, 0.7, 0.9, -3.0, 5.0, 4.6, 4.7, 0.99),
    gate=Gate(Standing.REGRESSED, "", "holds", 90, 80, 0, 10, 96, 2048, 6.0, 0.0, 5.0),
    sample=Sample(
        0, "ab", "Normal(3)", pack([0.5]), {"a": ""}, {"a": 1.0}, Look({"a": "AAAA"}, {"f": Embedded("AA", 1, 1.0)})
    ),
).to_json()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the value itself first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a JSON value with another value at one place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


@given(RESULTS)
def test_a_result_survives_json(result: Result) -> None:
    """`from_json` undoes `to_json` through text, field by field, the traceback too."""
    again = Result.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False)))
    assert again == result
    assert again.traceback == result.traceback
    assert again.to_json() == result.to_json()


@given(RESULTS)
def test_a_result_survives_a_dictionary(result: Result) -> None:
    """`to_json` can be read back as it is, without passing through text."""
    assert Result.from_json(result.to_json()) == result


@given(ANYTHING)
def test_anything_else_is_refused(value: Any) -> None:
    """What is no result raises `InvalidArgument` alone."""
    with pytest.raises(InvalidArgument):
        Result.from_json(value)


@given(st.sampled_from(places(WHOLE)), ANYTHING)
def test_a_result_with_one_wrong_value_is_read_or_refused(place: tuple[Any, ...], wrong: Any) -> None:
    """With any value at any place, what comes is a result that survives JSON, or `InvalidArgument` alone."""
    try:
        result = Result.from_json(changed(WHOLE, place, wrong))
    except InvalidArgument:
        return
    if "probe" not in place:
        assert Result.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == result


@given(st.sampled_from([place for place in places(WHOLE) if place]), st.text(max_size=3))
def test_a_result_with_a_field_renamed_or_gone_is_refused_or_read(place: tuple[Any, ...], name: str) -> None:
    """Dropping or renaming a field gives a result whose other fields are as written, or `InvalidArgument` alone."""
    holder = WHOLE
    for key in place[:-1]:
        holder = holder[key]
    if not isinstance(holder, dict):
        return
    without = {key: item for key, item in holder.items() if key != place[-1]}
    for attempt in (without, without | {name: holder[place[-1]]}):
        try:
            result = Result.from_json(changed(WHOLE, place[:-1], attempt))
        except InvalidArgument:
            continue
        assert result.test == "t"


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        ((), None, "a JSON object for a Result but got value=None"),
        ((), [1], "a JSON object for a Result"),
        (("verdict",), "maybe", "one of violated, no_counterexample, holds, undecided, error but got verdict='maybe'"),
        (("verdict",), None, "got verdict=None"),
        (("verdict",), ["violated"], "got verdict="),
        (("test",), 3, "Expected str but got Result.test=3"),
        (("search", "examples"), "3", "Expected int but got Search.examples='3'"),
        (("search", "examples"), True, "Expected int but got Search.examples=True"),
        (("search", "examples"), 3.0, "Expected int"),
        (("search", "replayed"), 1, "Expected bool"),
        (("cost", "seconds"), "fast", "Expected a finite number but got Cost.seconds='fast'"),
        (("cost", "seconds"), float("nan"), "Expected a finite number"),
        (("cost", "seconds"), 10**400, "Expected a finite number"),
        (("search", "margin"), 0.5, "a JSON object for a Margins"),
        (("search", "margin"), {}, "a Margins needs 'median', 'min'"),
        (("search", "margin", "min"), float("-inf"), "Expected a finite number but got Margins.min=-inf"),
        (("search", "counterexample"), [], "a JSON object for a Counterexample"),
        (("search", "counterexample", "scores"), None, r"Counterexample.scores=None"),
        (("search", "counterexample", "scores"), [1.0], r"Counterexample.scores=\[1.0\]"),
        (("search", "counterexample", "scores"), {"a": 1.0}, "Counterexample.scores=1.0"),
        (("search", "counterexample", "scores"), {"a": "01"}, "Counterexample.scores='01'"),
        (
            ("search", "counterexample", "scores"),
            {"a": ["0", "1"]},
            "a finite number but got Counterexample.scores='0'",
        ),
        (("search", "counterexample", "scores"), {1: [0.0]}, "Counterexample.scores="),
        (("search", "counterexample", "t"), 3, "Counterexample.t=3"),
        (("search", "counterexample", "t"), [None], "a finite number but got Counterexample.t=None"),
        (("search", "counterexample", "groups"), "012", "Counterexample.groups='012'"),
        (("search", "counterexample", "groups"), [0], "Expected str but got Counterexample.groups=0"),
        (("search", "counterexample", "probe"), "1f", "Counterexample.probe='1f'"),
        (("search", "counterexample", "probe"), {1: 2}, "Counterexample.probe="),
        (("search", "worst", "typicality"), "0.5", "a finite number but got Counterexample.typicality='0.5'"),
    ],
    ids=lambda v: v if isinstance(v, str) and len(v) > 5 else "",
)
def test_a_wrong_value_is_named(place: tuple[Any, ...], wrong: Any, message: str) -> None:
    """The error names the record, the field, the value, and what was expected, on one line."""
    with pytest.raises(InvalidArgument, match=message) as caught:
        Result.from_json(changed(WHOLE, place, wrong))
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_fields_are_named() -> None:
    """A field of a later version, and one that is missing, are told by name."""
    with pytest.raises(InvalidArgument, match=r"a Result has no field 'speed'$"):
        Result.from_json(WHOLE | {"speed": 0.95})
    with pytest.raises(InvalidArgument, match=r"a Result needs 'property', 'verdict'$"):
        Result.from_json({"test": "t"})
    with pytest.raises(InvalidArgument, match=r"a Counterexample has no field 'x', 3"):
        Result.from_json(WHOLE | {"search": {"worst": {"x": 1, 3: 1}}})


@pytest.mark.parametrize("verdict", Verdict)
def test_only_what_was_not_refuted_passes(verdict: Verdict) -> None:
    """A result passes where no counterexample was found or a rate holds, and not for an error or undecided."""
    assert Result("t", "p", verdict).passed == (verdict in {Verdict.NO_COUNTEREXAMPLE, Verdict.HOLDS})
    assert Result("t", "p", verdict).undecided == (verdict is Verdict.UNDECIDED)


def test_results_are_equal_whatever_their_tracebacks() -> None:
    """Tracebacks name files and lines, so they tell no two results apart."""
    assert Result("t", "p", Verdict.ERROR, traceback="a") == Result("t", "p", Verdict.ERROR, traceback="b")


def test_a_document_holds_the_whole_run() -> None:
    """The document says its schema, the version, the session, and every result as it reads back."""
    result = Result.from_json(WHOLE)
    session = Session("a.pt", "0123", None, "cpu", 0, {"torch": "2"})
    value = json.loads(json.dumps(Document(session, (result,), gentest="1.2").to_json(), allow_nan=False))
    assert (value["schema"], value["gentest"]) == (SCHEMA, "1.2")
    assert value["session"]["versions"] == {"torch": "2"}
    assert [Result.from_json(r) for r in value["results"]] == [result]
    assert Document.from_json(value) == Document(session, (result,), gentest="1.2")
    with pytest.raises(InvalidArgument, match=r"not results of schema 3 or 2 \(schema: 1\)"):
        Document.from_json(value | {"schema": 1})


def test_the_guide_lists_every_figure() -> None:
    """The table of the guide has each name that `Result.figures` gives, and no other."""
    rate = Rate(Verdict.HOLDS, 0.95, 0.02, 0.99, 9, 9, 99, 0.5, 1.0, 1.0, -1.0, 1.0, 1.0, 0.99, certified=0.93)
    whole: dict[str, Any] = {
        "rate": replace(rate, distinct=3, inputs=3, drawn=12),
        "radius": Radius(1.0, 0.5, 8, None),
        "attack": Attack("gradient", 16, 160, 200, 0.1, found=False),
        "gate": Gate(Standing.HELD, probes=32),
        "search": Search(9, margin=Margins(0.1, 0.2)),
    }
    compared = Distribution("faces", 0.1, 0.5, 0.2, 0.01, 256, 400)
    named = {
        *Result("t", "p", Verdict.HOLDS, **whole).figures(),
        *Result("t", "p", Verdict.HOLDS, distribution=compared).figures(),
        *Result("t", "p", Verdict.HOLDS, level=handmade.level()).figures(),
        *Result("t", "p", Verdict.HOLDS, search=Search(9, applied=4)).figures(),
        *Result("t", "p", Verdict.HOLDS, estimate=handmade.estimate()).figures(),
    }
    guide = (Path(__file__).parents[2] / "examples/guides/results.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?`) \|", guide.partition("## Figures")[2].partition("\n## ")[0], re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(named)


def test_a_figure_that_is_missing_is_left_out() -> None:
    """A result without a search has no margin, and an attack that was not made no figures."""
    none = Attack("", 0, 0, 200, 0.0, found=False, message="no gradient")
    for attack in (None, none):
        figures = Result("t", "p", Verdict.ERROR, "broken", attack=attack).figures()
        assert set(figures) == {"passed", "probes", "decided_alone", "images", "calls", "seconds"}
