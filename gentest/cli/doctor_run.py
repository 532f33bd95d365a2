"""Checks of `gentest doctor` that need torch and pytest: what would stop a run of pytest in a folder.

The command calls `examine` in a child process, where pytest collects the tests and runs none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator as Iteration
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gentest._support.printable import first_line
from gentest.attributes.clip import ClipAttribute, ClipClasses, ClipEmbedding
from gentest.attributes.clip.loading import ClipSource, find_source
from gentest.attributes.prompts import PromptCache
from gentest.cli.doctor import Finding, raised_in
from gentest.errors import ClipError, GentestError
from gentest.generators.modules import resolve_device
from gentest.plugin import options
from gentest.plugin.items import settings_of
from gentest.plugin.shared_evidence import definitions_of
from gentest.properties.definition import Declaration
from gentest.results.settings import Values

VISIBLE = "CUDA_VISIBLE_DEVICES"


def examine(arguments: list[str]) -> dict[str, Any]:
    """The findings of a run of pytest with these arguments, whether it finished, and its exit status, as JSON."""
    examiner = Examiner()
    try:
        status: object = int(pytest.main(arguments, plugins=[examiner]))
    except SystemExit as error:  # from a conftest.py
        status = error.code
    return {"findings": [f.to_json() for f in examiner.findings], "finished": examiner.finished, "status": status}


class Examiner:
    """A pytest plugin that collects findings. The device comes first, so that it is known if the rest fails."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.finished = False
        self._workers: int | str = 0
        self._broken: list[pytest.CollectReport] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Iteration[None, Any, Any]:
        self.findings.append(device(options.value_of(config, "device")))
        self._workers = getattr(config.option, "numprocesses", None) or 0
        if self._workers:  # xdist would collect in its workers, without this plugin
            config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
        return (yield)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._broken.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config = session.config
        items = [item for item in getattr(session, "items", []) if definitions_of(item)]
        values = options.of_run(config).values()
        self.findings += tests(items, self._broken, config)
        self.findings += clips(items, values, config)
        self.findings += caches(values)
        self.findings += conflicts(config)
        self.finished = True


def conflicts(config: pytest.Config) -> list[Finding]:
    """A problem for each option of another plugin that spoils a run.

    pytest-randomly, pytest-cov, pytest-socket, pytest-asyncio and Hypothesis's profiles were tried, and change no
    verdict.
    """
    findings = []
    if getattr(config.option, "forked", False):
        message = "pytest-forked: with --forked a test's result is lost with its process"
        findings.append(Finding("plugins", message, stops=True, fix="run without --forked"))
    if int(getattr(config.option, "count", None) or 1) > 1 and options.of_run(config).baseline is not None:
        message = "pytest-repeat: each test is run under names that the baseline does not have"
        findings.append(Finding("plugins", message, stops=True, fix="use --count 1"))
    return findings


def device(name: str | None) -> Finding:
    """The device that a run would use: `name`, or the default if it is None."""
    visible = os.environ.get(VISIBLE)
    environment = f"; {VISIBLE}={visible}" if visible is not None else ""
    try:
        chosen = resolve_device(name)
    except GentestError as error:
        return Finding("device", f"{error}{environment}", stops=True, fix="give another --gentest-device, or none")
    if chosen.type == "cuda":
        return Finding("device", f"{chosen}: {torch.cuda.get_device_properties(chosen).name}{environment}")
    return Finding("device", f"{chosen}{environment}")


def tests(items: Sequence[pytest.Item], broken: Sequence[pytest.CollectReport], config: pytest.Config) -> list[Finding]:
    """The number of tests and properties, and a problem for each file that pytest cannot collect."""
    problems = []
    for report in broken:
        text = str(report.longrepr)
        message = raised_in(text) or (text.strip().splitlines() or ["it cannot be collected"])[-1]
        problems.append(Finding("tests", f"{report.nodeid or config.rootpath}: {message}", stops=True))
    n = sum(len(definitions_of(item)) for item in items)
    message = f"{len(items)} test{'s' * (len(items) != 1)} of gentest, with {n} propert{'y' if n == 1 else 'ies'}"
    if items:
        return [Finding("tests", message), *problems]
    return problems or [Finding("tests", message, fix="gentest init MODEL writes some")]


@dataclass(frozen=True)
class _ClipUse:
    """A test that measures with a CLIP."""

    test: str
    model: str | None
    """None if neither the test nor the run chooses one."""
    prompts: tuple[str, ...]


def _clip_uses(items: Sequence[pytest.Item], config: pytest.Config) -> Iterator[_ClipUse]:
    for item in items:
        model = options.of_run(config).values(settings_of(item)).clip
        for measure in _arguments(definitions_of(item)):
            if isinstance(measure, (ClipAttribute, ClipClasses, ClipEmbedding)):
                yield _ClipUse(item.nodeid, measure.model or model, getattr(measure, "prompts", ()))


def _arguments(value: object) -> Iterator[object]:
    """All arguments of properties, and of the properties among those arguments."""
    if isinstance(value, Declaration):
        yield from _arguments(value.arguments)
    elif isinstance(value, Mapping):
        yield from (argument for part in value.values() for argument in _arguments(part))
    elif isinstance(value, (list, tuple)):
        yield from (argument for part in value for argument in _arguments(part))
    else:
        yield value


def clips(items: Sequence[pytest.Item], values: Values, config: pytest.Config) -> list[Finding]:
    """A finding for each CLIP that the tests or the run ask for, and one for the file of prompts."""
    uses = list(_clip_uses(items, config))
    findings = []
    if without := [use.test for use in uses if use.model is None]:
        fix = "give --gentest-clip MODEL:PRETRAINED, such as ViT-B-32:laion2b_s34b_b79k"
        findings.append(Finding("clip", f"{without[0]} asks for a CLIP, and none is chosen", stops=True, fix=fix))
    used = dict.fromkeys(use.model for use in uses if use.model is not None)
    models = dict.fromkeys([*used, *([values.clip] if values.clip else [])])
    findings += [_weights(model, used=model in used) for model in models]
    prompts = options.of_run(config).prompts
    if prompts is not None:
        needed = [text for use in uses for text in use.prompts]
        findings.append(prompts_finding(prompts, needed, updates=options.of_run(config).update_prompts))
    return findings


def _weights(model: str, *, used: bool) -> Finding:
    """A finding on the weights of a CLIP. Tests that use it stop if they are missing and cannot be downloaded."""
    try:
        source = find_source(model)
    except GentestError as error:
        return Finding("clip", first_line(error), stops=True)
    if source.weights is not None:
        return Finding("clip", f"{model}: weights are here, at {source.weights}")
    if model.startswith(("hf-hub:", "local-dir:")) and not source.hub_only:
        return Finding("clip", f"{model}: is here")
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    then = "and HF_HUB_OFFLINE forbids to download them" if offline else "and the first run downloads them"
    fix = f"download them beforehand: {download_command(source)}"
    return Finding("clip", f"{model}: its weights are not here, {then}", stops=offline and used, fix=fix)


def download_command(source: ClipSource) -> str:
    """The shell command that downloads a CLIP's weights."""
    model, *tag = source.arguments
    call = f"open_clip.create_model({model!r}" + (f", pretrained={tag[0]!r})" if tag else ")")
    return f'python -c "import open_clip; {call}"'


def prompts_finding(path: Path, needed: Iterable[str], *, updates: bool) -> Finding:
    """A finding on the prompts that the file lacks an embedding for. With `updates` the run adds them."""
    if not path.exists():
        return Finding("prompts", f"{path.name}: this run makes it")
    try:
        known = PromptCache.load(path).prompts
    except ClipError as error:
        return Finding("prompts", str(error), stops=True, fix="make it again with --gentest-update-prompts")
    missing = [text for text in dict.fromkeys(needed) if text not in known]
    if missing and not updates:
        message = f"{path.name} lacks {len(missing)} of the prompts, such as {missing[0]!r}"
        fix = "run once with --gentest-update-prompts, and commit the file"
        return Finding("prompts", message, stops=True, fix=fix)
    return Finding("prompts", f"{path.name}: no text tower is needed")


def caches(values: Values) -> list[Finding]:
    """A problem if the folder of measurements cannot be written."""
    if values.cache is None:
        return []
    folder = Path(values.cache)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return []
    except OSError as error:
        fix = "--gentest-cache needs a folder that it can write"
        return [Finding("measurements", f"{folder}: cannot be written ({error.strerror})", stops=True, fix=fix)]
