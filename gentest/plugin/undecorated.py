"""Tests without a property, under `--gentest`: one that returns a generator was meant to be checked, and fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from gentest.generators.generator import Generator


def watched(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A test without a property, which fails where it returns a generator."""

    def look_at(returned: object) -> Any:
        if isinstance(returned, Generator):
            why = "returns a gentest.Generator, but no property decorates it: nothing was checked"
            pytest.fail(f"{name} {why}", pytrace=False)
        return returned

    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return look_at(await function(*args, **kwargs))

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        return look_at(function(*args, **kwargs))

    return called
