"""pytest-xdist: each worker gets a GPU of its own, a share of the cores, and tests that share evidence.

The controller sees to that before a worker runs anything. A worker's GPU is in its environment before a conftest file
can ask for CUDA, and a channel lets the worker say which of its tests belong together and which properties decorate. No
node id changes.

Only runs with workers import this module, since not everybody has pytest-xdist.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

from gentest.plugin.kept_outputs import FOLDER
from gentest.plugin.options import FETCHED, FETCHED_INPUT, RunOptions
from gentest.plugin.shared_evidence import groups
from gentest.report import terminal

VISIBLE = "CUDA_VISIBLE_DEVICES"
CHANNEL = "gentest_channel"
"""The key in a worker's input for the channel on which it describes the tests that it collected."""
COLUMNS = "gentest_columns"
"""The key in a worker's input for the width of the terminal, which the worker cannot see."""


def gpu_of(worker: int, visible: str | None, n_gpus: int) -> str | None:
    """CUDA_VISIBLE_DEVICES for a worker, from that of the run and CUDA's count of GPUs; None without any.

    A worker's GPU has the name that the run uses: an index or a GPU-UUID. CUDA counts one of several MIG devices, but
    each process may have one of those that are named.

    >>> [gpu_of(worker, "4,6", 2) for worker in range(3)]
    ['4', '6', '4']
    """
    if n_gpus < 1:
        return None
    if visible is None:
        return str(worker % n_gpus)
    names = [name.strip() for name in visible.split(",")]
    slices = list(takewhile(lambda name: name.startswith("MIG-"), names))
    names = slices or names[:n_gpus]  # CUDA stops at the first name that is not a GPU
    return names[worker % len(names)]


def share_cores() -> None:
    """Divide torch's threads among the workers, unless the environment says how many each has."""
    if "OMP_NUM_THREADS" not in os.environ:
        n_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
        torch.set_num_threads(max(1, torch.get_num_threads() // n_workers))


def columns(config: pytest.Config) -> int | None:
    """The width of the terminal, for a worker."""
    width: int | None = getattr(config, "workerinput", {}).get(COLUMNS)
    return width


def describe_tests(config: pytest.Config, items: Sequence[pytest.Item], to_check: Mapping[str, str]) -> None:
    """Tell the controller, from a worker, which tests belong together and which are to be checked."""
    channel = getattr(config, "workerinput", {}).get(CHANNEL)
    if channel is not None:
        channel.send((groups(items), dict(to_check)))


class Controller:
    """Registered as a plugin in the controller. `expect` is told which tests the workers are to check.

    `folder` is where they put outputs that a baseline is to keep.
    """

    def __init__(
        self, options: RunOptions, expect: Callable[[Mapping[str, str]], None], folder: Path | None = None
    ) -> None:
        self._options = options
        self._expect = expect
        self._folder = None if folder is None else str(folder)
        self._groups: dict[str, str] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """Give each worker on this machine a GPU, unless the run names a device. A restarted worker keeps its GPU."""
        if self._options.values().device not in (None, "cuda") or torch.version.cuda is None:
            return
        n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        here = [spec for spec in specs if spec.popen and not spec.via]
        for number, spec in enumerate(here):
            gpu = gpu_of(number, os.environ.get(VISIBLE), n_gpus)
            if gpu is not None:
                spec.env.setdefault(VISIBLE, gpu)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[COLUMNS] = terminal.columns()
        fetched = node.config.stash[FETCHED].items()
        node.workerinput[FETCHED_INPUT] = {text: (str(one.path), one.pinned) for text, one in fetched}
        if self._folder is not None:
            node.workerinput[FOLDER] = self._folder
        channel = node.gateway.newchannel()
        channel.setcallback(self._receive)
        node.workerinput[CHANNEL] = channel

    def _receive(self, description: tuple[dict[str, str], dict[str, str]]) -> None:
        """Every worker sends the same description, before it reports what it collected."""
        groups, to_check = description
        self._groups.update(groups)
        self._expect(to_check)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """A scheduler that keeps groups together, instead of xdist's `load`, which scatters tests."""
        if self._options.dist != "load":
            return None
        values = self._options.values()
        if values.max_images is not None or values.max_minutes is not None:
            config.option.loadscopereorder = False  # the cheapest tests come first
        return GroupScheduling(config, log, self._groups)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's scheduling by scope, with the group of a test as its scope: the largest group first, other tests singly.

    A test that kills its worker fails once and the others run, as under xdist's `load`. xdist 3.8's own scheduling by
    scope runs that test again, which kills the next worker, and leaves a restarted worker waiting.
    """

    def __init__(self, config: pytest.Config, log: Any, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._groups = groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)

    def remove_node(self, node: Any) -> str | None:
        """Give what a lost worker has left to others. The test in which it died counts as done, and is returned."""
        left = [(unit, test) for unit in self.assigned_work[node].values() for test, done in unit.items() if not done]
        for unit, test in left[:1]:
            unit[test] = True
        units = self.assigned_work[node].items()
        self.assigned_work[node] = {scope: unit for scope, unit in units if not all(unit.values())}
        super().remove_node(node)
        return left[0][1] if left else None

    def _reschedule(self, node: Any) -> None:
        """Give a worker more only if it needs to know what follows its last test, without which it starts none."""
        while not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)
