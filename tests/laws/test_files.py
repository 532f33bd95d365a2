"""Laws of what is written: any record comes back equal, and writing it again gives the same bytes.

Records are drawn from their own annotations, so that a field that is added tomorrow is drawn as well.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gentest
from gentest.attributes.prompts import PromptCache
from gentest.gate.baseline import Baseline, Blessing, Entry
from gentest.probes.families import along, neighbours, steps
from gentest.probes.probe import FULL_MASK, Probe
from gentest.results.comparison import Comparison, Embedded, Gate, Look, Sample
from gentest.results.counterexample import Alike, Moved
from gentest.results.document import Document, Session
from gentest.results.records import pack, pack_bytes
from gentest.results.result import Attack, Distribution, Invariant, Radius, Result, Screening, Verdict
from gentest.results.settings import PRECISIONS, Values
from gentest.spaces import at_radius
from tests.helpers.drawn import frame
from tests.helpers.law import tried_on

TEXTS = st.text(st.characters(), max_size=6) | st.sampled_from(["", "a::b[é]", "\n", "null", "</script>", "\ud800"])
"""Node ids, names and messages, with all that a file name or a parameter may bring into them."""
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**63)
LEAVES = st.none() | st.booleans() | COUNTS | NUMBERS | TEXTS
JSON = st.recursive(LEAVES, lambda x: st.lists(x, max_size=2) | st.dictionaries(TEXTS, x, max_size=2), max_leaves=4)
PLAIN = {"str": TEXTS, "int": COUNTS, "bool": st.booleans(), "float": NUMBERS, "Any": JSON}
GROUPS = st.lists(st.sampled_from(["0", "3..7", "z[0..12]"]), max_size=2).map(tuple)
WORDS = {
    "Terms.undecided": st.sampled_from(["fail", "warn"]),
    "Terms.drift": st.sampled_from(["warn", "fail", "off"]),
    "Sample.margins": st.lists(NUMBERS, max_size=3).map(pack),
    "Drift.tests": st.lists(TEXTS, min_size=1, max_size=2).map(tuple),
    "Counterexample.probe": st.builds(lambda seed: {"seed": f"{seed:x}", "choices": [3]}, COUNTS),
    "Counterexample.scores": st.dictionaries(TEXTS, st.tuples(NUMBERS, NUMBERS), max_size=2),
    "Counterexample.t": st.just((0.0, 0.5, 1.0)),
    "Counterexample.groups": GROUPS,
    "Moved.groups": GROUPS,
    "Alike.outputs": st.sampled_from([(0, 2), (2, 1, 0)]),
    "Alike.n": st.just(3),
    "Alike.nearest": st.floats(-1.0, 0.0),
    "Alike.furthest": st.floats(0.0, 1.0),
    "Alike.pairs": st.integers(1, 3),
}
"""Fields that are not any value of their type."""
DEPTH = 3
"""How deep records of one class lie in one another: the arms of a rate in a rate."""


def of(kind: str, names: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    """Values of the type that an annotation says."""
    if kind.endswith(" | None"):
        return st.none() | of(kind.removesuffix(" | None"), names, depth)
    if kind.startswith("tuple["):
        inner = kind[len("tuple[") : -len(", ...]")]
        return st.just(()) if depth == 0 else st.lists(of(inner, names, depth), max_size=2).map(tuple)
    if kind.startswith("Mapping[str, "):
        return st.dictionaries(TEXTS, of(kind[len("Mapping[str, ") : -1], names, depth), max_size=2)
    named = names.get(kind)
    if get_origin(named) is Annotated:  # a number within a range, or a text of some length
        plain, within = get_args(named)
        low, high = within.low, within.high
        ranged = {int: lambda: st.integers(int(low), int(high)), float: lambda: st.floats(low, high)}
        return ranged[plain]() if plain in ranged else PLAIN[plain.__name__]
    if isinstance(named, type) and issubclass(named, Enum):
        return st.sampled_from(named)
    if isinstance(named, type) and is_dataclass(named):
        return records(named, depth - 1)
    return PLAIN[kind]


def records(cls: type, depth: int = DEPTH) -> st.SearchStrategy[Any]:
    """Any record of a class, every field of it drawn; without what a report draws, which no file has."""
    if depth < 0:
        return st.nothing()
    names = vars(sys.modules[cls.__module__])
    drawn = {
        f.name: WORDS[said] if (said := f"{cls.__name__}.{f.name}") in WORDS else of(str(f.type), names, depth)
        for f in fields(cls)
        if f.name != "drawings"
    }
    inconsistency = getattr(cls, "inconsistency", None)  # what fields must have in common
    return st.builds(cls, **drawn).filter(lambda record: inconsistency is None or not inconsistency(record))


RESULTS = records(Result)


def through(value: Any) -> Any:
    """What JSON's own text gives back."""
    return json.loads(json.dumps(value, allow_nan=False))


def parts(record: Any) -> set[type]:
    """The classes of all records that lie in one, and its own."""
    found = {type(record)}
    for f in fields(record):
        value = getattr(record, f.name)
        inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else [value]
        found |= {cls for one in inside if is_dataclass(one) for cls in parts(one)}
    return found


def test_what_is_drawn_has_every_part() -> None:
    """Some result has arms in its rate, a radius with a rate of its own, a counterexample that was moved, a look."""
    wanted = {Invariant, Radius, Distribution, Attack, Screening, Moved, Alike, Gate, Embedded}
    seen: set[type] = set()

    def enough(result: Result) -> bool:
        seen.update(parts(result))
        return seen > wanted and result.rate is not None and len(result.rate.arms) > 0

    find(RESULTS, enough, settings=settings(tried_on(1), max_examples=300, phases=[Phase.generate]))


@tried_on(30)
@given(RESULTS)
def test_any_result_comes_back(result: Result) -> None:
    """Whatever a result has, it is read back equal from its JSON, and writes the same text again."""
    text = json.dumps(result.to_json(), allow_nan=False)
    again = Result.from_json(json.loads(text))
    assert again == result
    assert again.traceback == result.traceback
    assert json.dumps(again.to_json(), allow_nan=False) == text


@tried_on(15)
@given(records(Session), st.lists(RESULTS, max_size=2), st.none() | records(Comparison), TEXTS)
def test_any_document_comes_back(
    session: Session, results: list[Result], gate: Comparison | None, version: str
) -> None:
    """So does a whole run, with what its comparison came to."""
    document = Document(session, tuple(results), gate, gentest=version)
    text = json.dumps(document.to_json(), allow_nan=False)
    again = Document.from_json(json.loads(text))
    assert again == document
    assert json.dumps(again.to_json(), allow_nan=False) == text


# baselines

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
PICTURE = frame()


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """What some outputs were like: levels and embeddings of one number of them."""
    n, dim = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    level = st.lists(FLOATS, min_size=n, max_size=n).map(pack)
    rows = st.binary(min_size=n * dim, max_size=n * dim).map(pack_bytes)
    scales = st.floats(2.0**-40, 2.0**40)
    embedded = st.builds(Embedded, rows, st.just(dim), scales, TEXTS)
    return Look(
        draw(st.dictionaries(TEXTS, level, max_size=2)),
        draw(st.dictionaries(TEXTS, embedded, max_size=2)),
        (PICTURE,) * draw(st.integers(0, 2)),
    )


@st.composite
def baselines(draw: st.DrawFn) -> Baseline:
    """A blessed checkpoint: some generators, each looked at once, of which each property has seen a part."""
    seen = [draw(st.none() | looks()) for _ in range(2)]
    entries = {}
    for key in draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True)):
        which = draw(st.integers(0, 1))
        look = seen[which]
        if look is not None:
            levels = {name: packed for name, packed in look.levels.items() if draw(st.booleans())}
            embeddings = {name: e for name, e in look.embeddings.items() if draw(st.booleans())}
            look = replace(look, levels=levels, embeddings=embeddings)
        sample = Sample(
            seed=3,
            generator="gan",
            space=f"Normal({which})",
            margins=pack(draw(st.lists(FLOATS, max_size=3))),
            measures=draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
            spreads=draw(st.dictionaries(TEXTS, st.floats(1e-300, 1e300), max_size=2)),
            look=look,
        )
        entries[key] = Entry(draw(st.sampled_from(Verdict)), sample)
    return Baseline(tuple(draw(st.lists(records(Blessing), min_size=1, max_size=2))), entries, "blessed.json")


@tried_on(20)
@given(baselines())
def test_any_baseline_comes_back(blessed: Baseline) -> None:
    """A file of any baseline is read back equal, and saving that writes the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path, again = (Path(folder) / name for name in ("blessed.json", "again.json"))
        blessed.save(path)
        loaded = Baseline.load(path)
        assert loaded == blessed
        loaded.save(again)
        assert again.read_bytes() == path.read_bytes()


# prompts

VECTORS = hnp.arrays(np.float32, 3, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)).filter(np.any)
PROMPTS = st.dictionaries(TEXTS, VECTORS, max_size=3)


@tried_on(20)
@given(PROMPTS, PROMPTS, st.floats(1e-3, 1e3))
def test_any_prompt_comes_back_from_its_file(first: dict[str, Any], second: dict[str, Any], scale: float) -> None:
    """Two workers save what each has put: whatever it is, all of it is read back, in the same bytes in either order."""

    def saved(path: Path, *workers: dict[str, Any]) -> bytes:
        for prompts in workers:
            cache = PromptCache(path, update=True)
            for prompt, vector in prompts.items():
                cache.put("0a1b", prompt, vector, name="clip", logit_scale=scale)
            cache.save()
        return path.read_bytes()

    second = {prompt: vector for prompt, vector in second.items() if prompt not in first}
    with tempfile.TemporaryDirectory() as folder:
        path, other = (Path(folder) / name for name in ("prompts.json", "other.json"))
        text = saved(path, first, second)
        assert saved(other, second, first) == text
        loaded = PromptCache.load(path)
        assert loaded.logit_scale("0a1b") == (scale if first or second else None)
        for prompt, vector in {**first, **second}.items():
            found = loaded.get("0a1b", prompt)
            assert found is not None
            unit = vector.astype(np.float64)
            np.testing.assert_allclose(found, unit / np.linalg.norm(unit), rtol=1e-6, atol=1e-30)
        loaded.save()
        assert path.read_bytes() == text


# values that are known by their text

SHIFTS = st.just(b"") | st.binary(min_size=1, max_size=40).filter(any)
WINDOWS = st.tuples(st.just(0) | st.integers(0, 63), st.just(64) | st.integers(1, 64)).map(
    lambda window: (min(window[0], window[1] - 1), window[1])
)
PROBES = st.builds(
    Probe,
    st.integers(0, 2**64 - 1),
    st.just(FULL_MASK) | st.integers(0, FULL_MASK),
    WINDOWS,
    st.lists(st.integers(0, 10**9 - 1), max_size=4).map(tuple),
    SHIFTS,
)


@tried_on(100)
@given(PROBES, PROBES, st.sampled_from([f.name for f in fields(Probe)]))
def test_a_probe_has_one_text(probe: Probe, another: Probe, name: str) -> None:
    """Probes that differ in anything differ in text and JSON; what either says is read back, and written the same."""
    other = replace(probe, **{name: getattr(another, name)})
    texts, values = ([str(p) for p in (probe, other)], [through(p.to_json()) for p in (probe, other)])
    assert (texts[0] == texts[1]) is (values[0] == values[1]) is (probe == other)
    for one, text, value in zip((probe, other), texts, values, strict=True):
        assert Probe.parse(text) == Probe.from_json(value) == one
        assert str(Probe.parse(text)) == text
        assert Probe.from_json(value).to_json() == value


DIRECTION = gentest.Direction([1.0, 0.0])
OF_A_NUMBER: list[Callable[[float], Any]] = [
    lambda x: gentest.Sphere(2, radius=x),
    lambda x: gentest.Uniform(2, low=-1, high=x),
    lambda x: gentest.Uniform(2, low=-x, high=2),
    lambda x: gentest.TruncatedNormal(2, bound=x),
    lambda x: gentest.Categorical(2, probabilities=[x / 2, 1 - x / 2]),
    lambda x: gentest.Normal(2).truncated(x),
    lambda x: at_radius(gentest.Normal(2), x),
    lambda x: gentest.Joint(a=gentest.Normal(1), b=gentest.Sphere(2, radius=x)),
    neighbours,
    lambda x: steps(x / 64),
    lambda x: along(DIRECTION, reach=x),
    gentest.sd,
]
SHARES = st.floats(1e-3, 1.0, exclude_max=True)


@tried_on(150)
@given(st.sampled_from(OF_A_NUMBER), st.sampled_from(OF_A_NUMBER), SHARES, st.integers(0, 2) | SHARES)
def test_two_values_with_one_text_are_one(
    make: Callable[[float], Any], another: Callable[[float], Any], x: float, off: float
) -> None:
    """A baseline and a cache know spaces, families and tolerances by their text: it says all that tells them apart."""
    y = x if off == 0 else float(np.nextafter(x, off))
    for one, other in ((make(x), make(y)), (make(x), another(x))):
        assert (repr(one) == repr(other)) is (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (neighbours(0.1234567), neighbours(0.1234568)),
        (steps(0.00123456789), steps(0.00123456788)),
        (along(DIRECTION, reach=1.0000001), along(DIRECTION, reach=1.0)),
        (gentest.sd(1.0000001), gentest.sd(1)),
    ],
    ids=repr,
)
def test_numbers_that_differ_in_the_seventh_figure_are_told_apart(one: object, other: object) -> None:
    """What a family or a tolerance is of is written in full: rows of one are never taken for another's."""
    assert one != other
    assert repr(one) != repr(other)


GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "examples": st.integers(1, 10**6),
        "budget": st.integers(1, 10**7),
        "seed": st.integers(0, 2**63 - 1),
        "device": TEXTS.filter(bool),
        "batch_size": st.integers(1, 4096),
        "clip": TEXTS.filter(bool),
        "reduce": st.integers(0, 1000),
        "attack": st.integers(0, 100_000),
        "replay_failures": st.booleans(),
        "precision": st.sampled_from(PRECISIONS),
        "memory": st.integers(0, 10**6),
        "cache": TEXTS.filter(bool),
        "ray": TEXTS.filter(bool),
    },
)


@tried_on(50)
@given(GIVEN)
def test_settings_are_written_as_they_are_read(given_values: dict[str, Any]) -> None:
    """The text of settings is Python that makes them again: the same keywords, and the same full set of values."""
    asked = gentest.settings(**given_values)
    again = eval(repr(asked), {"settings": gentest.settings})
    assert again.given == asked.given == given_values
    assert again.over(Values()) == asked.over(Values())
    assert repr(again) == repr(asked)
