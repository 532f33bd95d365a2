"""The maker: calls the generator and the measures on one device, in batches that fit its memory.

The batch size is the one asked for, or depends on the device and the size of one output. When memory runs out it is
halved for good. No verdict depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from gentest.engine import cost
from gentest.engine.cost import Budget, Meter, Pace
from gentest.engine.evidence.audit import Auditor
from gentest.engine.evidence.output_store import OutputStore
from gentest.engine.evidence.store import Store, digest
from gentest.engine.evidence.subject import Identities, Subject, thing_key
from gentest.engine.evidence.time_limit import limited
from gentest.errors import GeneratorError, GentestError, WrongOutputs, out_of_memory
from gentest.generators.calling import inputs_on, pinned_rng
from gentest.generators.generator import Generator
from gentest.generators.recalled import Recalled

LARGEST_BATCH = {"cuda": 256, "cpu": 128}
"""The default batch size for small outputs."""
TINY, TINY_FACTOR = 1 << 10, 16
"""Outputs of at most so many bytes come in batches this much larger: there, a call itself is most of the cost."""
BATCH_BYTES = {"cuda": 1 << 27, "cpu": 1 << 25}
"""Bytes of outputs in one batch by default. The generator's activations take 40 to 150 times that."""


class Maker:
    """Makes outputs on one device. `watch` is called with the size of each batch of images."""

    def __init__(
        self,
        device: torch.device,
        batch_size: int | None,
        watch: Callable[[int], None] | None,
        store: Store | None,
        time_limit: float,
        output_store: OutputStore | None = None,
    ) -> None:
        self.device = device
        self.store = store
        self.output_store = output_store
        self.meter = Meter()
        self.image_bytes = 0
        """Size of one output as float32; 0 before the first."""
        self._given = batch_size
        self._time_limit = time_limit
        self._room_for: int | None = None
        self._watch = watch
        self.identities = Identities()
        self.audit = Auditor(self)
        self.budget = Budget()
        self._paces: dict[Hashable, Pace] = {}
        """The pace of each generator, by the part of a subject's key that is about its function."""
        self._under_test: list[tuple[object, Pace]] = []
        """The functions of the generators that the check is about, each with its pace."""
        self._unreadable: dict[Hashable, tuple[str, str, Generator]] = {}
        """The test and property that reported each generator, which is kept alive since its id may be the key."""

    @property
    def batch_size(self) -> int:
        """Latents to the generator at once."""
        kind = "cuda" if self.device.type == "cuda" else "cpu"
        fitting = max(1, BATCH_BYTES[kind] // max(self.image_bytes, 1))
        largest = LARGEST_BATCH[kind] * (TINY_FACTOR if 0 < self.image_bytes <= TINY else 1)
        size = self._given or min(largest, fitting)
        return size if self._room_for is None else min(size, self._room_for)

    def in_parts(
        self, part: Callable[[int, int], Tensor], total: int, *, size: int, lasting: bool = True
    ) -> list[Tensor]:
        """The results of `part(start, stop)` over `total` rows, `size` rows at a time, halved when memory runs out.

        `lasting=True` keeps the halved size for all later batches.
        """
        start = 0
        parts: list[Tensor] = []
        while start < total or not parts:
            try:
                parts.append(part(start, min(start + size, total)))
            except Exception as error:
                if size == 1 or not out_of_memory(error):
                    raise
                size = (size + 1) // 2
                if lasting:
                    self._room_for = size
                torch.cuda.empty_cache()
                continue
            start += size
        return parts

    def call(
        self,
        generator: Generator,
        latents: Mapping[str, Any],
        drawn: Mapping[str, Any],
        chance: int = 0,
        *,
        gradients: bool = False,
    ) -> Tensor:
        """Outputs [B, ...] of one call of a generator, on the device."""
        device = generator.device or self.device
        is_kept = isinstance(generator.function, Recalled)  # kept outputs cost nothing
        if not is_kept:
            self.budget.claim(len(next(iter(latents.values()))))
        batch, noise = (inputs_on(device, generator.latent, arrays) for arrays in (latents, drawn))
        started = cost.clock()
        with torch.set_grad_enabled(gradients), self.limited("the generator", GeneratorError):
            x = generator.outputs(batch, noise, chance=chance)
        if not is_kept:
            seconds = cost.clock() - started
            self.meter.seconds += seconds
            for function, pace in self._under_test:
                if function is generator.function:
                    pace.add(len(x), seconds)
            self.count(len(x), 1)
        self.image_bytes = max(self.image_bytes, 4 * x[0].numel())
        return x.to(self.device)

    def begin(self, budget: Budget) -> None:
        """Start a check within a budget. It is about no generator yet."""
        self._under_test = []
        self.budget = budget
        budget.pace = lambda: max((pace.seconds for pace in self.paces), default=0.0)

    def test(self, subject: Subject) -> None:
        """Note that the check is about a generator, or about both of a pair."""
        for side in subject.computing:
            self._under_test.append((side.generator.function, self.pace(side)))

    def pace(self, subject: Subject) -> Pace:
        """The pace of a generator."""
        return self._paces.setdefault(subject.computed, Pace())

    @property
    def paces(self) -> list[Pace]:
        """The paces of the generators that the check is about."""
        return [pace for _, pace in self._under_test]

    @property
    def slow(self) -> bool:
        """Whether a generator that the check is about takes longer than half a second for an image."""
        return any(pace.slow for pace in self.paces)

    def exactly(self) -> AbstractContextManager[None]:
        """Inside, everything is computed in full precision."""
        return full_precision(self.device)

    def pinned(self) -> AbstractContextManager[None]:
        """Inside, random state is pinned: no code but that of generators may run."""
        return pinned_rng(self.device, 0)

    def limited(self, what: str, error: type[GentestError]) -> AbstractContextManager[None]:
        """Inside, somebody else's code may take as long as the time limit."""
        return limited(self._time_limit, what, error)

    def unreadable(self, generator: Generator, error: WrongOutputs, test: str, property: str) -> str:
        """The message for outputs that cannot be read: in full once for each generator, then a reference to it."""
        key = (thing_key(generator.function), generator.kind, generator.output_range)
        first, said, _ = self._unreadable.setdefault(key, (test, property, generator))
        if not test or (first, said) == (test, property):  # a rerun repeats it
            return str(error)
        where = "above" if first == test else f"by {first}"
        return f"the generator's outputs cannot be read, as reported {where}"

    def count(self, images: int, calls: int) -> None:
        """Add images and calls, of this process or another."""
        self.meter.calls += calls
        self.meter.images += images
        if self._watch is not None:
            self._watch(images)

    def address(self, subject: Subject) -> str:
        """A name on disk for a subject's outputs on this kind of device; empty if the generator cannot be read."""
        return digest(*subject.address, self.device.type) if subject.address else ""


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Inside, float32 throughout: on CUDA, no TF32 and deterministic convolutions."""
    if device.type != "cuda":
        yield
        return
    matmul = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)


def sliced(arrays: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """The given rows of each part."""
    return {name: z[rows] for name, z in arrays.items()}


def flat(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays or tensors [N, P, *shape] as [N * P, *shape]."""
    return {name: z.reshape(-1, *z.shape[2:]) for name, z in arrays.items()}
