"""Monitors: a suite that is checked again and again during a training run, with an alarm that is rarely false."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from gentest._support.arguments import as_number, is_whole
from gentest.engine.check import Question
from gentest.errors import GentestError, InvalidArgument
from gentest.generators.generator import Generator, check_generator
from gentest.integrations.sinks import figure_names
from gentest.properties.definition import Definition
from gentest.report import facts
from gentest.results.outcome import Verdict
from gentest.results.records import applies, unpack
from gentest.results.result import Result
from gentest.results.settings import in_force, settings
from gentest.stats.betting import RateAlarm, reference_rate
from gentest.stats.quantiles import check_probability
from gentest.stats.rates import EDGE
from gentest.training.suite import Suite

Counts: TypeAlias = list[tuple[int, int]]
"""Probes that held and probes that were evaluated, of each check."""


@dataclass(frozen=True)
class Watched:
    """One property at one check of a monitor."""

    property: str
    name: str
    """Its name in figures: `suite/diverse`."""
    passes: int
    """Probes of this check that hold; 0 for an error."""
    probes: int
    """Probes of this check; 0 for an error."""
    least: float | None
    """The rate below which the property must not fall; None while the reference is made."""
    log_evidence: float
    """The logarithm of the evidence of all checks that it has fallen, as odds; 0 while the reference is made."""
    needed: float
    """The value of `log_evidence` at which the alarm rings."""
    message: str = ""
    """Why the property could not be checked; empty if it was."""

    @builtins.property
    def rings(self) -> bool:
        """True if there is an alarm: enough evidence, or a property that could be checked before and now cannot."""
        return bool(self.message) or (self.least is not None and self.log_evidence >= self.needed)

    def __str__(self) -> str:
        if self.message:
            return f"{self.property}: cannot be checked any more: {self.message}"
        now = f"{self.passes} of {self.probes} probes hold"
        if self.least is None:
            return f"{self.property}: {now} (reference)"
        evidence = f"log evidence {self.log_evidence:.1f}, {self.needed:.1f} is an alarm"
        return f"{self.property}: {now}, at least {100 * self.least:.3g} % expected ({evidence})"


@dataclass(frozen=True)
class StepCheck:
    """A monitor's check at one step of a training run."""

    step: int
    watched: tuple[Watched, ...]
    """Each property, in the order of the suite."""
    images: int
    seconds: float

    @property
    def alarms(self) -> tuple[Watched, ...]:
        """The properties whose alarm rings."""
        return tuple(watched for watched in self.watched if watched.rings)

    def figures(self) -> dict[str, float]:
        """The numbers of the check by `SUITE/PROPERTY/FIGURE`, and the totals by `gentest/FIGURE`, for trackers.

        A property has `rate`, `log_evidence`, `needed` and, once it is known, `least`; one that could not be checked
        has none.
        """
        named: dict[str, float] = {}
        for watched in self.watched:
            if not watched.message:
                figures = {"log_evidence": watched.log_evidence, "needed": watched.needed, "least": watched.least}
                figures["rate"] = watched.passes / watched.probes
                named |= {f"{watched.name}/{name}": value for name, value in figures.items() if value is not None}
        return {
            **named,
            "gentest/alarms": len(self.alarms),
            "gentest/images": self.images,
            "gentest/seconds": self.seconds,
        }

    def __str__(self) -> str:
        lines = [f"step {self.step}: {'alarm' if self.alarms else 'no alarm'}"]
        return "\n".join([*lines, *(f"  {'! ' if watched.rings else ''}{watched}" for watched in self.watched)])


class Monitor:
    """Checks a suite during a training run, and rings an alarm if a property begins to hold less often.

    Each check evaluates `probes` independent probes of the prior for each property. They are fresh at every step, drawn
    from the seed of the settings and the step alone. An e-process for each property adds up the evidence of all checks
    (`gentest.stats.betting`).

    The alarm of a property asks whether it still holds for a share of its probes that it must not fall below:

    - of a property with `.at_rate(p0)`, p0. The alarm is false if the rate was p0 or more at every check.
    - of any other, its rate in the first `reference` checks less `drop`. The alarm is false if at every later check the
      rate was at least the mean rate of those checks, less `drop`. Begin the monitor once the model is worth guarding:
      a property that hardly ever holds in these checks has nothing to lose, and gives no alarm.

    Over a whole run of any length, the probability of any false alarm is at most `alpha`, for all properties together:
    they share it (Bonferroni), and a reference spends half of its share on the reference's own uncertainty. The bound
    (Ville 1939) holds however often the monitor is checked, and if a check decides how training goes on. It assumes
    that training does not depend on the probes of checks to come, so do not train on them. `gentest.sd(x)` is measured
    anew at each check. Once rung, an alarm keeps ringing.

    A property that could be checked before and now raises, such as for outputs that are not finite, is an alarm too.
    That is no matter of chance, and alpha does not cover it. At the first check it raises `GentestError` instead.

    Raises `InvalidArgument` for wrong arguments, and for properties of pairs or of all outputs together (`matches`),
    and a rate for each of several priors or labels: these have no one rate to watch.

    >>> import gentest, torch
    >>> monitor = gentest.Monitor(gentest.Suite(gentest.responsive(at_least=0.01).at_rate(0.9)))
    >>> def at(step):
    ...     scale = 1.0 if step < 300 else 0.0  # the model collapses
    ...     f = lambda z: (scale * z).tanh()[:, :, None, None]
    ...     return monitor.check(gentest.Generator(f, latent=gentest.Normal(3)), step)
    >>> [len(at(step).alarms) for step in (100, 200, 300)]
    [0, 0, 1]
    """

    def __init__(
        self,
        suite: Suite,
        *,
        alpha: float = 0.01,
        probes: int = 64,
        reference: int = 4,
        drop: float = 0.05,
        settings: settings | None = None,
    ) -> None:
        if not isinstance(suite, Suite):
            raise InvalidArgument.expected("a gentest.Suite", "suite", suite)
        check_probability("alpha", alpha)
        for name, value in (("probes", probes), ("reference", reference)):
            if not is_whole(value, 1):
                raise InvalidArgument.expected("a whole number >= 1", name, value)
        if not 0.0 <= as_number(drop) < 1.0:
            raise InvalidArgument.expected("a share in [0, 1)", "drop", drop)
        self.suite, self.alpha, self.probes, self.reference, self.drop = suite, alpha, probes, reference, drop
        self._definitions = [_watchable(property.definition) for property in suite.properties]
        self._values = in_force(settings)
        self._steps: list[int] = []
        self._counts: list[Counts] = [[] for _ in suite.properties]
        self._rung: dict[int, int] = {}

    @property
    def last_step(self) -> int | None:
        """The step of the last check; None before the first."""
        return self._steps[-1] if self._steps else None

    @property
    def alarms(self) -> dict[str, int]:
        """The properties whose alarm has rung, each with the step at which it first did."""
        return {str(self._definitions[index]): step for index, step in self._rung.items()}

    def check(self, generator: Generator, step: int) -> StepCheck:
        """Evaluate the fresh probes of a step, and return the rates and the evidence of all checks so far.

        `step` is the training step, larger than that of every check before. Outputs are made on the device of the
        generator's weights, unless the settings name one. The generator's modules are in eval mode afterwards, so lend
        them: `with gentest.borrowed(net): monitor.check(gentest.Generator(net, ...), step)`.

        Raises `InvalidArgument` for wrong arguments, and `GentestError` if a property cannot be checked the first time.
        """
        if not is_whole(step, 0) or (self._steps and step <= self._steps[-1]):
            after = f" above {self._steps[-1]}, the last one" if self._steps else " >= 0"
            raise InvalidArgument.expected(f"a whole number{after}", "step", step)
        generator = check_generator(generator)
        values = replace(
            self._values,
            examples=1,
            reduce=0,
            attack=0,
            exhaustive=False,
            seed=_seed(self._values.seed, step),
            device=self._values.device or _device_of(generator),
        )
        results = self.suite.ask(generator, values, self._question)
        self._check_first(results)
        self._steps.append(step)
        watched = []
        for index, (name, result) in enumerate(zip(figure_names(results), results, strict=True)):
            sampled = [] if result.sample is None else unpack(result.sample.margins, "margins")
            margins = list(filter(applies, sampled))
            self._counts[index].append((sum(margin >= 0 for margin in margins), len(margins)))
            watched.append(self._watched(index, name, result))
            if watched[-1].rings:
                self._rung.setdefault(index, step)
        images = sum(result.cost.images for result in results)
        return StepCheck(step, tuple(watched), images, sum(result.cost.seconds for result in results))

    def state_dict(self) -> dict[str, Any]:
        """The monitor's memory as JSON takes it, to save with a checkpoint of the run."""
        return {
            "properties": list(map(str, self._definitions)),
            "steps": list(self._steps),
            "counts": [[list(count) for count in counts] for counts in self._counts],
            "rung": {str(index): step for index, step in self._rung.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises `InvalidArgument` for the state of other properties."""
        if list(state["properties"]) != list(map(str, self._definitions)):
            raise InvalidArgument(f"the state is of other properties: {', '.join(state['properties'])}")
        self._steps = [int(step) for step in state["steps"]]
        self._counts = [[(int(passes), int(n)) for passes, n in counts] for counts in state["counts"]]
        self._rung = {int(index): int(step) for index, step in state["rung"].items()}

    def _question(self, index: int) -> Question:
        definition = replace(self._definitions[index], rate=None)
        return Question(definition, self.suite.name, n_sampled=self.probes, looks=False)

    def _check_first(self, results: Sequence[Result]) -> None:
        """Raise an error of the first check: it is a mistake, and not something that training did."""
        for result in results if not self._steps else ():
            if result.verdict is Verdict.ERROR:
                raise GentestError(f"{facts.headline(result)} (at the first check of a monitor)")

    def _watched(self, index: int, name: str, result: Result) -> Watched:
        """What is known of a property after the last check."""
        definition, counts = self._definitions[index], self._counts[index]
        share = self.alpha / len(self._definitions)
        if definition.rate is not None:
            alarm, later = RateAlarm(definition.rate.p0, share), counts
        else:
            before, later = counts[: self.reference], counts[self.reference :]
            passes, n = (sum(column) for column in zip(*before, strict=True))
            known = reference_rate(passes, n, share / 2) if n else 0.0
            alarm = RateAlarm(min(max(known - self.drop, EDGE), 1.0 - EDGE), share / 2)
        evidence = 0.0
        if later:
            passed, evaluated = zip(*later, strict=True)
            evidence = float(alarm.log_evidence(passed, evaluated).max())
        passes, n = counts[-1]
        message = result.message if result.verdict is Verdict.ERROR else ""
        least = alarm.rate if later else None
        return Watched(str(definition), name, passes, n, least, evidence, alarm.needed, message)


def _watchable(definition: object) -> Definition:
    """The definition. Raises `InvalidArgument` for a property that has no one rate to watch."""
    if not isinstance(definition, Definition) or definition.compares:
        raise InvalidArgument(f"{definition} is not about single outputs of one generator: a monitor cannot watch it")
    if definition.rate is not None and (definition.rate.each or definition.states is not None):
        raise InvalidArgument(f"{definition} has several rates, and a monitor watches one: leave out the rate")
    return definition


def _seed(seed: int, step: int) -> int:
    """The seed of a step's probes, from 0 to 2^63 - 1."""
    digest = hashlib.sha256(f"gentest monitor, seed {seed}, step {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _device_of(generator: Generator) -> str | None:
    """The device of the generator's weights; None if it has none."""
    return next((str(weight.device) for module in generator.modules for weight in module.parameters()), None)
