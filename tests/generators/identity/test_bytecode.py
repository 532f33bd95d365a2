"""What code names: globals and module attributes are read when they are asked for."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from torch import Tensor

from gentest.generators.identity import identify

LEVEL = 1.0

SETTINGS = types.ModuleType("settings_of_a_user")


def with_global(z: Tensor) -> Tensor:
    return z * LEVEL


def with_module(z: Tensor) -> Tensor:
    return z * SETTINGS.level


def with_import(z: Tensor) -> Tensor:
    import settings_of_a_user as found

    return z * found.level


@pytest.fixture
def level() -> Iterator[None]:
    """A module of a user's, in which a number stands."""
    SETTINGS.level = 1.0  # type: ignore[attr-defined]
    sys.modules[SETTINGS.__name__] = SETTINGS
    yield
    del sys.modules[SETTINGS.__name__]


@pytest.mark.usefixtures("level")
@pytest.mark.parametrize("function", [with_module, with_import])
def test_an_attribute_of_an_imported_module_is_read(function: Callable[..., Any]) -> None:
    before = identify(function)
    SETTINGS.level = 2.0  # type: ignore[attr-defined]
    assert identify(function) != before


def test_a_global_is_read_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identify(with_global)
    monkeypatch.setattr(sys.modules[__name__], "LEVEL", 2.0)
    assert identify(with_global) != before
