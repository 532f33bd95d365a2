"""Everything that trackers have of the one run in a folder, each read by its own library, as JSON.

    python -m tests.helpers.read_trackers FOLDER

A process of its own, because neither MLflow nor W&B survives that pytester forgets what a test imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.helpers import event_files, wandb_file


def read(folder: Path) -> dict[str, Any]:
    """The figures that MLflow, W&B offline and TensorBoard have, by tracker."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("gentest").experiment_id])
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    scalars, _ = event_files.read(folder / "runs")
    return {"mlflow": run.data.metrics, "wandb": wandb_file.history(file), "tensorboard": scalars}


if __name__ == "__main__":
    json.dump(read(Path(sys.argv[1])), sys.stdout)
