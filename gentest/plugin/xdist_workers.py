"""What each of pytest-xdist's workers is given: a GPU of its own, a share of the cores, and tests that share evidence.

The controller says so before a worker runs anything: its GPU is in its environment before a conftest file can ask for
CUDA, and it is told by which line to say which of its tests belong together and are to be checked. No node id changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import pytest
import torch

from gentest.plugin.shared_evidence import groups
from gentest.report import layout
from gentest.results.settings import Values

VISIBLE = "CUDA_VISIBLE_DEVICES"
LINE = "gentest_line"
"""Where a worker finds the channel by which it says what it collected."""
COLUMNS = "gentest_columns"
"""Where a worker finds how wide the terminal is that it cannot see."""


def gpu_of(worker: int, visible: str | None, n_gpus: int) -> str | None:
    """CUDA_VISIBLE_DEVICES of a worker, given that of the run and how many GPUs CUDA counts under it; None without any.

    What names the run's GPUs (indices, GPU-UUIDs) names the worker's. Of MIG devices CUDA counts one, however many are
    named, and each process may have one.

    >>> [gpu_of(worker, "4,6", 2) for worker in range(3)]
    ['4', '6', '4']
    """
    if n_gpus < 1:
        return None
    if visible is None:
        return str(worker % n_gpus)
    names = [name.strip() for name in visible.split(",")]
    slices = list(takewhile(lambda name: name.startswith("MIG-"), names))
    names = slices or names[:n_gpus]  # CUDA stops at the first that is none
    return names[worker % len(names)]


def share_cores(n_workers: int) -> None:
    """Divides torch's threads among xdist's workers, unless the environment says how many there are to be."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // n_workers))


def tell(config: pytest.Config, items: Sequence[pytest.Item], expected: Mapping[str, str]) -> None:
    """A worker tells the controller which of its tests belong together, and which are to be checked."""
    line = getattr(config, "workerinput", {}).get(LINE)
    if line is not None:
        line.send((groups(items), dict(expected)))


class Workers:
    """Registered as a plugin in the controller of xdist's workers."""

    def __init__(self, values: Callable[[], Values], expect: Callable[[Mapping[str, str]], None]) -> None:
        self._values = values
        self._expect = expect
        self._groups: dict[str, str] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """A GPU for each worker on this machine, unless the run names one, or none; a restarted one keeps its own."""
        if self._values().device not in (None, "cuda") or torch.version.cuda is None:
            return
        n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        here = [spec for spec in specs if spec.popen and not spec.via]
        for number, spec in enumerate(here):
            gpu = gpu_of(number, os.environ.get(VISIBLE), n_gpus)
            if gpu is not None:
                spec.env.setdefault(VISIBLE, gpu)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[COLUMNS] = layout.columns()
        line = node.gateway.newchannel()
        line.setcallback(self._told)  # all workers say the same, before they say what they collected
        node.workerinput[LINE] = line

    def _told(self, said: tuple[dict[str, str], dict[str, str]]) -> None:
        groups, expected = said
        self._groups.update(groups)
        self._expect(expected)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """By groups where tests would be scattered; None, xdist's own choice, where another way was asked for."""
        if not self._schedules(config):
            return None
        from gentest.plugin.scheduling import GroupScheduling

        return GroupScheduling(config, log, self._groups)

    def _schedules(self, config: pytest.Config) -> bool:
        return bool(config.getoption("dist") == "load")
