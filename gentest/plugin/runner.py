"""A pytest run under `--gentest`: runs each decorated test, checks what the test returns, and collects the results."""

from __future__ import annotations

import functools
from collections.abc import Generator as Iteration
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any

import pytest

from gentest._support.printable import printable
from gentest.attributes.clip.low_precision import check_packages
from gentest.attributes.prompts import PromptCache
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import check_ray, shared_context
from gentest.engine.evidence.context import SHARED, Context
from gentest.engine.forecast import PlannedCheck
from gentest.errors import ClipError, GentestError, InvalidArgument, NotChecked, UndecidedWarning, Violation
from gentest.gate.baseline import keys
from gentest.generators.generator import Generator, Pair
from gentest.generators.modules import resolve_device
from gentest.measures.fixtures import fixtures_from
from gentest.plugin import hooks, options, replays
from gentest.plugin.baseline_run import BaselineRun
from gentest.plugin.blessed import before_reading
from gentest.plugin.checked_tests import (
    CheckedTest,
    error_results,
    fail_if_it_returns_a_generator,
    labelled_properties,
)
from gentest.plugin.checkpoints import CheckpointUse, checkpoint_name, checkpoint_of
from gentest.plugin.decorators import Declared, Property, checker
from gentest.plugin.items import declared_by, name_of, settings_of
from gentest.plugin.replays import FailedProbes
from gentest.plugin.report_files import ReportFiles
from gentest.plugin.run_budget import RunBudget, RunForecast, cheapest_first, forecast_of
from gentest.plugin.session_end import Completion, Problems, end_on_hang, tests_to_check
from gentest.plugin.session_results import SessionResults, attach
from gentest.plugin.shared_evidence import LaterMeasures, definitions_among, generator_key, returned_key
from gentest.report import facts, progress, run_facts, terminal
from gentest.results import validity
from gentest.results.drawings import Drawings
from gentest.results.outcome import Verdict
from gentest.results.result import BrokenOutput, Provenance, Result
from gentest.results.settings import Values, settings
from gentest.spaces import Normal, Space

LOOKED_AT = 256
"""Probes of a baseline that a usual comparison looks at."""
QUICK_LOOKED_AT = 32
"""Latents that a usual comparison of a quick gate looks at."""


class Runner:
    """Registered as a plugin in every process of a run: the only one, or the controller and each xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options = options.of_run(config)
        try:
            self.prompts = self._check_environment()
        except (InvalidArgument, ClipError) as error:
            raise pytest.UsageError(f"gentest: {error}") from None
        self._budget = RunBudget(config)
        config.pluginmanager.register(self._budget, "gentest-budget")
        self._items: list[pytest.Item] = []
        self._forecast = RunForecast(lambda: [one for item in self._items for one in self._planned(item)])
        self._baseline_run = BaselineRun(config, self.options)
        self._problems = Problems(config)
        config.pluginmanager.register(self._problems, "gentest-problems")
        checkpoint_use = CheckpointUse(config)
        config.pluginmanager.register(checkpoint_use, "gentest-checkpoint-use")
        self._report_files = ReportFiles(
            self._problems, self.options.report, self.options.images, logs=bool(self.options.trackers)
        )
        self._failed_probes = FailedProbes(config, self._problems)
        self._later = LaterMeasures(())
        self._contexts: dict[Values, Context] = {}
        self._context: Context | None = None
        """The context of the check in progress, with the key and the space of its generator."""
        self._keys: tuple[Hashable, Hashable] = (None, None)
        self._space: Space = Normal(1)
        self._checkpoint = ""
        self._tests: dict[str, CheckedTest] = {}
        self._broken: list[BrokenOutput] = []
        """The invalid outputs that properties met so far."""
        self._checking = ""
        self._watch: progress.Watch | None = None
        self._width = terminal.columns()  # taken while standard output is still the terminal
        shows_progress = not self.options.is_worker and not self.options.has_workers and self.options.verbosity >= 0
        self._stream = progress.stderr() if shows_progress else None
        self._live = progress.attended() and self.options.captures  # else tests may print into the bar
        if self._stream is not None:
            config.add_cleanup(self._stream.close)
        end_on_hang(config, lambda: self._checking)
        self._completion: Completion | None = None
        if self.options.is_worker:
            from gentest.plugin import xdist_workers

            self._width = xdist_workers.columns(config) or self._width
            xdist_workers.share_cores()
            return
        self._completion = Completion()
        config.pluginmanager.register(self._completion, "gentest-completion")
        results = SessionResults(
            config,
            hooks.Listeners(config, self._problems, self.options.trackers),
            self.options,
            baseline_run=self._baseline_run,
            completion=self._completion,
            problems=self._problems,
            report_files=self._report_files,
            checkpoint_use=checkpoint_use,
        )
        config.pluginmanager.register(results, "gentest-results")
        if self.options.has_workers:
            from gentest.plugin import xdist_workers

            outputs = self._baseline_run.outputs
            folder = None if outputs is None else outputs.folder
            controller = xdist_workers.Controller(self.options, self._completion.expect, folder)
            config.pluginmanager.register(controller, "gentest-controller")

    def _check_environment(self) -> PromptCache | None:
        """The cache of prompts. Raises `InvalidArgument` or `ClipError` if an option asks for what is not here."""
        values = self.options.from_command_line.over(self.options.from_ini.over(Values()))
        resolve_device(values.device)
        if values.precision == "int8":
            check_packages()
        if values.ray is not None:
            check_ray(values.ray, has_workers=self.options.has_workers or self.options.is_worker)
        if self.options.prompts is None:
            return None
        return PromptCache.load(self.options.prompts, update=self.options.update_prompts)

    @pytest.hookimpl
    def pytest_sessionstart(self) -> None:
        """Load the profile in a controller, which collects nothing: conftest files have registered theirs by now."""
        if self.options.has_workers:
            self._load_profile()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Load the profile, which any conftest file may have registered by now, and note which tests to check."""
        self._load_profile()
        self._later = LaterMeasures(session.items)
        self._items = session.items
        to_check = tests_to_check(session.items)
        if self._completion is not None:
            self._completion.expect(to_check)
        if self.options.is_worker:
            from gentest.plugin import xdist_workers

            xdist_workers.describe_tests(self.config, session.items, to_check)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Within a budget, put the cheapest tests first."""
        self._load_profile()
        if self._is_bounded and not self.options.has_workers:
            items[:] = cheapest_first(items, self._planned)

    @pytest.hookimpl
    def pytest_report_collectionfinish(self, items: Sequence[pytest.Item]) -> list[str]:
        """Say that tests run in another order than they were collected in; or print the forecast that is asked for."""
        lines = []
        if self._is_bounded and not self.options.has_workers:
            lines.append("gentest: within a budget, tests run in the order of their forecasts, the cheapest first")
        if self.options.forecast:
            images = forecast_of([one for item in items for one in self._planned(item)])
            lines += [f"gentest: {run_facts.forecast(images, 0.0)}", *run_facts.forecast_table(images)]
        return lines

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> bool | None:
        """Run nothing after a forecast."""
        return True if self.options.forecast else None

    @property
    def _is_bounded(self) -> bool:
        """Whether the run has a budget."""
        values = self.options.values()
        return values.max_images is not None or values.max_minutes is not None

    def _planned(self, item: pytest.Item) -> list[PlannedCheck]:
        """The properties of a test, for the forecast."""
        declared, values, test = declared_by(item), self.options.values(settings_of(item)), name_of(item)
        labelled = labelled_properties(() if declared is None else declared.properties)
        in_baseline = dict(zip(labelled, keys(test, [repr(p) for p in labelled.values()]), strict=True))
        asked = []
        for label, property in labelled.items():
            with suppress(InvalidArgument):  # the check reports it
                question = self._baseline_run.ask(Question(property.definition, test, label), in_baseline[label])
                n, against = question.n_sampled, question.against
                stored = n if against is None else LOOKED_AT
                summaries = 0 if not (n or against) or not question.looks else 1 if against is None else 2
                asked.append(
                    PlannedCheck(
                        item.nodeid,
                        label,
                        question.definition,
                        values,
                        generator=returned_key(item),
                        fixtures=generator_key(item),
                        n_sampled=stored,
                        summarised=summaries,
                        quick=question.quick or (against is not None and against.quick),
                        n_quick=question.n_quick if against is None else QUICK_LOOKED_AT,
                    )
                )
        return asked

    def _load_profile(self) -> None:
        if self.options.profile is not None:
            try:
                settings.load_profile(self.options.profile)
            except InvalidArgument as error:
                raise pytest.UsageError(f"gentest: {error}") from None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iteration[None, object, object]:
        """Skip a test that asks, here or in a fixture, for outputs of the baseline that this run is to write."""
        token = before_reading.set(functools.partial(self._baseline_run.skip_if_blessing, name_of(item)))
        try:
            return (yield)
        finally:
            before_reading.reset(token)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iteration[None, Any, Any]:
        before = self._tests.pop(item.nodeid, CheckedTest())
        if declared_by(item) is None:
            return (yield from self._call_undecorated(item))
        test = self._tests[item.nodeid] = CheckedTest(running=True, violated_before=before.violations)
        token = checker.set(functools.partial(self._check, item))
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception):
            if self._completion is not None:
                self._completion.partial = tuple(test.results.values())
            raise
        finally:
            checker.reset(token)
            test.running = False

    def _call_undecorated(self, item: pytest.Item) -> Iteration[None, Any, Any]:
        """Run a test without properties. It fails if it is marked or returns a generator: nothing would check it."""
        if item.get_closest_marker("gentest"):
            pytest.fail("marked gentest, but no property of gentest decorates it: nothing was checked", pytrace=False)
        if not isinstance(item, pytest.Function):
            return (yield)
        function = item.obj
        item.obj = fail_if_it_returns_a_generator(function, item.name)
        try:
            return (yield)
        finally:
            item.obj = function

    def _check(self, item: pytest.Item, declared: Declared, subject: object) -> None:
        """Check every property of a test on the generator that its body returned. Raise if any fails."""
        if not isinstance(subject, (Generator, Pair)):
            raise InvalidArgument(
                f"{item.name} returned {subject!r:.100} (type={type(subject).__name__}); "
                "a decorated test returns the gentest.Generator under test, or a pair: candidate.against(reference)"
            )
        labelled = labelled_properties(declared.properties)
        in_baseline = dict(zip(labelled, keys(name_of(item), [repr(p) for p in labelled.values()]), strict=True))
        replay = self.options.replay
        if replay is not None:
            labelled = {label: p for label, p in labelled.items() if label == replay.label}
            if not labelled:
                pytest.skip(f"--gentest-replay is for another property: {replay.label}")
        test = self._tests[item.nodeid]
        test.labels = tuple(labelled)
        results: dict[str, Result] = {}
        for index, label in enumerate(labelled):
            remaining = list(labelled.values())[index:]
            decided = self._decide(item, label, in_baseline[label], remaining, subject, begins=index == 0)
            result = validity.in_light_of(test.against_earlier_run(label, decided), self._broken)
            if label not in test.failed:  # else an earlier call of the body has failed, and is the one to show
                result = self._report_files.illustrate(result, self._replay_command(item, result))
            test.add(label, result, fails=self._baseline_run.fails(result))
            results[label] = result
            self._broken += validity.broken_outputs([result])
        for label, result in results.items():
            refuted = validity.in_light_of(result, self._broken)
            if refuted is not result:  # by a property further down
                drawings = replace(result.drawings or Drawings(), command=self._replay_command(item, refuted))
                results[label] = replace(refuted, drawings=result.drawings and drawings)
                test.add(label, results[label], fails=self._baseline_run.fails(refuted))
        failed = [result for result in results.values() if self._baseline_run.fails(result)]
        undecided = [r for r in results.values() if r.undecided and not self._baseline_run.fails(r)]
        if failed:
            blocks = (terminal.failure(r, self._replay_command(item, r), width=self._width) for r in failed)
            text = printable("\n\n".join(blocks))
            raise (GentestError if any(result.verdict is Verdict.ERROR for result in failed) else Violation)(text)
        for result in undecided:
            item.warn(UndecidedWarning(printable(facts.undecided(result))))

    def _decide(
        self,
        item: pytest.Item,
        label: str,
        key: str,
        remaining: Sequence[Property],
        generator: Generator | Pair,
        *,
        begins: bool,
    ) -> Result:
        """The result of the first of the properties that remain. `begins` says that it is the test's first one."""
        property = remaining[0]
        test, checkpoint = name_of(item), checkpoint_name(item)
        if checkpoint != self._checkpoint:  # the next checkpoint has no use for what was made of this one
            self._checkpoint = checkpoint
            self._close_contexts()
        try:
            values, context = self._context_of(item)
            values = self._baseline_run.values(values, key)
            tries_failures = values.replay_failures and self._baseline_run.tries_failures_first
            stored = self._failed_probes.of(item, label) if tries_failures else ()
            replay = None if self.options.replay is None else self.options.replay.probe
            question = Question(property.definition, test, label, stored, replay, checkpoint, begins=begins)
        except InvalidArgument as error:
            return Result(test, repr(property), Verdict.ERROR, str(error), provenance=Provenance(checkpoint=checkpoint))
        question = self._baseline_run.ask(self._report_files.ask(question), key)
        context.pool.upcoming = self._later.after(
            item,
            definitions_among(remaining),
            context,
            sampled=bool(question.n_sampled) or question.against is not None,
            kind=generator.kind,
        )
        self._checking = f"{item.nodeid} {property}"
        budget = self._budget.of_test(item.nodeid, values, self.options.values())
        self._keys, self._space, self._context = (returned_key(item), generator_key(item)), generator.latent, context
        title = f"{item.name} {property.name}"
        shown = progress.Watch(title, self._stream, live=self._live, run=self._forecast.left)
        with shown as self._watch, fixtures_of(item):
            result = check(question, generator, context, values, watch=self._watch.probes, budget=budget)
        self._watch = None
        for what, part in result.unreadable.items():
            self._problems.add(facts.unreadable(what, part))
        if replay is None and result.verdict is not Verdict.ERROR:
            self._failed_probes.keep(item, label, result)
        return self._baseline_run.weigh(result, question, key)

    def _context_of(self, item: pytest.Item) -> tuple[Values, Context]:
        """The settings of a test, and the context that it shares with every test that has `SHARED` in common."""
        values = self.options.values(settings_of(item))
        key = Values(**{name: getattr(values, name) for name in SHARED})
        if key not in self._contexts:
            self._contexts[key] = shared_context(values, prompts=self.prompts, watch=self._count_images)
        return values, self._contexts[key]

    def _count_images(self, n: int) -> None:
        """Show progress; and the forecast of the run, once the first images tell how long one takes."""
        self._forecast.count(n)
        if self._watch is None or self._context is None:
            return
        self._watch.images(n)
        if self._forecast.learn(*self._keys, self._space, self._context) and self._stream is not None:
            verbose = self.options.verbosity > 0
            if verbose or self._is_bounded or self._forecast.seconds >= progress.PLAIN_SECONDS:
                self._stream.write("\n" + "\n".join(map(printable, self._forecast.lines(verbose=verbose))) + "\n")
                self._stream.flush()

    def _replay_command(self, item: pytest.Item, result: Result) -> str:
        """The command that evaluates the minimal counterexample or the invalid output again; empty without one."""
        if not result.replay:
            return ""
        if result.replayed_in != result.test:
            item = next((other for other in self._items if name_of(other) == result.replayed_in), item)
        checkpoint = checkpoint_of(item)
        if checkpoint is None and "checkpoint" in self.options.on_command_line:
            checkpoint = next(iter(self.options.checkpoints))
        return replays.command(item, result.replay, checkpoint=checkpoint)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iteration[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and call.when == "setup" and item.get_closest_marker("gentest") is not None:
            attach(item, report, error_results(item, call))
        if call.when != "call":
            return report
        if report.failed and call.excinfo is not None and _needs_no_traceback(call.excinfo.value):
            message = call.excinfo.getrepr(style="value", chain=False)
            if message.reprcrash is not None:
                message.reprcrash.message = str(call.excinfo.value)
            report.longrepr = message
        test = self._tests.get(item.nodeid, CheckedTest())
        if item.get_closest_marker("gentest") is None or test.running:  # the report of a subtest comes meanwhile
            return report
        attach(item, report, test.results or (error_results(item, call) if report.failed else {}))
        if report.passed and not test.passed:
            self._fail(item, report, test)
        return report

    def _fail(self, item: pytest.Item, report: pytest.TestReport, test: CheckedTest) -> None:
        """Fail a test that would pass although its properties were not checked, or do not all hold."""
        failed = [test.results[label] for label in test.labels if label in test.failed]
        report.outcome = "failed"
        report.longrepr = (
            "\n\n".join(["something caught what gentest raised", *(facts.headline(result) for result in failed)])
            if failed
            else f"gentest did not check {item.nodeid}: something else ran the test"
        )

    @pytest.hookimpl(tryfirst=True)  # before a worker hands its problems to the controller
    def pytest_sessionfinish(self) -> None:
        self._close_contexts()
        if self.prompts is None or not self.prompts.update:
            return
        try:
            self.prompts.save()
        except (OSError, ClipError) as error:
            self._problems.add(f"could not write: {error}", fails=True)

    def _close_contexts(self) -> None:
        """Forget the evidence of a checkpoint, and note where its measurements could not be kept."""
        for context in self._contexts.values():
            for trouble in context.troubles:
                self._problems.add(f"warning: {trouble}")
            for note in context.notes:
                self._problems.add(note)
            context.close()
        self._contexts.clear()


def fixtures_of(item: pytest.Item) -> AbstractContextManager[None]:
    """Inside, `gentest.fixture` gives what the fixtures give to a test. pytest tears them down as it does others."""

    def lookup(name: str) -> object:
        request: pytest.FixtureRequest | None = getattr(item, "_request", None)
        if request is None:
            raise InvalidArgument(f"{item.nodeid} has no fixtures, and a property asks for {name!r}")
        try:
            return request.getfixturevalue(name)
        except pytest.FixtureLookupError as error:
            missing = repr(name) if error.argname == name else f"{error.argname!r}, which {name!r} uses,"
            advice = "write one in its module or in a conftest.py above it"
            raise InvalidArgument(f"no fixture {missing} for {item.nodeid}: {advice}") from error

    return fixtures_from(lookup)


def _needs_no_traceback(error: BaseException) -> bool:
    """True for an exception of gentest about a test as a whole, whose message says everything."""
    return isinstance(error, (Violation, InvalidArgument, NotChecked, UndecidedWarning)) or type(error) is GentestError
