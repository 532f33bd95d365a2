"""MLflow on a local sqlite database: figures and files read back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gentest.errors import InvalidArgument
from gentest.integrations.mlflow import RETRIES
from gentest.integrations.sinks import sink_of, tracked_runs
from gentest.integrations.sources import fetch
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


def registered(client: Any, folder: Path, name: str = "faces") -> None:
    """A registered model of two versions, each a folder with one file; `champion` names the first."""
    client.create_registered_model(name)
    run = client.create_run(client.create_experiment(f"training {name}"))
    for version in ("1", "2"):
        (folder / version).mkdir(parents=True)
        (folder / version / "model.json").write_text(f'{{"version": {version}}}')
        client.log_artifacts(run.info.run_id, str(folder / version), f"model{version}")
        client.create_model_version(name, f"runs:/{run.info.run_id}/model{version}", run.info.run_id)
    client.set_registered_model_alias(name, "champion", "1")


@pytest.mark.parametrize(
    ("address", "pinned", "version"),
    [
        ("models:/faces@champion", "models:/faces/1", 1),
        ("models:/faces/2", "models:/faces/2", 2),
        ("models:/faces/latest", "models:/faces/2", 2),
        ("models:/faces@champion/model.json", "models:/faces/1/model.json", 1),
    ],
)
def test_a_registered_model_is_fetched(client: Any, tmp_path: Path, address: str, pinned: str, version: int) -> None:
    """The folder or a file of a version; an alias is pinned to the version that it names now."""
    registered(client, tmp_path)
    fetched = fetch(address)
    assert fetched.pinned == pinned
    file = fetched.path if fetched.path.is_file() else fetched.path / "model.json"
    assert json.loads(file.read_text()) == {"version": version}
    client.set_registered_model_alias("faces", "champion", "2")
    assert fetch(fetched.pinned).pinned == pinned


@pytest.mark.parametrize("address", ["models:/nobody@champion", "models:/faces@nobody", "models:/faces/9", "runs:/1/a"])
def test_a_model_that_is_not_there_is_one_line(client: Any, tmp_path: Path, address: str) -> None:
    registered(client, tmp_path)
    with pytest.raises(InvalidArgument, match=f"^{address}: ") as caught:
        fetch(address)
    assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_fails_soon(document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some seconds, not after MLflow's four minutes; the variable that says so is gone again."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"http://127.0.0.1:{closed.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(Exception, match="Max retries exceeded"):
            sink_of("mlflow").log(document, "")
        with pytest.raises(InvalidArgument, match=r"^models:/faces@champion: "):
            fetch("models:/faces@champion")
        assert time.monotonic() - started < 60
    assert RETRIES not in os.environ
