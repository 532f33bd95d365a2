"""A run's baseline: the one that it compares with, or the one that it writes.

This is the edge between the options of pytest and `gentest.gate`: options go in, questions and outcomes come out.
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

from gentest._support import __version__
from gentest.engine.check import Question
from gentest.engine.methods.quick_sample import QUICK
from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.gate import paired_samples
from gentest.gate.baseline import Baseline, Blessing, Entry, is_of_test
from gentest.plugin.checkpoints import digest
from gentest.plugin.kept_outputs import KeptQuestion, OutputForm, OutputsToKeep, describe_kept, remove_replaced
from gentest.plugin.options import RunOptions
from gentest.properties.definition import AnyDefinition, Definition
from gentest.report import facts
from gentest.results.comparison import Comparison, Terms
from gentest.results.document import making_versions
from gentest.results.outcome import Outcome, Standing, Verdict
from gentest.results.result import Result
from gentest.results.settings import OnDrift, OnUndecided, Values
from gentest.stats.paired import LEAST_STORED, probes_to_hold


class BaselineRun:
    """The baselines of a run. Raises `pytest.UsageError` for options that do not fit together, or a wrong file."""

    def __init__(self, config: pytest.Config, options: RunOptions) -> None:
        self._options = options
        self._digests: dict[str, str] = {}
        self._refuse_combinations()
        save = options.save_baseline
        try:
            self.baseline = None if options.baseline is None else Baseline.load(options.baseline)
            self._replaced = Baseline.load(save) if save is not None and save.exists() else None
        except InvalidArgument as error:
            raise pytest.UsageError(f"gentest: {error}") from None
        n_kept = options.keep_outputs
        if n_kept is None and self._replaced is not None and self._replaced.kept is not None:
            n_kept = self._replaced.kept.outputs[0].n
        self.outputs = OutputsToKeep(config, n_kept or 0) if save is not None else None
        """Takes the outputs that the baseline is to keep; None unless the run blesses."""
        self.terms = Terms(tolerance=options.tolerance, undecided=options.undecided, drift=options.drift)
        if self.baseline is not None:
            n = max(1, len(options.checkpoints))
            claims = gate.n_claims(self.baseline, drift=options.drift is not OnDrift.OFF, checkpoints=n)
            self.terms = replace(self.terms, claims=claims, checkpoints=n)
            try:
                gate.check_reach(self.baseline, self.terms)
            except InvalidArgument as error:
                raise pytest.UsageError(f"gentest: {self.baseline.name}: {error}") from None

    def _refuse_combinations(self) -> None:
        options = self._options
        others = {
            "--gentest-baseline": options.baseline is not None,
            "--gentest-replay": options.replay is not None,
            "several checkpoints": len(options.checkpoints) > 1,
        }
        for other, given in others.items():
            if given and options.save_baseline is not None:
                raise pytest.UsageError(f"--gentest-save-baseline does not go with {other}: bless one whole checkpoint")

    @property
    def checkpoints(self) -> list[str]:
        """The names of the checkpoints of a run of several."""
        checkpoints = self._options.checkpoints
        return [checkpoint.name for checkpoint in checkpoints] if len(checkpoints) > 1 else []

    @property
    def tries_failures_first(self) -> bool:
        """True if probes that failed in an earlier run come first. They do not if results are to be compared."""
        options = self._options
        return self.baseline is None and options.save_baseline is None and len(options.checkpoints) < 2

    @property
    def _replays(self) -> bool:
        return self._options.replay is not None

    def _entry(self, key: str) -> Entry | None:
        return None if self.baseline is None else self.baseline.entries.get(key)

    def values(self, values: Values, key: str) -> Values:
        """The settings of a property. Against a baseline, its seed is the baseline's.

        A blessed checkpoint then meets its own gate exactly as it was blessed, and search, rate and gate share probes.
        """
        entry = None if self._replays else self._entry(key)
        return values if entry is None else replace(values, seed=entry.sample.seed)

    def seed(self, values: Values) -> int:
        """The seed of the run: the baseline's latest one, or that of the settings."""
        return values.seed if self.baseline is None or self._replays else self.baseline.blessings[0].seed

    def ask(self, question: Question, key: str) -> Question:
        """The question with what the baseline knows of the property. A replayed probe takes its standard deviations."""
        entry, outcomes, blesses = self._entry(key), self._options.outcomes, self._options.save_baseline is not None
        if question.replay is not None:
            return question if entry is None else replace(question, against=entry.sample)
        if entry is None:
            keeps = blesses or (outcomes and self.baseline is None)
            n = probes_kept(question.definition, self._options.baseline_probes) if keeps else 0
            keeper = self.outputs if self.outputs is not None and self.outputs.n else None
            return replace(
                question,
                n_sampled=n,
                blesses=blesses,
                keeper=keeper,
                quick=self._options.quick,
                n_quick=self._options.baseline_probes or QUICK,
            )
        n = len(paired_samples.outcomes(entry.sample)) if outcomes else 0
        looks = self.terms.drift is not OnDrift.OFF
        return replace(question, against=entry.sample, n_sampled=n, terms=self.terms, looks=looks)

    def skip_if_blessing(self, test: str, path: Path, form: OutputForm, named: str) -> None:
        """Skip the running test if it compares with outputs of the baseline that this run replaces.

        The run notes what the test is going to ask of the new ones.
        """
        save = self._options.save_baseline
        if save is not None and os.path.realpath(save) == os.path.realpath(path):
            if self.outputs is not None:
                self.outputs.ask(KeptQuestion(test, named, form))
            pytest.skip(f"this run blesses {path.name}, so there are no kept outputs of it to agree with yet")

    def weigh(self, result: Result, question: Question, key: str) -> Result:
        """The result with its standing against the baseline; an error if the two cannot be compared."""
        if self.baseline is None or question.replay is not None or result.kept is not None:
            return result
        try:
            return replace(result, gate=gate.weigh(result, self._entry(key), self.terms))
        except InvalidArgument as error:
            return replace(result, verdict=Verdict.ERROR, message=f"{self.baseline.name}: {error}")

    def fails(self, result: Result) -> bool:
        """True for a result that fails its test."""
        if result.outcome is Outcome.UNDECIDED and result.shortfall is None:  # a check that ends early never passes
            if result.level_claim is not None and self.baseline is None:
                return False  # a level has nothing to compare with, so the test only warns
            return self.terms.undecided is OnUndecided.FAIL
        return result.outcome is not Outcome.PASSED

    def compare(self, results: Sequence[Result]) -> Comparison | None:
        """The whole run against the baseline; None without a baseline, or for a replay."""
        if self.baseline is None or self._replays:
            return None
        checkpoints = self._options.checkpoints
        file = checkpoints[0].name if len(checkpoints) == 1 else ""
        return gate.decide(
            results,
            self.baseline,
            self.terms,
            checkpoints=self.checkpoints,
            file=file,
            versions=making_versions(),
            digest_of=self._digest_of,
            selects=self._options.selects,
        )

    @property
    def digests(self) -> dict[str, str]:
        """The digests of the checkpoints, by name, in a run whose outcomes are compared now or later."""
        if not self._options.outcomes and self.baseline is None:
            return {}
        return {checkpoint.name: self._digest_of(checkpoint.name) for checkpoint in self._options.checkpoints}

    def _digest_of(self, name: str) -> str:
        """The digest of the checkpoint of this name, which is read once; empty for a name of none."""
        path = next((checkpoint.path for checkpoint in self._options.checkpoints if checkpoint.name == name), None)
        if path is None:
            return ""
        if name not in self._digests:
            self._digests[name] = digest(path)
        return self._digests[name]

    def refuses(self, comparison: Comparison) -> bool:
        """True if the run fails although each test passed.

        Reasons are a late regression, drift, tests that did not run, and a candidate that no test loads. A run that
        selects tests (`-k`, `-m`, a file, a node id) need not run the others.
        """
        is_ignored = bool(comparison.ignored) and self.terms.undecided is OnUndecided.FAIL
        return comparison.refused or bool(comparison.missing) or is_ignored

    def leaves_open(self, comparison: Comparison) -> bool:
        """True if a level of a quick gate is undecided, which fails no test."""
        undecided = any(drift.standing is Standing.UNDECIDED for drift in comparison.levels)
        return undecided and self.terms.undecided is OnUndecided.FAIL

    def bless(self, results: Sequence[Result], seed: int, *, skipped: Collection[str], partial: str) -> list[str]:
        """Write the baseline that the run asks for, and describe it in lines. Raises `InvalidArgument` or `OSError`.

        `partial` says why the run did not come to its end; nothing is blessed then.
        """
        path, before = self._options.save_baseline, self._replaced
        if path is None:
            return []
        if partial:
            raise InvalidArgument(partial)
        for result in results:
            if result.shortfall is not None:
                raise InvalidArgument(f"{result.test} is not finished, {facts.shortfall(result.shortfall)}")
        blessing = Blessing(
            whoever_runs_this(),
            datetime.now(timezone.utc).date().isoformat(),
            seed,
            checkpoint="".join(checkpoint.name for checkpoint in self._options.checkpoints),  # one, or none
            checkpoint_digest="".join(self._digest_of(checkpoint.name) for checkpoint in self._options.checkpoints),
            made_with=gate.made_with(results, making_versions()),
        )
        blessed = Baseline.of(results, blessing, before=before, version=__version__)
        lost = [] if before is None else [key for key in before.entries if key not in blessed.entries]
        skipped_keys = [key for key in lost if any(is_of_test(key, test) for test in skipped)]
        if skipped_keys or (lost and self._options.selects):
            keys = ", ".join(skipped_keys or lost)
            raise InvalidArgument(f"{path} would lose {keys}: bless all of its tests at once")
        kept = None if self.outputs is None else self.outputs.save(path)
        blessed = replace(blessed, kept=kept)
        blessed.save(path)
        remove_replaced(path, None if before is None else before.kept, kept)
        n = len(blessed.entries)
        stored = sorted({len(paired_samples.outcomes(entry.sample)) for entry in blessed.entries.values()} - {0})
        on = f" on {' to '.join(map(str, dict.fromkeys((stored[0], stored[-1]))))} probes" if stored else ""
        line = f"blessed: {n} {'property' if n == 1 else 'properties'}{on}, in {path}"
        lines = [line + (f"; no longer in it: {', '.join(lost)}" if lost else "")]
        lines += [f"kept: {describe_kept(kept, path)}"] if kept is not None else []
        return lines + ([] if self.outputs is None else self.outputs.unanswered(kept, path))


def probes_kept(definition: AnyDefinition, asked: int | None) -> int:
    """The number of probes that a baseline keeps: as `asked`, or as many as an equal candidate needs to be held."""
    rate = definition.rate if isinstance(definition, Definition) else None
    if asked is not None or rate is None:
        return asked or LEAST_STORED
    test = rate.test
    return probes_to_hold((test.certified, min(test.p0 + test.slack, 1.0)))


def whoever_runs_this() -> str:
    """The name of whoever runs this, as far as the environment tells."""
    for name in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "GIT_AUTHOR_NAME"):
        if os.environ.get(name):
            return os.environ[name]
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "somebody"
