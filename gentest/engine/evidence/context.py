"""What every check of a session shares: the device, the CLIP setup, counts, pilots, and the evidence already made."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gentest.attributes import Attribute, Distance, Feature
from gentest.attributes.attribute import Setup, bind, describe
from gentest.attributes.prompts import PromptCache
from gentest.engine.evidence.block import Block
from gentest.engine.evidence.maker import Maker, Meter
from gentest.engine.evidence.observed import Observed, lower
from gentest.engine.evidence.store import Store
from gentest.engine.evidence.subject import Identities, Subject
from gentest.errors import GentestError, InvalidArgument, NoSpread, out_of_memory
from gentest.generators.generator import Generator
from gentest.probes.families import Probes, points
from gentest.probes.probe import Probe, independent
from gentest.properties.definition import Measure
from gentest.results.settings import Precision, Values

PILOT_SEED = 0x67656E74657374
"""The master seed of every pilot: fixed, so that `gentest.sd(x)` is the same number in every run."""
PILOT = 256
PILOT_BATCH = 16
PILOTS = frozenset(independent(PILOT_SEED, 0, PILOT))
ALONE = 256
"""Blocks of single outputs that are kept: what further tests measure rounding on, and not every probe near zero."""
LEAST_SPREAD = 1e-6
"""A spread below this share of an attribute's size is rounding."""

NUMBERS = 16 << 20
"""Bytes that measured numbers may take, however small the bound is: they save making the images again."""


class Drawn(IntEnum):
    """How the probes of a block were drawn."""

    SEARCHED = 0
    INDEPENDENT = 1
    """By a rate, a sample or a look at outputs."""
    PILOT = 2
    """For the standard deviations under the prior."""


Ahead = Callable[[Probes, Drawn], Iterable[Any]]
"""The measures that are still to be asked for on a family's probes: attributes and features, or `Measure`s."""


SHARED = ("device", "batch_size", "clip", "precision", "memory", "cache", "ray", "time_limit")
"""The settings that two checks must have in common to share a context."""


def resolve_device(name: str | None) -> torch.device:
    """The torch device of that name, checked to be there; None takes CUDA where there is one."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InvalidArgument.expected("a torch device that is here", "device", name, hint=reason) from error
    return device


class Evaluator(Protocol):
    """Others that evaluate a property's probes: processes, each with a context of its own."""

    def __len__(self) -> int: ...

    def margins(self, judge: Any, probes: Sequence[Probe]) -> Iterator[tuple[list[Probe], Any]]:
        """Blocks of some probes, in their order, and what came of each; blocks that nobody answers are left out."""


class Context:
    """One per session and set of device, batch size and CLIP. Its caches never change a verdict.

    `share` gives those who share its work, at first use.
    """

    def __init__(
        self,
        values: Values,
        *,
        prompts: PromptCache | None = None,
        watch: Callable[[int], None] | None = None,
        share: Callable[[Context], Evaluator] | None = None,
    ) -> None:
        self.device = resolve_device(values.device)
        self.precision = values.precision
        self.room = values.memory << 20
        """Bytes that may be kept."""
        store = None if values.cache is None else Store(Path(values.cache))
        self.maker = Maker(self.device, values.batch_size, watch, store, values.time_limit)
        self.setup = Setup(device=self.device, clip=values.clip, prompts=prompts)
        self.ahead: Ahead = lambda family, rated: ()
        self.plans: dict[Hashable, list[Probe]] = {}
        self.examined: dict[Hashable, Tensor] = {}
        """One output of each subject, in its unit, as it was before any margin was believed."""
        self.rounded: set[Probe] = set()
        """Probes on which a property measured its rounding, each alone: the next one measures it on the same."""
        self.pictures: dict[Hashable, Any] = {}
        """Pictures of the first outputs of a seed, by subject."""
        assert (values.ray is None) == (share is None), "gentest.engine.cluster.actors.shared_context shares the work"
        self._share = share
        self._shares = share is not None
        self._actors: Evaluator | None = None
        self._bound: dict[Hashable, tuple[Any, Any]] = {}
        self._spreads: dict[Hashable, float] = {}
        self._blessed_spreads: dict[str, float] = {}
        self._subjects: dict[Hashable, Subject] = {}
        self._blocks: dict[Hashable, Block] = {}
        """The one that was asked for last stands last. An OrderedDict would hash every key at each look."""
        self._alone: dict[Hashable, None] = {}
        """Those of single outputs among them."""

    @property
    def meter(self) -> Meter:
        """What the generators were asked for."""
        return self.maker.meter

    @property
    def identities(self) -> Identities:
        """The identities of generators and measures, as they are during the check that goes on."""
        return self.maker.identities

    def begin(self, seed: int, *, body: bool) -> None:
        """Starts a check; `body` says that code of somebody else may have run since the one before."""
        self.identities.begin(body=body)
        self.maker.audit.begin(seed)

    def end(self, *, believed: bool) -> None:
        """Ends a check: what it measured is kept on disk where its verdict is believed, and only there."""
        self.maker.audit.stop()
        self.identities.end(believed=believed)
        if self.maker.store is not None:
            (self.maker.store.commit if believed else self.maker.store.forget)()

    def subject(self, generator: Generator) -> Subject:
        """A generator as it is now."""
        return Subject.of(generator, self.identities)

    def discard(self, subject: Subject) -> None:
        """Lets everything go that is known of a generator, in memory and on disk: some of it is wrong."""
        for key, block in list(self._blocks.items()):
            if block.subject.computed[0] == subject.computed[0]:
                del self._blocks[key]
                self._alone.pop(key, None)
        for kept in (self._spreads, self.examined, self.pictures):
            for key in list(kept):
                if subject.key in (key, key[0] if isinstance(key, tuple) else key):
                    del kept[key]
        if self.maker.store is not None and (address := self.maker.address(subject)):
            self.maker.store.discard(address)

    @property
    def trouble(self) -> str:
        """Why measurements are not kept on disk, where they were to be; empty where they are."""
        return "" if self.maker.store is None else self.maker.store.trouble

    def close(self) -> None:
        """Lets the file of measurements go; a further check opens it again."""
        if self.maker.store is not None:
            self.maker.store.close()

    @property
    def batch_size(self) -> int:
        """Latents to the generator at once."""
        return self.maker.batch_size

    @property
    def actors(self) -> Evaluator | None:
        """Who shares the work, started at first use; None where nobody does. Raises `InvalidArgument`."""
        if self._shares and self._actors is None and self._share is not None:
            self._actors = self._share(self)
        return self._actors if self._shares else None

    @property
    def n_actors(self) -> int:
        """How many blocks of probes are evaluated side by side."""
        return 1 if self.actors is None else max(1, len(self.actors))

    @contextmanager
    def apart(self) -> Iterator[None]:
        """While it lasts, no work is shared: steps that depend on each other gain nothing by it."""
        self._shares, before = False, self._shares
        try:
            yield
        finally:
            self._shares = before

    def bound(self, thing: Attribute | Feature | Distance) -> Any:
        """An attribute, feature or distance, ready to run on the device."""
        key = self.identities.key(thing)
        held = self._bound.get(key)
        if held is None or (held[1] is not thing and self.identities.own(thing) is not None):
            self._bound[key] = (bind(thing, self.setup), thing)  # kept alive: an id may be its key
        return self._bound[key][0]

    def codes(self, things: Mapping[str, Attribute | Feature | Distance]) -> dict[str, str]:
        """The identity of each measure that is somebody else's callable; empty where it cannot be read."""
        found = {name: self.identities.own(thing) for name, thing in things.items()}
        return {name: "" if own.unknown else own.digest[:16] for name, own in found.items() if own is not None}

    def evidence(
        self,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        *,
        alone: bool = False,
        batch_size: int | None = None,
        precision: Precision = "full",
    ) -> Observed:
        """The evidence of some probes."""
        block = self.block(subject, family, probes, alone=alone, batch_size=batch_size)
        return Observed(self, block, precision=precision)

    def block(
        self,
        subject: Subject,
        family: Probes,
        probes: Sequence[Probe],
        *,
        alone: bool = False,
        batch_size: int | None = None,
    ) -> Block:
        """Some probes' outputs: shared by all who look at the same ones."""
        self._subjects.setdefault(subject.key, subject)  # kept alive: an id may be part of its key
        key = (subject.key, family, tuple(probes), alone, batch_size)
        block = self._blocks.pop(key, None)
        if block is None:
            block = Block(self.maker, subject, family, probes, alone=alone, batch_size=batch_size)
        block.subject = subject  # equal, and perhaps another object: what is made again is made by the one under test
        self._make_room()
        self._blocks[key] = block
        block.ahead = self.ahead
        if alone:
            self._alone.pop(key, None)
            self._alone[key] = None
            if len(self._alone) > ALONE:
                self._blocks.pop(oldest := next(iter(self._alone)), None)
                del self._alone[oldest]
        return block

    def samples(self, subject: Subject, seed: int, start: int, n: int) -> Iterator[Observed]:
        """The outputs of a seed's independent latents `start` to `start + n`, a full batch at a time."""
        taken = 0
        while taken < n:
            size = min(self.batch_size, n - taken)  # where memory ran out, smaller ones from there on
            yield self.evidence(subject, points(), independent(seed, start + taken, size))
            taken += size

    @property
    def n_bytes(self) -> int:
        """What is kept of outputs and measurements."""
        return sum(block.n_bytes for block in self._blocks.values())

    def _make_room(self) -> None:
        """Keeps to the bound: the oldest outputs go first, then the oldest rows of features, then whole blocks.

        Rows and whole blocks go only where what is left takes more than `NUMBERS` as well.
        """
        excess = self.n_bytes - self.room
        if excess <= 0:
            return
        for block in list(self._blocks.values()):
            if excess > 0 and block.has_outputs:
                before = block.n_bytes
                self._measure_ahead(block)
                block.drop_outputs()
                excess -= before - block.n_bytes
        excess = self.n_bytes - max(self.room, NUMBERS)
        for block in list(self._blocks.values()):
            if excess > 0:
                before = block.n_bytes
                block.drop_rows()
                excess -= before - block.n_bytes
        while excess > 0 and self._blocks:
            excess -= self._blocks.pop(next(iter(self._blocks))).n_bytes

    def _measure_ahead(self, block: Block) -> None:
        """Measures everything that is still to be asked of a block's outputs, so that no image is made twice."""
        first = block.probes[0]
        if block.alone and first not in self.rounded:
            return  # a probe that no other property asks about alone
        drawn = self._drawn(first)
        precision: Precision = "full" if block.alone or drawn is Drawn.PILOT else self.precision
        for asked in block.ahead(block.family, drawn):
            measure = asked if isinstance(asked, Measure) else Measure(asked)
            try:
                for one in (block, *block.moved):
                    one.measure(lower(self.bound(measure.thing), precision), measure)
            except Exception as error:
                if not (isinstance(error, GentestError) or out_of_memory(error)):
                    raise

    def _drawn(self, probe: Probe) -> Drawn:
        if any(probe in plan for plan in self.plans.values()):
            return Drawn.SEARCHED
        return Drawn.PILOT if probe in PILOTS else Drawn.INDEPENDENT

    def spread(self, of: Attribute | Feature, subject: Subject, name: str) -> float:
        """One standard deviation under the prior: a baseline's where one is in force, else that of a fixed pilot."""
        if name in self._blessed_spreads:
            return self._blessed_spreads[name]
        key = (subject.key, self.identities.key(of))
        if key not in self._spreads:
            self._spreads[key] = self._spread(of, subject)
        return self._spreads[key]

    def unit(self, subject: Subject) -> float:
        """The range of the values that 16 samples have, each made alone: 1 where they have one value alone."""
        key = (subject.key, "unit")
        if key not in self._spreads:
            samples = independent(PILOT_SEED, 0, PILOT_BATCH)
            values = self.evidence(subject, points(), samples, alone=True).outputs
            values = values[values.isfinite()]
            span = (values.max() - values.min()).item() if len(values) else 0.0
            self._spreads[key] = float(f"{span:.4g}") or 1.0
        return self._spreads[key]

    def known_unit(self, subject: Subject) -> float | None:
        """What `unit` gave, where it was asked."""
        return self._spreads.get((subject.key, "unit"))

    def adopt(
        self, subject: Subject, spreads: Iterable[tuple[Attribute | Feature, float]], unit: float | None = None
    ) -> None:
        """Takes standard deviations, and a unit, that another process measured."""
        self._spreads |= {(subject.key, self.identities.key(of)): spread for of, spread in spreads}
        if unit is not None:
            self._spreads[subject.key, "unit"] = unit

    @contextmanager
    def measured_by(self, spreads: Mapping[str, float]) -> Iterator[None]:
        """While it lasts, these are the standard deviations: a candidate is not to loosen its own tolerance."""
        self._blessed_spreads, before = dict(spreads), self._blessed_spreads
        try:
            yield
        finally:
            self._blessed_spreads = before

    def _spread(self, of: Attribute | Feature, subject: Subject) -> float:
        """The standard deviation under the prior, in small blocks of the same size at any batch size."""
        size = min(PILOT_BATCH, self.batch_size)
        bound, rows = self.bound(of), []
        for start in range(0, PILOT, size):
            probes = independent(PILOT_SEED, start, min(size, PILOT - start))
            pilot = self.evidence(subject, points(), probes, batch_size=size)
            rows.append(pilot.measured(bound)[:, 0].double().cpu())
        values = torch.cat(rows)  # [PILOT] or [PILOT, D]
        spread = float(f"{values.var(0).sum().item() ** 0.5:.4g}")
        if spread <= LEAST_SPREAD * max(1.0, values.abs().max().item()):
            raise NoSpread(
                f"{describe(of)} does not vary under the prior (standard deviation {spread:.2g}), so sd(x) of it means "
                "nothing: give a tolerance in its units, or ask whether the generator collapsed"
            )
        return spread
