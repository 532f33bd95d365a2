"""What one of Ray's actors does: it holds generators and properties, and answers the margins of probes.

An actor is a process with a context of its own, in which `Judge` decides as it does anywhere: each block's margins are
of one process, the sign of each beyond rounding. Only probes come in, and margins go out.
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

import gentest.engine.evidence.context as contexts
from gentest.attributes.prompts import PromptCache
from gentest.engine.cluster import transport
from gentest.engine.cluster.raised import sendable
from gentest.engine.evidence import time_limit
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.probes.probe import Probe
from gentest.properties.definition import Definition
from gentest.results.result import Screening
from gentest.results.settings import Values

MOST_CONTEXTS = 2
"""So many sets of settings are kept, each with its generators and its evidence; the oldest go first."""
MOST_JUDGES = 64
log = logging.getLogger("gentest")


@dataclass(frozen=True)
class Place:
    """Where the asking process is: what relative paths and imports mean there, and what a float is."""

    folder: str
    path: tuple[str, ...]
    dtype: torch.dtype

    @classmethod
    def here(cls) -> Place:
        """This process's."""
        return cls(os.getcwd(), tuple(sys.path), torch.get_default_dtype())

    def enter(self) -> None:
        """Makes it this process's too, as far as its folders are on this machine."""
        with suppress(OSError):
            os.chdir(self.folder)
        sys.path[:] = dict.fromkeys([*self.path, *sys.path])
        torch.set_default_dtype(self.dtype)


@dataclass(frozen=True)
class Session:
    """What all properties of a context share."""

    place: Place
    values: Values
    prompts: PromptCache | None


@dataclass(frozen=True)
class Case:
    """One property on one generator, and what `gentest.sd(x)` stands for in it: measured once, for all actors."""

    subject: Subject
    definition: Definition
    spreads: Mapping[str, tuple[Any, float]]
    unit: float | None


@dataclass(frozen=True)
class Task:
    """Some probes to answer for, and where what is needed lies in Ray's object store."""

    session: Any
    function: Any
    case: Any
    probes: tuple[Probe, ...]
    image_bytes: int


@dataclass(frozen=True)
class Answer:
    """The margins of a task's probes by prior; or the error that they raised, and its traceback."""

    margins: tuple[tuple[float, ...], ...] = ()
    band: float = 0.0
    """Margins nearer to zero than this were decided alone, ..."""
    decided_alone: int = 0
    """... and so many were."""
    images: int = 0
    calls: int = 0
    screening: Screening = field(default_factory=Screening)
    """What a lower precision decided of them."""
    error: Exception | None = None
    traceback: str = ""


@dataclass(frozen=True)
class Greeting:
    """What must be the same in every process for a probe to be the same."""

    gentest: str
    torch: str
    python: str

    @classmethod
    def here(cls) -> Greeting:
        """This process's."""
        from gentest._support import __version__

        major, minor, *_ = platform.python_version_tuple()
        return cls(__version__, torch.__version__.partition("+")[0], f"{major}.{minor}")


@dataclass
class _Held:
    context: contexts.Context
    functions: dict[str, Any] = field(default_factory=dict)
    judges: OrderedDict[str, tuple[Case, Judge]] = field(default_factory=OrderedDict)


def _end(what: str) -> None:
    """Ends an actor whose generator nothing interrupts: whoever asked gives its probes to another."""
    log.error("%s", what)
    os._exit(1)


class Host:
    """The class of the actors. `fetch` gives what a reference stands for; `threads` are those of torch, None all."""

    def __init__(self, fetch: Callable[[Any], bytes], threads: int | None) -> None:
        self._fetch = fetch
        time_limit.when_deaf = _end
        self._held: OrderedDict[str, _Held] = OrderedDict()
        if threads is not None:
            torch.set_num_threads(threads)

    def hello(self) -> Greeting:
        """Says that it is there."""
        return Greeting.here()

    def margins(self, task: Task) -> Answer:
        """The margins of a task's probes. Whatever goes wrong is in the answer."""
        try:
            held = self._session(task.session)
        except Exception as error:
            wrong, traceback = sendable(error)
            return Answer(error=wrong, traceback=traceback)
        context = held.context
        before, answer = replace(context.meter), Answer()
        try:
            case, judge = self._judge(held, task)
            context.maker.image_bytes = max(context.maker.image_bytes, task.image_bytes)
            context.adopt(judge.subject, case.spreads.values(), case.unit)
            screened, decided = judge.screening, judge.decided_alone
            margins = tuple(judge.by_prior(task.probes))
            n, again = judge.screening.probes - screened.probes, judge.screening.again - screened.again
            screening = replace(judge.screening, probes=n, again=again)
            near = judge.decided_alone - decided
            answer = Answer(margins, judge.band, decided_alone=near, screening=screening)
        except Exception as error:
            wrong, traceback = sendable(error)
            answer = Answer(error=wrong, traceback=traceback)
        made, calls = context.meter.images - before.images, context.meter.calls - before.calls
        return replace(answer, images=made, calls=calls)

    def _session(self, at: Any) -> _Held:
        if (name := at.hex()) not in self._held:
            session: Session = transport.unpacked(self._fetch(at), "the settings")
            session.place.enter()
            self._held[name] = _Held(contexts.Context(session.values, prompts=session.prompts))
            while len(self._held) > MOST_CONTEXTS:
                self._held.popitem(last=False)
        self._held.move_to_end(name)
        return self._held[name]

    def _judge(self, held: _Held, task: Task) -> tuple[Case, Judge]:
        if (name := task.case.hex()) not in held.judges:
            function = self._function(held, task.function)
            case: Case = transport.unpacked(self._fetch(task.case), "the property", function=function)
            case.subject.generator.to(held.context.device)
            held.judges[name] = case, Judge(held.context, case.subject, case.definition)
            while len(held.judges) > MOST_JUDGES:
                held.judges.popitem(last=False)
        held.judges.move_to_end(name)
        return held.judges[name]

    def _function(self, held: _Held, at: Any) -> Any:
        if (name := at.hex()) not in held.functions:
            held.functions[name] = transport.unpacked(self._fetch(at), "the generator")
        return held.functions[name]
