"""Suites: several properties that are checked together, outside of pytest."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from gentest._support import __version__
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import shared_context
from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline, Blessing, keys
from gentest.generators.generator import Generator, Pair, check_generator_or_pair
from gentest.integrations.sinks import figure_names
from gentest.plugin.baseline_run import probes_kept, whoever_runs_this
from gentest.plugin.decorators import Property
from gentest.plugin.shared_evidence import upcoming_measures
from gentest.report import facts, run_facts
from gentest.results import validity
from gentest.results.comparison import Comparison, Terms
from gentest.results.document import making_versions
from gentest.results.outcome import Outcome
from gentest.results.result import Result
from gentest.results.settings import OnDrift, Values, in_force, settings


@dataclass(frozen=True, repr=False)
class SuiteResult:
    """The results of a suite, in the order of its properties, and how they compare with a baseline."""

    results: tuple[Result, ...]
    comparison: Comparison | None = None
    """The gate's decision; None if no baseline was given."""

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the results, and of the comparison."""
        compared = () if self.comparison is None else (self.comparison.outcome,)
        return Outcome.worst((*(result.outcome for result in self.results), *compared))

    @property
    def passed(self) -> bool:
        """True if everything holds as far as it was checked, and has held against the baseline."""
        return self.outcome is Outcome.PASSED

    def figures(self) -> dict[str, float]:
        """The numbers of all results by `SUITE/PROPERTY/FIGURE`, as trackers of experiments take them."""
        named = zip(figure_names(self.results), self.results, strict=True)
        return {f"{name}/{figure}": value for name, result in named for figure, value in result.figures().items()}

    def __repr__(self) -> str:
        return "\n".join([f"{self.outcome.value}:", *(f"  {facts.headline(r)}" for r in self.results), *self._compared])

    def _repr_html_(self) -> str:
        sections = [result._repr_html_() or f"<p>{html.escape(facts.headline(result))}</p>" for result in self.results]
        return "\n".join([*sections, *(f"<p>{html.escape(line.strip())}</p>" for line in self._compared)])

    @property
    def _compared(self) -> list[str]:
        """A line about the comparison; none without a baseline."""
        if self.comparison is None:
            return []
        return [f"  gate: {run_facts.gate_word(self.comparison)} against {self.comparison.blessed}"]


class Suite:
    """Several properties of one generator, checked together: they share outputs, so that no image is made twice.

    A suite needs no pytest: a notebook or a training loop checks it. `name` is the name of its results, and of its
    properties in a baseline that it writes. Raises `InvalidArgument` for anything but properties, for none, and at once
    for a property with a wrong argument.

    >>> import gentest
    >>> suite = gentest.Suite(gentest.well_formed(), gentest.responsive(at_least=0.01))
    >>> g = gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
    >>> checked = suite.check(g, settings=gentest.settings(examples=20))
    >>> checked.outcome.value, [result.verdict.value for result in checked.results]
    ('passed', ['no_counterexample', 'no_counterexample'])
    """

    def __init__(self, *properties: Property, name: str = "suite") -> None:
        if not properties:
            raise InvalidArgument("a suite has at least one property, such as gentest.well_formed()")
        for number, property in enumerate(properties):
            if not isinstance(property, Property):
                what = "a property such as gentest.well_formed()"
                raise InvalidArgument.expected(what, f"properties[{number}]", property)
            _ = property.definition  # raises for a wrong argument
        if not isinstance(name, str) or not name:
            raise InvalidArgument.expected("a name", "name", name)
        self.properties = properties
        self.name = name

    def __repr__(self) -> str:
        return f"Suite({', '.join(map(repr, self.properties))})"

    def check(
        self,
        generator: Generator | Pair,
        *,
        against: str | os.PathLike[str] | None = None,
        tolerance: float = Terms.tolerance,
        drift: str = OnDrift.WARN.value,
        settings: settings | None = None,
    ) -> SuiteResult:
        """The results of all properties, with `settings` or the profile in force.

        `against` is the file of a blessed checkpoint, from `bless` or from pytest. The generator is then compared on
        the probes of that file: no property may hold less often by `tolerance`, a share in (0, 1), and `drift` says
        what levels and distributions that drift do: "warn", "fail" or "off". A property is found in the file by the
        suite's name or, if only one test there has it, by itself; other properties of the file are left alone.

        Raises `InvalidArgument` for wrong arguments and for a file that cannot be compared. A failure inside the
        generator is a result with verdict `error`.
        """
        values, generator = in_force(settings), check_generator_or_pair(generator)
        if against is None:
            return SuiteResult(tuple(self.ask(generator, values, lambda index: self._question(index))))
        baseline, tests = self._in_baseline(Path(against))
        try:
            terms = Terms(tolerance=tolerance, drift=OnDrift(drift))
        except ValueError as error:
            raise InvalidArgument.expected("'warn', 'fail' or 'off'", "drift", drift) from error
        looks = terms.drift is not OnDrift.OFF
        terms = replace(terms, claims=gate.n_claims(baseline, drift=looks))
        gate.check_reach(baseline, terms)
        names = self._keys(tests)

        def question(index: int) -> Question:
            entry = baseline.entries.get(names[index])
            asked = self._question(index, tests[index])
            return asked if entry is None else replace(asked, against=entry.sample, terms=terms, looks=looks)

        results = []
        for key, result in zip(names, self.ask(generator, values, question), strict=True):
            results.append(replace(result, gate=gate.weigh(result, baseline.entries.get(key), terms)))
        comparison = gate.decide(results, baseline, terms, versions=making_versions())
        return SuiteResult(tuple(results), comparison)

    def bless(
        self,
        generator: Generator | Pair,
        path: str | os.PathLike[str],
        *,
        by: str | None = None,
        note: str = "",
        checkpoint: str = "",
        settings: settings | None = None,
    ) -> SuiteResult:
        """Check the suite, write a baseline for `check(against=path)` and the gate of pytest, and return the results.

        `by` says who blesses (default: the user), `note` why, and `checkpoint` what. A file that is there keeps its
        history, and is replaced. Raises `InvalidArgument`, and writes nothing, if a property is not decided or if the
        file has other properties.
        """
        values, where = in_force(settings), Path(path)
        before = Baseline.load(where) if where.exists() else None
        results = self.ask(check_generator_or_pair(generator), values, self._blessing_question)
        versions = gate.made_with(results, making_versions())
        today = datetime.now(timezone.utc).date().isoformat()
        blessing = Blessing(by or whoever_runs_this(), today, values.seed, checkpoint, note, versions)
        blessed = Baseline.of(results, blessing, before=before, version=__version__)
        if lost := [key for key in (() if before is None else before.entries) if key not in blessed.entries]:
            raise InvalidArgument(f"{where} would lose {', '.join(lost)}: bless into another file")
        blessed.save(where)
        return SuiteResult(tuple(results))

    def ask(self, generator: Generator | Pair, values: Values, question: Callable[[int], Question]) -> list[Result]:
        """The results of a question about each property, in one context. A question against a sample has its seed."""
        context, results = shared_context(values), []
        questions = [question(index) for index in range(len(self.properties))]
        definitions = [asked.definition for asked in questions]
        try:
            for index, asked in enumerate(questions):
                sampled = bool(asked.n_sampled) or asked.against is not None
                context.pool.upcoming = upcoming_measures(
                    definitions[index:], context, sampled=sampled, kind=generator.kind
                )
                seed = values.seed if asked.against is None else asked.against.seed
                own = replace(values, seed=seed)
                results.append(check(replace(asked, begins=index == 0), generator, context, own))
        finally:
            context.close()
        return validity.of_a_run(results)

    def _question(self, index: int, test: str | None = None) -> Question:
        return Question(self.properties[index].definition, test or self.name)

    def _blessing_question(self, index: int) -> Question:
        asked = self._question(index)
        return replace(asked, n_sampled=probes_kept(asked.definition, None), blesses=True)

    def _keys(self, tests: Sequence[str]) -> list[str]:
        """The key of each property in a baseline, given the test that it is of."""
        found: list[str] = []
        for index, test in enumerate(tests):
            own = [str(p.definition) for p, other in zip(self.properties, tests, strict=True) if other == test]
            found.append(keys(test, own)[sum(other == test for other in tests[:index])])
        return found

    def _in_baseline(self, path: Path) -> tuple[Baseline, list[str]]:
        """The part of a baseline that is about this suite, and for each property the test that it is of there."""
        whole = Baseline.load(path)
        tests = [self.name] * len(self.properties)
        for index, key in enumerate(self._keys(tests)):
            ending = f" {self.properties[index].definition}"
            others = [other.removesuffix(ending) for other in whole.entries if other.endswith(ending)]
            if key not in whole.entries and len(others) > 1:
                tested = ", ".join(others)
                raise InvalidArgument(
                    f"{path}: several tests have{ending}; name one, as in Suite(..., name=...): {tested}"
                )
            if key not in whole.entries and others:
                tests[index] = others[0]
        own = set(self._keys(tests))
        entries = {key: entry for key, entry in whole.entries.items() if key in own}
        if not entries:
            raise InvalidArgument(f"{path}: has no property of this suite: {', '.join(whole.entries)}")
        return replace(whole, entries=entries), tests
