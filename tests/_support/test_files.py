"""Files: written whole or left as they were, and read within limits."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gentest._support import files
from gentest._support.files import write_whole

if TYPE_CHECKING:
    pass
import json

from gentest._support.files import read_json
from gentest.errors import InvalidArgument
from gentest.gate.baseline import Baseline
from tests.helpers.full_disk import full_beyond


@pytest.mark.parametrize("what", ["full", "no folder", "a folder there"])
def test_a_file_that_cannot_be_written_is_left_as_it_was(what: str, tmp_path: Path) -> None:
    """No reader sees half a file, and no temporary file remains."""
    path = tmp_path / ("none/a.json" if what == "no folder" else "a.json")
    if what == "full":
        write_whole(path, "before")
    if what == "a folder there":
        path.mkdir()
    there = sorted(tmp_path.rglob("*"))
    with full_beyond(1000), pytest.raises(OSError, match=r"too large|No such file|Is a directory"):
        write_whole(path, "x" * 5000)
    assert sorted(tmp_path.rglob("*")) == there
    assert what != "full" or path.read_text() == "before"


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    """The next write of the same file removes temporary files that are too old to be in use, and nothing else."""
    old = time.time() - 2 * files.STALE
    names = [".a.json.123.tmp", ".a.json.124.tmp", ".b.json.123.tmp", ".a.json.mine.tmp", "a.json.123.tmp"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (old, old))
    os.utime(tmp_path / names[1])
    write_whole(tmp_path / "a.json", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.json", *names[1:]])


def test_devices_and_links_stay_what_they_are(tmp_path: Path) -> None:
    """A link is followed, and a device or a pipe is written to; neither becomes a regular file."""
    (tmp_path / "real.json").write_text("before")
    (tmp_path / "link.json").symlink_to("real.json")
    write_whole(tmp_path / "link.json", "after")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "after"
    (tmp_path / "null").symlink_to(os.devnull)
    write_whole(tmp_path / "null", "gone")
    assert not Path(os.devnull).is_file()
    with pytest.raises(OSError, match="No space left"):
        write_whole(Path("/dev/full"), "x")
    assert not Path("/dev/full").is_file()


@pytest.mark.parametrize("name", ["/dev/zero", "pipe"])
def test_devices_and_pipes_are_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device and a pipe without a writer are rejected at once, even behind a link."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("link.json").symlink_to(name)
    with pytest.raises(InvalidArgument, match="not a regular file"):
        Baseline.load(Path("link.json"))


def test_a_short_file_of_many_values_is_refused(tmp_path: Path) -> None:
    """Six MB of brackets would be some hundred MB of lists."""
    path = tmp_path / "many.json"
    path.write_bytes(b"[" + b"[]," * 2_000_000 + b"[]]")
    with pytest.raises(ValueError, match="more than 2,000,000 values"):
        read_json(path, most_bytes=2**26)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9" * 1_000_000, "a number of 1000000 digits"),
        ("[" * 33 + "]" * 33, "more than 32 levels"),
        ("[" * 1_000_000, "more than 32 levels"),
        ('{"a": 1, "a": 2}', "a name appears twice"),
        ("[NaN]", "NaN is not a JSON number"),
        ("-1e400", "-1e400 is too large"),
        ("{", "Expecting property name"),
        ("\x00", "Expecting value"),
    ],
    ids=lambda value: value[:12],
)
def test_json_beyond_what_gentest_writes_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """Endless numbers, deep nesting, duplicate names and words outside JSON are each rejected in one line."""
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_json(path, most_bytes=2**26)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_allowed_is_read(tmp_path: Path) -> None:
    """Files just within the limits are read."""
    path = tmp_path / "a.json"
    value = {"deep": json.loads("[" * 30 + "]" * 30), "number": 2**64, "half": "\ud800", "small": 5e-324}
    path.write_text(json.dumps(value))
    assert read_json(path, most_bytes=2**20) == value


def test_a_file_is_written_through_no_link_beside_it(tmp_path: Path) -> None:
    """A link planted under the temporary file's name is not followed."""
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / f".out.json.{os.getpid()}.tmp").symlink_to(tmp_path / "theirs")
    write_whole(tmp_path / "out.json", "ours")
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "out.json").read_text() == "ours"
