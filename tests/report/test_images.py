"""The folder of images: a PNG for each output of a counterexample, under names that any file system takes."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gentest.report import images
from gentest.results.drawings import Drawings
from gentest.results.result import Provenance, Result, Verdict
from tests.helpers import drawn
from tests.helpers.drawn import failed, strip

PNG = base64.b64encode(b"\x89PNG").decode()


def with_whole(n: int = 2) -> Result:
    """A result whose counterexamples have so many outputs in full size."""
    whole = replace(strip(n), whole=(PNG,) * n, places=tuple(range(0, 8 * n, 8)))
    return failed(drawings=Drawings(worst=whole, minimal=whole, command="pytest"))


def test_each_output_is_a_file(tmp_path: Path) -> None:
    """Files are named by the place in the probe, shown or not; the result goes on without them, and knows how many."""
    result = images.write(tmp_path / "new", with_whole())
    [folder] = (tmp_path / "new").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "minimal-00.png",
        "minimal-01.png",
        "worst-00.png",
        "worst-01.png",
    ]
    assert (folder / "worst-01.png").read_bytes() == b"\x89PNG"
    assert result.drawings is not None
    assert result.drawings.worst is not None
    assert (result.drawings.files, result.drawings.worst.whole, result.drawings.command) == (4, (), "pytest")
    assert len(result.drawings.worst.frames) == 2


def test_a_pair_has_files_of_its_reference_and_its_difference(tmp_path: Path) -> None:
    """Beside the candidate's own outputs; the result goes on without them, and a later run replaces them."""
    pair = replace(drawn.difference(), whole=(PNG, PNG))
    result = failed(drawings=Drawings(minimal=replace(strip(1), whole=(PNG,)), minimal_difference=pair))
    written = images.write(tmp_path, result)
    [folder] = tmp_path.iterdir()
    names = ["minimal-00.png", "minimal-difference.png", "minimal-reference.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert written.drawings is not None
    assert written.drawings.minimal_difference == replace(pair, whole=())
    images.write(tmp_path, failed(drawings=Drawings(minimal=replace(strip(1), whole=(PNG,)))))
    assert [path.name for path in folder.iterdir()] == ["minimal-00.png"]


def test_files_of_an_earlier_run_go_and_others_stay(tmp_path: Path) -> None:
    """What failed before and does not now leaves no picture that could be taken for one of this run."""
    images.write(tmp_path, with_whole(3))
    [folder] = tmp_path.iterdir()
    (folder / "mine.png").write_bytes(b"mine")
    images.write(tmp_path, with_whole(1))
    assert sorted(path.name for path in folder.iterdir()) == ["mine.png", "minimal-00.png", "worst-00.png"]
    passed = images.write(tmp_path, failed(drawings=Drawings()))
    assert [path.name for path in folder.iterdir()] == ["mine.png"]
    assert passed.drawings == Drawings()


def test_without_a_counterexample_there_is_no_folder(tmp_path: Path) -> None:
    """A property that holds leaves nothing behind."""
    for shown in (None, Drawings()):
        images.write(tmp_path / "new", Result("t", "p", Verdict.HOLDS, drawings=shown))
    assert list(tmp_path.iterdir()) == []


@given(st.text(), st.text(), st.text())
def test_no_name_leaves_the_folder(test: str, property: str, checkpoint: str) -> None:
    """Whatever is called whatever, the folder has a plain name of limited length."""
    name = images.folder_name(Result(test, property, Verdict.HOLDS, provenance=Provenance(checkpoint=checkpoint)))
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", name)
    assert not name.startswith(".")


@pytest.mark.parametrize("changed", [{"test": "b"}, {"property": "p "}, {"provenance": Provenance(checkpoint="c")}])
def test_each_property_has_a_folder_of_its_own(changed: dict[str, Any]) -> None:
    """Names that look alike once they are plain are told apart."""
    one = Result("a", "p", Verdict.HOLDS)
    assert images.folder_name(one) != images.folder_name(replace(one, **changed))
