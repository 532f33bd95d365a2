"""Tolerances to start from: at which number each property holds as often as is asked, measured on a generator.

A property's margin is its tolerance less an excess. The excess of independent probes of the prior, whatever its
distribution, gives a bound that the asked share of all probes lies under, with the asked confidence
(`gentest.stats.quantiles`); a floor such as `responsive(at_least=)` is the same from below. The bound is rounded to two
figures, to the side on which the property still holds.

Why 1,024 probes: the property then truly holds at some 96.5 % where 95 % are asked for, and a sequential test of
`.at_rate(0.95)` on other probes, which certifies more than 93 % (its slack), ends in `holds` with a probability of
99.9 %, in `violated` with 0.02 % and in `undecided` with 0.08 %, after 595 probes in the mean. Fewer probes give a
looser bound; with more it comes so near to the rate that the test takes longer (957 probes for 4,096). At a rate of
0.99, whose slack is 0.004, 94 % end in `holds` and 6 % in `undecided`: ask for fewer probes or give a larger budget.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR
from decimal import Context as Rounding
from typing import Any

import numpy as np

from gentest._support.arguments import is_whole
from gentest.attributes import Attribute, Feature, brightness, colorfulness, contrast, pixels, sharpness
from gentest.attributes.attribute import describe
from gentest.attributes.clip import ClipAttribute
from gentest.engine.check import Question, check
from gentest.engine.cluster.actors import shared_context
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.examine import examine, samples
from gentest.engine.evidence.stream import Stream, real
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.engine.suggest.measurable import ATTRIBUTES, FEATURES, Template
from gentest.errors import GeneratorError, InvalidArgument, NoSpread
from gentest.generators.generator import Generator, check_generator
from gentest.probes.families import Probes
from gentest.properties import outputs
from gentest.properties.definition import AtRate, Definition, check_callable
from gentest.results.result import Verdict
from gentest.results.settings import Values, in_force, settings
from gentest.stats.quantiles import lower_bound, upper_bound, upper_rank

N = 1024
"""Independent probes of each family: 9 images a path, 2 a pair or a step, 16 a group; 29,696 for all four."""
STREAM = 0x73756767657374
"""Added to the seed: no run of pytest looks at the probes that its tolerances were measured on."""
FAR = 20.0
"""A property is measured at a tolerance of so many standard deviations: no margin is near zero, where each probe would
be evaluated alone, and 1e-6 of one is not rounded away."""
LEAST = 0.01
"""No tolerance is less than this many standard deviations: what goes beyond zero by less is rounding."""
ALWAYS = 64
"""Probes on which a property that has no number is looked at."""
FIGURES = 2


UNMEASURED = (outputs.well_formed(), outputs.reproducible())


@dataclass(frozen=True)
class Figures:
    """What was measured, over `probes` independent probes, in the units of the property's number."""

    probes: int
    median: float
    quantile: float
    """That the asked share of these probes lie under (or over, of a floor)."""
    bound: float
    """That the asked share of all probes lie under (or over), with the asked confidence."""
    worst: float
    """The largest (or smallest) of all."""
    spread: float | None
    """One standard deviation of the attribute or feature under the prior; None where the number has no units."""
    floor: bool = False
    """Whether the number is a least value, and not a largest one."""


@dataclass(frozen=True)
class Suggestion:
    """One property, and the number at which it holds at the asked rate."""

    property: str
    """The property without its number: `between(brightness())`."""
    test: str
    """A name for the test function that it belongs in."""
    line: str
    """The decorator, ready to paste; empty where no number holds."""
    other: str = ""
    """The same tolerance as it is also written: in standard deviations, or as a number. Empty where there is none."""
    tolerance: float | None = None
    """The number, rounded to two figures so that it still holds."""
    in_sd: float | None = None
    """The number in standard deviations of the attribute or feature under the prior, rounded alike."""
    measures: str = ""
    """What the figures are of, in words."""
    figures: Figures | None = None
    why: str = ""
    """Why there is no line."""


@dataclass(frozen=True)
class Wish:
    """What is asked: the rate and how surely, and which independent probes to measure on."""

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
    """The numbers at which properties hold on at least `rate` of a generator's prior, as decorators to start from.

    `between` and `monotone` of each attribute (by default brightness, contrast, sharpness and, in colour, colorfulness;
    of outputs that are no images none), `responsive`, `diverse`, `continuous` and `path_length` of each feature
    (`pixels()`). Each number is such that the property holds at the rate with `confidence`, from `n` independent probes
    that no run of pytest looks at; a larger `n` is nearer to the rate. Of `settings`, the device, the batch size and
    the CLIP count. Raises `InvalidArgument` for wrong arguments, and what the generator or an attribute raises.

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
    """`suggest`, in a context that is shared; `watch` is told how many of the probes are measured."""
    generator.to(context.device)
    subject = context.subject(generator)
    _check_things("features", features)
    _check_things("attributes", attributes)
    examine(context, subject)
    features = [pixels()] if features is None else features
    attributes = default_attributes(context, subject) if attributes is None else attributes
    measured = [
        _Measured(template, thing, context, subject)
        for things, templates in ((features, FEATURES), (attributes, ATTRIBUTES))
        for thing in things
        for template in templates
    ]
    streams: dict[Probes, Stream] = {}
    for family in dict.fromkeys(m.judge.definition.probes for m in measured if m.judge is not None):
        of_family = [m.judge for m in measured if m.judge is not None and m.judge.definition.probes == family]
        streams[family] = Stream(wish.seed + STREAM, functools.partial(real, family, generator.latent))
        done = 0
        while done < wish.n:  # one block through every property, whose outputs are then made once
            block = streams[family].probes(done, min(of_family[0].block, wish.n - done))
            for judge in of_family:
                judge.margins(block)
            done += len(block)
            watch(done, wish.n)
    always = [_always(definition, generator, context) for definition in UNMEASURED]
    return always + [m.suggestion(wish, streams) for m in measured]


def default_attributes(context: Context, subject: Subject) -> list[Attribute]:
    """The attributes of a generator's images that need no model and are not all alike; none of other outputs."""
    if not subject.generator.images:
        return []
    channels, *size = samples(context, subject).images.shape[2:]
    if channels not in (1, 3):
        return []
    fine = [contrast(), sharpness()] if min(size) >= 3 else [contrast()] if max(size) > 1 else []
    return [brightness(), *fine, *([colorfulness()] if channels == 3 else [])]


class _Measured:
    """A template on an attribute or feature, its probes measured far from any number that may hold."""

    def __init__(self, template: Template, thing: Any, context: Context, subject: Subject) -> None:
        self.template = template
        self.thing = thing
        self.spread: float | None = None
        self.judge: Judge | None = None
        self.why = ""
        self.at = template.at
        try:
            if self.at is None:
                self.spread = context.spread(thing, subject, describe(thing))
                self.at = FAR * self.spread
        except NoSpread as error:
            self.why = str(error)
            return
        self.judge = Judge(context, subject, template.define(thing, self.at))

    def suggestion(self, wish: Wish, streams: dict[Probes, Stream]) -> Suggestion:
        """The number that the margins come to."""
        t, text = self.template, _source(self.thing)
        test = t.test.format(_slug(self.thing))
        bare = Suggestion(f"{t.name}({describe(self.thing)})", test, "", measures=t.measures)
        if self.judge is None or self.at is None:
            return replace(bare, why=self.why)
        margins = np.array(self.judge.margins(streams[self.judge.definition.probes].probes(0, wish.n)))
        values = margins + self.at if t.floor else self.at - margins
        share, confidence = wish.rate.p0, wish.rate.confidence
        bound = (lower_bound if t.floor else upper_bound)(values, share, confidence)
        figures = Figures(
            probes=wish.n,
            median=float(np.median(values)),
            quantile=float(np.quantile(values, 1.0 - share if t.floor else share)),
            bound=bound,
            worst=float(values.min() if t.floor else values.max()),
            spread=self.spread,
            floor=t.floor,
        )
        bare = replace(bare, figures=figures)
        band, least = self.judge.rounding or 0.0, LEAST * (self.spread or 0.0)
        wanted = bound - band if t.floor else max(bound + band, least)
        if wanted < least or wanted <= 0.0:
            return replace(bare, why=f"{t.measures} is next to nothing on too many probes: did the generator collapse?")
        number = rounded(wanted, up=not t.floor)
        try:
            t.define(self.thing, number)
        except InvalidArgument:
            return replace(bare, why=f"no {t.keyword} below {number:g} holds on as many probes")
        in_sd = None if self.spread is None else rounded(wanted / self.spread, up=not t.floor)
        lines = [f"@gentest.{t.name}({text}, {t.keyword}={number:g}){wish.rate}"]
        if t.takes_sd and in_sd is not None:
            lines.append(f"@gentest.{t.name}({text}, {t.keyword}=gentest.sd({in_sd:g})){wish.rate}")
            if isinstance(self.thing, ClipAttribute) and not self.thing.probability:
                lines.reverse()  # log-odds say little to a reader
        line, other = [*lines, ""][:2]
        return replace(bare, line=line, other=other, tolerance=number, in_sd=in_sd)


def rounded(value: float, *, up: bool) -> float:
    """A number of two figures that is not smaller (up) or not larger (down).

    >>> rounded(0.0371, up=True), rounded(0.0379, up=False), rounded(120.1, up=True), rounded(0.05, up=True)
    (0.038, 0.037, 130.0, 0.05)
    """
    rounding = Rounding(prec=FIGURES, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return value if value == float(f"{value:.{FIGURES}g}") else float(rounding.create_decimal_from_float(value))


def _always(definition: Definition, generator: Generator, context: Context) -> Suggestion:
    """A property that has no number to be measured, and holds or not."""
    found = check(Question(definition), generator, context, Values(examples=ALWAYS, reduce=0))
    if found.verdict is Verdict.ERROR:
        raise GeneratorError(found.message)
    line = f"@gentest.{definition.name}()"
    holds = found.verdict is Verdict.NO_COUNTEREXAMPLE
    why = "" if holds else f"{found.violations} of {found.examples} probes violate it"
    return Suggestion(f"{definition.name}()", "test_is_a_function", line if holds else "", why=why)


def _check_things(name: str, things: object) -> None:
    """A list of attributes or features, checked."""
    if things is None:
        return
    if not isinstance(things, (list, tuple)):
        raise InvalidArgument.expected("a list such as [gentest.brightness()]", name, things)
    for thing in things:
        check_callable(name, thing)


def _source(thing: object) -> str:
    """An attribute or feature as it stands in a test: `gentest.brightness()`; a user's own by its name."""
    text = describe(thing)
    if not type(thing).__module__.startswith("gentest."):
        return text
    return "gentest." + (text if '"' in text or "\\" in text else text.replace("'", '"'))


def _slug(thing: object) -> str:
    """A short name of an attribute, of letters, digits and underscores: `brightness`, `a_smiling_person`."""
    text = thing.text if isinstance(thing, ClipAttribute) else describe(thing).partition("(")[0]
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()
    return "_".join(words)[:40] or "it"
