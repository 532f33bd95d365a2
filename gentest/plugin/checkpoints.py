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
from typing import Any

import pytest

from gentest.integrations.sources import Fetched

FIXTURE = "gentest_checkpoint"
WORKER_OUTPUT = "gentest_checkpoint_used"
"""The key under which a worker of pytest-xdist tells the controller of the fixture."""


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


def digest(path: Path) -> str:
    """The XXH3 digest of a file, or of the names and the bytes in a folder; empty if it cannot be read."""
    import xxhash

    hasher = xxhash.xxh3_128()
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            hasher.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as opened:
                while block := opened.read(2**20):
                    hasher.update(block)
    except OSError:
        return ""
    return hasher.hexdigest()


class CheckpointUse:
    """Whether any test of the run used the fixture: registered as a plugin in every process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.used = False

    @pytest.hookimpl
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> None:
        """Take note of the fixture, requested in whatever way."""
        self.used = self.used or fixturedef.argname == FIXTURE

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[WORKER_OUTPUT] = self.used

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.used = self.used or bool((getattr(node, "workeroutput", None) or {}).get(WORKER_OUTPUT))


def checkpoint_of(item: pytest.Item) -> Checkpoint | None:
    """The checkpoint that a test runs for; None unless the run has several."""
    checkpoint = item.callspec.params.get(FIXTURE) if hasattr(item, "callspec") else None
    return checkpoint if isinstance(checkpoint, Checkpoint) else None


def checkpoint_name(item: pytest.Item) -> str:
    """The name of the checkpoint that a test runs for; empty unless the run has several."""
    checkpoint = checkpoint_of(item)
    return "" if checkpoint is None else checkpoint.name
