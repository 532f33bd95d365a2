"""`gentest doctor` in a folder with a test of two properties, and what it finds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gentest import cli
from gentest.cli import child, doctor_run

OK, PROBLEM = "ok", "problem"
"""The first words of a row."""


CONFTEST = """
import gentest
import pytest


@pytest.fixture(scope="session")
def generator():
    raise AssertionError("no fixture is asked for")
"""


TESTS = """
import gentest


@gentest.well_formed()
@gentest.between(gentest.brightness(), tolerance=1)
def test_a(generator):
    return generator


def test_other():
    raise AssertionError("no test is run")
"""


Doctor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def doctor(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """The command in that folder; its pytest runs in this process, where torch is loaded already."""
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "HF_", "CUDA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.chdir(folder)

    def call(function: str, arguments: list[str], **limits: Any) -> child.Reply:
        runs: list[pytest.RunResult] = []

        def main(words: list[str], plugins: list[object]) -> int:
            runs.append(pytester.runpytest_inprocess(*words, plugins=plugins))
            return int(runs[-1].ret)

        with monkeypatch.context() as patch:
            patch.setattr(doctor_run.pytest, "main", main)
            value = doctor_run.examine(arguments)
        return child.Reply(json.loads(json.dumps(value)), runs[0].stdout.str() + runs[0].stderr.str())

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(child, "call", call)
        status = cli.main(["doctor", *arguments])
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


def found(doctor: Doctor, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and the last finding of each thing."""
    done = doctor("--json", *arguments)
    said = json.loads(done.stdout[done.stdout.index('{\n "well"') :])
    assert said["well"] is (done.returncode == 0)
    assert all(f["fix"] for f in said["findings"] if f["stops"] and f["about"] not in ("tests", "clip"))
    return done.returncode, {f["about"]: f for f in said["findings"]}
