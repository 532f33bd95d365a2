"""What a CI job of GitHub shows: an annotation for each failing test, and a summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.helpers.repository import EVERY_OUTCOME

if TYPE_CHECKING:
    from tests.helpers.repository import Repository


@pytest.mark.slow
def test_tests_that_fail_are_annotated(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error a failing test, at its file from the workspace and its line; nothing elsewhere, or where it is off."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository.path.parent))
    source = repository.write(EVERY_OUTCOME).read_text().splitlines()
    for args in ([], ["-n", "1"]):
        lines = [line for line in repository.check(*args).outlines if line.startswith("::")]
        assert len(lines) == 4
        for name, line in zip("abcd", sorted(lines), strict=True):
            assert (found := re.match(r"::error file=(.*),line=(\d+),title=gentest%3A (.*?)::(.*)", line))
            assert found[1] == f"{repository.path.name}/test_model.py"
            assert source[int(found[2]) - 1].startswith("@")
            assert found[3] == f"test_{name}"
        assert "responsive(pixels(), at_least=10.0): violated by " in sorted(lines)[0]
    assert not any(line.startswith("::") for line in repository.check("--gentest-github", "off").outlines)
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert not any(line.startswith("::") for line in repository.check().outlines)


def test_another_plugin_that_annotates_is_left_to_it(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pytest-github-actions-annotate-failures is active, no failure is said twice."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    repository.write(EVERY_OUTCOME)
    (repository.path / "pytest_github_actions_annotate_failures.py").write_text("")
    monkeypatch.syspath_prepend(str(repository.path))
    result = repository.check("-p", "pytest_github_actions_annotate_failures")
    assert not any(line.startswith("::error") for line in result.outlines)


def test_an_undecided_rate_is_a_warning(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only warns is annotated as a warning, and as an error where it fails its test."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    rate = "@gentest.between(gentest.brightness(), tolerance=0.3).at_rate(0.99, slack=0.001)\n"
    repository.write(f"{rate}def test_a(generator):\n    return generator\n")
    small = ("--gentest-budget", "16", "-W", "ignore")
    for flag, level in (("warn", "warning"), ("fail", "error")):
        lines = repository.check(*small, "--gentest-undecided", flag).outlines
        (line,) = [line for line in lines if line.startswith("::")]
        assert line.startswith(f"::{level} file=test_model.py,line=")
        assert "undecided between" in line


def test_a_summary_that_cannot_be_written_is_a_line(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends as it would; what was in the summary stays, and `off` adds nothing."""
    repository.write("@HOLDS\ndef test_a(generator):\n    return generator\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repository.path / "nowhere" / "summary.md"))
    result = repository.check()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["warning: could not write GITHUB_STEP_SUMMARY: *"])
    summary = repository.path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    repository.check("--gentest-github", "off")
    assert summary.read_text() == "before\n"
    repository.check()
    assert summary.read_text(encoding="utf-8").startswith("before\n### gentest\n")
