"""A run that measures tolerances instead of checking: `gentest suggest` starts pytest with `--gentest-suggest FILE`.

FILE holds the request as JSON, and names the file for the answer. pytest resolves the fixture as in any run: the folder
appears to hold one more module, which has a single test that uses the fixture. Conftest files, checkpoints, scopes and
plugins therefore work as usual, and nothing is written into the folder. gentest takes back what an ini file asks of
other runs: workers, a selection of tests, reports.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Generator as Iteration
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gentest import attributes
from gentest._support.files import read_json, write_whole
from gentest._support.printable import counted, first_line
from gentest.attributes import Attribute, Feature, pixels
from gentest.attributes.clip import clip, clip_embedding
from gentest.engine.cluster.actors import shared_context
from gentest.engine.suggest.suggestion import Imported, Wish, default_attributes, measure
from gentest.errors import GentestError
from gentest.generators.generator import Generator
from gentest.plugin.runner import Runner
from gentest.plugin.suggested_file import file_text
from gentest.properties.definition import AtRate
from gentest.report.progress import Watch

MODULE = "gentest_suggests"
NEUTRAL = {"numprocesses": 0, "distload": False, "dist": "no", "tx": [], "xmlpath": None, "collectonly": False}
"""Options of pytest, of its JUnit report and of pytest-xdist, with their values in a plain run."""
MOST_BYTES = 1 << 20
"""A larger request is refused."""


@dataclass(frozen=True)
class SuggestRequest:
    """A request of `gentest suggest`."""

    folder: Path
    answer: Path
    """The file for the answer."""
    fixture: str
    wish: Wish
    attributes: tuple[str, ...]
    """Names of gentest's attributes, and places `MODULE:NAME` of the user's own."""
    prompts: tuple[tuple[str, ...], ...]
    """CLIP prompts: a text each, or a text and the one that it is measured against."""

    @classmethod
    def read(cls, path: Path) -> SuggestRequest:
        """Read the file that the command wrote. Raises `InvalidArgument`, or what a wrong file makes Python raise."""
        value = read_json(path, most_bytes=MOST_BYTES)
        return cls(
            folder=Path(value["folder"]),
            answer=Path(value["answer"]),
            fixture=value["fixture"],
            wish=Wish(AtRate(value["rate"], value["confidence"]), value["n"], value["seed"]),
            attributes=tuple(value["attributes"]),
            prompts=tuple(tuple(texts) for texts in value["prompts"]),
        )


@dataclass(frozen=True)
class SuggestAnswer:
    """The answer: the text of a test file, or an error in one line."""

    text: str = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    shown: bool = False
    """The output of pytest says more about the error."""


def begin(config: pytest.Config, path: Path) -> None:
    """Turn a run into one that measures. It has to happen before any plugin acts on the options of an ini file."""
    try:
        request = SuggestRequest.read(path)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise pytest.UsageError(f"{path}: {first_line(error)}") from None
    config.args[:] = [str(request.folder)]
    for name, value in NEUTRAL.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    config.pluginmanager.register(SuggestRun(config, request), "gentest-suggest")


class SuggestRun:
    """Registered as a plugin in a run that measures."""

    def __init__(self, config: pytest.Config, request: SuggestRequest) -> None:
        self.config = config
        self.request = request
        self._answer = SuggestAnswer()

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Collect the folder even if an ini file ignores it."""
        folder = self.request.folder
        return False if collection_path == folder or collection_path in folder.parents else None

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_directory(self, path: Path) -> Iteration[None, Any, Any]:
        collector = yield
        if path == self.request.folder and collector is not None:
            module = _Module.from_parent(collector, path=path / f"{MODULE}.py", run=self)
            collector.collect = lambda: [module]
        return collector

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iteration[None, Any, Any]:
        result = yield
        items[:] = [item for item in items if isinstance(item.parent, _Module)]
        if len(items) > 1:
            ids = ", ".join(item.callspec.id for item in items if isinstance(item, pytest.Function))
            gives = f"the fixture {self.request.fixture!r} gives {len(items)} generators ({ids})"
            self._answer = SuggestAnswer(error=f"{gives}; choose one, such as with `-- -k ID`")
            items.clear()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iteration[None, Any, Any]:
        report = yield
        error = call.excinfo.value if call.excinfo is not None else None
        if error is not None and self._answer == SuggestAnswer():
            self._answer = self._failure(error, call.when)
        return report

    def _failure(self, error: BaseException, when: str) -> SuggestAnswer:
        fixture, folder = self.request.fixture, self.request.folder
        if isinstance(error, pytest.skip.Exception):
            return SuggestAnswer(error=f"the fixture {fixture!r} skips: {error.msg}")
        missing = error.argname if isinstance(error, pytest.FixtureLookupError) else None
        if missing == fixture:
            advice = "write one in its conftest.py, or name another with --fixture"
            return SuggestAnswer(error=f"no fixture {fixture!r} in {folder}: {advice}")
        what = "raised" if when == "setup" else "could not be measured:"
        return SuggestAnswer(
            error=f"the fixture {fixture!r} {what} {type(error).__name__}: {missing or first_line(error)}", shown=True
        )

    def measure(self, request: pytest.FixtureRequest) -> None:
        """Measure on the generator that the fixture gives."""
        generator = request.getfixturevalue(self.request.fixture)
        if not isinstance(generator, Generator):
            gave = f"the fixture {self.request.fixture!r} gave {generator!r:.100} (type={type(generator).__name__})"
            self._answer = SuggestAnswer(error=f"{gave}; expected a gentest.Generator")
            return
        capture: Any = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            try:
                self._answer = self._suggest(generator)
            except GentestError as error:
                self._answer = SuggestAnswer(error=str(error))

    def _suggest(self, generator: Generator) -> SuggestAnswer:
        asked = self.request
        runner: Any = self.config.pluginmanager.get_plugin("gentest-runner")
        assert isinstance(runner, Runner)
        with Watch("suggest", sys.__stderr__) as watch:
            context = shared_context(runner.options.values(), prompts=runner.prompts, watch=watch.images)
            generator.to(context.device)
            own = [Imported.of(place) for place in asked.attributes if ":" in place]
            chosen: list[Attribute] = [getattr(attributes, name)() for name in asked.attributes if ":" not in name]
            chosen += own
            if not chosen:
                chosen = default_attributes(context, context.subject(generator))
            chosen += [clip(*texts) for texts in asked.prompts]
            features: list[Feature] = [pixels(), *([clip_embedding()] if asked.prompts else [])]
            measured = measure(asked.wish, generator, context, attributes=chosen, features=features, watch=watch.probes)
        notes = [f"nothing for {s.property}: {s.why}" for s in measured if not s.line]
        notes.append(f"{counted(context.meter.images, 'image')} on {context.device}")
        text = file_text(
            measured,
            asked.wish,
            fixture=asked.fixture,
            measured_on=repr(generator),
            modules=[attribute.module for attribute in own],
        )
        return SuggestAnswer(text, tuple(notes))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        write_whole(self.request.answer, json.dumps(asdict(self._answer)))


class _Module(pytest.Module):
    """A module without a file, and its only test."""

    def __init__(self, *, run: SuggestRun, **others: Any) -> None:
        super().__init__(**others)
        self._run = run

    def _getobj(self) -> ModuleType:
        run = self._run
        module = ModuleType(MODULE)
        module.__file__ = str(self.path)

        def suggest(request: pytest.FixtureRequest) -> None:
            run.measure(request)

        suggest.__module__ = MODULE
        suggest.__test__ = True  # type: ignore[attr-defined]  # whatever names the user's ini file gives to tests
        module.suggest = pytest.mark.usefixtures(run.request.fixture)(suggest)  # type: ignore[attr-defined]
        return module
