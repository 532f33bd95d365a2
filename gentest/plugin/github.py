"""What a run leaves on the pages of GitHub Actions: its summary, and an annotation at the line of each test that fails.

Both are the runner's to ask for, by its environment, and neither is ever an error of the run.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gentest import plugin
from gentest.plugin import replays
from gentest.report import comparison, figures, markdown, terminal
from gentest.report.annotations import Annotation, Level, commands
from gentest.results.comparison import OnDrift, Standing
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import Result

SUMMARY = "GITHUB_STEP_SUMMARY"
ANNOTATES = "pytest_github_actions_annotate_failures"
"""The name of a plugin that annotates every failing test, and every warning, by itself."""
Place = tuple[str, int]
"""A file, relative to rootdir, and a line of it, the first being 1."""


def summarize(config: pytest.Config, document: Document) -> list[str]:
    """Adds the run's page to the job's summary where there is one; a line on it if that fails."""
    path = os.environ.get(SUMMARY, "")
    if not path or not _wanted(config):
        return []
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(markdown.page(document))
    except OSError as error:
        return [f"warning: could not write {SUMMARY}: {error}"]
    return []


def annotated(
    config: pytest.Config, document: Document, places: Mapping[str, Place], failed: Collection[tuple[str, str]]
) -> list[str]:
    """The workflow commands of a run under GitHub Actions; none elsewhere, or where `gentest_github` is off.

    `places` says where each test is, `failed` which ones failed, by name and checkpoint.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true" or not _wanted(config):
        return []
    theirs = config.pluginmanager.hasplugin(ANNOTATES)
    found = [*_of_tests(document.results, failed, theirs=theirs), *_of_gate(document)]
    return commands([_placed(config, a, places) for a in found])


def _of_tests(results: Sequence[Result], failed: Collection[tuple[str, str]], *, theirs: bool) -> Iterator[Annotation]:
    """One of each test; `theirs` are left to the other plugin, which does not know what the gate decided at the end."""
    tests: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        tests.setdefault((result.test, result.checkpoint), []).append(result)
    for (test, checkpoint), those in tests.items():
        known = theirs and (test, checkpoint) in failed
        bad = [r for r in those if r.outcome in (Outcome.FAILED, Outcome.ERROR)]
        unsure = [r for r in those if r.outcome is Outcome.UNDECIDED]
        name = test.rpartition("::")[2] + (f" on {checkpoint}" if checkpoint else "")
        if (bad or (unsure and (test, checkpoint) in failed)) and not known:
            yield Annotation("error", f"gentest: {name}", _said(bad or unsure), test)
        elif unsure and not theirs:
            yield Annotation("warning", f"gentest: {name}", _said(unsure), test)


def _said(results: Sequence[Result]) -> str:
    return "\n".join(line for result in results for line in _lines(result))


def _lines(result: Result) -> Iterator[str]:
    yield terminal.headline(result)
    if result.gate is not None and result.gate.standing is not Standing.HELD:
        yield f"{figures.standing(result.gate)}: {comparison.figures(result.gate)}"
    if result.counterexample is not None and len(result.counterexample.replay) <= replays.LONGEST:
        yield f"--gentest-replay {result.counterexample.replay}"


def _of_gate(document: Document) -> Iterator[Annotation]:
    """What drifted, refused or not, and what was not looked at."""
    if document.gate is None:
        return
    level: Level = "error" if document.gate.terms.drift == OnDrift.FAIL else "warning"
    for drift in document.gate.drifted:
        yield Annotation(level, "gentest: drift", comparison.describe(drift), drift.tests[0])
    for key in document.gate.missing:
        yield Annotation("warning", "gentest: not looked at", key)


def _placed(config: pytest.Config, annotation: Annotation, places: Mapping[str, Place]) -> Annotation:
    """With the path from the repository's root, which is what GitHub goes by."""
    if annotation.file not in places:
        return replace(annotation, file="", line=0)
    file, line = places[annotation.file]
    path = Path(os.path.abspath(config.rootpath / file))
    root = _repository(config)
    named = path.relative_to(root).as_posix() if path.is_relative_to(root) else file
    return replace(annotation, file=named, line=line)


def _repository(config: pytest.Config) -> Path:
    if workspace := os.environ.get("GITHUB_WORKSPACE"):
        return Path(os.path.abspath(workspace))
    folders = (config.rootpath, *config.rootpath.parents)
    return next((folder for folder in folders if (folder / ".git").exists()), config.rootpath)


def _wanted(config: pytest.Config) -> bool:
    return bool(plugin.option(config, plugin.GITHUB)[0] != "off")
