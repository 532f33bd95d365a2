"""The cost of checks: the pace of a generator, in seconds for an image, and the budget of a run.

An image may take a millisecond or five seconds. Slow generators get smaller batches, fewer images that are made twice,
and a search that stops at its first violation.

A budget bounds the images and minutes of a run. Every call of a generator claims its images first, and a call that
could not end within the budget is never started: `BudgetSpent` ends the check, which keeps what it has. Each check
holds a few images back, so that it can audit what it decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Protocol

from gentest.errors import GentestError
from gentest.probes.families import Points
from gentest.properties.all_outputs import CodesInUse, StatisticWithin
from gentest.properties.definition import AtRate, Declaration, Definition
from gentest.properties.distribution import Matches
from gentest.properties.level_limits import KeepsLevel
from gentest.results.settings import Values
from gentest.spaces import Choice, Space
from gentest.stats.rates import LOOK

SLOW = 0.5
"""Seconds for an image above which a generator is slow."""
SLOW_BLOCK = 16
"""Latents that are evaluated together on a slow generator, before the next decision."""
MAX_ARMS = 64
"""The most values of a part with a rate each. Of more, the prior's mixture has one."""
LEVEL_MEASURED = 16
"""Latents of a level that nobody keeps or compares."""
LEVEL = 64
"""Latents on which the difference of two levels is usually certain."""

clock: Callable[[], float] = time.monotonic
"""The clock of all costs, in seconds. Tests replace it."""


@dataclass
class Meter:
    """Images and calls that a generator was asked for."""

    images: int = 0
    calls: int = 0
    seconds: float = 0.0
    """Time spent in calls of this process."""


class Pace:
    """The seconds that one generator takes for an image.

    The first call does not count once there is another one: it may load weights or compile.

    >>> pace = Pace()
    >>> pace.add(1, 20.0)
    >>> pace.add(2, 0.5)
    >>> pace.seconds, pace.slow
    (0.25, False)
    """

    def __init__(self) -> None:
        self._first = self._later = Meter()
        self._settled: bool | None = None
        self.last = 0.0
        """Seconds of the last call."""

    def add(self, images: int, seconds: float) -> None:
        """Count one call."""
        self.last = seconds
        if not self._first.calls:
            self._first = Meter(images, 1, seconds)
        else:
            later = self._later
            self._later = Meter(later.images + images, later.calls + 1, later.seconds + seconds)

    @property
    def known(self) -> bool:
        """Whether the generator was called."""
        return bool(self._first.calls)

    @property
    def seconds(self) -> float:
        """Seconds for an image; 0 before the first call."""
        counted = self._later if self._later.images else self._first
        return counted.seconds / max(counted.images, 1)

    @property
    def settled(self) -> bool:
        """Whether enough calls have told how long an image takes."""
        return self._settled is not None or self._later.calls > 1

    @property
    def slow(self) -> bool:
        """Whether an image takes longer than `SLOW` seconds."""
        return self.seconds > SLOW if self._settled is None else self._settled

    def in_batches(self, one: float, two: float) -> float:
        """Seconds for an image in a batch of `SLOW_BLOCK`, where one image alone takes `one` and two together `two`.

        A small network may take as long for sixteen images as for one.

        >>> round(Pace().in_batches(0.75, 0.75), 3), Pace().in_batches(5.0, 10.0)
        (0.047, 5.0)
        """
        return (one + (SLOW_BLOCK - 1) * max(two - one, 0.0)) / SLOW_BLOCK

    def settle(self, *, slow: bool) -> None:
        """Decide once and for all whether the generator is slow, so that one check is planned in one way."""
        if self._settled is None:
            self._settled = slow


class BudgetSpent(GentestError):
    """The budget of the run does not reach for the next images. `bound` is the setting that ends it."""

    def __init__(self, bound: str) -> None:
        super().__init__(f"the budget of the run ends here: {bound}")
        self.bound = bound


class Ledger(Protocol):
    """The number of images that a run has claimed so far, in one process or in several."""

    @property
    def claimed(self) -> int:
        """Images claimed so far."""

    def claim(self, n: int, most: int) -> int:
        """Claim up to `n` images, as long as no more than `most` are claimed in all; gives the number claimed."""

    def give_back(self, n: int) -> None:
        """Take back the claim on `n` images."""


class LocalLedger:
    """A ledger of this process.

    >>> ledger = LocalLedger()
    >>> ledger.claim(8, most=10), ledger.claim(8, most=10), ledger.claimed
    (8, 2, 10)
    """

    def __init__(self) -> None:
        self.claimed = 0

    def claim(self, n: int, most: int) -> int:
        """Claim up to `n` images, as long as no more than `most` are claimed in all; gives the number claimed."""
        granted = max(0, min(n, most - self.claimed))
        self.claimed += granted
        return granted

    def give_back(self, n: int) -> None:
        """Take back the claim on `n` images."""
        self.claimed -= n


@dataclass(frozen=True)
class Bound:
    """A bound on the images and on the time of a run, of a test or of one check."""

    max_images: int | None = None
    max_minutes: float | None = None
    started: float = 0.0
    """The time on `clock` at which the minutes begin."""
    ledger: Ledger | None = None
    """Counts the images; needed with `max_images`."""

    @classmethod
    def of(cls, values: Values, *, started: float | None = None, ledger: Ledger | None = None) -> Bound:
        """The bound that some settings ask for, from now on unless `started` says since when."""
        now = clock() if started is None else started
        return cls(values.max_images, values.max_minutes, now, ledger or LocalLedger())

    @property
    def seconds_left(self) -> float:
        """Seconds until the bound; infinite without a bound on the time."""
        return inf if self.max_minutes is None else self.started + 60.0 * self.max_minutes - clock()

    @property
    def images_left(self) -> float:
        """Images that nobody has claimed yet; infinite without a bound on the images."""
        return inf if self.max_images is None or self.ledger is None else self.max_images - self.ledger.claimed


class Budget:
    """What a check may spend: the images and the time that every one of some bounds leaves.

    >>> budget = Budget(Bound(max_images=10, ledger=LocalLedger()))
    >>> budget.hold(2)
    >>> budget.claim(6)
    >>> budget.left
    2
    >>> budget.claim(3)
    Traceback (most recent call last):
    gentest.engine.cost.BudgetSpent: the budget of the run ends here: max_images=10
    >>> with budget.released():
    ...     budget.claim(3)
    >>> budget.left
    1
    """

    def __init__(self, *bounds: Bound) -> None:
        self._bounds: Sequence[Bound] = [b for b in bounds if not (b.max_images is None and b.max_minutes is None)]
        self._held = 0
        self._releases = False
        self.pace: Callable[[], float] = lambda: 0.0
        """Seconds for an image of the generator under test; 0 while nobody knows."""

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return bool(self._bounds)

    @property
    def left(self) -> float:
        """Images that may be made now, one after the other, besides those that are held back."""
        return self._tightest(1)[0]

    def hold(self, n: int) -> None:
        """Hold back up to `n` images in all, as far as there are so many."""
        if not self.bounded or (more := n - self._held) <= 0:
            return
        granted = int(min(more, max(self.left, 0)))
        self._claim(granted)
        self._held += granted

    @property
    def bound(self) -> str:
        """The setting that ends first: `max_images=500` or `max_minutes=5`; empty without any."""
        return self._tightest(1)[1]

    @contextmanager
    def holding(self, n: int) -> Iterator[None]:
        """Inside, `n` images more are held back, as far as there are so many."""
        before = self._held
        self.hold(before + n)
        try:
            yield
        finally:
            self._give_back(self._held - before)

    @contextmanager
    def released(self) -> Iterator[None]:
        """Inside, the images that were held back may be made."""
        self._releases, before = True, self._releases
        try:
            yield
        finally:
            self._releases = before

    def end(self) -> None:
        """Give back what is still held."""
        self._give_back(self._held)

    def affordable(self, probes: int, latents: int, *, at_once: int = 1) -> int:
        """How many of some probes of so many latents may be made now, `at_once` latents at a time."""
        return int(min(probes, self._tightest(at_once)[0] // latents))

    def check(self, n: int, *, at_once: int = 1) -> None:
        """Raise `BudgetSpent` if `n` images are too many, `at_once` of them at a time. It claims none."""
        if not self.bounded:
            return
        left, bound = self._tightest(at_once)
        if n > left:
            raise BudgetSpent(bound)

    def claim(self, n: int) -> None:
        """Claim `n` images that are made next. Raises `BudgetSpent` if the budget does not reach for them."""
        if not self.bounded:
            return
        self.check(n)
        from_held = min(n, self._held) if self._releases else 0
        self._claim(n - from_held)
        self._held -= from_held

    def add(self, n: int) -> None:
        """Count `n` images that another process has made."""
        self._claim(n, certain=True)

    def _tightest(self, at_once: int) -> tuple[float, str]:
        """The images left within the tightest bound, and its name."""
        pace, tightest = self.pace(), (inf, "")
        for bound in self._bounds:
            images = bound.images_left + (self._held if self._releases else 0)
            seconds = bound.seconds_left
            in_time = inf if seconds > 0 and not pace else 0.0
            if pace:
                in_time = at_once * (seconds / pace - (0 if self._releases else self._held))
            if bound.max_images is not None:
                tightest = min(tightest, (max(images, 0), f"max_images={bound.max_images}"))
            if bound.max_minutes is not None:
                in_time = in_time if in_time == inf else max(int(in_time), 0)
                tightest = min(tightest, (in_time, f"max_minutes={bound.max_minutes:g}"))
        return tightest

    def _claim(self, n: int, *, certain: bool = False) -> None:
        """Claim images from every bound's ledger. Raises `BudgetSpent` if another process was faster."""
        claimed: list[tuple[Ledger, int]] = []
        for bound in self._bounds:
            if bound.max_images is None or bound.ledger is None:
                continue
            granted = bound.ledger.claim(n, bound.ledger.claimed + n if certain else bound.max_images)
            claimed.append((bound.ledger, granted))
            if granted < n and not certain:
                for ledger, k in claimed:
                    ledger.give_back(k)
                raise BudgetSpent(f"max_images={bound.max_images}")

    def _give_back(self, n: int) -> None:
        self._held -= n
        for bound in self._bounds:
            if bound.ledger is not None:
                bound.ledger.give_back(n)


@dataclass(frozen=True)
class Wants:
    """The images that a property wants for its decision, by the step that makes them."""

    search: int = 0
    rate: int = 0
    attack: int = 0
    sample: int = 0
    latents: int = 1
    """Images of one probe."""

    @property
    def images(self) -> int:
        """All of them."""
        return self.search + self.rate + self.attack + self.sample


def wanted(definition: Declaration, space: Space, values: Values, *, n_sampled: int = 0) -> Wants:
    """The images that a property wants on a good generator, whose probes all pass.

    >>> from gentest.properties.samples import responsive
    >>> from gentest.spaces import Normal
    >>> wanted(responsive(at_least=0.1), Normal(8), Values(examples=50))
    Wants(search=100, rate=0, attack=0, sample=0, latents=2)
    """
    if isinstance(definition, KeepsLevel):
        return Wants(sample=LEVEL_MEASURED)
    if not isinstance(definition, Definition):
        return Wants(sample=_n_of_all(definition, values))
    latents = definition.probes.n_points * len(definition.under(space)) * (1 + definition.again)
    examples = values.examples
    if space.n_latents is not None and isinstance(definition.probes, Points):
        examples = min(examples, space.n_latents)
    return Wants(
        search=examples * latents,
        rate=0
        if definition.rate is None
        else rate_probes(definition.rate, n_arms(definition.rate, space), values) * latents,
        attack=values.attack,
        sample=n_sampled * latents,
        latents=latents,
    )


def _n_of_all(definition: Declaration, values: Values) -> int:
    """Outputs that a property of all of them wants."""
    match definition:
        case Matches() | StatisticWithin():
            return definition.n
        case CodesInUse():
            return min(definition.test.most_outputs, values.budget)
    return min(LEVEL, values.budget)


def rate_probes(goal: AtRate, n_arms: int, values: Values) -> int:
    """The probes that decide a rate of several arms if all of them pass, together."""
    fewest = goal.test_among(n_arms).fewest
    return n_arms * min(-(-fewest // LOOK) * LOOK, values.budget)


def n_arms(goal: AtRate, space: Space) -> int:
    """The number of values with a rate each; 1 without `each=`, and for a part with too many values."""
    part = space.parts.get(goal.each)
    n_values = part.n_values if isinstance(part, Choice) else None
    return n_values if n_values is not None and n_values <= MAX_ARMS else 1
