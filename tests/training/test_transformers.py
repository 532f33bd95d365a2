"""The callback of the Hugging Face Trainer, with the real Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gentest
from tests.helpers import small_training

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class Model(nn.Module):
    """The small training run as the Trainer wants it, which collapses after step 200."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.steps = small_training.network(), 0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.steps += 1
        return {"loss": small_training.loss(self.net(torch.randn(32, 4)), collapses=self.steps > 200)}


def test_a_collapse_stops_the_trainer_and_figures_are_in_its_log(tmp_path: Path) -> None:
    """Training ends at the alarm; a checkpoint has the monitor's memory, and a run that resumes takes it up."""
    from gentest.training.transformers import MEMORY, TrainerWatch

    monitor = gentest.Monitor(small_training.SUITE, reference=1)
    watch = TrainerWatch(monitor, lambda model: small_training.generator(model.net), every=100)
    data = [{"x": torch.zeros(1)}] * 1000

    def trainer(watch: Any, steps: int) -> Any:
        arguments = transformers.TrainingArguments(
            str(tmp_path), max_steps=steps, per_device_train_batch_size=1, save_steps=100, report_to=[], use_cpu=True,
            learning_rate=0.01, disable_tqdm=True,
        )  # fmt: skip
        return transformers.Trainer(Model(), arguments, train_dataset=data, callbacks=[watch])

    made = trainer(watch, 500)
    watch.trainer = made
    made.train()
    stopped = made.state.global_step
    assert 200 < stopped < 500
    assert set(monitor.alarms.values()) == {stopped}
    logged = [entry["step"] for entry in made.state.log_history if "suite/diverse/rate" in entry]
    assert logged == list(range(100, stopped + 1, 100))
    assert (tmp_path / "checkpoint-100" / MEMORY).exists()
    again = gentest.Monitor(small_training.SUITE, reference=1)
    resumed = trainer(TrainerWatch(again, lambda model: small_training.generator(model.net), every=100), 101)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-100"))
    assert again.last_step == 100
