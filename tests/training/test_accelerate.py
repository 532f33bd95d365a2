"""The watch of a loop with accelerate, with the real Accelerator and a tracker of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import gentest
from tests.helpers import small_training

accelerate = pytest.importorskip("accelerate", reason="needs the extra accelerate")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_a_collapse_stops_the_loop_and_figures_are_in_the_tracker(tmp_path: Path) -> None:
    """The loop ends at the alarm, and the accelerator's state has the monitor's memory."""
    from accelerate.tracking import GeneralTracker

    from gentest.training.accelerate import AcceleratorWatch

    logged: dict[int, dict[str, float]] = {}

    class Tracker(GeneralTracker):  # type: ignore[misc]
        name, requires_logging_directory, tracker = "memory", False, None

        def log(self, values: dict[str, float], step: int | None = None, **options: Any) -> None:
            assert step is not None
            logged[step] = values

    accelerator = accelerate.Accelerator(cpu=True, log_with=Tracker())
    accelerator.init_trackers("run")
    monitor = gentest.Monitor(small_training.SUITE, reference=1)
    watch = AcceleratorWatch(accelerator, monitor, small_training.generator, every=100)
    net = small_training.network()
    net, optimizer = accelerator.prepare(net, torch.optim.Adam(net.parameters(), lr=0.01))
    for step in range(1, 500):
        optimizer.zero_grad()
        accelerator.backward(small_training.loss(net(torch.randn(32, 4)), collapses=step > 200))
        optimizer.step()
        if watch.stops(net, step):
            break
    assert 200 < step < 499
    assert net.training
    assert list(logged) == list(range(100, step + 1, 100))
    assert logged[step]["gentest/alarms"] >= 1
    accelerator.save_state(str(tmp_path))
    memory = monitor.state_dict()
    monitor.load_state_dict(gentest.Monitor(small_training.SUITE).state_dict())
    accelerator.load_state(str(tmp_path))
    assert monitor.state_dict() == memory
    with pytest.raises(gentest.InvalidArgument, match=r"accelerate\.Accelerator"):
        AcceleratorWatch(3, monitor, small_training.generator, every=1)  # type: ignore[arg-type]
