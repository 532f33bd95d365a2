"""What an identity sees: everything that decides what a callable computes, and nothing that does not."""

from __future__ import annotations

import collections
import copy
import ctypes
import enum
import functools
import itertools
import os
import pickle
import socket
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.generators.identity import identify

LEVEL = 1.0
SETTINGS = types.ModuleType("settings_of_a_user")


class Net(nn.Module):
    scale = 1.0

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        self.register_buffer("shift", torch.zeros(4))
        self.register_buffer("hidden", torch.zeros(4), persistent=False)
        self.prompts = {"text": "a cat", "parts": [np.ones(3), 2]}
        self.writer: Any = None

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z) * self.scale + self.shift + self.hidden

    def log(self) -> None:
        self.writer.send(b"a line")


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


def with_module(z: Tensor) -> Tensor:
    return z * SETTINGS.level


def with_import(z: Tensor) -> Tensor:
    import settings_of_a_user as found

    return z * found.level


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


@pytest.fixture
def level() -> Iterator[None]:
    """A module of a user's, in which a number stands."""
    SETTINGS.level = 1.0  # type: ignore[attr-defined]
    sys.modules[SETTINGS.__name__] = SETTINGS
    yield
    del sys.modules[SETTINGS.__name__]


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("function", [with_module, with_import])
def test_an_attribute_of_an_imported_module_is_read(function: Callable[..., Any]) -> None:
    before = identify(function)
    SETTINGS.level = 2.0  # type: ignore[attr-defined]
    assert identify(function) != before


def test_a_global_is_read_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identify(with_global)
    monkeypatch.setattr(sys.modules[__name__], "LEVEL", 2.0)
    assert identify(with_global) != before


def test_a_patched_class_and_a_patched_library_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method is another one where it was replaced, on a class of one's own and on one of torch."""
    net, before = Net(), identify(Net())
    with monkeypatch.context() as patch:
        patch.setattr(Net, "forward", lambda self, z: z)
        assert identify(net) != before
    with monkeypatch.context() as patch:
        patch.setattr(nn.Linear, "forward", lambda self, z: z)
        assert identify(net) != before
    assert identify(net) == before


def test_an_environment_variable_that_code_names_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    function = made("def f(z): return z * float(os.environ.get('GAIN_OF_A_USER', '1'))")
    before = identify(function)
    monkeypatch.setenv("GAIN_OF_A_USER", "2")
    assert identify(function) != before
    monkeypatch.delenv("GAIN_OF_A_USER")
    monkeypatch.setenv("ANOTHER_OF_A_USER", "2")
    assert identify(function) == before


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


def test_weights_of_another_file_are_the_same_identity(tmp_path: Path) -> None:
    """Stored and loaded under two names, weights make one identity."""
    found = set()
    for name in ("a.pt", "b.pt"):
        torch.save(Net().state_dict(), tmp_path / name)
        net = Net()
        net.load_state_dict(torch.load(tmp_path / name, weights_only=True))
        found.add(identify(net))
    assert len(found) == 1


def test_a_compiled_module_is_the_one_that_it_was_made_of() -> None:
    net = Net()
    assert identify(torch.compile(net)) == identify(net) == identify(Net())


MODULE = """
import numpy as np, torch, gentest
from gentest.generators.identity import identify
TABLE = {"b": [1.0, "x"], "a": np.arange(3)}
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = torch.nn.Linear(3, 3)
        self.words = {"x", "y", "z"}
    def forward(self, z):
        return self.fc(z) * TABLE["b"][0] + len({"p", "q", "r"} & self.words)
"""


def test_another_process_and_another_path_give_the_same_identity(tmp_path: Path) -> None:
    """Neither the order of sets, nor addresses, nor where a file lies enters it."""
    found = set()
    for seed, folder in enumerate((tmp_path / "one", tmp_path / "another" / "folder")):
        folder.mkdir(parents=True)
        (folder / "net.py").write_text(MODULE)
        run = "import net; print(net.identify([net.Net(), net.torch.jit.script(net.Net().fc)]).digest)"
        env = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run([sys.executable, "-c", run], cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


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


def test_a_generator_is_named_where_it_cannot_be_read() -> None:
    """`identity=` makes a fingerprint of what can be read and the name; without it each one is another."""
    with socket.socket() as held:
        space = gentest.Normal(4)
        plain = gentest.Generator(Refusing(held), latent=space)
        assert plain.fingerprint() != plain.fingerprint()
        named, again, other = (
            gentest.Generator(Refusing(held), latent=space, identity=name).fingerprint() for name in ("a", "a", "b")
        )
    assert named == again != other
    with pytest.raises(gentest.InvalidArgument, match="identity=3"):
        gentest.Generator(Net(), latent=space, identity=3)  # type: ignore[arg-type]
