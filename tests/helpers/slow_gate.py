"""A gate through the engine, on a generator that takes five seconds for an image on a clock that costs no time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

import gentest
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.gate import decision
from gentest.gate.baseline import Baseline, Blessing, keys
from gentest.results.comparison import Comparison, Terms
from gentest.results.result import Result
from gentest.results.settings import Values
from tests.helpers.slow import Clock, Sleeping

N_LEVELS = 8


def attribute(index: int) -> Callable[[Tensor], Tensor]:
    """The attribute that reads one value of an output."""

    def value(rows: Tensor) -> Tensor:
        return rows[:, index]

    value.__qualname__ = value.__name__ = f"value_{index}"
    return value


ATTRIBUTES = [attribute(index) for index in range(N_LEVELS)]


@gentest.property(probes=gentest.points())
def small(evidence: gentest.Evidence, *, at_most: float = 4.0) -> Tensor:
    """No value of an output is far from 0."""
    return at_most - evidence.outputs[:, 0].flatten(1).abs().amax(1)


def levels(by: float = 0.5) -> list[gentest.Property]:
    """Eight levels, each of which may move by half a standard deviation to either side."""
    return [gentest.level(one, falls_by=gentest.sd(by), rises_by=gentest.sd(by)) for one in ATTRIBUTES]


def candidate(clock: Clock, *, moved: float = 0.0, noise: float = 0.0, name: str = "") -> gentest.Generator:
    """Eight values of standard deviation 1; the first moved, and all with noise on each latent."""

    def draw(z: Tensor) -> Tensor:
        rows = z[:, :N_LEVELS] + noise * z[:, N_LEVELS:]
        rows[:, 0] += moved
        return rows

    sleeping = Sleeping(draw, clock)
    sleeping.gentest_identity = name or f"{moved} {noise}"
    return gentest.Generator(sleeping, latent=gentest.Normal(2 * N_LEVELS), images=False)


def images(generator: gentest.Generator) -> int:
    """Images that a generator has made."""
    assert isinstance(generator.function, Sleeping)
    return generator.function.images


def checked(
    properties: Sequence[gentest.Property],
    generator: gentest.Generator,
    *,
    baseline: Baseline | None = None,
    seed: int = 1,
    **asked: object,
) -> list[Result]:
    """The results of one test's properties, as pytest's run asks for them: to bless, or against a baseline."""
    values = Values(device="cpu", seed=seed, examples=4)
    context, results = Context(values), []
    terms = Terms() if baseline is None else Terms(claims=decision.n_claims(baseline, drift=True))
    for number, (key, one) in enumerate(zip(keys("test_it", [str(p) for p in properties]), properties, strict=True)):
        question = Question(one.definition, test="test_it", begins=number == 0, **asked)  # type: ignore[arg-type]
        if baseline is None:
            question = replace(question, n_sampled=2048, blesses=True)
        else:
            question = replace(question, against=baseline.entries[key].sample, terms=terms)
        results.append(check(question, generator, context, values))
    return results


def blessed(results: Sequence[Result]) -> Baseline:
    """The baseline of some results."""
    return Baseline.of(results, Blessing("me", "today", 1, "a.pt"), before=None, version="0")


def gate(results: Sequence[Result], baseline: Baseline) -> Comparison:
    """The gate's decision."""
    return decision.decide(results, baseline, Terms(claims=decision.n_claims(baseline, drift=True)))
