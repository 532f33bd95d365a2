"""MLflow: a run's figures and report, by `--gentest-log mlflow`; and checkpoints of its registry, by `models:/`."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gentest.integrations.sinks import TrackedRun, tracked_runs
from gentest.integrations.sources import Fetched, require
from gentest.results.document import Document

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 500
"""Metrics of one request. MLflow takes 1,000, and a request of a megabyte."""
BATCH_OF_PARAMETERS = 100
"""MLflow takes as many in one request."""
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
"""The variable of MLflow that says how often it asks a server again."""
EXPERIMENT = "gentest"
"""The experiment of runs that name none."""


class MlflowSink:
    """A run of MLflow for each checkpoint: figures as metrics, seed and fingerprints as parameters, files as artifacts.

    MLflow's own variables decide the rest: `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME`. With `MLFLOW_RUN_ID`, the
    figures of a run of one checkpoint join that run.
    """

    def __init__(self, experiment: str) -> None:
        require("mlflow", extra="mlflow")
        self._experiment = experiment

    def log(self, document: Document, page: str) -> str:
        """Send the runs. Raises MLflow's error if it cannot."""
        from mlflow import MlflowClient

        client = MlflowClient()
        runs = tracked_runs(document)
        joined = os.environ.get("MLFLOW_RUN_ID") if len(runs) == 1 else None
        with _few_retries():
            ids = [self._log(client, run, document, page, joined) for run in runs]
        return f"logged to MLflow: run {', '.join(ids)} in {client.tracking_uri}"

    def _log(self, client: MlflowClient, run: TrackedRun, document: Document, page: str, joined: str | None) -> str:
        run_id = joined or self._created(client, run)
        try:
            _log_figures(client, run_id, run)
            client.log_text(run_id, page, "report.html")
            client.log_text(run_id, json.dumps(document.to_json(), indent=1), "gentest.json")
        except BaseException:
            if joined is None:
                with suppress(Exception):  # the first error is the one to report
                    client.set_terminated(run_id, "FAILED")
            raise
        if joined is None:
            client.set_terminated(run_id, "FINISHED")
        return run_id

    def _created(self, client: MlflowClient, run: TrackedRun) -> str:
        """A new run in the experiment that the option or the environment names."""
        name = self._experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        experiment = os.environ.get("MLFLOW_EXPERIMENT_ID") if not self._experiment else None
        if experiment is None:
            known = client.get_experiment_by_name(name)
            experiment = client.create_experiment(name) if known is None else known.experiment_id
        created = client.create_run(experiment, run_name=run.name or None)
        run_id: str = created.info.run_id
        return run_id


def _log_figures(client: MlflowClient, run_id: str, run: TrackedRun) -> None:
    from mlflow.entities import Metric, Param

    now = int(1000 * time.time())
    metrics = [Metric(name, value, now, 0) for name, value in run.figures.items()]
    parameters = [Param(f"gentest.{name}", value) for name, value in run.parameters.items()]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    for start in range(0, len(parameters), BATCH_OF_PARAMETERS):
        client.log_batch(run_id, params=parameters[start : start + BATCH_OF_PARAMETERS])
    client.set_tag(run_id, "gentest.outcome", run.parameters["outcome"])


def fetch(address: str) -> Fetched:
    """The files of a registered model or of a run: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/ID/PATH`.

    A path inside may follow. The files are copied to a temporary folder until this process ends. An alias and `latest`
    are pinned to the version that they name now. MLflow's variables name the registry.
    """
    require("mlflow", extra="mlflow")
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    folder = tempfile.mkdtemp(prefix="gentest-mlflow-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with _few_retries():
        pinned = _pinned(MlflowClient(), address)
        return Fetched(Path(download_artifacts(artifact_uri=pinned, dst_path=folder)), pinned)


def _pinned(client: MlflowClient, address: str) -> str:
    if match := re.fullmatch(r"models:/([^/@]+)@([^/]+)(/.*)?", address):
        version = client.get_model_version_by_alias(match[1], match[2]).version
        return f"models:/{match[1]}/{version}{match[3] or ''}"
    if match := re.fullmatch(r"models:/([^/@]+)/latest(/.*)?", address):
        versions = client.search_model_versions(f"name='{match[1]}'")
        newest = max((int(one.version) for one in versions), default=None)
        return address if newest is None else f"models:/{match[1]}/{newest}{match[2] or ''}"
    return address


@contextmanager
def _few_retries() -> Iterator[None]:
    """Let a server that does not answer fail after some seconds: MLflow tries for four minutes unless it is told."""
    if RETRIES in os.environ:
        yield
        return
    os.environ[RETRIES] = "2"
    try:
        yield
    finally:
        del os.environ[RETRIES]
