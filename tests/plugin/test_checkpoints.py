"""The checkpoints that a name or a pattern finds, and their names."""

from __future__ import annotations

from pathlib import Path

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
    assert checkpoints.find(str(models / text)) == [models / name for name in expected]


@pytest.mark.parametrize("text", ["none.pt", "*.ckpt", "a.pt/x", "x" * 5000, "[", "deep/b.pt"])
def test_nothing_found_is_an_error(text: str, models: Path) -> None:
    """A name without a file and a pattern without a match are an error."""
    with pytest.raises(ValueError, match="no such file or folder, and the pattern matches none"):
        checkpoints.find(str(models / text))


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
    named = checkpoints.named([Path(p) for p in paths])
    assert [checkpoint.name for checkpoint in named] == expected
    assert [str(checkpoint.path) for checkpoint in named] == paths


def test_a_path_counts_once(models: Path) -> None:
    """A checkpoint that two names or patterns give is one checkpoint, by its absolute path."""
    named = checkpoints.named([models / "a.pt", models / "deep" / ".." / "a.pt", models / "b.pt"])
    assert [checkpoint.path for checkpoint in named] == [models / "a.pt", models / "b.pt"]
