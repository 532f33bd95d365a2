"""Of probes that violate, the two that are shown: the worst, and the minimal one, which changes as little as it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gentest.engine.judge import Judge
from gentest.engine.methods import reduce, search
from gentest.probes.probe import Probe
from gentest.results.settings import Values

LEAST_BUDGET = 64
"""A reduction asks about no more probes than the search did, or this many after a short search."""


class Counterexamples:
    """What is made of failing probes; `real` says which probes are not degenerate."""

    def __init__(self, judge: Judge, real: Callable[[Sequence[Probe]], list[Probe]], values: Values) -> None:
        self._judge = judge
        self._real = real
        self._seed = values.seed
        self._budget = min(values.reduce, max(values.examples, LEAST_BUDGET))
        self._space = judge.subject.generator.latent

    def worst(self, failing: Sequence[Probe]) -> Probe:
        """The one of the smallest margin."""
        return self._confirmed(self._judge.worst(failing))

    def minimal(self, failing: Sequence[Probe]) -> Probe:
        """One reduced to the coordinate groups that it needs, and then to a simpler structure."""
        alike = [probe for probe in failing if not probe.shift] or failing  # a sample needs no attack
        reduced = self._confirmed(self._reduced([self._confirmed(probe) for probe in alike[: reduce.POOL]]))
        return self._confirmed(self._simplified(reduced))

    def _confirmed(self, probe: Probe) -> Probe:
        """A probe that violates in a batch, once it violates alone as well."""
        self._judge.confirm(probe, self._judge.alone(probe))
        return probe

    def _reduced(self, failing: Sequence[Probe]) -> Probe:
        """Of an attack's probes, the groups that it moved; of others, those that the far end changes."""
        definition, attacked = self._judge.definition, bool(failing[0].shift)
        if not definition.reducible and not attacked:
            return failing[0]
        n_ends = len(definition.probes.streams)
        return reduce.reduce_groups(
            failing,
            reduce.shift(self._space, n_ends) if attacked else reduce.far_end(self._space),
            self._violates,
            budget=self._budget,
            may_be_empty=definition.probes.n_points == 1 and not attacked,
        )

    def _simplified(self, probe: Probe) -> Probe:
        family = self._judge.definition.probes
        return search.simplify(probe, self._space, family, self._violates, seed=self._seed, budget=self._budget)

    def _violates(self, probes: list[Probe]) -> list[bool]:
        """Which probes are real and violate the property."""
        real = self._real(probes)
        margins = dict(zip(real, self._judge.margins(real), strict=True))
        return [margins.get(probe, 0.0) < 0 for probe in probes]
