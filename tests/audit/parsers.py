"""Every parser of a file, an option or a string that a stranger may have written: how an input is made, read and used.

What was accepted is used as a run would use it: rendered, decided on, drawn, saved again and read again.
"""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from _pytest.cacheprovider import Cache
from PIL import Image

import gentest
from gentest import cli
from gentest.attributes.clip.loading import CONFIG, find_source
from gentest.attributes.prompts import PromptCache
from gentest.cli.model_loading import read_state
from gentest.cli.model_source import kind_of_path
from gentest.engine.evidence.store import FILE, Store, _checksum, _packed
from gentest.errors import ClipError, InvalidArgument
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline
from gentest.generators.onnx import _digest as onnx_digest
from gentest.plugin import options, replays
from gentest.plugin.session_end import Problems
from gentest.probes.families import points, segments
from gentest.probes.probe import Probe, independent
from gentest.properties.references import reference_of
from gentest.report import images, junit, page
from gentest.report.annotations import Annotation
from gentest.results.document import Document
from gentest.results.result import Provenance, Verdict
from gentest.results.settings import SETTINGS
from gentest.spaces.direction import Direction
from tests.audit.malformed import NUMBERS, TEXTS, bytes_changed, changed, json_bytes, text_changed
from tests.helpers import drawn, handmade

ALLOWED = (InvalidArgument, ClipError, pytest.UsageError)
LONGEST_MESSAGE = 4200
N = 64


class Refused(Exception):
    """An input was refused as it should be."""


class Finding(Exception):
    """An input did what it may not."""


@dataclass(frozen=True)
class Kind:
    """A parser: how an input is made in a folder, and how it is read and used there."""

    name: str
    share: int
    """Of all inputs, by weight."""
    make: Callable[[Random, Path], Any]
    use: Callable[[Any, Path], None]
    names: str = ""
    """What a message has to name."""


def look(seed: int = 0) -> Any:
    """Levels, embeddings and two pictures."""
    return replace(handmade.look(seed, n=N), pictures=(drawn.frame(), drawn.frame()))


RESULTS = [
    handmade.result(handmade.outcomes(N), seen=look(), spreads={"brightness()": 0.1}),
    handmade.result(handmade.outcomes(N, lost=3), test="test_a.py::test_b[x-1]", verdict=Verdict.VIOLATED, seen=look()),
]
BLESSED = handmade.baseline(*RESULTS)
CANDIDATE = Document(handmade.SESSION, tuple(RESULTS), gentest="0")
EVERY = Document(
    drawn.every_kind("test_a.py::test_a").session,
    (*(replace(r, drawings=None) for r in drawn.every_kind("test_a.py::test_a").results), *RESULTS),
    drawn.every_kind("test_a.py::test_a").gate,
)
PLAIN = {"baseline": BLESSED._to_json(), "results": EVERY.to_json(), "candidate": CANDIDATE.to_json()}


def signed(body: Any) -> Any:
    """A baseline's tree with the digest that fits."""
    try:
        return json.loads(handmade.signed(body), parse_constant=float)
    except (AttributeError, TypeError, RecursionError):
        return body


def command(*arguments: str, names: str, folder: Path) -> str:
    """What the command `gentest` prints: fit for a terminal, or a refusal in one line."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = cli.main(list(arguments))
    said = out.getvalue()
    check_shown(said)
    if status == 2:
        raise Refused(check_message(err.getvalue().rstrip("\n"), names))
    if status not in (0, 1, 3) or err.getvalue():
        raise Finding(f"exit status {status}: {err.getvalue()[:200]!r}")
    return said


def check_message(said: str, names: str) -> str:
    """An error's message: one line, printable, not endless, and it names what it is about."""
    if "\n" in said or "\x1b" in said or not said or len(said) > LONGEST_MESSAGE:
        raise Finding(f"a message of {len(said)} characters: {said[:300]!r}")
    if names not in said:
        raise Finding(f"a message that does not name {names!r}: {said[:300]!r}")
    return said


HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a cursor, turns the order of signs round, or is half of one."""


def check_shown(text: str) -> None:
    """Nothing on a terminal moves its cursor or is a command of a CI runner."""
    hidden = HIDDEN.findall(text)
    if hidden or re.search(r"^\s*::|##\[", text, re.MULTILINE):
        raise Finding(f"a terminal is shown {hidden[:5]!r} or a command: {text[:300]!r}")


class Elements(HTMLParser):
    """The elements and attributes of a page, and addresses in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: Counter[tuple[str, str]] = Counter()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.update([(tag, ""), *((tag, name) for name, _ in attrs)])
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action", "style", "data")]


OURS = frozenset(
    set(Elements(page.page(drawn.every_kind("x"), at="now")).found) | set(Elements(page.page(EVERY, at="now")).found)
) | {(tag, "") for tag in ("i", "b", "dl", "dt", "dd", "div", "ul", "li")}
ONE_ONLY = ("script", "style", "link", "title", "head", "body", "html")
ADDRESS = re.compile(r"#[A-Za-z0-9-]*|data:,|data:image/webp;base64,[A-Za-z0-9+/=]*")


def check_page(document: Document) -> None:
    """The page has only the elements and attributes that it always has, and no address but its own."""
    elements = Elements(page.page(document, at="now"))
    alien = [pair for pair in elements.found if pair not in OURS]
    several = [tag for tag in ONE_ONLY if elements.found[tag, ""] > 1 and tag != "title"]
    addresses = [a for a in elements.addresses if not ADDRESS.fullmatch(a)]
    if alien or several or addresses:
        raise Finding(f"a page has {alien[:3]} {several[:3]} {addresses[:3]}")


def check_markdown(text: str) -> None:
    """No element of a stranger's, and no link, outside of the fences that hold plain text."""
    check_shown(text)
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    outside = re.sub(r"^<details><summary>[^<\n]*</summary>$", "", outside, flags=re.MULTILINE)  # HTML, to GitHub
    if "<canary" in outside or re.search(r"(?<!\\)\]\(", outside):
        raise Finding(f"Markdown has an element or link: {outside[:300]!r}")


# how each is made, and used


def make_baseline(rng: Random, folder: Path) -> None:
    (folder / "blessed.json").write_bytes(json_bytes(PLAIN["baseline"], rng, sign=signed))


def use_baseline(made: None, folder: Path) -> None:
    path = folder / "blessed.json"
    command("show", str(path), names="blessed.json", folder=folder)
    blessed = Baseline.load(path)
    text = command(
        "gate", str(folder / "good.json"), "--baseline", str(path), "--markdown", names="json", folder=folder
    )
    check_markdown(text)
    command("gate", str(folder / "good.json"), "--baseline", str(path), names="json", folder=folder)
    blessed.save(folder / "again.json")
    if Baseline.load(folder / "again.json").entries != blessed.entries:
        raise Finding("a baseline that was saved again is another")
    found = gate.decide(RESULTS, blessed, EVERY.gate.terms if EVERY.gate else gate.Terms())
    check_page(replace(CANDIDATE, gate=found, results=tuple(gate.applied(RESULTS, found))))


def make_results(rng: Random, folder: Path) -> None:
    tree = PLAIN["results" if rng.random() < 0.6 else "candidate"]
    (folder / "results.json").write_bytes(json_bytes(tree, rng))


def use_results(made: None, folder: Path) -> None:
    path = folder / "results.json"
    command("show", str(path), names="results.json", folder=folder)
    check_markdown(command("show", str(path), "--markdown", names="results.json", folder=folder))
    document = Document.from_json(json.loads(path.read_text(encoding="utf-8")))
    check_page(document)
    for n, result in enumerate(document.results):
        for name, value in junit.properties(f"x{n}", result):
            if not isinstance(name, str) or not isinstance(value, str):
                raise Finding("a figure for JUnit is no text")
        said = str(Annotation("error", result.test, result.message, result.test, 1))
        if "\n" in said or "\r" in said:
            raise Finding(f"an annotation of several lines: {said[:200]!r}")
        if (name := images.folder_name(result)) != Path(name).name or len(name) > 255 or not name.isascii():
            raise Finding(f"a folder that is none: {name!r}")
    command("gate", str(path), "--baseline", str(folder / "good_baseline.json"), names="json", folder=folder)


MODELS = {"name": "tiny", "dim": 4, "logit_scale": 100.0}
PROMPTS = {
    "schema": 1,
    "models": {
        "0a1b2c3d4e5f6071": {
            **MODELS,
            "prompts": {"a cat": "AACAPwAAAAAAAAAAAAAAAA==", "a dog": "AAAAAAAAgD8AAAAAAAAAAA=="},
        }
    },
}


def make_prompts(rng: Random, folder: Path) -> None:
    (folder / "prompts.json").write_bytes(json_bytes(PROMPTS, rng))


def use_prompts(made: None, folder: Path) -> None:
    cache = PromptCache.load(folder / "prompts.json", update=True)
    for prompt in cache.prompts:
        for key in list(cache._models):
            if (row := cache.get(key, prompt)) is not None and not np.isfinite(row).all():
                raise Finding("an embedding that is not finite")
    cache.put("ffff", "a cat", [3.0, 4.0], name="x", logit_scale=1.0)
    cache.save()
    if PromptCache.load(folder / "prompts.json").get("ffff", "a cat") is None:
        raise Finding("what was saved is not there")


DIRECTION = Direction([3.0, 4.0, 0.0], attribute="brightness()", accuracy=0.9).to_json()


def make_direction(rng: Random, folder: Path) -> None:
    (folder / "up.json").write_bytes(json_bytes(DIRECTION, rng))


def use_direction(made: None, folder: Path) -> None:
    found = Direction.load(folder / "up.json")
    found.save(folder / "again.json")
    if Direction.load(folder / "again.json") != found:
        raise Finding("a direction that was saved again is another")


SPACE = gentest.Joint(z=gentest.Normal(6), label=gentest.Categorical(4))
REPLAYS = [f"between:{p}" for p in (*independent(3, 0, 4), Probe(31, mask=5, choices=(3,)), Probe(7, window=(3, 40)))]
REPLAYS.append(f"monotone.2:{Probe(9, shift=bytes([1, 0, 255, 3] * 8))}")


def make_replay(rng: Random, folder: Path) -> str:
    text = text_changed(rng.choice(REPLAYS), rng)
    if rng.random() < 0.2:
        (folder / "replay").write_bytes(bytes_changed(text.encode("utf-8", "surrogatepass"), rng))
        return str(folder / "replay")
    return text


def config_of(option: options.Option, text: Any, folder: Path, *, ini: bool = False) -> Any:
    """What of pytest's configuration reading an option needs."""
    return SimpleNamespace(
        stash=pytest.Stash(),
        getoption=lambda key, default=None: text if key == option.flag and not ini else None,
        getini=lambda key: text if key == option.ini and ini else "",
        inipath=folder / "pytest.ini",
        invocation_params=SimpleNamespace(dir=folder),
    )


def use_replay(made: str, folder: Path) -> None:
    replay = options.value_of(config_of(OPTIONS["replay"], made, folder), "replay")
    use_probe(replay.probe)
    images.folder_name(replace(RESULTS[0], property=replay.label))


def use_probe(probe: Probe) -> None:
    """A probe is itself again after its text and its JSON, and is a latent or an error that says why not."""
    if Probe.parse(str(probe)) != probe or Probe.from_json(json.loads(json.dumps(probe.to_json()))) != probe:
        raise Finding(f"{probe} is another after its text")
    for family in (points(), segments(5)):
        latents = family.place(SPACE, [probe])
        if not all(np.isfinite(z).all() for z in latents.values()):
            raise Finding(f"{probe} is a latent that is not finite")


def make_probe(rng: Random, folder: Path) -> Any:
    probe = Probe.parse(rng.choice(REPLAYS).partition(":")[2])
    return text_changed(str(probe), rng) if rng.random() < 0.5 else changed(probe.to_json(), rng)


def use_probe_value(made: Any, folder: Path) -> None:
    use_probe(Probe.parse(made) if isinstance(made, str) else Probe.from_json(made))


GOOD_VALUES = {
    "device": "cpu", "clip": "ViT-B-32:openai", "prompts": "prompts.json", "examples": "300", "budget": "4096",
    "seed": "0", "attack": "0", "profile": "ci", "batch_size": "64", "precision": "full", "memory": "1024",
    "cache": "cache", "ray": "local", "json": "out.json", "report": "page.html", "images": "images",
    "baseline": "blessed.json", "save_baseline": "new.json", "baseline_probes": "2048", "tolerance": "0.05",
    "time_limit": "60", "undecided": "fail", "drift": "warn", "github": "on", "checkpoint": "*.pt",
}  # fmt: skip
OPTIONS = {option.name: option for option in options.OPTIONS if option.name in {*GOOD_VALUES, "replay"}}


def make_option(rng: Random, folder: Path) -> tuple[str, str, bool]:
    name = rng.choice(sorted(GOOD_VALUES))
    return (
        name,
        rng.choice([text_changed(GOOD_VALUES.get(name, "1"), rng), str(rng.choice(NUMBERS))]),
        rng.random() < 0.5,
    )


def use_option(made: tuple[str, str, bool], folder: Path) -> None:
    name, text, ini = made
    which = OPTIONS[name]
    try:
        if name == "checkpoint":
            for checkpoint in options.checkpoints_of(config_of(which, text if ini else [text], folder, ini=ini)):
                if not checkpoint.path.exists():
                    raise Finding(f"a checkpoint that is not there: {checkpoint.path}")
            return
        if not ini or which.in_ini:
            use_value(name, options.value_of(config_of(which, text, folder, ini=ini), name))
    except ALLOWED as error:
        said = check_message(str(error), "")
        if which.flag not in said and which.ini not in said and name not in said:
            raise Finding(f"a message that does not name {name}: {said[:200]!r}") from error
        raise Refused(said) from error


def use_value(name: str, value: Any) -> None:
    """As the runner takes it."""
    if value is None:
        return
    if name in {setting.name for setting in SETTINGS}:
        gentest.settings(**{name: value})
    if name == "seed":
        independent(value, 0, 4)
    if name in ("json", "report", "save_baseline") and not value.parent.is_dir():
        raise Finding(f"a file in no folder: {value}")
    if name == "tolerance":
        gate.decide(RESULTS, BLESSED, gate.Terms(tolerance=value, drift="off"))


def make_row(rng: Random, folder: Path) -> list[tuple[Any, Any, Any]]:
    probes = independent(0, 0, 3)
    rows: list[tuple[Any, Any, Any]] = []
    for probe in probes:
        body = bytearray(_packed("of", str(probe), np.full((2, 3), 0.5, np.float32))[16:])
        how = rng.randrange(6)
        if how == 0:
            body = bytearray(bytes_changed(bytes(body), rng))
        elif how == 1:
            body[0] = rng.randrange(256)
        elif how == 2:
            body[1:5] = struct.pack("<I", rng.choice([0, 1, 6, 2**31, 2**32 - 1]))
        elif how == 3:
            body[9:13] = struct.pack("<f", rng.choice([float("nan"), float("inf"), 3.4e38, 0.0]))
        elif how == 4:
            body = bytearray(rng.choice([b"", b"\0", b"\xff" * 40]))
        whole = _checksum("of", str(probe), bytes(body)) + bytes(body)
        value: Any = whole if rng.random() < 0.9 else rng.choice([None, 1, 2.5, "text", b"", whole * 3000])
        rows.append(("of", str(probe), value))
    return rows


HOSTILE_SCHEMAS = (
    "CREATE VIEW rows AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT 'of' AS of, x AS probe, x AS value FROM c",
    "CREATE TABLE rows (of TEXT, probe TEXT, value BLOB, more TEXT)",
    "CREATE VIRTUAL TABLE rows USING fts5(of, probe, value)",
    "CREATE TABLE other (x); CREATE TRIGGER t AFTER INSERT ON other BEGIN DELETE FROM other; END",
)


def make_database(rng: Random, folder: Path) -> None:
    path = folder / "cache" / FILE
    path.parent.mkdir()
    how = rng.random()
    if how < 0.6:
        store = Store(path.parent)
        store.keep("of", independent(0, 0, 3), np.full((3, 2, 3), 0.5, np.float32))
        store.close()
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for of, name, value in make_row(rng, folder):
                database.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (of, name, value))
        database.close()
        if how < 0.2:
            path.write_bytes(bytes_changed(path.read_bytes(), rng))
    elif how < 0.8:
        with sqlite3.connect(path) as database:
            database.executescript(rng.choice(HOSTILE_SCHEMAS))
        database.close()
    elif how < 0.9:
        (folder.parent / "theirs").mkdir(exist_ok=True)
        path.symlink_to(folder.parent / "theirs" / "other.sqlite")
    else:
        path.write_bytes(rng.choice([b"", b"SQLite format 3\0" + b"\xff" * 200, b"x" * 5000]))


def use_database(made: None, folder: Path) -> None:
    store = Store(folder / "cache")
    probes = independent(0, 0, 3)
    found = store.rows("of", probes)
    if found is not None and (not np.isfinite(found).all() or found.shape[0] != 3 or not found[0].size):
        raise Finding(f"rows that nobody measured: {found.shape}")
    store.keep("of", probes, np.ones((3, 2), np.float32))
    again = store.rows("of", probes)
    store.close()
    if again is not None and again.shape == (3, 2) and not (again == 1).all():
        raise Finding("what was kept is not what comes back")
    if found is None and again is None:
        raise Refused("done without")


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)).save(out, kind)
    return out.getvalue()


PICTURES = {
    suffix: picture(kind)
    for suffix, kind in ((".png", "PNG"), (".webp", "WEBP"), (".bmp", "BMP"), (".jpg", "JPEG"), (".tif", "TIFF"))
}


def claiming(width: int, height: int) -> bytes:
    """A PNG of some bytes that says how large it is, with the checksum that fits."""
    raw = PICTURES[".png"]
    head = raw[12:16] + struct.pack(">II", width, height) + raw[24:29]
    return raw[:12] + head + struct.pack(">I", zlib.crc32(head)) + raw[33:]


def make_reference(rng: Random, folder: Path) -> None:
    own = folder / "reference"
    own.mkdir()
    suffix = rng.choice(sorted(PICTURES))
    path = own / f"{rng.choice(['a', 'x y', '-rf', '$(id)', 'é', ';'])}{suffix}"
    how = rng.random()
    if how < 0.05:
        os.mkfifo(path)
    elif how < 0.1:
        path.symlink_to(rng.choice(["/dev/zero", "/etc/passwd", "nowhere", "."]))
    elif how < 0.15 and suffix == ".png":  # 100,000 x 100,000 pixels, said in 24 bytes
        path.write_bytes(claiming(*rng.choice([(100_000, 100_000), (12_000, 9_000), (8_193, 8_192), (0, 5)])))
    else:
        path.write_bytes(bytes_changed(PICTURES[suffix], rng))


def use_reference(made: None, folder: Path) -> None:
    reference = reference_of(folder / "reference")
    values = reference.fitted(list(range(len(reference))), (3, 8, 8))
    if not values.isfinite().all() or values.min() < 0 or values.max() > 1:
        raise Finding("images out of range")


def make_array(rng: Random, folder: Path) -> None:
    shape = tuple(rng.choice([0, 1, 2, 3, 8]) for _ in range(rng.randrange(6)))
    kind = rng.choice(["<f4", "<f8", "u1", "<i8", "?", "<c8", "S3", "<M8[s]", "O", "<f2", "<u2"])
    values = (
        np.zeros(shape, kind)
        if kind == "O"
        else np.frombuffer(rng.randbytes(int(np.prod(shape)) * np.dtype(kind).itemsize), kind).reshape(shape)
    )
    out = io.BytesIO()
    np.save(out, values, allow_pickle=True)
    (folder / "a.npy").write_bytes(out.getvalue() if rng.random() < 0.5 else bytes_changed(out.getvalue(), rng))


def use_array(made: None, folder: Path) -> None:
    """As a user gives an array: loaded by NumPy without pickles, whose errors are NumPy's."""
    try:
        with np.errstate(all="ignore"):
            values = np.load(folder / "a.npy", mmap_mode="r")
    except Exception as error:
        raise Refused("by NumPy") from error
    with np.errstate(all="ignore"):
        reference = reference_of(values)
        if len(reference):
            reference.fitted([0], reference.values.shape[1:])


def make_image_folder(rng: Random, folder: Path) -> Any:
    test, property, checkpoint = (
        text_changed(getattr(RESULTS[0], name), rng) for name in ("test", "property", "checkpoint")
    )
    result = replace(drawn.failed(), test=test, property=property, provenance=Provenance(checkpoint=checkpoint))
    (folder / "images").mkdir()
    if rng.random() < 0.3:
        (folder.parent / "theirs").mkdir(exist_ok=True)
        (folder.parent / "theirs" / "worst-00.png").write_bytes(b"theirs")
        (folder / "images" / images.folder_name(result)).symlink_to(folder.parent / "theirs")
    whole = replace(drawn.strip(2), whole=(drawn.frame(), drawn.frame()))
    assert result.drawings is not None
    return replace(result, drawings=replace(result.drawings, worst=whole))


def use_image_folder(made: Any, folder: Path) -> None:
    try:
        images.write(folder / "images", made)
    except OSError as error:
        raise Refused(check_message(str(error), "images")) from error
    finally:
        theirs = folder.parent / "theirs" / "worst-00.png"
        if theirs.exists() and theirs.read_bytes() != b"theirs":
            raise Finding("a file of somebody else was written over")
    check_page(Document(drawn.SESSION, (made,)))


KEPT = {"test": "t", "property": "p", "probes": ["1f", "2f-m5-c3", str(independent(0, 0, 1)[0])]}


ITEM: Any = SimpleNamespace(name="test_a", parent=SimpleNamespace(nodeid="test_a.py"))


def cached(folder: Path) -> Any:
    """pytest's configuration with its cache in a folder."""
    return SimpleNamespace(cache=Cache(folder, SimpleNamespace(), _ispytest=True))  # type: ignore[arg-type]


def memory(folder: Path) -> replays.FailedProbes:
    """What failed in earlier runs, as the runner asks it."""
    config = cached(folder)
    return replays.FailedProbes(config, Problems(config))


def make_kept(rng: Random, folder: Path) -> None:
    path = replays._file(cached(folder).cache, ITEM, "between")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json_bytes(KEPT, rng))


def use_kept(made: None, folder: Path) -> None:
    found = memory(folder).of(ITEM, "between")
    if not all(isinstance(probe, Probe) for probe in found) or len(found) > 4:
        raise Finding(f"{found!r}")
    if not found:
        raise Refused("as no memory")


CLIP = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8},
        "text_cfg": {"width": 16},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "size": 32},
}


def make_clip(rng: Random, folder: Path) -> None:
    (folder / "clip").mkdir()
    (folder / "clip" / CONFIG).write_bytes(json_bytes(CLIP, rng))
    (folder / "clip" / "open_clip_model.safetensors").write_bytes(b"")


def use_clip(made: None, folder: Path) -> None:
    find_source(f"local-dir:{folder / 'clip'}")


def make_onnx(rng: Random, folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"w" * 100)
    name = rng.choice(["weights.bin", "../x", "/dev/zero", "/etc/passwd", ".", "fifo", *TEXTS]).encode(
        "utf-8", "replace"
    )[:127]
    os.mkfifo(folder / "fifo")
    (folder / "m.onnx").write_bytes(
        bytes_changed(b"x\n\x08location\x12" + bytes([max(1, len(name))]) + name + b"y" * 40, rng)
    )


def use_onnx(made: None, folder: Path) -> None:
    onnx_digest(str(folder / "m.onnx"))


def weights() -> bytes:
    out = io.BytesIO()
    torch.save({"generator": {"0.weight": torch.zeros(4, 8, 2, 2), "1.bias": torch.zeros(4)}}, out)
    return out.getvalue()


WEIGHTS = weights()
HEADER = b'{"0.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
SAFE = struct.pack("<Q", len(HEADER)) + HEADER + bytes(24)


class Runs:
    """What a pickle of a stranger does."""

    def __reduce__(self) -> Any:
        return os.system, ("touch canary",)


def make_weights(rng: Random, folder: Path) -> str:
    name = rng.choice(["w.pt", "w.safetensors"])
    raw = WEIGHTS if name == "w.pt" else SAFE
    if rng.random() < 0.1:
        out = io.BytesIO()
        torch.save({"w": Runs()}, out, _use_new_zipfile_serialization=rng.random() < 0.5)
        raw = out.getvalue()
    (folder / name).write_bytes(bytes_changed(raw, rng))
    return name


def use_weights(made: str, folder: Path) -> None:
    kind_of_path(folder / made)
    try:
        read_state(folder / made)
    except InvalidArgument as error:
        raise Refused(check_message(str(error), "")) from error


KINDS = (
    Kind("baseline", 24, make_baseline, use_baseline, "blessed.json"),
    Kind("results", 24, make_results, use_results, "results.json"),
    Kind("replay", 12, make_replay, use_replay),
    Kind("probe", 6, make_probe, use_probe_value),
    Kind("prompts", 8, make_prompts, use_prompts, "prompts.json"),
    Kind("direction", 4, make_direction, use_direction, "up.json"),
    Kind("option", 10, make_option, use_option),
    Kind("database", 6, make_database, use_database),
    Kind("reference", 5, make_reference, use_reference, "reference"),
    Kind("array", 4, make_array, use_array),
    Kind("images", 3, make_image_folder, use_image_folder),
    Kind("kept", 4, make_kept, use_kept),
    Kind("clip", 4, make_clip, use_clip, "clip"),
    Kind("onnx", 2, make_onnx, use_onnx),
    Kind("weights", 3, make_weights, use_weights),
)
