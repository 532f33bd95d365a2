"""Tokens of programs: functions, classes and modules, with everything that their code can reach.

Code counts with its constants, defaults and closure, and with the globals and module attributes that it names. A method
counts if some reachable code names it; a library's code counts as its version or its checksums.
"""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from gentest.generators.identity.bytecode import content_to_import, imported_module, reads_of
from gentest.generators.identity.libraries import BY_VERSION, PYTHON, is_library_file, is_patched, library_token
from gentest.generators.identity.values import (
    IGNORED_WRAPPER_ATTRIBUTES,
    NAMED,
    PLAIN,
    Tensors,
    ValueReader,
    hashed,
    is_python_class,
)

# Sets of names, as in `values.py`: a rule applies if reachable code contains one of the names.
LOCALS_NAMES = frozenset({"locals", "vars", "eval", "exec", "dir"})
"""Names of local variables count: such code may ask for a variable by its name."""
DESCRIPTIONS = ("__doc__", "__module__", "__name__", "__qualname__")
"""Descriptions of functions and classes count if code names them, since computing does not read them."""
ANNOTATION_NAMES = frozenset({"__annotations__", "get_annotations", "get_type_hints", "signature"})
"""Annotations count."""
MAKING_NAMES = frozenset({"type", "__class__", "cls", "copy", "deepcopy", "replace", "pickle", "dumps", "loads"})
"""Methods that make objects count: such code may make an object of a class that it does not name."""
NAMESPACE_NAMES = frozenset({"eval", "exec", "globals"})
"""All globals count: such code may use any of them."""

MAKING_METHODS = frozenset(
    {
        "__init__", "__new__", "__post_init__", "__del__", "__dir__", "__sizeof__",
        "__copy__", "__deepcopy__", "__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__init_subclass__",
        "__set_name__", "__class_getitem__",
    }
)  # fmt: skip
"""Methods that make and copy objects. An object that exists already has been made: its state counts instead."""
IGNORED_IN_CLASSES = frozenset(
    {
        "__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__",
        "__dataclass_fields__", "__dataclass_params__", "__dict__", "__doc__", "__firstlineno__", "__module__",
        "__orig_bases__", "__parameters__", "__qualname__", "__static_attributes__", "__weakref__", "_abc_impl",
    }
)  # fmt: skip
"""Entries of a class that do not decide what its methods compute; fields of dataclasses are read one by one."""

DESCRIPTORS = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.MethodWrapperType,
    types.ClassMethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
)  # fmt: skip
"""Functions and descriptors of C: their name stands for them."""
FUNCTIONS = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property)
DATA = (list, tuple, dict, set, frozenset, bytearray, np.ndarray, Tensor, functools.partial, types.SimpleNamespace)
"""Types whose values in a library's namespace are read: other code may have put them there, or changed them."""


class ProgramReader(ValueReader):
    """A walk over values that also reads functions, classes and modules."""

    def __init__(self, used: frozenset[str], tensors: Tensors) -> None:
        super().__init__(used, tensors)
        self.has_packages = False
        """True once the walk met code of a package that counts as the checksums of its files."""
        self._kinds: dict[type, bytes] = {}
        self._patches_in: dict[type, list[bytes]] = {}

    def program(self, value: Any) -> bytes | None:
        kind = type(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, types.CodeType):
            return self._code(value)
        if isinstance(value, types.MethodType):
            return hashed(b"method", [self.part(".__func__", value.__func__), self.part("", value.__self__)])
        if isinstance(value, (staticmethod, classmethod)):
            self.names |= {"cls"} if isinstance(value, classmethod) else set()
            return hashed(kind.__name__.encode(), [self.part("", value.__func__)])
        if isinstance(value, property):
            return hashed(b"property", [self.part("", function) for function in (value.fget, value.fset)])
        if isinstance(value, functools.partial):
            given = [self.part(f"({i})", argument) for i, argument in enumerate(value.args)]
            given += [name.encode() + self.part(f"({name}=)", argument) for name, argument in value.keywords.items()]
            return hashed(b"partial", [self.part(".func", value.func), *given, self.state(value)])
        if isinstance(value, DESCRIPTORS):
            return self._builtin(value)
        if isinstance(value, types.CellType):
            try:
                return self.part("", value.cell_contents)
            except ValueError:  # nothing is bound to it yet
                return b"empty cell"
        if kind.__module__ == "functools" and hasattr(value, "__wrapped__"):  # lru_cache
            own = {name: part for name, part in vars(value).items() if name not in IGNORED_WRAPPER_ATTRIBUTES}
            return hashed(b"cached", [self.part("", value.__wrapped__), self.mapping(b"attributes", own)])
        if value is os.environ:
            self.names.add("environ")
            return b"environ"
        if value is sys.modules:
            self.names.add("modules")
            return b"modules"
        return None

    def _library(self, module: str | None) -> bytes | None:
        """The token of a module's library; None for other code."""
        token = library_token(module)
        if token is not None and (module or "").partition(".")[0] not in BY_VERSION and not token.startswith(PYTHON):
            self.has_packages = True
        return token

    def _may_be_asked(self, name: str) -> bool:
        """True if code may ask for an attribute of that name; Python itself asks for special methods."""
        return self.any_name or name in self.used or (name.startswith("__") and name.endswith("__"))

    # --- functions

    def _function(self, value: types.FunctionType) -> bytes:
        if (original := value.__dict__.get("_torchdynamo_orig_callable")) is not None:  # made by torch.compile
            return self.part("", original)
        if is_library_file(value.__code__.co_filename) and (library := self._library(value.__module__)) is not None:
            name = f"{value.__module__}.{value.__qualname__}"
            # A library's decorator, such as torch.no_grad, closes over the user's function.
            cells = [self.part("", cell) for cell in value.__closure__ or ()]
            self.names.add(value.__name__)
            own = {key: part for key, part in vars(value).items() if key in self.used - set(IGNORED_WRAPPER_ATTRIBUTES)}
            cells += [self.mapping(b"attributes", own)] if own else []
            return hashed(b"function of", [library, name.encode(), *cells])
        code, closed = value.__code__, value.__closure__ or ()
        tokens = [self._code(code)]
        with self.at(f".{value.__name__}" if not self.trail else ""):
            for name, cell in zip(code.co_freevars, closed, strict=True):
                tokens.append(self._closed(code, name, cell))
            tokens += [self.part("(default)", part) for part in value.__defaults__ or ()]
            for name, part in sorted((value.__kwdefaults__ or {}).items()):
                tokens.append(name.encode() + self.part(f"({name}=)", part))
            builtin = cast(Any, value).__builtins__  # whether stubs of Python have it depends on their release
            tokens.append(self._globals(code, value.__globals__, builtin))
            tokens.append(self.mapping(b"attributes", value.__dict__))
            tokens += self._description(value)
        return hashed(b"function", tokens)

    def _description(self, value: types.FunctionType | type) -> Iterator[bytes]:
        """The name, documentation and annotations of a function or class, if code names them."""
        for name in DESCRIPTIONS:
            if name in self.used:
                yield self.part(f".{name}", getattr(value, name, None))
        if self.used & ANNOTATION_NAMES:
            yield self.part(".__annotations__", dict(value.__annotations__))

    def _code(self, code: types.CodeType) -> bytes:
        """The effect of the instructions, without names of local variables, lines and files."""
        reads = reads_of(code)
        self.names |= reads.own_names
        n_named = code.co_argcount + code.co_kwonlyargcount
        head = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x2AF)
        tokens = [repr(head).encode(), " ".join(code.co_varnames[:n_named]).encode(), code.co_code]
        tokens += [" ".join(code.co_names).encode(), getattr(code, "co_exceptiontable", b"")]
        tokens += [self.part("", const) for const in code.co_consts]
        if reads.own_names & LOCALS_NAMES:
            tokens.append(" ".join((*code.co_varnames, *code.co_cellvars, *code.co_freevars)).encode())
        return hashed(b"code", tokens)

    def _closed(self, code: types.CodeType, name: str, cell: types.CellType) -> bytes:
        """The value of a closure variable; for a module, the attributes that the code asks it for."""
        chains = [read.chain for read in reads_of(code).reads if read.name == name and read.closed]
        try:
            return self._named_value(name, cell.cell_contents, chains)
        except ValueError:  # nothing is bound to it yet
            return b"empty cell"

    def _globals(self, code: types.CodeType, namespace: Mapping[str, Any], builtin: Mapping[str, Any]) -> bytes:
        """Everything that code reads from its globals, the builtins and the modules that it imports by itself."""
        reads = reads_of(code)
        chains: dict[str, list[tuple[str, ...]]] = {}
        for read in reads.reads:
            if not read.closed:
                chains.setdefault(read.name, []).append(read.chain)
        tokens = []
        for name, asked in sorted(chains.items()):
            if name in namespace:
                tokens.append(name.encode() + self._named_value(name, namespace[name], asked))
            elif name in builtin:
                tokens.append(name.encode() + self.part(name, builtin[name]))
        if reads.names & NAMESPACE_NAMES:
            own = sorted(item for item in namespace.items() if not item[0].startswith("__"))
            tokens += [name.encode() + self.part(f".{name}", part) for name, part in own]
        for name, attributes in sorted(set(reads.imports)):
            module = imported_module(name, namespace)
            if module is None:
                content = content_to_import(name)
                tokens.append(name.encode() + (hashed(b"file", [content]) if content else b"absent"))
            else:
                asked = [(attribute,) for attribute in attributes or reads.names & set(vars(module))]
                tokens.append(name.encode() + self._named_value(name, module, asked))
            top = sys.modules.get(name.partition(".")[0])
            if "." in name.lstrip(".") and not attributes and top is not None:  # import a.b binds a
                tokens.append(self._named_value(name, top, [(key,) for key in reads.names & set(vars(top))]))
        return hashed(b"globals", tokens)

    def _named_value(self, name: str, value: object, chains: Sequence[tuple[str, ...]]) -> bytes:
        """The value of a variable; for a module, the chains of attributes that code asks it for."""
        if not isinstance(value, types.ModuleType):
            return self.part(f".{name}", value)
        tokens = [
            ".".join(chain).encode() + self._module_attribute(name, value, chain) for chain in sorted(set(chains))
        ]
        if "__getattr__" in vars(value) and library_token(value.__name__) is None:
            tokens.append(self.part(f".{name}.__getattr__", vars(value)["__getattr__"]))
        return hashed(b"of module", tokens)

    def _module_attribute(self, where: str, module: types.ModuleType, chain: tuple[str, ...]) -> bytes:
        """The value that a chain of attributes leads to from a module."""
        if not chain:
            return self.part(f".{where}", module)
        library = self._library(module.__name__)
        try:
            value = getattr(module, chain[0])
        except AttributeError:
            return b"absent"
        if isinstance(value, types.ModuleType):
            return self._module_attribute(f"{where}.{chain[0]}", value, chain[1:])
        before = self.unknown
        own = library is None or is_patched(value)
        if own or isinstance(value, (type, types.FunctionType, *DATA)):
            token = self.part(f".{where}.{chain[0]}", value)
            if own or self.unknown == before:
                return token
        self.unknown = before
        assert library is not None
        if type(value) in (*PLAIN, str):
            return library + self.part("", value)
        described = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
        return library + f" {module.__name__}.{chain[0]} {described}".encode()

    def _module(self, value: types.ModuleType) -> bytes:
        """A module as a value: a library, or everything in its namespace that code may ask for."""
        if (library := self._library(value.__name__)) is not None:
            return library + value.__name__.encode()
        tokens = []
        for name, part in sorted(vars(value).items()):
            hidden = name.startswith("__") and name != "__getattr__"
            if not hidden and (not isinstance(part, FUNCTIONS) or self._may_be_asked(name)):
                tokens.append(name.encode() + self.attribute(name, part))
        return hashed(b"module", tokens)

    def _builtin(self, value: Any) -> bytes:
        owner = getattr(value, "__self__", None)
        bound = owner is not None and not isinstance(owner, (types.ModuleType, type))
        name = f"{getattr(value, '__module__', '')} {getattr(value, '__qualname__', value.__name__)}"
        self.names.add(value.__name__)
        return hashed(b"builtin", [name.encode(), *([self.part("", owner)] if bound else [])])

    # --- classes

    def kind(self, cls: type) -> bytes:
        if cls in self._kinds:
            return self._kinds[cls]
        before, self._kinds[cls] = self.unknown, b"cycle"
        token = self._kinds[cls] = self._class(cls, skipped=MAKING_METHODS)
        if self.unknown != before:  # so that the next object of the class reports it again
            del self._kinds[cls]
        return token

    def _class(self, cls: type, *, skipped: frozenset[str] = frozenset()) -> bytes:
        """The token of a class without the methods in `skipped`, unless code may make another object of it."""
        library = self._library(cls.__module__)
        # Classes made at run time, as by make_dataclass, claim to come from `types`.
        made_at_run_time = cls.__module__ in ("builtins", "types") and is_python_class(cls)
        if library is not None and (not made_at_run_time or getattr(types, cls.__name__, None) is cls):
            name = f"{cls.__module__}.{cls.__qualname__}"
            self.names |= set() if skipped else {cls.__name__}
            patches = [token for base in cls.__mro__ for token in self._patches(base)]
            return hashed(b"class of", [library, name.encode(), *patches])
        named = vars(cls).get(NAMED)
        if isinstance(named, str):
            return hashed(b"named", [named.encode()])
        # A library calls the methods that it declares without their names in the user's code.
        inherited = {name for base in cls.__mro__[1:] if library_token(base.__module__) for name in vars(base)}
        inherited -= {name for base in (nn.Module, object) for name in vars(base)}
        tokens = [cls.__qualname__.rpartition("<locals>.")[2].encode()]
        tokens += [self.kind(base) if skipped else self.part("", base) for base in cls.__bases__]
        tokens += [self.kind(type(cls))] if type(cls) is not type else []
        tokens += self._description(cls)
        subclasses: list[type] = cls.__subclasses__() if "__subclasses__" in self.used else []
        tokens += [self.part("", subclass) for subclass in subclasses]
        own_fields: dict[str, Any] = vars(cls).get("__dataclass_fields__", {})
        for key, field in own_fields.items():
            tokens.append(key.encode() + self.attribute(key, (field.default, field.default_factory, field.metadata)))
        for name, part in sorted(vars(cls).items()):
            made = name in skipped - self.used and not self.used & MAKING_NAMES
            unasked = isinstance(part, FUNCTIONS) and not self._may_be_asked(name) and name not in inherited
            if name not in IGNORED_IN_CLASSES and not made and not unasked:
                tokens.append(name.encode() + self.attribute(name, part))
        return hashed(b"class", tokens)

    def _patches(self, cls: type) -> list[bytes]:
        """The entries of a library's class that other code may have put there."""
        if cls not in self._patches_in:
            self._patches_in[cls] = []
            self._patches_in[cls] = [
                key.encode() + self.part(f".{key}", part)
                for key, part in vars(cls).items()
                if type(part) not in DESCRIPTORS
                and (is_patched(part) or (key in self.used and isinstance(part, (*PLAIN, str, *DATA))))
            ]
        return self._patches_in[cls]
