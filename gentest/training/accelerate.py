"""A watch for one's own loop with Hugging Face accelerate (`pip install 'pytest-gentest[accelerate]'`)."""

from __future__ import annotations

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from gentest.errors import InvalidArgument
from gentest.training.monitor import Monitor
from gentest.training.watching import GeneratorOf, OnAlarm, Watching


class AcceleratorWatch:
    """Checks a `gentest.Monitor` every so many steps of a loop, on the main process, and says when to stop.

    `generator` makes a `gentest.Generator` of the unwrapped model, which is lent bit for bit meanwhile
    (`gentest.borrowed`). Checks are at multiples of `every` steps, from step `after` on. With `on_alarm`, a function of
    the `gentest.StepCheck`, training goes on, and the function decides.

    Figures go through `Accelerator.log` to its trackers, with the names of `StepCheck.figures`. The accelerator saves
    and loads the monitor's memory with its state. Models that are spread over processes (FSDP, ZeRO-3) do not work.

    Call it in every process, after each optimizer step:

        watch = AcceleratorWatch(accelerator, monitor, generator, every=100)
        for step, batch in enumerate(loader, start=1):
            ...
            if watch.stops(model, step):
                break

    Raises `InvalidArgument` for wrong arguments.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        monitor: Monitor,
        generator: GeneratorOf,
        *,
        every: int,
        after: int = 0,
        on_alarm: OnAlarm | None = None,
    ) -> None:
        if not isinstance(accelerator, Accelerator):
            raise InvalidArgument.expected("an accelerate.Accelerator", "accelerator", accelerator)
        self.accelerator = accelerator
        self.watching = Watching(monitor, generator, every, after, on_alarm)
        accelerator.register_for_checkpointing(monitor)

    def stops(self, model: nn.Module, step: int) -> bool:
        """Check if the step is due, and return True in every process if training is to stop.

        `step` counts from 1. Errors are those of `Monitor.check`.
        """
        if not self.watching.is_due(step):
            return False
        stops = [False]
        if self.accelerator.is_main_process:
            checked = self.watching.check(self.accelerator.unwrap_model(model), step)
            self.accelerator.log(checked.figures(), step=step)
            stops = [self.watching.stops(checked)]
        broadcast_object_list(stops)
        return stops[0]
