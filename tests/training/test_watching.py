"""What all callbacks share: when a check is due, and what an alarm does."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import gentest
from gentest.training.monitor import StepCheck, Watched
from gentest.training.watching import Watching
from tests.helpers import small_training

SUITE = gentest.Suite(gentest.well_formed())


def watching(**options: object) -> Watching:
    return Watching(gentest.Monitor(SUITE), small_training.generator, **{"every": 10, **options})  # type: ignore[arg-type]


def test_a_step_is_due_once_at_multiples_from_the_first_one_on() -> None:
    asked = watching(after=15)
    assert [step for step in (0, 5, 10, 20, 20, 25, 30, 30) if asked.is_due(step)] == [20, 30]


def test_the_module_is_as_it_was_and_the_check_is_the_monitors() -> None:
    net, asked = small_training.network(), watching()
    net.train()
    checked = asked.check(net, 10)
    assert isinstance(checked, StepCheck)
    assert net.training
    assert asked.monitor.last_step == 10


def test_an_alarm_stops_unless_somebody_is_to_be_called(caplog: pytest.LogCaptureFixture) -> None:
    quiet = StepCheck(10, (Watched("lit()", "suite/lit", 64, 64, 0.9, 0.0, 4.6),), 64, 0.1)
    loud = StepCheck(20, (Watched("lit()", "suite/lit", 0, 64, 0.9, 99.0, 4.6),), 64, 0.1)
    calls: list[StepCheck] = []
    with caplog.at_level(logging.WARNING):
        assert [watching().stops(check) for check in (quiet, loud)] == [False, True]
        assert [watching(on_alarm=calls.append).stops(check) for check in (quiet, loud)] == [False, False]
    assert calls == [loud]
    assert "gentest: step 20: alarm" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [({"every": 0}, "every=0"), ({"after": -1}, "after=-1"), ({"on_alarm": 3}, "on_alarm=3")],
)
def test_wrong_arguments_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(gentest.InvalidArgument, match=message):
        watching(**options)


def test_a_module_is_no_way_to_make_a_generator() -> None:
    with pytest.raises(gentest.InvalidArgument, match="a function from the trained module"):
        Watching(gentest.Monitor(SUITE), nn.Linear(2, 2), 10)  # type: ignore[arg-type]
    with pytest.raises(gentest.InvalidArgument, match=r"a gentest.Monitor but got monitor=3"):
        Watching(3, small_training.generator, 10)  # type: ignore[arg-type]
    assert torch.is_grad_enabled()
