"""Send objects and errors to another process.

cloudpickle pickles the objects. Functions and classes that another process cannot import travel by value: those of a
test module or conftest.py that pytest loads in its importlib mode, and on another machine those of any code that is not
installed. The generator's function travels once; a placeholder stands for it in everything that refers to it.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import sysconfig
import traceback as tracebacks
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from gentest._support.printable import error_summary
from gentest.errors import GentestError, InvalidArgument

GENTEST = Path(__file__).parents[2]
INSTALLED = (
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(GENTEST) + os.sep,
)
PACKAGES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
FUNCTION = "function"
"""The placeholder for the generator's function."""


def pickled(thing: object, description: str, *, function: object = None, remote: bool = False) -> bytes:
    """An object as bytes, with a placeholder for `function`; `unpickled` puts a function in its place.

    `remote` says that the other process may run on another machine. Raises `InvalidArgument`, which contains the
    description, for an object that cannot be pickled.
    """
    import ray.cloudpickle

    cloudpickle: Any = ray.cloudpickle

    class Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
        def persistent_id(self, obj: object) -> str | None:
            return FUNCTION if function is not None and obj is function else None

        def reducer_override(self, obj: object) -> Any:
            if isinstance(obj, torch.jit.ScriptModule):
                return _load_torchscript, (obj.save_to_buffer(),)
            return super().reducer_override(obj)

    buffer = io.BytesIO()
    try:
        with _unimportable_code_by_value(cloudpickle, remote=remote):
            Pickler(buffer).dump(thing)
    except Exception as error:  # pickling runs the object's own code, which may raise anything
        raise InvalidArgument(f"Ray cannot send {description}: {error_summary(error)}; check it without Ray") from error
    return buffer.getvalue()


def unpickled(data: bytes, description: str, *, function: object = None) -> Any:
    """The object of some bytes. Raises `InvalidArgument`, which contains the description, if it cannot be loaded."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: object) -> object:
            return function

    try:
        return Unpickler(io.BytesIO(data)).load()
    except Exception as error:
        raise InvalidArgument(f"a Ray actor cannot load {description}: {error_summary(error)}") from error


def _load_torchscript(data: bytes) -> torch.jit.ScriptModule:
    loaded: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    return loaded


@contextmanager
def _unimportable_code_by_value(cloudpickle: Any, *, remote: bool) -> Iterator[None]:
    """Within, cloudpickle pickles code by value if the other process could not import it."""
    registered = cloudpickle.list_registry_pickle_by_value()
    modules = [m for m in _user_modules() if m.__name__ not in registered and (remote or not _is_importable(m))]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _user_modules() -> list[ModuleType]:
    """The loaded modules that are not installed."""
    modules = []
    for name, module in list(sys.modules.items()):
        file = _file(module)
        installed = not file or file.startswith(INSTALLED) or any(part in file for part in PACKAGES)
        if not installed and name == module.__name__ != "__main__":
            modules.append(module)
    return modules


def _file(module: object) -> str:
    """The file of a module, or "". A lazy module would load if it were asked for an attribute, so none is."""
    file = module.__dict__.get("__file__") if type(module) is ModuleType else None
    return file if isinstance(file, str) else ""


def _is_importable(module: ModuleType) -> bool:
    """Whether another process on this machine would import the same file by the module's name."""
    top, _, rest = module.__name__.partition(".")
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    spec = next((spec for finder in finders if (spec := finder.find_spec(top, None)) is not None), None)
    if spec is None:
        return False
    if not rest:
        return spec.origin is not None and Path(spec.origin) == Path(_file(module))
    paths = [Path(folder, *rest.split(".")) for folder in spec.submodule_search_locations or ()]
    return any(Path(_file(module)) in (path.with_suffix(".py"), path / "__init__.py") for path in paths)


class RemoteTraceback(Exception):
    """The cause of an error that another process raised. Its text is the traceback, since frames do not travel."""


def user_traceback(error: BaseException) -> str:
    """The traceback of the user's code that caused an error, without gentest's own frames; "" if none did."""
    cause = error.__cause__
    if cause is None or isinstance(cause, RemoteTraceback):
        return "" if cause is None else str(cause)
    frames = tracebacks.extract_tb(cause.__traceback__)
    users = [frame for frame in frames if GENTEST not in Path(frame.filename).parents]
    return "".join([*tracebacks.format_list(users or frames), *tracebacks.format_exception_only(cause)])


def portable_error(error: Exception) -> tuple[Exception, str]:
    """An error that another process can raise, and its traceback.

    An error that cannot be unpickled, because its class takes more than a message, becomes one with the same text.
    """
    ours = isinstance(error, GentestError)
    text = user_traceback(error) if ours else "".join(tracebacks.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return (GentestError(str(error)) if ours else RuntimeError(error_summary(error))), text
    return error, text


def with_remote_traceback(error: Exception, text: str) -> Exception:
    """An error of another process, ready to be raised here with its traceback as the cause."""
    error.__cause__ = RemoteTraceback(text) if text else None
    return error
