"""Objects and errors that go to another process: what travels by value, and which frames a traceback shows."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

import gentest
from gentest.engine.cluster.transport import (
    RemoteTraceback,
    _user_modules,
    portable_error,
    user_traceback,
    with_remote_traceback,
)
from gentest.errors import GeneratorError, GentestError


class TwoArguments(Exception):
    """An error that pickle cannot make again, since it takes more than its message."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def test_gentest_itself_never_travels_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user does, and none of gentest's, even where gentest is not in site-packages."""
    own = ModuleType("my_levels")
    own.__file__ = "/somewhere/my_levels.py"
    monkeypatch.setitem(sys.modules, "my_levels", own)
    names = {module.__name__ for module in _user_modules()}
    assert "my_levels" in names
    assert not {name for name in names if name.partition(".")[0] == "gentest"}


def test_a_traceback_shows_the_users_frames_alone() -> None:
    """Frames of gentest are left out, whichever room they are of."""
    generator = gentest.Generator(lambda z: z[99], latent=gentest.Normal(2), output_range=(0, 1))
    with pytest.raises(GeneratorError) as caught:
        generator.outputs({"": torch.zeros(2, 2)}, {})
    text = user_traceback(caught.value)
    assert "z[99]" in text
    assert "gentest/generators" not in text


def test_an_error_without_a_cause_has_no_traceback() -> None:
    """gentest's own refusals show none."""
    assert user_traceback(GentestError("refused")) == ""


def test_an_error_of_another_process_keeps_its_traceback() -> None:
    """It is raised with the text as its cause, and shows it as its own."""
    error, text = portable_error(ValueError("boom"))
    raised = with_remote_traceback(error, text)
    assert isinstance(raised.__cause__, RemoteTraceback)
    assert user_traceback(raised) == text
    assert "ValueError: boom" in text


def test_an_error_that_cannot_be_made_again_keeps_its_words() -> None:
    """It becomes one of a class that can."""
    error, _ = portable_error(TwoArguments("no ", "room"))
    assert type(error) is RuntimeError
    assert str(error) == "TwoArguments: no room"
