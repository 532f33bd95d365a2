"""Measures that fixtures of pytest give: a property names a fixture, and the plugin asks for it as the test runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gentest.attributes.attribute import Named, Setup, bind
from gentest.attributes.distances import Distance
from gentest.errors import InvalidArgument

_lookup: ContextVar[Callable[[str], object] | None] = ContextVar("gentest_fixtures", default=None)


@contextmanager
def fixtures_from(lookup: Callable[[str], object]) -> Iterator[None]:
    """Inside, `lookup` gives the value of a fixture by its name. It raises `InvalidArgument` if there is none."""
    token = _lookup.set(lookup)
    try:
        yield
    finally:
        _lookup.reset(token)


@dataclass(frozen=True, repr=False)
class Fixture(Named):
    """The value of `fixture`."""

    name: str

    def value(self) -> Any:
        """The attribute or feature that the fixture gives to the test that runs. Raises `InvalidArgument`."""
        lookup = _lookup.get()
        if lookup is None:
            raise InvalidArgument(
                f"{self!r} has a value only while pytest checks a test, in the process that runs it; elsewhere, give "
                "the attribute itself"
            )
        value = lookup(self.name)
        if isinstance(value, (Fixture, Distance, type)) or not (callable(value) or hasattr(value, "bind")):
            got = f"{value!r:.100} (type={type(value).__name__})"
            raise InvalidArgument(
                f"the fixture {self.name!r} gave {got}; expected an attribute or a feature: a callable on outputs, or "
                "gentest.attribute(...)"
            )
        return value

    def bind(self, setup: Setup) -> object:
        return bind(self.value(), setup)

    def __call__(self, outputs: Tensor) -> Tensor:
        result: Tensor = self.value()(outputs)
        return result

    def __repr__(self) -> str:
        return f"fixture({self.name!r})"


def fixture(name: str) -> Fixture:
    """The attribute or feature that a fixture of pytest gives, for a property of a test that pytest runs.

    Wherever a property takes an attribute or a feature, it takes this. The plugin asks for the fixture as the test
    runs, by the rules of pytest: it may be in a conftest.py, have any scope, and use other fixtures. Its value is a
    callable from outputs [B, ...] to scores [B] or rows [B, D], `gentest.attribute(...)`, or an attribute of gentest.

    Raises `InvalidArgument` for anything but a name. A check reports a fixture that does not exist or that gives
    something else, and a check outside of pytest (`property.check(generator)`).

    >>> import gentest
    >>> gentest.between(gentest.fixture("arcface"), tolerance=0.1)
    between(fixture('arcface'), tolerance=0.1)
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise InvalidArgument.expected("the name of a fixture", "name", name)
    return Fixture(name)


def resolved(thing: Any) -> Any:
    """The measure itself, or the one that its fixture gives."""
    return thing.value() if isinstance(thing, Fixture) else thing
