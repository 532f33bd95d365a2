"""The public properties: the definitions of `gentest.properties` as decorators of tests and as values with `.check()`.

A decorated test cannot fail open: without gentest's plugin, which checks the generator that it returns, it raises. It
returns None, since pytest warns of a test that returns something.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from torch import Tensor

from gentest._support.arguments import is_whole
from gentest.attributes import Attribute, Feature
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import shared_context
from gentest.engine.evidence.plans import fits
from gentest.errors import InvalidArgument, NotChecked
from gentest.generators.generator import Generator, Pair, check_generator_or_pair
from gentest.probes.families import Probes
from gentest.probes.probe import Probe, located
from gentest.probes.strategies import Drawn
from gentest.properties import (
    agreement,
    all_outputs,
    conditions,
    directions,
    distribution,
    domains,
    level_limits,
    paths,
    samples,
)
from gentest.properties.all_outputs import LEAST_OUTPUTS, OUTPUTS, ShareBetween, statistic_within
from gentest.properties.definition import (
    AnyDefinition,
    AtRate,
    Definition,
    Evidence,
    Scope,
    check_callable,
    check_probes,
    its_own,
    measures_in,
)
from gentest.results.result import Result, set_html_writer
from gentest.results.settings import DECLARED, in_force, settings
from gentest.spaces import Space

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Declared:
    """A decorated test: its own function, and its properties from the top down."""

    function: Callable[..., object]
    properties: tuple[Property, ...]
    test: Callable[..., None]
    """The wrapped test itself. Another decorator above it copies this record to another function."""


def _as_html(result: Result) -> str:
    from gentest.report import page  # which imports jinja2

    return page.section(result)


set_html_writer(_as_html)

Checker = Callable[[Declared, object], None]
checker: ContextVar[Checker | None] = ContextVar("gentest_checker", default=None)
"""Checks the generator that a decorated test returns. The plugin sets it while such a test runs."""


class Property:
    """A property as users hold it: a decorator for tests, and a value with `.check(generator)`.

    A wrong argument raises when the property is checked: in pytest that fails one test with one line, whereas raising
    at once would lose the whole file.
    """

    def __init__(self, definition: AnyDefinition | InvalidArgument, *, name: str = "") -> None:
        self._definition = definition
        self._name = name

    def __repr__(self) -> str:
        return f"{self._name}(...)" if isinstance(self._definition, InvalidArgument) else str(self._definition)

    @functools.cached_property
    def definition(self) -> AnyDefinition:
        """The property as the engine sees it. Raises `InvalidArgument` if the property has a wrong argument."""
        if isinstance(self._definition, InvalidArgument):
            raise self._definition
        return self._definition

    @functools.cached_property
    def name(self) -> str:
        """The property's name: `between`."""
        return self._name if isinstance(self._definition, InvalidArgument) else self._definition.name

    def at_rate(self, p0: float, *, confidence: float = 0.99, slack: float | None = None, each: str = "") -> Property:
        """The property for at least `p0` of the prior's probes, instead of all of them.

        A sequential test decides it on fresh independent probes, at most `settings(budget=...)` of them. HOLDS
        certifies a rate of at least p0 - slack, VIOLATED a rate below p0. Each is wrong with a probability of at most
        1 - confidence, whenever the test stops (Ville 1939; Robbins 1970). `p0` and `confidence` lie in (0, 1), and
        0 <= slack < p0. The default slack is the smaller of 0.4 (1 - p0) and 0.4 p0; without slack, a rate a little
        above p0 takes thousands of probes to certify. The search for a counterexample runs as well, and does not enter
        the rate.

        `each="label"` judges every value of the space's discrete part `label`, instead of the prior's mixture of them.
        The property holds if the rate of each value holds; one refuted rate (at a confidence that all share) refutes
        the whole.

        >>> import gentest
        >>> gentest.between(gentest.brightness(), tolerance=0.05).at_rate(0.95)
        between(brightness(), tolerance=0.05).at_rate(0.95)
        """

        def define() -> Definition:
            if not isinstance(self.definition, Definition):
                raise InvalidArgument(f"{self.name} speaks of all outputs together: it has no rate")
            if self.definition.rate is not None:
                raise InvalidArgument(f"{self!r} has a rate already")
            return replace(self.definition, rate=AtRate(p0, confidence, slack, each))

        return self if isinstance(self._definition, InvalidArgument) else _property(f"{self.name}.at_rate", define)

    def where(
        self,
        attribute: Attribute,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        fewest: int | None = None,
    ) -> Property:
        """The property where it applies: to probes whose outputs all score within [`at_least`, `at_most`].

        A score is in the attribute's own units. Other probes are no violations: a search and a reduction pass over
        them, and a rate counts those alone to which the property applies. Their images count. In a pair the outputs of
        the reference say where it applies. The property's margin is taken of all outputs, so it has to be a number
        elsewhere, too.

        Too few applying probes leave a result undecided: in a search fewer than `fewest` >= 1 (by default 32, or half
        of a search that is shorter than 64; with `exhaustive=True`, none), or too few for a rate within its budget.

        >>> import gentest
        >>> gentest.not_blank(at_least=0.05).where(gentest.brightness(), at_least=0.2).at_rate(0.95)
        not_blank(at_least=0.05).where(brightness(), at_least=0.2).at_rate(0.95)
        """

        def define() -> AnyDefinition:
            asked = self.definition.asked if isinstance(self.definition, ShareBetween) else self.definition
            if not isinstance(asked, Definition):
                raise InvalidArgument(f"{self.name} speaks of all outputs together: it applies to all of them")
            if asked.scope is not None:
                raise InvalidArgument(f"{self!r} has a where() already: let one attribute say both")
            scope = Scope(attribute, at_least, at_most, fewest)
            asked = replace(asked, scope=scope, measures=(*asked.measures, scope.measure))
            return replace(self.definition, asked=asked) if isinstance(self.definition, ShareBetween) else asked

        return self if isinstance(self._definition, InvalidArgument) else _property(f"{self.name}.where", define)

    def __call__(self, test: Callable[..., object]) -> Callable[..., None]:
        """Decorates a test that returns the generator under test. Decorators stack, and every one is checked."""
        if isinstance(test, (staticmethod, classmethod)):
            return type(test)(self(test.__func__))
        if not callable(test) or isinstance(test, type):
            hint = "decorate the tests of a class one by one"
            raise InvalidArgument.expected("a test function", "test", test, hint=hint)
        name = getattr(test, "__qualname__", repr(test))
        below: Declared | None = getattr(test, DECLARED, None)
        function = test
        if below is not None:
            function = below.function if below.test is test else _subject_of(test, name)

        @functools.wraps(test)
        def checked(*args: Any, **kwargs: Any) -> None:
            run = checker.get()
            if run is None:
                raise NotChecked(
                    f"{name} is checked by gentest's pytest plugin, which is not active here: "
                    "run `pytest --gentest`, without `-p no:gentest`, and put no decorator that hides the test from it "
                    "(such as Hypothesis's @given) above gentest's"
                )
            if inspect.iscoroutinefunction(declared.function) or inspect.isasyncgenfunction(declared.function):
                raise InvalidArgument(f"{name} is async; make it a plain `def` that returns the generator")
            if getattr(declared.function, "is_hypothesis_test", False) or getattr(test, "is_hypothesis_test", False):
                raise InvalidArgument(f"{name} also has Hypothesis's @given; gentest draws its own examples: remove it")
            run(declared, declared.function(*args, **kwargs))

        declared = Declared(function, (self, *(below.properties if below else ())), checked)
        setattr(checked, DECLARED, declared)
        return checked

    def check(self, generator: Generator | Pair, *, settings: settings | None = None) -> Result:
        """The result of a search for a counterexample, with `settings` or the profile in force.

        Raises `InvalidArgument` for wrong arguments. A failure inside the generator is a result with verdict `error`.

        >>> import gentest, torch
        >>> g = gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
        >>> gentest.between(gentest.brightness(), tolerance=0.5).check(g).verdict.value
        'no_counterexample'
        """
        return self._asked(Question(self.definition), generator, settings)

    def replay(self, generator: Generator | Pair, probe: str | Probe, *, settings: settings | None = None) -> Result:
        """The result of one probe, evaluated alone: a `Probe`, or the replay string of a counterexample."""
        return self._asked(Question(self.definition, replay=self._probe(probe)), generator, settings)

    def latents(self, generator: Generator | Pair, probe: str | Probe, *, under: str = "") -> Any:
        """The latents of a probe in order, [P, *shape], or [*shape] for a single point; by part in a `Joint` space.

        `probe` is a `Probe`, or the replay string of a counterexample. Latents are as f receives them, without the
        noise of `Generator(..., noise=)`; values that somebody wrote are themselves. A property that looks at several
        priors takes `Counterexample.under` as `under`. No output is made.

        Raises `InvalidArgument` for a probe that does not fit the space, and for another prior than the property's.

        >>> import gentest
        >>> g = gentest.Generator(lambda z: z.tanh(), latent=gentest.Normal(3), outputs=gentest.Arrays())
        >>> gentest.diverse(at_least=0.01).latents(g, "diverse:1f").shape
        torch.Size([16, 3])
        """
        space, definition, probe = check_generator_or_pair(generator).latent, self.definition, self._probe(probe)
        priors = definition.under(space) if isinstance(definition, Definition) else its_own(space)
        spaces = {prior.name: prior.space for prior in priors}
        if under not in spaces:
            raise InvalidArgument.expected(f"one of {', '.join(map(repr, spaces))}", "under", under)
        probe = located(space, probe)
        if not fits(definition.probes, spaces[under], probe):
            raise InvalidArgument(f"the probe {probe} does not fit {definition.probes!r} in {spaces[under]!r}")
        return Drawn(probe, definition.probes, spaces[under]).latents

    def _probe(self, probe: str | Probe) -> Probe:
        """A probe, or the one in a replay string. Raises `InvalidArgument` for another property's."""
        if not isinstance(probe, str):
            return probe
        label, _, text = probe.rpartition(":")
        if label and label.split(".")[0] != self.name:
            raise InvalidArgument.expected(f"a replay string of {self.name}", "probe", probe)
        return Probe.parse(text)

    def _asked(self, question: Question, generator: Generator | Pair, given: settings | None) -> Result:
        values = in_force(given)
        question = replace(question, shows=_in_notebook())
        return check(question, check_generator_or_pair(generator), shared_context(values), values)


def _in_notebook() -> bool:
    """True if this code runs in IPython, which shows the pictures of a result.

    That the module is loaded says nothing: wandb and other libraries load it in plain scripts.
    """
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _subject_of(test: Callable[..., object], name: str) -> Callable[..., object]:
    """The function that runs a decorated test under another decorator and returns its generator, unchecked."""

    @functools.wraps(test)
    def subject(*args: Any, **kwargs: Any) -> object:
        subjects: list[object] = []
        token = checker.set(lambda _, returned: subjects.append(returned))
        try:
            test(*args, **kwargs)
        finally:
            checker.reset(token)
        if len(subjects) != 1:
            raise InvalidArgument(
                f"a decorator between two properties ran the body of {name} {len(subjects)} times; "
                "put gentest's decorators next to each other"
            )
        return subjects[0]

    return subject


def _property(name: str, define: Callable[[], AnyDefinition]) -> Property:
    """The property that `define` returns; an error of a wrong argument is kept until the property is checked."""
    try:
        return Property(define())
    except InvalidArgument as error:
        error.args = (f"{name}: {error}",)
        return Property(error, name=name)


def _public(define: Callable[P, AnyDefinition]) -> Callable[P, Property]:
    """The function of the public property for a function that defines it: the same arguments and docstring."""

    @functools.wraps(define)
    def make(*args: P.args, **kwargs: P.kwargs) -> Property:
        return _property(define.__name__, lambda: define(*args, **kwargs))

    return make


between = _public(paths.between)
monotone = _public(paths.monotone)
continuous = _public(paths.continuous)
steers = _public(directions.steers)
path_length = _public(paths.path_length)
responsive = _public(samples.responsive)
diverse = _public(samples.diverse)
follows_label = _public(conditions.follows_label)
follows_prompt = _public(conditions.follows_prompt)
limits = _public(samples.limits)
not_blank = _public(samples.not_blank)
well_formed = _public(samples.well_formed)
reproducible = _public(samples.reproducible)
matches = _public(distribution.matches)
agrees = _public(agreement.agrees)
differs = _public(agreement.differs)
same_level = _public(agreement.same_level)
level = _public(level_limits.level)
share = _public(all_outputs.share)
uses_codes = _public(all_outputs.uses_codes)


def prior_invariant(property: Property, *, priors: Sequence[Space], delta: float = 0.05) -> Property:
    """A property holds under the generator's own prior and under each of `priors`, which have its shape.

    The priors are coupled: a probe draws from the same uniforms under each. Truncation and choices stay, and
    `gentest.sd(x)` is measured under the generator's own prior.

    Margin: the property's smallest margin over the priors.

    At a rate there are two statements, since "not found different" is not invariant. Each prior has its own rate, and
    the rates of the own prior and of each other one differ by less than `delta`, in (0, 1). The property holds if every
    rate holds and every difference is certified to be smaller; it is violated if a rate is refuted, or if rates are
    found to differ first.

    >>> import gentest
    >>> gentest.prior_invariant(gentest.between(gentest.brightness(), tolerance=0.1), priors=[gentest.Uniform(8)])
    prior_invariant(between(brightness(), tolerance=0.1), priors=[Uniform(8)])
    """
    return _about(property, "prior_invariant", lambda inner: domains.prior_invariant(inner, priors=priors, delta=delta))


def holds_within(property: Property, radius: float, *, places: int = 4) -> Property:
    """A property holds within a radius around the middle of the latent space, and need not hold further out.

    Samples lie at radius 1: norm sqrt(d) for a `Normal`, the sphere for a `Sphere`, the faces of the box for a
    `Uniform` or `TruncatedNormal`, the root-mean-square distance from the mean for an `Empirical` or `Mapped`; for a
    truncated generator, where its own samples lie. Every probe is evaluated at `places` >= 1 radii, radius / places,
    ..., `radius` > 0: each sample moves along its ray from the mean to exactly that radius.

    Margin: the property's smallest margin over these radii.

    At a rate, a result that does not hold tells how far the property does: the largest of 31 radii up to `radius` that
    rays certify (256 of them, or as many as the rate needs), and if fresh rays confirm it (`Result.radius`).

    >>> import gentest
    >>> gentest.holds_within(gentest.between(gentest.brightness(), tolerance=0.1), radius=0.7)
    holds_within(between(brightness(), tolerance=0.1), radius=0.7)
    """
    return _about(property, "holds_within", lambda inner: domains.holds_within(inner, radius, places=places))


def _about(property: Property, name: str, define: Callable[[AnyDefinition], Definition]) -> Property:
    """A property of a property."""

    def checked() -> Definition:
        if not isinstance(property, Property):
            raise InvalidArgument.expected("a property such as gentest.between(...)", "property", property)
        return define(property.definition)

    return _property(name, checked)


def property(
    *, probes: Probes, total: bool = False, reducible: bool = True
) -> Callable[[Callable[Concatenate[Evidence, P], Tensor]], Callable[P, Property]]:
    """A decorator that makes a property from its margin, with search, shrinking, replay and reports like any other.

    `probes` is a family: `gentest.points()`, `gentest.segments()`, `gentest.neighbours()`, `gentest.steps()` or
    `gentest.along(direction)`. The margin receives the evidence of N probes and the property's own arguments, and
    returns float [N]: finite, >= 0 if the property holds and < 0 if it does not, in units that a reader understands.

    `total=True` is for properties that judge what others take for granted: finite outputs in range, the same in any
    batch. `reducible=False` is for properties that demand a change between latents, to which a probe that changes fewer
    coordinates is not a fair test: their counterexamples keep all coordinates.

    >>> import gentest
    >>> @gentest.property(probes=gentest.points())
    ... def brighter_than(evidence, *, floor):
    ...     return evidence.scores(gentest.brightness())[:, 0] - floor
    >>> brighter_than(floor=0.1)
    brighter_than(floor=0.1)
    """

    def decorate(margin: Callable[Concatenate[Evidence, P], Tensor]) -> Callable[P, Property]:
        signature = inspect.signature(margin)
        parameters = list(signature.parameters.values())
        if not parameters:
            raise InvalidArgument(f"{margin.__name__} needs a first parameter: the evidence")

        @functools.wraps(margin)
        def make(*args: P.args, **kwargs: P.kwargs) -> Property:
            bound = signature.replace(parameters=parameters[1:]).bind(*args, **kwargs)

            def bound_margin(evidence: Evidence) -> Tensor:
                return margin(evidence, *args, **kwargs)

            arguments = dict(bound.arguments)
            bound.apply_defaults()
            return Property(
                Definition(
                    margin.__name__,
                    probes,
                    bound_margin,
                    arguments=arguments,
                    measures=tuple(measures_in(bound.arguments, probes.n_points)),
                    total=total,
                    reducible=reducible,
                    compares=None,
                )
            )

        make.__signature__ = signature.replace(parameters=parameters[1:])  # type: ignore[attr-defined]
        return make

    check_probes("probes", probes)
    return decorate


def statistic(
    *, n: int = OUTPUTS, of: Attribute | Feature | None = None
) -> Callable[[Callable[Concatenate[Tensor, P], Any]], Callable[..., Property]]:
    """A decorator that makes a property from a statistic of `n` >= 64 outputs, with bounds by the bootstrap.

    The function receives one row for each output, on the CPU: the score of the attribute `of` [n], the row of the
    feature `of` [n, D], or, without `of`, the outputs themselves [n, *shape]. It returns one finite number.
    The property takes `at_least=`, `at_most=` or both, and the function's own arguments.

    The outputs are those of the first `n` independent latents of the seed. The property holds if both bounds of the
    value lie within the range, is violated if both lie on one side of it, and is undecided otherwise. The bounds are
    percentiles of 1,999 resamples: each end errs in about 1 %, and nothing is promised for extremes such as a maximum.

    >>> import gentest
    >>> @gentest.statistic(n=256, of=gentest.brightness())
    ... def spread(scores, *, share=0.5):
    ...     return scores.quantile(0.5 + share / 2) - scores.quantile(0.5 - share / 2)
    >>> spread(share=0.8, at_least=0.1)
    spread(share=0.8, at_least=0.1)
    """
    if not is_whole(n, LEAST_OUTPUTS):
        raise InvalidArgument.expected(f"a number of outputs >= {LEAST_OUTPUTS}", "n", n)
    if of is not None:
        check_callable("of", of)

    def decorate(function: Callable[Concatenate[Tensor, P], Any]) -> Callable[..., Property]:
        signature = inspect.signature(function)
        first, *parameters = signature.parameters.values() or (None,)
        if first is None:
            raise InvalidArgument(f"{function.__name__} needs a first parameter: a row for each output")
        if taken := {"at_least", "at_most"} & {parameter.name for parameter in parameters}:
            raise InvalidArgument(f"{function.__name__} has a parameter {min(taken)}, which is the property's own")

        @functools.wraps(function)
        def make(*args: Any, at_least: float | None = None, at_most: float | None = None, **kwargs: Any) -> Property:
            bound = signature.replace(parameters=parameters).bind(*args, **kwargs)
            name = function.__name__
            return _property(
                name,
                lambda: statistic_within(
                    name,
                    lambda rows: function(rows, *args, **kwargs),
                    of,
                    n,
                    dict(bound.arguments),
                    at_least=at_least,
                    at_most=at_most,
                ),
            )

        return make

    return decorate
