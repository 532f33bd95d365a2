"""A Lightning callback that checks the model during `Trainer.fit` (`pip install 'pytest-gentest[lightning]'`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from gentest.training.monitor import Monitor
from gentest.training.watching import GeneratorOf, OnAlarm, Watching


class LightningWatch(Callback):  # type: ignore[misc]  # untyped for who has no lightning
    """Checks a `gentest.Monitor` every so many optimizer steps, on rank 0, and stops training at an alarm.

    `generator` makes a `gentest.Generator` of the LightningModule, which is lent bit for bit meanwhile
    (`gentest.borrowed`). Checks are at multiples of `every` steps of `trainer.global_step`, from step `after` on.
    With `on_alarm`, a function of the `gentest.StepCheck`, training goes on, and the function decides.

    Figures go to the trainer's loggers, with the names of `StepCheck.figures`. The monitor's memory is in Lightning's
    checkpoints. The other ranks wait, and learn from rank 0 whether to stop. A strategy that spreads one module over
    processes (FSDP, tensor parallelism) does not work. Errors are those of `Monitor.check`.
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

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check if the step is due. A step of several batches, whose gradients accumulate, is checked once."""
        step = trainer.global_step
        if not self.watching.is_due(step):
            return
        stops = False
        if trainer.is_global_zero:
            checked = self.watching.check(pl_module, step)
            for logger in trainer.loggers:
                logger.log_metrics(checked.figures(), step=step)
            stops = self.watching.stops(checked)
        if trainer.strategy.broadcast(stops, src=0):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """The monitor's memory, which Lightning saves."""
        return self.watching.monitor.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a Lightning checkpoint."""
        self.watching.monitor.load_state_dict(state_dict)
