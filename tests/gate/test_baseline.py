"""The file of a blessed checkpoint: it comes back as it was, reviews well, and no other file is taken for one."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.errors import InvalidArgument
from gentest.gate.baseline import Baseline, Blessing, keyed, keys
from gentest.results.comparison import Embedded, Look
from gentest.results.records import pack, pack_bytes, unpack
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from tests.helpers import handmade, zoo
from tests.helpers.handmade import baseline, look, outcomes, result, signed

N = 64
PROPERTIES = (
    gentest.between(gentest.brightness(), tolerance=gentest.sd(0.1)),
    gentest.responsive(at_least=0.001).at_rate(0.5),
    gentest.well_formed(),
)


def checked(generator: gentest.Generator, seed: int = 0) -> list[Result]:
    """Three properties of a generator, with the outcomes of 64 probes."""
    values = Values(device="cpu", examples=8, seed=seed)
    return [
        check(Question(p.definition, "test_zoo.py::test_it", p.name, n_sampled=N), generator, Context(values), values)
        for p in PROPERTIES
    ]


@pytest.fixture(scope="module")
def blessed() -> Baseline:
    """A baseline of the generator `fold` of the zoo."""
    return baseline(*checked(zoo.generator(zoo.fold)))


@pytest.fixture
def path(blessed: Baseline, tmp_path: Path) -> Path:
    """The file of `blessed`."""
    return handmade.written(tmp_path / "blessed.json", blessed)


@pytest.fixture
def body(path: Path) -> dict[str, Any]:
    """What the file of `blessed` holds."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def refusal(path: Path) -> str:
    """Why a file is no baseline: one line that names the file."""
    with pytest.raises(InvalidArgument) as caught:
        Baseline.load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


def test_a_baseline_comes_back(blessed: Baseline, path: Path) -> None:
    """What was saved is loaded: outcomes, margins, looks, measures and spreads of every property."""
    loaded = Baseline.load(path)
    assert loaded == replace(blessed, name="blessed.json")
    assert {key: len(unpack(e.sample.margins, "margins")) for key, e in loaded.entries.items()} == dict.fromkeys(
        sorted(f"test_zoo.py::test_it {p}" for p in PROPERTIES), N
    )
    first = loaded.entries[f"test_zoo.py::test_it {PROPERTIES[0]}"].sample
    assert set(first.spreads) == {"brightness()"}
    assert first.look is not None
    assert set(first.look.levels) == {"brightness()"}
    assert len(unpack(first.look.levels["brightness()"], "levels")) == 512


def test_saving_what_was_loaded_writes_the_same_bytes(path: Path) -> None:
    """A baseline that is loaded and saved again does not change: nothing shows in a diff."""
    before = path.read_bytes()
    Baseline.load(path).save(path)
    assert path.read_bytes() == before


def test_margins_are_those_of_the_probes(blessed: Baseline) -> None:
    """A property without a rate keeps the margins of the same independent probes as one at a rate."""
    at_rate = blessed.entries[f"test_zoo.py::test_it {PROPERTIES[1]}"].sample.margins
    values = Values(device="cpu", examples=3)
    question = Question(gentest.responsive(at_least=0.001).definition, n_sampled=N)
    plain = check(question, zoo.generator(zoo.fold), Context(values), values)
    assert plain.sample is not None
    assert plain.sample.margins == at_rate


def test_blessings_go_back_in_time() -> None:
    """The newest blessing is first, and none is forgotten."""
    first = baseline(result(outcomes(N)), blessing=Blessing("ann", "2026-01-01", 0, "a.pt"))
    second = baseline(result(outcomes(N)), blessing=Blessing("bob", "2026-02-01", 1, "b.pt", "better"), before=first)
    third = baseline(result(outcomes(N)), blessing=Blessing("cy", "2026-03-01", 2), before=second)
    assert [b.by for b in third.blessings] == ["cy", "bob", "ann"]
    assert third.blessed == "blessed by cy on 2026-03-01, seed 2"
    assert second.blessed == "b.pt blessed by bob on 2026-02-01, seed 1: better"


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([], "nothing was checked, so there is nothing to bless"),
        ([result(None)], "test_a.py::test_a between(*) was not decided, so nothing is blessed: no outcomes"),
        ([replace(result(outcomes(N), verdict=Verdict.ERROR), message="it broke")], "* nothing is blessed: it broke"),
        ([result(outcomes(N)), result(None, test="test_b.py::test_b")], "test_b.py::test_b * no outcomes"),
    ],
)
def test_nothing_is_blessed_that_was_not_decided(results: list[Result], said: str) -> None:
    """One property without outcomes is enough to bless nothing."""
    with pytest.raises(InvalidArgument) as caught:
        baseline(*results)
    start, _, end = said.partition("*")
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(end.rpartition("*")[2])


def test_keys_are_test_and_property() -> None:
    """The same property twice on one test has a number; on two tests it has none."""
    assert keys("t", ["p", "q", "p", "p"]) == ["t p", "t q", "t p (2)", "t p (3)"]
    found = keyed([result(outcomes(N)), result(outcomes(N), test="b"), result(outcomes(N, lost=1))])
    assert list(found) == [
        "test_a.py::test_a between(brightness(), tolerance=0.1)",
        "test_a.py::test_a between(brightness(), tolerance=0.1) (2)",
        "b between(brightness(), tolerance=0.1)",
    ]


# what is no baseline


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is named, with how to make one."""
    assert refusal(tmp_path / "none.json").endswith("No such file or directory; make one with --gentest-save-baseline")


def test_a_folder_is_no_baseline(tmp_path: Path) -> None:
    """A folder is refused as one."""
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_half_a_file_is_no_baseline(share: float, path: Path) -> None:
    """A file that ends too soon, wherever, is refused as not whole."""
    text = path.read_text()
    path.write_text(text[: round(share * (len(text) - 3))])
    assert "not a whole JSON file" in refusal(path)
    assert "--gentest-save-baseline" in refusal(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weights\n", "not a whole JSON file"),
        (b"\x80\x02}q\x00", "not a whole JSON file"),
        ("\ufeff{}", "not a whole JSON file"),
        ("[" * 100_000, "not a whole JSON file"),
        ('{"schema": ' + "[" * 30 + "]" * 30 + "}", "not a baseline of schema 1"),
        ('{"schema": 1, "x": ' + "[" * 30 + "]" * 30 + "}", "edited"),
        ('{"schema": 1, "x": ' + "[" * 40 + "]" * 40 + "}", "more than 32 levels deep"),
        ('{"schema": 1, "x": ' + "1" * 41 + "}", "a number of 41 digits"),
        ('{"schema": 1, "x": 1e999}', "1e999 is too large a number"),
        ('{"schema": 1, "x": 1, "x": 1}', "a name appears twice in one object"),
        ('{"schema": ' + "9" * 5000 + "}", "not a whole JSON file"),
        ("null", "not a baseline of schema 1 (schema: None)"),
        ("[]", "not a baseline of schema 1 (schema: None)"),
        ("{}", "not a baseline of schema 1 (schema: None)"),
        ('{"schema": 2}', "not a baseline of schema 1 (schema: 2)"),
        ('{"schema": "1"}', "not a baseline of schema 1 (schema: '1')"),
        ('{"schema": [1]}', "not a baseline of schema 1 (schema: [1])"),
        ('{"schema": 1}', "was edited since gentest wrote it"),
        ('{"schema": 1, "digest": NaN}', "NaN is not a JSON number"),
        ('{"schema": 1, "digest": ["\\ud800"]}', "was edited since gentest wrote it"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_other_files_are_no_baselines(text: str | bytes, said: str, tmp_path: Path) -> None:
    """What is not JSON, or of another schema, is refused in one line that says which."""
    path = tmp_path / "other.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert said in refusal(path)


@pytest.mark.parametrize("where", ["schema", "x"])
def test_however_deep_a_file_is_it_is_refused(where: str, tmp_path: Path) -> None:
    """A file nested as deep as JSON can be read, or deeper, is refused in one line as any other."""
    path = tmp_path / "deep.json"
    for depth in (*range(24, 48), *range(100, 3000, 100)):
        path.write_text(f'{{"schema": 1, "{where}": {"[" * depth}{"]" * depth}}}')
        refusal(path)


def test_results_are_no_baseline(tmp_path: Path) -> None:
    """The file of a run's results is told from a baseline by its schema."""
    path = handmade.written(tmp_path / "results.json", [result(outcomes(N))])
    assert "not a baseline of schema 1 (schema: 3)" in refusal(path)


def test_a_file_that_is_too_large_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond the limit is refused by its size alone."""
    monkeypatch.setattr("gentest.gate.baseline.MAX_BYTES", 2**10)
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was read"))
    assert "larger than" in refusal(path)


def leaves(value: Any, route: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every figure and word in a JSON value."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*route, key))]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, (*route, i))]
    return [route]


def put(value: Any, route: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """The JSON value with what stands at the end of a route changed."""
    copy = json.loads(json.dumps(value))
    inside = copy
    for key in route[:-1]:
        inside = inside[key]
    inside[route[-1]] = change(inside[route[-1]])
    return copy


def another(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, str):
        return ("B" if value.startswith("A") else "A") + value[1:]
    return value + 1


def test_any_figure_that_is_edited_is_noticed(body: dict[str, Any], path: Path) -> None:
    """Each figure and word of the summary and of the blocks, changed by hand, has the file refused."""
    routes = leaves(body)
    assert len(routes) > 40
    for route in routes:
        path.write_text(json.dumps(put(body, route, another), indent=1))
        said = refusal(path)
        assert ("not a baseline of schema 1" if route == ("schema",) else "was edited since gentest wrote it") in said


def test_a_part_that_is_taken_out_or_added_is_noticed(body: dict[str, Any], path: Path) -> None:
    """A property, block or blessing that is removed or added by hand has the file refused."""
    for key in body.keys() - {"schema"}:
        path.write_text(json.dumps({k: v for k, v in body.items() if k != key}))
        assert "was edited" in refusal(path)
    path.write_text(json.dumps({**body, "more": 1}))
    assert "was edited" in refusal(path)


def test_layout_alone_is_no_edit(body: dict[str, Any], blessed: Baseline, path: Path) -> None:
    """A formatter that sorts or indents the JSON otherwise changes nothing that is read."""
    path.write_text(json.dumps(body, indent=4, sort_keys=True))
    assert Baseline.load(path).entries == blessed.entries


def same(text: bytes, body: dict[str, Any]) -> bool:
    """Whether a text is JSON of this value."""
    with suppress(ValueError):
        return bool(json.loads(text) == body)
    return False


def test_flipped_bytes_are_refused_or_change_nothing(body: dict[str, Any], path: Path, blessed: Baseline) -> None:
    """Bytes that change on a disk are noticed, unless the JSON that they make has the same value."""
    rng = random.Random(20261124)
    raw, n_refused = path.read_bytes(), 0
    for _ in range(300):
        flipped = bytearray(raw)
        for _ in range(rng.choice([1, 1, 1, 2, 40])):
            flipped[rng.randrange(len(raw) if rng.random() < 0.5 else 3000)] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        if same(bytes(flipped), body):
            assert Baseline.load(path) == replace(blessed, name=path.name)
        else:
            refusal(path)
            n_refused += 1
    assert n_refused > 250


NO_ROWS = "are not rows of"
WRONG: list[tuple[str, Callable[[dict[str, Any]], None], str]] = []


def wrong(said: str) -> Callable[[Callable[[dict[str, Any]], None]], None]:
    """Registers a way to write a file that has a digest that fits and is no baseline."""

    def register(change: Callable[[dict[str, Any]], None]) -> None:
        WRONG.append((change.__name__.strip("_"), change, said))

    return register


def first(body: dict[str, Any], part: str) -> str:
    """The first key of a part of the file."""
    return next(iter(body[part]))


def block(body: dict[str, Any]) -> dict[str, Any]:
    """The block of one look."""
    looks = body["blocks"]["outputs"]
    found: dict[str, Any] = next(look for look in looks.values() if look["levels"])
    return found


for part in ("properties", "blocks", "blessed", "gentest"):

    @wrong("not as gentest writes a baseline")
    def _missing(body: dict[str, Any], part: str = part) -> None:
        del body[part]

    if part != "gentest":

        @wrong("not as gentest writes a baseline")
        def _a_number(body: dict[str, Any], part: str = part) -> None:
            body[part] = 5

        @wrong("not as gentest writes a baseline")
        def _a_list(body: dict[str, Any], part: str = part) -> None:
            body[part] = [[]]


for key in ("verdict", "seed", "generator", "space", "measures", "spreads", "levels", "embeddings"):

    @wrong("not as gentest writes a baseline")
    def _lacks_a_field(body: dict[str, Any], key: str = key) -> None:
        del body["properties"][first(body, "properties")][key]

    @wrong("not as gentest writes a baseline")
    def _of_another_type(body: dict[str, Any], key: str = key) -> None:
        body["properties"][first(body, "properties")][key] = 1.5


@wrong("not as gentest writes a baseline")
def _a_level_that_is_not_there(body: dict[str, Any]) -> None:
    body["properties"][first(body, "properties")]["levels"] = ["redness()"]


@wrong("not as gentest writes a baseline")
def _a_level_that_is_no_name(body: dict[str, Any]) -> None:
    body["properties"][first(body, "properties")]["levels"] = [["redness()"]]


@wrong("are not base64 of float32")
def _margins_not_base64(body: dict[str, Any]) -> None:
    body["blocks"]["margins"][first(body, "properties")] = "§§§§"


@wrong("are not base64 of float32")
def _margins_of_odd_bytes(body: dict[str, Any]) -> None:
    body["blocks"]["margins"][first(body, "properties")] = "AAAA"


@wrong("are not all finite")
def _margins_not_finite(body: dict[str, Any]) -> None:
    nan = base64.b64encode(np.array([1.0, np.nan], "<f4").tobytes()).decode()
    body["blocks"]["margins"][first(body, "properties")] = nan


@wrong("has no outcomes")
def _margins_empty(body: dict[str, Any]) -> None:
    body["blocks"]["margins"][first(body, "properties")] = ""


@wrong("not as gentest writes a baseline")
def _margins_missing(body: dict[str, Any]) -> None:
    del body["blocks"]["margins"][first(body, "properties")]


@wrong("Expected str but got Sample.margins")
def _margins_a_list(body: dict[str, Any]) -> None:
    body["blocks"]["margins"][first(body, "properties")] = [0.5, 0.5]


@wrong("levels and embeddings of * are of")
def _levels_of_too_many_outputs(body: dict[str, Any]) -> None:
    block(body)["levels"]["brightness()"] = pack([0.5] * 5000)


@wrong("are not all finite")
def _levels_not_finite(body: dict[str, Any]) -> None:
    inf = base64.b64encode(np.full(512, np.inf, "<f4").tobytes()).decode()
    block(body)["levels"]["brightness()"] = inf


@wrong("levels and embeddings of * are of [1] outputs")
def _a_single_output(body: dict[str, Any]) -> None:
    block(body).update(levels={"brightness()": pack([0.5])}, embeddings={})


@wrong(NO_ROWS)
def _rows_that_do_not_divide(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["dim"] = 7


@wrong(NO_ROWS)
def _rows_of_no_numbers(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["dim"] = 0


@wrong("Expected a number from")
def _rows_of_no_scale(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["scale"] = 0.0


@wrong("Infinity is not a JSON number")
def _rows_of_an_endless_scale(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["scale"] = float("inf")


@wrong("Expected a number from 4.90909e-91 to 2.03704e+90 but got Embedded.scale=1e+200")
def _rows_of_a_scale_whose_square_is_endless(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["scale"] = 1e200


@wrong("are not base64")
def _rows_not_base64(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["rows"] = "§"


@wrong("Expected int")
def _a_dimension_that_is_no_number(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["dim"] = True


@wrong("a Embedded has no field 'run'")
def _more_than_there_is(body: dict[str, Any]) -> None:
    for embedded in block(body)["embeddings"].values():
        embedded["run"] = "os.system"


@wrong("no blessing, or no property")
def _no_blessing(body: dict[str, Any]) -> None:
    body["blessed"] = []


@wrong("no blessing, or no property")
def _no_property(body: dict[str, Any]) -> None:
    body["properties"] = {}


@wrong("a Blessing needs 'by'")
def _a_blessing_by_nobody(body: dict[str, Any]) -> None:
    del body["blessed"][0]["by"]


@wrong("Expected int but got Blessing.seed")
def _a_blessing_of_no_seed(body: dict[str, Any]) -> None:
    body["blessed"][0]["seed"] = "3"


@wrong("has no outcomes")
def _a_key_of_several_lines(body: dict[str, Any]) -> None:
    key = first(body, "properties")
    body["properties"] = {"a\nb": body["properties"][key]}
    body["blocks"]["margins"] = {"a\nb": ""}


@wrong("got verdict='fine'")
def _a_verdict_of_its_own(body: dict[str, Any]) -> None:
    body["properties"][first(body, "properties")]["verdict"] = "fine"


@pytest.mark.parametrize(("change", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_digest_alone_makes_no_baseline(
    change: Callable[[dict[str, Any]], None], said: str, body: dict[str, Any], path: Path
) -> None:
    """With the digest computed anew, everything in the file is still checked before it is used."""
    change(body)
    path.write_text(signed(body))
    for part in said.split("*"):
        assert part in refusal(path)


def test_the_digest_computed_anew_is_the_right_one(body: dict[str, Any], path: Path) -> None:
    """The check above can pass: a file that is signed and unchanged is loaded."""
    path.write_text(signed(body))
    assert Baseline.load(path).entries


def test_a_killed_save_leaves_the_earlier_file(blessed: Baseline, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where writing fails at its last step, the earlier baseline is whole and nothing is left beside it."""

    def full(*_: object) -> None:
        raise OSError("disk full")

    before = path.read_bytes()
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        replace(blessed, gentest="new").save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# what a reviewer sees


def test_twenty_properties_take_less_than_a_megabyte(tmp_path: Path) -> None:
    """20 properties of 20 generators, each with 2,048 margins, a level and embeddings of 512 x 48: under 1 MB."""
    rng = np.random.default_rng(0)
    results = []
    for i in range(20):
        rows = pack_bytes(rng.integers(-127, 128, size=(512, 48)).astype(np.int8).tobytes())
        seen = Look(
            {"brightness()": pack(rng.normal(size=512).tolist())},
            {"pixels()": Embedded(rows, 48, 0.1, "0123456789abcdef")},
        )
        margins = rng.normal(size=2048).tolist()
        results.append(result(margins, test=f"tests/test_{i}.py::test_it", seen=seen, generator=f"generator {i}"))
    path = handmade.written(tmp_path / "blessed.json", baseline(*results))
    assert path.stat().st_size < 1_000_000
    assert len(Baseline.load(path).looks) == 20


def test_a_generator_is_looked_at_once_however_many_properties_it_has(tmp_path: Path) -> None:
    """Properties of one generator share what its outputs were like."""
    both = [result(outcomes(N), test=t, seen=look()) for t in ("a", "b")]
    path = handmade.written(tmp_path / "blessed.json", baseline(*both))
    assert path.read_text().count(look().levels["brightness()"]) == 1
    assert [e.sample.look for e in Baseline.load(path).entries.values()] == [look(), look()]


def test_each_block_is_one_line(path: Path) -> None:
    """What no person reads stands in single lines at the end; all other lines are short."""
    lines = path.read_text().splitlines()
    start = lines.index(' "blocks": {')
    assert max(map(len, lines[:start])) < 120
    long = [line for line in lines[start:] if len(line) > 120]
    assert len(long) == len(PROPERTIES) + 2  # margins; one level and one embedding


def test_one_property_that_changed_shows_as_one(tmp_path: Path) -> None:
    """Between two baselines that differ in one property, only its lines, its block and the digest differ."""
    texts = []
    for lost in (0, 5):
        results = [result(outcomes(N, lost=lost if t == "b" else 0), test=t, seen=look()) for t in ("a", "b", "c")]
        texts.append(handmade.written(tmp_path / f"{lost}.json", baseline(*results)).read_text().splitlines())
    assert len(texts[0]) == len(texts[1])
    changed = [(a, b) for a, b in zip(*texts, strict=True) if a != b]
    assert [after.split('"')[1] for _, after in changed] == [
        "verdict",
        "holds",
        "margin",
        "b between(brightness(), tolerance=0.1)",
        "digest",
    ]
    assert changed[0][1].strip() == '"verdict": "violated",'
    assert changed[1][1].strip() == '"holds": "59 of 64, 92.18%",'


def test_the_order_of_tests_does_not_matter(tmp_path: Path) -> None:
    """Workers end in any order; the file is the same."""
    results = [result(outcomes(N, lost=i), test=t, seen=look()) for i, t in enumerate("abc")]
    one, two = (
        handmade.written(tmp_path / name, baseline(*order)).read_bytes()
        for name, order in (("1.json", results), ("2.json", results[::-1]))
    )
    assert one == two
