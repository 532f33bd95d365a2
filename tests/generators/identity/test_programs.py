"""Programs as identities read them: any change of code or of what it uses is another, nothing else is."""

from __future__ import annotations

import collections
import copy
import ctypes
import enum
import functools
import itertools
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.generators.identity import identify
from tests.helpers.identities import Net

LEVEL = 1.0


class Slotted:
    __slots__ = ("gain",)

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def __call__(self, z: Tensor) -> Tensor:
        return z * self.gain


@dataclass
class Config:
    gain: float = 1.0


class Mode(enum.Enum):
    DARK = 0
    LIT = 1


def made(code: str, **names: Any) -> Callable[..., Any]:
    """A function f, of source."""
    namespace: dict[str, Any] = {"torch": torch, "os": os, **names}
    exec(code, namespace)
    found: Callable[..., Any] = namespace["f"]
    return found


def closure(value: Any) -> Callable[[Tensor], Any]:
    return lambda z: z * value


def nested(value: Any) -> Callable[[Tensor], Any]:
    def f(z: Tensor) -> Any:
        return [(lambda x: x + value)(row) for row in z]

    return f


def with_global(z: Tensor) -> Tensor:
    return z * LEVEL


def scripted(gain: float) -> torch.jit.ScriptModule:
    class Scripted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = gain
            self.table = torch.ones(3) * gain

        def forward(self, z: Tensor) -> Tensor:
            return z * self.gain + self.table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(Scripted())


def quantized(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear}, dtype=torch.qint8)


def changed(change: Callable[[Net], object]) -> tuple[Net, Net]:
    """A net, and one that differs by a change."""
    other = Net()
    change(other)
    return Net(), other


def tagged(scale: int) -> Tensor:
    found = torch.zeros(2)
    found.scale = scale  # type: ignore[attr-defined]
    return found


def swap(net: Net) -> None:
    first, act, last = net.layers
    net.layers = nn.Sequential(last, act, first)


def edit_view(net: Net) -> None:
    net.prompts["parts"][0][1:][0] = 5.0  # type: ignore[index]


PAIRS: dict[str, tuple[Any, Any]] = {
    "a literal": (made("def f(z): return z * 2"), made("def f(z): return z * 3")),
    "an operation": (made("def f(z): return z.sin()"), made("def f(z): return z.cos()")),
    "a literal of an inner function": tuple(
        made(f"def f(z):\n def g(x): return x + {n}\n return g(z)") for n in (1, 2)
    ),
    "a default": (made("def f(z, k=1): return z * k"), made("def f(z, k=2): return z * k")),
    "a keyword default": (made("def f(z, *, k=1): return z * k"), made("def f(z, *, k=2): return z * k")),
    "a name of an argument": (made("def f(z, label): return z"), made("def f(label, z): return z")),
    "a closure": (closure(1), closure(2)),
    "a closure of a closure": (closure(closure(1)), closure(closure(2))),
    "a closure of a comprehension": (nested(1), nested(2)),
    "a partial": (functools.partial(with_global, k=1), functools.partial(with_global, k=2)),
    "a positional partial": (functools.partial(with_global, 1), functools.partial(with_global, 2)),
    "a global": (made("def f(z): return z * k", k=1), made("def f(z): return z * k", k=2)),
    "a text in a global": tuple(made("def f(z): return k['a'][0]", k={"a": [text]}) for text in ("x", "y")),
    "a global that is missing": (made("def f(z): return z * k"), made("def f(z): return z * k", k=2)),
    "an attribute of a function": tuple(made(f"def f(z): return z * f.k\nf.k = {n}") for n in (1, 2)),
    "a class": tuple(made(f"class f:\n def __call__(self, z): return z * {n}")() for n in (1, 2)),
    "a class attribute": tuple(
        made(f"class f:\n k = {n}\n def __call__(self, z): return z * self.k")() for n in (1, 2)
    ),
    "a method that another calls": tuple(
        made(f"class f:\n def go(self): return {n}\n def __call__(self, z): return z * self.go()")() for n in (1, 2)
    ),
    "a property": tuple(
        made(f"class f:\n @property\n def k(self): return {n}\n def __call__(self, z): return z * self.k")()
        for n in (1, 2)
    ),
    "a base class": tuple(
        made(f"class base:\n def __call__(self, z): return z * {n}\nclass f(base): pass")() for n in (1, 2)
    ),
    "a bound method's object": (Slotted(1.0).__call__, Slotted(2.0).__call__),
    "a slot": (Slotted(1.0), Slotted(2.0)),
    "a dataclass": (closure(Config(1.0)), closure(Config(2.0))),
    "an enum": (closure(Mode.DARK), closure(Mode.LIT)),
    "a lambda in a dictionary": (closure({"a": lambda z: z * 1}), closure({"a": lambda z: z * 2})),
    "a named tuple": tuple(closure(collections.namedtuple("Named", "gain")(n)) for n in (1, 2)),
    "a deque": (closure(collections.deque([1])), closure(collections.deque([2]))),
    "bytes of ctypes": (closure((ctypes.c_int * 2)(1, 2)), closure((ctypes.c_int * 2)(1, 3))),
    "a counter of itertools": (closure(itertools.count(1)), closure(itertools.count(2))),
    "an array": (closure(np.zeros(3)), closure(np.array([0.0, 0.0, 1.0]))),
    "an array's dtype": (closure(np.zeros(3, np.float32)), closure(np.zeros(3, np.int32))),
    "a tensor's shape": (closure(torch.zeros(2, 3)), closure(torch.zeros(3, 2))),
    "a sparse tensor": (closure(torch.eye(2).to_sparse()), closure((2 * torch.eye(2)).to_sparse())),
    "a random state": (closure(np.random.default_rng(0)), closure(np.random.default_rng(1))),
    "a weight": changed(lambda net: net.layers[0].weight.data.mul_(1.5)),
    "a buffer": changed(lambda net: net.shift.add_(1)),
    "a buffer that is not stored": changed(lambda net: net.hidden.add_(1)),
    "a number on a module": changed(lambda net: setattr(net, "scale", 2.0)),
    "a text in a dictionary": changed(lambda net: net.prompts.update(text="a dog")),
    "an array in a list": changed(lambda net: net.prompts["parts"].__setitem__(0, np.zeros(3))),  # type: ignore[attr-defined]
    "an array through a view": changed(edit_view),
    "the mode": changed(lambda net: net.train(mode=False)),
    "the mode of one layer": changed(lambda net: net.layers[1].train(mode=False)),
    "the order of layers": changed(swap),
    "a layer of the same weights": changed(lambda net: net.layers.__setitem__(1, nn.Sigmoid())),
    "a hook": changed(lambda net: net.layers[0].register_forward_hook(lambda module, given, out: out + 1)),
    "a hook before": changed(lambda net: net.register_forward_pre_hook(lambda module, given: (given[0] + 1,))),
    "a method of one object": changed(lambda net: setattr(net, "forward", lambda z: z)),
    "a constant of TorchScript": (scripted(1.0), scripted(2.0)),
    "packed weights": (quantized(0), quantized(1)),
    "an order of keys": (closure({"a": 1, "b": 2}), closure({"b": 2, "a": 1})),
    "a text that an object becomes": tuple(
        made(f"class c:\n def __str__(self): return 'x{n}'\nk = c()\ndef f(z): return str(k)") for n in (1, 2)
    ),
    "a method by its name": tuple(
        made(
            f"import operator\nclass c:\n def go(self): return {n}\nk, go = c(), operator.methodcaller('go')\n"
            "def f(z): return go(k)"
        )
        for n in (1, 2)
    ),
    "a global of eval": tuple(made(f"level = {n}\ndef f(z): return z * eval('lev' + 'el')") for n in (1, 2)),
    "an attribute of a tensor": tuple(closure(tagged(n)) for n in (1, 2)),
    "a prior": (gentest.Uniform(4, low=0.0), gentest.Uniform(4, low=0.5)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_change_is_another_identity(name: str) -> None:
    """Two callables that differ in one thing are told apart; each is equal to itself, and all of it can be read."""
    one, other = PAIRS[name]
    first, second = identify(one), identify(other)
    assert (first.unknown, second.unknown) == ("", "")
    assert first != second
    assert (identify(one), identify(other)) == (first, second)


EQUAL: dict[str, tuple[Any, Any]] = {
    "made again": (Net(), Net()),
    "copied": (Net(), copy.deepcopy(Net())),
    "pickled": (Net(), pickle.loads(pickle.dumps(Net()))),
    "equal closures": (closure(Net()), closure(Net())),
    "local names": (
        made("def f(z):\n a = z + 1\n return a"),
        made("def f(z):\n\n\n b = z + 1\n return b"),
    ),
    "TorchScript made again": (scripted(1.0), scripted(1.0)),
    "quantized again": (quantized(0), quantized(0)),
    "a set": (closure({"a", "b", "c"}), closure({"c", "b", "a"})),
    "an empty lock": (closure(threading.Lock()), closure(threading.Lock())),
}


@pytest.mark.parametrize("name", EQUAL)
def test_what_changes_nothing_is_the_same_identity(name: str) -> None:
    one, other = (identify(thing) for thing in EQUAL[name])
    assert one == other
    assert one.unknown == ""
