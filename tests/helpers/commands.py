"""The command `gentest`, run in a folder with a blessed baseline, and results to give it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gentest import cli
from gentest.results.result import Counterexample, Result, Verdict
from tests.helpers.handmade import baseline, look, outcomes, result, written

N = 256
GOOD = result(outcomes(N), seen=look())
HELD = replace(result(outcomes(N), seen=look()))
WORSE = result(outcomes(N, lost=N), seen=look())
SHORT = result(outcomes(64), seen=look())
DRIFTED = result(outcomes(N), seen=look(level=3.0))
BROKEN = replace(result(None, verdict=Verdict.ERROR), message="it broke")
FOUND = Counterexample(
    {"seed": "1f"}, -0.2, {"brightness()": (0.1, 0.5, 0.2)}, (0.0, 0.5, 1.0), (), 0, 8, 0.4, "between:1f"
)
VIOLATED = replace(
    GOOD, verdict=Verdict.VIOLATED, search=replace(GOOD.search, violations=3, counterexample=FOUND, worst=FOUND)
)

Run = Callable[..., tuple[int, str, str]]


def called(arguments: Sequence[str], captured: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The exit status of the command `gentest` in this process, its output and its errors."""
    try:
        status = cli.main(arguments)
    except SystemExit as error:
        status = int(str(error.code))
    printed = captured.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, run where `blessed.json` is a baseline of `GOOD`: exit status, output, error."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "blessed.json", baseline(GOOD))

    def command(*arguments: str) -> tuple[int, str, str]:
        return called(arguments, capsys)

    return command


def gated(run: Run, results: list[Result], *arguments: str) -> tuple[int, str, str]:
    """`gentest gate` of these results."""
    written(Path("results.json"), results)
    return run("gate", "results.json", "--baseline", "blessed.json", *arguments)


def misuse(said: tuple[int, str, str], *words: str) -> None:
    """Asserts exit status 2, nothing on standard output, and one line of these words."""
    status, out, err = said
    assert status == 2
    assert out == ""
    assert err.startswith("gentest: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err
