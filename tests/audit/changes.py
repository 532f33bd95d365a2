"""Changes of what computes, drawn: `python -m tests.audit.changes --n 1000 --seed 5`.

Each kind of change makes a generator, or an attribute, whose level comes from one place: a literal in code, a slot, a
weight, an attribute of a module, and so on. At a low level a property holds; at a high one it is violated. The
low one is checked first, then the high one, made anew or changed in place: within one session, or through a cache on
disk. Whatever comes of the high one but `violated` or an error is wrong, and so is anything but a pass of the low one.
Harmless changes must share what was made: a session that looks at an equal generator again makes audits only.
"""

from __future__ import annotations

import argparse
import array
import builtins
import collections
import copy
import ctypes
import enum
import functools
import os
import pickle
import random
import sys
import tempfile
import threading
import types
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values

LOW, HIGH, LIMIT = 0.3, 0.8, 0.6
PASSED = (Verdict.HOLDS, Verdict.NO_COUNTEREXAMPLE)
VARIABLE = "GENTEST_TEST_LEVEL"
SETTINGS = types.ModuleType("settings_of_a_changing_user")
SETTINGS.level = LOW  # type: ignore[attr-defined]
sys.modules[SETTINGS.__name__] = SETTINGS
PACKAGE = types.ModuleType("package_of_a_changing_user.part")
sys.modules[PACKAGE.__name__] = PACKAGE
OF_A_USER = types.ModuleType("code_of_a_changing_user")
sys.modules[OF_A_USER.__name__] = OF_A_USER

Function = Callable[..., Any]


def picture(z: Tensor, level: Any) -> Tensor:
    """Grey images [B, 1, 8, 8] about a level."""
    near = float(level) + 0.02 * torch.tanh(z[:, :1])
    return near[:, :, None, None].expand(-1, 1, 8, 8).clone()


def source(code: str, **names: Any) -> Any:
    """What `f` is in some code, of a user's own module."""
    namespace: dict[str, Any] = {"picture": picture, "torch": torch, "nn": nn, "os": os, **names}
    namespace = {"__name__": OF_A_USER.__name__, **namespace}
    exec(code, namespace)
    return namespace["f"]


@dataclass(frozen=True)
class Kind:
    """How a level gets into a function, and how it is changed there; None where it can only be made anew."""

    make: Callable[[float], Function]
    change: Callable[[Any, float], object] | None = None
    hidden: bool = False
    """Whether nobody can see the change without calling: then an error is as right as a fresh look."""


class Weighted(nn.Module):
    """A module with its level in one of many places."""

    rate = 0.0

    def __init__(self, **at: Any) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([at.get("weight", 0.0)]))
        self.register_buffer("kept", torch.tensor(at.get("kept", 0.0)))
        self.register_buffer("unkept", torch.tensor(at.get("unkept", 0.0)), persistent=False)
        self.number, self.text, self.flag = at.get("number", 0.0), at.get("text", "0"), at.get("flag", False)
        self.listed, self.table = [at.get("listed", 0.0), "x"], {"a": {"level": at.get("table", 0.0)}}
        self.arrays = [np.full(2, at.get("array", 0.0)), 3]

    def forward(self, z: Tensor) -> Tensor:
        total = self.bias + self.kept + self.unkept + self.number + float(self.text) + HIGH * self.flag + self.listed[0]
        return picture(z, total + self.table["a"]["level"] + self.arrays[0][1] + self.rate)


class Slotted:
    __slots__ = ("level",)

    def __init__(self, level: float) -> None:
        self.level = level

    def __call__(self, z: Tensor) -> Tensor:
        return picture(z, self.level)

    def draw(self, z: Tensor) -> Tensor:
        return picture(z, self.level)


@dataclass
class Config:
    level: float


class Mode(enum.Enum):
    DARK = LOW
    LIT = HIGH


class Constant(nn.Module):
    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, z: Tensor) -> Tensor:
        near = self.level + 0.02 * torch.tanh(z[:, :1])
        return near[:, :, None, None].expand(-1, 1, 8, 8).clone()


def scripted(level: float) -> Function:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(Constant(level))  # type: ignore[no-any-return]


class Packed(nn.Module):
    """A quantized layer that gives the level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        layer = nn.Linear(2, 1)
        layer.weight.data[:] = level / 2
        layer.bias.data[:] = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.layer = torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {nn.Linear}, dtype=torch.qint8)

    def forward(self, z: Tensor) -> Tensor:
        return picture(z, self.layer(torch.ones(1, 2)))


def nested(level: float) -> Function:
    def f(z: Tensor) -> Tensor:
        def inner() -> float:
            return level

        return picture(z, inner())

    return f


def partial_of(level: float) -> Function:
    return functools.partial(lambda z, level: picture(z, level), level=level)


def hooked(level: float) -> Function:
    net = Weighted(number=LOW)
    net.register_forward_hook(lambda module, given, out: out + (level - LOW))
    return net


def sequence(level: float) -> Function:
    first, last = Constant(LOW), nn.Identity()
    parts = [nn.Identity(), Constant(HIGH)] if level == HIGH else [first, last]
    return nn.Sequential(*parts)


def iterated(level: float) -> Function:
    levels = (level for _ in range(10**9))
    return lambda z: picture(z, next(levels))


LOCAL = threading.local()
LOCAL.level = LOW


def of_thread(z: Tensor) -> Tensor:
    return picture(z, LOCAL.level)


class Filed:
    """A function that reads its level from a file at each call."""

    def __init__(self, level: float) -> None:
        self.path = str(FOLDER / "level.txt")
        self.write(level)

    def write(self, level: float) -> None:
        with open(self.path, "w") as file:
            file.write(str(level))

    def __call__(self, z: Tensor) -> Tensor:
        with open(self.path) as file:
            return picture(z, float(file.read()))


FOLDER = Path(tempfile.mkdtemp(prefix="gentest-changes-"))


def by_attribute(name: str) -> Kind:
    """A level that is one attribute of a module."""
    return Kind(lambda level: Weighted(**{name: level}), lambda f, level: setattr(f, name, level))


def edit_cell(f: Any, level: float) -> None:
    f.__closure__[0].cell_contents = level


def code_of(text: str) -> Kind:
    return Kind(lambda level: source(text.replace("LEVEL", repr(level))))


def patched(f: Any, level: float) -> None:
    f.forward = lambda z: picture(z, level)


def turned(level: float) -> dict[str, float]:
    """Two levels by name, of which the first is the one that counts."""
    return dict(sorted({"a": LOW, "b": HIGH}.items(), reverse=level == HIGH))


class First(nn.Module):
    """A module that takes its first weight or buffer."""

    def __init__(self, level: float, *, buffers: bool) -> None:
        super().__init__()
        for name, value in turned(level).items():
            if buffers:
                self.register_buffer(name, torch.tensor(value))
            else:
                self.register_parameter(name, nn.Parameter(torch.tensor(value)))

    def forward(self, z: Tensor) -> Tensor:
        return picture(z, [*self.parameters(), *self.buffers()][0])


class Own(np.ndarray):  # type: ignore[type-arg]
    """An array with an attribute."""


def own_array(level: float) -> Own:
    made = np.zeros(2).view(Own)
    made.level = level  # type: ignore[attr-defined]
    return made


def graph(level: float) -> Function:
    """A traced graph that calls a function of a user's."""
    traced = torch.fx.Graph()
    z = traced.placeholder("z")
    traced.output(traced.call_function(source(f"def f(z): return picture(z, {level})"), (z,)))
    return torch.fx.GraphModule(nn.Module(), traced)


class Shift(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.by


def parametrized(level: float) -> Function:
    net = Weighted()
    parametrize.register_parametrization(net, "bias", Shift(level))
    return net


class Guided(nn.Module):
    """A level that is a gradient, which a hook may change on its way back."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        self.layer.weight.data.fill_(LOW)
        if level == HIGH:
            self.lift(level)

    def lift(self, level: float) -> None:
        self.layer.register_full_backward_hook(lambda module, given, out: (given[0] + (level - LOW),))

    def forward(self, z: Tensor) -> Tensor:
        with torch.enable_grad():
            x = torch.ones(1, 1, requires_grad=True)
            (found,) = torch.autograd.grad(self.layer(x).sum(), x)
        return picture(z, found)


class Marked(nn.Identity):
    """The module that a hook on all modules goes by."""


def hook_all(level: float) -> None:
    """A hook on all modules, which lifts what those of one class give."""
    if not HOOKED:
        lifted = {"level": LOW}
        hook = register_module_forward_hook(
            lambda module, given, out: out + (lifted["level"] - LOW) if isinstance(module, Marked) else None
        )
        HOOKED.append((lifted, hook))
    HOOKED[0][0]["level"] = level


def unhook_all() -> None:
    """Takes that hook away: it would be there for whatever this process looks at next."""
    while HOOKED:
        HOOKED.pop()[1].remove()


HOOKED: list[tuple[dict[str, float], RemovableHandle]] = []
ALIVE: list[Any] = []


def weak(level: float) -> Any:
    return weakref.proxy(Held(level))


class Held:
    def __init__(self, level: float) -> None:
        self.level = level
        ALIVE.append(self)


def cached(level: float) -> Function:
    found = functools.lru_cache(lambda: 0)
    found.level = level  # type: ignore[attr-defined]
    return source("def f(z): return picture(z, g.level)", g=found)


def held_grad(level: float) -> Function:
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.tensor([level])
    return source("def f(z): return picture(z, w.grad)", w=weight)


def placed_in(owner: Any, name: str, function: Function) -> Kind:
    """A level that lies in the namespace of a library or of all code."""

    def put(level: float) -> None:
        setattr(owner, name, [level])

    return Kind(lambda level: (put(level), function)[1], lambda f, level: put(level))


KINDS: dict[str, Kind] = {
    "literal": code_of("def f(z): return picture(z, LEVEL)"),
    "literal of an inner function": code_of("def f(z):\n def g(): return LEVEL\n return picture(z, g())"),
    "literal of a method": code_of(
        "class F:\n def go(self): return LEVEL\n def __call__(self, z): return picture(z, self.go())\nf = F()"
    ),
    "literal in a module": code_of("class F(nn.Module):\n def forward(self, z): return picture(z, LEVEL)\nf = F()"),
    "literal of a helper": code_of("def g(): return LEVEL\ndef f(z): return picture(z, g())"),
    "class attribute": code_of(
        "class F:\n level = LEVEL\n def __call__(self, z): return picture(z, self.level)\nf = F()"
    ),
    "default": Kind(
        lambda level: source(f"def f(z, level={level}): return picture(z, level)"),
        lambda f, level: setattr(f, "__defaults__", (level,)),
    ),
    "keyword default": Kind(
        lambda level: source(f"def f(z, *, level={level}): return picture(z, level)"),
        lambda f, level: f.__kwdefaults__.update(level=level),
    ),
    "closure": Kind(lambda level: lambda z: picture(z, level), edit_cell),
    "nested closure": Kind(nested, edit_cell),
    "partial": Kind(partial_of),
    "bound method": Kind(lambda level: Slotted(level).draw, lambda f, level: setattr(f.__self__, "level", level)),
    "slot": Kind(Slotted, lambda f, level: setattr(f, "level", level)),
    "dataclass in a closure": Kind(
        lambda level: (lambda c: lambda z: picture(z, c.level))(Config(level)),
        lambda f, level: setattr(f.__closure__[0].cell_contents, "level", level),
    ),
    "enum": Kind(lambda level: (lambda mode: lambda z: picture(z, mode.value))(Mode(level))),
    "lambda in a dictionary": Kind(
        lambda level: source("def f(z): return picture(z, table['a']())", table={"a": lambda: level}),
        lambda f, level: f.__globals__["table"].update(a=lambda: level),
    ),
    "global number": Kind(
        lambda level: source("def f(z): return picture(z, level)", level=level),
        lambda f, level: f.__globals__.update(level=level),
    ),
    "global text": Kind(
        lambda level: source("def f(z): return picture(z, float(level))", level=str(level)),
        lambda f, level: f.__globals__.update(level=str(level)),
    ),
    "global list": Kind(
        lambda level: source("def f(z): return picture(z, level[0])", level=[level]),
        lambda f, level: f.__globals__["level"].__setitem__(0, level),
    ),
    "attribute of a function": Kind(
        lambda level: source(f"def f(z): return picture(z, f.level)\nf.level = {level}"),
        lambda f, level: setattr(f, "level", level),
    ),
    "weight": Kind(lambda level: Weighted(weight=level), lambda f, level: f.bias.data.fill_(level)),
    "weight through NumPy": Kind(
        lambda level: Weighted(weight=level), lambda f, level: f.bias.detach().numpy().__setitem__(0, level)
    ),
    "buffer": Kind(lambda level: Weighted(kept=level), lambda f, level: f.kept.fill_(level)),
    "buffer that is not stored": Kind(lambda level: Weighted(unkept=level), lambda f, level: f.unkept.fill_(level)),
    "number": by_attribute("number"),
    "text": Kind(lambda level: Weighted(text=str(level)), lambda f, level: setattr(f, "text", str(level))),
    "flag": Kind(
        lambda level: Weighted(flag=level == HIGH, number=0.0 if level == HIGH else LOW),
        lambda f, level: (setattr(f, "flag", True), setattr(f, "number", 0.0)),
    ),
    "list": Kind(lambda level: Weighted(listed=level), lambda f, level: f.listed.__setitem__(0, level)),
    "dictionary": Kind(lambda level: Weighted(table=level), lambda f, level: f.table["a"].update(level=level)),
    "array in a list": Kind(
        lambda level: Weighted(array=level), lambda f, level: f.arrays.__setitem__(0, np.full(2, level))
    ),
    "array through a view": Kind(lambda level: Weighted(array=level), lambda f, level: f.arrays[0][1:].fill(level)),
    "class attribute of a module": Kind(
        lambda level: type("Own", (Weighted,), {"rate": level})(), lambda f, level: setattr(type(f), "rate", level)
    ),
    "patched forward": Kind(lambda level: Weighted(number=level), patched),
    "TorchScript constant": Kind(scripted),
    "TorchScript attribute": Kind(scripted, lambda f, level: setattr(f, "level", level)),
    "packed weights": Kind(Packed),
    "hook": Kind(hooked),
    "order of a Sequential": Kind(sequence),
    "module attribute": Kind(
        lambda level: (setattr(SETTINGS, "level", level), source("def f(z): return picture(z, s.level)", s=SETTINGS))[
            1
        ],
        lambda f, level: setattr(SETTINGS, "level", level),
    ),
    "module imported inside": Kind(
        lambda level: (
            setattr(SETTINGS, "level", level),
            source("def f(z):\n import settings_of_a_changing_user as s\n return picture(z, s.level)"),
        )[1],
        lambda f, level: setattr(SETTINGS, "level", level),
    ),
    "environment": Kind(
        lambda level: (
            os.environ.__setitem__(VARIABLE, str(level)),
            source(f"def f(z): return picture(z, float(os.environ.get('{VARIABLE}')))"),
        )[1],
        lambda f, level: os.environ.__setitem__(VARIABLE, str(level)),
    ),
    "bytes of ctypes": Kind(
        lambda level: (lambda held: lambda z: picture(z, held.value))(ctypes.c_double(level)),
        lambda f, level: setattr(f.__closure__[0].cell_contents, "value", level),
    ),
    "made by a classmethod": code_of(
        "class F:\n def __init__(self): self.level = LEVEL\n @classmethod\n def make(cls): return cls()\n"
        " def __call__(self, z): return picture(z, self.make().level)\nf = F.__new__(F)"
    ),
    "made by a copy": code_of(
        "import copy\nclass C:\n def __deepcopy__(self, memo): return LEVEL\nc = C()\n"
        "def f(z): return picture(z, copy.deepcopy(c))"
    ),
    "attribute of an enum's member": Kind(
        lambda level: source(
            f"import enum\nclass M(enum.Enum):\n A = 1\n def __init__(self, _): self.level = {level}\n"
            "def f(z): return picture(z, M.A.level)"
        ),
        lambda f, level: setattr(f.__globals__["M"].A, "level", level),
    ),
    "factory of a defaultdict": Kind(
        lambda level: source(
            "def f(z): return picture(z, d[len(d)])", d=collections.defaultdict(functools.partial(float, level))
        )
    ),
    "order of a dictionary": Kind(
        lambda level: source("def f(z): return picture(z, next(iter(d.values())))", d=turned(level))
    ),
    "order of an OrderedDict": Kind(
        lambda level: source(
            "def f(z): return picture(z, next(iter(d.values())))", d=collections.OrderedDict(turned(level))
        ),
        lambda f, level: f.__globals__["d"].move_to_end("a"),
    ),
    "order of keywords": Kind(
        lambda level: functools.partial(
            source("def f(z, **given): return picture(z, list(given.values())[0])"), **turned(level)
        )
    ),
    "order of attributes": Kind(
        lambda level: source(
            "def f(z): return picture(z, list(vars(s).values())[0])", s=types.SimpleNamespace(**turned(level))
        )
    ),
    "order of parameters": Kind(lambda level: First(level, buffers=False)),
    "order of buffers": Kind(lambda level: First(level, buffers=True)),
    "order of a dataclass's fields": Kind(
        lambda level: source(
            "import dataclasses\nC = dataclasses.make_dataclass('C', names)\nc = C(a=0.3, b=0.8)\n"
            "def f(z): return picture(z, dataclasses.astuple(c)[0])",
            names=list(turned(level)),
        )
    ),
    "attribute of an array": Kind(
        lambda level: source("def f(z): return picture(z, a.level)", a=own_array(level)),
        lambda f, level: setattr(f.__globals__["a"], "level", level),
    ),
    "data below a mask": Kind(
        lambda level: source("def f(z): return picture(z, a.data[0])", a=np.ma.MaskedArray([level, 1], [True, False])),
        lambda f, level: f.__globals__["a"].data.__setitem__(0, level),
    ),
    "type of an array of numbers": Kind(
        lambda level: source(
            "def f(z): return picture(z, 0.3 if a.typecode == 'i' else 0.8)",
            a=array.array("i" if level == LOW else "I"),
        )
    ),
    "strides": Kind(
        lambda level: source(
            "def f(z): return picture(z, 0.3 if w.is_contiguous() else 0.8)",
            w=torch.ones(3, 4) if level == LOW else torch.ones(4, 3).T,
        )
    ),
    "requires_grad": Kind(
        lambda level: source(
            "def f(z): return picture(z, 0.8 if w.requires_grad else 0.3)", w=torch.ones(2, requires_grad=level == HIGH)
        ),
        lambda f, level: f.__globals__["w"].requires_grad_(level == HIGH),
    ),
    "gradient that is held": Kind(held_grad, lambda f, level: f.__globals__["w"].grad.fill_(level)),
    "hook on the way back": Kind(Guided, lambda f, level: f.lift(level)),
    "hook on all modules": Kind(
        lambda level: (hook_all(level), source("def f(z): return picture(z, m(torch.tensor(0.3)))", m=Marked()))[1],
        lambda f, level: hook_all(level),
    ),
    "parametrization": Kind(parametrized, lambda f, level: setattr(f.parametrizations.bias[0], "by", level)),
    "function in a traced graph": Kind(graph),
    "attribute of a metaclass": Kind(
        lambda level: source(
            f"class M(type): level = {level}\nclass F(metaclass=M):\n"
            " def __call__(self, z): return picture(z, type(self).level)\nf = F()"
        ),
        lambda f, level: setattr(type(type(f)), "level", level),
    ),
    "method by a name made at run time": code_of(
        "class C:\n def level(self): return LEVEL\nc = C()\ntable = {'get': getattr}\n"
        "def f(z): return picture(z, table['get'](c, 'le' + str('vel'))())"
    ),
    "name of a local variable": Kind(
        lambda level: source(
            f"def f(z):\n {'x, y' if level == LOW else 'y, x'} = 0.3, 0.8\n return picture(z, locals()['x' + str()])"
        )
    ),
    "name of a function": Kind(
        lambda level: source(
            f"def g{int(10 * level)}(): pass\ng = g{int(10 * level)}\n"
            "def f(z): return picture(z, int(g.__name__[1:]) / 10)"
        ),
        lambda f, level: setattr(f.__globals__["g"], "__name__", f"g{int(10 * level)}"),
    ),
    "documentation": Kind(
        lambda level: source(
            "class C: pass\nC.__doc__ = text\ndef f(z): return picture(z, float(C.__doc__))", text=str(level)
        ),
        lambda f, level: setattr(f.__globals__["C"], "__doc__", str(level)),
    ),
    "attribute of a cached function": Kind(cached, lambda f, level: setattr(f.__globals__["g"], "level", level)),
    "what is referred to weakly": Kind(
        lambda level: source("def f(z): return picture(z, r.level)", r=weak(level)),
        lambda f, level: setattr(f.__globals__["r"], "level", level),
    ),
    "package imported by a text": Kind(
        lambda level: (
            setattr(PACKAGE, "level", level),
            source(
                "import importlib\nname = ['package_of_a_changing_user.part']\n"
                "def f(z): return picture(z, importlib.import_module(name[0]).level)"
            ),
        )[1],
        lambda f, level: setattr(PACKAGE, "level", level),
    ),
    "value among the builtins": placed_in(
        builtins, "level_of_a_changing_user", source("def f(z): return picture(z, level_of_a_changing_user[0])")
    ),
    "value in a library": placed_in(
        np,
        "level_of_a_changing_user",
        source("import numpy\ndef f(z): return picture(z, numpy.level_of_a_changing_user[0])"),
    ),
    "attribute of a library's class": placed_in(
        nn.Module,
        "level_of_a_changing_user",
        source("m = nn.ReLU()\ndef f(z): return picture(z, m.level_of_a_changing_user[0])"),
    ),
    "environment by a name made at run time": Kind(
        lambda level: (
            os.environ.__setitem__(VARIABLE, str(level)),
            source("e = os.environ\ndef f(z): return picture(z, float(e['GENTEST_TEST_' + 'level'.upper()]))"),
        )[1],
        lambda f, level: os.environ.__setitem__(VARIABLE, str(level)),
    ),
    "path that code names": Kind(
        lambda level: source("def f(z): return picture(z, float(c['name_or_path']))", c={"name_or_path": str(level)}),
        lambda f, level: f.__globals__["c"].update(name_or_path=str(level)),
    ),
    "ufunc of a function": Kind(
        lambda level: source("def f(z): return picture(z, float(u(0.0)))", u=np.frompyfunc(lambda x: x + level, 1, 1))
    ),
    "iterator": Kind(iterated, hidden=True),
    "what belongs to a thread": Kind(
        lambda level: (setattr(LOCAL, "level", level), of_thread)[1],
        lambda f, level: setattr(LOCAL, "level", level),
        hidden=True,
    ),
    "file": Kind(Filed, lambda f, level: f.write(level), hidden=True),
}


def as_measure(make: Callable[[float], Function]) -> Callable[[float], Function]:
    """The same route of a level, into an attribute of images."""

    def measure(level: float) -> Function:
        function = make(level)

        def attribute(images: Tensor) -> Tensor:
            scored: Tensor = function(images.flatten(1)[:, :2])[:, 0, 0, 0]
            return scored

        attribute.address = "an attribute of a user's"  # type: ignore[attr-defined]  # so that it is cached as well
        return attribute

    return measure


def property_of(attribute: Function | None) -> gentest.Property:
    """An attribute, or brightness, is no higher than a limit."""

    @gentest.property(probes=gentest.points())
    def low(evidence: gentest.Evidence, *, by: Any) -> Tensor:
        return LIMIT - evidence.scores(by)[:, 0]

    return low(by=gentest.brightness() if attribute is None else attribute)


@dataclass(frozen=True)
class Case:
    """A kind of change, where it is made, how, and how it is looked at."""

    kind: str
    where: str
    how: str
    way: str
    seed: int
    between: bool

    def __str__(self) -> str:
        return f"{self.kind} of a {self.where}, {self.how}, {self.way}"


def drawn(rng: random.Random, kind: str | None = None) -> Case:
    """A case; a kind that cannot be changed in place is made anew."""
    kind = kind or rng.choice(list(KINDS))
    how = rng.choice(["anew", "in place"]) if KINDS[kind].change is not None else "anew"
    where, way = rng.choice(["generator", "attribute"]), rng.choice(["session", "cache"])
    return Case(kind, where, how, way, rng.randint(0, 10**6), rng.random() < 0.3)


@contextmanager
def session(way: str, folder: Path, seed: int) -> Iterator[Callable[[Function | None, Function], Result]]:
    """Checks an attribute on a generator: all in one session, or each in one of its own with the same cache."""
    values = Values(device="cpu", examples=24, seed=seed, reduce=0, cache=str(folder) if way == "cache" else None)
    shared = Context(values)

    def look(attribute: Function | None, function: Function) -> Result:
        context = shared if way == "session" else Context(values)
        generator = gentest.Generator(function, latent=gentest.Normal(4), output_range=(0, 1))
        try:
            return check(Question(property_of(attribute).definition), generator, context, values)
        finally:
            context.close()

    try:
        yield look
    finally:
        unhook_all()


def judged(case: Case, folder: Path) -> tuple[str, Result]:
    """Empty where all is right, or what is wrong, and the result that shows it."""
    kind, in_generator = KINDS[case.kind], case.where == "generator"
    make = kind.make if in_generator else as_measure(kind.make)
    plain: Function = functools.partial(picture, level=LOW)
    with session(case.way, folder, case.seed) as look:
        function = make(LOW)
        before = look(None, function) if in_generator else look(function, plain)
        if before.verdict not in PASSED:
            return "what is right is refused", before
        if case.between:  # another generator, looked at meanwhile
            look(None, functools.partial(picture, level=LOW / 2))
        if case.how == "anew":
            function = make(HIGH)
        else:
            assert kind.change is not None
            inner = function if in_generator else function.__closure__[0].cell_contents  # type: ignore[attr-defined]
            kind.change(inner, HIGH)
        after = look(None, function) if in_generator else look(function, plain)
    if after.verdict in PASSED or after.verdict is Verdict.UNDECIDED:
        return "what is wrong passes", after
    if after.verdict is Verdict.ERROR and not kind.hidden:
        return "an error where a look was possible", after
    return "", after


HARMLESS: dict[str, Callable[[Function], Function]] = {
    "the same object": lambda f: f,
    "copied": copy.deepcopy,
    "pickled": lambda f: pickle.loads(pickle.dumps(f)),
    "reloaded": lambda f: reloaded(f),
}


def reloaded(f: Any) -> Any:
    """Another module with the weights of one."""
    other = Weighted(number=f.number)
    other.load_state_dict(f.state_dict())
    return other


def shares(name: str, way: str, folder: Path, seed: int) -> tuple[bool, Result]:
    """Whether an equal generator is looked at without making its outputs again, besides an audit and an examination."""
    first = Weighted(number=LOW)
    with session(way, folder, seed) as look:
        look(None, first)
        second = look(None, HARMLESS[name](first))
    assert second.audit is not None
    return second.verdict in PASSED and second.images - second.audit.images <= 16 + 22, second


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    rng, counts, wrong = random.Random(given.seed), Counter[tuple[str, str]](), 0
    with tempfile.TemporaryDirectory() as folder:
        for n in range(given.n):
            case = drawn(rng)
            said, result = judged(case, Path(folder) / str(n))
            counts[case.kind, case.way] += 1
            if said:
                wrong += 1
                print(f"wrong: {case}: {said}: {result.verdict.value} {result.message[:300]}")  # noqa: T201
        lost = 0
        for name in HARMLESS:
            for way in ("session", "cache"):
                fine, result = shares(name, way, Path(folder) / f"{name} {way}", given.seed)
                lost += not fine
                print(f"{name:18} {way:8} {'shared' if fine else 'made again'}: {result.images} images")  # noqa: T201
    for kind in KINDS:
        print(f"{kind:30}", {way: counts[kind, way] for way in ("session", "cache")})  # noqa: T201
    print(f"{given.n} changes of {len(KINDS)} kinds, {wrong} wrong; {lost} harmless ones not shared")  # noqa: T201
    return 1 if wrong or lost else 0


if __name__ == "__main__":
    sys.exit(main())
