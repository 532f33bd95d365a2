"""Sinks: their names, what they need, the names of figures, and trackers of other packages."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gentest.errors import InvalidArgument
from gentest.integrations import sinks, sources
from gentest.integrations.sinks import figure_names, sink_of, tracked_runs
from gentest.results.document import Document
from gentest.results.result import Provenance, Result, Verdict
from tests.helpers.board import write_package


def result(test: str, property: str = "lit()", checkpoint: str = "") -> Result:
    return Result(test, property, Verdict.HOLDS, provenance=Provenance(checkpoint=checkpoint))


def test_every_figure_of_every_result_is_tracked(document: Document) -> None:
    """A tracker gets each number of each result under a name of its own, and the totals of the run."""
    (run,) = tracked_runs(document)
    names = figure_names(document.results)
    assert len(run.figures) == 4 + sum(len(result.figures()) for result in document.results)
    for name, one in zip(names, document.results, strict=True):
        assert {figure: run.figures[f"{name}/{figure}"] for figure in one.figures()} == one.figures()
    assert run.figures["gentest/properties"] == 4
    assert run.figures["gentest/passed"] == sum(one.passed for one in document.results)
    assert run.figures["gentest/images"] == sum(one.images for one in document.results)
    assert run.parameters["seed"] == str(document.session.seed)
    assert run.parameters["outcome"] == "failed"


def test_each_checkpoint_is_a_run_of_its_own(of_two: Document) -> None:
    """Two checkpoints give two runs with the same names of figures, so that a tracker can compare them."""
    first, second = tracked_runs(of_two)
    assert (first.name, second.name) == ("a.pt", "b.pt")
    assert first.figures == second.figures
    assert (first.parameters["checkpoint"], second.parameters["checkpoint"]) == ("a.pt", "b.pt")


def test_a_run_without_results_is_tracked(document: Document) -> None:
    """A run whose tests were all skipped has its totals and its parameters."""
    (run,) = tracked_runs(replace(document, results=(), gate=None))
    assert run.figures == {name: 0 for name in run.figures}
    assert run.parameters["outcome"] == "passed"


@pytest.mark.parametrize(
    ("results", "names"),
    [
        ([result("tests/a/test_a.py::T::test_x[1, b]", "lit(a, at=1)")], ["tests.a.test_a.T.test_x-1-b/lit"]),
        ([result("a.py::t"), result("a.py::t"), result("a.py::u")], ["a.t/lit", "a.t/lit.2", "a.u/lit"]),
        ([result("a.py::t", checkpoint="1"), result("a.py::t", checkpoint="2")], None),
        ([result("a.py::t[+]"), result("a.py::t[-]")], None),
        ([result("größe.py::été")], ["gr-e.-t/lit"]),
        ([result("::")], ["x/lit"]),
    ],
)
def test_names_of_figures_are_plain_and_tell_apart(results: list[Result], names: list[str] | None) -> None:
    """Letters, digits, dots, hyphens and underscores, at most 250 of them with any figure, and no name twice."""
    found = figure_names(results)
    assert len(set(found)) == len(results)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+", name) for name in found)
    if names is not None:
        assert found == names


def test_long_names_fit_and_tell_apart() -> None:
    long = [result(f"test_a.py::{'x' * 1000}{n}", f"{'p' * 1000}()") for n in range(3)]
    found = figure_names(long)
    assert len(set(found)) == 3
    assert max(map(len, found)) <= 250 - len("/needed_violated")


@pytest.mark.parametrize("name", sinks.SHIPPED)
def test_a_library_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install. Nothing was imported to find out."""
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    loaded = name in sys.modules
    with pytest.raises(InvalidArgument, match=rf"^{name} is not installed: pip install 'pytest-gentest\[{name}\]'$"):
        sink_of(name)
    assert (name in sys.modules) == loaded


@pytest.mark.parametrize("text", ["", "nope", ":x", "MLFLOW", "nope:mlflow"])
def test_an_unknown_tracker_is_an_error(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"is not a tracker that gentest can log to: mlflow, tensorboard, wandb$"):
        sink_of(text)


def test_another_package_adds_a_tracker(tmp_path: Path, document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of the group gentest.sinks is a tracker by its name, and errors list it."""
    write_package(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert sink_of("board:wall").log(document, "<html>") == "logged to the board wall"
    assert Path("wall.txt").read_text() == "4 results, 0 on the page\n"
    with pytest.raises(InvalidArgument, match="can log to: board, broken, failing, gone, mlflow, tensorboard, wandb"):
        sink_of("bored")
