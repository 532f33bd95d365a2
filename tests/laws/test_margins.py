"""Laws of margins: monotone in a tolerance, by exactly what was given; the same where nothing that counts has changed.

Scores are whole 64ths, so that float32 rounds none of the sums and an equality is one to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

import gentest
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.subject import Subject
from gentest.engine.judge import Judge
from gentest.outputs import Kind
from gentest.probes.probe import independent
from gentest.properties.definition import Definition
from gentest.results.result import Verdict
from gentest.results.settings import Values
from gentest.spaces import Space
from tests.helpers import zoo
from tests.helpers.law import tried_on

GRID = 64
DIRECTION = gentest.Direction([1.0])


def attribute(images: Tensor) -> Tensor:
    """What the evidence below has scores of."""
    raise NotImplementedError


def other(images: Tensor) -> Tensor:
    """Another, which is to stay as it is."""
    raise NotImplementedError


def feature(images: Tensor) -> Tensor:
    """What the evidence below has rows of."""
    raise NotImplementedError


@dataclass
class Drawings:
    """The evidence of probes whose scores, rows and outputs are given."""

    values: Mapping[Any, Tensor]
    limits: tuple[float, float] | None = (0.0, 1.0)
    unit: float = 1.0
    kind: ClassVar[Kind] = gentest.Images()

    def scores(self, thing: Any) -> Tensor:
        return self.values[thing].clone()

    def features(self, thing: Any) -> Tensor:
        return self.values[thing].clone()

    def distances(self, thing: Any, first: Sequence[int], second: Sequence[int]) -> Tensor:
        rows = self.values[thing]
        return torch.linalg.vector_norm(rows[:, list(second)] - rows[:, list(first)], dim=-1)

    def in_units(self, tolerance: Any, of: Any) -> float:
        return float(tolerance)

    @property
    def latents(self) -> Tensor:
        return self.values["labels"]

    @property
    def outputs(self) -> Tensor:
        return self.values["outputs"].clone()

    def again(self, company: int, *, chance: int = 0) -> Tensor:
        return self.values["outputs" if company else "alone"]


def on_grid(*shape: int) -> st.SearchStrategy[Tensor]:
    """Whole 64ths from -8 to 8."""
    return hnp.arrays(np.int16, shape, elements=st.integers(-512, 512)).map(
        lambda a: torch.from_numpy(a).float() / GRID
    )


TOLERANCES = st.integers(0, 1024).map(lambda n: n / GRID)
POSITIVE = st.integers(1, 1024).map(lambda n: n / GRID)
N, P = 2, 9
PATHS = on_grid(N, P)
ROWS = on_grid(N, P, 2)


def margin(property: gentest.Property, evidence: Any) -> Tensor:
    """The margins [N] that a property makes of evidence."""
    return property.definition.margin(evidence)


@st.composite
def evidences(draw: st.DrawFn) -> Drawings:
    """Scores, rows and outputs of some probes."""
    outputs = draw(on_grid(N, P, 1, 1, 2)) / 16 + 0.5
    alone = outputs + draw(on_grid(N, P, 1, 1, 2)) / 64
    values = {attribute: draw(PATHS), other: draw(PATHS), feature: draw(ROWS), "outputs": outputs, "alone": alone}
    return Drawings(values, limits=draw(st.sampled_from([(0.0, 1.0), None])))


# how a margin follows its tolerance

LOOSER = {
    "between": lambda x: gentest.between(attribute, tolerance=x),
    "monotone": lambda x: gentest.monotone(attribute, tolerance=x),
    "continuous": lambda x: gentest.continuous(feature, tolerance=x),
    "path_length": lambda x: gentest.path_length(feature, at_most=x, epsilon=1 / 64),
    "reproducible": lambda x: gentest.reproducible(tolerance=x),
}
TIGHTER = {
    "responsive": lambda x: gentest.responsive(feature, at_least=x),
    "diverse": lambda x: gentest.diverse(feature, at_least=x, among=P),
}


def steered(x: float) -> gentest.Property:
    """What a direction moves by `x` at the least."""
    return gentest.steers(attribute, along=DIRECTION, at_least=x, points=P)


@tried_on(30)
@given(evidences(), POSITIVE, POSITIVE)
def test_a_margin_moves_by_what_its_tolerance_does(evidence: Drawings, one: float, two: float) -> None:
    """A tolerance in the attribute's units adds to the margin, a floor takes from it: exactly, and no sign errs."""
    low, high = sorted((one, two))
    for name, make in {**LOOSER, **TIGHTER}.items():
        sign = 1 if name in LOOSER else -1
        first, second = (margin(make(x), evidence) for x in (low, high))
        assert (sign * (second - first) >= 0).all()
        rounding = 2e-7 * (high + float(first.abs().max()))
        torch.testing.assert_close(second - first, torch.full((N,), sign * (high - low)), rtol=0, atol=rounding)


@tried_on(30)
@given(evidences(), TOLERANCES, TOLERANCES)
def test_a_range_may_be_left_by_as_much_more(evidence: Drawings, one: float, two: float) -> None:
    """So does `well_formed`, but where a value is not finite, which no tolerance lets pass."""
    low, high = sorted((one, two))
    first, second = (margin(gentest.well_formed(tolerance=x), evidence) for x in (low, high))
    torch.testing.assert_close(second - first, torch.full((N,), high - low), rtol=0, atol=2e-6)
    evidence.values["outputs"][0, 0] = torch.nan  # type: ignore[index]
    evidence.values["outputs"][1, -1] = -torch.inf
    broken = [margin(gentest.well_formed(tolerance=x), evidence) for x in (low, high)]
    assert (broken[0][:2] == broken[1][:2]).all()
    assert (broken[0][:2] < -1.0).all()


RATIOS = st.integers(16, 16 * (P - 1) - 1).map(lambda n: n / 16)


@tried_on(30)
@given(evidences(), RATIOS, RATIOS, st.sampled_from([0.25, 2.0, 4.0]))
def test_a_ratio_is_free_of_scale(evidence: Drawings, one: float, two: float, scale: float) -> None:
    """The margin against the mean step moves with the ratio, and is the same of any multiple of the feature."""
    low, high = sorted((one, two))
    first, second = (margin(gentest.continuous(feature, ratio=x), evidence) for x in (low, high))
    torch.testing.assert_close(second - first, torch.full((N,), high - low), rtol=1e-6, atol=1e-5)
    scaled = Drawings({feature: scale * evidence.values[feature]})
    torch.testing.assert_close(margin(gentest.continuous(feature, ratio=low), scaled), first, rtol=0, atol=1e-5)


@tried_on(30)
@given(evidences(), POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_a_direction_that_steers_steers_for_less(
    evidence: Drawings, floor: float, more: float, tolerance: float, looser: float
) -> None:
    """What rises enough rises enough for a lower floor, and what is kept is kept by a larger tolerance."""

    def steers(at_least: float, allowed: float) -> Tensor:
        arguments = {"along": DIRECTION, "at_least": at_least, "points": P}
        return margin(gentest.steers(attribute, keeps=[other], tolerance=allowed, **arguments), evidence)

    strict, loose = sorted((tolerance, looser))
    low, high = sorted((floor, more))
    assert (steers(floor, loose) >= steers(floor, strict)).all()
    assert not ((steers(high, strict) >= 0) & (steers(low, strict) < 0)).any()
    alone = margin(gentest.steers(attribute, along=DIRECTION, at_least=floor, points=P), evidence)
    assert (steers(floor, strict) <= alone).all()
    a, b = evidence.values[attribute], evidence.values[other]
    rise, moved = a[:, -1] - a[:, 0], (b - b[:, :1]).abs().amax(1)
    assert ((steers(floor, strict) >= 0) == ((rise >= floor) & (moved <= strict))).all()


# what a margin does not depend on

ON_PATHS = {
    "between": lambda x: gentest.between(attribute, tolerance=x),
    "monotone": lambda x: gentest.monotone(attribute, tolerance=x),
}


@tried_on(50)
@given(PATHS, st.sampled_from([*ON_PATHS]), TOLERANCES, st.integers(-512, 512), st.sampled_from([0.25, 1.0, 8.0]))
def test_a_path_may_be_walked_back_lifted_and_mirrored(
    scores: Tensor, name: str, tolerance: float, lift: int, scale: float
) -> None:
    """Margins are the same of the path walked back, of scores that all are more by something, and of their opposites.

    Scores and tolerance in another unit give the margin in that unit.
    """
    make = ON_PATHS[name]
    found = margin(make(tolerance), Drawings({attribute: scores}))
    for same in (scores.flip(1), scores + lift / GRID, -scores):
        assert margin(make(tolerance), Drawings({attribute: same})).equal(found)
    assert margin(make(scale * tolerance), Drawings({attribute: scale * scores})).equal(scale * found)


@tried_on(30)
@given(ROWS, TOLERANCES, st.integers(-512, 512))
def test_steps_may_be_walked_back_and_moved(rows: Tensor, tolerance: float, lift: int) -> None:
    """A longest step is the longest one walked back too, and of rows that all are moved by something."""
    for property in (gentest.continuous(feature, tolerance=tolerance), gentest.continuous(feature, ratio=3)):
        found = margin(property, Drawings({feature: rows}))
        for same in (rows.flip(1), rows + lift / GRID, -rows):
            torch.testing.assert_close(margin(property, Drawings({feature: same})), found, rtol=0, atol=1e-6)


@tried_on(30)
@given(PATHS, TOLERANCES)
def test_what_moves_one_way_stays_between_its_ends(scores: Tensor, tolerance: float) -> None:
    """`monotone` asks for no less than `between`, and both for no less of a path that is looked at more closely."""
    evidence = Drawings({attribute: scores})
    between, monotone = (margin(make(tolerance), evidence) for make in ON_PATHS.values())
    assert (monotone <= between).all()
    for name, make in ON_PATHS.items():
        coarser = margin(make(tolerance), Drawings({attribute: scores[:, ::2]}))
        assert (margin(make(tolerance), evidence) <= coarser).all(), name


@tried_on(30)
@given(evidences(), st.permutations(range(N)), POSITIVE)
def test_a_margin_is_its_probes_own(evidence: Drawings, order: list[int], x: float) -> None:
    """Probes in another order have their margins in that order, and one alone has the margin that it has in a block."""
    for make in {**LOOSER, **TIGHTER, "steers": steered}.values():
        together = margin(make(x), evidence)
        for some in (order, order[:1]):
            part = Drawings({key: value[some] for key, value in evidence.values.items()}, limits=evidence.limits)
            assert margin(make(x), part).equal(together[some])


@tried_on(30)
@given(ROWS, st.permutations(range(P)), POSITIVE)
def test_diversity_has_no_order(rows: Tensor, order: list[int], floor: float) -> None:
    """Samples in any order are as diverse; fewer of them are no less so, and two alike are the least that there is."""
    asked = gentest.diverse(feature, at_least=floor, among=P)
    found = margin(asked, Drawings({feature: rows}))
    assert margin(asked, Drawings({feature: rows[:, order]})).equal(found)
    fewer = gentest.diverse(feature, at_least=floor, among=P - 1)
    assert (margin(fewer, Drawings({feature: rows[:, :-1]})) >= found).all()
    rows[:, 0] = rows[:, 1]
    assert margin(asked, Drawings({feature: rows})).equal(torch.full((N,), -floor))


@tried_on(30)
@given(on_grid(N, 1, 4), st.lists(st.integers(0, 3), min_size=N, max_size=N), st.integers(-512, 512))
def test_logits_count_by_their_difference(logits: Tensor, labels: list[int], lift: int) -> None:
    """All logits raised alike give the same margin, and a margin is >= 0 where no other class has more."""
    logits[:, 0, 0] += (logits == logits[..., :1]).all(2)[:, 0]  # a classifier that tells nothing apart is an error
    asked = gentest.follows_label(feature)
    of = torch.tensor(labels)[:, None]
    found = margin(asked, Drawings({feature: logits, "labels": of}))
    assert margin(asked, Drawings({feature: logits + lift / GRID, "labels": of})).equal(found)
    assert ((found >= 0) == (logits[:, 0].gather(1, of)[:, 0] >= logits[:, 0].amax(1))).all()


# priors and radii

SPACE = gentest.Uniform(4)
PRIORS: list[Space] = [
    gentest.Normal(4),
    gentest.Sphere(4),
    gentest.TruncatedNormal(4),
    gentest.Uniform(4, low=0, high=1),
]


def margins_of(definition: Definition, n: int = 6) -> list[float]:
    """The margins of some probes on a generator of the zoo."""
    generator = zoo.generator(lambda z: zoo.fold(z).clamp(0, 1), SPACE)
    return Judge(Context(Values(device="cpu", batch_size=8)), Subject.of(generator), definition).margins(
        independent(0, 0, n)
    )


@tried_on(3)
@given(st.lists(st.sampled_from(PRIORS), min_size=1, unique=True), st.data(), TOLERANCES)
def test_a_further_prior_asks_for_more(priors: list[Space], data: st.DataObject, tolerance: float) -> None:
    """Under more priors a margin is no larger, in whichever order they are named; nor at more places of a ray."""
    inner = gentest.between(gentest.brightness(), tolerance=tolerance / 64)
    under = margins_of(gentest.prior_invariant(inner, priors=priors).definition)
    fewer = data.draw(st.permutations(priors))[: data.draw(st.integers(1, len(priors)))]
    some = margins_of(gentest.prior_invariant(inner, priors=fewer).definition)
    assert all(a <= b for a, b in zip(under, some, strict=True))
    assert all(a <= b for a, b in zip(under, margins_of(inner.definition), strict=True))
    turned = gentest.prior_invariant(inner, priors=data.draw(st.permutations(priors))).definition
    assert margins_of(turned) == pytest.approx(under, abs=1e-6)
    once, twice = (margins_of(gentest.holds_within(inner, 1.0, places=n).definition) for n in (1, 2))
    assert all(a <= b + 1e-6 for a, b in zip(twice, once, strict=True))


# verdicts

RANK = [Verdict.VIOLATED, Verdict.UNDECIDED, Verdict.HOLDS, Verdict.NO_COUNTEREXAMPLE]
LEVELS = {"linear": zoo.linear, "fold": zoo.fold, "jump": zoo.jump, "collapsed": zoo.collapsed}
MAKERS: dict[str, Any] = {
    "between": lambda x: gentest.between(gentest.brightness(), tolerance=x),
    "monotone": lambda x: gentest.monotone(gentest.brightness(), tolerance=x),
    "continuous": lambda x: gentest.continuous(tolerance=x),
    "responsive": lambda x: gentest.responsive(at_least=1.0 - min(x, 0.99)),
    "diverse": lambda x: gentest.diverse(at_least=1.0 - min(x, 0.99), among=3),
    "path_length": lambda x: gentest.path_length(at_most=x),
}


@pytest.mark.slow
@tried_on(6)
@given(
    st.sampled_from([*LEVELS]),
    st.sampled_from([*MAKERS]),
    st.floats(0, 1),
    st.floats(0, 1),
    st.none() | st.sampled_from([0.5, 0.9]),
    st.integers(0, 3),
)
def test_no_verdict_gets_worse_where_more_is_allowed(
    level: str, name: str, one: float, two: float, rate: float | None, seed: int
) -> None:
    """Of one seed a looser property is violated by no more probes, and its verdict is no worse, in search and rate."""
    found = []
    for x in sorted((one, two)):
        asked = MAKERS[name](x)
        asked = asked if rate is None else asked.at_rate(rate)
        limits = gentest.settings(examples=15, budget=96, seed=seed, reduce=0, batch_size=32, device="cpu")
        found.append(asked.check(zoo.generator(LEVELS[level]), settings=limits))
    strict, loose = found
    assert (strict.message, loose.message) == ("", "")
    assert RANK.index(loose.verdict) >= RANK.index(strict.verdict)
    assert loose.violations <= strict.violations
    assert strict.margin is not None
    assert loose.margin is not None
    assert loose.margin.min >= strict.margin.min
