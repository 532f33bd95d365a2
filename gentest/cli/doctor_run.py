"""The pytest plugin of `gentest doctor`: what pytest makes of a folder, without running a test of it.

It is loaded with `-p` in a pytest process of its own, which collects only. What it finds goes, as JSON, to the file
that `--gentest-examine` names: what is said of the device first, so that it is there where the rest breaks.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Generator as Iteration
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gentest import plugin
from gentest._support.files import write_whole
from gentest._support.printable import first_line
from gentest.attributes.clip import ClipAttribute, ClipClasses, ClipEmbedding
from gentest.attributes.clip.loading import ClipSource, find
from gentest.attributes.prompts import PromptCache
from gentest.cli.doctor_checks import NOTE, OK, PROBLEM, Finding, Run, conflicts
from gentest.engine.evidence.context import resolve_device
from gentest.errors import ClipError, GentestError
from gentest.plugin.runner import Runner
from gentest.plugin.shared_evidence import definitions_of
from gentest.plugin.xdist_workers import VISIBLE
from gentest.properties.definition import Definition
from gentest.results.settings import ATTRIBUTE, Values, settings

OPTION = "--gentest-examine"
GIB = 2**30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, metavar="FILE", help="what `gentest doctor` asks; not for people")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iteration[None, Any, Any]:
    answer = config.getoption(OPTION)
    if answer:
        examining = Examining(config, Path(answer))
        examining.write(whole=False)
        config.pluginmanager.register(examining, "gentest-examining")
    return (yield)


class Examining:
    """Registered as a plugin for the one run."""

    def __init__(self, config: pytest.Config, answer: Path) -> None:
        self.config = config
        self.answer = answer
        self.findings = [device(plugin.option(config, plugin.DEVICE)[0])]
        self.workers = getattr(config.option, "numprocesses", None)
        if self.workers:  # workers would collect, and are of no use here
            config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
        self._broken: list[pytest.CollectReport] = []

    def write(self, *, whole: bool) -> None:
        said = {"whole": whole, "findings": [f.to_json() for f in self.findings]}
        write_whole(self.answer, json.dumps(said))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._broken.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        runner: Any = self.config.pluginmanager.get_plugin("gentest-runner")
        assert isinstance(runner, Runner)
        items = [item for item in getattr(session, "items", []) if definitions_of(item)]
        values = runner.values()
        self.findings += tests(items, self._broken, self.config)
        self.findings += clips(items, values, plugin.option(self.config, PROMPTS)[0], self.config)
        self.findings += caches(self.config, values)
        self.findings += conflicts(self._run(values))
        self.write(whole=True)

    def _run(self, values: Values) -> Run:
        option = self.config.option
        filters = [*self.config.getini("filterwarnings"), *(self.config.known_args_namespace.pythonwarnings or [])]
        return Run(
            plugins=frozenset(
                dist.metadata["name"].lower() for _, dist in self.config.pluginmanager.list_plugin_distinfo()
            ),
            workers=self.workers or 0,
            reruns=int(getattr(option, "reruns", None) or _ini(self.config, "reruns") or 0),
            count=int(getattr(option, "count", None) or 1),
            forked=bool(getattr(option, "forked", False)),
            timeout=_seconds(self.config),
            strict_warnings=any(text.split(":")[0].strip() == "error" and text.count(":") < 1 for text in filters),
            undecided=plugin.option(self.config, UNDECIDED)[0] or "fail",
            on_cuda=_on_cuda(values),
            n_gpus=torch.cuda.device_count() if torch.cuda.is_available() else 0,
            baseline=plugin.option(self.config, plugin.BASELINE)[0] is not None,
        )


PROMPTS, UNDECIDED = (next(o for o in plugin.OPTIONS if o.name == name) for name in ("prompts", "undecided"))


def device(name: str | None) -> Finding:
    """The device of a run: the one asked for, or what is taken where none is."""
    visible = os.environ.get(VISIBLE)
    seen = f"; {VISIBLE}={visible}" if visible is not None else ""
    try:
        taken = resolve_device(name)
    except GentestError as error:
        return Finding("device", PROBLEM, f"{error}{seen}", "give another --gentest-device, or none")
    asked = "" if name is None else " (asked for)"
    if taken.type == "cuda":
        gpu = torch.cuda.get_device_properties(taken)
        count = torch.cuda.device_count()
        said = f"{taken}{asked}: {gpu.name}, {gpu.total_memory / GIB:.0f} GiB, of {count}{seen}"
        return Finding("device", OK, said)
    said = f"{taken}{asked}: {torch.get_num_threads()} threads{seen}"
    if name is None and taken.type == "cpu" and shutil.which("nvidia-smi"):
        why = "torch was built without CUDA" if torch.version.cuda is None else "CUDA does not start"
        return Finding("device", NOTE, f"{said}; there is a GPU, but {why}", "install torch for your CUDA: pytorch.org")
    return Finding("device", OK, said)


def tests(items: Sequence[pytest.Item], broken: Sequence[pytest.CollectReport], config: pytest.Config) -> list[Finding]:
    """How many tests there are, and what of the folder could not be collected."""
    found = []
    for report in broken:
        text = str(report.longrepr)
        errors = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
        said = errors[-1] if errors else (text.strip().splitlines() or ["it cannot be collected"])[-1]
        found.append(Finding("tests", PROBLEM, f"{report.nodeid or config.rootpath}: {said}", ""))
    n = sum(len(definitions_of(item)) for item in items)
    said = f"{len(items)} test{'s' * (len(items) != 1)} of gentest, with {n} propert{'y' if n == 1 else 'ies'}"
    if items or broken:
        return [Finding("tests", OK, said), *found] if items else found
    return [Finding("tests", NOTE, said, "gentest init writes some to start with")]


@dataclass(frozen=True)
class _Use:
    """A test that asks for a CLIP."""

    test: str
    spec: str | None
    prompts: tuple[str, ...]


def _uses(items: Sequence[pytest.Item], values: Values, config: pytest.Config) -> Iterator[_Use]:
    given = plugin.option(config, next(o for o in plugin.OPTIONS if o.name == "clip"))
    for item in items:
        of_test: settings | None = getattr(plugin.function_of(item), ATTRIBUTE, None)
        session = of_test.over(values).clip if of_test is not None and not given[1] else values.clip
        for thing in _measured(definitions_of(item)):
            if isinstance(thing, (ClipAttribute, ClipClasses, ClipEmbedding)):
                yield _Use(item.nodeid, thing.model or session, getattr(thing, "prompts", ()))


def _measured(value: object) -> Iterator[object]:
    """Everything in the arguments of properties, and of the properties within them."""
    if isinstance(value, Definition):
        yield from _measured(value.arguments)
    elif isinstance(value, Mapping):
        yield from (thing for part in value.values() for thing in _measured(part))
    elif isinstance(value, (list, tuple)):
        yield from (thing for part in value for thing in _measured(part))
    else:
        yield value


def clips(items: Sequence[pytest.Item], values: Values, prompts: Path | None, config: pytest.Config) -> list[Finding]:
    """Whether the weights of each CLIP that is asked for are here, and how to have them."""
    uses = list(_uses(items, values, config))
    found = []
    if without := [use.test for use in uses if use.spec is None]:
        do = "give --gentest-clip MODEL:PRETRAINED, such as ViT-B-32:laion2b_s34b_b79k"
        found.append(Finding("clip", PROBLEM, f"{without[0]} asks for a CLIP, and none is chosen", do))
    specs = dict.fromkeys([use.spec for use in uses if use.spec is not None] + ([values.clip] if values.clip else []))
    found += [_weights(spec, used=any(use.spec == spec for use in uses)) for spec in specs]
    if prompts is not None:
        found.append(_prompts(prompts, [text for use in uses for text in use.prompts], config))
    if not found:
        found.append(Finding("clip", OK, "no test asks for one"))
    return found


def _weights(spec: str, *, used: bool) -> Finding:
    try:
        source = find(spec)
    except GentestError as error:
        return Finding("clip", PROBLEM, first_line(error), "")
    if source.weights is not None:
        size = source.weights.stat().st_size / 2**20
        return Finding("clip", OK, f"{spec}: weights are here, {size:.0f} MB at {source.weights}")
    if spec.startswith(("hf-hub:", "local-dir:")) and not source.hub_only:
        return Finding("clip", OK, f"{spec}: is here")
    said = f"{spec}: its weights are not here; the first run downloads them"
    hub = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    if hub:
        said = f"{spec}: its weights are not here, and HF_HUB_OFFLINE forbids to download them"
    return Finding("clip", PROBLEM if hub and used else NOTE, said, f"beforehand: {fetch(source)}")


def fetch(source: ClipSource) -> str:
    """The command that has a CLIP's weights in the cache."""
    model, *tag = source.arguments
    call = f"open_clip.create_model({model!r}" + (f", pretrained={tag[0]!r})" if tag else ")")
    return f'python -c "import open_clip; {call}"'


def _prompts(path: Path, wanted: Iterable[str], config: pytest.Config) -> Finding:
    """Whether every prompt stands in the file, of whichever model."""
    if not path.exists():
        return Finding("prompts", OK, f"{path.name}: is made by this run")
    try:
        kept = PromptCache.load(path).prompts
    except ClipError as error:
        return Finding("prompts", PROBLEM, str(error), "make it anew with --gentest-update-prompts")
    missing = [text for text in dict.fromkeys(wanted) if text not in kept]
    if missing and not plugin.flag(config, "update-prompts"):
        said = f"{path.name} lacks {len(missing)} of the prompts, such as {missing[0]!r}"
        return Finding("prompts", PROBLEM, said, "run once with --gentest-update-prompts, and commit the file")
    return Finding("prompts", OK, f"{path.name}: no text tower is needed")


def caches(config: pytest.Config, values: Values) -> list[Finding]:
    """Whether what a run keeps can be written."""
    cache = getattr(config, "cache", None)
    if cache is None:
        said = "pytest's cache is off (-p no:cacheprovider): a probe that failed is not looked at first the next time"
        found = [Finding("cache", NOTE, said)]
    else:
        path = Path(config.getini("cache_dir"))
        found = [_writable("cache", config.rootpath / path, "a probe that failed is not looked at first the next time")]
    if values.cache is not None:
        found.append(_writable("measurements", Path(values.cache), "--gentest-cache needs a folder that it can write"))
    return found


def _writable(about: str, folder: Path, otherwise: str) -> Finding:
    place = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            return Finding(about, OK, str(folder))
    except OSError as error:
        state = NOTE if about == "cache" else PROBLEM
        return Finding(about, state, f"{folder}: cannot be written ({error.strerror})", otherwise)


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (KeyError, ValueError):
        return None


def _seconds(config: pytest.Config) -> float:
    """The limit of pytest-timeout for a test; 0 where there is none."""
    given = getattr(config.option, "timeout", None), os.environ.get("PYTEST_TIMEOUT"), _ini(config, "timeout")
    for value in given if config.pluginmanager.hasplugin("timeout") else ():
        if value not in (None, ""):
            try:
                return float(value)
            except (TypeError, ValueError):
                return 0.0
    return 0.0


def _on_cuda(values: Values) -> bool:
    try:
        return resolve_device(values.device).type == "cuda"
    except GentestError:
        return False
