"""A function that a child process calls: its answer comes back, and a crash or a timeout is one clear error."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from gentest.cli import child

HERE = "tests.cli.test_child"


def double(values: list[int]) -> dict[str, list[int]]:
    """Runs in the child."""
    print("on its way")  # noqa: T201
    return {"doubled": [2 * value for value in values]}


def leave(status: int) -> None:
    """Runs in the child, and ends it."""
    print("last words")  # noqa: T201
    raise SystemExit(status)


def sleep() -> None:
    """Runs in the child, which does not end."""
    time.sleep(60)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child finds this module."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


def test_the_answer_comes_back() -> None:
    """The result is a value of JSON; what the function prints is kept apart from it."""
    reply = child.call(f"{HERE}:double", [1, 2])
    assert (reply.value, reply.output) == ({"doubled": [2, 4]}, "on its way\n")


def test_a_crash_is_one_line() -> None:
    """The exit status and the last line that was printed are in the message."""
    with pytest.raises(child.ChildFailed, match=r"^ended with exit status 3: last words$"):
        child.call(f"{HERE}:leave", 3)
    with pytest.raises(child.ChildFailed, match=r"^ended with exit status 1: AttributeError: .* has no attribute"):
        child.call(f"{HERE}:nonesuch", stderr=subprocess.STDOUT)


def test_a_timeout_is_one_line() -> None:
    """A child that does not end in time is stopped."""
    with pytest.raises(child.ChildFailed, match=r"^no answer within 0.5 seconds$"):
        child.call(f"{HERE}:sleep", seconds=0.5)


def test_the_standard_error_is_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback is seen by whoever runs the command."""
    with pytest.raises(child.ChildFailed):
        child.call(f"{HERE}:nonesuch")
    assert "AttributeError" in capfd.readouterr().err


def test_modules_of_the_current_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A json.py there does not take the place of Python's."""
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert child.call(f"{HERE}:double", [1]).value == {"doubled": [2]}
