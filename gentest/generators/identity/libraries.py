"""Installed code counts as its version or as the checksums of its files, not as its content."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
import sysconfig
import types
from pathlib import Path, PurePath

from gentest.generators.identity.values import hashed, is_python_class

PYTHON = b"python "
"""The start of the token of Python and its standard library, which count as their version."""
BY_VERSION = frozenset({"torch", "numpy", "scipy", "gentest"})
"""Packages that count as their version alone: their releases do not change, and torch has 10,000 files."""
_GENTEST = f"{Path(__file__).resolve().parents[2]}{os.sep}"


@functools.cache
def _standard_library() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib"))


def _is_installed(file: str) -> bool:
    return "site-packages" in PurePath(file).parts or "dist-packages" in PurePath(file).parts


def _is_standard(file: str) -> bool:
    return os.path.realpath(file).startswith(_standard_library()) and not _is_installed(file)


@functools.lru_cache(maxsize=4096)
def is_library_file(file: str) -> bool:
    """True for a file of Python, of gentest, or of an installed package."""
    if file.startswith("<"):  # code without a file
        return file.startswith("<frozen ")
    return _is_installed(file) or _is_standard(file) or file.startswith(_GENTEST)


_tokens: dict[str, bytes | None] = {}


def library_token(module: object) -> bytes | None:
    """The stand-in for the library of a module: Python's version, a package's, or its checksums; None for other code.

    A package that is installed in editable mode, or not installed at all, is read like any user's code.
    """
    top = module.partition(".")[0] if isinstance(module, str) else ""  # Cython's types have a descriptor there
    if top not in _tokens:
        if top not in sys.modules:
            return None
        _tokens[top] = _token_of(top)
    return _tokens[top]


def _token_of(top: str) -> bytes | None:
    package = sys.modules[top]
    file = getattr(package, "__file__", None) or next(iter(getattr(package, "__path__", [])), "")
    if top == "builtins" or (top in sys.stdlib_module_names and (not file or _is_standard(file))):
        return PYTHON + b"%d.%d" % sys.version_info[:2]
    if top in BY_VERSION:
        return f"{top} {getattr(package, '__version__', '')}".encode()
    if not file or not _is_installed(file):
        return None
    try:
        record = _distribution(top).read_text("RECORD")
    except importlib.metadata.PackageNotFoundError:
        record = None
    if not record:
        return None
    rows = sorted(row for row in record.splitlines() if ",sha256=" in row and not row.startswith(".."))
    return hashed(top.encode(), [row.encode() for row in rows if ".dist-info/" not in row])


def _distribution(top: str) -> importlib.metadata.Distribution:
    """The distribution that holds a top-level package."""
    try:
        return importlib.metadata.distribution(top)
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(top, ())
        return importlib.metadata.distribution(next(iter(names), ""))


def is_patched(value: object) -> bool:
    """True for a value that a library's name leads to, but that other code put there."""
    if isinstance(value, types.FunctionType):
        file = value.__code__.co_filename
        return not file.startswith("<") and not is_library_file(file)
    if isinstance(value, (types.MethodType, staticmethod, classmethod)):
        return is_patched(value.__func__)
    if isinstance(value, property):
        return is_patched(value.fget)
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__ in sys.modules and library_token(kind.__module__) is None and is_python_class(kind)
