"""A run's baseline: the one it compares with or the one it writes, and what the run does where a gate decides.

The edge between pytest's options and `gentest.gate.decision`: options in, questions and outcomes out.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from gentest import plugin
from gentest._support import __version__
from gentest.engine.check import Question
from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline, Blessing, Entry
from gentest.plugin import checkpoints
from gentest.properties.definition import Definition
from gentest.results.comparison import Comparison, OnDrift, OnUndecided, Terms
from gentest.results.result import Result, Verdict
from gentest.results.settings import Values
from gentest.stats.paired import LEAST_STORED, probes_to_hold


class Gating:
    """What a run has to do with baselines, from its options. Raises `pytest.UsageError` for those that do not fit."""

    def __init__(self, config: pytest.Config) -> None:
        values = {o.name: plugin.option(config, o)[0] for o in plugin.OPTIONS}
        self.checkpoints = plugin.checkpoint_paths(config)
        self._outcomes = plugin.flag(config, "outcomes")
        self._save: Path | None = values["save-baseline"]
        self._n_probes: int | None = values["baseline-probes"]
        path, on_command_line = plugin.option(config, plugin.BASELINE)
        if self._save is not None and not on_command_line:
            path = None  # an ini file's is what is being replaced
        self._replays = plugin.option(config, plugin.REPLAY)[0] is not None
        self._narrowed = _narrowed(config)
        self._refuse(path)
        try:
            self.baseline = None if path is None else Baseline.load(path)
            self._before = Baseline.load(self._save) if self._save is not None and self._save.exists() else None
        except InvalidArgument as error:
            raise pytest.UsageError(f"gentest: {error}") from None
        self.terms = Terms(
            tolerance=values["tolerance"] or Terms.tolerance,
            undecided=OnUndecided(values["undecided"] or Terms.undecided),
            drift=OnDrift(values["drift"] or Terms.drift),
        )
        if self.baseline is not None:
            n = max(1, len(self.checkpoints))
            claims = gate.n_claims(self.baseline, drift=self.terms.drift != OnDrift.OFF, checkpoints=n)
            self.terms = replace(self.terms, claims=claims, checkpoints=n)
            try:
                gate.check_reach(self.baseline, self.terms)
            except InvalidArgument as error:
                raise pytest.UsageError(f"gentest: {self.baseline.name}: {error}") from None

    def _refuse(self, baseline: Path | None) -> None:
        """What no run can do at once."""
        if self._save is not None and (baseline is not None or self._replays or len(self.checkpoints) > 1):
            with_it = (
                "--gentest-baseline" if baseline else "--gentest-replay" if self._replays else "several checkpoints"
            )
            raise pytest.UsageError(f"--gentest-save-baseline does not go with {with_it}: bless one checkpoint, whole")

    @property
    def keeps_outcomes(self) -> bool:
        """Whether a JSON file is to hold the outcome of each probe."""
        return self._outcomes

    @property
    def names(self) -> list[str]:
        """The names of the checkpoints of a run of several."""
        return checkpoints.names(self.checkpoints) if len(self.checkpoints) > 1 else []

    @property
    def replays_failures(self) -> bool:
        """Whether what failed in an earlier run is looked at first: not where the outcome is compared with another."""
        return self.baseline is None and self._save is None and len(self.checkpoints) < 2

    def path_of(self, name: str) -> Path:
        """The checkpoint of that name; the only one where it has none."""
        return dict(zip(checkpoints.names(self.checkpoints), self.checkpoints, strict=True)).get(
            name, self.checkpoints[0]
        )

    def values(self, values: Values, key: str) -> Values:
        """The settings of a property: in a gate run it is asked on the baseline's seed, all of it.

        Then a checkpoint that was blessed meets its own gate as it was blessed, and search, rate and gate share probes.
        """
        entry = None if self.baseline is None or self._replays else self.baseline.entries.get(key)
        return values if entry is None else replace(values, seed=entry.sample.seed)

    def seed(self, values: Values) -> int:
        """The seed of the run, as far as one can be named."""
        return values.seed if self.baseline is None or self._replays else self.baseline.blessings[0].seed

    def asked(self, question: Question, key: str) -> Question:
        """The question with what the baseline has of the property; a replayed probe takes its standard deviations."""
        entry = None if self.baseline is None else self.baseline.entries.get(key)
        if question.replay is not None:
            return question if entry is None else replace(question, against=entry.sample)
        if entry is None:
            n = self._stored(question) if self._save is not None or (self._outcomes and self.baseline is None) else 0
            return replace(question, n_sampled=n, blesses=self._save is not None)
        n = len(gate.outcomes(entry.sample)) if self._outcomes else 0
        looks = self.terms.drift != OnDrift.OFF
        return replace(question, against=entry.sample, n_sampled=n, terms=self.terms, looks=looks)

    def _stored(self, question: Question) -> int:
        """How many probes a baseline keeps: as many as were asked for, or as an equal candidate needs to be held."""
        goal = question.definition.rate if isinstance(question.definition, Definition) else None
        if self._n_probes is not None or goal is None:
            return self._n_probes or LEAST_STORED
        test = goal.test
        return probes_to_hold((test.certified, min(test.p0 + test.slack, 1.0)))

    def weighed(self, result: Result, question: Question, key: str) -> Result:
        """The result with how it stands to the baseline; an error where the two do not fit."""
        if self.baseline is None or question.replay is not None:
            return result
        entry: Entry | None = self.baseline.entries.get(key)
        try:
            return replace(result, gate=gate.weigh(result, entry, self.terms))
        except InvalidArgument as error:
            return replace(result, verdict=Verdict.ERROR, message=f"{self.baseline.name}: {error}")

    def outcome(self, result: Result) -> str:
        """What a result does to its test: "pass", "warn" or "fail"."""
        if result.passed:
            return "pass"
        return self.terms.undecided if result.undecided else "fail"

    def compared(self, results: Sequence[Result]) -> Comparison | None:
        """The whole run against the baseline; None where there is none, or a probe is replayed."""
        if self.baseline is None or self._replays:
            return None
        file = self.checkpoints[0].name if len(self.checkpoints) == 1 else ""
        return gate.decide(results, self.baseline, self.terms, checkpoints=self.names, file=file)

    def refuses(self, comparison: Comparison) -> bool:
        """Whether the run fails by what no single test shows: a late regression, drift, or tests that did not run.

        A run of some tests only (`-k`, `-m`, a file, a node id) is not asked about the others.
        """
        return comparison.refused or (bool(comparison.missing) and not self._narrowed)

    def bless(self, results: Sequence[Result], seed: int, *, skipped: Collection[str], partial: str) -> str:
        """Writes the baseline that was asked for, and says so. Raises `InvalidArgument` or `OSError`.

        `partial` says what became of a run that did not come to its end: nothing of it is blessed.
        """
        if self._save is None:
            return ""
        if partial:
            raise InvalidArgument(partial)
        names = checkpoints.names(self.checkpoints)
        blessing = Blessing(_who(), datetime.now(timezone.utc).date().isoformat(), seed, *names)
        blessed = Baseline.of(results, blessing, before=self._before, version=__version__)
        lost = [] if self._before is None else [key for key in self._before.entries if key not in blessed.entries]
        unasked = [key for key in lost if any(key.startswith(f"{test} ") for test in skipped)]
        if unasked or (lost and self._narrowed):
            raise InvalidArgument(
                f"{self._save} would lose {', '.join(unasked or lost)}: bless all of its tests at once"
            )
        blessed.save(self._save)
        n = len(blessed.entries)
        stored = sorted({len(gate.outcomes(entry.sample)) for entry in blessed.entries.values()} - {0})
        on = f" on {' to '.join(map(str, dict.fromkeys((stored[0], stored[-1]))))} probes" if stored else ""
        said = f"blessed: {n} {'property' if n == 1 else 'properties'}{on}, in {self._save}"
        return said + (f"; no longer in it: {', '.join(lost)}" if lost else "")


CHOOSING = ("-k", "-m", "--deselect", "--lf", "--last-failed", "--sw", "--stepwise")


def _narrowed(config: pytest.Config) -> bool:
    """Whether somebody typed a selection of some tests; what an ini file always leaves out is no selection."""
    typed = [str(argument) for argument in config.invocation_params.args]
    paths = [argument.partition("::")[0] for argument in typed if not argument.startswith("-")]
    nodes = any("::" in argument for argument in typed) or any(path.endswith(".py") for path in paths)
    return nodes or any(argument.startswith(CHOOSING) for argument in typed)


def _who() -> str:
    """Who runs this, as far as the environment says."""
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "GIT_AUTHOR_NAME"):
        if os.environ.get(name):
            return os.environ[name]
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "somebody"
