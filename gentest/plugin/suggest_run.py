"""The pytest plugin of `gentest suggest`: resolves a fixture as pytest does, measures on it, hands back a test file.

It is loaded with `-p` in a pytest process of its own. There the folder asked for holds one module that no file has,
with one test that asks for the fixture: conftest files, checkpoints, scopes and plugins are those of any run in that
folder, and nothing is written into it. Options of the user's ini files that would hand the run to others, select other
tests or write reports are taken back. What came of it goes, as JSON, to a file that `--gentest-suggest` names.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Generator as Iteration
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gentest import attributes
from gentest._support.files import write_whole
from gentest.attributes import Attribute, Feature, pixels
from gentest.attributes.clip import clip, clip_embedding
from gentest.engine.cluster.actors import shared_context
from gentest.engine.suggest.suggestion import Wish, default_attributes, measure
from gentest.errors import GentestError
from gentest.generators.generator import Generator
from gentest.plugin.runner import Runner
from gentest.plugin.suggested_file import file_text
from gentest.properties.definition import AtRate
from gentest.report.progress import Watch

OPTION = "--gentest-suggest"
MODULE = "gentest_suggests"
NEUTRAL = {"numprocesses": 0, "distload": False, "dist": "no", "tx": [], "xmlpath": None, "collectonly": False}
"""Options of pytest, its JUnit report and pytest-xdist, as they are where nobody asks for anything."""


@dataclass(frozen=True)
class Asked:
    """What the command was asked for."""

    folder: str
    answer: str
    """The file that the answer is written to."""
    fixture: str
    wish: Wish
    attributes: tuple[str, ...] = ()
    prompts: tuple[tuple[str, ...], ...] = ()
    """Each a text, and another that it is measured against where there is one."""

    @classmethod
    def parse(cls, text: str) -> Asked:
        """What `gentest.cli` wrote."""
        value = json.loads(text)
        rate = AtRate(value.pop("rate"), value.pop("confidence"))
        wish = Wish(rate, value.pop("n"), value.pop("seed"))
        prompts = tuple(tuple(texts) for texts in value.pop("prompts"))
        return cls(wish=wish, prompts=prompts, attributes=tuple(value.pop("attributes")), **value)


@dataclass
class Answer:
    """What came of it: the text of a test file, or what went wrong in one line."""

    text: str = ""
    error: str = ""
    shown: bool = False
    """Whether what pytest printed says more of the error."""
    notes: list[str] = field(default_factory=list)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, metavar="JSON", help="what `gentest suggest` asks; not for people")


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iteration[None, Any, Any]:
    """Takes back what ini files ask of other runs: workers, other tests, reports; before any plugin acts on it."""
    given = config.getoption(OPTION)
    if given:
        try:
            asked = Asked.parse(given)
        except GentestError as error:
            raise pytest.UsageError(str(error)) from None
        config.args[:] = [asked.folder]
        for name, value in NEUTRAL.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        config.pluginmanager.register(Suggesting(config, asked), "gentest-suggesting")
    return (yield)


class _Module(pytest.Module):
    """A module of one test that no file has."""

    def _getobj(self) -> ModuleType:
        module = ModuleType(MODULE)
        module.__file__ = str(self.path)

        def suggest(request: pytest.FixtureRequest) -> None:
            suggesting: Any = request.config.pluginmanager.get_plugin("gentest-suggesting")
            suggesting.measure(request)

        suggest.__module__ = MODULE
        suggest.__test__ = True  # type: ignore[attr-defined]  # whatever names the user's ini file gives to tests
        suggesting: Any = self.config.pluginmanager.get_plugin("gentest-suggesting")
        module.suggest = pytest.mark.usefixtures(suggesting.asked.fixture)(suggest)  # type: ignore[attr-defined]
        return module


class Suggesting:
    """Registered as a plugin for the one run."""

    def __init__(self, config: pytest.Config, asked: Asked) -> None:
        self.config = config
        self.asked = asked
        self._folder = Path(asked.folder)
        self._answer = Answer()

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """The folder is looked at whatever an ini file ignores."""
        return False if collection_path == self._folder or collection_path in self._folder.parents else None

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_directory(self, path: Path) -> Iteration[None, Any, Any]:
        collector = yield
        if path == self._folder and collector is not None:
            module = _Module.from_parent(collector, path=path / f"{MODULE}.py")
            collector.collect = lambda: [module]
        return collector

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iteration[None, Any, Any]:
        result = yield
        items[:] = [item for item in items if isinstance(item.parent, _Module)]
        if len(items) > 1:
            ids = ", ".join(item.name.partition("[")[2].removesuffix("]") for item in items)
            gives = f"the fixture {self.asked.fixture!r} gives {len(items)} generators ({ids})"
            self._answer.error = f"{gives}; choose one, such as with `-- -k ID`"
            items.clear()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iteration[None, Any, Any]:
        report = yield
        error = call.excinfo.value if call.excinfo is not None else None
        if error is not None and not self._answer.error and not self._answer.text:
            self._failed(error, call.when)
        return report

    def _failed(self, error: BaseException, when: str) -> None:
        fixture, folder = self.asked.fixture, self._folder
        if isinstance(error, pytest.skip.Exception):
            self._answer.error = f"the fixture {fixture!r} skips: {error.msg}"
        elif isinstance(error, pytest.FixtureLookupError) and error.argname == fixture:
            self._answer.error = (
                f"no fixture {fixture!r} in {folder}: write one in its conftest.py, or name another with --fixture"
            )
        else:
            said = str(getattr(error, "argname", None) or error).partition("\n")[0]
            what = "raised" if when == "setup" else "could not be measured:"
            self._answer.error = f"the fixture {fixture!r} {what} {type(error).__name__}: {said}"
            self._answer.shown = True

    def measure(self, request: pytest.FixtureRequest) -> None:
        """Measures on the generator that the fixture gives."""
        found = request.getfixturevalue(self.asked.fixture)
        if not isinstance(found, Generator):
            self._answer.error = (
                f"the fixture {self.asked.fixture!r} gave {found!r:.100} (type={type(found).__name__}); "
                "expected a gentest.Generator"
            )
            return
        capture: Any = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            try:
                self._answer.text = self._text(found)
            except GentestError as error:
                self._answer.error = str(error)

    def _text(self, generator: Generator) -> str:
        asked = self.asked
        runner: Any = self.config.pluginmanager.get_plugin("gentest-runner")
        assert isinstance(runner, Runner)
        with Watch("suggest", sys.__stderr__) as watch:
            context = shared_context(runner.values(), prompts=runner.prompts, watch=watch.images)
            generator.to(context.device)
            named: list[Attribute] = [getattr(attributes, name)() for name in asked.attributes]
            if not named:
                named = default_attributes(context, context.subject(generator))
            named += [clip(*texts) for texts in asked.prompts]
            features: list[Feature] = [pixels(), *([clip_embedding()] if asked.prompts else [])]
            found = measure(asked.wish, generator, context, attributes=named, features=features, watch=watch.probes)
        self._answer.notes = [f"nothing for {s.property}: {s.why}" for s in found if not s.line]
        self._answer.notes.append(f"{context.meter.images:,} images on {context.device}")
        return file_text(found, asked.wish, fixture=asked.fixture, of=repr(generator))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        write_whole(Path(self.asked.answer), json.dumps(vars(self._answer)))
