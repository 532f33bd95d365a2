"""A callback for the Trainer of Hugging Face transformers (`pip install 'pytest-gentest[transformers]'`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from gentest._support.files import write_whole
from gentest.training.monitor import Monitor
from gentest.training.watching import GeneratorOf, OnAlarm, Watching

MEMORY = "gentest_monitor.json"
"""The file of the monitor's memory in a checkpoint's folder."""


class TrainerWatch(TrainerCallback):  # type: ignore[misc]  # untyped for who has no transformers
    """Checks a `gentest.Monitor` every so many optimizer steps, on rank 0, and stops training at an alarm.

    `generator` makes a `gentest.Generator` of the trained model, which is lent bit for bit meanwhile
    (`gentest.borrowed`). Checks are at multiples of `every` steps of `state.global_step`, from step `after` on. With
    `on_alarm`, a function of the `gentest.StepCheck`, training goes on, and the function decides.

    Figures go through `Trainer.log` to all that it reports to, if the callback is given the trainer once that exists:
    `watch.trainer = trainer`. Otherwise they are in `state.log_history` alone. The monitor's memory is in the folder of
    each checkpoint, and a run that resumes from there goes on with it. Models that are spread over processes (FSDP,
    ZeRO-3) do not work. Errors are those of `Monitor.check`.
    """

    def __init__(
        self,
        monitor: Monitor,
        generator: GeneratorOf,
        *,
        every: int,
        after: int = 0,
        on_alarm: OnAlarm | None = None,
    ) -> None:
        self.watching = Watching(monitor, generator, every, after, on_alarm)
        self.trainer: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take up the memory of the checkpoint that the run resumes from, if it has one."""
        path = _memory(args, state)
        if state.global_step and path.exists():
            self.watching.monitor.load_state_dict(json.loads(path.read_text(encoding="utf-8")))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save the monitor's memory beside the checkpoint."""
        if state.is_world_process_zero:
            write_whole(_memory(args, state), json.dumps(self.watching.monitor.state_dict()) + "\n")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: nn.Module, **kwargs: Any
    ) -> None:
        """Check if the step is due."""
        step = state.global_step
        if not self.watching.is_due(step):
            return
        stops = [False]
        if state.is_world_process_zero:
            checked = self.watching.check(model, step)
            if self.trainer is None:
                state.log_history.append({**checked.figures(), "step": step})
            else:
                self.trainer.log(checked.figures())
            stops = [self.watching.stops(checked)]
        if dist.is_available() and dist.is_initialized():
            dist.broadcast_object_list(stops, src=0)
        control.should_training_stop = control.should_training_stop or stops[0]


def _memory(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}" / MEMORY
