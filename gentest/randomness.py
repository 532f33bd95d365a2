"""Random numbers that a function draws by itself: the same at every call, and nobody else's are changed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def pinned_rng(device: torch.device, seed: int) -> Iterator[None]:
    """The same random state of torch, NumPy and `random` at every entry, restored on leaving."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    states = [(generator, generator.get_state()) for generator in generators]
    legacy, plain = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 - the global one is meant
    try:
        for generator in generators:
            generator.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        np.random.set_state(legacy)  # noqa: NPY002
        random.setstate(plain)
        for generator, state in states:
            generator.set_state(state)
