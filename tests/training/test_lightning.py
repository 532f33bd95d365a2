"""The Lightning callback, with Lightning's own Trainer and logger."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import gentest
from tests.helpers import small_training

lightning = pytest.importorskip("lightning.pytorch", reason="needs the extra lightning")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
    """The small training run as a LightningModule, which collapses after step 200."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_training.network()

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return small_training.loss(self.net(torch.randn(32, 4)), collapses=self.global_step >= 200)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def trainer(folder: Path, *callbacks: Any, steps: int) -> Any:
    logger = lightning.loggers.CSVLogger(folder)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        max_steps=steps, accelerator="cpu", logger=logger, callbacks=list(callbacks), default_root_dir=folder, **quiet
    )


def test_a_collapse_stops_the_trainer_and_figures_are_in_its_log(tmp_path: Path) -> None:
    """Training ends at the alarm, with the weights of a run that nobody watched; a checkpoint has the memory."""
    from gentest.training.lightning import LightningWatch

    monitor = gentest.Monitor(small_training.SUITE, reference=1)
    watch = LightningWatch(monitor, lambda module: small_training.generator(module.net), every=100)
    module, fit = Module(), trainer(tmp_path / "watched", watch, steps=500)
    loader = DataLoader(TensorDataset(torch.zeros(1000, 1)), batch_size=1)
    fit.fit(module, loader)
    assert 200 < fit.global_step < 500
    assert set(monitor.alarms.values()) == {fit.global_step}
    fit.save_checkpoint(tmp_path / "a.ckpt")
    kept = torch.load(tmp_path / "a.ckpt", weights_only=False)["callbacks"]
    assert monitor.state_dict() in kept.values()
    rows = list(csv.DictReader(next((tmp_path / "watched").rglob("metrics.csv")).open()))
    logged = {int(row["step"]): float(row["suite/diverse/rate"]) for row in rows if row.get("suite/diverse/rate")}
    assert list(logged) == list(range(100, fit.global_step + 1, 100))
    alone = Module()
    trainer(tmp_path / "alone", steps=fit.global_step).fit(alone, loader)
    for one, other in zip(module.state_dict().values(), alone.state_dict().values(), strict=True):
        assert one.tolist() == other.tolist()
