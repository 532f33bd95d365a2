"""Share the evaluation of one property's probes among Ray's actors (`pytest-gentest[ray]`).

Each actor holds the generator and the property and computes the margins of whole blocks, exactly as one process does
(`gentest.engine.cluster.remote_judge`). Probes go out and margins come back. The calling process evaluates single
probes itself, and also every block that no actor answers: a lost actor costs time, never a probe.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import torch

from gentest._support.printable import first_line
from gentest.attributes.prompts import PromptCache
from gentest.engine.cluster import transport
from gentest.engine.cluster.raised import again
from gentest.engine.cluster.remote_judge import Answer, Case, Greeting, Host, Place, Session, Task
from gentest.engine.evidence.context import Context
from gentest.engine.judge import BAND_PROBES, Judge
from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe
from gentest.results.settings import Values

LOCAL = "local"
LEAST_BLOCK = BAND_PROBES
"""No smaller blocks are made: on so many probes an actor measures how much rounding changes a margin."""
START_SECONDS = 120.0
"""How long actors may take to start: what is free in the cluster now may be taken by another a moment later."""
CONNECT_SECONDS = 10.0
"""How long an address may take to answer."""
TRIES = 2
"""A block that so many actors died of is no other's: it is evaluated in the asking process, as without Ray."""
REPLACEMENTS = 4
"""Actors that are started anew in the place of lost ones, for as long as this process is connected."""

log = logging.getLogger(__name__)


def shared_context(
    values: Values, *, prompts: PromptCache | None = None, watch: Callable[[int], None] | None = None
) -> Context:
    """A context of these settings, whose work Ray's actors share where `ray` is set."""
    share = None if values.ray is None else lambda context: Actors(context, values, prompts)
    return Context(values, prompts=prompts, watch=watch, share=share)


class Actors:
    """The actors as one context sees them: they have its settings, its prompts and its generators."""

    def __init__(self, context: Context, values: Values, prompts: PromptCache | None) -> None:
        self._context = context
        self._pool = _Pool.connected(values.ray or LOCAL, context.device)
        here = replace(values, ray=None, device=context.device.type, batch_size=context.batch_size)
        self._session = self._put(Session(Place.here(), here, prompts), "the settings")
        self._functions: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._cases: WeakKeyDictionary[Judge, Any] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._pool)

    def margins(self, judge: Judge, probes: Sequence[Probe]) -> Iterator[tuple[list[Probe], Answer]]:
        """Blocks of some probes, in their order, and what came of each; blocks that no actor answers are left out.

        Raises what the first block that fails raised, as if it had been evaluated here.
        """
        if len(probes) < 2 * LEAST_BLOCK or not len(self):
            return
        function, case = self._function(judge), self._case(judge, probes[0])
        blocks = _divided(probes, judge.block, len(self))
        size = self._context.maker.image_bytes
        tasks = [Task(self._session, function, case, tuple(block), size) for block in blocks]
        come: dict[int, Answer] = {}
        n_taken = 0
        for index, answer in self._pool.answers(tasks):
            self._context.maker.count(answer.images, answer.calls)
            come[index] = answer
            while n_taken in come:
                taken = come.pop(n_taken)
                if taken.error is not None:
                    raise again(taken.error, taken.traceback)
                yield blocks[n_taken], taken
                n_taken += 1
        yield from ((blocks[index], answer) for index, answer in sorted(come.items()) if answer.error is None)

    def _put(self, thing: object, what: str, *, function: object = None) -> Any:
        return self._pool.put(transport.packed(thing, what, function=function, far=self._pool.far))

    def _function(self, judge: Judge) -> Any:
        """Where the generator's function lies, with the weights that it has now."""
        generator = judge.subject.generator
        key = (judge.subject.fingerprint, id(generator.function))
        if key not in self._functions:
            on_gpu = self._context.device.type == "cuda"
            if on_gpu:  # which has another number in an actor, that sees no other
                generator.to(torch.device("cpu"))
            try:
                sent = self._put(generator.function, f"the function of {generator!r}")
            finally:
                if on_gpu:
                    generator.to(self._context.device)
            self._functions[key] = (sent, generator.function)  # kept alive: its id is in the key
        return self._functions[key][0]

    def _case(self, judge: Judge, probe: Probe) -> Any:
        """Where the property lies, with what `gentest.sd(x)` stands for in it: measured here, on a probe."""
        if judge not in self._cases:
            judge.alone(probe)
            case = Case(judge.subject, judge.definition, judge.spreads, self._context.known_unit(judge.subject))
            what = str(judge.definition)
            self._cases[judge] = self._put(case, what, function=judge.subject.generator.function)
        return self._cases[judge]


def check_ray(address: str, *, has_workers: bool) -> None:
    """Refuses an address that cannot be meant: one without Ray, or a cluster for each of xdist's workers."""
    _ray()
    if address == LOCAL and has_workers:
        raise InvalidArgument(
            "ray='local' would start a cluster in each of pytest-xdist's workers: run without -n, or start one for all "
            "of them (`ray start --head`) and give its address, or auto"
        )


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InvalidArgument(
            f"sharing the work needs Ray: pip install 'pytest-gentest[ray]' ({first_line(error)})"
        ) from error
    return ray


def _divided(probes: Sequence[Probe], at_most: int, n_actors: int) -> list[list[Probe]]:
    """Probes in blocks of nearly the same size, as many for each actor; of `LEAST_BLOCK` or more."""
    rounds = -(-len(probes) // (n_actors * at_most))
    n = min(n_actors * rounds, max(1, len(probes) // LEAST_BLOCK))
    edges = [i * len(probes) // n for i in range(n + 1)]
    return [list(probes[a:b]) for a, b in pairwise(edges)]


@dataclass(eq=False)
class _Slot:
    """One actor, and what it is to say when it has started; None once it has said it."""

    actor: Any
    hello: Any


class _Pool:
    """The actors of the cluster that this process is connected to, one for each GPU, or for some of its cores."""

    _open: tuple[Any, str, _Pool | InvalidArgument] | None = None

    def __init__(self, ray: Any, device: torch.device) -> None:
        self._ray = ray
        here = ray.util.get_node_ip_address()
        nodes = [node for node in ray.nodes() if node["Alive"]]
        self.far = any(node["NodeManagerAddress"] != here for node in nodes)
        n, share, self._threads = _shares(ray.available_resources(), device)
        self._class = ray.remote(Host).options(**share, max_restarts=0, scheduling_strategy="SPREAD")
        self._replacements = REPLACEMENTS
        self._slots = [self._started() for _ in range(n)]
        try:
            self._await_all()
        except BaseException:
            for slot in self._slots:
                ray.kill(slot.actor)
            raise

    @classmethod
    def connected(cls, address: str, device: torch.device) -> _Pool:
        """That of the cluster at this address; where this process is connected to one already, that one's."""
        ray = _ray()
        if not ray.is_initialized():
            check_ray(address, has_workers="PYTEST_XDIST_WORKER" in os.environ)
            _connect(ray, address)
        job = ray.get_runtime_context().get_job_id()
        if cls._open is None or cls._open[:2] != (job, device.type):
            try:
                cls._open = (job, device.type, cls(ray, device))
            except InvalidArgument as error:  # nobody is to wait for it a second time
                cls._open = (job, device.type, error)
        if isinstance(opened := cls._open[2], InvalidArgument):
            raise opened
        return opened

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, data: bytes) -> Any:
        """A reference to bytes in Ray's object store."""
        return self._ray.put(data)

    def answers(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Answer]]:
        """Answers by the index of their tasks, as they come; tasks that no actor answers are left out.

        A task of the same index goes to the same actor, which has the outputs of probes that it was asked about before.
        """
        queues = {slot: deque(range(at, len(tasks), len(self))) for at, slot in enumerate(self._slots)}
        spare: deque[int] = deque()
        flying: dict[Any, tuple[_Slot, int]] = {}
        lost: Counter[int] = Counter()
        while True:
            busy = {slot for slot, _ in flying.values()}
            for slot in self._slots:
                queue = queues.get(slot) or spare
                if slot not in busy and slot.hello is None and queue:
                    index = queue.popleft()
                    flying[slot.actor.margins.remote(tasks[index])] = (slot, index)
            starting = {slot.hello: slot for slot in self._slots if slot.hello is not None}
            if not flying and not (starting and (spare or any(queues.values()))):
                return
            timeout = None if flying else START_SECONDS
            ready, _ = self._ray.wait([*flying, *starting], num_returns=1, timeout=timeout)
            if not ready:
                for slot in starting.values():
                    self._drop(slot, "it did not start")
            for ref in ready:
                slot, index = flying.pop(ref) if ref in flying else (starting[ref], -1)
                try:
                    come = self._ray.get(ref)
                except self._ray.exceptions.RayTaskError:
                    raise
                except self._ray.exceptions.RayError as error:
                    self._lose(slot, error)
                    spare += queues.pop(slot, ())
                    lost[index] += 1
                    if index >= 0 and lost[index] < TRIES:
                        spare.append(index)
                    continue
                if index < 0:
                    self._greeted(slot, come)
                else:
                    yield index, come

    def _started(self) -> _Slot:
        actor = self._class.remote(self._ray.get, self._threads)
        return _Slot(actor, actor.hello.remote())

    def _await_all(self) -> None:
        """Waits until the actors have started; goes on without those that do not."""
        hellos = {slot.hello: slot for slot in self._slots}
        ready, late = self._ray.wait(list(hellos), num_returns=len(hellos), timeout=START_SECONDS)
        wrong = f"none has started within {START_SECONDS:.0f} seconds; is the cluster busy?"
        for ref in ready:
            try:
                self._greeted(hellos[ref], self._ray.get(ref))
            except self._ray.exceptions.RayError as error:
                wrong = first_line(error)
                self._drop(hellos[ref], wrong)
        for ref in late:
            self._drop(hellos[ref], "it did not start")
        if not self._slots:
            raise InvalidArgument(f"Ray's actors cannot be started: {wrong}")

    def _greeted(self, slot: _Slot, greeting: Greeting) -> None:
        if greeting != Greeting.here():
            raise InvalidArgument(
                f"Expected {Greeting.here()} on every machine of the Ray cluster but one has {greeting}"
            )
        slot.hello = None

    def _lose(self, slot: _Slot, error: Exception) -> None:
        """An actor died: another one is started in its place, for as long as there are replacements."""
        self._drop(slot, first_line(error))
        if self._replacements > 0:
            self._replacements -= 1
            self._slots.append(self._started())

    def _drop(self, slot: _Slot, why: str) -> None:
        log.warning("one of Ray's actors is lost, its probes go to others: %s", why)
        self._slots.remove(slot)
        self._ray.kill(slot.actor)


def _shares(free: Mapping[str, float], device: torch.device) -> tuple[int, dict[str, float], int | None]:
    """How many actors there are to be, what of the cluster each takes, and torch's threads in each."""
    n_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))  # each takes its share of the cluster
    if device.type == "cuda":
        n = int(free.get("GPU", 0))
        if not n:
            raise InvalidArgument.expected("a device that the Ray cluster has free", "device", str(device))
        return max(1, n // n_workers), {"num_cpus": 0, "num_gpus": 1}, None
    cores = max(1, int(free.get("CPU", 0)))
    said = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(int(said) if said.isdecimal() and int(said) else 1, cores)
    return max(1, cores // threads // n_workers), {"num_cpus": threads}, threads


def _connect(ray: Any, address: str) -> None:
    """Connects to a cluster, or starts one that ends with this process."""
    options = {"include_dashboard": False} if address == LOCAL else {}
    try:
        _answers(address)
        with _quiet():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        said = first_line(error)
        raise InvalidArgument.expected("the address of a Ray cluster, or local", "ray", address, hint=said) from error


def _answers(address: str) -> None:
    """Raises `OSError` where nobody answers at HOST:PORT: Ray itself would go on asking for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


@contextmanager
def _quiet() -> Iterator[None]:
    """No tips in the log of whoever runs the tests, and no statistics of use sent that nobody agreed to."""
    logger, name = logging.getLogger("ray"), "RAY_USAGE_STATS_ENABLED"
    level, said = logger.level, name in os.environ
    logger.setLevel(logging.ERROR)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        logger.setLevel(level)
        if not said:
            del os.environ[name]
