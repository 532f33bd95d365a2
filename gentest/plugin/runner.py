"""A pytest run under `--gentest`: runs each decorated test, checks what it returns, and gathers the results."""

from __future__ import annotations

import functools
import os
from collections.abc import Generator as Iteration
from collections.abc import Sequence
from typing import Any

import pytest

from gentest import plugin
from gentest._support.printable import printable
from gentest.attributes.clip.low_precision import check_packages
from gentest.attributes.prompts import PromptCache
from gentest.decorators import DECLARED, Declared, Property, checker
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import check_ray, shared_context
from gentest.engine.evidence.context import SHARED, Context
from gentest.engine.evidence.maker import resolve_device
from gentest.errors import ClipError, GentestError, InvalidArgument, NotChecked, UndecidedWarning, Violation
from gentest.gate.baseline import keys
from gentest.generators.generator import Generator
from gentest.plugin import checkpoints, replays, xdist_workers
from gentest.plugin.baseline_run import Gating
from gentest.plugin.checked_tests import Checked, labelled_properties, unchecked
from gentest.plugin.coming import Coming
from gentest.plugin.deaf import end_where_deaf
from gentest.plugin.failures import Failures
from gentest.plugin.report_files import Drawing
from gentest.plugin.session_end import Ending, to_check
from gentest.plugin.session_results import Gathering, attach
from gentest.plugin.shared_evidence import definitions_among
from gentest.plugin.troubles import Troubles
from gentest.plugin.undecorated import watched
from gentest.probes.probe import Probe
from gentest.report import layout, progress, terminal
from gentest.report.figures import unreadable
from gentest.results.result import Provenance, Result, Verdict
from gentest.results.settings import ATTRIBUTE, FIELDS, Values, settings


class Runner:
    """Registered as a plugin for one pytest run, in the controller and in each xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        options = {o.name: plugin.option(config, o) for o in plugin.OPTIONS}
        self._options = {name: value for name, (value, _) in options.items()}
        names = [name for name in options if name.replace("-", "_") in FIELDS and options[name][0] is not None]
        chosen = {name: options[name] for name in names}
        try:
            self._from_flags, self._from_ini = (
                settings(
                    **{name.replace("-", "_"): value for name, (value, flag) in chosen.items() if flag is from_flag}
                )
                for from_flag in (True, False)
            )
            resolve_device(self._options["device"])
            if self._options["precision"] == "int8":
                check_packages()
            if self._options["ray"] is not None:
                check_ray(self._options["ray"], has_workers=self._has_workers or self._is_worker)
            replay, _ = plugin.option(config, plugin.REPLAY)
            self._replay = None if replay is None else (replay[0], Probe.parse(replay[1]))
            self.prompts = self._prompt_cache()
        except (InvalidArgument, ClipError) as error:
            raise pytest.UsageError(f"gentest: {error}") from None
        self._gating = Gating(config)
        # taken while standard output is still the terminal
        self._width: int = getattr(config, "workerinput", {}).get(xdist_workers.COLUMNS) or layout.columns()
        self._troubles = Troubles(config)
        config.pluginmanager.register(self._troubles, "gentest-troubles")
        self._drawing = Drawing(self._troubles, self._options["report"], self._options["images"])
        self._contexts: dict[Values, Context] = {}
        self._checkpoint = ""
        self._checked: dict[str, Checked] = {}
        self._watch: progress.Watch | None = None
        watched = not (self._is_worker or self._has_workers) and config.getoption("verbose", 0) >= 0
        self._stream = progress.stderr() if watched else None
        self._live = (
            progress.attended() and config.getoption("capture", "no") != "no"
        )  # where tests may print into the bar
        if self._stream is not None:
            config.add_cleanup(self._stream.close)
        self._failures = Failures(config, self._troubles)
        self._ending: Ending | None = None
        self._checking = ""
        end_where_deaf(config, lambda: self._checking)
        self._coming = Coming(())
        if self._is_worker:
            xdist_workers.share_cores(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
            return
        self._ending = Ending()
        config.pluginmanager.register(self._ending, "gentest-ending")
        gathering = Gathering(
            config,
            path=self._options["json"],
            drawing=self._drawing,
            replayed=self._replay[0] if self._replay else None,
            values=self.values,
            gating=self._gating,
            ending=self._ending,
            troubles=self._troubles,
        )
        config.pluginmanager.register(gathering, "gentest-gathering")
        if self._has_workers:
            config.pluginmanager.register(xdist_workers.Workers(self.values, self._ending.expect), "gentest-workers")

    def _prompt_cache(self) -> PromptCache | None:
        path = self._options["prompts"]
        update = plugin.flag(self.config, "update-prompts")
        if path is None:
            if update:
                raise InvalidArgument("--gentest-update-prompts needs --gentest-prompts FILE")
            return None
        return PromptCache.load(path, update=update)

    @property
    def _is_worker(self) -> bool:
        return hasattr(self.config, "workerinput")

    @property
    def _has_workers(self) -> bool:
        """Whether this is the controller of xdist's workers."""
        return bool(self.config.getoption("dist", "no") != "no")

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        """A controller collects nothing: it knows the profiles of the conftest files that are loaded by now."""
        if self._has_workers:
            self._load_profile()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Profiles are registered by conftest files, which are all loaded by now."""
        self._load_profile()
        self._coming = Coming(session.items)
        expected = to_check(session.items, self._gating.checkpoints)
        if self._ending is not None:
            self._ending.expect(expected)
        xdist_workers.tell(self.config, session.items, expected)

    def _load_profile(self) -> None:
        name = self._options["profile"]
        if name is not None:
            try:
                settings.load_profile(name)
            except InvalidArgument as error:
                raise pytest.UsageError(f"gentest: {error}") from None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iteration[None, Any, Any]:
        before = self._checked.pop(item.nodeid, Checked())
        if getattr(plugin.function_of(item), DECLARED, None) is None:
            return (yield from self._undecorated(item))
        checked = self._checked[item.nodeid] = Checked(running=True, before=before.violations)
        token = checker.set(functools.partial(self._check, item))
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception):
            if self._ending is not None:
                self._ending.begun = tuple(checked.results.values())
            raise
        finally:
            checker.reset(token)
            checked.running = False

    def _undecorated(self, item: pytest.Item) -> Iteration[None, Any, Any]:
        """A test without a property that returns a generator was meant to be checked: it fails."""
        if item.get_closest_marker("gentest"):
            pytest.fail("marked gentest, but no property of gentest decorates it: nothing was checked", pytrace=False)
        if not isinstance(item, pytest.Function):
            return (yield)
        function = item.obj
        item.obj = watched(function, item.name)
        try:
            return (yield)
        finally:
            item.obj = function

    def _check(self, item: pytest.Item, declared: Declared, subject: object) -> None:
        """Checks every property of a test on the generator that its body returned, and raises if any does not pass."""
        if not isinstance(subject, Generator):
            raise InvalidArgument(
                f"{item.name} returned {subject!r:.100} (type={type(subject).__name__}); "
                "a decorated test returns the gentest.Generator under test"
            )
        labelled = labelled_properties(declared.properties)
        test = checkpoints.plain_id(item, self._gating.checkpoints)
        in_baseline = dict(zip(labelled, keys(test, [repr(p) for p in labelled.values()]), strict=True))
        if self._replay is not None:
            labelled = {label: p for label, p in labelled.items() if label == self._replay[0]}
            if not labelled:
                pytest.skip(f"--gentest-replay is for another property: {self._replay[0]}")
        checked = self._checked[item.nodeid]
        checked.labels = tuple(labelled)
        failed, undecided = [], []
        for index, label in enumerate(labelled):
            stacked = list(labelled.values())[index:]
            decided = self._decide(item, label, in_baseline[label], stacked, subject, begins=index == 0)
            result = checked.judged(label, decided)
            outcome = self._gating.outcome(result)
            if label not in checked.failed:  # else another run of the body has failed already, and is the one shown
                result = self._drawing.drawn(result, self._command(item, result))
            checked.keep(label, result, fails=outcome == "fail")
            if outcome == "fail":
                failed.append(result)
            elif outcome == "warn":
                undecided.append(result)
        if failed:
            blocks = (terminal.failure(result, self._command(item, result), width=self._width) for result in failed)
            text = printable("\n\n".join(blocks))
            raise (GentestError if any(result.verdict is Verdict.ERROR for result in failed) else Violation)(text)
        for result in undecided:
            item.warn(UndecidedWarning(printable(terminal.undecided(result))))

    def _decide(
        self,
        item: pytest.Item,
        label: str,
        key: str,
        stacked: Sequence[Property],
        generator: Generator,
        *,
        begins: bool,
    ) -> Result:
        """The first property of those `stacked` that are not checked yet.

        `begins` says that it is the first one after the test's body.
        """
        property = stacked[0]
        test, checkpoint = (f(item, self._gating.checkpoints) for f in (checkpoints.plain_id, checkpoints.of_item))
        if checkpoint != self._checkpoint:  # what was made of one is of no use to the next
            self._checkpoint = checkpoint
            self._let_go()
        try:
            values, context = self._context_of(item)
            values = self._gating.values(values, key)
            replays = values.replay_failures and self._gating.replays_failures
            stored = self._failures.of(item, label) if replays else ()
            replay = self._replay[1] if self._replay else None
            question = Question(property.definition, test, label, stored, replay, checkpoint, begins=begins)
            question = self._drawing.asked(question)
        except InvalidArgument as error:
            return Result(test, repr(property), Verdict.ERROR, str(error), provenance=Provenance(checkpoint=checkpoint))
        question = self._gating.asked(question, key)
        context.pool.upcoming = self._coming.during(
            item,
            definitions_among(stacked),
            context,
            sampled=bool(question.n_sampled) or question.against is not None,
            images=generator.images,
        )
        self._checking = f"{item.nodeid} {property}"
        with progress.Watch(f"{item.name} {property.name}", self._stream, live=self._live) as self._watch:
            result = check(question, generator, context, values, watch=self._watch.probes)
        self._watch = None
        for what, part in result.unreadable.items():
            self._troubles.note(unreadable(what, part))
        if self._replay is None and result.verdict is not Verdict.ERROR:
            self._failures.keep(item, label, result)
        result = self._gating.weighed(result, question, key)
        return result

    def _context_of(self, item: pytest.Item) -> tuple[Values, Context]:
        """The settings of a test, and the context it shares with every test that has `SHARED` in common."""
        of_test: settings | None = getattr(plugin.function_of(item), ATTRIBUTE, None)
        values = self._from_ini.over(settings.default())
        values = of_test.over(values) if of_test is not None else values
        values = self._from_flags.over(values)
        key = Values(**{name: getattr(values, name) for name in SHARED})
        if key not in self._contexts:
            self._contexts[key] = shared_context(values, prompts=self.prompts, watch=self._images)
        return values, self._contexts[key]

    def _images(self, n: int) -> None:
        if self._watch is not None:
            self._watch.images(n)

    def _command(self, item: pytest.Item, result: Result) -> str:
        """One line that evaluates the minimal counterexample again, from where pytest was started."""
        if result.counterexample is None:
            return ""
        checks_one = result.checkpoint or self.config.getoption(plugin.CHECKPOINT.flag) is not None
        path = self._gating.path_of(result.checkpoint) if checks_one else None
        return replays.command(item, result.test, result.counterexample.replay, checkpoint=path)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iteration[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and call.when == "setup" and item.get_closest_marker("gentest") is not None:
            attach(item, report, unchecked(item, call))
        if call.when != "call":
            return report
        if report.failed and call.excinfo is not None and _speaks_for_itself(call.excinfo.value):
            shown = call.excinfo.getrepr(style="value", chain=False)
            if shown.reprcrash is not None:
                shown.reprcrash.message = str(call.excinfo.value)
            report.longrepr = shown
        checked = self._checked.get(item.nodeid, Checked())
        if item.get_closest_marker("gentest") is None or checked.running:  # a report of a subtest comes meanwhile
            return report
        attach(item, report, checked.results or (unchecked(item, call) if report.failed else {}))
        if report.passed and not checked.passed:
            self._close(item, report, checked)
        return report

    def _close(self, item: pytest.Item, report: pytest.TestReport, checked: Checked) -> None:
        """Fails a test that would pass although its properties were not checked, or do not all hold."""
        failed = [checked.results[label] for label in checked.labels if label in checked.failed]
        report.outcome = "failed"
        report.longrepr = (
            "\n\n".join(["something caught what gentest raised", *(terminal.headline(result) for result in failed)])
            if failed
            else f"gentest did not check {item.nodeid}: something else ran the test"
        )

    @pytest.hookimpl(tryfirst=True)  # a worker says last what went wrong
    def pytest_sessionfinish(self) -> None:
        self._let_go()
        if self.prompts is None or not self.prompts.update:
            return
        try:
            self.prompts.save()
        except (OSError, ClipError) as error:
            self._troubles.note(f"could not write: {error}", fails=True)

    def _let_go(self) -> None:
        """Forgets what was made of a checkpoint, and says where its measurements could not be kept."""
        for context in self._contexts.values():
            if context.trouble:
                self._troubles.note(f"warning: {context.trouble}")
            context.close()
        self._contexts.clear()

    def values(self) -> Values:
        """The settings in force for a test that says nothing of its own."""
        return self._from_flags.over(self._from_ini.over(settings.default()))


def _speaks_for_itself(error: BaseException) -> bool:
    """Whether an exception's message is all that a person needs: one of gentest's, on a test as a whole."""
    return isinstance(error, (Violation, InvalidArgument, NotChecked, UndecidedWarning)) or type(error) is GentestError
