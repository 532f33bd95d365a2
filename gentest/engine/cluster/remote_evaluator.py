"""Evaluate the probes of a task inside one Ray actor.

An actor is a process with its own context. It holds generators and properties and evaluates as any other process does,
so rounding never flips the sign of a margin. Probes come in and margins go out.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from gentest.attributes.prompts import PromptCache
from gentest.engine.cluster import transport
from gentest.engine.evaluation import Answer, LocalEvaluator, joined
from gentest.engine.evidence import time_limit
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.probes.probe import Probe
from gentest.properties.definition import Definition
from gentest.results.settings import Values

MAX_CONTEXTS = 2
"""An actor keeps this many sets of settings, each with its generators and evidence, and drops the oldest."""
MAX_EVALUATORS = 64
log = logging.getLogger("gentest")


@dataclass(frozen=True)
class Surroundings:
    """The calling process's working folder, import path and default dtype."""

    folder: str
    path: tuple[str, ...]
    dtype: torch.dtype

    @classmethod
    def here(cls) -> Surroundings:
        """This process's."""
        return cls(os.getcwd(), tuple(sys.path), torch.get_default_dtype())

    def enter(self) -> None:
        """Makes them this process's, as far as the folders exist on this machine."""
        with suppress(OSError):
            os.chdir(self.folder)
        sys.path[:] = dict.fromkeys([*self.path, *sys.path])
        torch.set_default_dtype(self.dtype)


@dataclass(frozen=True)
class SharedSettings:
    """The settings that all properties of a context share."""

    surroundings: Surroundings
    values: Values
    prompts: PromptCache | None


@dataclass(frozen=True)
class Case:
    """One property on one generator, with the value of each `gentest.sd(x)`: measured once, for all actors."""

    subject: Subject
    definition: Definition
    spreads: Mapping[str, tuple[Any, float]]
    span: float | None


@dataclass(frozen=True)
class Task:
    """Probes to evaluate, and references into Ray's object store to everything that this needs."""

    settings: Any
    function: Any
    case: Any
    probes: tuple[Probe, ...]
    image_bytes: int


@dataclass(frozen=True)
class TaskReply:
    """The answer to a task with its cost; or the error that it raised, and its traceback."""

    answer: Answer = field(default_factory=Answer)
    images: int = 0
    calls: int = 0
    error: Exception | None = None
    traceback: str = ""


def versions() -> dict[str, str]:
    """This process's versions of all that must agree between processes for a probe to mean the same in each."""
    from gentest._support import __version__

    major, minor, *_ = platform.python_version_tuple()
    return {"gentest": __version__, "torch": torch.__version__.partition("+")[0], "python": f"{major}.{minor}"}


@dataclass
class _OpenSession:
    context: Context
    functions: dict[str, Any] = field(default_factory=dict)
    evaluators: OrderedDict[str, tuple[Case, LocalEvaluator]] = field(default_factory=OrderedDict)


def _exit(message: str) -> None:
    """Ends an actor whose generator hangs in code that no signal interrupts. Its probes go to another actor."""
    log.error("%s", message)
    os._exit(1)


def _failure(error: Exception) -> TaskReply:
    portable, traceback = transport.portable_error(error)
    return TaskReply(error=portable, traceback=traceback)


class RemoteActor:
    """The class of the actors. `fetch` gives the bytes of a reference; `threads` are torch's, None for all."""

    def __init__(self, fetch: Callable[[Any], bytes], threads: int | None) -> None:
        self._fetch = fetch
        time_limit.on_hang = _exit
        self._sessions: OrderedDict[str, _OpenSession] = OrderedDict()
        if threads is not None:
            torch.set_num_threads(threads)

    def versions(self) -> dict[str, str]:
        """The versions that this actor runs; they show that it has started."""
        return versions()

    def margins(self, task: Task) -> TaskReply:
        """The margins of a task's probes, or the error that they raised."""
        try:
            session = self._session(task.settings)
        except Exception as error:
            return _failure(error)
        meter, before = session.context.meter, replace(session.context.meter)
        try:
            reply = TaskReply(self._answer(session, task))
        except Exception as error:
            reply = _failure(error)
        return replace(reply, images=meter.images - before.images, calls=meter.calls - before.calls)

    def _answer(self, session: _OpenSession, task: Task) -> Answer:
        context = session.context
        case, evaluator = self._evaluator(session, task)
        context.maker.image_bytes = max(context.maker.image_bytes, task.image_bytes)
        context.measuring.adopt(case.subject, case.spreads.values(), case.span)
        return joined(answer for _, answer in evaluator.margins(task.probes))

    def _session(self, reference: Any) -> _OpenSession:
        if (name := reference.hex()) not in self._sessions:
            settings: SharedSettings = transport.unpickled(self._fetch(reference), "the settings")
            settings.surroundings.enter()
            self._sessions[name] = _OpenSession(Context(settings.values, prompts=settings.prompts))
            while len(self._sessions) > MAX_CONTEXTS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(name)
        return self._sessions[name]

    def _evaluator(self, session: _OpenSession, task: Task) -> tuple[Case, LocalEvaluator]:
        if (name := task.case.hex()) not in session.evaluators:
            function = self._function(session, task.function)
            case: Case = transport.unpickled(self._fetch(task.case), "the property", function=function)
            for subject in case.subject.sides:
                subject.generator.to(session.context.device)
            session.evaluators[name] = case, LocalEvaluator(session.context, case.subject, case.definition)
            while len(session.evaluators) > MAX_EVALUATORS:
                session.evaluators.popitem(last=False)
        session.evaluators.move_to_end(name)
        return session.evaluators[name]

    def _function(self, session: _OpenSession, reference: Any) -> Any:
        if (name := reference.hex()) not in session.functions:
            session.functions[name] = transport.unpickled(self._fetch(reference), "the generator")
        return session.functions[name]
