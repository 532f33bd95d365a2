"""Search: judge the probes that Hypothesis draws.

Hypothesis runs one example at a time, and a generator is fast in batches of hundreds. So Hypothesis draws all probes
first (`gentest.strategies.plan`), and full batches of them are evaluated afterwards. With `exhaustive=True` the probes
are all inputs of a finite space instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gentest._support.printable import noun
from gentest.engine.evidence.plans import real
from gentest.engine.methods.problem import Problem
from gentest.errors import InvalidArgument
from gentest.probes.enumeration import every_point
from gentest.probes.families import Points
from gentest.probes.probe import Probe, located
from gentest.probes.strategies import plan
from gentest.results.records import applies


@dataclass(frozen=True)
class SearchFacts:
    """The probes of a search and their margins."""

    probes: tuple[Probe, ...]
    margins: tuple[float, ...]
    replayed: bool = False
    """True if the probes are those of an earlier run."""
    exhaustive: bool = False
    """True if the probes are all inputs of a finite space, each once and in order."""
    stopped: bool = False
    """True if the search ended at its last violation, before the end of its probes."""
    missing: int = 0
    """Number of probes that the budget of the run left out."""

    @property
    def applying(self) -> tuple[float, ...]:
        """The margins of the probes to which the property applies."""
        return tuple(filter(applies, self.margins))

    @property
    def failing(self) -> tuple[Probe, ...]:
        """The probes that violate the property."""
        return tuple(probe for probe, margin in zip(self.probes, self.margins, strict=True) if margin < 0)


def check_plan(problem: Problem) -> None:
    """Raise `InvalidArgument` if `exhaustive` asks for all inputs of a space that cannot be enumerated."""
    if problem.values.exhaustive:
        _every_input(problem)


def search(problem: Problem, *, stored: Sequence[Probe] = ()) -> SearchFacts:
    """The margins of the planned probes; or only the stored probes that still violate, if there are any.

    The stored probes failed in an earlier run. While one of them violates, a failing test fails fast and in the same
    way. A search that stops after some violations ends at the last of them, at any batch size. Raises `InvalidArgument`
    if nothing moves along any planned probe, or as `check_plan` does.
    """
    judge, context = problem.judge, problem.judge.context
    if failing := tuple(probe for probe in problem.fitting(stored) if judge.alone(probe) < 0):
        return SearchFacts(failing, tuple(judge.alone(probe) for probe in failing), replayed=True)
    exhaustive, most = problem.values.exhaustive, _most_violations(problem)
    probes = _every_input(problem) if exhaustive else planned(problem)
    margins: list[float] = []
    n_violations = 0
    while len(margins) < len(probes):
        # at a slow generator, a block is a few images; else a step is as many probes as a batch has latents
        step = (judge.local.block_size if context.slow else max(1, context.batch_size)) * context.n_processes
        evaluated = problem.within_budget(judge.margins, probes[len(margins) : len(margins) + step])
        for margin in evaluated:
            margins.append(margin)
            n_violations += margin < 0
            if n_violations == most:
                n = len(margins)
                tried = tuple(probes[:n])
                return SearchFacts(tried, tuple(margins), exhaustive=exhaustive, stopped=n < len(probes))
        problem.watch(len(margins), len(probes))
        if not evaluated:
            break
    n = len(margins)
    return SearchFacts(tuple(probes[:n]), tuple(margins), exhaustive=exhaustive, missing=len(probes) - n)


def _most_violations(problem: Problem) -> int | None:
    """The number of violations after which a search stops; None for a search of the whole plan.

    One is enough at a slow generator, unless somebody asked for all inputs.
    """
    given, slow = problem.values.stop_after, problem.judge.context.slow
    return 1 if given is None and slow and not problem.values.exhaustive else given


def replay(problem: Problem, probe: Probe) -> SearchFacts:
    """The margin of one probe. Raises `InvalidArgument` if the space cannot place it, or lost a value of it."""
    judge = problem.judge
    space = judge.subject.generator.latent
    probe = problem.of_known(located(space, probe))
    if problem.known_probes is not None and probe not in problem.known_probes:
        raise InvalidArgument(
            f"the probe {probe} is none of the {len(problem.known_probes)} whose outputs are kept: only these can be "
            "compared"
        )
    if not problem.fitting([probe]):
        raise InvalidArgument(f"the probe {probe} does not fit {judge.definition.probes!r} in {space!r}")
    return SearchFacts((probe,), (judge.alone(probe),), replayed=True)


def planned(problem: Problem) -> list[Probe]:
    """The probes of the plan along which something moves. All properties of a session share a plan."""
    judge, values, plans = problem.judge, problem.values, problem.judge.context.plans.searched
    space = judge.subject.generator.latent
    if problem.known_probes is not None:
        return list(problem.known_probes)
    key = (space.supports, values.examples, values.seed)
    if key not in plans:
        plans[key] = dict.fromkeys(plan(space, values.examples, values.seed))
    family, probes = judge.definition.probes, list(plans[key])
    for space in judge.spaces:
        probes = real(family, space, probes)
        if not probes:
            raise InvalidArgument(f"{judge.definition} looks at {family!r}, and nothing moves in {space!r}")
    return probes


def _every_input(problem: Problem) -> list[Probe]:
    """Each input of a finite space, once and in order. All properties of a session share them."""
    judge, plans = problem.judge, problem.judge.context.plans.searched
    definition, generator = judge.definition, judge.subject.generator
    what = ""
    if definition.rate is not None:
        what = f"decides {definition} without a rate: take .at_rate(...) away, or exhaustive"
    elif not isinstance(definition.probes, Points):
        what = f"is for properties of single latents, and {definition} looks at {definition.probes!r}"
    elif judge.spaces != [generator.latent]:
        what = f"is for one prior, and {definition} looks at several"
    elif problem.known_probes is not None:
        n = len(problem.known_probes)
        what = f"needs the reference on every input, and outputs of {n} {noun(n, 'probe')} are kept"
    elif generator.noise:
        what = f"needs a finite number of inputs, and noise={list(generator.noise)} has infinitely many values"
    if what:
        raise InvalidArgument(f"exhaustive=True {what}")
    key = ("every", repr(generator.latent))
    if key not in plans:
        try:
            plans[key] = dict.fromkeys(every_point(generator.latent))
        except InvalidArgument as error:
            raise InvalidArgument(f"exhaustive=True needs a finite latent space: {error}") from None
    return list(plans[key])
