"""The pages of GitHub Actions: a run's summary, and an annotation at the line of each failing test.

The environment of the job asks for both. Neither ever fails a run.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gentest.plugin import replays
from gentest.plugin.options import RunOptions
from gentest.report import facts, markdown, run_facts
from gentest.report.annotations import Annotation, Level, commands
from gentest.results.document import Document
from gentest.results.outcome import Outcome, Standing
from gentest.results.result import Result
from gentest.results.settings import OnDrift

SUMMARY = "GITHUB_STEP_SUMMARY"
ANNOTATING_PLUGIN = "pytest_github_actions_annotate_failures"
"""A plugin that annotates every failing test, and every warning, by itself."""
Place = tuple[str, int]
"""A file, relative to rootdir, and a line in it, counted from 1."""


def write_summary(options: RunOptions, document: Document) -> list[str]:
    """Add the run's page to the job's summary, if there is one. A line of warning if that fails."""
    path = os.environ.get(SUMMARY, "")
    if not path or not options.github:
        return []
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(markdown.page(document))
    except OSError as error:
        return [f"warning: could not write {SUMMARY}: {error}"]
    return []


def annotation_commands(
    config: pytest.Config,
    options: RunOptions,
    document: Document,
    places: Mapping[str, Place],
    failed: Collection[tuple[str, str]],
) -> list[str]:
    """The workflow commands that annotate a run under GitHub Actions; none elsewhere, or if `gentest_github` is off.

    `places` says where each test is, `failed` which ones failed, by name and checkpoint.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true" or not options.github:
        return []
    annotated = config.pluginmanager.hasplugin(ANNOTATING_PLUGIN)
    found = [*_of_tests(document.results, failed, annotated=annotated), *_of_gate(document)]
    return commands([_placed(config, annotation, places) for annotation in found])


def _of_tests(
    results: Sequence[Result], failed: Collection[tuple[str, str]], *, annotated: bool
) -> Iterator[Annotation]:
    """An annotation for each test. Failed tests that another plugin has `annotated` get no second one."""
    tests: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        tests.setdefault((result.test, result.checkpoint), []).append(result)
    for (test, checkpoint), of_test in tests.items():
        has_failed = (test, checkpoint) in failed
        bad = [r for r in of_test if r.outcome in (Outcome.FAILED, Outcome.ERROR)]
        undecided = [r for r in of_test if r.outcome is Outcome.UNDECIDED]
        name = test.rpartition("::")[2] + (f" on {checkpoint}" if checkpoint else "")
        if (bad or (undecided and has_failed)) and not (annotated and has_failed):
            yield Annotation("error", f"gentest: {name}", _text(bad or undecided), test)
        elif undecided and not annotated:
            yield Annotation("warning", f"gentest: {name}", _text(undecided), test)


def _text(results: Sequence[Result]) -> str:
    return "\n".join(line for result in results for line in _lines(result))


def _lines(result: Result) -> Iterator[str]:
    yield facts.headline(result)
    if result.gate is not None and result.gate.standing is not Standing.HELD:
        yield f"{facts.standing(result.gate)}: {facts.gate_figures(result.gate)}"
    if result.replay and len(result.replay) <= replays.LONGEST:
        yield f"--gentest-replay {result.replay}"


def _of_gate(document: Document) -> Iterator[Annotation]:
    """An annotation for each drift, and for each property of the baseline that did not run."""
    if document.gate is None:
        return
    level: Level = "error" if document.gate.terms.drift is OnDrift.FAIL else "warning"
    for drift in document.gate.drifted:
        own: Level = level if drift.tolerance is None else "error"
        what = "drift" if drift.tolerance is None else "level"
        yield Annotation(own, f"gentest: {what}", run_facts.drift(drift), drift.tests[0])
    for key in document.gate.missing:
        yield Annotation("warning", "gentest: not looked at", key)


def _placed(config: pytest.Config, annotation: Annotation, places: Mapping[str, Place]) -> Annotation:
    """The annotation with a path from the root of the repository, which GitHub expects."""
    if annotation.file not in places:
        return replace(annotation, file="", line=0)
    file, line = places[annotation.file]
    path = Path(os.path.abspath(config.rootpath / file))
    root = _repository(config)
    return replace(annotation, file=path.relative_to(root).as_posix() if path.is_relative_to(root) else file, line=line)


def _repository(config: pytest.Config) -> Path:
    if workspace := os.environ.get("GITHUB_WORKSPACE"):
        return Path(os.path.abspath(workspace))
    folders = (config.rootpath, *config.rootpath.parents)
    return next((folder for folder in folders if (folder / ".git").exists()), config.rootpath)
