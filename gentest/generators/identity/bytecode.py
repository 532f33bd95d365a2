"""The reads of code: the globals, closure variables, imports and names in the instructions of a function."""

from __future__ import annotations

import dis
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gentest.generators.identity.libraries import is_library_file


class Read(NamedTuple):
    """A name that code reads from its globals or its closure, and the chain of attributes that it then asks for."""

    name: str
    chain: tuple[str, ...]
    closed: bool


class Import(NamedTuple):
    """A module that code imports by itself, and the names that it takes from it."""

    module: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Reads:
    """Everything that a code object reads, with the functions defined inside it."""

    reads: tuple[Read, ...]
    imports: tuple[Import, ...]
    own_names: frozenset[str]
    """Attribute names, and texts that may be names, in this code object alone."""
    names: frozenset[str]
    """The same with the functions defined inside it."""


_reads_by_code: dict[int, tuple[types.CodeType, Reads]] = {}
"""Results by the id of the code, which is kept alive. Disassembly takes longer than anything else in an identity."""


def reads_of(code: types.CodeType) -> Reads:
    """Everything that a code object reads, with the functions defined inside it."""
    if (known := _reads_by_code.get(id(code))) is not None:
        return known[1]
    reads: list[Read] = []
    imports: list[Import] = []
    chaining = False
    level = 0
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            reads.append(Read(value, (), closed=False))
            chaining = True
        elif name in ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"):
            reads.append(Read(value, (), closed=True))
            chaining = True
        elif name in ("LOAD_ATTR", "LOAD_METHOD") and chaining:
            reads[-1] = reads[-1]._replace(chain=(*reads[-1].chain, value))
        elif name == "IMPORT_NAME":
            imports.append(Import(f"{'.' * level}{value}", ()))
            chaining = False
        elif name == "IMPORT_FROM" and imports:
            imports[-1] = imports[-1]._replace(names=(*imports[-1].names, value))
        elif name not in ("PUSH_NULL", "CACHE", "EXTENDED_ARG"):
            chaining = False
        # The constant before IMPORT_NAME is the level of a relative import.
        level = value if name in ("LOAD_CONST", "LOAD_SMALL_INT") and isinstance(value, int) else level
    own_names = {*code.co_names, *(text for const in code.co_consts for text in _identifiers(const))}
    names = set(own_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            inner = reads_of(const)
            reads += inner.reads
            imports += inner.imports
            names |= inner.names
    found = Reads(tuple(reads), tuple(imports), frozenset(own_names), frozenset(names))
    _reads_by_code[id(code)] = (code, found)
    return found


def _identifiers(const: object) -> Iterator[str]:
    if isinstance(const, str) and const.isidentifier():
        yield const
    elif isinstance(const, (tuple, frozenset)):
        for part in const:
            yield from _identifiers(part)


def imported_module(name: str, namespace: Mapping[str, Any]) -> types.ModuleType | None:
    """The module that code in this namespace imports, if it is imported already."""
    absolute = name.lstrip(".")
    if absolute != name:
        package = namespace.get("__package__") or ""
        try:
            absolute = importlib.util.resolve_name(name, package) if package else absolute
        except (ImportError, ValueError):
            return None
    return sys.modules.get(absolute)


def content_to_import(name: str) -> bytes:
    """The content of a file that code will import; empty for libraries, parts of packages and missing modules."""
    spec = None if "." in name else importlib.machinery.PathFinder.find_spec(name)
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin) or is_library_file(spec.origin):
        return b""
    with open(spec.origin, "rb") as file:
        return file.read()
