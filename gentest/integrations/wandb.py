"""Weights & Biases: a run's figures and report, by `--gentest-log wandb` or `wandb:PROJECT`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gentest.integrations.sinks import TrackedRun, tracked_runs
from gentest.integrations.sources import require
from gentest.results.document import Document

if TYPE_CHECKING:
    import wandb

PATIENCE = 20.0
"""Seconds to wait for W&B's server, if no variable of W&B says how many."""


class WandbSink:
    """A run of Weights & Biases for each checkpoint, with the figures as its history and summary, and the report.

    W&B's own variables decide the rest: `WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_DIR`, `WANDB_MODE=offline`. Without an
    API key the run is offline, since asking for one would stop pytest.
    """

    def __init__(self, project: str) -> None:
        require("wandb", extra="wandb")
        self._project = project or None

    def log(self, document: Document, page: str) -> str:
        """Write or send the runs. Raises W&B's error if it cannot."""
        return "; ".join([f"logged to W&B: {self._log(run, document, page)}" for run in tracked_runs(document)])

    def _log(self, tracked: TrackedRun, document: Document, page: str) -> str:
        """Log one checkpoint and return the address of its run, or else its folder."""
        import wandb

        # asking for a key would wait for an answer; `verify` would ask the server
        offline = "WANDB_MODE" not in os.environ and not wandb.login(prompt=False, verify=False)
        run = wandb.init(
            project=self._project or os.environ.get("WANDB_PROJECT") or "gentest",
            name=tracked.name or None,
            job_type="gentest",
            config=dict(tracked.parameters),
            mode="offline" if offline else None,
            reinit="create_new",  # a training script's own run stays as it is
            settings=wandb.Settings(silent=True, console="off", init_timeout=_patience()),
        )
        try:
            run.log({**tracked.figures, "gentest/report": wandb.Html(page, inject=False)})
            run.summary.update({"gentest/outcome": tracked.parameters["outcome"]})
            run.log_artifact(_artifact(f"gentest-{run.id}", document, page))
            where = str(Path(run.dir).parent if run.offline else run.url)
            run.finish()
        except BaseException:
            run.finish(exit_code=1)
            raise
        return f"{where} (offline; `wandb sync` sends it)" if run.offline else where


def _patience() -> float:
    """Seconds to wait for the server. W&B itself waits for a minute and a half."""
    return float(os.environ.get("WANDB_INIT_TIMEOUT", PATIENCE))


def _artifact(name: str, document: Document, page: str) -> wandb.Artifact:
    """The JSON of a run and its page as the files of one artifact."""
    import wandb

    artifact = wandb.Artifact(name, type="gentest")
    for file_name, text in {"gentest.json": json.dumps(document.to_json(), indent=1), "report.html": page}.items():
        with artifact.new_file(file_name, encoding="utf-8") as file:
            file.write(text)
    return artifact
