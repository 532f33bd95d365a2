"""The memory pool: evidence that further properties of a session can share, within a bound on memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

from torch import Tensor

from gentest.engine.evidence.maker import Maker
from gentest.engine.evidence.measurements import Measurements
from gentest.engine.evidence.output_store import Recall
from gentest.engine.evidence.outputs import Outputs
from gentest.engine.evidence.plans import Upcoming
from gentest.engine.evidence.subject import Subject
from gentest.probes.families import Probes, points
from gentest.probes.probe import Probe

MOST_ALONE = 256
"""Batches of one probe, evaluated alone, that are kept: later tests measure rounding on them."""
LEAST_ROOM = 16 << 20
"""Bytes that measurements may take, however small the bound is: each saves making its images again."""


class MemoryPool:
    """Measurements by subject, family and probes. Dropping any of them changes no verdict, only the cost.

    `room` is the bound in bytes. `measure_upcoming` is called before outputs are dropped, to measure what later
    properties will ask of them.
    """

    def __init__(self, maker: Maker, room: int, measure_upcoming: Callable[[Measurements], None]) -> None:
        self.room = room
        self.upcoming: Upcoming = lambda family, origin: ()
        self._maker = maker
        self._measure_upcoming = measure_upcoming
        self._kept: dict[Hashable, Measurements] = {}
        """The least recently used first. An OrderedDict would hash every key at each iteration."""
        self._alone: dict[Hashable, None] = {}
        """The keys of single probes evaluated alone, the least recently used first."""
        self._subjects: dict[Hashable, Subject] = {}
        """Keeps subjects alive, since an id may be part of a key."""

    @property
    def n_bytes(self) -> int:
        """Memory taken by everything in the pool."""
        return sum(kept.n_bytes for kept in self._kept.values())

    def measurements(
        self,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        *,
        alone: bool = False,
        batch_size: int | None = None,
        recall: Recall = Recall.ROUNDED,
    ) -> Measurements:
        """The measurements of some probes, shared by all who ask for the same probes.

        `recall` says how far outputs from disk may stand for new ones; those of a pair have to be exact.
        """
        if subject.reference is not None or subject.is_reference:
            recall = min(recall, Recall.EXACT)
        self._subjects.setdefault(subject.key, subject)
        key = (subject.key, family, tuple(probes), alone, batch_size)
        kept = self._kept.pop(key, None)
        if kept is None or kept.recalled > recall:
            kept = Measurements(Outputs(self._maker, subject, family, probes, alone=alone, batch_size=batch_size))
        # equal to the subject before, but perhaps another object: the generator under test makes dropped outputs again
        kept.outputs.subject = subject
        kept.outputs.recall = recall
        self._make_room()
        self._kept[key] = kept
        kept.upcoming = self.upcoming
        if alone:
            self._alone.pop(key, None)
            self._alone[key] = None
            if len(self._alone) > MOST_ALONE:
                self._kept.pop(oldest := next(iter(self._alone)), None)
                del self._alone[oldest]
        return kept

    def outputs_of(self, subject: Subject, probes: Sequence[Probe]) -> Iterator[tuple[Probe, Tensor]]:
        """The outputs [*shape], checked, of those single samples that are in memory, and exact."""
        wanted = set(probes)
        for kept in list(self._kept.values()):
            if kept.subject.key != subject.key or kept.family != points() or kept.known_outputs is None:
                continue
            for row, probe in enumerate(kept.probes):
                if probe in wanted and kept.recalled is not Recall.ROUNDED:
                    yield probe, kept.outputs.checked[row, 0]

    def discard(self, subject: Subject) -> None:
        """Drop everything that the subject's function made, under any prior."""
        for key, kept in list(self._kept.items()):
            if kept.subject.computed[0] == subject.computed[0]:
                del self._kept[key]
                self._alone.pop(key, None)

    def _make_room(self) -> None:
        """Keep to the bound: drop the oldest outputs first, then the oldest features, then whole batches.

        Features and whole batches go only if what is left exceeds `LEAST_ROOM` as well.
        """
        excess = self.n_bytes - self.room
        if excess <= 0:
            return
        for kept in list(self._kept.values()):
            if excess > 0 and kept.known_outputs is not None:
                before = kept.n_bytes
                self._measure_upcoming(kept)
                kept.drop_outputs()
                excess -= before - kept.n_bytes
        excess = self.n_bytes - max(self.room, LEAST_ROOM)
        for kept in list(self._kept.values()):
            if excess > 0:
                before = kept.n_bytes
                kept.drop_features()
                excess -= before - kept.n_bytes
        while excess > 0 and self._kept:
            excess -= self._kept.pop(next(iter(self._kept))).n_bytes
