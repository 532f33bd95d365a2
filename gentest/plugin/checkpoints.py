"""The checkpoints of a run, and how a test runs once for each of several.

The plugin imports this module in every run of pytest, so it loads nothing heavy.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from gentest.integrations.sources import Fetched

FIXTURE = "gentest_checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a run."""

    path: Path
    """Absolute."""
    name: str
    """The last part of its path, or as many parts as tell it from the run's other checkpoints.

    Of a checkpoint from elsewhere, its pinned address without the source.
    """
    address: str = ""
    """The pinned address of a checkpoint from elsewhere; empty for a path that the user gave."""

    @property
    def id(self) -> str:
        """The part of a test's parameters in brackets that names the checkpoint."""
        return f"checkpoint={self.name}"


def find(text: str) -> list[Path]:
    """The file or folder with this path, or else all that match it as a pattern, in order. Raises `ValueError`."""
    with suppress(OSError):  # a name that is too long
        if Path(text).exists():
            return [Path(text)]
    if matches := sorted(glob.glob(text, recursive=True)):
        return [Path(match) for match in matches]
    raise ValueError("no such file or folder, and the pattern matches none")


def named(found: Iterable[Path | Fetched]) -> tuple[Checkpoint, ...]:
    """A checkpoint for each different path."""
    fetched: dict[Path, Fetched | None] = {}
    for one in found:
        if isinstance(one, Fetched):
            fetched.setdefault(one.path, one)
        else:
            fetched.setdefault(Path(os.path.abspath(one)), None)
    local = [path for path, one in fetched.items() if one is None]
    names = [path.name for path in local]
    if len(set(names)) < len(names):
        root = os.path.commonpath([path.parent for path in local])
        names = [os.path.relpath(path, root) for path in local]
    by_path = dict(zip(local, names, strict=True))
    return tuple(
        Checkpoint(path, by_path[path]) if one is None else Checkpoint(path, one.name, one.pinned)
        for path, one in fetched.items()
    )


def parametrize(metafunc: pytest.Metafunc, checkpoints: Sequence[Checkpoint]) -> None:
    """Run a test that asks for the checkpoint once for each of several."""
    if len(checkpoints) > 1:
        ids = [checkpoint.id for checkpoint in checkpoints]
        metafunc.parametrize(FIXTURE, checkpoints, ids=ids, indirect=True, scope="session")


def checkpoint_of(item: pytest.Item) -> Checkpoint | None:
    """The checkpoint that a test runs for; None unless the run has several."""
    checkpoint = item.callspec.params.get(FIXTURE) if hasattr(item, "callspec") else None
    return checkpoint if isinstance(checkpoint, Checkpoint) else None


def checkpoint_name(item: pytest.Item) -> str:
    """The name of the checkpoint that a test runs for; empty unless the run has several."""
    checkpoint = checkpoint_of(item)
    return "" if checkpoint is None else checkpoint.name
