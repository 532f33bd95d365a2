"""Tokens of values: tensors, arrays, containers, numbers, TorchScript, and the state of objects.

A token is short text or 16 bytes of hash. Two values have equal tokens if nothing that reachable code can ask of them
differs.
"""

from __future__ import annotations

import collections
import copyreg
import enum
import functools
import io
import logging
import operator
import re
import struct
import types
import weakref
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.special
import torch
import xxhash
from torch import Tensor, nn

from gentest.generators.modules import Holder

NAMED = "gentest_identity"
"""The attribute by which users name a part that cannot be read. Its text stands for the whole part."""
MAX_PARTS = 2_000_000
"""The identity of a callable with more parts is unknown: reading them would take minutes."""
MAX_SHORT = 64
"""Text and bytes up to this length enter a digest as they are, so that code can be compared with them."""
PLAIN = (type(None), bool, int, float, complex, type(Ellipsis), type(NotImplemented))
"""Types whose `repr` is their whole content."""
TORCH_VALUES = (torch.dtype, torch.device, torch.layout, torch.memory_format)
OPAQUE = ("_thread.lock", "_thread.RLock", "_contextvars.Token")
"""Types of C that hold nothing a result depends on."""

# Sets of names. A rule applies if code that the callable can reach contains one of the names, since nothing else can
# ask for what the rule covers.
DYNAMIC = frozenset(
    {
        "__dict__", "__getattribute__", "attrgetter", "dir", "eval", "exec", "getattr", "getattr_static", "getmembers",
        "globals", "locals", "methodcaller", "vars",
    }
)  # fmt: skip
"""Code with such a name may reach any attribute, by a name made at run time: then everything counts."""
GRADIENT_NAMES = frozenset({"requires_grad", "grad", "backward", "is_leaf"})
"""Gradients count: most code looks at values only, and checkpoints differ in `requires_grad` without meaning."""
LAYOUT_NAMES = frozenset({"stride", "strides", "is_contiguous", "flags", "storage_offset"})
"""Strides count: loading and saving may change them, and arithmetic does not depend on them."""
STORAGE_NAMES = frozenset({"as_strided", "storage", "untyped_storage"})
"""The whole storage counts: such code can read values that lie beside those of a view."""
ORDER_NAMES = frozenset({"parameters", "named_parameters", "buffers", "named_buffers", "state_dict"})
"""The order of weights and buffers counts: such code may go through them one after another."""
HUB_NAMES = frozenset({"_name_or_path", "name_or_path", "_use_default_values", "_diffusers_version", "_commit_hash"})
"""Entries of Hugging Face's configurations that say where a file came from; they count if code names them."""

IGNORED_IN_MODULES = frozenset(
    {
        "_compile_kwargs", "_compiled_call_impl", "_is_torch_compile", "_load_state_dict_post_hooks",
        "_load_state_dict_pre_hooks",
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
"""Attributes of an `nn.Module` whose keys are counted over the whole process: only their values count."""
IGNORED_WRAPPER_ATTRIBUTES = (*functools.WRAPPER_ASSIGNMENTS, "__wrapped__")
"""Attributes that `functools.wraps` sets: they describe the wrapped function, which is read anyway."""
MANGLED = re.compile(rb"___torch_mangle_\d+\.?")
"""A number that TorchScript puts into names, counted over the whole process."""
SCRIPT_CONSTANTS = re.compile(rb"(?:^ *\w+ : Final\[.*\n)+", re.MULTILINE)
"""Constants of a TorchScript class, whose order differs from process to process."""
SCRIPT_NOISE = (".debug_pkl", "serialization_id", "/version", "/byteorder")
"""Entries of a TorchScript archive that say where and when it was written."""


class Unreadable(Exception):
    """A part without content to read; the text says why."""


class _TensorToken(NamedTuple):
    tensor: weakref.ref[Tensor]
    version: int
    pointer: int
    token: bytes


Tensors = dict[int, _TensorToken]
"""Tokens of tensors by id. One is valid while torch counts no further write, which holds while only gentest runs."""


def hashed(tag: bytes, tokens: Iterable[bytes]) -> bytes:
    """A hash of 16 bytes that tells a tagged list of tokens from any other."""
    hasher = xxhash.xxh3_128(tag + b"\0")
    for token in tokens:
        hasher.update(struct.pack("<q", len(token)) + token)
    return hasher.digest()


def _content_hash(raw: np.ndarray[Any, Any]) -> bytes:
    return xxhash.xxh3_128_digest(raw.data)


class ValueReader(ABC):
    """One walk over everything that a value refers to.

    `used` are the names that reachable code may ask for. `names` and `texts` collect what the walk meets: a caller
    repeats the walk until `names` adds nothing to `used`.
    """

    def __init__(self, used: frozenset[str], tensors: Tensors) -> None:
        self.names: set[str] = set()
        self.texts: set[str] = set()
        self.unknown = ""
        """The first part that cannot be read, and why."""
        self.used = used
        self.any_name = bool(used & DYNAMIC)
        self._tensors = tensors
        self._known: dict[int, tuple[object, bytes]] = {}
        """Tokens by id, with their values, which must stay alive so that no other value takes the id."""
        self._open: dict[int, int] = {}
        """The depth of each value that is being read, by id."""
        self.trail: list[str] = []
        self._n_parts = 0

    @abstractmethod
    def program(self, value: Any) -> bytes | None:
        """The token of a function, class, module or another piece of a program; None for other values."""

    @abstractmethod
    def kind(self, cls: type) -> bytes:
        """The token of the class of an object that exists already."""

    def missing(self, why: str) -> bytes:
        """The token of a part that cannot be read; it makes the identity unknown."""
        if not self.unknown:
            where = "".join(self.trail).lstrip(".") or "it"
            self.unknown = f"{where}: {why}"
        return b"unknown"

    @contextmanager
    def at(self, step: str) -> Iterator[None]:
        """Adds a step to the trail that names a part."""
        self.trail.append(step)
        try:
            yield
        finally:
            self.trail.pop()

    def part(self, step: str, value: object) -> bytes:
        """The token of a part that `step` leads to."""
        if type(value) in PLAIN:
            return self.token(value)
        with self.at(step):
            return self.token(value)

    def attribute(self, name: str, value: object) -> bytes:
        """The token of an attribute. One that cannot be read counts only if reachable code names it."""
        before = self.unknown
        token = self.part(f".{name}", value)
        if self.unknown != before and not (self.any_name or name in self.used):
            self.unknown = before
            return b"unread"
        return token

    def token(self, value: object) -> bytes:
        """The token of a value."""
        kind = type(value)
        if kind in PLAIN:
            return f"{kind.__name__} {value!r}".encode()
        if isinstance(value, str) and kind is str:
            self.texts |= {value} if len(value) <= MAX_SHORT else set()
            return self._text(b"str", value.encode("utf-8", "surrogatepass"))
        if isinstance(value, bytes) and kind is bytes:
            return self._text(b"bytes", value)
        if (known := self._known.get(id(value))) is not None:
            return known[1]
        if (depth := self._open.get(id(value))) is not None:
            return f"cycle {len(self._open) - depth}".encode()
        self._n_parts += 1
        if self._n_parts > MAX_PARTS:
            return self.missing(f"it has more than {MAX_PARTS:,} parts")
        before = self.unknown
        self._open[id(value)] = len(self._open)
        try:
            token = self._read(value)
        except RecursionError:
            raise
        except Exception as error:  # a user's object may raise anything
            why = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
            token = self.missing(f"a {kind.__module__}.{kind.__qualname__} that cannot be read ({why[:200]})")
        finally:
            del self._open[id(value)]
        if self.unknown == before:
            self._known[id(value)] = (value, token)
        return token

    def _text(self, kind: bytes, raw: bytes) -> bytes:
        return kind + (b" " + raw if len(raw) <= MAX_SHORT else xxhash.xxh3_128_digest(raw))

    def _read(self, value: Any) -> bytes:
        kind = type(value)
        name = None if isinstance(value, type) else getattr(value, "__dict__", {}).get(NAMED)
        if isinstance(name, str):
            return hashed(b"named", [name.encode()])
        if (program := self.program(value)) is not None:
            return program
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, Holder):
            return hashed(b"holder", [self.kind(kind), self.token(list(value.content))])
        if isinstance(value, (torch.jit.ScriptModule, torch.jit.ScriptFunction)) and hasattr(value, "save_to_buffer"):
            return self._script(value)
        if isinstance(value, torch.fx.GraphModule):
            return self._graph(value)
        if isinstance(value, nn.Module) and "_orig_mod" in value.__dict__.get("_modules", {}):
            original = self.part("", value._modules["_orig_mod"])  # torch.compile does not change what it computes
            hooks = self._hooks(value)
            return hashed(b"compiled", [original, hooks]) if hooks else original
        if isinstance(value, enum.Enum):
            parts = [self.token(kind), str(value.name).encode(), self.part(".value", value.value), self.state(value)]
            return hashed(b"enum", parts)
        if isinstance(value, TORCH_VALUES):
            return f"torch {value}".encode()
        if isinstance(value, torch.Generator):
            return hashed(b"generator", [self._tensor(value.get_state())])
        if isinstance(value, np.generic):
            return hashed(b"number", [str(value.dtype).encode(), value.tobytes()])
        if isinstance(value, np.dtype):
            return f"dtype {value}".encode()
        if isinstance(value, np.ufunc):
            if not any(getattr(library, value.__name__, None) is value for library in (np, scipy.special)):
                raise Unreadable("it does not show the function that it was made of")
            return f"ufunc {value.__name__}".encode()
        if isinstance(value, logging.Logger):
            return f"logger {value.name}".encode()
        if isinstance(value, weakref.ref):
            return hashed(b"weakref", [self.part("()", value())])
        if isinstance(value, types.MappingProxyType):
            return self.mapping(b"mappingproxy", dict(value))
        return self._object(value)

    # --- tensors and arrays

    def _tensor(self, value: Tensor) -> bytes:
        known = self._tensors.get(id(value))
        version, pointer = _write_count(value)
        if known is not None and known.tensor() is value and (version, pointer) == (known.version, known.pointer):
            token = known.token
        else:
            token = self._tensor_content(value)
            version, pointer = _write_count(value)
            if version >= 0:
                self._tensors[id(value)] = _TensorToken(weakref.ref(value), version, pointer, token)
        beside = list(self._beside_values(value))
        return hashed(b"tensor storage", [token, *beside]) if beside else token

    def _beside_values(self, value: Tensor) -> Iterator[bytes]:
        """Everything that a tensor has besides its values, as far as reachable code may ask for it."""
        if self.any_name or self.used & GRADIENT_NAMES:
            yield f"{value.requires_grad} {value.is_leaf}".encode()
            yield self.part(".grad", value.grad) if value.is_leaf else b""
            yield self.part("", list((value._backward_hooks or {}).values()))
        if value.layout is torch.strided and (self.any_name or self.used & LAYOUT_NAMES):
            yield f"{value.stride()} {value.storage_offset()}".encode()
        if value.layout is torch.strided and self.used & STORAGE_NAMES:
            whole = torch.empty(0, dtype=torch.uint8, device=value.device).set_(value.untyped_storage())
            yield _content_hash(whole.cpu().numpy())

    def _tensor_content(self, value: Tensor) -> bytes:
        kind = type(value)
        if hasattr(value, "__tensor_flatten__") and kind not in (Tensor, nn.Parameter):  # packed, as torchao's
            names, rest = value.__tensor_flatten__()
            inner = [self.part(f".{name}", getattr(value, name)) for name in names]
            return hashed(b"tensor of", [kind.__qualname__.encode(), *inner, self.part("", rest)])
        if value.is_meta:
            raise Unreadable("it is on meta, without values")
        if value.layout is not torch.strided:
            sparse = value.detach().cpu()
            parts = [sparse.to_dense()]
            if sparse.layout is torch.sparse_coo:
                parts = [sparse.coalesce().indices(), sparse.coalesce().values()]
            head = f"{sparse.layout} {tuple(sparse.shape)}".encode()
            return hashed(b"sparse", [head, *(self._tensor_content(part) for part in parts)])
        plain = value.detach()
        if value.is_quantized:
            scheme = str(plain.qscheme())
            scale: list[Any] = [plain.q_scale, plain.q_zero_point]
            if "channel" in scheme:
                scale = [plain.q_per_channel_scales, plain.q_per_channel_zero_points, plain.q_per_channel_axis]
            tokens = [self.part("", read()) for read in (*scale, plain.int_repr)]
            return hashed(b"quantized", [f"{plain.dtype} {scheme}".encode(), *tokens])
        plain = plain.resolve_conj().resolve_neg().cpu().contiguous()
        raw = plain.reshape(-1).view(torch.uint8).numpy()
        extra = [] if kind in (Tensor, nn.Parameter, getattr(nn, "Buffer", Tensor)) else [self.token(kind)]
        extra += [self.state(value)] if getattr(value, "__dict__", None) else []
        return hashed(b"tensor", [f"{plain.dtype} {tuple(plain.shape)}".encode(), _content_hash(raw), *extra])

    def _array(self, value: np.ndarray[Any, Any]) -> bytes:
        head = f"{value.dtype.str} {value.dtype} {value.shape}".encode()
        if self.any_name or self.used & LAYOUT_NAMES:
            head += f" {value.strides} {value.flags.writeable}".encode()
        masked = isinstance(value, np.ma.MaskedArray)
        if type(value) not in (np.ndarray, np.ma.MaskedArray):
            plain = value.view(np.ma.MaskedArray if masked else np.ndarray)
            state = b"" if masked else self.state(value)
            return hashed(b"array of", [self.kind(type(value)), self._array(plain), state])
        if isinstance(value, np.ma.MaskedArray):
            parts = (np.ma.getdata(value), np.ma.getmaskarray(value), value.fill_value, value.hardmask)
            return hashed(b"masked", [self.part("", part) for part in parts])
        if value.dtype.hasobject:
            items = value.reshape(-1).tolist()
            return hashed(b"array", [head, *(self.part(f"[{i}]", item) for i, item in enumerate(items))])
        raw = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        return hashed(b"array", [head, _content_hash(raw)])

    # --- traced and scripted modules

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
        return hashed(b"script", [*tokens, str(getattr(value, "training", "")).encode(), hooks])

    def _graph(self, value: torch.fx.GraphModule) -> bytes:
        """A traced graph: its code, and what its modules and attributes hold."""
        own = {name: part for name, part in vars(value).items() if not name.startswith("_") and name != "meta"}
        own = {name: part for name, part in own.items() if isinstance(part, (Tensor, *PLAIN, str))}
        parts = [*sorted(own.items()), *value.named_children()]
        parts += [*value.named_parameters(recurse=False), *value.named_buffers(recurse=False)]
        parts += [("forward", vars(value)["forward"])] if "forward" in vars(value) else []
        for node in value.graph.nodes:
            if node.op == "call_function":
                parts.append((node.name, node.target))
            elif node.op == "get_attr":
                parts.append((node.name, operator.attrgetter(node.target)(value)))
        tokens = [name.encode() + self.part(f".{name}", part) for name, part in parts]
        return hashed(b"graph", [self._hooks(value), value.code.encode(), *tokens])

    def _hooks(self, value: nn.Module) -> bytes:
        """Everything that is called around a module's forward; empty without hooks."""
        hooks = [list(getattr(value, name).values()) for name in sorted(HOOKS) if getattr(value, name, None)]
        return self.token(hooks) if any(hooks) else b""

    # --- containers and objects

    def mapping(self, tag: bytes, value: Mapping[Any, Any]) -> bytes:
        """The entries of a mapping in their order, which code may follow; attributes of an object are sorted."""
        items = list(value.items())
        if all(type(key) is str for key in value):
            items = [(key, part) for key, part in items if key not in HUB_NAMES - self.used]
        if tag == b"attributes" and not self.any_name:
            items.sort(key=lambda item: str(item[0]))
        return hashed(tag, [t for key, part in items for t in (self.part("", key), self.part(f"[{key!r:.40}]", part))])

    def _container(self, base: type, value: Any) -> bytes:
        """The content of an object that is a built-in container, number or text; empty for other types."""
        if base in (dict, collections.OrderedDict):
            return self.mapping(b"dict", dict(base.items(value)))
        if base in (list, tuple):
            parts = enumerate(base.__iter__(value))
            return hashed(base.__name__.encode(), [self.part(f"[{i}]", part) for i, part in parts])
        if base in (set, frozenset):
            return hashed(b"set", sorted(self.part("", part) for part in value))
        if base is bytearray:
            return self.token(bytes(value))
        if base in (bytes, str, int, float, complex):
            return self.token(base(value))
        return b""

    def _object(self, value: Any) -> bytes:
        kind: type = type(value)
        base = _content_base(kind)
        if f"{kind.__module__}.{kind.__qualname__}" in OPAQUE:
            return kind.__qualname__.encode()
        tokens = [self.kind(kind)]
        if base is not object and (own := self._container(base, value)):
            tokens.append(own)
        elif base is not object and not issubclass(base, nn.Module):
            tokens.append(self._foreign(value))
        return hashed(b"object", [*tokens, self.state(value)])

    def state(self, value: Any) -> bytes:
        """The dictionary and the slots of an object."""
        is_module = isinstance(value, nn.Module)
        state = dict(getattr(value, "__dict__", None) or {})
        offloaded = is_module and "_hf_hook" in state  # accelerate moves such weights to and from meta
        tokens: list[bytes] = []
        ordered = self.any_name and not is_module
        for name, part in state.items() if ordered else sorted(state.items(), key=lambda item: str(item[0])):
            if name in HUB_NAMES - self.used or (is_module and name in IGNORED_IN_MODULES):
                continue
            if is_module and name in ("_parameters", "_buffers", "_modules"):
                # A Sequential calls its submodules one after another.
                has_order = name == "_modules" or self.used & ORDER_NAMES
                for key, inner in part.items() if has_order else sorted(part.items()):
                    on_meta = offloaded and isinstance(inner, Tensor) and inner.is_meta
                    tokens.append(f"{name} {key}".encode() + (b"offloaded" if on_meta else self.part(f".{key}", inner)))
            elif is_module and name in HOOKS:
                tokens.append(name.encode() + self.token(list((part or {}).values())))
            else:
                tokens.append(str(name).encode() + self.attribute(str(name), part))
        kind: type = type(value)
        for name, member in _slots(kind):
            try:
                tokens.append(name.encode() + self.attribute(name, member.__get__(value)))
            except AttributeError:
                tokens.append(name.encode() + b"unset")
        return hashed(b"state", tokens)

    def _foreign(self, value: Any) -> bytes:
        """An object of C: the bytes that it exposes, or what it would be pickled as."""
        if isinstance(value, (operator.attrgetter, operator.methodcaller)):
            self.names.add("getattr")
        if not hasattr(value, "contents"):  # a pointer of ctypes exposes its address
            try:
                shown = memoryview(value)
                return hashed(b"bytes", [f"{shown.format} {shown.shape}".encode(), shown.tobytes()])
            except (TypeError, ValueError, BufferError):
                pass
        try:
            registered = copyreg.dispatch_table.get(type(value))
            reduced = value.__reduce_ex__(2) if registered is None else registered(value)
        except Exception as error:
            raise Unreadable(f"{error}") from error
        if isinstance(reduced, str):
            return f"global {reduced}".encode()
        parts = [list(part) if isinstance(part, Iterator) else part for part in reduced]
        return hashed(b"reduced", [self.part("", part) for part in parts])


def _script_entry(raw: bytes) -> bytes:
    """A part of a TorchScript archive, without what differs from process to process."""
    return SCRIPT_CONSTANTS.sub(lambda run: b"".join(sorted(run[0].splitlines(keepends=True))), MANGLED.sub(b"", raw))


def _write_count(value: Tensor) -> tuple[int, int]:
    """The number of writes to a tensor, and the address of its values; (-1, -1) if torch cannot tell."""
    try:
        return value._version, value.data_ptr()
    except (RuntimeError, NotImplementedError):
        return -1, -1


@functools.lru_cache(maxsize=4096)
def is_python_class(cls: type) -> bool:
    """True for a class that was written in Python: a class of C has methods or slots that are not functions."""
    own = (types.MethodDescriptorType, types.WrapperDescriptorType)
    return not any(isinstance(part, own) and part.__objclass__ is cls for part in vars(cls).values())


@functools.lru_cache(maxsize=4096)
def _slots(cls: type) -> tuple[tuple[str, types.MemberDescriptorType], ...]:
    """The slots of a class and of its bases."""
    return tuple(
        (name, member)
        for base in cls.__mro__
        if is_python_class(base)
        for name, member in vars(base).items()
        if isinstance(member, types.MemberDescriptorType)
    )


@functools.lru_cache(maxsize=4096)
def _content_base(cls: type) -> type:
    """The built-in or C type that holds an object's content; `object` if it has only attributes."""
    return next(kind for kind in cls.__mro__ if not is_python_class(kind))
