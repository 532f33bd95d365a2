"""Identity: one digest of everything that decides what a callable computes.

Evidence is reused only between callables of equal identity: within a run, from the cache on disk, and in a gate. An
identity covers, transitively, weights and buffers, code, defaults, closures, `partial` arguments, plain values on
objects, modules and classes, the globals and module attributes that the code names, slots, and packed or quantized
state. Installed packages count as their version, or as the checksums of their files.

Identity is total. A part that cannot be read (a socket, a tensor on meta, a C object without a state) makes it
*unknown*, and an unknown identity equals no other. To name such a part, give the object an attribute
`gentest_identity`, or say `Generator(..., identity="...")`.

Equal content gives equal digests in every process and on every machine that runs the same version of Python: no
address, path or module name enters a digest.
"""

from __future__ import annotations

import collections
import copyreg
import decimal
import dis
import enum
import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import logging
import operator
import os
import re
import struct
import sys
import sysconfig
import types
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.special
import torch
import xxhash
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack

from gentest.generators.weights import Holder

NAMED = "gentest_identity"
"""The attribute by which a user names a part that cannot be read: its text stands for the whole part."""
MOST = 2_000_000
"""Parts that are read of one callable; with more, its identity is unknown."""
SHORT = 64
"""Text and bytes up to this length are written into a digest as they are."""
ALWAYS = frozenset({"forward"})
"""Methods that are called without their name in any code: torch calls `forward`."""
DYNAMIC = frozenset(
    {
        "__dict__", "__getattribute__", "attrgetter", "dir", "eval", "exec", "getattr", "getattr_static", "getmembers",
        "globals", "locals", "methodcaller", "vars",
    }
)  # fmt: skip
"""Names in code that may reach any attribute, by a name made at run time."""
OF_LOCALS = frozenset({"locals", "vars", "eval", "exec", "dir"})
"""Names in code that may ask for a local variable by its name."""
PYTHON = b"python "
BY_VERSION = frozenset({"torch", "numpy", "scipy", "gentest"})
"""Packages that count as their version alone."""
PATHS = frozenset({"_name_or_path", "name_or_path", "_use_default_values", "_diffusers_version", "_commit_hash"})
"""Entries of Hugging Face's configurations that say where a file came from: they count where code names them."""
OF_MODULES = frozenset(
    {
        "_compiled_call_impl", "_is_torch_compile", "_load_state_dict_post_hooks", "_load_state_dict_pre_hooks",
    }
)  # fmt: skip
"""Attributes of an `nn.Module` that do not enter what it computes."""
HOOKS = frozenset(
    {
        "_backward_hooks", "_backward_pre_hooks", "_forward_hooks", "_forward_hooks_always_called",
        "_forward_hooks_with_kwargs", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_state_dict_hooks",
        "_state_dict_pre_hooks",
    }
)  # fmt: skip
"""Attributes of an `nn.Module` whose keys are numbers counted over the whole process."""
OF_ORDER = frozenset({"parameters", "named_parameters", "buffers", "named_buffers", "state_dict"})
"""Names in code that may go through weights and buffers in their order."""
OF_GRADIENTS = frozenset({"requires_grad", "grad", "backward", "is_leaf"})
"""Names in code that may ask for more of a tensor than its values: for gradients, ..."""
OF_LAYOUT = frozenset({"stride", "strides", "is_contiguous", "flags", "storage_offset"})
"""... for how they lie in memory, ..."""
OF_STORAGE = frozenset({"as_strided", "storage", "untyped_storage"})
"""... and for what lies beside them."""
OF_CLASSES = frozenset(
    {
        "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__",
        "__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__", "__module__",
        "__orig_bases__", "__parameters__", "__qualname__", "__static_attributes__", "__weakref__", "_abc_impl",
    }
)  # fmt: skip
"""Entries of a class that do not decide what its methods compute."""
DESCRIBING = ("__doc__", "__module__", "__name__", "__qualname__")
"""What describes a function or a class: it counts where code names it, ..."""
OF_ANNOTATIONS = frozenset({"__annotations__", "get_annotations", "get_type_hints", "signature"})
"""... and annotations where code names one of these."""
OF_MAKING = frozenset(
    {
        "__init__", "__new__", "__post_init__", "__del__", "__dir__", "__sizeof__",
        "__copy__", "__deepcopy__", "__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__init_subclass__",
        "__set_name__", "__class_getitem__",
    }
)  # fmt: skip
"""Methods that make and copy an object: of a class they count where code may make one."""
MAKING = frozenset({"type", "__class__", "cls", "copy", "deepcopy", "replace", "pickle", "dumps", "loads"})
"""Names in code that may make another object of a class that is not named."""
BY_NAME = frozenset({"import_module", "__import__", "modules"})
"""Names in code that lead to a module by a text."""
LEAST_TEXT = 4
"""Characters of a text that may be part of the name of an environment variable, put together at run time."""
OF_PYTEST = "PYTEST_"
"""Environment variables that pytest sets for each test begin so."""
GLOBAL_STATE: dict[str, Callable[[], object]] = {
    "are_deterministic_algorithms_enabled": torch.are_deterministic_algorithms_enabled,
}
"""What is set once for everything that is computed, by the function that tells it, ..."""
OF_DEFAULT_DTYPE = frozenset(
    {
        "Tensor", "arange", "as_tensor", "empty", "eye", "full", "get_default_dtype", "linspace", "logspace", "ones",
        "rand", "randn", "tensor", "zeros",
    }
)  # fmt: skip
"""Names in code that may make a tensor of the default dtype, which counts there and in the code of libraries."""
ASKED_STATE: dict[str, Callable[[], object]] = {
    "get_float32_matmul_precision": torch.get_float32_matmul_precision,
    "get_num_threads": torch.get_num_threads,
    "geterr": np.geterr,
    "getcontext": lambda: str(decimal.getcontext()),
}
"""... and what counts only where code names that function."""
MANGLED = re.compile(rb"___torch_mangle_\d+\.?")
"""A number that TorchScript puts into a name, counted over the whole process."""
CONSTANTS = re.compile(rb"(?:^ *\w+ : Final\[.*\n)+", re.MULTILINE)
"""Constants of a TorchScript class, which come in another order in each process."""
SCRIPT_NOISE = (".debug_pkl", "serialization_id", "/version", "/byteorder")
"""Entries of a TorchScript archive that say where and when it was written."""

_PLAIN = (type(None), bool, int, float, complex, type(Ellipsis), type(NotImplemented))
_TORCH_VALUES = (torch.dtype, torch.device, torch.layout, torch.memory_format)
_BY_NAME = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
    types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
_OF_C = frozenset(_BY_NAME)
_FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)
_DATA = (list, tuple, dict, set, frozenset, bytearray, np.ndarray, Tensor, functools.partial, types.SimpleNamespace)
"""Types whose values in a library's namespace are read: somebody may have put them there, or changed them."""
_OPAQUE = ("_thread.lock", "_thread.RLock", "_contextvars.Token")
"""Types of C that hold nothing a result depends on."""


@dataclass(frozen=True)
class Identity:
    """What tells a callable from every other.

    `digest` has 32 hexadecimal digits. `unknown` names the first part that could not be read and why, empty where all
    was read; then `digest` contains random numbers, and is equal to no other.
    """

    digest: str
    unknown: str = ""


class _Held(NamedTuple):
    tensor: weakref.ref[Tensor]
    version: int
    pointer: int
    token: bytes


Tensors = dict[int, _Held]
"""Digests of tensors, to be taken for known while nobody but gentest runs: by id, with torch's count of writes."""


def identify(thing: object, *, name: str = "", tensors: Tensors | None = None) -> Identity:
    """The identity of a callable, or of any value; `name` is what its owner says of the parts that cannot be read.

    `tensors` are digests that may be trusted where torch counts no write since; new ones are added to it.

    >>> one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> identify(one) == identify(two), identify(one) == identify(one)
    (False, True)
    >>> identify(n for n in range(3)).unknown
    "it: a builtins.generator that cannot be read (cannot pickle 'generator' object)"
    """
    known = {} if tensors is None else tensors
    used: frozenset[str] = ALWAYS
    while True:  # which methods count depends on the names in code, and that on which methods count
        reader = _Reader(used, known)
        token = reader.whole(thing)
        if reader.names <= used:
            break
        used |= reader.names
    unknown = "" if name else reader.unknown
    parts = [token, name.encode(), *_surroundings(used, reader.texts), os.urandom(16) if unknown else b""]
    return Identity(_hash(b"identity", parts).hex(), unknown)


def _surroundings(used: frozenset[str], texts: set[str]) -> list[bytes]:
    """The environment variables that code or a value names, whole or in part, where code reads any."""
    if not used & {"environ", "getenv"}:
        return []
    parts = {text for text in texts if len(text) >= LEAST_TEXT}
    parts |= {text.upper() for text in parts} if "upper" in used else set()
    asked = [
        name
        for name in sorted(os.environ)
        if not name.startswith(OF_PYTEST) and (name in used or name in texts or any(part in name for part in parts))
    ]
    return [f"{name}={os.environ[name]}".encode() for name in asked]


def _hash(tag: bytes, tokens: Iterable[bytes]) -> bytes:
    """16 bytes that tell a tagged list of tokens from any other."""
    found = xxhash.xxh3_128(tag + b"\0")
    for token in tokens:
        found.update(struct.pack("<q", len(token)) + token)
    return found.digest()


def _content(raw: np.ndarray[Any, Any]) -> bytes:
    """16 bytes that tell a row of bytes from any other."""
    return xxhash.xxh3_128_digest(raw.data)


_OF_WRAPPERS = (*functools.WRAPPER_ASSIGNMENTS, "__wrapped__")
"""What `functools.wraps` puts into a function's attributes."""


class _Unreadable(Exception):
    """A part that has no content to read; its text says why."""


class _Reader:
    """One walk over everything that a value refers to. `used` are the names that reachable code may ask for."""

    def __init__(self, used: frozenset[str], tensors: Tensors) -> None:
        self.names: set[str] = set()
        """The names in the code that was read."""
        self.texts: set[str] = set()
        """The short texts that were read."""
        self.unknown = ""
        self._used = used
        self._any_name = bool(used & DYNAMIC)
        self._tensors = tensors
        self._known: dict[int, tuple[object, bytes]] = {}
        """Tokens by id, with what they are of, kept alive."""
        self._kinds: dict[type, bytes] = {}
        """Tokens of classes as what objects are of, without the methods that make them."""
        self._others: dict[type, list[bytes]] = {}
        self._has_packages = False
        """Whether code of a package was met that counts as the checksums of its files."""
        self._open: dict[int, int] = {}
        """The depth of what is being read, by id."""
        self._trail: list[str] = []
        self._n_read = 0

    def whole(self, thing: object) -> bytes:
        """The token of the value at the top."""
        try:
            return _hash(b"whole", [self._token(thing), *self._around()])
        except RecursionError:
            self._trail.clear()
            return self._missing("it is nested too deeply")

    def _around(self) -> Iterator[bytes]:
        """The tokens of what is set for everything that is computed, and of the modules that code reaches by a text."""
        for name, told in (GLOBAL_STATE | {n: f for n, f in ASKED_STATE.items() if n in self._used}).items():
            yield name.encode() + self._token(told())
        if self._has_packages or self._used & OF_DEFAULT_DTYPE:
            yield b"dtype" + self._token(torch.get_default_dtype())
        for name, part in sorted(vars(torch_module).items()):
            if name.startswith("_global_") and isinstance(part, dict) and part:
                yield name.encode() + self._of(f"torch.nn: {name}", list(part.values()))
        yield self._kind(Tensor)
        for module in (torch, nn.functional):
            for name, part in vars(module).items():
                if isinstance(part, types.FunctionType) and _patched(part):
                    yield name.encode() + self._of(f".{name}", part)
        for mode in _get_current_function_mode_stack():  # type: ignore[no-untyped-call]
            yield self._of("torch.overrides: a mode", mode)
        if self._used & BY_NAME:
            for name in sorted((self.texts | self._used) & set(sys.modules)):
                yield name.encode() + self._of(name, sys.modules[name])

    def _missing(self, why: str) -> bytes:
        if not self.unknown:
            where = "".join(self._trail).lstrip(".") or "it"
            self.unknown = f"{where}: {why}"
        return b"unknown"

    def _library(self, module: str | None) -> bytes | None:
        """What a library's code counts as; None for anybody's own."""
        token = _library(module)
        if token is not None and (module or "").partition(".")[0] not in BY_VERSION and not token.startswith(PYTHON):
            self._has_packages = True
        return token

    @contextmanager
    def _at(self, step: str) -> Iterator[None]:
        self._trail.append(step)
        try:
            yield
        finally:
            self._trail.pop()

    def _of(self, step: str, value: object) -> bytes:
        """The token of a part, which `step` leads to."""
        if type(value) in _PLAIN:
            return self._token(value)
        with self._at(step):
            return self._token(value)

    def _reached(self, name: str, value: object) -> bytes:
        """The token of an attribute. One that cannot be read does not count where no reachable code names it."""
        before = self.unknown
        token = self._of(f".{name}", value)
        if self.unknown != before and not (self._any_name or name in self._used):
            self.unknown = before
            return b"unread"
        return token

    def _token(self, value: object) -> bytes:
        """What tells a value from any other: short text, or 16 bytes of hash."""
        kind = type(value)
        if kind in _PLAIN:
            return f"{kind.__name__} {value!r}".encode()
        if kind is str or kind is bytes:
            self.texts |= {value} if isinstance(value, str) and len(value) <= SHORT else set()
            raw: bytes = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value  # type: ignore[assignment]
            return kind.__name__.encode() + (b" " + raw if len(raw) <= SHORT else xxhash.xxh3_128_digest(raw))
        if (found := self._known.get(id(value))) is not None:
            return found[1]
        if (depth := self._open.get(id(value))) is not None:
            return f"cycle {len(self._open) - depth}".encode()
        self._n_read += 1
        if self._n_read > MOST:
            return self._missing(f"it has more than {MOST:,} parts")
        before = self.unknown
        self._open[id(value)] = len(self._open)
        try:
            token = self._read(value)
        except RecursionError:
            raise
        except Exception as error:  # whatever a stranger's object raises when it is looked at
            why = str(error) if isinstance(error, _Unreadable) else f"{type(error).__name__}: {error}"
            token = self._missing(f"a {kind.__module__}.{kind.__qualname__} that cannot be read ({why[:200]})")
        finally:
            del self._open[id(value)]
        if self.unknown == before:
            self._known[id(value)] = (value, token)
        return token

    def _read(self, value: Any) -> bytes:
        kind = type(value)
        named = None if isinstance(value, type) else getattr(value, "__dict__", {}).get(NAMED)
        if isinstance(named, str):
            return _hash(b"named", [named.encode()])
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, Holder):
            return _hash(b"holder", [self._kind(type(value)), self._token(list(value.content))])
        if isinstance(value, (torch.jit.ScriptModule, torch.jit.ScriptFunction)) and hasattr(value, "save_to_buffer"):
            return self._script(value)
        if isinstance(value, torch.fx.GraphModule):
            return self._graph(value)
        if isinstance(value, nn.Module) and "_orig_mod" in value.__dict__.get("_modules", {}):
            original = self._of("", value._modules["_orig_mod"])  # what torch.compile made of it computes the same
            hooks = self._hooks(value)
            return _hash(b"compiled", [original, hooks]) if hooks else original
        if isinstance(value, enum.Enum):
            state = self._state(value)
            return _hash(b"enum", [self._token(kind), str(value.name).encode(), self._of(".value", value.value), state])
        if isinstance(value, _TORCH_VALUES):
            return f"torch {value}".encode()
        if isinstance(value, torch.Generator):
            return _hash(b"generator", [self._tensor(value.get_state())])
        if isinstance(value, np.generic):
            return _hash(b"number", [str(value.dtype).encode(), value.tobytes()])
        if isinstance(value, np.dtype):
            return f"dtype {value}".encode()
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, types.MethodType):
            return _hash(b"method", [self._of(".__func__", value.__func__), self._of("", value.__self__)])
        if isinstance(value, (staticmethod, classmethod)):
            self.names |= {"cls"} if isinstance(value, classmethod) else set()
            return _hash(kind.__name__.encode(), [self._of("", value.__func__)])
        if isinstance(value, property):
            return _hash(b"property", [self._of("", f) for f in (value.fget, value.fset)])
        if isinstance(value, functools.partial):
            given = [self._of(f"({i})", v) for i, v in enumerate(value.args)]
            given += [name.encode() + self._of(f"({name}=)", v) for name, v in value.keywords.items()]
            return _hash(b"partial", [self._of(".func", value.func), *given, self._state(value)])
        if isinstance(value, _BY_NAME):
            return self._builtin(value)
        if isinstance(value, np.ufunc):
            if not any(getattr(library, value.__name__, None) is value for library in (np, scipy.special)):
                raise _Unreadable("it does not show the function that it was made of")
            return f"ufunc {value.__name__}".encode()
        if isinstance(value, types.CellType):
            try:
                return self._of("", value.cell_contents)
            except ValueError:  # nothing is bound to it yet
                return b"empty cell"
        if isinstance(value, logging.Logger):
            return f"logger {value.name}".encode()
        if isinstance(value, weakref.ref):
            return _hash(b"weakref", [self._of("()", value())])
        if isinstance(value, types.MappingProxyType):
            return self._mapping(b"mappingproxy", dict(value))
        if kind.__module__ == "functools" and hasattr(value, "__wrapped__"):  # lru_cache
            own = {name: part for name, part in vars(value).items() if name not in _OF_WRAPPERS}
            return _hash(b"cached", [self._of("", value.__wrapped__), self._mapping(b"attributes", own)])
        if value is os.environ:
            self.names.add("environ")
            return b"environ"
        if value is sys.modules:
            self.names.add("modules")
            return b"modules"
        return self._object(value)

    # --- content

    def _tensor(self, value: Tensor) -> bytes:
        held = self._tensors.get(id(value))
        same = held is not None and held.tensor() is value
        if same and held is not None and _written(value) == (held.version, held.pointer):
            token = held.token
        else:
            token = self._tensor_content(value)
            version, pointer = _written(value)
            if version >= 0:
                self._tensors[id(value)] = _Held(weakref.ref(value), version, pointer, token)
        beside = list(self._beside(value))
        return _hash(b"tensor storage", [token, *beside]) if beside else token

    def _beside(self, value: Tensor) -> Iterator[bytes]:
        """What a tensor has besides its values, as far as reachable code may ask for it."""
        if self._any_name or self._used & OF_GRADIENTS:
            yield f"{value.requires_grad} {value.is_leaf}".encode()
            yield self._of(".grad", value.grad) if value.is_leaf else b""
            yield self._of("", list((value._backward_hooks or {}).values()))
        if value.layout is torch.strided and (self._any_name or self._used & OF_LAYOUT):
            yield f"{value.stride()} {value.storage_offset()}".encode()
        if value.layout is torch.strided and self._used & OF_STORAGE:
            whole = torch.empty(0, dtype=torch.uint8, device=value.device).set_(value.untyped_storage())
            yield _content(whole.cpu().numpy())

    def _tensor_content(self, value: Tensor) -> bytes:
        kind = type(value)
        if hasattr(value, "__tensor_flatten__") and kind not in (Tensor, nn.Parameter):
            names, rest = value.__tensor_flatten__()
            inner = [self._of(f".{name}", getattr(value, name)) for name in names]
            return _hash(b"tensor of", [kind.__qualname__.encode(), *inner, self._of("", rest)])
        if value.is_meta:
            raise _Unreadable("it is on meta, without values")
        if value.layout is not torch.strided:
            sparse = value.detach().cpu()
            parts = (
                [sparse.coalesce().indices(), sparse.coalesce().values()]
                if sparse.layout is torch.sparse_coo
                else [sparse.to_dense()]
            )
            head = f"{sparse.layout} {tuple(sparse.shape)}".encode()
            return _hash(b"sparse", [head, *(self._tensor_content(part) for part in parts)])
        plain = value.detach()
        if value.is_quantized:
            scheme = str(plain.qscheme())
            scale = (
                [plain.q_per_channel_scales(), plain.q_per_channel_zero_points(), plain.q_per_channel_axis()]
                if "channel" in scheme
                else [plain.q_scale(), plain.q_zero_point()]
            )
            tokens = [self._of("", part) for part in (*scale, plain.int_repr())]
            return _hash(b"quantized", [f"{plain.dtype} {scheme}".encode(), *tokens])
        plain = plain.resolve_conj().resolve_neg().cpu().contiguous()
        raw = plain.reshape(-1).view(torch.uint8).numpy()
        head = f"{plain.dtype} {tuple(plain.shape)}".encode()
        extra = (
            []
            if kind in (Tensor, nn.Parameter, nn.Buffer if hasattr(nn, "Buffer") else Tensor)
            else [self._token(kind)]
        )
        extra += [self._state(value)] if getattr(value, "__dict__", None) else []
        return _hash(b"tensor", [head, _content(raw), *extra])

    def _array(self, value: np.ndarray[Any, Any]) -> bytes:
        head = f"{value.dtype.str} {value.dtype} {value.shape}".encode()
        if self._any_name or self._used & OF_LAYOUT:
            head += f" {value.strides} {value.flags.writeable}".encode()
        if type(value) not in (np.ndarray, np.ma.MaskedArray):
            plain = value.view(np.ma.MaskedArray if isinstance(value, np.ma.MaskedArray) else np.ndarray)
            state = self._state(value) if not isinstance(value, np.ma.MaskedArray) else b""
            return _hash(b"array of", [self._kind(type(value)), self._array(plain), state])
        if isinstance(value, np.ma.MaskedArray):
            parts = (np.ma.getdata(value), np.ma.getmaskarray(value), value.fill_value, value.hardmask)
            return _hash(b"masked", [self._of("", part) for part in parts])
        if value.dtype.hasobject:
            return _hash(b"array", [head, *(self._of(f"[{i}]", v) for i, v in enumerate(value.reshape(-1).tolist()))])
        raw = np.ascontiguousarray(value)
        return _hash(b"array", [head, _content(raw.reshape(-1).view(np.uint8))])

    def _script(self, value: Any) -> bytes:
        """TorchScript: code, constants, attributes and weights, without where and when it was written."""
        with zipfile.ZipFile(io.BytesIO(value.save_to_buffer())) as archive:
            entries = [
                (MANGLED.sub(b"", name.partition("/")[2].encode()), _script_entry(archive.read(name)))
                for name in sorted(archive.namelist())
                if not name.endswith(SCRIPT_NOISE)
            ]
        tokens = [part for name, raw in sorted(entries) for part in (name, xxhash.xxh3_128_digest(raw))]
        hooks = self._hooks(value) if isinstance(value, nn.Module) else b""
        return _hash(b"script", [*tokens, str(getattr(value, "training", "")).encode(), hooks])

    def _graph(self, value: torch.fx.GraphModule) -> bytes:
        """A traced graph: its code, and what its modules and attributes hold."""
        own = {name: part for name, part in vars(value).items() if not name.startswith("_") and name != "meta"}
        own = {name: part for name, part in own.items() if isinstance(part, (Tensor, *_PLAIN, str))}
        parts = [*sorted(own.items()), *value.named_children()]
        parts += [*value.named_parameters(recurse=False), *value.named_buffers(recurse=False)]
        parts += [("forward", vars(value)["forward"])] if "forward" in vars(value) else []
        for node in value.graph.nodes:
            if node.op == "call_function":
                parts.append((node.name, node.target))
            elif node.op == "get_attr":
                parts.append((node.name, operator.attrgetter(node.target)(value)))
        return _hash(
            b"graph",
            [
                self._hooks(value),
                value.code.encode(),
                *(name.encode() + self._of(f".{name}", part) for name, part in parts),
            ],
        )

    def _hooks(self, value: nn.Module) -> bytes:
        """What is called around a module's forward; empty where nothing is."""
        held = [list(getattr(value, name).values()) for name in sorted(HOOKS) if getattr(value, name, None)]
        return self._token(held) if any(held) else b""

    def _mapping(self, tag: bytes, value: Mapping[Any, Any]) -> bytes:
        """The entries of a mapping in their order, which code may go by; those of an object's attributes sorted."""
        items = list(value.items())
        if all(type(key) is str for key in value):
            items = [(key, part) for key, part in items if key not in PATHS - self._used]
        if tag == b"attributes" and not self._any_name:
            items.sort(key=lambda item: str(item[0]))
        tokens = [t for key, part in items for t in (self._of("", key), self._of(f"[{_short(key)}]", part))]
        return _hash(tag, tokens)

    def _container(self, base: type, value: Any) -> bytes:
        """The content that an object has as a built-in type."""
        if base in (dict, collections.OrderedDict):
            return self._mapping(b"dict", dict(base.items(value)))
        if base in (list, tuple):
            parts = enumerate(base.__iter__(value))
            return _hash(base.__name__.encode(), [self._of(f"[{i}]", part) for i, part in parts])
        if base in (set, frozenset):
            return _hash(b"set", sorted(self._of("", part) for part in value))
        if base is bytearray:
            return self._token(bytes(value))
        if base in (bytes, str, int, float, complex):
            return self._token(base(value))
        return b""

    # --- code

    def _function(self, value: types.FunctionType) -> bytes:
        if (original := value.__dict__.get("_torchdynamo_orig_callable")) is not None:  # made by torch.compile
            return self._of("", original)
        if _is_library_file(value.__code__.co_filename) and (library := self._library(value.__module__)) is not None:
            self_name = f"{value.__module__}.{value.__qualname__}"
            # a decorator of a library, such as torch.no_grad, closes over the function that it was given
            cells = [self._of("", cell) for cell in value.__closure__ or ()]
            self.names.add(value.__name__)
            own = {name: part for name, part in vars(value).items() if name in self._used - set(_OF_WRAPPERS)}
            cells += [self._mapping(b"attributes", own)] if own else []
            return _hash(b"function of", [library, self_name.encode(), *cells])
        code, closed = value.__code__, value.__closure__ or ()
        tokens = [self._code(code)]
        with self._at(f".{value.__name__}" if not self._trail else ""):
            for name, cell in zip(code.co_freevars, closed, strict=True):
                tokens.append(self._cell(code, name, cell))
            tokens += [self._of("(default)", part) for part in value.__defaults__ or ()]
            for name, part in sorted((value.__kwdefaults__ or {}).items()):
                tokens.append(name.encode() + self._of(f"({name}=)", part))
            builtin = cast(Any, value).__builtins__  # which stubs of Python have or lack, by their release
            tokens.append(self._globals(code, value.__globals__, builtin))
            tokens.append(self._mapping(b"attributes", value.__dict__))
            tokens += self._description(value)
        return _hash(b"function", tokens)

    def _description(self, value: types.FunctionType | type) -> Iterator[bytes]:
        """The name, the documentation and the annotations of a function or class, where code names them."""
        for name in DESCRIBING:
            if name in self._used:
                yield self._of(f".{name}", getattr(value, name, None))
        if self._used & OF_ANNOTATIONS:
            yield self._of(".__annotations__", dict(value.__annotations__))

    def _code(self, code: types.CodeType) -> bytes:
        """What the instructions do, without names of local variables, lines and files."""
        reads = _reads(code)
        self.names |= reads.names
        n_named = code.co_argcount + code.co_kwonlyargcount
        head = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x2AF)
        tokens = [repr(head).encode(), " ".join(code.co_varnames[:n_named]).encode(), code.co_code]
        tokens += [" ".join(code.co_names).encode(), getattr(code, "co_exceptiontable", b"")]
        tokens += [self._of("", const) for const in code.co_consts]
        if reads.names & OF_LOCALS:
            tokens.append(" ".join((*code.co_varnames, *code.co_cellvars, *code.co_freevars)).encode())
        return _hash(b"code", tokens)

    def _cell(self, code: types.CodeType, name: str, cell: types.CellType) -> bytes:
        """The value that a closure holds; of a module, the attributes that the code asks it for."""
        try:
            value = cell.cell_contents
        except ValueError:
            return b"empty cell"
        chains = [read.chain for read in _all_reads(code) if read.name == name and read.closed]
        return self._global(name, value, chains)

    def _globals(self, code: types.CodeType, namespace: Mapping[str, Any], builtin: Mapping[str, Any]) -> bytes:
        chains: dict[str, list[tuple[str, ...]]] = {}
        for read in _all_reads(code):
            if not read.closed:
                chains.setdefault(read.name, []).append(read.chain)
        tokens = []
        for name, asked in sorted(chains.items()):
            if name in namespace:
                tokens.append(name.encode() + self._global(name, namespace[name], asked))
            elif name in builtin:
                tokens.append(name.encode() + self._of(name, builtin[name]))
        asked_for = _all_names(code)
        if asked_for & {"eval", "exec", "globals"}:
            tokens += [name.encode() + self._of(f".{name}", part) for name, part in _plain_names(namespace)]
        for name, attributes in sorted(_all_imports(code)):
            module = _imported(name, namespace)
            if module is None:
                tokens.append(name.encode() + _not_yet_imported(name))
            else:
                chains_of = [(attribute,) for attribute in attributes or asked_for & set(vars(module))]
                tokens.append(name.encode() + self._global(name, module, chains_of))
            top = sys.modules.get(name.partition(".")[0])
            if "." in name.lstrip(".") and not attributes and top is not None:
                tokens.append(self._global(name, top, [(attribute,) for attribute in asked_for & set(vars(top))]))
        return _hash(b"globals", tokens)

    def _global(self, name: str, value: object, chains: Sequence[tuple[str, ...]]) -> bytes:
        if not isinstance(value, types.ModuleType):
            return self._of(f".{name}", value)
        tokens = []
        for chain in sorted(set(chains)):
            tokens.append(".".join(chain).encode() + self._attribute(name, value, chain))
        if "__getattr__" in vars(value) and _library(value.__name__) is None:
            tokens.append(self._of(f".{name}.__getattr__", vars(value)["__getattr__"]))
        return _hash(b"of module", tokens)

    def _attribute(self, where: str, module: types.ModuleType, chain: tuple[str, ...]) -> bytes:
        """The value that a chain of attributes leads to from a module."""
        if not chain:
            return self._of(f".{where}", module)
        library = self._library(module.__name__)
        try:
            value = getattr(module, chain[0])
        except AttributeError:
            return b"absent"
        if isinstance(value, types.ModuleType):
            return self._attribute(f"{where}.{chain[0]}", value, chain[1:])
        before = self.unknown
        if library is None or _patched(value) or isinstance(value, (type, types.FunctionType, *_DATA)):
            token = self._of(f".{where}.{chain[0]}", value)
            if library is None or _patched(value) or self.unknown == before:
                return token
        self.unknown = before
        plain = type(value) in (*_PLAIN, str)
        own = f" {getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        return library + (self._of("", value) if plain else f" {module.__name__}.{chain[0]}{own}".encode())

    def _module(self, value: types.ModuleType) -> bytes:
        """A module as a value: a library, or all that its namespace holds."""
        if (library := self._library(value.__name__)) is not None:
            return library + value.__name__.encode()
        tokens = []
        for name, part in sorted(vars(value).items()):
            hidden = name.startswith("__") and name != "__getattr__"
            if hidden or (isinstance(part, _FUNCTIONS) and not self._asked_for(name)):
                continue
            tokens.append(name.encode() + self._reached(name, part))
        return _hash(b"module", tokens)

    def _builtin(self, value: Any) -> bytes:
        owner = getattr(value, "__self__", None)
        bound = owner is not None and not isinstance(owner, (types.ModuleType, type))
        name = f"{getattr(value, '__module__', '')} {getattr(value, '__qualname__', value.__name__)}"
        self.names.add(value.__name__)
        return _hash(b"builtin", [name.encode(), *([self._of("", owner)] if bound else [])])

    def _asked_for(self, name: str) -> bool:
        """Whether code may ask for an attribute of that name."""
        return self._any_name or name in self._used or (name.startswith("__") and name.endswith("__"))

    def _kind(self, value: type) -> bytes:
        """The token of the class of an object that is there."""
        if value in self._kinds:
            return self._kinds[value]
        before, self._kinds[value] = self.unknown, b"cycle"
        token = self._kinds[value] = self._class(value, skipped=OF_MAKING)
        if self.unknown != before:  # to be said again wherever it is reached
            del self._kinds[value]
        return token

    def _class(self, value: type, *, skipped: frozenset[str] = frozenset()) -> bytes:
        library = self._library(value.__module__)
        made_here = value.__module__ in ("builtins", "types") and _of_python(value)  # as by `make_dataclass`
        if library is not None and (not made_here or getattr(types, value.__name__, None) is value):
            name = f"{value.__module__}.{value.__qualname__}"
            self.names |= set() if skipped else {value.__name__}
            patches = [token for base in value.__mro__ for token in self._others_in(base)]
            return _hash(b"class of", [library, name.encode(), *patches])
        named = vars(value).get(NAMED)
        if isinstance(named, str):
            return _hash(b"named", [named.encode()])
        inherited = {name for base in value.__mro__[1:] if _library(base.__module__) for name in vars(base)}
        inherited -= {name for base in (nn.Module, object) for name in vars(base)}
        tokens = [value.__qualname__.rpartition("<locals>.")[2].encode()]
        tokens += [self._kind(base) if skipped else self._of("", base) for base in value.__bases__]
        tokens += [self._kind(type(value))] if type(value) is not type else []
        tokens += self._description(value)
        subclasses: list[type] = value.__subclasses__() if "__subclasses__" in self._used else []
        tokens += [self._of("", subclass) for subclass in subclasses]
        own_fields: dict[str, Any] = vars(value).get("__dataclass_fields__", {})
        for key, given in own_fields.items():
            tokens.append(key.encode() + self._reached(key, (given.default, given.default_factory, given.metadata)))
        for name, part in sorted(vars(value).items()):
            if (
                name in OF_CLASSES
                or (name in skipped - self._used and not self._used & MAKING)
                or (isinstance(part, _FUNCTIONS) and not self._asked_for(name) and name not in inherited)
            ):
                continue
            tokens.append(name.encode() + self._reached(name, part))
        return _hash(b"class", tokens)

    def _others_in(self, value: type) -> list[bytes]:
        """The entries of a library's class that somebody else may have put there."""
        if value not in self._others:
            self._others[value] = []
            self._others[value] = [
                key.encode() + self._of(f".{key}", part)
                for key, part in vars(value).items()
                if type(part) not in _OF_C
                and (_patched(part) or (key in self._used and isinstance(part, (*_PLAIN, str, *_DATA))))
            ]
        return self._others[value]

    # --- objects

    def _object(self, value: Any) -> bytes:
        kind: type = type(value)
        base = _base(kind)
        if f"{kind.__module__}.{kind.__qualname__}" in _OPAQUE:
            return kind.__qualname__.encode()
        tokens = [self._kind(kind)]
        if base is not object and (own := self._container(base, value)):
            tokens.append(own)
        elif base is not object and not issubclass(base, nn.Module):
            return _hash(b"object", [*tokens, self._foreign(value), self._state(value)])
        return _hash(b"object", [*tokens, self._state(value)])

    def _state(self, value: Any) -> bytes:
        """What an object holds in its dictionary and slots."""
        is_module = isinstance(value, nn.Module)
        state = dict(getattr(value, "__dict__", None) or {})
        offloaded = is_module and "_hf_hook" in state
        tokens: list[bytes] = []
        ordered = self._any_name and not is_module
        for name, part in state.items() if ordered else sorted(state.items(), key=lambda item: str(item[0])):
            if name in PATHS - self._used or (is_module and name in OF_MODULES):
                continue
            if is_module and name in ("_parameters", "_buffers", "_modules"):
                # a Sequential calls its submodules one after another
                has_order = name == "_modules" or self._used & OF_ORDER
                for key, inner in part.items() if has_order else sorted(part.items()):
                    there = offloaded and isinstance(inner, Tensor) and inner.is_meta
                    tokens.append(f"{name} {key}".encode() + (b"offloaded" if there else self._of(f".{key}", inner)))
            elif is_module and name in HOOKS:
                tokens.append(name.encode() + self._token(list((part or {}).values())))
            else:
                tokens.append(str(name).encode() + self._reached(str(name), part))
        kind: type = type(value)
        for name, member in _slots(kind):
            try:
                tokens.append(name.encode() + self._reached(name, member.__get__(value)))
            except AttributeError:
                tokens.append(name.encode() + b"unset")
        return _hash(b"state", tokens)

    def _foreign(self, value: Any) -> bytes:
        """An object of C: the bytes that it exposes, or what it would be pickled as."""
        if isinstance(value, (operator.attrgetter, operator.methodcaller)):
            self.names.add("getattr")
        if not hasattr(value, "contents"):  # a pointer of ctypes exposes its address
            try:
                shown = memoryview(value)
                return _hash(b"bytes", [f"{shown.format} {shown.shape}".encode(), shown.tobytes()])
            except (TypeError, ValueError, BufferError):
                pass
        try:
            registered = copyreg.dispatch_table.get(type(value))
            made = value.__reduce_ex__(2) if registered is None else registered(value)
        except Exception as error:
            raise _Unreadable(f"{error}") from error
        if isinstance(made, str):
            return f"global {made}".encode()
        rest = [list(part) if isinstance(part, Iterator) else part for part in made]
        return _hash(b"reduced", [self._of("", part) for part in rest])


def _script_entry(raw: bytes) -> bytes:
    """A part of a TorchScript archive, without what differs from process to process."""
    return CONSTANTS.sub(lambda run: b"".join(sorted(run[0].splitlines(keepends=True))), MANGLED.sub(b"", raw))


def _short(key: object) -> str:
    return repr(key)[:40]


def _written(value: Tensor) -> tuple[int, int]:
    """How often torch counted a write to a tensor, and where its values lie; (-1, -1) where it cannot tell."""
    try:
        return value._version, value.data_ptr()
    except (RuntimeError, NotImplementedError):
        return -1, -1


# --- what code reads


class _Read(NamedTuple):
    """A name that code reads from its globals, or from its closure, and the attributes that it asks that for."""

    name: str
    chain: tuple[str, ...]
    closed: bool


@dataclass(frozen=True)
class _Reads:
    reads: tuple[_Read, ...] = ()
    imports: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Modules that the code imports by itself, and what it takes from each."""
    names: frozenset[str] = field(default_factory=frozenset)
    """Names of attributes, and texts that may be names."""


_of_code: dict[int, tuple[types.CodeType, _Reads]] = {}
"""By the id of the code, kept alive: reading instructions takes longer than anything else here."""


def _reads(code: types.CodeType) -> _Reads:
    """What the instructions of one code object read; those of code within it are its own."""
    if (found := _of_code.get(id(code))) is not None:
        return found[1]
    reads: list[_Read] = []
    imports: list[tuple[str, tuple[str, ...]]] = []
    chaining = False
    level = 0
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            reads.append(_Read(value, (), closed=False))
            chaining = True
        elif name in ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"):
            reads.append(_Read(value, (), closed=True))
            chaining = True
        elif name in ("LOAD_ATTR", "LOAD_METHOD") and chaining:
            reads[-1] = reads[-1]._replace(chain=(*reads[-1].chain, value))
        elif name == "IMPORT_NAME":
            imports.append((f"{'.' * level}{value}", ()))
            chaining = False
        elif name == "IMPORT_FROM" and imports:
            imports[-1] = (imports[-1][0], (*imports[-1][1], value))
        elif name not in ("PUSH_NULL", "CACHE", "EXTENDED_ARG"):
            chaining = False
        level = value if name in ("LOAD_CONST", "LOAD_SMALL_INT") and isinstance(value, int) else level
    texts = {text for const in code.co_consts for text in _texts(const)}
    found_reads = _Reads(tuple(reads), tuple(imports), frozenset(code.co_names) | texts)
    _of_code[id(code)] = (code, found_reads)
    return found_reads


def _texts(const: object) -> Iterator[str]:
    if isinstance(const, str) and const.isidentifier():
        yield const
    elif isinstance(const, (tuple, frozenset)):
        for part in const:
            yield from _texts(part)


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and all that are defined within it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _inner(const)


def _all_reads(code: types.CodeType) -> list[_Read]:
    return [read for one in _inner(code) for read in _reads(one).reads]


def _all_imports(code: types.CodeType) -> set[tuple[str, tuple[str, ...]]]:
    return {found for one in _inner(code) for found in _reads(one).imports}


def _all_names(code: types.CodeType) -> set[str]:
    return {name for one in _inner(code) for name in _reads(one).names}


def _plain_names(namespace: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The globals of a module that a person gave a name, sorted."""
    return sorted(
        ((name, part) for name, part in namespace.items() if not name.startswith("__")), key=lambda item: item[0]
    )


def _imported(name: str, namespace: Mapping[str, Any]) -> types.ModuleType | None:
    """The module that code imports by itself, where it was imported."""
    bare = name.lstrip(".")
    if bare != name:
        package = namespace.get("__package__") or ""
        try:
            bare = importlib.util.resolve_name(name, package) if package else bare
        except (ImportError, ValueError):
            return None
    return sys.modules.get(bare)


def _not_yet_imported(name: str) -> bytes:
    """The content of a file that code will import, unless it is a library's or a part of a package."""
    found = None if "." in name else importlib.machinery.PathFinder.find_spec(name)
    if found is None or found.origin is None or not os.path.isfile(found.origin) or _is_library_file(found.origin):
        return b"absent"
    with open(found.origin, "rb") as file:
        return _hash(b"file", [file.read()])


# --- what is installed


@functools.cache
def _installed_in() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib"))


def _is_installed(file: str) -> bool:
    return "site-packages" in PurePath(file).parts or "dist-packages" in PurePath(file).parts


@functools.lru_cache(maxsize=4096)
def _is_library_file(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    if file.startswith("<frozen "):
        return True
    if file.startswith("<"):
        return False
    return _is_installed(file) or _is_stdlib(file) or file.startswith(_OURS)


_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _is_stdlib(file: str) -> bool:
    return os.path.realpath(file).startswith(_installed_in()) and not _is_installed(file)


_libraries: dict[str, bytes | None] = {}


def _library(module: str | None) -> bytes | None:
    """What a library's code counts as: Python's version, a package's, or the checksums of its files. None for others.

    A package that is installed in editable mode, or not installed at all, is read as anybody's code is.
    """
    top = module.partition(".")[0] if isinstance(module, str) else ""  # types of Cython have a descriptor there
    if top not in _libraries:
        if top not in sys.modules:
            return None
        _libraries[top] = _library_token(top)
    return _libraries[top]


def _library_token(top: str) -> bytes | None:
    found = sys.modules[top]
    file = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", [])), "")
    if top == "builtins" or (top in sys.stdlib_module_names and (not file or _is_stdlib(file))):
        return PYTHON + b"%d.%d" % sys.version_info[:2]
    if top in BY_VERSION:
        return f"{top} {getattr(found, '__version__', '')}".encode()
    if not file or not _is_installed(file):
        return None
    try:
        record = _distribution(top).read_text("RECORD")
    except importlib.metadata.PackageNotFoundError:
        record = None
    if not record:
        return None
    rows = sorted(row for row in record.splitlines() if ",sha256=" in row and not row.startswith(".."))
    return _hash(top.encode(), [row.encode() for row in rows if ".dist-info/" not in row])


def _distribution(top: str) -> importlib.metadata.Distribution:
    """The distribution that holds a top-level package."""
    try:
        return importlib.metadata.distribution(top)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top, ())
        return importlib.metadata.distribution(next(iter(names), ""))


def _patched(value: object) -> bool:
    """Whether a value that a library's name leads to is somebody else's."""
    if isinstance(value, types.FunctionType):
        file = value.__code__.co_filename
        return not file.startswith("<") and not _is_library_file(file)
    if isinstance(value, (types.MethodType, staticmethod, classmethod)):
        return _patched(value.__func__)
    if isinstance(value, property):
        return _patched(value.fget)
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__ in sys.modules and _library(kind.__module__) is None and _of_python(kind)


@functools.lru_cache(maxsize=4096)
def _of_python(cls: type) -> bool:
    """Whether a class was written in Python: one of C has methods or slots of its own that are no functions."""
    own = (types.MethodDescriptorType, types.WrapperDescriptorType)
    return not any(isinstance(part, own) and part.__objclass__ is cls for part in vars(cls).values())


@functools.lru_cache(maxsize=4096)
def _slots(cls: type) -> tuple[tuple[str, types.MemberDescriptorType], ...]:
    """The slots of a class and of its bases, which stay what they were when it was made."""
    return tuple(
        (name, member)
        for base in cls.__mro__
        if _of_python(base)
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType)
    )


@functools.lru_cache(maxsize=4096)
def _base(cls: type) -> type:
    """The built-in or C type that an object's content lies in; `object` where it has none but its attributes."""
    return next(kind for kind in cls.__mro__ if not _of_python(kind))
