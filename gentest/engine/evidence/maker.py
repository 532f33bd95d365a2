"""Making: outputs and measurements on one device, as many at once as its memory takes.

The batch size is what was asked for, or else depends on the device and on how large one output is; where memory runs
out it is halved, for good. Nothing that is decided depends on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gentest.engine.evidence.audit import Auditor
from gentest.engine.evidence.store import Store, digest
from gentest.engine.evidence.subject import Identities, Subject, thing_key
from gentest.engine.evidence.time_limit import limited
from gentest.errors import GeneratorError, GentestError, WrongOutputs, out_of_memory
from gentest.generators.generator import Generator

MOST = {"cuda": 256, "cpu": 128}
"""Latents at once where nobody says how many and outputs are small."""
OUTPUTS_AT_ONCE = {"cuda": 1 << 27, "cpu": 1 << 25}
"""Bytes of outputs at once: what a generator computes on the way takes some 40 to 150 times that."""


@dataclass
class Meter:
    """What the generator was asked for."""

    images: int = 0
    calls: int = 0
    seconds: float = 0.0
    """The time that calls in this process took."""


class Maker:
    """One device, and what is made on it; `watch` is told of each batch of images."""

    def __init__(
        self,
        device: torch.device,
        batch_size: int | None,
        watch: Callable[[int], None] | None,
        store: Store | None,
        time_limit: float,
    ) -> None:
        self.device = device
        self.store = store
        self.meter = Meter()
        self.image_bytes = 0
        """The size of one output as float32; 0 before the first."""
        self._given = batch_size
        self._time_limit = time_limit
        self._room_for: int | None = None
        self._watch = watch
        self.identities = Identities()
        self.audit = Auditor(self)
        self._unreadable: dict[Hashable, tuple[str, str, Generator]] = {}
        """Who said so of which generator, kept alive since an id may be its key."""

    @property
    def batch_size(self) -> int:
        """Latents to the generator at once."""
        kind = "cuda" if self.device.type == "cuda" else "cpu"
        fitting = max(1, OUTPUTS_AT_ONCE[kind] // max(self.image_bytes, 1))
        size = self._given or min(MOST[kind], fitting)
        return size if self._room_for is None else min(size, self._room_for)

    def in_parts(
        self, part: Callable[[int, int], Tensor], total: int, *, size: int, lasting: bool = True
    ) -> list[Tensor]:
        """What a function gives for rows `start` to `stop` of `total`, `size` at a time or, where memory runs out, half
        as many; `lasting` says that this is remembered."""
        start = 0
        found: list[Tensor] = []
        while start < total or not found:
            try:
                found.append(part(start, min(start + size, total)))
            except Exception as error:
                if size == 1 or not out_of_memory(error):
                    raise
                size = (size + 1) // 2
                if lasting:
                    self._room_for = size
                torch.cuda.empty_cache()
                continue
            start += size
        return found

    def call(
        self,
        generator: Generator,
        latents: Mapping[str, Any],
        drawn: Mapping[str, Any],
        chance: int = 0,
        *,
        gradients: bool = False,
    ) -> Tensor:
        """One call of a generator."""
        batch, hiss = ({name: self._here(z) for name, z in arrays.items()} for arrays in (latents, drawn))
        started = time.perf_counter()
        with torch.set_grad_enabled(gradients), self.limited("the generator", GeneratorError):
            x = generator.outputs(batch, hiss, chance=chance)
        self.meter.seconds += time.perf_counter() - started
        self.count(len(x), 1)
        self.image_bytes = max(self.image_bytes, 4 * x[0].numel())
        return x.to(self.device)

    def exactly(self) -> AbstractContextManager[None]:
        """Within, everything is computed in full precision."""
        return full_precision(self.device)

    def limited(self, what: str, error: type[GentestError]) -> AbstractContextManager[None]:
        """Within, somebody's code is called, which may take so long and no longer."""
        return limited(self._time_limit, what, error)

    def unreadable(self, generator: Generator, error: WrongOutputs, test: str, property: str) -> str:
        """What to say of outputs that cannot be read: the whole line once a generator, and then who has said it."""
        key = (thing_key(generator.function), generator.images, generator.output_range)
        first, said, _ = self._unreadable.setdefault(key, (test, property, generator))
        if not test or (first, said) == (test, property):  # a rerun says it again
            return str(error)
        return f"the generator's outputs cannot be read, as said {'above' if first == test else f'by {first}'}"

    def count(self, images: int, calls: int) -> None:
        """So many images were made, here or elsewhere."""
        self.meter.calls += calls
        self.meter.images += images
        if self._watch is not None:
            self._watch(images)

    def address(self, subject: Subject) -> str:
        """What tells a subject's outputs on this kind of device from any other's, on any day; empty where nothing can.

        A generator with a part that cannot be read is never known again.
        """
        return digest(*subject.address, self.device.type) if subject.address else ""

    def _here(self, z: Any) -> Tensor:
        return z if isinstance(z, Tensor) else torch.from_numpy(np.ascontiguousarray(z)).to(self.device)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Float32 throughout: on CUDA, no TF32 and deterministic convolutions."""
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
    """Some rows of each part."""
    return {name: z[rows] for name, z in arrays.items()}


def flat(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays or tensors [N, P, *shape] as [N * P, *shape]."""
    return {name: z.reshape(-1, *z.shape[2:]) for name, z in arrays.items()}
