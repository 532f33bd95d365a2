"""The identity of a callable: the digest of everything that it refers to, and of what is set for the whole process."""

from __future__ import annotations

import decimal
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack

from gentest.generators.identity.libraries import is_library_file, is_patched
from gentest.generators.identity.programs import ProgramReader
from gentest.generators.identity.values import Tensors as Tensors
from gentest.generators.identity.values import hashed

ALWAYS_USED = frozenset({"forward"})
"""Methods that are called although no code names them: torch calls `forward`."""
MODULE_NAMES = frozenset({"import_module", "__import__", "modules"})
"""Names in code that lead to a module by a text: then modules whose name the walk met count."""
ENVIRONMENT_NAMES = frozenset({"environ", "getenv"})
"""Names in code that read environment variables: then variables whose name the walk met count."""
MIN_TEXT = 4
"""Shorter texts are not taken for a part of the name of an environment variable, put together at run time."""
PYTEST_VARIABLES = "PYTEST_"
"""The start of variables that pytest sets anew for each test."""
DEFAULT_DTYPE_NAMES = frozenset(
    {
        "Tensor", "arange", "as_tensor", "empty", "eye", "full", "get_default_dtype", "linspace", "logspace", "ones",
        "rand", "randn", "tensor", "zeros",
    }
)  # fmt: skip
"""Names in code that may make a tensor of the default dtype, which counts there and in the code of packages."""
GLOBAL_STATE: dict[str, Callable[[], object]] = {
    "are_deterministic_algorithms_enabled": torch.are_deterministic_algorithms_enabled,
}
"""Settings of the process that change what any code computes."""
QUERIED_STATE: dict[str, Callable[[], object]] = {
    "get_float32_matmul_precision": torch.get_float32_matmul_precision,
    "get_num_threads": torch.get_num_threads,
    "geterr": np.geterr,
    "getcontext": lambda: str(decimal.getcontext()),
}
"""Settings of the process that count only if code names the function that reads them."""


@dataclass(frozen=True)
class Identity:
    """A callable, told from every other.

    `digest` has 32 hexadecimal digits. `unknown` names the first part that cannot be read, and why; it is empty if
    everything was read. An unknown identity has a random digest, which equals no other.
    """

    digest: str
    unknown: str = ""


def identify(thing: object, *, name: str = "", tensors: Tensors | None = None) -> Identity:
    """The identity of a callable, or of any value.

    `name` is the owner's text for the parts that cannot be read. `tensors` are tokens of tensors that are valid while
    torch counts no further write; new ones are added.

    >>> one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    >>> identify(one) == identify(two), identify(one) == identify(one)
    (False, True)
    >>> identify(n for n in range(3)).unknown
    "it: a builtins.generator that cannot be read (cannot pickle 'generator' object)"
    """
    known = {} if tensors is None else tensors
    used = ALWAYS_USED
    while True:  # the names in code decide which methods count, and those methods contain further names
        reader = ProgramReader(used, known)
        token = _whole(reader, thing)
        if token is not None and reader.names <= used:
            break
        used |= reader.names
    unknown = "" if name else reader.unknown
    parts = [token, name.encode(), *_environment(reader), os.urandom(16) if unknown else b""]
    return Identity(hashed(b"identity", parts).hex(), unknown)


def _whole(reader: ProgramReader, thing: object) -> bytes | None:
    """The token of a thing and of the process around it; None if it names more than the reader was asked to read."""
    try:
        own = reader.token(thing)
        return hashed(b"whole", [own, *_process_state(reader)]) if reader.names <= reader.used else None
    except RecursionError:
        reader.trail.clear()
        return reader.missing("it is nested too deeply")


def _process_state(reader: ProgramReader) -> Iterator[bytes]:
    """The tokens of what is set for the whole process, and of modules that code reaches by a text."""
    asked = {name: read for name, read in QUERIED_STATE.items() if name in reader.used}
    for name, read in (GLOBAL_STATE | asked).items():
        yield name.encode() + reader.token(read())
    if reader.has_packages or reader.used & DEFAULT_DTYPE_NAMES:
        yield b"dtype" + reader.token(torch.get_default_dtype())
    for name, part in sorted(vars(torch_module).items()):  # hooks on all modules
        if name.startswith("_global_") and isinstance(part, dict) and part:
            yield name.encode() + reader.part(f"torch.nn: {name}", list(part.values()))
    yield reader.kind(Tensor)
    for module in (torch, nn.functional):  # functions that somebody put in place of torch's
        functions = [(name, part) for name, part in vars(module).items() if type(part) is types.FunctionType]
        for name, part in functions:
            if not is_library_file(part.__code__.co_filename) and is_patched(part):
                yield name.encode() + reader.part(f".{name}", part)
    for mode in _get_current_function_mode_stack():  # type: ignore[no-untyped-call]
        yield reader.part("torch.overrides: a mode", mode)
    if reader.used & MODULE_NAMES:
        for name in sorted((reader.texts | reader.used) & set(sys.modules)):
            yield name.encode() + reader.part(name, sys.modules[name])


def _environment(reader: ProgramReader) -> list[bytes]:
    """The environment variables whose name, or a part of it, appears in code or in a value, if code reads any."""
    if not reader.used & ENVIRONMENT_NAMES:
        return []
    parts = {text for text in reader.texts if len(text) >= MIN_TEXT}
    parts |= {text.upper() for text in parts} if "upper" in reader.used else set()
    whole = reader.used | reader.texts
    return [
        f"{name}={value}".encode()
        for name, value in sorted(os.environ.items())
        if not name.startswith(PYTEST_VARIABLES) and (name in whole or any(part in name for part in parts))
    ]
