"""Values as identities read them: weights that changed, structures without an end, and what cannot be read."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gentest.generators.identity import identify
from tests.helpers.identities import Net


class Refusing:
    """A thing whose state nobody can have."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __call__(self, z: Tensor) -> Tensor:
        return z * self.held.fileno()


UNREADABLE: dict[str, Callable[[], Any]] = {
    "a socket": socket.socket,
    "a file": lambda: open(os.devnull),  # noqa: SIM115 - closed by the test
    "an iterator of code": lambda: (n for n in range(3)),
    "a pointer": lambda: ctypes.pointer(ctypes.c_int(1)),
    "what belongs to a thread": threading.local,
    "a tensor on meta": lambda: torch.empty(3, device="meta"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_equal_to_nothing(name: str) -> None:
    """Not even to itself; the part is named, and a name of its own makes it known."""
    held = UNREADABLE[name]()
    thing = Refusing(held)
    found = identify(thing)
    assert found.unknown.startswith("held: ")
    assert found != identify(thing)
    assert identify(thing, name="a name") == identify(thing, name="a name") != identify(thing, name="another")
    thing.gentest_identity = "named"  # type: ignore[attr-defined]
    assert identify(thing) == identify(thing)
    assert identify(thing).unknown == ""
    if hasattr(held, "close"):
        held.close()


def test_what_no_code_asks_for_may_be_unreadable() -> None:
    """A module's logger to a socket, that only training uses, keeps nothing from being shared."""
    net = Net()
    with socket.socket() as net.writer:
        assert identify(net).unknown == ""
    net.send = net.log  # type: ignore[assignment]


def test_a_structure_without_an_end_is_read() -> None:
    """Things that refer to each other, and nesting that is deeper than Python goes."""
    one: list[Any] = [1]
    one.append(one)
    other: list[Any] = [1]
    other.append(other)
    assert identify(one) == identify(other)
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert "nested too deeply" in identify(deep).unknown


def test_a_write_that_torch_counts_is_seen_among_known_tensors() -> None:
    """While nobody else's code runs, a tensor is read once, and again where torch counted a write."""
    net = Net()
    tensors: dict[int, Any] = {}
    before = identify(net, tensors=tensors)
    assert identify(net, tensors=tensors) == before
    with torch.no_grad():
        net.layers[0].weight.mul_(2)
    assert identify(net, tensors=tensors) != before
