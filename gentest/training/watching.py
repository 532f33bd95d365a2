"""What the callbacks of all trainers share: when to check, on which process, and what an alarm does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from gentest._support.arguments import is_whole
from gentest.errors import InvalidArgument
from gentest.generators.generator import Generator
from gentest.training.borrowed import borrowed
from gentest.training.monitor import Monitor, StepCheck

log = logging.getLogger(__name__)

GeneratorOf = Callable[[Any], Generator]
"""Makes the generator to check of the module that is trained."""


class OnAlarm(Protocol):
    """What happens instead of the end of training when an alarm rings."""

    def __call__(self, check: StepCheck) -> object:
        """Receives each check with an alarm."""


@dataclass
class Watching:
    """A monitor with the steps at which a trainer's callback asks it.

    `generator` makes the generator of the trained module, as in `lambda m: gentest.Generator(m.decoder, ...)`. The
    module is lent meanwhile (`gentest.borrowed`). The first check is at step `after` or later, at a multiple of
    `every`. An alarm stops training, or calls `on_alarm` each time instead.
    """

    monitor: Monitor
    generator: GeneratorOf
    every: int
    after: int = 0
    on_alarm: OnAlarm | None = None
    seen: int = field(default=0, init=False)
    """The last step that was due."""

    def __post_init__(self) -> None:
        if not isinstance(self.monitor, Monitor):
            raise InvalidArgument.expected("a gentest.Monitor", "monitor", self.monitor)
        if not callable(self.generator) or isinstance(self.generator, nn.Module):
            what = "a function from the trained module to a gentest.Generator"
            raise InvalidArgument.expected(what, "generator", self.generator)
        if not is_whole(self.every, 1):
            raise InvalidArgument.expected("a whole number >= 1", "every", self.every)
        if not is_whole(self.after, 0):
            raise InvalidArgument.expected("a whole number >= 0", "after", self.after)
        if self.on_alarm is not None and not callable(self.on_alarm):
            raise InvalidArgument.expected("a callable, or None to stop training", "on_alarm", self.on_alarm)

    def is_due(self, step: int) -> bool:
        """True if there is a check at this step, the first time that it is asked; the same in every process."""
        due = step % self.every == 0 and step >= max(self.after, 1) and step > self.seen
        self.seen = step if due else self.seen
        return due

    def check(self, module: nn.Module, step: int) -> StepCheck:
        """The check of a step; the module is bit for bit as it was afterwards."""
        with borrowed(module):
            return self.monitor.check(self.generator(module), step)

    def stops(self, check: StepCheck) -> bool:
        """True if training is to stop for this check. Logs an alarm, and calls `on_alarm` for it."""
        if not check.alarms:
            return False
        log.warning("gentest: %s", check)
        if self.on_alarm is None:
            return True
        self.on_alarm(check)
        return False
