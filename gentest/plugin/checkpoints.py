"""The checkpoints of a run, and how a test runs once for each of several.

The plugin imports this module in every run of pytest: the standard library and pytest only.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

FIXTURE = "gentest_checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a run."""

    path: Path
    """Absolute."""
    name: str
    """The last part of its path, or as many parts as tell it from the run's other checkpoints."""

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


def named(paths: Iterable[Path]) -> tuple[Checkpoint, ...]:
    """A checkpoint for each different path."""
    absolute = list(dict.fromkeys(Path(os.path.abspath(path)) for path in paths))
    names = [path.name for path in absolute]
    if len(set(names)) < len(names):
        root = os.path.commonpath([path.parent for path in absolute])
        names = [os.path.relpath(path, root) for path in absolute]
    return tuple(map(Checkpoint, absolute, names))


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
