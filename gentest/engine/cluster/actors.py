"""Share the evaluation of one property's probes among Ray's actors (`pytest-gentest[ray]`).

Each actor holds the generator and the property and computes the margins of whole blocks, exactly as one process does
(`gentest.engine.cluster.remote_evaluator`). Probes go out and margins come back. The calling process evaluates single
probes itself, and also every block that no actor answers: a lost actor costs time, never a probe.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from gentest._support.printable import first_line
from gentest.attributes.prompts import PromptCache
from gentest.engine.cluster import transport
from gentest.engine.cluster.remote_evaluator import (
    Case,
    RemoteActor,
    SharedSettings,
    Surroundings,
    Task,
    TaskReply,
    versions,
)
from gentest.engine.evaluation import BAND_PROBES, Answer, LocalEvaluator
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.errors import InvalidArgument
from gentest.probes.probe import Probe
from gentest.results.settings import Values

LOCAL = "local"
MIN_BLOCK = BAND_PROBES
"""A block has at least this many probes: an actor measures on them how far rounding moves a margin."""
START_SECONDS = 120.0
"""Actors may take this long to start: something else may take the free cores or GPUs in the meantime."""
CONNECT_SECONDS = 10.0
"""An address may take this long to answer."""
MAX_REPLACEMENTS = 4
"""Lost actors that are replaced while this process stays connected."""

log = logging.getLogger(__name__)


def shared_context(
    values: Values, *, prompts: PromptCache | None = None, watch: Callable[[int], None] | None = None
) -> Context:
    """A context with these settings; Ray's actors share its work if `ray` is set."""
    share = None if values.ray is None else lambda context: Actors(context, values, prompts)
    return Context(values, prompts=prompts, watch=watch, share=share)


class Actors:
    """Evaluates the probes of one context's properties on the actors of a cluster."""

    def __init__(self, context: Context, values: Values, prompts: PromptCache | None) -> None:
        self._context = context
        self._pool = _Pool.connected(values.ray or LOCAL, context.device)
        local = replace(values, ray=None, device=context.device.type, batch_size=context.batch_size)
        self._settings = self._put(SharedSettings(Surroundings.here(), local, prompts), "the settings")
        self._functions: dict[tuple[str, int], tuple[Any, Any]] = {}

    def __len__(self) -> int:
        return len(self._pool)

    def evaluator(self, local: LocalEvaluator) -> RemoteEvaluator:
        """The evaluator that does on these actors what `local` does in this process."""
        return RemoteEvaluator(self, local)

    def replies(self, tasks: Sequence[Task]) -> Iterator[tuple[int, TaskReply]]:
        """The index and the reply of each task as they arrive, except for tasks that no actor answers."""
        for index, reply in self._pool.replies(tasks):
            self._context.maker.count(reply.images, reply.calls)
            self._context.budget.add(reply.images)
            yield index, reply

    def task(self, local: LocalEvaluator, case: Any, probes: Sequence[Probe]) -> Task:
        """The task of evaluating some probes."""
        image_bytes = self._context.maker.image_bytes
        return Task(self._settings, self._function(local.subject), case, tuple(probes), image_bytes)

    def send_case(self, local: LocalEvaluator, probe: Probe) -> Any:
        """The reference to the property; a probe shows the value of each `gentest.sd(x)` in it."""
        local.alone(probe)
        span = self._context.measuring.known_span(local.subject)
        case = Case(local.subject, local.definition, local.spreads, span)
        return self._put(case, str(local.definition), function=local.subject.generator.function)

    def _put(self, thing: object, description: str, *, function: object = None) -> Any:
        return self._pool.put(transport.pickled(thing, description, function=function, remote=self._pool.has_remote))

    def _function(self, subject: Subject) -> Any:
        """The reference to the generator's function, with its current weights."""
        generator = subject.generator
        key = (subject.fingerprint, id(generator.function))
        if key not in self._functions:
            on_gpu = self._context.device.type == "cuda"
            if on_gpu:  # an actor sees one GPU, under another number
                generator.to(torch.device("cpu"))
            try:
                reference = self._put(generator.function, f"the function of {generator!r}")
            finally:
                if on_gpu:
                    generator.to(self._context.device)
            self._functions[key] = (reference, generator.function)  # kept alive: its id is in the key
        return self._functions[key][0]


class RemoteEvaluator:
    """Evaluates one property on one generator on the actors of a cluster."""

    def __init__(self, actors: Actors, local: LocalEvaluator) -> None:
        self._actors = actors
        self._local = local
        self._case: Any = None

    def margins(self, probes: Sequence[Probe]) -> Iterator[tuple[list[Probe], Answer]]:
        """Blocks of probes in order, each with its answer, except for blocks that no actor answered.

        Raises the error of the first block that failed, as if this process had evaluated it.
        """
        actors, local = self._actors, self._local
        if len(probes) < 2 * MIN_BLOCK or not len(actors):
            return
        self._case = self._case or actors.send_case(local, probes[0])
        blocks = _even_blocks(probes, local.block_size, len(actors))
        replies: dict[int, TaskReply] = {}
        n_taken = 0
        for index, reply in actors.replies([actors.task(local, self._case, block) for block in blocks]):
            replies[index] = reply
            while n_taken in replies:
                taken = replies.pop(n_taken)
                if taken.error is not None:
                    raise transport.with_remote_traceback(taken.error, taken.traceback)
                yield blocks[n_taken], taken.answer
                n_taken += 1
        yield from ((blocks[index], reply.answer) for index, reply in sorted(replies.items()) if reply.error is None)


def check_ray(address: str, *, has_workers: bool) -> None:
    """Raises `InvalidArgument` without Ray, and for `local` with xdist, which would start a cluster in each worker."""
    _ray()
    if address == LOCAL and has_workers:
        raise InvalidArgument(
            "ray='local' would start a cluster in each of pytest-xdist's workers: run without -n, or start one cluster "
            "for all of them (`ray start --head`) and give its address, or auto"
        )


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InvalidArgument(
            f"sharing the work needs Ray: pip install 'pytest-gentest[ray]' ({first_line(error)})"
        ) from error
    return ray


def _even_blocks(probes: Sequence[Probe], max_size: int, n_actors: int) -> list[list[Probe]]:
    """The probes in blocks of nearly equal size, as many for each actor, with `MIN_BLOCK` probes or more."""
    rounds = -(-len(probes) // (n_actors * max_size))
    n = min(n_actors * rounds, max(1, len(probes) // MIN_BLOCK))
    edges = [i * len(probes) // n for i in range(n + 1)]
    return [list(probes[a:b]) for a, b in pairwise(edges)]


@dataclass(eq=False)
class _Slot:
    """One actor. `starting` is the reference to its versions until they have arrived, then None."""

    actor: Any
    starting: Any


class _Pool:
    """The actors on the cluster that this process is connected to: one for each GPU, or for each group of cores."""

    _open: tuple[Any, str, _Pool | InvalidArgument] | None = None

    def __init__(self, ray: Any, device: torch.device) -> None:
        self._ray = ray
        here = ray.util.get_node_ip_address()
        self.has_remote = any(node["Alive"] and node["NodeManagerAddress"] != here for node in ray.nodes())
        n, resources, self._threads = _actor_resources(ray.available_resources(), device)
        self._class = ray.remote(RemoteActor).options(**resources, max_restarts=0, scheduling_strategy="SPREAD")
        self._replacements = MAX_REPLACEMENTS
        self._slots = [self._start_actor() for _ in range(n)]
        try:
            self._await_start()
        except BaseException:
            for slot in self._slots:
                ray.kill(slot.actor)
            raise

    @classmethod
    def connected(cls, address: str, device: torch.device) -> _Pool:
        """The pool of the cluster at an address, or of the cluster that this process is connected to already."""
        ray = _ray()
        if not ray.is_initialized():
            check_ray(address, has_workers="PYTEST_XDIST_WORKER" in os.environ)
            _connect(ray, address)
        job = ray.get_runtime_context().get_job_id()
        if cls._open is None or cls._open[:2] != (job, device.type):
            try:
                cls._open = (job, device.type, cls(ray, device))
            except InvalidArgument as error:  # remembered, so that the next check does not wait again
                cls._open = (job, device.type, error)
        if isinstance(opened := cls._open[2], InvalidArgument):
            raise opened
        return opened

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, data: bytes) -> Any:
        """A reference to bytes in Ray's object store."""
        return self._ray.put(data)

    def replies(self, tasks: Sequence[Task]) -> Iterator[tuple[int, TaskReply]]:
        """The index and the reply of each task as they arrive, except for tasks that an actor died of.

        Tasks of the same index go to the same actor, which may still have the outputs of their probes.
        """
        queues = {slot: deque(range(at, len(tasks), len(self))) for at, slot in enumerate(self._slots)}
        orphaned: deque[int] = deque()
        running: dict[Any, tuple[_Slot, int]] = {}
        while True:
            busy = {slot for slot, _ in running.values()}
            for slot in self._slots:
                queue = queues.get(slot) or orphaned
                if slot not in busy and slot.starting is None and queue:
                    index = queue.popleft()
                    running[slot.actor.margins.remote(tasks[index])] = (slot, index)
            starting = {slot.starting: slot for slot in self._slots if slot.starting is not None}
            if not running and not (starting and (orphaned or any(queues.values()))):
                return
            timeout = None if running else START_SECONDS
            ready, _ = self._ray.wait([*running, *starting], num_returns=1, timeout=timeout)
            if not ready:
                for slot in starting.values():
                    self._drop(slot, "it did not start")
            for reference in ready:
                slot, index = running.pop(reference) if reference in running else (starting[reference], -1)
                try:
                    arrived = self._ray.get(reference)
                except self._ray.exceptions.RayTaskError:
                    raise
                except self._ray.exceptions.RayError as error:
                    self._replace(slot, error)
                    orphaned += queues.pop(slot, ())
                    continue
                if index < 0:
                    self._check_versions(slot, arrived)
                else:
                    yield index, arrived

    def _start_actor(self) -> _Slot:
        actor = self._class.remote(self._ray.get, self._threads)
        return _Slot(actor, actor.versions.remote())

    def _await_start(self) -> None:
        """Waits for the actors to start and drops those that do not. Raises `InvalidArgument` if none starts."""
        starting = {slot.starting: slot for slot in self._slots}
        ready, late = self._ray.wait(list(starting), num_returns=len(starting), timeout=START_SECONDS)
        reason = f"none has started within {START_SECONDS:.0f} seconds; is the cluster busy?"
        for reference in ready:
            try:
                self._check_versions(starting[reference], self._ray.get(reference))
            except self._ray.exceptions.RayError as error:
                reason = first_line(error)
                self._drop(starting[reference], reason)
        for reference in late:
            self._drop(starting[reference], "it did not start")
        if not self._slots:
            raise InvalidArgument(f"Ray's actors cannot be started: {reason}")

    def _check_versions(self, slot: _Slot, theirs: dict[str, str]) -> None:
        if theirs != versions():
            raise InvalidArgument(f"Expected {versions()} on every machine of the Ray cluster but one has {theirs}")
        slot.starting = None

    def _replace(self, slot: _Slot, error: Exception) -> None:
        """Drops a dead actor and starts another one while there are replacements."""
        self._drop(slot, first_line(error))
        if self._replacements > 0:
            self._replacements -= 1
            self._slots.append(self._start_actor())

    def _drop(self, slot: _Slot, reason: str) -> None:
        log.warning("lost a Ray actor, its probes go to others: %s", reason)
        self._slots.remove(slot)
        self._ray.kill(slot.actor)


def _actor_resources(free: Mapping[str, float], device: torch.device) -> tuple[int, dict[str, float], int | None]:
    """The number of actors, the resources that each takes, and torch's threads in each (None for all)."""
    n_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))  # xdist's workers divide the cluster
    if device.type == "cuda":
        n_gpus = int(free.get("GPU", 0))
        if not n_gpus:
            raise InvalidArgument.expected("a device that the Ray cluster has free", "device", str(device))
        return max(1, n_gpus // n_workers), {"num_cpus": 0, "num_gpus": 1}, None
    n_cores = max(1, int(free.get("CPU", 0)))
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(int(wanted) if wanted.isdecimal() and int(wanted) else 1, n_cores)
    return max(1, n_cores // threads // n_workers), {"num_cpus": threads}, threads


def _connect(ray: Any, address: str) -> None:
    """Connects to a cluster, or starts one that ends with this process."""
    options = {"include_dashboard": False} if address == LOCAL else {}
    try:
        _check_reachable(address)
        with _quiet_ray():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        raise InvalidArgument.expected(
            "the address of a Ray cluster, or local", "ray", address, hint=first_line(error)
        ) from error


def _check_reachable(address: str) -> None:
    """Raises `OSError` if nothing answers at HOST:PORT. Ray itself would retry for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


@contextmanager
def _quiet_ray() -> Iterator[None]:
    """Within, Ray logs no tips and sends no usage statistics, unless the environment asks for them."""
    logger, name = logging.getLogger("ray"), "RAY_USAGE_STATS_ENABLED"
    level, was_set = logger.level, name in os.environ
    logger.setLevel(logging.ERROR)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        logger.setLevel(level)
        if not was_set:
            del os.environ[name]
