"""Which checkpoints a run looks at, what each is called, and what a test is called without one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gentest.plugin import checkpoints


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of checkpoints: three files and a folder in it, one file of the same name below."""
    for name in ("a.pt", "b.pt", "c[1].pt", "deep/a.pt", "folder/model.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("weights")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.pt", ["a.pt"]),
        ("folder", ["folder"]),
        ("*.pt", ["a.pt", "b.pt", "c[1].pt"]),
        ("[ab].pt", ["a.pt", "b.pt"]),
        ("c[1].pt", ["c[1].pt"]),
        ("**/a.pt", ["a.pt", "deep/a.pt"]),
        ("deep/../a.pt", ["deep/../a.pt"]),
    ],
)
def test_a_name_or_a_pattern_finds(text: str, expected: list[str], models: Path) -> None:
    """A name of a file or folder is that one, whatever is in it; anything else is a pattern, in order."""
    assert checkpoints.find(text, models) == [models / name for name in expected]


def test_an_absolute_path_stays_one(models: Path) -> None:
    """A path that is absolute is looked for there, not in the folder."""
    assert checkpoints.find(str(models / "a.pt"), Path("/nowhere")) == [models / "a.pt"]
    assert len(checkpoints.find(str(models / "*.pt"), Path("/nowhere"))) == 3


@pytest.mark.parametrize("text", ["none.pt", "*.ckpt", "a.pt/x", "x" * 5000, "[", "deep/b.pt"])
def test_nothing_found_is_an_error(text: str, models: Path) -> None:
    """A name without a file and a pattern without a match say what is wanted."""
    with pytest.raises(ValueError, match="a file or folder that exists, or a pattern that matches some"):
        checkpoints.find(text, models)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], []),
        (["/m/a.pt"], ["a.pt"]),
        (["/m/a.pt", "/m/b.pt"], ["a.pt", "b.pt"]),
        (["/m/1/a.pt", "/n/2/b.pt"], ["a.pt", "b.pt"]),
        (["/m/1/a.pt", "/m/2/a.pt"], ["1/a.pt", "2/a.pt"]),
        (["/m/a.pt", "/m/old/a.pt", "/m/b.pt"], ["a.pt", "old/a.pt", "b.pt"]),
        (["/m/x/1/a.pt", "/m/y/1/a.pt"], ["x/1/a.pt", "y/1/a.pt"]),
    ],
)
def test_names_are_short_and_tell_apart(paths: list[str], expected: list[str]) -> None:
    """The last part of a path where that tells them apart, else all from where the paths part."""
    assert checkpoints.names([Path(p) for p in paths]) == expected


def item(nodeid: str, path: Path | None = None, **params: object) -> Any:
    """A test as pytest has it, of which one parameter is its checkpoint."""
    if path is not None:
        params[checkpoints.FIXTURE] = path
    config = SimpleNamespace(option=SimpleNamespace(loadgroup=False))
    return SimpleNamespace(nodeid=nodeid, callspec=SimpleNamespace(params=params), config=config)


A, B = Path("/m/a.pt"), Path("/m/b-1.pt")


@pytest.mark.parametrize(
    ("nodeid", "plain"),
    [
        ("t.py::test_it[checkpoint=b-1.pt]", "t.py::test_it"),
        ("t.py::test_it[checkpoint=b-1.pt-0.5]", "t.py::test_it[0.5]"),
        ("t.py::test_it[0.5-checkpoint=b-1.pt]", "t.py::test_it[0.5]"),
        ("t.py::test_it[0.5-checkpoint=b-1.pt-x-y]", "t.py::test_it[0.5-x-y]"),
        ("t.py::test_it[a--checkpoint=b-1.pt--b]", "t.py::test_it[a---b]"),
        ("t.py::test_it[x[0]-checkpoint=b-1.pt]", "t.py::test_it[x[0]]"),
        ("t.py::test_it[checkpoint=b-1.pt-[]", "t.py::test_it[[]"),
        ("t.py::test_it[checkpoint=b-1.pt-]]", "t.py::test_it[]]"),
        ("t.py::Test::test_it[checkpoint=b-1.pt-a::b]", "t.py::Test::test_it[a::b]"),
        ("dir[1]/t.py::test_it[checkpoint=b-1.pt]", "dir[1]/t.py::test_it"),
        ("dir[1]/t.py::test_it[checkpoint=b-1.pt-0.5]", "dir[1]/t.py::test_it[0.5]"),
    ],
)
def test_the_plain_id_is_that_of_a_single_run(nodeid: str, plain: str) -> None:
    """What names the checkpoint is taken out of a test's id, wherever it stands, and nothing else is."""
    assert checkpoints.plain_id(item(nodeid, B), [A, B]) == plain


@pytest.mark.parametrize("nodeid", ["t.py::test_it", "t.py::test_it[checkpoint=a.pt]", "t.py::test_it[0.5]"])
def test_a_test_of_no_checkpoint_keeps_its_id(nodeid: str) -> None:
    """A test that is not run for each checkpoint has its node id, and no checkpoint."""
    assert checkpoints.plain_id(item(nodeid), [A, B]) == nodeid
    assert checkpoints.of_item(item(nodeid), [A, B]) == ""


@pytest.mark.parametrize("name", ["gänse.pt", "two\nlines.pt", "back\\slash.pt", "模型.pt"])
def test_a_name_that_pytest_escapes_is_taken_out_as_well(name: str) -> None:
    """Where pytest writes a name in ASCII, the plain id is without it all the same."""
    escaped = name.encode("unicode_escape").decode("ascii")
    path = Path("/m") / name
    assert checkpoints.plain_id(item(f"t.py::test_it[checkpoint={escaped}-1]", path), [A, path]) == "t.py::test_it[1]"


def test_the_checkpoint_of_a_test_is_named() -> None:
    """A test that is run for one of several says which; a parameter of that name that is no path is none."""
    assert checkpoints.of_item(item("t", B), [A, B]) == "b-1.pt"
    assert checkpoints.of_item(item("t", Path("/elsewhere")), [A, B]) == ""
    assert checkpoints.of_item(item("t", gentest_checkpoint="b-1.pt"), [A, B]) == ""
    assert checkpoints.of_item(SimpleNamespace(nodeid="t"), [A, B]) == ""
