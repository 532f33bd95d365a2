"""MLflow: a run's figures and report, by `--gentest-log mlflow`."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from gentest.integrations.sinks import TrackedRun, require, tracked_runs
from gentest.results.document import Document

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 500
"""Metrics of one request. MLflow takes 1,000, and a request of a megabyte."""
BATCH_OF_PARAMETERS = 100
"""MLflow takes as many in one request."""
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
