"""Which checkpoints a run looks at: paths and patterns, each test once for each, and what a test is called without one.

Imported by the plugin in every run of pytest: the standard library and pytest only.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gentest.plugin.node_ids import node_id

FIXTURE = "gentest_checkpoint"
MARK = "checkpoint="
"""What the part of a test's id begins with that names its checkpoint."""


def find(text: str, folder: Path) -> list[Path]:
    """The file or folder of that name, or else those that the pattern matches, in order. Raises `ValueError`."""
    path = folder / text
    with suppress(OSError):  # a name that is too long
        if path.exists():
            return [path]
    if matches := sorted(glob.glob(str(path), recursive=True)):
        return [Path(match) for match in matches]
    raise ValueError("a file or folder that exists, or a pattern that matches some")


def names(paths: Sequence[Path]) -> list[str]:
    """A short name for each: its last part, or as much of its path as tells them apart."""
    short = [path.name for path in paths]
    if len(set(short)) == len(paths):
        return short
    root = os.path.commonpath([path.absolute().parent for path in paths])
    return [os.path.relpath(path.absolute(), root) for path in paths]


def of_item(item: pytest.Item, paths: Sequence[Path]) -> str:
    """The name of the checkpoint that a test is run for; empty where the run has one at the most."""
    path = _param(item)
    return "" if path is None or path not in paths else dict(zip(paths, names(paths), strict=True))[path]


def plain_id(item: pytest.Item, paths: Sequence[Path]) -> str:
    """The test's node id as it is in a run of a single checkpoint."""
    name, node = of_item(item, paths), node_id(item)
    if not name:
        return node
    file, _, test = node.partition("::")
    function, _, ids = test.partition("[")
    rest = f"-{ids.removesuffix(']')}-"
    for own in (name, name.encode("unicode_escape").decode("ascii")):  # as pytest writes what is not ASCII
        rest = rest.replace(f"-{MARK}{own}-", "-")
    return f"{file}::{function}[{rest[1:-1]}]" if rest != "-" else f"{file}::{function}"


def parametrize(metafunc: pytest.Metafunc, paths: Sequence[Path]) -> None:
    """Runs a test that asks for the checkpoint, by whatever fixtures, once for each of several."""
    if len(paths) > 1:
        ids = [f"{MARK}{name}" for name in names(paths)]
        metafunc.parametrize(FIXTURE, paths, ids=ids, indirect=True, scope="session")


def _param(item: pytest.Item) -> Path | None:
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    path = params.get(FIXTURE)
    return path if isinstance(path, Path) else None
