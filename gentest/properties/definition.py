"""A property as the engine sees it: a family of probes, and a margin [N] of the evidence that they give.

`Declaration` is what every property has: a name, arguments, and what it measures. A `Definition` judges probe by
probe; an `OfAll` judges all outputs together, as `matches` and `same_level` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from inspect import Parameter, signature
from math import inf, isfinite
from numbers import Real
from sys import float_info
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor

from gentest import attributes
from gentest._support.arguments import as_number, is_whole
from gentest._support.printable import format_number
from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import describe
from gentest.attributes.pixels import pixels
from gentest.errors import InvalidArgument
from gentest.outputs import Kind
from gentest.probes.families import Points, Probes, points
from gentest.probes.probe import Probe
from gentest.spaces import Space
from gentest.stats.rates import RateTest, default_slack


@dataclass(frozen=True)
class StandardDeviations:
    """`multiple` standard deviations of an attribute under the prior, measured on a fixed seeded pilot."""

    multiple: float

    def __repr__(self) -> str:
        return f"sd({format_number(self.multiple)})"


Tolerance: TypeAlias = float | StandardDeviations


def sd(multiple: float) -> StandardDeviations:
    """A tolerance of `multiple` >= 0 standard deviations of the attribute under the generator's prior.

    gentest measures the standard deviation once for each generator and attribute, on 256 latents from a fixed seed, and
    rounds it to four significant figures, so that a report can state it.

    >>> sd(2)
    sd(2)
    """
    return StandardDeviations(check_number("multiple", multiple))


class Evidence(Protocol):
    """The outputs of a batch of N probes with P latents each. Everything is computed on first use."""

    @property
    def probes(self) -> Sequence[Probe]:
        """The N probes."""

    @property
    def latents(self) -> Tensor | Mapping[str, Tensor]:
        """The latents that the generator received: [N, P, *shape], by part in a `Joint` space.

        Values that somebody wrote are [N, P]: tensors if they are numbers, else NumPy arrays of objects, which type
        checkers take for tensors.
        """

    @property
    def t(self) -> Tensor:
        """The position of each latent on its path, [N, P], from 0 to 1."""

    @property
    def images(self) -> Tensor:
        """Outputs [N, P, C, H, W] in [0, 1], checked to be finite and in range.

        Outputs of another kind are [N, P, ...] here and below, as `Generator(..., outputs=)` reads them.
        """

    @property
    def outputs(self) -> Tensor:
        """Raw outputs [N, P, C, H, W], neither checked nor clamped; the output range is mapped to [0, 1]."""

    @property
    def kind(self) -> Kind:
        """The kind of the outputs, as `Generator(..., outputs=)` declares it."""

    @property
    def limits(self) -> tuple[float, float] | None:
        """The interval in which outputs have to lie, (0, 1) for images; None for outputs without a range."""

    @property
    def bounded(self) -> bool:
        """True if outputs have a range, which is mapped to `limits`: always for images, if declared for others."""

    @property
    def unit(self) -> float:
        """The unit for differences of outputs: 1, or the range of some samples if no output range is declared."""

    def scores(self, attribute: Attribute) -> Tensor:
        """An attribute of every output, float32 [N, P]."""

    def features(self, feature: Feature) -> Tensor:
        """A feature of every output, float32 [N, P, D]."""

    def distances(self, thing: Feature | Distance, first: Sequence[int], second: Sequence[int]) -> Tensor:
        """Distances between each probe's outputs at places `first` and at places `second`, float32 [N, K].

        `first` and `second` hold K places each, from 0 to P - 1. For a feature the distance is the L2 norm of the
        difference of its rows.
        """

    def in_units(self, tolerance: Tolerance, of: Attribute | Feature | Distance) -> float:
        """A tolerance as a number: `gentest.sd(x)` is x times the spread of an attribute or feature under the prior."""

    def under(self, prior: Space) -> Evidence:
        """The same probes under another prior. The two are coupled: both draw from the same uniforms."""

    @property
    def reference(self) -> Evidence:
        """In a pair, the evidence of the reference on the same probes. Raises `InvalidArgument` without a reference."""

    def from_reference(self, thing: Attribute | Feature | Distance | None = None) -> Tensor:
        """In a pair, how far each output is from the reference's, float32 [N, P].

        That is the distance, the L2 norm of the difference of features, or the absolute difference of scores; without
        a `thing`, the largest absolute difference of values, in `unit`.
        """

    def rounding_of_reference(self, thing: Attribute | Feature | Distance | None = None) -> Tensor:
        """By how much the rounding of kept outputs may have changed `from_reference`, float32 [N, P].

        It is 0 for a reference that computes its outputs, and for outputs that are kept bit for bit. Of a measure it is
        the largest change when the kept outputs move by their rounding: each value by itself, and each output as a
        whole.
        """

    def again(self, company: int, *, chance: int = 0) -> Tensor:
        """Outputs [N, P, C, H, W] made once more, each latent last in a batch after `company` other samples.

        `chance` seeds the random numbers that the generator draws by itself.
        """


@dataclass(frozen=True)
class AtRate:
    """The share of probes for which a property must hold: at least `p0`, certified down to p0 - `slack`."""

    p0: float
    confidence: float = 0.99
    slack: float | None = None
    each: str = ""
    """The discrete part of the space whose values are judged one by one."""

    def __post_init__(self) -> None:
        if not isinstance(self.each, str):
            raise InvalidArgument.expected("the name of a discrete part, such as 'label'", "each", self.each)
        for name, value in (("p0", self.p0), ("confidence", self.confidence)):
            if not 0.0 < as_number(value) < 1.0:
                hint = "a property that must hold on every probe needs no rate" if name == "p0" else ""
                raise InvalidArgument.expected("a number above 0 and below 1", name, value, hint=hint)
        if self.slack is not None and not 0.0 <= as_number(self.slack) < self.p0:
            raise InvalidArgument.expected("a number >= 0 and below p0", "slack", self.slack)
        _ = self.test  # rejects rates that are too near to 0 or 1

    @property
    def test(self) -> RateTest:
        """The sequential test of this rate."""
        return self.test_among(1)

    def test_among(self, n: int) -> RateTest:
        """The sequential test of each of `n` rates that must all hold: refuting one refutes the whole."""
        slack = default_slack(self.p0) if self.slack is None else float(self.slack)
        return RateTest(float(self.p0), slack, 1.0 - self.confidence, n)

    def __str__(self) -> str:
        words = [f"{self.p0!r}"]
        words += [] if self.confidence == AtRate.confidence else [f"confidence={self.confidence!r}"]
        words += [] if self.slack is None else [f"slack={self.slack!r}"]
        words += [f"each={self.each!r}"] if self.each else []
        return f".at_rate({', '.join(words)})"


LEAST_APPLYING = 32
"""The fewest probes to which a property has to apply before a search without a violation says anything; of a shorter
search, half of its probes."""


@dataclass(frozen=True)
class Scope:
    """Where a property applies: to probes whose outputs all score within bounds. `Property.where` makes one.

    Of a pair it is the reference's outputs that count, so that no candidate leaves the scope by being broken.
    """

    attribute: Attribute
    at_least: float | None = None
    at_most: float | None = None
    fewest: int | None = None
    """The fewest probes that count, for a property without a rate; None for `LEAST_APPLYING`."""

    def __post_init__(self) -> None:
        check_callable("attribute", self.attribute)
        for name, value in (("at_least", self.at_least), ("at_most", self.at_most)):
            if value is not None and not isfinite(as_number(value)):
                raise InvalidArgument.expected("a finite number", name, value)
        if self.at_least is None and self.at_most is None:
            raise InvalidArgument("where() takes at_least=, at_most= or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise InvalidArgument.expected(f"a number >= at_least={self.at_least}", "at_most", self.at_most)
        if self.fewest is not None and not is_whole(self.fewest, 1):
            raise InvalidArgument.expected("a number of probes >= 1", "fewest", self.fewest)

    def of(self, definition: Definition, *, pair: bool) -> Definition:
        """The property that says where another one applies: its margin is >= 0 there."""

        def margin(evidence: Evidence) -> Tensor:
            scores = (evidence.reference if pair else evidence).scores(self.attribute)  # [N, P]
            low = scores.amin(1) - self.at_least if self.at_least is not None else torch.full_like(scores[:, 0], inf)
            high = self.at_most - scores.amax(1) if self.at_most is not None else torch.full_like(low, inf)
            return torch.minimum(low, high)

        bounds = {"at_least": self.at_least, "at_most": self.at_most}
        return Definition(
            "where",
            definition.probes,
            margin,
            arguments={"attribute": self.attribute, **{k: v for k, v in bounds.items() if v is not None}},
            measures=(self.measure,),
            compares=None,
            under=definition.under,
        )

    def fewest_of(self, n: int) -> int:
        """The fewest probes that count in a search of `n`.

        >>> from gentest.attributes import brightness
        >>> Scope(brightness(), 0.5).fewest_of(300), Scope(brightness(), 0.5).fewest_of(20)
        (32, 10)
        """
        return min(LEAST_APPLYING, max(n // 2, 1)) if self.fewest is None else self.fewest

    @property
    def measure(self) -> Measure:
        """What it asks of outputs."""
        return Measure(self.attribute, scalar=True)

    def __str__(self) -> str:
        words = [_word(self.attribute)]
        words += [f"{name}={value!r}" for name in ("at_least", "at_most") if (value := getattr(self, name)) is not None]
        words += [] if self.fewest is None else [f"fewest={self.fewest}"]
        return f".where({', '.join(words)})"


Margin: TypeAlias = Callable[[Evidence], Tensor]


@dataclass(frozen=True)
class Under:
    """A prior under which a margin is taken, and its name in reports. At a rate each arm has a rate of its own."""

    space: Space
    arm: str = ""
    name: str = ""


Unders: TypeAlias = Callable[[Space], tuple[Under, ...]]
"""The priors under which a property takes its margin, given the generator's own."""


def its_own(space: Space) -> tuple[Under, ...]:
    """The generator's own prior alone."""
    return (Under(space),)


@dataclass(frozen=True)
class RateInvariance:
    """The second statement of `prior_invariant` at a rate: rates differ by less than `delta` between priors."""

    delta: float


@dataclass(frozen=True)
class WithinRadius:
    """The statement of `holds_within`: the `inner` property holds up to a radius."""

    inner: Definition
    radius: float


@dataclass(frozen=True)
class Measure:
    """Something that a margin asks of every output of a probe, or of pairs of its outputs.

    `scalar` is True for an attribute's scores, False for a feature's rows, None if the callable itself tells. `pairs`
    are the places between which a margin asks for distances.
    """

    thing: Attribute | Feature | Distance
    _: KW_ONLY
    scalar: bool | None = None
    pairs: tuple[tuple[int, ...], tuple[int, ...]] | None = None


def along(thing: Attribute | Feature | Distance, n_points: int) -> tuple[Measure, ...]:
    """The steps between neighbouring places of a probe; empty for a single point."""
    pairs = tuple(range(n_points - 1)), tuple(range(1, n_points))
    return (Measure(thing, scalar=False, pairs=pairs),) if n_points > 1 else ()


@dataclass(frozen=True)
class Apart:
    """The demand that any two of the `among` outputs of a probe are at least `at_least` apart."""

    measure: Feature | Distance
    at_least: float
    among: int

    @property
    def pairs(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The two outputs of each pair: 0 and 1, 0 and 2, and so on to the last two."""
        first, second = torch.triu_indices(self.among, self.among, offset=1)
        return tuple(first.tolist()), tuple(second.tolist())

    def distances(self, evidence: Evidence) -> Tensor:
        """The distances [N, K] of all pairs of a probe's outputs, in the order of `pairs`."""
        first, second = self.pairs
        if isinstance(self.measure, Distance):
            return evidence.distances(self.measure, first, second)
        x = evidence.features(self.measure)  # [N, P, D]
        # The default way for many rows, through matrix products, puts duplicates up to 1e-3 apart.
        distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")  # [N, P, P]
        return distances[:, first, second]


SUBJECTS = ("attribute", "on", "feature", "distance", "property", "reference", "classifier")
"""Arguments that a property prints without their names, as in `between(brightness(), tolerance=0.1)`."""


@dataclass(frozen=True)
class Declaration:
    """A property with its arguments.

    `measures` is everything that the property asks of outputs. gentest measures it before it drops images from memory;
    a property that asks for more makes those images again.
    """

    name: str
    _: KW_ONLY
    arguments: Mapping[str, object] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    @property
    def in_deviations(self) -> bool:
        """True if some tolerance is given in standard deviations under the prior."""
        values = self.arguments.values()
        return any(
            isinstance(v, StandardDeviations) or (isinstance(v, Declaration) and v.in_deviations) for v in values
        )

    def __str__(self) -> str:
        words = (_word(v) if key in SUBJECTS else f"{key}={_word(v)}" for key, v in self.arguments.items())
        return f"{self.name}({', '.join(words)})"


@dataclass(frozen=True)
class OfAll(Declaration):
    """A property that judges all outputs together, so that it has no rate and no counterexample."""

    compares: ClassVar[bool] = False
    """True if the property is about a pair, False if about one generator."""

    @property
    def probes(self) -> Points:
        """The probes whose outputs are judged: independent samples of the prior."""
        return points()


def _word(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_word, value))}]"
    return describe(value) if callable(value) else str(value) if isinstance(value, Declaration) else repr(value)


@dataclass(frozen=True)
class Definition(Declaration):
    """A property that judges probe by probe.

    `margin` gives float [N], >= 0 if the property holds and < 0 if it does not; taken under each prior of `under`, the
    smallest counts. With a `rate` the verdict is about how often the property holds. `states` is what the property
    states besides its margin.
    """

    probes: Probes
    margin: Margin
    total: bool = field(default=False, kw_only=True)
    """True if the margin judges what others take for granted: finite outputs in range, the same in any batch."""
    again: int = field(default=0, kw_only=True)
    """The number of images that the margin makes of each latent with `Evidence.again`."""
    reducible: bool = field(default=True, kw_only=True)
    """True if a probe whose ends differ in fewer coordinates is as fair a test. A property that demands a change
    between latents sets False: its counterexamples keep all coordinates."""
    storable: bool = field(default=False, kw_only=True)
    """True if the margin is a function of the outputs alone, so that the disk cache may keep it like a measurement."""
    compares: bool | None = field(default=False, kw_only=True)
    """True if the property is about a pair, False if about one generator, None if it takes either."""
    rate: AtRate | None = field(default=None, kw_only=True)
    scope: Scope | None = field(default=None, kw_only=True)
    """Where the property applies; None if it applies to all probes."""
    under: Unders = field(default=its_own, kw_only=True)
    states: RateInvariance | WithinRadius | None = field(default=None, kw_only=True)
    valid_within: float | None = field(default=None, kw_only=True)
    """The excess over the output range that is allowed, if the property says that every output is finite and in range.

    Other properties take this for granted. If one of them meets an output beyond, this one does not hold.
    """
    note: Callable[[Evidence], str] | None = field(default=None, kw_only=True)
    """Adds a remark on the evidence of one violating probe; an empty remark is left out."""
    apart: Apart | None = field(default=None, kw_only=True)
    """The demand on each two outputs of a probe, if the margin is the smallest distance less what it asks for. Reports
    then name the outputs that are too near."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_probes(f"{self.name}(probes)", self.probes)
        if self.scope is not None and isinstance(self.states, WithinRadius):
            raise InvalidArgument("holds_within() is about all latents up to a radius: it takes no where()")

    def __str__(self) -> str:
        return f"{super().__str__()}{self.scope or ''}{self.rate or ''}"


AnyDefinition: TypeAlias = Definition | OfAll
"""A declared property: of single probes, or of all outputs together."""


def non_defaults(define: Callable[..., object], **arguments: object) -> dict[str, object]:
    """The arguments that differ from the defaults of a property's function: those that the property prints.

    >>> def steady(attribute, tolerance=0.1): ...
    >>> non_defaults(steady, attribute="brightness", tolerance=0.1)
    {'attribute': 'brightness'}
    """
    defaults = {name: parameter.default for name, parameter in signature(define).parameters.items()}
    return {
        name: value for name, value in arguments.items() if defaults[name] is Parameter.empty or value != defaults[name]
    }


def check_number(name: str, value: Any, *, positive: bool = False) -> float:
    """The value as a float. Raises `InvalidArgument` unless it is finite and >= 0, or > 0 if `positive`."""
    number = isinstance(value, (int, float, Real)) and not isinstance(value, bool)
    good = number and 0 <= value <= float_info.max
    if not good or (positive and value == 0):
        raise InvalidArgument.expected(f"a finite number {'> 0' if positive else '>= 0'}", name, value)
    return float(value)


def check_tolerance(value: object, name: str = "tolerance", *, positive: bool = False) -> Tolerance:
    """The tolerance. Raises `InvalidArgument` unless it is `gentest.sd(x)` or a finite number, >= 0 or > 0."""
    if not isinstance(value, StandardDeviations):
        return check_number(name, value, positive=positive)
    if positive and value.multiple == 0.0:
        raise InvalidArgument.expected("a number or gentest.sd(x) > 0", name, value)
    return value


def check_probes(name: str, value: object) -> None:
    """Raises `InvalidArgument` unless the value is a family of probes."""
    if not isinstance(value, Probes):
        families = "gentest.points(), .segments(), .neighbours(), .steps() or .along(direction)"
        raise InvalidArgument.expected(families, name, value)


FACTORIES = [getattr(attributes, name) for name in attributes.__all__]
"""Functions that return an attribute, such as `gentest.brightness`. Users often pass one without calling it."""


def check_callable(name: str, value: Any) -> None:
    """Raises `InvalidArgument` unless the value is an attribute or feature: something to call on outputs."""
    uncalled = isinstance(value, type) or any(value is factory for factory in FACTORIES)
    if not callable(value) or uncalled:
        hint = f"call it first: {getattr(value, '__name__', '')}()" if uncalled else ""
        what = "a callable on images [B, C, H, W], or on whatever else the outputs are"
        raise InvalidArgument.expected(what, name, value, hint=hint)
    if isinstance(value, Distance):
        raise InvalidArgument.expected("a callable on one batch of outputs, not a distance of two", name, value)


def check_kept(keeps: object) -> tuple[Attribute, ...]:
    """The attributes that a property keeps. Raises `InvalidArgument` unless they are a list of callables."""
    if not isinstance(keeps, (list, tuple)):
        raise InvalidArgument.expected("a list of attributes", "keeps", keeps)
    for number, other in enumerate(keeps):
        check_callable(f"keeps[{number}]", other)
    return tuple(keeps)


def check_measure(name: str, value: Any) -> Feature | Distance:
    """The feature or distance; `gentest.pixels()` for None. Raises `InvalidArgument` for anything else."""
    measure: Feature | Distance = pixels() if value is None else value
    if not isinstance(measure, Distance):
        check_callable(name, measure)
    return measure


def measures_in(value: object, n_points: int) -> Iterator[Measure]:
    """The measures among the arguments of a user's property, alone or in lists and dictionaries.

    A user's margin does not declare its measures, so every callable argument counts as an attribute or feature, and
    every distance as one between neighbouring places.
    """
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from measures_in(one, n_points)
    elif isinstance(value, Mapping):
        yield from measures_in(list(value.values()), n_points)
    elif isinstance(value, Declaration):
        yield from value.measures
    elif isinstance(value, Distance):
        yield from along(value, n_points)
    elif callable(value) and not isinstance(value, type):
        yield Measure(value)
