"""The forecast of a run: the images that the properties of its tests are going to take, evidence that they share once.

It follows from what the properties declare, before anything runs: latents of a probe, examples, the probes that decide
a rate on a good generator, the budget of an attack, the sample of a gate, and what gentest makes besides to examine a
generator, to measure rounding and standard deviations, and to audit. It knows nothing of counterexamples: reducing one
takes some hundred images more, and a search that stops at it fewer.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from gentest.engine.cost import SLOW_BLOCK, n_arms, wanted
from gentest.engine.evaluation import BAND_PROBES, BAND_SLOW
from gentest.engine.evidence.audit import EXAMINED, RANDOM, RANDOM_SLOW
from gentest.engine.evidence.examine import ALONE
from gentest.engine.evidence.maker import LARGEST_BATCH
from gentest.engine.evidence.plans import PILOT
from gentest.engine.methods.problem import MAX_BLOCK
from gentest.engine.outputs_summary import N_OUTPUTS
from gentest.errors import InvalidArgument
from gentest.probes.families import points
from gentest.properties.definition import Definition, OfAll
from gentest.properties.level_limits import KeepsLevel
from gentest.results.settings import Values
from gentest.spaces import Normal, Space

BATCH = LARGEST_BATCH["cpu"]
"""Latents of a batch, while nobody knows the size of an output."""
REFERENCE = "the reference of the pairs"
NOBODY_KNOWS = Normal(1)
"""The space of a generator before its test runs."""
LIKELY_ARMS = 4
"""The number of values with a rate each, while nobody knows the space."""
CHOSEN = 5
"""Rows of a usual audit that are not random: the largest batch's, a smaller one's, and the smallest margin's."""


@dataclass(frozen=True)
class PlannedCheck:
    """A property that a run is to check, and how."""

    test: str
    label: str
    """The property's name within its test."""
    definition: Definition | OfAll
    values: Values
    generator: Hashable = None
    """Equal for tests that share a generator."""
    fixtures: Hashable = None
    """Equal for tests whose generators come from the same fixtures, be they truncated, given or as they are."""
    n_sampled: int = 0
    """Probes whose margins are kept for a baseline, or compared with one."""
    summarised: int = 0
    """The number of summaries of the outputs: one for a blessing, two for a comparison."""
    quick: bool = False
    """Whether a gate looks at levels and single latents alone, even if images are fast."""
    n_quick: int = 0
    """Latents of a quick gate: those that a blessing keeps, or that a comparison usually takes."""


@dataclass
class Known:
    """What the run has learnt of a generator so far."""

    space: Space
    slow: bool = False
    batch_size: int = BATCH


Needs: TypeAlias = Mapping[Hashable, int]
"""The images of each kind of evidence that some properties look at. Properties share a kind."""


class Forecast:
    """Counts the images of one property after the other, in the order of the run.

    >>> from gentest.properties.samples import responsive
    >>> asked = PlannedCheck("test_a", "responsive", responsive(at_least=0.1), Values(examples=100))
    >>> forecast = Forecast()
    >>> [forecast.add(forecast.needs([asked])) for _ in "ab"]
    [267, 0]
    """

    def __init__(self, known: Mapping[Hashable, Known] | None = None) -> None:
        self._known = known or {}
        self._made: dict[Hashable, int] = {}

    def needs(self, asked: Iterable[PlannedCheck]) -> Needs:
        """The evidence that some properties look at."""
        needs: dict[Hashable, int] = {}
        for one in asked:
            for kind, n in self._needs(one).items():
                needs[kind] = max(n, needs.get(kind, 0))
        return needs

    def more(self, needs: Needs) -> int:
        """The images that properties would add to those of all before them."""
        return sum(max(0, n - self._made.get(kind, 0)) for kind, n in needs.items())

    def add(self, needs: Needs) -> int:
        """The images that properties add to those of all before them."""
        more = self.more(needs)
        for kind, n in needs.items():
            self._made[kind] = max(n, self._made.get(kind, 0))
        return more

    @property
    def _likely(self) -> Known:
        """A generator that nobody has seen: as slow as others, of a space that is not known."""
        return replace(next(iter(self._known.values()), Known(NOBODY_KNOWS)), space=NOBODY_KNOWS)

    def _needs(self, asked: PlannedCheck) -> dict[Hashable, int]:
        definition, generator = asked.definition, asked.generator
        known = self._known.get(generator) or self._known.get(asked.fixtures) or self._likely
        needs: dict[Hashable, int] = {}
        is_quick = bool(asked.n_sampled) and (asked.quick or known.slow)
        audited = (asked.test, "" if known.slow else asked.label, "audit")
        total = getattr(definition, "total", False)
        # pairs of a run usually share their reference
        for side in (generator, REFERENCE) if definition.compares else (generator,):
            needs[side, audited] = RANDOM_SLOW if known.slow else RANDOM + CHOSEN + 1
            needs[side, asked.test, asked.label, "attack"] = asked.values.attack
            needs[side, "examined"] = 0 if total else ALONE if known.slow else 2 * EXAMINED + ALONE + 1
            with suppress(InvalidArgument):  # the check will report it
                needs |= _of_probes(asked, known, side, is_quick=is_quick)
        if definition.in_deviations and not known.slow:
            needs[REFERENCE if definition.compares else generator, "pilot"] = PILOT
        needs[generator, "summary"] = 0 if is_quick else asked.summarised * N_OUTPUTS
        return needs


def _of_probes(asked: PlannedCheck, known: Known, side: Hashable, *, is_quick: bool) -> dict[Hashable, int]:
    """The images of search, rate and sample on one side of a property."""
    definition, space, seed = asked.definition, known.space, asked.values.seed
    wants = wanted(definition, space, asked.values, n_sampled=0 if is_quick else asked.n_sampled)
    # levels, and the single latents of a quick gate, are those of the stream that a rate looks at
    single = (side, points(), repr(space), seed, 0), "stream", ""
    if isinstance(definition, KeepsLevel):
        return {single: asked.n_quick if asked.n_sampled else wants.sample}
    if not isinstance(definition, Definition):
        return {(side, "outputs", seed): wants.sample}
    if is_quick and definition.rate is not None:
        wants = replace(wants, search=0)
    arms = 1 if definition.rate is None else n_arms(definition.rate, space)
    if definition.rate is not None and definition.rate.each and space is NOBODY_KNOWS:
        arms = LIKELY_ARMS
    block = SLOW_BLOCK if known.slow else min(known.batch_size, MAX_BLOCK)
    searched, sampled = wants.search // wants.latents, wants.sample // wants.latents
    per_arm = wants.rate // wants.latents // (1 if space is NOBODY_KNOWS else arms)
    rated = arms * _in_blocks(per_arm, block)
    each = "" if definition.rate is None or arms == 1 else definition.rate.each
    needs: dict[Hashable, int] = {}
    n_points = definition.probes.n_points
    for prior in definition.under(space):
        # on a fast generator, a property that makes latents again looks at them in blocks of its own
        family = (side, definition.probes, repr(prior.space), seed, 0 if known.slow else definition.again)
        needs[family, "search", asked.values.examples] = searched * n_points
        # the rate and the sample look at the same stream, and the rates of a part's values at probes of their own
        needs[family, "stream", each] = max(rated, 0 if each else sampled) * n_points
        if each:
            needs[family, "stream", ""] = sampled * n_points
        alone = max(1, BAND_SLOW // n_points) if known.slow else BAND_PROBES
        needs[family, "rounding"] = 0 if known.slow and definition.again else alone * n_points
        made_again = (searched + max(rated, sampled)) * n_points * _times_again(definition.again, slow=known.slow)
        needs[family, "again", definition.again] = math.ceil(made_again)
    if is_quick:
        needs[single] = max(asked.n_quick, needs.get(single, 0))
    return needs


def _times_again(again: int, *, slow: bool) -> float:
    """How often a property makes a latent again that it compares alone and after other samples in a batch.

    On a slow generator, the latents of a batch share the other samples.
    """
    if not slow or not again:
        return again
    others = max(again - 2, 0)
    return 1 + SLOW_BLOCK / (SLOW_BLOCK - others)


def _in_blocks(n: int, block: int) -> int:
    """A number of probes in whole blocks."""
    return -(-n // block) * block
