"""A property as the engine sees it: a family of probes, and a margin [N] of the evidence that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from inspect import isroutine
from numbers import Real
from sys import float_info
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, get_args, get_origin, get_type_hints

from torch import Tensor

from gentest._support.arguments import as_number
from gentest._support.printable import format_number
from gentest.attributes import Attribute, Bindable, Distance, Feature, Readout
from gentest.attributes.attribute import describe
from gentest.attributes.pixels import Pixels
from gentest.errors import InvalidArgument
from gentest.probes.families import Probes
from gentest.probes.probe import Probe
from gentest.properties.references import Reference
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
    """A tolerance of `multiple` standard deviations of the attribute under the generator's prior.

    The spread is measured once a generator and attribute, on 256 latents from a fixed seed, and rounded to four
    figures, so that it is a stated number.

    >>> sd(2)
    sd(2)
    """
    return StandardDeviations(check_number("multiple", multiple))


def check_number(name: str, value: Any, *, positive: bool = False) -> float:
    """A finite number >= 0 (> 0 where it must be positive), checked."""
    number = isinstance(value, (int, float, Real)) and not isinstance(value, bool)
    good = number and 0 <= value <= float_info.max
    if not good or (positive and value == 0):
        raise InvalidArgument.expected(f"a finite number {'> 0' if positive else '>= 0'}", name, value)
    return float(value)


def check_tolerance(value: object) -> Tolerance:
    """A tolerance, checked: a finite number >= 0 or `gentest.sd(x)`."""
    if isinstance(value, StandardDeviations):
        return value
    return check_number("tolerance", value)


class Evidence(Protocol):
    """The outputs of a batch of N probes of P latents each, computed when they are asked for."""

    @property
    def probes(self) -> Sequence[Probe]:
        """The N probes."""

    @property
    def latents(self) -> Tensor | Mapping[str, Tensor]:
        """What the generator was given: [N, P, *shape], by part in a `Joint` space."""

    @property
    def t(self) -> Tensor:
        """Where on its path each latent lies, [N, P], from 0 to 1."""

    @property
    def images(self) -> Tensor:
        """Outputs [N, P, C, H, W], checked to be finite and in range, in [0, 1].

        Of a generator of no images (`images=False`) outputs are [N, P, ...] here and below, in their own units unless
        they have a range.
        """

    @property
    def outputs(self) -> Tensor:
        """Outputs [N, P, C, H, W] as they came, with the output range mapped to [0, 1]: neither checked nor clamped."""

    @property
    def bounded(self) -> bool:
        """Whether the outputs have a range, which is mapped to [0, 1]: images always, others where it is declared."""

    @property
    def unit(self) -> float:
        """What a difference of outputs is a share of: 1, or the range of some samples where none is declared."""

    def scores(self, attribute: Attribute) -> Tensor:
        """An attribute of every output, float32 [N, P]."""

    def features(self, feature: Feature) -> Tensor:
        """A feature of every output, float32 [N, P, D]."""

    def distances(self, thing: Feature | Distance, first: Sequence[int], second: Sequence[int]) -> Tensor:
        """How far each probe's latents at places `first` are from those at `second` in their outputs, float32 [N, K].

        `first` and `second` are K places of a probe each, from 0 to P - 1. A feature's distance is the L2 norm of the
        difference of its rows.
        """

    def in_units(self, tolerance: Tolerance, of: Attribute | Feature | Distance) -> float:
        """A tolerance as a number: `gentest.sd(x)` times the spread of an attribute or feature under the prior."""

    def under(self, prior: Space) -> Evidence:
        """The same probes under another prior, coupled: both draw from the same uniforms."""

    def again(self, company: int, *, chance: int = 0) -> Tensor:
        """Outputs [N, P, C, H, W] made once more, each latent last in a batch with `company` other samples.

        `chance` seeds the random numbers that the generator draws by itself.
        """


@dataclass(frozen=True)
class AtRate:
    """For which share of probes a property is to hold: at least `p0`, certified less `slack` with `confidence`."""

    p0: float
    confidence: float = 0.99
    slack: float | None = None
    each: str = ""
    """The discrete part of the space for each of whose values the rate is to hold."""

    def __post_init__(self) -> None:
        if not isinstance(self.each, str):
            raise InvalidArgument.expected("the name of a discrete part, such as 'label'", "each", self.each)
        for name, value in (("p0", self.p0), ("confidence", self.confidence)):
            if not 0.0 < as_number(value) < 1.0:
                hint = "a property that is to hold on every probe has no rate" if name == "p0" else ""
                raise InvalidArgument.expected("a number above 0 and below 1", name, value, hint=hint)
        if self.slack is not None and not 0.0 <= as_number(self.slack) < self.p0:
            raise InvalidArgument.expected("a number >= 0 and below p0", "slack", self.slack)
        _ = self.test  # which refuses what is too near to 0 or 1

    @property
    def test(self) -> RateTest:
        """The sequential test of this rate."""
        return self.test_among(1)

    def test_among(self, n: int) -> RateTest:
        """The sequential test of each of `n` rates, all of which are to hold: refuting any refutes the whole."""
        slack = default_slack(self.p0) if self.slack is None else float(self.slack)
        return RateTest(float(self.p0), slack, 1.0 - self.confidence, n)

    def __str__(self) -> str:
        words = [f"{self.p0!r}"]
        words += [] if self.confidence == AtRate.confidence else [f"confidence={self.confidence!r}"]
        words += [] if self.slack is None else [f"slack={self.slack!r}"]
        words += [f"each={self.each!r}"] if self.each else []
        return f".at_rate({', '.join(words)})"


SUBJECTS = ("attribute", "feature", "distance", "property", "reference", "classifier")
"""Arguments that are what a property speaks of: written without their names, as they are given."""

Margin: TypeAlias = Callable[[Evidence], Tensor]


@dataclass(frozen=True)
class Under:
    """A prior that a margin is taken under, and how a report calls it; at a rate each arm has a rate of its own."""

    space: Space
    arm: str = ""
    name: str = ""


Unders: TypeAlias = Callable[[Space], tuple[Under, ...]]
"""Under which priors a property's margin is taken, given the generator's own."""


def its_own(space: Space) -> tuple[Under, ...]:
    """The generator's own prior alone."""
    return (Under(space),)


@dataclass(frozen=True)
class RateInvariance:
    """The second statement of `prior_invariant` at a rate: that rates differ by less than `delta` between priors."""

    delta: float


@dataclass(frozen=True)
class WithinRadius:
    """What `holds_within` says besides its margin: up to which radius the inner property holds."""

    inner: Definition
    radius: float


@dataclass(frozen=True)
class Matches:
    """What `matches` says, of all outputs together: `n` of them are distributed as the reference is."""

    reference: Reference
    feature: Feature
    tolerance: float | None
    n: int


@dataclass(frozen=True)
class Measure:
    """Something that a margin asks of every output of a probe, or of pairs of its outputs.

    `scalar` says that an attribute is asked for its scores, or a feature for its rows; None takes either. `pairs` are
    the places between which a feature or a distance is asked for.
    """

    thing: Attribute | Feature | Distance
    _: KW_ONLY
    scalar: bool | None = None
    pairs: tuple[tuple[int, ...], tuple[int, ...]] | None = None


def along(thing: Attribute | Feature | Distance, n_points: int) -> tuple[Measure, ...]:
    """The steps between neighbouring places of a probe; nothing where the probe is a single point."""
    pairs = tuple(range(n_points - 1)), tuple(range(1, n_points))
    return (Measure(thing, scalar=False, pairs=pairs),) if n_points > 1 else ()


@dataclass(frozen=True)
class Definition:
    """A property with its arguments: what is looked at, and by how much it holds.

    `margin` gives float [N], >= 0 where the property holds and < 0 where it does not. `total` says that the margin
    judges outputs that other properties take for granted (finite, in range, a function of the latent alone).
    `reducible` says that a probe whose ends differ in fewer coordinates is as fair a test; where it is not, as for a
    property that asks for a change, a counterexample keeps all of its coordinates. With a `rate` the verdict is on how
    often the property holds. The margin is taken under each prior that `under` gives, and the smallest counts; `states`
    is what the property states besides, or instead. `note` says of the evidence of one probe that violates what its
    margin does not; empty where there is nothing to say. `measures` is all that the margin asks of outputs: gentest
    measures it before the images of its probes are dropped. A margin that asks for more makes those images again. The
    margins of a `storable` property are kept as measurements are: they are a function of the outputs alone.
    """

    name: str
    probes: Probes
    margin: Margin
    arguments: Mapping[str, object] = field(default_factory=dict)
    total: bool = False
    reducible: bool = True
    rate: AtRate | None = None
    under: Unders = its_own
    states: RateInvariance | WithinRadius | Matches | None = None
    note: Callable[[Evidence], str] | None = None
    measures: tuple[Measure, ...] = ()
    storable: bool = False

    def __post_init__(self) -> None:
        check_probes(f"{self.name}(probes)", self.probes)
        if self.rate is not None and isinstance(self.states, Matches):
            raise InvalidArgument(f"{self.name} speaks of all outputs together: it has no rate")
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    @property
    def in_deviations(self) -> bool:
        """Whether a tolerance is given in standard deviations under the prior."""
        values = self.arguments.values()
        return any(isinstance(v, StandardDeviations) or (isinstance(v, Definition) and v.in_deviations) for v in values)

    def __str__(self) -> str:
        def word(value: object) -> str:
            if isinstance(value, (list, tuple)):
                return f"[{', '.join(word(v) for v in value)}]"
            return describe(value) if callable(value) else str(value) if isinstance(value, Definition) else repr(value)

        words = (word(v) if key in SUBJECTS else f"{key}={word(v)}" for key, v in self.arguments.items())
        return f"{self.name}({', '.join(words)}){'' if self.rate is None else self.rate}"


def check_probes(name: str, value: Any) -> None:
    """A family of probes, checked."""
    if not isinstance(value, Probes):
        families = "gentest.points(), .segments(), .neighbours(), .steps() or .along(direction)"
        raise InvalidArgument.expected(families, name, value)


def check_callable(name: str, value: Any) -> None:
    """An attribute or feature, checked: something to call on outputs."""
    uncalled = isinstance(value, type) or (
        isroutine(value) and (value.__module__ or "").startswith("gentest.attributes")
    )
    if not callable(value) or uncalled:
        hint = f"call it first: {getattr(value, '__name__', '')}()" if uncalled else ""
        what = "a callable on images [B, C, H, W], or on whatever else the outputs are"
        raise InvalidArgument.expected(what, name, value, hint=hint)
    if isinstance(value, Distance):
        raise InvalidArgument.expected("a callable on one batch of outputs, not a distance of two", name, value)


def check_kept(keeps: object) -> tuple[Attribute, ...]:
    """The attributes that something is to keep as they are, checked: a list of callables on images."""
    if not isinstance(keeps, (list, tuple)):
        raise InvalidArgument.expected("a list of attributes", "keeps", keeps)
    for number, other in enumerate(keeps):
        check_callable(f"keeps[{number}]", other)
    return tuple(keeps)


def check_measure(name: str, value: Any) -> None:
    """A feature or a distance, checked."""
    if not isinstance(value, Distance):
        check_callable(name, value)


KINDS = (Attribute,), (Feature,), (Any, Callable)
"""Annotations of what gives scores, of what gives rows, and of what may give either."""


def measures_of(margin: Callable[..., Any], arguments: Mapping[str, object], n_points: int) -> tuple[Measure, ...]:
    """The attributes, features and distances among the arguments of a user's margin, alone or in lists.

    An argument counts for its value, where that is one of gentest's or a `Readout`, and for its annotation; a callable
    without one may be an attribute, and counts. A distance is taken to be asked for between neighbouring places.
    """
    try:
        hints = get_type_hints(margin)
    except Exception:  # whatever evaluating somebody's annotations raises: then none is known
        hints = {}
    given = ((value, hints.get(name, Any)) for name, value in arguments.items())
    return tuple(measure for value, hint in given for measure in _measures_in(value, hint, n_points))


def _measures_in(value: object, annotation: Any, n_points: int) -> Iterator[Measure]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _measures_in(one, annotation, n_points)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _measures_in(one, annotation, n_points)
    elif isinstance(value, Definition):
        yield from value.measures
    elif isinstance(value, Distance):
        yield from along(value, n_points)
    elif callable(value) and not isinstance(value, type):
        parts = list(_parts(annotation))
        scores, rows, anything = (any(part is one for part in parts for one in kinds) for kinds in KINDS)
        if isinstance(value, (Pixels, Readout, Bindable)) or scores or rows or anything:
            yield Measure(value, scalar=None if scores is rows else scores)


def _parts(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of."""
    yield get_origin(annotation) or annotation
    if get_origin(annotation) is not Callable:
        for part in get_args(annotation):
            yield from _parts(part)
