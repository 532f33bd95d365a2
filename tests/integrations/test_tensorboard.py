"""TensorBoard's own reader finds the figures of a run as its JSON has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gentest.errors import InvalidArgument
from gentest.integrations.sinks import sink_of, tracked_runs
from gentest.results.document import Document
from tests.helpers.event_files import read

pytest.importorskip("tensorboard", reason="needs the extra tensorboard")


def test_figures_read_back_unrounded(tmp_path: Path, document: Document) -> None:
    """Every figure is there in double precision, with the parameters and the page as text."""
    line = sink_of(f"tensorboard:{tmp_path / 'runs'}").log(document, "")
    assert line == f"logged to TensorBoard: {tmp_path / 'runs'}"
    scalars, texts = read(tmp_path / "runs")
    (run,) = tracked_runs(document)
    assert scalars == dict(run.figures)
    assert any(value != round(value, 4) for value in scalars.values())
    assert f"| seed | {document.session.seed} |" in texts["gentest/parameters/text_summary"]
    assert "### Gate: ❌ regressed" in texts["gentest/run/text_summary"]


def test_each_checkpoint_has_a_folder(tmp_path: Path, of_two: Document) -> None:
    sink_of(f"tensorboard:{tmp_path}").log(of_two, "")
    first, second = tracked_runs(of_two)
    assert read(tmp_path / "a.pt")[0] == dict(first.figures)
    assert read(tmp_path / "b.pt")[0] == dict(second.figures)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "b.pt"]


def test_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match="needs the folder of its event files: tensorboard:DIR"):
        sink_of("tensorboard")
    with pytest.raises(InvalidArgument, match="is a file; expected a folder"):
        sink_of(f"tensorboard:{tmp_path / 'file'}")


def test_a_folder_that_cannot_be_written_raises(tmp_path: Path, document: Document) -> None:
    sink = sink_of(f"tensorboard:{tmp_path / 'a' / 'b'}")
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="a"):
        sink.log(document, "")
