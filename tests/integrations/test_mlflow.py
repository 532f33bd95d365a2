"""MLflow on a local sqlite database: figures and files read back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gentest.integrations.sinks import sink_of, tracked_runs
from gentest.results.document import Document

pytest.importorskip("mlflow", reason="needs the extra mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
"""MLflow's own warnings are not gentest's."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing in it. MLflow takes seconds to make one."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def client(database: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's client of a copy of the empty database, and no settings of anybody's."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copy(database, folder)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, f"sqlite:///{folder}/mlflow.db")
    monkeypatch.chdir(folder)
    return MlflowClient()


def test_figures_and_files_read_back(client: Any, tmp_path: Path, document: Document) -> None:
    """Every figure is a metric, every parameter a parameter, and the page and the JSON are artifacts."""
    line = sink_of("mlflow:faces").log(document, "<html>the page</html>")
    (run,) = client.search_runs([client.get_experiment_by_name("faces").experiment_id])
    assert line == f"logged to MLflow: run {run.info.run_id} in {client.tracking_uri}"
    (tracked,) = tracked_runs(document)
    assert run.data.metrics == dict(tracked.figures)
    assert run.data.params == {f"gentest.{name}": value for name, value in tracked.parameters.items()}
    assert (run.info.status, run.data.tags["gentest.outcome"]) == ("FINISHED", "failed")
    page = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert Path(page).read_text() == "<html>the page</html>"
    whole = client.download_artifacts(run.info.run_id, "gentest.json", str(tmp_path))
    assert Document.from_json(json.loads(Path(whole).read_text())) == document


def test_each_checkpoint_is_a_run(client: Any, of_two: Document) -> None:
    sink_of("mlflow").log(of_two, "")
    runs = client.search_runs([client.get_experiment_by_name("gentest").experiment_id])
    assert {run.info.run_name: run.data.metrics for run in runs} == {
        run.name: dict(run.figures) for run in tracked_runs(of_two)
    }


def test_a_run_that_the_environment_names_is_joined(
    client: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures join a training's run, which goes on as it was."""
    own = client.create_run(client.create_experiment("training"))
    client.log_metric(own.info.run_id, "loss", 0.5)
    monkeypatch.setenv("MLFLOW_RUN_ID", own.info.run_id)
    sink_of("mlflow").log(document, "")
    run = client.get_run(own.info.run_id)
    (tracked,) = tracked_runs(document)
    assert run.data.metrics == {"loss": 0.5, **tracked.figures}
    assert run.info.status == "RUNNING"
    assert client.get_experiment_by_name("gentest") is None


def test_a_run_with_many_figures_is_logged_whole(client: Any, document: Document) -> None:
    """MLflow takes a thousand metrics in one request; a large suite has more."""
    results = tuple(replace(document.results[0], test=f"test_a.py::test_{n}") for n in range(60))
    large = replace(document, results=results)
    sink_of("mlflow").log(large, "")
    (run,) = client.search_runs([client.get_experiment_by_name("gentest").experiment_id])
    (tracked,) = tracked_runs(large)
    assert len(tracked.figures) > 1000
    assert run.data.metrics == dict(tracked.figures)
