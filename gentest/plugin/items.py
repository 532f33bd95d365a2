"""Facts about a test item of pytest: what decorates it, its parameters, and the name by which results go.

The plugin imports this module in every run of pytest, so it loads nothing heavy.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from gentest.plugin.checkpoints import checkpoint_of
from gentest.results.settings import ATTRIBUTE, DECLARED, settings

if TYPE_CHECKING:
    from gentest.plugin.decorators import Declared


def declared_by(item: pytest.Item) -> Declared | None:
    """The properties that decorate a test; None without any."""
    return getattr(_function(item), DECLARED, None)


def settings_of(item: pytest.Item) -> settings | None:
    """The settings that decorate a test; None without any."""
    return getattr(_function(item), ATTRIBUTE, None)


def _function(item: pytest.Item) -> Any:
    """The function that a test calls, which carries the marks of decorators."""
    function = getattr(item, "obj", None)
    while isinstance(function, functools.partial):
        function = function.func
    return function


def params_of(item: pytest.Item) -> dict[str, Any]:
    """The parameters of a test, by name."""
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}


def name_of(item: pytest.Item) -> str:
    """The node id that a test has in a run of one checkpoint: results, baselines and replays go by it."""
    assert item.parent is not None
    return f"{item.parent.nodeid}::{_own_name(item)}"


def name_in_file(item: pytest.Item) -> str:
    """The part of `name_of` that follows the file: classes, the function, and its parameters in brackets."""
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return "::".join([*classes, _own_name(item)])


def _own_name(item: pytest.Item) -> str:
    """The function and its parameters in brackets, except the checkpoint."""
    checkpoint = checkpoint_of(item)
    if checkpoint is None or not isinstance(item, pytest.Function):
        return item.name
    escaped = checkpoint.id.encode("unicode_escape").decode("ascii")  # as pytest may write what is not ASCII
    others = [id for id in item.callspec._idlist if id not in (checkpoint.id, escaped)]
    return f"{item.originalname}[{'-'.join(others)}]" if others else item.originalname
