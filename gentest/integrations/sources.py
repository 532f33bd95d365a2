"""Sources: the places beside the file system that `--gentest-checkpoint` takes a checkpoint from.

An address begins with the name of its source: `models:/faces@champion`, `hf://org/faces@main/model.safetensors`.
gentest ships the sources of `SHIPPED`; other packages add theirs by an entry point of the group `gentest.sources`.

pytest imports this module in every run, so it loads nothing heavy, and nothing of a source before one is asked.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import cast

from gentest._support.printable import error_summary, in_one_line, short_repr
from gentest.errors import InvalidArgument

GROUP = "gentest.sources"
"""The group of entry points for sources. An entry point's name is that before an address's colon, its object a
`Source`."""
SHIPPED: Mapping[str, str] = {
    "hf": "gentest.integrations.huggingface:fetch",
    "models": "gentest.integrations.mlflow:fetch",
    "runs": "gentest.integrations.mlflow:fetch",
}
"""The sources of gentest itself: a module and a function in it, by name."""
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/(.*)")  # two letters at least: C:/ is a drive
COMMIT = re.compile(r"@([0-9a-f]{40})(?=/|$)")


@dataclass(frozen=True)
class Fetched:
    """A checkpoint that a source made a local file or folder of."""

    path: Path
    """The file or folder."""
    pinned: str
    """An address that names the same checkpoint forever: a version, not an alias; a commit, not a branch."""

    @property
    def name(self) -> str:
        """The pinned address as reports name it, without its source and with a short commit.

        >>> Fetched(Path("w.pt"), f"hf://org/faces@{40 * 'a'}/w.pt").name
        'org/faces@aaaaaaaa/w.pt'
        """
        match = ADDRESS.fullmatch(self.pinned)
        rest = self.pinned if match is None else match[2].lstrip("/")
        return COMMIT.sub(lambda commit: commit[0][:9], rest)


Source = Callable[[str], Fetched]
"""Makes a local file or folder of an address. Raises an error whose first line says what is wrong with it."""


def is_address(text: str) -> bool:
    """True for text that begins with the name of a source, such as `hf://`.

    >>> is_address("models:/faces@champion"), is_address("runs/a.pt"), is_address("C:/a.pt")
    (True, False, False)
    """
    return ADDRESS.fullmatch(text) is not None


def file_name(checkpoint: str) -> str:
    """The name of a checkpoint, from its path or its pinned address."""
    return Fetched(Path(), checkpoint).name if is_address(checkpoint) else PurePosixPath(checkpoint).name


def fetch(address: str) -> Fetched:
    """The checkpoint at an address, as a local file or folder.

    Raises `InvalidArgument` for an unknown source, a library that is not installed, or whatever the source says.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise InvalidArgument(f"{short_repr(address)} is not an address, such as hf://org/name@revision/file")
    source = _source(match[1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fetched = source(address)
        if fetched.path.exists():
            return fetched
    except InvalidArgument:
        raise
    except Exception as error:
        raise InvalidArgument(in_one_line(f"{address}: {error_summary(error)}")) from error
    raise InvalidArgument(in_one_line(f"{address}: the source has no such file"))


def _source(name: str) -> Source:
    if name in SHIPPED:
        module, _, attribute = SHIPPED[name].partition(":")
        return cast(Source, getattr(import_module(module), attribute))
    from importlib import metadata  # slow to import

    others = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name not in others:
        known = ", ".join(f"{known}:/" for known in sorted({*SHIPPED, *others}))
        raise InvalidArgument(f"{in_one_line(name)}:/ is not a source of checkpoints: {known}")
    return cast(Source, others[name].load())


def require(library: str, *, extra: str) -> None:
    """Raise `InvalidArgument`, which says what to install, unless a library is here. This does not import it."""
    if find_spec(library) is None:
        raise InvalidArgument(f"{library} is not installed: pip install 'pytest-gentest[{extra}]'")
