"""The document of a run as a file: it is there whole, or not at all."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from gentest.results.document import Document
from gentest.results.result import Cost, Result, Verdict
from tests.helpers.handmade import SESSION

DOCUMENT = Document(SESSION, (Result("t", "p", Verdict.HOLDS),))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, object()], ids=["nan", "inf", "object"])
def test_half_a_file_is_never_left(wrong: float, tmp_path: Path) -> None:
    """A value that JSON cannot hold raises, and leaves the earlier file and nothing beside it."""
    path = tmp_path / "results.json"
    DOCUMENT.save(path)
    before = path.read_bytes()
    with pytest.raises((ValueError, TypeError)):
        replace(DOCUMENT, results=(replace(DOCUMENT.results[0], cost=Cost(seconds=wrong)),)).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last step fails, the earlier file is as it was and nothing is left beside it."""
    path = tmp_path / "results.json"
    DOCUMENT.save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        replace(DOCUMENT, results=()).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_results_is_one_that_others_may_read(tmp_path: Path) -> None:
    """The file has the permissions of any file that the process writes, not those of a temporary one."""
    path, plain = tmp_path / "results.json", tmp_path / "plain"
    plain.touch()
    DOCUMENT.save(path)
    assert path.stat().st_mode == plain.stat().st_mode
