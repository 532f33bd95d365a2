"""What is sent to another process: pickled by cloudpickle, what only this process can import by its value.

A test module or a conftest.py that pytest loads in its importlib mode has no name that another process could import,
and code that is not installed is not on another machine: functions and classes of such modules travel themselves.
The generator's function is sent once, and what refers to it refers to that.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from gentest._support.printable import error_summary
from gentest.errors import InvalidArgument

INSTALLED = (
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]) + os.sep,
)
PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
FUNCTION = "function"
"""Stands for the generator's function in whatever refers to it."""


def packed(thing: object, what: str, *, function: object = None, far: bool = False) -> bytes:
    """A thing, pickled; `function` is left out of it, to be put back by `unpacked`.

    With `far`, nothing that is not installed is taken to be on the other machine. Raises `InvalidArgument`, which calls
    it `what`, where it cannot be pickled.
    """
    import ray.cloudpickle

    cloudpickle: Any = ray.cloudpickle

    class Packer(cloudpickle.CloudPickler):  # type: ignore[misc]
        def persistent_id(self, obj: object) -> str | None:
            return FUNCTION if function is not None and obj is function else None

        def reducer_override(self, obj: object) -> Any:
            if isinstance(obj, torch.jit.ScriptModule):
                return _scripted, (obj.save_to_buffer(),)
            return super().reducer_override(obj)

    into = io.BytesIO()
    try:
        with _by_value(cloudpickle, far=far):
            Packer(into).dump(thing)
    except Exception as error:  # whatever an object makes pickle raise
        raise InvalidArgument(
            f"Ray's actors cannot be sent {what}: {error_summary(error)}; check it without Ray"
        ) from error
    return into.getvalue()


def unpacked(data: bytes, what: str, *, function: object = None) -> Any:
    """What was packed. Raises `InvalidArgument` where this process cannot make it."""

    class Unpacker(pickle.Unpickler):
        def persistent_load(self, pid: object) -> object:
            return function

    try:
        return Unpacker(io.BytesIO(data)).load()
    except Exception as error:
        raise InvalidArgument(f"an actor of Ray cannot load {what}: {error_summary(error)}") from error


def _scripted(data: bytes) -> torch.jit.ScriptModule:
    loaded: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    return loaded


@contextmanager
def _by_value(cloudpickle: Any, *, far: bool) -> Iterator[None]:
    """While it lasts, what another process could not import travels by value."""
    known = cloudpickle.list_registry_pickle_by_value()
    chosen = [m for m in _of_user() if m.__name__ not in known and (far or not _importable(m))]
    for module in chosen:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in chosen:
            cloudpickle.unregister_pickle_by_value(module)


def _of_user() -> list[ModuleType]:
    """The loaded modules that are not installed."""
    found = []
    for name, module in list(sys.modules.items()):
        file = _file(module)
        installed = not file or file.startswith(INSTALLED) or any(part in file for part in PACKAGES)
        if not installed and name == module.__name__ != "__main__":
            found.append(module)
    return found


def _file(module: object) -> str:
    """The file of a module; nothing is asked of one that is only loaded when it is looked into."""
    file = module.__dict__.get("__file__") if type(module) is ModuleType else None
    return file if isinstance(file, str) else ""


def _importable(module: ModuleType) -> bool:
    """Whether another process on this machine would import the same file by the module's name."""
    top, _, rest = module.__name__.partition(".")
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    spec = next((found for finder in finders if (found := finder.find_spec(top, None)) is not None), None)
    if spec is None:
        return False
    folders = spec.submodule_search_locations
    if not rest:
        return spec.origin is not None and Path(spec.origin) == Path(_file(module))
    wanted = [Path(folder, *rest.split(".")) for folder in folders or ()]
    return any(Path(_file(module)) in (path.with_suffix(".py"), path / "__init__.py") for path in wanted)
