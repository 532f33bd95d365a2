"""Random numbers that a function draws by itself: the same at every call, and nobody else's are changed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

_pinned: list[torch.device] = []
"""Where it is entered already."""


@contextmanager
def pinned_rng(device: torch.device, seed: int) -> Iterator[None]:
    """The same random state of torch, NumPy and `random` at every entry, restored on leaving.

    Where it is entered within itself it only seeds: NumPy takes 0.1 ms to give its state and to take it back.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    if device in _pinned:
        _seed(generators, seed)
        yield
        return
    states = [(generator, generator.get_state()) for generator in generators]
    legacy, plain = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 - the global one is meant
    _pinned.append(device)
    try:
        _seed(generators, seed)
        yield
    finally:
        _pinned.remove(device)
        np.random.set_state(legacy)  # noqa: NPY002
        random.setstate(plain)
        for generator, state in states:
            generator.set_state(state)


def _seed(generators: Sequence[torch.Generator], seed: int) -> None:
    for generator in generators:
        generator.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
