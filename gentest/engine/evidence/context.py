"""The context of a session: everything that its checks share.

It composes the maker (runs the generator), the memory pool (keeps evidence), what is measured and in which unit, and
the plans (which probes). None of its caches ever changes a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from gentest.attributes.attribute import Setup
from gentest.attributes.prompts import PromptCache
from gentest.engine.cost import SLOW_BLOCK, Budget, Meter
from gentest.engine.evidence.maker import Maker
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.measuring import Measuring, in_precision
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.output_store import HALF_STEP, OutputStore, Recall
from gentest.engine.evidence.plans import Origin, Plans
from gentest.engine.evidence.pool import MemoryPool
from gentest.engine.evidence.store import Store
from gentest.engine.evidence.subject import Identities, Subject
from gentest.errors import GentestError, InvalidArgument, out_of_memory
from gentest.generators.generator import Generator, Pair
from gentest.generators.modules import resolve_device
from gentest.measures.fixtures import Fixture
from gentest.probes.families import Probes, points
from gentest.probes.probe import Probe, independent
from gentest.properties.definition import Measure
from gentest.results.settings import Precision, Values, size_in_bytes

SHARED = ("device", "batch_size", "clip", "precision", "memory", "cache", "cache_outputs", "ray", "time_limit")
"""Two checks share a context if these settings are equal."""


class Cluster(Protocol):
    """Other processes that evaluate probes, each with a context of its own."""

    def __len__(self) -> int:
        """Number of processes."""

    def evaluator(self, local: Any) -> Any:
        """The `gentest.engine.evaluation.Evaluator` that does on the cluster what `local` does in this process."""


def _output_store(values: Values) -> OutputStore | None:
    """The outputs on disk, if the settings ask for them. Raises `InvalidArgument` if no folder is named."""
    if values.cache_outputs is None:
        return None
    if values.cache is None:
        raise InvalidArgument(
            f"cache_outputs={values.cache_outputs!r} needs a folder: give cache= as well (--gentest-cache DIR)"
        )
    return OutputStore(Path(values.cache), size_in_bytes(values.cache_outputs))


class Context:
    """The state that all checks with the same device, batch size, CLIP and memory bound share.

    `share` connects to a cluster at first use; None evaluates everything in this process.
    """

    def __init__(
        self,
        values: Values,
        *,
        prompts: PromptCache | None = None,
        watch: Callable[[int], None] | None = None,
        share: Callable[[Context], Cluster] | None = None,
    ) -> None:
        self.device = resolve_device(values.device)
        self.precision = values.precision
        store = None if values.cache is None else Store(Path(values.cache))
        self.maker = Maker(
            self.device, values.batch_size, watch, store, values.time_limit, output_store=_output_store(values)
        )
        self.pool = MemoryPool(self.maker, values.memory << 20, self._measure_upcoming)
        setup = Setup(device=self.device, clip=values.clip, prompts=prompts)
        self.measuring = Measuring(self.maker, self.pool, setup)
        self.plans = Plans()
        self.examined: dict[Hashable, Tensor] = {}
        """One output of each subject, in its unit, from before any property looked at it."""
        self.pictures: dict[Hashable, Any] = {}
        """Pictures of the first outputs of a seed, by subject."""
        assert (values.ray is None) == (share is None), "gentest.engine.cluster.actors.shared_context shares the work"
        self.too_fine: dict[str, None] = {}
        """The properties for which outputs of 16 bits were too coarse."""
        self._share = share
        self._shares = share is not None
        self._cluster: Cluster | None = None

    @property
    def meter(self) -> Meter:
        """Images and calls that the generators were asked for so far."""
        return self.maker.meter

    @property
    def budget(self) -> Budget:
        """What the check may spend."""
        return self.maker.budget

    @property
    def identities(self) -> Identities:
        """The identities of generators and measures during the current check."""
        return self.maker.identities

    @property
    def batch_size(self) -> int:
        """Latents in one call of the generator."""
        return self.maker.batch_size

    def begin(self, seed: int, *, body: bool, budget: Budget | None = None) -> None:
        """Start a check. `body=True` if somebody else's code may have run since the check before."""
        self.identities.begin(body=body)
        self.maker.begin(Budget() if budget is None else budget)
        self.maker.audit.begin(seed, body=body)

    def end(self, *, believed: bool) -> None:
        """End a check. Its measurements go to disk only if its verdict is believed."""
        self.budget.end()
        self.maker.audit.stop()
        self.identities.end(believed=believed)
        for store in self._stores:
            (store.commit if believed else store.forget)()

    @property
    def _stores(self) -> list[Store | OutputStore]:
        """What is kept on disk."""
        return [store for store in (self.maker.store, self.maker.output_store) if store is not None]

    def commit(self) -> None:
        """Keep on disk what was made and measured so far."""
        for store in self._stores:
            store.commit()

    def subject(self, generator: Generator | Pair) -> Subject:
        """The generator, or the pair, in its present state. The check is about it from now on."""
        subject = Subject.of(generator, self.identities)
        self.maker.test(subject)
        return subject

    @property
    def slow(self) -> bool:
        """Whether the generator under test takes longer than half a second for an image."""
        return self.maker.audit.slow

    def discard(self, subject: Subject) -> None:
        """Drop everything known about a generator, in memory and on disk, because some of it is wrong."""
        self.pool.discard(subject)
        self.measuring.forget(subject)
        self.examined.pop(subject.key, None)
        for key in [key for key in self.pictures if isinstance(key, tuple) and key[0] == subject.key]:
            del self.pictures[key]
        if address := self.maker.address(subject):
            for store in self._stores:
                store.discard(address)

    @property
    def troubles(self) -> list[str]:
        """Why measurements or outputs do not reach the disk cache."""
        return [store.trouble for store in self._stores if store.trouble]

    @property
    def notes(self) -> list[str]:
        """What the run says about outputs that came from disk."""
        if self.maker.output_store is None:
            return []
        notes = [f"{name}: outputs of 16 bits are too coarse for it and were made again" for name in self.too_fine]
        if not self.maker.output_store.recalls.rounded:
            return notes
        error = f"an error of at most {HALF_STEP:.2g} of their range"
        return [
            f"outputs come from the cache, kept in 16 bits ({error}); what they cannot decide is made again",
            *notes,
        ]

    def close(self) -> None:
        """Close the disk cache; a further check opens it again."""
        for store in self._stores:
            store.close()

    @property
    def cluster(self) -> Cluster | None:
        """The cluster that shares the work, connected at first use; None without one. Raises `InvalidArgument`."""
        if self._shares and self._cluster is None and self._share is not None:
            self._cluster = self._share(self)
        return self._cluster if self._shares else None

    @property
    def n_processes(self) -> int:
        """Number of batches of probes that are evaluated side by side."""
        return 1 if self.cluster is None else max(1, len(self.cluster))

    @contextmanager
    def without_cluster(self) -> Iterator[None]:
        """Inside, this process works alone: a chain of dependent steps gains nothing from a cluster."""
        self._shares, before = False, self._shares
        try:
            yield
        finally:
            self._shares = before

    def evidence(
        self,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        *,
        alone: bool = False,
        precision: Precision = "full",
        recall: Recall = Recall.ROUNDED,
    ) -> Observed:
        """The evidence of some probes. `recall` says how far outputs from disk may stand for new ones."""
        measurements = self.pool.measurements(subject, family, probes, alone=alone, recall=recall)
        return Observed(self.measuring, measurements, precision=precision)

    def samples(self, subject: Subject, seed: int, start: int, n: int) -> Iterator[Observed]:
        """Evidence of a seed's independent latents `start` to `start + n`, one full batch at a time."""
        taken = 0
        while taken < n:
            size = min(self.batch_size, n - taken)  # smaller from there on if memory ran out
            size = max(1, self.budget.affordable(min(size, SLOW_BLOCK) if self.slow else size, 1))
            yield self.evidence(subject, points(), independent(seed, start + taken, size))
            taken += size

    def _measure_upcoming(self, measurements: Measurements) -> None:
        """Measure what later properties will ask of some outputs, so that no image is made twice."""
        first = measurements.probes[0]
        if measurements.alone and first not in self.plans.rounded:
            return  # no other property asks about this probe alone
        origin = self.plans.origin(first)
        precision: Precision = "full" if measurements.alone or origin is Origin.PILOT else self.precision
        for wanted in measurements.upcoming(measurements.family, origin):
            measure = wanted if isinstance(wanted, Measure) else Measure(wanted)
            if isinstance(measure.thing, Fixture):
                continue  # only its own test may ask for a fixture
            try:
                for one in (measurements, *measurements.moved):
                    one.measure(in_precision(self.measuring.bound(measure.thing), precision), measure)
            except Exception as error:
                if not (isinstance(error, GentestError) or out_of_memory(error)):
                    raise
