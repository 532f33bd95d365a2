"""Mutation testing: the script sees what tests do not, and what they do, and knows a mutant by what it says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="needs mutmut: pip install -e '.[test]'")

SOURCE = """
class Half:
    def __init__(self, whole):
        self.whole = whole

    @property
    def value(self):
        return self.whole / 2
"""
WRONG = "from gentest.half import Half\n\ndef test_half():\n    assert Half(6).value == 4\n"
LENIENT = "from gentest.half import Half\n\ndef test_half():\n    assert Half(6).value > 0\n"


def run(folder: Path, tests: str, explained: str = "") -> subprocess.CompletedProcess[str]:
    """The script on a package of one module, in a repository of its own."""
    for name, text in {
        "gentest/__init__.py": "",
        "gentest/half.py": SOURCE,
        "tests/test_half.py": tests,
        "tests/audit/mutation.py": Path(__file__)
        .with_name("mutation.py")
        .read_text(encoding="utf-8")
        .replace('"gate/decision.py": [', '"half.py": ["test_half.py"],\n    "gate/decision.py": ['),
        "tests/audit/equivalent_mutants.txt": explained,
        "conftest.py": "",
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = ['-p', 'no:gentest']\nmarkers = ['slow']\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "tests/audit/mutation.py", "half.py", "--scratch", str(folder / "scratch")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)


def test_what_no_test_notices_survives_unless_it_is_explained(tmp_path: Path) -> None:
    """A test that asks too little leaves survivors, named by their lines; those that are explained are passed over, and
    an explanation of what is not there is said."""
    explained = "half.py Half.value\n- ...\n+ ...3\nNobody minds.\n\nhalf.py Half.other\n- 1\n+ 2\nIt is gone."
    done = run(tmp_path, LENIENT, explained)
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(("survived", "explained"))] == [
        "survived: half.py Half.value",
        "explained, and not there or killed: half.py Half.other",
    ]
    assert "\n- return self.whole / 2\n+ return self.whole * 2\n" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["half.py", "3", "1", "0", "2", "1", "33.3%"]
    kept = json.loads((tmp_path / "scratch/half/results.json").read_text(encoding="utf-8"))["found"]
    assert [(found["status"], found["by"]) for found in kept.values()] == [
        ("killed", "tests/test_half.py::test_half"),
        ("survived", ""),
    ]


def test_tests_that_fail_by_themselves_are_said(tmp_path: Path) -> None:
    """Nothing is called killed by a test that fails without any mutant."""
    done = run(tmp_path, WRONG)
    assert (done.returncode, done.stdout.strip()) == (
        1,
        "half.py: its tests fail without any mutant: tests/test_half.py::test_half",
    )
