"""Sharing never changes a verdict: whatever tests are run together, each comes to what it comes to alone.

Some properties of some generators are checked one after the other in one session, in any order, with any batch size,
bound on memory, cache on disk (none, cold, warm), precision, and guess at what tests to come will measure. Each is
compared with the same property checked by itself, in a fresh context without any of that.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.results.records import unpack
from gentest.results.result import Counterexample, Result, Verdict
from gentest.results.settings import Values
from tests.helpers import zoo
from tests.helpers.law import tried_on

ROUNDING = 1e-5
"""By how much margins, scores and levels in [0, 1] may differ between batches."""


class Mixed:
    """A generator whose rounding depends on the batch: matrix products, and a kink that paths fold over."""

    def __init__(self, dim: int = 6) -> None:
        source = torch.Generator().manual_seed(dim)
        self.first = torch.randn(dim, 16, generator=source) / dim**0.5
        self.then = torch.randn(16, 12, generator=source) / 4

    def __call__(self, z: Tensor) -> Tensor:
        return ((z @ self.first).abs().sin() @ self.then).sigmoid().reshape(-1, 3, 2, 2)


def labelled(z: Tensor, label: Tensor) -> Tensor:
    """Of label 2 the level folds, of the others it is even."""
    level = 0.5 + 0.1 * z[:, 0].tanh()
    return zoo.images(torch.where(label == 2, 0.3 + 0.2 * z[:, 0].abs().tanh(), level))


BANK = torch.linspace(-1, 1, 5)[:, None].repeat(1, 8)
GENERATORS = {
    "mixed": gentest.Generator(Mixed(), latent=gentest.Normal(6), output_range=(0, 1)),
    "fold": zoo.generator(zoo.fold),
    "jump": zoo.generator(zoo.jump),
    "linear, truncated": zoo.generator(zoo.linear).truncated(0.5),
    "sphere": zoo.generator(zoo.jump, gentest.Sphere(8)),
    "bank": zoo.generator(zoo.fold, gentest.Empirical(BANK)),
    "label": gentest.Generator(
        labelled, latent=gentest.Joint(z=gentest.Normal(4), label=gentest.Categorical(3)), output_range=(0, 1)
    ),
}


@dataclass(frozen=True)
class Coarse:
    """A feature that has a lower precision: in bf16 it is off by what rounding to 8 bits takes."""

    lower: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        return rows.bfloat16().float() if self.lower else rows

    def lowered(self, precision: str) -> Coarse:
        return Coarse(lower=True)


@dataclass(frozen=True)
class First:
    """An attribute that is read out of it, as CLIP's scores are out of its embedding."""

    feature: Coarse = Coarse()

    def read(self, embedding: Tensor) -> Tensor:
        return embedding[:, 0]

    def __call__(self, x: Tensor) -> Tensor:
        return self.read(self.feature(x))


level, first = gentest.brightness(), First()
PROPERTIES = {
    str(p): p
    for p in (
        gentest.between(level, tolerance=0.03),
        gentest.between(level, tolerance=gentest.sd(0.5)),
        gentest.between(level, tolerance=0.03).at_rate(0.7),
        gentest.monotone(gentest.contrast(), tolerance=0.01),
        gentest.between(first, tolerance=0.03),
        gentest.monotone(first, tolerance=gentest.sd(0.3)).at_rate(0.5),
        gentest.continuous(tolerance=0.12),
        gentest.continuous(ratio=3, points=5),
        gentest.responsive(at_least=0.02),
        gentest.responsive(at_least=0.02, step=0.3),
        gentest.responsive(Coarse(), at_least=0.05, step=0.3).at_rate(0.9),
        gentest.diverse(at_least=0.001, among=4),
        gentest.path_length(at_most=0.05, epsilon=1 / 64),
        gentest.prior_invariant(gentest.between(level, tolerance=0.05), priors=[gentest.Normal(8)]),
        gentest.holds_within(gentest.between(level, tolerance=0.05), 1.0, places=2).at_rate(0.6),
        gentest.well_formed(),
        gentest.reproducible(),
    )
}


def fits(generator: str, property: str) -> bool:
    """Whether a property can be asked of a generator."""
    return not property.startswith("prior_invariant") or generator in ("fold", "jump")


@dataclass(frozen=True)
class Asked:
    """One property of one generator, and what of its search is set."""

    generator: str
    property: str
    seed: int
    examples: int
    sampled: int
    looks: bool
    """Whether what the outputs are like is kept too: levels and embeddings of 512."""

    def come_to(self, context: Context, values: Values) -> Result:
        """What it comes to in a context."""
        definition = PROPERTIES[self.property].definition
        values = replace(values, seed=self.seed, examples=self.examples, budget=80, reduce=24)
        return check(
            Question(definition, n_sampled=self.sampled, looks=self.looks), GENERATORS[self.generator], context, values
        )


@st.composite
def several(draw: st.DrawFn) -> list[Asked]:
    """Some tests of one generator, or of two, most of which look at the same probes: so that there is much to share."""
    generators = st.sampled_from(draw(st.lists(st.sampled_from([*GENERATORS]), min_size=1, max_size=2)))
    asked = st.builds(
        Asked,
        generators,
        st.sampled_from([*PROPERTIES]),
        st.sampled_from([0, 0, 1]),
        st.sampled_from([10, 10, 4]),
        st.sampled_from([0, 0, 12]),
        st.integers(0, 19).map(lambda n: n == 19),
    ).filter(lambda asked: fits(asked.generator, asked.property))
    return draw(st.lists(asked, min_size=2, max_size=5, unique_by=lambda asked: (asked.generator, asked.property)))


ALONE: dict[Asked, Result] = {}


def alone(asked: Asked) -> Result:
    """What it comes to by itself, in full precision, with nothing kept."""
    if asked not in ALONE:
        values = Values(device="cpu", batch_size=16)
        ALONE[asked] = asked.come_to(Context(values), values)
    return ALONE[asked]


def same(one: Any, other: Any) -> None:
    """Two figures, or rows of them, are the same but for rounding."""
    assert one == pytest.approx(other, abs=ROUNDING, rel=1e-4)


def same_counterexample(one: Counterexample | None, other: Counterexample | None) -> None:
    """The same probe, which says the same of itself."""
    if one is None or other is None:
        assert one is other
        return
    assert (one.replay, one.groups, one.under) == (other.replay, other.groups, other.under)
    same(one.margin, other.margin)
    assert one.scores.keys() == other.scores.keys()
    for name, scores in one.scores.items():
        same(scores, other.scores[name])


def assert_the_same(shared: Result, by_itself: Result) -> None:
    """Verdict, counterexamples, counts, rate and margins are those of the property alone."""
    assert (shared.verdict, shared.message) == (by_itself.verdict, by_itself.message)
    assert (shared.examples, shared.violations) == (by_itself.examples, by_itself.violations)
    assert (shared.rate, shared.radius) == (by_itself.rate, by_itself.radius)
    same_counterexample(shared.counterexample, by_itself.counterexample)
    same_counterexample(shared.worst, by_itself.worst)
    if shared.margin is not None and by_itself.margin is not None and shared.screening is None:
        same((shared.margin.min, shared.margin.median), (by_itself.margin.min, by_itself.margin.median))
    if shared.sample is not None and by_itself.sample is not None:
        samples = shared.sample, by_itself.sample
        margins = [unpack(sample.margins, "margins") for sample in samples]
        assert [m < 0 for m in margins[0]] == [m < 0 for m in margins[1]]
        same(dict(samples[0].spreads), dict(samples[1].spreads))
        assert samples[0].measures == samples[1].measures
        looks = [sample.look for sample in samples]
        assert all(look is None or look.levels.keys() == looks[0].levels.keys() for look in looks)  # type: ignore[union-attr]
        for name in looks[0].levels if looks[0] is not None else ():
            same(*(unpack(look.levels[name], name) for look in looks if look is not None))
    assert (shared.sample is None) is (by_itself.sample is None)


@dataclass(frozen=True)
class Session:
    """How a session is run."""

    batch_size: int | None
    room: int
    """Bytes that may be kept."""
    cache: str
    precision: Any
    guesses: tuple[str, ...]

    def context(self, values: Values) -> Context:
        """The context of the session."""
        context = Context(values)
        context.pool.room = self.room
        context.pool.upcoming = self.upcoming
        return context

    def upcoming(self, family: Any, origin: Any) -> Iterable[Any]:
        """What it takes tests to come to measure, right or wrong."""
        known = {"level": level, "contrast": gentest.contrast(), "first": first, "pixels": gentest.pixels()}
        return [known[guess] for guess in self.guesses]


SESSIONS = st.builds(
    Session,
    st.sampled_from([1, 3, 16, 50, None]),
    st.sampled_from([0, 5_000, 40_000, 1 << 30]),
    st.sampled_from(["none", "cold", "warm"]),
    st.sampled_from(["full", "full", "bf16", "int8"]),
    st.lists(st.sampled_from(["level", "contrast", "first", "pixels"]), max_size=2).map(tuple),
)


NEAR_AND_FAR = [Asked("mixed", p, 0, 10, 0, looks=False) for p in PROPERTIES if p.startswith("responsive(pixels")]
"""The same seeds and the same measure, of another family: rows that only its text tells apart on disk."""


@pytest.mark.slow
@tried_on(4)
@given(several(), SESSIONS, st.randoms(use_true_random=False))
@example(NEAR_AND_FAR, Session(16, 1 << 30, "cold", "full", ()), random.Random(0))
def test_each_comes_to_what_it_comes_to_alone(asked: list[Asked], session: Session, rng: Any) -> None:
    """Verdict, counterexample, rate and sample of each property are those that it has in a context of its own."""
    with tempfile.TemporaryDirectory() as folder:
        values = Values(
            device="cpu",
            batch_size=session.batch_size,
            precision=session.precision,
            cache=None if session.cache == "none" else folder,
        )
        for _ in range(2 if session.cache == "warm" else 1):
            context = session.context(values)
            for one in asked:
                assert_the_same(one.come_to(context, values), alone(one))
            rng.shuffle(asked)


def test_what_is_compared_differs() -> None:
    """What is asked comes to every verdict but an error, so that taking one for another would show."""
    few = [p for p in PROPERTIES if p.startswith("between(brightness()")]
    found = {
        alone(Asked(generator, property, 0, 10, 0, looks=False)).verdict
        for generator in ("mixed", "fold")
        for property in few
    }
    assert found == set(Verdict) - {Verdict.ERROR}
