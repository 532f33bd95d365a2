"""Tolerances to start from, measured on a generator: at each one a property holds as often as the user asks.

A property's margin is its tolerance less an excess. The order statistics of the excess of independent probes give a
bound, for any distribution: the asked share of all probes lies under it, with the asked confidence
(`gentest.stats.quantiles`). A floor such as `responsive(at_least=)` is the same from below. The bound is rounded to two
figures, to the side on which the property still holds.

Why 1,024 probes? Asked for 95 %, the property then truly holds on about 96.5 %. A sequential test of `.at_rate(0.95)`
on other probes certifies more than 93 % (its slack). It ends in `holds` with a probability of 99.9 %, in `violated`
with 0.02 % and in `undecided` with 0.08 %, after 595 probes on average. Fewer probes give a looser bound. More come so
near to the rate that the test takes longer (957 probes for 4,096). At a rate of 0.99, whose slack is 0.004, 94 % end in
`holds` and 6 % in `undecided`: ask for fewer probes, or give a larger budget.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR
from decimal import Context as Rounding
from typing import Any

import numpy as np
from torch import Tensor

from gentest._support.arguments import is_whole
from gentest._support.printable import first_line, noun
from gentest.attributes import Attribute, Feature, brightness, colorfulness, contrast, pixels, sharpness
from gentest.attributes.attribute import Named, Setup, bind, describe
from gentest.attributes.clip import ClipAttribute
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import shared_context
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import examine, samples
from gentest.engine.evidence.plans import Stream, real
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.suggest.measured_properties import ATTRIBUTES, FEATURES, MeasuredProperty
from gentest.errors import GeneratorError, InvalidArgument, NoSpread
from gentest.generators.generator import Generator, check_generator
from gentest.measures.declared import ModelAttribute, OwnAttribute, attribute
from gentest.probes.families import Probes
from gentest.properties.definition import AtRate, Definition, check_callable
from gentest.properties.samples import reproducible, well_formed
from gentest.results.result import Verdict
from gentest.results.settings import Values, in_force, settings
from gentest.spaces.space import Floats
from gentest.stats.quantiles import lower_bound, upper_bound, upper_rank

N = 1024
"""Independent probes of each family. A path takes 9 images, a pair or a step 2, a group 16: 29,696 for all four."""
STREAM = 0x73756767657374
"""Added to the seed, so that no run of pytest checks the probes that its tolerances were measured on."""
FAR = 20.0
"""The tolerance, in standard deviations, at which a property is measured. No margin is near zero there, where each
probe would be evaluated alone, and rounding still keeps 1e-6 of a standard deviation."""
LEAST = 0.01
"""The smallest tolerance, in standard deviations. A smaller excess is rounding."""
CHECKED = 64
"""Probes on which a property without a number is checked."""
FIGURES = 2
"""Significant figures of a suggested number."""
UNMEASURED = (well_formed(), reproducible())


@dataclass(frozen=True)
class Figures:
    """The values measured on `probes` independent probes, in the units of the property's number."""

    probes: int
    median: float
    quantile: float
    """The asked share of these probes lies under it (over it, for a floor)."""
    bound: float
    """The asked share of all probes lies under it (over it, for a floor), with the asked confidence."""
    worst: float
    """The largest value; the smallest, for a floor."""
    spread: float | None
    """One standard deviation of the attribute or feature under the prior; None if the number has no units."""
    floor: bool = False
    """True if the number is a least value rather than a largest one."""


@dataclass(frozen=True)
class Suggestion:
    """A property, and the number at which it holds at the asked rate."""

    property: str
    """The property without its number: `between(brightness())`."""
    test: str
    """The name of the test function that it belongs in."""
    line: str
    """The decorator, ready to paste; empty if no number holds."""
    other: str = ""
    """The decorator with the tolerance in its other form, `gentest.sd(x)` or a plain number; empty without one."""
    other_tolerance: str = ""
    """The tolerance as `other` writes it."""
    tolerance: float | None = None
    """The number, rounded to two figures to the side on which the property holds."""
    in_sd: float | None = None
    """The number in standard deviations of the attribute or feature under the prior, rounded alike."""
    measures: str = ""
    """The value that the figures describe, in words."""
    figures: Figures | None = None
    why: str = ""
    """The reason if there is no line."""


@dataclass(frozen=True)
class Wish:
    """The rate that properties shall hold at, and the independent probes to measure on."""

    rate: AtRate
    n: int = N
    seed: int = 0

    def __post_init__(self) -> None:
        if not is_whole(self.seed, 0, 2**63 - 1):
            raise InvalidArgument.expected("a whole number >= 0", "seed", self.seed)
        upper_rank(self.n, self.rate.p0, self.rate.confidence)


def suggest(
    generator: Generator,
    attributes: Sequence[Attribute] | None = None,
    *,
    features: Sequence[Feature] | None = None,
    rate: float = 0.95,
    confidence: float = 0.99,
    n: int = N,
    seed: int = 0,
    settings: settings | None = None,
) -> list[Suggestion]:
    """Decorators to start from, with numbers at which each property holds on at least `rate` of a generator's prior.

    Measures `between` and `monotone` of each attribute (by default brightness, contrast, sharpness and, in colour,
    colorfulness; none if the outputs are not images), and `responsive`, `diverse`, `continuous` and `path_length` of
    each feature (by default `pixels()`). Each number is a bound in the units of its attribute or feature: the property
    holds at the rate with `confidence`, from `n` independent probes that no run of pytest checks. A larger `n` comes
    nearer to the rate. `settings` gives the device, the batch size and the CLIP.

    Raises `InvalidArgument` for wrong arguments, and any error of the generator or an attribute.

    >>> import gentest
    >>> g = gentest.Generator(lambda z: z.tanh()[:, :, None, None], latent=gentest.Normal(3))
    >>> print(gentest.suggest(g, [gentest.brightness()], features=[])[-1].line)
    @gentest.monotone(gentest.brightness(), tolerance=0.17).at_rate(0.95)
    """
    check_generator(generator)
    wish = Wish(AtRate(rate, confidence), n, seed)
    return measure(wish, generator, shared_context(in_force(settings)), attributes=attributes, features=features)


def measure(
    wish: Wish,
    generator: Generator,
    context: Context,
    *,
    attributes: Sequence[Attribute] | None = None,
    features: Sequence[Feature] | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> list[Suggestion]:
    """Suggestions measured in a given context. `watch` is called with the numbers of probes done and in total."""
    generator.to(context.device)
    subject = context.subject(generator)
    _check_measures("features", features)
    _check_measures("attributes", attributes)
    examine(context, subject)
    features = [pixels()] if features is None else features
    attributes = default_attributes(context, subject) if attributes is None else attributes
    measured = [
        _Measured(row, measure, context, subject)
        for measures, rows in ((features, FEATURES), (attributes, ATTRIBUTES))
        for measure in measures
        for row in rows
    ]
    streams: dict[Probes, Stream] = {}
    for family in dict.fromkeys(m.judge.definition.probes for m in measured if m.judge is not None):
        of_family = [m.judge for m in measured if m.judge is not None and m.judge.definition.probes == family]
        streams[family] = Stream(wish.seed + STREAM, functools.partial(real, family, generator.latent))
        done = 0
        # each block goes through every property of the family, so that its outputs are made once
        while done < wish.n:
            block = streams[family].probes(done, min(of_family[0].local.block_size, wish.n - done))
            for judge in of_family:
                judge.margins(block)
            done += len(block)
            watch(done, wish.n)
    unmeasured = [_checked(definition, generator, context) for definition in UNMEASURED]
    return unmeasured + [m.suggestion(wish, streams) for m in measured]


def default_attributes(context: Context, subject: Subject) -> list[Attribute]:
    """The attributes to measure by default: those that need no model and fit the images; none for other outputs."""
    if not subject.generator.images:
        return []
    channels, *size = samples(context, subject).images.shape[2:]
    if channels not in (1, 3):
        return []
    fine = [contrast(), sharpness()] if min(size) >= 3 else [contrast()] if max(size) > 1 else []
    return [brightness(), *fine, *([colorfulness()] if channels == 3 else [])]


class _Measured:
    """One property of one attribute or feature, measured at a number far from any that holds."""

    def __init__(self, row: MeasuredProperty, measure: Any, context: Context, subject: Subject) -> None:
        self.row = row
        self.measure = measure
        self.spread: float | None = None
        self.judge: Judge | None = None
        self.why = ""
        self.at = row.at
        try:
            if self.at is None:
                self.spread = context.measuring.spread(measure, subject, describe(measure))
                self.at = FAR * self.spread
        except NoSpread as error:
            self.why = str(error)
            return
        self.judge = Judge(context, subject, row.define(measure, self.at))

    def suggestion(self, wish: Wish, streams: dict[Probes, Stream]) -> Suggestion:
        """The suggestion that follows from the margins."""
        row, judge = self.row, self.judge
        name, test = f"{row.name}({describe(self.measure)})", row.test.format(_slug(self.measure))
        build = functools.partial(Suggestion, name, test, measures=row.measures)
        if judge is None or self.at is None:
            return build(line="", why=self.why)
        margins = np.array(judge.margins(streams[judge.definition.probes].probes(0, wish.n)))
        figures = self._figures(margins + self.at if row.floor else self.at - margins, wish)
        build = functools.partial(build, figures=figures)
        band, least = judge.local.rounding or 0.0, LEAST * (self.spread or 0.0)
        wanted = figures.bound - band if row.floor else max(figures.bound + band, least)
        if wanted < least or wanted <= 0.0:
            why = f"{row.measures} is almost zero on too many probes: did the generator collapse?"
            return build(line="", why=why)
        number = rounded(wanted, up=not row.floor)
        try:
            row.define(self.measure, number)
        except InvalidArgument:
            return build(line="", why=f"no {row.keyword} below {number:g} holds on as many probes")
        in_sd = None if self.spread is None else rounded(wanted / self.spread, up=not row.floor)
        form, *others = self._forms(number, in_sd if row.takes_sd else None)
        call = f"@gentest.{row.name}({_source(self.measure)}, {row.keyword}="
        build = functools.partial(build, line=f"{call}{form}){wish.rate}", tolerance=number, in_sd=in_sd)
        return build(other=f"{call}{others[0]}){wish.rate}", other_tolerance=others[0]) if others else build()

    def _figures(self, values: Floats, wish: Wish) -> Figures:
        floor, share = self.row.floor, wish.rate.p0
        return Figures(
            probes=wish.n,
            median=float(np.median(values)),
            quantile=float(np.quantile(values, 1.0 - share if floor else share)),
            bound=(lower_bound if floor else upper_bound)(values, share, wish.rate.confidence),
            worst=float(values.min() if floor else values.max()),
            spread=self.spread,
            floor=floor,
        )

    def _forms(self, number: float, in_sd: float | None) -> list[str]:
        """The number as the decorator writes it, and in its other form if it has one."""
        forms = [f"{number:g}", *([f"gentest.sd({in_sd:g})"] if in_sd is not None else [])]
        if isinstance(self.measure, ClipAttribute) and not self.measure.probability:
            forms.reverse()  # standard deviations tell a reader more than log-odds
        return forms


def rounded(value: float, *, up: bool) -> float:
    """A value rounded up or down to two significant figures.

    >>> rounded(0.0371, up=True), rounded(0.0379, up=False), rounded(120.1, up=True), rounded(0.05, up=True)
    (0.038, 0.037, 130.0, 0.05)
    """
    rounding = Rounding(prec=FIGURES, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return value if value == float(f"{value:.{FIGURES}g}") else float(rounding.create_decimal_from_float(value))


def _checked(definition: Definition, generator: Generator, context: Context) -> Suggestion:
    """The suggestion of a property without a number, which holds or not."""
    result = check(Question(definition), generator, context, Values(examples=CHECKED, reduce=0))
    if result.verdict is Verdict.ERROR:
        raise GeneratorError(result.message)
    suggest_as = functools.partial(Suggestion, f"{definition.name}()", "test_is_a_function")
    if result.verdict is Verdict.NO_COUNTEREXAMPLE:
        return suggest_as(line=f"@gentest.{definition.name}()")
    tried = f"{result.search.examples} {noun(result.search.examples, 'probe')}"
    return suggest_as(line="", why=f"{result.search.violations} of {tried} violate it")


def _check_measures(name: str, measures: object) -> None:
    """Raise `InvalidArgument` unless `measures` is None or a list of attributes or features."""
    if measures is None:
        return
    if not isinstance(measures, (list, tuple)):
        raise InvalidArgument.expected("a list such as [gentest.brightness()]", name, measures)
    for measure in measures:
        check_callable(name, measure)


@dataclass(frozen=True, repr=False)
class Imported(Named):
    """An attribute of a user's own that a test file imports: `source` is how the file writes it."""

    attribute: Any
    module: str
    source: str

    @classmethod
    def of(cls, place: str) -> Imported:
        """The attribute at `MODULE:NAME`. Raises `InvalidArgument` for a place that holds none."""
        module, _, name = place.partition(":")
        try:
            value: Any = importlib.import_module(module)
        except Exception as error:  # whatever somebody else's module raises
            message = f"{place}: {module} cannot be imported: {type(error).__name__}: {first_line(error)}"
            raise InvalidArgument(message) from error
        for part in name.split("."):
            if not hasattr(value, part):
                raise InvalidArgument(f"{place}: {module} has no {name!r}")
            value = getattr(value, part)
        source = f"{module}.{name}"
        if isinstance(value, str) or not callable(value) or isinstance(value, type):
            got = f"{value!r:.80} (type={type(value).__name__})"
            raise InvalidArgument(f"{place}: Expected an attribute, or a function that loads one, but got {got}")
        if isinstance(own := attribute(value), ModelAttribute) and not isinstance(value, Named):
            return cls(own, module, f"gentest.attribute({source})")
        return cls(value, module, source)

    def bind(self, setup: Setup) -> object:
        return bind(self.attribute, setup)

    def __call__(self, outputs: Tensor) -> Tensor:
        scores: Tensor = self.attribute(outputs)
        return scores

    def __repr__(self) -> str:
        return self.source


def _source(measure: object) -> str:
    """An attribute or feature in Python: `gentest.brightness()`, or the name of a user's own."""
    if isinstance(measure, Imported):
        return measure.source
    if isinstance(measure, (OwnAttribute, ModelAttribute)):  # a name for reports need not be one in Python
        return measure.name if measure.name.isidentifier() else _slug(measure)
    text = describe(measure)
    if not isinstance(measure, Named):
        return text
    return "gentest." + (text if '"' in text or "\\" in text else text.replace("'", '"'))


def _slug(measure: object) -> str:
    """A short name of an attribute for a test: `brightness`, `a_smiling_person`."""
    text = describe(measure).partition("(")[0]
    if isinstance(measure, ClipAttribute):
        text = measure.text
    elif isinstance(measure, Imported):
        text = measure.source.removeprefix("gentest.attribute(").rstrip(")").rpartition(".")[2]
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()
    return "_".join(words)[:40] or "it"
