"""Files and names from strangers: each is data, within limits, and leads nowhere outside of its folder."""

from __future__ import annotations

import io
import json
import os
import pickle
import sqlite3
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gentest import cli
from gentest.attributes import distances
from gentest.attributes.clip.loading import CONFIG, find_source, load_towers
from gentest.attributes.prompts import PromptCache
from gentest.cli.doctor_run import prompts_finding
from gentest.cli.model_loading import read_state
from gentest.cli.model_source import kind_of_path
from gentest.engine.evidence.store import FILE, Store, _checksum
from gentest.errors import AttributeFailed, ClipError, InvalidArgument
from gentest.gate.baseline import Baseline
from gentest.generators.onnx import OnnxModel, _digest
from gentest.generators.torchscript import exported, scripted
from gentest.plugin import options, replays
from gentest.probes.probe import Probe, independent
from gentest.properties.references import MOST_PIXELS, reference_of
from gentest.report import images
from gentest.report.annotations import Annotation
from gentest.results.document import MAX_CHECKPOINTS, Document
from gentest.results.records import pack
from tests.audit import parsers
from tests.helpers import drawn, handmade

ROW = (2, 3)

PROBES = independent(0, 0, 3)


class Runs:
    """A pickle that leaves a file behind where it is read as one."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


class Model(nn.Module):
    """A generator of three numbers."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.tanh()


def pickled(mark: Path) -> bytes:
    """A checkpoint as torch writes them, which runs code where it is unpickled."""
    torch.save({"0.weight": torch.zeros(2, 3), "run": Runs(mark)}, out := io.BytesIO())
    return out.getvalue()


def bare(mark: Path) -> bytes:
    """The same as a pickle alone."""
    return pickle.dumps(Runs(mark))


def weights_of_a_folder(path: Path) -> None:
    read_state(path)


def a_clip(path: Path) -> None:
    config = {
        "model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 16}}
    }
    config["model_cfg"]["text_cfg"] = {"context_length": 4, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1}
    config["preprocess_cfg"] = {"mean": [0.5] * 3, "std": [0.5] * 3}
    path.with_name(CONFIG).write_text(json.dumps(config))
    path.rename(path.with_name("open_clip_pytorch_model.bin"))
    load_towers(find_source(f"local-dir:{path.parent}"), text=False)


def an_lpips(path: Path) -> None:
    import torchvision

    folder = path.parent / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path.rename(folder / torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url.rpartition("/")[2])
    distances._network("alex")


LOADERS: list[Callable[[Path], object]] = [
    weights_of_a_folder,
    scripted,
    exported,
    lambda path: OnnxModel(str(path)),
    a_clip,
    an_lpips,
]


@pytest.mark.parametrize("loader", LOADERS, ids=["weights", "torchscript", "exported", "onnx", "clip", "lpips"])
@pytest.mark.parametrize("wrapped", [pickled, bare], ids=["checkpoint", "pickle"])
def test_a_pickle_that_runs_code_is_refused_by_every_loader(
    loader: Callable[[Path], object], wrapped: Callable[[Path], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of gentest's loaders is given it, nothing in it is run, and the file is refused by name."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # as a user may have it for code of their own
    mark, path = tmp_path / "ran", tmp_path / "model.pt2"
    path.write_bytes(wrapped(mark))
    with pytest.raises((InvalidArgument, ClipError, AttributeFailed)) as caught:
        loader(path)
    assert str(caught.value).isprintable()
    assert not mark.exists()


def test_the_inputs_that_a_program_was_exported_with_are_not_unpickled(tmp_path: Path) -> None:
    """torch reads them as tensors, and where that fails once more as anything: not within gentest."""
    torch.export.save(torch.export.export(Model(), (torch.zeros(2, 3),)), whole := tmp_path / "whole.pt2")
    changed = 0
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "hostile.pt2", "w") as new:
        for name in old.namelist():
            is_pickle = "inputs" in name
            new.writestr(name, pickled(tmp_path / "ran") if is_pickle else old.read(name))
            changed += is_pickle
    assert exported(whole)(torch.zeros(2, 3)).shape == (2, 3)
    if not changed:
        pytest.skip("this torch writes no such part")
    with pytest.raises(InvalidArgument, match=r"torch\.export\.save"):
        exported(tmp_path / "hostile.pt2")
    assert not (tmp_path / "ran").exists()


def bytes_read() -> int:
    """How many bytes this process has read so far, from files and anything else."""
    if not (io := Path("/proc/self/io")).exists():
        pytest.skip("only Linux counts what a process reads")
    return int(dict(line.split(": ") for line in io.read_text().splitlines())["rchar"])


def test_a_file_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    """What claims to be large is refused by its size: a baseline, results, prompts, a direction, a configuration."""
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    before = bytes_read()
    with pytest.raises(InvalidArgument, match="larger than 64 MB"):
        Baseline.load(path)
    with pytest.raises(ClipError, match="larger than 64 MB"):
        PromptCache.load(path)
    assert cli.main(["show", str(path)]) == cli.MISUSE
    assert bytes_read() - before < 64 << 20


DOCUMENT = Document(handmade.SESSION, (replace(drawn.failed(), drawings=None),)).to_json()


@pytest.mark.parametrize(
    ("route", "value", "said"),
    [
        (("rate", "confidence"), 1.0, "Rate.confidence=1.0"),
        (("rate", "verdict"), "error", "a rate cannot be error"),
        (("rate", "p0"), 1.5, "Rate.p0=1.5"),
        (("search", "examples"), -1, "Search.examples=-1"),
        (("search", "examples"), 10**30, "Search.examples="),
        (("gate", "needed"), -1e6, "Gate.needed="),
        (("search", "counterexample", "groups"), ["__import__('os')"], "is not a group of coordinates"),
        (("search", "counterexample", "groups"), ["9" * 13], "is not a group of coordinates"),
        (("search", "counterexample", "scores"), {"a": []}, "its scores do not match its latents"),
        (("search", "counterexample", "scores"), {"a": [0.5] * 10_000}, "its scores do not match its latents"),
        (("search", "counterexample", "probe"), {"choices": 5}, "its choices are not whole numbers"),
        (("property",), "x" * 1_000_001, "has 1,000,001 characters"),
        (("drawings",), drawn.failed().to_json(drawings=True)["drawings"], "which a JSON file never has"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_results_out_of_range_are_refused(
    route: tuple[str, ...], value: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would break whoever reads it is refused as it is read, in a line that names file and field."""
    body = json.loads(json.dumps(DOCUMENT))
    place = body["results"][0]
    for key in route[:-1]:
        place = place[key]
    assert place.get(route[-1]) != value
    place[route[-1]] = value
    (tmp_path / "results.json").write_text(json.dumps(body))
    assert cli.main(["show", str(tmp_path / "results.json")]) == cli.MISUSE
    err = capsys.readouterr().err
    assert "results.json" in err
    assert said in err
    assert err.count("\n") == 1
    assert len(err) < 5_000


def test_more_checkpoints_than_anybody_has_are_refused() -> None:
    """Each would multiply what a gate looks at."""
    body = json.loads(json.dumps(DOCUMENT))
    body["session"]["checkpoints"] = [str(i) for i in range(MAX_CHECKPOINTS + 1)]
    with pytest.raises(InvalidArgument, match="1,001 checkpoints"):
        Document.from_json(body)


@pytest.mark.parametrize(("name", "value"), [("alpha", 1e-300), ("tolerance", 1.0), ("drift", "sometimes")])
def test_terms_of_a_stranger_cost_no_more_than_ones_own(name: str, value: object) -> None:
    """An alpha of nearly 0 would have a gate permute for ever; words that nobody knows decide nothing."""
    body = json.loads(json.dumps(drawn.every_kind().gate.__class__ and DOCUMENT))
    gate = replace(drawn.every_kind(), results=()).to_json()["gate"]
    body["gate"] = {**gate, "terms": {**gate["terms"], name: value}}
    with pytest.raises(InvalidArgument, match=name):
        Document.from_json(body)


def test_a_look_of_very_many_outputs_is_refused(tmp_path: Path) -> None:
    """Comparing distributions takes memory by the square of how many there are."""
    seen = handmade.look(n=5_000, dim=1)
    path = handmade.written(tmp_path / "b.json", handmade.baseline(handmade.result(handmade.outcomes(64), seen=seen)))
    with pytest.raises(InvalidArgument, match=r"are of \[5000\] outputs"):
        Baseline.load(path)


def test_halves_of_characters_are_kept_in_a_prompt_file(tmp_path: Path) -> None:
    """A prompt that no encoding has is written as JSON escapes it, and no error of another prompt's run."""
    cache = PromptCache(tmp_path / "prompts.json", update=True)
    cache.put("ab", "a \ud800 cat", [3.0, 4.0], name="tiny", logit_scale=1.0)
    cache.save()
    assert PromptCache.load(tmp_path / "prompts.json").get("ab", "a \ud800 cat") is not None


@pytest.mark.parametrize("text", ["{}", '{"schema": 1, "models": {"a": {"prompts": 5}}}', "[" * 5000])
def test_doctor_says_what_is_wrong_with_a_prompt_file(text: str, tmp_path: Path) -> None:
    """A file that is none of gentest's is a finding, not the end of the command."""
    (tmp_path / "prompts.json").write_text(text)
    found = prompts_finding(tmp_path / "prompts.json", ["a cat"], updates=False)
    assert found.stops
    assert "prompts.json" in found.message


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"probes": 5}', '{"probes": [1, null]}', '{"probes": ["1f", "../x"]}']
)
def test_a_memory_of_failures_that_is_none_is_forgotten(text: str, tmp_path: Path) -> None:
    """Whatever stands in pytest's cache, however deep, is no probe and no error."""
    path = replays._file(parsers.cached(tmp_path).cache, parsers.ITEM, "between")
    path.parent.mkdir(parents=True, exist_ok=True)
    memory = parsers.memory(tmp_path)
    path.write_text('{"probes": ["1f"]}')
    assert memory.of(parsers.ITEM, "between") == (Probe(31),)
    path.write_text(text)
    assert memory.of(parsers.ITEM, "between") == ()


def test_show_prints_no_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names in results and in a baseline reach the terminal as text, in its rows and in failures."""
    evil = "\x1b]0;owned\x07\n::stop-commands::x"
    results = [replace(drawn.failed(), drawings=None, property=evil, test=evil, message=evil, traceback=evil)]
    handmade.written(tmp_path / "results.json", results)
    bad = handmade.result(handmade.outcomes(64), property=evil, test=evil)
    blessing = replace(handmade.BLESSING, by=evil, note=evil)
    handmade.written(tmp_path / "blessed.json", handmade.baseline(bad, blessing=blessing))
    for name in ("results.json", "blessed.json"):
        cli.main(["show", str(tmp_path / name)])
        out = capsys.readouterr().out
        assert "owned" in out
        assert "\x1b" not in out
        assert not any(line.lstrip().startswith("::") for line in out.splitlines())


def test_an_annotation_is_one_command() -> None:
    """Titles, files and messages cannot begin a line, and so no command of their own, nor colour the log."""
    said = str(Annotation("error", "a\n::error::b", "c\r\n::stop-commands::\x1b[31m", "../x,line=9", 1))
    assert said.isprintable()
    assert said.startswith("::error file=../x%2Cline=9,line=1,title=a%0A%3A%3Aerror%3A%3Ab::c%0D%0A")


def test_an_image_that_claims_more_pixels_than_memory_is_refused(tmp_path: Path) -> None:
    """A PNG of 70 bytes may say that it is 100,000 x 100,000; one just above the limit is refused without a warning."""
    refusals = {
        (100_000, 100_000): "exceeds limit",
        (MOST_PIXELS, 1): "truncated",
        (8193, 8192): "more than the limit of 67,108,864",
    }
    for size, said in refusals.items():  # of the first Pillow itself says so; the second is as large as is allowed
        (tmp_path / "a.png").write_bytes(parsers.claiming(*size))
        with pytest.raises(InvalidArgument, match=said) as caught:
            reference_of(tmp_path).fitted([0], (1, 8, 8))
        assert "a.png" in str(caught.value)


@pytest.mark.parametrize("target", ["/dev/zero", "nowhere", "pipe"])
def test_what_is_no_file_is_no_image(target: str, tmp_path: Path) -> None:
    """A link to a device or to nothing, and a pipe, are refused by name rather than waited for."""
    if target == "pipe":
        os.mkfifo(tmp_path / "a.png")
    else:
        (tmp_path / "a.png").symlink_to(target)
    with pytest.raises(InvalidArgument, match=r"a\.png: not a file"):
        reference_of(tmp_path).fitted([0], (1, 8, 8))


def test_an_array_that_is_mapped_from_a_file_is_a_reference(tmp_path: Path) -> None:
    """An array that nobody may write to is read without a warning; one of objects, which would be a pickle, is none."""
    np.save(tmp_path / "a.npy", np.zeros((4, 1, 8, 8), np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(reference_of(np.load(tmp_path / "a.npy", mmap_mode="r"))) == 4
    with pytest.raises(InvalidArgument, match="as numbers"):
        reference_of(np.array([[object()]]))


def whole(name: str) -> Any:
    """A failure called so, with pictures to write."""
    result = drawn.failed(name)
    assert result.drawings is not None
    return replace(result, drawings=replace(result.drawings, worst=replace(drawn.strip(1), whole=(drawn.frame(),))))


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a\\..\\b", "CON", "x" * 5000, "..", "\x00", "~/x", "<script>"])
def test_pictures_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    """Whatever a test is called, its pictures lie in one folder below the one that was asked for."""
    images.write(tmp_path / "images", whole(f"{name}::{name}"))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent.parent for path in written] == [tmp_path / "images"]


def test_pictures_do_not_go_through_a_link(tmp_path: Path) -> None:
    """A folder, or a picture, that is a link to somebody else's is not written through, and theirs stays as it was."""
    result = whole("test_a.py::test_a")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "worst-00.png").write_bytes(b"theirs")
    own = tmp_path / "images" / images.folder_name(result)
    own.parent.mkdir()
    own.symlink_to(theirs)
    with pytest.raises(OSError, match="is a link to another folder"):
        images.write(tmp_path / "images", result)
    own.unlink()
    own.mkdir()
    (own / "worst-00.png").symlink_to(theirs / "worst-00.png")
    images.write(tmp_path / "images", result)
    assert not (own / "worst-00.png").is_symlink()
    assert (theirs / "worst-00.png").read_bytes() == b"theirs"


def body(shape: tuple[int, ...], values: list[float]) -> bytes:
    """A row as the cache packs it, of whatever shape it claims."""
    return struct.pack(f"<B{len(shape)}I", len(shape), *shape) + struct.pack(f"<{len(values)}f", *values)


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\xff",
        b"\xff" + b"\0" * 40,
        body((2**31, 2**31, 2**31), [0.5] * 6),
        body((0, 2**32 - 1), []),
        body((), []),
        body((2, 3), [0.5] * 5),
        body((2, 3), [float("nan")] * 6),
        body((2, 3), [float("inf")] * 6),
        body((1,), [0.5]) + b"\0" * (1 << 20),
    ],
    ids=lambda row: repr(row[:9]),
)
def test_a_row_that_a_stranger_signed_is_measured_anew(row: bytes, tmp_path: Path) -> None:
    """Its checksum fits, and its shape, size or numbers do not: it counts as none, and takes no memory."""
    store = Store(tmp_path)
    store.keep("of", PROBES, np.full((3, *ROW), 0.5, np.float32))
    assert store.rows("of", PROBES) is not None
    store.close()
    database = sqlite3.connect(tmp_path / FILE)
    name = str(PROBES[1])
    with database:
        database.execute("UPDATE rows SET value = ? WHERE probe = ?", (_checksum("of", name, row) + row, name))
    database.close()
    assert Store(tmp_path).rows("of", PROBES) is None


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE VIEW rows AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
        "SELECT 'of' AS of, x AS probe, x AS value FROM c",
        "CREATE TABLE rows (of TEXT, probe TEXT, value BLOB, PRIMARY KEY (of, probe)) WITHOUT ROWID; "
        "CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END",
        "CREATE TABLE somebody (x)",
    ],
    ids=["view", "trigger", "other"],
)
def test_a_database_that_is_not_gentests_is_done_without(schema: str, tmp_path: Path) -> None:
    """A view that never ends, a trigger, and somebody else's tables are neither run nor added to."""
    database = sqlite3.connect(tmp_path / FILE)
    database.executescript(schema)
    before = database.execute("SELECT sql FROM sqlite_master").fetchall()
    database.close()
    began = time.process_time()
    store = Store(tmp_path)
    store.keep("of", PROBES, np.ones((3, 2), np.float32))
    assert store.rows("of", PROBES) is None
    store.close()
    assert time.process_time() - began < 30  # the view runs for ever
    database = sqlite3.connect(tmp_path / FILE)
    assert database.execute("SELECT sql FROM sqlite_master").fetchall() == before
    database.close()


def test_a_cache_that_is_a_link_is_done_without(tmp_path: Path) -> None:
    """The file of a shared folder cannot be a link to a file of the user's."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FILE).symlink_to(tmp_path / "theirs.sqlite")
    store = Store(tmp_path / "cache")
    store.keep("of", PROBES, np.ones((3, 2), np.float32))
    assert store.rows("of", PROBES) is None
    assert not (tmp_path / "theirs.sqlite").exists()


def located(name: str) -> bytes:
    """A part of an ONNX file that says where weights lie."""
    return b"\n\x08location\x12" + bytes([len(name)]) + name.encode()


@pytest.mark.parametrize("name", ["/dev/zero", "../theirs", "..", "pipe", "nowhere", "link"])
def test_the_weights_of_an_onnx_file_lie_beside_it(name: str, tmp_path: Path) -> None:
    """A fingerprint reads no file that lies elsewhere, and waits for no pipe or device."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "theirs").write_bytes(b"theirs")
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("/dev/zero")
    (folder / "m.onnx").write_bytes(located(name))
    before = _digest(str(folder / "m.onnx"))
    (tmp_path / "theirs").write_bytes(b"others")
    assert _digest(str(folder / "m.onnx")) == before
    (folder / "w.bin").write_bytes(b"1")
    (folder / "m.onnx").write_bytes(located("w.bin"))
    before = _digest(str(folder / "m.onnx"))
    (folder / "w.bin").write_bytes(b"2")
    assert _digest(str(folder / "m.onnx")) != before


@pytest.mark.parametrize("name", ["gan.pt", "gan.ts", "gan.onnx", "gan.pt2"])
def test_a_pipe_is_not_taken_for_a_model(name: str, tmp_path: Path) -> None:
    """`gentest check` looks at what it is given: it does not wait for a pipe, nor follow a loop."""
    os.mkfifo(tmp_path / name)
    (tmp_path / "loop").symlink_to("loop")
    assert kind_of_path(tmp_path / name) is None
    assert kind_of_path(tmp_path / "loop") is None


def config(text: str, folder: Path) -> Any:
    """pytest's configuration with this value of whatever option is asked for."""
    return SimpleNamespace(
        stash=pytest.Stash(),
        getoption=lambda flag: text,
        getini=lambda name: "",
        inipath=None,
        invocation_params=SimpleNamespace(dir=folder),
    )


@pytest.mark.parametrize(
    "name",
    [o.name for o in options.OPTIONS if o.kind.metavar and o.name not in ("profile", "device", "clip", "ray", "log")],
)
def test_a_value_of_very_many_signs_is_a_usage_error(name: str, tmp_path: Path) -> None:
    """However long a value is, the error is one line that names its option; what is only a name is taken as one."""
    text = "x" * 100_000
    given = config([text] if name == "checkpoint" else text, tmp_path)
    if name in ("prompts", "baseline", "suggest"):  # read later, by readers that name the file
        assert options.value_of(given, name)
        return
    with pytest.raises(pytest.UsageError, match=options.BY_NAME[name].flag) as caught:
        options.checkpoints_of(given) if name == "checkpoint" else options.value_of(given, name)
    assert len(str(caught.value)) < 1_000


def test_a_packed_word_too_long_is_refused() -> None:
    """The numbers of one sample are a million and a half at the most."""
    value = json.loads(json.dumps(DOCUMENT))
    value["results"][0]["sample"] = {
        "seed": 0,
        "generator": "g",
        "space": "s",
        "margins": pack([0.5]) * 2**20 + "A" * 2**23,
    }
    with pytest.raises(InvalidArgument, match="characters"):
        Document.from_json(value)
