"""Weights & Biases, offline: the file that it would send has the figures of a run as its JSON has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gentest.integrations.sinks import sink_of, tracked_runs
from gentest.results.document import Document
from tests.helpers.wandb_file import config, history

pytest.importorskip("wandb", reason="needs the extra wandb")
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody's settings, key or folder. W&B reads them once a process, unless it is told to forget them."""
    import wandb

    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DIR", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.parametrize("mode", ["offline", None])
def test_figures_read_back_unrounded(
    mode: str | None, tmp_path: Path, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every figure is in the run's history, the parameters in its configuration; without a key it stays offline."""
    if mode is not None:
        monkeypatch.setenv("WANDB_MODE", mode)
    line = sink_of("wandb:faces").log(document, "<html>the page</html>")
    (file,) = files(tmp_path)
    assert line == f"logged to W&B: {file.parent} (offline; `wandb sync` sends it)"
    logged, (run,) = history(file), tracked_runs(document)
    assert {name: logged[name] for name in run.figures} == dict(run.figures)
    assert {name: value for name, value in config(file).items() if name != "_wandb"} == dict(run.parameters)
    assert (file.parent / "files" / logged["gentest/report/path"]).read_text() == "<html>the page</html>"


def test_each_checkpoint_is_a_run(tmp_path: Path, of_two: Document) -> None:
    line = sink_of("wandb").log(of_two, "")
    assert line.count("offline-run-") == 2
    runs = {config(file)["checkpoint"]: history(file) for file in files(tmp_path)}
    for run in tracked_runs(of_two):
        assert {name: runs[run.name][name] for name in run.figures} == dict(run.figures)


def test_a_run_of_ones_own_goes_on(tmp_path: Path, document: Document) -> None:
    """A training script's run is the same before and after, and takes nothing of gentest's."""
    import wandb

    with wandb.init(mode="offline", project="training", settings=wandb.Settings(silent=True)) as own:
        own.log({"loss": 0.5})
        sink_of("wandb").log(document, "")
        assert wandb.run is own
        own.log({"loss": 0.25})
    (file,) = [file for file in files(tmp_path) if own.id in file.name]
    assert {name for name in history(file) if not name.startswith("_")} == {"loss"}
    assert json.dumps(history(file)["loss"]) == "0.25"
